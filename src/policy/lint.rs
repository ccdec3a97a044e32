//! What settings that are valid had better not say: rules that open more than their
//! writer may know, and rules without effect.

mod domains;
mod useless;

use super::files::{covers, parent};
use super::spot::Spot;
use super::wide::{DIRECTORIES, ENGINES};
use crate::parse::settings::{PathRule, Settings, UnixSockets};

/// What of the host a lint rests on. Every path is absolute.
#[derive(Clone, Debug, Default)]
pub struct Around {
    /// The home directory.
    pub home: Option<Vec<u8>>,
    /// The working directory.
    pub directory: Vec<u8>,
    /// The directories of PATH.
    pub search: Vec<Vec<u8>>,
    /// The `srt` program.
    pub program: Option<Vec<u8>>,
    /// The settings file.
    pub file: Vec<u8>,
}

/// Every finding, one line each: a key, and what and why, and what to do.
pub fn lint(settings: &Settings, around: &Around) -> Vec<String> {
    let files = &settings.filesystem;
    let opened = files.allow_read.iter().chain(&files.allow_write);
    let opened = opened.chain(&settings.network.listed_sockets);
    let mut found = Vec::new();
    if settings.network.unix_sockets == UnixSockets::All {
        found.push(
            "network.allowAllUnixSockets: the command may talk to every program of the host whose socket it \
             can see, such as the session bus or a container engine: leave it out"
                .into(),
        );
    }
    found.extend(domains::shared_hosting(&settings.network.allowed));
    found.extend(domains::useless(&settings.network));
    found.extend(engine_sockets(opened.map(named)));
    found.extend(wide(settings, around));
    found.extend(exposed(settings, around));
    let home = around.home.as_deref();
    found.extend(useless::paths(files, home));
    found.extend(useless::lists(settings));
    found
}

fn named(rule: &PathRule) -> (&str, &str) {
    (&rule.key, Spot::new(rule, None).written)
}

/// Findings for paths, each with its key, that name the socket of a container engine.
pub fn engine_sockets<'a>(paths: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let engine = |path: &str| ENGINES.contains(&path.rsplit('/').next().unwrap_or_default());
    paths
        .filter(|(_, path)| engine(path))
        .map(|(key, path)| {
            format!(
                "{key}: {path:?} takes a container engine's commands, and whoever gives them is root on \
                 the host: take it out"
            )
        })
        .collect()
}

/// The paths of allowWrite as they are here, and what denyWrite leaves of a place.
struct Writable<'a> {
    allow: Vec<Spot<'a>>,
    deny: Vec<Spot<'a>>,
}

impl<'a> Writable<'a> {
    fn new(settings: &'a Settings, around: &Around) -> Self {
        let spots = |list: &'a [PathRule]| {
            let spots = Spot::all(list, around.home.as_deref());
            let here = spots.iter().map(|s| s.from_directory(&around.directory));
            here.collect::<Vec<_>>()
        };
        Self {
            allow: spots(&settings.filesystem.allow_write),
            deny: spots(&settings.filesystem.deny_write),
        }
    }

    fn is_denied(&self, place: &Spot) -> bool {
        self.deny.iter().any(|rule| rule.covers(place))
    }
}

fn wide(settings: &Settings, around: &Around) -> Vec<String> {
    let writable = Writable::new(settings, around);
    let mut found = Vec::new();
    for rule in writable.allow.iter().filter(|r| !writable.is_denied(r)) {
        let Some(path) = rule.path() else { continue };
        let home = around
            .home
            .as_deref()
            .is_some_and(|home| covers(path, home));
        let what = if path == b"/" {
            "the whole file system"
        } else if home {
            "the whole home directory"
        } else if DIRECTORIES.iter().any(|wide| wide.as_bytes() == path) {
            "a whole directory of the system"
        } else {
            continue;
        };
        let (key, written) = (rule.key, rule.written);
        found.push(format!(
            "{key}: {written:?} is {what}, much of which other programs run or obey: name the directories \
             that the command has to write"
        ));
    }
    found
}

/// Places that programs outside the sandbox are run from, or take their orders from.
fn exposed(settings: &Settings, around: &Around) -> Vec<String> {
    let writable = Writable::new(settings, around);
    let program = around.program.as_deref();
    let directory = |path: &[u8]| parent(path).unwrap_or(b"/").to_vec();
    let own = program.map(directory);
    let file = directory(&around.file);
    let mut found = Vec::new();
    for rule in &writable.allow {
        let open = |path: &[u8]| {
            let place = Spot::host(path);
            // Of a glob, what it matches now counts.
            let covered = rule.covers(&place) || rule.is_glob() && rule.may_cover(&place);
            covered && !writable.is_denied(&place)
        };
        let mut tell = |text: String| found.push(format!("{}: {text}", rule.key));
        let search = around.search.iter().filter(|dir| open(dir));
        let search: Vec<String> = search.map(|dir| super::shown(dir)).collect();
        if !search.is_empty() {
            tell(format!(
                "{:?} lets the command put programs where PATH finds them ({}), to be run outside the \
                 sandbox: deny writing there (filesystem.denyWrite)",
                rule.written,
                search.join(", ")
            ));
        }
        for path in [own.as_deref(), program].into_iter().flatten() {
            if open(path) {
                tell(format!(
                    "{:?} holds srt itself ({}), and what lies beside it could be changed: install it \
                     elsewhere, or deny writing there (filesystem.denyWrite)",
                    rule.written,
                    super::shown(path)
                ));
                break;
            }
        }
        if open(&file) {
            tell(format!(
                "{:?} holds the directory of this settings file ({}), where the command could leave others \
                 for a later run: keep the file elsewhere, or deny writing there (filesystem.denyWrite)",
                rule.written,
                super::shown(&file)
            ));
        }
    }
    found
}
