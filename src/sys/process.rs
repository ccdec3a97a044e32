//! Processes: fork, exec, wait, parent-death signal, what a process may be asked.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;

use super::{cerr, fd};
use crate::limits::ENDING;

/// A process id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pid(i32);

impl Pid {
    /// The process with this number.
    pub fn new(number: i32) -> Self {
        Self(number)
    }

    pub(super) fn number(self) -> i32 {
        self.0
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this exit status.
    Exited(u8),
    /// By this signal.
    Signalled(i32),
}

impl Ended {
    /// The shell's convention: the status itself, or 128 + the signal's number.
    pub fn status(self) -> u8 {
        match self {
            Self::Exited(status) => status,
            Self::Signalled(signal) => u8::try_from(128 + signal).unwrap_or(255),
        }
    }
}

/// What becomes of a started process when this one ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orphaned {
    /// The kernel kills it.
    Killed,
    /// It sees to its end itself.
    Left,
}

/// Makes `command` inherit exactly descriptors 0–2 and `kept`.
pub fn confine_spawn(command: &mut Command, kept: Vec<RawFd>, orphaned: Orphaned) {
    let parent = std::process::id();
    // SAFETY: between fork and exec the closure makes system calls only: no
    // allocation, no lock.
    unsafe {
        command.pre_exec(move || {
            fd::keep_across_exec(&kept)?;
            match orphaned {
                Orphaned::Killed => die_with_parent(parent),
                Orphaned::Left => Ok(()),
            }
        });
    }
}

/// Asks for SIGKILL when the parent ends, and ends at once if it already has
/// (PR_SET_PDEATHSIG, prctl(2)).
fn die_with_parent(parent: u32) -> io::Result<()> {
    // SAFETY: takes integers only.
    cerr(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
    // SAFETY: getppid cannot fail.
    if unsafe { libc::getppid() }.unsigned_abs() == parent {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::ESRCH))
    }
}

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
    let process = match pidfd(pid.0.unsigned_abs()) {
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

/// The last capability number that is asked about; a kernel knows fewer.
const CAPABILITIES: libc::c_ulong = 63;

/// _LINUX_CAPABILITY_VERSION_3 (linux/capability.h).
const VERSION_3: u32 = 0x2008_0522;

/// Whether this process has no capability, and none that an exec could give it: in its
/// permitted, effective and inheritable sets, and in its bounding set (capabilities(7)).
pub fn has_no_capabilities() -> io::Result<bool> {
    // The version and this process; then three words, twice.
    let header: [u32; 2] = [VERSION_3, 0];
    let mut sets = [0u32; 6];
    // SAFETY: header and sets have the layout of version 3, and outlive the call.
    cerr(unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()) })?;
    if sets != [0; 6] {
        return Ok(false);
    }
    for capability in 0..=CAPABILITIES {
        // SAFETY: takes integers only.
        match cerr(unsafe { libc::prctl(libc::PR_CAPBSET_READ, capability, 0, 0, 0) }) {
            Ok(0) => {}
            Ok(_) => return Ok(false),
            // No such capability, so none above it.
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => break,
            Err(e) => return Err(e),
        }
    }
    Ok(true)
}

/// Gives up every capability of this process for good, once `no_new_privs` is set: its
/// permitted, effective and inheritable sets (capset(2)).
pub fn drop_capabilities() -> io::Result<()> {
    let header: [u32; 2] = [VERSION_3, 0];
    let sets = [0u32; 6];
    // SAFETY: header and sets have the layout of version 3, and outlive the call.
    cerr(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) }).map(drop)
}

/// What a process may be bounded by (getrlimit(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Private writable memory in bytes, RLIMIT_DATA.
    Data,
    /// Processes of the user, RLIMIT_NPROC.
    Processes,
    /// Descriptors, RLIMIT_NOFILE.
    Descriptors,
    /// Bytes of a file that is written, RLIMIT_FSIZE.
    FileSize,
    /// Seconds of processor time, RLIMIT_CPU.
    Cpu,
    /// Bytes of a core file, RLIMIT_CORE.
    Core,
}

/// Bounds this process and all it starts; a hard limit that is lower stays.
pub fn bound(which: Bound, most: u64) -> io::Result<()> {
    let which = match which {
        Bound::Data => libc::RLIMIT_DATA,
        Bound::Processes => libc::RLIMIT_NPROC,
        Bound::Descriptors => libc::RLIMIT_NOFILE,
        Bound::FileSize => libc::RLIMIT_FSIZE,
        Bound::Cpu => libc::RLIMIT_CPU,
        Bound::Core => libc::RLIMIT_CORE,
    };
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is valid for the kernel to write.
    cerr(unsafe { libc::getrlimit(which, &raw mut limit) })?;
    // At the hard limit of processor time comes SIGKILL; SIGXCPU comes before.
    let hard = most.saturating_add(u64::from(matches!(which, libc::RLIMIT_CPU)));
    limit.rlim_max = limit.rlim_max.min(hard);
    limit.rlim_cur = limit.rlim_cur.min(most);
    // SAFETY: `limit` is valid for the kernel to read.
    cerr(unsafe { libc::setrlimit(which, &raw const limit) }).map(drop)
}

/// Makes the process invisible to ptrace(2) and /proc of its own user from now on.
pub fn set_undumpable() -> io::Result<()> {
    // SAFETY: takes integers only.
    cerr(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }).map(drop)
}

/// Forks; the child runs `child` and never returns. For the inner stage, which has
/// one thread, so the child may do whatever the parent could.
pub fn fork(child: impl FnOnce() -> u8) -> io::Result<Pid> {
    // SAFETY: the inner stage is single-threaded: no lock is held by another thread.
    match cerr(unsafe { libc::fork() })? {
        0 => {
            let status = child();
            // SAFETY: ends the child without running the parent's exit handlers.
            unsafe { libc::_exit(i32::from(status)) }
        }
        pid => Ok(Pid(pid)),
    }
}

/// Replaces this process by `argv[0]`, looked up on the `PATH` of `environment`
/// (execvpe(3) without its shell fallback). Gives the error of the best candidate:
/// "permission denied" of a file that was found before "not found".
pub fn exec(argv: &[Vec<u8>], environment: &[(Vec<u8>, Vec<u8>)]) -> io::Error {
    let Some(program) = argv.first() else {
        return io::ErrorKind::InvalidInput.into();
    };
    let joined = environment.iter().map(|(k, v)| [k, &b"="[..], v].concat());
    let (Ok(arguments), Ok(variables)) = (cstrings(argv.iter().cloned()), cstrings(joined)) else {
        return io::ErrorKind::InvalidInput.into();
    };
    let candidates = if program.contains(&b'/') {
        vec![program.clone()]
    } else {
        let path = environment
            .iter()
            .find(|(k, _)| k == b"PATH")
            .map(|(_, v)| v.as_slice());
        std::env::split_paths(OsStr::from_bytes(path.unwrap_or(b"/usr/bin:/bin")))
            .filter(|dir| dir.is_absolute())
            .map(|dir| {
                dir.join(OsStr::from_bytes(program))
                    .as_os_str()
                    .as_bytes()
                    .to_vec()
            })
            .collect()
    };
    let mut worst = io::Error::from_raw_os_error(libc::ENOENT);
    for candidate in candidates {
        let Ok(path) = CString::new(candidate) else {
            continue;
        };
        let argv = pointers(&arguments);
        let envp = pointers(&variables);
        // SAFETY: all pointers are to C strings that live until the call returns,
        // and both arrays end in null.
        unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => {}
            // Also the answer for a directory of PATH that may not be searched.
            Some(libc::EACCES) if reachable(&path) => worst = error,
            Some(libc::EACCES) => {}
            _ => return error,
        }
    }
    worst
}

/// Whether there is a file, as far as this process can see (access(2), F_OK).
fn reachable(path: &CString) -> bool {
    // SAFETY: `path` is a valid C string for the length of the call.
    unsafe { libc::access(path.as_ptr(), libc::F_OK) == 0 }
}

fn cstrings(items: impl Iterator<Item = Vec<u8>>) -> Result<Vec<CString>, std::ffi::NulError> {
    items.map(CString::new).collect()
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings
        .iter()
        .map(|s| s.as_ptr())
        .chain([ptr::null()])
        .collect()
}

/// What became of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has ended, and is reaped.
    Ended(Ended),
    /// It was stopped, by job control or otherwise.
    Stopped,
    /// It goes on.
    Continued,
}

/// One child that has changed, if there is one; `None` when none has (waitpid(2)).
/// The error ECHILD says that there are no children at all.
pub fn changed() -> io::Result<Option<(Pid, Change)>> {
    let mut status = 0;
    let flags = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED;
    // SAFETY: `status` is valid for the kernel to write.
    let pid = cerr(unsafe { libc::waitpid(-1, &raw mut status, flags) })?;
    if pid == 0 {
        return Ok(None);
    }
    let change = if libc::WIFSTOPPED(status) {
        Change::Stopped
    } else if libc::WIFCONTINUED(status) {
        Change::Continued
    } else if libc::WIFSIGNALED(status) {
        Change::Ended(Ended::Signalled(libc::WTERMSIG(status)))
    } else {
        Change::Ended(Ended::Exited((libc::WEXITSTATUS(status) & 0xff) as u8))
    };
    Ok(Some((Pid(pid), change)))
}

/// Sends a signal to a process.
pub fn kill(pid: Pid, signal: i32) -> io::Result<()> {
    // SAFETY: takes integers only.
    cerr(unsafe { libc::kill(pid.0, signal) }).map(drop)
}

/// Puts a copy of `new` in the place of standard stream `stream` (dup2(2)).
pub fn replace(stream: RawFd, new: &OwnedFd) -> io::Result<()> {
    // SAFETY: dup2 touches no memory; the stream's number is one of 0–2.
    cerr(unsafe { libc::dup2(new.as_raw_fd(), stream) }).map(drop)
}
