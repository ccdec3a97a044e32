//! New rules for a command that runs.

use std::net::IpAddr;

use super::Facts;
use super::network::Network;
use super::route::{ProxyVariables, Routes};
use crate::parse::host::Name;
use crate::parse::settings::NetworkSettings;

/// What new rules rest on besides the settings: as it was when the command started.
#[derive(Clone, Debug, Default)]
pub struct Live {
    own_addresses: Vec<IpAddr>,
    hosts: Vec<(IpAddr, Name)>,
    proxies: ProxyVariables,
    /// The socket of `mitmProxy` that has been looked at.
    mitm: Option<String>,
}

impl Live {
    /// For rules that come after these settings.
    pub fn new(settings: &NetworkSettings, facts: &Facts) -> Self {
        Self {
            own_addresses: facts.own_addresses.clone(),
            hosts: facts.hosts.clone(),
            proxies: facts.proxies.clone(),
            mitm: settings.mitm.as_ref().map(|mitm| mitm.socket.clone()),
        }
    }

    /// The rules of `settings`, for what begins from now on.
    ///
    /// # Errors
    /// What cannot be had by rules alone, one line each.
    pub fn network(&self, settings: &NetworkSettings) -> Result<Network, Vec<String>> {
        if let Some(mitm) = &settings.mitm {
            if Some(&mitm.socket) != self.mitm.as_ref() {
                return Err(vec![
                    "network.mitmProxy.socketPath: must be the one that the command was started with: whether it \
                     can be replaced is looked at then"
                        .into(),
                ]);
            }
        }
        let routes = Routes::new(settings, &self.proxies)?;
        Ok(Network::new(settings, &self.own_addresses, routes).with_hosts(&self.hosts))
    }
}
