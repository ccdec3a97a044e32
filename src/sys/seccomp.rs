//! Loading a seccomp program (seccomp(2)).

use std::io;

use super::cerr;

/// One classic BPF instruction, laid out as the kernel's `struct sock_filter`
/// (linux/filter.h).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SockFilter {
    /// Operation.
    pub code: u16,
    /// Instructions to skip if true.
    pub jt: u8,
    /// Instructions to skip if false.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// Sets `no_new_privs` (prctl(2)): no exec from here on grants a privilege.
pub fn no_new_privs() -> io::Result<()> {
    // SAFETY: takes integers only.
    cerr(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }).map(drop)
}

/// Loads `program` for this thread and all it will start. Needs `no_new_privs`.
pub fn load(program: &[SockFilter]) -> io::Result<()> {
    install(program, 0).map(drop)
}

/// The same, with flags (SECCOMP_FILTER_FLAG_*); gives what the call does.
pub(super) fn install(program: &[SockFilter], flags: libc::c_ulong) -> io::Result<libc::c_long> {
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let filter = libc::sock_fprog {
        len,
        filter: program.as_ptr().cast_mut().cast(),
    };
    // SAFETY: `filter` points to `len` instructions of the kernel's own layout; the
    // kernel copies them and refuses a program that is not valid.
    cerr(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const filter,
        )
    })
}
