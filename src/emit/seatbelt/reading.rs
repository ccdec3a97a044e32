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
use crate::parse::glob::{Glob, Part};
use crate::policy::files::{Kind, Rule, covers};
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
    /// That path; or what all that matches lies below.
    at: Vec<u8>,
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
    let base = if pattern.kind == Kind::Absent {
        case
    } else {
        Case::Kept
    };
    let folded = folded(pattern, case);
    expressions(pattern, (&pattern.base, base), folded.parts(), case, mac)
}

/// The pattern, for names in small letters where `case` asks for that.
fn folded(pattern: &Pattern, case: Case) -> Glob {
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

/// What is said of reading, on the way to steps.
struct Rules<'a> {
    mac: &'a Mac,
    patterns: Vec<(Sight, &'a Pattern)>,
    steps: Vec<Step>,
    problems: Vec<String>,
}

impl Rules<'_> {
    /// What the patterns say below a path that is settled as `around`.
    fn below(&mut self, path: &[u8], around: Sight) {
        let mut found = Vec::new();
        for (sight, pattern) in &self.patterns {
            let mut add = |base: &[u8], parts: &[Part], filters| {
                found.push((depth(*sight, base, parts), *sight, base.to_vec(), filters));
            };
            if covers(path, &pattern.base) && path != pattern.base.as_slice() {
                let filters = matching(pattern, self.mac);
                add(&pattern.base, pattern.glob.parts(), filters);
                continue;
            }
            let case = case(pattern.rule, self.mac);
            for parts in said(pattern, path, self.mac).below {
                let filters = expressions(pattern, (path, Case::Kept), &parts, case, self.mac);
                add(path, &parts, filters);
            }
        }
        found.sort_by_key(|(depth, sight, ..)| (*depth, *sight));
        let first = found.iter().position(|(_, sight, ..)| *sight != around);
        for (_, sight, at, filters) in found.into_iter().skip(first.unwrap_or(usize::MAX)) {
            match filters {
                Ok(filters) => self.steps.push(Step {
                    sight,
                    filters,
                    path: None,
                    at,
                }),
                Err(problem) => self.problems.push(problem),
            }
        }
    }

    /// What the rules on a path, and the patterns that match it, say of it; and the key.
    fn of<'b>(&'b self, path: &[u8], rules: &[(Rule, &'b str)]) -> Option<(Sight, &'b str)> {
        let find = |wanted: Rule| {
            let one = rules.iter().find(|(rule, _)| *rule == wanted);
            one.map(|(_, key)| *key)
        };
        if let Some(key) = find(Rule::Temporary) {
            return Some((Sight::Shown, key));
        }
        if let Some(key) = find(Rule::DenyRead) {
            return Some((Sight::Hidden, key));
        }
        let key = find(Rule::AllowRead)?;
        let mut hides = self.patterns.iter().filter(|(sight, pattern)| {
            *sight == Sight::Hidden && said(pattern, path, self.mac).itself
        });
        Some(match hides.next() {
            Some((_, pattern)) => (Sight::Hidden, &pattern.key),
            None => (Sight::Shown, key),
        })
    }

    /// Whether something may be hidden at `path`.
    fn is_hidden(&self, path: &[u8]) -> bool {
        let mut steps = self.steps.iter();
        steps.any(|step| step.sight == Sight::Hidden && covers(&step.at, path))
    }
}

/// Every step, for all that lies below `within`, which is to be seen itself; with what
/// cannot be said.
pub fn steps(policy: &Policy, mac: &Mac, within: &[u8]) -> (Vec<Step>, Vec<String>) {
    let patterns = policy.patterns.iter();
    let mut rules = Rules {
        mac,
        patterns: patterns
            .filter_map(|pattern| Some((sight(pattern.rule)?, pattern)))
            .collect(),
        steps: Vec::new(),
        problems: Vec::new(),
    };
    rules.below(within, Sight::Shown);
    let mut paths: BTreeMap<&[u8], Vec<(Rule, &str)>> = BTreeMap::new();
    for (path, rule, origin) in policy.files.rules() {
        let inside = covers(within, path) && (path != within || within == b"/");
        if sight(rule).is_some() && inside {
            paths.entry(path).or_default().push((rule, origin));
        }
    }
    for (path, said) in paths {
        let Some((sight, key)) = rules.of(path, &said) else {
            continue;
        };
        if sight == Sight::Shown && !rules.is_hidden(path) {
            continue;
        }
        let spelled = mac.spellings(path).into_iter();
        let subpath = |path| Filter::Subpath(path, key.to_owned());
        let step = Step {
            sight,
            filters: spelled.map(subpath).collect(),
            path: Some(path.to_vec()),
            at: path.to_vec(),
        };
        rules.steps.push(step);
        rules.below(path, sight);
    }
    (rules.steps, rules.problems)
}

/// Reading: everything, but what is hidden.
pub fn reading(profile: &mut Profile, policy: &Policy, mac: &Mac) {
    let (steps, problems) = steps(policy, mac, b"/");
    problems.into_iter().for_each(|text| profile.problem(text));
    profile.group("reading", "everything may be read");
    profile.whole(Allow, "file-read*");
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
