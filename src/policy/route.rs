//! By which way an allowed destination is reached. A way that fails is not replaced by
//! another: each was chosen for a reason.

use crate::parse::host::{Host, Pattern, Target};
use crate::parse::proxy_url::{Exception, ProxyUrl, exception, proxy_url};
use crate::parse::settings::{Mitm, NetworkSettings, Parent};

/// What the connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// A tunnel.
    Tunnel,
    /// One plain HTTP request.
    Request,
}

/// A way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// To the destination itself.
    Direct,
    /// Through another HTTP proxy.
    Proxy(ProxyUrl),
    /// Through an HTTP proxy at this Unix socket.
    Socket(String),
}

/// The ways there are.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    mitm: Option<Mitm>,
    parent: Parent,
}

/// What the environment of `srt` says of a parent proxy: variable and value.
pub type ProxyVariables = Vec<(String, String)>;

impl Routes {
    /// The ways of `settings`, and of the environment for each part of a parent that these
    /// do not name.
    ///
    /// # Errors
    /// A variable that names a proxy that is not served, one line each.
    pub fn new(
        settings: &NetworkSettings,
        environment: &ProxyVariables,
    ) -> Result<Self, Vec<String>> {
        let mut parent = settings.parent.clone();
        let mut problems = Vec::new();
        for (name, value) in environment.iter().filter(|(_, v)| !v.trim().is_empty()) {
            let read = match name.to_ascii_lowercase().as_str() {
                // Whoever reaches nothing needs no way.
                _ if settings.allowed.is_empty() => Ok(()),
                "http_proxy" if settings.parent.http.is_none() => {
                    proxy_url(value).map(|url| parent.http = Some(url))
                }
                "https_proxy" if settings.parent.https.is_none() => {
                    proxy_url(value).map(|url| parent.https = Some(url))
                }
                "no_proxy" if settings.parent.exceptions.is_none() => {
                    // What others take there and we do not know makes no exception.
                    let known = value.split(',').filter_map(|word| exception(word).ok());
                    parent.exceptions = Some(known.collect());
                    Ok(())
                }
                _ => Ok(()),
            };
            if let Err(error) = read {
                problems.push(format!(
                    "the environment's {name}: {error}; or set network.parentProxy"
                ));
            }
        }
        if problems.is_empty() {
            let mitm = settings.mitm.clone();
            Ok(Self { mitm, parent })
        } else {
            Err(problems)
        }
    }

    /// The way to `target`.
    pub fn to(&self, target: &Target, what: Use) -> Route {
        let is = |pattern: &Pattern| pattern.matches(target);
        if let Some(mitm) = self.mitm.as_ref().filter(|m| m.domains.iter().any(is)) {
            return Route::Socket(mitm.socket.clone());
        }
        let proxy = match what {
            // One proxy for all is the usual case, and another way than it none.
            Use::Tunnel => self.parent.https.as_ref().or(self.parent.http.as_ref()),
            Use::Request => self.parent.http.as_ref(),
        };
        let excepted = |e: &Exception| e.matches(target);
        let mut exceptions = self.parent.exceptions.iter().flatten();
        match proxy {
            Some(proxy) if !is_local(&target.host) && !exceptions.any(excepted) => {
                Route::Proxy(proxy.clone())
            }
            Some(_) | None => Route::Direct,
        }
    }
}

/// What is this host to everybody is not another proxy's to reach.
fn is_local(host: &Host) -> bool {
    match host {
        Host::Name(name) => name.as_str() == "localhost" || name.as_str().ends_with(".localhost"),
        Host::Address(ip) => ip.is_loopback(),
    }
}
