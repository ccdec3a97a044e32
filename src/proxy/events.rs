//! What a conversation is told, and what it asks for.

use crate::parse::body::Body;
use crate::parse::host::Target;
use crate::policy::network::{AddressClass, Reason};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The beginning of a connection of which nothing is to be understood.
    Forward(&'a Hop),
    /// The beginning of a connection that a program meant for this target itself, and that
    /// was captured.
    Captured(&'a Target),
    /// The same, to an address of capture's that stands for no name.
    Nameless(&'a Target),
    /// The answer to what [`Action::Ask`] asked; `None`: it is not to be answered.
    Answer(Option<&'a [u8]>),
    /// The client sent these bytes: what [`Mode::Talk`] brought, or what came with the
    /// end of a body.
    Client(&'a [u8]),
    /// The client has sent all it will, and something was still to come.
    ClientClosed,
    /// The body that was relayed from the client is whole.
    ClientDone,
    /// The same of the other side.
    Upstream(&'a [u8]),
    /// The same of the other side.
    UpstreamClosed,
    /// The same of the other side.
    UpstreamDone,
    /// Whoever was asked by [`Action::Question`] has answered.
    Decided(Decided),
    /// The connection asked for stands.
    Dialled,
    /// It could not be made.
    DialFailed(DialError),
    /// [`patience`](super::conversation::Conversation::patience) is at an end.
    Deadline,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// It may be reached, this time.
    Allow,
    /// It may not.
    Deny,
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

/// Whereto a connection is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hop {
    /// An allowed target: each of its addresses must be permitted.
    Target(Target),
    /// Another proxy, which the settings or the environment name.
    Proxy(Target),
    /// A Unix socket.
    Socket(String),
    /// A port on the host's own 127.0.0.1.
    Loopback(u16),
    /// A port on the sandbox's own 127.0.0.1.
    Inside(u16),
}

/// How one side's bytes are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Not at all.
    Wait,
    /// They are this conversation's.
    Talk,
    /// What is left of this body goes to the other side.
    Relay(Body),
    /// All go to the other side, and so does their end.
    Tunnel,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Connect.
    Dial(Hop),
    /// Note a refusal.
    Denied {
        /// What was asked for.
        target: Target,
        /// Why it is refused.
        reason: Reason,
    },
    /// Ask somebody whether this may be reached; [`Event::Decided`] is the answer.
    Question {
        /// What was asked for.
        target: Target,
    },
    /// Note a destination that is let through only to be learned.
    Learned {
        /// What was asked for.
        target: Target,
        /// Why it would be refused.
        reason: Reason,
    },
    /// Send this to the client.
    Reply(Vec<u8>),
    /// Send this to the other side.
    Forward(Vec<u8>),
    /// Take the client's bytes so from now on.
    FromClient(Mode),
    /// Take the other side's bytes so from now on.
    FromUpstream(Mode),
    /// Drop the other side.
    Hangup,
    /// Close, once the replies are sent.
    Close,
    /// Answer this DNS message.
    Ask(Vec<u8>),
    /// Close at once: what was begun cannot be ended in order.
    Abort,
    /// The same, so that the client hears that nobody is there (a TCP reset).
    Reset,
}
