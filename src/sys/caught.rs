//! Signals as a readable descriptor, where there is no signalfd(2): each handler writes
//! the signal's number into a pair of sockets (sigaction(2)).
//!
//! One for the whole process, since handlers are; exec gives the command the default
//! handling back, and what the caller had ignored stays ignored.

use std::io::{self, Read};
use std::mem::zeroed;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicI32, Ordering};

use super::cerr;

/// Where handlers write; -1 before there are any.
static OUT: AtomicI32 = AtomicI32::new(-1);
/// The process that they write for.
static OWNER: AtomicI32 = AtomicI32::new(0);

/// Signals that are caught.
pub struct Caught(UnixStream);

impl Caught {
    /// Catches `numbers`, but for those that are ignored.
    ///
    /// # Errors
    /// Handlers have been set already, or cannot be.
    pub fn new(numbers: &[i32]) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        // SAFETY: getpid cannot fail.
        OWNER.store(unsafe { libc::getpid() }, Ordering::Relaxed);
        let out = theirs.into_raw_fd();
        OUT.compare_exchange(-1, out, Ordering::Relaxed, Ordering::Relaxed)
            .map_err(|_| io::ErrorKind::AlreadyExists)?;
        for &number in numbers {
            // SAFETY: a sigaction of zeroes is valid for the kernel to write.
            let mut found: libc::sigaction = unsafe { zeroed() };
            // SAFETY: `found` is valid to be written; a null new action changes nothing.
            cerr(unsafe { libc::sigaction(number, std::ptr::null(), &raw mut found) })?;
            if found.sa_sigaction == libc::SIG_IGN {
                continue;
            }
            // SAFETY: a sigaction of zeroes is a valid one with an empty mask.
            let mut action: libc::sigaction = unsafe { zeroed() };
            action.sa_sigaction = note as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_RESTART;
            // SAFETY: `action` is valid, and its handler calls only what signal-safety(7)
            // allows.
            cerr(unsafe { libc::sigaction(number, &raw const action, std::ptr::null_mut()) })?;
        }
        Ok(Self(ours))
    }

    /// The next signal that has come, if any.
    pub fn take(&mut self) -> io::Result<Option<i32>> {
        let mut number = [0u8; 1];
        match self.0.read(&mut number) {
            Ok(1) => Ok(Some(i32::from(number[0]))),
            Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(e) => Err(e),
        }
    }
}

impl AsFd for Caught {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Caught {
    fn as_raw_fd(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

extern "C" fn note(number: libc::c_int) {
    // SAFETY: all of these are safe in a handler, and touch no memory but `byte`. What
    // finds no room is lost: hundreds wait then.
    unsafe {
        if libc::getpid() != OWNER.load(Ordering::Relaxed) {
            // A child that has not become its program yet: the signal is the child's.
            libc::signal(number, libc::SIG_DFL);
            libc::raise(number);
            return;
        }
        let byte = number as u8;
        libc::write(OUT.load(Ordering::Relaxed), (&raw const byte).cast(), 1);
    }
}
