//! What is said on one connection, as far as it has to be understood.
//!
//! ```text
//! Greeting ──5──▶ SocksGreeting ──▶ SocksRequest ─┐   (by way of SocksPassword, if there is a secret)
//!     │ └──4──▶ Closed (refused)                  │ decide: deny ──▶ Closed
//!     └─else─▶ HttpHead ──────────────────────────┤
//!                 ▲                               ▼ allow
//!                 │                 Dialing ─fails─▶ Closed
//!                 │   plain request │  │ tunnel    └──▶ ProxyReply, by way of another proxy
//!                 └──── Exchange ◀──┘  └─▶ ServerName ─▶ Tunnel
//!                          └─ 101 ──────────────────────▶ Tunnel
//! ```
//!
//! A captured connection begins with `decide`; where a client of a proxy would be answered, it
//! is reset. DNS on TCP stays in Questions: one is answered before the next is taken.
//!
//! A whole request is decided on before anything is looked up or dialled, and nothing
//! is relayed before the connection stands. Bodies and tunnels do not pass through
//! here: a [`Mode`] says how much of each side is relayed as it is.

use std::sync::Arc;
use std::time::Duration;

use super::dialled::failure;
pub use super::events::{Action, Decided, DialError, Event, Hop, Mode};
use super::exchange::{Exchange, Next as Then};
use super::names::Names;
use super::reply;
use super::secret::Secret;
use crate::limits::{ASK, CLIENT_HELLO_INPUT, DIAL, HANDSHAKE, HEAD_BYTES, LINGER, QUESTION_BYTES};
use crate::parse::host::Target;
use crate::parse::socks::Reply;
use crate::policy::network::{Network, Reason};
use crate::policy::route::Route;

/// How the client spoke, and so is answered.
#[derive(Clone, Debug)]
pub(super) enum Dialect {
    Connect,
    Socks,
    /// With the head as it goes on, and what is to be remembered of it.
    Absolute(Vec<u8>, Exchange),
    /// Not at all: it believes that it has reached its target.
    Captured,
}

#[derive(Clone, Debug)]
pub(super) enum State {
    Greeting,
    SocksGreeting,
    SocksPassword,
    SocksRequest,
    HttpHead,
    /// Somebody is asked; what they will be told who asked for it, if it may not be.
    Asking(Dialect, Target, Route, Reason),
    Dialing(Dialect, Target, Route),
    /// Another proxy has been asked for a tunnel.
    ProxyReply(Dialect, Target),
    /// The first bytes in a tunnel are looked at.
    ServerName(Target),
    Exchange(Exchange, Target),
    /// Nothing is to be understood.
    Forward,
    /// DNS on TCP, after this many questions.
    Questions(u32),
    /// One of them is being answered.
    Answering(u32),
    Tunnel,
    Closed,
}

/// One connection's conversation.
#[derive(Debug)]
pub struct Conversation {
    pub(super) state: State,
    /// Bytes of the client that nothing has used yet.
    pub(super) input: Vec<u8>,
    /// The same of the other side.
    pub(super) answer: Vec<u8>,
    /// Counts the states that have a patience of their own.
    turn: u32,
    /// What the client must know.
    pub(super) secret: Option<Arc<Secret>>,
    /// What was allowed last.
    pub(super) toward: Option<Target>,
}

impl Default for Conversation {
    fn default() -> Self {
        Self::new()
    }
}

impl Conversation {
    /// A conversation in which nothing has been said.
    pub fn new() -> Self {
        Self {
            state: State::Greeting,
            input: Vec::new(),
            answer: Vec::new(),
            turn: 0,
            secret: None,
            toward: None,
        }
    }

    /// One in which the client must know this before anything of it is heard.
    pub fn guarded(secret: Arc<Secret>) -> Self {
        Self {
            secret: Some(secret),
            ..Self::new()
        }
    }

    /// A connection that goes to one hop, whatever is said.
    pub fn forward() -> Self {
        Self {
            state: State::Forward,
            ..Self::new()
        }
    }

    /// A connection whose target [`Event::Captured`] tells.
    pub fn captured() -> Self {
        Self::forward()
    }

    /// A connection that asks DNS questions (RFC 7766).
    pub fn questions() -> Self {
        Self {
            state: State::Questions(0),
            ..Self::new()
        }
    }

    /// Where it leads, by whatever way, if the policy has allowed that.
    pub fn toward(&self) -> Option<&Target> {
        self.toward.as_ref()
    }

    /// Whether somebody has been asked and has not answered.
    pub fn is_asking(&self) -> bool {
        matches!(self.state, State::Asking(..))
    }

    /// How many of the client's bytes may be brought now; 0: do not read it.
    pub fn wants(&self) -> usize {
        let most = match self.state {
            State::Greeting
            | State::SocksGreeting
            | State::SocksPassword
            | State::SocksRequest
            | State::HttpHead => HEAD_BYTES,
            State::ServerName(_) => CLIENT_HELLO_INPUT,
            // With its length.
            State::Questions(_) => QUESTION_BYTES.saturating_add(2),
            State::Asking(..)
            | State::Dialing(..)
            | State::ProxyReply(..)
            | State::Exchange(..)
            | State::Forward
            | State::Answering(_)
            | State::Tunnel
            | State::Closed => 0,
        };
        most.saturating_sub(self.input.len())
    }

    /// The same for the other side.
    pub fn wants_answer(&self) -> usize {
        HEAD_BYTES.saturating_sub(self.answer.len())
    }

    /// Which of its waits the conversation is in, and how long that may take, from when
    /// it began.
    pub fn patience(&self) -> (u32, Option<Duration>) {
        let longest = match self.state {
            State::Greeting
            | State::SocksGreeting
            | State::SocksPassword
            | State::SocksRequest
            | State::HttpHead
            | State::Questions(_) => Some(HANDSHAKE),
            State::ProxyReply(..) => Some(DIAL),
            State::Asking(..) => Some(ASK),
            State::Closed => Some(LINGER),
            // Dialling has deadlines of its own; for the rest, the two ends have.
            State::Dialing(..)
            | State::ServerName(_)
            | State::Exchange(..)
            | State::Forward
            | State::Answering(_)
            | State::Tunnel => None,
        };
        (self.turn, longest)
    }

    pub(super) fn become_(&mut self, state: State) -> State {
        self.turn = self.turn.wrapping_add(1);
        std::mem::replace(&mut self.state, state)
    }

    /// Takes in an event; what is to be done is appended to `actions`.
    pub fn on(
        &mut self,
        event: Event<'_>,
        network: &Network,
        names: &Names,
        actions: &mut Vec<Action>,
    ) {
        match event {
            Event::Forward(hop) => {
                actions.push(Action::FromClient(Mode::Wait));
                actions.push(Action::Dial(hop.clone()));
            }
            Event::Captured(target) => {
                self.decide(
                    Dialect::Captured,
                    target.clone(),
                    Route::Direct,
                    network,
                    actions,
                );
            }
            Event::Nameless(target) => {
                let target = target.clone();
                self.deny(&Dialect::Captured, target, Reason::Nameless, actions);
            }
            Event::Answer(answer) => self.answer_question(answer, actions),
            Event::Client(bytes) => {
                self.input.extend_from_slice(bytes);
                if self.is_worth_parsing(bytes) {
                    while self.advance(network, names, actions) {}
                }
            }
            Event::ClientClosed => self.client_closed(actions),
            Event::ClientDone => self.exchange(actions, Exchange::request_done),
            Event::Upstream(bytes) => {
                self.answer.extend_from_slice(bytes);
                self.answered(network, actions);
            }
            Event::UpstreamClosed => self.upstream_closed(actions),
            Event::UpstreamDone => self.exchange(actions, Exchange::response_done),
            Event::Decided(answer) => self.decided(answer, network, actions),
            Event::Dialled => self.dialled(network, actions),
            Event::DialFailed(error) => self.dial_failed(error, actions),
            Event::Deadline => self.too_late(network, actions),
        }
        // The next request may lie there already.
        while matches!(self.state, State::HttpHead) && self.advance(network, names, actions) {}
    }

    /// A head is looked at when a line ends, or goes wrong: not with every byte.
    fn is_worth_parsing(&self, bytes: &[u8]) -> bool {
        let telling = |b: &u8| (*b < b' ' && !matches!(b, b'\t' | b'\r')) || *b == 0x7f;
        !matches!(self.state, State::HttpHead) || self.wants() == 0 || bytes.iter().any(telling)
    }

    pub(super) fn close(&mut self, actions: &mut Vec<Action>) {
        if !matches!(self.state, State::Closed) {
            self.become_(State::Closed);
            self.input = Vec::new();
            self.answer = Vec::new();
            actions.push(Action::Close);
        }
    }

    pub(super) fn abort(&mut self, actions: &mut Vec<Action>) {
        self.become_(State::Closed);
        actions.push(Action::Abort);
    }

    pub(super) fn reset(&mut self, actions: &mut Vec<Action>) {
        self.become_(State::Closed);
        actions.push(Action::Reset);
    }

    pub(super) fn answer_and_close(&mut self, bytes: &[u8], actions: &mut Vec<Action>) {
        actions.push(Action::Reply(bytes.to_vec()));
        self.close(actions);
    }

    pub(super) fn used(&mut self, count: usize) {
        self.input.drain(..count.min(self.input.len()));
    }

    fn too_late(&mut self, network: &Network, actions: &mut Vec<Action>) {
        match &self.state {
            State::Asking(..) => self.decided(Decided::Deny, network, actions),
            State::Greeting | State::HttpHead if !self.input.is_empty() => {
                self.answer_and_close(&reply::too_slow(), actions);
            }
            State::ProxyReply(dialect, target) => {
                let why = "the other proxy did not answer in time";
                let bytes = failure(dialect, target, why, Reply::Expired, reply::timed_out);
                self.fail(bytes, actions);
            }
            _ => self.close(actions),
        }
    }

    fn client_closed(&mut self, actions: &mut Vec<Action>) {
        match &self.state {
            // It has said all it has to say, and that was no TLS so far.
            State::ServerName(_) => self.open_tunnel(actions),
            State::Exchange(..) => self.abort(actions),
            _ => self.close(actions),
        }
    }

    fn upstream_closed(&mut self, actions: &mut Vec<Action>) {
        match &self.state {
            State::Exchange(exchange, target) if exchange.is_unanswered() => {
                let why = "the connection ended before the response";
                let bytes = reply::unreachable(target, why);
                self.answer_and_close(&bytes, actions);
            }
            State::ProxyReply(dialect, target) => {
                let why = "the other proxy closed the connection";
                let bytes = failure(dialect, target, why, Reply::Failure, reply::unreachable);
                self.fail(bytes, actions);
            }
            _ => self.abort(actions),
        }
    }

    /// Bytes of the other side.
    fn answered(&mut self, network: &Network, actions: &mut Vec<Action>) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Exchange(mut exchange, target) => {
                let then = exchange.response(&mut self.answer, &target, actions);
                self.state = State::Exchange(exchange, target);
                self.then(then, actions);
            }
            State::ProxyReply(dialect, target) => {
                self.state = State::ProxyReply(dialect.clone(), target.clone());
                self.proxy_replied(&dialect, target, network, actions);
            }
            // What comes behind the end of a response is nobody's.
            other => {
                self.state = other;
                self.answer.clear();
            }
        }
    }

    fn exchange(&mut self, actions: &mut Vec<Action>, event: fn(&mut Exchange) -> Then) {
        if let State::Exchange(exchange, _) = &mut self.state {
            let then = event(exchange);
            self.then(then, actions);
        }
    }

    /// What follows from how far an exchange has come.
    fn then(&mut self, then: Then, actions: &mut Vec<Action>) {
        match then {
            Then::More => {}
            Then::Request => {
                self.answer.clear();
                actions.push(Action::Hangup);
                actions.push(Action::FromClient(Mode::Talk));
                self.become_(State::HttpHead);
            }
            Then::WebSocket => {
                actions.push(Action::FromUpstream(Mode::Tunnel));
                self.open_tunnel(actions);
            }
            Then::Close => self.close(actions),
        }
    }
}
