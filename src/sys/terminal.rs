//! The controlling terminal, and whose input it takes (termios(3), credentials(7)).

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};

use super::cerr;

/// The controlling terminal of this process.
pub struct Terminal(OwnedFd);

impl Terminal {
    /// The terminal, if there is one.
    pub fn open() -> Option<Self> {
        let file = File::options().read(true).write(true).open("/dev/tty");
        Some(Self(file.ok()?.into()))
    }

    /// Whether this process group is in its foreground.
    pub fn is_ours(&self) -> bool {
        // SAFETY: getpgrp cannot fail.
        let own = unsafe { libc::getpgrp() };
        self.foreground().is_ok_and(|holder| holder == own)
    }

    fn foreground(&self) -> io::Result<libc::pid_t> {
        // SAFETY: takes integers only.
        cerr(unsafe { libc::tcgetpgrp(self.0.as_raw_fd()) })
    }

    /// Takes the foreground back from a process group that has ended: a shell that had
    /// it leaves it to nobody. Whoever lives and has it keeps it.
    pub fn take_back(&self) -> io::Result<()> {
        let holder = self.foreground()?;
        // SAFETY: signal 0 is sent to nobody; the call asks whether the group has members.
        if cerr(unsafe { libc::kill(-holder, 0) })
            .err()
            .and_then(|e| e.raw_os_error())
            != Some(libc::ESRCH)
        {
            return Ok(());
        }
        // A background process that sets the foreground is stopped, unless it blocks
        // the signal.
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset initialises the set it is given; sigprocmask fills in
        // `before`, which is used only if it has.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), libc::SIGTTOU);
            cerr(libc::sigprocmask(
                libc::SIG_BLOCK,
                set.as_ptr(),
                before.as_mut_ptr(),
            ))?;
            let taken = cerr(libc::tcsetpgrp(self.0.as_raw_fd(), libc::getpgrp()));
            cerr(libc::sigprocmask(
                libc::SIG_SETMASK,
                before.as_ptr(),
                std::ptr::null_mut(),
            ))?;
            taken.map(drop)
        }
    }
}
