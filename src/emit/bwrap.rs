//! The mount plan, and bubblewrap's arguments for it (bwrap(1)).
//!
//! The order is the policy: the root first; then the fresh `/dev` and `/proc`; then
//! every place where access changes, parents before children; and last, innermost
//! first, the hidden directories are made read-only, once what is opened inside
//! them has its mount points.

use crate::limits::BWRAP_ARGUMENTS;
use crate::policy::files::{Access, Files, Kind, covers, parent};

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
    /// No more changes to the mount at the path.
    Seal(Vec<u8>),
    /// Fresh device nodes, and a private `/dev/shm`.
    Devices,
    /// A procfs of the new pid namespace.
    Processes,
}

/// Trees that are made anew: the host's are never shown, so allowing a path in
/// them means nothing.
const FRESH: [&[u8]; 2] = [b"/dev", b"/proc"];

/// The plan for `files`.
pub fn plan(files: &Files) -> Vec<Op> {
    let places = files.places();
    let root = match files.access(b"/") {
        Access::Write => Op::Bind(b"/".to_vec()),
        Access::Read | Access::Hidden => Op::ReadOnlyBind(b"/".to_vec()),
    };
    let mut ops = vec![root, Op::Devices, Op::Processes];
    let mut seals = Vec::new();
    let outside = |path: &[u8]| -> Access {
        let mut above = parent(path);
        while let Some(dir) = above {
            if let Some((_, access)) = places.get(dir) {
                return *access;
            }
            above = parent(dir);
        }
        Access::Read
    };
    for (path, &(kind, access)) in &places {
        let fresh = FRESH.iter().any(|dir| covers(dir, path));
        if path == b"/" || (fresh && access != Access::Hidden) {
            continue;
        }
        let above = outside(path);
        match access {
            // A pin, or a writable root: inside a writable place it changes nothing
            // but that the directory can no longer be moved.
            Access::Write => ops.push(Op::Bind(path.clone())),
            Access::Read if above == Access::Read => {}
            Access::Read => ops.push(Op::ReadOnlyBind(path.clone())),
            Access::Hidden if above == Access::Hidden => {}
            Access::Hidden => match kind {
                Kind::Directory => {
                    ops.push(Op::Hide(path.clone()));
                    seals.push(Op::Seal(path.clone()));
                }
                Kind::File => ops.push(Op::Mask(path.clone())),
            },
        }
    }
    ops.extend(seals.into_iter().rev());
    ops
}

/// bubblewrap's options for `ops`, before the `--` and the command; each argument
/// ends in NUL when it is written for `--args`.
///
/// # Errors
/// More arguments than bubblewrap takes: how many there were.
pub fn arguments(ops: &[Op], directory: &[u8]) -> Result<Vec<Vec<u8>>, usize> {
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
    let mut add = |words: &[&[u8]]| all.extend(words.iter().map(|w| w.to_vec()));
    for op in ops {
        match op {
            Op::Bind(path) => add(&[b"--bind", path, path]),
            Op::ReadOnlyBind(path) => add(&[b"--ro-bind", path, path]),
            Op::Hide(path) => add(&[b"--perms", b"0555", b"--tmpfs", path]),
            Op::Mask(path) => add(&[b"--ro-bind", b"/dev/null", path]),
            Op::Seal(path) => add(&[b"--remount-ro", path]),
            Op::Devices => add(&[b"--dev", b"/dev"]),
            Op::Processes => add(&[b"--proc", b"/proc"]),
        }
    }
    add(&[b"--chdir", directory]);
    if all.len() > BWRAP_ARGUMENTS {
        return Err(all.len());
    }
    Ok(all)
}
