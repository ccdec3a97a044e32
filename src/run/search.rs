//! The walk's search for always-denied names.

use std::fs;
use std::os::unix::fs::FileTypeExt;

use super::paths::path;
use super::tasks::Tasks;
use super::walk::{Listing, Seen, Walk};
use crate::limits::GIT_MODULE_LEVELS;
use crate::policy::Found;
use crate::policy::files::{Kind, Placeholder, join};
use crate::policy::protected;
use crate::sys::dir::EntryType;

impl Walk<'_> {
    /// What the search has to say of a directory as a whole; whether it is git's.
    pub(super) fn search_here(&mut self, at: &[u8], tasks: &Tasks, listing: &Listing) -> bool {
        // A socket is another run's placeholder for what is absent.
        let has = |wanted: &[u8]| {
            let is = |(name, kind): (&[u8], _)| name == wanted && kind != EntryType::Socket;
            listing.iter().any(is)
        };
        let name = tasks.known_as.unwrap_or(protected::last(at));
        if protected::is_git(name, has) {
            self.git_directory(at, listing);
            return true;
        }
        for row in protected::absent(name, tasks.absent, has) {
            let hold = Some(row.placeholder);
            self.report(join(at, row.name), Kind::Absent, hold, row.reason);
        }
        false
    }

    fn git_directory(&mut self, at: &[u8], listing: &Listing) {
        for row in protected::git_rows(self.git_config) {
            let there = listing.iter().find(|(name, _)| *name == row.name);
            let seen = there.and_then(|(name, kind)| Seen::new(at, name, kind));
            let kind = seen.map_or(Kind::Absent, |seen| seen.plain());
            let file = join(at, row.name);
            let leads = row.placeholder == Placeholder::CommonDir && kind == Kind::File;
            if kind == Kind::Link || leads {
                self.finds.leads.push((file.clone(), kind));
            }
            // A link holds its own place.
            let hold = Some(row.placeholder).filter(|_| kind != Kind::Link);
            self.report(file, kind, hold, row.reason);
        }
    }

    /// What it has to say of one entry; `below` takes what is to be done further down.
    pub(super) fn search(&mut self, seen: &Seen<'_>, tasks: &Tasks, git: bool, below: &mut Tasks) {
        if git {
            // Its own names are reported already; these hold further git directories.
            if matches!(seen.name, b"modules" | b"worktrees") {
                below.modules = GIT_MODULE_LEVELS;
            }
            return;
        }
        let holds = protected::holds_protected(seen.name);
        let leads = holds && seen.kind != EntryType::Directory;
        if leads {
            self.finds.leads.push((seen.path(), seen.plain()));
        }
        if tasks.names > 0 || tasks.known_as.is_some() {
            let inside = tasks.known_as.unwrap_or(protected::last(seen.at));
            if let Some(reason) = protected::reason(inside, seen.name, seen.plain()) {
                let (kind, hold) = match seen.kind {
                    // Another run's placeholder: nothing else of these names is one.
                    EntryType::Socket => (Kind::Absent, Some(Placeholder::Socket)),
                    EntryType::Link => (Kind::Link, None),
                    // These could be: then they stay for as long as this run needs them.
                    EntryType::Directory => (Kind::Directory, Some(Placeholder::Directory)),
                    EntryType::Other | EntryType::Unknown => (Kind::File, Some(Placeholder::Empty)),
                };
                if kind == Kind::Link && !leads {
                    self.finds.leads.push((seen.path(), kind));
                }
                return self.report(seen.path(), kind, hold, reason);
            }
            if leads && seen.kind == EntryType::Link {
                let reason = "names in it are always denied";
                self.report(seen.path(), Kind::Link, None, reason);
            }
        }
        below.names = below.names.max(tasks.names.saturating_sub(1));
        below.modules = below.modules.max(tasks.modules.saturating_sub(1));
        if below.names == 0 && tasks.names > 0 && holds {
            below.names = 1;
        }
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
}

impl<'a> Seen<'a> {
    /// An entry of the directory `at`, its type asked for where the listing does not
    /// say; `None` if it is gone.
    pub(super) fn new(at: &'a [u8], name: &'a [u8], kind: EntryType) -> Option<Self> {
        let kind = match kind {
            EntryType::Unknown => typed(&join(at, name))?,
            known => known,
        };
        Some(Self { at, name, kind })
    }

    /// Where it lies.
    pub(super) fn path(&self) -> Vec<u8> {
        join(self.at, self.name)
    }

    /// What a mount would find there.
    pub(super) fn plain(&self) -> Kind {
        match self.kind {
            EntryType::Directory => Kind::Directory,
            EntryType::Link => Kind::Link,
            EntryType::Socket | EntryType::Other | EntryType::Unknown => Kind::File,
        }
    }
}

fn typed(at: &[u8]) -> Option<EntryType> {
    let kind = fs::symlink_metadata(path(at)).ok()?.file_type();
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
