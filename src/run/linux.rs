//! The supervisor on Linux: starts bubblewrap, serves the proxy, passes signals on,
//! and ends with the command's status.

use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::bubblewrap::{Started, failed, spawn};
use super::launch::{
    CONTINUED, ENDED, FAILED, GO, LISTENING, MESSAGE_BYTES, SIGNAL, SOCKET, STARTED, STOPPED,
};
use super::orphans;
use super::plan::Plan;
use super::ready::{self, Ready};
use crate::args::Verbosity;
use crate::error::{Error, While};
use crate::limits::{BWRAP_END, DRAIN, WALL_GRACE};
use crate::reactor::Reactor;
use crate::reactor::resolver::HelperProgram;
use crate::sys;
use crate::sys::signal::{FORWARDED, KILL, Origin, Signals, TERMINAL_STOP, TERMINATE};
use crate::sys::terminal::Terminal;

// Numbers of the supervisor's own descriptors in the loop.
const SIGNALS: u32 = 0;
const STAGE: u32 = 1;
const CHILD: u32 = 2;

/// Runs the command of `plan`; gives its exit status.
///
/// # Errors
/// The sandbox did not come up, or the loop broke: the command's end is not known.
pub fn run(plan: Plan, verbosity: Verbosity) -> Result<u8, Error> {
    let terminal = Terminal::open();
    let foreground = terminal.as_ref().is_some_and(Terminal::is_ours);
    let shown =
        io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal();
    let stops = match (&terminal, shown) {
        (Some(_), true) => Stops::WithCommand,
        _ => Stops::WhenTold,
    };
    let ending = drive(&plan, verbosity, stops);
    if !matches!(ending, Ok(Ending::Told(_))) {
        // Nobody has said that all is over inside.
        let ended = orphans::end(plan.temporary.run()).doing("ending what was left running");
        ending.as_ref().map_or(Ok(()), |_| ended)?;
    }
    if let Some(terminal) = terminal.filter(|_| foreground) {
        // One that has hung up has no foreground.
        let _ = terminal.take_back();
    }
    ending.map(|ending| match ending {
        Ending::Told(status) | Ending::Cut(status) => status,
    })
}

/// From the start of bubblewrap to its end.
fn drive(plan: &Plan, verbosity: Verbosity, stops: Stops) -> Result<Ending, Error> {
    let mut signals = Signals::new(&FORWARDED).doing("blocking signals")?;
    let published = ready::publish(&plan.policy.ports)?;
    let started = spawn(plan)?;
    let descriptors = sys::host::raise_descriptor_limit().doing("raising the descriptor limit")?;
    let helper = HelperProgram {
        path: PathBuf::from("/proc/self/exe"),
        arguments: vec!["--stage".into(), "lookup".into()],
    };
    let mut reactor = Reactor::new(plan.policy.network.clone(), helper, descriptors)
        .doing("starting the loop")?;
    reactor
        .watch(signals.as_fd(), SIGNALS)
        .doing("watching signals")?;
    reactor
        .watch(started.socket.as_fd(), STAGE)
        .doing("watching the inner stage")?;
    reactor
        .watch(started.pidfd.as_fd(), CHILD)
        .doing("watching bubblewrap")?;
    let mut ready = Ready::new(plan, published);
    let wall = plan.policy.limits.wall_seconds.map(Duration::from_secs);
    let mut course = Course::new(wall, stops);
    let ending = supervise(started, &mut signals, &mut reactor, &mut ready, &mut course)?;
    let denied = reactor.violations();
    if verbosity == Verbosity::Debug || io::stderr().is_terminal() {
        for violation in denied.iter() {
            say(&violation.to_string());
        }
        if denied.dropped() > 0 {
            say(&format!("{} more refusals were not kept", denied.dropped()));
        }
    }
    Ok(ending)
}

/// How a run ended: its status.
enum Ending {
    /// As the stage has told.
    Told(u8),
    /// bubblewrap was gone before it could, or did not end.
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

/// Drives the loop until bubblewrap has ended.
fn supervise(
    mut started: Started,
    signals: &mut Signals,
    reactor: &mut Reactor,
    ready: &mut Ready<'_>,
    course: &mut Course,
) -> Result<Ending, Error> {
    let mut events = Vec::new();
    let mut gone = false;
    while !gone {
        reactor
            .turn(course.next_due(), &mut events)
            .doing("waiting for events")?;
        events.sort_unstable();
        for which in events.drain(..) {
            match which {
                SIGNALS => course
                    .pass_on(signals, &started.socket)
                    .doing("passing signals on")?,
                STAGE => course.listen(&started.socket, reactor, ready)?,
                CHILD => gone = true,
                _ => {}
            }
        }
        course.enforce_time(&started.socket);
        if course.over.is_some_and(|over| over <= Instant::now()) {
            // All is over inside, and bubblewrap has not noticed. It may end meanwhile.
            let _ = started.child.kill();
            course.over = None;
            course.noticed = false;
        }
        while reactor.wants_inside() {
            // A stage that is gone needs no connections.
            let _ = sys::fd::send(started.socket.as_fd(), &[SOCKET], &[]);
        }
    }
    let ended = started.child.wait().doing("waiting for bubblewrap")?;
    // Its last words may still lie in the socket.
    course.listen(&started.socket, reactor, ready)?;
    drain(reactor, &started)?;
    match std::mem::replace(&mut course.stage, Stage::Starting) {
        Stage::Ended(status) if course.noticed => Ok(Ending::Told(status)),
        Stage::Ended(status) => Ok(Ending::Cut(status)),
        Stage::Failed(text) => Err(Error::Stage(text)),
        Stage::Starting => Err(failed(&mut started.words, &started.program)),
        // bubblewrap or the stage was killed from outside.
        Stage::Going | Stage::Running => {
            use std::os::unix::process::ExitStatusExt;
            let signal = ended.signal().map(|n| 128 + n);
            let status = signal.or(ended.code()).unwrap_or(255);
            Ok(Ending::Cut(u8::try_from(status).unwrap_or(255)))
        }
    }
}

/// How far the inner stage has come.
enum Stage {
    /// Not heard of yet.
    Starting,
    /// Told to start the command.
    Going,
    /// The command exists.
    Running,
    /// A step of its own failed.
    Failed(String),
    /// The command has ended.
    Ended(u8),
}

/// When `srt` stops itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stops {
    /// Whenever the command is stopped: a shell waits for us, and gets its terminal back.
    WithCommand,
    /// When the command stops after we were told to stop. Where nobody looks on, a command
    /// must not hold up whoever waits for us.
    WhenTold,
}

/// The course of a run.
struct Course {
    stage: Stage,
    stops: Stops,
    /// For which time the command was last stopped.
    stopped: u8,
    /// Longest that the command may run.
    wall: Option<Duration>,
    /// When it is ended, and what ends it.
    due: Option<Instant>,
    last: i32,
    /// When bubblewrap is ended, because the stage has.
    over: Option<Instant>,
    /// It has ended by itself.
    noticed: bool,
}

impl Course {
    fn new(wall: Option<Duration>, stops: Stops) -> Self {
        Self {
            stage: Stage::Starting,
            stops,
            stopped: 0,
            wall,
            due: None,
            last: TERMINATE,
            over: None,
            noticed: true,
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.due.into_iter().chain(self.over).min()
    }

    /// Reads all the stage has said.
    fn listen(
        &mut self,
        socket: &OwnedFd,
        reactor: &mut Reactor,
        ready: &mut Ready<'_>,
    ) -> Result<(), Error> {
        let mut buffer = [0u8; MESSAGE_BYTES];
        let mut stopped = false;
        loop {
            let (length, passed) = match sys::fd::receive(socket.as_fd(), &mut buffer) {
                Ok(message) => message,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                // The other side closed with something of ours unread: as good as its end.
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => break,
                Err(source) => {
                    return Err(Error::Io {
                        doing: "hearing the inner stage",
                        source,
                    });
                }
            };
            match buffer.get(..length) {
                None | Some([]) => {
                    self.over.get_or_insert_with(|| Instant::now() + BWRAP_END);
                    break;
                }
                Some([LISTENING]) if matches!(self.stage, Stage::Starting) => {
                    ready.make(passed, reactor)?;
                    sys::fd::send(socket.as_fd(), &[GO], &[]).doing("starting the command")?;
                    self.stage = Stage::Going;
                    self.due = self.wall.and_then(|wall| Instant::now().checked_add(wall));
                }
                Some([STARTED]) if matches!(self.stage, Stage::Going) => {
                    self.stage = Stage::Running;
                }
                Some([STOPPED, count]) => {
                    stopped = true;
                    self.stopped = *count;
                }
                Some([CONTINUED]) => stopped = false,
                Some([SOCKET]) => passed.into_iter().for_each(|fd| reactor.take_inside(fd)),
                Some([ENDED, status]) => {
                    self.stage = Stage::Ended(*status);
                    self.due = None;
                }
                Some([FAILED, text @ ..]) => {
                    self.stage = Stage::Failed(String::from_utf8_lossy(text).into_owned());
                }
                Some(_) => return Err(Error::Stage("a message that is not one of ours".into())),
            }
        }
        if stopped && matches!(self.stage, Stage::Running) && self.stops == Stops::WithCommand {
            sys::signal::stop_self().doing("stopping")?;
        }
        Ok(())
    }

    /// Passes signals on to the command. What a key of the terminal raised it has had
    /// already, once it is there; when it stops, we are told.
    fn pass_on(&mut self, signals: &mut Signals, socket: &OwnedFd) -> io::Result<()> {
        while let Some((signal, origin)) = signals.take()? {
            if signal == TERMINAL_STOP {
                self.stops = Stops::WithCommand;
                if matches!(self.stage, Stage::Starting) {
                    // There is nothing to stop but us.
                    sys::signal::stop_self()?;
                    continue;
                }
            }
            // Whether the command was there when the key was pressed is not known until
            // it is heard of: an interrupt that comes twice is better than one that is
            // lost, but to stop a second time is not.
            let doubtful = !matches!(self.stage, Stage::Running) && signal != TERMINAL_STOP;
            if origin == Origin::Process || doubtful {
                let byte = u8::try_from(signal).unwrap_or(0);
                // A stage that is gone needs no signal.
                let _ = sys::fd::send(socket.as_fd(), &[SIGNAL, byte, self.stopped], &[]);
            }
        }
        Ok(())
    }

    /// Ends the command when its time is over: first it is asked, then it is killed.
    fn enforce_time(&mut self, socket: &OwnedFd) {
        let now = Instant::now();
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        if let (TERMINATE, Some(wall)) = (self.last, self.wall) {
            say(&format!(
                "limits.wallSeconds: {} s are over",
                wall.as_secs()
            ));
        }
        // A stage that is gone needs no signal.
        let _ = sys::fd::send(
            socket.as_fd(),
            &[SIGNAL, self.last as u8, self.stopped],
            &[],
        );
        self.due = (self.last == TERMINATE).then(|| now + WALL_GRACE);
        self.last = KILL;
    }
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
