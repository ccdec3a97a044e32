//! Talking to the kernel's routing (netlink(7), rtnetlink(7)).

use std::ffi::CStr;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

use super::cerr;

/// Longest acknowledgement that is read: the kernel repeats the request in it.
const ANSWER_BYTES: usize = 1024;
/// `NLMSG_ERROR`, which is also the type of an acknowledgement.
const ERROR: u16 = 2;

/// A socket to the routing of the network namespace that it was made in.
pub struct Routing(OwnedFd);

impl Routing {
    /// Of this process's network namespace.
    pub fn open() -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: takes integers only.
        let raw = cerr(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) })?;
        // SAFETY: the kernel has just made this descriptor and nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(raw) }))
    }

    /// Has the kernel take in at once that a link's other end is up: else a worker of its own
    /// does so, some time later, and what is sent until then is lost. That is done by asking
    /// whether it is (ETHTOOL_GLINK, linux/ethtool.h; netdevice(7)).
    pub fn settle(&self, name: &CStr) -> io::Result<()> {
        const SIOCETHTOOL: libc::c_ulong = 0x8946;
        const ETHTOOL_GLINK: u32 = 0xa;
        // `struct ethtool_value`.
        let mut value = [ETHTOOL_GLINK, 0];
        // SAFETY: an ifreq of zeroes is a valid one.
        let mut request: libc::ifreq = unsafe { zeroed() };
        let name = name.to_bytes_with_nul();
        if name.len() > request.ifr_name.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        for (to, from) in request.ifr_name.iter_mut().zip(name) {
            *to = *from as libc::c_char;
        }
        request.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
        // SAFETY: `request` is an ifreq whose data points to an ethtool_value, both of which
        // outlive the call.
        let done = unsafe {
            libc::ioctl(
                self.0.as_raw_fd(),
                SIOCETHTOOL as _,
                std::ptr::from_mut(&mut request),
            )
        };
        cerr(done)?;
        match value {
            [_, 1] => Ok(()),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Makes one request that wants an acknowledgement. The kernel does it before the call
    /// returns.
    ///
    /// # Errors
    /// The kernel's, or an answer that is none.
    pub fn ask(&self, request: &[u8]) -> io::Result<()> {
        // SAFETY: a sockaddr_nl of zeroes is a valid one, the kernel's.
        let mut kernel: libc::sockaddr_nl = unsafe { zeroed() };
        kernel.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        // SAFETY: both pointers are valid for the lengths that are said.
        cerr(unsafe {
            libc::sendto(
                self.0.as_raw_fd(),
                request.as_ptr().cast(),
                request.len(),
                0,
                ptr::from_ref(&kernel).cast(),
                size_of::<libc::sockaddr_nl>() as libc::socklen_t,
            )
        })?;
        let mut answer = [0u8; ANSWER_BYTES];
        // The answer is there: a kernel without one is broken, and not waited for.
        // SAFETY: `answer` is valid for the kernel to write to.
        let length = cerr(unsafe {
            libc::recv(
                self.0.as_raw_fd(),
                answer.as_mut_ptr().cast(),
                answer.len(),
                libc::MSG_DONTWAIT,
            )
        })?;
        let answer = &answer[..length.unsigned_abs()];
        // Length, type, flags, number, port; then the errno, negative or 0.
        let kind = answer.get(4..6).and_then(|b| b.try_into().ok());
        let errno = answer.get(16..20).and_then(|b| b.try_into().ok());
        match (kind.map(u16::from_ne_bytes), errno.map(i32::from_ne_bytes)) {
            (Some(ERROR), Some(0)) => Ok(()),
            (Some(ERROR), Some(errno)) => Err(io::Error::from_raw_os_error(errno.saturating_neg())),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}
