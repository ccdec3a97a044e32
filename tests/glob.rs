//! The glob matcher, against tables and against a naive one that tries everything.

use sandbox_runtime::limits::GLOB_PARTS;
use sandbox_runtime::parse::glob::{Glob, PathPattern, denied_pattern, path_pattern};

fn glob(pattern: &str) -> Glob {
    match path_pattern(pattern) {
        Ok(PathPattern::Glob(glob)) => glob,
        other => panic!("{pattern}: {other:?}"),
    }
}

fn matches(pattern: &str, path: &[u8]) -> bool {
    glob(pattern).matches(path.split(|&b| b == b'/'))
}

#[test]
fn patterns_match_names_below_their_base() {
    for (pattern, path, expected) in [
        ("*.pem", &b"a.pem"[..], true),
        ("*.pem", b"a/b.pem", false),
        ("**/*.pem", b"b.pem", true),
        ("**/*.pem", b"a/b/c.pem", true),
        ("**/*.pem", b"a.pem/b", false),
        ("*/x/**", b"a/x", true),
        ("*/x/**", b"a/x/y", false),
        ("?", "é".as_bytes(), true),
        ("??", "é".as_bytes(), false),
        ("?", b"\xff", true),
        ("[a-c]x", b"bx", true),
        ("[!a-c]x", b"bx", false),
        ("[^a-c]x", b"dx", true),
        ("[]]", b"]", true),
        ("[]a]", b"a", true),
        ("[!]]", b"]", false),
        ("[a\\-z]", b"-", true),
        ("[a\\-z]", b"b", false),
        ("[a-]", b"-", true),
        ("[é-ü]", "ö".as_bytes(), true),
        ("[!a]", b"\xff", true),
        ("\\*[x]", b"*x", true),
        ("*", b".hidden", true),
        ("*", b"new\nline", true),
        ("a**/../b", b"", false),
    ] {
        match path_pattern(pattern) {
            Ok(PathPattern::Glob(_)) => {
                assert_eq!(matches(pattern, path), expected, "{pattern} on {path:?}");
            }
            other => assert!(!expected && other.is_err(), "{pattern}: {other:?}"),
        }
    }
}

#[test]
fn a_name_with_a_set_in_a_deny_list_matches_its_own_spelling_too() {
    for (text, path, expected) in [
        ("[old] keys", "[old] keys", true),
        ("[old] keys", "o keys", true),
        ("[old] keys", "old keys", false),
        ("[old] keys/**", "[old] keys", true),
        ("*/[a]/**/[!b].pem", "x/[a]/y/[!b].pem", true),
        ("*/[a]/**/[!b].pem", "x/[b]/y/[!b].pem", false),
        ("\\[a]/[b]", "\\[a]/[b]", false),
    ] {
        let PathPattern::Glob(glob) = denied_pattern(text).unwrap() else {
            panic!("{text}");
        };
        let rest = path
            .strip_prefix(&format!("{}/", glob.base))
            .unwrap_or(path);
        assert_eq!(
            glob.matches(rest.split('/').map(str::as_bytes)),
            expected,
            "{text} on {path}"
        );
    }
    // What has no set is what it is elsewhere.
    for text in ["a", "/a/*/b", "\\[a]"] {
        assert_eq!(denied_pattern(text), path_pattern(text), "{text}");
    }
}

#[test]
fn the_base_is_the_directory_before_the_first_wildcard() {
    for (pattern, base) in [
        ("/a/b/*.c", "/a/b"),
        ("/*", "/"),
        ("*", ""),
        ("~/x/**/y", "~/x"),
        ("../a\\*/[x]", "../a*"),
        ("/a//b/./*", "/a/b/."),
    ] {
        assert_eq!(glob(pattern).base, base, "{pattern}");
    }
    for (pattern, literal) in [
        ("/a/**", "/a"),
        ("/**", "/"),
        ("a/", "a/"),
        ("/", "/"),
        ("**", "."),
        ("a\\\\b", "a\\b"),
        ("a\\[b\\]", "a[b]"),
    ] {
        let literal = PathPattern::Literal(literal.into());
        assert_eq!(path_pattern(pattern), Ok(literal), "{pattern}");
    }
}

#[test]
fn what_is_no_pattern_is_refused() {
    for pattern in [
        "",
        "a\0",
        "[a",
        "[a/b]",
        "[",
        "[!]",
        "a\\",
        "**a",
        "a**",
        "x/***",
        "[z-a]",
        "*/../b",
        "~root/x",
        "~*",
        "a\\b",
        "C:\\Users\\*",
    ] {
        assert!(path_pattern(pattern).is_err(), "{pattern}");
    }
    let deep = |parts: usize| path_pattern(&vec!["*"; parts].join("/"));
    assert!(deep(GLOB_PARTS).is_ok() && deep(GLOB_PARTS + 1).is_err());
    let longest = vec!["*"; GLOB_PARTS].join("/");
    assert!(matches(
        &longest,
        "a/".repeat(GLOB_PARTS).trim_end_matches('/').as_bytes()
    ));
}

/// Tries every way: what the matcher must agree with.
fn naive(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => {
            naive(rest, path)
                || path
                    .split_first()
                    .is_some_and(|(_, below)| naive(pattern, below))
        }
        (Some((first, rest)), Some((name, below))) => {
            naive_name(first.as_bytes(), name.as_bytes()) && naive(rest, below)
        }
        _ => false,
    }
}

fn naive_name(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            naive_name(rest, name)
                || name
                    .split_first()
                    .is_some_and(|(_, after)| naive_name(pattern, after))
        }
        (Some((b'?', rest)), Some((_, after))) => naive_name(rest, after),
        (Some((b'[', rest)), Some((&n, after))) => {
            let (members, rest) = naive_set(rest).unwrap();
            members.contains(&n) && naive_name(rest, after)
        }
        (Some((p, rest)), Some((n, after))) => p == n && naive_name(rest, after),
        _ => false,
    }
}

/// The bytes that a set stands for, and what follows it; `None` where it is none.
fn naive_set(after_bracket: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let negated = matches!(after_bracket.first(), Some(b'!' | b'^'));
    let inside = &after_bracket[usize::from(negated)..];
    // A first `]` is a member.
    let close = 1 + inside.get(1..)?.iter().position(|&b| b == b']')?;
    let mut listed = Vec::new();
    let mut left = &inside[..close];
    while let Some(&first) = left.first() {
        let (last, used) = match left {
            [_, b'-', last, ..] => (*last, 3),
            _ => (first, 1),
        };
        if last < first {
            return None;
        }
        listed.extend(first..=last);
        left = &left[used..];
    }
    let all = 0..=127;
    let members = all.filter(|b| listed.contains(b) != negated).collect();
    Some((members, &inside[close + 1..]))
}

/// Whether the text is the pattern of one name.
fn naive_valid(mut component: &[u8]) -> bool {
    let mut star = false;
    while let Some((&first, mut rest)) = component.split_first() {
        if first == b'[' {
            match naive_set(rest) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
        if star && first == b'*' {
            return false;
        }
        star = first == b'*';
        component = rest;
    }
    true
}

/// Every string over `alphabet` up to `longest`.
fn strings(alphabet: &[u8], longest: usize) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut from = 0;
    for _ in 0..longest {
        let to = all.len();
        for index in from..to {
            for &letter in alphabet {
                let mut next = all[index].clone();
                next.push(char::from(letter));
                all.push(next);
            }
        }
        from = to;
    }
    all
}

/// Every pattern over `alphabet` up to `longest` against every path over `letters` up to
/// `deepest`: what is no pattern is refused, and what is one matches what the naive matcher
/// does. How many pairs that were.
fn compare(alphabet: &[u8], longest: usize, letters: &[u8], deepest: usize) -> usize {
    let texts: Vec<String> = strings(letters, deepest)
        .into_iter()
        .filter(|p| p.split('/').all(|name| !name.is_empty()))
        .collect();
    let paths: Vec<Vec<&str>> = texts.iter().map(|p| p.split('/').collect()).collect();
    let mut compared = 0;
    for pattern in strings(alphabet, longest) {
        let mut parts: Vec<&str> = pattern.split('/').filter(|p| !p.is_empty()).collect();
        let valid = parts
            .iter()
            .all(|p| *p == "**" || naive_valid(p.as_bytes()));
        let read = path_pattern(&pattern);
        assert_eq!(read.is_ok(), valid && !pattern.is_empty(), "{pattern}");
        // The base is matched by the file system; a trailing `**` stands for nothing.
        let literal = parts
            .iter()
            .take_while(|p| !p.contains(['*', '?', '[']))
            .count();
        parts.drain(..literal);
        while parts.last() == Some(&"**") {
            parts.pop();
        }
        let Ok(PathPattern::Glob(glob)) = read else {
            assert!(!valid || parts.is_empty(), "{pattern} is literal");
            continue;
        };
        for path in &paths {
            let ours = glob.matches(path.iter().map(|n| n.as_bytes()));
            assert_eq!(ours, naive(&parts, path), "{pattern} on {path:?}");
        }
        compared += paths.len();
    }
    compared
}

#[test]
fn every_small_pattern_agrees_with_the_naive_matcher() {
    let compared = compare(b"ab/?*", 5, b"ab/", 5);
    assert!(compared > 300_000, "{compared}");
}

#[test]
fn every_pattern_of_seven_characters_agrees_with_the_naive_matcher() {
    let compared = compare(b"ab/?*", 7, b"ab/", 3);
    assert!(compared > 1_000_000, "{compared}");
}

#[test]
fn every_set_of_seven_characters_agrees_with_the_naive_matcher() {
    let compared = compare(b"a[]!-", 7, b"a]!-[", 2);
    assert!(compared > 100_000, "{compared}");
    let compared = compare(b"ab[]-^", 6, b"ab]-^`", 2);
    assert!(compared > 100_000, "{compared}");
}

#[test]
fn every_small_mixture_agrees_with_the_naive_matcher() {
    let compared = compare(b"a/?*[]", 6, b"a]/", 3);
    assert!(compared > 200_000, "{compared}");
}

#[test]
fn pitfall_38_wildcard_runs_take_no_exponential_time() {
    let name = vec![b'a'; 250];
    let pattern = format!("{}b", "*a".repeat(120));
    for _ in 0..1_000 {
        assert!(!matches(&pattern, &name));
    }
    let deep: Vec<u8> = b"a/".repeat(2_000);
    let pattern = format!("{}b", "**/a/".repeat(30));
    assert!(!matches(&pattern, &deep));
}
