//! Signals: which are passed on, what the command starts with.

use std::io;
use std::mem::MaybeUninit;

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

/// Those that a terminal raises for its whole foreground process group.
pub const KEYS: [i32; 4] = [libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP, libc::SIGWINCH];

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
