//! What the sandbox promises, by which layers, and what a policy or a host takes from
//! it.

use super::facts::Host;
use crate::parse::settings::{Guarantee, Processes, Settings, UnixSockets, UserNamespaces};

/// The first Landlock ABI that does not forbid every rename between directories.
pub const LANDLOCK_FILES: u32 = 2;
/// The first that keeps signals inside.
pub const LANDLOCK_SCOPES: u32 = 6;

/// A guarantee on a host, under a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Which.
    pub guarantee: Guarantee,
    /// What gives it, in the order in which an attack meets it.
    pub layers: Vec<&'static str>,
    /// What takes it away: a setting.
    pub lost: Option<&'static str>,
    /// What it has less than it could have, and why.
    pub less: Vec<&'static str>,
}

/// Whether Landlock holds the file rules. It forbids every mount to whom it holds, so a
/// command that may make namespaces of its own goes without.
pub fn landlock_holds_files(settings: &Settings, host: &Host) -> bool {
    host.landlock >= LANDLOCK_FILES && settings.user_namespaces == UserNamespaces::Refused
}

/// Every guarantee, as it stands.
pub fn given(settings: &Settings, host: &Host) -> Vec<Given> {
    let one = |guarantee| given_one(guarantee, settings, host);
    Guarantee::ALL.map(one).into()
}

fn given_one(guarantee: Guarantee, settings: &Settings, host: &Host) -> Given {
    let nested = settings.user_namespaces == UserNamespaces::Allowed;
    let (mut layers, mut lost, mut less) = (Vec::new(), None, Vec::new());
    const NESTED: &str = "allowNestedUserNamespaces: seccomp lets the command mount in namespaces of its own, where \
         the kernel alone keeps the sandbox's mounts in place; more of the kernel can be attacked";
    match guarantee {
        Guarantee::FsWrite => {
            layers.push("mount namespace");
            if landlock_holds_files(settings, host) {
                layers.push("Landlock");
            } else if nested {
                less.push(
                    "allowNestedUserNamespaces: Landlock would forbid every mount, and is left out",
                );
            } else {
                less.push("Landlock (ABI 2, Linux 5.19) is not there: one layer less. Where the kernel is newer, it is left out of \
                     its lsm= list");
            }
        }
        Guarantee::FsRead => layers.push("mount namespace"),
        Guarantee::Net => {
            layers.extend(["network namespace", "proxy"]);
            let network = &settings.network;
            if network.external_http.or(network.external_socks).is_some() {
                lost = Some(
                    "network.httpProxyPort, socksProxyPort: another program decides what is reached",
                );
            }
        }
        Guarantee::Unix => {
            layers.push("network namespace (abstract sockets)");
            if settings.network.unix_sockets == UnixSockets::All {
                lost = Some(
                    "network.allowAllUnixSockets: every socket that can be seen can be connected to",
                );
            }
            if settings.network.unix_sockets == UnixSockets::Listed {
                layers.push("srt, which makes each connection itself");
                less.push(
                    "network.allowUnixSockets: what it lists can be connected to, and what those sockets hand out \
                     can be used",
                );
            }
            if host.landlock >= LANDLOCK_SCOPES {
                layers.push("Landlock (abstract sockets)");
            }
        }
        Guarantee::Proc => {
            layers.extend([
                "pid namespace",
                "IPC namespace",
                "no capabilities",
                "no_new_privs",
            ]);
            if host.landlock >= LANDLOCK_SCOPES {
                layers.push("Landlock (signals)");
            } else {
                less.push(
                    "Landlock (ABI 6, Linux 6.12) is not there: kill(0), which would reach the caller's process \
                     group, is refused instead",
                );
            }
            if settings.processes == Processes::Hosts {
                lost = Some("enableWeakerNestedSandbox: the host's processes can be seen in /proc");
            }
        }
    }
    if nested {
        less.push(NESTED);
    }
    layers.push("seccomp");
    Given {
        guarantee,
        layers,
        lost,
        less,
    }
}

/// What `require` names and this policy does not give here, one line each.
pub fn missing(settings: &Settings, host: &Host) -> Vec<String> {
    let all = given(settings, host);
    let required = all
        .iter()
        .filter(|g| settings.require.contains(&g.guarantee));
    let lost = required.filter_map(|g| Some((g.guarantee, g.lost?)));
    lost.map(|(guarantee, why)| format!("require: {guarantee} is not given: {why}"))
        .collect()
}
