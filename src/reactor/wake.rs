//! Waking the loop from another thread.

use std::io;
use std::sync::Arc;

use mio::Waker;

use super::Reactor;
use super::token::Key;

/// Wakes a loop; [`Reactor::turn`] then names its number.
#[derive(Clone, Debug)]
pub struct Wake(Arc<Waker>);

impl Wake {
    /// Wakes it. A loop that is gone needs no waking.
    pub fn wake(&self) {
        let _ = self.0.wake();
    }
}

impl Reactor {
    /// What wakes this loop, by this number of its owner's. There is one (eventfd(2)).
    ///
    /// # Errors
    /// The kernel gives no descriptor.
    pub fn wake(&self, number: u32) -> io::Result<Wake> {
        let waker = Waker::new(self.poll.registry(), Key::Owner(number).token())?;
        Ok(Wake(Arc::new(waker)))
    }
}
