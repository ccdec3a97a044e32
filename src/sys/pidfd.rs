//! Processes by a descriptor, which no other that gets their number is known by
//! (pidfd_open(2)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use super::process::Pid;
use super::{cerr, fd};
use crate::limits::ENDING;

/// A descriptor that becomes readable when `pid` has ended (pidfd_open(2), Linux 5.3).
pub fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes integers only.
    let fd = cerr(unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) })?;
    let fd = RawFd::try_from(fd).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: the kernel has just made it, close-on-exec.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Kills a process by a descriptor, so that no other that has its number by now is
/// meant, if `still` says it is the one; waits for its end, at most [`ENDING`]
/// (pidfd_send_signal(2), Linux 5.1). Says whether it was this user's to kill.
pub fn kill_and_wait(pid: Pid, still: impl Fn() -> bool) -> io::Result<bool> {
    let process = match pidfd(pid.number().unsigned_abs()) {
        Err(e) if e.raw_os_error() == Some(libc::ESRCH) => return Ok(false),
        other => other?,
    };
    if !still() {
        return Ok(false);
    }
    let no_info = ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo asks for what kill(2) would send; the rest are integers.
    let sent = cerr(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            libc::SIGKILL,
            no_info,
            0,
        )
    });
    match sent {
        Err(e) if matches!(e.raw_os_error(), Some(libc::ESRCH | libc::EPERM)) => return Ok(false),
        other => other?,
    };
    fd::wait_readable_for(process.as_fd(), ENDING)?;
    Ok(true)
}
