//! The smallest change of the settings that would have allowed what was refused. Pure:
//! what lies on the host is asked for by a function.

use std::collections::BTreeMap;

use super::log::quoted;
use super::{Kind, Violation};
use crate::parse::host::{Host, authority_or};
use crate::policy::addresses::{class, spellings};
use crate::policy::explain::NO_RULE;
use crate::policy::files::{covers, parent};
use crate::policy::wide::{DIRECTORIES, ENGINES};

/// What lies at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lies {
    /// A directory.
    Directory,
    /// Something else.
    File,
    /// Nothing.
    Nowhere,
}

/// What the host has to say.
pub struct Sight<'a> {
    /// What lies at a path.
    pub lies: &'a dyn Fn(&[u8]) -> Lies,
    /// The home directory; empty if there is none.
    pub home: &'a [u8],
}

/// What could be added, and what is not suggested.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suggestion {
    /// Lists of the settings, by their key, and the entries that they lack, as JSON.
    pub added: BTreeMap<&'static str, Vec<String>>,
    /// What stays refused, and why, one line each.
    pub left: Vec<String>,
}

const HOSTS: &str = "network.allowedDomains";
const SOCKETS: &str = "network.allowUnixSockets";
const WRITE: &str = "filesystem.allowWrite";
const READ: &str = "filesystem.allowRead";

/// Names of what is secret, wherever it lies: keys, and what logs in.
const SECRETS: &[&[u8]] = &[
    b".ssh",
    b".gnupg",
    b".aws",
    b".azure",
    b".kube",
    b".docker",
    b".netrc",
    b".env",
    b".pgpass",
    b".git-credentials",
    b".password-store",
    b".vault-token",
    b"gcloud",
    b"id_rsa",
    b"id_ed25519",
    b"id_ecdsa",
    b"shadow",
    b"gshadow",
    b"credentials",
    b"Cookies",
    b"Keychains",
    b"keyrings",
];

/// Ends of names of what is secret.
const SECRET_ENDS: &[&[u8]] = &[b".pem", b".key", b".p12", b".pfx", b".kdbx", b".keystore"];

/// Sockets besides a container engine's by which a program rules the host.
const MASTERS: &[&[u8]] = &[
    b"private",
    b"system_bus_socket",
    b"lxd.socket",
    b"libvirt-sock",
];

/// Calls that make, remove or move a name: it is the directory that they change.
const NAMES: &[&str] = &[
    "mkdir",
    "mkdirat",
    "rmdir",
    "unlink",
    "unlinkat",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "mknod",
    "mknodat",
];

/// What would have allowed `violations`.
pub fn suggest<'a>(
    violations: impl Iterator<Item = &'a Violation> + Clone,
    sight: &Sight<'_>,
) -> Suggestion {
    // What was refused for another reason than that no rule allows it, a rule that allows
    // it would let through.
    let refused: Vec<&Violation> = violations
        .clone()
        .filter(|v| v.kind == Kind::Network && v.rule != NO_RULE)
        .collect();
    let elsewhere =
        |one: &Violation| one.rule == NO_RULE && refused.iter().any(|v| v.target == one.target);
    let violations = violations.filter(|one| one.kind != Kind::Network || !elsewhere(one));
    let mut suggestion = Suggestion::default();
    let mut paths: BTreeMap<&'static str, Vec<Vec<u8>>> = BTreeMap::new();
    for violation in violations {
        match wish(violation, sight) {
            Ok(Wish::Host) => {
                let entry = quoted(&violation.target);
                let hosts = suggestion.added.entry(HOSTS).or_default();
                if !hosts.contains(&entry) {
                    hosts.push(entry);
                }
            }
            Ok(Wish::Path(key, path)) => {
                let known = paths.entry(key).or_default();
                if !known.iter().any(|other| covers(other, &path)) {
                    known.retain(|other| !covers(&path, other));
                    known.push(path);
                }
            }
            Err(why) => {
                let line = format!("{} {}: {why}", violation.kind.name(), violation.target);
                if !suggestion.left.contains(&line) {
                    suggestion.left.push(line);
                }
            }
        }
    }
    for (key, paths) in paths {
        let entries = paths.iter().map(|path| entry(path)).collect();
        suggestion.added.insert(key, entries);
    }
    suggestion
}

enum Wish {
    Host,
    Path(&'static str, Vec<u8>),
}

/// What one violation lacks, or why it is not to be had by a suggestion.
fn wish(violation: &Violation, sight: &Sight<'_>) -> Result<Wish, String> {
    if violation.target.contains(char::REPLACEMENT_CHARACTER) {
        return Err("its name is not UTF-8, and cannot stand in settings".into());
    }
    let target = violation.target.as_bytes();
    match violation.kind {
        Kind::Network => host(violation).map(|()| Wish::Host),
        Kind::Syscall => Err("not about a host or a file".into()),
        Kind::Socket if target.starts_with(b"@") => {
            Err("an abstract name, which has no permissions".into())
        }
        _ if !target.starts_with(b"/") || target.contains(&0) => Err("no path".into()),
        Kind::Socket if is_master(target) => {
            Err("whoever may use this socket rules the host".into())
        }
        Kind::Socket => Ok(Wish::Path(SOCKETS, target.to_vec())),
        Kind::Read if is_secret(target) => Err(format!("a secret ({})", violation.rule)),
        Kind::Read => Ok(Wish::Path(READ, target.to_vec())),
        Kind::Write if violation.rule.starts_with("filesystem.") => {
            Err(format!("{} denies it", violation.rule))
        }
        Kind::Write if violation.rule != NO_RULE => {
            Err(format!("always denied: {}", violation.rule))
        }
        Kind::Write if is_secret(target) => Err("a place for secrets".into()),
        Kind::Write => {
            let path = writable(violation, sight);
            if is_wide(path) || path == sight.home {
                let path = String::from_utf8_lossy(path);
                Err(format!(
                    "would take writing all of {path}: make the directory that it needs first, and allow that"
                ))
            } else {
                Ok(Wish::Path(WRITE, path.to_vec()))
            }
        }
    }
}

fn host(violation: &Violation) -> Result<(), String> {
    if violation.rule != NO_RULE {
        return Err(violation.reason.clone());
    }
    // A name alone was asked for, and nothing connected to yet: any port will do.
    let target = authority_or(violation.target.as_bytes(), 443);
    match target.map(|target| target.host) {
        Ok(Host::Address(ip)) => match spellings(ip).into_iter().find_map(class) {
            Some(class) => Err(format!("{class}")),
            None => Ok(()),
        },
        Ok(Host::Name(_)) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// What has to be writable for it: the file, where it is there and stays; else its
/// directory, or the deepest that there is.
fn writable<'a>(violation: &'a Violation, sight: &Sight<'_>) -> &'a [u8] {
    let target = violation.target.as_bytes();
    let name = NAMES.contains(&violation.action.as_str());
    if !name && (sight.lies)(target) != Lies::Nowhere {
        return target;
    }
    let mut path = parent(target).unwrap_or(b"/");
    while (sight.lies)(path) != Lies::Directory {
        match parent(path) {
            Some(above) => path = above,
            None => break,
        }
    }
    path
}

fn is_master(path: &[u8]) -> bool {
    let last = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    MASTERS.contains(&last) || ENGINES.iter().any(|name| name.as_bytes() == last)
}

/// Whether a directory holds more than any one program should write.
fn is_wide(path: &[u8]) -> bool {
    let system: [&[u8]; 4] = [b"/", b"/dev", b"/proc", b"/sys"];
    system.contains(&path) || DIRECTORIES.iter().any(|wide| wide.as_bytes() == path)
}

fn is_secret(path: &[u8]) -> bool {
    let named = |part: &[u8]| SECRETS.contains(&part);
    path.split(|&b| b == b'/').any(named) || SECRET_ENDS.iter().any(|end| path.ends_with(end))
}

/// A path as an entry of a list: in words that say so, where it would be a pattern.
fn entry(path: &[u8]) -> String {
    let text = quoted(&String::from_utf8_lossy(path));
    let telling = |b: &u8| matches!(b, b'*' | b'?' | b'[' | b'\\');
    if path.iter().any(telling) {
        format!("{{\"path\":{text},\"literal\":true}}")
    } else {
        text
    }
}
