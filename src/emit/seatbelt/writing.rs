//! What may be written, and what must stay where it is.

use std::collections::{BTreeMap, BTreeSet};

use super::reading::{Sight, Step, matching, said, steps};
use super::regex::{self, Below, Case};
use super::text::Action::{Allow, Deny};
use super::text::{Filter, Profile};
use super::{Mac, ancestry, protected};
use crate::policy::files::{Access, Entry, Kind, Rule, covers, parent};
use crate::policy::protected::{last, reason};
use crate::policy::{Pattern, Policy};

/// Where something may be written.
enum Root<'a> {
    /// Below this path.
    Path(&'a [u8], &'a str),
    /// Below what matches.
    Pattern(&'a Pattern),
}

impl Root<'_> {
    fn filters(&self, mac: &Mac) -> Result<Vec<Filter>, String> {
        match self {
            Self::Path(path, key) => Ok(subpaths(path, key, mac)),
            Self::Pattern(pattern) => matching(pattern, mac),
        }
    }
}

fn subpaths(path: &[u8], key: &str, mac: &Mac) -> Vec<Filter> {
    let spelled = mac.spellings(path).into_iter();
    spelled
        .map(|path| Filter::Subpath(path, key.to_owned()))
        .collect()
}

fn roots<'a>(policy: &'a Policy, mac: &'a Mac) -> Vec<Root<'a>> {
    let rules = policy.files.rules();
    let named = rules.filter(|(_, rule, _)| *rule == Rule::AllowWrite);
    let paths = named.map(|(path, _, key)| Root::Path(path, key));
    let own = mac.user_temporary.iter();
    let own = own.map(|path| Root::Path(path, "the user's temporary directory"));
    let patterns = policy
        .patterns
        .iter()
        .filter(|pattern| pattern.rule == Rule::AllowWrite);
    paths
        .chain(own)
        .chain(patterns.map(Root::Pattern))
        .collect()
}

/// Writing: nothing, but what is allowed; and of that, nothing that is denied or hidden.
pub fn writing(profile: &mut Profile, policy: &Policy, mac: &Mac) {
    let roots = roots(policy, mac);
    profile.group("writing", "only filesystem.allowWrite");
    below(profile, policy, mac, b"/", &roots);
    let temporary: Vec<(&[u8], &str)> = policy
        .files
        .rules()
        .filter_map(|(path, rule, key)| (rule == Rule::Temporary).then_some((path, key)))
        .collect();
    for (path, key) in temporary {
        profile.group(
            "temporary directory",
            "the run's own, whatever lies above it",
        );
        below(profile, policy, mac, path, &[Root::Path(path, key)]);
    }
}

/// What may be written of all that lies below `within`, where `roots` are.
fn below(profile: &mut Profile, policy: &Policy, mac: &Mac, within: &[u8], roots: &[Root<'_>]) {
    for root in roots {
        match root.filters(mac) {
            Ok(filters) => profile.rule(Allow, "file-write*", &filters),
            Err(text) => profile.problem(text),
        }
    }
    // What cannot be said of these is told of reading.
    let (steps, _) = steps(policy, mac, within);
    profile.group("written blindly", "what is hidden is not written either");
    for step in &steps {
        match step.sight {
            Sight::Hidden => profile.rule(Deny, "file-write*", &step.filters),
            Sight::Shown => profile.rule(Allow, "file-write*", &shown(step, roots, mac)),
        }
    }
    let inside = |path: &[u8]| covers(within, path) && (path != within || within == b"/");
    let denied = |rule: Rule| matches!(rule, Rule::DenyWrite | Rule::Protected);
    let rules = policy.files.rules();
    let rules = rules.filter(|(path, rule, _)| denied(*rule) && inside(path));
    let mut rules: BTreeMap<&[u8], &str> = rules.map(|(path, _, key)| (path, key)).collect();
    let absent = policy.absent.iter();
    let absent = absent.filter(|entry| inside(&entry.path) && !is_always(entry));
    let absent: BTreeMap<&[u8], &str> = absent
        .map(|entry| (entry.path.as_slice(), entry.origin.as_str()))
        .collect();
    rules.extend(&absent);
    for entry in policy.absent.iter().filter(|entry| is_always(entry)) {
        rules.remove(entry.path.as_slice());
    }
    let patterns: Vec<&Pattern> = policy
        .patterns
        .iter()
        .filter(|p| p.rule == Rule::DenyWrite)
        .collect();
    profile.group(
        "denied",
        "filesystem.denyWrite, and what is never written, at any depth",
    );
    for (path, key) in rules {
        let mut filters = subpaths(path, key, mac);
        let absent = absent.contains_key(path);
        // It could be made under a name that the file system takes for the same.
        if let (Case::Folded, true, Some(above)) = (mac.case, absent, parent(path)) {
            for above in mac.spellings(above) {
                let regex = regex::path(&above, last(path), Case::Folded);
                filters.push(Filter::Regex(regex, key.to_owned()));
            }
        }
        profile.rule(Deny, "file-write*", &filters);
    }
    for pattern in patterns {
        match denial(pattern, mac, within) {
            Ok(filters) => profile.rule(Deny, "file-write*", &filters),
            Err(text) => profile.problem(text),
        }
    }
    if within == b"/" {
        always(profile, policy, mac, roots);
    }
}

/// Whether an absent name is among those that are denied at any depth: then it needs no rule
/// of its own.
fn is_always(entry: &Entry) -> bool {
    let above = parent(&entry.path).map(last).unwrap_or_default();
    entry.rule == Rule::Protected && reason(above, last(&entry.path), Kind::Directory).is_some()
}

/// What a denied pattern matches below `within`.
fn denial(pattern: &Pattern, mac: &Mac, within: &[u8]) -> Result<Vec<Filter>, String> {
    if covers(within, &pattern.base) {
        return matching(pattern, mac);
    }
    let mut filters = Vec::new();
    for parts in said(pattern, within, mac).below {
        for base in mac.spellings(within) {
            let regex = regex::regex((&base, Case::Kept), &parts, mac.case, Below::Everything)
                .map_err(|why| format!("{}: {why}", pattern.key))?;
            filters.push(Filter::Regex(regex, pattern.key.clone()));
        }
    }
    Ok(filters)
}

/// What of `roots` lies in what a step shows again.
fn shown(step: &Step, roots: &[Root<'_>], mac: &Mac) -> Vec<Filter> {
    let mut filters = Vec::new();
    for root in roots {
        match (root, step.path.as_deref()) {
            (Root::Path(root, _), Some(path)) if covers(root, path) => {
                filters.extend(step.filters.iter().cloned());
            }
            (Root::Path(root, key), Some(path)) if covers(path, root) => {
                filters.extend(subpaths(root, key, mac));
            }
            (Root::Path(..), Some(_)) => {}
            _ => {
                // What cannot be said of a root is told already.
                for root in root.filters(mac).unwrap_or_default() {
                    let both = |one: &Filter| Filter::All(vec![one.clone(), root.clone()]);
                    filters.extend(step.filters.iter().map(both));
                }
            }
        }
    }
    filters
}

/// The names that are never written, at any depth below each root: what is not there yet
/// has no path that could be named.
fn always(profile: &mut Profile, policy: &Policy, mac: &Mac, roots: &[Root<'_>]) {
    profile.group(
        "always denied",
        "names that make other programs run something later",
    );
    let covered = |path: &[u8]| {
        let above = |root: &Root<'_>| matches!(root, Root::Path(other, _) if *other != path && covers(other, path));
        let matched =
            |root: &Root<'_>| matches!(root, Root::Pattern(p) if said(p, path, mac).itself);
        roots.iter().any(|root| above(root) || matched(root))
    };
    for root in roots {
        let filters = match root {
            Root::Path(path, _) if covered(path) => continue,
            Root::Path(path, key) => protected::below_path(path, key, policy.git_config, mac),
            Root::Pattern(pattern) => match protected::below(pattern, policy.git_config, mac) {
                Ok(filters) => filters,
                Err(_) => continue,
            },
        };
        profile.rule(Deny, "file-write*", &filters);
    }
}

/// What is denied must not be moved away with a directory above it, nor be replaced: what
/// lies above stays. Neither is said of what lies in these directories.
pub fn moves(profile: &mut Profile, policy: &Policy, mac: &Mac) {
    let mut stay: BTreeMap<Vec<u8>, String> = BTreeMap::new();
    let mut add = |path: &[u8], key: &str| {
        for at in ancestry(path) {
            for at in mac.spellings(at) {
                stay.entry(at).or_insert_with(|| key.to_owned());
            }
        }
    };
    let denies = |rule: Rule| {
        matches!(
            rule,
            Rule::DenyRead | Rule::DenyWrite | Rule::Protected | Rule::Pinned
        )
    };
    let always = policy.absent.iter().filter(|entry| is_always(entry));
    let always: BTreeSet<&[u8]> = always.map(|entry| entry.path.as_slice()).collect();
    for (path, rule, key) in policy.files.rules() {
        let held = if always.contains(path) {
            parent(path)
        } else {
            Some(path)
        };
        if let (true, Some(held)) = (denies(rule), held) {
            add(held, key);
        }
    }
    for pattern in policy
        .patterns
        .iter()
        .filter(|pattern| denies(pattern.rule))
    {
        add(&pattern.base, &pattern.key);
    }
    if let Some(path) = &mac.user_temporary {
        add(path, "the user's temporary directory");
    }
    // Nor what the next run would take for its own roots.
    for (path, rule, key) in policy.files.rules() {
        let around = parent(path).map(|above| policy.files.access(above));
        let root = matches!(rule, Rule::AllowWrite | Rule::AllowRead | Rule::Temporary);
        let changes = around != Some(policy.files.access(path));
        if root && changes && around.is_some_and(|access| access != Access::Write) {
            add(path, key);
        }
    }
    profile.group(
        "moves",
        "nothing that a rule rests on is moved away or replaced, nor what lies above it",
    );
    let all = stay
        .into_iter()
        .map(|(path, key)| Filter::Literal(path, key));
    let all: Vec<Filter> = all.collect();
    profile.rule(Deny, "file-write-unlink file-write-create", &all);
}
