//! The supervisor's side of seccomp: hearing of a call before it is made, looking at the
//! caller, and answering (seccomp_unotify(2)).
//!
//! What a caller's memory says may change as soon as it has been read, so an answer that
//! lets the kernel go on ([`go_on`]) decides nothing.

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::cerr;
use super::seccomp::{SockFilter, install};

// What a call may be answered with (errno(3)).
/// EACCES: the policy does not allow it.
pub const DENIED: i32 = libc::EACCES;
/// EPERM: it cannot be looked at.
pub const REFUSED: i32 = libc::EPERM;
/// EINVAL: an address that is none.
pub const INVALID: i32 = libc::EINVAL;
/// EFAULT: memory that is not the caller's.
pub const FAULT: i32 = libc::EFAULT;
/// ECONNREFUSED: no socket is there.
pub const NOBODY: i32 = libc::ECONNREFUSED;
/// EAGAIN: a listener has no room now.
pub const AGAIN: i32 = libc::EAGAIN;
/// EALREADY: a connect has not ended.
pub const ALREADY: i32 = libc::EALREADY;
/// EINPROGRESS: a connect has begun.
pub const UNDER_WAY: i32 = libc::EINPROGRESS;

/// A call that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub struct Notification {
    /// What it is answered by.
    pub id: u64,
    /// The thread that makes it, as this process sees it.
    pub thread: u32,
    /// The call's number.
    pub number: u32,
    /// Its arguments.
    pub arguments: [u64; 6],
}

// linux/seccomp.h: _IOWR('!', 0, struct seccomp_notif), and so on.
const RECEIVE: u32 = 0xc050_2100;
const SEND: u32 = 0xc018_2101;
const VALID: u32 = 0x4008_2102;
const SET_FLAGS: u32 = 0x4008_2104;
/// SECCOMP_USER_NOTIF_FLAG_CONTINUE.
const CONTINUE: u32 = 1;
/// SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP.
const SYNC_WAKE_UP: u64 = 1;

const _: () = assert!(size_of::<libc::seccomp_notif>() == 0x50);
const _: () = assert!(size_of::<libc::seccomp_notif_resp>() == 0x18);

/// Loads `program`, as [`super::seccomp::load`] does; gives the listener that hears of
/// what the program asks. No filter above may have one.
pub fn listen(program: &[SockFilter]) -> io::Result<OwnedFd> {
    let new = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // Once heard, a call is not interrupted but by death, so that none is made twice
    // (Linux 5.19).
    let killable = libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    let raw = match install(program, new | killable) {
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => install(program, new)?,
        other => other?,
    };
    let raw = RawFd::try_from(raw).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: the kernel has just made this descriptor and nobody else owns it.
    let listener = unsafe { OwnedFd::from_raw_fd(raw) };
    // A caller and its listener take turns, so the one's end of turn wakes the other on
    // the same processor (Linux 6.6). Without it, all goes on, more slowly.
    // SAFETY: takes integers only.
    unsafe { libc::ioctl(listener.as_raw_fd(), SET_FLAGS as _, SYNC_WAKE_UP) };
    Ok(listener)
}

/// Whether a call waits (poll(2)).
pub fn has_calls(listener: BorrowedFd<'_>) -> bool {
    let mut entry = libc::pollfd {
        fd: listener.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: `entry` is one entry, as said.
    unsafe { libc::poll(&raw mut entry, 1, 0) == 1 && entry.revents & libc::POLLIN != 0 }
}

/// The next call that waits; `None` if its caller is gone by now. Blocks if there is none.
pub fn receive(listener: BorrowedFd<'_>) -> io::Result<Option<Notification>> {
    // SAFETY: the kernel wants it zeroed, and all of it may be zero.
    let mut heard: libc::seccomp_notif = unsafe { zeroed() };
    // SAFETY: `heard` is valid for the kernel to write.
    match cerr(unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE as _, &raw mut heard) }) {
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => Ok(None),
        other => other.map(|_| {
            Some(Notification {
                id: heard.id,
                thread: heard.pid,
                number: heard.data.nr.unsigned_abs(),
                arguments: heard.data.args,
            })
        }),
    }
}

/// Lets the kernel make the call. Says whether the caller was still there.
pub fn go_on(listener: BorrowedFd<'_>, id: u64) -> io::Result<bool> {
    send(listener, id, 0, CONTINUE)
}

/// Answers in the kernel's place: 0, or an errno. Says whether the caller was still there.
pub fn answer(listener: BorrowedFd<'_>, id: u64, errno: i32) -> io::Result<bool> {
    send(listener, id, -errno, 0)
}

fn send(listener: BorrowedFd<'_>, id: u64, error: i32, flags: u32) -> io::Result<bool> {
    let mut response = libc::seccomp_notif_resp {
        id,
        val: 0,
        error,
        flags,
    };
    // SAFETY: `response` is valid for the kernel to read.
    match cerr(unsafe { libc::ioctl(listener.as_raw_fd(), SEND as _, &raw mut response) }) {
        // The caller is gone; the call has its answer, or nobody has received it yet.
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::EINPROGRESS)) => Ok(false),
        other => other.map(|_| true),
    }
}

/// Whether the caller still waits: what was read from its thread's number was its own.
pub fn is_valid(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: `id` is valid for the kernel to read.
    cerr(unsafe { libc::ioctl(listener.as_raw_fd(), VALID as _, &raw const id) }).is_ok()
}

/// Reads from a thread's memory into `buffer`, as far as it is mapped
/// (process_vm_readv(2)); gives how much that was.
pub fn read_memory(thread: u32, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
    const PAGE: usize = 4096;
    let start = usize::try_from(address).map_err(|_| io::ErrorKind::InvalidInput)?;
    // Transfers end between vectors, and so at the end of the page where a string ends.
    let first = buffer.len().min(PAGE - start % PAGE);
    let next = start
        .checked_add(first)
        .ok_or(io::ErrorKind::InvalidInput)?;
    let remote = [
        libc::iovec {
            iov_base: start as *mut _,
            iov_len: first,
        },
        libc::iovec {
            iov_base: next as *mut _,
            iov_len: buffer.len() - first,
        },
    ];
    let local = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: `local` is valid for the kernel to write; the remote addresses are another
    // process's, and the kernel checks them.
    let read = cerr(unsafe {
        libc::process_vm_readv(
            thread as libc::pid_t,
            &raw const local,
            1,
            remote.as_ptr(),
            2,
            0,
        )
    })?;
    Ok(read.unsigned_abs())
}

/// PIDFD_THREAD (pidfd_open(2), Linux 6.9).
const PIDFD_THREAD: libc::c_uint = libc::O_EXCL as libc::c_uint;

/// A copy of a thread's descriptor, for the same open object (pidfd_getfd(2), Linux 5.6).
/// Where the kernel knows no threads, it is that of their `leader`: the same, but for a
/// thread with descriptors of its own.
pub fn copy_descriptor(
    thread: u32,
    leader: impl Fn() -> Option<u32>,
    number: i32,
) -> io::Result<OwnedFd> {
    let open = |number: u32, flags: libc::c_uint| {
        // SAFETY: takes integers only.
        cerr(unsafe { libc::syscall(libc::SYS_pidfd_open, number as libc::pid_t, flags) })
    };
    let owner = match open(thread, PIDFD_THREAD) {
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
            open(leader().ok_or(io::ErrorKind::NotFound)?, 0)
        }
        other => other,
    }?;
    let owned = |raw: libc::c_long| -> io::Result<OwnedFd> {
        let raw = RawFd::try_from(raw).map_err(|_| io::ErrorKind::InvalidData)?;
        // SAFETY: the kernel has just made it, close-on-exec.
        Ok(unsafe { OwnedFd::from_raw_fd(raw) })
    };
    let owner = owned(owner)?;
    // SAFETY: takes integers only.
    owned(cerr(unsafe {
        libc::syscall(libc::SYS_pidfd_getfd, owner.as_raw_fd(), number, 0)
    })?)
}
