//! What is kept, logged and suggested of refusals, as tables.

use sandbox_runtime::limits::{LOG_LINE_BYTES, VIOLATIONS};
use sandbox_runtime::parse::json::{Node, Value, document};
use sandbox_runtime::parse::settings::settings;
use sandbox_runtime::violation::digest::sha256;
use sandbox_runtime::violation::log::{self, Head};
use sandbox_runtime::violation::merge::merge;
use sandbox_runtime::violation::suggest::{Lies, Sight, suggest};
use sandbox_runtime::violation::{Added, Ignored, Kind, Outcome, Process, Store, Violation};

const NO_RULE: &str = "no rule allows it";

fn violation(kind: Kind, action: &str, target: &str, rule: &str) -> Violation {
    Violation {
        kind,
        action: action.into(),
        target: target.into(),
        rule: rule.into(),
        reason: rule.into(),
        outcome: Outcome::Denied,
        process: Some(Process {
            pid: 7,
            program: "/usr/bin/cp".into(),
        }),
        time: 0,
        count: 1,
    }
}

fn write(target: &str) -> Violation {
    violation(Kind::Write, "openat", target, NO_RULE)
}

fn field<'a>(node: &'a Node, name: &str) -> &'a Value {
    let Value::Object(members) = &node.value else {
        panic!("no object");
    };
    let mut named = members.iter().filter(|(key, _)| key.text == name);
    let found = &named.next().unwrap_or_else(|| panic!("no {name}")).1.value;
    assert!(named.next().is_none(), "{name} stands twice");
    found
}

fn text(node: &Node, name: &str) -> String {
    match field(node, name) {
        Value::Text(text) => text.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn the_digest_is_sha256() {
    // FIPS 180-4's own examples, and lengths around a block's end.
    let cases = [
        (
            &b""[..],
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (
            b"abc",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
        (
            &[b'a'; 55],
            "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318",
        ),
        (
            &[b'a'; 64],
            "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb",
        ),
        (
            &[b'a'; 1_000_000],
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
        ),
    ];
    for (input, digest) in cases {
        assert_eq!(sha256(input), digest, "{} bytes", input.len());
    }
}

#[test]
fn times_are_written_as_rfc_3339_has_them() {
    let cases = [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_399_999, "2000-02-28T23:59:59.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (951_868_800_000, "2000-03-01T00:00:00.000Z"),
        (1_709_164_800_001, "2024-02-29T00:00:00.001Z"),
        (1_735_689_599_000, "2024-12-31T23:59:59.000Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
    ];
    for (millis, written) in cases {
        assert_eq!(log::time(millis), written);
    }
    // A clock that is wrong makes no panic and no endless loop.
    assert!(log::time(u64::MAX).starts_with("9999-"));
}

#[test]
fn pitfall_57_no_target_forges_a_line_a_field_or_an_escape() {
    let long = "x".repeat(5000);
    let wide = "\u{202e}\u{1f4a9}".repeat(3000);
    for target in [
        "/a\n{\"event\":\"violation\"}",
        "/a\",\"rule\":\"allowed\",\"x\":\"",
        "/\u{1b}[2J\u{9b}31m\u{7f}\0",
        "/\u{202e}txt.exe\u{2066}\u{200b}",
        "/\\\"\\u0000\\",
        "/caf\u{e9}\u{fffd}",
        &long,
        &wide,
    ] {
        let mut one = violation(Kind::Write, target, target, target);
        one.process = Some(Process {
            pid: u32::MAX,
            program: target.into(),
        });
        one.reason = target.into();
        one.count = u64::MAX;
        let line = log::line(&one, target, u64::MAX);
        assert!(line.len() <= LOG_LINE_BYTES, "{} bytes", line.len());
        let (body, end) = line.split_at(line.len() - 1);
        assert_eq!(end, "\n");
        assert!(body.bytes().all(|b| (b' '..=b'~').contains(&b)), "{body}");
        let node = document(body.as_bytes()).expect(body);
        let Value::Object(members) = &node.value else {
            panic!("{body}");
        };
        assert_eq!(members.len(), 12, "{body}");
        assert_eq!(text(&node, "event"), "violation");
        let said = text(&node, "target");
        let cut = said
            .strip_suffix("...")
            .filter(|cut| target.starts_with(cut));
        assert!(said == target || cut.is_some(), "{said}");
        let shown = one.to_string();
        assert!(shown.bytes().all(|b| (b' '..=b'~').contains(&b)), "{shown}");
    }
}

#[test]
fn the_first_line_says_what_was_in_force() {
    let head = Head {
        version: "1.2.3",
        policy: Some("abc"),
        guarantees: vec![
            ("fs.write", vec!["mount namespace", "Landlock"]),
            ("net", vec![]),
        ],
    };
    let node = document(log::head(&head, "run-1", 0).trim_end().as_bytes()).unwrap();
    assert_eq!(text(&node, "event"), "run");
    assert_eq!(text(&node, "version"), "1.2.3");
    assert_eq!(text(&node, "policy"), "sha256:abc");
    assert!(matches!(field(&node, "guarantees"), Value::Object(all) if all.len() == 2));
    let none = Head {
        policy: None,
        ..head
    };
    let node = document(log::head(&none, "run-1", 0).trim_end().as_bytes()).unwrap();
    assert_eq!(text(&node, "policy"), "built-in");
}

#[test]
fn the_store_is_bounded_counts_what_repeats_and_what_it_drops() {
    let mut store = Store::default();
    assert_eq!(store.add(write("/a")), Added::First);
    assert_eq!(store.add(write("/a")), Added::Again);
    for other in [
        violation(Kind::Read, "openat", "/a", NO_RULE),
        violation(Kind::Write, "unlink", "/a", NO_RULE),
        violation(Kind::Write, "openat", "/a", "filesystem.denyWrite[0]"),
        Violation {
            process: None,
            ..write("/a")
        },
    ] {
        assert_eq!(store.add(other), Added::First);
    }
    assert_eq!(store.iter().map(|v| v.count).sum::<u64>(), 6);
    for n in 0..VIOLATIONS {
        store.add(write(&format!("/many/{n}")));
    }
    assert_eq!(store.iter().count(), VIOLATIONS);
    assert_eq!(store.dropped(), 5);
    assert_eq!(
        store.summary().unwrap(),
        format!(
            "denied: write /many/0, write /many/1, write /many/2 and {} more (--suggest says what would allow it)",
            VIOLATIONS - 3 + 5
        )
    );
    assert_eq!(Store::default().summary(), None);
}

#[test]
fn what_is_ignored_is_said_by_a_part_of_the_command_and_of_the_violation() {
    let rules = [
        ("*".to_owned(), vec!["/tmp/".to_owned()]),
        ("npm install".to_owned(), vec!["write /usr/lib".to_owned()]),
    ];
    let npm = Ignored::new(&rules, "npm install left-pad");
    let other = Ignored::new(&rules, "npm test");
    for (target, by_npm, by_other) in [
        ("/tmp/x", true, true),
        ("/usr/lib/node", true, false),
        ("/usr/share", false, false),
    ] {
        assert_eq!(npm.covers(&write(target)), by_npm, "{target}");
        assert_eq!(other.covers(&write(target)), by_other, "{target}");
    }
    let read = violation(Kind::Read, "openat", "/usr/lib/x", NO_RULE);
    assert!(!npm.covers(&read));
}

/// A host on which `/w` and `/home/me/.cache` are directories, and `/w/file` a file.
fn lies(path: &[u8]) -> Lies {
    match path {
        b"/" | b"/w" | b"/etc" | b"/home" | b"/home/me" | b"/home/me/.cache" | b"/w/d*" => {
            Lies::Directory
        }
        b"/w/file" | b"/etc/passwd" | b"/home/me/.bashrc" => Lies::File,
        _ => Lies::Nowhere,
    }
}

fn suggested(violations: &[Violation]) -> (String, Vec<String>) {
    let sight = Sight {
        lies: &lies,
        home: b"/home/me",
    };
    let found = suggest(violations.iter(), &sight);
    let json = merge(None, &found.added);
    assert!(settings(json.as_bytes()).is_ok(), "{json}");
    (json, found.left)
}

#[test]
fn what_is_suggested_is_the_smallest_that_allows_it() {
    let net = |target: &str| violation(Kind::Network, "connect", target, NO_RULE);
    let cases: &[(&[Violation], &str)] = &[
        (&[], "{}"),
        (
            &[net("a.test:443"), net("a.test:443"), net("b.test:80")],
            r#"{"network":{"allowedDomains":["a.test:443","b.test:80"]}}"#,
        ),
        // A name that was asked for alone: on which port it is wanted is not known.
        (
            &[violation(Kind::Network, "lookup", "a.test", NO_RULE)],
            r#"{"network":{"allowedDomains":["a.test"]}}"#,
        ),
        (
            &[net("[2001:db8::1]:22")],
            r#"{"network":{"allowedDomains":["[2001:db8::1]:22"]}}"#,
        ),
        // A file that is there; one that is made takes its directory, and so does a name.
        (
            &[write("/w/file")],
            r#"{"filesystem":{"allowWrite":["/w/file"]}}"#,
        ),
        (
            &[write("/w/new")],
            r#"{"filesystem":{"allowWrite":["/w"]}}"#,
        ),
        (
            &[violation(Kind::Write, "unlinkat", "/w/file", NO_RULE)],
            r#"{"filesystem":{"allowWrite":["/w"]}}"#,
        ),
        // The deepest that there is, and one entry for all.
        (
            &[write("/home/me/.cache/a/b/c"), write("/home/me/.cache/x")],
            r#"{"filesystem":{"allowWrite":["/home/me/.cache"]}}"#,
        ),
        (
            &[write("/w/file"), write("/w/new"), write("/w/file")],
            r#"{"filesystem":{"allowWrite":["/w"]}}"#,
        ),
        // A name that would be a pattern.
        (
            &[write("/w/d*/new")],
            r#"{"filesystem":{"allowWrite":[{"path":"/w/d*","literal":true}]}}"#,
        ),
        (
            &[violation(
                Kind::Read,
                "openat",
                "/w/file",
                "filesystem.denyRead[0]",
            )],
            r#"{"filesystem":{"allowRead":["/w/file"]}}"#,
        ),
        (
            &[
                violation(Kind::Socket, "connect", "/run/agent", NO_RULE),
                net("c.test:1"),
            ],
            r#"{"network":{"allowUnixSockets":["/run/agent"],"allowedDomains":["c.test:1"]}}"#,
        ),
    ];
    for (violations, expected) in cases {
        let (json, left) = suggested(violations);
        let order = |text: &str| {
            let mut all: Vec<char> = text.chars().collect();
            all.sort_unstable();
            all
        };
        assert_eq!(
            order(&json),
            order(expected),
            "{json} in place of {expected}"
        );
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn what_is_better_not_allowed_is_not_suggested_and_told_why() {
    let cases = [
        (
            write("/home/me/.ssh/authorized_keys"),
            "a place for secrets",
        ),
        (
            violation(
                Kind::Write,
                "openat",
                "/w/.bashrc",
                "a shell runs it at its start",
            ),
            "always denied: a shell runs it at its start",
        ),
        (
            violation(Kind::Write, "openat", "/w/x", "filesystem.denyWrite[3]"),
            "filesystem.denyWrite[3] denies it",
        ),
        (
            violation(Kind::Write, "openat", "/w/x", "filesystem.denyRead[3]"),
            "filesystem.denyRead[3] denies it",
        ),
        (write("/etc/new"), "all of /etc"),
        (write("/new"), "all of /:"),
        (write("/home/me/new"), "all of /home/me:"),
        (
            violation(Kind::Write, "rename", "/etc/passwd", NO_RULE),
            "all of /etc",
        ),
        (write("/w/\u{fffd}"), "not UTF-8"),
        (
            violation(
                Kind::Read,
                "openat",
                "/home/me/.aws/config",
                "filesystem.denyRead[0]",
            ),
            "a secret",
        ),
        (
            violation(Kind::Read, "openat", "/w/tls.key", "filesystem.denyRead[0]"),
            "a secret",
        ),
        (
            violation(Kind::Socket, "connect", "/run/docker.sock", NO_RULE),
            "rules the host",
        ),
        (
            violation(Kind::Socket, "connect", "@/tmp/.X11-unix/X0", NO_RULE),
            "abstract",
        ),
        (
            violation(Kind::Network, "connect", "169.254.169.254:80", NO_RULE),
            "link-local",
        ),
        (
            violation(Kind::Network, "connect", "127.0.0.1:80", NO_RULE),
            "loopback",
        ),
        (
            violation(
                Kind::Network,
                "connect",
                "a.test:80",
                "network.deniedDomains has \"a.test\"",
            ),
            "network.deniedDomains",
        ),
        (
            violation(
                Kind::Network,
                "connect",
                "a.test:443",
                "network.requireServerName",
            ),
            "requireServerName",
        ),
    ];
    for (one, why) in cases {
        let (json, left) = suggested(std::slice::from_ref(&one));
        assert_eq!(json, "{}", "{one}");
        assert_eq!(left.len(), 1);
        assert!(left[0].contains(why), "{} without {why:?}", left[0]);
    }
}

#[test]
fn entries_are_added_to_settings_and_the_rest_stays() {
    let added = |pairs: &[(&'static str, &str)]| {
        let pairs = pairs.iter().map(|(k, v)| (*k, vec![(*v).to_owned()]));
        pairs.collect()
    };
    let cases = [
        ("{}", r#"{"network":{"allowedDomains":["a"]}}"#),
        (
            r#"{"network": {"allowedDomains": ["b"], "allowHostPorts": [1, 2]}, "require": ["net"]}"#,
            r#"{"network":{"allowedDomains":["b","a"],"allowHostPorts":[1,2]},"require":["net"]}"#,
        ),
        (
            r#"{"filesystem": {"allowWrite": [{"path": "/a*", "literal": true}]}, "limits": {"cpuSeconds": 7}}"#,
            r#"{"filesystem":{"allowWrite":[{"path":"/a*","literal":true}]},"limits":{"cpuSeconds":7},"network":{"allowedDomains":["a"]}}"#,
        ),
    ];
    for (before, after) in cases {
        let node = document(before.as_bytes()).unwrap();
        let merged = merge(Some(&node), &added(&[("network.allowedDomains", "\"a\"")]));
        assert_eq!(merged, after);
    }
    let two = added(&[
        ("filesystem.allowWrite", "\"/w\""),
        ("network.allowedDomains", "\"a\""),
    ]);
    assert_eq!(
        merge(None, &two),
        r#"{"filesystem":{"allowWrite":["/w"]},"network":{"allowedDomains":["a"]}}"#
    );
}
