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
///
/// # Errors
/// It is still there, and may be removed another time.
pub fn remove(held: &Held, at: &Path) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(at) else {
        return Ok(());
    };
    let is = found.file_type();
    let same = held
        .identity
        .is_none_or(|id| id == (found.dev(), found.ino()));
    if !same || found.uid() != sys::host::uid() {
        return Ok(());
    }
    let removed = match held.made {
        Made::Directory if is.is_dir() => fs::remove_dir(at),
        Made::Socket if is.is_socket() => fs::remove_file(at),
        // What was to be a socket may have become a file, where there are none.
        Made::Socket if held.identity.is_some() => Ok(()),
        Made::Socket | Made::File if is.is_file() => match is_untouched(at, found.len()) {
            Ok(true) => fs::remove_file(at),
            Ok(false) => Ok(()),
            Err(e) => Err(e),
        },
        Made::Directory | Made::Socket | Made::File => Ok(()),
    };
    match removed {
        // The device, or a lack of memory: nothing that lasts.
        Err(e) if is_passing(&e) => Err(e),
        // What resists has been taken into use, or is gone.
        Ok(()) | Err(_) => Ok(()),
    }
}

fn is_passing(error: &io::Error) -> bool {
    let gone = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
    let used = [
        io::ErrorKind::DirectoryNotEmpty,
        io::ErrorKind::ResourceBusy,
    ];
    !is_refusal(error) && !gone.contains(&error.kind()) && !used.contains(&error.kind())
}

fn is_untouched(at: &Path, length: u64) -> io::Result<bool> {
    Ok(length == 0 || length == HERE.len() as u64 && fs::read(at)? == HERE)
}
