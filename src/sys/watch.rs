//! Changes in directories (inotify(7)).

use std::ffi::CString;
use std::io;
use std::mem::{offset_of, size_of};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::cerr;

/// Directories that are watched for names that come and go.
pub struct Watch(OwnedFd);

/// Something has happened to a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// In the directory of this watch, to this name.
    Name(i32, Vec<u8>),
    /// More than the kernel keeps: everything may have changed.
    Overflow,
}

impl Watch {
    /// Nothing watched yet.
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes an integer only.
        let raw = cerr(unsafe { libc::inotify_init1(libc::IN_CLOEXEC) })?;
        // SAFETY: the kernel has just made this descriptor and nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(raw) }))
    }

    /// Watches a directory; gives the number by which its changes come.
    pub fn add(&self, directory: &[u8]) -> io::Result<i32> {
        let path = CString::new(directory).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mask = libc::IN_CREATE
            | libc::IN_DELETE
            | libc::IN_MOVED_FROM
            | libc::IN_MOVED_TO
            | libc::IN_ONLYDIR;
        // SAFETY: `path` is a valid C string for the length of the call.
        cerr(unsafe { libc::inotify_add_watch(self.0.as_raw_fd(), path.as_ptr(), mask) })
    }

    /// Waits for changes.
    pub fn wait(&self) -> io::Result<Vec<Change>> {
        let mut buffer = [0u64; 1024];
        let size = size_of_val(&buffer);
        let length = loop {
            // SAFETY: the buffer is valid for the kernel to write that many bytes to.
            let read =
                cerr(unsafe { libc::read(self.0.as_raw_fd(), buffer.as_mut_ptr().cast(), size) });
            match read {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::InvalidData)?;
        // SAFETY: the kernel has written `length` bytes, at most the buffer's size, and
        // every byte of a u64 is initialised and may be read as a u8.
        let bytes = unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), length) };
        let mut changes = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (change, used) = event(rest).ok_or(io::ErrorKind::InvalidData)?;
            changes.push(change);
            rest = rest.get(used..).ok_or(io::ErrorKind::InvalidData)?;
        }
        Ok(changes)
    }
}

/// The first `struct inotify_event`, and its size.
fn event(bytes: &[u8]) -> Option<(Change, usize)> {
    const HEAD: usize = size_of::<libc::inotify_event>();
    let number = |at: usize| Some(*bytes.get(at..)?.first_chunk::<4>()?);
    let watch = i32::from_ne_bytes(number(offset_of!(libc::inotify_event, wd))?);
    let mask = u32::from_ne_bytes(number(offset_of!(libc::inotify_event, mask))?);
    let length = u32::from_ne_bytes(number(offset_of!(libc::inotify_event, len))?) as usize;
    let name = bytes.get(HEAD..HEAD + length)?;
    let name = name.split(|&b| b == 0).next().unwrap_or_default();
    let change = if mask & libc::IN_Q_OVERFLOW != 0 {
        Change::Overflow
    } else {
        Change::Name(watch, name.to_vec())
    };
    Some((change, HEAD + length))
}
