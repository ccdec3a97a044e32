//! The only room that sees mio: the loop, its tokens and deadlines, the proxied
//! connections, and the pool of lookup helpers. Nothing here blocks but the wait for
//! the next event.
//!
//! The owner (a role in `run`) registers descriptors of its own, calls [`Reactor::turn`]
//! in a loop, and is told which of them are readable. It has no callbacks.
#![forbid(unsafe_code)]

mod admission;
pub mod attempts;
mod capture;
pub mod connection;
mod dial;
mod lane;
pub mod resolver;
pub mod runs;
pub mod stream;
pub mod table;
pub mod token;
pub mod wake;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll};

use crate::limits::{CONNECTIONS, RELAY_BYTES, RESERVED_DESCRIPTORS};
use crate::parse::host::Target;
use crate::policy::network::{Network, Reason};
use crate::proxy::conversation::{Event, Hop};
use crate::proxy::names::Names;
use crate::proxy::secret::Secret;
use attempts::Due;
use capture::Questions;
use connection::{Connection, Need, Outcome, Phase, Rules};
use resolver::{Answer, HelperProgram, Resolver};
use runs::{Listening, Question, Run};
use table::Table;
use token::{Key, Slot};

/// Events taken from the kernel at once.
const EVENTS: usize = 256;

/// The loop and everything it drives.
pub struct Reactor {
    poll: Poll,
    events: Events,
    listeners: Vec<Option<Listening>>,
    /// When connections that could not be accepted are tried again.
    accept_at: Option<Instant>,
    table: Table,
    /// Most connections at once.
    capacity: usize,
    resolver: Resolver,
    network: Network,
    /// Shared by all: no idle connection holds a buffer.
    buffer: Vec<u8>,
    deadlines: BTreeSet<(Instant, Slot)>,
    /// Connections with work left over from the last turn.
    again: Vec<Slot>,
    /// A listener may have more connections than the last turn took.
    crowded: bool,
    refusals: Vec<Refusal>,
    /// Connections that wait for a socket of the sandbox's own.
    inside: VecDeque<(Run, Slot)>,
    /// The addresses that stand for names, of each run.
    names: BTreeMap<Run, Names>,
    /// Sockets on which DNS questions come.
    questions: Vec<Option<Questions>>,
    /// Names that were refused an address, and why.
    unnamed: Vec<(Run, String, Reason)>,
    /// For which runs such sockets have been asked for and have not come yet.
    asked: Vec<Run>,
    /// Destinations that somebody is to decide on.
    pending: Vec<Question>,
}

/// A destination that no rule allows, and who asked for it.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The connection.
    pub slot: Slot,
    /// Its run.
    pub run: Run,
    /// The ports of its sockets inside: the command's, and ours.
    pub client: Option<(u16, u16)>,
    /// Where it should have led.
    pub target: Target,
    /// Why it may not.
    pub reason: Reason,
    /// What became of it.
    pub outcome: Outcome,
}

/// What a listening socket is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// The proxy.
    Proxy,
    /// The proxy, for whoever knows this.
    Guarded(Arc<Secret>),
    /// Everything goes to this hop, as it is.
    Forward(Hop),
    /// Connections that programs meant for their destinations.
    Captured,
    /// DNS questions.
    Questions,
}

impl Reactor {
    /// A loop without listeners. `descriptors` is the process's limit on open ones.
    ///
    /// # Errors
    /// The kernel gives no poll instance.
    pub fn new(network: Network, helper: HelperProgram, descriptors: u64) -> io::Result<Self> {
        // Each connection needs two descriptors.
        let room = descriptors.saturating_sub(RESERVED_DESCRIPTORS) / 2;
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
            listeners: Vec::new(),
            accept_at: None,
            table: Table::default(),
            capacity: usize::try_from(room)
                .unwrap_or(CONNECTIONS)
                .clamp(1, CONNECTIONS),
            resolver: Resolver::new(helper),
            network,
            buffer: vec![0; RELAY_BYTES],
            deadlines: BTreeSet::new(),
            again: Vec::new(),
            crowded: false,
            refusals: Vec::new(),
            inside: VecDeque::new(),
            names: BTreeMap::new(),
            questions: Vec::new(),
            unnamed: Vec::new(),
            asked: Vec::new(),
            pending: Vec::new(),
        })
    }

    /// Watches a descriptor of the owner's for reading; [`Reactor::turn`] names it `number`.
    ///
    /// # Errors
    /// The kernel does not poll such a descriptor.
    pub fn watch(&mut self, fd: BorrowedFd<'_>, number: u32) -> io::Result<()> {
        let token = Key::Owner(number).token();
        self.poll
            .registry()
            .register(&mut SourceFd(&fd.as_raw_fd()), token, Interest::READABLE)
    }

    /// The same, and for writing.
    ///
    /// # Errors
    /// The kernel does not poll such a descriptor.
    pub fn watch_both(&mut self, fd: BorrowedFd<'_>, number: u32) -> io::Result<()> {
        let token = Key::Owner(number).token();
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        registry.register(&mut SourceFd(&fd.as_raw_fd()), token, interest)
    }

    /// Stops watching a descriptor.
    ///
    /// # Errors
    /// It was not watched.
    pub fn unwatch(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.poll
            .registry()
            .deregister(&mut SourceFd(&fd.as_raw_fd()))
    }

    /// Lets a refused connection have its answer.
    pub fn release(&mut self, slot: Slot) {
        match self.table.get(slot).map(Connection::release) {
            Some(true) => self.close(slot),
            Some(false) => self.again.push(slot),
            None => {}
        }
    }

    /// Waits for events, at most until `until`, and does all they ask for. The
    /// owner's readable descriptors are appended to `ready`.
    ///
    /// # Errors
    /// The poll instance is broken.
    pub fn turn(&mut self, until: Option<Instant>, ready: &mut Vec<u32>) -> io::Result<()> {
        let timeout = self.timeout(until);
        match self.poll.poll(&mut self.events, timeout) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        let mut slots = std::mem::take(&mut self.again);
        let mut answers: Vec<Answer> = Vec::new();
        for event in &self.events {
            match Key::from_token(event.token()) {
                None => {}
                Some(Key::Owner(number)) => ready.push(number),
                Some(Key::Listener(n)) => {
                    if let Some(Some(one)) = self.listeners.get_mut(n as usize) {
                        one.waiting = true;
                    }
                }
                Some(Key::Questions(n)) => {
                    if let Some(Some(one)) = self.questions.get_mut(n as usize) {
                        one.waiting = true;
                    }
                }
                Some(Key::Helper(id)) => {
                    self.resolver
                        .readable(self.poll.registry(), id, &mut answers);
                }
                Some(Key::Client(slot)) => {
                    if let Some(connection) = self.table.get(slot) {
                        connection.client.mark(event);
                        slots.push(slot);
                    }
                }
                Some(Key::Upstream(slot)) => {
                    if let Some(connection) = self.table.get(slot) {
                        if let Some(side) = &mut connection.upstream {
                            side.mark(event);
                        }
                        slots.push(slot);
                    }
                }
            }
        }
        slots.sort_unstable();
        slots.dedup();
        for slot in slots {
            self.drive(slot);
        }
        let now = Instant::now();
        self.resolver
            .expire(self.poll.registry(), now, &mut answers);
        self.resolver
            .dispatch(self.poll.registry(), now, &mut answers);
        for (slot, answer) in answers {
            self.answered(slot, answer);
        }
        self.expire(now);
        self.answer_questions();
        self.accept();
        Ok(())
    }

    fn timeout(&self, until: Option<Instant>) -> Option<Duration> {
        let waits = |one: &Questions| one.waiting;
        // What the owner has brought about since the last turn waits for it, too.
        let told = !self.refusals.is_empty() || !self.pending.is_empty();
        let more = self.crowded || !self.again.is_empty();
        if told || more || self.questions.iter().flatten().any(waits) {
            return Some(Duration::ZERO);
        }
        let first = self.deadlines.first().map(|(at, _)| *at);
        let next = [until, first, self.resolver.deadline(), self.accept_at]
            .into_iter()
            .flatten()
            .min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    fn close(&mut self, slot: Slot) {
        if let Some(gone) = self.table.remove(slot) {
            if let Some(at) = gone.deadline {
                self.deadlines.remove(&(at, slot));
            }
        }
    }

    /// Lets a connection do what it can, and does what it then needs.
    fn drive(&mut self, slot: Slot) {
        let Some(connection) = self.table.get(slot) else {
            return;
        };
        if matches!(connection.phase, Phase::Dialing(_)) {
            self.look(slot, Due::NotYet);
        }
        let Some(connection) = self.table.get(slot) else {
            return;
        };
        let before = connection.deadline;
        let mut needs = Vec::new();
        let rules = Rules {
            network: &self.network,
            names: self.names.entry(connection.run).or_default(),
        };
        connection.pump(rules, &mut self.buffer, &mut needs);
        self.sync_deadline(slot, before);
        self.satisfy(slot, needs);
    }

    /// Keeps the ordered set of deadlines equal to what the connection says.
    fn sync_deadline(&mut self, slot: Slot, before: Option<Instant>) {
        let after = self.table.get(slot).and_then(|c| c.deadline);
        if before == after {
            return;
        }
        if let Some(at) = before {
            self.deadlines.remove(&(at, slot));
        }
        if let Some(at) = after {
            self.deadlines.insert((at, slot));
        }
    }

    fn set_deadline(&mut self, slot: Slot, at: Option<Instant>) {
        if let Some(connection) = self.table.get(slot) {
            let before = std::mem::replace(&mut connection.deadline, at);
            self.sync_deadline(slot, before);
        }
    }

    fn satisfy(&mut self, slot: Slot, needs: Vec<Need>) {
        let mut needs = VecDeque::from(needs);
        while let Some(need) = needs.pop_front() {
            match need {
                Need::Ask(message) => needs.extend(self.answer_on_stream(slot, &message)),
                Need::Dial(hop) => self.dial(slot, hop),
                Need::Decide(target) => {
                    if let Some(run) = self.table.get(slot).map(|c| c.run) {
                        self.pending.push(Question { slot, run, target });
                    }
                }
                Need::Tell(target, reason, outcome) => {
                    let Some(connection) = self.table.get(slot) else {
                        continue;
                    };
                    self.refusals.push(Refusal {
                        slot,
                        run: connection.run,
                        client: connection.client.stream.ports(),
                        target,
                        reason,
                        outcome,
                    });
                }
                Need::Again => self.again.push(slot),
                Need::Finished => self.close(slot),
            }
        }
    }

    /// Tells the conversation of an event, and carries on from there.
    fn tell(&mut self, slot: Slot, event: Event<'_>) {
        let Some(connection) = self.table.get(slot) else {
            return;
        };
        let before = connection.deadline;
        let mut needs = Vec::new();
        let rules = Rules {
            network: &self.network,
            names: self.names.entry(connection.run).or_default(),
        };
        connection.tell(event, rules, &mut needs);
        connection.pump(rules, &mut self.buffer, &mut needs);
        self.sync_deadline(slot, before);
        self.satisfy(slot, needs);
    }

    fn expire(&mut self, now: Instant) {
        while let Some(&(at, slot)) = self.deadlines.first() {
            if at > now {
                break;
            }
            self.set_deadline(slot, None);
            let Some(connection) = self.table.get(slot) else {
                continue;
            };
            match &connection.phase {
                Phase::Dialing(_) => self.look(slot, Due::Next),
                Phase::Open => self.tell(slot, Event::Deadline),
                Phase::Lookup(_) | Phase::Closing | Phase::Lingering => self.close(slot),
            }
        }
    }
}
