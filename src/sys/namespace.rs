//! Namespaces: entering one of mounts or of the network, and mounting in it by descriptor (the kernel's new
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
    enter(mounts, libc::CLONE_NEWNS)
}

/// This process's network namespace.
pub fn own_network() -> io::Result<OwnedFd> {
    Ok(File::open("/proc/self/ns/net")?.into())
}

/// Enters a network namespace, and the user namespace that owns it first, as above: that
/// gives the right to set up what it has of the network (network_namespaces(7)).
pub fn enter_network(network: BorrowedFd<'_>) -> io::Result<()> {
    enter(network, libc::CLONE_NEWNET)
}

/// Makes a network namespace of its own for this process (unshare(2)).
pub fn new_network() -> io::Result<()> {
    // SAFETY: takes integers only.
    cerr(unsafe { libc::unshare(libc::CLONE_NEWNET) }).map(drop)
}

fn enter(namespace: BorrowedFd<'_>, kind: libc::c_int) -> io::Result<()> {
    // SAFETY: NS_GET_USERNS takes no argument.
    let raw = cerr(unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_USERNS as _) })?;
    // SAFETY: the kernel has just made this descriptor and nobody else owns it.
    let users = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: takes integers only.
    cerr(unsafe { libc::setns(users.as_raw_fd(), libc::CLONE_NEWUSER) })?;
    // SAFETY: takes integers only.
    cerr(unsafe { libc::setns(namespace.as_raw_fd(), kind) }).map(drop)
}

/// `struct mount_attr` and its flags (linux/mount.h, mount_setattr(2), Linux 5.12).
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    users: u64,
}
const MOUNT_ATTR_RDONLY: u64 = 1;
const MOUNT_ATTR_NODEV: u64 = 4;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const FSOPEN_CLOEXEC: libc::c_uint = 1;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;

/// Mounts an open object (`O_PATH`) on itself, so that its name is taken: whoever
/// renames, removes or replaces it in this mount namespace gets EBUSY. A symbolic link
/// goes on leading where it led (open_tree(2), move_mount(2)).
pub fn mount_on_itself(object: BorrowedFd<'_>) -> io::Result<()> {
    attach(&clone_mount(object)?, object)
}

/// The same, read-only.
pub fn mount_on_itself_read_only(object: BorrowedFd<'_>) -> io::Result<()> {
    let tree = clone_mount(object)?;
    restrict(&tree, MOUNT_ATTR_RDONLY)?;
    attach(&tree, object)
}

/// Covers a file, so that nobody can open it, with a device node on a mount without
/// devices.
pub fn cover_file(object: BorrowedFd<'_>, device: BorrowedFd<'_>) -> io::Result<()> {
    let tree = clone_mount(device)?;
    restrict(&tree, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV)?;
    attach(&tree, object)
}

/// Covers a directory with one that is empty and takes no writes (fsopen(2)).
pub fn cover_directory(object: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the name is a valid C string.
    let raw = unsafe { libc::syscall(libc::SYS_fsopen, c"tmpfs".as_ptr(), FSOPEN_CLOEXEC) };
    let system = owned(raw)?;
    let nothing = std::ptr::null::<libc::c_char>();
    // SAFETY: this command takes no key and no value.
    cerr(unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            system.as_raw_fd(),
            FSCONFIG_CMD_CREATE,
            nothing,
            nothing,
            0,
        )
    })?;
    // SAFETY: takes integers only.
    let raw = unsafe {
        libc::syscall(
            libc::SYS_fsmount,
            system.as_raw_fd(),
            FSMOUNT_CLOEXEC,
            MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV,
        )
    };
    attach(&owned(raw)?, object)
}

/// Takes what a system call has given for a new descriptor.
fn owned(raw: libc::c_long) -> io::Result<OwnedFd> {
    let raw = RawFd::try_from(cerr(raw)?).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: the kernel has just made this descriptor and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

fn clone_mount(object: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags =
        OPEN_TREE_CLONE | libc::O_CLOEXEC as libc::c_uint | libc::AT_EMPTY_PATH as libc::c_uint;
    // SAFETY: the path is an empty C string, as AT_EMPTY_PATH asks for.
    let raw =
        unsafe { libc::syscall(libc::SYS_open_tree, object.as_raw_fd(), c"".as_ptr(), flags) };
    owned(raw)
}

fn restrict(tree: &OwnedFd, set: u64) -> io::Result<()> {
    let attributes = MountAttributes {
        set,
        clear: 0,
        propagation: 0,
        users: 0,
    };
    // SAFETY: the path is an empty C string, as AT_EMPTY_PATH asks for, and the
    // attributes are of the size that is said.
    cerr(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            std::ptr::from_ref(&attributes),
            size_of::<MountAttributes>(),
        )
    })
    .map(drop)
}

fn attach(tree: &OwnedFd, object: BorrowedFd<'_>) -> io::Result<()> {
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
