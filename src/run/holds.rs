//! Placeholders: what holds the names that must not be created during a run, and the
//! record by which a later run clears what a killed one left.
//!
//! The index is a private directory, the same for all runs of a user. It holds one
//! record for each run, locked (flock(2)) by that run for as long as it lives, so a
//! record whose lock is free is a dead run's. A lock on the directory itself makes
//! every change one at a time. What several runs need stays until the last has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::orphans;
use super::paths::{path, shown};
use super::placeholders::{could_be_opened_up, first_try, is_refusal, make, remove};
use super::say::say;
use crate::error::{Error, While};
use crate::limits::{HELD_PATH_BYTES, LOCK, RECORD_BYTES};
use crate::parse::holds::{Held, holds, record};
use crate::policy::files::{Placeholder, join, parent};
use crate::policy::protected::last;
use crate::sys;

/// Where the index may be, in order: it should outlive a reboot.
const BASES: [&str; 2] = ["/var/tmp", "/tmp"];

const RECORDING: &str = "recording placeholders";

/// The records of all runs of this user.
pub struct Index {
    path: PathBuf,
    directory: File,
}

/// This run's placeholders; cleared when dropped.
pub struct Holds {
    index: Index,
    name: OsString,
    record: File,
    made: BTreeMap<Vec<u8>, Held>,
    /// The directories they lie in, which somebody may move meanwhile.
    directories: BTreeMap<Vec<u8>, OwnedFd>,
}

impl Index {
    /// Opens the index, or makes it.
    ///
    /// # Errors
    /// There is no place for it, or what is there is not this user's alone.
    pub fn open() -> Result<Self, Error> {
        let name = format!("srt-{}", sys::host::uid());
        let mut refused = io::Error::from(io::ErrorKind::NotFound);
        for base in BASES {
            let path = Path::new(base).join(&name);
            match Self::open_at(&path) {
                Ok(directory) => return Ok(Self { path, directory }),
                Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                    let owner = fs::symlink_metadata(&path).map_or(sys::host::uid(), |m| m.uid());
                    let cure = if owner == sys::host::uid() {
                        "remove it".to_owned()
                    } else {
                        format!("user {owner}, whose it is, or the superuser has to remove it")
                    };
                    return Err(Error::Policy(vec![format!(
                        "{}: must be a directory of this user's that nobody else may use, to \
                         record placeholders in: {cure}",
                        path.display()
                    )]));
                }
                Err(e) => refused = e,
            }
        }
        Err(refused).doing("making the index of placeholders in /var/tmp or /tmp")
    }

    fn open_at(path: &Path) -> io::Result<File> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            Ok(()) | Err(_) => {}
        }
        let directory = match sys::dir::open_directory(None, path.as_os_str().as_bytes()) {
            Ok(directory) => File::from(directory),
            // Another run has just removed it as empty.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Self::open_at(path),
            Err(_) => return Err(io::ErrorKind::InvalidData.into()),
        };
        let found = directory.metadata()?;
        if found.uid() != sys::host::uid() || found.mode() & 0o077 != 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(directory)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the lock on it; it may have been removed while we waited.
    fn lock(&mut self) -> io::Result<()> {
        loop {
            sys::fd::lock(&self.directory, LOCK)?;
            if self.directory.metadata()?.nlink() > 0 {
                return Ok(());
            }
            self.directory = Self::open_at(&self.path)?;
        }
    }

    fn unlock(&self) -> io::Result<()> {
        sys::fd::unlock(&self.directory)
    }

    /// What living runs hold, and the records of dead ones.
    fn survey(&self, own: Option<&OsString>) -> io::Result<(Records, Vec<Dead>)> {
        let mut records = Records::default();
        let mut dead = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            if Some(&name) == own {
                continue;
            }
            let Ok(file) = File::open(self.path.join(&name)) else {
                continue;
            };
            let mut content = Vec::new();
            (&file).take(RECORD_BYTES).read_to_end(&mut content)?;
            let held = holds(&content).unwrap_or_default();
            if sys::fd::try_lock(&file)? {
                dead.push(Dead { name, held });
            } else {
                records.living.extend(latest(held));
            }
        }
        Ok((records, dead))
    }

    /// Clears what dead runs left. What they held at one of `taken` is given back
    /// instead, and so is what living runs hold anywhere.
    fn sweep(&self, own: Option<&OsString>, taken: &BTreeSet<&[u8]>) -> io::Result<Records> {
        let (mut records, dead) = self.survey(own)?;
        for Dead { name, held } in dead {
            // Its bubblewrap may still be mounting on what is to be removed.
            orphans::end(&name.to_string_lossy())?;
            let mut cleared = Ok(());
            for (path, held) in latest(held).into_iter().rev() {
                if taken.contains(path.as_slice()) {
                    records.left.insert(path, held);
                } else if !records.living.contains_key(&path) {
                    cleared = cleared.and(remove(&held, super::paths::path(&path)));
                }
            }
            // Otherwise the record stays for the next.
            if cleared.is_ok() {
                fs::remove_file(self.path.join(&name))?;
            }
        }
        Ok(records)
    }

    /// Clears what dead runs left, and writes a record for the run with this mark, by
    /// which the index stays for as long as the value lives.
    ///
    /// # Errors
    /// The index cannot be read or changed.
    pub fn enter(mut self, mark: &str) -> Result<Holds, Error> {
        const DOING: &str = "clearing the placeholders of runs that were killed";
        self.lock().map_err(|e| self.busy(e, DOING))?;
        self.sweep(None, &BTreeSet::new()).doing(DOING)?;
        let name = OsString::from(mark);
        let record = File::options()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(self.path.join(&name))
            .doing(RECORDING)?;
        sys::fd::lock(&record, LOCK).doing(RECORDING)?;
        let holds = Holds {
            index: self,
            name,
            record,
            made: BTreeMap::new(),
            directories: BTreeMap::new(),
        };
        holds.index.unlock().doing(DOING)?;
        Ok(holds)
    }

    /// Why the lock was not to be had.
    fn busy(&self, error: io::Error, doing: &'static str) -> Error {
        if error.kind() != io::ErrorKind::TimedOut {
            return Error::Io {
                doing,
                source: error,
            };
        }
        Error::Policy(vec![format!(
            "{}: another process has held the lock on this directory for {} seconds: end it \
             (fuser {0} names it), and try again",
            self.path.display(),
            LOCK.as_secs()
        )])
    }
}

/// The record of a dead run.
struct Dead {
    name: OsString,
    held: Vec<Held>,
}

/// What other runs have recorded.
#[derive(Default)]
struct Records {
    living: BTreeMap<Vec<u8>, Held>,
    /// Left by dead runs, where this one needs it too.
    left: BTreeMap<Vec<u8>, Held>,
}

/// Of several records for one path, the last: first it was to be made, then it was.
fn latest(held: Vec<Held>) -> BTreeMap<Vec<u8>, Held> {
    held.into_iter().map(|h| (h.path.clone(), h)).collect()
}

impl Holds {
    /// Whether it holds anything.
    pub fn holds_some(&self) -> bool {
        !self.made.is_empty()
    }

    /// Holds every one of `wanted` for as long as the value lives. Gives the names that
    /// nobody can create here, this user included, and that need no holding.
    ///
    /// # Errors
    /// A name cannot be held, and the command could create it.
    pub fn hold(&mut self, wanted: &[(Vec<u8>, Placeholder)]) -> Result<Vec<Vec<u8>>, Error> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        if let Err(error) = self.index.lock() {
            return Err(self.index.busy(error, RECORDING));
        }
        let without = self.make(wanted)?;
        self.index.unlock().doing(RECORDING)?;
        Ok(without)
    }

    fn make(&mut self, wanted: &[(Vec<u8>, Placeholder)]) -> Result<Vec<Vec<u8>>, Error> {
        let paths: BTreeSet<&[u8]> = wanted.iter().map(|(p, _)| p.as_slice()).collect();
        let records = self
            .index
            .sweep(Some(&self.name), &paths)
            .doing(RECORDING)?;
        // What is held below another run's placeholder keeps that in place too.
        for (path, _) in wanted {
            let mut above = parent(path);
            while let Some(at) = above {
                if let Some(held) = records.living.get(at) {
                    self.made.insert(at.to_vec(), held.clone());
                }
                above = parent(at);
            }
        }
        let missing = |at: &[u8]| {
            fs::symlink_metadata(path(at)).is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
        };
        // Recorded before the first is made: whatever happens from here on is known.
        let mut intents = Vec::new();
        let mut absent = Vec::new();
        for (at, placeholder) in wanted {
            if missing(at) && at.len() <= HELD_PATH_BYTES {
                intents.extend(self::record(&Held {
                    made: first_try(*placeholder),
                    identity: None,
                    path: at.clone(),
                }));
                absent.push((at, *placeholder));
            } else if let Some(held) = records.living.get(at).or(records.left.get(at)) {
                self.made.insert(at.clone(), held.clone());
            }
        }
        self.record.write_all(&intents).doing(RECORDING)?;
        let mut without = Vec::new();
        for (at, placeholder) in absent {
            match make(at, placeholder) {
                Ok(held) => {
                    self.made.insert(at.clone(), held);
                }
                // Somebody else has just made it: it is there, and the mount covers it.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                // What it lies in is gone since we looked.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    return Err(Error::Changed(format!("{}: {e}", shown(at))));
                }
                Err(e) if is_refusal(&e) && !could_be_opened_up(at) => without.push(at.clone()),
                Err(e) => {
                    return Err(Error::Policy(vec![format!(
                        "{}: must not be created by the command, and cannot be held: {e}",
                        shown(at)
                    )]));
                }
            }
        }
        for above in self.made.keys().filter_map(|at| parent(at)) {
            if !self.directories.contains_key(above) {
                // Without it, the path has to do.
                if let Ok(directory) = sys::dir::pin_down(above) {
                    self.directories.insert(above.to_vec(), directory);
                }
            }
        }
        let made: Vec<u8> = self.made.values().flat_map(self::record).collect();
        self.record.write_all(&made).doing(RECORDING)?;
        Ok(without)
    }

    /// Where a placeholder is by now.
    fn now(&self, at: &[u8]) -> PathBuf {
        let directory = parent(at).and_then(|above| self.directories.get(above));
        match directory {
            Some(directory) => {
                let directory = format!("/proc/self/fd/{}/", directory.as_raw_fd());
                path(&join(directory.as_bytes(), last(at))).to_owned()
            }
            None => path(at).to_owned(),
        }
    }

    fn clear(&mut self) -> io::Result<()> {
        self.index.lock()?;
        // What dead runs left is the next one's: we may not remove it any more.
        let (records, _) = self.index.survey(Some(&self.name))?;
        // What lies inside another goes first.
        let mut cleared = Ok(());
        for (at, held) in self.made.iter().rev() {
            if !records.living.contains_key(at) {
                cleared = cleared.and(remove(held, &self.now(at)));
            }
        }
        cleared?;
        fs::remove_file(self.index.path.join(&self.name))
    }
}

impl Holds {
    /// Where records are.
    pub fn index(&self) -> &Path {
        &self.index.path
    }

    /// The directories that placeholders lie in.
    pub fn directories(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.directories.values().map(AsFd::as_fd)
    }
}

impl Drop for Holds {
    fn drop(&mut self) {
        // What could not be cleared now, the next run clears by the record.
        if let Err(e) = self.clear() {
            let at = shown(self.index.path.as_os_str().as_bytes());
            say(&format!(
                "{at}: {e}: clearing the placeholders is left to the next run"
            ));
        }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        // Not while another run is about to write its record, nor if it holds one. The
        // lock ends with the descriptor.
        if matches!(sys::fd::try_lock(&self.directory), Ok(true)) {
            let _ = fs::remove_dir(&self.path);
        }
    }
}
