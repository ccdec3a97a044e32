//! The beginning of TLS: the ClientHello and the host it names (RFC 8446, 4.1.2 and
//! 5.1; RFC 6066, 3).

use std::fmt;

use super::Status;
use super::host::{Host, host};
use crate::limits::CLIENT_HELLO_BYTES;

/// What a ClientHello says, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The host of its server_name extension, canonical; `None` without the extension.
    pub server_name: Option<Host>,
    /// Whether another ClientHello may be inside it.
    pub inner: Inner,
}

/// Whether a ClientHello carries an encrypted one (RFC 9849), whose server name then
/// counts for a server that has the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inner {
    /// No encrypted_client_hello extension.
    Absent,
    /// There is the extension. What it holds cannot be seen; browsers also send it
    /// filled at random (GREASE).
    Encrypted,
}

/// Why there is no ClientHello to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsError {
    /// Another protocol: told by the first bytes.
    NotTls,
    /// A handshake that begins with something else.
    NotHello,
    /// A ClientHello over [`CLIENT_HELLO_BYTES`].
    TooLong,
    /// Lengths that do not add up, an empty record, or a record that goes on behind it.
    Malformed,
    /// A server name that is no host name, is an address, or is said twice.
    ServerName,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotTls => "this is not TLS",
            Self::NotHello => "the TLS handshake begins with no ClientHello",
            Self::TooLong => "the ClientHello is too long",
            Self::Malformed => "the ClientHello is malformed",
            Self::ServerName => "the server name is no host name",
        })
    }
}

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// The types of records there are (RFC 8446, B.1, and heartbeat, RFC 6520).
const RECORDS: std::ops::RangeInclusive<u8> = 20..=24;
/// Largest plaintext record (RFC 8446, 5.1).
const RECORD_BYTES: usize = 1 << 14;
/// Type and length of a handshake message.
const MESSAGE_HEAD: usize = 4;
const SERVER_NAME: u16 = 0;
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
/// Longest legacy_session_id (RFC 8446, 4.1.2).
const SESSION_BYTES: usize = 32;
const HOST_NAME: u8 = 0;

/// Reads the ClientHello at the beginning of what a client sends, over any number of
/// records; `used` are the bytes of these records.
///
/// ```
/// use sandbox_runtime::parse::tls::{TlsError, client_hello};
///
/// assert_eq!(client_hello(b"SSH-2.0-x"), Err(TlsError::NotTls));
/// ```
///
/// # Errors
/// What makes it none. That it is another protocol is told as soon as it can be.
pub fn client_hello(input: &[u8]) -> Result<Status<Hello>, TlsError> {
    let mut rest = input;
    let mut message: Vec<u8> = Vec::new();
    loop {
        match rest {
            [] => return Ok(Status::Partial),
            [kind, ..] if *kind != HANDSHAKE => return Err(other(*kind, &message)),
            [kind, major, ..] if *major != 3 => return Err(other(*kind, &message)),
            _ => {}
        }
        let Some(([_, _, _, high, low], after)) = rest.split_first_chunk::<5>() else {
            return Ok(Status::Partial);
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length == 0 || length > RECORD_BYTES {
            return Err(TlsError::Malformed);
        }
        let here = after.get(..length).unwrap_or(after);
        message.extend_from_slice(here);
        rest = after.get(here.len()..).unwrap_or_default();
        let whole = message_length(&message)?;
        if here.len() < length {
            return Ok(Status::Partial);
        }
        if whole.is_some_and(|whole| message.len() > whole) {
            return Err(TlsError::Malformed);
        }
        if whole == Some(message.len()) {
            let body = message.get(MESSAGE_HEAD..).unwrap_or_default();
            return Ok(Status::Complete {
                value: hello(body)?,
                used: input.len().saturating_sub(rest.len()),
            });
        }
    }
}

/// What is no record of a ClientHello: another protocol, if it begins so, and not as a
/// record of another type or version does. Some servers drop an alert that comes first,
/// or look at no version, and would read a name behind it that nobody has compared.
fn other(kind: u8, message: &[u8]) -> TlsError {
    if message.is_empty() && !RECORDS.contains(&kind) {
        TlsError::NotTls
    } else {
        TlsError::Malformed
    }
}

/// How long the message is, with its head, once that is known.
fn message_length(message: &[u8]) -> Result<Option<usize>, TlsError> {
    if message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
        return Err(TlsError::NotHello);
    }
    let Some(([_, a, b, c], _)) = message.split_first_chunk::<MESSAGE_HEAD>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([0, *a, *b, *c]);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > CLIENT_HELLO_BYTES {
        return Err(TlsError::TooLong);
    }
    Ok(Some(length.saturating_add(MESSAGE_HEAD)))
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], TlsError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(TlsError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, TlsError> {
        self.take(1)?.first().copied().ok_or(TlsError::Malformed)
    }

    fn short(&mut self) -> Result<u16, TlsError> {
        Ok(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    /// A vector behind a length of one byte.
    fn vector8(&mut self) -> Result<&'a [u8], TlsError> {
        let length = self.byte()?;
        self.take(usize::from(length))
    }

    /// A vector behind a length of two bytes.
    fn vector16(&mut self) -> Result<&'a [u8], TlsError> {
        let length = self.short()?;
        self.take(usize::from(length))
    }
}

fn hello(body: &[u8]) -> Result<Hello, TlsError> {
    let mut body = Reader(body);
    body.take(2)?; // legacy_version
    body.take(32)?; // random
    let session = body.vector8()?;
    let ciphers = body.vector16()?;
    let compression = body.vector8()?;
    let ciphers_fit = !ciphers.is_empty() && ciphers.len() % 2 == 0;
    if session.len() > SESSION_BYTES || !ciphers_fit || compression.is_empty() {
        return Err(TlsError::Malformed);
    }
    let mut server_name = None;
    let mut inner = Inner::Absent;
    // A ClientHello without extensions ends here.
    if !body.0.is_empty() {
        let mut extensions = Reader(body.vector16()?);
        while !extensions.0.is_empty() {
            let kind = extensions.short()?;
            let content = extensions.vector16()?;
            if kind == SERVER_NAME && server_name.replace(named(content)?).is_some() {
                return Err(TlsError::ServerName);
            }
            if kind == ENCRYPTED_CLIENT_HELLO {
                inner = Inner::Encrypted;
            }
        }
    }
    if body.0.is_empty() {
        Ok(Hello { server_name, inner })
    } else {
        Err(TlsError::Malformed)
    }
}

/// The one host name of a server_name extension.
fn named(content: &[u8]) -> Result<Host, TlsError> {
    let mut content = Reader(content);
    let mut list = Reader(content.vector16()?);
    let kind = list.byte()?;
    let name = list.vector16()?;
    if kind != HOST_NAME || !list.0.is_empty() || !content.0.is_empty() {
        return Err(TlsError::ServerName);
    }
    match host(name) {
        Ok(found @ Host::Name(_)) => Ok(found),
        Ok(Host::Address(_)) | Err(_) => Err(TlsError::ServerName),
    }
}
