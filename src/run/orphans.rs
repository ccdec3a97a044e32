//! Ends what a killed run left running. bubblewrap's own parent-death signal comes
//! late: its child waits for it before it asks for one, and would wait for ever.

#[cfg(target_os = "linux")]
pub use super::hunt::end;
use crate::sys::dir::Identity;

/// What stands before the mark in the last argument of every process of a run.
pub(super) const BEFORE: &str = "run=";

/// The mark of a run: its name, which anybody may give to something else, and its
/// directory, which nobody can make another of while the run holds it open.
pub fn mark(run: &str, directory: &Identity) -> String {
    format!("{run}{}", of_directory(directory))
}

/// The part of a mark that tells a run from others.
pub fn of_directory(directory: &Identity) -> String {
    let Identity {
        device,
        inode,
        born,
        kind: _,
    } = directory;
    format!("@{device:x}.{inode:x}.{born:x}")
}

/// The last argument of every process of a run, from which it is known.
pub fn argument(mark: &str) -> String {
    format!("{BEFORE}{mark}")
}

/// Elsewhere the warden ends them.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn end(_mark: &str) -> std::io::Result<()> {
    Ok(())
}
