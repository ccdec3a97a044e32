//! What was refused.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::violation;

/// What kind of thing was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A destination in the network.
    Network,
    /// A change to a file.
    Write,
    /// Opening a file for reading.
    Read,
    /// A connection to a Unix socket.
    Socket,
    /// Another operation of the system.
    Syscall,
}

/// Something that was refused, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub(super) violation::Violation);

impl Violation {
    /// What kind of thing it is.
    pub fn kind(&self) -> Kind {
        match self.0.kind {
            violation::Kind::Network => Kind::Network,
            violation::Kind::Write => Kind::Write,
            violation::Kind::Read => Kind::Read,
            violation::Kind::Socket => Kind::Socket,
            violation::Kind::Syscall => Kind::Syscall,
        }
    }

    /// What was called: a system call, or `connect`.
    pub fn action(&self) -> &str {
        &self.0.action
    }

    /// A path, or `host:port`. It is the command's word: print it with care.
    pub fn target(&self) -> &str {
        &self.0.target
    }

    /// The rule that refused it: a key path, or in words that no rule allows it.
    pub fn rule(&self) -> &str {
        &self.0.rule
    }

    /// The process that tried first, as the host numbers it, where that is known.
    pub fn pid(&self) -> Option<u32> {
        self.0.process.as_ref().map(|process| process.pid)
    }

    /// The file that this process ran; empty where that could not be seen.
    pub fn program(&self) -> &str {
        let process = self.0.process.as_ref();
        process.map_or("", |process| process.program.as_str())
    }

    /// How often it was tried, as far as it is known when this was told.
    pub fn count(&self) -> u64 {
        self.0.count
    }

    /// When it was first tried.
    pub fn time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.0.time)
    }
}

impl fmt::Display for Violation {
    /// One line that moves no cursor.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// All that was refused to a command, each thing once.
#[derive(Clone, Debug, Default)]
pub struct Violations {
    pub(super) all: Vec<Violation>,
    pub(super) dropped: u64,
}

impl Violations {
    /// Them.
    pub fn iter(&self) -> impl Iterator<Item = &Violation> {
        self.all.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many more there were: the oldest are dropped at a thousand.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// What a command has written to its standard error, and behind it what was refused to
    /// it, for whoever reads both (an agent): as it is, if nothing was.
    ///
    /// # Examples
    ///
    /// ```standalone_crate
    /// use sandbox_runtime::{Command, Kind, Sandbox, Settings};
    ///
    /// fn main() -> Result<(), sandbox_runtime::Error> {
    ///     sandbox_runtime::init();
    ///     let command = Command::new("touch").arg("/etc/new");
    ///     let outcome = Sandbox::new(&Settings::default()).output(command)?;
    ///     assert_eq!(outcome.violations.iter().next().map(|one| one.kind()), Some(Kind::Write));
    ///     let told = outcome.violations.annotate(&String::from_utf8_lossy(&outcome.stderr));
    ///     assert!(told.contains("<sandbox_violations>") && told.contains("/etc/new"), "{told}");
    ///     Ok(())
    /// }
    /// ```
    pub fn annotate(&self, stderr: &str) -> String {
        if self.is_empty() {
            return stderr.to_owned();
        }
        let mut text = stderr.trim_end().to_owned();
        text += "\n<sandbox_violations>\n";
        for violation in self.iter() {
            text += &format!("{violation}\n");
        }
        text + "</sandbox_violations>\n"
    }
}
