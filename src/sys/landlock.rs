//! Landlock: rules that follow a process and all it starts (landlock(7), kernel
//! document userspace-api/landlock).

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use super::cerr;

/// `LANDLOCK_CREATE_RULESET_VERSION` (linux/landlock.h).
const VERSION: u32 = 1;
/// `LANDLOCK_RULE_PATH_BENEATH`.
const PATH_BENEATH: u32 = 1;

/// `struct landlock_ruleset_attr`; a kernel that knows fewer members takes the others
/// if they are zero.
#[repr(C)]
struct Attributes {
    access_fs: u64,
    access_net: u64,
    scoped: u64,
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct Beneath {
    access: u64,
    parent: RawFd,
}

/// The version of the kernel's Landlock ABI; 0 if it has none, or it is switched off.
pub fn abi() -> u32 {
    let none = ptr::null::<Attributes>();
    // SAFETY: with this flag the kernel reads no attributes.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0, VERSION) };
    u32::try_from(version).unwrap_or(0)
}

/// Rules that are not in force yet.
pub struct Ruleset(OwnedFd);

impl Ruleset {
    /// Rules that deny every access of `access_fs` that none of them allows, and what
    /// `scoped` says towards processes outside.
    pub fn new(access_fs: u64, scoped: u64) -> io::Result<Self> {
        let attributes = Attributes {
            access_fs,
            access_net: 0,
            scoped,
        };
        let size = size_of::<Attributes>();
        // SAFETY: the attributes are of the size that is said and outlive the call.
        let raw = cerr(unsafe {
            let attributes = &raw const attributes;
            libc::syscall(libc::SYS_landlock_create_ruleset, attributes, size, 0)
        })?;
        let raw = RawFd::try_from(raw).map_err(|_| io::ErrorKind::InvalidData)?;
        // SAFETY: the kernel has just made this descriptor, close-on-exec.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(raw) }))
    }

    /// Allows `access` to `object` and, if it is a directory, to all that lies below.
    pub fn allow(&self, object: BorrowedFd<'_>, access: u64) -> io::Result<()> {
        let beneath = Beneath {
            access,
            parent: object.as_raw_fd(),
        };
        // SAFETY: the rule is of the kernel's own layout and outlives the call.
        cerr(unsafe {
            libc::syscall(
                libc::SYS_landlock_add_rule,
                self.0.as_raw_fd(),
                PATH_BENEATH,
                &raw const beneath,
                0,
            )
        })
        .map(drop)
    }

    /// Puts the rules in force for this thread and all it will start. Needs
    /// `no_new_privs`.
    pub fn restrict_self(self) -> io::Result<()> {
        // SAFETY: takes integers only.
        cerr(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, self.0.as_raw_fd(), 0) })
            .map(drop)
    }
}

/// Whether a rule was refused because its object has no name in any file system: a pipe,
/// a socket, an anonymous file (EBADFD).
pub fn is_nameless(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBADFD)
}
