//! Connects in the command's place, where some Unix sockets may be reached: the address is
//! read once, what it names is opened once and compared, and that very object is connected
//! to. Nothing that the caller changes meanwhile, in its memory or its descriptors, has a
//! part in it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileTypeExt;
use std::time::Duration;

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
    /// It was refused: it meant this socket.
    Denied(Vec<u8>),
}

/// Connects that wait, because their sockets may.
#[derive(Default)]
pub struct Connects {
    waiting: Vec<Waiting>,
}

struct Waiting {
    id: u64,
    socket: OwnedFd,
    to: To,
}

/// Whereto a connect leads.
enum To {
    /// This socket, which is tried again.
    Object(OwnedFd),
    /// Somewhere else: it is under way.
    Begun,
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
    /// How long to wait before those that wait are tried again.
    pub fn patience(&self) -> Option<Duration> {
        (!self.waiting.is_empty()).then_some(CONNECT_AGAIN)
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
                notify::answer(listener, call.id, notify::DENIED)?;
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
        if length > 0 && notify::read_memory(call.thread, at, address)? < length {
            return Err(Failed::With(notify::FAULT));
        }
        let process = owner::group(call.thread).ok_or(Failed::With(notify::REFUSED))?;
        let socket = notify::copy_descriptor(process, number)?;
        let object = match sockets::family(socket.as_fd())? {
            Family::Other => None,
            Family::Unix => Some(object(call.thread, address, sight)?),
        };
        // All of this was the caller's, and no other's that has its number by now.
        if !notify::is_valid(listener, call.id) {
            return Ok(None);
        }
        let tried = match &object {
            Some(object) => sockets::connect_to(socket.as_fd(), object.as_fd()),
            None => sockets::connect(socket.as_fd(), address),
        };
        let errno = match tried {
            Ok(()) => return Ok(Some(0)),
            Err(error) => error.raw_os_error().unwrap_or(notify::REFUSED),
        };
        let to = match object {
            Some(object) if errno == notify::AGAIN => To::Object(object),
            None if errno == notify::UNDER_WAY => To::Begun,
            _ => return Ok(Some(errno)),
        };
        if !sockets::waits(socket.as_fd())? || self.waiting.len() >= WAITING_CONNECTS {
            return Ok(Some(errno));
        }
        self.waiting.push(Waiting {
            id: call.id,
            socket,
            to,
        });
        Ok(None)
    }

    /// Tries those that wait once more.
    pub fn again(&mut self, listener: BorrowedFd<'_>) -> io::Result<()> {
        let mut left = Vec::new();
        for one in self.waiting.drain(..) {
            let errno = match &one.to {
                To::Begun => {
                    sockets::connected(one.socket.as_fd()).unwrap_or(Some(notify::REFUSED))
                }
                To::Object(object) => {
                    match sockets::connect_to(one.socket.as_fd(), object.as_fd()) {
                        Ok(()) => Some(0),
                        Err(e) if e.raw_os_error() == Some(notify::AGAIN) => None,
                        Err(e) => Some(e.raw_os_error().unwrap_or(notify::REFUSED)),
                    }
                }
            };
            match errno {
                Some(errno) => {
                    notify::answer(listener, one.id, errno)?;
                }
                None if notify::is_valid(listener, one.id) => left.push(one),
                None => {}
            }
        }
        self.waiting = left;
        Ok(())
    }
}

/// The socket that `address` means to `thread`, if it may be connected to.
fn object(thread: u32, address: &[u8], sight: &Sight) -> Result<OwnedFd, Failed> {
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
