//! Ports that go through the sandbox's wall as they are.

use crate::limits::FORWARDED_PORTS;
use crate::parse::settings::NetworkSettings;

/// Port of the HTTP listener on the sandbox's 127.0.0.1.
pub const HTTP_PORT: u16 = 3128;
/// Port of the SOCKS listener on the sandbox's 127.0.0.1.
pub const SOCKS_PORT: u16 = 1080;

/// The ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// An external proxy on the host's loopback that takes what comes to the HTTP port.
    pub external_http: Option<u16>,
    /// The same for the SOCKS port.
    pub external_socks: Option<u16>,
    /// Of the host's loopback, reachable inside.
    pub host: Vec<u16>,
    /// Of the sandbox's loopback, reachable on the host's.
    pub published: Vec<u16>,
}

impl Ports {
    /// The ports of `settings`; what they mean is added to `notes`.
    ///
    /// # Errors
    /// Ports that cannot be had, one line each.
    pub fn new(settings: &NetworkSettings, notes: &mut Vec<String>) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut list = |key: &str, ports: &[u16]| {
            let mut ports = ports.to_vec();
            ports.sort_unstable();
            ports.dedup();
            if ports.len() > FORWARDED_PORTS {
                problems.push(format!(
                    "network.{key}: has more than {FORWARDED_PORTS} ports"
                ));
            }
            for own in [HTTP_PORT, SOCKS_PORT] {
                if key == "allowHostPorts" && ports.contains(&own) {
                    problems.push(format!(
                        "network.{key}: port {own} inside is the proxy's own; the host's service has \
                         to listen on another"
                    ));
                }
            }
            ports
        };
        let host = list("allowHostPorts", &settings.host_ports);
        let published = list("publishPorts", &settings.published_ports);
        let external = [
            ("httpProxyPort", HTTP_PORT, settings.external_http),
            ("socksProxyPort", SOCKS_PORT, settings.external_socks),
        ];
        for (key, port, other) in external {
            if let Some(other) = other {
                notes.push(format!(
                    "network.{key}: what comes to port {port} goes to 127.0.0.1:{other} of the host as \
                     it is, and srt filters none of it"
                ));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            external_http: settings.external_http,
            external_socks: settings.external_socks,
            host,
            published,
        })
    }
}
