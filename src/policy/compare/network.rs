//! The network section.

use super::Found;
use crate::parse::host::{Host, HostPattern, Pattern};
use crate::parse::settings::{AllowList, Mitm, NetworkSettings, Parent, ServerNames, UnixSockets};
use crate::policy::addresses::spellings;
use crate::policy::relate::{covers, shared, shared_port};
use crate::policy::spot::Spot;

pub(super) fn compare(
    old: &NetworkSettings,
    new: &NetworkSettings,
    home: Option<&[u8]>,
    found: &mut Found,
) {
    let NetworkSettings {
        allowed,
        denied,
        deny_reasons: _,
        denied_addresses,
        unix_sockets,
        listed_sockets,
        server_names,
        external_http,
        external_socks,
        mitm,
        parent,
        host_ports,
        published_ports,
        allow_list,
        // The same decisions, for more programs.
        capture: _,
        capture_ports: _,
    } = new;
    // What NEW denies anyway it does not allow.
    let reached = |(_, pattern): &(usize, &Pattern)| !is_denied(denied, pattern);
    let reached: Vec<(usize, &Pattern)> = allowed.iter().enumerate().filter(reached).collect();
    for (index, pattern) in &reached {
        if !old.allowed.iter().any(|other| covers(other, pattern)) {
            let key = format!("network.allowedDomains[{index}]");
            found.gained(&key, &format!("OLD allows not all of \"{pattern}\""));
        }
    }
    for (index, denial) in old.denied.iter().enumerate() {
        let missed = |(_, pattern): &&(usize, &Pattern)| {
            touched(denial, pattern).is_some_and(|both| !is_denied(denied, &both))
        };
        if let Some((_, pattern)) = reached.iter().find(missed) {
            let key = format!("network.deniedDomains[{index}]");
            let text = format!("NEW denies not all of \"{denial}\", and allows \"{pattern}\"");
            found.lost(&key, &text);
        }
    }
    let external = [
        ("httpProxyPort", old.external_http, *external_http),
        ("socksProxyPort", old.external_socks, *external_socks),
    ];
    for (key, before, now) in external {
        let key = format!("network.{key}");
        match (before, now) {
            (before, now) if before == now => {}
            (_, Some(_)) => found.gained(&key, "OLD does not leave the filtering to this program"),
            (_, None) if reached.is_empty() => {}
            (_, None) => found.lost(&key, "NEW lets hosts past the program that filters there"),
        }
    }
    if *unix_sockets == UnixSockets::All && old.unix_sockets != UnixSockets::All {
        found.gained("network.allowAllUnixSockets", "is true, and is not in OLD");
    }
    let before = Spot::all(&old.listed_sockets, home);
    for socket in Spot::all(listed_sockets, home) {
        let all = old.unix_sockets == UnixSockets::All;
        if !all && !before.iter().any(|other| other.covers(&socket)) {
            found.gained(socket.key, "OLD does not list all of it");
        }
    }
    for (key, before, now) in [
        ("allowHostPorts", &old.host_ports, host_ports),
        ("publishPorts", &old.published_ports, published_ports),
    ] {
        for (index, port) in now.iter().enumerate() {
            if !before.contains(port) {
                let key = format!("network.{key}[{index}]");
                found.gained(&key, &format!("OLD has no port {port}"));
            }
        }
    }
    if old.allow_list == AllowList::Strict && *allow_list != old.allow_list {
        let text = "in NEW, --learn lets hosts through";
        found.lost("network.strictAllowlist", text);
    }
    // The rest says how hosts are reached: nothing, where none is.
    if reached.is_empty() {
        return;
    }
    for (index, range) in old.denied_addresses.iter().enumerate() {
        if !denied_addresses.iter().any(|other| other.covers(range)) {
            let key = format!("network.deniedResolvedAddresses[{index}]");
            found.lost(&key, "NEW denies not all of these addresses");
        }
    }
    if strictness(*server_names) < strictness(old.server_names) {
        let key = "network.requireServerName";
        match server_names {
            ServerNames::Never => found.gained(key, "is false, and is not in OLD"),
            ServerNames::Https | ServerNames::Always => {
                found.lost(key, "NEW looks at tunnels to port 443 only");
            }
        }
    }
    if !same_mitm(old.mitm.as_ref(), mitm.as_ref()) {
        match mitm {
            Some(_) => found.gained("network.mitmProxy", "OLD sends other hosts there, or none"),
            None => found.lost("network.mitmProxy", "NEW sends its hosts past that program"),
        }
    }
    if !same_parent(&old.parent, parent) {
        found.gained("network.parentProxy", "is another than in OLD");
    }
}

fn is_denied(denied: &[Pattern], pattern: &Pattern) -> bool {
    denied.iter().any(|denial| covers(denial, pattern))
}

/// What `denial` takes from `pattern`, as a pattern; `None` if that is nothing. That of
/// an address takes it from every name as well, and in every spelling: any of them may
/// lead there.
fn touched(denial: &Pattern, pattern: &Pattern) -> Option<Pattern> {
    let HostPattern::Exact(Host::Address(ip)) = &denial.host else {
        return shared(denial, pattern);
    };
    let apart = match &pattern.host {
        HostPattern::Exact(Host::Address(other)) => !spellings(*other).contains(ip),
        HostPattern::Any | HostPattern::Below(_) | HostPattern::Exact(Host::Name(_)) => false,
    };
    let port = shared_port(denial, pattern)?;
    (!apart).then(|| Pattern {
        host: denial.host.clone(),
        port,
    })
}

fn strictness(names: ServerNames) -> u8 {
    match names {
        ServerNames::Never => 0,
        ServerNames::Https => 1,
        ServerNames::Always => 2,
    }
}

fn same_mitm(old: Option<&Mitm>, new: Option<&Mitm>) -> bool {
    let (Some(old), Some(new)) = (old, new) else {
        return old.is_none() && new.is_none();
    };
    let Mitm { socket, domains } = new;
    let within = |some: &[Pattern], others: &[Pattern]| {
        some.iter().all(|one| others.iter().any(|o| covers(o, one)))
    };
    *socket == old.socket && within(domains, &old.domains) && within(&old.domains, domains)
}

fn same_parent(old: &Parent, new: &Parent) -> bool {
    let Parent {
        http,
        https,
        exceptions,
    } = new;
    (http, https, exceptions) == (&old.http, &old.https, &old.exceptions)
}
