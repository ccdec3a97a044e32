//! SOCKS version 5 (RFC 1928), CONNECT without authentication, or with a username and a
//! password (RFC 1929).

use super::Status;
use super::host::{Target, address, host};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Version byte of SOCKS5.
pub const VERSION: u8 = 5;
/// Version byte of SOCKS4, which is answered with its own refusal.
pub const VERSION_4: u8 = 4;
/// SOCKS4's "request rejected" (its protocol memo): the whole reply.
pub const REFUSAL_4: [u8; 8] = [0, 0x5b, 0, 0, 0, 0, 0, 0];

/// Reply codes (RFC 1928, 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The connection stands.
    Succeeded,
    /// General failure.
    Failure,
    /// Not allowed by ruleset.
    NotAllowed,
    /// Host unreachable.
    HostUnreachable,
    /// Connection refused, or not made.
    Refused,
    /// TTL expired: used for time-outs.
    Expired,
    /// Command not supported.
    Command,
    /// Address type not supported.
    AddressType,
}

impl Reply {
    /// The reply's bytes; the bound address is never told.
    pub fn bytes(self) -> [u8; 10] {
        let code = match self {
            Self::Succeeded => 0,
            Self::Failure => 1,
            Self::NotAllowed => 2,
            Self::HostUnreachable => 4,
            Self::Refused => 5,
            Self::Expired => 6,
            Self::Command => 7,
            Self::AddressType => 8,
        };
        [VERSION, code, 0, 1, 0, 0, 0, 0, 0, 0]
    }
}

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocksError {
    /// Not SOCKS5, or a reserved byte that is not 0.
    Malformed,
    /// A command other than CONNECT.
    Command,
    /// An unknown address type.
    AddressType,
    /// A name that is no host name, or port 0.
    Host,
}

impl SocksError {
    /// What the client is told.
    pub fn reply(self) -> Reply {
        match self {
            Self::Malformed => Reply::Failure,
            Self::Command => Reply::Command,
            Self::AddressType => Reply::AddressType,
            Self::Host => Reply::NotAllowed,
        }
    }
}

/// A way to say who one is (RFC 1928, 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Nobody asks.
    None,
    /// By username and password (RFC 1929).
    Password,
}

impl Method {
    /// Its number.
    pub fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Password => 2,
        }
    }
}

/// The answer to a greeting that offers nothing of use, "no acceptable methods".
pub const NO_METHOD: [u8; 2] = [VERSION, 0xff];

/// The answer to a username and a password (RFC 1929, 2): success.
pub const WELCOME: [u8; 2] = [1, 0];

/// The same: failure, after which the connection is closed.
pub const UNKNOWN: [u8; 2] = [1, 1];

/// Reads the client's greeting: whether it offers the method `wanted`.
///
/// # Errors
/// It is not SOCKS5.
pub fn greeting(input: &[u8], wanted: Method) -> Result<Status<bool>, SocksError> {
    match input {
        [] | [VERSION] => Ok(Status::Partial),
        [VERSION, count, rest @ ..] => match rest.get(..usize::from(*count)) {
            None => Ok(Status::Partial),
            Some(methods) => Ok(Status::Complete {
                value: methods.contains(&wanted.code()),
                used: methods.len().saturating_add(2),
            }),
        },
        _ => Err(SocksError::Malformed),
    }
}

/// A username and a password.
pub type Credentials<'a> = (&'a [u8], &'a [u8]);

/// Reads a username and a password (RFC 1929, 2).
///
/// # Errors
/// It is another version of that.
pub fn password(input: &[u8]) -> Result<Status<Credentials<'_>>, SocksError> {
    let rest = match input {
        [] => return Ok(Status::Partial),
        [1, rest @ ..] => rest,
        _ => return Err(SocksError::Malformed),
    };
    let Some((name, rest)) = counted(rest) else {
        return Ok(Status::Partial);
    };
    let Some((password, _)) = counted(rest) else {
        return Ok(Status::Partial);
    };
    Ok(Status::Complete {
        value: (name, password),
        used: name.len().saturating_add(password.len()).saturating_add(3),
    })
}

/// As many bytes as the first one says, and what is behind them.
fn counted(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (count, rest) = input.split_first()?;
    rest.split_at_checked(usize::from(*count))
}

/// Reads a request: where to connect to.
///
/// # Errors
/// What the reply code says.
pub fn request(input: &[u8]) -> Result<Status<Target>, SocksError> {
    let (head, rest) = match input {
        [VERSION, command, reserved, kind, rest @ ..] => {
            if *reserved != 0 {
                return Err(SocksError::Malformed);
            }
            if *command != 1 {
                return Err(SocksError::Command);
            }
            (*kind, rest)
        }
        [] | [VERSION] | [VERSION, _] | [VERSION, _, _] => return Ok(Status::Partial),
        _ => return Err(SocksError::Malformed),
    };
    let (skip, length) = match (head, rest.first()) {
        (1, _) => (0usize, 4usize),
        (4, _) => (0, 16),
        (3, Some(length)) => (1, usize::from(*length)),
        (3, None) => return Ok(Status::Partial),
        _ => return Err(SocksError::AddressType),
    };
    let Some((name, tail)) = rest.get(skip..).and_then(|r| r.split_at_checked(length)) else {
        return Ok(Status::Partial);
    };
    let Some((port, _)) = tail.split_first_chunk::<2>() else {
        return Ok(Status::Partial);
    };
    let port = u16::from_be_bytes(*port);
    let host = match head {
        1 => <[u8; 4]>::try_from(name)
            .map(|o| address(Ipv4Addr::from(o).into()))
            .map_err(|_| SocksError::Malformed),
        4 => <[u8; 16]>::try_from(name)
            .map(|o| address(Ipv6Addr::from(o).into()))
            .map_err(|_| SocksError::Malformed),
        // Brackets are URL syntax, not part of a name.
        _ if name.contains(&b'[') => Err(SocksError::Host),
        _ => host(name).map_err(|_| SocksError::Host),
    }?;
    if port == 0 {
        return Err(SocksError::Host);
    }
    let used = [4, skip, length, 2]
        .iter()
        .fold(0usize, |sum, n| sum.saturating_add(*n));
    Ok(Status::Complete {
        value: Target { host, port },
        used,
    })
}
