//! Connects in the command's place, where some Unix sockets may be reached: the address is
//! read once, what it names is opened once and compared, and that very object is connected
//! to. Nothing that the caller changes meanwhile, in its memory or its descriptors, has a
//! part in it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileTypeExt;
use std::time::{Duration, Instant};

use super::owner;
use super::sight::Sight;
use crate::limits::{CONNECT_AGAIN, WAITING_CONNECTS};
use crate::policy::explain::Decision;
use crate::policy::files::join;
use crate::sys::notify::{self, Notification};
use crate::sys::sockets::{self, ADDRESS_BYTES, Family, Named};

/// What became of a call.
pub enum Answer {
    /// It was answered, or will be.
    Given,
    /// It is to be refused: it meant this socket.
    Denied(Vec<u8>),
}

/// Whether it was time to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// It was.
    Yes,
    /// It was not.
    No,
}

/// Connects that wait, because their sockets may.
#[derive(Default)]
pub struct Connects {
    waiting: Vec<Waiting>,
    /// When they are tried again.
    due: Option<Instant>,
}

struct Waiting {
    id: u64,
    number: u32,
    socket: OwnedFd,
    to: To,
    /// The socket's own bound (SO_SNDTIMEO), and what it ends with.
    until: Option<Instant>,
    late: i32,
}

/// Whereto a connect leads.
enum To {
    /// This socket, which is tried again.
    Object(OwnedFd),
    /// This address: it is under way.
    Address(Vec<u8>),
}

impl To {
    /// Tries to connect, without waiting; gives an errno, 0 for success.
    fn connect(&self, socket: &OwnedFd) -> Option<i32> {
        let tried = match self {
            Self::Object(object) => sockets::connect_to(socket.as_fd(), object.as_fd()),
            Self::Address(address) => sockets::connect(socket.as_fd(), address),
        };
        Some(match tried {
            Ok(()) => 0,
            Err(error) => error.raw_os_error().unwrap_or(notify::REFUSED),
        })
    }
}

/// An errno of the call's own, or of ours, which is no answer to it.
enum Failed {
    With(i32),
    Denied(Vec<u8>),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::With(error.raw_os_error().unwrap_or(notify::REFUSED))
    }
}

impl Connects {
    /// The calls that wait: ids and numbers.
    pub fn waiting(&self) -> impl Iterator<Item = (u64, u32)> {
        self.waiting.iter().map(|one| (one.id, one.number))
    }

    /// How long to wait before those that wait are tried again.
    pub fn patience(&self) -> Option<Duration> {
        let left = |due: Instant| due.saturating_duration_since(Instant::now());
        // The clock of a wait may be a little coarser.
        self.due.map(|due| left(due) + Duration::from_millis(1))
    }

    /// Makes the connect(2) of `call`, or begins it.
    pub fn take(
        &mut self,
        listener: BorrowedFd<'_>,
        call: &Notification,
        sight: &Sight,
    ) -> io::Result<Answer> {
        let errno = match self.attempt(listener, call, sight) {
            Ok(None) => return Ok(Answer::Given),
            Ok(Some(errno)) | Err(Failed::With(errno)) => errno,
            Err(Failed::Denied(target)) => {
                return Ok(Answer::Denied(target));
            }
        };
        notify::answer(listener, call.id, errno)?;
        Ok(Answer::Given)
    }

    /// The errno to answer with, 0 for success; `None` if that is not known yet.
    fn attempt(
        &mut self,
        listener: BorrowedFd<'_>,
        call: &Notification,
        sight: &Sight,
    ) -> Result<Option<i32>, Failed> {
        let [number, at, length, ..] = call.arguments;
        // The kernel takes the low words, signed.
        let (number, length) = (number as i32, length as i32);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > ADDRESS_BYTES {
            return Err(Failed::With(notify::INVALID));
        }
        let mut address = [0; ADDRESS_BYTES];
        let address = &mut address[..length];
        let read = match length {
            0 => 0,
            _ => notify::read_memory(call.thread, at, address).unwrap_or(0),
        };
        if read < length {
            return Err(Failed::With(notify::FAULT));
        }
        let leader = || owner::group(call.thread);
        let socket = notify::copy_descriptor(call.thread, leader, number)?;
        let object = match sockets::family(socket.as_fd())? {
            Family::Other => None,
            Family::Unix => Some(object(call.thread, address, sight)?),
        };
        // All of this was the caller's, and no other's that has its number by now.
        if !notify::is_valid(listener, call.id) {
            return Ok(None);
        }
        let to = match object {
            Some(object) => To::Object(object),
            None => To::Address(address.to_vec()),
        };
        let mut errno = to.connect(&socket);
        // What is near stands at once: the second call says so, as one that had waited.
        let waits = sockets::waits(socket.as_fd())?;
        if errno == Some(notify::UNDER_WAY) && waits {
            errno = to.connect(&socket);
        }
        let errno = match errno {
            Some(notify::AGAIN) => notify::AGAIN,
            Some(notify::UNDER_WAY | notify::ALREADY) if waits => notify::UNDER_WAY,
            errno => return Ok(errno),
        };
        if !waits || self.waiting.len() >= WAITING_CONNECTS {
            return Ok(Some(errno));
        }
        let longest = sockets::longest_wait(socket.as_fd())?;
        self.waiting.push(Waiting {
            id: call.id,
            number: call.number,
            until: longest.map(|longest| Instant::now() + longest),
            late: errno,
            socket,
            to,
        });
        self.due
            .get_or_insert_with(|| Instant::now() + CONNECT_AGAIN);
        Ok(None)
    }

    /// Tries those that wait once more, if it is time.
    pub fn again(&mut self, listener: BorrowedFd<'_>) -> io::Result<Tried> {
        let now = Instant::now();
        if self.due.is_none_or(|due| now < due) {
            return Ok(Tried::No);
        }
        for one in std::mem::take(&mut self.waiting) {
            // The dead take no place in a listener's queue.
            if !notify::is_valid(listener, one.id) {
                continue;
            }
            let errno = match one.to.connect(&one.socket) {
                Some(notify::AGAIN | notify::UNDER_WAY | notify::ALREADY) => None,
                errno => errno,
            };
            let late = one.until.is_some_and(|until| until <= now);
            match errno.or(late.then_some(one.late)) {
                Some(errno) => {
                    notify::answer(listener, one.id, errno)?;
                }
                None => self.waiting.push(one),
            }
        }
        self.due = (!self.waiting.is_empty()).then(|| now + CONNECT_AGAIN);
        Ok(Tried::Yes)
    }
}

/// The socket that `address` means to `thread`, if it may be connected to.
fn object(thread: u32, address: &[u8], sight: &Sight) -> Result<OwnedFd, Failed> {
    if address.len() > sockets::UNIX_ADDRESS_BYTES {
        return Err(Failed::With(notify::INVALID));
    }
    let path = match sockets::named(address) {
        Named::Path(path) => path,
        // Those of the host are another namespace's; what is made inside is not listed.
        Named::Abstract(name) => return Err(Failed::Denied([b"@", name].concat())),
        Named::Other => return Err(Failed::With(notify::INVALID)),
    };
    let path = match path {
        [b'/', ..] => path.to_vec(),
        _ => {
            let start = std::fs::read_link(format!("/proc/{thread}/cwd"))?;
            join(&start.into_os_string().into_vec(), path)
        }
    };
    let root = std::fs::File::open(format!("/proc/{thread}/root"))?;
    let object = sockets::open_inside(root.as_fd(), &path)?;
    if !is_socket(&object)? {
        return Err(Failed::With(notify::NOBODY));
    }
    let real = crate::sys::dir::path_of(object.as_fd())?;
    match sight.socket(&real) {
        Decision::Allowed(_) => Ok(object),
        Decision::Denied(_) => Err(Failed::Denied(real)),
    }
}

fn is_socket(object: &OwnedFd) -> io::Result<bool> {
    let found = std::fs::metadata(format!("/proc/self/fd/{}", object.as_raw_fd()))?;
    Ok(found.file_type().is_socket())
}
