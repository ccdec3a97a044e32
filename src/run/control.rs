//! The control descriptor: new rules and answers come in, and over a socket violations and
//! questions go out. Nobody is waited for on it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use super::say::say;
use crate::error::{Error, While};
use crate::limits::{CONTROL_OUT_BYTES, RELAY_BYTES};
use crate::parse::control::{Answer, Asks, Lines, Order, Tunnels};
use crate::policy::live::Live;
use crate::policy::network::{Network, Unlisted};
use crate::proxy::conversation::Decided;
use crate::reactor::Reactor;
use crate::reactor::runs::{self, Question};
use crate::reactor::token::Slot;
use crate::sys;
use crate::violation::{self, Violation, control, log};

/// What is at the other end.
enum Peer {
    /// A socket: it is talked with.
    Socket(OwnedFd),
    /// Something that is only read.
    Stream(File),
}

/// The descriptor, and what is open on it.
pub struct Control {
    peer: Peer,
    lines: Lines,
    live: Live,
    /// The rules in force, but for what no rule speaks of.
    rules: Network,
    /// What the command line does with that.
    unlisted: Unlisted,
    asks: Asks,
    tunnels: Tunnels,
    questions: BTreeMap<u64, Slot>,
    next: u64,
    run: String,
    /// What has found no room yet.
    out: Vec<u8>,
    /// Nobody takes any more.
    closed: bool,
}

/// Whether there may be more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listening {
    /// There may.
    More,
    /// The input has ended.
    Over,
}

impl Control {
    /// Takes the descriptor. `rules` are those of the settings; `run` names the run.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(fd: BorrowedFd<'_>, live: Live, rules: Network, run: &str) -> Result<Self, Error> {
        const DOING: &str = "opening the control descriptor";
        let peer = if sys::streams::is_socket(fd.as_raw_fd()) {
            Peer::Socket(fd.try_clone_to_owned().doing(DOING)?)
        } else {
            // Opened anew, so that no flag changes for others who hold it.
            Peer::Stream(sys::given::reopen_for_reading(fd).doing(DOING)?)
        };
        let unlisted = rules.unlisted();
        Ok(Self {
            peer,
            lines: Lines::default(),
            live,
            rules,
            unlisted,
            asks: Asks::Unwanted,
            tunnels: Tunnels::Keep,
            questions: BTreeMap::new(),
            next: 1,
            run: run.to_owned(),
            out: Vec::new(),
            closed: false,
        })
    }

    /// What is watched.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.peer {
            Peer::Socket(fd) => fd.as_fd(),
            Peer::Stream(file) => file.as_fd(),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.peer {
            Peer::Socket(fd) => sys::given::receive_at_once(fd.as_fd(), buffer),
            Peer::Stream(file) => file.read(buffer),
        }
    }

    /// Does all that has been asked for.
    pub fn hear(&mut self, reactor: &mut Reactor) -> Listening {
        let mut buffer = vec![0u8; RELAY_BYTES];
        loop {
            match self.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => {
                    let mut orders = Vec::new();
                    self.lines
                        .take(&buffer[..length], |line| orders.push(line.order()));
                    orders
                        .into_iter()
                        .for_each(|order| self.obey(order, reactor));
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Listening::More,
                Err(_) => break,
            }
        }
        let mut orders = Vec::new();
        std::mem::take(&mut self.lines).finish(|line| orders.push(line.order()));
        for order in orders {
            self.obey(order, reactor);
        }
        // Whoever would answer is gone.
        if self.asks == Asks::Wanted {
            self.asks = Asks::Unwanted;
            self.put(runs::Tunnels::Kept, reactor);
        }
        for (_, slot) in std::mem::take(&mut self.questions) {
            reactor.decide(slot, Decided::Deny);
        }
        Listening::Over
    }

    fn obey(&mut self, order: Result<Option<Order>, Vec<String>>, reactor: &mut Reactor) {
        let problems = match order {
            Ok(None) => return,
            Ok(Some(Order::Asks(asks))) => match (&self.peer, asks) {
                (Peer::Stream(_), Asks::Wanted) => {
                    vec!["ask: only a socket can be asked over".to_owned()]
                }
                _ => {
                    self.asks = asks;
                    return self.put(runs::Tunnels::Kept, reactor);
                }
            },
            Ok(Some(Order::Tunnels(tunnels))) => {
                self.tunnels = tunnels;
                return;
            }
            Ok(Some(Order::Answer { id, answer })) => {
                // One that has been answered, or waits no more, needs no answer.
                if let Some(slot) = self.questions.remove(&id) {
                    let answer = match answer {
                        Answer::Allow => Decided::Allow,
                        Answer::Deny => Decided::Deny,
                    };
                    reactor.decide(slot, answer);
                }
                return;
            }
            Ok(Some(Order::Rules(settings))) => match self.live.network(&settings.network) {
                Ok(rules) => {
                    self.rules = rules;
                    let tunnels = match self.tunnels {
                        Tunnels::Keep => runs::Tunnels::Kept,
                        Tunnels::Cut => runs::Tunnels::Cut,
                    };
                    self.put(tunnels, reactor);
                    return self.tell(&control::rules(&[]));
                }
                Err(problems) => problems,
            },
            Err(problems) => problems,
        };
        for problem in &problems {
            say(&format!("control: {}", violation::plain(problem)));
        }
        self.tell(&control::rules(&problems));
    }

    /// Puts the rules into force.
    fn put(&self, tunnels: runs::Tunnels, reactor: &mut Reactor) {
        let unlisted = match (self.unlisted, self.asks) {
            (Unlisted::Refused, Asks::Wanted) => Unlisted::Asked,
            (unlisted, _) => unlisted,
        };
        reactor.update(self.rules.clone().with_unlisted(unlisted), tunnels);
    }

    /// Asks. Where there is no room for it, the answer is no.
    pub fn ask(&mut self, question: Question, reactor: &mut Reactor) {
        let Question { slot, target, .. } = question;
        let line = control::ask(self.next, &target.host.to_string(), target.port, &self.run);
        if self.asks == Asks::Unwanted || self.out.len() + line.len() > CONTROL_OUT_BYTES {
            return reactor.decide(slot, Decided::Deny);
        }
        self.questions.insert(self.next, slot);
        self.next += 1;
        // Those that nobody has answered in time wait no more.
        self.questions.retain(|_, slot| reactor.is_asking(*slot));
        self.tell(&line);
    }

    /// Tells of a violation.
    pub fn violation(&mut self, violation: &Violation) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        });
        self.tell(&log::line(violation, &self.run, now));
    }

    fn tell(&mut self, line: &str) {
        if let (Peer::Socket(_), false) = (&self.peer, self.closed) {
            if self.out.len() + line.len() <= CONTROL_OUT_BYTES {
                self.out.extend_from_slice(line.as_bytes());
            }
            self.flush();
        }
    }

    /// Sends what there is room for; the rest when there is more.
    pub fn flush(&mut self) {
        let Peer::Socket(socket) = &self.peer else {
            return;
        };
        while !self.out.is_empty() {
            match sys::given::send_at_once(socket.as_fd(), &self.out) {
                Ok(sent) => drop(self.out.drain(..sent)),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.closed = true;
                    self.out = Vec::new();
                }
            }
        }
    }

    /// Watches it.
    ///
    /// # Errors
    /// The kernel does not poll such a descriptor.
    pub fn watch(&self, number: u32, reactor: &mut Reactor) -> Result<Watched, Error> {
        match reactor.watch_both(self.as_fd(), number) {
            Ok(()) => Ok(Watched::Yes),
            // A file is always readable, and read at once.
            Err(e) if sys::given::is_not_polled(&e) => Ok(Watched::No),
            Err(e) => Err(e).doing("watching the control descriptor"),
        }
    }
}

/// Whether the loop tells when there is something to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// It does.
    Yes,
    /// There always is.
    No,
}

impl AsRawFd for Control {
    fn as_raw_fd(&self) -> i32 {
        self.as_fd().as_raw_fd()
    }
}
