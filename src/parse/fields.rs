//! What request and response heads of HTTP/1 have in common: lines and fields
//! (RFC 9112, 2 and 5).

use super::Status;
use super::body::is_token;
use super::http::HttpError;
use crate::limits::{HEAD_BYTES, HEAD_FIELDS};

/// A field: its name, and its value without the white space around it.
pub type Field<'a> = (&'a [u8], &'a [u8]);

/// The minor version of HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no chunks, and one request a connection.
    Zero,
    /// HTTP/1.1.
    One,
}

impl Version {
    /// Reads `HTTP/1.0` or `HTTP/1.1`.
    pub fn read(text: &[u8]) -> Option<Self> {
        match text {
            b"HTTP/1.0" => Some(Self::Zero),
            b"HTTP/1.1" => Some(Self::One),
            _ => None,
        }
    }
}

/// The lines of a head, up to and with its empty line, which is not among them.
///
/// # Errors
/// A bare CR or LF, a control byte, or more than the bounds allow.
pub fn head_lines(input: &[u8]) -> Result<Status<Vec<&[u8]>>, HttpError> {
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
            return Ok(Status::Complete { value: lines, used });
        }
        if lines.len() > HEAD_FIELDS {
            return Err(HttpError::TooLarge);
        }
        lines.push(line);
    }
}

fn check_line(line: &[u8]) -> Result<(), HttpError> {
    let control = |b: &u8| (*b < b' ' && *b != b'\t') || *b == 0x7f;
    if line.iter().any(control) {
        Err(HttpError::Field)
    } else {
        Ok(())
    }
}

/// Reads a field line.
///
/// # Errors
/// It has no colon, or a space before it, or begins with one.
pub fn field(line: &[u8]) -> Result<Field<'_>, HttpError> {
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

/// The values of every field of this name (in lower case).
pub fn all<'a>(fields: &[Field<'a>], name: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    let named = fields
        .iter()
        .filter(move |(n, _)| n.eq_ignore_ascii_case(name));
    named.map(|(_, value)| *value)
}

/// The elements of every field of this name, whose value is a list (RFC 9110, 5.6.1).
pub fn elements<'a>(fields: &[Field<'a>], name: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    all(fields, name)
        .flat_map(|value| value.split(|&b| b == b','))
        .map(<[u8]>::trim_ascii)
}

/// Reads a Content-Length: digits only, and no more than fit.
pub fn content_length(value: &[u8]) -> Option<u64> {
    let digits = (1..=19).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits)?;
    text.parse().ok()
}
