//! Which destinations the command may reach, and which addresses a name may lead to.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

pub use super::addresses::AddressClass;
use super::addresses::{class, spellings};
use super::explain::NO_RULE;
use super::route::{Route, Routes, Use};
use crate::limits::CAPTURED_NAMES;
use crate::parse::host::{AddressRange, Host, HostPattern, Name, Pattern, Target, address};
use crate::parse::settings::{AllowList, NetworkSettings, ServerNames};

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Allowed, by this rule.
    Allow {
        /// The rule, as in the settings.
        rule: String,
    },
    /// No rule allows it, but all is let through that a rule could allow, to learn which.
    Learn(Reason),
    /// No rule speaks of it, and somebody is there to be asked.
    Ask(Reason),
    /// Refused.
    Deny(Reason),
}

/// Why a destination is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No rule allows it; with the settings' own text for it, if they have one.
    NotListed {
        /// From `network.deniedDomainReasons`.
        text: Option<String>,
    },
    /// A rule denies it.
    Listed {
        /// The rule, as in the settings.
        rule: String,
        /// From `network.deniedDomainReasons`.
        text: Option<String>,
    },
    /// The name leads to an address that names may not lead to.
    Resolved(AddressClass),
    /// TLS in the tunnel asks for another host, or for none.
    ServerName(Option<Host>),
    /// An address of capture's that stands for no name.
    Nameless,
    /// Capture has given as many names an address as it may.
    TooManyNames,
}

impl Reason {
    /// The rule alone, without the settings' own text.
    pub fn rule(&self) -> String {
        match self {
            Self::NotListed { .. } => NO_RULE.to_owned(),
            Self::Listed { rule, .. } => format!("network.deniedDomains has {rule:?}"),
            Self::Resolved(class) => format!("its name leads to {class}"),
            Self::ServerName(_) => "network.requireServerName".to_owned(),
            Self::Nameless => "no name has this address".to_owned(),
            Self::TooManyNames => "too many names".to_owned(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::NotListed { text } => {
                f.write_str("no rule of network.allowedDomains allows it")?;
                text
            }
            Self::Listed { rule, text } => {
                write!(f, "network.deniedDomains has {rule:?}")?;
                text
            }
            Self::Resolved(class) => return write!(f, "its name leads to {class}"),
            Self::ServerName(Some(name)) => {
                return write!(
                    f,
                    "TLS in the tunnel asks for {name} (network.requireServerName)"
                );
            }
            Self::Nameless => return f.write_str("no name has been given this address"),
            Self::TooManyNames => {
                return write!(
                    f,
                    "{CAPTURED_NAMES} names have been asked for in this run, the most that there may be"
                );
            }
            Self::ServerName(None) => {
                return f.write_str("TLS in the tunnel names no host (network.requireServerName)");
            }
        };
        match text {
            Some(text) => write!(f, ": {text}"),
            None => Ok(()),
        }
    }
}

/// Patterns, looked up by what they end in, so that ten thousand cost no more than ten.
#[derive(Clone, Debug, Default)]
struct Rules {
    exact: HashMap<Host, Vec<Pattern>>,
    /// By the name behind `*.`.
    below: HashMap<String, Vec<Pattern>>,
    any: Vec<Pattern>,
}

impl Rules {
    fn new<'a>(patterns: impl Iterator<Item = &'a Pattern>) -> Self {
        let mut rules = Self::default();
        for pattern in patterns {
            let place = match &pattern.host {
                HostPattern::Any => &mut rules.any,
                HostPattern::Exact(host) => rules.exact.entry(host.clone()).or_default(),
                HostPattern::Below(name) => {
                    rules.below.entry(name.as_str().to_owned()).or_default()
                }
            };
            place.push(pattern.clone());
        }
        rules
    }

    /// The first pattern that matches, the most specific kind first.
    fn find(&self, target: &Target) -> Option<&Pattern> {
        let pick = |list: &[Pattern]| list.iter().position(|p| p.matches(target));
        if let Some(list) = self.exact.get(&target.host) {
            if let Some(found) = pick(list).and_then(|at| list.get(at)) {
                return Some(found);
            }
        }
        if let Host::Name(name) = &target.host {
            let mut rest = name.as_str();
            while let Some((_, above)) = rest.split_once('.') {
                if let Some(list) = self.below.get(above) {
                    if let Some(found) = pick(list).and_then(|at| list.get(at)) {
                        return Some(found);
                    }
                }
                rest = above;
            }
        }
        self.any.iter().find(|p| p.matches(target))
    }
}

impl Rules {
    /// The patterns that speak of `host` on some port.
    fn naming<'a>(&'a self, host: &'a Host) -> impl Iterator<Item = &'a Pattern> {
        let exact = self.exact.get(host).into_iter().flatten();
        let name = match host {
            Host::Name(name) => name.as_str(),
            Host::Address(_) => "",
        };
        let above = name.match_indices('.').filter_map(|(at, _)| name.get(at..));
        let above = above.filter_map(|rest| rest.strip_prefix('.'));
        let below = above.filter_map(|above| self.below.get(above)).flatten();
        exact.chain(below).chain(&self.any)
    }
}

/// The network policy.
#[derive(Clone, Debug, Default)]
pub struct Network {
    allowed: Rules,
    denied: Rules,
    reasons: Vec<(Pattern, String)>,
    denied_addresses: Vec<AddressRange>,
    own_addresses: Vec<IpAddr>,
    server_names: ServerNames,
    routes: Routes,
    allow_list: AllowList,
    unlisted: Unlisted,
    /// Names by the address that the hosts file gives them.
    hosts: HashMap<IpAddr, Vec<Name>>,
}

/// What is done with a destination of which no rule says anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unlisted {
    /// It is refused.
    #[default]
    Refused,
    /// It is let through, and told.
    Learned,
    /// Somebody is asked.
    Asked,
}

impl Network {
    /// The policy of `settings` on a host with these addresses of its own, and these
    /// ways out.
    pub fn new(settings: &NetworkSettings, own_addresses: &[IpAddr], routes: Routes) -> Self {
        Self {
            allowed: Rules::new(settings.allowed.iter()),
            denied: Rules::new(settings.denied.iter()),
            reasons: settings.deny_reasons.clone(),
            denied_addresses: settings.denied_addresses.clone(),
            own_addresses: own_addresses.iter().map(IpAddr::to_canonical).collect(),
            server_names: settings.server_names,
            routes,
            allow_list: settings.allow_list,
            unlisted: Unlisted::Refused,
            hosts: HashMap::new(),
        }
    }

    /// The same policy where these names have an address without being asked for.
    #[must_use]
    pub fn with_hosts(mut self, hosts: &[(IpAddr, Name)]) -> Self {
        for (ip, name) in hosts {
            self.hosts.entry(*ip).or_default().push(name.clone());
        }
        self
    }

    /// The same policy, but for what no rule speaks of; of a strict allow list, the very
    /// same.
    #[must_use]
    pub fn with_unlisted(self, unlisted: Unlisted) -> Self {
        match self.allow_list {
            AllowList::Strict => self,
            AllowList::Extensible => Self { unlisted, ..self },
        }
    }

    /// What is done with what no rule speaks of.
    pub fn unlisted(&self) -> Unlisted {
        self.unlisted
    }

    /// By which way an allowed target is reached.
    pub fn route(&self, target: &Target, what: Use) -> Route {
        self.routes.to(target, what)
    }

    /// Whether a TLS ClientHello in a tunnel to `target` must name its host.
    pub fn checks_server_name(&self, target: &Target) -> bool {
        match self.server_names {
            ServerNames::Always => true,
            ServerNames::Https => target.port == 443,
            ServerNames::Never => false,
        }
    }

    /// Whether a ClientHello that names `name` may go through a tunnel to `target`. To a
    /// name, it must be that name; to an address, one that the policy allows, or none.
    ///
    /// # Errors
    /// Why not.
    pub fn permits_server_name(&self, target: &Target, name: Option<&Host>) -> Result<(), Reason> {
        match (&target.host, name) {
            (Host::Name(_), Some(name)) if *name == target.host => Ok(()),
            (Host::Address(_), None) => Ok(()),
            (Host::Address(_), Some(name)) => {
                let named = Target {
                    host: name.clone(),
                    port: target.port,
                };
                match self.decide(&named) {
                    Verdict::Allow { .. } | Verdict::Learn(_) => Ok(()),
                    Verdict::Ask(_) | Verdict::Deny(_) => {
                        Err(Reason::ServerName(Some(name.clone())))
                    }
                }
            }
            (Host::Name(_), name) => Err(Reason::ServerName(name.cloned())),
        }
    }

    /// Whether the command may reach `target`. A denial wins over every allowance;
    /// an empty allow list allows nothing.
    pub fn decide(&self, target: &Target) -> Verdict {
        let text = || self.text(|p| p.matches(target));
        if let Some(pattern) = self.denied.find(target) {
            return Verdict::Deny(Reason::Listed {
                rule: pattern.to_string(),
                text: text(),
            });
        }
        match self.allowed.find(target) {
            Some(pattern) => Verdict::Allow {
                rule: pattern.to_string(),
            },
            None => {
                let reason = Reason::NotListed { text: text() };
                match self.unlisted {
                    Unlisted::Refused => Verdict::Deny(reason),
                    Unlisted::Learned => Verdict::Learn(reason),
                    Unlisted::Asked => Verdict::Ask(reason),
                }
            }
        }
    }

    /// Whether the command may reach `target` by connecting to it: as above, and an address
    /// of which no rule speaks also under the names that the hosts file gives it. With what
    /// is then reached: one of these names, where it has a way of its own.
    pub fn decide_connected(&self, target: &Target) -> (Verdict, Target) {
        let verdict = self.decide(target);
        let (
            Host::Address(ip),
            Verdict::Learn(_) | Verdict::Ask(_) | Verdict::Deny(Reason::NotListed { .. }),
        ) = (&target.host, &verdict)
        else {
            return (verdict, target.clone());
        };
        let named = self.hosts.get(ip).into_iter().flatten();
        let mut named: Vec<(Verdict, Target)> = named
            .map(|name| Target {
                host: Host::Name(name.clone()),
                port: target.port,
            })
            .map(|named| (self.decide(&named), named))
            .collect();
        // Which of them is meant is not known: all must be allowed.
        let allows = |(verdict, _): &(Verdict, Target)| matches!(verdict, Verdict::Allow { .. });
        if !named.iter().all(allows) {
            return (verdict, target.clone());
        }
        let way = |target: &Target| self.route(target, Use::Tunnel);
        // Nothing goes past a program to which one of them goes.
        named.sort_by_key(|(_, named)| !matches!(way(named), Route::Socket(_)));
        let Some((allowed, named)) = named.into_iter().next() else {
            return (verdict, target.clone());
        };
        match (way(&named), way(target)) {
            (Route::Socket(_), _) => (allowed, named),
            (_, Route::Socket(_)) => (allowed, target.clone()),
            // Which of the names it is stays open.
            (one, other) if one == other => (allowed, target.clone()),
            (Route::Direct | Route::Proxy(_), _) => (allowed, named),
        }
    }

    /// Whether a rule could allow `name` on any port at all: whether asking for it is more
    /// than telling it to somebody.
    ///
    /// # Errors
    /// Why not.
    pub fn may_allow(&self, name: &Name) -> Result<(), Reason> {
        let host = Host::Name(name.clone());
        let with = |port| Target {
            host: host.clone(),
            port,
        };
        let denied = self.denied.naming(&host).find(|p| p.port.is_none());
        if let Some(pattern) = denied {
            return Err(Reason::Listed {
                rule: pattern.to_string(),
                text: self.text(|p| p.host.matches(&host)),
            });
        }
        let possible = |pattern: &Pattern| match pattern.port {
            Some(port) => matches!(self.decide(&with(port)), Verdict::Allow { .. }),
            None => true,
        };
        if self.unlisted != Unlisted::Refused || self.allowed.naming(&host).any(possible) {
            return Ok(());
        }
        Err(Reason::NotListed {
            text: self.text(|p| p.host.matches(&host)),
        })
    }

    /// The settings' own words for the first pattern that is `meant`.
    fn text(&self, meant: impl Fn(&Pattern) -> bool) -> Option<String> {
        let mut reasons = self.reasons.iter();
        reasons.find(|(p, _)| meant(p)).map(|(_, t)| t.clone())
    }

    /// Whether `ip`, found by looking up the host of an allowed `target`, may be
    /// dialled. An address that is itself allowed as a literal always may.
    ///
    /// # Errors
    /// The class of address it is.
    pub fn permits_address(&self, target: &Target, ip: IpAddr) -> Result<(), AddressClass> {
        let all = spellings(ip);
        let literal = |ip: &IpAddr| Target {
            host: address(*ip),
            port: target.port,
        };
        let denied = |ip: &IpAddr| {
            // `*` and `*:port` in a deny list have spoken in `decide` already.
            self.denied.find(&literal(ip)).is_some()
                || self.denied_addresses.iter().any(|r| r.contains(*ip))
        };
        if all.iter().any(denied) {
            return Err(AddressClass::Denied);
        }
        // Only the address as it is spelled: allowing 10.0.0.1 says nothing of ::10.0.0.1.
        if self.allowed.find(&literal(&ip)).is_some() {
            return Ok(());
        }
        for one in &all {
            if let Some(class) = class(*one) {
                return Err(class);
            }
            if self.own_addresses.contains(one) {
                return Err(AddressClass::OwnHost);
            }
        }
        Ok(())
    }
}
