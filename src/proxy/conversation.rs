//! What is said on one connection before bytes are relayed.
//!
//! ```text
//! Greeting ──5──▶ SocksGreeting ──▶ SocksRequest ─┐
//!     │ └──4──▶ Closed (refused)                  │ decide: deny ──▶ Closed
//!     └─else─▶ HttpHead ──────────────────────────┤
//!                                                 ▼ allow
//!                                   Dialing ──▶ Relaying
//!                                      └─fails─▶ Closed
//! ```
//!
//! A whole request is decided on before anything is looked up or dialled, and nothing
//! is relayed before the connection stands.

use crate::limits::HEAD_BYTES;
use crate::parse::Status;
use crate::parse::host::Target;
use crate::parse::http::{Body, Kind, request_head, upstream_head};
use crate::parse::socks::{self, Reply, SocksError};
use crate::policy::network::{AddressClass, Network, Reason, Verdict};
use crate::proxy::reply;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The client sent these bytes: at most [`Conversation::wants`].
    Client(&'a [u8]),
    /// The client has sent all it will.
    ClientClosed,
    /// The connection asked for stands.
    Dialled,
    /// It could not be made.
    DialFailed(DialError),
    /// The client took too long.
    Deadline,
}

/// Why a connection could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialError {
    /// The name has no address.
    NotFound,
    /// The lookup failed.
    LookupFailed,
    /// The lookup took too long.
    LookupTimeout,
    /// The name leads only to addresses that it may not lead to.
    Refused(AddressClass),
    /// No address takes the connection.
    Unreachable,
    /// No address took it in time.
    Timeout,
    /// Too much is under way already.
    Overloaded,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Look the target up, check every address, connect to one.
    Dial(Target),
    /// Note a refusal.
    Denied {
        /// What was asked for.
        target: Target,
        /// Why it is refused.
        reason: Reason,
    },
    /// Send this to the client.
    Reply(Vec<u8>),
    /// Send this to the other side, before anything that is relayed.
    Forward(Vec<u8>),
    /// Relay both ways from now on.
    Relay(Framing),
    /// Close, once the replies are sent.
    Close,
}

/// What may be relayed from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Everything.
    Tunnel,
    /// What is left of this body, and nothing behind it: another request would be
    /// another decision.
    Request(Body),
}

/// How the client spoke, and so is answered.
#[derive(Clone, Debug)]
enum Dialect {
    Connect,
    Socks,
    /// With the head for the origin, and how its body is framed.
    Absolute(Vec<u8>, Body),
}

#[derive(Clone, Debug)]
enum State {
    Greeting,
    SocksGreeting,
    SocksRequest,
    HttpHead,
    Dialing(Dialect, Target),
    Relaying,
    Closed,
}

/// One connection's conversation.
#[derive(Debug)]
pub struct Conversation {
    state: State,
    /// Bytes of the client that nothing has used yet.
    input: Vec<u8>,
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
        }
    }

    /// How many of the client's bytes may be brought now; 0: do not read it.
    pub fn wants(&self) -> usize {
        match self.state {
            State::Greeting | State::SocksGreeting | State::SocksRequest | State::HttpHead => {
                HEAD_BYTES.saturating_sub(self.input.len())
            }
            State::Dialing(..) | State::Relaying | State::Closed => 0,
        }
    }

    /// Takes in an event; what is to be done is appended to `actions`.
    pub fn on(&mut self, event: Event<'_>, network: &Network, actions: &mut Vec<Action>) {
        match event {
            Event::Client(bytes) => {
                self.input.extend_from_slice(bytes);
                while self.advance(network, actions) {}
            }
            Event::ClientClosed => self.close(actions),
            Event::Deadline => {
                if matches!(self.state, State::Greeting | State::HttpHead) && !self.input.is_empty()
                {
                    actions.push(Action::Reply(reply::too_slow()));
                }
                self.close(actions);
            }
            Event::Dialled => self.dialled(actions),
            Event::DialFailed(error) => self.dial_failed(error, actions),
        }
    }

    fn close(&mut self, actions: &mut Vec<Action>) {
        if !matches!(self.state, State::Closed) {
            self.state = State::Closed;
            self.input = Vec::new();
            actions.push(Action::Close);
        }
    }

    fn answer(&mut self, bytes: &[u8], actions: &mut Vec<Action>) {
        actions.push(Action::Reply(bytes.to_vec()));
        self.close(actions);
    }

    fn used(&mut self, count: usize) {
        self.input.drain(..count.min(self.input.len()));
    }

    /// One step on the bytes at hand; whether another may follow.
    fn advance(&mut self, network: &Network, actions: &mut Vec<Action>) -> bool {
        match &self.state {
            State::Greeting => {
                match self.input.first() {
                    None => return false,
                    Some(&socks::VERSION) => self.state = State::SocksGreeting,
                    Some(&socks::VERSION_4) => self.answer(&socks::REFUSAL_4, actions),
                    Some(_) => self.state = State::HttpHead,
                }
                true
            }
            State::SocksGreeting => match socks::greeting(&self.input) {
                Ok(Status::Partial) => false,
                Ok(Status::Complete { value: true, used }) => {
                    self.used(used);
                    actions.push(Action::Reply(vec![socks::VERSION, 0]));
                    self.state = State::SocksRequest;
                    true
                }
                // "No acceptable methods."
                Ok(Status::Complete { value: false, .. }) | Err(_) => {
                    self.answer(&[socks::VERSION, 0xff], actions);
                    false
                }
            },
            State::SocksRequest => match socks::request(&self.input) {
                Ok(Status::Partial) => false,
                Ok(Status::Complete { value, used }) => {
                    self.used(used);
                    self.decide(Dialect::Socks, value, network, actions);
                    false
                }
                Err(error) => self.refuse_socks(error, actions),
            },
            State::HttpHead => self.http_head(network, actions),
            State::Dialing(..) | State::Relaying | State::Closed => false,
        }
    }

    fn refuse_socks(&mut self, error: SocksError, actions: &mut Vec<Action>) -> bool {
        self.answer(&error.reply().bytes(), actions);
        false
    }

    fn http_head(&mut self, network: &Network, actions: &mut Vec<Action>) -> bool {
        let (dialect, target, used) = match request_head(&self.input) {
            Ok(Status::Partial) => return false,
            Ok(Status::Complete { value: head, used }) => {
                let dialect = match head.kind {
                    Kind::Connect => Dialect::Connect,
                    Kind::Absolute { .. } => Dialect::Absolute(upstream_head(&head), head.body),
                };
                (dialect, head.target, used)
            }
            Err(error) => {
                self.answer(&reply::malformed(error), actions);
                return false;
            }
        };
        self.used(used);
        self.decide(dialect, target, network, actions);
        false
    }

    fn decide(
        &mut self,
        dialect: Dialect,
        target: Target,
        network: &Network,
        actions: &mut Vec<Action>,
    ) {
        match network.decide(&target) {
            Verdict::Allow { .. } => {
                actions.push(Action::Dial(target.clone()));
                self.state = State::Dialing(dialect, target);
            }
            Verdict::Deny(reason) => self.deny(&dialect, target, reason, actions),
        }
    }

    fn deny(
        &mut self,
        dialect: &Dialect,
        target: Target,
        reason: Reason,
        actions: &mut Vec<Action>,
    ) {
        let bytes = match dialect {
            Dialect::Socks => Reply::NotAllowed.bytes().to_vec(),
            Dialect::Connect | Dialect::Absolute(..) => reply::denied(&target, &reason),
        };
        actions.push(Action::Denied { target, reason });
        self.answer(&bytes, actions);
    }

    fn dialled(&mut self, actions: &mut Vec<Action>) {
        let State::Dialing(dialect, _) = std::mem::replace(&mut self.state, State::Relaying) else {
            return self.close(actions);
        };
        // What the client sent ahead of the answer.
        let early = std::mem::take(&mut self.input);
        match dialect {
            Dialect::Connect => actions.push(Action::Reply(reply::ESTABLISHED.to_vec())),
            Dialect::Socks => actions.push(Action::Reply(Reply::Succeeded.bytes().to_vec())),
            Dialect::Absolute(mut head, mut body) => {
                match body.take(&early) {
                    Ok(belongs) => head.extend_from_slice(early.get(..belongs).unwrap_or_default()),
                    Err(error) => return self.answer(&reply::malformed(error), actions),
                }
                actions.push(Action::Forward(head));
                actions.push(Action::Relay(Framing::Request(body)));
                return;
            }
        }
        if !early.is_empty() {
            actions.push(Action::Forward(early));
        }
        actions.push(Action::Relay(Framing::Tunnel));
    }

    fn dial_failed(&mut self, error: DialError, actions: &mut Vec<Action>) {
        let State::Dialing(dialect, target) = std::mem::replace(&mut self.state, State::Greeting)
        else {
            return self.close(actions);
        };
        if let DialError::Refused(class) = error {
            return self.deny(&dialect, target, Reason::Resolved(class), actions);
        }
        let (why, code, late) = match error {
            DialError::NotFound => ("the name has no address", Reply::HostUnreachable, false),
            DialError::LookupFailed => ("the name lookup failed", Reply::HostUnreachable, false),
            DialError::LookupTimeout => ("the name lookup took too long", Reply::Expired, true),
            DialError::Unreachable => ("no address takes the connection", Reply::Refused, false),
            DialError::Timeout => ("the connection took too long", Reply::Expired, true),
            DialError::Overloaded | DialError::Refused(_) => {
                ("too much is under way", Reply::Failure, false)
            }
        };
        let bytes = match dialect {
            Dialect::Socks => code.bytes().to_vec(),
            Dialect::Connect | Dialect::Absolute(..) if late => reply::timed_out(&target, why),
            Dialect::Connect | Dialect::Absolute(..) => reply::unreachable(&target, why),
        };
        self.answer(&bytes, actions);
    }
}
