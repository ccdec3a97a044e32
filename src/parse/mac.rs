//! What only macOS knows: switches of its profile. Accepted everywhere.

use super::json::{Node, Value};
use super::settings::Reader;

/// The switches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MacSettings {
    /// `allowPty`: pseudo-terminals.
    pub terminals: Switch,
    /// `allowMachLookup`: Mach services that may be looked up.
    pub services: Vec<Service>,
    /// `allowAppleEvents`: other programs may be told what to do, and be opened, outside
    /// the sandbox.
    pub apple_events: Switch,
    /// `enableWeakerNetworkIsolation`: the system's judge of certificates may be asked,
    /// who asks the network himself.
    pub trust_service: Switch,
    /// `network.allowLocalBinding`: listening, and connecting to the host's loopback.
    pub local_binding: Switch,
}

/// Whether something that is refused by default is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Switch {
    /// It is refused.
    #[default]
    Off,
    /// It is allowed.
    On,
}

/// Mach services, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// The one of this name.
    Named(String),
    /// All whose names begin so.
    Beginning(String),
}

impl Service {
    /// Whether it stands for every service that `other` stands for.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Named(name), Self::Named(other)) => name == other,
            (Self::Named(_), Self::Beginning(_)) => false,
            (Self::Beginning(start), Self::Named(other) | Self::Beginning(other)) => {
                other.starts_with(start)
            }
        }
    }
}

/// Reads a name; a `*` at its end stands for whatever follows.
fn service(text: &str) -> Result<Service, &'static str> {
    let (name, all) = match text.strip_suffix('*') {
        Some(start) => (start, true),
        None => (text, false),
    };
    if name.is_empty() {
        return Err("must name a service, and not all of them");
    }
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '*' | '"' | '\\');
    if !name.chars().all(plain) {
        return Err("must be the name of a service, with a * at its end at most");
    }
    let name = name.to_owned();
    Ok(if all {
        Service::Beginning(name)
    } else {
        Service::Named(name)
    })
}

impl Reader {
    /// Gives a value of the right shape its meaning.
    pub(super) fn apply_mac(&mut self, path: &str, node: &Node) {
        match (path, &node.value) {
            ("allowPty", Value::Bool(true)) => self.settings.mac.terminals = Switch::On,
            ("allowAppleEvents", Value::Bool(true)) => {
                self.settings.mac.apple_events = Switch::On;
            }
            ("enableWeakerNetworkIsolation", Value::Bool(true)) => {
                self.settings.mac.trust_service = Switch::On;
            }
            ("network.allowLocalBinding", Value::Bool(true)) => {
                self.settings.mac.local_binding = Switch::On;
            }
            ("allowMachLookup" | "network.allowMachLookup", Value::List(items)) => {
                for (index, item) in items.iter().enumerate() {
                    let Value::Text(text) = &item.value else {
                        continue;
                    };
                    match service(text) {
                        Ok(service) => self.settings.mac.services.push(service),
                        Err(why) => self.problem(item.at, &format!("{path}[{index}]"), why),
                    }
                }
            }
            // `false` where that is the default.
            _ => {}
        }
    }
}
