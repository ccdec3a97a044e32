//! HTTP/1 responses (RFC 9112, 4): as much as it takes to know where one ends.

use super::Status;
use super::body::Body;
use super::fields::{Field, Version, all, content_length, field, head_lines};
use super::http::HttpError;

/// A response head, borrowed from the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead<'a> {
    /// The status code, 100 to 999.
    pub code: u16,
    /// The reason phrase.
    pub phrase: &'a [u8],
    /// The field lines.
    pub fields: Vec<Field<'a>>,
    /// How the body is framed that follows, if the request was no HEAD.
    pub body: Body,
}

/// Reads a response head, up to and with its empty line.
///
/// # Errors
/// What makes it none, or its end uncertain.
pub fn response_head(input: &[u8]) -> Result<Status<ResponseHead<'_>>, HttpError> {
    let (lines, used) = match head_lines(input)? {
        Status::Partial => return Ok(Status::Partial),
        Status::Complete { value, used } => (value, used),
    };
    let (first, fields) = lines.split_first().ok_or(HttpError::StatusLine)?;
    let (code, phrase) = status_line(first).ok_or(HttpError::StatusLine)?;
    let fields = fields
        .iter()
        .map(|line| field(line))
        .collect::<Result<Vec<_>, _>>()?;
    let body = framing(code, &fields)?;
    Ok(Status::Complete {
        value: ResponseHead {
            code,
            phrase,
            fields,
            body,
        },
        used,
    })
}

fn status_line(line: &[u8]) -> Option<(u16, &[u8])> {
    let (version, rest) = line.split_at_checked(8)?;
    Version::read(version)?;
    let (code, phrase) = rest.strip_prefix(b" ")?.split_at_checked(3)?;
    let phrase = match phrase {
        [] => phrase,
        _ => phrase.strip_prefix(b" ")?,
    };
    let digits = code.iter().all(u8::is_ascii_digit) && code.first() != Some(&b'0');
    let code = std::str::from_utf8(code).ok().filter(|_| digits)?;
    Some((code.parse().ok()?, phrase))
}

/// RFC 9112, 6.3.
fn framing(code: u16, fields: &[Field<'_>]) -> Result<Body, HttpError> {
    if matches!(code, 100..=199 | 204 | 304) {
        return Ok(Body::None);
    }
    let lengths: Vec<_> = all(fields, b"content-length").collect();
    let codings: Vec<_> = all(fields, b"transfer-encoding").collect();
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Ok(Body::Endless),
        // The same length said twice is not said two ways.
        ([length, others @ ..], []) if others.iter().all(|other| other == length) => {
            content_length(length)
                .map(Body::Length)
                .ok_or(HttpError::Framing)
        }
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Body::CHUNKED),
        _ => Err(HttpError::Framing),
    }
}
