//! Processes: fork, exec, wait, parent-death signal, what a process may be asked.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::ptr;

use super::streams::{self, BrokenPipe};
use super::{cerr, fd, signal};

/// A process id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pid(i32);

impl Pid {
    /// The process with this number.
    pub fn new(number: i32) -> Self {
        Self(number)
    }

    /// Its number.
    pub fn number(self) -> i32 {
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
    #[cfg(target_os = "linux")]
    let parent = std::process::id();
    // SAFETY: between fork and exec the closure makes system calls only: no
    // allocation, no lock.
    unsafe {
        command.pre_exec(move || {
            fd::keep_across_exec(&kept)?;
            match orphaned {
                #[cfg(target_os = "linux")]
                Orphaned::Killed => super::privileges::die_with_parent(parent),
                // Elsewhere a process has to see to that itself.
                _ => Ok(()),
            }
        });
    }
}

/// What a process is given between fork and exec.
pub struct Prepared {
    /// Its bounds.
    pub bounds: Vec<(Bound, u64)>,
    /// Standard streams that it has closed.
    pub closed: Vec<RawFd>,
    /// What SIGPIPE does to it.
    pub pipe: BrokenPipe,
}

/// Makes `command` inherit descriptors 0–2 and nothing else, and start as `prepared` says.
pub fn prepare_spawn(command: &mut Command, prepared: Prepared) {
    // SAFETY: between fork and exec the closure makes system calls only: no allocation, no
    // lock. The streams it closes are the command's alone by then.
    unsafe {
        command.pre_exec(move || {
            fd::keep_across_exec(&[])?;
            for (which, most) in &prepared.bounds {
                bound(*which, *most)?;
            }
            prepared
                .closed
                .iter()
                .for_each(|stream| streams::close(*stream));
            signal::reset(prepared.pipe)
        });
    }
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
    let search = environment.iter().find(|(k, _)| k == b"PATH");
    let search = search.map_or(DEFAULT_PATH, |(_, v)| v.as_slice());
    let mut worst = io::Error::from_raw_os_error(libc::ENOENT);
    for candidate in candidates(program, search) {
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

/// Where programs are looked for without a `PATH`.
pub const DEFAULT_PATH: &[u8] = b"/usr/bin:/bin";

/// Where a program may lie.
fn candidates(program: &[u8], search: &[u8]) -> Vec<Vec<u8>> {
    if program.contains(&b'/') {
        return vec![program.to_vec()];
    }
    let joined = |dir: PathBuf| {
        dir.join(OsStr::from_bytes(program))
            .into_os_string()
            .into_vec()
    };
    std::env::split_paths(OsStr::from_bytes(search))
        .filter(|dir| dir.is_absolute())
        .map(joined)
        .collect()
}

/// Whether there is a file to execute where [`exec`] would look for it (access(2), X_OK).
///
/// # Errors
/// What exec would say.
pub fn find(program: &[u8], search: &[u8]) -> io::Result<()> {
    let mut worst = io::Error::from_raw_os_error(libc::ENOENT);
    for candidate in candidates(program, search) {
        let path = CString::new(candidate).map_err(|_| io::ErrorKind::InvalidInput)?;
        let is_file = std::fs::metadata(OsStr::from_bytes(path.to_bytes())).map(|m| m.is_file());
        // SAFETY: `path` is a valid C string for the length of the call.
        match (is_file, unsafe { libc::access(path.as_ptr(), libc::X_OK) }) {
            (Ok(true), 0) => return Ok(()),
            (Ok(_), _) => worst = io::Error::from_raw_os_error(libc::EACCES),
            (Err(e), _) if e.kind() == io::ErrorKind::PermissionDenied => worst = e,
            (Err(_), _) => {}
        }
    }
    Err(worst)
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
    changed_of(Pid(-1))
}

/// The same of one child.
pub fn changed_of(child: Pid) -> io::Result<Option<(Pid, Change)>> {
    let mut status = 0;
    let flags = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED;
    // SAFETY: `status` is valid for the kernel to write.
    let pid = cerr(unsafe { libc::waitpid(child.0, &raw mut status, flags) })?;
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
