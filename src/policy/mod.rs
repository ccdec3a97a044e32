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
pub mod compare;
pub mod explain;
pub mod facts;
pub mod files;
pub mod guarantees;
pub mod lint;
pub mod network;
pub mod ports;
pub mod protected;
pub mod relate;
pub mod route;
pub mod spot;

use crate::parse::settings::{
    Limits, Observed, Processes, Resource, Settings, UnixSockets, UserNamespaces,
};
use explain::Socket;
pub use facts::{Bubblewrap, Facts, Found, Host, Link, Place, Resolved, Stream, User};
use files::{Access, Entry, FRESH, Files, Kind, Placeholder, Rule, covers, join};
use network::Network;
use ports::Ports;
use route::Routes;

/// The whole policy of a run.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Files.
    pub files: Files,
    /// Names to hold by a placeholder, parents before children.
    pub holds: Vec<(Vec<u8>, Placeholder)>,
    /// Symbolic links that must stay what they are.
    pub pinned_links: Vec<Vec<u8>>,
    /// Symbolic links in hidden directories by which something visible is named.
    pub made_links: Vec<Link>,
    /// What is read-only in the fresh /proc.
    pub kernel: Vec<Vec<u8>>,
    /// Network names and addresses.
    pub network: Network,
    /// Ports that are no business of the proxy's.
    pub ports: Ports,
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
        let mut files = Files::new(built_in(facts).into_iter().chain(all));
        let pins: Vec<_> = facts.rules.iter().flat_map(|r| links(r, &files)).collect();
        for pin in pins {
            files.add(pin);
        }
        let mut problems = led_out(facts, &files);
        let mut notes = [settings.notes.clone(), facts.notes.clone()].concat();
        for resolved in &facts.rules {
            fresh(resolved, &mut problems, &mut notes);
            without_effect(resolved, &files, &mut notes);
        }
        if files.access(&facts.directory) == Access::Hidden {
            let place = files.deciding(&facts.directory);
            problems.push(format!(
                "{place}: hides the working directory {}: allow reading it \
                 (filesystem.allowRead), or start elsewhere",
                shown(&facts.directory)
            ));
        }
        problems.extend(superuser(settings, &facts.host));
        problems.extend(streams(settings, &facts.host, &files));
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
        let routes = Routes::new(&settings.network, &facts.proxies)?;
        let holds = files.settle();
        Ok(Self {
            holds,
            pinned_links: files.links(),
            made_links,
            kernel: facts.kernel.clone(),
            files,
            network: Network::new(&settings.network, &facts.own_addresses, routes),
            ports: Ports::new(&settings.network, &mut notes)?,
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

/// What the kernel does not do for the superuser.
fn superuser(settings: &Settings, host: &Host) -> Vec<String> {
    let mut problems = Vec::new();
    if host.user != User::Superuser {
        return problems;
    }
    let counts = |(resource, _): &(Resource, u64)| *resource == Resource::Processes;
    if settings.limits.resources.iter().any(counts) {
        problems.push(
            "limits.processes: the kernel does not hold the superuser to it (setrlimit(2)): run srt as another \
             user, or remove the limit"
                .into(),
        );
    }
    if settings.user_namespaces == UserNamespaces::Allowed {
        problems.push(
            "allowNestedUserNamespaces: to map the superuser into another user namespace takes CAP_SETFCAP \
             (user_namespaces(7)), which the command does not get: run srt as another user"
                .into(),
        );
    }
    problems
}

/// Standard streams by which a file could be written past the mounts. Landlock stops
/// that where it allows nothing around the file.
fn streams(settings: &Settings, host: &Host, files: &Files) -> Vec<String> {
    let landlock = guarantees::landlock_holds_files(settings, host);
    let name = |number| match number {
        0 => "standard input",
        1 => "standard output",
        _ => "standard error",
    };
    let problem = |(number, stream): &(i32, Stream)| {
        let name = name(*number);
        match stream {
            Stream::Directory => Some(format!(
                "{name}: is a directory, by which all that lies in it could be reached: give the command \
                 something else (</dev/null)"
            )),
            Stream::OpenSocket => Some(format!(
                "{name}: is a network or datagram socket, which could be connected to another host or program: \
                 pipe it instead (… | srt … | …)"
            )),
            Stream::Rewritable(path) if files.access(path) == Access::Write => None,
            Stream::Rewritable(path) if landlock && !files.lies_in_writable(path) => None,
            Stream::Rewritable(path) => Some(format!(
                "{name}: {} must not be written, but could be, by opening it again: pipe it in instead \
                 (cat FILE | srt …)",
                shown(path)
            )),
        }
    };
    host.streams.iter().filter_map(problem).collect()
}

/// Rules that allow something by way of a link that a sandboxed command could have
/// planted: what it leads to must be allowed without it.
fn led_out(facts: &Facts, files: &Files) -> Vec<String> {
    let planted = |resolved: &Resolved| {
        let writable = |link: &&Link| files.access(&link.path) == Access::Write;
        resolved.links.iter().find(writable).cloned()
    };
    let allows = |r: &Resolved| matches!(r.rule, Rule::AllowRead | Rule::AllowWrite);
    let doubtful = |r: &Resolved| allows(r) && planted(r).is_some();
    if !facts.rules.iter().any(doubtful) {
        return Vec::new();
    }
    let sure = facts.rules.iter().filter(|r| !doubtful(r));
    let sure = Files::new(sure.flat_map(|rule| entries(rule, facts)));
    let mut problems = Vec::new();
    for resolved in facts.rules.iter().filter(|r| allows(r)) {
        let (Some(link), Place::Exists { path, .. }) = (planted(resolved), &resolved.place) else {
            continue;
        };
        if sure.access(path) < files.access(path) {
            problems.push(format!(
                "{}: leads to {} by the symbolic link {}, which lies where the command may write: \
                 name {} itself",
                resolved.key,
                shown(path),
                shown(&link.path),
                shown(path)
            ));
        }
    }
    problems
}

/// The device and process trees are made anew in every sandbox.
fn fresh(resolved: &Resolved, problems: &mut Vec<String>, notes: &mut Vec<String>) {
    let path = match &resolved.place {
        Place::Exists { path, .. } | Place::Absent { above: path, .. } => path,
        Place::Unseen { above, .. } => above,
    };
    let Some(tree) = FRESH.iter().find(|tree| covers(tree, path)) else {
        return;
    };
    let (key, tree) = (&resolved.key, String::from_utf8_lossy(tree));
    match resolved.rule {
        Rule::DenyRead if path == b"/proc" => problems.push(format!(
            "{key}: /proc is made anew for the command and shows its own processes only; srt \
             starts by it, so it cannot be hidden: hide what is in it"
        )),
        Rule::DenyWrite => problems.push(format!(
            "{key}: {tree} is made anew for the command, and always has its standard, writable \
             nodes: remove the rule"
        )),
        Rule::AllowRead | Rule::AllowWrite => notes.push(format!(
            "{key}: {tree} is made anew for the command; the rule has no effect"
        )),
        Rule::DenyRead | Rule::Protected | Rule::Pinned | Rule::Temporary => {}
    }
}

/// Notes of rules that do nothing on this host.
fn without_effect(resolved: &Resolved, files: &Files, notes: &mut Vec<String>) {
    let key = &resolved.key;
    match &resolved.place {
        Place::Absent { above, wanted, .. } => {
            let held = denies(resolved.rule) && files.access(above) == Access::Write;
            if !held {
                let wanted = shown(wanted);
                notes.push(format!(
                    "{key}: {wanted} does not exist; the rule has no effect"
                ));
            }
        }
        Place::Unseen { above, wanted } => notes.push(format!(
            "{key}: {} cannot be looked at; {}",
            shown(wanted),
            if denies(resolved.rule) {
                format!("the rule is held to {}", shown(above))
            } else {
                "the rule has no effect".into()
            }
        )),
        Place::Exists { .. } => {}
    }
}
