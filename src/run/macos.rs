//! The supervisor on macOS: the proxy on the host's loopback, behind a password;
//! `sandbox-exec` with the profile; signals; the command's status.
//!
//! Nothing here is macOS's own but the two programs that are started. Builds for
//! debugging run it on any Unix, with others in their place.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use super::denials::{Denials, Hearing};
use super::job::Course;
use super::leftovers::Temporary;
use super::mac::{self, Gate, Prepared};
use super::paths::path;
use super::report::{Log, Report, Subject};
use super::request::{self, Request};
use super::say::say_patiently;
use super::warden::Warden;
use crate::error::{Error, While};
use crate::limits::DRAIN;
use crate::proxy::conversation::Hop;
use crate::proxy::secret::Secret;
use crate::reactor::resolver::HelperProgram;
use crate::reactor::runs::Run;
use crate::reactor::{Reactor, Service};
use crate::sys;
use crate::sys::caught::Caught;
use crate::sys::process::Pid;
use crate::sys::signal::{CHILD, FORWARDED};

// Numbers of the supervisor's own descriptors in the loop.
const SIGNALS: u32 = 0;
const LOG: u32 = 1;

/// The one run of this process.
const ONLY: Run = Run(0);

/// The system's programs.
pub struct Tools {
    /// Confines itself by a profile, and becomes the command.
    pub sandbox_exec: PathBuf,
    /// Reads the system's log.
    pub log: PathBuf,
}

impl Tools {
    /// Others, in this directory.
    pub fn of(directory: &OsString) -> Self {
        let directory = PathBuf::from(directory);
        Self {
            sandbox_exec: directory.join("sandbox-exec"),
            log: directory.join("log"),
        }
    }
}

impl Default for Tools {
    fn default() -> Self {
        Self {
            sandbox_exec: "/usr/bin/sandbox-exec".into(),
            log: "/usr/bin/log".into(),
        }
    }
}

/// Runs the command; gives its exit status.
///
/// # Errors
/// Settings that are not valid or have no place in a profile, or the system does not let
/// the run come up: nothing has run.
pub fn run(run: &Request, tools: &Tools) -> Result<u8, Error> {
    let mut signals =
        Caught::new(&[&FORWARDED[..], &[CHILD]].concat()).doing("catching signals")?;
    let log = run.log.as_ref().map(Log::open).transpose()?;
    let temporary = Temporary::new(&env::temp_dir()).doing("making a temporary directory")?;
    let prepared = mac::prepare(run, &temporary, log.as_ref())?;
    let listeners = [listen()?, listen()?];
    let gate = Gate {
        http: port(&listeners[0])?,
        socks: port(&listeners[1])?,
        secret: Secret::new("srt", &random().doing("drawing a password")?),
        tag: format!("srt-{}", random().doing("drawing a tag")?),
    };
    let profile = prepared.profile(&gate)?;
    let environment = prepared.environment(&gate);
    if let Some(status) = missing(&run.argv, &environment) {
        return Ok(status);
    }
    let subject = Subject {
        run: temporary.run(),
        settings: &prepared.loaded.text,
        ignored: &prepared.loaded.settings.ignored,
        guarantees: &[],
        log,
    };
    let mut report = Report::new(subject, run);
    let mut denials = match run.hearing {
        request::Hearing::Somebody => Denials::start(&tools.log, &gate.tag, run),
        request::Hearing::Nobody => None,
    };
    let mut warden = Warden::start()?;
    let mut command = Command::new(&tools.sandbox_exec);
    command.arg("-p").arg(profile).args(&run.argv).env_clear();
    command.envs(
        environment
            .iter()
            .map(|(name, value)| (path(name), path(value))),
    );
    sys::process::prepare_spawn(&mut command, prepared.limits());
    // What was raised before the command is there is passed on once it is.
    let mut course = Course::new(prepared.policy.limits.wall_seconds);
    course.note(&mut signals)?;
    let child = command.spawn().doing("starting sandbox-exec")?;
    let child = Pid::new(i32::try_from(child.id()).unwrap_or(i32::MAX));
    course.begin(child);
    warden.watch(child);
    let mut reactor = reactor(&prepared, listeners, gate.secret)?;
    reactor
        .watch(signals.as_fd(), SIGNALS)
        .doing("watching signals")?;
    if let Some(denials) = &denials {
        reactor
            .watch(denials.as_fd(), LOG)
            .doing("watching the system's log")?;
    }
    let mut events = Vec::new();
    let ended = loop {
        course.note(&mut signals)?;
        course.pass_on();
        course.enforce_time();
        if let Some(ended) = course.reap()? {
            break ended;
        }
        reactor
            .turn(course.next_due(), &mut events)
            .doing("waiting for events")?;
        for refusal in reactor.take_refusals(ONLY) {
            report.refused(refusal, None, &mut reactor);
        }
        let heard = events.drain(..).any(|which| which == LOG);
        if let Some(denials) = denials.as_mut().filter(|_| heard) {
            if denials.hear(&prepared.policy, &mut report) == Hearing::Over {
                reactor
                    .unwatch(denials.as_fd())
                    .doing("watching the system's log")?;
            }
        }
    };
    warden.release();
    course.take_terminal_back();
    drain(&mut reactor, &mut report)?;
    if let Some(denials) = denials {
        denials.end(&prepared.policy, &mut report);
    }
    report.end();
    Ok(ended.status())
}

/// A listener of the host's loopback, on a port that is free.
fn listen() -> Result<TcpListener, Error> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).doing("listening for what goes out")
}

fn port(listener: &TcpListener) -> Result<u16, Error> {
    let address = listener.local_addr();
    address
        .map(|a| a.port())
        .doing("listening for what goes out")
}

/// 128 bits that nobody can guess, in hexadecimal.
fn random() -> io::Result<String> {
    let mut bytes = [0u8; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Says so if there is no such program; gives the status for that. `sandbox-exec` has one
/// status for everything.
fn missing(argv: &[OsString], environment: &[(Vec<u8>, Vec<u8>)]) -> Option<u8> {
    let program = argv.first()?;
    let search = environment.iter().find(|(name, _)| name == b"PATH");
    let search = search.map_or(&b"/usr/bin:/bin"[..], |(_, value)| value);
    let (text, status) = match sys::process::find(program.as_bytes(), search) {
        Ok(()) => return None,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let hint = match (program.as_bytes().contains(&b' '), argv) {
                (true, [_]) => " (to run a line of shell, use srt -c)",
                _ => "",
            };
            (format!("command not found{hint}"), 127)
        }
        Err(e) => (e.to_string(), 126),
    };
    say_patiently(&format!("{:?}: {text}", program.to_string_lossy()));
    Some(status)
}

/// The loop, listening.
fn reactor(
    prepared: &Prepared,
    listeners: [TcpListener; 2],
    secret: Secret,
) -> Result<Reactor, Error> {
    let descriptors = sys::host::raise_descriptor_limit().doing("raising the descriptor limit")?;
    let helper = HelperProgram {
        path: env::current_exe().doing("finding this program")?,
        arguments: vec!["--stage".into(), "lookup".into()],
    };
    let network = prepared.policy.network.clone();
    let mut reactor = Reactor::new(network, helper, descriptors).doing("starting the loop")?;
    let secret = Arc::new(secret);
    let ports = &prepared.policy.ports;
    let external = [ports.external_http, ports.external_socks];
    for (listener, external) in listeners.into_iter().zip(external) {
        let service = match external {
            Some(port) => Service::Forward(Hop::Loopback(port)),
            None => Service::Guarded(secret.clone()),
        };
        reactor
            .listen(ONLY, listener.into(), service)
            .doing("taking the listeners")?;
    }
    Ok(reactor)
}

/// Lets what the command sent before its end reach the other side, for a moment.
fn drain(reactor: &mut Reactor, report: &mut Report) -> Result<(), Error> {
    reactor.stop_listening(ONLY);
    let until = Instant::now() + DRAIN;
    let mut ignored = Vec::new();
    reactor
        .turn(Some(Instant::now()), &mut ignored)
        .doing("draining")?;
    while reactor.owes_upstream(ONLY) && Instant::now() < until {
        reactor.turn(Some(until), &mut ignored).doing("draining")?;
    }
    for refusal in reactor.take_refusals(ONLY) {
        report.refused(refusal, None, reactor);
    }
    Ok(())
}
