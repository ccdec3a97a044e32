//! There is no capture on macOS, and so no questions come.

use std::convert::Infallible;
use std::io;
use std::os::fd::BorrowedFd;

/// Where an answer would go to: nowhere.
pub struct Way(Infallible);

/// Receives nothing.
pub fn receive(_socket: BorrowedFd<'_>, _buffer: &mut [u8]) -> io::Result<(usize, Way)> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Is never called: there is no [`Way`].
pub fn send_back(_socket: BorrowedFd<'_>, _message: &[u8], back: &Way) -> io::Result<()> {
    match back.0 {}
}
