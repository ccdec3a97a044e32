//! Signals as readable descriptors (signalfd(2)).

use std::fs::File;
use std::io::{self, Read};
use std::mem::{MaybeUninit, size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::cerr;
use super::streams::BrokenPipe;

/// Signals that `srt` passes on to the command.
pub const FORWARDED: [i32; 11] = [
    libc::SIGINT,
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGWINCH,
    libc::SIGTSTP,
    libc::SIGCONT,
    // These stop the command when it uses the terminal from the background.
    libc::SIGTTIN,
    libc::SIGTTOU,
];

/// Child state changed.
pub const CHILD: i32 = libc::SIGCHLD;
/// Terminal stop.
pub const TERMINAL_STOP: i32 = libc::SIGTSTP;

/// Goes on.
pub const CONTINUE: i32 = libc::SIGCONT;
/// Asks a process to end.
pub const TERMINATE: i32 = libc::SIGTERM;
/// Ends it.
pub const KILL: i32 = libc::SIGKILL;

/// Who raised a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The kernel, for the whole foreground process group (a key on the terminal):
    /// the command has had it already.
    Kernel,
    /// Another process, for us alone.
    Process,
}

/// Blocked signals, read from a descriptor. The mask survives exec: whoever
/// starts a command must call [`reset`] first.
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

/// Gives the process the signal state that the command is to have: nothing blocked,
/// and SIGPIPE, which Rust's runtime ignores, as the caller had it.
pub fn reset(pipe: BrokenPipe) -> io::Result<()> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set it is given; the mask is then valid;
    // SIG_DFL is a valid disposition.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        cerr(libc::sigprocmask(
            libc::SIG_SETMASK,
            set.as_ptr(),
            std::ptr::null_mut(),
        ))?;
        if pipe == BrokenPipe::Ends && libc::signal(libc::SIGPIPE, libc::SIG_DFL) == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Stops this process until somebody continues it (SIGSTOP).
pub fn stop_self() -> io::Result<()> {
    // SAFETY: raise touches no memory.
    cerr(unsafe { libc::raise(libc::SIGSTOP) }).map(drop)
}
