//! The mount plan, and bubblewrap's arguments for it (bwrap(1)).
//!
//! The order is the policy: the root first; then the fresh `/dev` and `/proc`; then
//! every place where access changes, parents before children; then the links by which
//! something visible is named; and last, innermost first, the hidden directories are
//! made read-only, once what is opened inside them has its mount points.

use std::collections::BTreeMap;

use crate::limits::BWRAP_ARGUMENTS;
use crate::parse::settings::Processes;
use crate::policy::files::{Access, FRESH, Kind, Place, Placeholder, covers};
use crate::policy::{Link, MostUserNamespaces, Policy};

/// One step of the mount plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// The path as on the host, writable.
    Bind(Vec<u8>),
    /// The path as on the host, read-only.
    ReadOnlyBind(Vec<u8>),
    /// An empty directory in the path's place.
    Hide(Vec<u8>),
    /// A file that nobody can open in the path's place: a device node on a mount
    /// without devices.
    Mask(Vec<u8>),
    /// An empty, read-only file in the path's place.
    Empty(Vec<u8>),
    /// A symbolic link in a hidden directory.
    Link(Link),
    /// No more changes to the mount at the path.
    Seal(Vec<u8>),
    /// Fresh device nodes, and a private `/dev/shm`.
    Devices,
    /// A procfs of the new pid namespace.
    Processes,
}

impl Op {
    /// The path it mounts at, and whether the same object lies there on the host.
    pub fn mounts(&self) -> Option<(&[u8], Same)> {
        match self {
            Self::Bind(path) | Self::ReadOnlyBind(path) => Some((path, Same::Object)),
            Self::Hide(path) | Self::Mask(path) | Self::Empty(path) => Some((path, Same::Path)),
            Self::Link(_) | Self::Seal(_) | Self::Devices | Self::Processes => None,
        }
    }
}

/// What a mount shows at its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Same {
    /// What lies there on the host.
    Object,
    /// Something in its place.
    Path,
}

/// The plan for `policy`.
pub fn plan(policy: &Policy) -> Vec<Op> {
    steps(policy).into_iter().map(|(op, _)| op).collect()
}

/// The plan for `policy`, with the rule behind each step.
fn steps(policy: &Policy) -> Vec<(Op, &str)> {
    let places = policy.files.places();
    let root = match policy.files.access(b"/") {
        Access::Write => Op::Bind(b"/".to_vec()),
        Access::Read | Access::Hidden => Op::ReadOnlyBind(b"/".to_vec()),
    };
    let processes = match policy.processes {
        Processes::Fresh => Op::Processes,
        Processes::Hosts => Op::ReadOnlyBind(b"/proc".to_vec()),
    };
    let mut ops = vec![(root, ""), (Op::Devices, ""), (processes, "")];
    // The superuser writes the kernel's settings by owning their files, without a
    // capability: core_pattern names a program that the host runs.
    let seen = |path: &&Vec<u8>| policy.files.access(path) != Access::Hidden;
    let fresh = |_: &&Vec<u8>| policy.processes == Processes::Fresh;
    let kernel = policy.kernel.iter().filter(fresh).filter(seen).cloned();
    ops.extend(kernel.map(|path| (Op::ReadOnlyBind(path), "")));
    let mut seals = Vec::new();
    for (path, place) in &places {
        let fresh = FRESH.iter().any(|dir| covers(dir, path));
        if *path == b"/" || fresh && place.access != Access::Hidden {
            continue;
        }
        if let Some(op) = step(path.to_vec(), place) {
            if let Op::Hide(path) = &op {
                seals.push((Op::Seal(path.clone()), ""));
            }
            ops.push((op, place.origin));
        }
    }
    let links = policy.made_links.iter();
    ops.extend(links.map(|link| (Op::Link(link.clone()), "")));
    ops.extend(seals.into_iter().rev());
    ops
}

/// What is mounted at one place.
fn step(path: Vec<u8>, place: &Place<'_>) -> Option<Op> {
    Some(match (place.kind, place.access) {
        (Kind::Link, _) => return None,
        (Kind::Absent, _) if place.hold == Some(Placeholder::Socket) => Op::Empty(path),
        (Kind::Absent, _) => Op::ReadOnlyBind(path),
        // A writable root, or a pin, which changes nothing but that the directory can
        // no longer be moved.
        (_, Access::Write) => Op::Bind(path),
        (_, Access::Read) => Op::ReadOnlyBind(path),
        (Kind::Directory, Access::Hidden) => Op::Hide(path),
        (Kind::File, Access::Hidden) => Op::Mask(path),
    })
}

/// Why a plan cannot be given to bubblewrap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// The arguments it would take.
    pub arguments: usize,
    /// The rule that takes the most of them, and how many places it has.
    pub most: (String, usize),
}

/// bubblewrap's options for `policy`, before the `--` and the command; each argument
/// ends in NUL when it is written for `--args`. `empty` is an empty file.
///
/// # Errors
/// More arguments than bubblewrap takes.
pub fn arguments(policy: &Policy, directory: &[u8], empty: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
    let mut all: Vec<Vec<u8>> = [
        "--unshare-user",
        "--unshare-ipc",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-uts",
        "--unshare-cgroup-try",
        "--die-with-parent",
        "--as-pid-1",
        "--cap-drop",
        "ALL",
    ]
    .map(|s| s.as_bytes().to_vec())
    .into();
    if policy.most_user_namespaces == MostUserNamespaces::None {
        all.push(b"--disable-userns".to_vec());
    }
    let mut add = |words: &[&[u8]]| all.extend(words.iter().map(|w| w.to_vec()));
    let steps = steps(policy);
    for (op, _) in &steps {
        match op {
            Op::Bind(path) => add(&[b"--bind", path, path]),
            Op::ReadOnlyBind(path) => add(&[b"--ro-bind", path, path]),
            Op::Hide(path) => add(&[b"--perms", b"0555", b"--tmpfs", path]),
            Op::Mask(path) => add(&[b"--ro-bind", b"/dev/null", path]),
            Op::Empty(path) => add(&[b"--ro-bind", empty, path]),
            Op::Link(Link { path, target }) => add(&[b"--symlink", target, path]),
            Op::Seal(path) => add(&[b"--remount-ro", path]),
            Op::Devices => add(&[b"--dev", b"/dev"]),
            Op::Processes => add(&[b"--proc", b"/proc"]),
        }
    }
    add(&[b"--chdir", directory]);
    if all.len() <= BWRAP_ARGUMENTS {
        return Ok(all);
    }
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, origin) in steps.iter().filter(|(_, origin)| !origin.is_empty()) {
        let places = count.entry(origin).or_default();
        *places = places.saturating_add(1);
    }
    let most = count.into_iter().max_by_key(|(_, places)| *places);
    let (origin, places) = most.unwrap_or_default();
    Err(TooLong {
        arguments: all.len(),
        most: (origin.to_owned(), places),
    })
}
