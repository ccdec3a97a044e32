//! The run's temporary directory, and those that killed runs left behind.
//!
//! Each directory is held by a lock on itself (flock(2)) for as long as its owner
//! lives, so a directory whose lock is free is nobody's.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::orphans;
use super::paths::shown;
use super::removal::{self, Depth};
use super::say::say;
use crate::sys;
use crate::sys::dir::{MountRoot, identity, open_directory};

/// Tries to find a free name before giving up.
const TRIES: usize = 16;

/// A private directory (mode 0700), removed with all it holds when dropped. What the
/// command may write is a directory inside it.
pub struct Temporary {
    path: PathBuf,
    inner: PathBuf,
    empty: PathBuf,
    mark: String,
    /// What it was made in.
    base: File,
    /// Itself, locked, wherever somebody has moved it.
    directory: File,
}

impl Temporary {
    /// Clears what dead runs of this user left in `base`, then makes a directory there.
    ///
    /// # Errors
    /// Nothing can be made in `base`.
    pub fn new(base: &Path) -> io::Result<Self> {
        let at = fs::canonicalize(base)?;
        let base = File::from(open_directory(None, at.as_os_str().as_bytes())?);
        let prefix = format!("srt-{}-", sys::host::uid());
        clear(&at, &base, &prefix);
        for _ in 0..TRIES {
            let name = format!("{prefix}{:016x}", random()?);
            let path = at.join(&name);
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(e),
            }
            // Between the two calls another run may take it for a dead one's and
            // remove it: then the lock is refused, or held on a directory that is
            // no longer there.
            let Ok(directory) = open_directory(Some(base.as_fd()), name.as_bytes()) else {
                continue;
            };
            let directory = File::from(directory);
            if !sys::fd::try_lock(&directory)?
                || !removal::is_at(base.as_fd(), name.as_bytes(), &directory)
            {
                // A lock that is somebody else's waits for nobody. Empty, it goes.
                let _ = fs::remove_dir(&path);
                continue;
            }
            let inner = path.join("tmp");
            DirBuilder::new().mode(0o700).create(&inner)?;
            let empty = path.join("empty");
            File::options()
                .write(true)
                .create_new(true)
                .mode(0o444)
                .open(&empty)?;
            return Ok(Self {
                mark: orphans::mark(&name, &identity(directory.as_fd())?.0),
                path,
                inner,
                empty,
                base,
                directory,
            });
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Where it is; the command must not write here.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of the run, which no other has.
    pub fn run(&self) -> &str {
        self.path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
    }

    /// What its processes are known by.
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// What it was made in, and itself: where the run clears up at its end.
    pub fn cleared(&self) -> [BorrowedFd<'_>; 2] {
        [self.base.as_fd(), self.directory.as_fd()]
    }

    /// The command's own.
    pub fn inner(&self) -> &Path {
        &self.inner
    }

    /// An empty file.
    pub fn empty(&self) -> &Path {
        &self.empty
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(e) = removal::remove(self.base.as_fd(), &self.directory, Depth::Bounded) {
            let at = shown(self.path.as_os_str().as_bytes());
            say(&format!("{at}: {e}: removing it is left to the next run"));
        }
    }
}

/// Removes what dead runs left in `base`, which lies at `at`.
fn clear(at: &Path, base: &File, prefix: &str) {
    for entry in fs::read_dir(at).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.as_bytes().starts_with(prefix.as_bytes()) {
            // What cannot be cleared is tried again by the next run.
            let _ = clear_one(base, name.as_bytes());
        }
    }
}

fn clear_one(base: &File, name: &[u8]) -> io::Result<()> {
    let directory = removal::open(base.as_fd(), name)?;
    let (itself, root) = identity(directory.as_fd())?;
    let ours = directory.metadata()?.uid() == sys::host::uid() && root == MountRoot::Inside;
    if ours && sys::fd::try_lock(&directory)? {
        // Only those of this very directory: anybody may have given it its name.
        orphans::end(&orphans::of_directory(&itself))?;
        removal::remove(base.as_fd(), &directory, Depth::Any)?;
    }
    Ok(())
}

fn random() -> io::Result<u64> {
    let mut bytes = [0u8; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}
