//! Every key of a settings file: its type, and whether it works in this version.

use std::fmt;

use super::json::Value;

/// What type of value a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `true` or `false`.
    Bool,
    /// A string.
    Text,
    /// A whole number.
    Integer,
    /// A port, 1 to 65535.
    Port,
    /// A list of strings.
    Texts,
    /// A list of strings, or one string with commas.
    Words,
    /// A list of ports.
    Ports,
    /// A list of path entries.
    Paths,
    /// A list.
    List,
    /// An object.
    Object,
    /// Whatever another program takes.
    Anything,
}

impl Shape {
    /// Whether `value` is of this type.
    pub fn fits(self, value: &Value) -> bool {
        let each = |shape: Self| match value {
            Value::List(items) => items.iter().all(|item| shape.fits(&item.value)),
            _ => false,
        };
        match self {
            Self::Bool => matches!(value, Value::Bool(_)),
            Self::Text => matches!(value, Value::Text(_)),
            Self::Integer => matches!(value, Value::Integer(_)),
            Self::Port => matches!(value, Value::Integer(1..=65535)),
            Self::Texts => each(Self::Text),
            Self::Words => each(Self::Text) || Self::Text.fits(value),
            Self::Ports => each(Self::Port),
            // Its entries are told apart, with problems of their own.
            Self::Paths | Self::List => matches!(value, Value::List(_)),
            Self::Object => matches!(value, Value::Object(_)),
            Self::Anything => true,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "must be true or false",
            Self::Text => "must be a string",
            Self::Integer => "must be a whole number",
            Self::Port => "must be a port, 1 to 65535",
            Self::Texts => "must be a list of strings",
            Self::Words => "must be a list of strings, or one string with commas",
            Self::Ports => "must be a list of ports, 1 to 65535",
            Self::Paths => "must be a list of paths",
            Self::List => "must be a list",
            Self::Object => "must be an object",
            Self::Anything => "may be anything",
        })
    }
}

/// What is done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Holds other keys of this table.
    Section,
    /// Obeyed.
    Works,
    /// Obeyed on macOS; accepted everywhere.
    MacOs,
    /// Not obeyed yet: refused when it asks for anything.
    Later,
    /// Only tunes a helper that is not needed here: accepted.
    Tuning,
    /// Another program's, and not served here: why, and what to do instead. Refused when
    /// it asks for anything.
    Foreign(&'static str),
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The key with the sections above it.
    pub path: &'static str,
    /// Its type.
    pub shape: Shape,
    /// What is done with it.
    pub meaning: Meaning,
}

const fn key(path: &'static str, shape: Shape, meaning: Meaning) -> Key {
    Key {
        path,
        shape,
        meaning,
    }
}

use Meaning::{Foreign, Later, MacOs, Section, Tuning, Works};
use Shape::{Anything, Bool, Integer, List, Object, Paths, Port, Ports, Text, Texts, Words};

const NO_TLS: &str =
    "srt does not open TLS: remove it, or name a program that does in network.mitmProxy";
const NO_REQUESTS: &str = "srt judges hosts and ports, not what a request says: remove it, or name a program that does in \
     network.mitmProxy";
const NO_MASKS: &str = "srt puts nothing in the place of a secret: remove it, and withhold secrets by environment.deny and \
     filesystem.denyRead";
const WITHHELD: &str =
    "remove it, and withhold what it names by environment.deny and filesystem.denyRead";

/// The table.
pub const KEYS: &[Key] = &[
    key("network", Object, Section),
    key("network.allowedDomains", Texts, Works),
    key("network.deniedDomains", Texts, Works),
    key("network.deniedDomainReasons", Object, Works),
    key("network.deniedResolvedAddresses", Texts, Works),
    key("network.allowUnixSockets", Paths, Works),
    key("network.allowAllUnixSockets", Bool, Works),
    key("network.allowLocalBinding", Bool, Works),
    key("network.allowHostPorts", Ports, Works),
    key("network.publishPorts", Ports, Works),
    key("network.httpProxyPort", Port, Works),
    key("network.socksProxyPort", Port, Works),
    key("network.mitmProxy", Object, Section),
    key("network.mitmProxy.socketPath", Text, Works),
    key("network.mitmProxy.domains", Texts, Works),
    key("network.parentProxy", Object, Section),
    key("network.parentProxy.http", Text, Works),
    key("network.parentProxy.https", Text, Works),
    key("network.parentProxy.noProxy", Words, Works),
    key("network.requireServerName", Bool, Works),
    key("network.capture", Bool, Works),
    key("network.capturePorts", Ports, Works),
    key("network.strictAllowlist", Bool, Works),
    key("network.tlsTerminate", Anything, Foreign(NO_TLS)),
    key("network.filterRequest", Anything, Foreign(NO_REQUESTS)),
    key(
        "network.allowPlaintextHeaderSet",
        Bool,
        Foreign(NO_REQUESTS),
    ),
    key("network.stripResponseHeaders", Texts, Foreign(NO_REQUESTS)),
    key(
        "network.ambiguousRequestTarget",
        Anything,
        Foreign(NO_REQUESTS),
    ),
    key("network.refuseOpaqueTunnels", Bool, Foreign(NO_TLS)),
    key(
        "network.requireHostMatch",
        Bool,
        Foreign(
            "srt writes Host anew for every request; for the name in TLS, write \"requireServerName\": true instead",
        ),
    ),
    key("tlsTerminate", Anything, Foreign(NO_TLS)),
    key("filesystem", Object, Section),
    key("filesystem.denyRead", Paths, Works),
    key("filesystem.allowRead", Paths, Works),
    key("filesystem.allowWrite", Paths, Works),
    key("filesystem.denyWrite", Paths, Works),
    key("filesystem.allowGitConfig", Bool, Works),
    key(
        "filesystem.disabled",
        Bool,
        Foreign(
            "srt always confines files: remove it, and name what is to be written in filesystem.allowWrite",
        ),
    ),
    key("environment", Object, Section),
    key("environment.deny", Texts, Works),
    key("environment.set", Object, Works),
    key("limits", Object, Section),
    key("limits.memoryMiB", Integer, Works),
    key("limits.processes", Integer, Works),
    key("limits.openFiles", Integer, Works),
    key("limits.fileSizeMiB", Integer, Works),
    key("limits.cpuSeconds", Integer, Works),
    key("limits.wallSeconds", Integer, Works),
    key("ignoreViolations", Object, Works),
    key("mandatoryDenySearchDepth", Integer, Works),
    key("enableWeakerNestedSandbox", Bool, Works),
    key("allowNestedUserNamespaces", Bool, Works),
    key("allowPty", Bool, MacOs),
    key("allowMachLookup", Texts, MacOs),
    key("network.allowMachLookup", Texts, MacOs),
    key("allowAppleEvents", Bool, MacOs),
    key("enableWeakerNetworkIsolation", Bool, MacOs),
    key("bwrapPath", Text, Works),
    key("observe", Texts, Works),
    key("extends", Text, Later),
    key("require", Texts, Works),
    key("ripgrep", Object, Section),
    key("ripgrep.command", Text, Tuning),
    key("ripgrep.args", Texts, Tuning),
    key("ripgrep.argv0", Text, Tuning),
    key("seccomp", Object, Section),
    key("seccomp.applyPath", Text, Tuning),
    key("seccomp.argv0", Text, Tuning),
    key(
        "seccomp.bpfPath",
        Text,
        Foreign(
            "srt makes its filter itself, and takes no other: remove it (--dry-run prints srt's own)",
        ),
    ),
    key("javaAgentJarPath", Text, Tuning),
    key("socatPath", Text, Foreign("srt uses no socat: remove it")),
    key("credentials", Object, Section),
    key("credentials.files", List, Foreign(WITHHELD)),
    key("credentials.envVars", List, Foreign(WITHHELD)),
    key("credentials.allowPlaintextInject", Bool, Foreign(NO_MASKS)),
    key("credentials.awsPairs", List, Foreign(NO_MASKS)),
    key("credentials.sigv4", Anything, Foreign(NO_MASKS)),
    key("git", Object, Section),
    key(
        "git.safeDirectories",
        Texts,
        Foreign(
            "write \"GIT_CONFIG_COUNT\": \"1\", \"GIT_CONFIG_KEY_0\": \"safe.directory\" and \
             \"GIT_CONFIG_VALUE_0\": the directory in environment.set instead",
        ),
    ),
    key(
        "windows",
        Anything,
        Foreign("there is no version for Windows: remove it"),
    ),
];

/// Longest key for which a likely spelling is looked for.
const MOST_COMPARED: usize = 64;

/// The known key that `path` most likely was meant to be.
pub fn nearest(path: &str) -> Option<&'static str> {
    if path.len() > MOST_COMPARED {
        return None;
    }
    // A key in the wrong section is the likeliest mistake, then a typing error.
    let leaf = |path: &str| path.rsplit('.').next().unwrap_or_default().to_lowercase();
    let wanted = leaf(path);
    KEYS.iter()
        .map(|key| (distance(&wanted, &leaf(key.path)), key.path))
        .min()
        .filter(|(far, _)| *far <= 3)
        .map(|(_, path)| path)
}

/// How many letters have to change (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut next = vec![i.saturating_add(1)];
        for ((y, diagonal), up) in b.iter().zip(&row).zip(row.iter().skip(1)) {
            let left = next.last().copied().unwrap_or_default();
            let change = diagonal.saturating_add(usize::from(x != *y));
            next.push(change.min(left.saturating_add(1)).min(up.saturating_add(1)));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
