//! The course of a run on macOS: the command shares our process group and our terminal,
//! so what a key raises reaches both.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use super::say::say;
use crate::error::{Error, While};
use crate::limits::WALL_GRACE;
use crate::sys;
use crate::sys::caught::Caught;
use crate::sys::process::{Change, Ended, Pid};
use crate::sys::signal::{CHILD, CONTINUE, KEYS, KILL, TERMINAL_STOP, TERMINATE};
use crate::sys::terminal::Terminal;

/// The course of a run.
pub(super) struct Course {
    child: Option<Pid>,
    /// Signals that are to be passed on.
    raised: Vec<i32>,
    terminal: Option<Terminal>,
    foreground: bool,
    /// Whether a shell waits for us, which gets its terminal back when the command stops.
    shown: bool,
    wall: Option<Duration>,
    due: Option<Instant>,
    /// What ends the command when its time is over.
    last: i32,
}

impl Course {
    /// One that has not begun, with the longest that it may take, in seconds.
    pub(super) fn new(wall: Option<u64>) -> Self {
        let terminal = Terminal::open();
        Self {
            child: None,
            raised: Vec::new(),
            foreground: terminal.as_ref().is_some_and(Terminal::is_ours),
            terminal,
            shown: io::stdin().is_terminal()
                || io::stdout().is_terminal()
                || io::stderr().is_terminal(),
            wall: wall.map(Duration::from_secs),
            due: None,
            last: TERMINATE,
        }
    }

    /// The command has been started.
    pub(super) fn begin(&mut self, child: Pid) {
        self.child = Some(child);
        self.due = self.wall.and_then(|wall| Instant::now().checked_add(wall));
    }

    /// When there is something to do.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes what has been raised since. Who raised it is not told here: what keys raise,
    /// while we have the terminal's foreground, the command has had as well, once it is
    /// there; before, an interrupt that comes twice is better than one that is lost.
    pub(super) fn note(&mut self, signals: &mut Caught) -> Result<(), Error> {
        while let Some(signal) = signals.take().doing("reading signals")? {
            let ours = self.terminal.as_ref().is_some_and(Terminal::is_ours);
            let had = self.child.is_some() && ours && KEYS.contains(&signal);
            match (signal, self.child) {
                (CHILD, _) => {}
                // There is nothing to stop but us.
                (TERMINAL_STOP, None) => sys::signal::stop_self().doing("stopping")?,
                _ if had => {}
                _ => self.raised.push(signal),
            }
        }
        Ok(())
    }

    /// Passes on what was raised.
    pub(super) fn pass_on(&mut self) {
        for signal in self.raised.drain(..) {
            if let Some(child) = self.child {
                // One that has ended needs none.
                let _ = sys::process::kill(child, signal);
            }
        }
    }

    /// Looks after the command; how it ended, if it has.
    pub(super) fn reap(&mut self) -> Result<Option<Ended>, Error> {
        let Some(child) = self.child else {
            return Ok(None);
        };
        const DOING: &str = "waiting for the command";
        while let Some((_, change)) = sys::process::changed_of(child).doing(DOING)? {
            match change {
                Change::Ended(ended) => return Ok(Some(ended)),
                Change::Stopped if self.shown => {
                    sys::signal::stop_self().doing("stopping")?;
                    // Whoever continued us alone means the command.
                    let _ = sys::process::kill(child, CONTINUE);
                }
                Change::Stopped | Change::Continued => {}
            }
        }
        Ok(None)
    }

    /// Ends the command when its time is over: first it is asked, then it is killed.
    pub(super) fn enforce_time(&mut self) {
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
        if let Some(child) = self.child {
            let _ = sys::process::kill(child, self.last);
            if self.last == KILL {
                return self.due = None;
            }
            // Stopped, it would not hear of it.
            let _ = sys::process::kill(child, CONTINUE);
        }
        self.due = Some(now + WALL_GRACE);
        self.last = KILL;
    }

    /// A shell inside that had the terminal's foreground leaves it to nobody.
    pub(super) fn take_terminal_back(&self) {
        if let Some(terminal) = self.terminal.as_ref().filter(|_| self.foreground) {
            // One that has hung up has no foreground.
            let _ = terminal.take_back();
        }
    }
}
