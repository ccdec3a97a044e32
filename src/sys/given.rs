//! What the caller's standard streams lead to, and how they were opened.

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::RawFd;

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
