//! The one walk of the file system before a run: for every glob of the settings and
//! for the always-denied names together. Each directory is listed once; no symbolic
//! link is followed, and nothing that lies there is obeyed.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use super::paths::shown;
use super::tasks::{Finds, Tasks, Wanted};
use crate::limits::{MATCHES, WALK, WALK_ENTRIES, WALK_LEVELS};
use crate::parse::settings::GitConfig;
use crate::policy::Found;
use crate::policy::files::{FRESH, Kind, Rule, covers};
use crate::policy::protected::Names;
use crate::sys::dir::{EntryType, ListingBuffer, open_directory};

/// The walk.
pub struct Walk<'a> {
    wanted: &'a [Wanted<'a>],
    starts: BTreeMap<Vec<u8>, Tasks>,
    depth: u8,
    /// The working and the home directory.
    homes: Vec<(Vec<u8>, Names)>,
    pub(super) git_config: GitConfig,
    entries: usize,
    until: Instant,
    buffer: ListingBuffer,
    pub(super) finds: Finds,
}

/// An entry of a directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    /// The directory.
    pub at: &'a [u8],
    /// Its name.
    pub name: &'a [u8],
    /// What it is; known.
    pub kind: EntryType,
}

/// The listing of one directory: names in one string, to save an allocation each.
#[derive(Default)]
pub(super) struct Listing {
    names: Vec<u8>,
    entries: Vec<(usize, EntryType)>,
}

impl Listing {
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], EntryType)> {
        let mut from = 0;
        self.entries.iter().map(move |&(end, kind)| {
            let name = self.names.get(from..end).unwrap_or_default();
            from = end;
            (name, kind)
        })
    }
}

impl<'a> Walk<'a> {
    /// A walk for these globs and, `depth` levels down, always-denied names. Below a
    /// place that a glob makes writable, all of them are held in the `homes`.
    pub fn new(
        wanted: &'a [Wanted<'a>],
        depth: u8,
        git_config: GitConfig,
        homes: Vec<(Vec<u8>, Names)>,
    ) -> Self {
        Self {
            wanted,
            starts: BTreeMap::new(),
            depth,
            homes,
            git_config,
            entries: 0,
            until: Instant::now() + WALK,
            buffer: ListingBuffer::default(),
            finds: Finds::default(),
        }
    }

    /// Somewhere to start: an absolute directory, symlinks resolved.
    pub fn start(&mut self, at: &[u8], tasks: Tasks) {
        self.starts.entry(at.to_vec()).or_default().merge(tasks);
    }

    /// Walks from every start; what was found since the last time.
    ///
    /// # Errors
    /// A bound was met, or a directory could not be read for another reason than that
    /// it is gone or forbidden. One line.
    pub fn go(&mut self) -> Result<Finds, String> {
        while let Some((at, tasks)) = self.starts.pop_first() {
            self.down(None, &mut at.clone(), b"", tasks, 0)?;
        }
        Ok(std::mem::take(&mut self.finds))
    }

    fn down(
        &mut self,
        above: Option<BorrowedFd<'_>>,
        at: &mut Vec<u8>,
        name: &[u8],
        tasks: Tasks,
        level: usize,
    ) -> Result<(), String> {
        if level > WALK_LEVELS {
            return Err(format!(
                "{}: more than {WALK_LEVELS} directories deep",
                shown(at)
            ));
        }
        let name = if above.is_some() { name } else { at.as_slice() };
        let directory = match open_directory(above, name) {
            Ok(directory) => directory,
            Err(e) => return self.unopened(at, &tasks, &e),
        };
        let mut listing = Listing::default();
        loop {
            let more = self.buffer.read(directory.as_fd(), |name, kind| {
                listing.names.extend_from_slice(name);
                listing.entries.push((listing.names.len(), kind));
            });
            match more {
                Ok(true) => {}
                Ok(false) => break,
                Err(e) if e.kind() == io::ErrorKind::NotFound => break,
                Err(e) => return Err(format!("{}: {e}", shown(at))),
            }
        }
        self.count(listing.entries.len(), at)?;
        let git = tasks.searches() && self.search_here(at, &tasks, &listing);
        let own = at.len();
        for (name, kind) in listing.iter() {
            let Some(seen) = Seen::new(at, name, kind) else {
                continue;
            };
            let Some(below) = self.entry(&seen, &tasks, git, &listing) else {
                continue;
            };
            if at.last() != Some(&b'/') {
                at.push(b'/');
            }
            at.extend_from_slice(name);
            let mut below = below;
            if let Some(more) = self.starts.remove(at.as_slice()) {
                below.merge(more);
            }
            if !below.is_empty() && !FRESH.contains(&at.as_slice()) {
                self.down(Some(directory.as_fd()), at, name, below, level + 1)?;
            }
            at.truncate(own);
        }
        Ok(())
    }

    fn count(&mut self, entries: usize, at: &[u8]) -> Result<(), String> {
        self.entries += entries;
        let bound = if self.entries > WALK_ENTRIES {
            format!("{WALK_ENTRIES} entries were met")
        } else if self.finds.matches.len() > MATCHES {
            format!("{MATCHES} matches were found")
        } else if Instant::now() > self.until {
            format!("{} s had passed", WALK.as_secs())
        } else {
            return Ok(());
        };
        Err(format!(
            "the search for what globs match and for always-denied names was not over when {bound}, \
             at {}: begin the globs further down, allow writing in fewer places, or lower \
             mandatoryDenySearchDepth",
            shown(at)
        ))
    }

    /// A directory that cannot be looked into: what could lie in it is denied with it.
    fn unopened(&mut self, at: &[u8], tasks: &Tasks, error: &io::Error) -> Result<(), String> {
        match error.kind() {
            // Gone, or not the directory any more that its listing said.
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => return Ok(()),
            io::ErrorKind::PermissionDenied => {}
            _ => return Err(format!("{}: {error}", shown(at))),
        }
        for &(index, _) in &tasks.globs {
            let rule = self.wanted.get(index).map(|wanted| wanted.rule);
            if matches!(rule, Some(Rule::DenyRead | Rule::DenyWrite)) {
                self.finds
                    .matches
                    .push((index, at.to_vec(), Kind::Directory));
            }
        }
        if tasks.searches() {
            self.finds.found.push(Found {
                path: at.to_vec(),
                kind: Kind::Directory,
                hold: None,
                reason: "it cannot be searched for always-denied names",
            });
        }
        Ok(())
    }

    /// One entry: what it matches; the tasks for what is below it, if it is a directory.
    fn entry(
        &mut self,
        seen: &Seen<'_>,
        tasks: &Tasks,
        git: bool,
        listing: &Listing,
    ) -> Option<Tasks> {
        let mut below = Tasks::default();
        for &(index, positions) in &tasks.globs {
            let wanted = self.wanted.get(index)?;
            let matched = if seen.kind == EntryType::Directory {
                let (next, matched) = wanted.glob.step(positions, seen.name);
                if !next.is_empty() {
                    below.globs.push((index, next));
                }
                matched
            } else {
                wanted.glob.ends(positions, seen.name)
            };
            if matched {
                self.matched(seen, index, wanted.rule, listing, &mut below);
            }
        }
        if tasks.searches() {
            self.search(seen, tasks, git, &mut below);
        }
        (seen.kind == EntryType::Directory).then_some(below)
    }

    fn matched(
        &mut self,
        seen: &Seen<'_>,
        index: usize,
        rule: Rule,
        listing: &Listing,
        below: &mut Tasks,
    ) {
        let allows = matches!(rule, Rule::AllowRead | Rule::AllowWrite);
        if seen.kind == EntryType::Link && allows {
            // Whoever could plant a link could open what it leads to.
            return;
        }
        if !allows {
            self.finds
                .sizes
                .insert(seen.at.to_vec(), listing.entries.len());
        }
        let path = seen.path();
        if rule == Rule::AllowWrite && seen.kind == EntryType::Directory {
            below.names = below.names.max(self.depth);
            for (home, names) in self.homes.iter().filter(|(home, _)| covers(&path, home)) {
                self.starts
                    .entry(home.clone())
                    .or_default()
                    .merge(Tasks::root(self.depth, *names));
            }
        }
        self.finds.matches.push((index, path, seen.plain()));
    }
}
