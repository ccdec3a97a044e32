//! What the first command of a session costs, and the hundredth, beside one of its own
//! session each: `hundredth [SETTINGS]`, run by `make bench`.
#![allow(clippy::print_stdout)]

use std::env;
use std::time::{Duration, Instant};

use sandbox_runtime::{Command, Error, Event, Session, Settings};

fn main() -> Result<(), Error> {
    sandbox_runtime::init();
    let settings = match env::args_os().nth(1) {
        Some(file) => Settings::from_file(file)?,
        None => Settings::default(),
    };
    let mut session = Session::new(&settings)?;
    let mut shared = Vec::new();
    let mut alone = Vec::new();
    // In turn: what the machine does meanwhile meets both.
    for _ in 0..100 {
        shared.push(cost(&mut session)?);
        let start = Instant::now();
        let mut session = Session::new(&settings)?;
        cost(&mut session)?;
        drop(session);
        alone.push(start.elapsed());
    }
    let median = |times: &[Duration]| {
        let mut times = times.to_vec();
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1e3
    };
    println!(
        "a session's commands, ms: the first {:.1}, the last ten {:.1}; in sessions of their own {:.1} (medians)",
        shared[0].as_secs_f64() * 1e3,
        median(&shared[90..]),
        median(&alone),
    );
    Ok(())
}

/// From the start of `true` to its end.
fn cost(session: &mut Session) -> Result<Duration, Error> {
    let start = Instant::now();
    session.spawn(Command::new("true"))?;
    loop {
        if let Some(Event::Ended(ended)) = session.next(None)? {
            ended.status?;
            return Ok(start.elapsed());
        }
    }
}
