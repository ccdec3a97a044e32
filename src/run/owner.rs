//! Who is behind a thread or a connection of the sandbox's, by /proc (proc(5)).

use std::fs;
use std::os::unix::ffi::OsStringExt;

use crate::limits::OWNERS;

/// The file that a thread's process runs; else the name it gives itself.
pub fn program(thread: u32) -> Vec<u8> {
    let file = fs::read_link(format!("/proc/{thread}/exe")).ok();
    file.map(|file| file.into_os_string().into_vec())
        .or_else(|| {
            let name = fs::read(format!("/proc/{thread}/comm")).ok()?;
            Some(name.strip_suffix(b"\n").unwrap_or(&name).to_vec())
        })
        .unwrap_or_default()
}

/// The thread group that a thread belongs to.
pub fn group(thread: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
    line.trim().parse().ok()
}

/// The process inside, below bubblewrap, that has the TCP connection with these ports (its
/// own, and the one it is connected to), and its program.
pub fn find(bubblewrap: u32, ports: (u16, u16)) -> Option<(u32, Vec<u8>)> {
    let own = fs::read_link("/proc/self/ns/net").ok()?;
    let init = children(bubblewrap)
        .into_iter()
        .find(|pid| fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|ns| ns != own))?;
    let inode = inode(init, ports)?;
    let wanted = format!("socket:[{inode}]");
    let (mut waiting, mut looked) = (vec![init], 0);
    while let Some(pid) = waiting.pop() {
        looked += 1;
        if looked > OWNERS {
            break;
        }
        if has(pid, &wanted) {
            return Some((pid, program(pid)));
        }
        waiting.extend(children(pid));
    }
    None
}

/// The children of a process (CONFIG_PROC_CHILDREN), the oldest first.
fn children(pid: u32) -> Vec<u32> {
    let mut all = Vec::new();
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return all;
    };
    for task in tasks.flatten().take(OWNERS) {
        let list = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        all.extend(
            list.split_whitespace()
                .filter_map(|n| n.parse::<u32>().ok()),
        );
    }
    all
}

/// The inode of the socket that has these ports in the network namespace of `pid`.
fn inode(pid: u32, (own, other): (u16, u16)) -> Option<u64> {
    // A client may use IPv6's form of an IPv4 address.
    for table in ["tcp", "tcp6"] {
        let Ok(table) = fs::read_to_string(format!("/proc/{pid}/net/{table}")) else {
            continue;
        };
        let port = |word: &str| u16::from_str_radix(word.rsplit(':').next()?, 16).ok();
        for line in table.lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (Some(local), Some(remote), Some(inode)) =
                (words.get(1), words.get(2), words.get(9))
            else {
                continue;
            };
            if port(local) == Some(own) && port(remote) == Some(other) {
                return inode.parse().ok().filter(|inode| *inode != 0);
            }
        }
    }
    None
}

fn has(pid: u32, wanted: &str) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    descriptors
        .flatten()
        .any(|entry| fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == wanted))
}
