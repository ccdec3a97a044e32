//! Descriptors: flags, locks, readiness, what is kept across exec.

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::{Duration, Instant};

use super::cerr;
use crate::limits::LOCK_AGAIN;

#[cfg(target_os = "linux")]
pub use super::passing::{close_all_but, memfd, packet_pair, pipe, receive, send, tcp_socket};

/// Whether a write of at most PIPE_BUF bytes would not wait (poll(2), pipe(7)).
pub fn takes_writes(fd: BorrowedFd<'_>) -> bool {
    takes_writes_within(fd, Duration::ZERO)
}

/// Whether it would not within this time.
pub fn takes_writes_within(fd: BorrowedFd<'_>, longest: Duration) -> bool {
    let longest = i32::try_from(longest.as_millis()).unwrap_or(i32::MAX);
    let mut entry = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: `entry` is one entry, as said.
    unsafe { libc::poll(&raw mut entry, 1, longest) == 1 && entry.revents & libc::POLLOUT != 0 }
}

/// Sends the end of our side of a socket (shutdown(2)).
pub fn stop_sending(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes integers only.
    cerr(unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_WR) }).map(drop)
}

/// Sets `O_NONBLOCK`.
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: F_GETFL takes no argument and touches no memory.
    let flags = cerr(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    // SAFETY: F_SETFL takes an int and touches no memory.
    cerr(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    Ok(())
}

/// Marks every descriptor from 3 up close-on-exec, then unmarks `kept`
/// (close_range(2), Linux 5.11; elsewhere one by one). Async-signal-safe: meant for a
/// forked child.
pub fn keep_across_exec(kept: &[RawFd]) -> io::Result<()> {
    mark_all()?;
    for &fd in kept {
        // SAFETY: F_SETFD takes an int and touches no memory.
        cerr(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) })?;
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn mark_all() -> io::Result<()> {
    // SAFETY: the call changes descriptor flags only.
    cerr(unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3 as libc::c_uint,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    })
    .map(drop)
}

#[cfg(not(target_os = "linux"))]
fn mark_all() -> io::Result<()> {
    // SAFETY: getdtablesize cannot fail; F_SETFD takes an int and touches no memory, and
    // numbers that are not open are refused.
    unsafe {
        for fd in 3..libc::getdtablesize() {
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
    Ok(())
}

/// Takes ownership of an inherited descriptor by number, once it is known to be open.
pub fn inherited(raw: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_SETFD takes an int and touches no memory.
    cerr(unsafe { libc::fcntl(raw, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: it is open (the call above succeeded), and a role's inherited
    // descriptors are claimed once, at its start, before anything else is opened.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Tries an exclusive lock on an open file (flock(2)); `false` if another holds it.
pub fn try_lock(fd: &impl AsFd) -> io::Result<bool> {
    match flock(fd, libc::LOCK_EX | libc::LOCK_NB) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(e) => Err(e),
    }
}

/// Waits for an exclusive lock on an open file (flock(2)), which anybody may hold who can
/// open it.
///
/// # Errors
/// It is not to be had within `longest` (`TimedOut`).
pub fn lock(fd: &impl AsFd, longest: Duration) -> io::Result<()> {
    let until = Instant::now() + longest;
    while !try_lock(fd)? {
        if Instant::now() >= until {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(LOCK_AGAIN);
    }
    Ok(())
}

/// Gives a lock back before the descriptor is closed.
pub fn unlock(fd: &impl AsFd) -> io::Result<()> {
    flock(fd, libc::LOCK_UN)
}

fn flock(fd: &impl AsFd, operation: i32) -> io::Result<()> {
    // SAFETY: the call touches no memory.
    cerr(unsafe { libc::flock(fd.as_fd().as_raw_fd(), operation) }).map(drop)
}

/// Begins to connect a TCP socket, whosever network namespace it belongs to, to a port
/// of 127.0.0.1 there, without waiting (connect(2), EINPROGRESS).
pub fn begin_connect_loopback(socket: &OwnedFd, port: u16) -> io::Result<()> {
    set_nonblocking(socket.as_fd())?;
    // SAFETY: a sockaddr_in of zeroes is valid; its fields are set below.
    let mut address: libc::sockaddr_in = unsafe { zeroed() };
    address.sin_family = libc::AF_INET as libc::sa_family_t;
    address.sin_port = port.to_be();
    address.sin_addr.s_addr = u32::from(std::net::Ipv4Addr::LOCALHOST).to_be();
    let size = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: `address` is a sockaddr_in of the size that is said.
    let begun =
        cerr(unsafe { libc::connect(socket.as_raw_fd(), ptr::from_ref(&address).cast(), size) });
    match begun {
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => Ok(()),
        other => other.map(drop),
    }
}

/// Waits until a descriptor is readable (poll(2)).
///
/// # Errors
/// It is not within `longest`.
pub fn wait_readable_for(fd: BorrowedFd<'_>, longest: Duration) -> io::Result<()> {
    let until = Instant::now() + longest;
    let mut entry = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: `entry` is one entry, as said.
        match cerr(unsafe { libc::poll(&raw mut entry, 1, left) }) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Waits until one of these is readable, at most `longest`; says which are (poll(2)).
pub fn wait_either(
    one: BorrowedFd<'_>,
    other: Option<BorrowedFd<'_>>,
    longest: Option<Duration>,
) -> io::Result<[Readable; 2]> {
    let entry = |fd: Option<BorrowedFd<'_>>| libc::pollfd {
        // A negative one is passed over.
        fd: fd.map_or(-1, |fd| fd.as_raw_fd()),
        events: libc::POLLIN,
        revents: 0,
    };
    let mut set = [entry(Some(one)), entry(other)];
    let longest = longest.map_or(-1, |d| i32::try_from(d.as_millis()).unwrap_or(i32::MAX));
    // SAFETY: `set` holds two entries, as said.
    match cerr(unsafe { libc::poll(set.as_mut_ptr(), 2, longest) }) {
        Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e),
        Err(_) => return Ok([Readable::No; 2]),
        Ok(_) => {}
    }
    Ok(set.map(|entry| match entry.revents {
        0 => Readable::No,
        events if events & libc::POLLIN != 0 => Readable::Yes,
        _ => Readable::Over,
    }))
}

/// Whether there is something to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readable {
    /// Nothing yet.
    No,
    /// There is.
    Yes,
    /// There will be nothing more.
    Over,
}

/// Makes the close of a TCP socket a reset: what was not sent is dropped (SO_LINGER with no
/// time, socket(7)).
pub fn reset_on_close(socket: BorrowedFd<'_>) -> io::Result<()> {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: `linger` is valid for the kernel to read, and of the size that is said.
    cerr(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    })
    .map(drop)
}
