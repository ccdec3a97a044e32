//! Connections that are accepted, and how each begins.

use std::io;
use std::time::Instant;

use mio::Interest;
use mio::net::TcpStream;

use super::connection::Connection;
use super::runs::Run;
use super::stream::{Side, Stream};
use super::token::Key;
use super::{Reactor, Service};
use crate::limits::{ACCEPT_AGAIN, ACCEPTS_PER_TURN};
use crate::proxy::conversation::{Conversation, Event, Hop};
use crate::proxy::names::Meant;

/// How a connection begins.
enum Start {
    /// By what the client says.
    Talk,
    /// With a connection to this hop.
    Forward(Hop),
    /// With what it was meant for.
    Captured(Meant),
}

impl Reactor {
    pub(super) fn accept(&mut self) {
        self.accept_at = None;
        self.crowded = false;
        for n in 0..self.listeners.len() {
            let mut taken = 0;
            while self.table.len() < self.capacity {
                if taken == ACCEPTS_PER_TURN {
                    self.crowded = true;
                    break;
                }
                taken += 1;
                let Some(Some(one)) = self.listeners.get_mut(n) else {
                    break;
                };
                if !one.waiting {
                    break;
                }
                match one.socket.accept() {
                    Ok((stream, _)) => {
                        let (service, run) = (one.service.clone(), one.run);
                        self.admit(stream, service, run);
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => one.waiting = false,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    // This one's peer is gone already; the next may wait behind it.
                    Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
                    // Descriptors or memory have run out, maybe the whole host's: no event
                    // says when there are some again.
                    Err(_) => {
                        self.accept_at = Some(Instant::now() + ACCEPT_AGAIN);
                        break;
                    }
                }
            }
        }
    }

    fn admit(&mut self, stream: TcpStream, service: Service, run: Run) {
        // Latency only: a kernel that refuses it still relays.
        let _ = stream.set_nodelay(true);
        let (conversation, start) = match service {
            Service::Proxy => (Conversation::new(), Start::Talk),
            Service::Guarded(secret) => (Conversation::guarded(secret), Start::Talk),
            Service::Forward(hop) => (Conversation::forward(), Start::Forward(hop)),
            Service::Questions => (Conversation::questions(), Start::Talk),
            Service::Captured => match self.meant(run, &stream) {
                Some(meant) => (Conversation::captured(), Start::Captured(meant)),
                // It is gone already.
                None => return,
            },
        };
        let mut client = Side::new(Stream::Tcp(stream));
        let slot = self.table.reserve();
        let interest = Interest::READABLE | Interest::WRITABLE;
        let token = Key::Client(slot).token();
        let registry = self.poll.registry();
        if registry
            .register(&mut client.stream, token, interest)
            .is_err()
        {
            self.table.release(slot);
            return;
        }
        let connection = Connection::new(client, conversation, run);
        if let Some(at) = connection.deadline {
            self.deadlines.insert((at, slot));
        }
        self.table.fill(slot, connection);
        match start {
            Start::Talk => {}
            Start::Forward(hop) => self.tell(slot, Event::Forward(&hop)),
            Start::Captured(Meant::Target(target)) => self.tell(slot, Event::Captured(&target)),
            Start::Captured(Meant::Nobody(target)) => self.tell(slot, Event::Nameless(&target)),
        }
    }
}
