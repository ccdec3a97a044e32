//! The guard role: enters the sandbox's mount namespace before the command starts, and
//! does there what bubblewrap has no option for and the inner stage no right to.
//!
//! It mounts symbolic links on themselves, so that nobody can put others in their place.
//! Then it stays and watches: a mount belongs to a directory entry, and goes with it when
//! somebody outside replaces the file by another (rename(2)), as editors and git do. What
//! has come in its place is covered again, within the time it takes to hear of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::launch::{decode_checks, encode_checks};
use super::paths::shown;
use super::recheck::Check;
use crate::emit::bwrap::Same;
use crate::policy::files::{join, parent};
use crate::sys;
use crate::sys::dir::{MountRoot, identity, pin_down};
use crate::sys::watch::{Change, Watch};

/// What the role says once it is ready; anything else is what went wrong.
pub const READY: &str = "ready\n";

/// A list of places, in a memory file.
///
/// # Errors
/// The kernel gives none.
pub fn request(places: &[Check]) -> io::Result<OwnedFd> {
    sys::fd::memfd(c"srt-guard", &encode_checks(places))
}

/// Plays the role: `mounts` is the namespace, `links` and `places` are requests; all are
/// inherited.
///
/// # Errors
/// The kernel refuses, or a link is not the one it was: told on standard output as well.
pub fn serve(mounts: i32, links: i32, places: i32) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match Guard::new(mounts, links, places) {
        Ok(guard) => {
            stdout.write_all(READY.as_bytes())?;
            stdout.flush()?;
            guard.stay()
        }
        Err(error) => {
            stdout.write_all(error.to_string().as_bytes())?;
            stdout.flush()?;
            Err(error)
        }
    }
}

struct Guard {
    watch: Watch,
    directories: BTreeMap<i32, Vec<u8>>,
    places: BTreeMap<Vec<u8>, Same>,
    /// The null device, to cover files with.
    device: Option<OwnedFd>,
}

impl Guard {
    fn new(mounts: i32, links: i32, places: i32) -> io::Result<Self> {
        let read = |number| -> io::Result<Vec<Check>> {
            let mut content = Vec::new();
            File::from(sys::fd::inherited(number)?).read_to_end(&mut content)?;
            decode_checks(&content).ok_or_else(|| io::ErrorKind::InvalidData.into())
        };
        let (links, places) = (read(links)?, read(places)?);
        let mounts = sys::fd::inherited(mounts)?;
        sys::namespace::enter_mounts(mounts.as_fd())?;
        for link in links {
            let object = pin_down(&link.path)?;
            if identity(object.as_fd())?.0 != link.identity {
                return Err(io::Error::other("a symbolic link was replaced meanwhile"));
            }
            sys::namespace::mount_on_itself(object.as_fd())?;
        }
        let mut guard = Self {
            watch: Watch::new()?,
            directories: BTreeMap::new(),
            places: places.into_iter().map(|c| (c.path, c.shows)).collect(),
            // Absent where /dev is hidden.
            device: pin_down(b"/dev/null").ok(),
        };
        guard.watch_all()?;
        Ok(guard)
    }

    fn watch_all(&mut self) -> io::Result<()> {
        let above: BTreeSet<&[u8]> = self.places.keys().filter_map(|at| parent(at)).collect();
        for directory in above {
            match self.watch.add(directory) {
                Ok(number) => drop(self.directories.insert(number, directory.to_vec())),
                // Who may not look into it is not the one who replaces what is in it.
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {}
                Err(e) => {
                    return Err(io::Error::other(format!(
                        "watching {}: {e}",
                        shown(directory)
                    )));
                }
            }
        }
        Ok(())
    }

    /// Until killed.
    fn stay(self) -> io::Result<()> {
        while !self.directories.is_empty() {
            for change in self.watch.wait()? {
                match change {
                    Change::Overflow => self.places.keys().for_each(|at| self.look(at)),
                    Change::Name(number, name) => {
                        if let Some(directory) = self.directories.get(&number) {
                            let at = join(directory, &name);
                            if self.places.contains_key(&at) {
                                self.look(&at);
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn look(&self, at: &[u8]) {
        match self.cover(at) {
            Ok(Covered::Still) => {}
            Ok(Covered::Again) => say(at, "was replaced from outside, and is protected again"),
            // What is gone can come again; then it is looked at again.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => say(
                at,
                &format!("was replaced from outside, and cannot be protected: {e}"),
            ),
        }
    }

    fn cover(&self, at: &[u8]) -> io::Result<Covered> {
        let object = pin_down(at)?;
        let (found, root) = identity(object.as_fd())?;
        if root == MountRoot::Root {
            return Ok(Covered::Still);
        }
        let object = object.as_fd();
        match (self.places.get(at), found.is_directory(), &self.device) {
            (Some(Same::Object) | None, _, _) | (_, false, None) => {
                sys::namespace::mount_on_itself_read_only(object)?;
            }
            (Some(Same::Path), true, _) => sys::namespace::cover_directory(object)?,
            (Some(Same::Path), false, Some(device)) => {
                sys::namespace::cover_file(object, device.as_fd())?;
            }
        }
        Ok(Covered::Again)
    }
}

enum Covered {
    /// Nothing has changed there.
    Still,
    /// Something else was there, and is covered now.
    Again,
}

fn say(at: &[u8], what: &str) {
    // Nobody is waited for: what is covered next is more than a word about the last.
    let line = format!("srt: {} {what}\n", shown(at));
    let _ = sys::streams::speak(line.as_bytes(), Duration::ZERO);
}
