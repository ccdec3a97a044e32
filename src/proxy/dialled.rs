//! The conversation's second half: the connection stands, or does not.

use super::conversation::{Conversation, Dialect, State};
use super::events::{Action, DialError, Mode};
use super::exchange::Exchange;
use super::{forward, reply};
use crate::parse::Status;
use crate::parse::host::Target;
use crate::parse::response::response_head;
use crate::parse::socks::Reply;
use crate::policy::network::{Network, Reason};
use crate::policy::route::Route;

impl Conversation {
    pub(super) fn dialled(&mut self, network: &Network, actions: &mut Vec<Action>) {
        let (dialect, target, route) = match self.become_(State::Tunnel) {
            State::Dialing(dialect, target, route) => (dialect, target, route),
            State::Forward => {
                actions.push(Action::FromUpstream(Mode::Tunnel));
                return self.open_tunnel(actions);
            }
            _ => return self.close(actions),
        };
        match (dialect, route) {
            (Dialect::Absolute(head, exchange), _) => {
                self.begin_exchange(head, exchange, target, actions);
            }
            (dialect, Route::Direct) => self.begin_tunnel(&dialect, target, &[], network, actions),
            (dialect, Route::Proxy(proxy)) => {
                let request = forward::connect(&target.to_string(), proxy.authorization.as_deref());
                self.ask_proxy(request, dialect, target, actions);
            }
            (dialect, Route::Socket(_)) => {
                let request = forward::connect(&target.to_string(), None);
                self.ask_proxy(request, dialect, target, actions);
            }
        }
    }

    fn ask_proxy(
        &mut self,
        request: Vec<u8>,
        dialect: Dialect,
        target: Target,
        actions: &mut Vec<Action>,
    ) {
        actions.push(Action::Forward(request));
        actions.push(Action::FromUpstream(Mode::Talk));
        self.become_(State::ProxyReply(dialect, target));
    }

    fn begin_exchange(
        &mut self,
        mut head: Vec<u8>,
        mut exchange: Exchange,
        target: Target,
        actions: &mut Vec<Action>,
    ) {
        let belongs = exchange.request.take(&self.input).unwrap_or(0);
        head.extend_from_slice(self.input.get(..belongs).unwrap_or_default());
        self.used(belongs);
        actions.push(Action::Forward(head));
        if !exchange.request.is_done() && !self.input.is_empty() {
            // It goes wrong behind what has been passed on.
            return self.abort(actions);
        }
        actions.push(Action::FromClient(if exchange.request.is_done() {
            exchange.request_done();
            Mode::Wait
        } else {
            Mode::Relay(exchange.request)
        }));
        actions.push(Action::FromUpstream(Mode::Talk));
        self.become_(State::Exchange(exchange, target));
    }

    pub(super) fn begin_tunnel(
        &mut self,
        dialect: &Dialect,
        target: Target,
        early: &[u8],
        network: &Network,
        actions: &mut Vec<Action>,
    ) {
        let promise = match dialect {
            Dialect::Captured => Vec::new(),
            Dialect::Socks => Reply::Succeeded.bytes().to_vec(),
            Dialect::Connect | Dialect::Absolute(..) => reply::ESTABLISHED.to_vec(),
        };
        actions.push(Action::Reply([&promise, early].concat()));
        actions.push(Action::FromUpstream(Mode::Tunnel));
        if network.checks_server_name(&target) {
            actions.push(Action::FromClient(Mode::Talk));
            self.become_(State::ServerName(target.clone()));
            self.server_name(&target, network, actions);
        } else {
            self.open_tunnel(actions);
        }
    }

    /// All that the client sends goes through from now on, and first what it has sent.
    pub(super) fn open_tunnel(&mut self, actions: &mut Vec<Action>) {
        let early = std::mem::take(&mut self.input);
        if !early.is_empty() {
            actions.push(Action::Forward(early));
        }
        actions.push(Action::FromClient(Mode::Tunnel));
        self.become_(State::Tunnel);
    }

    pub(super) fn proxy_replied(
        &mut self,
        dialect: &Dialect,
        target: Target,
        network: &Network,
        actions: &mut Vec<Action>,
    ) {
        let (code, used) = match response_head(&self.answer) {
            Ok(Status::Partial) => return,
            Ok(Status::Complete { value, used }) => (value.code, used),
            Err(_) => (0, 0),
        };
        if !(200..=299).contains(&code) {
            let why = match code {
                0 => "the other proxy's answer is none".to_owned(),
                407 => "the other proxy wants other credentials (407)".to_owned(),
                code => format!("the other proxy refuses ({code})"),
            };
            let bytes = failure(dialect, &target, &why, Reply::Failure, reply::unreachable);
            return self.fail(bytes, actions);
        }
        let answer = std::mem::take(&mut self.answer);
        let early = answer.get(used..).unwrap_or_default();
        self.begin_tunnel(dialect, target, early, network, actions);
    }

    pub(super) fn dial_failed(&mut self, error: DialError, actions: &mut Vec<Action>) {
        let State::Dialing(dialect, target, _) = self.become_(State::Greeting) else {
            return self.abort(actions);
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
        let http = if late {
            reply::timed_out
        } else {
            reply::unreachable
        };
        let bytes = failure(&dialect, &target, why, code, http);
        self.fail(bytes, actions);
    }

    /// Tells the client of trouble, in bytes or without.
    pub(super) fn fail(&mut self, told: Option<Vec<u8>>, actions: &mut Vec<Action>) {
        match told {
            Some(bytes) => self.answer_and_close(&bytes, actions),
            None => self.reset(actions),
        }
    }
}

/// How a client hears of trouble on the way; `None`: by a reset.
pub(super) fn failure(
    dialect: &Dialect,
    target: &Target,
    why: &str,
    socks: Reply,
    http: fn(&Target, &str) -> Vec<u8>,
) -> Option<Vec<u8>> {
    match dialect {
        Dialect::Captured => None,
        Dialect::Socks => Some(socks.bytes().to_vec()),
        Dialect::Connect | Dialect::Absolute(..) => Some(http(target, why)),
    }
}
