//! Directories and paths by descriptor: what std does not offer, on macOS. The same
//! functions as on Linux, with what its kernel has.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;

use super::cerr;
pub use super::place::{EntryType, Identity, MountRoot, NO_WAIT, Removed};

fn c_string(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn open_at(above: i32, name: &CStr, flags: i32, mode: libc::c_uint) -> io::Result<OwnedFd> {
    // SAFETY: `name` is a valid C string for the length of the call.
    let raw = cerr(unsafe { libc::openat(above, name.as_ptr(), flags | libc::O_CLOEXEC, mode) })?;
    // SAFETY: the kernel has just made this descriptor and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

const DIRECTORY: i32 = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_DIRECTORY | libc::O_NOFOLLOW;

/// Opens a directory for listing: `name` in `above`, or an absolute path. The last
/// component is not followed if it is a symbolic link (openat(2)).
pub fn open_directory(above: Option<BorrowedFd<'_>>, name: &[u8]) -> io::Result<OwnedFd> {
    let above = above.map_or(libc::AT_FDCWD, |fd| fd.as_raw_fd());
    open_at(above, &c_string(name)?, DIRECTORY, 0)
}

/// Opens a directory as a place: `name` in `above`, not followed if it is a symbolic link.
/// One of this user's whose permissions forbid that is given them first.
pub fn open_place(above: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    match open_directory(Some(above), name) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            let name = c_string(name)?;
            let flags = libc::AT_SYMLINK_NOFOLLOW;
            // SAFETY: `name` is a valid C string for the length of the call.
            cerr(unsafe { libc::fchmodat(above.as_raw_fd(), name.as_ptr(), 0o700, flags) })?;
            open_at(above.as_raw_fd(), &name, DIRECTORY, 0)
        }
        other => other,
    }
}

/// Sets the permissions of an open place.
pub fn set_mode(place: &File, mode: u32) -> io::Result<()> {
    place.set_permissions(std::fs::Permissions::from_mode(mode))
}

/// `O_NOFOLLOW_ANY` (sys/fcntl.h, macOS 11): no component is followed.
const NOFOLLOW_ANY: i32 = 0x2000_0000;

/// Opens a file for appending, and makes it (mode 0600) if it is not there; through no
/// symbolic link, and for no wait.
pub fn open_log(path: &[u8]) -> io::Result<OwnedFd> {
    let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_NONBLOCK | libc::O_NOCTTY;
    open_at(
        libc::AT_FDCWD,
        &c_string(path)?,
        flags | NOFOLLOW_ANY,
        0o600,
    )
}

/// Whether a path was refused for a symbolic link (ELOOP).
pub fn is_loop(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ELOOP)
}

/// Where an open object lies (fcntl(2), F_GETPATH).
pub fn path_of(object: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut path = vec![0u8; libc::PATH_MAX as usize];
    // SAFETY: F_GETPATH writes at most PATH_MAX bytes, for which there is room.
    cerr(unsafe { libc::fcntl(object.as_raw_fd(), libc::F_GETPATH, path.as_mut_ptr()) })?;
    path.truncate(path.iter().position(|&b| b == 0).unwrap_or(path.len()));
    Ok(path)
}

/// Removes `name` from the directory `above`; a symbolic link is removed itself
/// (unlinkat(2)).
pub fn remove_at(above: BorrowedFd<'_>, name: &[u8], what: Removed) -> io::Result<()> {
    let name = c_string(name)?;
    let flags = match what {
        Removed::Directory => libc::AT_REMOVEDIR,
        Removed::Other => 0,
    };
    // SAFETY: `name` is a valid C string for the length of the call.
    match cerr(unsafe { libc::unlinkat(above.as_raw_fd(), name.as_ptr(), flags) }) {
        // unlink(2) of a directory is EPERM here.
        Err(e) if what == Removed::Other && e.raw_os_error() == Some(libc::EPERM) => {
            Err(io::ErrorKind::IsADirectory.into())
        }
        other => other.map(drop),
    }
}

/// Reads a directory whole.
#[derive(Default)]
pub struct ListingBuffer(());

impl ListingBuffer {
    /// The C library keeps its own.
    pub fn of(_bytes: usize) -> Self {
        Self(())
    }

    /// Gives each entry of a directory to `entry`, without `.` and `..`; then there are no
    /// more (readdir(3)).
    pub fn read(
        &mut self,
        directory: BorrowedFd<'_>,
        mut entry: impl FnMut(&[u8], EntryType),
    ) -> io::Result<bool> {
        // A description of its own, read from its start.
        let own = open_directory(Some(directory), b".")?;
        // SAFETY: the descriptor is a directory's, and is the stream's from here on.
        let stream = unsafe { libc::fdopendir(own.into_raw_fd()) };
        if stream.is_null() {
            return Err(io::Error::last_os_error());
        }
        loop {
            // SAFETY: `stream` is open, and used by nobody else; errno tells an error from
            // the end.
            let found = unsafe {
                *libc::__error() = 0;
                libc::readdir(stream)
            };
            if found.is_null() {
                let error = io::Error::last_os_error();
                // SAFETY: `stream` is closed once, here.
                unsafe { libc::closedir(stream) };
                return match error.raw_os_error() {
                    Some(0) | None => Ok(false),
                    _ => Err(error),
                };
            }
            // SAFETY: `found` is an entry that is valid until the next call, and its name a
            // C string in it.
            let (name, kind) = unsafe {
                let name = CStr::from_ptr((&raw const (*found).d_name).cast());
                (name.to_bytes(), (*found).d_type)
            };
            let kind = match kind {
                libc::DT_DIR => EntryType::Directory,
                libc::DT_LNK => EntryType::Link,
                libc::DT_SOCK => EntryType::Socket,
                libc::DT_UNKNOWN => EntryType::Unknown,
                _ => EntryType::Other,
            };
            if name != b"." && name != b".." {
                entry(name, kind);
            }
        }
    }
}

/// The identity of an open object (fstat(2)). That something is mounted there, its device
/// says: nothing is mounted twice.
pub fn identity(object: BorrowedFd<'_>) -> io::Result<(Identity, MountRoot)> {
    // SAFETY: a stat of zeroes is valid for the kernel to write.
    let mut found: libc::stat = unsafe { zeroed() };
    // SAFETY: `found` is valid for the kernel to write.
    cerr(unsafe { libc::fstat(object.as_raw_fd(), &raw mut found) })?;
    let identity = Identity {
        device: found.st_dev as u64,
        inode: found.st_ino,
        born: (found.st_birthtime as u64)
            .wrapping_mul(1_000_000_000)
            .wrapping_add(found.st_birthtime_nsec as u64),
        kind: u64::from(found.st_mode & libc::S_IFMT),
    };
    Ok((identity, MountRoot::Inside))
}
