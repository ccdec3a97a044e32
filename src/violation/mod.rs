//! What was refused: the record, the bounded store, which records are not wanted, and how
//! they are written. Pure.
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]

pub mod control;
pub mod digest;
pub mod log;
pub mod merge;
pub mod suggest;

use std::collections::{HashMap, VecDeque};
use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::limits::VIOLATIONS;

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A destination.
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

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Network,
        Self::Write,
        Self::Read,
        Self::Socket,
        Self::Syscall,
    ];

    /// Its name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Write => "write",
            Self::Read => "read",
            Self::Socket => "socket",
            Self::Syscall => "syscall",
        }
    }
}

/// Who tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number, as the host sees it.
    pub pid: u32,
    /// The file it runs; empty if that could not be seen.
    pub program: String,
}

/// One refusal, with the number of times it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What it is.
    pub kind: Kind,
    /// What was called: a system call, or `connect` or `lookup`.
    pub action: String,
    /// A path, a `host:port`, a name.
    pub target: String,
    /// The rule: a key path, a reason, or [`NO_RULE`](crate::policy::explain::NO_RULE).
    pub rule: String,
    /// The rule, with the settings' own words.
    pub reason: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Who tried first, where that is known.
    pub process: Option<Process>,
    /// When it was first tried, in milliseconds since 1970.
    pub time: u64,
    /// How often, from 1.
    pub count: u64,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was refused.
    Denied,
    /// It was let through, to be learned.
    Learned,
}

impl Violation {
    /// What makes it another one.
    fn key(&self) -> (&str, &str, &str, &str, Option<&str>) {
        let program = self.process.as_ref().map(|p| p.program.as_str());
        let kind = self.kind.name();
        (kind, &self.target, &self.action, &self.rule, program)
    }

    fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.key().hash(&mut hasher);
        hasher.finish()
    }
}

/// `text` as one line that moves no cursor and is read in one way only: what is no
/// printable ASCII becomes a `?`.
pub fn plain(text: &str) -> String {
    let plain = |c: char| {
        if c == ' ' || c.is_ascii_graphic() {
            c
        } else {
            '?'
        }
    };
    text.chars().map(plain).collect()
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        let outcome = match self.outcome {
            Outcome::Denied => "denied",
            Outcome::Learned => "learned",
        };
        write!(text, "{outcome} {} {}", self.kind.name(), self.target)?;
        if let Some(Process { pid, program }) = &self.process {
            let name = program.rsplit('/').next().unwrap_or_default();
            write!(text, " by {name} ({pid})")?;
        }
        write!(text, ": {}", self.reason)?;
        if self.count > 1 {
            write!(text, " ({} times)", self.count)?;
        }
        f.write_str(&plain(&text))
    }
}

/// What was added to a [`Store`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// Something new.
    First,
    /// What was there already.
    Again,
}

/// The refusals of a run: at most [`VIOLATIONS`], the oldest dropped and counted.
#[derive(Debug, Default)]
pub struct Store {
    kept: VecDeque<Violation>,
    /// Which one has this digest, counted from the first that there ever was.
    places: HashMap<u64, u64>,
    dropped: u64,
}

impl Store {
    /// Adds a refusal, or counts it with one already kept that is like it.
    pub fn add(&mut self, violation: Violation) -> Added {
        let digest = violation.digest();
        let place = self.places.get(&digest);
        let index = place.and_then(|place| usize::try_from(place.checked_sub(self.dropped)?).ok());
        if let Some(known) = index.and_then(|index| self.kept.get_mut(index)) {
            if known.key() == violation.key() {
                known.count = known.count.saturating_add(violation.count);
                return Added::Again;
            }
        }
        if self.kept.len() >= VIOLATIONS {
            if let Some(oldest) = self.kept.pop_front() {
                self.places.remove(&oldest.digest());
            }
            self.dropped = self.dropped.saturating_add(1);
        }
        let count = u64::try_from(self.kept.len()).unwrap_or(u64::MAX);
        self.places
            .insert(digest, self.dropped.saturating_add(count));
        self.kept.push_back(violation);
        Added::First
    }

    /// The refusals kept, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Violation> + Clone {
        self.kept.iter()
    }

    /// How many different refusals were dropped for want of room.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// One line that names the first few; `None` if nothing was refused.
    pub fn summary(&self) -> Option<String> {
        const NAMED: usize = 3;
        let denied = || self.iter().filter(|v| v.outcome == Outcome::Denied);
        let named: Vec<String> = denied()
            .take(NAMED)
            .map(|v| format!("{} {}", v.kind.name(), v.target))
            .collect();
        if named.is_empty() {
            return None;
        }
        let rest = denied().count().saturating_sub(NAMED);
        let rest = u64::try_from(rest).unwrap_or(u64::MAX);
        let more = match rest.saturating_add(self.dropped) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        let named = named.join(", ");
        Some(plain(&format!(
            "denied: {named}{more} (--suggest says what would allow it)"
        )))
    }
}

/// The refusals that are not to be reported: `ignoreViolations`, as far as it is about
/// this command.
#[derive(Clone, Debug, Default)]
pub struct Ignored(Vec<String>);

impl Ignored {
    /// What `rules` say of `command`, its words joined by spaces.
    pub fn new(rules: &[(String, Vec<String>)], command: &str) -> Self {
        let meant = rules
            .iter()
            .filter(|(part, _)| part == "*" || command.contains(part.as_str()));
        Self(meant.flat_map(|(_, texts)| texts.clone()).collect())
    }

    /// Whether `violation` is among them: one of the texts is in its kind and target.
    pub fn covers(&self, violation: &Violation) -> bool {
        let text = format!("{} {}", violation.kind.name(), violation.target);
        self.0.iter().any(|part| text.contains(part.as_str()))
    }
}
