//! Heads as they are passed on: what was meant for this hop removed, what frames the
//! body written anew (RFC 9110, 7.6.1).

use crate::parse::body::Body;
use crate::parse::fields::{Field, Version, elements};
use crate::parse::http::{Head, Kind};
use crate::parse::response::ResponseHead;

/// Fields that end at this proxy, besides those that Connection names.
const HOP_BY_HOP: [&[u8]; 9] = [
    b"connection",
    b"keep-alive",
    b"te",
    b"trailer",
    b"upgrade",
    b"host",
    b"proxy-connection",
    b"content-length",
    b"transfer-encoding",
];

/// Whether a request asks to go on as a WebSocket. Other protocols are not passed: what
/// they carry would be no request that is judged.
pub fn asks_for_websocket(head: &Head<'_>) -> bool {
    let has =
        |name, value: &[u8]| elements(&head.fields, name).any(|e| e.eq_ignore_ascii_case(value));
    head.version == Version::One
        && head.body == Body::None
        && has(b"connection", b"upgrade")
        && elements(&head.fields, b"upgrade").count() == 1
        && has(b"upgrade", b"websocket")
}

/// Whether the client wants another request on this connection.
pub fn keeps_alive(head: &Head<'_>) -> bool {
    let close = |e: &[u8]| e.eq_ignore_ascii_case(b"close");
    // Of an HTTP/1.0 client no more than one is taken.
    head.version == Version::One && !elements(&head.fields, b"connection").any(close)
}

/// Fields that are passed on; what `Connection` names is not.
fn passed<'a>(fields: &'a [Field<'a>]) -> impl Iterator<Item = &'a Field<'a>> {
    let stays = move |(name, _): &&Field<'a>| {
        let hop = HOP_BY_HOP.iter().any(|h| name.eq_ignore_ascii_case(h));
        let proxy = name
            .get(..6)
            .is_some_and(|p| p.eq_ignore_ascii_case(b"proxy-"));
        let listed = elements(fields, b"connection").any(|n| name.eq_ignore_ascii_case(n));
        !(hop || proxy || listed)
    };
    fields.iter().filter(stays)
}

fn write(out: &mut Vec<u8>, parts: &[&[u8]]) {
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

fn write_fields<'a>(out: &mut Vec<u8>, fields: &'a [Field<'a>]) {
    for (name, value) in passed(fields) {
        write(out, &[name, b": ", value, b"\r\n"]);
    }
}

fn write_framing(out: &mut Vec<u8>, body: Body, bare: Option<u64>) {
    match (body, bare) {
        (Body::Length(length), _) | (Body::None, Some(length)) => {
            write(
                out,
                &[b"Content-Length: ", length.to_string().as_bytes(), b"\r\n"],
            );
        }
        (Body::Chunked(_), _) => write(out, &[b"Transfer-Encoding: chunked\r\n"]),
        (Body::None | Body::Endless, _) => {}
    }
}

/// Where a request goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// The origin: origin form.
    Origin,
    /// Another proxy: absolute form, with these credentials.
    Proxy(Option<&'a str>),
}

/// A request head as it goes on: Host rewritten to the target, one request a
/// connection. Empty for a CONNECT.
pub fn request(head: &Head<'_>, next: Next<'_>) -> Vec<u8> {
    let Kind::Absolute { path } = head.kind else {
        return Vec::new();
    };
    let host = match head.target.port {
        80 => head.target.host.to_string(),
        _ => head.target.to_string(),
    };
    let slash: &[u8] = if path.first() == Some(&b'/') {
        b""
    } else {
        b"/"
    };
    let version: &[u8] = match head.version {
        Version::Zero => b"HTTP/1.0",
        Version::One => b"HTTP/1.1",
    };
    let mut out = Vec::new();
    write(&mut out, &[head.method, b" "]);
    if let Next::Proxy(_) = next {
        write(&mut out, &[b"http://", host.as_bytes()]);
    }
    write(&mut out, &[slash, path, b" ", version, b"\r\n"]);
    write(&mut out, &[b"Host: ", host.as_bytes(), b"\r\n"]);
    if let Next::Proxy(Some(authorization)) = next {
        write(
            &mut out,
            &[b"Proxy-Authorization: ", authorization.as_bytes(), b"\r\n"],
        );
    }
    write_fields(&mut out, &head.fields);
    // A method that may have a body, and has an empty one, says so.
    let empty = matches!(head.method, b"POST" | b"PUT" | b"PATCH").then_some(0);
    write_framing(&mut out, head.body, empty);
    let connection: &[u8] = if asks_for_websocket(head) {
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    } else {
        b"Connection: close\r\n\r\n"
    };
    write(&mut out, &[connection]);
    out
}

/// What happens to the client's connection behind a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// Another request may follow.
    Request,
    /// It is closed.
    Close,
    /// It is a WebSocket.
    WebSocket,
    /// Another response head follows: this one was interim.
    Response,
}

/// A response head as it goes to the client. `length` is the Content-Length of what
/// has no body here: the answer to a HEAD, or a 304.
pub fn response(
    head: &ResponseHead<'_>,
    body: Body,
    length: Option<u64>,
    behind: Behind,
) -> Vec<u8> {
    let mut out = Vec::new();
    let code = head.code.to_string();
    write(
        &mut out,
        &[b"HTTP/1.1 ", code.as_bytes(), b" ", head.phrase, b"\r\n"],
    );
    write_fields(&mut out, &head.fields);
    write_framing(&mut out, body, length);
    let connection: &[u8] = match behind {
        Behind::Request => b"Connection: keep-alive\r\n\r\n",
        Behind::Close => b"Connection: close\r\n\r\n",
        Behind::WebSocket => b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        Behind::Response => b"\r\n",
    };
    write(&mut out, &[connection]);
    out
}

/// The request for a tunnel through another proxy (RFC 9110, 9.3.6).
pub fn connect(target: &str, authorization: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    let target = target.as_bytes();
    write(
        &mut out,
        &[b"CONNECT ", target, b" HTTP/1.1\r\nHost: ", target, b"\r\n"],
    );
    if let Some(authorization) = authorization {
        write(
            &mut out,
            &[b"Proxy-Authorization: ", authorization.as_bytes(), b"\r\n"],
        );
    }
    write(&mut out, &[b"\r\n"]);
    out
}
