//! What of the rules cannot be had on this host, and what of them does nothing.

use super::facts::{Facts, Host, Link, Place, Resolved, Stream, User};
use super::files::{Access, Entry, FRESH, Files, Kind, Rule, covers, parent};
use super::{denies, entries, guarantees, shown};
use crate::parse::settings::{Resource, Settings, UnixSockets, UserNamespaces};

/// What the kernel does not do for the superuser.
pub(super) fn superuser(settings: &Settings, host: &Host) -> Vec<String> {
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
pub(super) fn streams(settings: &Settings, host: &Host, files: &Files) -> Vec<String> {
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
pub(super) fn led_out(facts: &Facts, files: &Files) -> Vec<String> {
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
pub(super) fn fresh(resolved: &Resolved, problems: &mut Vec<String>, notes: &mut Vec<String>) {
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
pub(super) fn without_effect(resolved: &Resolved, files: &Files, notes: &mut Vec<String>) {
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

/// Whether the command could put something else where `place` is, or will be.
fn is_replaceable(place: &Place, files: &Files) -> bool {
    let writable = |path: &[u8]| files.access(path) == Access::Write;
    match place {
        Place::Exists { path, .. } => parent(path).is_some_and(writable) || writable(path),
        Place::Absent { above, .. } | Place::Unseen { above, .. } => writable(above),
    }
}

/// Unix sockets that are reached by name: the command must not be able to put others in
/// their places. A socket that is there is held there, by a mount on itself.
pub(super) fn sockets(settings: &Settings, facts: &Facts, files: &mut Files) -> Vec<String> {
    let mut problems = Vec::new();
    let nested = settings.user_namespaces == UserNamespaces::Allowed;
    if nested && settings.network.unix_sockets == UnixSockets::Listed {
        problems.push(
            "network.allowUnixSockets: with allowNestedUserNamespaces the command could mount another socket in \
             the place of one that is listed: remove one of the two"
                .into(),
        );
    }
    for resolved in facts.sockets.iter().chain(&facts.mitm) {
        let key = &resolved.key;
        if let Some(link) = resolved
            .links
            .iter()
            .find(|l| files.lies_in_writable(&l.path))
        {
            problems.push(format!(
                "{key}: leads on by the symbolic link {}, which lies where the command may write: name what it \
                 leads to",
                shown(&link.path)
            ));
        }
        // What is made inside may be listed. But a name there stands for every socket that
        // can be moved there: where others keep theirs, and where srt itself connects, that
        // is too many.
        let mitm = facts.mitm.as_ref().is_some_and(|m| m.key == *key);
        let shared = |path: &[u8]| mitm || facts.shared.iter().any(|at| covers(at, path));
        match &resolved.place {
            place if !is_replaceable(place, files) => {}
            Place::Exists {
                path,
                kind: Kind::File,
                ..
            } => files.add(Entry {
                path: path.clone(),
                kind: Kind::File,
                hold: None,
                rule: Rule::Protected,
                origin: key.clone(),
            }),
            Place::Exists { path, .. } | Place::Absent { wanted: path, .. } if shared(path) => {
                problems.push(format!(
                    "{key}: {} lies where the command may write, and so may be any socket that it moves there: \
                     let the socket be there beforehand, or elsewhere",
                    shown(path)
                ));
            }
            Place::Exists { .. } | Place::Absent { .. } | Place::Unseen { .. } => {}
        }
    }
    problems
}

/// bubblewrap is run outside the sandbox: nobody inside may have made it.
pub(super) fn program(facts: &Facts, files: &Files) -> Vec<String> {
    let planted = |resolved: &&Resolved| {
        let mut links = resolved.links.iter();
        is_replaceable(&resolved.place, files) || links.any(|l| files.lies_in_writable(&l.path))
    };
    let problem = |resolved: &Resolved| {
        format!(
            "{}: lies where the command may write, which could have put another program there: set bwrapPath to \
             one that lies elsewhere, or deny writing there (filesystem.denyWrite)",
            resolved.key
        )
    };
    let own = facts.own_bubblewrap.iter();
    // Whoever gives the superuser's command the whole file system gives it that as well.
    let all = facts.host.user == User::Superuser && files.access(b"/") == Access::Write;
    own.filter(|_| !all).filter(planted).map(problem).collect()
}
