//! Connecting another process's socket in its place (connect(2)).

use std::io;
use std::mem::{offset_of, size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use super::cerr;
use super::dir::c_string;

/// Longest address of a socket (`struct sockaddr_storage`).
pub const ADDRESS_BYTES: usize = size_of::<libc::sockaddr_storage>();

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

/// Longest that one try waits, in microseconds: the kernel rounds it up to a tick.
const PATIENCE: libc::suseconds_t = 1000;

/// Connects without waiting for long, also where the socket may block: SO_SNDTIMEO,
/// which bounds connect(2), is lowered meanwhile. The flag O_NONBLOCK would be seen by all
/// that share the socket.
pub fn connect(socket: BorrowedFd<'_>, address: &[u8]) -> io::Result<()> {
    let before: [libc::time_t; 2] = option(socket, libc::SO_SNDTIMEO)?;
    let short: [libc::time_t; 2] = [0, PATIENCE];
    set_timeout(socket, &short)?;
    // SAFETY: `address` is valid for the kernel to read, for as many bytes as said.
    let done = cerr(unsafe {
        libc::connect(
            socket.as_raw_fd(),
            address.as_ptr().cast(),
            address.len() as libc::socklen_t,
        )
    });
    set_timeout(socket, &before)?;
    done.map(drop)
}

fn set_timeout(socket: BorrowedFd<'_>, timeout: &[libc::time_t; 2]) -> io::Result<()> {
    // SAFETY: `timeout` has the layout of a timeval: two words.
    cerr(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_SNDTIMEO,
            ptr::from_ref(timeout).cast(),
            size_of::<libc::timeval>() as libc::socklen_t,
        )
    })
    .map(drop)
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
    // SAFETY: F_GETFL takes no argument and touches no memory.
    let flags = cerr(unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_GETFL) })?;
    Ok(flags & libc::O_NONBLOCK == 0)
}

/// How a connect that was begun has ended; `None` if it has not.
pub fn connected(socket: BorrowedFd<'_>) -> io::Result<Option<i32>> {
    let mut entry = libc::pollfd {
        fd: socket.as_raw_fd(),
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: `entry` is one entry, as said.
    match cerr(unsafe { libc::poll(&raw mut entry, 1, 0) })? {
        0 => Ok(None),
        _ => option::<libc::c_int>(socket, libc::SO_ERROR).map(Some),
    }
}

/// Opens what `path` is inside `root`, whose links lead nowhere else (openat2(2),
/// RESOLVE_IN_ROOT), without opening it for anything (O_PATH).
pub fn open_inside(root: BorrowedFd<'_>, path: &[u8]) -> io::Result<OwnedFd> {
    let path = c_string(path)?;
    // SAFETY: an open_how of zeroes is a valid one.
    let mut how: libc::open_how = unsafe { zeroed() };
    how.flags = (libc::O_PATH | libc::O_CLOEXEC) as u64;
    how.resolve = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;
    // SAFETY: `path` and `how` are valid for the length of the call, and the size is so.
    let raw = cerr(unsafe {
        libc::syscall(
            libc::SYS_openat2,
            root.as_raw_fd(),
            path.as_ptr(),
            &raw const how,
            size_of::<libc::open_how>(),
        )
    })?;
    let raw = RawFd::try_from(raw).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: the kernel has just made it, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Waits until one of these is readable, at most `longest`; says which are (poll(2)).
pub fn wait_either(
    one: BorrowedFd<'_>,
    other: Option<BorrowedFd<'_>>,
    longest: Option<std::time::Duration>,
) -> io::Result<[Readable; 2]> {
    let entry = |fd: Option<BorrowedFd<'_>>| libc::pollfd {
        // A negative one is passed over.
        fd: fd.map_or(-1, |fd| fd.as_raw_fd()),
        events: libc::POLLIN,
        revents: 0,
    };
    let mut set = [entry(Some(one)), entry(other)];
    let longest = longest.map_or(-1, |d| i32::try_from(d.as_millis()).unwrap_or(i32::MAX));
    // SAFETY: `set` holds two entries, as said.
    match cerr(unsafe { libc::poll(set.as_mut_ptr(), 2, longest) }) {
        Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e),
        Err(_) => return Ok([Readable::No; 2]),
        Ok(_) => {}
    }
    Ok(set.map(|entry| match entry.revents {
        0 => Readable::No,
        events if events & libc::POLLIN != 0 => Readable::Yes,
        _ => Readable::Over,
    }))
}

/// Whether there is something to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readable {
    /// Nothing yet.
    No,
    /// There is.
    Yes,
    /// There will be nothing more.
    Over,
}
