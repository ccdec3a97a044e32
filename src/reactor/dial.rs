//! From an allowed target to a connection: look up, check every address, connect.

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use mio::Interest;

use super::Reactor;
use super::connection::{Connection, Phase, Side};
use super::token::{Key, Slot};
use crate::limits::DIAL;
use crate::parse::host::{Host, Target};
use crate::proxy::conversation::{DialError, Event};

impl Reactor {
    pub(super) fn dial(&mut self, slot: Slot, target: &Target) {
        // The resolver has its own deadline, and dialling gets one when it begins.
        self.set_deadline(slot, None);
        match &target.host {
            Host::Address(ip) => self.answered(slot, Ok(vec![*ip])),
            Host::Name(name) => {
                let mut answers = Vec::new();
                match self.resolver.ask(slot, name.clone()) {
                    Ok(()) => {
                        self.resolver
                            .dispatch(self.poll.registry(), Instant::now(), &mut answers)
                    }
                    Err(error) => answers.push((slot, Err(error))),
                }
                for (slot, answer) in answers {
                    self.answered(slot, answer);
                }
            }
        }
    }

    /// A lookup has ended: every address must be one that the policy permits, and
    /// the address that was checked is the address that is dialled.
    pub(super) fn answered(&mut self, slot: Slot, answer: Result<Vec<IpAddr>, DialError>) {
        let Some(connection) = self.table.get(slot) else {
            return;
        };
        let Phase::Lookup(target) = &connection.phase else {
            return;
        };
        let target = target.clone();
        let addresses = match answer {
            Ok(addresses) => addresses,
            Err(error) => return self.tell(slot, Event::DialFailed(error)),
        };
        let mut permitted = Vec::new();
        let mut refused = None;
        for ip in addresses {
            match self.network.permits_address(&target, ip) {
                Ok(()) => permitted.push(ip),
                Err(class) => refused = Some(class),
            }
        }
        if permitted.is_empty() {
            let error = refused.map_or(DialError::NotFound, DialError::Refused);
            return self.tell(slot, Event::DialFailed(error));
        }
        connection.dial_by = Some(Instant::now() + DIAL);
        connection.phase = Phase::Dialing(permitted, target);
        self.dial_next(slot);
    }

    /// Tries the next address; each has its share of the time that is left.
    pub(super) fn dial_next(&mut self, slot: Slot) {
        let now = Instant::now();
        let Some(connection) = self.table.get(slot) else {
            return;
        };
        connection.upstream = None;
        let left = connection
            .dial_by
            .map_or(Duration::ZERO, |by| by.saturating_duration_since(now));
        let to_try = match &connection.phase {
            Phase::Dialing(addresses, _) => addresses.len() as u32,
            _ => return,
        };
        let Some(mut stream) = connection.dial_next() else {
            let error = if left.is_zero() {
                DialError::Timeout
            } else {
                DialError::Unreachable
            };
            return self.tell(slot, Event::DialFailed(error));
        };
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = Key::Upstream(slot).token();
        if self
            .poll
            .registry()
            .register(&mut stream, token, interest)
            .is_err()
        {
            return self.tell(slot, Event::DialFailed(DialError::Overloaded));
        }
        connection.upstream = Some(Side::new(stream));
        self.set_deadline(slot, Some(now + left / to_try.max(1)));
    }
}

/// How a connect stands.
pub(super) enum Dial {
    /// Nothing is known yet.
    Waiting,
    /// It stands.
    Connected,
    /// It has failed.
    Failed,
}

/// How the connect under way stands.
pub(super) fn dialled(connection: &Connection) -> Dial {
    let Some(side) = &connection.upstream else {
        return Dial::Waiting;
    };
    if !side.writable && !side.readable {
        return Dial::Waiting;
    }
    match (side.stream.take_error(), side.stream.peer_addr()) {
        (Ok(None), Ok(_)) => {
            let _ = side.stream.set_nodelay(true);
            Dial::Connected
        }
        (Ok(None), Err(e)) if e.kind() == io::ErrorKind::NotConnected => Dial::Waiting,
        _ => Dial::Failed,
    }
}
