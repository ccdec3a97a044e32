//! The supervisor on Linux: starts bubblewrap, serves the proxy, passes signals on,
//! and ends with the command's status.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::launch::{ENDED, FAILED, GO, LISTENING, MESSAGE_BYTES, SIGNAL, SOCKET};
use super::orphans;
use super::plan::Plan;
use super::ready::{self, Ready};
use crate::args::Verbosity;
use crate::error::{Error, While};
use crate::limits::{BWRAP_WORDS, DRAIN};
use crate::reactor::Reactor;
use crate::reactor::resolver::HelperProgram;
use crate::sys;
use crate::sys::process::Orphaned;
use crate::sys::signal::{FORWARDED, Origin, Signals, TERMINAL_STOP};

// Numbers of the supervisor's own descriptors in the loop.
const SIGNALS: u32 = 0;
const STAGE: u32 = 1;
const CHILD: u32 = 2;

/// Runs the command of `plan`; gives its exit status.
///
/// # Errors
/// The sandbox did not come up, or the loop broke: the command's end is not known.
pub fn run(plan: Plan, verbosity: Verbosity) -> Result<u8, Error> {
    let mut signals = Signals::new(&FORWARDED).doing("blocking signals")?;
    let published = ready::publish(&plan.policy.ports)?;
    let started = spawn(&plan)?;
    let descriptors = sys::host::raise_descriptor_limit().doing("raising the descriptor limit")?;
    let helper = HelperProgram {
        path: PathBuf::from("/proc/self/exe"),
        arguments: vec!["--stage".into(), "lookup".into()],
    };
    let mut reactor =
        Reactor::new(plan.policy.network, helper, descriptors).doing("starting the loop")?;
    reactor
        .watch(signals.as_fd(), SIGNALS)
        .doing("watching signals")?;
    reactor
        .watch(started.socket.as_fd(), STAGE)
        .doing("watching the inner stage")?;
    reactor
        .watch(started.pidfd.as_fd(), CHILD)
        .doing("watching bubblewrap")?;
    let mut ready = Ready::new(&plan.launch, &plan.pins, &plan.policy.ports, published);
    let ending = supervise(started, &mut signals, &mut reactor, &mut ready);
    if !matches!(ending, Ok(Ending::Told(_))) {
        // Nobody has said that all is over inside.
        orphans::end(plan.temporary.run()).doing("ending what was left running")?;
    }
    let denied = reactor.violations();
    if verbosity == Verbosity::Debug || io::stderr().is_terminal() {
        for violation in denied.iter() {
            say(&violation.to_string());
        }
        if denied.dropped() > 0 {
            say(&format!("{} more refusals were not kept", denied.dropped()));
        }
    }
    ending.map(|ending| match ending {
        Ending::Told(status) | Ending::Cut(status) => status,
    })
}

/// How a run ended: its status.
enum Ending {
    /// As the stage has told.
    Told(u8),
    /// bubblewrap was gone before it could.
    Cut(u8),
}

/// One line of ours on stderr, which may be closed.
pub fn say(text: &str) {
    let mut out = io::stderr().lock();
    for line in text.lines() {
        // What a peer, a file's name or another program has put into it stays text.
        let plain = |c: char| if c.is_control() { '?' } else { c };
        let line: String = line.chars().map(plain).collect();
        let _ = writeln!(out, "srt: {line}");
    }
}

/// A bubblewrap that has been started.
struct Started {
    child: Child,
    pidfd: OwnedFd,
    /// To the inner stage.
    socket: OwnedFd,
    /// What bubblewrap itself has to say.
    words: File,
}

fn spawn(plan: &Plan) -> Result<Started, Error> {
    let (socket, theirs) = sys::fd::packet_pair().doing("making a socket pair")?;
    sys::fd::set_nonblocking(socket.as_fd()).doing("making a socket pair")?;
    let mut options = Vec::new();
    for option in &plan.options {
        options.extend_from_slice(option);
        options.push(0);
    }
    let options = sys::fd::memfd(c"srt-options", &options).doing("writing bubblewrap's options")?;
    let launch =
        sys::fd::memfd(c"srt-launch", &plan.launch.encode()).doing("writing the launch file")?;
    let program = File::open("/proc/self/exe").doing("opening this program")?;
    let stderr = io::stderr()
        .as_fd()
        .try_clone_to_owned()
        .doing("copying stderr")?;
    let (words, mouth) = UnixStream::pair().doing("making a socket pair")?;
    let words = File::from(OwnedFd::from(words));
    sys::fd::set_nonblocking(words.as_fd()).doing("making a socket pair")?;

    let mut command = Command::new(&plan.bwrap);
    command
        .arg("--args")
        .arg(number(&options))
        .arg("--")
        .arg(format!("/proc/self/fd/{}", program.as_raw_fd()))
        .args(["--stage", "inner"])
        .args([number(&theirs), number(&launch), number(&stderr)])
        .arg(orphans::mark(plan.temporary.run()))
        // bubblewrap and the stage get no environment: what the caller's may make a
        // loader or a C library run is the command's alone.
        .env_clear()
        .stderr(Stdio::from(OwnedFd::from(mouth)));
    let kept: Vec<i32> = [
        options.as_fd(),
        launch.as_fd(),
        program.as_fd(),
        stderr.as_fd(),
        theirs.as_fd(),
    ]
    .map(|fd: BorrowedFd<'_>| fd.as_raw_fd())
    .into();
    // Killed at the wrong moment, it would leave its child waiting for it for ever.
    // Left alone, it comes to the stage, which sees that nobody listens, and ends.
    sys::process::confine_spawn(&mut command, kept, Orphaned::Left);
    let child = command.spawn().map_err(|e| Error::Bwrap {
        words: format!("{}: {e}", plan.bwrap.display()),
        cure: "set bwrapPath to a bubblewrap that this user may execute",
    })?;
    let pidfd = sys::process::pidfd(child.id()).doing("watching bubblewrap")?;
    Ok(Started {
        child,
        pidfd,
        socket,
        words,
    })
}

fn number(fd: &impl AsRawFd) -> String {
    fd.as_raw_fd().to_string()
}

/// Drives the loop until bubblewrap has ended.
fn supervise(
    mut started: Started,
    signals: &mut Signals,
    reactor: &mut Reactor,
    ready: &mut Ready<'_>,
) -> Result<Ending, Error> {
    let mut events = Vec::new();
    let mut stage = StageState::Starting;
    let mut gone = false;
    while !gone {
        reactor
            .turn(None, &mut events)
            .doing("waiting for events")?;
        events.sort_unstable();
        for which in events.drain(..) {
            match which {
                SIGNALS => pass_on(signals, &started.socket).doing("passing signals on")?,
                STAGE => listen_to_stage(&started.socket, reactor, &mut stage, ready)?,
                CHILD => gone = true,
                _ => {}
            }
        }
        while reactor.wants_inside() {
            // A stage that is gone needs no connections.
            let _ = sys::fd::send(started.socket.as_fd(), &[SOCKET], &[]);
        }
    }
    let ended = started.child.wait().doing("waiting for bubblewrap")?;
    // Its last words may still lie in the socket.
    listen_to_stage(&started.socket, reactor, &mut stage, ready)?;
    drain(reactor, &started)?;
    match stage {
        StageState::Ended(status) => Ok(Ending::Told(status)),
        StageState::Failed(text) => Err(Error::Stage(text)),
        StageState::Starting => Err(failed(&mut started.words)),
        // bubblewrap or the stage was killed from outside.
        StageState::Running => {
            use std::os::unix::process::ExitStatusExt;
            let signal = ended.signal().map(|n| 128 + n);
            let status = signal.or(ended.code()).unwrap_or(255);
            Ok(Ending::Cut(u8::try_from(status).unwrap_or(255)))
        }
    }
}

/// How far the inner stage has come.
enum StageState {
    /// Not heard of yet.
    Starting,
    /// Told to start the command.
    Running,
    /// A step of its own failed.
    Failed(String),
    /// The command has ended.
    Ended(u8),
}

/// Reads all the stage has said.
fn listen_to_stage(
    socket: &OwnedFd,
    reactor: &mut Reactor,
    stage: &mut StageState,
    ready: &mut Ready<'_>,
) -> Result<(), Error> {
    let mut buffer = [0u8; MESSAGE_BYTES];
    loop {
        let (length, passed) = match sys::fd::receive(socket.as_fd(), &mut buffer) {
            Ok(message) => message,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            // The other side closed with something of ours unread: as good as its end.
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
            Err(source) => {
                return Err(Error::Io {
                    doing: "hearing the inner stage",
                    source,
                });
            }
        };
        match buffer.get(..length) {
            None | Some([]) => return Ok(()),
            Some([LISTENING]) if matches!(stage, StageState::Starting) => {
                ready.make(passed, reactor)?;
                sys::fd::send(socket.as_fd(), &[GO], &[]).doing("starting the command")?;
                *stage = StageState::Running;
            }
            Some([SOCKET]) => passed.into_iter().for_each(|fd| reactor.take_inside(fd)),
            Some([ENDED, status]) => *stage = StageState::Ended(*status),
            Some([FAILED, text @ ..]) => {
                *stage = StageState::Failed(String::from_utf8_lossy(text).into_owned());
            }
            Some(_) => return Err(Error::Stage("a message that is not one of ours".into())),
        }
    }
}

fn pass_on(signals: &mut Signals, socket: &OwnedFd) -> io::Result<()> {
    while let Some((signal, origin)) = signals.take()? {
        let byte = u8::try_from(signal).unwrap_or(0);
        if origin == Origin::Process {
            // A stage that is gone needs no signal.
            let _ = sys::fd::send(socket.as_fd(), &[SIGNAL, byte], &[]);
        }
        if signal == TERMINAL_STOP {
            sys::signal::stop_self()?;
        }
    }
    Ok(())
}

/// Lets what the command sent before its end reach the other side, for a moment.
fn drain(reactor: &mut Reactor, started: &Started) -> Result<(), Error> {
    reactor.unwatch(started.pidfd.as_fd()).doing("draining")?;
    reactor.unwatch(started.socket.as_fd()).doing("draining")?;
    reactor.stop_listening();
    let until = Instant::now() + DRAIN;
    let mut ignored = Vec::new();
    // One turn takes in what is known already.
    reactor
        .turn(Some(Instant::now()), &mut ignored)
        .doing("draining")?;
    while reactor.owes_upstream() && Instant::now() < until {
        reactor.turn(Some(until), &mut ignored).doing("draining")?;
    }
    Ok(())
}

/// What to say when bubblewrap ended before the stage was heard of.
fn failed(words: &mut File) -> Error {
    let mut said = Vec::new();
    // The writer has ended; what it wrote is in the pipe.
    let _ = words.take(BWRAP_WORDS as u64).read_to_end(&mut said);
    let words = String::from_utf8_lossy(&said).trim().to_owned();
    Error::Bwrap {
        cure: cure(&words),
        words,
    }
}

/// What to do about a failure of bubblewrap, from its own words.
fn cure(words: &str) -> &'static str {
    let has = |part: &str| words.contains(part);
    if has("setting up uid map") || has("RTM_NEWADDR") {
        "this host restricts unprivileged user namespaces: with AppArmor (Ubuntu 24.04), give bwrap a \
         profile that allows `userns`"
    } else if has("No permissions to creat")
        || has("Creating new namespace failed")
        || has("user namespace")
    {
        "this host does not let this user make user namespaces: allow them (user.max_user_namespaces \
         above 0; in a container, a seccomp profile that permits unshare)"
    } else if has("mount proc") {
        "this container masks /proc, so that a fresh one cannot be mounted: run it with an unmasked /proc"
    } else if has("Unknown option") {
        "this bubblewrap is too old: version 0.8 or later is needed"
    } else if has("execvp /proc/self/fd") {
        "denyRead hides the loader or the libraries that srt itself needs: allow reading /lib, /lib64 and /usr/lib, \
         or use a static build"
    } else if has("Can't chdir") {
        "the working directory is not visible under this policy: start in another one, or allow reading it"
    } else {
        "run with --dry-run to see what it was asked to do"
    }
}
