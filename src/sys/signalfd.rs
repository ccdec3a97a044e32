//! Signals as a readable descriptor (signalfd(2)).

use std::fs::File;
use std::io::{self, Read};
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::cerr;
use super::signal::Origin;

/// Blocked signals, read from a descriptor. The mask survives exec: whoever
/// starts a command must call [`reset`](super::signal::reset) first.
pub struct Signals(File);

impl Signals {
    /// Blocks `numbers` in this thread and opens a non-blocking signalfd for them.
    pub fn new(numbers: &[i32]) -> io::Result<Self> {
        // SAFETY: a sigset_t of zeroes is valid memory for sigemptyset to write.
        let mut set: libc::sigset_t = unsafe { zeroed() };
        // SAFETY: `set` is valid; the numbers are libc's own.
        unsafe {
            libc::sigemptyset(&raw mut set);
            for &n in numbers {
                libc::sigaddset(&raw mut set, n);
            }
        }
        // SAFETY: `set` is initialised; a null old set is allowed.
        let ret =
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
        if ret != 0 {
            return Err(io::Error::from_raw_os_error(ret));
        }
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: `set` is initialised; -1 asks for a new descriptor.
        let fd = cerr(unsafe { libc::signalfd(-1, &raw const set, flags) })?;
        // SAFETY: the kernel has just made it.
        Ok(Self(File::from(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// The next pending signal, if any.
    pub fn take(&mut self) -> io::Result<Option<(i32, Origin)>> {
        let mut bytes = [0u8; size_of::<libc::signalfd_siginfo>()];
        match self.0.read(&mut bytes) {
            Ok(n) if n == bytes.len() => {}
            Ok(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(e) => return Err(e),
        }
        // SAFETY: the kernel wrote one whole structure of plain integers.
        let info: libc::signalfd_siginfo = unsafe {
            bytes
                .as_ptr()
                .cast::<libc::signalfd_siginfo>()
                .read_unaligned()
        };
        let origin = if info.ssi_code > 0 {
            Origin::Kernel
        } else {
            Origin::Process
        };
        Ok(Some((info.ssi_signo as i32, origin)))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> i32 {
        self.0.as_raw_fd()
    }
}
