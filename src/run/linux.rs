//! The supervisor on Linux: starts bubblewrap, serves the proxy, passes signals on,
//! and ends with the command's status.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use super::control::{Control, Listening, Watched};
use super::course::Stops;
use super::engine::{self, Engine};
use super::plan::Plan;
use super::report::{Report, Subject};
use super::request::Request;
use crate::error::{Error, While};
use crate::sys;
use crate::sys::signal::FORWARDED;
use crate::sys::signalfd::Signals;
use crate::sys::terminal::Terminal;

// Numbers of our own descriptors in the loop.
const SIGNALS: u32 = 0;
const CONTROL: u32 = 1;

const WATCHING: &str = "watching the control descriptor";

/// Runs the command of `plan` in this process's place; gives its exit status.
///
/// # Errors
/// The sandbox did not come up, or the loop broke: the command's end is not known.
pub fn run(mut plan: Plan, request: &Request) -> Result<u8, Error> {
    let terminal = Terminal::open();
    let foreground = terminal.as_ref().is_some_and(Terminal::is_ours);
    let shown =
        io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal();
    let stops = match (&terminal, shown) {
        (Some(_), true) => Stops::WithCommand,
        _ => Stops::WhenTold,
    };
    let mut report = Report::new(Subject::of(&mut plan), request);
    let mut control = match &request.control {
        Some(fd) => {
            report.keep_fresh();
            let (live, rules) = (plan.policy.live.clone(), plan.policy.network.clone());
            Some(Control::open(
                fd.as_fd(),
                live,
                rules,
                plan.temporary.run(),
            )?)
        }
        None => None,
    };
    let mut signals = Signals::new(&FORWARDED).doing("blocking signals")?;
    let network = plan.policy.network.clone();
    let reserved = plan.policy.capture.descriptors();
    let launched = engine::launch(plan, request)?;
    let descriptors = sys::host::raise_descriptor_limit().doing("raising the descriptor limit")?;
    let mut engine = Engine::new(
        network,
        &request.program,
        descriptors.saturating_sub(reserved),
    )?;
    engine
        .reactor
        .watch(signals.as_fd(), SIGNALS)
        .doing("watching signals")?;
    let run = engine.adopt(launched, report, stops)?;
    if let Some(some) = &mut control {
        // Rules that lie there already hold for the command's first connection.
        let watched = some.watch(CONTROL, &mut engine.reactor)?;
        if some.hear(&mut engine.reactor) == Listening::Over && watched == Watched::Yes {
            engine.reactor.unwatch(some.as_fd()).doing(WATCHING)?;
        }
    }
    let mut own = Vec::new();
    let mut finished = loop {
        let finished = engine.turn(None, Some(&mut signals), &mut own)?;
        if own.contains(&SIGNALS) {
            engine.pass_on(&mut signals)?;
        }
        if let Some(some) = &mut control {
            if own.contains(&CONTROL) {
                some.flush();
                if some.hear(&mut engine.reactor) == Listening::Over {
                    engine.reactor.unwatch(some.as_fd()).doing(WATCHING)?;
                }
            }
            let fresh = engine.report(run).map(Report::take_fresh);
            for violation in fresh.into_iter().flatten() {
                some.violation(&violation);
            }
            for question in engine.reactor.take_questions(run) {
                some.ask(question, &mut engine.reactor);
            }
        }
        own.clear();
        if let Some(finished) = finished.into_iter().next() {
            break finished;
        }
    };
    if let Some(some) = &mut control {
        for violation in finished.report.take_fresh() {
            some.violation(&violation);
        }
    }
    if let Some(terminal) = terminal.filter(|_| foreground) {
        // One that has hung up has no foreground.
        let _ = terminal.take_back();
    }
    finished.report.end();
    finished.status
}
