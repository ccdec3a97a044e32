//! What was refused: the record, and the bounded store. Pure.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::fmt;

use crate::limits::VIOLATIONS;
use crate::parse::host::Target;
use crate::policy::network::Reason;

/// One refusal, with the number of times it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where the command wanted to go.
    pub target: Target,
    /// Why it may not.
    pub reason: Reason,
    /// How often, from 1.
    pub count: u64,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "denied network {}: ", self.target)?;
        // A reason may hold the settings' own text: keep it to one printable line.
        for c in self.reason.to_string().chars() {
            let plain = c == ' ' || c.is_ascii_graphic();
            fmt::Write::write_char(f, if plain { c } else { '?' })?;
        }
        match self.count {
            1 => Ok(()),
            n => write!(f, " ({n} times)"),
        }
    }
}

/// The refusals of a run: at most [`VIOLATIONS`], the oldest dropped and counted.
#[derive(Debug, Default)]
pub struct Store {
    kept: VecDeque<Violation>,
    dropped: u64,
}

impl Store {
    /// Adds a refusal, or counts it with an equal one already kept.
    pub fn add(&mut self, target: Target, reason: Reason) {
        let same = |v: &&mut Violation| v.target == target && v.reason == reason;
        if let Some(known) = self.kept.iter_mut().find(same) {
            known.count = known.count.saturating_add(1);
            return;
        }
        if self.kept.len() >= VIOLATIONS {
            self.kept.pop_front();
            self.dropped = self.dropped.saturating_add(1);
        }
        self.kept.push_back(Violation {
            target,
            reason,
            count: 1,
        });
    }

    /// The refusals kept, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Violation> {
        self.kept.iter()
    }

    /// How many different refusals were dropped for want of room.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}
