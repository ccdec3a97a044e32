//! The supervisor on Linux: starts bubblewrap, serves the proxy, passes signals on,
//! and ends with the command's status.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::bubblewrap::{Started, failed, spawn};
use super::course::{Course, Stage, Stops};
use super::launch::SOCKET;
use super::orphans;
use super::plan::Plan;
use super::ready::{self, Ready};
use super::report::{Report, Subject};
use super::watching::{self, Watching};
use crate::args::Run;
use crate::error::{Error, While};
use crate::limits::DRAIN;
use crate::reactor::Reactor;
use crate::reactor::resolver::HelperProgram;
use crate::sys;
use crate::sys::signal::FORWARDED;
use crate::sys::signalfd::Signals;
use crate::sys::terminal::Terminal;

// Numbers of the supervisor's own descriptors in the loop.
const SIGNALS: u32 = 0;
const STAGE: u32 = 1;
const CHILD: u32 = 2;

/// Runs the command of `plan`; gives its exit status.
///
/// # Errors
/// The sandbox did not come up, or the loop broke: the command's end is not known.
pub fn run(mut plan: Plan, run: &Run) -> Result<u8, Error> {
    let terminal = Terminal::open();
    let foreground = terminal.as_ref().is_some_and(Terminal::is_ours);
    let shown =
        io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal();
    let stops = match (&terminal, shown) {
        (Some(_), true) => Stops::WithCommand,
        _ => Stops::WhenTold,
    };
    let subject = Subject {
        run: plan.temporary.run(),
        settings: &plan.settings,
        ignored: &plan.ignored,
        guarantees: &plan.guarantees,
        log: plan.log.take(),
    };
    let mut report = Report::new(subject, run);
    let ending = drive(&plan, &mut report, stops);
    if !matches!(ending, Ok(Ending::Told(_))) {
        // Nobody has said that all is over inside.
        let ended = orphans::end(plan.temporary.mark()).doing("ending what was left running");
        ending.as_ref().map_or(Ok(()), |_| ended)?;
    }
    if let Some(terminal) = terminal.filter(|_| foreground) {
        // One that has hung up has no foreground.
        let _ = terminal.take_back();
    }
    report.end();
    ending.map(|ending| match ending {
        Ending::Told(status) | Ending::Cut(status) => status,
    })
}

/// From the start of bubblewrap to its end.
fn drive(plan: &Plan, report: &mut Report, stops: Stops) -> Result<Ending, Error> {
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
    let mut watching = Watching::start(plan, &started, &mut reactor)?;
    let mut ready = Ready::new(plan, published);
    let wall = plan.policy.limits.wall_seconds.map(Duration::from_secs);
    let mut course = Course::new(wall, stops);
    let mut parts = Parts {
        signals: &mut signals,
        reactor: &mut reactor,
        ready: &mut ready,
        course: &mut course,
        watching: &mut watching,
        report,
    };
    supervise(started, &mut parts)
}

/// What a run is driven by.
struct Parts<'a, 'plan> {
    signals: &'a mut Signals,
    reactor: &'a mut Reactor,
    ready: &'a mut Ready<'plan>,
    course: &'a mut Course,
    watching: &'a mut Watching,
    report: &'a mut Report,
}

/// How a run ended: its status.
enum Ending {
    /// As the stage has told.
    Told(u8),
    /// bubblewrap was gone before it could, or did not end.
    Cut(u8),
}

/// Drives the loop until bubblewrap has ended.
fn supervise(mut started: Started, parts: &mut Parts<'_, '_>) -> Result<Ending, Error> {
    let Parts {
        signals,
        reactor,
        ready,
        course,
        watching,
        report,
    } = parts;
    let mut events = Vec::new();
    let mut gone = false;
    while !gone {
        let until = course.next_due().into_iter().chain(watching.next_due());
        reactor
            .turn(until.min(), &mut events)
            .doing("waiting for events")?;
        events.sort_unstable();
        for which in events.drain(..) {
            match which {
                SIGNALS => course
                    .pass_on(signals, &started.socket)
                    .doing("passing signals on")?,
                STAGE => course.listen(&started.socket, reactor, ready, watching, signals)?,
                CHILD => gone = true,
                watching::OBSERVER => watching.says_something(),
                watching::CALLS => watching.answer_alone()?,
                _ => {}
            }
        }
        watching.hear(reactor, report)?;
        watching.refusals(reactor, report);
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
    course.listen(&started.socket, reactor, ready, watching, signals)?;
    drain(reactor, &started)?;
    watching.end(reactor, report);
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
