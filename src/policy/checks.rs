//! What of the rules cannot be had on this host, and what of them does nothing.

use super::facts::{Facts, Host, Link, Place, Resolved, Stream, User};
use super::files::{Access, FRESH, Files, Rule, covers};
use super::{denies, entries, guarantees, shown};
use crate::parse::settings::{Resource, Settings, UserNamespaces};

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
