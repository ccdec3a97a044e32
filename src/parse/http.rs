//! HTTP/1 requests to a proxy (RFC 9112, RFC 9110): strict, since a request that can
//! be read two ways is a way around the policy.

use std::fmt;

use super::Status;
use super::body::is_token;
pub use super::body::{Body, Chunk};
use super::fields::{Field, Version, all, content_length, field, head_lines};
use super::host::{HostError, Target, authority, authority_or};

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// A head over [`HEAD_BYTES`](crate::limits::HEAD_BYTES) or
    /// [`HEAD_FIELDS`](crate::limits::HEAD_FIELDS).
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
    /// A response that does not begin with `HTTP/1.x NNN`.
    StatusLine,
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
            Self::StatusLine => "the status line is malformed",
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
    /// The version the client speaks.
    pub version: Version,
    /// The field lines: name, value without surrounding white space.
    pub fields: Vec<Field<'a>>,
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

/// Reads a request head, up to and with its empty line.
///
/// # Errors
/// What makes it no request of ours. Nothing that is malformed is ever repaired.
pub fn request_head(input: &[u8]) -> Result<Status<Head<'_>>, HttpError> {
    let (lines, used) = match head_lines(input)? {
        Status::Partial => return Ok(Status::Partial),
        Status::Complete { value, used } => (value, used),
    };
    let (first, fields) = lines.split_first().ok_or(HttpError::RequestLine)?;
    let (method, target, kind, version) = request_line(first)?;
    let fields = fields
        .iter()
        .map(|line| field(line))
        .collect::<Result<Vec<_>, _>>()?;
    if all(&fields, b"host").count() > 1 {
        return Err(HttpError::TwoHosts);
    }
    let body = framing(&fields, version)?;
    if kind == Kind::Connect && body != Body::None {
        return Err(HttpError::Framing);
    }
    Ok(Status::Complete {
        value: Head {
            method,
            target,
            kind,
            version,
            fields,
            body,
        },
        used,
    })
}

type RequestLine<'a> = (&'a [u8], Target, Kind<'a>, Version);

fn request_line(line: &[u8]) -> Result<RequestLine<'_>, HttpError> {
    let mut words = line.split(|&b| b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(HttpError::RequestLine);
    };
    let version = Version::read(version).ok_or(HttpError::RequestLine)?;
    if method.is_empty() || !method.iter().all(|&b| is_token(b)) {
        return Err(HttpError::RequestLine);
    }
    if method == b"CONNECT" {
        let target = authority(target).map_err(HttpError::Host)?;
        return Ok((method, target, Kind::Connect, version));
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
    Ok((method, target, Kind::Absolute { path }, version))
}

/// How a request's body is framed (RFC 9112, 6.3).
fn framing(fields: &[Field<'_>], version: Version) -> Result<Body, HttpError> {
    let lengths: Vec<_> = all(fields, b"content-length").collect();
    let codings: Vec<_> = all(fields, b"transfer-encoding").collect();
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Ok(Body::None),
        ([length], []) => match content_length(length).ok_or(HttpError::Framing)? {
            0 => Ok(Body::None),
            length => Ok(Body::Length(length)),
        },
        // HTTP/1.0 knows no chunks: somebody on the way would not see them.
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") && version == Version::One => {
            Ok(Body::CHUNKED)
        }
        _ => Err(HttpError::Framing),
    }
}
