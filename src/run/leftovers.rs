//! The run's temporary directory, and those that killed runs left behind.
//!
//! Each directory is held by a lock on itself (flock(2)) for as long as its owner
//! lives, so a directory whose lock is free is nobody's.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::orphans;
use crate::sys;

/// Tries to find a free name before giving up.
const TRIES: usize = 16;

/// A private directory (mode 0700), removed with all it holds when dropped. What the
/// command may write is a directory inside it.
pub struct Temporary {
    path: PathBuf,
    inner: PathBuf,
    empty: PathBuf,
    _lock: File,
}

impl Temporary {
    /// Clears what dead runs of this user left in `base`, then makes a directory there.
    ///
    /// # Errors
    /// Nothing can be made in `base`.
    pub fn new(base: &Path) -> io::Result<Self> {
        let base = fs::canonicalize(base)?;
        let prefix = format!("srt-{}-", sys::host::uid());
        clear(&base, &prefix);
        for _ in 0..TRIES {
            let path = base.join(format!("{prefix}{:016x}", random()?));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(e),
            }
            // Between the two calls another run may take it for a dead one's and
            // remove it: then the lock is refused, or held on a directory that is
            // no longer there.
            let Ok(lock) = File::open(&path) else {
                continue;
            };
            if sys::fd::try_lock(&lock)? && fs::symlink_metadata(&path).is_ok() {
                let inner = path.join("tmp");
                DirBuilder::new().mode(0o700).create(&inner)?;
                let empty = path.join("empty");
                File::options()
                    .write(true)
                    .create_new(true)
                    .mode(0o444)
                    .open(&empty)?;
                return Ok(Self {
                    path,
                    inner,
                    empty,
                    _lock: lock,
                });
            }
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
        remove(&self.path);
    }
}

/// Removes a directory tree, also where the command has taken permissions away.
fn remove(path: &Path) {
    if fs::remove_dir_all(path).is_ok() {
        return;
    }
    open_up(path);
    // What still resists belongs to the next run, which tries again.
    let _ = fs::remove_dir_all(path);
}

/// Gives the owner every permission on the directories below, so that they can be
/// emptied. Symlinks are not followed.
fn open_up(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            open_up(&entry.path());
        }
    }
}

fn clear(base: &Path, prefix: &str) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let name: OsString = entry.file_name();
        let Some(run) = name.to_str().filter(|n| n.starts_with(prefix)) else {
            continue;
        };
        let path = entry.path();
        let ours = |m: &fs::Metadata| m.is_dir() && m.uid() == sys::host::uid();
        if !fs::symlink_metadata(&path).as_ref().is_ok_and(ours) {
            continue;
        }
        let Ok(lock) = File::open(&path) else {
            continue;
        };
        if matches!(sys::fd::try_lock(&lock), Ok(true)) && orphans::end(run).is_ok() {
            remove(&path);
        }
    }
}

fn random() -> io::Result<u64> {
    let mut bytes = [0u8; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}
