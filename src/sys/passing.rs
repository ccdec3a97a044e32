//! What Linux alone has for descriptors: memfd, packets between sockets and descriptors
//! that go with them, `close_range`.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use super::cerr;

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

/// An unconnected TCP socket of this process's network namespace.
pub fn tcp_socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    // SAFETY: takes integers only.
    let raw = cerr(unsafe { libc::socket(libc::AF_INET, kind, 0) })?;
    // SAFETY: the kernel has just made this descriptor and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// A pipe: the end that is read, and the one that is written (pipe2(2)).
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds: [RawFd; 2] = [-1; 2];
    // SAFETY: `fds` has room for the two descriptors the kernel writes.
    cerr(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: both were made by the call above and are owned by nobody else.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}
