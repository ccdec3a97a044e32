//! Always-denied names as regular expressions.

use super::Mac;
use super::reading::case;
use super::regex::{self, Below, Case};
use super::text::Filter;
use crate::limits::SEATBELT_REGEX_BYTES;
use crate::parse::glob::Part;
use crate::parse::settings::GitConfig;
use crate::policy::Pattern;
use crate::policy::files::parent;
use crate::policy::protected::{git_rows, last, rows};

/// The directory whose names are git's.
const DOT_GIT: &[u8] = b".git";

/// Names, with the directory that they have to lie in, if that matters.
struct Names {
    inside: Option<&'static [u8]>,
    regex: Vec<u8>,
}

/// Every name; those in a git directory as one.
fn names(git: GitConfig, case: Case) -> Vec<Names> {
    let word = |text: &[u8]| {
        let mut out = Vec::new();
        regex::text(&mut out, text, case);
        out
    };
    let row = |inside: Option<&'static [u8]>, name: Vec<u8>| Names {
        inside,
        regex: match inside {
            Some(inside) => [word(inside).as_slice(), b"/", &name].concat(),
            None => name,
        },
    };
    let mut all: Vec<Names> = rows().map(|r| row(r.inside, word(r.name))).collect();
    // Submodules and linked worktrees have git directories of their own in it.
    let deeper = [word(b"modules"), word(b"worktrees")].join(&b'|');
    let own: Vec<Vec<u8>> = git_rows(git).map(|row| word(row.name)).collect();
    let own = [
        b"((",
        deeper.as_slice(),
        b")/(.*/)?)?(",
        &own.join(&b'|'),
        b")",
    ];
    all.push(row(Some(DOT_GIT), own.concat()));
    all
}

/// The expressions for some of these behind `start`, as many as it takes for none to be too
/// long.
fn behind(start: &[u8], names: &[&Names], key: &str) -> Vec<Filter> {
    let whole = |some: &[&[u8]]| {
        let mut regex = [start, b"(", &some.join(&b'|'), b")"].concat();
        regex::end(&mut regex, Below::Everything);
        regex
    };
    let mut filters = Vec::new();
    let mut some: Vec<&[u8]> = Vec::new();
    for name in names {
        some.push(&name.regex);
        if whole(&some).len() > SEATBELT_REGEX_BYTES && some.len() > 1 {
            some.pop();
            filters.push(Filter::Regex(whole(&some), key.to_owned()));
            some = vec![&name.regex];
        }
    }
    if !some.is_empty() {
        filters.push(Filter::Regex(whole(&some), key.to_owned()));
    }
    filters
}

/// A writable root: the expressions of what it lies in and of itself, each with the slash
/// behind it, and whether it may be called so.
struct Root<'a> {
    above: Vec<u8>,
    start: Vec<u8>,
    is_called: &'a dyn Fn(&[u8]) -> bool,
    key: &'a str,
}

/// The filters for all names below a root.
fn filters(root: &Root<'_>, git: GitConfig, case: Case) -> Vec<Filter> {
    let names = names(git, case);
    let deep = [root.start.as_slice(), b"(.*/)?"].concat();
    let mut all = behind(&deep, &names.iter().collect::<Vec<_>>(), root.key);
    // Some names count in the root itself, by what it is called.
    let own = names
        .iter()
        .filter(|n| n.inside.is_some_and(root.is_called));
    all.extend(behind(&root.above, &own.collect::<Vec<_>>(), root.key));
    all
}

/// The filters for all names below a path.
pub fn below_path(path: &[u8], key: &str, git: GitConfig, mac: &Mac) -> Vec<Filter> {
    let mut all = Vec::new();
    for path in mac.spellings(path) {
        let root = Root {
            above: regex::start(parent(&path).unwrap_or(b"/"), Case::Kept),
            start: regex::start(&path, Case::Kept),
            is_called: &|name| match mac.case {
                Case::Kept => name == last(&path),
                Case::Folded => name.eq_ignore_ascii_case(last(&path)),
            },
            key,
        };
        all.extend(filters(&root, git, mac.case));
    }
    all
}

/// The filters for all names below what `pattern` allows.
///
/// # Errors
/// It has no regular expression.
pub fn below(pattern: &Pattern, git: GitConfig, mac: &Mac) -> Result<Vec<Filter>, &'static str> {
    let kept = case(pattern.rule, mac);
    let mut all = Vec::new();
    for base in mac.spellings(&pattern.base) {
        let start = |parts: &[Part]| {
            let mut start = regex::regex((&base, kept), parts, kept, Below::Itself)?;
            // A slash instead of the end.
            start.pop();
            if start.last() != Some(&b'/') && !start.ends_with(b"(.*/)?") {
                start.push(b'/');
            }
            Ok(start)
        };
        let parts = pattern.glob.parts();
        let (name, above) = match parts.split_last() {
            Some((Part::Name(name), above)) => (name, above),
            _ => continue,
        };
        let root = Root {
            above: start(above)?,
            start: start(parts)?,
            is_called: &|other| name.matches(other),
            key: &pattern.key,
        };
        all.extend(filters(&root, git, mac.case));
    }
    Ok(all)
}
