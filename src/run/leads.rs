//! Where always-denied names lead: symbolic links, and the files by which git finds its
//! directories.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

use super::paths::{path, resolve};
use super::tasks::Tasks;
use super::walk::Walk;
use crate::limits::GIT_LINK_BYTES;
use crate::parse::gitlink;
use crate::policy::files::{Kind, Placeholder, join, parent};
use crate::policy::protected::last;
use crate::policy::{Found, Place};
use crate::sys;

/// Goes where an always-denied name leads, and reports what lies there; the walk goes
/// on in a directory that has such names itself.
pub fn follow(lead: &[u8], kind: Kind, walk: &mut Walk<'_>, all: &mut Vec<Found>) {
    const REASON: &str = "an always-denied name leads to it";
    let (target, known_as) = match (kind, known_name(lead)) {
        (Kind::Link, known_as) => (lead.to_vec(), known_as),
        (_, Some(_)) => match led(lead) {
            Some(target) => (target, Some(DOT_GIT)),
            None => return,
        },
        (_, None) => return,
    };
    // What leads in circles, or through a file, leads nowhere.
    let Ok(found) = resolve(&target) else {
        return;
    };
    let mut report = |path: Vec<u8>, kind, hold| {
        all.push(Found {
            path,
            kind,
            hold,
            reason: REASON,
        });
    };
    for link in found.links {
        report(link.path, Kind::Link, None);
    }
    match (found.place, known_as) {
        (
            Place::Exists {
                path,
                kind: Kind::Directory,
                ..
            },
            Some(name),
        ) => walk.start(
            &path,
            Tasks {
                known_as: Some(name),
                ..Tasks::default()
            },
        ),
        (Place::Exists { path, kind, hold }, _) => report(path, kind, hold),
        (Place::Absent { above, name, .. }, _) => {
            report(join(&above, &name), Kind::Absent, Some(Placeholder::Socket));
        }
        (Place::Unseen { above, .. }, _) => report(above, Kind::Directory, None),
    }
}

const DOT_GIT: &[u8] = b".git";

/// What a lead by this name leads to, if that is a directory with names of its own.
fn known_name(lead: &[u8]) -> Option<&'static [u8]> {
    match last(lead) {
        b".claude" => Some(b".claude"),
        b"commondir" => Some(DOT_GIT),
        name if name.ends_with(DOT_GIT) => Some(DOT_GIT),
        _ => None,
    }
}

/// The directory that a `.git` or `commondir` file names.
fn led(lead: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    let most = GIT_LINK_BYTES as u64;
    // Opening a fifo must not wait for its other end.
    let file = File::options()
        .read(true)
        .custom_flags(sys::dir::NO_WAIT)
        .open(path(lead))
        .ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    file.take(most).read_to_end(&mut content).ok()?;
    let target = if last(lead) == b"commondir" {
        gitlink::commondir(&content)?
    } else {
        gitlink::gitdir(&content)?
    };
    let above = parent(lead)?;
    Some(if target.starts_with(b"/") {
        target.to_vec()
    } else {
        join(above, target)
    })
}
