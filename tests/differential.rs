//! Our reading of hosts and patterns beside another program's: the TypeScript original,
//! of which SRT_REFERENCE names the installed package (`make compare` installs it).
//! Where the two differ, the reason stands in a table here.

use std::process::Command;

use sandbox_runtime::parse::host::{List, authority, pattern};

/// Patterns of an allow list.
const PATTERNS: [&str; 7] = [
    "example.com",
    "*.example.com",
    "example.com:443",
    "127.0.0.1",
    "[::1]",
    "xn--mnchen-3ya.de",
    "a_b.test",
];

/// Hosts as a client may write them.
const HOSTS: [&str; 40] = [
    "example.com",
    "EXAMPLE.com",
    "example.com.",
    "example.com..",
    ".example.com",
    "a.example.com",
    "a.b.example.com",
    "A.Example.COM.",
    "a..example.com",
    "evilexample.com",
    "example.com.evil.test",
    "example.comm",
    "xexample.com",
    "example",
    "com",
    "localhost",
    "a.localhost",
    "127.0.0.1",
    "127.1",
    "127.0.0.01",
    "0x7f.0.0.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "127.0.0.1.",
    "127.0.0.1.example.com",
    "1.2.3.4.example.com",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::1%lo]",
    "m\u{fc}nchen.de",
    "xn--mnchen-3ya.de",
    "a_b.test",
    "ex%61mple.com",
    "example.com%00.evil.test",
    "example.com#.evil.test",
    "exam ple.com",
    "example.com\u{3002}",
    "\u{ff45}xample.com",
];

/// Hosts on which the two differ under some pattern, and why.
const DIFFERENCES: [(&str, &str); 8] = [
    (".example.com", "an empty label is no name"),
    ("a..example.com", "as .example.com"),
    (
        "127.1",
        "a spelling that only a resolver takes for an address is refused, not rewritten",
    ),
    ("127.0.0.01", "as 127.1"),
    ("0x7f.0.0.1", "as 127.1"),
    ("0x7f000001", "as 127.1"),
    ("2130706433", "as 127.1"),
    ("017700000001", "as 127.1"),
];

fn ours(list_entry: &str, host: &str) -> &'static str {
    let Ok(pattern) = pattern(list_entry, List::Allow) else {
        return "bad pattern";
    };
    match authority(format!("{host}:443").as_bytes()) {
        Ok(target) if pattern.matches(&target) => "allow",
        Ok(_) | Err(_) => "deny",
    }
}

const THEIRS: &str = r"
const [dir, patterns, hosts] = [process.argv[1], JSON.parse(process.argv[2]), JSON.parse(process.argv[3])];
const { matchesDomainPatternWithPort, isValidAllowedDomainEntry } = await import(dir + '/dist/sandbox/domain-pattern.js');
const { canonicalizeHost, isValidHost } = await import(dir + '/dist/sandbox/parent-proxy.js');
for (const p of patterns) for (const h of hosts) {
  const host = isValidHost(h.replace(/^\[|\]$/g, '')) ? canonicalizeHost(h) : undefined;
  console.log(!isValidAllowedDomainEntry(p) ? 'bad pattern'
    : host !== undefined && matchesDomainPatternWithPort(host, 443, p) ? 'allow' : 'deny');
}
";

#[test]
#[allow(clippy::print_stderr)]
fn hosts_and_patterns_are_read_as_the_original_does_but_where_there_is_a_reason() {
    let Some(package) = std::env::var_os("SRT_REFERENCE") else {
        eprintln!(
            "SKIP the comparison with the original: SRT_REFERENCE is not set (see make compare)"
        );
        return;
    };
    let list = |words: &[&str]| {
        miniserde::json::to_string(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>())
    };
    let mut node = Command::new("node");
    node.args(["--input-type=module", "-e", THEIRS])
        .arg(package);
    node.arg(list(&PATTERNS)).arg(list(&HOSTS));
    let out = node.output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let pairs: Vec<_> = PATTERNS
        .iter()
        .flat_map(|p| HOSTS.iter().map(move |h| (*p, *h)))
        .collect();
    assert_eq!(said.lines().count(), pairs.len());
    let mut differing = Vec::new();
    for ((list_entry, host), theirs) in pairs.iter().zip(said.lines()) {
        let mine = ours(list_entry, host);
        if mine != theirs {
            assert_eq!(
                mine, "deny",
                "{list_entry} {host}: theirs {theirs}, and ours allows more"
            );
            let known = DIFFERENCES.iter().any(|(named, _)| named == host);
            assert!(known, "{list_entry} {host}: theirs {theirs}, ours {mine}");
            differing.push(*host);
        }
    }
    for (host, reason) in DIFFERENCES {
        assert!(
            differing.contains(&host),
            "{host} does not differ any more ({reason})"
        );
    }
}

#[test]
fn what_we_say_of_the_same_hosts_is_written_down() {
    let allowed = |list_entry: &str| -> Vec<&str> {
        let allows = |host: &&&str| ours(list_entry, host) == "allow";
        HOSTS.iter().filter(allows).copied().collect()
    };
    assert_eq!(
        allowed("example.com"),
        ["example.com", "EXAMPLE.com", "example.com."]
    );
    assert_eq!(
        allowed("*.example.com"),
        [
            "a.example.com",
            "a.b.example.com",
            "A.Example.COM.",
            "127.0.0.1.example.com",
            "1.2.3.4.example.com"
        ]
    );
    assert_eq!(
        allowed("127.0.0.1"),
        ["127.0.0.1", "127.0.0.1.", "[::ffff:127.0.0.1]"]
    );
    assert_eq!(allowed("[::1]"), ["[::1]", "[0:0:0:0:0:0:0:1]"]);
    // The original takes no such pattern.
    assert_eq!(allowed("*.localhost"), ["a.localhost"]);
    assert_eq!(allowed("a_b.test"), ["a_b.test"]);
}
