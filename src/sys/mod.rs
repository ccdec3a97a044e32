//! The only room that sees libc, and the only one that holds `unsafe`.
//!
//! Each function wraps one system call, or a few that only make sense together,
//! and has a safe signature: descriptors are owned or borrowed types, lengths are
//! checked, and errors are `io::Error` with the kernel's errno.
#![allow(unsafe_code)]

#[cfg(target_os = "linux")]
pub mod attack;
pub mod caught;
#[cfg_attr(not(target_os = "linux"), path = "mac/datagrams.rs")]
pub mod datagrams;
#[cfg_attr(not(target_os = "linux"), path = "mac/dir.rs")]
pub mod dir;
pub mod fd;
#[cfg(target_os = "linux")]
pub mod given;
pub mod host;
#[cfg(target_os = "linux")]
pub mod landlock;
#[cfg(target_os = "linux")]
pub mod namespace;
#[cfg(target_os = "linux")]
pub mod netlink;
#[cfg(target_os = "linux")]
pub mod notify;
#[cfg(target_os = "linux")]
pub mod own_calls;
#[cfg(target_os = "linux")]
mod passing;
#[cfg(target_os = "linux")]
pub mod pidfd;
mod place;
#[cfg(target_os = "linux")]
pub mod privileges;
pub mod process;
#[cfg(target_os = "linux")]
pub mod seccomp;
#[cfg(target_os = "linux")]
pub mod shared;
pub mod signal;
#[cfg(target_os = "linux")]
pub mod signalfd;
#[cfg(target_os = "linux")]
pub mod sockets;
pub mod streams;
pub mod terminal;
#[cfg(target_os = "linux")]
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
