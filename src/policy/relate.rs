//! What host patterns say of one another. Host patterns lie in one another or apart:
//! what two of them share is a pattern.

use crate::parse::host::{Host, HostPattern, Pattern};

/// Whether `above` matches every target that `pattern` does.
pub fn covers(above: &Pattern, pattern: &Pattern) -> bool {
    let port = above.port.is_none() || above.port == pattern.port;
    port && covers_host(&above.host, &pattern.host)
}

/// The targets that both match; `None` if there are none.
pub fn shared(one: &Pattern, other: &Pattern) -> Option<Pattern> {
    let host = if covers_host(&one.host, &other.host) {
        &other.host
    } else if covers_host(&other.host, &one.host) {
        &one.host
    } else {
        return None;
    };
    Some(Pattern {
        host: host.clone(),
        port: shared_port(one, other)?,
    })
}

/// The port of targets that both could match, as [`Pattern::port`]; `None` if there is
/// none.
pub fn shared_port(one: &Pattern, other: &Pattern) -> Option<Option<u16>> {
    match (one.port, other.port) {
        (Some(a), Some(b)) if a != b => None,
        (a, b) => Some(a.or(b)),
    }
}

fn covers_host(above: &HostPattern, host: &HostPattern) -> bool {
    match (above, host) {
        (HostPattern::Any, _) => true,
        (HostPattern::Exact(one), HostPattern::Exact(other)) => one == other,
        (HostPattern::Below(above), HostPattern::Exact(Host::Name(name))) => {
            lies_below(name.as_str(), above.as_str())
        }
        (HostPattern::Below(above), HostPattern::Below(name)) => {
            above == name || lies_below(name.as_str(), above.as_str())
        }
        (HostPattern::Exact(_), HostPattern::Any | HostPattern::Below(_))
        | (HostPattern::Below(_), HostPattern::Any | HostPattern::Exact(Host::Address(_))) => false,
    }
}

fn lies_below(name: &str, above: &str) -> bool {
    name.strip_suffix(above)
        .is_some_and(|rest| rest.ends_with('.'))
}
