//! Host names, IP literals, `host:port`, and the patterns and ranges of the settings.
//!
//! One canonical form, made here once and used for match, route, wire and log: lower
//! case, no trailing dot, IPv4-mapped IPv6 as IPv4. Spellings that a resolver would
//! take for an address though they are not written as one (`127.1`, `0x7f000001`,
//! `2130706433`) are refused.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::limits::{LABEL_BYTES, NAME_BYTES};

/// A DNS name in canonical form (RFC 1123, 2.1, and `_`, which is in use).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(String);

impl Name {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a connection goes: a name, or an address written as one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name, to be looked up.
    Name(Name),
    /// An IP literal.
    Address(IpAddr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Address(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The host.
    pub host: Host,
    /// The port, never 0.
    pub port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Why something is not a host, or not a host and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostError {
    /// Nothing there.
    Empty,
    /// A byte outside letters, digits, `-`, `_` and `.`.
    Byte,
    /// Two dots in a row, or one at the beginning.
    EmptyLabel,
    /// A label over 63 octets.
    LongLabel,
    /// A name over 253 octets.
    LongName,
    /// Ends like a number but is no dotted quad.
    Number,
    /// Brackets around what is no IPv6 address.
    Ipv6,
    /// No port where one is needed.
    NoPort,
    /// A port that is not 1 to 65535.
    Port,
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the host is empty",
            Self::Byte => "a host has letters, digits, '-', '_' and '.' only",
            Self::EmptyLabel => "the host has an empty label",
            Self::LongLabel => "a label has at most 63 octets",
            Self::LongName => "a name has at most 253 octets",
            Self::Number => "an IPv4 address is written as four decimal numbers",
            Self::Ipv6 => "an IPv6 address is written in brackets, without a zone",
            Self::NoPort => "a port is missing",
            Self::Port => "a port is a number from 1 to 65535",
        })
    }
}

/// The canonical host of an address: IPv4-mapped IPv6 is IPv4 (RFC 4291, 2.5.5.2).
pub fn address(ip: IpAddr) -> Host {
    Host::Address(ip.to_canonical())
}

/// Reads a name, a dotted quad, or a bracketed IPv6 address.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn host(input: &[u8]) -> Result<Host, HostError> {
    if let Some(rest) = input.strip_prefix(b"[") {
        let inside = rest.strip_suffix(b"]").ok_or(HostError::Ipv6)?;
        let text = std::str::from_utf8(inside).map_err(|_| HostError::Ipv6)?;
        let ip = Ipv6Addr::from_str(text).map_err(|_| HostError::Ipv6)?;
        return Ok(address(IpAddr::V6(ip)));
    }
    let input = input.strip_suffix(b".").unwrap_or(input);
    if input.is_empty() {
        return Err(HostError::Empty);
    }
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if !input.iter().all(allowed) {
        return Err(HostError::Byte);
    }
    if input.len() > NAME_BYTES {
        return Err(HostError::LongName);
    }
    let text: String = input
        .iter()
        .map(|b| char::from(b.to_ascii_lowercase()))
        .collect();
    let mut last = "";
    for label in text.split('.') {
        match label.len() {
            0 => return Err(HostError::EmptyLabel),
            n if n > LABEL_BYTES => return Err(HostError::LongLabel),
            _ => last = label,
        }
    }
    if is_numeric(last) {
        let ip = Ipv4Addr::from_str(&text).map_err(|_| HostError::Number)?;
        return Ok(Host::Address(IpAddr::V4(ip)));
    }
    Ok(Host::Name(Name(text)))
}

/// Whether inet_aton(3) would take a name that ends in this label for a number.
fn is_numeric(label: &str) -> bool {
    let hex = label
        .strip_prefix("0x")
        .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    hex || label.bytes().all(|b| b.is_ascii_digit())
}

/// Reads `host:port`.
///
/// # Errors
/// The host is none, or the port is missing or not 1 to 65535.
pub fn authority(input: &[u8]) -> Result<Target, HostError> {
    match split_port(input)? {
        (name, Some(port)) => Ok(Target {
            host: host(name)?,
            port,
        }),
        (_, None) => Err(HostError::NoPort),
    }
}

/// Reads `host` or `host:port`.
///
/// # Errors
/// The host is none, or the port is not 1 to 65535.
pub fn authority_or(input: &[u8], default_port: u16) -> Result<Target, HostError> {
    let (name, port) = split_port(input)?;
    Ok(Target {
        host: host(name)?,
        port: port.unwrap_or(default_port),
    })
}

fn split_port(input: &[u8]) -> Result<(&[u8], Option<u16>), HostError> {
    // The colons of a bracketed address are not the port's.
    let from = input.iter().position(|&b| b == b']').unwrap_or(0);
    let tail = input.get(from..).unwrap_or_default();
    let Some(colon) = tail.iter().position(|&b| b == b':') else {
        return Ok((input, None));
    };
    let colon = from.saturating_add(colon);
    let name = input.get(..colon).unwrap_or_default();
    let digits = input.get(colon.saturating_add(1)..).unwrap_or_default();
    Ok((name, Some(port(digits)?)))
}

fn port(digits: &[u8]) -> Result<u16, HostError> {
    let plain = (1..=5).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).map_err(|_| HostError::Port)?;
    match text.parse::<u16>() {
        Ok(port) if plain && port > 0 => Ok(port),
        _ => Err(HostError::Port),
    }
}

/// Which list a pattern stands in: a deny list may say more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// An allow list.
    Allow,
    /// A deny list: `*` and `*:22` are allowed.
    Deny,
}

/// What a pattern's host part matches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// Every host: `*`.
    Any,
    /// This host.
    Exact(Host),
    /// Every name below this one, at any depth, and not itself: `*.name`.
    Below(Name),
}

/// A pattern of the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Which hosts.
    pub host: HostPattern,
    /// Which port; `None` for every one.
    pub port: Option<u16>,
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// Not a host.
    Host(HostError),
    /// `*` in an allow list.
    Everything,
    /// `*.com`, `*.*.x.com` and the like.
    Broad,
    /// A scheme, a path or userinfo.
    Url,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(error) => error.fmt(f),
            Self::Everything => f.write_str("an allow list does not take * (name the hosts)"),
            Self::Broad => f.write_str(
                "is too broad: a wildcard is *. followed by a name of two or more labels",
            ),
            Self::Url => f.write_str("write a host, without scheme, path or user"),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            HostPattern::Any => f.write_str("*")?,
            HostPattern::Exact(host) => host.fmt(f)?,
            HostPattern::Below(name) => write!(f, "*.{name}")?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// Reads a pattern: `host`, `*.host`, an IP literal, each with or without `:port`.
///
/// ```
/// use sandbox_runtime::parse::host::{List, authority, pattern};
///
/// let rule = pattern("*.example.com:443", List::Allow).unwrap();
/// assert!(rule.matches(&authority(b"API.example.com.:443").unwrap()));
/// assert!(!rule.matches(&authority(b"evilexample.com:443").unwrap()));
/// ```
///
/// # Errors
/// What is wrong with it; a pattern that could never match is wrong.
pub fn pattern(text: &str, list: List) -> Result<Pattern, PatternError> {
    if text.contains(['/', '@']) {
        return Err(PatternError::Url);
    }
    let (name, port) = split_port(text.as_bytes()).map_err(PatternError::Host)?;
    let host = match (name, list) {
        (b"*", List::Deny) => HostPattern::Any,
        (b"*", List::Allow) => return Err(PatternError::Everything),
        _ => match name.strip_prefix(b"*.") {
            None => HostPattern::Exact(host(name).map_err(PatternError::Host)?),
            Some(below) => match host(below) {
                _ if below.contains(&b'*') => return Err(PatternError::Broad),
                Ok(Host::Name(name)) if name.0.contains('.') || name.0 == "localhost" => {
                    HostPattern::Below(name)
                }
                Ok(Host::Name(_) | Host::Address(_)) => return Err(PatternError::Broad),
                Err(error) => return Err(PatternError::Host(error)),
            },
        },
    };
    Ok(Pattern { host, port })
}

impl Pattern {
    /// Whether this pattern speaks of `target`. Names are compared label by label;
    /// `*.name` never matches an address.
    pub fn matches(&self, target: &Target) -> bool {
        self.host.matches(&target.host) && self.port.is_none_or(|port| port == target.port)
    }
}

impl HostPattern {
    /// Whether this pattern speaks of `host`.
    pub fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Exact(mine), theirs) => mine == theirs,
            (Self::Below(above), Host::Name(name)) => name
                .0
                .strip_suffix(above.as_str())
                .is_some_and(|rest| rest.ends_with('.')),
            (Self::Below(_), Host::Address(_)) => false,
        }
    }
}

/// An address, or a block of addresses in CIDR notation (RFC 4632).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    first: u128,
    mask: u128,
    v4: bool,
}

/// Why a text is no address range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeError {
    /// Not an address.
    Address,
    /// A prefix length that is not a number in range.
    Length,
    /// Bits set behind the prefix.
    HostBits,
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "must be an IP address or CIDR block",
            Self::Length => "the prefix length is 0 to 32 for IPv4, 0 to 128 for IPv6",
            Self::HostBits => {
                "the address has bits set behind the prefix: write the first of the block"
            }
        })
    }
}

fn bits(ip: IpAddr) -> (u128, bool) {
    match ip.to_canonical() {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), true),
        IpAddr::V6(v6) => (v6.to_bits(), false),
    }
}

/// Reads `10.0.0.0/8`, `fd00::/8`, `192.0.2.1`.
///
/// # Errors
/// What is wrong with it.
pub fn address_range(text: &str) -> Result<AddressRange, RangeError> {
    let (ip, length) = match text.split_once('/') {
        Some((ip, length)) => (ip, Some(length)),
        None => (text, None),
    };
    let ip = IpAddr::from_str(ip).map_err(|_| RangeError::Address)?;
    let (first, v4) = bits(ip);
    // A mapped address is canonical IPv4; its prefix would count other bits.
    if v4 && ip.is_ipv6() && length.is_some() {
        return Err(RangeError::Address);
    }
    let width = if v4 { 32 } else { 128u32 };
    let all = u128::MAX
        .checked_shr(128u32.saturating_sub(width))
        .unwrap_or(0);
    let length = match length {
        None => width,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits
            .parse::<u32>()
            .ok()
            .filter(|n| *n <= width)
            .ok_or(RangeError::Length)?,
        Some(_) => return Err(RangeError::Length),
    };
    let free = width.saturating_sub(length);
    let mask = u128::MAX.checked_shl(free).unwrap_or(0) & all;
    if first & !mask != 0 {
        return Err(RangeError::HostBits);
    }
    Ok(AddressRange { first, mask, v4 })
}

impl AddressRange {
    /// Whether all of `other` lies in it.
    pub fn covers(&self, other: &Self) -> bool {
        let wider = self.mask & other.mask == self.mask;
        self.v4 == other.v4 && wider && other.first & self.mask == self.first
    }

    /// Whether `ip` lies in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let (bits, v4) = bits(ip);
        v4 == self.v4 && bits & self.mask == self.first
    }
}
