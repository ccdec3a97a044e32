//! Removes a directory tree in which others may be at work, and which somebody may have
//! made to be hard to remove.
//!
//! All goes by descriptors, and no symbolic link is followed. One directory is open at a
//! time, however deep the tree is: the way up is `..`, if that is still the directory
//! that was come from. Nothing on another file system, or mounted, is gone down to.

use std::fs::{File, Permissions};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::limits::{REMOVAL_BYTES, REMOVAL_LEVELS, REMOVALS};
use crate::policy::protected::last;
use crate::sys;
use crate::sys::dir::{
    EntryType, Identity, ListingBuffer, MountRoot, Removed, identity, open_directory, open_place,
    path_of, remove_at, set_mode,
};

/// Permissions of a directory that can be emptied.
const ALL: u32 = 0o700;

/// Opens the directory `name` in `above` for listing; gives this user every permission
/// on it, if it is this user's.
///
/// # Errors
/// It is not a directory, is not there, or is not to be had.
pub fn open(above: BorrowedFd<'_>, name: &[u8]) -> io::Result<File> {
    open_up(&File::from(open_place(above, name)?))
}

/// The same of a place, which is known to be a directory, whatever its name means by now.
fn open_up(place: &File) -> io::Result<File> {
    let found = place.metadata()?;
    if found.uid() == sys::host::uid() && found.mode() & ALL != ALL {
        set_mode(place, ALL)?;
    }
    Ok(open_directory(Some(place.as_fd()), b".")?.into())
}

/// How deep a tree is gone down into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// To its end.
    Any,
    /// Not below [`REMOVAL_LEVELS`]: to whom Landlock's rules apply, each step costs as
    /// much as it is deep.
    Bounded,
}

/// Removes all that is in `root`, and `root` itself if it lies in `base` still.
///
/// # Errors
/// Something resists; all else is gone.
pub fn remove(base: BorrowedFd<'_>, root: &File, depth: Depth) -> io::Result<()> {
    empty(root, depth)?;
    let at = path_of(root.as_fd())?;
    if is_at(base, last(&at), root) {
        remove_at(base, last(&at), Removed::Directory)?;
    }
    Ok(())
}

/// Whether it is this directory that is called so in `base`.
pub fn is_at(base: BorrowedFd<'_>, name: &[u8], directory: &File) -> bool {
    let same = || -> io::Result<bool> {
        let there = open_place(base, name)?;
        Ok(identity(there.as_fd())?.0 == identity(directory.as_fd())?.0)
    };
    same().unwrap_or(false)
}

fn empty(root: &File, depth: Depth) -> io::Result<()> {
    // Somebody may have taken the permission that even `.` takes.
    if root.metadata()?.mode() & ALL != ALL {
        root.set_permissions(Permissions::from_mode(ALL))?;
    }
    let mut left = Ok(());
    for _ in 0..REMOVALS {
        let mut pass = Pass::new(root, depth)?;
        left = pass.run();
        // Where a listing does not stay the same while entries go, some were passed over.
        let again = left
            .as_ref()
            .is_err_and(|e| e.kind() == io::ErrorKind::DirectoryNotEmpty);
        if !again || pass.removed == 0 {
            break;
        }
    }
    left
}

/// A directory on the way down.
struct Level {
    /// Its name in the one above.
    name: Vec<u8>,
    identity: Identity,
    /// Directories in it that are to be gone down to.
    below: Vec<Vec<u8>>,
    /// How far it has been listed.
    position: u64,
    listed: Listed,
}

/// Whether a listing has come to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listed {
    Partly,
    Whole,
}

/// Once through a tree.
struct Pass {
    /// The directory that the last of the levels is about.
    at: File,
    levels: Vec<Level>,
    buffer: ListingBuffer,
    device: u64,
    depth: Depth,
    removed: u64,
    /// Why the first thing that resisted did.
    refused: io::Result<()>,
}

impl Pass {
    fn new(root: &File, depth: Depth) -> io::Result<Self> {
        let at = open(root.as_fd(), b".")?;
        let (identity, _) = identity(at.as_fd())?;
        let mut pass = Self {
            at,
            levels: Vec::new(),
            buffer: ListingBuffer::of(REMOVAL_BYTES),
            device: identity.device,
            depth,
            removed: 0,
            refused: Ok(()),
        };
        pass.push(Vec::new(), identity);
        Ok(pass)
    }

    fn push(&mut self, name: Vec<u8>, identity: Identity) {
        self.levels.push(Level {
            name,
            identity,
            below: Vec::new(),
            position: 0,
            listed: Listed::Partly,
        });
    }

    fn run(&mut self) -> io::Result<()> {
        while let Some(level) = self.levels.last_mut() {
            if let Some(name) = level.below.pop() {
                let went = self.go_down(name);
                self.note(went);
            } else if level.listed == Listed::Whole {
                self.go_up()?;
            } else {
                self.list()?;
            }
        }
        std::mem::replace(&mut self.refused, Ok(()))
    }

    /// Whatever resists, the rest goes.
    fn note(&mut self, result: io::Result<()>) {
        match result {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) if self.refused.is_ok() => self.refused = Err(e),
            Ok(()) | Err(_) => {}
        }
    }

    /// Removes what the next piece of the listing names, but for directories that are not
    /// empty.
    fn list(&mut self) -> io::Result<()> {
        let mut entries = Vec::new();
        let each = |name: &[u8], kind| entries.push((name.to_vec(), kind));
        let more = self.buffer.read(self.at.as_fd(), each)?;
        for (name, kind) in entries {
            match remove_entry(self.at.as_fd(), &name, kind) {
                Ok(()) => self.removed += 1,
                Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => {
                    if let Some(level) = self.levels.last_mut() {
                        level.below.push(name);
                    }
                }
                refused => self.note(refused),
            }
        }
        if let (false, Some(level)) = (more, self.levels.last_mut()) {
            level.listed = Listed::Whole;
        }
        Ok(())
    }

    fn go_down(&mut self, name: Vec<u8>) -> io::Result<()> {
        if self.depth == Depth::Bounded && self.levels.len() > REMOVAL_LEVELS {
            return Err(io::Error::other(format!(
                "more than {REMOVAL_LEVELS} directories in one another"
            )));
        }
        let place = File::from(open_place(self.at.as_fd(), &name)?);
        let (identity, root) = identity(place.as_fd())?;
        if identity.device != self.device || root == MountRoot::Root {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        let below = open_up(&place)?;
        if let Some(level) = self.levels.last_mut() {
            level.position = self.at.stream_position()?;
        }
        self.at = below;
        self.push(name, identity);
        Ok(())
    }

    /// From a directory that is emptied to the one above, and removes it there.
    fn go_up(&mut self) -> io::Result<()> {
        let (Some(done), Some(above)) = (self.levels.pop(), self.levels.last()) else {
            return Ok(());
        };
        let mut up = File::from(open_directory(Some(self.at.as_fd()), b"..")?);
        if identity(up.as_fd())?.0 != above.identity {
            return Err(moved());
        }
        up.seek(SeekFrom::Start(above.position))?;
        self.at = up;
        let gone = remove_at(self.at.as_fd(), &done.name, Removed::Directory);
        self.removed += u64::from(gone.is_ok());
        self.note(gone);
        Ok(())
    }
}

fn moved() -> io::Error {
    io::Error::other("somebody moves what is to be removed")
}

/// Removes an entry, whatever it has become since it was listed.
fn remove_entry(above: BorrowedFd<'_>, name: &[u8], kind: EntryType) -> io::Result<()> {
    let [first, second] = match kind {
        EntryType::Directory => [Removed::Directory, Removed::Other],
        _ => [Removed::Other, Removed::Directory],
    };
    match remove_at(above, name, first) {
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory
            ) =>
        {
            remove_at(above, name, second)
        }
        other => other,
    }
}
