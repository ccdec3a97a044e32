//! One loop for several runs: starts them, drives them, and says how each has ended.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use super::bubblewrap::{Started, failed, spawn};
use super::course::{Around, Course, Stage, Stops};
use super::launch::SOCKET;
use super::orphans;
use super::plan::Plan;
use super::ready::{self, Ready};
use super::report::Report;
use super::request::Request;
use super::watching::{Numbers, Watching};
use crate::error::{Error, While};
use crate::limits::DRAIN;
use crate::policy::network::Network;
use crate::reactor::Reactor;
use crate::reactor::resolver::HelperProgram;
use crate::reactor::runs::Run;
use crate::sys;
use crate::sys::signalfd::Signals;

/// Numbers of the loop that are the engine's owner's: those below.
pub const OWN: u32 = 8;

/// Numbers of the loop that each run has.
const EACH: u32 = 4;
// In that order.
const STAGE: u32 = 0;
const CHILD: u32 = 1;
const OBSERVER: u32 = 2;
const CALLS: u32 = 3;

/// What has been started, and is not served yet.
pub struct Launched {
    // Dropped before the plan, which clears up.
    started: Started,
    plan: Plan,
    published: Vec<(u16, OwnedFd)>,
}

/// Starts bubblewrap.
///
/// # Errors
/// A port that is to be published is taken, or it cannot be started.
pub fn launch(plan: Plan, request: &Request) -> Result<Launched, Error> {
    let published = ready::publish(&plan.policy.ports)?;
    let started = spawn(&plan, request)?;
    Ok(Launched {
        plan,
        started,
        published,
    })
}

/// A run that has ended.
pub struct Finished {
    /// Which.
    pub run: Run,
    /// The command's status; or why it is not known, or did not start.
    pub status: Result<u8, Error>,
    /// What was refused.
    pub report: Report,
    /// What is cleared up with it.
    pub plan: Plan,
}

/// A run.
struct One {
    // Dropped before the plan, which clears up.
    started: Started,
    plan: Plan,
    ready: Ready,
    course: Course,
    watching: Watching,
    report: Report,
    /// bubblewrap has ended.
    gone: bool,
    /// Until when what the command has sent may still reach the other side, and the status.
    draining: Option<Draining>,
}

/// The command has ended.
struct Draining {
    /// When the loop has to turn: at once for the first time, so that it takes in what is
    /// known already.
    turn: Instant,
    until: Instant,
    ending: Ending,
}

/// How a run ended: its status.
enum Ending {
    /// As the stage has told.
    Told(u8),
    /// bubblewrap was gone before it could, or did not end.
    Cut(u8),
}

/// The loop, and its runs.
pub struct Engine {
    /// The loop itself.
    pub reactor: Reactor,
    runs: BTreeMap<Run, One>,
    events: Vec<u32>,
    /// Processes that have been killed, and whose status nobody has taken yet.
    ended: Vec<Child>,
}

impl Engine {
    /// One without runs. `descriptors` is the limit on open ones, and `program` plays our own
    /// roles.
    ///
    /// # Errors
    /// The kernel gives no poll instance.
    pub fn new(network: Network, program: &Path, descriptors: u64) -> Result<Self, Error> {
        let helper = HelperProgram {
            path: program.to_owned(),
            arguments: vec!["--stage".into(), "lookup".into()],
        };
        let reactor = Reactor::new(network, helper, descriptors).doing("starting the loop")?;
        Ok(Self {
            reactor,
            runs: BTreeMap::new(),
            events: Vec::new(),
            ended: Vec::new(),
        })
    }

    /// Serves what has been started.
    ///
    /// # Errors
    /// The kernel gives no process or descriptor.
    pub fn adopt(
        &mut self,
        launched: Launched,
        report: Report,
        stops: Stops,
    ) -> Result<Run, Error> {
        let Launched {
            plan,
            mut started,
            published,
        } = launched;
        let free = (0..).find(|n| !self.runs.contains_key(&Run(*n)));
        let run = Run(free.unwrap_or_default());
        let base = base(run);
        let reactor = &mut self.reactor;
        reactor
            .watch(started.socket.as_fd(), base + STAGE)
            .doing("watching the inner stage")?;
        reactor
            .watch(started.pidfd.as_fd(), base + CHILD)
            .doing("watching bubblewrap")?;
        let numbers = Numbers {
            observer: base + OBSERVER,
            calls: base + CALLS,
        };
        let watching = Watching::start(&plan, &started, numbers, reactor)?;
        let ready = Ready::new(&plan, published, started.info.take());
        let wall = plan.policy.limits.wall_seconds.map(Duration::from_secs);
        let wall = wall.into_iter().chain(plan.longest).min();
        let one = One {
            plan,
            started,
            ready,
            course: Course::new(wall, stops),
            watching,
            report,
            gone: false,
            draining: None,
        };
        self.runs.insert(run, one);
        Ok(run)
    }

    /// How many runs there are.
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The report of a run.
    pub fn report(&mut self, run: Run) -> Option<&mut Report> {
        self.runs.get_mut(&run).map(|one| &mut one.report)
    }

    /// The runs.
    pub fn runs(&self) -> impl Iterator<Item = Run> {
        self.runs.keys().copied()
    }

    /// Sends a signal to the command of a run.
    pub fn signal(&mut self, run: Run, signal: i32) {
        if let Some(one) = self.runs.get_mut(&run) {
            one.course.send(signal, &one.started.socket);
        }
    }

    /// Ends every run at once.
    pub fn end_all(&mut self) {
        for run in self.runs.keys().copied().collect::<Vec<_>>() {
            let ended = Error::Stage("the sandbox was ended before its command".into());
            self.finish(run, Err(ended));
        }
        for child in &mut self.ended {
            let _ = child.wait();
        }
    }

    /// One turn of the loop, until `until` at most; `own` takes the owner's numbers that are
    /// readable. Signals go to the only run, if there is one.
    ///
    /// # Errors
    /// The loop is broken.
    pub fn turn(
        &mut self,
        until: Option<Instant>,
        mut signals: Option<&mut Signals>,
        own: &mut Vec<u32>,
    ) -> Result<Vec<Finished>, Error> {
        let due = self.runs.values().filter_map(One::next_due);
        let until = due.chain(until).min();
        let mut events = std::mem::take(&mut self.events);
        self.reactor
            .turn(until, &mut events)
            .doing("waiting for events")?;
        events.sort_unstable();
        self.ended
            .retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        own.extend(events.iter().filter(|number| **number < OWN));
        let mut finished = Vec::new();
        let all: Vec<Run> = self.runs.keys().copied().collect();
        for run in all {
            let Some(one) = self.runs.get_mut(&run) else {
                continue;
            };
            let mine = events.iter().filter_map(|n| n.checked_sub(base(run)));
            let mine: Vec<u32> = mine.filter(|number| *number < EACH).collect();
            let signals = signals.as_deref_mut();
            match one.drive(run, &mine, &mut self.reactor, signals) {
                Ok(None) => {}
                Ok(Some(ending)) => finished.extend(self.finish(run, Ok(ending))),
                Err(error) => finished.extend(self.finish(run, Err(error))),
            }
        }
        events.clear();
        self.events = events;
        Ok(finished)
    }

    /// Passes on to the only run what has been raised.
    ///
    /// # Errors
    /// The signals cannot be read.
    pub fn pass_on(&mut self, signals: &mut Signals) -> Result<(), Error> {
        match self.runs.values_mut().next() {
            Some(one) => one
                .course
                .pass_on(signals, &one.started.socket)
                .doing("passing signals on"),
            None => Ok(()),
        }
    }

    /// A run is over: nothing of it is left but what it has to tell.
    fn finish(&mut self, run: Run, ending: Result<Ending, Error>) -> Option<Finished> {
        let mut one = self.runs.remove(&run)?;
        if ending.is_ok() {
            one.watching.end(run, &mut self.reactor, &mut one.report);
        }
        self.reactor.end(run);
        let told = matches!(ending, Ok(Ending::Told(_)));
        let One {
            plan,
            mut started,
            mut ready,
            watching,
            report,
            ..
        } = one;
        if !told {
            // It may have ended, or ends by itself with the rest.
            let _ = started.child.kill();
            let _ = started.child.wait();
        }
        started.over = true;
        self.ended.extend(ready.end());
        drop((started, watching));
        let mut status = ending.map(|ending| match ending {
            Ending::Told(status) | Ending::Cut(status) => status,
        });
        if !told {
            // Nobody has said that all is over inside.
            let ended = orphans::end(plan.temporary.mark()).doing("ending what was left running");
            if let (true, Err(error)) = (status.is_ok(), ended) {
                status = Err(error);
            }
        }
        Some(Finished {
            run,
            status,
            report,
            plan,
        })
    }
}

/// The first of a run's numbers in the loop.
fn base(run: Run) -> u32 {
    OWN + EACH * run.0
}

impl One {
    fn next_due(&self) -> Option<Instant> {
        let draining = self.draining.as_ref().map(|draining| draining.turn);
        let course = self.course.next_due();
        draining
            .into_iter()
            .chain(course)
            .chain(self.watching.next_due())
            .min()
    }

    fn around<'a>(
        &'a mut self,
        run: Run,
        reactor: &'a mut Reactor,
    ) -> (&'a mut Course, Around<'a>) {
        let around = Around {
            plan: &self.plan,
            run,
            socket: &self.started.socket,
            reactor,
            ready: &mut self.ready,
            watching: &mut self.watching,
        };
        (&mut self.course, around)
    }

    /// Does what the events ask for; how the run has ended, if it has.
    fn drive(
        &mut self,
        run: Run,
        events: &[u32],
        reactor: &mut Reactor,
        signals: Option<&mut Signals>,
    ) -> Result<Option<Ending>, Error> {
        if let Some(mut draining) = self.draining.take() {
            self.watching.refusals(run, reactor, &mut self.report);
            if reactor.owes_upstream(run) && Instant::now() < draining.until {
                draining.turn = draining.until;
                self.draining = Some(draining);
                return Ok(None);
            }
            return Ok(Some(draining.ending));
        }
        let mut signals = signals;
        for which in events {
            match *which {
                STAGE => {
                    let (course, mut around) = self.around(run, reactor);
                    course.listen(&mut around, signals.as_deref_mut())?;
                }
                CHILD => self.gone = true,
                OBSERVER => self.watching.says_something(),
                _ => self.watching.answer_alone()?,
            }
        }
        self.watching.hear(reactor, &mut self.report)?;
        self.watching.refusals(run, reactor, &mut self.report);
        self.course.enforce_time(&self.started.socket);
        if self.course.over.is_some_and(|over| over <= Instant::now()) {
            // All is over inside, and bubblewrap has not noticed. It may end meanwhile.
            let _ = self.started.child.kill();
            self.course.over = None;
            self.course.noticed = false;
        }
        while reactor.wants_inside(run) {
            if sys::fd::send(self.started.socket.as_fd(), &[SOCKET], &[]).is_err() {
                reactor.get_no_inside(run);
            }
        }
        if !self.gone {
            return Ok(None);
        }
        let ended = self.started.child.wait().doing("waiting for bubblewrap")?;
        // Its last words may still lie in the socket.
        let (course, mut around) = self.around(run, reactor);
        course.listen(&mut around, signals)?;
        reactor
            .unwatch(self.started.pidfd.as_fd())
            .doing("draining")?;
        reactor
            .unwatch(self.started.socket.as_fd())
            .doing("draining")?;
        reactor.stop_listening(run);
        let ending = match std::mem::replace(&mut self.course.stage, Stage::Starting) {
            Stage::Ended(status) if self.course.noticed => Ending::Told(status),
            Stage::Ended(status) => Ending::Cut(status),
            Stage::Failed(text) => return Err(Error::Stage(text)),
            Stage::Starting => {
                return Err(failed(&mut self.started.words, &self.started.program));
            }
            // bubblewrap or the stage was killed from outside.
            Stage::Going | Stage::Running => {
                let signal = ended.signal().map(|n| 128 + n);
                let status = signal.or(ended.code()).unwrap_or(255);
                Ending::Cut(u8::try_from(status).unwrap_or(255))
            }
        };
        let now = Instant::now();
        self.draining = Some(Draining {
            turn: now,
            until: now + DRAIN,
            ending,
        });
        Ok(None)
    }
}
