//! Connecting another process's socket in its place (connect(2)).

use std::io;
use std::mem::{offset_of, size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use super::cerr;
use super::dir::c_string;

/// Longest address of a socket (`struct sockaddr_storage`).
pub const ADDRESS_BYTES: usize = size_of::<libc::sockaddr_storage>();

/// Longest address of a Unix socket (unix(7)).
pub const UNIX_ADDRESS_BYTES: usize = size_of::<libc::sockaddr_un>();

/// What an address says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    /// A Unix socket's path, without its NUL.
    Path(&'a [u8]),
    /// A Unix socket's abstract name, without the NUL before it.
    Abstract(&'a [u8]),
    /// Something else.
    Other,
}

/// Reads an address as the kernel does (unix(7)): up to the first NUL, or its end.
pub fn named(address: &[u8]) -> Named<'_> {
    const PATH: usize = offset_of!(libc::sockaddr_un, sun_path);
    let Some((family, _)) = address.split_first_chunk::<2>() else {
        return Named::Other;
    };
    if libc::c_int::from(u16::from_ne_bytes(*family)) != libc::AF_UNIX {
        return Named::Other;
    }
    match address.get(PATH..) {
        None | Some([]) => Named::Other,
        Some([0, rest @ ..]) => Named::Abstract(rest),
        Some(path) => Named::Path(path.split(|&b| b == 0).next().unwrap_or_default()),
    }
}

/// What kind a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// AF_UNIX.
    Unix,
    /// Any other.
    Other,
}

/// The kind of an open socket (SO_DOMAIN, socket(7)).
pub fn family(socket: BorrowedFd<'_>) -> io::Result<Family> {
    Ok(match option::<libc::c_int>(socket, libc::SO_DOMAIN)? {
        libc::AF_UNIX => Family::Unix,
        _ => Family::Other,
    })
}

/// Reads a socket option of the size of `T`, for which all values are valid.
fn option<T: Copy + Default>(socket: BorrowedFd<'_>, name: libc::c_int) -> io::Result<T> {
    let mut value = T::default();
    let mut size = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` is valid for the kernel to write `size` bytes to.
    cerr(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            (&raw mut value).cast(),
            &raw mut size,
        )
    })?;
    Ok(value)
}

/// Connects without waiting, also where the socket may: O_NONBLOCK is set meanwhile. Others
/// who hold the socket may take it away again: a timer ends the wait then (EINTR), which is
/// as good as a connect that has begun.
pub fn connect(socket: BorrowedFd<'_>, address: &[u8]) -> io::Result<()> {
    let before = flags(socket)?;
    set_flags(socket, before | libc::O_NONBLOCK)?;
    let _ticks = Ticks::start()?;
    // SAFETY: `address` is valid for the kernel to read, for as many bytes as said.
    let done = cerr(unsafe {
        libc::connect(
            socket.as_raw_fd(),
            address.as_ptr().cast(),
            address.len() as libc::socklen_t,
        )
    });
    set_flags(socket, before)?;
    match done {
        Err(e) if e.kind() == io::ErrorKind::Interrupted => {
            Err(io::Error::from_raw_os_error(libc::EAGAIN))
        }
        other => other.map(drop),
    }
}

/// Time after which a call that waits is interrupted, again and again.
const TICK: libc::suseconds_t = 10_000;

/// A running timer, whose signal does nothing but interrupt (setitimer(2)).
struct Ticks;

impl Ticks {
    fn start() -> io::Result<Self> {
        extern "C" fn nothing(_: libc::c_int) {}
        // SAFETY: a sigaction of zeroes is a valid one: no flags, and so no restart of the
        // call that is interrupted.
        let mut action: libc::sigaction = unsafe { zeroed() };
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
        // SAFETY: `action` is valid, and its handler does nothing.
        cerr(unsafe { libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut()) })?;
        set_timer(TICK)?;
        Ok(Self)
    }
}

impl Drop for Ticks {
    fn drop(&mut self) {
        // A timer that cannot be stopped interrupts what is begun anew.
        let _ = set_timer(0);
    }
}

fn set_timer(micros: libc::suseconds_t) -> io::Result<()> {
    let span = libc::timeval {
        tv_sec: 0,
        tv_usec: micros,
    };
    let timer = libc::itimerval {
        it_interval: span,
        it_value: span,
    };
    // SAFETY: `timer` is valid for the kernel to read.
    cerr(unsafe {
        libc::syscall(
            libc::SYS_setitimer,
            libc::ITIMER_REAL,
            &raw const timer,
            std::ptr::null_mut::<libc::itimerval>(),
        )
    })
    .map(drop)
}

fn flags(socket: BorrowedFd<'_>) -> io::Result<libc::c_int> {
    // SAFETY: F_GETFL takes no argument and touches no memory.
    cerr(unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_GETFL) })
}

fn set_flags(socket: BorrowedFd<'_>, flags: libc::c_int) -> io::Result<()> {
    // SAFETY: F_SETFL takes an int and touches no memory.
    cerr(unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_SETFL, flags) }).map(drop)
}

/// Longest that a connect may wait by the socket's own word (SO_SNDTIMEO, socket(7)).
pub fn longest_wait(socket: BorrowedFd<'_>) -> io::Result<Option<Duration>> {
    // A timeval: two words.
    let [seconds, micros]: [libc::time_t; 2] = option(socket, libc::SO_SNDTIMEO)?;
    let seconds = u64::try_from(seconds).unwrap_or(0);
    let micros = u64::try_from(micros).unwrap_or(0);
    let longest = Duration::from_secs(seconds) + Duration::from_micros(micros);
    Ok((!longest.is_zero()).then_some(longest))
}

const _: () = assert!(size_of::<libc::timeval>() == size_of::<[libc::time_t; 2]>());

/// Connects to the very socket that `object` (opened with O_PATH) is.
pub fn connect_to(socket: BorrowedFd<'_>, object: BorrowedFd<'_>) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", object.as_raw_fd());
    let family = libc::AF_UNIX as libc::sa_family_t;
    let address = [&family.to_ne_bytes()[..], path.as_bytes(), &[0]].concat();
    connect(socket, &address)
}

/// Whether a socket's holders want no call on it to wait (O_NONBLOCK).
pub fn waits(socket: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(flags(socket)? & libc::O_NONBLOCK == 0)
}

/// Opens what `path` is inside `root`, whose links lead nowhere else (openat2(2),
/// RESOLVE_IN_ROOT), without opening it for anything (O_PATH).
pub fn open_inside(root: BorrowedFd<'_>, path: &[u8]) -> io::Result<OwnedFd> {
    let path = c_string(path)?;
    // SAFETY: an open_how of zeroes is a valid one.
    let mut how: libc::open_how = unsafe { zeroed() };
    how.flags = (libc::O_PATH | libc::O_CLOEXEC) as u64;
    how.resolve = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;
    let mut tries = 0;
    let raw = loop {
        // SAFETY: `path` and `how` are valid for the length of the call, and the size is so.
        let opened = cerr(unsafe {
            libc::syscall(
                libc::SYS_openat2,
                root.as_raw_fd(),
                path.as_ptr(),
                &raw const how,
                size_of::<libc::open_how>(),
            )
        });
        tries += 1;
        match opened {
            // Somebody has mounted or moved something, anywhere, and a `..` is in doubt.
            Err(e) if e.raw_os_error() == Some(libc::EAGAIN) && tries < TRIES => {}
            other => break other?,
        }
    };
    let raw = RawFd::try_from(raw).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: the kernel has just made it, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Most tries of an openat2(2) that was not sure.
const TRIES: usize = 1000;
