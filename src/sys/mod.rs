//! The only room that sees libc, and the only one that holds `unsafe`.
//!
//! Each function wraps one system call, or a few that only make sense together,
//! and has a safe signature: descriptors are owned or borrowed types, lengths are
//! checked, and errors are `io::Error` with the kernel's errno.
#![allow(unsafe_code)]

pub mod attack;
pub mod dir;
pub mod fd;
pub mod host;
pub mod landlock;
pub mod namespace;
pub mod notify;
pub mod own_calls;
pub mod process;
pub mod seccomp;
pub mod shared;
pub mod signal;
pub mod sockets;
pub mod streams;
pub mod terminal;
pub mod watch;

use std::io;

/// Turns the C convention (-1 and `errno`) into a `Result`.
fn cerr<T: Copy + PartialEq + From<i8>>(ret: T) -> io::Result<T> {
    if ret == T::from(-1) {
        Err(io::Error::last_os_error())
    } else {
        Ok(ret)
    }
}
