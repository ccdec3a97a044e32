//! Ends what a killed run left running. bubblewrap's own parent-death signal comes
//! late: its child waits for it before it asks for one, and would wait for ever.

use std::fs;
use std::io;

use crate::sys::process::{Pid, kill_and_wait};

/// The last argument of every process of a run, from which it is known.
pub fn mark(run: &str) -> String {
    format!("run={run}")
}

/// Kills every process that carries the mark of `run`, and waits for its end; until
/// none is left, since one may start another meanwhile.
///
/// # Errors
/// There is no /proc, or one of them does not end.
pub fn end(run: &str) -> io::Result<()> {
    let mark = mark(run);
    loop {
        let mut found = false;
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if is_marked(pid, &mark) {
                // Another user's process that says it is one of ours is none.
                found |= kill_and_wait(Pid::new(pid), || is_marked(pid, &mark))?;
            }
        }
        if !found {
            return Ok(());
        }
    }
}

fn is_marked(pid: i32, mark: &str) -> bool {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = words.strip_suffix(b"\0").unwrap_or(&words);
    words.rsplit(|&b| b == 0).next() == Some(mark.as_bytes())
}
