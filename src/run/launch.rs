//! What the supervisor tells the inner stage: one memory file before it starts, and
//! short messages over a socket pair after.

use super::recheck::{Check, Denies};
use crate::emit::bwrap::Same;
use crate::emit::landlock::Rules;
use crate::emit::seccomp::Insn;
use crate::parse::settings::Resource;
use crate::sys::dir::Identity;
use crate::sys::streams::BrokenPipe;

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
    /// Whether it asks a listener.
    pub listen: Listen,
    /// Landlock's rules, if it is to hold any.
    pub landlock: Option<Rules>,
    /// What the command may use.
    pub limits: Vec<(Resource, u64)>,
    /// Longest that the command may run, in seconds; 0: as long as it likes. The supervisor
    /// keeps the time, but for when it is stopped itself.
    pub wall: u64,
    /// Standard streams that the caller had closed.
    pub closed: Vec<i32>,
    /// What the caller had done at SIGPIPE.
    pub pipe: BrokenPipe,
    /// What must be mounted before the command starts.
    pub checks: Vec<Check>,
    /// Ports to listen on besides the proxy's.
    pub ports: Vec<u16>,
}

/// Whether a seccomp program asks, and what if nobody may listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// It asks nobody.
    No,
    /// It asks; without a listener the command does not start.
    Must,
    /// It asks only to be observed; without a listener, this program does.
    Or(Vec<Insn>),
}

/// First byte of a message from the stage: its listening sockets come with it, and its
/// network and mount namespaces.
pub const LISTENING: u8 = b'L';
/// From the stage: a step failed; text follows.
pub const FAILED: u8 = b'F';
/// From the stage: the command exists. The listener comes with it, if there is one; if
/// there should be, the errno that it failed with is the next byte.
pub const STARTED: u8 = b'C';
/// From the stage: the command was stopped, for which time (a byte that wraps).
pub const STOPPED: u8 = b'P';
/// From the stage: the command goes on.
pub const CONTINUED: u8 = b'R';
/// From the stage: the command has ended; its status is the next byte.
pub const ENDED: u8 = b'E';
/// To the stage: the proxy is ready, start the command.
pub const GO: u8 = b'G';
/// To the stage: a TCP socket of the sandbox's own is wanted. From it: here is one.
pub const SOCKET: u8 = b'T';
/// To the stage: deliver the signal whose number is the next byte; if that is SIGCONT,
/// only to a command that is still stopped for the time in the byte after it. A shell
/// continues the whole process group, and may stop it again before this arrives.
pub const SIGNAL: u8 = b'S';

/// Longest message.
pub const MESSAGE_BYTES: usize = 512;

/// Resources by their place in the launch file.
const RESOURCES: [Resource; 5] = [
    Resource::Memory,
    Resource::Processes,
    Resource::OpenFiles,
    Resource::FileSize,
    Resource::CpuTime,
];

impl Launch {
    /// The memory file's content: counted lists of counted byte strings.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let pairs = self.environment.iter().flat_map(|(k, v)| [k, v]);
        list(&mut out, self.argv.iter());
        list(&mut out, pairs);
        let insns: Vec<u8> = self.filter.iter().flat_map(encode_insn).collect();
        let ports: Vec<u8> = self.ports.iter().flat_map(|p| p.to_le_bytes()).collect();
        let closed = self.closed.iter().filter_map(|fd| u8::try_from(*fd).ok());
        let pipe = u8::from(self.pipe == BrokenPipe::Fails);
        let limits: Vec<u8> = self.limits.iter().flat_map(encode_limit).collect();
        let landlock = self.landlock.iter();
        let numbers = landlock.flat_map(|r| [r.handled, r.scoped, r.streams]);
        let numbers = numbers.flat_map(u64::to_le_bytes).collect();
        let (tag, other) = match &self.listen {
            Listen::No => (0, &[][..]),
            Listen::Must => (1, &[][..]),
            Listen::Or(other) => (2, other.as_slice()),
        };
        let other: Vec<u8> = other.iter().flat_map(encode_insn).collect();
        let listen = [&[tag][..], &other].concat();
        let wall = self.wall.to_le_bytes().to_vec();
        list(
            &mut out,
            [
                insns,
                ports,
                closed.collect(),
                vec![pipe],
                limits,
                numbers,
                listen,
                wall,
            ]
            .iter(),
        );
        let beneath = self.landlock.iter().flat_map(|rules| &rules.beneath);
        list(&mut out, beneath.clone().map(|(path, _)| path));
        let rights: Vec<_> = beneath.map(|(_, r)| r.to_le_bytes().to_vec()).collect();
        list(&mut out, rights.iter());
        out.extend(encode_checks(&self.checks));
        out
    }

    /// Reads [`Launch::encode`] back; `None` if that is not what it is.
    pub fn decode(mut input: &[u8]) -> Option<Self> {
        let argv = unlist(&mut input)?;
        let flat = unlist(&mut input)?;
        let numbers = unlist(&mut input)?;
        let [insns, ports, closed, pipe, limits, rules, listen, wall] = numbers.as_slice() else {
            return None;
        };
        let paths = unlist(&mut input)?;
        let rights = unlist(&mut input)?;
        let checks = decode_checks(input)?;
        let mut flat = flat.into_iter();
        let mut environment = Vec::new();
        while let Some(name) = flat.next() {
            environment.push((name, flat.next()?));
        }
        let port = |pair: &[u8]| Some(u16::from_le_bytes(pair.try_into().ok()?));
        Some(Self {
            argv,
            environment,
            filter: insns.chunks(8).map(decode_insn).collect::<Option<_>>()?,
            listen: match listen.split_first()? {
                (0, []) => Listen::No,
                (1, []) => Listen::Must,
                (2, other) => Listen::Or(other.chunks(8).map(decode_insn).collect::<Option<_>>()?),
                _ => return None,
            },
            landlock: decode_rules(rules, paths, &rights)?,
            limits: limits.chunks(9).map(decode_limit).collect::<Option<_>>()?,
            wall: word(wall)?,
            closed: closed.iter().map(|fd| i32::from(*fd)).collect(),
            pipe: match pipe.as_slice() {
                [0] => BrokenPipe::Ends,
                [1] => BrokenPipe::Fails,
                _ => return None,
            },
            checks,
            ports: ports.chunks(2).map(port).collect::<Option<_>>()?,
        })
    }
}

fn word(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

fn encode_limit((resource, bound): &(Resource, u64)) -> Vec<u8> {
    let place = RESOURCES.iter().zip(0u8..).find(|(r, _)| *r == resource);
    let mut out = vec![place.map_or(u8::MAX, |(_, place)| place)];
    out.extend(bound.to_le_bytes());
    out
}

fn decode_limit(bytes: &[u8]) -> Option<(Resource, u64)> {
    let (place, bound) = bytes.split_first()?;
    Some((*RESOURCES.get(usize::from(*place))?, word(bound)?))
}

/// `Some(None)`: there are none.
fn decode_rules(numbers: &[u8], paths: Vec<Vec<u8>>, rights: &[Vec<u8>]) -> Option<Option<Rules>> {
    if paths.len() != rights.len() {
        return None;
    }
    let numbers: Vec<u64> = numbers.chunks(8).map(word).collect::<Option<_>>()?;
    let rights: Vec<u64> = rights.iter().map(|r| word(r)).collect::<Option<_>>()?;
    match numbers.as_slice() {
        [] if paths.is_empty() => Some(None),
        &[handled, scoped, streams] => Some(Some(Rules {
            handled,
            scoped,
            beneath: paths.into_iter().zip(rights).collect(),
            streams,
        })),
        _ => None,
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

pub(super) fn list<'a>(out: &mut Vec<u8>, items: impl Iterator<Item = &'a Vec<u8>> + Clone) {
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

pub(super) fn unlist(input: &mut &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut items = Vec::new();
    for _ in 0..number(input)? {
        let length = number(input)?;
        let (item, rest) = input.split_at_checked(length)?;
        *input = rest;
        items.push(item.to_vec());
    }
    Some(items)
}
