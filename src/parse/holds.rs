//! The record of a run's placeholders: what it made, or is about to make, so that a
//! later run can clear it.
//!
//! Records end in NUL, their fields are separated by one space:
//! `KIND DEVICE INODE PATH`. Device and inode are `0` before the thing is made.

use crate::limits::HELD_PATH_BYTES;

/// What was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// An empty directory.
    Directory,
    /// A socket.
    Socket,
    /// A file that is empty or holds a `.`.
    File,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What it is.
    pub made: Made,
    /// Device and inode; `None` while it is only about to be made.
    pub identity: Option<(u64, u64)>,
    /// Where it is; absolute.
    pub path: Vec<u8>,
}

/// Reads the records of one run. A last one that is cut off, since its writer was
/// killed, is left out; `None` if anything else is wrong with them.
pub fn holds(input: &[u8]) -> Option<Vec<Held>> {
    let whole = input.iter().rposition(|&b| b == 0);
    let whole = whole.and_then(|end| input.get(..end)).unwrap_or_default();
    let records = whole.split(|&b| b == 0).filter(|r| !r.is_empty());
    records.map(held).collect()
}

fn held(record: &[u8]) -> Option<Held> {
    let mut fields = record.splitn(4, |&b| b == b' ');
    let made = match fields.next()? {
        b"directory" => Made::Directory,
        b"socket" => Made::Socket,
        b"file" => Made::File,
        _ => return None,
    };
    let mut number = || -> Option<u64> { std::str::from_utf8(fields.next()?).ok()?.parse().ok() };
    let (device, inode) = (number()?, number()?);
    let path = fields.next()?;
    let good = path.first() == Some(&b'/') && path.len() <= HELD_PATH_BYTES;
    good.then(|| Held {
        made,
        identity: (inode != 0).then_some((device, inode)),
        path: path.to_vec(),
    })
}

/// Writes one record.
pub fn record(held: &Held) -> Vec<u8> {
    let made = match held.made {
        Made::Directory => "directory",
        Made::Socket => "socket",
        Made::File => "file",
    };
    let (device, inode) = held.identity.unwrap_or_default();
    let mut out = format!("{made} {device} {inode} ").into_bytes();
    out.extend_from_slice(&held.path);
    out.push(0);
    out
}
