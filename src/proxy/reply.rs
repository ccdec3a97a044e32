//! The proxy's own HTTP answers.

use crate::parse::host::Target;
use crate::parse::http::HttpError;
use crate::policy::network::Reason;

/// Longest status phrase.
const PHRASE_BYTES: usize = 200;

/// The answer to CONNECT once the connection stands (RFC 9110, 9.3.6).
pub const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// Printable ASCII only: what comes from the settings or from a peer forges no line,
/// no terminal escape, and no second field.
fn clean(text: &str) -> String {
    let plain = |c: char| {
        if c == ' ' || c.is_ascii_graphic() {
            c
        } else {
            '?'
        }
    };
    text.chars().map(plain).take(PHRASE_BYTES).collect()
}

fn response(code: u16, phrase: &str, field: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {code} {}\r\n{field}Content-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        clean(phrase),
        body.len(),
    )
    .into_bytes()
}

/// 403: what was refused, by which rule, and that retrying will not help.
pub fn denied(target: &Target, reason: &Reason) -> Vec<u8> {
    let field = match reason {
        Reason::NotListed { .. } | Reason::Listed { .. } => {
            "X-Proxy-Error: blocked-by-allowlist\r\n"
        }
        Reason::Resolved(_) | Reason::ServerName(_) | Reason::Nameless | Reason::TooManyNames => {
            "X-Proxy-Error: blocked-by-sandbox-runtime\r\n"
        }
    };
    let why = clean(&reason.to_string());
    let body = format!(
        "Connection blocked by network allowlist: {target} is denied: {why}.\n\
         This is the sandbox's policy, not a fault of the network: retrying will not help.\n"
    );
    response(403, &format!("Forbidden: {why}"), field, &body)
}

/// 400 or 431: a request that is not taken.
pub fn malformed(error: HttpError) -> Vec<u8> {
    let (code, phrase) = match error {
        HttpError::TooLarge => (431, "Request Header Fields Too Large"),
        HttpError::RequestLine
        | HttpError::RequestTarget
        | HttpError::Host(_)
        | HttpError::Field
        | HttpError::TwoHosts
        | HttpError::Framing
        | HttpError::StatusLine
        | HttpError::Chunk => (400, "Bad Request"),
    };
    response(code, phrase, "", &format!("srt: {error}\n"))
}

/// 407: who does not know the secret is told nothing but that there is one (RFC 9110,
/// 15.5.8).
pub fn unknown() -> Vec<u8> {
    response(
        407,
        "Proxy Authentication Required",
        "Proxy-Authenticate: Basic realm=\"srt\"\r\n",
        "srt: this proxy is a sandboxed command's alone\n",
    )
}

/// 408: no whole request in time.
pub fn too_slow() -> Vec<u8> {
    response(
        408,
        "Request Timeout",
        "",
        "srt: no whole request arrived in time\n",
    )
}

/// 502: the destination cannot be reached.
pub fn unreachable(target: &Target, why: &str) -> Vec<u8> {
    response(502, "Bad Gateway", "", &format!("srt: {target}: {why}\n"))
}

/// 504: the destination did not answer in time.
pub fn timed_out(target: &Target, why: &str) -> Vec<u8> {
    response(
        504,
        "Gateway Timeout",
        "",
        &format!("srt: {target}: {why}\n"),
    )
}
