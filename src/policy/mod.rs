//! What is allowed: [`Settings`] and [`Facts`] → [`Policy`]. Pure: whatever the host
//! has to say comes in as `Facts`, once, and nothing here looks at it again.
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]

pub mod addresses;
pub mod files;
pub mod network;
pub mod protected;

use std::net::IpAddr;

use crate::parse::settings::{Settings, UnixSockets};
use files::{Access, Entry, Files, Kind, Rule};
use network::Network;

/// What the host was found to be, read once before the policy is made.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Every path rule of the settings, resolved.
    pub rules: Vec<Resolved>,
    /// Always-denied names that exist below writable roots.
    pub protected: Vec<(Vec<u8>, Kind)>,
    /// The run's own temporary directory.
    pub temporary: Vec<u8>,
    /// Addresses of this host's interfaces.
    pub own_addresses: Vec<IpAddr>,
}

/// A path rule after symlinks are resolved.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Where the settings say it, such as `filesystem.denyRead[0]`.
    pub key: String,
    /// What is said.
    pub rule: Rule,
    /// What lies there.
    pub place: Place,
}

/// What a path rule names on this host.
#[derive(Clone, Debug)]
pub enum Place {
    /// An existing path, absolute, symlinks resolved.
    Exists(Vec<u8>, Kind),
    /// Nothing; with the deepest directory that does exist, and what was asked for.
    Absent {
        /// The deepest existing directory, symlinks resolved.
        above: Vec<u8>,
        /// The path as the settings have it, made absolute.
        wanted: Vec<u8>,
    },
}

/// The whole policy of a run.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Files.
    pub files: Files,
    /// Network names and addresses.
    pub network: Network,
    /// Unix sockets.
    pub unix_sockets: UnixSockets,
    /// Rules without effect here, for `--debug`.
    pub notes: Vec<String>,
}

impl Policy {
    /// Resolves `settings` against `facts`.
    ///
    /// # Errors
    /// Every rule that cannot be enforced on this host, one line each.
    pub fn new(settings: &Settings, facts: &Facts) -> Result<Self, Vec<String>> {
        let mut entries = vec![Entry {
            path: facts.temporary.clone(),
            kind: Kind::Directory,
            rule: Rule::Temporary,
        }];
        let mut absent = Vec::new();
        let mut notes = settings.notes.clone();
        for resolved in &facts.rules {
            match &resolved.place {
                Place::Exists(path, kind) => entries.push(Entry {
                    path: path.clone(),
                    kind: *kind,
                    rule: resolved.rule,
                }),
                Place::Absent { above, wanted } => absent.push((resolved, above, wanted)),
            }
        }
        entries.extend(facts.protected.iter().map(|(path, kind)| Entry {
            path: path.clone(),
            kind: *kind,
            rule: Rule::Protected,
        }));
        let files = Files::new(entries);
        let mut problems = Vec::new();
        if files.access(b"/") == Access::Hidden {
            problems.push("filesystem.denyRead: hiding / itself is not supported yet".into());
        }
        for (resolved, above, wanted) in absent {
            let wanted = String::from_utf8_lossy(wanted);
            let key = &resolved.key;
            let denies = matches!(resolved.rule, Rule::DenyRead | Rule::DenyWrite);
            if denies && files.access(above) == Access::Write {
                problems.push(format!(
                    "{key}: {wanted:?} does not exist and the command could create it; \
                     holding a path that is absent is not supported yet: create it first"
                ));
            } else {
                notes.push(format!(
                    "{key}: {wanted:?} does not exist; the rule has no effect"
                ));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            files,
            network: Network::new(&settings.network, &facts.own_addresses),
            unix_sockets: settings.network.unix_sockets,
            notes,
        })
    }
}
