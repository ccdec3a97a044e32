//! HTTP/1 requests to a proxy (RFC 9112, RFC 9110): strict, since a request that can
//! be read two ways is a way around the policy.

use std::fmt;

use super::Status;
use super::host::{HostError, Target, authority, authority_or};
use crate::limits::{CHUNK_LINE_BYTES, HEAD_BYTES, HEAD_FIELDS};

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// A head over [`HEAD_BYTES`] or [`HEAD_FIELDS`].
    TooLarge,
    /// The request line is not `METHOD TARGET HTTP/1.x`.
    RequestLine,
    /// A target that is neither an authority (CONNECT) nor an absolute `http:` URL.
    RequestTarget,
    /// A target whose host is none.
    Host(HostError),
    /// A malformed field line: bare CR or LF, folding, a space before the colon,
    /// control bytes.
    Field,
    /// Two Host fields.
    TwoHosts,
    /// A body whose length could be read two ways, or not at all.
    Framing,
    /// A malformed chunk.
    Chunk,
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the request head is too large",
            Self::RequestLine => "the request line is malformed",
            Self::RequestTarget => "a proxy takes CONNECT host:port, or an absolute http:// URL",
            Self::Host(error) => return error.fmt(f),
            Self::Field => "a header field is malformed",
            Self::TwoHosts => "there are two Host fields",
            Self::Framing => "the length of the body is ambiguous",
            Self::Chunk => "a chunk of the body is malformed",
        })
    }
}

/// A request head, borrowed from the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a [u8],
    /// Where it is to go.
    pub target: Target,
    /// What is asked for there.
    pub kind: Kind<'a>,
    /// The field lines: name, value without surrounding white space.
    pub fields: Vec<(&'a [u8], &'a [u8])>,
    /// How the body that follows is framed.
    pub body: Body,
}

/// The two things a proxy is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A tunnel.
    Connect,
    /// One request; its target in origin form.
    Absolute {
        /// Path and query, beginning with `/` or `?`, or empty.
        path: &'a [u8],
    },
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Reads a request head, up to and with its empty line.
///
/// # Errors
/// What makes it no request of ours. Nothing that is malformed is ever repaired.
pub fn request_head(input: &[u8]) -> Result<Status<Head<'_>>, HttpError> {
    let mut rest = input;
    let mut used = 0usize;
    let mut lines: Vec<&[u8]> = Vec::new();
    loop {
        let Some(end) = rest.iter().position(|&b| b == b'\n') else {
            // Nothing but the CR of a line's end may be a control byte.
            let line = rest.strip_suffix(b"\r").unwrap_or(rest);
            check_line(line)?;
            return if input.len() >= HEAD_BYTES {
                Err(HttpError::TooLarge)
            } else {
                Ok(Status::Partial)
            };
        };
        used = used.saturating_add(end).saturating_add(1);
        if used > HEAD_BYTES {
            return Err(HttpError::TooLarge);
        }
        let (line, tail) = rest
            .split_at_checked(end.saturating_add(1))
            .ok_or(HttpError::Field)?;
        rest = tail;
        let line = line.strip_suffix(b"\r\n").ok_or(HttpError::Field)?;
        check_line(line)?;
        if line.is_empty() {
            break;
        }
        if lines.len() > HEAD_FIELDS {
            return Err(HttpError::TooLarge);
        }
        lines.push(line);
    }
    let (first, fields) = lines.split_first().ok_or(HttpError::RequestLine)?;
    let (method, target, kind) = request_line(first)?;
    let fields = fields
        .iter()
        .map(|line| field(line))
        .collect::<Result<Vec<_>, _>>()?;
    if fields
        .iter()
        .filter(|(n, _)| n.eq_ignore_ascii_case(b"host"))
        .count()
        > 1
    {
        return Err(HttpError::TwoHosts);
    }
    let body = framing(&fields)?;
    if kind == Kind::Connect && body != Body::None {
        return Err(HttpError::Framing);
    }
    Ok(Status::Complete {
        value: Head {
            method,
            target,
            kind,
            fields,
            body,
        },
        used,
    })
}

fn check_line(line: &[u8]) -> Result<(), HttpError> {
    let control = |b: &u8| (*b < b' ' && *b != b'\t') || *b == 0x7f;
    if line.iter().any(control) {
        Err(HttpError::Field)
    } else {
        Ok(())
    }
}

fn request_line(line: &[u8]) -> Result<(&[u8], Target, Kind<'_>), HttpError> {
    let mut words = line.split(|&b| b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(HttpError::RequestLine);
    };
    let known = version == b"HTTP/1.1" || version == b"HTTP/1.0";
    if method.is_empty() || !method.iter().all(|&b| is_token(b)) || !known {
        return Err(HttpError::RequestLine);
    }
    if method == b"CONNECT" {
        let target = authority(target).map_err(HttpError::Host)?;
        return Ok((method, target, Kind::Connect));
    }
    let (scheme, rest) = target.split_at_checked(7).ok_or(HttpError::RequestTarget)?;
    if !scheme.eq_ignore_ascii_case(b"http://")
        || !rest.iter().all(u8::is_ascii_graphic)
        || rest.contains(&b'#')
    {
        return Err(HttpError::RequestTarget);
    }
    let end = rest
        .iter()
        .position(|b| matches!(b, b'/' | b'?'))
        .unwrap_or(rest.len());
    let (host, path) = rest.split_at_checked(end).ok_or(HttpError::RequestTarget)?;
    if host.contains(&b'@') {
        return Err(HttpError::RequestTarget);
    }
    let target = authority_or(host, 80).map_err(HttpError::Host)?;
    Ok((method, target, Kind::Absolute { path }))
}

fn field(line: &[u8]) -> Result<(&[u8], &[u8]), HttpError> {
    let colon = line
        .iter()
        .position(|&b| b == b':')
        .ok_or(HttpError::Field)?;
    let (name, value) = line.split_at_checked(colon).ok_or(HttpError::Field)?;
    if name.is_empty() || !name.iter().all(|&b| is_token(b)) {
        return Err(HttpError::Field);
    }
    Ok((name, value.get(1..).unwrap_or_default().trim_ascii()))
}

fn framing(fields: &[(&[u8], &[u8])]) -> Result<Body, HttpError> {
    let all = |wanted: &[u8]| -> Vec<&[u8]> {
        let same = fields
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        same.map(|(_, value)| *value).collect()
    };
    match (
        all(b"content-length").as_slice(),
        all(b"transfer-encoding").as_slice(),
    ) {
        ([], []) => Ok(Body::None),
        ([length], []) => {
            let digits = (1..=19).contains(&length.len()) && length.iter().all(u8::is_ascii_digit);
            let text = std::str::from_utf8(length).ok().filter(|_| digits);
            let left = text
                .and_then(|t| t.parse().ok())
                .ok_or(HttpError::Framing)?;
            Ok(if left == 0 {
                Body::None
            } else {
                Body::Length(left)
            })
        }
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => {
            Ok(Body::Chunked(Chunk::Size { digits: 0, left: 0 }))
        }
        _ => Err(HttpError::Framing),
    }
}

/// What is left of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    None,
    /// This many bytes.
    Length(u64),
    /// Chunks (RFC 9112, 7.1), without extensions and trailers.
    Chunked(Chunk),
}

/// Where in a chunked body the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// In the size line.
    Size {
        /// Digits seen.
        digits: usize,
        /// Their value.
        left: u64,
    },
    /// At the LF of a size line.
    SizeEnd(u64),
    /// In the data.
    Data(u64),
    /// At the CR behind the data.
    DataCr,
    /// At its LF.
    DataLf,
    /// At the CR of the empty trailer section.
    LastCr,
    /// At its LF.
    LastLf,
    /// Behind the end.
    End,
}

impl Body {
    /// Whether nothing more belongs to it.
    pub fn is_done(&self) -> bool {
        matches!(
            self,
            Self::None | Self::Length(0) | Self::Chunked(Chunk::End)
        )
    }

    /// How many of the leading bytes of `input` belong to the body.
    ///
    /// # Errors
    /// A chunk that is malformed; nothing of `input` is to be passed on then.
    pub fn take(&mut self, input: &[u8]) -> Result<usize, HttpError> {
        match self {
            Self::None => Ok(0),
            Self::Length(left) => Ok(skip(left, input.len())),
            Self::Chunked(state) => {
                let mut at = 0usize;
                while *state != Chunk::End {
                    let Some(rest) = input.get(at..).filter(|r| !r.is_empty()) else {
                        break;
                    };
                    let used = step(state, rest)?;
                    at = at.saturating_add(used);
                }
                Ok(at)
            }
        }
    }
}

/// Takes at most `available` off `left`; gives how much that was.
fn skip(left: &mut u64, available: usize) -> usize {
    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(available);
    *left = left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
    taken
}

fn step(state: &mut Chunk, input: &[u8]) -> Result<usize, HttpError> {
    let byte = input.first().copied().ok_or(HttpError::Chunk)?;
    *state = match (*state, byte) {
        (Chunk::Size { digits, left }, _) if byte.is_ascii_hexdigit() => {
            // Two bytes of the line's bound are its end.
            if digits >= CHUNK_LINE_BYTES.saturating_sub(2) {
                return Err(HttpError::Chunk);
            }
            let digit = char::from(byte)
                .to_digit(16)
                .map(u64::from)
                .ok_or(HttpError::Chunk)?;
            let left = left
                .checked_mul(16)
                .and_then(|n| n.checked_add(digit))
                .ok_or(HttpError::Chunk)?;
            Chunk::Size {
                digits: digits.saturating_add(1),
                left,
            }
        }
        (Chunk::Size { digits: 1.., left }, b'\r') => Chunk::SizeEnd(left),
        (Chunk::SizeEnd(0), b'\n') => Chunk::LastCr,
        (Chunk::SizeEnd(left), b'\n') => Chunk::Data(left),
        (Chunk::Data(mut left), _) => {
            let used = skip(&mut left, input.len());
            *state = if left == 0 {
                Chunk::DataCr
            } else {
                Chunk::Data(left)
            };
            return Ok(used);
        }
        (Chunk::DataCr, b'\r') => Chunk::DataLf,
        (Chunk::DataLf, b'\n') => Chunk::Size { digits: 0, left: 0 },
        (Chunk::LastCr, b'\r') => Chunk::LastLf,
        (Chunk::LastLf, b'\n') => Chunk::End,
        (_, _) => return Err(HttpError::Chunk),
    };
    Ok(1)
}

/// Fields that end at this proxy (RFC 9110, 7.6.1), besides those that Connection names.
const HOP_BY_HOP: [&[u8]; 7] = [
    b"connection",
    b"keep-alive",
    b"te",
    b"trailer",
    b"upgrade",
    b"host",
    b"proxy-connection",
];

/// The head as it goes to the origin: origin form, Host rewritten to the target, what
/// was meant for the proxy removed, one request a connection.
pub fn upstream_head(head: &Head<'_>) -> Vec<u8> {
    let Kind::Absolute { path } = head.kind else {
        return Vec::new();
    };
    let named: Vec<&[u8]> = head
        .fields
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"connection"))
        .flat_map(|(_, value)| value.split(|&b| b == b',').map(<[u8]>::trim_ascii))
        .collect();
    let framing = |name: &[u8]| {
        name.eq_ignore_ascii_case(b"content-length")
            || name.eq_ignore_ascii_case(b"transfer-encoding")
    };
    let stays = |name: &[u8]| {
        let hop = HOP_BY_HOP.iter().any(|h| name.eq_ignore_ascii_case(h));
        let proxy = name
            .get(..6)
            .is_some_and(|p| p.eq_ignore_ascii_case(b"proxy-"));
        // A client cannot take away the framing by naming it in Connection.
        let listed = named.iter().any(|n| name.eq_ignore_ascii_case(n)) && !framing(name);
        !(hop || proxy || listed)
    };
    let slash: &[u8] = if path.first() == Some(&b'/') {
        b""
    } else {
        b"/"
    };
    let host = match head.target.port {
        80 => head.target.host.to_string(),
        _ => head.target.to_string(),
    };
    let mut out = [
        head.method,
        b" ",
        slash,
        path,
        b" HTTP/1.1\r\nHost: ",
        host.as_bytes(),
        b"\r\n",
    ]
    .concat();
    for (name, value) in head.fields.iter().filter(|(name, _)| stays(name)) {
        for part in [name, &b": "[..], value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"Connection: close\r\n\r\n");
    out
}
