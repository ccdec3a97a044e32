//! What macOS's log says of a sandbox's refusals (`log stream --style compact`): pieces of
//! text into events, and events into what was refused.
//!
//! ```text
//! 2026-01-01 12:00:00.000 E  kernel[0:1f] (Sandbox) Sandbox: cat(71) deny(1) file-read-data /x
//! TAG
//! ```
//!
//! A path may hold anything, also line ends; the tag, which the profile gives every
//! message, ends an event.

use crate::limits::LOG_EVENT_BYTES;

/// Joins pieces into events that end with the tag of a run.
#[derive(Debug)]
pub struct Joiner {
    tag: Vec<u8>,
    held: Vec<u8>,
}

impl Joiner {
    /// For the events of this tag.
    pub fn new(tag: &str) -> Self {
        Self {
            tag: tag.as_bytes().to_vec(),
            held: Vec::new(),
        }
    }

    /// Takes in a piece; gives each event that is whole to `event`, without its tag. Of one
    /// that is too long, the beginning is lost.
    pub fn take(&mut self, piece: &[u8], mut event: impl FnMut(&[u8])) {
        for line in piece.split_inclusive(|&b| b == b'\n') {
            self.held.extend_from_slice(line);
            let Some(whole) = self.held.strip_suffix(b"\n") else {
                continue;
            };
            if let Some(text) = whole.trim_ascii_end().strip_suffix(self.tag.as_slice()) {
                event(text.trim_ascii_end());
                self.held.clear();
            } else if self.held.len() > LOG_EVENT_BYTES {
                self.held.clear();
            }
        }
        if self.held.len() > LOG_EVENT_BYTES {
            self.held.clear();
        }
    }
}

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial<'a> {
    /// The program's name, as the kernel keeps it.
    pub program: &'a [u8],
    /// Its process.
    pub pid: u32,
    /// The operation, as in a profile.
    pub operation: &'a [u8],
    /// On what: a path, an address, a service; may be empty.
    pub target: &'a [u8],
}

/// Reads an event: `… Sandbox: NAME(PID) deny(N) OPERATION TARGET`. The first such words
/// count: what stands behind them is the target, whatever it says.
pub fn denial(event: &[u8]) -> Option<Denial<'_>> {
    let rest = after(event, b"Sandbox: ")?;
    let (who, rest) = split(rest, b" deny(")?;
    let rest = after(rest, b") ")?;
    let (program, pid) = who.strip_suffix(b")").and_then(|who| {
        let open = who.iter().rposition(|&b| b == b'(')?;
        let (program, pid) = who.split_at_checked(open)?;
        let pid = std::str::from_utf8(pid.get(1..)?).ok()?;
        Some((program, pid.parse().ok()?))
    })?;
    let (operation, target) = split(rest, b" ").unwrap_or((rest, b""));
    (!operation.is_empty()).then_some(Denial {
        program,
        pid,
        operation,
        target,
    })
}

fn split<'a>(text: &'a [u8], by: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(by.len()).position(|w| w == by)?;
    let (before, rest) = text.split_at_checked(at)?;
    Some((before, rest.get(by.len()..)?))
}

fn after<'a>(text: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    split(text, word).map(|(_, rest)| rest)
}

/// Services that programs ask for without need, and do without.
const NOISE: [(&[u8], &[u8]); 3] = [
    (b"mach-lookup", b"com.apple.diagnosticd"),
    (b"mach-lookup", b"com.apple.analyticsd"),
    (b"network-outbound", b"/private/var/run/mDNSResponder"),
];

impl Denial<'_> {
    /// Whether it says nothing about the command.
    pub fn is_noise(&self) -> bool {
        self.program == b"mDNSResponder" || NOISE.contains(&(self.operation, self.target))
    }
}
