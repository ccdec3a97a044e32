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
pub mod capture;
mod checks;
pub mod compare;
pub mod explain;
pub mod facts;
pub mod files;
pub mod guarantees;
pub mod lint;
pub mod live;
pub mod network;
pub mod ports;
pub mod protected;
pub mod relate;
pub mod route;
pub mod spot;
pub mod wide;

use crate::parse::settings::{
    GitConfig, Limits, MacSettings, Observed, Processes, Settings, UnixSockets, UserNamespaces,
};
use capture::Capture;
use explain::Socket;
pub use facts::{Bubblewrap, Facts, Found, Host, Link, Pattern, Place, Resolved, Stream, User};
use files::{Access, Entry, FRESH, Files, Kind, Placeholder, Rule, join};
use live::Live;
use network::Network;
use ports::Ports;

/// The whole policy of a run.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Files.
    pub files: Files,
    /// The patterns that `files` has the matches of, as they were found.
    pub patterns: Vec<Pattern>,
    /// Whether `.git/config` is an always-denied name.
    pub git_config: GitConfig,
    /// Names to hold by a placeholder, parents before children.
    pub holds: Vec<(Vec<u8>, Placeholder)>,
    /// What denials name that is not there, whether or not anybody could make it as things
    /// are: for a system where a pattern may come to allow it.
    pub absent: Vec<Entry>,
    /// Symbolic links that must stay what they are.
    pub pinned_links: Vec<Vec<u8>>,
    /// Symbolic links in hidden directories by which something visible is named.
    pub made_links: Vec<Link>,
    /// What is read-only in the fresh /proc.
    pub kernel: Vec<Vec<u8>>,
    /// Network names and addresses.
    pub network: Network,
    /// What new rules for the network rest on.
    pub live: Live,
    /// Ports that are no business of the proxy's.
    pub ports: Ports,
    /// How programs that know no proxy are served.
    pub capture: Capture,
    /// Unix sockets.
    pub unix_sockets: UnixSockets,
    /// Those that may be connected to, where not all may.
    pub sockets: Vec<Socket>,
    /// Which calls on files are looked at.
    pub observed: Observed,
    /// Whether the command may make user namespaces.
    pub user_namespaces: UserNamespaces,
    /// How many it may make, whatever asks for them.
    pub most_user_namespaces: MostUserNamespaces,
    /// Which /proc it sees.
    pub processes: Processes,
    /// What it may use.
    pub limits: Limits,
    /// What only macOS knows.
    pub mac: MacSettings,
    /// Rules without effect here, for `--debug`.
    pub notes: Vec<String>,
}

/// The kernel's own limit on user namespaces (`user.max_user_namespaces`,
/// namespaces(7)), which no filter has to see to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MostUserNamespaces {
    /// No further one.
    None,
    /// As many as the host allows.
    Unbounded,
}

fn shown(path: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(path))
}

fn denies(rule: Rule) -> bool {
    matches!(rule, Rule::DenyRead | Rule::DenyWrite | Rule::Protected)
}

/// What the rules of the settings say of paths that are there, or are to be held.
fn entries(resolved: &Resolved, facts: &Facts) -> Vec<Entry> {
    let entry = |path: &[u8], kind, hold| Entry {
        path: path.to_vec(),
        kind,
        hold,
        rule: resolved.rule,
        origin: resolved.key.clone(),
    };
    match &resolved.place {
        // Hiding the root hides what is in it: something has to hold the mounts.
        Place::Exists { path, .. } if path == b"/" && resolved.rule == Rule::DenyRead => {
            // A rule on a name in it is the more specific one.
            let shown = |path: &[u8]| {
                let is_it = |p: &Place| matches!(p, Place::Exists { path: at, .. } if at == path);
                let mut rules = facts.rules.iter();
                rules.any(|r| r.rule == Rule::AllowRead && is_it(&r.place))
            };
            let stays = |path: &[u8]| FRESH.contains(&path) || shown(path);
            let children = facts
                .root
                .iter()
                .filter(|(p, k)| !stays(p) && *k != Kind::Link);
            children
                .map(|(path, kind)| entry(path, *kind, None))
                .collect()
        }
        Place::Exists { path, kind, hold } => {
            let hold = hold.filter(|_| denies(resolved.rule));
            vec![entry(path, *kind, hold)]
        }
        Place::Absent { above, name, .. } if denies(resolved.rule) => {
            let hold = Some(Placeholder::Socket);
            vec![entry(&join(above, name), Kind::Absent, hold)]
        }
        // Cannot look is not absent: what can be seen of the way is denied.
        Place::Unseen { above, .. } if denies(resolved.rule) => {
            vec![entry(above, Kind::Directory, None)]
        }
        Place::Absent { .. } | Place::Unseen { .. } => Vec::new(),
    }
}

/// What holds whatever the settings say.
fn built_in(facts: &Facts) -> Vec<Entry> {
    let mut entries = vec![Entry {
        path: facts.temporary.clone(),
        kind: Kind::Directory,
        hold: None,
        rule: Rule::Temporary,
        origin: "the run's own".into(),
    }];
    if facts.root.iter().any(|(path, _)| path == b"/sys") {
        entries.push(Entry {
            path: b"/sys".to_vec(),
            kind: Kind::Directory,
            hold: None,
            rule: Rule::Protected,
            origin: "the kernel's settings, no files".into(),
        });
    }
    entries.extend(facts.found.iter().map(|found| Entry {
        path: found.path.clone(),
        kind: found.kind,
        hold: found.hold,
        // A link is as writable as what it leads to, which has an entry of its own;
        // the name must not come to mean something else.
        rule: if found.kind == Kind::Link {
            Rule::Pinned
        } else {
            Rule::Protected
        },
        origin: found.reason.into(),
    }));
    entries
}

/// What the links on the way of a rule are for.
fn links(resolved: &Resolved, files: &Files) -> Vec<Entry> {
    let pinned = matches!(resolved.rule, Rule::DenyWrite | Rule::Protected);
    let writable = |link: &&Link| pinned && files.access(&link.path) == Access::Write;
    let pin = |link: &Link| Entry {
        path: link.path.clone(),
        kind: Kind::Link,
        hold: None,
        rule: Rule::Pinned,
        origin: resolved.key.clone(),
    };
    resolved.links.iter().filter(writable).map(pin).collect()
}

impl Policy {
    /// Resolves `settings` against `facts`.
    ///
    /// # Errors
    /// Every rule that cannot be enforced on this host, one line each.
    pub fn new(settings: &Settings, facts: &Facts) -> Result<Self, Vec<String>> {
        let all = facts.rules.iter().flat_map(|rule| entries(rule, facts));
        let all: Vec<Entry> = built_in(facts).into_iter().chain(all).collect();
        let absent = all.iter().filter(|entry| entry.kind == Kind::Absent);
        let absent = absent.cloned().collect();
        let mut files = Files::new(all);
        let pins: Vec<_> = facts.rules.iter().flat_map(|r| links(r, &files)).collect();
        for pin in pins {
            files.add(pin);
        }
        let mut problems = checks::led_out(facts, &files);
        let mut notes = [settings.notes.clone(), facts.notes.clone()].concat();
        for resolved in &facts.rules {
            checks::fresh(resolved, &mut problems, &mut notes);
            checks::without_effect(resolved, &files, &mut notes);
        }
        if files.access(&facts.directory) == Access::Hidden {
            let place = files.deciding(&facts.directory);
            problems.push(format!(
                "{place}: hides the working directory {}: allow reading it \
                 (filesystem.allowRead), or start elsewhere",
                shown(&facts.directory)
            ));
        }
        problems.extend(checks::superuser(settings, &facts.host));
        problems.extend(checks::sockets(settings, facts, &mut files));
        problems.extend(checks::program(facts, &files));
        problems.extend(checks::streams(settings, &facts.host, &files));
        problems.extend(guarantees::missing(settings, &facts.host));
        if !problems.is_empty() {
            return Err(problems);
        }
        let shows = |r: &&Resolved| matches!(r.rule, Rule::AllowRead | Rule::AllowWrite);
        let made = facts.rules.iter().filter(shows).flat_map(|r| &r.links);
        let made_links: Vec<Link> = made
            .filter(|link| files.access(&link.path) == Access::Hidden)
            .cloned()
            .collect();
        let live = Live::new(&settings.network, facts);
        let holds = files.settle();
        Ok(Self {
            patterns: facts.patterns.clone(),
            git_config: settings.filesystem.git_config,
            holds,
            absent,
            pinned_links: files.links(),
            made_links,
            kernel: facts.kernel.clone(),
            files,
            network: live.network(&settings.network)?,
            live,
            ports: Ports::new(&settings.network, &mut notes)?,
            capture: Capture::new(&settings.network, &mut notes)?,
            unix_sockets: settings.network.unix_sockets,
            sockets: facts
                .sockets
                .iter()
                .filter_map(|resolved| socket(resolved, &mut notes))
                .collect(),
            observed: settings.observed,
            user_namespaces: settings.user_namespaces,
            most_user_namespaces: match (settings.user_namespaces, facts.host.bubblewrap) {
                (UserNamespaces::Refused, Bubblewrap::Plain) => MostUserNamespaces::None,
                _ => MostUserNamespaces::Unbounded,
            },
            processes: settings.processes,
            limits: settings.limits.clone(),
            mac: settings.mac.clone(),
            notes,
        })
    }

    /// The same policy as its mounts would be if all could be written: for tests of the
    /// other layers.
    #[must_use]
    pub fn without_mounts(&self) -> Self {
        let all = Entry {
            path: b"/".to_vec(),
            kind: Kind::Directory,
            hold: None,
            rule: Rule::AllowWrite,
            origin: "no mounts".into(),
        };
        Self {
            files: Files::new([all]),
            made_links: Vec::new(),
            kernel: Vec::new(),
            ..self.clone()
        }
    }
}

/// The socket that a rule names, or will name once it is there.
fn socket(resolved: &Resolved, notes: &mut Vec<String>) -> Option<Socket> {
    let key = resolved.key.clone();
    match &resolved.place {
        Place::Exists { path, .. } => Some(Socket {
            key,
            path: path.clone(),
        }),
        Place::Absent {
            above,
            name,
            wanted,
        } if wanted.ends_with(name) => Some(Socket {
            key,
            path: join(above, name),
        }),
        Place::Absent { wanted, .. } | Place::Unseen { wanted, .. } => {
            let wanted = shown(wanted);
            notes.push(format!(
                "{key}: {wanted} cannot be seen; the rule has no effect"
            ));
            None
        }
    }
}
