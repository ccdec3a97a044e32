//! The course of a run: what the inner stage says, what signals ask, when time is over.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use super::launch::{
    CONTINUED, ENDED, FAILED, GO, LISTENING, MESSAGE_BYTES, SIGNAL, SOCKET, STARTED, STOPPED,
};
use super::plan::Plan;
use super::ready::Ready;
use super::say::say;
use super::watching::Watching;
use crate::error::{Error, While};
use crate::limits::{BWRAP_END, WALL_GRACE};
use crate::reactor::Reactor;
use crate::reactor::runs::Run;
use crate::sys;
use crate::sys::signal::{KILL, Origin, TERMINAL_STOP, TERMINATE};
use crate::sys::signalfd::Signals;

/// How far the inner stage has come.
pub(super) enum Stage {
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
pub enum Stops {
    /// Never: others wait for us as well.
    Never,
    /// Whenever the command is stopped: a shell waits for us, and gets its terminal back.
    WithCommand,
    /// When the command stops after we were told to stop. Where nobody looks on, a command
    /// must not hold up whoever waits for us.
    WhenTold,
}

/// The course of a run.
pub(super) struct Course {
    pub(super) stage: Stage,
    stops: Stops,
    /// For which time the command was last stopped.
    stopped: u8,
    /// Longest that the command may run.
    wall: Option<Duration>,
    /// When it is ended, and what ends it.
    due: Option<Instant>,
    last: i32,
    /// When bubblewrap is ended, because the stage has.
    pub(super) over: Option<Instant>,
    /// It has ended by itself.
    pub(super) noticed: bool,
}

/// What a run has besides.
pub(super) struct Around<'a> {
    pub(super) plan: &'a Plan,
    pub(super) run: Run,
    pub(super) socket: &'a OwnedFd,
    pub(super) reactor: &'a mut Reactor,
    pub(super) ready: &'a mut Ready,
    pub(super) watching: &'a mut Watching,
}

impl Course {
    pub(super) fn new(wall: Option<Duration>, stops: Stops) -> Self {
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

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.into_iter().chain(self.over).min()
    }

    /// Reads all the stage has said.
    pub(super) fn listen(
        &mut self,
        around: &mut Around<'_>,
        mut signals: Option<&mut Signals>,
    ) -> Result<(), Error> {
        let Around {
            plan,
            run,
            socket,
            reactor,
            ready,
            watching,
        } = around;
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
                    ready.make(plan, *run, passed, reactor)?;
                    sys::fd::send(socket.as_fd(), &[GO], &[]).doing("starting the command")?;
                    self.stage = Stage::Going;
                    self.due = self.wall.and_then(|wall| Instant::now().checked_add(wall));
                }
                Some([STARTED, errno @ ..]) if matches!(self.stage, Stage::Going) => {
                    // What was raised before the command was there may lie here unread.
                    if let Some(signals) = signals.as_deref_mut() {
                        self.pass_on(signals, socket).doing("passing signals on")?;
                    }
                    self.stage = Stage::Running;
                    watching.started(passed, errno, reactor)?;
                }
                Some([STOPPED, count]) => {
                    stopped = true;
                    self.stopped = *count;
                }
                Some([CONTINUED]) => stopped = false,
                Some([SOCKET]) => passed
                    .into_iter()
                    .for_each(|fd| reactor.take_inside(*run, fd)),
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
    pub(super) fn pass_on(&mut self, signals: &mut Signals, socket: &OwnedFd) -> io::Result<()> {
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
                self.send(signal, socket);
            }
        }
        Ok(())
    }

    /// Sends a signal to the command, once it is there.
    pub(super) fn send(&mut self, signal: i32, socket: &OwnedFd) {
        let byte = u8::try_from(signal).unwrap_or(0);
        // A stage that is gone needs no signal.
        let _ = sys::fd::send(socket.as_fd(), &[SIGNAL, byte, self.stopped], &[]);
    }

    /// Ends the command when its time is over: first it is asked, then it is killed.
    pub(super) fn enforce_time(&mut self, socket: &OwnedFd) {
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
        self.send(self.last, socket);
        self.due = (self.last == TERMINATE).then(|| now + WALL_GRACE);
        self.last = KILL;
    }
}
