//! The pin role: enters the sandbox's mount namespace before the command starts, and
//! mounts symbolic links on themselves, so that nobody can put others in their place.
//! bubblewrap has no option for that, and the inner stage no right to.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use super::launch::{decode_checks, encode_checks};
use super::recheck::Check;
use crate::sys;

/// What the role is told, in a memory file.
pub fn request(links: &[Check]) -> io::Result<OwnedFd> {
    sys::fd::memfd(c"srt-pins", &encode_checks(links))
}

/// Plays the role: `mounts` is the namespace, `links` the request, both inherited.
///
/// # Errors
/// The kernel refuses, or a link is not the one it was.
pub fn serve(mounts: i32, links: i32) -> io::Result<()> {
    let mounts = sys::fd::inherited(mounts)?;
    let mut content = Vec::new();
    File::from(sys::fd::inherited(links)?).read_to_end(&mut content)?;
    let links = decode_checks(&content).ok_or(io::ErrorKind::InvalidData)?;
    sys::namespace::enter_mounts(mounts.as_fd())?;
    for link in links {
        let object = sys::dir::pin_down(&link.path)?;
        let (found, _) = sys::dir::identity(object.as_fd())?;
        if found != link.identity {
            return Err(io::Error::other("a symbolic link was replaced meanwhile"));
        }
        sys::namespace::mount_on_itself(object.as_fd())?;
    }
    Ok(())
}
