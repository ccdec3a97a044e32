//! The standard streams: what the caller gave, before anything of ours has touched it.

use std::fs::File;
use std::io::{self, Write};
use std::mem::zeroed;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use super::cerr;
use super::fd::{takes_writes, takes_writes_within};

/// Bits 0–2: that stream was closed. Bit 3: SIGPIPE was ignored.
static FOUND: AtomicU8 = AtomicU8::new(0);
const PIPE_IGNORED: u8 = 1 << 3;

/// Runs before Rust's runtime, which ignores SIGPIPE and opens closed streams anew.
extern "C" fn look() {
    let mut found = 0;
    for stream in 0..3 {
        // SAFETY: F_GETFD takes no argument and touches no memory.
        if unsafe { libc::fcntl(stream, libc::F_GETFD) } == -1 {
            found |= 1 << stream;
        }
    }
    // SAFETY: a sigaction of zeroes is valid for the kernel to write; a null new action
    // changes nothing.
    let ignored = unsafe {
        let mut action: libc::sigaction = zeroed();
        libc::sigaction(libc::SIGPIPE, std::ptr::null(), &raw mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    };
    if ignored {
        found |= PIPE_IGNORED;
    }
    FOUND.store(found, Ordering::Relaxed);
}

// SAFETY: the loader calls what this section holds once, before main, with arguments
// that an `extern "C"` function may ignore; `look` needs nothing of Rust's runtime.
#[used]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
#[cfg_attr(
    target_vendor = "apple",
    unsafe(link_section = "__DATA,__mod_init_func")
)]
static LOOK: extern "C" fn() = look;

/// The standard streams that the caller had closed.
pub fn closed() -> Vec<RawFd> {
    let found = FOUND.load(Ordering::Relaxed);
    (0..3).filter(|stream| found & 1 << stream != 0).collect()
}

/// What is done at SIGPIPE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokenPipe {
    /// The process ends.
    Ends,
    /// The write fails.
    Fails,
}

/// What the caller wants done at SIGPIPE.
pub fn broken_pipe() -> BrokenPipe {
    if FOUND.load(Ordering::Relaxed) & PIPE_IGNORED == 0 {
        BrokenPipe::Ends
    } else {
        BrokenPipe::Fails
    }
}

/// One of this process's own standard streams; those that were closed are open on
/// /dev/null, by Rust's runtime.
pub fn standard(number: usize) -> BorrowedFd<'static> {
    let number = match number {
        0 => libc::STDIN_FILENO,
        1 => libc::STDOUT_FILENO,
        _ => libc::STDERR_FILENO,
    };
    // SAFETY: nobody closes a standard stream of this process but the child's side of a
    // fork.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// Whether this is an open socket (fstat(2)).
pub fn is_socket(number: RawFd) -> bool {
    // SAFETY: a stat of zeroes is valid for the kernel to write.
    let mut found: libc::stat = unsafe { zeroed() };
    // SAFETY: `found` is valid for the kernel to write.
    let looked = unsafe { libc::fstat(number, &raw mut found) };
    looked == 0 && found.st_mode & libc::S_IFMT == libc::S_IFSOCK
}

/// Closes a standard stream.
pub fn close(stream: RawFd) {
    // SAFETY: no Rust type owns a standard stream.
    unsafe { libc::close(stream) };
}

/// Standard error, as it can be written without waiting.
enum Stderr {
    /// A pipe or a terminal: opened anew, so that no flag changes for others who hold it.
    Opened(File),
    /// A socket.
    Socket,
    /// A file; or what cannot be opened anew.
    Other,
}

fn own_stderr() -> io::Result<Stderr> {
    // SAFETY: a stat of zeroes is valid for the kernel to write.
    let mut found: libc::stat = unsafe { zeroed() };
    // SAFETY: `found` is valid for the kernel to write.
    cerr(unsafe { libc::fstat(libc::STDERR_FILENO, &raw mut found) })?;
    // Elsewhere nothing is opened anew by /dev/fd, and no send says that it must not wait.
    Ok(match found.st_mode & libc::S_IFMT {
        libc::S_IFIFO | libc::S_IFCHR if cfg!(target_os = "linux") => File::options()
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open("/proc/self/fd/2")
            .map_or(Stderr::Other, Stderr::Opened),
        libc::S_IFSOCK if cfg!(target_os = "linux") => Stderr::Socket,
        _ => Stderr::Other,
    })
}

/// Standard error for a helper that must not wait for its reader either, if it can be had.
pub fn stderr_without_waiting() -> Option<OwnedFd> {
    match own_stderr() {
        Ok(Stderr::Opened(file)) => Some(file.into()),
        _ => None,
    }
}

/// Writes to standard error, which the command and others hold as well and may have filled
/// or stopped: at most `patience` is waited for room, and what finds none is lost.
pub fn speak(bytes: &[u8], patience: Duration) -> io::Result<()> {
    let until = Instant::now() + patience;
    let own = own_stderr()?;
    let mut rest = bytes;
    loop {
        let written = match (&own, takes_writes(io::stderr().as_fd())) {
            (Stderr::Opened(own), _) => (&*own).write(rest),
            (Stderr::Socket, _) => send(rest),
            // A file takes what it is given. What could not be opened anew has to be asked.
            (Stderr::Other, true) => io::stderr().write(rest),
            (Stderr::Other, false) => Err(io::ErrorKind::WouldBlock.into()),
        };
        match written {
            Ok(n) => rest = rest.get(n..).unwrap_or_default(),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                let left = until.saturating_duration_since(Instant::now());
                let room = match &own {
                    Stderr::Opened(own) => takes_writes_within(own.as_fd(), left),
                    Stderr::Socket | Stderr::Other => {
                        takes_writes_within(io::stderr().as_fd(), left)
                    }
                };
                if !room || Instant::now() >= until {
                    return Err(e);
                }
            }
            Err(e) => return Err(e),
        }
        if rest.is_empty() {
            return Ok(());
        }
    }
}

fn send(bytes: &[u8]) -> io::Result<usize> {
    #[cfg(target_os = "linux")]
    const FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    #[cfg(not(target_os = "linux"))]
    const FLAGS: libc::c_int = libc::MSG_DONTWAIT;
    // SAFETY: `bytes` is valid for the kernel to read.
    let sent = cerr(unsafe {
        libc::send(
            libc::STDERR_FILENO,
            bytes.as_ptr().cast(),
            bytes.len(),
            FLAGS,
        )
    })?;
    Ok(sent.unsigned_abs())
}
