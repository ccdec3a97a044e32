//! DNS questions (RFC 1035, 4; EDNS: RFC 6891), and their frames on TCP (RFC 7766, 8).

use super::Status;
use crate::limits::{LABEL_BYTES, QUESTION_BYTES, WIRE_NAME_BYTES};

/// Bytes of a message's header.
pub const HEADER_BYTES: usize = 12;
/// Type of an IPv4 address (RFC 1035, 3.2.2).
pub const A: u16 = 1;
/// Type of an IPv6 address (RFC 3596).
pub const AAAA: u16 = 28;
/// Type of EDNS's own record (RFC 6891, 6.1).
pub const OPT: u16 = 41;
/// A question for every type (RFC 1035, 3.2.3).
pub const ANY: u16 = 255;
/// The class of the Internet (RFC 1035, 3.2.4).
pub const IN: u16 = 1;

/// The bit that marks an answer.
const ANSWER: u16 = 0x8000;
/// The bits of the operation; 0 is a standard query.
const OPERATION: u16 = 0x7800;

/// What stands in front of every message, as far as an answer repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The asker's number for it.
    pub id: u16,
    /// The flags, as they were sent.
    pub flags: u16,
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// The header.
    pub header: Header,
    /// The name in lower case, its labels parted by dots, without one at the end; empty
    /// for the root. What no host name has stands as `\` and three digits (RFC 1035, 5.1).
    pub name: Vec<u8>,
    /// The type.
    pub kind: u16,
    /// The class.
    pub class: u16,
    /// The question as it was sent, in whatever case (an answer repeats it).
    pub raw: &'a [u8],
    /// EDNS's version, if the asker speaks it.
    pub edns: Option<u8>,
}

/// Why a message is no question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsError {
    /// Too short for a header: nobody is there to be answered.
    Short,
    /// An answer, which is not answered.
    Answer,
    /// An operation other than a standard query.
    Operation,
    /// Malformed, or not exactly one question.
    Format,
    /// A frame for more than any question needs.
    TooLong,
}

/// One message behind its length, on TCP.
///
/// # Errors
/// The length is one that no question has.
pub fn framed(input: &[u8]) -> Result<Status<&[u8]>, DnsError> {
    let Some((length, rest)) = input.split_first_chunk::<2>() else {
        return Ok(Status::Partial);
    };
    let length = usize::from(u16::from_be_bytes(*length));
    if length < HEADER_BYTES {
        return Err(DnsError::Short);
    }
    if length > QUESTION_BYTES {
        return Err(DnsError::TooLong);
    }
    Ok(match rest.get(..length) {
        Some(value) => Status::Complete {
            value,
            used: length.saturating_add(2),
        },
        None => Status::Partial,
    })
}

/// The header of a whole message; `None` if it is too short for one.
pub fn header(input: &[u8]) -> Option<Header> {
    let mut rest = input.get(..HEADER_BYTES)?;
    Some(Header {
        id: number(&mut rest)?,
        flags: number(&mut rest)?,
    })
}

/// Reads a whole message that asks one question.
///
/// # Errors
/// Why it is none.
pub fn question(input: &[u8]) -> Result<Question<'_>, DnsError> {
    let header = header(input).ok_or(DnsError::Short)?;
    if header.flags & ANSWER != 0 {
        return Err(DnsError::Answer);
    }
    if header.flags & OPERATION != 0 {
        return Err(DnsError::Operation);
    }
    body(header, input).ok_or(DnsError::Format)
}

/// All behind the first two numbers; `None` if it is malformed.
fn body(header: Header, input: &[u8]) -> Option<Question<'_>> {
    let mut counts = input.get(4..HEADER_BYTES)?;
    let counts = [(); 4].map(|()| number(&mut counts));
    let [Some(1), Some(0), Some(0), Some(additional)] = counts else {
        return None;
    };
    let asked = input.get(HEADER_BYTES..)?;
    let mut rest = asked;
    let name = name(&mut rest)?;
    let (kind, class) = (number(&mut rest)?, number(&mut rest)?);
    let raw = asked.get(..asked.len().checked_sub(rest.len())?)?;
    let mut edns = None;
    // Each takes eleven bytes at least, so the message's length bounds them.
    for _ in 0..additional {
        let owner = self::name(&mut rest)?;
        let (kind, _class) = (number(&mut rest)?, number(&mut rest)?);
        let (extended, _flags) = (number(&mut rest)?, number(&mut rest)?);
        let length = usize::from(number(&mut rest)?);
        let (_, behind) = rest.split_at_checked(length)?;
        rest = behind;
        if kind == OPT {
            let [_, version] = extended.to_be_bytes();
            if !owner.is_empty() || edns.replace(version).is_some() {
                return None;
            }
        }
    }
    rest.is_empty().then_some(Question {
        header,
        name,
        kind,
        class,
        raw,
        edns,
    })
}

fn number(input: &mut &[u8]) -> Option<u16> {
    let (head, rest) = input.split_first_chunk::<2>()?;
    *input = rest;
    Some(u16::from_be_bytes(*head))
}

/// Labels up to the root. What points to an earlier name has none to point to, and is
/// refused.
fn name(input: &mut &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    // The byte that ends it.
    let mut wire = 1usize;
    loop {
        let (length, rest) = input.split_first()?;
        let length = usize::from(*length);
        if length > LABEL_BYTES {
            return None;
        }
        let (label, rest) = rest.split_at_checked(length)?;
        *input = rest;
        if length == 0 {
            return Some(text);
        }
        wire = wire.saturating_add(length).saturating_add(1);
        if wire > WIRE_NAME_BYTES {
            return None;
        }
        if !text.is_empty() {
            text.push(b'.');
        }
        for byte in label {
            match byte.to_ascii_lowercase() {
                byte if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') => {
                    text.push(byte);
                }
                byte => text.extend_from_slice(format!("\\{byte:03}").as_bytes()),
            }
        }
    }
}
