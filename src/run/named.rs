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
use crate::emit::watched::{Attempt, Intent, LastLink, Start, Subject};
use crate::limits::KNOWN_DIRECTORIES;
use crate::policy::Place;
use crate::policy::files::{Access, FRESH, Files, covers, join, parent};
use crate::sys;
use crate::sys::dir::MagicLinks;
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
    /// It began in /proc, and was made this process's way to the same.
    links: MagicLinks,
}

impl Written {
    /// The path of an attempt, made absolute by where it starts. `None`: it cannot be read,
    /// it is about the descriptor itself, or it lies in a tree that is the command's own.
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
        let mut above_is_real = false;
        let whole = match (text, attempt.start) {
            ([], _) => return None,
            ([b'/', ..], _) => text.to_vec(),
            (_, start) => {
                let start = match start {
                    Start::WorkingDirectory => format!("/proc/{thread}/cwd"),
                    Start::Descriptor(number) => format!("/proc/{thread}/fd/{number}"),
                };
                let start = fs::read_link(start).ok()?.into_os_string().into_vec();
                // Anything but a directory's name, such as `pipe:[1]`.
                if !start.starts_with(b"/") {
                    return None;
                }
                above_is_real = !text.contains(&b'/') && !matches!(text, b"." | b"..");
                join(&start, text)
            }
        };
        if !FRESH.iter().any(|tree| covers(tree, &whole)) {
            return Some(Self {
                path: whole,
                above_is_real,
                links: MagicLinks::Refused,
            });
        }
        Some(Self {
            path: own_way(thread, &whole)?,
            above_is_real: false,
            links: MagicLinks::Followed,
        })
    }
}

/// This process's way to what a thread reaches by its own /proc or its descriptors' names
/// in /dev. The rest of those trees is made anew for the command, and told of by nobody.
fn own_way(thread: u32, path: &[u8]) -> Option<Vec<u8>> {
    let ways: [(&[u8], &str); 6] = [
        (b"/proc/self", ""),
        (b"/proc/thread-self", ""),
        (b"/dev/fd", "/fd"),
        (b"/dev/stdin", "/fd/0"),
        (b"/dev/stdout", "/fd/1"),
        (b"/dev/stderr", "/fd/2"),
    ];
    let (theirs, own) = ways.iter().find(|(way, _)| covers(way, path))?;
    let rest = path.strip_prefix(*theirs)?;
    Some([format!("/proc/{thread}{own}").as_bytes(), rest].concat())
}

/// What is known of directories, by how they were written.
#[derive(Default)]
pub struct Known(HashMap<Vec<u8>, Directory>);

struct Directory {
    real: Vec<u8>,
    access: Access,
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
        let slash = written.path.len() > text.len();
        if slash && matches!(attempt.subject, Subject::File | Subject::NoDirectory) {
            return None;
        }
        // Whatever links the host has in there, the command sees none of them.
        let straight = !text.split(|&b| b == b'/').any(|part| part == b"..");
        if straight && files.access(text) == Access::Hidden {
            return Some(text.to_vec());
        }
        let name = text.rsplit(|&b| b == b'/').next()?;
        let real_path = |path: &[u8]| sys::dir::real_path(path, written.links);
        if matches!(name, b"." | b"..") {
            let named = matches!(attempt.subject, Subject::Absent | Subject::Directory);
            return if named { None } else { real_path(text).ok() };
        }
        let above = parent(text)?;
        if !self.0.contains_key(above) {
            let real = match written.above_is_real {
                true => above.to_vec(),
                false => real_path(above).ok()?,
            };
            if self.0.len() >= KNOWN_DIRECTORIES || written.links == MagicLinks::Followed {
                self.forget();
            }
            let access = files.access(&real);
            let free = access == Access::Write && files.is_free(&real);
            let directory = Directory { real, free, access };
            self.0.insert(above.to_vec(), directory);
        }
        let above = self.0.get(above)?;
        let target = join(&above.real, name);
        // Of what is not there, or is no link, the name is all there is to it; and what
        // is hidden leads nowhere.
        let follows = attempt.link == LastLink::Followed && above.access != Access::Hidden;
        if follows && fs::read_link(path(&target)).is_ok() {
            return match real_path(&target) {
                // Something without a name, such as a pipe.
                Ok(real) => real.starts_with(b"/").then_some(real),
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
