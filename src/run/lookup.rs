//! The lookup role: reads a name, asks getaddrinfo(3), answers with its addresses,
//! until the other side ends. It runs on the host, outside every sandbox, because the
//! resolver may use anything there is; it is a process of its own because it blocks.

use std::io::{self, Read, Write};
use std::net::ToSocketAddrs;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use crate::limits::{LOOKUP_ADDRESSES, NAME_BYTES};
use crate::reactor::resolver::pack;
use crate::sys::host::{SearchList, set_search_list};

/// Serves questions on standard input.
///
/// # Errors
/// The socket broke.
pub fn serve() -> io::Result<()> {
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut name = [0u8; NAME_BYTES];
    let mut length = [0u8; 1];
    loop {
        if socket.read(&mut length)? == 0 {
            return Ok(());
        }
        let name = name.get_mut(..usize::from(length[0]));
        let name = name.ok_or(io::ErrorKind::InvalidData)?;
        socket.read_exact(name)?;
        // The name that was matched is the one that is looked up. One of a single label is
        // what the host takes it for.
        set_search_list(if name.contains(&b'.') {
            SearchList::Ignored
        } else {
            SearchList::Used
        });
        socket.write_all(&look_up(name))?;
    }
}

fn look_up(name: &[u8]) -> Vec<u8> {
    let name = std::str::from_utf8(name).unwrap_or_default();
    let found = (name, 0).to_socket_addrs().into_iter().flatten();
    let found: Vec<_> = found.take(LOOKUP_ADDRESSES).collect();
    let mut answer = vec![u8::try_from(found.len()).unwrap_or(0)];
    answer.extend(found.iter().flat_map(|address| pack(address.ip())));
    answer
}
