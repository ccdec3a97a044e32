//! Role and exit status; nothing else.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use sandbox_runtime::args::{self, Action, HELP, Mode, Platform, Run, Stage, Verbosity};
use sandbox_runtime::error::{Error, While};
use sandbox_runtime::run::{
    attack, check, connect, doctor, explain, guard, inner, linux, lookup, mac, observe, plan,
};

fn main() -> ExitCode {
    let action = args::action(env::args_os().skip(1)).map_err(Error::Usage);
    match action.and_then(perform) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            linux::say_patiently(&error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}

fn perform(action: Action) -> Result<u8, Error> {
    match action {
        Action::Help => print(HELP),
        Action::Version => print(concat!("srt ", env!("CARGO_PKG_VERSION"), "\n")),
        Action::Stage(Stage::Inner {
            socket,
            launch,
            stderr,
            run: _,
        }) => Ok(inner::run(&inner::Inherited {
            socket,
            launch,
            stderr,
        })),
        Action::Stage(Stage::Lookup) => lookup::serve().doing("looking names up").map(|()| 0),
        Action::Stage(Stage::Connect { host, port }) => connect::serve(&host, &port)
            .doing("connecting through the proxy")
            .map(|()| 0),
        Action::Stage(Stage::Attack { targets }) => attack::attempt(&targets),
        Action::Stage(Stage::Guard {
            mounts,
            links,
            places,
        }) => guard::serve(mounts, links, places)
            .doing("guarding the mounts")
            .map(|()| 0),
        Action::Stage(Stage::Observe {
            socket,
            policy,
            notes,
            bubblewrap,
        }) => observe::serve([socket, policy, notes], bubblewrap.unsigned_abs())
            .doing("observing")
            .map(|()| 0),
        Action::Explain(asked) => {
            let (report, status) = explain::explain(&asked)?;
            print(&report).map(|_| status)
        }
        Action::Doctor(doctor) => {
            let (report, status) = doctor::examine(&doctor)?;
            print(&report).map(|_| status)
        }
        Action::Check(files) => {
            let (report, status) = check::examine(&files)?;
            print(&report).map(|_| status)
        }
        Action::Run(run) => start(run),
    }
}

fn start(mut run: Run) -> Result<u8, Error> {
    if env::var_os("SRT_DEBUG").is_some_and(|v| v == "1") {
        run.verbosity = Verbosity::Debug;
    }
    if run.mode == Mode::DryRun(Platform::MacOs) {
        return print(&mac::show(&run)?);
    }
    let plan = plan::make(&run)?;
    if run.verbosity == Verbosity::Debug {
        for note in &plan.policy.notes {
            linux::say_patiently(note);
        }
    }
    match run.mode {
        Mode::DryRun(_) => print(&plan::show(&plan)),
        Mode::Execute => linux::run(plan, &run),
    }
}

fn print(text: &str) -> Result<u8, Error> {
    io::stdout()
        .write_all(text.as_bytes())
        .doing("writing to stdout")
        .map(|()| 0)
}
