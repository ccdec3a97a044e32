//! The inner stage: pid 1 of the sandbox.
//!
//! It makes the proxy's listening sockets in the sandbox's network namespace, hands
//! them out, filters itself, forks the command, and stays as init: it reaps, delivers
//! signals, and when it ends the kernel ends the rest of its pid namespace.

use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use super::launch::{
    CONTINUED, ENDED, FAILED, GO, LISTENING, Launch, Listen, MESSAGE_BYTES, SIGNAL, SOCKET,
    STARTED, STOPPED,
};
use super::recheck;
use crate::emit::landlock::Rules;
use crate::emit::seccomp::Insn;
use crate::limits::{BWRAP_END, WALL_GRACE};
use crate::policy::ports::{HTTP_PORT, SOCKS_PORT};
use crate::sys;
use crate::sys::fd::Readable;
use crate::sys::given::Opened;
use crate::sys::landlock::Ruleset;
use crate::sys::process::{Change, Ended, Pid};
use crate::sys::seccomp::SockFilter;
use crate::sys::signal::{CHILD, CONTINUE, KILL};
use crate::sys::signalfd::Signals;

/// Descriptors the stage inherits: numbers of its own arguments.
pub struct Inherited {
    /// Socket to the supervisor.
    pub socket: i32,
    /// Memory file with a [`Launch`].
    pub launch: i32,
    /// The command's standard error; ours is bubblewrap's until now.
    pub stderr: i32,
}

/// Plays the role; gives the exit status of pid 1.
pub fn run(inherited: &Inherited) -> u8 {
    let Ok(socket) = sys::fd::inherited(inherited.socket) else {
        return 125;
    };
    match stage(&socket, inherited) {
        Ok(status) => status,
        Err((step, error)) => {
            let text = format!("{step}: {error}");
            let mut message = vec![FAILED];
            message.extend(text.bytes().take(MESSAGE_BYTES - 1));
            // If the supervisor is gone too, the status is all there is to say.
            let _ = sys::fd::send(socket.as_fd(), &message, &[]);
            125
        }
    }
}

type Step<T> = Result<T, (&'static str, io::Error)>;

fn step<T>(name: &'static str, result: io::Result<T>) -> Step<T> {
    result.map_err(|e| (name, e))
}

fn stage(socket: &OwnedFd, inherited: &Inherited) -> Step<u8> {
    let stderr = step("taking stderr", sys::fd::inherited(inherited.stderr))?;
    let launch = step(
        "taking the launch file",
        sys::fd::inherited(inherited.launch),
    )?;
    step("restoring stderr", sys::process::replace(2, &stderr))?;
    // Owned descriptors must be gone before `close_all_but` closes by number.
    drop(stderr);
    let launch = step("reading the launch file", read_launch(launch))?;
    hand_out_listeners(socket, &launch.ports)?;
    let Some(early) = step("waiting for the supervisor", told_to_go(socket))? else {
        return Ok(125);
    };
    let mut signals = step("watching for children", Signals::new(&[CHILD]))?;
    step(
        "closing descriptors",
        sys::fd::close_all_but(&[socket.as_fd(), signals.as_fd()]),
    )?;
    recheck::inside(&launch.checks).map_err(|e| ("looking at the mounts", io::Error::other(e)))?;
    let bare = step(
        "looking at the capabilities",
        sys::privileges::has_no_capabilities(),
    )?;
    if !bare {
        // bubblewrap goes on where the kernel keeps it from dropping one.
        let left = io::Error::other("some are left");
        return Err(("looking at the capabilities", left));
    }
    step("becoming undumpable", sys::privileges::set_undumpable())?;
    step("setting no_new_privs", sys::seccomp::no_new_privs())?;
    if let Some(rules) = &launch.landlock {
        step("putting Landlock's rules in force", landlock(rules))?;
    }
    let listener = step("loading the seccomp filter", filter(&launch))?;
    let command = step("forking", sys::process::fork(|| start(&launch)))?;
    let listened = match &listener {
        Listener::None => sys::fd::send(socket.as_fd(), &[STARTED], &[]),
        Listener::Is(fd) => sys::fd::send(socket.as_fd(), &[STARTED], &[fd.as_fd()]),
        Listener::Failed(errno) => sys::fd::send(socket.as_fd(), &[STARTED, *errno], &[]),
    };
    // As in `tell`: if the supervisor is gone, so are we soon.
    let _ = listened;
    drop(listener);
    for signal in early {
        // It may have ended already; then it is reaped below.
        let _ = sys::process::kill(command, signal);
    }
    step(
        "watching the command",
        init(socket.as_fd(), &mut signals, command, launch.wall),
    )
}

/// Who hears what the filter asks.
enum Listener {
    /// It asks nothing.
    None,
    /// Whoever holds this.
    Is(OwnedFd),
    /// Nobody, since the kernel gave this errno.
    Failed(u8),
}

/// Loads the seccomp program.
fn filter(launch: &Launch) -> io::Result<Listener> {
    let kernels =
        |program: &[Insn]| -> Vec<SockFilter> { program.iter().map(sock_filter).collect() };
    let filter = kernels(&launch.filter);
    let error = match &launch.listen {
        Listen::No => return sys::seccomp::load(&filter).map(|()| Listener::None),
        Listen::Must | Listen::Or(_) => match sys::notify::listen(&filter) {
            Ok(listener) => return Ok(Listener::Is(listener)),
            Err(error) => error,
        },
    };
    match &launch.listen {
        // Only what is observed is lost.
        Listen::Or(other) => {
            sys::seccomp::load(&kernels(other))?;
            let errno = error.raw_os_error().and_then(|n| u8::try_from(n).ok());
            Ok(Listener::Failed(errno.unwrap_or(0)))
        }
        Listen::No | Listen::Must => Err(io::Error::new(
            error.kind(),
            format!(
                "network.allowUnixSockets, --suggest and --learn need a listener of seccomp's, which this host \
                 does not give: {error}"
            ),
        )),
    }
}

/// Every path is the sandbox's own: the mounts stand.
fn landlock(rules: &Rules) -> io::Result<()> {
    let ruleset = Ruleset::new(rules.handled, rules.scoped)?;
    for (path, rights) in &rules.beneath {
        match sys::dir::pin_down(path) {
            Ok(object) => ruleset.allow(object.as_fd(), *rights)?,
            // The way there is barred to the command as well.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {}
            Err(e) => return Err(e),
        }
    }
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    for stream in [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()] {
        // What may be written may be opened again by its name, /dev/stdout. A pipe has
        // no name, and needs no rule.
        let writable = sys::given::look_at(stream.as_raw_fd())?.1 == Opened::Writable;
        if writable && rules.streams != 0 {
            match ruleset.allow(stream, rules.streams) {
                Err(e) if sys::landlock::is_nameless(&e) => {}
                other => other?,
            }
        }
    }
    ruleset.restrict_self()
}

/// The kernel's own form of an instruction.
pub fn sock_filter(insn: &Insn) -> SockFilter {
    SockFilter {
        code: insn.code,
        jt: insn.jt,
        jf: insn.jf,
        k: insn.k,
    }
}

fn read_launch(file: OwnedFd) -> io::Result<Launch> {
    let mut content = Vec::new();
    File::from(file).read_to_end(&mut content)?;
    Launch::decode(&content).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn hand_out_listeners(socket: &OwnedFd, ports: &[u16]) -> Step<()> {
    let mut listeners = Vec::new();
    for port in [HTTP_PORT, SOCKS_PORT].iter().chain(ports) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, *port));
        listeners.push(step("listening for what goes out", listener)?);
    }
    let network = step(
        "opening the network namespace",
        sys::namespace::own_network(),
    )?;
    let mounts = step("opening the mount namespace", sys::namespace::own_mounts())?;
    let mut all: Vec<BorrowedFd<'_>> = listeners.iter().map(AsFd::as_fd).collect();
    all.extend([network.as_fd(), mounts.as_fd()]);
    step(
        "handing out the listeners",
        sys::fd::send(socket.as_fd(), &[LISTENING], &all),
    )
}

/// Waits for the word; gives the signals that came before it, which are the command's.
/// `None`: the supervisor is gone.
fn told_to_go(socket: &OwnedFd) -> io::Result<Option<Vec<i32>>> {
    let mut early = Vec::new();
    let mut message = [0u8; MESSAGE_BYTES];
    loop {
        let (length, _) = sys::fd::receive(socket.as_fd(), &mut message)?;
        match &message[..length] {
            [] => return Ok(None),
            [GO] => return Ok(Some(early)),
            [SIGNAL, number, _] => early.push(i32::from(*number)),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// The child's side of the fork: becomes the command, or says why not.
fn start(launch: &Launch) -> u8 {
    for (resource, bound) in &launch.limits {
        if let Err(e) = sys::process::bound(super::bounds::bound(*resource), *bound) {
            complain(&format!("limiting {resource:?} to {bound}: {e}"));
            return 125;
        }
    }
    if let Err(e) = sys::signal::reset(launch.pipe) {
        complain(&format!("resetting signals: {e}"));
        return 125;
    }
    launch
        .closed
        .iter()
        .for_each(|stream| sys::streams::close(*stream));
    let error = sys::process::exec(&launch.argv, &launch.environment);
    let program = launch
        .argv
        .first()
        .map_or("".into(), |p| String::from_utf8_lossy(p));
    if error.kind() == io::ErrorKind::NotFound {
        let hint = if program.contains(' ') && launch.argv.len() == 1 {
            " (to run a line of shell, use srt -c)"
        } else {
            ""
        };
        complain(&format!("{program:?}: command not found{hint}"));
        127
    } else {
        complain(&format!("{program:?}: {error}"));
        126
    }
}

fn complain(text: &str) {
    use std::io::Write;
    // A closed stderr leaves the exit status to tell.
    let _ = writeln!(io::stderr(), "srt: {text}");
}

/// Says something to the supervisor, which may be gone; then the kernel is about to end
/// us as well.
fn tell(socket: BorrowedFd<'_>, message: &[u8]) {
    let _ = sys::fd::send(socket, message, &[]);
}

/// Reaps everything, delivers signals to the command, and ends when it does.
fn init(socket: BorrowedFd<'_>, signals: &mut Signals, command: Pid, wall: u64) -> io::Result<u8> {
    // The supervisor ends a command in time, if it is not stopped itself: a command that
    // stops itself stops it, and may have left others at work.
    let late = Duration::from_secs(wall).checked_add(WALL_GRACE + BWRAP_END);
    let due = late
        .filter(|_| wall > 0)
        .and_then(|late| Instant::now().checked_add(late));
    let mut stops = Stops::default();
    let (mut told, mut child) = (false, true);
    loop {
        if child {
            while signals.take()?.is_some() {}
        }
        // Before anything that is told: it may rest on what the command is now.
        if let Some(ended) = reap(socket, command, &mut stops)? {
            let status = ended.status();
            tell(socket, &[ENDED, status]);
            return Ok(status);
        }
        if told {
            let mut message = [0u8; MESSAGE_BYTES];
            match sys::fd::receive(socket, &mut message)? {
                // The supervisor is gone: so are we, and all that is inside.
                (0, _) => return Ok(125),
                (1, _) if message[0] == SOCKET => {
                    let fresh = sys::fd::tcp_socket()?;
                    sys::fd::send(socket, &[SOCKET], &[fresh.as_fd()])?;
                }
                (3, _) if message[0] == SIGNAL => {
                    let signal = i32::from(message[1]);
                    if signal != CONTINUE || stops.now && stops.count == message[2] {
                        // The command may have ended meanwhile; it is reaped next.
                        let _ = sys::process::kill(command, signal);
                    }
                }
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
        if due.is_some_and(|due| due <= Instant::now()) {
            // With us, all ends.
            tell(socket, &[ENDED, Ended::Signalled(KILL).status()]);
            return Ok(Ended::Signalled(KILL).status());
        }
        let signals = signals.as_fd();
        let longest = due.map(|due| due.saturating_duration_since(Instant::now()));
        let [one, other] = sys::fd::wait_either(socket, Some(signals), longest)?;
        (told, child) = (one != Readable::No, other != Readable::No);
    }
}

/// How often the command was stopped, and whether it is now.
#[derive(Default)]
struct Stops {
    count: u8,
    now: bool,
}

/// Reaps what has ended; gives how the command did, if it has.
fn reap(socket: BorrowedFd<'_>, command: Pid, stops: &mut Stops) -> io::Result<Option<Ended>> {
    while let Some((pid, change)) = sys::process::changed()? {
        if pid != command {
            continue;
        }
        match change {
            Change::Ended(ended) => return Ok(Some(ended)),
            Change::Stopped => {
                stops.count = stops.count.wrapping_add(1);
                tell(socket, &[STOPPED, stops.count]);
            }
            Change::Continued => tell(socket, &[CONTINUED]),
        }
        stops.now = change == Change::Stopped;
    }
    Ok(None)
}
