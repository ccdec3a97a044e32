//! Directories and paths by descriptor: what std does not offer.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem::{offset_of, size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::ptr;

use super::cerr;
pub use super::place::{EntryType, Identity, MountRoot, NO_WAIT, Removed};

pub(super) fn c_string(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// Opens a directory for listing: `name` in `above`, or an absolute path. The last
/// component is not followed if it is a symbolic link, and what is no directory is not
/// waited for (openat(2)).
pub fn open_directory(above: Option<BorrowedFd<'_>>, name: &[u8]) -> io::Result<OwnedFd> {
    open_at(above, name, libc::O_RDONLY | libc::O_NONBLOCK)
}

/// Opens a directory as a place only, which takes no permission on itself (`O_PATH`):
/// `name` in `above`, not followed if it is a symbolic link.
pub fn open_place(above: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    open_at(Some(above), name, libc::O_PATH)
}

/// Sets the permissions of such a place, by /proc (proc(5)).
pub fn set_mode(place: &File, mode: u32) -> io::Result<()> {
    let link = format!("/proc/self/fd/{}", place.as_raw_fd());
    std::fs::set_permissions(link, std::fs::Permissions::from_mode(mode))
}

fn open_at(above: Option<BorrowedFd<'_>>, name: &[u8], more: i32) -> io::Result<OwnedFd> {
    let name = c_string(name)?;
    let above = above.map_or(libc::AT_FDCWD, |fd| fd.as_raw_fd());
    let flags = more | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: `name` is a valid C string for the length of the call.
    let raw = cerr(unsafe { libc::openat(above, name.as_ptr(), flags) })?;
    // SAFETY: the kernel has just made this descriptor and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Whether /proc's links to open objects are followed (proc(5)): to another process they
/// lead elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MagicLinks {
    /// They are.
    Followed,
    /// They are an error.
    Refused,
}

/// Where what `path` names lies, its symbolic links resolved by the kernel.
pub fn real_path(path: &[u8], links: MagicLinks) -> io::Result<Vec<u8>> {
    let path = c_string(path)?;
    // SAFETY: an open_how of zeroes is a valid one that asks for nothing.
    let mut how: libc::open_how = unsafe { zeroed() };
    how.flags = (libc::O_PATH | libc::O_CLOEXEC) as u64;
    if links == MagicLinks::Refused {
        how.resolve = libc::RESOLVE_NO_MAGICLINKS;
    }
    path_of(open_how(&path, &how)?.as_fd())
}

/// openat2(2), from the root.
fn open_how(path: &CString, how: &libc::open_how) -> io::Result<OwnedFd> {
    // SAFETY: `path` is a valid C string and `how` an open_how of the size that is
    // said, both for the length of the call.
    let raw = cerr(unsafe {
        libc::syscall(
            libc::SYS_openat2,
            libc::AT_FDCWD,
            path.as_ptr(),
            ptr::from_ref(how),
            size_of::<libc::open_how>(),
        )
    })?;
    let raw = RawFd::try_from(raw).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: the kernel has just made this descriptor and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Opens a file for appending, and makes it (mode 0600) if it is not there; through no
/// symbolic link, and for no wait: a pipe without a reader is an error, and one that is full
/// takes nothing (openat2(2), `RESOLVE_NO_SYMLINKS`).
pub fn open_log(path: &[u8]) -> io::Result<OwnedFd> {
    let path = c_string(path)?;
    let flags = libc::O_WRONLY
        | libc::O_APPEND
        | libc::O_CREAT
        | libc::O_NONBLOCK
        | libc::O_NOCTTY
        | libc::O_CLOEXEC;
    // SAFETY: an open_how of zeroes is a valid one that asks for nothing.
    let mut how: libc::open_how = unsafe { zeroed() };
    how.flags = flags as u64;
    how.mode = 0o600;
    how.resolve = libc::RESOLVE_NO_SYMLINKS;
    open_how(&path, &how)
}

/// Whether a path was refused for a symbolic link (ELOOP).
pub fn is_loop(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ELOOP)
}

/// Where an open object lies (proc(5), `/proc/self/fd`).
pub fn path_of(object: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let link = format!("/proc/self/fd/{}", object.as_raw_fd());
    let path = std::fs::read_link(link)?;
    Ok(path.into_os_string().into_vec())
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
    cerr(unsafe { libc::unlinkat(above.as_raw_fd(), name.as_ptr(), flags) }).map(drop)
}

/// Bytes of entries that one call brings.
const LISTING_BYTES: usize = 32 * 1024;

/// Room for a piece of a listing, aligned as `struct linux_dirent64` wants it.
pub struct ListingBuffer(Vec<u64>);

impl Default for ListingBuffer {
    fn default() -> Self {
        Self(vec![0; LISTING_BYTES / size_of::<u64>()])
    }
}

impl ListingBuffer {
    /// One of this many bytes. No entry is longer than 300.
    pub fn of(bytes: usize) -> Self {
        Self(vec![0; bytes.div_ceil(size_of::<u64>())])
    }

    /// Reads the next entries of a directory and gives each to `entry`, without `.` and
    /// `..`; `false` at the end (getdents64(2)).
    pub fn read(
        &mut self,
        directory: BorrowedFd<'_>,
        mut entry: impl FnMut(&[u8], EntryType),
    ) -> io::Result<bool> {
        // SAFETY: the buffer is valid for the kernel to write that many bytes to.
        let length = cerr(unsafe {
            libc::syscall(
                libc::SYS_getdents64,
                directory.as_raw_fd(),
                self.0.as_mut_ptr(),
                self.0.len() * size_of::<u64>(),
            )
        })?;
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::InvalidData)?;
        // SAFETY: the kernel has written `length` bytes, at most the buffer's size, and
        // every byte of a u64 is initialised and may be read as a u8.
        let bytes = unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast::<u8>(), length) };
        let mut rest = bytes;
        while !rest.is_empty() {
            let (name, kind, size) = dirent(rest).ok_or(io::ErrorKind::InvalidData)?;
            if name != b"." && name != b".." {
                entry(name, kind);
            }
            rest = rest.get(size..).ok_or(io::ErrorKind::InvalidData)?;
        }
        Ok(length > 0)
    }
}

/// The first `struct linux_dirent64`: its name, its type, its size.
fn dirent(bytes: &[u8]) -> Option<(&[u8], EntryType, usize)> {
    const SIZE: usize = offset_of!(libc::dirent64, d_reclen);
    const TYPE: usize = offset_of!(libc::dirent64, d_type);
    const NAME: usize = offset_of!(libc::dirent64, d_name);
    let size = bytes.get(SIZE..)?.first_chunk::<2>()?;
    let size = usize::from(u16::from_ne_bytes(*size));
    let kind = match *bytes.get(TYPE)? {
        libc::DT_DIR => EntryType::Directory,
        libc::DT_LNK => EntryType::Link,
        libc::DT_SOCK => EntryType::Socket,
        libc::DT_UNKNOWN => EntryType::Unknown,
        _ => EntryType::Other,
    };
    let name = bytes.get(NAME..size)?;
    let end = name.iter().position(|&b| b == 0)?;
    Some((name.get(..end)?, kind, size))
}

/// Opens what lies at an absolute path without reading it, if no component of it is a
/// symbolic link but perhaps the last, which is opened itself (`O_PATH`,
/// `RESOLVE_NO_SYMLINKS`, openat2(2), Linux 5.6).
pub fn pin_down(path: &[u8]) -> io::Result<OwnedFd> {
    let path = c_string(path)?;
    // SAFETY: an open_how of zeroes is a valid one that asks for nothing.
    let mut how: libc::open_how = unsafe { zeroed() };
    how.flags = (libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC) as u64;
    how.resolve = libc::RESOLVE_NO_SYMLINKS;
    open_how(&path, &how)
}

/// The identity of an open object, and whether something is mounted there (statx(2),
/// Linux 5.8).
pub fn identity(object: BorrowedFd<'_>) -> io::Result<(Identity, MountRoot)> {
    // SAFETY: a statx of zeroes is valid; the kernel fills it in.
    let mut found: libc::statx = unsafe { zeroed() };
    // SAFETY: the path is an empty C string, as AT_EMPTY_PATH asks for, and `found` is
    // valid for the kernel to write.
    cerr(unsafe {
        libc::syscall(
            libc::SYS_statx,
            object.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW,
            libc::STATX_INO | libc::STATX_TYPE | libc::STATX_BTIME,
            ptr::from_mut(&mut found),
        )
    })?;
    let root = libc::STATX_ATTR_MOUNT_ROOT as u64;
    if found.stx_attributes_mask & root == 0 {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let identity = Identity {
        device: u64::from(found.stx_dev_major) << 32 | u64::from(found.stx_dev_minor),
        inode: found.stx_ino,
        born: (found.stx_btime.tv_sec as u64)
            .wrapping_mul(1_000_000_000)
            .wrapping_add(u64::from(found.stx_btime.tv_nsec)),
        kind: u64::from(found.stx_mode) & u64::from(libc::S_IFMT),
    };
    let place = if found.stx_attributes & root == 0 {
        MountRoot::Inside
    } else {
        MountRoot::Root
    };
    Ok((identity, place))
}

/// Makes a socket's name that nothing listens on (mknod(2), S_IFSOCK).
pub fn make_socket_name(path: &Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let path = c_string(path.as_os_str().as_bytes())?;
    // SAFETY: `path` is a valid C string for the length of the call.
    cerr(unsafe { libc::mknod(path.as_ptr(), libc::S_IFSOCK | 0o600, 0) }).map(drop)
}

/// Whether this user may create entries in the directory (faccessat(2)).
pub fn may_create_in(directory: &[u8]) -> bool {
    let Ok(path) = c_string(directory) else {
        return false;
    };
    let wanted = libc::W_OK | libc::X_OK;
    // SAFETY: `path` is a valid C string for the length of the call.
    unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), wanted, libc::AT_EACCESS) == 0 }
}
