//! Role and exit status; nothing else.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use sandbox_runtime::args::{self, Action, HELP, Mode, Run, Verbosity};
use sandbox_runtime::run::{check, explain, roles, say};
use sandbox_runtime::{Error, While};

fn main() -> ExitCode {
    let action = args::action(env::args_os().skip(1)).map_err(Error::Usage);
    match action.and_then(perform) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            say::say_patiently(&error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}

fn perform(action: Action) -> Result<u8, Error> {
    match action {
        Action::Help => print(HELP),
        Action::Version => print(concat!("srt ", env!("CARGO_PKG_VERSION"), "\n")),
        Action::Stage(stage) => roles::stage(stage),
        Action::Explain(asked) => {
            let (report, status) = explain::explain(&asked)?;
            print(&report).map(|_| status)
        }
        Action::Doctor(doctor) => {
            let (report, status) = roles::examine(&doctor)?;
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
    match run.mode {
        Mode::DryRun(platform) => print(&roles::show(&run, platform)?),
        Mode::Execute => roles::start(&run),
    }
}

fn print(text: &str) -> Result<u8, Error> {
    io::stdout()
        .write_all(text.as_bytes())
        .doing("writing to stdout")
        .map(|()| 0)
}
