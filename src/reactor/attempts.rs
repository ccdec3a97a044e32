//! Connecting to one of several addresses: attempts that begin one after another and
//! run side by side (RFC 8305, 5).

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::stream::{Connect, Side, Stream};
use crate::limits::{ATTEMPTS, DIAL, STAGGER};

/// The attempts of one connection.
#[derive(Debug)]
pub struct Attempts {
    left: VecDeque<IpAddr>,
    port: u16,
    under_way: Vec<Side>,
    by: Instant,
}

/// How the attempts stand.
#[derive(Debug)]
pub enum Outcome {
    /// At least one is under way; look again at that time.
    Waiting(Instant),
    /// One stands.
    Stands(Side),
    /// None is left.
    Failed,
    /// Time is up.
    TimedOut,
}

/// Addresses of the two families in turns, beginning with the family of the first
/// (RFC 8305, 4).
pub fn in_turns(addresses: Vec<IpAddr>) -> VecDeque<IpAddr> {
    let first = addresses.first().map(IpAddr::is_ipv6);
    let (mut a, mut b): (VecDeque<_>, VecDeque<_>) = addresses
        .into_iter()
        .partition(|ip| Some(ip.is_ipv6()) == first);
    let mut turns = VecDeque::new();
    while !a.is_empty() || !b.is_empty() {
        turns.extend(a.pop_front());
        turns.extend(b.pop_front());
    }
    turns
}

impl Attempts {
    /// Attempts at these addresses, none begun yet.
    pub fn new(addresses: Vec<IpAddr>, port: u16, now: Instant) -> Self {
        Self {
            left: in_turns(addresses),
            port,
            under_way: Vec::new(),
            by: now + DIAL,
        }
    }

    /// One attempt, already begun, at something that has one address only.
    pub fn begun(side: Side, now: Instant) -> Self {
        Self {
            left: VecDeque::new(),
            port: 0,
            under_way: vec![side],
            by: now + DIAL,
        }
    }

    /// Looks at those under way; begins the next if none is, or if `now` is `due`.
    pub fn look(&mut self, registry: &Registry, token: Token, now: Instant, due: Due) -> Outcome {
        let mut at = 0;
        while let Some(side) = self.under_way.get(at) {
            match side.stream.connected() {
                Connect::Stands => {
                    let mut side = self.under_way.swap_remove(at);
                    // Whether it is ready, the first call tells.
                    (side.readable, side.writable) = (true, true);
                    return Outcome::Stands(side);
                }
                Connect::Waiting => at += 1,
                Connect::Failed => drop(self.under_way.swap_remove(at)),
            }
        }
        if now >= self.by {
            return Outcome::TimedOut;
        }
        if self.under_way.is_empty() || due == Due::Next {
            self.begin(registry, token);
        }
        if self.under_way.is_empty() {
            return Outcome::Failed;
        }
        Outcome::Waiting(if self.left.is_empty() {
            self.by
        } else {
            self.by.min(now + STAGGER)
        })
    }

    /// Begins the next that can be begun.
    fn begin(&mut self, registry: &Registry, token: Token) {
        while let Some(ip) = self.left.pop_front() {
            let Ok(stream) = TcpStream::connect(SocketAddr::new(ip, self.port)) else {
                continue;
            };
            let mut side = Side::new(Stream::Tcp(stream));
            let interest = Interest::READABLE | Interest::WRITABLE;
            if registry
                .register(&mut side.stream, token, interest)
                .is_err()
            {
                continue;
            }
            if self.under_way.len() >= ATTEMPTS {
                self.under_way.remove(0);
            }
            self.under_way.push(side);
            return;
        }
    }
}

/// Whether it is time for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Something has happened to one under way.
    NotYet,
    /// The last one has had its time.
    Next,
}
