//! Descriptors: memfd, socket pairs, passing over a Unix socket, `close_range`.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::{Duration, Instant};

use super::cerr;
use crate::limits::LOCK_AGAIN;

/// Most descriptors in one message (the kernel's own bound is 253, unix(7)).
const MOST_PASSED: usize = 64;

/// Room for the ancillary data of `MOST_PASSED` descriptors, aligned as `cmsghdr` wants.
const CONTROL_WORDS: usize = 2 + MOST_PASSED / 2;

/// An anonymous file with `content`, read from its start (memfd_create(2)).
/// Close-on-exec, as every descriptor made here.
pub fn memfd(name: &CStr, content: &[u8]) -> io::Result<OwnedFd> {
    // SAFETY: `name` is a valid C string for the length of the call.
    let raw = cerr(unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) })?;
    // SAFETY: the kernel has just made this descriptor and nobody else owns it.
    let mut file = File::from(unsafe { OwnedFd::from_raw_fd(raw) });
    file.write_all(content)?;
    file.rewind()?;
    Ok(file.into())
}

/// A connected pair of `SOCK_SEQPACKET` Unix sockets (unix(7)): messages keep their
/// boundaries, and the end of one side is seen by the other.
pub fn packet_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds: [RawFd; 2] = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: `fds` has room for the two descriptors the kernel writes.
    cerr(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) })?;
    // SAFETY: both were made by the call above and are owned by nobody else.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}

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

/// Sends one message and the descriptors that go with it (`SCM_RIGHTS`, unix(7)).
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], passed: &[BorrowedFd<'_>]) -> io::Result<()> {
    if passed.len() > MOST_PASSED {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let raw: Vec<RawFd> = passed.iter().map(AsRawFd::as_raw_fd).collect();
    let size = raw.len() * size_of::<RawFd>();
    let mut control = [0u64; CONTROL_WORDS];
    let mut vector = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: a msghdr of zeroes is a valid empty one.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    if !raw.is_empty() {
        message.msg_control = control.as_mut_ptr().cast();
        // SAFETY: CMSG_SPACE is arithmetic only.
        message.msg_controllen = unsafe { libc::CMSG_SPACE(size as u32) } as _;
        // SAFETY: msg_control points to zeroed, aligned memory of at least
        // CMSG_SPACE(MOST_PASSED descriptors) bytes, so the first header and its
        // data lie inside it.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size as u32) as _;
            ptr::copy_nonoverlapping(raw.as_ptr().cast(), libc::CMSG_DATA(header), size);
        }
    }
    loop {
        // SAFETY: message points to an iovec and control data that outlive the call.
        let sent = cerr(unsafe {
            libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL)
        });
        match sent {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
            Ok(n) if n.unsigned_abs() == bytes.len() => return Ok(()),
            Ok(_) => return Err(io::ErrorKind::WriteZero.into()),
        }
    }
}

/// Receives one message into `buffer` and its descriptors, close-on-exec.
/// A length of 0 is the end of the other side. Messages that do not fit, and
/// control data of any other kind, are errors, and stray descriptors are closed.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut control = [0u64; CONTROL_WORDS];
    let mut vector = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: a msghdr of zeroes is a valid empty one.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    let length = loop {
        // SAFETY: the iovec and the control buffer outlive the call and have the
        // lengths given.
        let got = cerr(unsafe {
            libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC)
        });
        match got {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
            Ok(n) => break n.unsigned_abs(),
        }
    };
    let mut fds = Vec::new();
    let mut strange = message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0;
    // SAFETY: the kernel has filled in msg_control and msg_controllen.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !header.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give null or a header inside `control`.
        let (level, kind, size) = unsafe {
            (
                (*header).cmsg_level,
                (*header).cmsg_type,
                (*header).cmsg_len,
            )
        };
        if level == libc::SOL_SOCKET && kind == libc::SCM_RIGHTS {
            // Its type differs between C libraries.
            let size: usize = size as _;
            // SAFETY: CMSG_LEN is arithmetic only.
            let head = unsafe { libc::CMSG_LEN(0) } as usize;
            let count = size.saturating_sub(head) / size_of::<RawFd>();
            for i in 0..count {
                // SAFETY: the kernel wrote `count` descriptors behind the header, new
                // in this process and owned by nobody yet.
                fds.push(unsafe {
                    let at = libc::CMSG_DATA(header).cast::<RawFd>().add(i);
                    OwnedFd::from_raw_fd(at.read_unaligned())
                });
            }
        } else {
            strange = true;
        }
        // SAFETY: `header` is a header of this very message.
        header = unsafe { libc::CMSG_NXTHDR(&raw const message, header) };
    }
    if strange {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok((length, fds))
}

/// Marks every descriptor from 3 up close-on-exec, then unmarks `kept`
/// (close_range(2), Linux 5.11). Async-signal-safe: meant for a forked child.
pub fn keep_across_exec(kept: &[RawFd]) -> io::Result<()> {
    // SAFETY: the call changes descriptor flags only.
    cerr(unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3 as libc::c_uint,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    })?;
    for &fd in kept {
        // SAFETY: F_SETFD takes an int and touches no memory.
        cerr(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) })?;
    }
    Ok(())
}

/// Closes every descriptor from 3 up except `kept` (close_range(2)).
///
/// The caller must own none of the closed descriptors through a Rust type that
/// is used, or dropped, afterwards: the inner stage calls this as the sole owner.
pub fn close_all_but(kept: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut stay: Vec<u32> = kept
        .iter()
        .map(|fd| fd.as_raw_fd().unsigned_abs())
        .collect();
    stay.sort_unstable();
    let mut first = 3u32;
    for fd in stay.into_iter().chain([u32::MAX]) {
        if fd > first {
            // SAFETY: closes descriptors that, by this function's contract, nobody uses.
            cerr(unsafe { libc::syscall(libc::SYS_close_range, first, fd - 1, 0) })?;
        }
        first = fd.saturating_add(1);
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

/// An unconnected TCP socket of this process's network namespace.
pub fn tcp_socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    // SAFETY: takes integers only.
    let raw = cerr(unsafe { libc::socket(libc::AF_INET, kind, 0) })?;
    // SAFETY: the kernel has just made this descriptor and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
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
