//! UDP sockets that answer from the address that was asked (ip(7), ipv6(7)).

use std::io;
use std::mem::{size_of, zeroed};
use std::net::Ipv6Addr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use super::cerr;

/// Room for one IP_PKTINFO or IPV6_PKTINFO, aligned as `cmsghdr` wants.
const CONTROL_WORDS: usize = 8;

/// `IPV6_FREEBIND` (linux/in6.h): answers may come from an address that only a route makes
/// this host's.
const IPV6_FREEBIND: libc::c_int = 78;

/// Connections that wait to be accepted: the kernel's own bound is lower
/// (net.core.somaxconn).
const BACKLOG: libc::c_int = 4096;

/// Who asked, and at which address: where an answer goes to and comes from.
pub struct Way {
    peer: libc::sockaddr_storage,
    peer_size: libc::socklen_t,
    /// The control data of the answer.
    control: [u64; CONTROL_WORDS],
    control_size: usize,
}

/// What kind of socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TCP, listening.
    Stream,
    /// UDP, told of the address that each datagram came to.
    Datagram,
}

/// A socket on every address of both families of this process's network namespace; of IPv4
/// alone, where the kernel has no IPv6.
pub fn listen(kind: Kind, port: u16) -> io::Result<OwnedFd> {
    match on_every_address(kind, port) {
        Err(e) if e.raw_os_error() == Some(libc::EAFNOSUPPORT) => on_ipv4(kind, port),
        other => other,
    }
}

fn socket(family: libc::c_int, kind: Kind) -> io::Result<OwnedFd> {
    let kind = match kind {
        Kind::Stream => libc::SOCK_STREAM,
        Kind::Datagram => libc::SOCK_DGRAM,
    };
    // SAFETY: takes integers only.
    let raw = cerr(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the kernel has just made this descriptor and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

fn on_every_address(kind: Kind, port: u16) -> io::Result<OwnedFd> {
    let socket = socket(libc::AF_INET6, kind)?;
    set(&socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0)?;
    if kind == Kind::Datagram {
        set(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
        set(&socket, libc::IPPROTO_IPV6, IPV6_FREEBIND, 1)?;
    }
    // SAFETY: a sockaddr_in6 of zeroes is a valid one: every address.
    let mut address: libc::sockaddr_in6 = unsafe { zeroed() };
    address.sin6_family = libc::AF_INET6 as libc::sa_family_t;
    address.sin6_port = port.to_be();
    bind(&socket, &address, kind)?;
    Ok(socket)
}

fn on_ipv4(kind: Kind, port: u16) -> io::Result<OwnedFd> {
    let socket = socket(libc::AF_INET, kind)?;
    if kind == Kind::Datagram {
        set(&socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
    }
    // SAFETY: a sockaddr_in of zeroes is a valid one: every address.
    let mut address: libc::sockaddr_in = unsafe { zeroed() };
    address.sin_family = libc::AF_INET as libc::sa_family_t;
    address.sin_port = port.to_be();
    bind(&socket, &address, kind)?;
    Ok(socket)
}

fn bind<A>(socket: &OwnedFd, address: &A, kind: Kind) -> io::Result<()> {
    let size = size_of::<A>() as libc::socklen_t;
    // SAFETY: `address` is a socket address of the size that is said.
    cerr(unsafe { libc::bind(socket.as_raw_fd(), ptr::from_ref(address).cast(), size) })?;
    if kind == Kind::Stream {
        // SAFETY: takes integers only.
        cerr(unsafe { libc::listen(socket.as_raw_fd(), BACKLOG) })?;
    }
    Ok(())
}

fn set(
    socket: &OwnedFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    let value = ptr::from_ref(&value).cast();
    // SAFETY: `value` points to an int, of the size that is said.
    cerr(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value, size) }).map(drop)
}

/// Takes a datagram, and the way back; never waits if the socket does not.
///
/// # Errors
/// There is none (`WouldBlock`); or one that is longer than `buffer`, or that does not say
/// where it came to (`InvalidData`): it is dropped.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Way)> {
    let mut way = Way {
        // SAFETY: a sockaddr_storage of zeroes is a valid one.
        peer: unsafe { zeroed() },
        peer_size: size_of::<libc::sockaddr_storage>() as libc::socklen_t,
        control: [0; CONTROL_WORDS],
        control_size: 0,
    };
    let mut control = [0u64; CONTROL_WORDS];
    let mut vector = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: a msghdr of zeroes is a valid empty one.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_name = (&raw mut way.peer).cast();
    message.msg_namelen = way.peer_size;
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: all that the message points to outlives the call and has the lengths given.
    let length = cerr(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0) })?;
    way.peer_size = message.msg_namelen;
    if message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // SAFETY: the kernel has filled in msg_control and msg_controllen.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    if header.is_null() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // SAFETY: it is not null, and so a header inside `control`.
    let (level, kind) = unsafe { ((*header).cmsg_level, (*header).cmsg_type) };
    // SAFETY: CMSG_DATA is the data of a header inside `control`.
    let data = unsafe { libc::CMSG_DATA(header) };
    match (level, kind) {
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            // SAFETY: the kernel gives an in6_pktinfo with this type.
            let asked: libc::in6_pktinfo =
                unsafe { data.cast::<libc::in6_pktinfo>().read_unaligned() };
            let own = libc::in6_pktinfo {
                ipi6_addr: asked.ipi6_addr,
                // An address of one link only is nothing without it.
                ipi6_ifindex: if is_local_to_link(asked.ipi6_addr) {
                    asked.ipi6_ifindex
                } else {
                    0
                },
            };
            way.answer_from(level, kind, &own);
        }
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
            // SAFETY: the kernel gives an in_pktinfo with this type.
            let asked: libc::in_pktinfo =
                unsafe { data.cast::<libc::in_pktinfo>().read_unaligned() };
            let own = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: asked.ipi_addr,
                ipi_addr: asked.ipi_addr,
            };
            way.answer_from(level, kind, &own);
        }
        _ => return Err(io::ErrorKind::InvalidData.into()),
    }
    Ok((length.unsigned_abs(), way))
}

fn is_local_to_link(ip: libc::in6_addr) -> bool {
    Ipv6Addr::from(ip.s6_addr).is_unicast_link_local()
}

impl Way {
    fn answer_from<T: Copy>(&mut self, level: libc::c_int, kind: libc::c_int, info: &T) {
        let size = size_of::<T>() as libc::c_uint;
        // SAFETY: CMSG_SPACE is arithmetic only.
        self.control_size = unsafe { libc::CMSG_SPACE(size) } as usize;
        assert!(self.control_size <= size_of_val(&self.control));
        // SAFETY: a msghdr of zeroes is a valid empty one.
        let mut message: libc::msghdr = unsafe { zeroed() };
        message.msg_control = self.control.as_mut_ptr().cast();
        message.msg_controllen = self.control_size as _;
        // SAFETY: msg_control points to zeroed, aligned memory of CMSG_SPACE(size) bytes, so
        // the first header and its data lie inside it.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = level;
            (*header).cmsg_type = kind;
            (*header).cmsg_len = libc::CMSG_LEN(size) as _;
            libc::CMSG_DATA(header).cast::<T>().write_unaligned(*info);
        }
    }
}

/// Sends an answer the way back; never waits if the socket does not.
pub fn send_back(socket: BorrowedFd<'_>, bytes: &[u8], way: &Way) -> io::Result<()> {
    let mut vector = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: a msghdr of zeroes is a valid empty one.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_name = (&raw const way.peer).cast_mut().cast();
    message.msg_namelen = way.peer_size;
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = way.control.as_ptr().cast_mut().cast();
    message.msg_controllen = way.control_size as _;
    // SAFETY: all that the message points to outlives the call, which writes to none of it.
    cerr(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) })
        .map(drop)
}
