//! What is to be run, and for whom.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::probe::{self, Loaded};
use crate::args::{Afterwards, Layer, LogTo, Mode, Run, Verbosity};
use crate::error::{Error, While};
use crate::sys;

/// A command, and everything that is asked for it.
pub struct Request {
    /// The settings.
    pub loaded: Arc<Loaded>,
    /// The program and its arguments.
    pub argv: Vec<OsString>,
    /// Where it starts.
    pub directory: PathBuf,
    /// The environment that its own is made of.
    pub environment: Vec<(Vec<u8>, Vec<u8>)>,
    /// Its standard streams.
    pub streams: [Stream; 3],
    /// The program that plays our own roles.
    pub program: PathBuf,
    /// What is said on stderr.
    pub verbosity: Verbosity,
    /// Whether it is run.
    pub mode: Mode,
    /// Where violations are logged.
    pub log: Option<LogTo>,
    /// A descriptor by which a supervisor speaks with us.
    pub control: Option<OwnedFd>,
    /// What is said of them afterwards.
    pub afterwards: Afterwards,
    /// Whether anybody hears of violations.
    pub hearing: Hearing,
    /// Layers that are left out, for tests of the others.
    pub without: Vec<Layer>,
    /// Whose process this is.
    pub process: Process,
    /// Longest that the command may take, besides what the settings say.
    pub longest: Option<Duration>,
}

/// A standard stream.
#[derive(Debug)]
pub enum Stream {
    /// This process's own.
    Inherited,
    /// Nothing.
    Null,
    /// Somebody else's.
    Given(OwnedFd),
}

/// Whether anybody hears of what is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// Somebody does.
    Somebody,
    /// Nobody does, and so nobody looks.
    Nobody,
}

/// Whose process this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// Ours: it gives up what it does not need once the sandbox stands.
    Own,
    /// Somebody's whose guests we are.
    Guest,
}

/// This very program, for its other roles.
pub const THIS: &str = "/proc/self/exe";

impl Request {
    /// A request of this process for nothing yet, under these settings, of which nobody
    /// hears.
    ///
    /// # Errors
    /// There is no working directory.
    pub fn plain(loaded: Arc<Loaded>) -> Result<Self, Error> {
        Ok(Self {
            loaded,
            argv: Vec::new(),
            directory: env::current_dir().doing("finding the working directory")?,
            environment: caller(),
            streams: [const { Stream::Inherited }; 3],
            program: THIS.into(),
            verbosity: Verbosity::Normal,
            mode: Mode::Execute,
            log: None,
            control: None,
            afterwards: Afterwards::Nothing,
            hearing: Hearing::Nobody,
            without: Vec::new(),
            process: Process::Guest,
            longest: None,
        })
    }

    /// What the command line asks for.
    ///
    /// # Errors
    /// The settings cannot be read or are not valid.
    pub fn of(run: &Run) -> Result<Self, Error> {
        // Before anything is opened that might get its number.
        let control = run.control.map(|number| {
            let named = |e| Error::Usage(format!("--control-fd {number}: {e}"));
            sys::fd::inherited(number).map_err(named)
        });
        let control = control.transpose()?;
        let heard = run.log.is_some()
            || control
                .as_ref()
                .is_some_and(|fd| sys::streams::is_socket(fd.as_raw_fd()))
            || run.afterwards != Afterwards::Nothing
            || run.verbosity == Verbosity::Debug
            || io::stderr().is_terminal();
        let loaded = probe::settings(run.settings.as_deref())?;
        Ok(Self {
            argv: run.argv.clone(),
            verbosity: run.verbosity,
            mode: run.mode,
            log: run.log.clone(),
            control,
            afterwards: run.afterwards,
            hearing: match heard {
                true => Hearing::Somebody,
                false => Hearing::Nobody,
            },
            without: run.without.clone(),
            process: Process::Own,
            ..Self::plain(Arc::new(loaded))?
        })
    }

    /// Where the command finds the program that plays our own roles.
    ///
    /// # Errors
    /// It cannot be found out.
    pub fn program(&self) -> Result<PathBuf, Error> {
        match self.program.to_str() {
            Some(THIS) => env::current_exe().doing("finding this program"),
            _ => Ok(self.program.clone()),
        }
    }

    /// Standard streams that the caller has closed, and that nothing else was given for.
    pub fn closed(&self) -> Vec<i32> {
        let mut closed = sys::streams::closed();
        closed.retain(|number| {
            let stream = self.streams.get(number.unsigned_abs() as usize);
            matches!(stream, Some(Stream::Inherited))
        });
        closed
    }

    /// The descriptor of a standard stream that leads somewhere.
    pub fn stream(&self, number: usize) -> Option<BorrowedFd<'_>> {
        match self.streams.get(number)? {
            Stream::Null => None,
            Stream::Given(fd) => Some(fd.as_fd()),
            Stream::Inherited => Some(sys::streams::standard(number)),
        }
    }
}

/// The environment of this process.
pub fn caller() -> Vec<(Vec<u8>, Vec<u8>)> {
    let all = env::vars_os();
    all.map(|(k, v)| (k.into_vec(), v.into_vec())).collect()
}
