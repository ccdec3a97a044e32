//! One command at a time.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread;

use super::violations::Violations;
use super::{Command, Event, Session, Settings, Stdio, Unlisted};
use crate::error::{Error, While};

/// Settings under which commands are run, one at a time; each in a [`Session`] of its own.
///
/// # Examples
///
/// ```standalone_crate
/// use sandbox_runtime::{Command, Sandbox, Settings, Stdio};
///
/// fn main() -> Result<(), sandbox_runtime::Error> {
///     sandbox_runtime::init();
///     let sandbox = Sandbox::new(&Settings::default());
///     let command = Command::new("sh").args(["-c", "echo hello; echo x > /etc/motd"]);
///     let outcome = sandbox.output(command)?;
///     assert_eq!(outcome.stdout, b"hello\n");
///     assert_ne!(outcome.status, 0);
///     let violation = outcome.violations.iter().next().unwrap();
///     assert_eq!((violation.target(), violation.rule()), ("/etc/motd", "no rule allows it"));
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Sandbox {
    settings: Settings,
    program: Option<PathBuf>,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit status, or 128 and the number of the signal that ended it; 126 and 127 as a
    /// shell has them.
    pub status: u8,
    /// What was refused to it.
    pub violations: Violations,
    /// What it wrote; empty, but for [`Sandbox::output`].
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error; likewise.
    pub stderr: Vec<u8>,
    /// What `srt` would have said on stderr.
    pub notes: Vec<String>,
}

impl Sandbox {
    /// For these settings.
    pub fn new(settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
            program: None,
        }
    }

    /// Has this `srt` play its roles, where the program itself does not call
    /// [`init`](super::init).
    #[must_use]
    pub fn with_program(mut self, program: impl AsRef<Path>) -> Self {
        self.program = Some(program.as_ref().to_owned());
        self
    }

    /// Runs a command to its end, with this process's standard streams, unless others were
    /// said.
    ///
    /// # Errors
    /// Nothing has run, or its end is not known.
    ///
    /// # Examples
    ///
    /// ```standalone_crate
    /// use sandbox_runtime::{Command, Error, Sandbox, Settings};
    ///
    /// fn main() -> Result<(), sandbox_runtime::Error> {
    ///     sandbox_runtime::init();
    ///     let settings = Settings::from_json(br#"{"filesystem": {"allowWrite": ["/no/such/place"]}}"#)?;
    ///     let sandbox = Sandbox::new(&settings);
    ///     assert_eq!(sandbox.run(Command::new("false"))?.status, 1);
    ///     assert_eq!(sandbox.run(Command::new("no-such-program"))?.status, 127);
    ///     // What cannot be enforced is an error, and nothing has run.
    ///     let required = Settings::from_json(br#"{"bwrapPath": "/no/bwrap", "require": ["fs.write"]}"#)?;
    ///     let error = Sandbox::new(&required).run(Command::new("true")).unwrap_err();
    ///     assert!(matches!(error, Error::Bwrap { .. }));
    ///     Ok(())
    /// }
    /// ```
    pub fn run(&self, command: Command) -> Result<Outcome, Error> {
        self.run_and(command, Collect::No)
    }

    /// Runs a command to its end, and collects what it writes. Its standard input is empty,
    /// unless something else was said.
    ///
    /// # Errors
    /// Nothing has run, or its end is not known.
    pub fn output(&self, mut command: Command) -> Result<Outcome, Error> {
        if let Stdio::Inherit = command.streams[0] {
            command = command.stdin(Stdio::Null);
        }
        let command = command.stdout(Stdio::Piped).stderr(Stdio::Piped);
        self.run_and(command, Collect::Both)
    }

    fn run_and(&self, mut command: Command, collect: Collect) -> Result<Outcome, Error> {
        let mut session = match &self.program {
            None => Session::new(&self.settings)?,
            Some(program) => Session::with_program(&self.settings, program)?,
        };
        let mut told = command.on_violation.take();
        let mut asked = command.on_ask.take();
        if asked.is_some() {
            session.set_unlisted(Unlisted::Ask);
        }
        let child = session.spawn(command)?;
        let read = |from: Option<std::fs::File>| {
            from.filter(|_| collect == Collect::Both).map(|mut from| {
                thread::spawn(move || {
                    let mut all = Vec::new();
                    // What could be read is what it wrote.
                    let _ = from.read_to_end(&mut all);
                    all
                })
            })
        };
        let (stdout, stderr) = (read(child.stdout), read(child.stderr));
        let mut notes = Vec::new();
        let ended = loop {
            match session.next(None)? {
                Some(Event::Violation(_, violation)) => {
                    if let Some(told) = &mut told {
                        told(&violation);
                    }
                }
                Some(Event::Ask(ask)) => {
                    if let Some(asked) = &mut asked {
                        let answer = asked(&ask);
                        session.answer(ask.id, answer);
                    }
                }
                Some(Event::Note(note)) => notes.push(note),
                Some(Event::Ended(ended)) => break ended,
                None => {}
            }
        };
        let collected = |thread: Option<thread::JoinHandle<Vec<u8>>>| {
            thread
                .and_then(|thread| thread.join().ok())
                .unwrap_or_default()
        };
        drop(session);
        Ok(Outcome {
            status: ended.status?,
            violations: ended.violations,
            stdout: collected(stdout),
            stderr: collected(stderr),
            notes,
        })
    }

    /// What to execute, to run this command under another supervisor: `srt` with the
    /// settings' file, and the command. Directory, environment and streams are that
    /// supervisor's to set.
    ///
    /// # Errors
    /// [`Error::Call`]: the settings come from no file.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use sandbox_runtime::{Command, Sandbox, Settings};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let sandbox = Sandbox::new(&Settings::from_file("/etc/job.json")?);
    /// let argv = sandbox.argv(&Command::new("make").arg("check"))?;
    /// std::process::Command::new(&argv[0]).args(&argv[1..]).status()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn argv(&self, command: &Command) -> Result<Vec<OsString>, Error> {
        let Some(file) = self.settings.file() else {
            return Err(Error::Call(
                "settings that come from no file have no command line: write them to one".into(),
            ));
        };
        let file = std::path::absolute(file).doing("finding the settings file")?;
        let program = self.program.clone().unwrap_or_else(|| "srt".into());
        let mut argv: Vec<OsString> = vec![program.into(), "--settings".into(), file.into()];
        argv.push("--".into());
        argv.extend(command.argv.iter().cloned());
        Ok(argv)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Collect {
    No,
    Both,
}
