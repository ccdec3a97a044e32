//! The conversation's first half: what is asked for, and whether it may be had.

use super::conversation::{Conversation, Dialect, State};
use super::events::{Action, Decided, Hop, Mode};
use super::exchange::Exchange;
use super::forward::{self, Next};
use super::names::Names;
use super::reply;
use crate::parse::Status;
use crate::parse::host::Target;
use crate::parse::http::{Head, Kind, request_head};
use crate::parse::socks::{self, Method, Reply, SocksError};
use crate::parse::tls::{TlsError, client_hello};
use crate::policy::network::{Network, Reason, Verdict};
use crate::policy::route::{Route, Use};

impl Conversation {
    /// One step on the bytes at hand; whether another may follow.
    pub(super) fn advance(
        &mut self,
        network: &Network,
        names: &Names,
        actions: &mut Vec<Action>,
    ) -> bool {
        match &self.state {
            State::Greeting => {
                match self.input.first() {
                    None => return false,
                    Some(&socks::VERSION) => self.state = State::SocksGreeting,
                    Some(&socks::VERSION_4) => self.answer_and_close(&socks::REFUSAL_4, actions),
                    Some(_) => self.state = State::HttpHead,
                }
                true
            }
            State::SocksGreeting => {
                let (method, next) = match self.secret {
                    None => (Method::None, State::SocksRequest),
                    Some(_) => (Method::Password, State::SocksPassword),
                };
                match socks::greeting(&self.input, method) {
                    Ok(Status::Partial) => false,
                    Ok(Status::Complete { value: true, used }) => {
                        self.used(used);
                        actions.push(Action::Reply(vec![socks::VERSION, method.code()]));
                        self.state = next;
                        true
                    }
                    Ok(Status::Complete { value: false, .. }) | Err(_) => {
                        self.answer_and_close(&socks::NO_METHOD, actions);
                        false
                    }
                }
            }
            State::SocksPassword => self.socks_password(actions),
            State::SocksRequest => match socks::request(&self.input) {
                Ok(Status::Partial) => false,
                Ok(Status::Complete { value, used }) => {
                    self.used(used);
                    // A client that looks names up itself has their addresses from us.
                    let target = names.named(value);
                    self.decide(Dialect::Socks, target, Route::Direct, network, actions);
                    false
                }
                Err(error) => self.refuse_socks(error, actions),
            },
            State::HttpHead => self.http_head(network, names, actions),
            State::ServerName(target) => {
                let target = target.clone();
                self.server_name(&target, network, actions);
                false
            }
            State::Questions(count) => {
                let count = *count;
                self.take_question(count, actions);
                false
            }
            State::Asking(..)
            | State::Dialing(..)
            | State::ProxyReply(..)
            | State::Exchange(..)
            | State::Forward
            | State::Answering(_)
            | State::Tunnel
            | State::Closed => false,
        }
    }

    fn socks_password(&mut self, actions: &mut Vec<Action>) -> bool {
        let used = match (socks::password(&self.input), &self.secret) {
            (Ok(Status::Partial), _) => return false,
            (Ok(Status::Complete { value, used }), Some(secret)) if secret.is(value.0, value.1) => {
                used
            }
            (Ok(Status::Complete { .. }) | Err(_), _) => {
                self.answer_and_close(&socks::UNKNOWN, actions);
                return false;
            }
        };
        self.used(used);
        actions.push(Action::Reply(socks::WELCOME.to_vec()));
        self.state = State::SocksRequest;
        true
    }

    fn refuse_socks(&mut self, error: SocksError, actions: &mut Vec<Action>) -> bool {
        self.answer_and_close(&error.reply().bytes(), actions);
        false
    }

    fn http_head(&mut self, network: &Network, names: &Names, actions: &mut Vec<Action>) -> bool {
        let known = |head: &Head<'_>| {
            let secret = self.secret.as_ref();
            secret.is_none_or(|secret| secret.is_in(&head.fields))
        };
        let (dialect, target, route, used) = match request_head(&self.input) {
            Ok(Status::Partial) => return false,
            Ok(Status::Complete { value: head, .. }) if !known(&head) => {
                self.answer_and_close(&reply::unknown(), actions);
                return false;
            }
            Ok(Status::Complete { value: head, used }) => match head.kind {
                Kind::Connect => {
                    let target = names.named(head.target);
                    (Dialect::Connect, target, Route::Direct, used)
                }
                Kind::Absolute { .. } => {
                    let route = network.route(&head.target, Use::Request);
                    let next = match &route {
                        Route::Direct => Next::Origin,
                        Route::Proxy(proxy) => Next::Proxy(proxy.authorization.as_deref()),
                        Route::Socket(_) => Next::Proxy(None),
                    };
                    let passed = forward::request(&head, next);
                    let dialect = Dialect::Absolute(passed, Exchange::new(&head));
                    (dialect, head.target, route, used)
                }
            },
            Err(error) => {
                self.answer_and_close(&reply::malformed(error), actions);
                return false;
            }
        };
        self.used(used);
        self.decide(dialect, target, route, network, actions);
        false
    }

    pub(super) fn decide(
        &mut self,
        dialect: Dialect,
        target: Target,
        route: Route,
        network: &Network,
        actions: &mut Vec<Action>,
    ) {
        let (verdict, target) = judge(&dialect, target, network);
        if let Verdict::Learn(reason) = &verdict {
            actions.push(Action::Learned {
                target: target.clone(),
                reason: reason.clone(),
            });
        }
        match verdict {
            Verdict::Allow { .. } | Verdict::Learn(_) => {
                self.dial(dialect, target, route, network, actions);
            }
            Verdict::Ask(reason) => {
                actions.push(Action::FromClient(Mode::Wait));
                actions.push(Action::Question {
                    target: target.clone(),
                });
                self.become_(State::Asking(dialect, target, route, reason));
            }
            Verdict::Deny(reason) => self.deny(&dialect, target, reason, actions),
        }
    }

    fn dial(
        &mut self,
        dialect: Dialect,
        target: Target,
        route: Route,
        network: &Network,
        actions: &mut Vec<Action>,
    ) {
        let route = match dialect {
            Dialect::Connect | Dialect::Socks | Dialect::Captured => {
                network.route(&target, Use::Tunnel)
            }
            Dialect::Absolute(..) => route,
        };
        self.toward = Some(target.clone());
        actions.push(Action::FromClient(Mode::Wait));
        actions.push(Action::Dial(match &route {
            Route::Direct => Hop::Target(target.clone()),
            Route::Proxy(proxy) => Hop::Proxy(proxy.target.clone()),
            Route::Socket(path) => Hop::Socket(path.clone()),
        }));
        self.become_(State::Dialing(dialect, target, route));
    }

    /// Whoever was asked has answered, or has not in time. What rules say by now counts
    /// for more.
    pub(super) fn decided(
        &mut self,
        answer: Decided,
        network: &Network,
        actions: &mut Vec<Action>,
    ) {
        let (dialect, target, route, reason) = match self.become_(State::Closed) {
            State::Asking(dialect, target, route, reason) => (dialect, target, route, reason),
            other => {
                self.state = other;
                return;
            }
        };
        let (verdict, target) = judge(&dialect, target, network);
        let reason = match (verdict, answer) {
            (Verdict::Allow { .. } | Verdict::Learn(_), _) | (Verdict::Ask(_), Decided::Allow) => {
                return self.dial(dialect, target, route, network, actions);
            }
            (Verdict::Deny(reason), _) => reason,
            (Verdict::Ask(_), Decided::Deny) => reason,
        };
        self.deny(&dialect, target, reason, actions);
    }

    pub(super) fn deny(
        &mut self,
        dialect: &Dialect,
        target: Target,
        reason: Reason,
        actions: &mut Vec<Action>,
    ) {
        let bytes = match dialect {
            Dialect::Captured => None,
            Dialect::Socks => Some(Reply::NotAllowed.bytes().to_vec()),
            Dialect::Connect | Dialect::Absolute(..) => Some(reply::denied(&target, &reason)),
        };
        actions.push(Action::Denied { target, reason });
        self.fail(bytes, actions);
    }

    /// Looks at the first bytes of a tunnel; what is not TLS is not held back.
    pub(super) fn server_name(
        &mut self,
        target: &Target,
        network: &Network,
        actions: &mut Vec<Action>,
    ) {
        let verdict = match client_hello(&self.input) {
            Ok(Status::Partial) => return,
            Ok(Status::Complete { value, .. }) => {
                network.permits_server_name(target, value.server_name.as_ref())
            }
            Err(TlsError::NotTls) => Ok(()),
            // What cannot be read could be read otherwise by the other side.
            Err(_) => Err(Reason::ServerName(None)),
        };
        match verdict {
            Ok(()) => self.open_tunnel(actions),
            Err(reason) => {
                let target = target.clone();
                actions.push(Action::Denied { target, reason });
                self.abort(actions);
            }
        }
    }
}

/// What the policy says of a destination that was asked for in this way, and which it is.
fn judge(dialect: &Dialect, target: Target, network: &Network) -> (Verdict, Target) {
    match dialect {
        Dialect::Captured => network.decide_connected(&target),
        Dialect::Connect | Dialect::Socks | Dialect::Absolute(..) => {
            (network.decide(&target), target)
        }
    }
}
