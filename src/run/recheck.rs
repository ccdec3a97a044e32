//! That the mounts are where they were meant to be: what lay at each place when the
//! plan was made lies there still once bubblewrap is done, on the host and inside.
//! A component swapped for a link in between, by whoever else may write there, is an
//! error before the command runs.

use std::io;
use std::os::fd::AsFd;

use super::paths::shown;
use crate::emit::bwrap::{Op, Same};
use crate::sys::dir::{Identity, MountRoot, identity, pin_down};

/// A place, and the object that lies there on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Where.
    pub path: Vec<u8>,
    /// What.
    pub identity: Identity,
    /// Whether the sandbox shows the same there.
    pub shows: Same,
    /// Whether the mount takes something away from the command.
    pub denies: Denies,
}

/// What a mount is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denies {
    /// To take something away.
    Yes,
    /// To give something, or to hold a directory where it is.
    No,
}

/// Takes down what lies at every place of the plan, and at the links to be pinned.
///
/// # Errors
/// Something is gone, or a component of its path has become a symbolic link.
pub fn checks(ops: &[Op], links: &[Vec<u8>]) -> Result<Vec<Check>, String> {
    let denies = |op: &Op| match op {
        Op::Bind(_) => Denies::No,
        _ => Denies::Yes,
    };
    let places = ops.iter().filter_map(|op| {
        let (at, shows) = op.mounts()?;
        Some((at, shows, denies(op)))
    });
    let links = links
        .iter()
        .map(|link| (link.as_slice(), Same::Object, Denies::No));
    let mut checks = Vec::new();
    for (at, shows, denies) in places.chain(links).filter(|(at, ..)| *at != b"/") {
        let (identity, _) = look(at).map_err(|e| moved(at, &e))?;
        checks.push(Check {
            path: at.to_vec(),
            identity,
            shows,
            denies,
        });
    }
    Ok(checks)
}

fn look(at: &[u8]) -> io::Result<(Identity, MountRoot)> {
    identity(pin_down(at)?.as_fd())
}

fn moved(at: &[u8], error: &dyn std::fmt::Display) -> String {
    format!(
        "{} changed while the sandbox was being set up ({error}): try again",
        shown(at)
    )
}

/// That the host still has the same objects at the same places.
///
/// # Errors
/// It does not.
pub fn outside(checks: &[Check]) -> Result<(), String> {
    for check in checks {
        let (found, _) = look(&check.path).map_err(|e| moved(&check.path, &e))?;
        if found != check.identity {
            return Err(moved(&check.path, &"something else lies there now"));
        }
    }
    Ok(())
}

/// That inside, every place is a mount of its own, and shows what it should.
///
/// # Errors
/// It is not.
pub fn inside(checks: &[Check]) -> Result<(), String> {
    for check in checks {
        let (found, root) = match look(&check.path) {
            Ok(found) => found,
            // The way there is barred to the command as well: root without its
            // capabilities is an ordinary user.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => continue,
            Err(e) => return Err(moved(&check.path, &e)),
        };
        if root == MountRoot::Inside {
            return Err(moved(&check.path, &"nothing is mounted there"));
        }
        if check.shows == Same::Object && check.identity != found {
            return Err(moved(&check.path, &"something else is mounted there"));
        }
    }
    Ok(())
}
