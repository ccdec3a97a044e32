//! Ends what a killed run left running. bubblewrap's own parent-death signal comes
//! late: its child waits for it before it asks for one, and would wait for ever.

use std::fs;
use std::io;
use std::time::Instant;

use crate::limits::ENDING;
use crate::sys::dir::Identity;
use crate::sys::process::{Pid, kill_and_wait};

/// What stands before the mark in the last argument of every process of a run.
const BEFORE: &str = "run=";

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

/// Kills every process of the run with this mark, or this part of one, and waits for its
/// end; until none is left, since one may start another meanwhile.
///
/// # Errors
/// There is no /proc, one of them does not end, or there are ever more of them: anybody
/// may give its own processes a mark.
pub fn end(mark: &str) -> io::Result<()> {
    let Some(at) = mark.rfind('@') else {
        // No run is called so.
        return Ok(());
    };
    let directory = mark.get(at..).unwrap_or_default();
    let until = Instant::now() + ENDING;
    loop {
        let mut found = false;
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if is_marked(pid, directory) {
                // Another user's process that says it is one of ours is none.
                found |= kill_and_wait(Pid::new(pid), || is_marked(pid, directory))?;
            }
        }
        if !found {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

fn is_marked(pid: i32, directory: &str) -> bool {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = words.strip_suffix(b"\0").unwrap_or(&words);
    let last = words.rsplit(|&b| b == 0).next().unwrap_or_default();
    last.starts_with(BEFORE.as_bytes()) && last.ends_with(directory.as_bytes())
}
