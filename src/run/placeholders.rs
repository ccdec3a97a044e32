//! Placeholders one by one: how each kind is made and removed.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::paths::path;
use crate::parse::holds::{Held, Made};
use crate::policy::files::{Placeholder, parent};
use crate::sys;

/// What a held `commondir` says: the directory that it lies in.
const HERE: &[u8] = b".\n";

/// What a placeholder is made as, where the file system lets it be.
pub fn first_try(placeholder: Placeholder) -> Made {
    match placeholder {
        Placeholder::Directory => Made::Directory,
        Placeholder::Socket => Made::Socket,
        Placeholder::Empty | Placeholder::CommonDir => Made::File,
    }
}

/// Makes a placeholder where nothing is.
///
/// # Errors
/// Something is there, or nothing can be made there.
pub fn make(at: &[u8], placeholder: Placeholder) -> io::Result<Held> {
    let file = |content: &[u8]| -> io::Result<Made> {
        let new = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path(at));
        // Only a creation that is refused says that nobody can create there.
        new?.write_all(content).map_err(io::Error::other)?;
        Ok(Made::File)
    };
    let made = match placeholder {
        Placeholder::Directory => {
            DirBuilder::new().mode(0o700).create(path(at))?;
            Made::Directory
        }
        Placeholder::Socket => match sys::dir::make_socket_name(path(at)) {
            Ok(()) => Made::Socket,
            // Not every file system has sockets.
            Err(e) if is_refusal(&e) => file(b"")?,
            Err(e) => return Err(e),
        },
        Placeholder::Empty => file(b"")?,
        Placeholder::CommonDir => file(HERE)?,
    };
    let found = fs::symlink_metadata(path(at)).map_err(io::Error::other)?;
    Ok(Held {
        made,
        identity: Some((found.dev(), found.ino())),
        path: at.to_vec(),
    })
}

/// Whether an error says that this user may not.
pub fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::Unsupported
    )
}

/// Whether the command could give itself the permission that we do not have; so too if
/// that cannot be seen.
pub fn could_be_opened_up(at: &[u8]) -> bool {
    let above = parent(at).unwrap_or(b"/");
    let own = |m: Metadata| m.uid() == sys::host::uid() && m.mode() & 0o300 != 0o300;
    fs::metadata(path(above)).map_or(true, own)
}

/// Removes the placeholder at `at`, if it is still what was made and nobody has put
/// anything into it.
pub fn remove(held: &Held, at: &Path) {
    let Ok(found) = fs::symlink_metadata(at) else {
        return;
    };
    let is = found.file_type();
    let same = held
        .identity
        .is_none_or(|id| id == (found.dev(), found.ino()));
    if !same || found.uid() != sys::host::uid() {
        return;
    }
    // What resists has been taken into use, or is gone.
    let _ = match held.made {
        Made::Directory if is.is_dir() => fs::remove_dir(at),
        Made::Socket if is.is_socket() => fs::remove_file(at),
        // What was to be a socket may have become a file, where there are none.
        Made::Socket if held.identity.is_some() => Ok(()),
        Made::Socket | Made::File if is.is_file() && is_untouched(at, found.len()) => {
            fs::remove_file(at)
        }
        Made::Directory | Made::Socket | Made::File => Ok(()),
    };
}

fn is_untouched(at: &Path, length: u64) -> bool {
    length == 0 || length == HERE.len() as u64 && fs::read(at).is_ok_and(|c| c == HERE)
}
