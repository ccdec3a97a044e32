//! Finds the processes of a run by their mark, and ends them (proc(5)).

use std::fs;
use std::io;
use std::time::Instant;

use super::orphans::BEFORE;
use crate::limits::ENDING;
use crate::sys::pidfd::kill_and_wait;
use crate::sys::process::Pid;

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
