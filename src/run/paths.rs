//! What a path names on this host: its symbolic links resolved one by one, so that
//! each of them is known.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use crate::limits::LINKS;
use crate::policy::files::{Kind, Placeholder, join, parent};
use crate::policy::{Link, Place};

/// Where a path leads, and by which links.
#[derive(Debug)]
pub struct Resolution {
    /// What lies there.
    pub place: Place,
    /// The symbolic links on the way.
    pub links: Vec<Link>,
}

/// A path of bytes, for std.
pub fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// A path for people to read: what it is made of moves no cursor and begins no line.
pub fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).escape_debug().to_string()
}

/// A string as in JSON.
pub fn quoted(bytes: &[u8]) -> String {
    miniserde::json::to_string(&String::from_utf8_lossy(bytes).into_owned())
}

fn components(text: &[u8]) -> impl DoubleEndedIterator<Item = Vec<u8>> {
    let named = |part: &&[u8]| !matches!(*part, b"" | b".");
    text.split(|&b| b == b'/').filter(named).map(<[u8]>::to_vec)
}

/// An absolute path without `.`, `..` and double slashes, by its words alone.
pub fn plain(wanted: &[u8]) -> Vec<u8> {
    let mut at = b"/".to_vec();
    for name in components(wanted) {
        at = match name.as_slice() {
            b".." => parent(&at).unwrap_or(b"/").to_vec(),
            name => join(&at, name),
        };
    }
    at
}

/// Resolves an absolute path as the kernel does (path_resolution(7)).
///
/// # Errors
/// One line: it goes through something that is no directory, through too many links,
/// or cannot be read for another reason than that it is absent or forbidden.
pub fn resolve(wanted: &[u8]) -> Result<Resolution, String> {
    let mut ahead: VecDeque<Vec<u8>> = components(wanted).collect();
    let mut at = b"/".to_vec();
    let mut kind = Kind::Directory;
    let mut hold = None;
    let mut links = Vec::new();
    let directory = wanted.ends_with(b"/");
    while let Some(name) = ahead.pop_front() {
        if kind != Kind::Directory {
            return Err(format!("{} is not a directory", shown(&at)));
        }
        if name == b".." {
            at = parent(&at).unwrap_or(b"/").to_vec();
            continue;
        }
        let next = join(&at, &name);
        let found = match fs::symlink_metadata(path(&next)) {
            Ok(found) => found.file_type(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                if ahead.iter().any(|part| part == b"..") {
                    return Err(format!(
                        "'..' behind {}, which does not exist",
                        shown(&next)
                    ));
                }
                let place = Place::Absent {
                    above: at,
                    name,
                    wanted: wanted.to_vec(),
                };
                return Ok(Resolution { place, links });
            }
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                let place = Place::Unseen {
                    above: at,
                    wanted: wanted.to_vec(),
                };
                return Ok(Resolution { place, links });
            }
            Err(e) => return Err(format!("{}: {e}", shown(&next))),
        };
        if found.is_symlink() {
            let target =
                fs::read_link(path(&next)).map_err(|e| format!("{}: {e}", shown(&next)))?;
            let target = target.into_os_string().into_vec();
            if links.len() >= LINKS {
                return Err("too many levels of symbolic links".into());
            }
            if target.first() == Some(&b'/') {
                at = b"/".to_vec();
            }
            for part in components(&target).rev() {
                ahead.push_front(part);
            }
            links.push(Link { path: next, target });
            continue;
        }
        at = next;
        kind = if found.is_dir() {
            Kind::Directory
        } else {
            Kind::File
        };
        hold = found.is_socket().then_some(Placeholder::Socket);
    }
    if directory && kind != Kind::Directory {
        return Err(format!("{} is not a directory", shown(&at)));
    }
    let place = Place::Exists {
        path: at,
        kind,
        hold,
    };
    Ok(Resolution { place, links })
}
