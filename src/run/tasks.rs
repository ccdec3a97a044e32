//! What the walk is asked for in each directory, and what it brings.

use std::collections::BTreeMap;

use crate::parse::glob::{Glob, Positions};
use crate::policy::Found;
use crate::policy::files::{Kind, Rule};
use crate::policy::protected::Names;

/// A glob of the settings.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The pattern.
    pub glob: &'a Glob,
    /// What is said of its matches.
    pub rule: Rule,
}

/// What is looked for in a directory.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    /// Globs, and how far each has come.
    pub globs: Vec<(usize, Positions)>,
    /// Levels left in the search for always-denied names.
    pub names: u8,
    /// Levels left in the search for git directories of submodules and worktrees.
    pub modules: u8,
    /// The name by which something leads here, where that says what it is.
    pub known_as: Option<&'static [u8]>,
    /// Which always-denied names are to be held here though they are absent.
    pub absent: Names,
}

impl Tasks {
    /// The search of a writable root.
    pub fn root(depth: u8, absent: Names) -> Self {
        Self {
            names: depth,
            absent,
            ..Self::default()
        }
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.globs.is_empty() && !self.searches()
    }

    /// Whether always-denied names are looked for.
    pub fn searches(&self) -> bool {
        self.names > 0 || self.modules > 0 || self.known_as.is_some()
    }

    /// Takes on what another start wants of the same directory.
    pub fn merge(&mut self, other: Self) {
        self.globs.extend(other.globs);
        self.names = self.names.max(other.names);
        self.modules = self.modules.max(other.modules);
        self.known_as = self.known_as.or(other.known_as);
        self.absent = self.absent.max(other.absent);
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Finds {
    /// Matches of globs: which, where, and what lies there.
    pub matches: Vec<(usize, Vec<u8>, Kind)>,
    /// Always-denied names.
    pub found: Vec<Found>,
    /// Entries in each directory in which a deny glob has matched.
    pub sizes: BTreeMap<Vec<u8>, usize>,
    /// Files and links that lead to a git directory elsewhere (`.git`, `commondir`),
    /// or to a directory whose names are in the table.
    pub leads: Vec<(Vec<u8>, Kind)>,
}
