//! From an allowed hop to a connection: look up, check every address, connect.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::time::Instant;

use mio::Interest;
use mio::net::{TcpStream, UnixStream};

use super::Reactor;
use super::attempts::{Attempts, Due, Outcome};
use super::connection::Phase;
use super::runs::Run;
use super::stream::{Side, Stream};
use super::token::{Key, Slot};
use crate::parse::host::{Host, Target};
use crate::proxy::conversation::{DialError, Event, Hop};
use crate::sys;

impl Reactor {
    pub(super) fn dial(&mut self, slot: Slot, hop: Hop) {
        // The resolver has its own deadline, and dialling gets one when it begins.
        self.set_deadline(slot, None);
        match hop {
            Hop::Target(Target { host, .. }) | Hop::Proxy(Target { host, .. }) => match host {
                Host::Address(ip) => self.answered(slot, Ok(vec![ip])),
                Host::Name(name) => {
                    let mut answers = Vec::new();
                    match self.resolver.ask(slot, name) {
                        Ok(()) => self.resolver.dispatch(
                            self.poll.registry(),
                            Instant::now(),
                            &mut answers,
                        ),
                        Err(error) => answers.push((slot, Err(error))),
                    }
                    for (slot, answer) in answers {
                        self.answered(slot, answer);
                    }
                }
            },
            Hop::Loopback(port) => {
                let here = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
                self.attempt(slot, Attempts::new(here, port, Instant::now()));
            }
            Hop::Socket(path) => match UnixStream::connect(path) {
                Ok(stream) => self.begun(slot, Stream::Unix(stream)),
                Err(_) => self.tell(slot, Event::DialFailed(DialError::Unreachable)),
            },
            Hop::Inside(_) => {
                if let Some(run) = self.table.get(slot).map(|c| c.run) {
                    self.inside.push_back((run, slot));
                }
            }
        }
    }

    /// Whether one more socket of a run's sandbox is to be asked for now.
    pub fn wants_inside(&mut self, run: Run) -> bool {
        let waiting = self.inside.iter().filter(|(of, _)| *of == run).count();
        let asked = self.asked.iter().filter(|of| **of == run).count();
        if asked < waiting {
            self.asked.push(run);
        }
        asked < waiting
    }

    /// The socket that was asked for last will not come: the connection that it was for has
    /// failed.
    pub fn get_no_inside(&mut self, run: Run) {
        if let Some(at) = self.asked.iter().rposition(|of| *of == run) {
            self.asked.swap_remove(at);
        }
        if let Some(at) = self.inside.iter().rposition(|(of, _)| *of == run) {
            if let Some((_, slot)) = self.inside.remove(at) {
                self.tell(slot, Event::DialFailed(DialError::Overloaded));
            }
        }
    }

    /// Takes an unconnected TCP socket that was made inside a run's sandbox, for the
    /// connection that has waited longest.
    pub fn take_inside(&mut self, run: Run, socket: OwnedFd) {
        if let Some(at) = self.asked.iter().position(|of| *of == run) {
            self.asked.swap_remove(at);
        }
        let Some(at) = self.inside.iter().position(|(of, _)| *of == run) else {
            return;
        };
        let Some((_, slot)) = self.inside.remove(at) else {
            return;
        };
        let Some(Phase::Lookup(Hop::Inside(port))) = self.table.get(slot).map(|c| &c.phase) else {
            return;
        };
        let port = *port;
        let begun = sys::fd::begin_connect_loopback(&socket, port);
        match begun {
            Ok(()) => {
                let stream = TcpStream::from_std(std::net::TcpStream::from(socket));
                self.begun(slot, Stream::Tcp(stream));
            }
            Err(_) => self.tell(slot, Event::DialFailed(DialError::Unreachable)),
        }
    }

    /// A connect that was begun by other means.
    fn begun(&mut self, slot: Slot, stream: Stream) {
        let mut side = Side::new(stream);
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = Key::Upstream(slot).token();
        let registry = self.poll.registry();
        match registry.register(&mut side.stream, token, interest) {
            Ok(()) => self.attempt(slot, Attempts::begun(side, Instant::now())),
            Err(_) => self.tell(slot, Event::DialFailed(DialError::Overloaded)),
        }
    }

    /// A lookup has ended: every address of a target must be one that the policy
    /// permits, and the address that was checked is the address that is dialled.
    pub(super) fn answered(&mut self, slot: Slot, answer: Result<Vec<IpAddr>, DialError>) {
        let Some(Phase::Lookup(hop)) = self.table.get(slot).map(|c| &c.phase) else {
            return;
        };
        let addresses = match answer {
            Ok(addresses) => addresses,
            Err(error) => return self.tell(slot, Event::DialFailed(error)),
        };
        let (port, permitted) = match hop {
            Hop::Target(target) => {
                let mut permitted = Vec::new();
                let mut refused = None;
                for ip in addresses {
                    match self.network.permits_address(target, ip) {
                        Ok(()) => permitted.push(ip),
                        Err(class) => refused = Some(class),
                    }
                }
                if permitted.is_empty() {
                    let error = refused.map_or(DialError::NotFound, DialError::Refused);
                    return self.tell(slot, Event::DialFailed(error));
                }
                (target.port, permitted)
            }
            // Where the user has put their own proxy is for them to say.
            Hop::Proxy(target) => (target.port, addresses),
            Hop::Socket(_) | Hop::Loopback(_) | Hop::Inside(_) => return,
        };
        self.attempt(slot, Attempts::new(permitted, port, Instant::now()));
    }

    fn attempt(&mut self, slot: Slot, attempts: Attempts) {
        if let Some(connection) = self.table.get(slot) {
            connection.phase = Phase::Dialing(attempts);
            self.look(slot, Due::NotYet);
        }
    }

    /// Looks how dialling stands, and carries on.
    pub(super) fn look(&mut self, slot: Slot, due: Due) {
        let token = Key::Upstream(slot).token();
        let Some(connection) = self.table.get(slot) else {
            return;
        };
        let Phase::Dialing(attempts) = &mut connection.phase else {
            return;
        };
        match attempts.look(self.poll.registry(), token, Instant::now(), due) {
            Outcome::Waiting(until) => self.set_deadline(slot, Some(until)),
            Outcome::Stands(side) => {
                connection.upstream = Some(side);
                connection.phase = Phase::Open;
                self.set_deadline(slot, None);
                self.tell(slot, Event::Dialled);
            }
            Outcome::Failed => self.dial_failed(slot, DialError::Unreachable),
            Outcome::TimedOut => self.dial_failed(slot, DialError::Timeout),
        }
    }

    fn dial_failed(&mut self, slot: Slot, error: DialError) {
        if let Some(connection) = self.table.get(slot) {
            connection.phase = Phase::Open;
        }
        self.tell(slot, Event::DialFailed(error));
    }
}
