//! What is hidden.
//!
//! Of rules on reading, the most specific decides. For paths that is an order: those above
//! before those below, the denial where both are said of one. A pattern's matches lie at
//! no one depth. So patterns come first, in an order that never lets an allowance stand
//! behind a denial that may be as specific, and every path after them settles all that lies
//! below it anew: itself, and what the patterns still say there.

use std::collections::BTreeMap;

use super::Mac;
use super::regex::{self, Below, Case};
use super::text::Action::{Allow, Deny};
use super::text::{Filter, Profile};
use crate::parse::glob::Part;
use crate::policy::files::{Rule, covers};
use crate::policy::{Pattern, Policy};

/// Whether something is to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sight {
    /// It is.
    Shown,
    /// It is not.
    Hidden,
}

/// One step: whatever it is about is hidden, or shown, in spite of the steps before.
pub struct Step {
    /// Which of the two.
    pub sight: Sight,
    /// What it is about, in every spelling.
    pub filters: Vec<Filter>,
    /// The path, if it is one.
    pub path: Option<Vec<u8>>,
}

/// Which letters of a rule's patterns match in either case: a denial must not be got round
/// by another spelling, and an allowance is for the one that is written.
pub fn case(rule: Rule, mac: &Mac) -> Case {
    match rule {
        Rule::DenyRead | Rule::DenyWrite | Rule::Protected => mac.case,
        Rule::AllowRead | Rule::AllowWrite | Rule::Pinned | Rule::Temporary => Case::Kept,
    }
}

/// The filters for what matches `pattern`, and what is below.
///
/// # Errors
/// It has no regular expression.
pub fn matching(pattern: &Pattern, mac: &Mac) -> Result<Vec<Filter>, String> {
    let case = case(pattern.rule, mac);
    let base = if pattern.kind == crate::policy::files::Kind::Absent {
        case
    } else {
        Case::Kept
    };
    let folded = folded(pattern, case);
    expressions(pattern, (&pattern.base, base), folded.parts(), case, mac)
}

/// The pattern, for names in small letters where `case` asks for that.
fn folded(pattern: &Pattern, case: Case) -> crate::parse::glob::Glob {
    match case {
        Case::Kept => pattern.glob.clone(),
        Case::Folded => pattern.glob.folded(),
    }
}

fn expressions(
    pattern: &Pattern,
    base: (&[u8], Case),
    parts: &[Part],
    case: Case,
    mac: &Mac,
) -> Result<Vec<Filter>, String> {
    let mut filters = Vec::new();
    for spelled in mac.spellings(base.0) {
        let regex = regex::regex((&spelled, base.1), parts, case, Below::Everything)
            .map_err(|why| format!("{}: {:?}: {why}", pattern.key, pattern.glob.written))?;
        filters.push(Filter::Regex(regex, pattern.key.clone()));
    }
    Ok(filters)
}

/// What a pattern says of a path.
#[derive(Debug, Default)]
pub struct Said {
    /// It matches the path itself.
    pub itself: bool,
    /// What has to match below it.
    pub below: Vec<Vec<Part>>,
}

/// What `pattern` says of `path`.
pub fn said(pattern: &Pattern, path: &[u8], mac: &Mac) -> Said {
    let case = case(pattern.rule, mac);
    let spelled = |text: &[u8]| match case {
        Case::Kept => text.to_vec(),
        Case::Folded => text.to_ascii_lowercase(),
    };
    let (base, path) = (spelled(&pattern.base), spelled(path));
    if !covers(&base, &path) {
        return Said::default();
    }
    let base = base.strip_suffix(b"/").unwrap_or(&base);
    let names = path.strip_prefix(base).unwrap_or_default();
    let names = names.split(|&b| b == b'/').filter(|name| !name.is_empty());
    let glob = folded(pattern, case);
    let mut at = glob.start();
    let mut said = Said::default();
    for name in names {
        (at, said.itself) = glob.step(at, name);
    }
    said.below = glob.rests(at).map(<[Part]>::to_vec).collect();
    said
}

/// How deep what matches may lie: an allowance stands where its shallowest match belongs,
/// a denial where its deepest does.
fn depth(sight: Sight, base: &[u8], parts: &[Part]) -> usize {
    let slashes = base.iter().filter(|b| **b == b'/').count();
    let names = parts.iter().filter(|part| **part != Part::Directories);
    match sight {
        Sight::Hidden if parts.contains(&Part::Directories) => usize::MAX,
        Sight::Hidden | Sight::Shown => slashes.saturating_add(names.count()),
    }
}

fn sight(rule: Rule) -> Option<Sight> {
    match rule {
        Rule::DenyRead => Some(Sight::Hidden),
        Rule::AllowRead | Rule::Temporary => Some(Sight::Shown),
        Rule::AllowWrite | Rule::DenyWrite | Rule::Protected | Rule::Pinned => None,
    }
}

/// Every step, for all that lies below `within`, which is to be seen itself; with what
/// cannot be said.
pub fn steps(policy: &Policy, mac: &Mac, within: &[u8]) -> (Vec<Step>, Vec<String>) {
    let mut problems = Vec::new();
    let patterns: Vec<(Sight, &Pattern)> = policy
        .patterns
        .iter()
        .filter_map(|pattern| Some((sight(pattern.rule)?, pattern)))
        .collect();
    // What the patterns say below a path that is settled as `around`.
    let mut below = |path: &[u8], around: Sight| {
        let mut found = Vec::new();
        for (sight, pattern) in &patterns {
            if covers(path, &pattern.base) && path != pattern.base.as_slice() {
                let depth = depth(*sight, &pattern.base, pattern.glob.parts());
                found.push((depth, *sight, matching(pattern, mac)));
                continue;
            }
            let case = case(pattern.rule, mac);
            for parts in said(pattern, path, mac).below {
                let filters = expressions(pattern, (path, Case::Kept), &parts, case, mac);
                found.push((depth(*sight, path, &parts), *sight, filters));
            }
        }
        found.sort_by_key(|(depth, sight, _)| (*depth, *sight));
        let steps = found
            .into_iter()
            .skip_while(|(_, sight, _)| *sight == around);
        let mut all = Vec::new();
        for (_, sight, filters) in steps {
            match filters {
                Ok(filters) => all.push(Step {
                    sight,
                    filters,
                    path: None,
                }),
                Err(problem) => problems.push(problem),
            }
        }
        all
    };
    let mut steps = below(within, Sight::Shown);
    let mut paths: BTreeMap<&[u8], Vec<(Rule, &str)>> = BTreeMap::new();
    for (path, rule, origin) in policy.files.rules() {
        let inside = covers(within, path) && (path != within || within == b"/");
        if sight(rule).is_some() && inside {
            paths.entry(path).or_default().push((rule, origin));
        }
    }
    for (path, rules) in paths {
        let find = |wanted: Rule| rules.iter().find(|(rule, _)| *rule == wanted);
        let denying = |(sight, pattern): &&(Sight, &Pattern)| {
            *sight == Sight::Hidden && said(pattern, path, mac).itself
        };
        let (sight, key) = match (find(Rule::Temporary), find(Rule::DenyRead)) {
            (Some((_, key)), _) => (Sight::Shown, *key),
            (None, Some((_, key))) => (Sight::Hidden, *key),
            (None, None) => match (patterns.iter().find(denying), find(Rule::AllowRead)) {
                (Some((_, pattern)), _) => (Sight::Hidden, pattern.key.as_str()),
                (None, Some((_, key))) => (Sight::Shown, *key),
                (None, None) => continue,
            },
        };
        let spelled = mac.spellings(path).into_iter();
        steps.push(Step {
            sight,
            filters: spelled
                .map(|path| Filter::Subpath(path, key.to_owned()))
                .collect(),
            path: Some(path.to_vec()),
        });
        steps.extend(below(path, sight));
    }
    let steps = steps
        .into_iter()
        .skip_while(|step| step.sight == Sight::Shown);
    (steps.collect(), problems)
}

/// Reading: everything, but what is hidden.
pub fn reading(profile: &mut Profile, policy: &Policy, mac: &Mac) {
    let (steps, problems) = steps(policy, mac, b"/");
    problems.into_iter().for_each(|text| profile.problem(text));
    profile.group("reading", "everything may be read");
    profile.whole(Allow, "file-read*");
    if steps.is_empty() {
        return;
    }
    profile.group(
        "hidden",
        "but filesystem.denyRead; filesystem.allowRead shows again; the most specific comes last",
    );
    for step in &steps {
        let action = match step.sight {
            Sight::Shown => Allow,
            Sight::Hidden => Deny,
        };
        profile.rule(action, "file-read*", &step.filters);
    }
    let root = |step: &Step| step.path.as_deref() == Some(b"/");
    if steps.iter().any(root) {
        profile.group(
            "root",
            "no program starts that cannot read the root directory itself",
        );
        profile.rule(
            Allow,
            "file-read*",
            &[Filter::Literal(b"/".to_vec(), "the root".into())],
        );
    }
    if steps.iter().any(|step| step.sight == Sight::Shown) {
        profile.group(
            "ways",
            "to what is shown again lead hidden directories, which are looked at on the way",
        );
        let directory = Filter::Plain("(vnode-type DIRECTORY)".into());
        profile.rule(Allow, "file-read-metadata", &[directory]);
    }
}
