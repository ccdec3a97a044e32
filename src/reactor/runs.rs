//! What belongs to one run among several that a loop serves, and what concerns them all:
//! listeners, connections, the rules.

use std::io;
use std::net::TcpListener as StdListener;
use std::os::fd::OwnedFd;

use mio::Interest;
use mio::net::TcpListener;

use super::token::{Key, Slot};
use super::{Reactor, Refusal, Service};
use crate::parse::host::Target;
use crate::policy::network::{Network, Reason, Verdict};
use crate::proxy::conversation::{Decided, Event};

/// A run, by the number that its owner gave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run(pub u32);

/// A listener that is served.
pub(super) struct Listening {
    pub(super) socket: TcpListener,
    pub(super) service: Service,
    pub(super) run: Run,
    /// There may be a connection waiting.
    pub(super) waiting: bool,
}

/// A destination that somebody is to decide on.
#[derive(Clone, Debug)]
pub struct Question {
    /// The connection that waits.
    pub slot: Slot,
    /// Its run.
    pub run: Run,
    /// Where it is to lead.
    pub target: Target,
}

/// What becomes of tunnels that new rules would refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tunnels {
    /// They go on: rules are about what begins.
    Kept,
    /// They are cut.
    Cut,
}

/// Puts a value into the first free place.
pub(super) fn place<T>(places: &mut Vec<Option<T>>, value: T) -> usize {
    let at = places.iter().position(Option::is_none);
    let at = at.unwrap_or_else(|| {
        places.push(None);
        places.len() - 1
    });
    places[at] = Some(value);
    at
}

/// The place that [`place`] will take.
pub(super) fn next_place<T>(places: &[Option<T>]) -> u32 {
    let at = places.iter().position(Option::is_none);
    at.unwrap_or(places.len()) as u32
}

/// Takes what belongs to somebody.
fn take<T>(all: &mut Vec<T>, whose: impl Fn(&T) -> bool) -> Vec<T> {
    if all.is_empty() {
        return Vec::new();
    }
    let (taken, left) = std::mem::take(all).into_iter().partition(whose);
    *all = left;
    taken
}

impl Reactor {
    /// Serves a listening TCP socket, of whatever network namespace, for a run.
    ///
    /// # Errors
    /// It cannot be made non-blocking or polled.
    pub fn listen(&mut self, run: Run, socket: OwnedFd, service: Service) -> io::Result<()> {
        let socket = StdListener::from(socket);
        socket.set_nonblocking(true)?;
        let mut socket = TcpListener::from_std(socket);
        let token = Key::Listener(next_place(&self.listeners)).token();
        let registry = self.poll.registry();
        registry.register(&mut socket, token, Interest::READABLE)?;
        let listening = Listening {
            socket,
            service,
            run,
            waiting: true,
        };
        place(&mut self.listeners, listening);
        Ok(())
    }

    /// Takes no more connections for a run, and answers none of its DNS questions.
    pub fn stop_listening(&mut self, run: Run) {
        let of_run = |one: &Listening| one.run == run;
        for one in &mut self.listeners {
            one.take_if(|one| of_run(one));
        }
        for one in &mut self.questions {
            one.take_if(|one| one.run == run);
        }
    }

    /// Whether a connection of a run still holds bytes that the command has sent.
    pub fn owes_upstream(&self, run: Run) -> bool {
        let mut all = self.table.iter();
        all.any(|(_, one)| one.run == run && one.owes_upstream())
    }

    /// Forgets a run, and closes all that is left of it.
    pub fn end(&mut self, run: Run) {
        self.stop_listening(run);
        self.close_all(|_, one| one.run == run);
        self.inside.retain(|(of, _)| *of != run);
        self.asked.retain(|of| *of != run);
        self.refusals.retain(|refusal| refusal.run != run);
        self.pending.retain(|question| question.run != run);
        self.unnamed.retain(|(of, ..)| *of != run);
        self.names.remove(&run);
    }

    /// Has these rules decide from now on.
    pub fn update(&mut self, network: Network, tunnels: Tunnels) {
        self.network = network;
        if tunnels == Tunnels::Cut {
            let network = self.network.clone();
            // Whatever it was asked for by, this is what may be reached now.
            let refused =
                |target: &Target| matches!(network.decide_connected(target).0, Verdict::Deny(_));
            self.close_all(|_, one| one.toward().is_some_and(refused));
        }
    }

    /// The rules in force.
    pub fn network(&self) -> &Network {
        &self.network
    }

    fn close_all(&mut self, which: impl Fn(Slot, &super::connection::Connection) -> bool) {
        let slots = self.table.iter().filter(|(slot, one)| which(*slot, one));
        let slots: Vec<Slot> = slots.map(|(slot, _)| slot).collect();
        slots.into_iter().for_each(|slot| self.close(slot));
    }

    /// What was refused to a run since this was asked last. None of it is answered before
    /// [`Reactor::release`].
    pub fn take_refusals(&mut self, run: Run) -> Vec<Refusal> {
        take(&mut self.refusals, |refusal| refusal.run == run)
    }

    /// The names that were refused an address since this was asked last, and why.
    pub fn take_unnamed(&mut self, run: Run) -> Vec<(String, Reason)> {
        let taken = take(&mut self.unnamed, |(of, ..)| *of == run);
        let taken = taken.into_iter();
        taken.map(|(_, name, reason)| (name, reason)).collect()
    }

    /// The destinations of a run that somebody is to decide on, since this was asked last.
    pub fn take_questions(&mut self, run: Run) -> Vec<Question> {
        take(&mut self.pending, |question| question.run == run)
    }

    /// Whether a connection still waits for a decision.
    pub fn is_asking(&mut self, slot: Slot) -> bool {
        self.table.get(slot).is_some_and(|one| one.is_asking())
    }

    /// Decides on a destination. A connection that is gone, or was refused because nobody
    /// answered in time, hears nothing of it.
    pub fn decide(&mut self, slot: Slot, answer: Decided) {
        self.tell(slot, Event::Decided(answer));
    }
}
