//! The network, and Unix sockets.

use super::Mac;
use super::text::Action::{Allow, Deny};
use super::text::{Filter, Profile};
use crate::parse::settings::{Switch, UnixSockets};
use crate::policy::Policy;

/// Ports of name servers (RFC 1035, RFC 7858): nothing is asked but by the proxy.
const NAME_SERVERS: [u16; 2] = [53, 853];

fn address(which: &str, address: &str) -> Vec<Filter> {
    vec![Filter::Plain(format!("({which} ip \"{address}\")"))]
}

/// What is reached by IP: the proxy, on the host's loopback, and what the settings open
/// there.
pub fn network(profile: &mut Profile, policy: &Policy, mac: &Mac) {
    let ports = &policy.ports;
    let external = [ports.external_http, ports.external_socks];
    let mut proxies: Vec<u16> = mac
        .proxies
        .iter()
        .copied()
        .chain(external.into_iter().flatten())
        .collect();
    proxies.sort_unstable();
    proxies.dedup();
    profile.group(
        "network",
        "the proxy on the host's loopback is the only way out",
    );
    for port in &proxies {
        profile.rule(
            Allow,
            "network-bind",
            &address("local", &format!("localhost:{port}")),
        );
        profile.rule(
            Allow,
            "network-inbound",
            &address("local", &format!("localhost:{port}")),
        );
        profile.rule(
            Allow,
            "network-outbound",
            &address("remote", &format!("localhost:{port}")),
        );
    }
    if policy.mac.local_binding == Switch::On {
        profile.group(
            "local binding",
            "network.allowLocalBinding; a socket of both IP versions is not bound to \"localhost\", and a filter on \
             the local address of a connection would admit all of them",
        );
        profile.rule(Allow, "network-bind", &address("local", "*:*"));
        profile.rule(Allow, "network-inbound", &address("local", "*:*"));
        profile.rule(Allow, "network-outbound", &address("remote", "localhost:*"));
        profile.group(
            "name servers",
            "on the loopback they would carry anything anywhere",
        );
        for port in NAME_SERVERS {
            profile.rule(
                Deny,
                "network-outbound",
                &address("remote", &format!("*:{port}")),
            );
        }
    }
    profile.group("ports", "network.allowHostPorts, and network.publishPorts");
    for port in &ports.host {
        profile.rule(
            Allow,
            "network-outbound",
            &address("remote", &format!("localhost:{port}")),
        );
    }
    for port in &ports.published {
        profile.rule(
            Allow,
            "network-bind",
            &address("local", &format!("localhost:{port}")),
        );
        profile.rule(
            Allow,
            "network-inbound",
            &address("local", &format!("localhost:{port}")),
        );
    }
}

/// Unix sockets.
pub fn sockets(profile: &mut Profile, policy: &Policy, mac: &Mac) {
    let filters = match policy.unix_sockets {
        UnixSockets::None => return,
        UnixSockets::Listed => {
            let mut all = Vec::new();
            for socket in &policy.sockets {
                for path in mac.spellings(&socket.path) {
                    all.push(Filter::Subpath(path, socket.key.clone()));
                }
            }
            all
        }
        UnixSockets::All => vec![Filter::Plain("(regex #\"^/\")".into())],
    };
    profile.group("sockets", "network.allowUnixSockets, or all of them");
    let domain = "(socket-domain AF_UNIX)";
    profile.rule(Allow, "system-socket", &[Filter::Plain(domain.into())]);
    profile.rule(Allow, "network-bind", &within("local", &filters));
    profile.rule(Allow, "network-outbound", &within("remote", &filters));
}

fn within(which: &'static str, filters: &[Filter]) -> Vec<Filter> {
    let one = |filter: &Filter| Filter::Socket(which, Box::new(filter.clone()));
    filters.iter().map(one).collect()
}
