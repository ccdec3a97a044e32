//! Landlock's rules for a policy: the same writable places once more, held by the
//! process and not by its mounts (kernel document userspace-api/landlock).
//!
//! Landlock only ever allows: what is denied inside a writable place is the mounts'
//! alone. What it adds is every other way to a file: a descriptor that was inherited,
//! opened again by /proc; a mount namespace that is not the sandbox's.

use crate::parse::settings::UserNamespaces;
use crate::policy::Policy;
use crate::policy::files::{Access, Kind, parent};
use crate::policy::guarantees::{LANDLOCK_FILES, LANDLOCK_SCOPES};

// Rights on files (linux/landlock.h, LANDLOCK_ACCESS_FS_*).
const WRITE_FILE: u64 = 1 << 1;
const TRUNCATE: u64 = 1 << 14; // ABI 3
const IOCTL_DEV: u64 = 1 << 15; // ABI 5
/// REMOVE_DIR, REMOVE_FILE, MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO,
/// MAKE_BLOCK, MAKE_SYM.
const ENTRIES: u64 = 0x1ff << 4;
const REMOVE: u64 = 0x3 << 4;
const REFER: u64 = 1 << 13; // ABI 2

// LANDLOCK_SCOPE_*, ABI 6.
const ABSTRACT_UNIX_SOCKETS: u64 = 1 << 0;
const SIGNALS: u64 = 1 << 1;

/// What Landlock is to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Rights that are denied where no rule allows them.
    pub handled: u64,
    /// What does not reach processes outside.
    pub scoped: u64,
    /// Paths, and the rights on each and all that lies below.
    pub beneath: Vec<(Vec<u8>, u64)>,
    /// Rights on a standard stream that was opened for writing.
    pub streams: u64,
}

/// The rules for `policy` on a kernel with this ABI; `None` if it can hold none of them.
pub fn rules(policy: &Policy, abi: u32) -> Option<Rules> {
    let scoped = if abi >= LANDLOCK_SCOPES {
        ABSTRACT_UNIX_SOCKETS | SIGNALS
    } else {
        0
    };
    // Rules on files forbid every mount, also in namespaces of the command's own.
    if policy.user_namespaces == UserNamespaces::Allowed {
        return (scoped != 0).then(|| Rules {
            scoped,
            ..Rules::default()
        });
    }
    if abi < LANDLOCK_FILES {
        return None;
    }
    let since = |first: u32, right: u64| if abi >= first { right } else { 0 };
    let file = WRITE_FILE | since(3, TRUNCATE);
    let device = since(5, IOCTL_DEV);
    let directory = file | ENTRIES | REFER;
    let mut beneath = vec![
        // Made anew for the command: see `emit::bwrap`.
        (b"/dev".to_vec(), directory | device),
        (b"/proc".to_vec(), file),
    ];
    for (path, place) in policy.files.places() {
        let around = parent(path).map(|above| policy.files.access(above));
        if place.access == Access::Write && around != Some(Access::Write) {
            let rights = match place.kind {
                Kind::Directory => directory,
                Kind::File => file,
                Kind::Link | Kind::Absent => continue,
            };
            beneath.push((path.to_vec(), rights));
        }
    }
    Some(Rules {
        handled: directory | device,
        scoped,
        beneath,
        streams: file | device,
    })
}

/// What the supervisor may still do with files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// Rights that are denied where no rule allows them.
    pub handled: u64,
    /// In directories that it clears.
    pub remove: u64,
    /// On devices it talks to.
    pub talk: u64,
}

/// The supervisor's own rules; `None` if this ABI cannot hold them.
pub fn own(abi: u32) -> Option<Own> {
    let since = |first: u32, right: u64| if abi >= first { right } else { 0 };
    let device = since(5, IOCTL_DEV);
    (abi >= LANDLOCK_FILES).then(|| Own {
        handled: WRITE_FILE | since(3, TRUNCATE) | ENTRIES | REFER | device,
        remove: REMOVE,
        talk: WRITE_FILE | device,
    })
}

/// The rules in words, for `--dry-run`.
pub fn listing(rules: Option<&Rules>, abi: u32) -> String {
    let Some(rules) = rules else {
        return format!("none (ABI {abi})\n");
    };
    let mut out = format!(
        "ABI {abi}; rights {:#x} are denied, but below:\n",
        rules.handled
    );
    for (path, rights) in &rules.beneath {
        out += &format!("{:?}: {rights:#x}\n", String::from_utf8_lossy(path));
    }
    if rules.scoped != 0 {
        out += "signals and abstract Unix sockets stay inside\n";
    }
    out
}
