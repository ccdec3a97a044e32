//! Name lookup by helper processes: `srt` again in its lookup role, one question at
//! a time each. A lookup that hangs costs its helper, never the loop.
//!
//! A question is a byte that says how long the name is, and the name; an answer, a byte
//! that says how many addresses there are, and these.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use mio::unix::SourceFd;
use mio::{Interest, Registry};

use super::token::{Key, Slot};
use crate::limits::{LOOKUP, LOOKUP_ADDRESSES, LOOKUP_HELPERS, LOOKUP_QUEUE};
use crate::parse::host::{Host, Name, address};
use crate::proxy::conversation::DialError;
use crate::sys;
use crate::sys::process::Orphaned;

/// Bytes of one address in an answer: IPv4 as IPv4-mapped IPv6 (RFC 4291, 2.5.5.2).
pub const ADDRESS_BYTES: usize = 16;

/// Bytes of an answer.
const ANSWER_BYTES: usize = 1 + LOOKUP_ADDRESSES * ADDRESS_BYTES;

/// How to start a helper.
#[derive(Clone, Debug)]
pub struct HelperProgram {
    /// This very program.
    pub path: PathBuf,
    /// The arguments that choose its lookup role.
    pub arguments: Vec<String>,
}

struct Helper {
    id: u32,
    child: Child,
    socket: UnixStream,
    asked: Option<(Slot, Instant)>,
    /// What has come of its answer.
    heard: Vec<u8>,
}

/// An answered (or failed) lookup.
pub type Answer = (Slot, Result<Vec<IpAddr>, DialError>);

/// The helpers and the questions that wait for one.
pub struct Resolver {
    program: HelperProgram,
    helpers: Vec<Helper>,
    waiting: VecDeque<(Slot, Name)>,
    /// Ended or killed helpers whose status nobody has taken yet.
    ended: Vec<Child>,
    next_id: u32,
}

impl Resolver {
    /// A pool without helpers: the first is started by the first question.
    pub fn new(program: HelperProgram) -> Self {
        Self {
            program,
            helpers: Vec::new(),
            waiting: VecDeque::new(),
            ended: Vec::new(),
            next_id: 0,
        }
    }

    /// Asks for the addresses of `name`.
    ///
    /// # Errors
    /// Too many questions wait already.
    pub fn ask(&mut self, slot: Slot, name: Name) -> Result<(), DialError> {
        if self.waiting.len() >= LOOKUP_QUEUE {
            return Err(DialError::Overloaded);
        }
        self.waiting.push_back((slot, name));
        Ok(())
    }

    /// Gives waiting questions to free helpers, starting helpers up to the bound.
    pub fn dispatch(&mut self, registry: &Registry, now: Instant, answers: &mut Vec<Answer>) {
        self.ended
            .retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        while let Some((slot, name)) = self.waiting.pop_front() {
            let free = match self.helpers.iter().position(|h| h.asked.is_none()) {
                Some(at) => Some(at),
                None if self.helpers.len() < LOOKUP_HELPERS => match self.start(registry) {
                    Ok(()) => Some(self.helpers.len() - 1),
                    Err(_) => {
                        answers.push((slot, Err(DialError::LookupFailed)));
                        continue;
                    }
                },
                None => None,
            };
            let Some(at) = free else {
                self.waiting.push_front((slot, name));
                return;
            };
            let helper = &mut self.helpers[at];
            let length = u8::try_from(name.as_str().len()).unwrap_or(0);
            let question = [&[length], name.as_str().as_bytes()].concat();
            // A helper without a question has read all there was: there is room for one.
            match helper.socket.write(&question) {
                Ok(n) if n == question.len() => helper.asked = Some((slot, now + LOOKUP)),
                Ok(_) | Err(_) => {
                    answers.push((slot, Err(DialError::LookupFailed)));
                    self.end(registry, at);
                }
            }
        }
    }

    fn start(&mut self, registry: &Registry) -> io::Result<()> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut command = Command::new(&self.program.path);
        command
            .args(&self.program.arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        sys::process::confine_spawn(&mut command, Vec::new(), Orphaned::Killed);
        let id = self.next_id;
        self.next_id = id.wrapping_add(1) & 0xffff;
        // First: a process that cannot be heard is not started.
        registry.register(
            &mut SourceFd(&ours.as_raw_fd()),
            Key::Helper(id).token(),
            Interest::READABLE,
        )?;
        let child = command.spawn()?;
        self.helpers.push(Helper {
            id,
            child,
            socket: ours,
            asked: None,
            heard: Vec::new(),
        });
        Ok(())
    }

    /// Ends helper `at` and forgets its question.
    fn end(&mut self, registry: &Registry, at: usize) {
        let mut helper = self.helpers.swap_remove(at);
        // Neither can fail in a way that matters: the descriptor is closed next, and
        // a helper that is gone needs no signal.
        let _ = registry.deregister(&mut SourceFd(&helper.socket.as_raw_fd()));
        let _ = helper.child.kill();
        self.ended.push(helper.child);
    }

    /// Reads what helper `id` has to say.
    pub fn readable(&mut self, registry: &Registry, id: u32, answers: &mut Vec<Answer>) {
        let Some(at) = self.helpers.iter().position(|h| h.id == id) else {
            return;
        };
        let helper = &mut self.helpers[at];
        let mut buffer = [0u8; ANSWER_BYTES];
        let over = loop {
            match helper.socket.read(&mut buffer) {
                Ok(0) => break true,
                Ok(length) => helper.heard.extend_from_slice(&buffer[..length]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break false,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break true,
            }
            if helper.heard.len() > ANSWER_BYTES {
                break true;
            }
        };
        let whole = addresses(&helper.heard);
        if let (Some(found), Some((slot, _))) = (&whole, helper.asked) {
            let answer = match found.as_slice() {
                [] => Err(DialError::NotFound),
                found => Ok(found.to_vec()),
            };
            answers.push((slot, answer));
            helper.asked = None;
            helper.heard.clear();
        }
        if over {
            if let Some((slot, _)) = helper.asked.take() {
                answers.push((slot, Err(DialError::LookupFailed)));
            }
            self.end(registry, at);
        }
    }

    /// When the next lookup runs out of time.
    pub fn deadline(&self) -> Option<Instant> {
        self.helpers
            .iter()
            .filter_map(|h| h.asked.map(|(_, at)| at))
            .min()
    }

    /// Ends helpers whose lookup has run out of time.
    pub fn expire(&mut self, registry: &Registry, now: Instant, answers: &mut Vec<Answer>) {
        while let Some(at) = self
            .helpers
            .iter()
            .position(|h| h.asked.is_some_and(|(_, t)| t <= now))
        {
            if let Some((slot, _)) = self.helpers[at].asked.take() {
                answers.push((slot, Err(DialError::LookupTimeout)));
            }
            self.end(registry, at);
        }
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        for helper in self.helpers.drain(..) {
            let mut child = helper.child;
            let _ = child.kill();
            self.ended.push(child);
        }
        // Killed, so that none of these waits for long.
        for child in &mut self.ended {
            let _ = child.wait();
        }
    }
}

/// The addresses of an answer, once it is whole.
fn addresses(heard: &[u8]) -> Option<Vec<IpAddr>> {
    let (count, rest) = heard.split_first()?;
    let found = rest.get(..usize::from(*count) * ADDRESS_BYTES)?;
    Some(found.chunks_exact(ADDRESS_BYTES).map(unpack).collect())
}

/// One address of an answer.
pub fn unpack(bytes: &[u8]) -> IpAddr {
    let mut octets = [0u8; ADDRESS_BYTES];
    octets.copy_from_slice(bytes);
    match address(IpAddr::V6(Ipv6Addr::from(octets))) {
        Host::Address(ip) => ip,
        Host::Name(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// An address as an answer holds it.
pub fn pack(ip: IpAddr) -> [u8; ADDRESS_BYTES] {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}
