//! One plain request and its response.

use super::events::{Action, Mode};
use super::forward::{self, Behind};
use super::reply;
use crate::parse::Status;
use crate::parse::body::Body;
use crate::parse::fields::{Version, all, content_length};
use crate::parse::host::Target;
use crate::parse::http::Head;
use crate::parse::response::{ResponseHead, response_head};

/// What is remembered of a request until its response has ended.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What is left of the request's body.
    pub request: Body,
    /// Whether the request has been passed on whole.
    request_whole: Half,
    response: Response,
    /// The method: the answer to a HEAD has no body.
    method: Method,
    version: Version,
    /// What the client wants behind the response.
    wants: Behind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    UnderWay,
    Whole,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Response {
    /// Its head is awaited.
    Awaited,
    /// Its body is under way; what follows it.
    Body(Behind),
    /// It is whole.
    Whole(Behind),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Head,
    Other,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// There is more to come.
    More,
    /// The client's next request.
    Request,
    /// Frames both ways.
    WebSocket,
    /// The end.
    Close,
}

impl Exchange {
    /// The exchange that this request begins.
    pub fn new(head: &Head<'_>) -> Self {
        let wants = if forward::asks_for_websocket(head) {
            Behind::WebSocket
        } else if forward::keeps_alive(head) {
            Behind::Request
        } else {
            Behind::Close
        };
        Self {
            request: head.body,
            request_whole: if head.body.is_done() {
                Half::Whole
            } else {
                Half::UnderWay
            },
            response: Response::Awaited,
            method: if head.method == b"HEAD" {
                Method::Head
            } else {
                Method::Other
            },
            version: head.version,
            wants,
        }
    }

    /// Whether the client has heard nothing yet.
    pub fn is_unanswered(&self) -> bool {
        self.response == Response::Awaited
    }

    /// The request's body has been passed on.
    pub fn request_done(&mut self) -> Next {
        self.request_whole = Half::Whole;
        self.next()
    }

    /// The response's body has been passed on.
    pub fn response_done(&mut self) -> Next {
        if let Response::Body(behind) = self.response {
            self.response = Response::Whole(behind);
        }
        self.next()
    }

    fn next(&self) -> Next {
        match (self.response, self.request_whole) {
            (Response::Whole(Behind::Request), Half::Whole) => Next::Request,
            // An answer before the question was out: the rest of it is nobody's.
            (Response::Whole(_), _) => Next::Close,
            (Response::Awaited | Response::Body(_), _) => Next::More,
        }
    }

    /// Takes the response's head, and what came of its body with it, from `answer`.
    pub fn response(
        &mut self,
        answer: &mut Vec<u8>,
        target: &Target,
        actions: &mut Vec<Action>,
    ) -> Next {
        while self.response == Response::Awaited {
            let (head, body, behind, used) = match response_head(answer) {
                Ok(Status::Partial) => return Next::More,
                Ok(Status::Complete { value, used }) => match self.judge(&value) {
                    Some((head, body, behind)) => (head, body, behind, used),
                    None => return bad(target, actions),
                },
                Err(_) => return bad(target, actions),
            };
            answer.drain(..used.min(answer.len()));
            match behind {
                // An HTTP/1.0 client knows no interim responses.
                Behind::Response if self.version == Version::Zero => {}
                Behind::Response => actions.push(Action::Reply(head)),
                Behind::WebSocket => {
                    actions.push(Action::Reply(head));
                    actions.push(Action::Reply(std::mem::take(answer)));
                    return Next::WebSocket;
                }
                Behind::Request | Behind::Close => {
                    actions.push(Action::Reply(head));
                    self.response = Response::Body(behind);
                    return self.begin_body(body, answer, actions);
                }
            }
        }
        Next::More
    }

    fn begin_body(
        &mut self,
        mut body: Body,
        answer: &mut Vec<u8>,
        actions: &mut Vec<Action>,
    ) -> Next {
        let belongs = body.take(answer).unwrap_or(0);
        let wrong = !body.is_done() && belongs < answer.len();
        answer.truncate(belongs);
        if belongs > 0 {
            actions.push(Action::Reply(std::mem::take(answer)));
        }
        if wrong {
            // Its head is out already: only the end of the connection can tell.
            actions.push(Action::Abort);
            return Next::More;
        }
        if body.is_done() {
            actions.push(Action::FromUpstream(Mode::Wait));
            return self.response_done();
        }
        actions.push(Action::FromUpstream(Mode::Relay(body)));
        Next::More
    }

    /// The head as it goes to the client, the body to come, and what is behind it;
    /// `None` if it cannot be passed on.
    fn judge(&self, head: &ResponseHead<'_>) -> Option<(Vec<u8>, Body, Behind)> {
        let behind = match head.code {
            101 if self.wants == Behind::WebSocket => Behind::WebSocket,
            101 => return None,
            100..=199 => Behind::Response,
            _ => self.wants,
        };
        let body = match (self.method, head.body) {
            (Method::Head, _) => Body::None,
            (Method::Other, body) => body,
        };
        // A length without a body: of what a GET would have brought.
        let length = match behind {
            Behind::Request | Behind::Close | Behind::WebSocket if body == Body::None => {
                let length = all(&head.fields, b"content-length").next();
                length.and_then(content_length)
            }
            _ => None,
        };
        let behind = match (behind, body) {
            (_, Body::Chunked(_)) if self.version == Version::Zero => return None,
            (Behind::Response, _) => Behind::Response,
            (Behind::WebSocket, _) if head.code == 101 => Behind::WebSocket,
            // Only the end of the connection ends it.
            (_, Body::Endless) => Behind::Close,
            (Behind::WebSocket, _) => Behind::Request,
            (behind, _) => behind,
        };
        Some((forward::response(head, body, length, behind), body, behind))
    }
}

/// 502, for an answer that is none.
fn bad(target: &Target, actions: &mut Vec<Action>) -> Next {
    let why = "the response is not HTTP/1, or its end is uncertain";
    actions.push(Action::Reply(reply::unreachable(target, why)));
    Next::Close
}
