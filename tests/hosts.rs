//! Hosts and patterns: every one of a small vocabulary, against the words of the manual.
//! `host` is that host, `*.host` any name below it and not itself, `*` (of a deny list)
//! every host; `:port` is that port, and none is every one.

use sandbox_runtime::parse::host::{List, PatternError, authority, pattern};
use sandbox_runtime::parse::settings::settings;
use sandbox_runtime::policy::network::{Network, Verdict};
use sandbox_runtime::policy::route::Routes;

/// Addresses, as they are written.
const ADDRESSES: [&str; 3] = ["1.2.3.4", "[::1]", "[2001:db8::1]"];

/// Every name of one to `most` of these labels.
fn names(labels: &[&str], most: usize) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut longest: Vec<String> = vec![String::new()];
    for _ in 0..most {
        let add = |name: &String| {
            let name = name.clone();
            labels.iter().map(move |label| format!("{name}.{label}"))
        };
        longest = longest.iter().flat_map(add).collect();
        all.extend(longest.iter().map(|name| name[1..].to_owned()));
    }
    all
}

fn with_ports(hosts: &[String], ports: &[&str]) -> Vec<String> {
    let one = |host: &String| {
        let host = host.clone();
        ports.iter().map(move |port| format!("{host}{port}"))
    };
    hosts.iter().flat_map(one).collect()
}

/// The host, and the port behind it.
fn split(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    }
}

/// Whether the text is a pattern of that list.
fn is_pattern(text: &str, list: List) -> bool {
    let (host, _) = split(text);
    let below = host.strip_prefix("*.");
    match below {
        None if host == "*" => list == List::Deny,
        None => !host.contains('*'),
        Some(_) if ADDRESSES.iter().any(|ip| Some(*ip) == below) => false,
        Some(name) => !name.contains('*') && (name.contains('.') || name == "localhost"),
    }
}

/// Whether a pattern speaks of the canonical `target`.
fn speaks_of(pattern: &str, target: &str) -> bool {
    let (mine, port) = split(pattern);
    let (host, at) = split(target);
    let address = ADDRESSES.contains(&host);
    let labels: Vec<&str> = host.split('.').collect();
    let hosts = match mine.strip_prefix("*.") {
        _ if mine == "*" => true,
        None => mine == host,
        Some(above) => {
            let above: Vec<&str> = above.split('.').collect();
            !address && labels.len() > above.len() && labels.ends_with(&above)
        }
    };
    hosts && (port.is_none() || port == at)
}

fn all_patterns() -> Vec<String> {
    let mut hosts = names(&["a", "b", "ab", "com", "localhost", "*"], 3);
    hosts.extend(ADDRESSES.map(str::to_owned));
    hosts.extend(ADDRESSES.map(|ip| format!("*.{ip}")));
    with_ports(&hosts, &["", ":1", ":443"])
}

fn all_targets() -> Vec<String> {
    let mut hosts = names(&["a", "b", "ab", "com", "localhost"], 4);
    hosts.extend(ADDRESSES.map(str::to_owned));
    with_ports(&hosts, &[":1", ":443"])
}

#[test]
fn every_pattern_of_a_small_vocabulary_is_what_the_manual_says() {
    let targets = all_targets();
    let read: Vec<_> = targets
        .iter()
        .map(|text| authority(text.as_bytes()).unwrap())
        .collect();
    let (mut matched, mut refused) = (0, 0);
    for text in all_patterns() {
        for list in [List::Allow, List::Deny] {
            let found = pattern(&text, list);
            assert_eq!(found.is_ok(), is_pattern(&text, list), "{text} {list:?}");
            let Ok(found) = found else {
                refused += 1;
                continue;
            };
            assert_eq!(found.to_string(), text);
            for (target, text_of) in read.iter().zip(&targets) {
                let ours = found.matches(target);
                assert_eq!(ours, speaks_of(&text, text_of), "{text} of {text_of}");
                matched += usize::from(ours);
            }
        }
    }
    assert_eq!(
        pattern("*", List::Allow),
        Err(PatternError::Everything),
        "an allow list names what it allows"
    );
    assert!(matched > 5_000 && refused > 300, "{matched} {refused}");
}

#[test]
fn every_spelling_of_a_host_is_the_same_host() {
    for target in all_targets() {
        let (host, port) = split(&target);
        let meant = authority(target.as_bytes()).unwrap();
        assert_eq!(meant.to_string(), target);
        for (other, same) in [
            (host.to_uppercase(), true),
            (format!("{host}."), !host.ends_with(']')),
            (format!("{host}.."), false),
            (format!(".{host}"), false),
        ] {
            let found = authority(format!("{other}:{}", port.unwrap()).as_bytes());
            let ours = found.as_ref() == Ok(&meant);
            assert_eq!(ours, same, "{other}: {found:?}");
        }
    }
}

#[test]
fn every_pair_of_an_allowed_and_a_denied_pattern_decides_as_the_manual_says() {
    let targets = with_ports(&names(&["a", "b", "com"], 3), &[":1", ":443"]);
    let read: Vec<_> = targets
        .iter()
        .map(|text| authority(text.as_bytes()).unwrap())
        .collect();
    let hosts = ["a.com", "b.a.com", "*.a.com", "*.com.a", "a", "*"].map(str::to_owned);
    let patterns = with_ports(&hosts, &["", ":1", ":443"]);
    let mut allowed = 0;
    for allow in patterns.iter().filter(|p| is_pattern(p, List::Allow)) {
        for deny in &patterns {
            let json = format!(
                r#"{{"network": {{"allowedDomains": ["{allow}"], "deniedDomains": ["{deny}"]}}}}"#
            );
            let settings = settings(json.as_bytes()).unwrap();
            let network = Network::new(&settings.network, &[], Routes::default());
            for (target, text) in read.iter().zip(&targets) {
                let verdict = network.decide(target);
                let ours = matches!(verdict, Verdict::Allow { .. });
                let meant = speaks_of(allow, text) && !speaks_of(deny, text);
                assert_eq!(ours, meant, "{text}: {json}");
                allowed += usize::from(ours);
            }
        }
    }
    assert!(allowed > 400, "{allowed}");
}
