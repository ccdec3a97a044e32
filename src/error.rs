//! What can go wrong before, and around, the command; one line each.

use std::fmt;
use std::io;

/// Why `srt` did not run the command, or could not go on.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The command line is not one of ours.
    Usage(String),
    /// The library was called as it cannot be.
    Call(String),
    /// A settings file that is named, or is there, and is not valid.
    Settings {
        /// The file as it was named.
        file: String,
        /// Every problem, one line each.
        problems: Vec<String>,
    },
    /// Rules that this host, or this version, cannot enforce.
    Policy(Vec<String>),
    /// bubblewrap did not bring the sandbox up.
    Bwrap {
        /// Its own words, if it had any.
        words: String,
        /// What the user can do about it.
        cure: &'static str,
    },
    /// What the plan rests on has changed since it was looked at.
    Changed(String),
    /// A step of the start-up inside the sandbox failed.
    Stage(String),
    /// A system call of ours failed.
    Io {
        /// What was being done.
        doing: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl Error {
    /// Exit status for this error: 125, since in every case the command has not
    /// run, or its end is not known.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_)
            | Self::Call(_)
            | Self::Settings { .. }
            | Self::Policy(_)
            | Self::Bwrap { .. }
            | Self::Changed(_)
            | Self::Stage(_)
            | Self::Io { .. } => 125,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) => write!(f, "{text} (see srt --help)"),
            Self::Settings { file, problems } => {
                for (i, problem) in problems.iter().enumerate() {
                    let line = if i == 0 { "" } else { "\n" };
                    write!(f, "{line}{file}: {problem}")?;
                }
                Ok(())
            }
            Self::Call(text) => f.write_str(text),
            Self::Policy(problems) => f.write_str(&problems.join("\n")),
            Self::Bwrap { words, cure } if words.is_empty() => {
                write!(f, "bubblewrap failed without a word; {cure}")
            }
            Self::Bwrap { words, cure } => write!(f, "bubblewrap failed: {words}\n{cure}"),
            Self::Changed(text) => f.write_str(text),
            Self::Stage(text) => write!(f, "inside the sandbox: {text}"),
            Self::Io { doing, source } => write!(f, "{doing}: {source}"),
        }
    }
}

impl std::error::Error for Error {}

/// Says what was being done when a system call failed.
pub trait While<T> {
    /// Turns an `io::Error` into [`Error::Io`] with `doing`, a gerund phrase.
    ///
    /// # Errors
    /// The error it was given, named.
    fn doing(self, doing: &'static str) -> Result<T, Error>;
}

impl<T> While<T> for io::Result<T> {
    fn doing(self, doing: &'static str) -> Result<T, Error> {
        self.map_err(|source| Error::Io { doing, source })
    }
}
