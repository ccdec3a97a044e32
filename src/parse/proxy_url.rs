//! The URL of another proxy, and the list of hosts that do not go through it.

use std::fmt;

use super::host::{AddressRange, Host, Target, address_range, authority_or, host};

/// Another HTTP proxy: where it is, and what it is told of who we are.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl {
    /// Where it listens.
    pub target: Target,
    /// The value of Proxy-Authorization (RFC 7617), if the URL has a user.
    pub authorization: Option<String>,
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ProxyUrl {
    /// Without its password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.target)
    }
}

/// Reads `http://[user[:password]@]host[:port][/]`; the scheme may be missing.
///
/// # Errors
/// What is wrong with it.
pub fn proxy_url(text: &str) -> Result<ProxyUrl, &'static str> {
    let rest = match text.split_once("://") {
        None => text,
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
            return Err(
                "a proxy that is spoken to over TLS is not served: srt does not speak TLS; \
                        name one by http://",
            );
        }
        Some(_) => return Err("only http:// proxies are served"),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        return Err("a proxy's URL has no path");
    }
    let (user, place) = match rest.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, rest),
    };
    let target = authority_or(place.as_bytes(), 80)
        .map_err(|_| "must be http://host:port, with user:password@ if it wants that")?;
    let authorization = match user {
        None => None,
        Some(user) => {
            let plain = percent_decoded(user).ok_or("a % stands before two hexadecimal digits")?;
            let plain = if plain.contains(&b':') {
                plain
            } else {
                [plain.as_slice(), b":"].concat()
            };
            Some(format!("Basic {}", base64(&plain)))
        }
    };
    Ok(ProxyUrl {
        target,
        authorization,
    })
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        out.push(u8::try_from(high.checked_mul(16)?.checked_add(low)?).ok()?);
    }
    Some(out)
}

/// RFC 4648, 4.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (at, shift) in [18u32, 12, 6, 0].into_iter().enumerate() {
            let index = usize::try_from(word >> shift & 63).unwrap_or(0);
            let letter = ALPHABET.get(index).copied().map_or('=', char::from);
            out.push(if at > chunk.len() { '=' } else { letter });
        }
    }
    out
}

/// A host, or hosts, that do not go through the other proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exception {
    /// Every host.
    Everything,
    /// A name and all below it, on this port or every one.
    Name(Host, Option<u16>),
    /// Addresses.
    Range(AddressRange),
}

impl Exception {
    /// Whether it speaks of `target`.
    pub fn matches(&self, target: &Target) -> bool {
        match (self, &target.host) {
            (Self::Everything, _) => true,
            (Self::Range(range), Host::Address(ip)) => range.contains(*ip),
            (Self::Range(_), Host::Name(_)) => false,
            (Self::Name(host, port), theirs) => {
                let below = match (host, theirs) {
                    (Host::Name(above), Host::Name(name)) => name
                        .as_str()
                        .strip_suffix(above.as_str())
                        .is_some_and(|rest| rest.ends_with('.')),
                    _ => false,
                };
                (below || host == theirs) && port.is_none_or(|port| port == target.port)
            }
        }
    }
}

/// Reads one element of a NO_PROXY list: `*`, `example.com`, `.example.com`,
/// `*.example.com`, each but the first with or without `:port`; an address; a CIDR block.
///
/// # Errors
/// It is none of these.
pub fn exception(text: &str) -> Result<Exception, &'static str> {
    let text = text.trim();
    if text == "*" {
        return Ok(Exception::Everything);
    }
    if let Ok(range) = address_range(text) {
        return Ok(Exception::Range(range));
    }
    let name = text.strip_prefix('*').unwrap_or(text);
    let name = name.strip_prefix('.').unwrap_or(name);
    let (name, port) = match authority_or(name.as_bytes(), 0) {
        Ok(Target { host, port: 0 }) => (host, None),
        Ok(Target { host, port }) => (host, Some(port)),
        Err(_) => match host(name.as_bytes()) {
            Ok(host) => (host, None),
            Err(_) => return Err("must be a host, .host, an address, a CIDR block, or *"),
        },
    };
    Ok(Exception::Name(name, port))
}
