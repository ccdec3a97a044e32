//! The one walk of the file system before a run: for every glob of the settings and
//! for the always-denied names together. Each directory is listed once; no symbolic
//! link is followed, and nothing that lies there is obeyed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use super::paths::path;
use crate::limits::{GIT_MODULE_LEVELS, MATCHES, WALK, WALK_ENTRIES, WALK_LEVELS};
use crate::parse::glob::{Glob, Positions};
use crate::parse::settings::GitConfig;
use crate::policy::Found;
use crate::policy::files::{FRESH, Kind, Placeholder, Rule, join};
use crate::policy::protected::{self, Names};
use crate::sys::dir::{EntryType, ListingBuffer, open_directory};

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
    fn is_empty(&self) -> bool {
        self.globs.is_empty() && !self.searches()
    }

    fn searches(&self) -> bool {
        self.names > 0 || self.modules > 0 || self.known_as.is_some()
    }

    /// Takes on what another start wants of the same directory.
    pub fn merge(&mut self, other: Self) {
        self.globs.extend(other.globs);
        self.names = self.names.max(other.names);
        self.modules = self.modules.max(other.modules);
        self.known_as = self.known_as.or(other.known_as);
        if other.absent == Names::All {
            self.absent = Names::All;
        }
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

/// The walk.
pub struct Walk<'a> {
    wanted: &'a [Wanted<'a>],
    starts: BTreeMap<Vec<u8>, Tasks>,
    depth: u8,
    git_config: GitConfig,
    entries: usize,
    until: Instant,
    buffer: ListingBuffer,
    finds: Finds,
}

/// The listing of one directory: names in one string, to save an allocation each.
#[derive(Default)]
struct Listing {
    names: Vec<u8>,
    entries: Vec<(usize, EntryType)>,
}

impl Listing {
    fn iter(&self) -> impl Iterator<Item = (&[u8], EntryType)> {
        let mut from = 0;
        self.entries.iter().map(move |&(end, kind)| {
            let name = self.names.get(from..end).unwrap_or_default();
            from = end;
            (name, kind)
        })
    }
}

impl<'a> Walk<'a> {
    /// A walk for these globs and, `depth` levels down, always-denied names.
    pub fn new(wanted: &'a [Wanted<'a>], depth: u8, git_config: GitConfig) -> Self {
        Self {
            wanted,
            starts: BTreeMap::new(),
            depth,
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
                path(at).display()
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
                Err(e) => return Err(format!("{}: {e}", path(at).display())),
            }
        }
        self.count(listing.entries.len(), at)?;
        let git = tasks.searches() && self.search_here(at, &tasks, &listing);
        let own = at.len();
        for (name, kind) in listing.iter() {
            let Some(below) = self.entry(at, name, kind, &tasks, git, &listing) else {
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
            path(at).display()
        ))
    }

    /// A directory that cannot be looked into: what could lie in it is denied with it.
    fn unopened(&mut self, at: &[u8], tasks: &Tasks, error: &io::Error) -> Result<(), String> {
        match error.kind() {
            // Gone, or not the directory any more that its listing said.
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => return Ok(()),
            io::ErrorKind::PermissionDenied => {}
            _ => return Err(format!("{}: {error}", path(at).display())),
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
        at: &[u8],
        name: &[u8],
        kind: EntryType,
        tasks: &Tasks,
        git: bool,
        listing: &Listing,
    ) -> Option<Tasks> {
        let kind = known(kind, at, name)?;
        let mut below = Tasks::default();
        for &(index, positions) in &tasks.globs {
            let wanted = self.wanted.get(index)?;
            if kind != EntryType::Directory {
                if wanted.glob.ends(positions, name) {
                    self.matched(at, name, kind, index, wanted.rule, listing, &mut below);
                }
                continue;
            }
            let (next, matched) = wanted.glob.step(positions, name);
            if matched {
                self.matched(at, name, kind, index, wanted.rule, listing, &mut below);
            }
            if !next.is_empty() {
                below.globs.push((index, next));
            }
        }
        if tasks.searches() {
            self.search(at, name, kind, tasks, git, &mut below);
        }
        (kind == EntryType::Directory).then_some(below)
    }

    #[allow(clippy::too_many_arguments)]
    fn matched(
        &mut self,
        at: &[u8],
        name: &[u8],
        kind: EntryType,
        index: usize,
        rule: Rule,
        listing: &Listing,
        below: &mut Tasks,
    ) {
        let allows = matches!(rule, Rule::AllowRead | Rule::AllowWrite);
        if kind == EntryType::Link && allows {
            // Whoever could plant a link could open what it leads to.
            return;
        }
        if !allows {
            self.finds.sizes.insert(at.to_vec(), listing.entries.len());
        }
        if rule == Rule::AllowWrite && kind == EntryType::Directory {
            below.names = below.names.max(self.depth);
        }
        self.finds
            .matches
            .push((index, join(at, name), plain(kind)));
    }

    /// What the search has to say of the directory as a whole; whether it is git's.
    fn search_here(&mut self, at: &[u8], tasks: &Tasks, listing: &Listing) -> bool {
        // A socket is another run's placeholder for what is absent.
        let has = |wanted: &[u8]| {
            let is = |(name, kind): (&[u8], _)| name == wanted && kind != EntryType::Socket;
            listing.iter().any(is)
        };
        let name = tasks.known_as.unwrap_or(protected::last(at));
        if protected::is_git(name, has) {
            for row in protected::git_rows(self.git_config) {
                let there = listing.iter().find(|(name, _)| *name == row.name);
                let there = there.and_then(|(name, kind)| known(kind, at, name));
                let kind = there.map_or(Kind::Absent, plain);
                let file = join(at, row.name);
                if kind == Kind::Link
                    || kind == Kind::File && row.placeholder == Placeholder::CommonDir
                {
                    self.finds.leads.push((file.clone(), kind));
                }
                // A link holds its own place.
                let hold = Some(row.placeholder).filter(|_| kind != Kind::Link);
                self.report(file, kind, hold, row.reason);
            }
            return true;
        }
        for row in protected::absent(name, tasks.absent, has) {
            let hold = Some(row.placeholder);
            self.report(join(at, row.name), Kind::Absent, hold, row.reason);
        }
        false
    }

    fn report(
        &mut self,
        path: Vec<u8>,
        kind: Kind,
        hold: Option<Placeholder>,
        reason: &'static str,
    ) {
        self.finds.found.push(Found {
            path,
            kind,
            hold,
            reason,
        });
    }

    /// The search's view of one entry.
    fn search(
        &mut self,
        at: &[u8],
        name: &[u8],
        kind: EntryType,
        tasks: &Tasks,
        git: bool,
        below: &mut Tasks,
    ) {
        if git {
            // Its own names are reported already; these hold further git directories.
            if matches!(name, b"modules" | b"worktrees") {
                below.modules = GIT_MODULE_LEVELS;
            }
            return;
        }
        let inside = tasks.known_as.unwrap_or(protected::last(at));
        let leads = protected::holds_protected(name) && kind != EntryType::Directory;
        if leads {
            self.finds.leads.push((join(at, name), plain(kind)));
        }
        if tasks.names > 0 || tasks.known_as.is_some() {
            if let Some(reason) = protected::reason(inside, name, plain(kind)) {
                let (kind, hold) = match kind {
                    // Another run's placeholder: nothing else of these names is one.
                    EntryType::Socket => (Kind::Absent, Some(Placeholder::Socket)),
                    other => (plain(other), None),
                };
                if kind == Kind::Link && !leads {
                    self.finds.leads.push((join(at, name), kind));
                }
                return self.report(join(at, name), kind, hold, reason);
            }
            if leads && kind == EntryType::Link {
                let reason = "names in it are always denied";
                self.report(join(at, name), Kind::Link, None, reason);
            }
        }
        below.names = below.names.max(tasks.names.saturating_sub(1));
        below.modules = below.modules.max(tasks.modules.saturating_sub(1));
        if below.names == 0 && tasks.names > 0 && protected::holds_protected(name) {
            below.names = 1;
        }
    }
}

/// The type of an entry, asked for where the listing does not say; `None` if it is gone.
fn known(kind: EntryType, at: &[u8], name: &[u8]) -> Option<EntryType> {
    use std::os::unix::fs::FileTypeExt;
    if kind != EntryType::Unknown {
        return Some(kind);
    }
    let kind = fs::symlink_metadata(path(&join(at, name)))
        .ok()?
        .file_type();
    Some(if kind.is_dir() {
        EntryType::Directory
    } else if kind.is_symlink() {
        EntryType::Link
    } else if kind.is_socket() {
        EntryType::Socket
    } else {
        EntryType::Other
    })
}

fn plain(kind: EntryType) -> Kind {
    match kind {
        EntryType::Directory => Kind::Directory,
        EntryType::Link => Kind::Link,
        EntryType::Socket | EntryType::Other | EntryType::Unknown => Kind::File,
    }
}
