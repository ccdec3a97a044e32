//! Capture: whether programs that know no proxy are served, and on which ports.

use std::collections::BTreeSet;

use crate::limits::CAPTURED_PORTS;
use crate::parse::settings::{CaptureWish, NetworkSettings};

/// Port of the policy's own DNS, which is no port to be captured.
pub const DNS_PORT: u16 = 53;

/// Ports that a rule without one opens to capture: ssh, HTTP, HTTPS, and the two that
/// stand in for these. (A rule without a port allows every port; the kernel is told of
/// each that is listened on.)
pub const USUAL: [u16; 5] = [22, 80, 443, 8080, 8443];

/// What is to be set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// How much it is needed.
    pub need: Need,
    /// The ports to listen on, in order, each once.
    pub ports: Vec<u16>,
}

/// How much capture is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Not at all: the settings say so, or this.
    None(&'static str),
    /// Only to hear of what is tried, for nothing is allowed.
    Hearing,
    /// Where this host lets it be set up.
    Wanted,
    /// The command does not start without it.
    Required,
}

impl Capture {
    /// What `settings` ask for; what they mean is added to `notes`.
    ///
    /// # Errors
    /// What cannot be had, one line each.
    pub fn new(settings: &NetworkSettings, notes: &mut Vec<String>) -> Result<Self, Vec<String>> {
        let external = settings.external_http.or(settings.external_socks).is_some();
        let need = match (settings.capture, external) {
            (CaptureWish::Off, _) => Need::None("network.capture is false"),
            (CaptureWish::Required, true) => {
                return Err(vec![
                    "network.capture: with httpProxyPort or socksProxyPort another program decides what is \
                     reached, and capture would go past it"
                        .into(),
                ]);
            }
            (CaptureWish::Possible, true) => Need::None(
                "network.httpProxyPort, socksProxyPort: capture would go past that program",
            ),
            (CaptureWish::Required, false) => Need::Required,
            (CaptureWish::Possible, false) if settings.allowed.is_empty() => Need::Hearing,
            (CaptureWish::Possible, false) => Need::Wanted,
        };
        if settings.capture_ports.len() > CAPTURED_PORTS {
            return Err(vec![format!(
                "network.capturePorts: has more than {CAPTURED_PORTS} ports"
            )]);
        }
        let bare = settings.allowed.iter().any(|p| p.port.is_none());
        let usual = USUAL.into_iter().filter(|_| bare);
        let named = settings.allowed.iter().filter_map(|p| p.port);
        // What is meant the most comes first.
        let wanted = settings.capture_ports.iter().copied();
        let wanted = wanted.chain(usual).chain(named);
        let mut seen = BTreeSet::new();
        let mut ports: Vec<u16> = wanted.filter(|port| seen.insert(*port)).collect();
        if seen.contains(&DNS_PORT) {
            notes.push("network.capture: port 53 is the policy's own DNS".into());
            ports.retain(|port| *port != DNS_PORT);
        }
        if ports.len() > CAPTURED_PORTS {
            notes.push(format!(
                "network.capture: {CAPTURED_PORTS} ports are listened on, and no others that the rules name"
            ));
            ports.truncate(CAPTURED_PORTS);
        }
        ports.sort_unstable();
        Ok(Self { need, ports })
    }

    /// The same for a run that is to hear of what is tried, allowed or not.
    pub fn hear(&mut self) {
        if self.need == Need::Hearing {
            self.need = Need::Wanted;
        }
        for port in USUAL {
            if let (Err(at), true) = (
                self.ports.binary_search(&port),
                self.ports.len() < CAPTURED_PORTS,
            ) {
                self.ports.insert(at, port);
            }
        }
    }

    /// What is to be set up, as `--dry-run` prints it.
    pub fn listing(&self) -> String {
        match self.need {
            Need::None(why) => format!("none: {why}\n"),
            Need::Hearing => "none: nothing is allowed\n".into(),
            Need::Wanted | Need::Required => {
                let ports: Vec<String> = self.ports.iter().map(u16::to_string).collect();
                format!(
                    "DNS on port {DNS_PORT}; connections to ports {}\n",
                    ports.join(" ")
                )
            }
        }
    }

    /// How many descriptors its sockets take.
    pub fn descriptors(&self) -> u64 {
        let ports = u64::try_from(self.ports.len()).unwrap_or(u64::MAX);
        match self.need {
            Need::None(_) | Need::Hearing => 0,
            // And those on which DNS questions come.
            Need::Wanted | Need::Required => ports.saturating_add(4),
        }
    }

    /// Whether it is to be set up at all.
    pub fn is_wanted(&self) -> bool {
        matches!(self.need, Need::Wanted | Need::Required)
    }
}
