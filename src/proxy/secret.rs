//! What a client must know, where others than the sandboxed command reach the proxy.

use std::fmt;
use std::hint::black_box;

use crate::parse::fields::{Field, all};
use crate::parse::proxy_url::base64;

/// A name and a password: in HTTP by Basic authentication (RFC 7617), in SOCKS5 by
/// username and password (RFC 1929).
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    name: String,
    password: String,
    basic: String,
}

impl fmt::Debug for Secret {
    /// Without its password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.name)
    }
}

impl Secret {
    /// Neither may hold a colon, or anything else that a URL would have to escape.
    pub fn new(name: &str, password: &str) -> Self {
        Self {
            name: name.to_owned(),
            password: password.to_owned(),
            basic: base64(format!("{name}:{password}").as_bytes()),
        }
    }

    /// As it stands in a URL before the host, and its `@`.
    pub fn userinfo(&self) -> String {
        format!("{}:{}", self.name, self.password)
    }

    /// Whether a request's fields hold it, once.
    pub fn is_in(&self, fields: &[Field<'_>]) -> bool {
        let mut values = all(fields, b"proxy-authorization");
        let (Some(value), None) = (values.next(), values.next()) else {
            return false;
        };
        let Some((scheme, token)) = value.split_at_checked(5) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"basic")
            && token.first() == Some(&b' ')
            && same(token.trim_ascii(), self.basic.as_bytes())
    }

    /// Whether these are it.
    pub fn is(&self, name: &[u8], password: &[u8]) -> bool {
        same(name, self.name.as_bytes()) & same(password, self.password.as_bytes())
    }
}

/// Compares in a time that tells of the length alone, which is no secret.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differ = |sum: u8, (a, b): (&u8, &u8)| black_box(sum | (a ^ b));
    one.len() == other.len() && one.iter().zip(other).fold(0, differ) == 0
}
