//! Facts of the host that only system calls tell.

#[cfg(target_env = "gnu")]
use std::ffi::CStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

use super::cerr;

/// The real user id.
pub fn uid() -> u32 {
    // SAFETY: getuid cannot fail.
    unsafe { libc::getuid() }
}

/// Whether getaddrinfo(3) completes names with the host's search list (resolv.conf(5)).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SearchList {
    Used,
    Ignored,
}

/// Sets what the next lookup does with the search list: by way of the environment, which the
/// GNU library looks at again when it is told to (resolver(3)), and for long only if it does
/// not look after the file itself. For a process of one thread, before every lookup. Other C
/// libraries offer no such way; musl completes only names with fewer dots than `ndots`.
pub fn set_search_list(list: SearchList) {
    #[cfg(target_env = "gnu")]
    {
        const DOMAINS: &CStr = c"LOCALDOMAIN";
        // SAFETY: all are valid C strings, and nobody else looks at the environment.
        unsafe {
            libc::setenv(c"RES_OPTIONS".as_ptr(), c"no-reload".as_ptr(), 1);
            match list {
                SearchList::Used => libc::unsetenv(DOMAINS.as_ptr()),
                SearchList::Ignored => libc::setenv(DOMAINS.as_ptr(), c".".as_ptr(), 1),
            };
        }
        // SAFETY: takes nothing. What fails is tried again with the next name.
        unsafe { libc::res_init() };
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = list;
}

/// Addresses of this host's own interfaces (getifaddrs(3)).
pub fn own_addresses() -> io::Result<Vec<IpAddr>> {
    let mut list: *mut libc::ifaddrs = ptr::null_mut();
    // SAFETY: `list` is valid for the call to write the head of the list to.
    cerr(unsafe { libc::getifaddrs(&raw mut list) })?;
    let mut found = Vec::new();
    let mut at = list;
    while !at.is_null() {
        // SAFETY: `at` is an entry of the list, which is freed only below.
        let entry = unsafe { &*at };
        if !entry.ifa_addr.is_null() {
            // SAFETY: a non-null ifa_addr points to a sockaddr of the family it names.
            unsafe {
                match i32::from((*entry.ifa_addr).sa_family) {
                    libc::AF_INET => {
                        let v4 = &*entry.ifa_addr.cast::<libc::sockaddr_in>();
                        let bits = u32::from_be(v4.sin_addr.s_addr);
                        found.push(IpAddr::V4(Ipv4Addr::from(bits)));
                    }
                    libc::AF_INET6 => {
                        let v6 = &*entry.ifa_addr.cast::<libc::sockaddr_in6>();
                        found.push(IpAddr::V6(Ipv6Addr::from(v6.sin6_addr.s6_addr)));
                    }
                    _ => {}
                }
            }
        }
        at = entry.ifa_next;
    }
    // SAFETY: `list` came from getifaddrs and is freed once.
    unsafe { libc::freeifaddrs(list) };
    Ok(found)
}

/// The soft limit on open descriptors (RLIMIT_NOFILE, getrlimit(2)).
pub fn descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is valid for the kernel to write.
    cerr(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    Ok(limit.rlim_cur)
}

/// Raises the soft limit on open descriptors to the hard one, and gives it
/// (RLIMIT_NOFILE, getrlimit(2)).
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is valid for the kernel to write.
    cerr(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // macOS takes no more (setrlimit(2), OPEN_MAX of sys/syslimits.h).
    #[cfg(target_os = "macos")]
    {
        limit.rlim_cur = limit.rlim_max.min(10240);
    }
    set_limit(&limit)?;
    Ok(limit.rlim_cur)
}

fn set_limit(limit: &libc::rlimit) -> io::Result<()> {
    // SAFETY: `limit` is valid for the kernel to read.
    cerr(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, ptr::from_ref(limit)) }).map(drop)
}
