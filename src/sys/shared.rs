//! A page that two processes share, in which one notes what it must not leave unanswered
//! (mmap(2), MAP_SHARED).

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

use super::cerr;
use crate::limits::WAITING_CONNECTS;

/// Notes that there is room for: what is at hand, and what waits.
const NOTES: usize = 1 + WAITING_CONNECTS;

/// One note: a call's id, and its number and one; 0: no note.
struct Note {
    id: AtomicU64,
    number: AtomicU64,
}

/// The page. The one that notes and the one that reads need not agree on more than single
/// words: the reader looks only when the other is gone.
pub struct Board(NonNull<[Note; NOTES]>);

/// An empty page, as a memory file that another process can map.
pub fn page() -> io::Result<OwnedFd> {
    super::fd::memfd(c"srt-notes", &[0; size_of::<[Note; NOTES]>()])
}

impl Board {
    /// Maps the memory file that [`page`] gave.
    pub fn map(file: BorrowedFd<'_>) -> io::Result<Self> {
        // SAFETY: a new mapping of a memory file; the kernel picks where.
        let at = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size_of::<[Note; NOTES]>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(at.cast())
            .map(Self)
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn notes(&self) -> &[Note; NOTES] {
        // SAFETY: the mapping is as large and aligned as wanted (pages are), lives as long
        // as `self`, and holds atomic words, for which every value is valid; whatever the
        // other process does to it, it does to atomic words.
        unsafe { self.0.as_ref() }
    }

    /// Notes the call at hand, or that there is none.
    pub fn at_hand(&self, call: Option<(u64, u32)>) {
        self.put(0, call);
    }

    /// Notes all calls that wait.
    pub fn waiting(&self, calls: impl Iterator<Item = (u64, u32)>) {
        let none = std::iter::repeat(None);
        for (place, call) in (1..NOTES).zip(calls.map(Some).chain(none)) {
            self.put(place, call);
        }
    }

    fn put(&self, place: usize, call: Option<(u64, u32)>) {
        let Some(note) = self.notes().get(place) else {
            return;
        };
        note.number.store(0, Ordering::Release);
        if let Some((id, number)) = call {
            note.id.store(id, Ordering::Release);
            note.number.store(u64::from(number) + 1, Ordering::Release);
        }
    }

    /// The id of the last call at hand, answered or not; `None` if there was none.
    pub fn last(&self) -> Option<u64> {
        let id = self.notes()[0].id.load(Ordering::Acquire);
        (id != 0).then_some(id)
    }

    /// All that is noted: ids and numbers.
    pub fn read(&self) -> Vec<(u64, u32)> {
        let one = |note: &Note| {
            let number = note.number.load(Ordering::Acquire).checked_sub(1)?;
            Some((note.id.load(Ordering::Acquire), u32::try_from(number).ok()?))
        };
        self.notes().iter().filter_map(one).collect()
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // SAFETY: unmaps what `map` has mapped, which nobody refers to any more.
        let _ = cerr(unsafe { libc::munmap(self.0.as_ptr().cast(), size_of::<[Note; NOTES]>()) });
    }
}
