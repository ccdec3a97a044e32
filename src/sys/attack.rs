//! What `--doctor` tries from inside a sandbox: each call is one that the sandbox must
//! refuse. Success is the finding.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use super::cerr;
use super::process::Pid;

/// Address families that do not stay in a network namespace, or are not of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// AF_UNIX.
    Unix,
    /// AF_VSOCK: the hypervisor.
    Vsock,
    /// AF_PACKET: frames.
    Packet,
    /// AF_ALG: the kernel's cryptography.
    Alg,
}

/// Makes a socket (socket(2)).
pub fn socket(family: Family) -> io::Result<()> {
    let (family, kind) = match family {
        Family::Unix => (libc::AF_UNIX, libc::SOCK_STREAM),
        Family::Vsock => (libc::AF_VSOCK, libc::SOCK_STREAM),
        Family::Packet => (libc::AF_PACKET, libc::SOCK_DGRAM),
        Family::Alg => (libc::AF_ALG, libc::SOCK_SEQPACKET),
    };
    // SAFETY: takes integers only.
    owned(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, 0) }).map(drop)
}

/// Sets up a ring (io_uring_setup(2)).
pub fn io_uring() -> io::Result<()> {
    let mut parameters = [0u32; 30];
    // SAFETY: `parameters` has the 120 bytes that the kernel reads and writes.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr()) };
    owned(RawFd::try_from(fd).unwrap_or(-1)).map(drop)
}

fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    let fd = cerr(fd)?;
    // SAFETY: the kernel has just made it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes a user namespace (unshare(2)).
pub fn user_namespace() -> io::Result<()> {
    // SAFETY: takes integers only.
    cerr(unsafe { libc::unshare(libc::CLONE_NEWUSER) }).map(drop)
}

/// Makes the root writable again (mount(2)).
pub fn remount() -> io::Result<()> {
    let flags = libc::MS_REMOUNT | libc::MS_BIND;
    let root = c"/".as_ptr();
    // SAFETY: the paths are C strings; the others may be null.
    cerr(unsafe { libc::mount(ptr::null(), root, ptr::null(), flags, ptr::null()) }).map(drop)
}

/// Takes hold of a process (ptrace(2), PTRACE_SEIZE).
pub fn seize(pid: Pid) -> io::Result<()> {
    let none = ptr::null::<libc::c_void>();
    // SAFETY: neither address nor data is used.
    cerr(unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid.number(), none, none) }).map(drop)
}

/// Types a character into the terminal behind a descriptor (TIOCSTI, ioctl_tty(2)). Of
/// what is no terminal, the kernel itself would say so: ENOTTY.
pub fn type_into(fd: &impl AsRawFd) -> io::Result<()> {
    let byte = c"x".as_ptr();
    // SAFETY: `byte` points to one readable byte.
    cerr(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSTI, byte) }).map(drop)
}

/// Changes permissions (chmod(2)).
pub fn chmod(path: &[u8]) -> io::Result<()> {
    let path = CString::new(path).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: `path` is a valid C string for the length of the call.
    cerr(unsafe { libc::chmod(path.as_ptr(), 0o600) }).map(drop)
}

/// The symbol of an errno, as far as a refusal is likely to have it.
pub fn symbol(error: &io::Error) -> String {
    let known = match error.raw_os_error() {
        Some(libc::EPERM) => "EPERM",
        Some(libc::EACCES) => "EACCES",
        Some(libc::ENOENT) => "ENOENT",
        Some(libc::EROFS) => "EROFS",
        Some(libc::ENOSYS) => "ENOSYS",
        Some(libc::ESRCH) => "ESRCH",
        Some(libc::ENOTTY) => "ENOTTY",
        Some(libc::EAFNOSUPPORT) => "EAFNOSUPPORT",
        Some(libc::ECONNREFUSED) => "ECONNREFUSED",
        Some(libc::ENETUNREACH) => "ENETUNREACH",
        Some(libc::ENXIO) => "ENXIO",
        _ => return error.to_string(),
    };
    known.to_owned()
}
