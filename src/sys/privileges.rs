//! What a process gives up for good: capabilities, being looked into; and what ends it
//! with its parent.

use std::io;

use super::cerr;

/// Makes the process invisible to ptrace(2) and /proc of its own user from now on.
pub fn set_undumpable() -> io::Result<()> {
    // SAFETY: takes integers only.
    cerr(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }).map(drop)
}

/// The last capability number that is asked about; a kernel knows fewer.
const CAPABILITIES: libc::c_ulong = 63;

/// _LINUX_CAPABILITY_VERSION_3 (linux/capability.h).
const VERSION_3: u32 = 0x2008_0522;

/// Whether this process has no capability, and none that an exec could give it: in its
/// permitted, effective and inheritable sets, and in its bounding set (capabilities(7)).
pub fn has_no_capabilities() -> io::Result<bool> {
    // The version and this process; then three words, twice.
    let header: [u32; 2] = [VERSION_3, 0];
    let mut sets = [0u32; 6];
    // SAFETY: header and sets have the layout of version 3, and outlive the call.
    cerr(unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()) })?;
    if sets != [0; 6] {
        return Ok(false);
    }
    for capability in 0..=CAPABILITIES {
        // SAFETY: takes integers only.
        match cerr(unsafe { libc::prctl(libc::PR_CAPBSET_READ, capability, 0, 0, 0) }) {
            Ok(0) => {}
            Ok(_) => return Ok(false),
            // No such capability, so none above it.
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => break,
            Err(e) => return Err(e),
        }
    }
    Ok(true)
}

/// Gives up every capability of this process for good, once `no_new_privs` is set: its
/// permitted, effective and inheritable sets (capset(2)).
pub fn drop_capabilities() -> io::Result<()> {
    let header: [u32; 2] = [VERSION_3, 0];
    let sets = [0u32; 6];
    // SAFETY: header and sets have the layout of version 3, and outlive the call.
    cerr(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) }).map(drop)
}

/// Asks for SIGKILL when the parent ends, and ends at once if it already has
/// (PR_SET_PDEATHSIG, prctl(2)).
pub(super) fn die_with_parent(parent: u32) -> io::Result<()> {
    // SAFETY: takes integers only.
    cerr(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
    // SAFETY: getppid cannot fail.
    if unsafe { libc::getppid() }.unsigned_abs() == parent {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::ESRCH))
    }
}
