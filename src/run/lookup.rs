//! The lookup role: reads a name, asks getaddrinfo(3), answers with its addresses,
//! until the other side ends. It runs on the host, outside every sandbox, because the
//! resolver may use anything there is; it is a process of its own because it blocks.

use std::io;
use std::net::ToSocketAddrs;
use std::os::fd::AsFd;

use crate::limits::{LOOKUP_ADDRESSES, NAME_BYTES};
use crate::reactor::resolver::pack;
use crate::sys;

/// An answer without addresses; never empty, since an empty message means the end.
const NOTHING: &[u8] = b"-";

/// Serves questions on standard input.
///
/// # Errors
/// The socket broke.
pub fn serve() -> io::Result<()> {
    let stdin = io::stdin();
    let mut name = [0u8; NAME_BYTES];
    loop {
        let (length, _) = sys::fd::receive(stdin.as_fd(), &mut name)?;
        if length == 0 {
            return Ok(());
        }
        let answer = look_up(&name[..length]);
        let answer = if answer.is_empty() { NOTHING } else { &answer };
        sys::fd::send(stdin.as_fd(), answer, &[])?;
    }
}

fn look_up(name: &[u8]) -> Vec<u8> {
    let Ok(name) = std::str::from_utf8(name) else {
        return Vec::new();
    };
    let Ok(found) = (name, 0).to_socket_addrs() else {
        return Vec::new();
    };
    found
        .take(LOOKUP_ADDRESSES)
        .flat_map(|address| pack(address.ip()))
        .collect()
}
