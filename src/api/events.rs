//! What happens to the commands of a session, and what is answered.

use std::fs::File;

use super::violations::{Violation, Violations};
use crate::error::Error;

/// A command of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub(super) u64);

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub(super) u64);

/// A destination of which no rule says anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// By what it is answered.
    pub id: AskId,
    /// Whose command wants to reach it.
    pub run: RunId,
    /// A name, or an address.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// An answer: for this one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It may be reached; what a name leads to is judged as ever.
    Allow,
    /// It may not.
    Deny,
}

/// What becomes of tunnels that new rules would refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tunnels {
    /// They go on: rules are about what begins.
    Keep,
    /// They are cut.
    Cut,
}

/// What is done with a destination of which no rule says anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlisted {
    /// It is refused.
    Refuse,
    /// [`Event::Ask`] asks; without an answer in 60 seconds, it is refused. A strict allow
    /// list (`network.strictAllowlist`) asks nobody.
    Ask,
}

/// Something that has happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Something was refused, for the first time in this run.
    Violation(RunId, Violation),
    /// A destination waits for [`Session::answer`](super::Session::answer).
    Ask(Ask),
    /// A command has ended.
    Ended(Ended),
    /// Something that `srt` would say on stderr: a layer that this host does not give, rules
    /// of a [`Handle`](super::Handle) that were refused.
    Note(String),
}

/// A command that has ended, and everything that it had started.
#[derive(Debug)]
pub struct Ended {
    /// Which.
    pub run: RunId,
    /// Its exit status, or 128 and the number of the signal that ended it.
    ///
    /// An error: it did not start (126 and 127 are statuses, as a shell has them), or its end
    /// is not known.
    pub status: Result<u8, Error>,
    /// What was refused to it.
    pub violations: Violations,
}

/// A command that has been started.
#[derive(Debug)]
pub struct Child {
    /// By what events name it.
    pub run: RunId,
    /// What is written here, it reads; there if [`Stdio::Piped`](super::Stdio::Piped) was asked for.
    pub stdin: Option<File>,
    /// What it writes.
    pub stdout: Option<File>,
    /// What it writes to its standard error.
    pub stderr: Option<File>,
}
