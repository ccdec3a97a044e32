//! Which files the command may read and write: one evaluator for all who ask.

use std::collections::BTreeMap;

pub use super::protected::Kind;

/// What a rule says of its path and all that lies below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// `filesystem.denyRead`: hidden.
    DenyRead,
    /// `filesystem.allowRead`: readable again inside what is hidden.
    AllowRead,
    /// `filesystem.allowWrite`.
    AllowWrite,
    /// `filesystem.denyWrite`: wins over every allowWrite.
    DenyWrite,
    /// Never writable.
    Protected,
    /// The run's own temporary directory: readable and writable whatever lies above.
    Temporary,
}

/// A rule on a path that exists; absolute, symlinks resolved, no trailing slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The path.
    pub path: Vec<u8>,
    /// What lies there.
    pub kind: Kind,
    /// What is said of it.
    pub rule: Rule,
}

/// What may be done with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Not to be seen.
    Hidden,
    /// Read only.
    Read,
    /// Read and written.
    Write,
}

/// The filesystem policy over resolved paths.
#[derive(Clone, Debug, Default)]
pub struct Files {
    entries: Vec<Entry>,
}

/// Whether `path` is `above` or lies below it.
pub fn covers(above: &[u8], path: &[u8]) -> bool {
    let above = above.strip_suffix(b"/").unwrap_or(above);
    path.strip_prefix(above)
        .is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/'))
}

/// The directory that holds `path`; `None` for the root.
pub fn parent(path: &[u8]) -> Option<&[u8]> {
    let cut = path.iter().rposition(|&b| b == b'/')?;
    match (cut, path.len()) {
        (0, 1) => None,
        (0, _) => path.get(..1),
        _ => path.get(..cut),
    }
}

impl Files {
    /// A policy of these rules. Their order does not matter.
    pub fn new(entries: Vec<Entry>) -> Self {
        Self { entries }
    }

    /// What may be done with `path` (absolute, symlinks resolved).
    ///
    /// Reading: the most specific of denyRead and allowRead decides; on the same
    /// path the denial does. Writing: some allowWrite covers it, nothing denies it,
    /// and it may be read.
    pub fn access(&self, path: &[u8]) -> Access {
        let covering = || self.entries.iter().filter(|e| covers(&e.path, path));
        let longest = |wanted: fn(Rule) -> bool| {
            covering()
                .filter(|e| wanted(e.rule))
                .map(|e| e.path.len())
                .max()
        };
        let has = |rule| covering().any(|e| e.rule == rule);
        let denied = has(Rule::DenyWrite) || has(Rule::Protected);
        let hidden = longest(|r| r == Rule::DenyRead);
        let shown = longest(|r| matches!(r, Rule::AllowRead | Rule::Temporary));
        if hidden.is_some() && shown <= hidden {
            Access::Hidden
        } else if has(Rule::Temporary) || has(Rule::AllowWrite) && !denied {
            Access::Write
        } else {
            Access::Read
        }
    }

    /// The places where a mount is needed, parents before children: where what may
    /// be done changes, and every directory above such a place inside a writable
    /// one, so that nobody renames it away with what it holds (a *pin*).
    pub fn places(&self) -> BTreeMap<Vec<u8>, (Kind, Access)> {
        let mut places = BTreeMap::new();
        for entry in &self.entries {
            let access = self.access(&entry.path);
            places.insert(entry.path.clone(), (entry.kind, access));
            if access == Access::Write {
                continue;
            }
            let mut above = parent(&entry.path);
            while let Some(dir) = above {
                if self.access(dir) == Access::Write {
                    let pin = (Kind::Directory, Access::Write);
                    places.entry(dir.to_vec()).or_insert(pin);
                }
                above = parent(dir);
            }
        }
        places
    }
}
