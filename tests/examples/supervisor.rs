//! Runs a command, and asks the person at the terminal about each host that the settings
//! neither allow nor deny: `supervisor SETTINGS COMMAND [ARG...]`.
#![allow(clippy::print_stderr)]

use std::env;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::ExitCode;

use sandbox_runtime::{Answer, Command, Error, Sandbox, Settings};

fn main() -> ExitCode {
    sandbox_runtime::init();
    match supervise() {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("supervisor: {error}");
            ExitCode::from(125)
        }
    }
}

fn supervise() -> Result<u8, Error> {
    let mut words = env::args_os().skip(1);
    let (Some(file), Some(program)) = (words.next(), words.next()) else {
        return Err(Error::Usage("supervisor SETTINGS COMMAND [ARG...]".into()));
    };
    let sandbox = Sandbox::new(&Settings::from_file(file)?);
    let command = Command::new(program).args(words);
    let command = command.on_ask(|ask| {
        let answer = typed(&format!("allow {}:{}? [y/N] ", ask.host, ask.port));
        match answer.as_deref() {
            Ok("y" | "Y") => Answer::Allow,
            // Also where there is no terminal.
            _ => Answer::Deny,
        }
    });
    let command = command.on_violation(|violation| eprintln!("supervisor: {violation}"));
    Ok(sandbox.run(command)?.status)
}

/// What the person at the terminal answers.
fn typed(question: &str) -> std::io::Result<String> {
    let mut terminal = File::options().read(true).write(true).open("/dev/tty")?;
    terminal.write_all(format!("supervisor: {question}").as_bytes())?;
    let mut line = String::new();
    BufReader::new(terminal).read_line(&mut line)?;
    Ok(line.trim().to_owned())
}
