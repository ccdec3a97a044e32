//! What a path of a call names: read from its caller's memory, made absolute, and resolved.
//!
//! Nearly every call is about a place that may be written. Such places are remembered, so
//! that they cost no system call: a directory's real path stays what it is until somebody
//! makes a symbolic link or moves something, which the observer hears of.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;

use super::paths::{self, path};
use crate::emit::watched::{Attempt, Intent, LastLink, Start};
use crate::limits::KNOWN_DIRECTORIES;
use crate::policy::Place;
use crate::policy::files::{Files, join, parent};
use crate::sys;
use crate::sys::notify;

/// Longest path that the kernel takes (PATH_MAX, with its NUL).
const PATH_BYTES: usize = 4096;
/// Most paths are shorter, and are read more cheaply.
const SHORT_BYTES: usize = 256;

/// A path of a call's, absolute.
pub struct Written {
    path: Vec<u8>,
    /// All of it but the last name is known to be real: the kernel said so.
    above_is_real: bool,
}

impl Written {
    /// The path of an attempt, made absolute by where it starts. `None`: it cannot be read,
    /// or it is about the descriptor itself.
    pub fn read(thread: u32, attempt: &Attempt) -> Option<Self> {
        let mut short = [0; SHORT_BYTES];
        let mut long = [0; PATH_BYTES];
        let read = notify::read_memory(thread, attempt.address, &mut short).ok()?;
        let mut text = short.get(..read)?;
        if !text.contains(&0) {
            let read = notify::read_memory(thread, attempt.address, &mut long).ok()?;
            text = long.get(..read)?;
        }
        let text = text.split(|&b| b == 0).next()?;
        if text.starts_with(b"/") {
            return Some(Self {
                path: text.to_vec(),
                above_is_real: false,
            });
        }
        let start = match attempt.start {
            _ if text.is_empty() => return None,
            Start::WorkingDirectory => format!("/proc/{thread}/cwd"),
            Start::Descriptor(number) => format!("/proc/{thread}/fd/{number}"),
        };
        let start = fs::read_link(start).ok()?.into_os_string().into_vec();
        // Anything but a directory's name, such as `pipe:[1]`.
        start.starts_with(b"/").then(|| Self {
            path: join(&start, text),
            above_is_real: !text.contains(&b'/') && !matches!(text, b"." | b".."),
        })
    }
}

/// What is known of directories, by how they were written.
#[derive(Default)]
pub struct Known(HashMap<Vec<u8>, Directory>);

struct Directory {
    real: Vec<u8>,
    /// All in it may be written.
    free: bool,
}

impl Known {
    /// Forgets all of it.
    pub fn forget(&mut self) {
        self.0.clear();
    }

    /// What an attempt is about, its symbolic links resolved, there or not. `None`: the way
    /// there is barred or broken, sandbox or not; or it is a place of which nothing is to be
    /// told.
    pub fn target(
        &mut self,
        written: &Written,
        attempt: Attempt,
        files: &Files,
    ) -> Option<Vec<u8>> {
        let text = written.path.as_slice();
        let end = text.iter().rposition(|&b| b != b'/');
        let Some(text) = end.and_then(|end| text.get(..=end)) else {
            return Some(b"/".to_vec());
        };
        let name = text.rsplit(|&b| b == b'/').next()?;
        if matches!(name, b"." | b"..") {
            return sys::dir::real_path(text).ok();
        }
        let above = parent(text)?;
        if !self.0.contains_key(above) {
            let real = match written.above_is_real {
                true => above.to_vec(),
                false => sys::dir::real_path(above).ok()?,
            };
            if self.0.len() >= KNOWN_DIRECTORIES {
                self.forget();
            }
            let free = files.is_free(&real);
            self.0.insert(above.to_vec(), Directory { real, free });
        }
        let above = self.0.get(above)?;
        let target = join(&above.real, name);
        // Of what is not there, or is no link, the name is all there is to it.
        if attempt.link == LastLink::Followed && fs::read_link(path(&target)).is_ok() {
            return match sys::dir::real_path(&target) {
                Ok(real) => Some(real),
                // Where a dangling link leads is where the kernel would create.
                Err(e) if e.kind() == io::ErrorKind::NotFound => dangling(&target),
                Err(_) => None,
            };
        }
        (!(above.free && attempt.intent == Intent::Write)).then_some(target)
    }
}

fn dangling(link: &[u8]) -> Option<Vec<u8>> {
    match paths::resolve(link).ok()?.place {
        Place::Absent { above, name, .. } => Some(join(&above, &name)),
        Place::Exists { path, .. } => Some(path),
        Place::Unseen { .. } => None,
    }
}
