//! The supervisor's dealings with its observer, and with refusals that wait until it is
//! known who asked.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

use super::bubblewrap::Started;
use super::launch::Listen;
use super::plan::Plan;
use super::report::Report;
use super::witness::{Heard, Witness};
use crate::error::{Error, While};
use crate::limits::{HEARD_PER_TURN, OBSERVER_END};
use crate::reactor::runs::Run;
use crate::reactor::token::Slot;
use crate::reactor::{Reactor, Refusal};
use crate::sys;
use crate::violation::Process;

/// Whether the observer has been lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    /// No.
    No,
    /// Yes, and that has been told.
    Told,
    /// Yes, and its listener is watched here.
    Replaced,
}

/// Numbers in the loop.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// Of the observer's socket.
    pub observer: u32,
    /// Of the listener, once the observer is gone.
    pub calls: u32,
}

/// The observer, if there is one, and what waits for it.
pub struct Watching {
    numbers: Numbers,
    witness: Option<Witness>,
    /// Refusals whose owner was asked for.
    waiting: Vec<Refusal>,
    lost: Lost,
    /// The observer may have said more than was taken in.
    more: bool,
}

impl Watching {
    /// Starts an observer, if the filter will ask one.
    ///
    /// # Errors
    /// The kernel gives no process or descriptor.
    pub fn start(
        plan: &Plan,
        started: &Started,
        numbers: Numbers,
        reactor: &mut Reactor,
    ) -> Result<Self, Error> {
        const DOING: &str = "starting the observer";
        let mut witness = None;
        if plan.launch.listen != Listen::No {
            let one =
                Witness::start(&plan.program, &plan.policy, started.child.id()).doing(DOING)?;
            reactor.watch(one.socket(), numbers.observer).doing(DOING)?;
            witness = Some(one);
        }
        Ok(Self {
            numbers,
            witness,
            waiting: Vec::new(),
            lost: Lost::No,
            more: false,
        })
    }

    /// The command exists, with this listener; or without, for this errno.
    ///
    /// # Errors
    /// There is nobody to listen, and the observer is gone.
    pub fn started(
        &mut self,
        passed: Vec<OwnedFd>,
        errno: &[u8],
        reactor: &mut Reactor,
    ) -> Result<(), Error> {
        if let [errno] = errno {
            let error = io::Error::from_raw_os_error(i32::from(*errno));
            super::say::say(&format!(
                "what the command tries on files is not observed on this host: {error}"
            ));
        }
        if let (Some(witness), Some(listener)) = (&mut self.witness, passed.into_iter().next()) {
            witness.give(listener);
        }
        self.look_after(reactor)
    }

    /// When a refusal has waited long enough.
    pub fn next_due(&self) -> Option<Instant> {
        let now = self.more.then(Instant::now);
        now.or_else(|| self.witness.as_ref()?.next_due())
    }

    /// The observer says something.
    pub fn says_something(&mut self) {
        self.more = true;
    }

    /// Takes in some of what the observer has said: there is other work to do.
    ///
    /// # Errors
    /// The loop is broken.
    pub fn hear(&mut self, reactor: &mut Reactor, report: &mut Report) -> Result<(), Error> {
        let mut taken = 0;
        while self.more && taken < HEARD_PER_TURN {
            match self.witness.as_mut().and_then(Witness::hear) {
                Some(heard) => self.take_in(heard, reactor, report),
                None => self.more = false,
            }
            taken += 1;
        }
        self.look_after(reactor)
    }

    fn take_in(&mut self, heard: Heard, reactor: &mut Reactor, report: &mut Report) {
        match heard {
            Heard::Owner(number, process) => {
                let slot = self.witness.as_mut().and_then(|w| w.take(number));
                if let Some(slot) = slot {
                    self.settle(slot, process, reactor, report);
                }
            }
            Heard::Attempt {
                kind,
                action,
                rule,
                target,
                process,
            } => report.attempt(kind, action, rule, &target, process),
        }
    }

    /// Takes over from an observer that is gone: whoever waits for it must go on.
    fn look_after(&mut self, reactor: &mut Reactor) -> Result<(), Error> {
        let Some(witness) = &self.witness else {
            return Ok(());
        };
        if !witness.is_gone() {
            return Ok(());
        }
        const DOING: &str = "doing without the observer";
        if self.lost == Lost::No {
            super::say::say("the observer is gone: the rest of the run is not observed");
            // What has ended is readable for ever.
            let _ = reactor.unwatch(witness.socket());
            self.lost = Lost::Told;
        }
        // It may have been gone before there was a listener.
        if let (Lost::Told, Some(listener)) = (self.lost, witness.listener()) {
            reactor.watch(listener, self.numbers.calls).doing(DOING)?;
            witness.answer_what_was_left().doing(DOING)?;
            self.lost = Lost::Replaced;
        }
        Ok(())
    }

    /// Answers calls in the observer's place, all that wait.
    ///
    /// # Errors
    /// The listener is broken.
    pub fn answer_alone(&mut self) -> Result<(), Error> {
        let Some(witness) = &self.witness else {
            return Ok(());
        };
        while witness.listener().is_some_and(sys::notify::has_calls) {
            witness
                .answer_alone()
                .doing("answering in the observer's place")?;
        }
        Ok(())
    }

    /// Takes in what the proxy has refused since, and lets those have their answer who
    /// have waited long enough.
    pub fn refusals(&mut self, run: Run, reactor: &mut Reactor, report: &mut Report) {
        for refusal in reactor.take_refusals(run) {
            let asked = match (&mut self.witness, refusal.client) {
                (Some(witness), Some(ports)) => witness.ask(refusal.slot, ports),
                _ => false,
            };
            if asked {
                self.waiting.push(refusal);
            } else {
                report.refused(refusal, None, reactor);
            }
        }
        for (name, reason) in reactor.take_unnamed(run) {
            report.name(name, &reason);
        }
        let overdue = self.witness.as_mut().map(Witness::overdue);
        for slot in overdue.into_iter().flatten() {
            self.settle(slot, None, reactor, report);
        }
    }

    fn settle(
        &mut self,
        slot: Slot,
        process: Option<Process>,
        reactor: &mut Reactor,
        report: &mut Report,
    ) {
        if let Some(at) = self.waiting.iter().position(|r| r.slot == slot) {
            report.refused(self.waiting.swap_remove(at), process, reactor);
        }
    }

    /// The run is over: hears the observer to its end, and tells what is left.
    pub fn end(&mut self, run: Run, reactor: &mut Reactor, report: &mut Report) {
        self.refusals(run, reactor, report);
        if let Some(witness) = &self.witness {
            witness.finish();
        }
        let until = Instant::now() + OBSERVER_END;
        while self.witness.as_ref().is_some_and(|w| w.wait(until)) {
            while let Some(heard) = self.witness.as_mut().and_then(Witness::hear) {
                self.take_in(heard, reactor, report);
            }
        }
        for refusal in self.waiting.drain(..) {
            report.refused(refusal, None, reactor);
        }
    }
}
