//! What the policy rests on, as plain data.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::files::{Kind, Placeholder, Rule};
use super::route::ProxyVariables;
use crate::parse::glob::Glob;
use crate::parse::host::Name;

/// What the host was found to be, read once before the policy is made.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Every path rule of the settings, resolved; of a glob, every match.
    pub rules: Vec<Resolved>,
    /// Every pattern among them, for a system that holds patterns themselves.
    pub patterns: Vec<Pattern>,
    /// Every Unix socket that the settings list, resolved; what its rule says has no
    /// meaning.
    pub sockets: Vec<Resolved>,
    /// Places that may be written and hold what others than the command make: those where
    /// every user may, the home directory, the root.
    pub shared: Vec<Vec<u8>>,
    /// `network.mitmProxy.socketPath`, resolved; its rule has no meaning either.
    pub mitm: Option<Resolved>,
    /// bubblewrap, resolved, under the name that it was found by, if it is this user's own:
    /// then a command of this user's may have made it.
    pub own_bubblewrap: Option<Resolved>,
    /// Always-denied names below writable roots, there or not.
    pub found: Vec<Found>,
    /// Entries in each directory in which a glob of a deny list has matched.
    pub sizes: BTreeMap<Vec<u8>, usize>,
    /// Entries of the root directory.
    pub root: Vec<(Vec<u8>, Kind)>,
    /// Entries of /proc that this user could write through, and that are the whole
    /// host's: only the superuser has any.
    pub kernel: Vec<Vec<u8>>,
    /// The working directory.
    pub directory: Vec<u8>,
    /// The run's own temporary directory.
    pub temporary: Vec<u8>,
    /// Addresses of this host's interfaces.
    pub own_addresses: Vec<IpAddr>,
    /// Names that have an address by the hosts file.
    pub hosts: Vec<(IpAddr, Name)>,
    /// What the environment says of a parent proxy.
    pub proxies: ProxyVariables,
    /// The kernel and the caller.
    pub host: Host,
    /// What was left out and why, for `--debug`.
    pub notes: Vec<String>,
}

/// What the kernel and the caller are, as far as a rule rests on it.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// The version of Landlock's ABI; 0 if there is none.
    pub landlock: u32,
    /// Whose command it is.
    pub user: User,
    /// How bubblewrap is installed.
    pub bubblewrap: Bubblewrap,
    /// Standard streams that are more than what flows through them.
    pub streams: Vec<(i32, Stream)>,
}

/// How bubblewrap is installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bubblewrap {
    /// As any program.
    #[default]
    Plain,
    /// Setuid: it takes fewer options.
    Setuid,
}

/// Whose command it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum User {
    /// Somebody whom the kernel holds to every limit.
    #[default]
    Ordinary,
    /// The superuser.
    Superuser,
}

/// A standard stream that gives its holder more than was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stream {
    /// A directory: whatever lies in it is reached by it, past every mount.
    Directory,
    /// A socket by which others could be reached than those it is connected to.
    OpenSocket,
    /// A file opened for reading that this user could open again for writing
    /// (`/proc/self/fd`), past every mount; its path.
    Rewritable(Vec<u8>),
}

/// A path rule after symlinks are resolved.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Where the settings say it, such as `filesystem.denyRead[0]`.
    pub key: String,
    /// What is said.
    pub rule: Rule,
    /// What lies there.
    pub place: Place,
    /// The symbolic links that led there.
    pub links: Vec<Link>,
}

/// A path pattern of the settings.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// Where the settings say it.
    pub key: String,
    /// What is said of what matches, and all that lies below.
    pub rule: Rule,
    /// The directory that it starts in: absolute, symlinks resolved if it is there.
    pub base: Vec<u8>,
    /// What lies there: a directory, or nothing that is known.
    pub kind: Kind,
    /// The names below it.
    pub glob: Glob,
}

/// A symbolic link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Where it lies.
    pub path: Vec<u8>,
    /// What it says.
    pub target: Vec<u8>,
}

/// What a path rule names on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Something.
    Exists {
        /// The path: absolute, symlinks resolved.
        path: Vec<u8>,
        /// What lies there.
        kind: Kind,
        /// What holds its place should it go away, as another run's placeholder does.
        hold: Option<Placeholder>,
    },
    /// Nothing.
    Absent {
        /// The deepest existing directory, symlinks resolved.
        above: Vec<u8>,
        /// The first component that is missing.
        name: Vec<u8>,
        /// The path as the settings have it, made absolute.
        wanted: Vec<u8>,
    },
    /// What this user cannot look at.
    Unseen {
        /// The deepest directory that can be seen.
        above: Vec<u8>,
        /// The path as the settings have it, made absolute.
        wanted: Vec<u8>,
    },
}

/// An always-denied name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its path, absolute; what is above it has its symlinks resolved.
    pub path: Vec<u8>,
    /// What lies there.
    pub kind: Kind,
    /// What holds its place for the run.
    pub hold: Option<Placeholder>,
    /// Why it is denied.
    pub reason: &'static str,
}
