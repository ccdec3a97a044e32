//! The network section of the settings.

use super::glob::PathPattern;
use super::host::{AddressRange, List, Pattern, address_range, pattern};
use super::json::{Node, Position, Value};
use super::proxy_url::{Exception, ProxyUrl, exception, proxy_url};
use super::settings::{PathRule, Reader};

/// Longest path of a Unix socket, without its NUL (unix(7)).
const SOCKET_PATH_BYTES: usize = 107;

/// `network`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSettings {
    /// `allowedDomains`.
    pub allowed: Vec<Pattern>,
    /// `deniedDomains`.
    pub denied: Vec<Pattern>,
    /// `deniedDomainReasons`.
    pub deny_reasons: Vec<(Pattern, String)>,
    /// `deniedResolvedAddresses`.
    pub denied_addresses: Vec<AddressRange>,
    /// `allowAllUnixSockets`, and whether `allowUnixSockets` names any.
    pub unix_sockets: UnixSockets,
    /// `allowUnixSockets`: sockets, or directories that hold them.
    pub listed_sockets: Vec<PathRule>,
    /// `requireServerName`.
    pub server_names: ServerNames,
    /// `httpProxyPort`: an external proxy that filters in our place.
    pub external_http: Option<u16>,
    /// `socksProxyPort`: the same for SOCKS.
    pub external_socks: Option<u16>,
    /// `mitmProxy`.
    pub mitm: Option<Mitm>,
    /// `parentProxy`.
    pub parent: Parent,
    /// `allowHostPorts`.
    pub host_ports: Vec<u16>,
    /// `publishPorts`.
    pub published_ports: Vec<u16>,
    /// `strictAllowlist`.
    pub allow_list: AllowList,
    /// `capture`.
    pub capture: CaptureWish,
    /// `capturePorts`.
    pub capture_ports: Vec<u16>,
}

/// Whether programs that know no proxy are to be served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CaptureWish {
    /// Where that can be set up: nothing is said.
    #[default]
    Possible,
    /// They must be.
    Required,
    /// No.
    Off,
}

/// Whether anything but `allowedDomains` may let a host through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AllowList {
    /// A caller who is there may, as `--learn` does, where no rule denies it.
    #[default]
    Extensible,
    /// Nothing else.
    Strict,
}

/// In which tunnels a TLS ClientHello must name a host that the policy allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerNames {
    /// In those to port 443.
    #[default]
    Https,
    /// In all.
    Always,
    /// In none.
    Never,
}

/// `mitmProxy`: allowed hosts that go through an HTTP proxy at a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mitm {
    /// The socket's path, absolute.
    pub socket: String,
    /// Which hosts.
    pub domains: Vec<Pattern>,
}

/// `parentProxy`: how `srt` itself gets out. Of what the settings do not say, the
/// environment of `srt` does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parent {
    /// For plain requests.
    pub http: Option<ProxyUrl>,
    /// For tunnels.
    pub https: Option<ProxyUrl>,
    /// What is reached directly.
    pub exceptions: Option<Vec<Exception>>,
}

/// Which Unix sockets the command may make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnixSockets {
    /// None (socketpair(2) apart).
    #[default]
    None,
    /// Stream sockets, which reach what is listed and nothing else.
    Listed,
    /// Any.
    All,
}

impl Reader {
    /// Gives a value of the right shape its meaning.
    pub(super) fn apply_network(&mut self, path: &str, node: &Node) {
        match (path, &node.value) {
            ("network.allowedDomains", Value::List(items)) => {
                self.settings.network.allowed = self.patterns(path, items, List::Allow);
            }
            ("network.deniedDomains", Value::List(items)) => {
                self.settings.network.denied = self.patterns(path, items, List::Deny);
            }
            ("network.deniedDomainReasons", Value::Object(members)) => {
                for (key, value) in members {
                    let path = format!("{path}.{}", key.text);
                    match (pattern(&key.text, List::Deny), &value.value) {
                        (Ok(pattern), Value::Text(text)) => {
                            self.settings
                                .network
                                .deny_reasons
                                .push((pattern, text.clone()));
                        }
                        (Ok(_), _) => self.problem(value.at, &path, "must be a string"),
                        (Err(error), _) => self.problem(key.at, &path, error.to_string()),
                    }
                }
            }
            ("network.deniedResolvedAddresses", Value::List(items)) => {
                for (at, key, text) in texts(path, items) {
                    match address_range(text) {
                        Ok(range) => self.settings.network.denied_addresses.push(range),
                        Err(error) => self.problem(at, &key, format!("{text:?}: {error}")),
                    }
                }
            }
            ("network.allowAllUnixSockets", Value::Bool(true)) => {
                self.settings.network.unix_sockets = UnixSockets::All;
            }
            ("network.allowUnixSockets", Value::List(items)) => {
                let paths = self.paths(path, items);
                for (rule, item) in paths.iter().zip(items) {
                    if matches!(rule.path, PathPattern::Glob(_)) {
                        self.problem(
                            item.at,
                            &rule.key,
                            "must be a path, and no pattern: a directory stands for what lies in it",
                        );
                    }
                }
                self.settings.network.listed_sockets = paths;
            }
            ("network.requireServerName", Value::Bool(wanted)) => {
                self.settings.network.server_names = if *wanted {
                    ServerNames::Always
                } else {
                    ServerNames::Never
                };
            }
            ("network.httpProxyPort", value) => self.settings.network.external_http = port(value),
            ("network.socksProxyPort", value) => self.settings.network.external_socks = port(value),
            ("network.allowHostPorts", Value::List(items)) => {
                self.settings.network.host_ports = ports(items);
            }
            ("network.publishPorts", Value::List(items)) => {
                self.settings.network.published_ports = ports(items);
            }
            ("network.capture", Value::Bool(wanted)) => {
                self.settings.network.capture = if *wanted {
                    CaptureWish::Required
                } else {
                    CaptureWish::Off
                };
            }
            ("network.capturePorts", Value::List(items)) => {
                self.settings.network.capture_ports = ports(items);
            }
            ("network.mitmProxy.socketPath", Value::Text(text)) => {
                if text.starts_with('/') && !text.contains('\0') && text.len() <= SOCKET_PATH_BYTES
                {
                    self.mitm().socket = text.clone();
                } else {
                    self.problem(
                        node.at,
                        path,
                        "must be an absolute path of at most 107 bytes",
                    );
                }
            }
            ("network.mitmProxy.domains", Value::List(items)) => {
                let domains = self.patterns(path, items, List::Allow);
                self.mitm().domains = domains;
            }
            ("network.parentProxy.http" | "network.parentProxy.https", Value::Text(text)) => {
                let parent = &mut self.settings.network.parent;
                match proxy_url(text) {
                    Ok(url) if path.ends_with('s') => parent.https = Some(url),
                    Ok(url) => parent.http = Some(url),
                    Err(error) => self.problem(node.at, path, error),
                }
            }
            ("network.parentProxy.noProxy", value) => {
                let mut exceptions = Vec::new();
                for (at, key, text) in words(path, node, value) {
                    match exception(text) {
                        Ok(found) => exceptions.push(found),
                        Err(error) => self.problem(at, &key, format!("{text:?}: {error}")),
                    }
                }
                self.settings.network.parent.exceptions = Some(exceptions);
            }
            ("network.strictAllowlist", Value::Bool(true)) => {
                self.settings.network.allow_list = AllowList::Strict;
            }
            // On Linux, the sandbox has a loopback of its own.
            ("network.allowLocalBinding", _) => self.apply_mac(path, node),
            // `false` where that is the default.
            _ => {}
        }
    }

    /// `mitmProxy` stands here, whatever is in it.
    pub(super) fn begin_mitm(&mut self, at: Position) {
        self.mitm_at = Some(at);
        self.mitm();
    }

    fn mitm(&mut self) -> &mut Mitm {
        self.settings.network.mitm.get_or_insert_with(|| Mitm {
            socket: String::new(),
            domains: Vec::new(),
        })
    }

    /// What only the whole section tells.
    pub(super) fn finish_network(&mut self) {
        let network = &mut self.settings.network;
        if network.unix_sockets == UnixSockets::None && !network.listed_sockets.is_empty() {
            network.unix_sockets = UnixSockets::Listed;
        }
        let half = |m: &Mitm| m.socket.is_empty() || m.domains.is_empty();
        let key = "network.mitmProxy";
        if self.settings.network.mitm.as_ref().is_some_and(half) && !self.has_problem(key) {
            let at = self.mitm_at.unwrap_or(Position { line: 1, column: 1 });
            self.problem(at, key, "needs both socketPath and domains");
        }
    }

    fn patterns(&mut self, path: &str, items: &[Node], list: List) -> Vec<Pattern> {
        let mut found = Vec::new();
        for (at, key, text) in texts(path, items) {
            match pattern(text, list) {
                Ok(pattern) => found.push(pattern),
                Err(error) => self.problem(at, &key, format!("{text:?}: {error}")),
            }
        }
        found
    }
}

fn port(value: &Value) -> Option<u16> {
    match value {
        Value::Integer(port) => u16::try_from(*port).ok(),
        _ => None,
    }
}

fn ports(items: &[Node]) -> Vec<u16> {
    items.iter().filter_map(|item| port(&item.value)).collect()
}

/// The elements of a list of strings, or of one string with commas.
fn words<'a>(path: &str, node: &Node, value: &'a Value) -> Vec<(Position, String, &'a str)> {
    match value {
        Value::Text(text) => {
            let named = text.split(',').filter(|word| !word.trim().is_empty());
            named.map(|word| (node.at, path.to_owned(), word)).collect()
        }
        Value::List(items) => texts(path, items),
        _ => Vec::new(),
    }
}

/// The strings of a list whose shape is known, with their places and key paths.
fn texts<'a>(path: &str, items: &'a [Node]) -> Vec<(Position, String, &'a str)> {
    let text = |(index, node): (usize, &'a Node)| match &node.value {
        Value::Text(text) => Some((node.at, format!("{path}[{index}]"), text.as_str())),
        _ => None,
    };
    items.iter().enumerate().filter_map(text).collect()
}
