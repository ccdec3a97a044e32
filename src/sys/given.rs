//! What the caller's standard streams lead to, and how they were opened.

use std::fs::File;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

use super::cerr;

/// What a stream leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leads {
    /// To a directory.
    Directory,
    /// To a file or a block device, which has a name and may be opened again.
    File,
    /// To a socket by which others than its peer could be reached: one of a network, or
    /// a Unix socket of datagrams. connect(2) takes it to another peer.
    OpenSocket,
    /// To a terminal, another device, a pipe or a Unix socket that has its peer.
    Elsewhere,
}

/// How a stream was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// For reading alone, or for neither (`O_PATH`).
    ReadOnly,
    /// For writing, and perhaps reading.
    Writable,
}

/// Looks at an open stream (fstat(2), `F_GETFL`).
pub fn look_at(stream: RawFd) -> io::Result<(Leads, Opened)> {
    // SAFETY: F_GETFL takes no argument and touches no memory.
    let flags = cerr(unsafe { libc::fcntl(stream, libc::F_GETFL) })?;
    // SAFETY: a stat of zeroes is valid for the kernel to write.
    let mut found: libc::stat = unsafe { zeroed() };
    // SAFETY: `found` is valid for the kernel to write.
    cerr(unsafe { libc::fstat(stream, &raw mut found) })?;
    let leads = match found.st_mode & libc::S_IFMT {
        libc::S_IFDIR => Leads::Directory,
        libc::S_IFREG | libc::S_IFBLK => Leads::File,
        libc::S_IFSOCK if !has_its_peer(stream)? => Leads::OpenSocket,
        _ => Leads::Elsewhere,
    };
    // O_PATH leaves the access mode at 0, which is O_RDONLY.
    let opened = match flags & libc::O_ACCMODE {
        libc::O_RDONLY => Opened::ReadOnly,
        _ => Opened::Writable,
    };
    Ok((leads, opened))
}

/// Whether a socket is a Unix socket of a stream or of packets, which cannot be connected
/// twice (unix(7)).
fn has_its_peer(stream: RawFd) -> io::Result<bool> {
    let option = |name: libc::c_int| {
        let mut value: libc::c_int = 0;
        let mut size = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: `value` is valid for the kernel to write `size` bytes to.
        cerr(unsafe {
            libc::getsockopt(
                stream,
                libc::SOL_SOCKET,
                name,
                (&raw mut value).cast(),
                &raw mut size,
            )
        })?;
        io::Result::Ok(value)
    };
    let kind = option(libc::SO_TYPE)?;
    Ok(option(libc::SO_DOMAIN)? == libc::AF_UNIX
        && matches!(kind, libc::SOCK_STREAM | libc::SOCK_SEQPACKET))
}

/// Whether this user could open the stream's file again, and write it: now, or once it
/// has given itself the permission, as an owner can.
pub fn may_write_again(stream: RawFd) -> io::Result<bool> {
    // SAFETY: a stat of zeroes is valid for the kernel to write.
    let mut found: libc::stat = unsafe { zeroed() };
    // SAFETY: `found` is valid for the kernel to write.
    cerr(unsafe { libc::fstat(stream, &raw mut found) })?;
    let path = format!("/proc/self/fd/{stream}\0");
    let path = path.as_ptr().cast();
    // SAFETY: `path` ends in NUL and is valid for the length of the call.
    let writable =
        unsafe { libc::faccessat(libc::AT_FDCWD, path, libc::W_OK, libc::AT_EACCESS) == 0 };
    Ok(writable || found.st_uid == super::host::uid())
}

/// Opens anew what a descriptor leads to, for reading without waiting (proc(5)).
pub fn reopen_for_reading(fd: BorrowedFd<'_>) -> io::Result<File> {
    File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Receives from a socket, without waiting, whatever its flags are (recv(2)).
pub fn receive_at_once(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `buffer` is valid for the kernel to write as many bytes to as said.
    let got = cerr(unsafe {
        libc::recv(
            socket.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_DONTWAIT,
        )
    })?;
    Ok(got.unsigned_abs())
}

/// Sends over a socket, without waiting and without a signal (send(2)).
pub fn send_at_once(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: `bytes` is valid for the kernel to read.
    let sent = cerr(unsafe {
        libc::send(
            socket.as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    })?;
    Ok(sent.unsigned_abs())
}

/// Whether epoll_ctl(2) has said that there is nothing to wait for: a file.
pub fn is_not_polled(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EPERM)
}
