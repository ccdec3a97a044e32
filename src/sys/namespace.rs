//! Mount namespaces: entering one, and mounting in it by descriptor (the kernel's new
//! mount calls, Linux 5.2; mount_namespaces(7), user_namespaces(7)).

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::cerr;

/// `NS_GET_USERNS` of linux/nsfs.h: `_IO(0xb7, 1)` (ioctl_ns(2)).
const NS_GET_USERNS: libc::c_ulong = 0xb701;

/// linux/mount.h
const OPEN_TREE_CLONE: libc::c_uint = 1;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 4;
const MOVE_MOUNT_T_EMPTY_PATH: libc::c_uint = 0x40;

/// This process's mount namespace.
pub fn own_mounts() -> io::Result<OwnedFd> {
    Ok(File::open("/proc/self/ns/mnt")?.into())
}

/// Enters a mount namespace, and the user namespace that owns it first, whose owner
/// this user is: that gives the right to mount there, and no right outside. For a
/// process of one thread (setns(2)).
pub fn enter_mounts(mounts: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: NS_GET_USERNS takes no argument.
    let raw = cerr(unsafe { libc::ioctl(mounts.as_raw_fd(), NS_GET_USERNS as _) })?;
    // SAFETY: the kernel has just made this descriptor and nobody else owns it.
    let users = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: takes integers only.
    cerr(unsafe { libc::setns(users.as_raw_fd(), libc::CLONE_NEWUSER) })?;
    // SAFETY: takes integers only.
    cerr(unsafe { libc::setns(mounts.as_raw_fd(), libc::CLONE_NEWNS) }).map(drop)
}

/// Mounts an open object (`O_PATH`) on itself, so that its name is taken: whoever
/// renames, removes or replaces it in this mount namespace gets EBUSY. A symbolic link
/// goes on leading where it led (open_tree(2), move_mount(2)).
pub fn mount_on_itself(object: BorrowedFd<'_>) -> io::Result<()> {
    let flags =
        OPEN_TREE_CLONE | libc::O_CLOEXEC as libc::c_uint | libc::AT_EMPTY_PATH as libc::c_uint;
    // SAFETY: the path is an empty C string, as AT_EMPTY_PATH asks for.
    let raw = cerr(unsafe {
        libc::syscall(libc::SYS_open_tree, object.as_raw_fd(), c"".as_ptr(), flags)
    })?;
    let raw = RawFd::try_from(raw).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: the kernel has just made this descriptor and nobody else owns it.
    let tree = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: both paths are empty C strings, as the flags ask for.
    cerr(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            object.as_raw_fd(),
            c"".as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH,
        )
    })
    .map(drop)
}
