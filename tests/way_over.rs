//! The way over from the two other programs of this name: the TypeScript one, 0.0.83, and
//! the Rust port, 0.1.1. What their settings files become here, and that README.md says so.

#[path = "way_over/examples.rs"]
mod examples;
#[path = "way_over/keys.rs"]
mod keys;
mod support;

use std::fs;

use examples::EXAMPLES;
use keys::Here::{MacOs, No, Unneeded, Works};
use keys::KEYS;
use sandbox_runtime::parse::host::authority;
use sandbox_runtime::parse::settings::settings;
use sandbox_runtime::policy::network::{Network, Unlisted, Verdict};
use sandbox_runtime::policy::route::Routes;
use support::{Scratch, Who, finish, srt, text};

/// What became of a settings file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    /// Commands are run under it.
    Taken,
    /// Nothing is run.
    Refused,
}

use File::{Refused, Taken};

/// What `srt --check` says of these settings, but for the name of the file; not that it is
/// fine, and not that /tmp holds what this test made.
fn said(scratch: &Scratch, json: &str) -> (String, File) {
    let file = scratch.file("theirs/settings.json", json);
    let mut command = srt(Who::Me, &scratch.dir("work"));
    command.env("PATH", "/usr/bin").env("HOME", "/nowhere");
    command.arg("--check").arg(&file);
    let out = finish(command);
    let became = match out.status.code() {
        Some(0 | 1) => Taken,
        Some(125) => Refused,
        other => panic!("{json}: {other:?}"),
    };
    let all = text(&out.stderr) + &text(&out.stdout);
    let name = format!("{}: ", file.display());
    let other = ["holds srt itself", "holds the directory of this", ": fine"];
    let kept = all
        .lines()
        .filter(|line| !other.iter().any(|part| line.contains(part)));
    let lines = kept.map(|line| line.replace("srt: ", "").replace(&name, "") + "\n");
    (lines.collect(), became)
}

/// The settings in which this key has this value and nothing else stands.
fn alone(key: &str, value: &str) -> String {
    let wrap = |inner: String, name: &str| format!("{{\"{name}\": {inner}}}");
    key.rsplit('.').fold(value.to_owned(), wrap)
}

#[test]
fn every_key_of_theirs_is_obeyed_or_refused_with_what_to_write_instead() {
    let scratch = Scratch::new();
    for (key, _, value, here) in KEYS {
        let (said, became) = said(&scratch, &alone(key, value));
        let note = match here {
            Works => "",
            MacOs => "has an effect on macOS only",
            Unneeded => "not needed here, and without effect",
            No(part) => {
                assert_eq!(became, Refused, "{key}: {said}");
                // Of a section that is refused as a whole, its own key is named.
                let (place, why) = said.split_once(": ").unwrap();
                assert!(place.starts_with("line 1, column "), "{key}: {said}");
                let named = why.split([':', '[']).next().unwrap();
                assert!(key.starts_with(named) && !named.is_empty(), "{key}: {said}");
                assert!(
                    said.contains(part) && said.lines().count() == 1,
                    "{key}: {said}"
                );
                continue;
            }
        };
        assert_eq!(became, Taken, "{key}: {said}");
        let noted = said.contains(&format!("{key}: {note}\n"));
        assert_eq!(noted, !note.is_empty(), "{key}: {said}");
    }
}

#[test]
fn a_key_of_theirs_that_asks_for_nothing_is_let_be() {
    let scratch = Scratch::new();
    for (key, nothing) in [
        ("filesystem.disabled", "false"),
        ("network.requireHostMatch", "false"),
        ("network.refuseOpaqueTunnels", "false"),
        ("network.allowPlaintextHeaderSet", "false"),
        ("network.stripResponseHeaders", "[]"),
        ("credentials.files", "[]"),
        ("credentials.envVars", "[]"),
        ("credentials.awsPairs", "[]"),
        ("credentials.allowPlaintextInject", "false"),
        ("git.safeDirectories", "[]"),
    ] {
        let (said, became) = said(&scratch, &alone(key, nothing));
        let note = format!("{key}: another program's; asks for nothing\n");
        assert_eq!((said, became), (note, Taken), "{key}");
    }
    // Which for these says "with the defaults", or nothing that is known.
    for (key, value) in [
        ("network.tlsTerminate", "{}"),
        ("filesystem.disabled", "null"),
    ] {
        assert_eq!(said(&scratch, &alone(key, value)).1, Refused, "{key}");
    }
}

/// What README.md says of their settings.
fn section() -> String {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, rest) = readme
        .split_once("\n## Coming from the other srt programs\n")
        .unwrap();
    let (_, rest) = rest.split_once("\n### Their settings\n").unwrap();
    let (settings, _) = rest.split_once("\nWhat the same file means").unwrap();
    settings.to_owned()
}

#[test]
fn the_readme_has_a_row_for_every_key_of_theirs() {
    let section = section();
    let rows: Vec<&str> = section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    for (key, whose, _, here) in KEYS {
        let name = format!("`{key}`");
        let row = rows
            .iter()
            .find(|row| row.split(" | ").next().unwrap().contains(&name));
        let row = row.unwrap_or_else(|| panic!("no row of README.md begins with {name}"));
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let word = match here {
            Works => "works",
            MacOs => "macOS",
            Unneeded => "not needed",
            // A value of what works otherwise.
            No(_) if key.starts_with("network.mitmProxy") => "works",
            No(_) if key.starts_with("network.parentProxy") => "works",
            No(_) => "refused",
        };
        assert_eq!(cells[1], *whose, "{row}");
        assert!(cells[2].starts_with(word), "{row}: {word}");
    }
    // And no other.
    for row in rows {
        let names = row.split(" | ").next().unwrap().split('`');
        for name in names.skip(1).step_by(2) {
            assert!(KEYS.iter().any(|(key, ..)| *key == name), "{name}");
        }
    }
}

#[test]
fn every_example_of_theirs_is_taken_or_refused_with_these_words() {
    let scratch = Scratch::new();
    for (name, json, expected, became) in EXAMPLES {
        let found = said(&scratch, json);
        assert_eq!(found, ((*expected).to_owned(), *became), "{name}");
    }
}

#[test]
fn what_is_to_be_changed_is_told_all_at_once_line_by_line() {
    let scratch = Scratch::new();
    let json = r#"{
  "network": {
    "allowedDomains": ["*", "*.com", "https://a.example.com"],
    "deniedResolvedAddresses": ["10.1.2.3/8"],
    "allowMachLookup": ["*"],
    "mitmProxy": { "domains": ["a.example.com"] }
  },
  "filesystem": { "denyRead": ["/srv/**.pem", "/srv/[user-id]"], "disabled": true },
  "credentials": {
    "files": [{ "path": "~/.npmrc", "mode": "mask", "extract": "=(.*)" }, {}],
    "envVars": [{ "mode": "deny", "name": "NPM_TOKEN" }]
  },
  "ripgrep": null,
  "allowPty": null,
  "enableTelemetry": true
}"#;
    let expected = "\
line 3, column 24: network.allowedDomains[0]: \"*\": an allow list does not take * (name the hosts)
line 3, column 29: network.allowedDomains[1]: \"*.com\": is too broad: a wildcard is *. followed by a name of two or more labels
line 3, column 38: network.allowedDomains[2]: \"https://a.example.com\": write a host, without scheme, path or user
line 4, column 33: network.deniedResolvedAddresses[0]: \"10.1.2.3/8\": the address has bits set behind the prefix: write the first of the block
line 5, column 25: network.allowMachLookup[0]: must name a service, and not all of them
line 8, column 32: filesystem.denyRead[0]: ** stands alone between slashes: write **/*.x for **.x
line 8, column 47: filesystem.denyRead[1]: a range in a set runs backwards (\\[ stands for the character)
line 8, column 66: filesystem.disabled: not served here: srt always confines files: remove it, and name what is to be written in filesystem.allowWrite
line 10, column 15: credentials.files[0]: not served here: write \"~/.npmrc\" in filesystem.denyRead instead
line 10, column 75: credentials.files[1]: not served here: remove it, and withhold what it names by environment.deny and filesystem.denyRead
line 11, column 17: credentials.envVars[0]: not served here: write \"NPM_TOKEN\" in environment.deny instead
line 13, column 14: ripgrep: must be an object, and not null: remove it to say nothing
line 14, column 15: allowPty: must be true or false, and not null: remove it to say nothing
line 15, column 3: enableTelemetry: unknown key
line 6, column 5: network.mitmProxy: needs both socketPath and domains
";
    assert_eq!(said(&scratch, json), (expected.to_owned(), Refused));
}

// With brackets for a set and nothing else, the first and third are allowed.
#[test]
fn brackets_in_what_is_denied_are_themselves_as_well() {
    let scratch = Scratch::new();
    for file in [
        "[old] keys/a",
        "o keys/a",
        "x keys/a",
        "in/[b]/deep/c.pem",
        "in/b/c.pem",
        "in/c/c.pem",
    ] {
        scratch.file(file, "secret");
    }
    scratch.policy(
        r#"{"filesystem": {"allowWrite": ["@/in"], "denyRead": ["@/[old] keys/**"], "denyWrite": ["in/[b]/**/*.pem"]}}"#,
    );
    let explained = |words: &[&str]| {
        let mut command = srt(Who::Me, &scratch.path(""));
        command.args(["-s", "policy.json", "--explain"]).args(words);
        let said = text(&finish(command).stdout);
        let decided = |line: &str| line.contains(": denied: ");
        said.lines().map(decided).collect::<Vec<bool>>()
    };
    assert_eq!(
        explained(&["read", "[old] keys/a", "o keys/a", "x keys/a"]),
        [true, true, false]
    );
    assert_eq!(
        explained(&["write", "in/[b]/deep/c.pem", "in/b/c.pem", "in/c/c.pem"]),
        [true, true, false]
    );
    // An allowance opens nothing that it does not match as a pattern.
    scratch.policy(r#"{"filesystem": {"allowWrite": ["@/[old] keys"]}}"#);
    assert_eq!(
        explained(&["write", "[old] keys/a", "o keys/a"]),
        [true, false]
    );
    // The profile for macOS says the same.
    scratch.policy(r#"{"filesystem": {"denyRead": ["@/[old] keys/**"]}}"#);
    let mut command = srt(Who::Me, &scratch.path(""));
    command.args([
        "-s",
        "policy.json",
        "--dry-run",
        "--platform",
        "macos",
        "true",
    ]);
    let profile = text(&finish(command).stdout);
    let regex = r"(\[[oO][lL][dD]\] [kK][eE][yY][sS]|";
    assert!(profile.contains(regex), "{profile}");
}

// Without it, b.example.com is learned.
#[test]
fn a_strict_allow_list_is_not_learned_past() {
    for (strict, reached) in [("false", true), ("true", false)] {
        let json = format!(
            r#"{{"network": {{"allowedDomains": ["a.example.com"], "strictAllowlist": {strict}}}}}"#
        );
        let network = settings(json.as_bytes()).unwrap().network;
        let policy =
            Network::new(&network, &[], Routes::default()).with_unlisted(Unlisted::Learned);
        let decided = |host: &[u8]| policy.decide(&authority(host).unwrap());
        assert!(matches!(decided(b"a.example.com:1"), Verdict::Allow { .. }));
        let learned = matches!(decided(b"b.example.com:1"), Verdict::Learn(_));
        assert_eq!(learned, reached, "{strict}");
    }
}
