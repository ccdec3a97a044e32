//! Reads the host once, for the policy: what the path rules name, where always-denied
//! names lie, which addresses are ours.

use std::collections::HashSet;
use std::env;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::leads::follow;
use super::paths::{self, Resolution, path, resolve};
use super::probe::{Loaded, home};
use super::tasks::{Finds, Tasks, Wanted};
use super::walk::Walk;
use crate::error::{Error, While};
use crate::limits::HOSTS_BYTES;
use crate::parse;
use crate::parse::glob::{Glob, PathPattern};
use crate::parse::host::Name;
use crate::parse::settings::PathRule;
use crate::policy::files::{FRESH, Kind, Rule, covers, join};
use crate::policy::protected::Names;
use crate::policy::route::ProxyVariables;
use crate::policy::{Facts, Pattern, Place, Resolved};
use crate::sys;

/// What is said of a directory of `srt`'s own.
pub const DIRECTORY: &str = "srt's own directory";

/// What `srt` keeps of its own on the host during the run.
pub struct Own<'a> {
    /// The command's temporary directory.
    pub temporary: &'a Path,
    /// The program that plays our own roles.
    pub program: &'a Path,
    /// A directory that the command must not write, whatever covers it.
    pub private: &'a Path,
    /// The bubblewrap that will run.
    pub bubblewrap: Option<&'a Path>,
    /// What it must not see either: a lock is had by reading.
    pub hidden: &'a [(Option<&'a Path>, &'static str)],
}

/// Names that have an address by the hosts file. None where it cannot be read whole: nothing
/// rests on them but what is allowed more.
fn hosts() -> Vec<(IpAddr, Name)> {
    let mut content = Vec::new();
    let file = File::open("/etc/hosts").map(|file| file.take(HOSTS_BYTES + 1));
    match file.and_then(|mut file| file.read_to_end(&mut content)) {
        Ok(length) if length as u64 <= HOSTS_BYTES => parse::hosts::hosts(&content).collect(),
        Ok(_) | Err(_) => Vec::new(),
    }
}

/// Everything about the host that the policy rests on.
///
/// # Errors
/// The host cannot be read, a rule's path leads nowhere that can be named, or the
/// search met a bound.
pub fn facts(loaded: &Loaded, directory: &Path, own: &Own<'_>) -> Result<Facts, Error> {
    let mut facts = Facts {
        root: root_entries().doing("listing /")?,
        kernel: kernel_entries().doing("listing /proc")?,
        directory: directory.as_os_str().as_bytes().to_vec(),
        temporary: own.temporary.as_os_str().as_bytes().to_vec(),
        proxies: proxies(),
        hosts: hosts(),
        own_addresses: sys::host::own_addresses().doing("reading this host's addresses")?,
        ..Facts::default()
    };
    own_files(loaded, own, &mut facts)?;
    let mut globs = Vec::new();
    for (rule, entry) in rules(loaded) {
        match &entry.path {
            PathPattern::Literal(text) => {
                let found = resolve_rule(text, entry, directory)?;
                facts.rules.push(resolved(&entry.key, rule, found));
            }
            PathPattern::Glob(glob) => globs.push((glob, rule, entry.key.as_str())),
        }
    }
    for entry in &loaded.settings.network.listed_sockets {
        if let PathPattern::Literal(text) = &entry.path {
            let found = resolve_rule(text, entry, directory)?;
            let socket = resolved(&entry.key, Rule::Pinned, found);
            facts.sockets.push(socket);
        }
    }
    let home = home().and_then(|home| fs::canonicalize(home).ok());
    let home = home.map(|home| home.into_os_string().into_vec());
    let written = facts.rules.iter().filter(|r| r.rule == Rule::AllowWrite);
    let shared = written.filter_map(|r| match &r.place {
        Place::Exists { path, .. } => Some(path),
        Place::Absent { .. } | Place::Unseen { .. } => None,
    });
    let everyones =
        |path: &&Vec<u8>| is_everyones(path) || home.as_ref().is_some_and(|h| covers(path, h));
    facts.shared = shared.filter(everyones).cloned().collect();
    let place = |key: &str, path: &[u8]| {
        let found = resolve(path).map_err(|e| Error::Policy(vec![format!("{key}: {e}")]))?;
        Ok::<_, Error>(resolved(key, Rule::Pinned, found))
    };
    if let Some(mitm) = &loaded.settings.network.mitm {
        let socket = place("network.mitmProxy.socketPath", mitm.socket.as_bytes())?;
        facts.mitm = Some(socket);
    }
    if let Some(bwrap) = own.bubblewrap {
        let key = format!("bubblewrap ({})", bwrap.display());
        let owned = fs::metadata(bwrap).is_ok_and(|found| found.uid() == sys::host::uid());
        let found = place(&key, bwrap.as_os_str().as_bytes())?;
        facts.own_bubblewrap = owned.then_some(found);
    }
    search(loaded, directory, &globs, &mut facts)?;
    Ok(facts)
}

fn rules(loaded: &Loaded) -> impl Iterator<Item = (Rule, &PathRule)> {
    let files = &loaded.settings.filesystem;
    let lists = [
        (Rule::DenyRead, &files.deny_read),
        (Rule::AllowRead, &files.allow_read),
        (Rule::AllowWrite, &files.allow_write),
        (Rule::DenyWrite, &files.deny_write),
    ];
    lists
        .into_iter()
        .flat_map(|(rule, list)| list.iter().map(move |entry| (rule, entry)))
}

fn resolved(key: &str, rule: Rule, found: Resolution) -> Resolved {
    Resolved {
        key: key.to_owned(),
        rule,
        place: found.place,
        links: found.links,
    }
}

fn root_entries() -> io::Result<Vec<(Vec<u8>, Kind)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir("/")? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let kind = if kind.is_dir() {
            Kind::Directory
        } else if kind.is_symlink() {
            Kind::Link
        } else {
            Kind::File
        };
        entries.push((entry.path().into_os_string().into_vec(), kind));
    }
    Ok(entries)
}

/// What the environment says of a parent proxy; of both spellings the lower one counts,
/// as for curl.
fn proxies() -> ProxyVariables {
    let named = |name: &str| Some((name.to_owned(), env::var(name).ok()?));
    let one = |lower: &str| named(lower).or_else(|| named(&lower.to_uppercase()));
    let all = ["http_proxy", "https_proxy", "no_proxy"].map(one);
    all.into_iter().flatten().collect()
}

/// What is not a process's in /proc, and is a directory or may be written.
fn kernel_entries() -> io::Result<Vec<Vec<u8>>> {
    let mut entries = Vec::new();
    if sys::host::uid() != 0 {
        return Ok(entries);
    }
    let listed = match fs::read_dir("/proc") {
        // There is none on macOS.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(entries),
        other => other?,
    };
    for entry in listed {
        let entry = entry?;
        let name = entry.file_name().into_vec();
        if name.iter().all(u8::is_ascii_digit) {
            continue;
        }
        let Ok(found) = entry.metadata() else {
            continue;
        };
        if found.is_dir() || found.is_file() && found.mode() & 0o222 != 0 {
            entries.push(join(b"/proc", &name));
        }
    }
    entries.sort();
    Ok(entries)
}

/// Whoever can write these decides the next run, or what is cleared after this one.
fn own_files(loaded: &Loaded, own: &Own<'_>, facts: &mut Facts) -> Result<(), Error> {
    let files = [
        (loaded.looked_for.as_deref(), "the settings file"),
        (Some(own.program), "the srt program"),
        (own.bubblewrap, "bubblewrap"),
        (Some(own.private), DIRECTORY),
    ];
    let files = files.into_iter().map(|(p, what)| (p, what, false));
    let hidden = own.hidden.iter().map(|&(p, what)| (p, what, true));
    for (file, what, hidden) in files.chain(hidden) {
        let Some(file) = file else { continue };
        let whole = std::path::absolute(file).doing("finding srt's own files")?;
        let found = resolve(whole.as_os_str().as_bytes())
            .map_err(|e| Error::Policy(vec![format!("{what}: {e}")]))?;
        // Devices, made anew for the command, are the host's own no more.
        let hides = |path: &[u8]| hidden && !FRESH.iter().any(|tree| covers(tree, path));
        if matches!(&found.place, Place::Exists { path, .. } if hides(path)) {
            facts.rules.push(Resolved {
                key: what.to_owned(),
                rule: Rule::DenyRead,
                place: found.place.clone(),
                links: Vec::new(),
            });
        }
        facts.rules.push(resolved(what, Rule::Protected, found));
    }
    Ok(())
}

/// The path of a rule, absolute.
fn absolute(text: &str, key: &str, directory: &Path) -> Result<Vec<u8>, Error> {
    let joined = match text.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            let home = home().ok_or_else(|| {
                let text = "~ cannot be resolved: HOME is not set to an absolute path";
                Error::Policy(vec![format!("{key}: {text}")])
            })?;
            join(
                home.as_os_str().as_bytes(),
                rest.trim_start_matches('/').as_bytes(),
            )
        }
        _ if text.starts_with('/') => text.as_bytes().to_vec(),
        _ => join(directory.as_os_str().as_bytes(), text.as_bytes()),
    };
    Ok(joined)
}

fn resolve_rule(text: &str, entry: &PathRule, directory: &Path) -> Result<Resolution, Error> {
    let wanted = absolute(text, &entry.key, directory)?;
    resolve(&wanted).map_err(|e| Error::Policy(vec![format!("{}: {e}", entry.key)]))
}

/// Globs and always-denied names, in one walk; then what git's files lead to.
fn search(
    loaded: &Loaded,
    directory: &Path,
    globs: &[(&Glob, Rule, &str)],
    facts: &mut Facts,
) -> Result<(), Error> {
    let settings = &loaded.settings;
    let wanted: Vec<_> = globs
        .iter()
        .map(|&(glob, rule, _)| Wanted { glob, rule })
        .collect();
    let depth = settings.search_depth.get();
    let homes = homes(directory);
    let git_config = settings.filesystem.git_config;
    let mut walk = Walk::new(&wanted, depth, git_config, homes.clone());
    for (index, (glob, rule, key)) in globs.iter().enumerate() {
        let wanted = absolute(&glob.base, key, directory)?;
        let found = resolve(&wanted).map_err(|e| Error::Policy(vec![format!("{key}: {e}")]))?;
        facts.patterns.push(Pattern {
            key: (*key).to_owned(),
            rule: *rule,
            base: match &found.place {
                Place::Exists { path, .. } => path.clone(),
                Place::Absent { .. } | Place::Unseen { .. } => paths::plain(&wanted),
            },
            kind: match &found.place {
                Place::Exists { kind, .. } => *kind,
                Place::Absent { .. } | Place::Unseen { .. } => Kind::Absent,
            },
            glob: (*glob).clone(),
        });
        match &found.place {
            Place::Exists { path, .. } => walk.start(
                path,
                Tasks {
                    globs: vec![(index, glob.start())],
                    ..Tasks::default()
                },
            ),
            // The base alone stands for what cannot be seen below it.
            Place::Unseen { .. } => facts.rules.push(resolved(key, *rule, found)),
            Place::Absent { .. } => {}
        }
        facts.notes.push(format!(
            "{key}: {:?} names what is there now; what is made during the run is not covered",
            glob.written
        ));
    }
    for (root, absent) in roots(facts, homes) {
        walk.start(&root, Tasks::root(depth, absent));
    }
    let problem = |text: String| Error::Policy(vec![text]);
    let mut followed = HashSet::new();
    loop {
        let finds = walk.go().map_err(problem)?;
        if finds.leads.is_empty() && finds.found.is_empty() && finds.matches.is_empty() {
            return Ok(());
        }
        for (lead, kind) in &finds.leads {
            if followed.insert(lead.clone()) {
                follow(lead, *kind, &mut walk, &mut facts.found);
            }
        }
        take(finds, globs, facts).map_err(problem)?;
    }
}

/// The working and the home directory, symlinks resolved, and how absent names are held
/// there.
fn homes(directory: &Path) -> Vec<(Vec<u8>, Names)> {
    let home = home().and_then(|home| fs::canonicalize(home).ok());
    let home = home.map(|at| (at, Names::AtHome));
    let both = [Some((directory.to_owned(), Names::All)), home];
    let both = both.into_iter().flatten();
    both.map(|(at, names)| (at.into_os_string().into_vec(), names))
        .collect()
}

/// Where to look for always-denied names: every writable root, and in those the working
/// and the home directory; and whether absent ones are to be held there.
fn roots(facts: &Facts, homes: Vec<(Vec<u8>, Names)>) -> Vec<(Vec<u8>, Names)> {
    let written = facts.rules.iter().filter(|r| r.rule == Rule::AllowWrite);
    let mut roots: Vec<(Vec<u8>, Names)> = written
        .filter_map(|r| match &r.place {
            Place::Exists {
                path,
                kind: Kind::Directory,
                ..
            } => Some((path.clone(), Names::All)),
            Place::Exists { .. } | Place::Absent { .. } | Place::Unseen { .. } => None,
        })
        .collect();
    for (home, names) in homes {
        if roots.iter().any(|(root, _)| covers(root, &home)) {
            roots.push((home, names));
        }
    }
    for (root, names) in &mut roots {
        if is_everyones(root) {
            *names = Names::Own;
        }
    }
    roots
}

/// Whether every user of the host may create names here, as in /tmp: then nobody can
/// trust a name in it anyway, and holding some would protect nothing.
fn is_everyones(at: &[u8]) -> bool {
    const STICKY_AND_WORLD_WRITABLE: u32 = 0o1002;
    fs::metadata(path(at)).is_ok_and(|m| m.mode() & 0o1002 == STICKY_AND_WORLD_WRITABLE)
}

fn take(finds: Finds, globs: &[(&Glob, Rule, &str)], facts: &mut Facts) -> Result<(), String> {
    facts.found.extend(finds.found);
    facts.sizes.extend(finds.sizes);
    for (index, at, kind) in finds.matches {
        let Some((_, rule, key)) = globs.get(index) else {
            continue;
        };
        let found = if kind == Kind::Link {
            resolve(&at).map_err(|e| format!("{key}: {e}"))?
        } else {
            Resolution {
                place: Place::Exists {
                    path: at,
                    kind,
                    hold: None,
                },
                links: Vec::new(),
            }
        };
        facts.rules.push(resolved(key, *rule, found));
    }
    Ok(())
}
