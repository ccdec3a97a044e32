//! What the supervisor tells the inner stage: one memory file before it starts, and
//! short messages over a socket pair after.

use super::recheck::{Check, Denies};
use crate::emit::bwrap::Same;
use crate::emit::seccomp::Insn;
use crate::sys::dir::Identity;

/// Name/value pairs of an environment.
pub type Environment = Vec<(Vec<u8>, Vec<u8>)>;

/// What the inner stage launches, and under which filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Program and arguments.
    pub argv: Vec<Vec<u8>>,
    /// The command's environment.
    pub environment: Environment,
    /// The seccomp program.
    pub filter: Vec<Insn>,
    /// What must be mounted before the command starts.
    pub checks: Vec<Check>,
    /// Ports to listen on besides the proxy's.
    pub ports: Vec<u16>,
}

/// First byte of a message from the stage: its listening sockets come with it, and its
/// mount namespace.
pub const LISTENING: u8 = b'L';
/// From the stage: a step failed; text follows.
pub const FAILED: u8 = b'F';
/// From the stage: the command has ended; its status is the next byte.
pub const ENDED: u8 = b'E';
/// To the stage: the proxy is ready, start the command.
pub const GO: u8 = b'G';
/// To the stage: a TCP socket of the sandbox's own is wanted. From it: here is one.
pub const SOCKET: u8 = b'T';
/// To the stage: deliver the signal whose number is the next byte.
pub const SIGNAL: u8 = b'S';

/// Longest message.
pub const MESSAGE_BYTES: usize = 512;

impl Launch {
    /// The memory file's content: counted lists of counted byte strings.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let pairs = self.environment.iter().flat_map(|(k, v)| [k, v]);
        let insns: Vec<u8> = self.filter.iter().flat_map(encode_insn).collect();
        list(&mut out, self.argv.iter());
        list(&mut out, pairs);
        let ports: Vec<u8> = self.ports.iter().flat_map(|p| p.to_le_bytes()).collect();
        list(&mut out, [insns, ports].iter());
        out.extend(encode_checks(&self.checks));
        out
    }

    /// Reads [`Launch::encode`] back; `None` if that is not what it is.
    pub fn decode(mut input: &[u8]) -> Option<Self> {
        let argv = unlist(&mut input)?;
        let flat = unlist(&mut input)?;
        let numbers = unlist(&mut input)?;
        let [insns, ports] = numbers.as_slice() else {
            return None;
        };
        let checks = decode_checks(input)?;
        if flat.len() % 2 != 0 || ports.len() % 2 != 0 {
            return None;
        }
        let port = |pair: &[u8]| Some(u16::from_le_bytes(*pair.first_chunk::<2>()?));
        let ports = ports.chunks(2).map(port).collect::<Option<_>>()?;
        let mut flat = flat.into_iter();
        let mut environment = Vec::new();
        while let (Some(name), Some(value)) = (flat.next(), flat.next()) {
            environment.push((name, value));
        }
        let filter = insns.chunks(8).map(decode_insn).collect::<Option<_>>()?;
        Some(Self {
            argv,
            environment,
            filter,
            checks,
            ports,
        })
    }
}

/// Checks as two lists: paths, and what goes with each.
pub fn encode_checks(checks: &[Check]) -> Vec<u8> {
    let paths: Vec<_> = checks.iter().map(|check| check.path.clone()).collect();
    let pack = |check: &Check| {
        let shows = match check.shows {
            Same::Object => 0,
            Same::Path => 1,
        };
        let Identity {
            device,
            inode,
            born,
            kind,
        } = check.identity;
        let numbers = [device, inode, born, kind];
        let mut packed: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        packed.push(shows);
        packed.push(u8::from(check.denies == Denies::Yes));
        packed
    };
    let packed: Vec<_> = checks.iter().map(pack).collect();
    let mut out = Vec::new();
    list(&mut out, paths.iter());
    list(&mut out, packed.iter());
    out
}

/// Reads [`encode_checks`] back; `None` if that is not what it is.
pub fn decode_checks(mut input: &[u8]) -> Option<Vec<Check>> {
    let paths = unlist(&mut input)?;
    let packed = unlist(&mut input)?;
    if !input.is_empty() || paths.len() != packed.len() {
        return None;
    }
    let unpack = |(path, packed): (Vec<u8>, Vec<u8>)| {
        let mut rest = packed.as_slice();
        let mut number = || -> Option<u64> {
            let (head, tail) = rest.split_first_chunk::<8>()?;
            rest = tail;
            Some(u64::from_le_bytes(*head))
        };
        let identity = Identity {
            device: number()?,
            inode: number()?,
            born: number()?,
            kind: number()?,
        };
        Some(Check {
            path,
            identity,
            shows: match rest {
                [0, _] => Same::Object,
                [1, _] => Same::Path,
                _ => return None,
            },
            denies: match rest {
                [_, 0] => Denies::No,
                [_, 1] => Denies::Yes,
                _ => return None,
            },
        })
    };
    paths.into_iter().zip(packed).map(unpack).collect()
}

fn encode_insn(insn: &Insn) -> [u8; 8] {
    let [c0, c1] = insn.code.to_le_bytes();
    let [k0, k1, k2, k3] = insn.k.to_le_bytes();
    [c0, c1, insn.jt, insn.jf, k0, k1, k2, k3]
}

fn decode_insn(bytes: &[u8]) -> Option<Insn> {
    let &[c0, c1, jt, jf, k0, k1, k2, k3] = bytes else {
        return None;
    };
    Some(Insn {
        code: u16::from_le_bytes([c0, c1]),
        jt,
        jf,
        k: u32::from_le_bytes([k0, k1, k2, k3]),
    })
}

fn list<'a>(out: &mut Vec<u8>, items: impl Iterator<Item = &'a Vec<u8>> + Clone) {
    out.extend((items.clone().count() as u64).to_le_bytes());
    for item in items {
        out.extend((item.len() as u64).to_le_bytes());
        out.extend(item);
    }
}

fn number(input: &mut &[u8]) -> Option<usize> {
    let (head, rest) = input.split_first_chunk::<8>()?;
    *input = rest;
    usize::try_from(u64::from_le_bytes(*head)).ok()
}

fn unlist(input: &mut &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut items = Vec::new();
    for _ in 0..number(input)? {
        let length = number(input)?;
        let (item, rest) = input.split_at_checked(length)?;
        *input = rest;
        items.push(item.to_vec());
    }
    Some(items)
}
