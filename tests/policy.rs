//! The policy and what is emitted from it, as tables over plain data.

use sandbox_runtime::emit::bwrap::{Op, arguments, plan};
use sandbox_runtime::emit::environment::environment;
use sandbox_runtime::emit::landlock;
use sandbox_runtime::limits::BWRAP_ARGUMENTS;
use sandbox_runtime::parse::host::authority;
use sandbox_runtime::parse::settings::{GitConfig, Guarantee, Settings, settings};
use sandbox_runtime::policy::files::{Access, Entry, Files, Kind, Rule, covers, parent};
use sandbox_runtime::policy::guarantees::{given, missing};
use sandbox_runtime::policy::network::{AddressClass, Network, Verdict};
use sandbox_runtime::policy::protected::{git_rows, is_git, reason};
use sandbox_runtime::policy::route::Routes;
use sandbox_runtime::policy::{Facts, Host, Place, Policy, Resolved, Stream, User};

fn network(json: &str) -> Network {
    let own = ["192.0.2.7".parse().unwrap()];
    Network::new(
        &settings(format!(r#"{{"network": {json}}}"#).as_bytes())
            .unwrap()
            .network,
        &own,
        Routes::default(),
    )
}

#[test]
fn denied_wins_and_nothing_is_allowed_by_default() {
    let policy = network(
        r#"{"allowedDomains": ["*.a.test", "b.test:443", "1.2.3.4"], "deniedDomains": ["bad.a.test", "*:22"],
        "deniedDomainReasons": {"c.test": "no"}}"#,
    );
    let allowed = |target: &str| {
        matches!(
            policy.decide(&authority(target.as_bytes()).unwrap()),
            Verdict::Allow { .. }
        )
    };
    for target in ["x.a.test:80", "b.test:443", "1.2.3.4:80", "x.bad.a.test:1"] {
        assert!(allowed(target), "{target}");
    }
    for target in [
        "a.test:80",
        "bad.a.test:80",
        "x.a.test:22",
        "b.test:80",
        "c.test:80",
        "1.2.3.5:80",
        "[::1]:80",
    ] {
        assert!(!allowed(target), "{target}");
    }
    let Verdict::Deny(reason) = policy.decide(&authority(b"c.test:80").unwrap()) else {
        panic!()
    };
    assert_eq!(
        reason.to_string(),
        "no rule of network.allowedDomains allows it: no"
    );
    let Verdict::Deny(reason) = policy.decide(&authority(b"bad.a.test:80").unwrap()) else {
        panic!()
    };
    assert_eq!(
        reason.to_string(),
        "network.deniedDomains has \"bad.a.test\""
    );
}

#[test]
fn pitfall_47_names_lead_to_no_special_address_in_any_spelling() {
    use AddressClass::{
        Broadcast, Denied, LinkLocal, Loopback, Metadata, Multicast, OwnHost, Unspecified,
    };
    let policy = network(
        r#"{"allowedDomains": ["a.test"], "deniedResolvedAddresses": ["10.0.0.0/8", "fd99::/16"]}"#,
    );
    let target = authority(b"a.test:443").unwrap();
    for (ip, class) in [
        ("127.0.0.1", Loopback),
        ("127.9.9.9", Loopback),
        ("::1", Loopback),
        ("::ffff:127.0.0.1", Loopback),
        ("::127.0.0.1", Loopback),
        ("64:ff9b::7f00:1", Loopback),
        ("2002:7f00:1::", Loopback),
        ("::ffff:0:7f00:1", Loopback),
        ("0.0.0.0", Unspecified),
        ("::", Unspecified),
        ("0.1.2.3", Unspecified),
        ("169.254.169.254", LinkLocal),
        ("fe80::1", LinkLocal),
        ("64:ff9b::a9fe:a9fe", LinkLocal),
        ("224.0.0.1", Multicast),
        ("ff02::1", Multicast),
        ("255.255.255.255", Broadcast),
        ("240.0.0.1", Broadcast),
        ("100.100.100.200", Metadata),
        ("168.63.129.16", Metadata),
        ("192.0.0.192", Metadata),
        ("fd00:ec2::254", Metadata),
        ("fd20:ce::254", Metadata),
        ("fd00:c1::a9fe:a9fe", Metadata),
        ("fd00:42::42", Metadata),
        ("fd00:a9fe:a9fe::1", Metadata),
        ("fd00:100::100:200", Metadata),
        ("192.0.2.7", OwnHost),
        ("64:ff9b::c000:207", OwnHost),
        ("10.1.2.3", Denied),
        ("::ffff:10.1.2.3", Denied),
        ("2002:a01:203::", Denied),
        ("fd99::1", Denied),
    ] {
        assert_eq!(
            policy.permits_address(&target, ip.parse().unwrap()),
            Err(class),
            "{ip}"
        );
    }
    for ip in ["8.8.8.8", "2606:4700::1", "192.168.1.1", "64:ff9b::808:808"] {
        assert_eq!(
            policy.permits_address(&target, ip.parse().unwrap()),
            Ok(()),
            "{ip}"
        );
    }
    let literal = network(r#"{"allowedDomains": ["localhost", "127.0.0.1:80"]}"#);
    let ip = "127.0.0.1".parse().unwrap();
    assert_eq!(
        literal.permits_address(&authority(b"localhost:80").unwrap(), ip),
        Ok(())
    );
    assert_eq!(
        literal.permits_address(&authority(b"localhost:81").unwrap(), ip),
        Err(Loopback)
    );
}

fn entry((path, kind, rule): &(&str, Kind, Rule)) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        kind: *kind,
        hold: None,
        rule: *rule,
        origin: format!("{rule:?} of {path}"),
    }
}

fn files(rules: &[(&str, Kind, Rule)]) -> Files {
    Files::new(rules.iter().map(entry))
}

/// The policy of rules that name existing paths, on a host that says nothing else.
fn policy(rules: &[(&str, Kind, Rule)]) -> Policy {
    let resolved = |(path, kind, rule): &(&str, Kind, Rule)| Resolved {
        key: format!("{rule:?} of {path}"),
        rule: *rule,
        place: Place::Exists {
            path: path.as_bytes().to_vec(),
            kind: *kind,
            hold: None,
        },
        links: Vec::new(),
    };
    let facts = Facts {
        rules: rules.iter().map(resolved).collect(),
        directory: b"/".to_vec(),
        temporary: b"/tmp/own".to_vec(),
        ..Facts::default()
    };
    Policy::new(&settings(b"{}").unwrap(), &facts).unwrap()
}

use Kind::{Directory, File, Link};
use Rule::{AllowRead, AllowWrite, DenyRead, DenyWrite, Protected, Temporary};

#[test]
fn access_follows_the_most_specific_rule_for_reading_and_any_denial_for_writing() {
    let files = files(&[
        ("/h", Directory, DenyRead),
        ("/h/w", Directory, AllowRead),
        ("/h/w", Directory, AllowWrite),
        ("/h/w/s", Directory, DenyRead),
        ("/h/w/no", Directory, DenyWrite),
        ("/h/w/no/yes", Directory, AllowWrite),
        ("/h/x", Directory, AllowWrite),
        ("/h/t", Directory, Temporary),
        ("/both", Directory, DenyRead),
        ("/both", Directory, AllowRead),
    ]);
    for (path, access) in [
        ("/", Access::Read),
        ("/h", Access::Hidden),
        ("/hh", Access::Read),
        ("/h/w", Access::Write),
        ("/h/w/a", Access::Write),
        ("/h/w/s/x", Access::Hidden),
        ("/h/w/no/yes/x", Access::Read),
        ("/h/x", Access::Hidden),
        ("/h/t/f", Access::Write),
        ("/both", Access::Hidden),
    ] {
        assert_eq!(files.access(path.as_bytes()), access, "{path}");
    }
}

#[test]
fn pitfall_26_the_plan_mounts_where_access_changes_and_pins_what_lies_above() {
    let ops = plan(&policy(&[
        ("/w", Directory, AllowWrite),
        ("/w/inner", Directory, AllowWrite),
        ("/w/a/.git/config", File, Protected),
        ("/w/secret", File, DenyRead),
        ("/s", Directory, DenyRead),
        ("/s/open", Directory, AllowRead),
        ("/r", Directory, DenyWrite),
    ]));
    let path = |p: &str| p.as_bytes().to_vec();
    assert_eq!(
        ops,
        [
            Op::ReadOnlyBind(path("/")),
            Op::Devices,
            Op::Processes,
            Op::Hide(path("/s")),
            Op::ReadOnlyBind(path("/s/open")),
            Op::Bind(path("/tmp/own")),
            Op::Bind(path("/w")),
            Op::Bind(path("/w/a")),
            Op::Bind(path("/w/a/.git")),
            Op::ReadOnlyBind(path("/w/a/.git/config")),
            Op::Mask(path("/w/secret")),
            Op::Seal(path("/s")),
        ]
    );
    let everything = plan(&policy(&[
        ("/", Directory, AllowWrite),
        ("/e", Directory, DenyWrite),
    ]));
    assert_eq!(everything[..1], [Op::Bind(path("/"))]);
    assert_eq!(everything[3..], [Op::ReadOnlyBind(path("/e"))]);
}

#[test]
fn a_path_is_never_taken_for_an_option_and_the_bound_holds() {
    let options = arguments(
        &policy(&[("/--help", Directory, AllowWrite)]),
        b"/--chdir",
        b"/--empty",
    );
    let ours = |w: &&Vec<u8>| [&b"/--help"[..], b"/--chdir"].contains(&w.as_slice());
    let options = options.unwrap();
    assert_eq!(options.iter().filter(|w| w.starts_with(b"/--")).count(), 3);
    assert!(
        options
            .iter()
            .filter(|w| w.starts_with(b"/--"))
            .all(|w| ours(&w))
    );
    let many = |count: usize| {
        let paths: Vec<String> = (0..count).map(|n| format!("/w/{n}")).collect();
        let rules = paths.iter().map(|path| (path.as_str(), File, DenyRead));
        arguments(&policy(&rules.collect::<Vec<_>>()), b"/", b"/empty")
    };
    // Eleven options before, a root of three, four for /dev and /proc, three for the
    // temporary directory, two for the working directory; three for each file.
    let most = (BWRAP_ARGUMENTS - 23) / 3;
    assert_eq!(many(most).unwrap().len(), 23 + 3 * most);
    let error = many(most + 1).unwrap_err();
    assert_eq!(error.most.1, 1);
    assert!(error.arguments > BWRAP_ARGUMENTS);
}

#[test]
fn paths_cover_what_lies_below_and_not_what_only_begins_alike() {
    assert!(
        covers(b"/a", b"/a/b") && covers(b"/a", b"/a") && covers(b"/", b"/a") && covers(b"/", b"/")
    );
    assert!(!covers(b"/a", b"/ab") && !covers(b"/a/b", b"/a"));
    assert_eq!(
        (parent(b"/a/b"), parent(b"/a"), parent(b"/")),
        (Some(&b"/a"[..]), Some(&b"/"[..]), None)
    );
}

#[test]
fn protected_names_hold_in_any_directory_and_some_in_one_only() {
    let is = |path: &str, kind| {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        reason(above.as_bytes(), name.as_bytes(), kind).is_some()
    };
    for path in [".bashrc", "b/.npmrc", ".claude/agents", ".vscode", ".envrc"] {
        assert!(
            is(path, File) && is(path, Directory) && is(path, Link),
            "{path}"
        );
    }
    assert!(is(".git", File) && is(".git", Link) && !is(".git", Directory));
    for path in [
        "bashrc",
        "config",
        ".claude",
        "agents",
        "x/commands",
        ".bashrc2",
    ] {
        assert!(!is(path, File) && !is(path, Directory), "{path}");
    }
    let git = |config| git_rows(config).map(|row| row.name).collect::<Vec<_>>();
    assert_eq!(
        git(GitConfig::Protected),
        [&b"hooks"[..], b"config", b"config.worktree", b"commondir"]
    );
    assert_eq!(
        git(GitConfig::Writable),
        [&b"hooks"[..], b"config.worktree", b"commondir"]
    );
}

#[test]
fn a_git_directory_is_known_by_its_name_or_by_what_it_holds() {
    let is = |name: &str, holds: &[&str]| {
        is_git(name.as_bytes(), |n| holds.iter().any(|h| h.as_bytes() == n))
    };
    assert!(is(".git", &[]) && is("x.git", &["HEAD", "objects", "refs"]));
    assert!(is("wt", &["HEAD", "commondir"]));
    assert!(!is("x.git", &["objects", "refs"]) && !is("x", &["HEAD", "refs"]));
}

#[test]
fn pitfall_55_the_callers_proxy_does_not_reach_the_command_and_the_rest_does() {
    let caller = [
        ("A", "1"),
        ("HTTP_PROXY", "http://u:p@corp:1"),
        ("JAVA_TOOL_OPTIONS", "-Xmx1g"),
        ("A", "2"),
        ("LD_PRELOAD", "x"),
        ("TMPDIR", "/t"),
    ];
    let caller: Vec<_> = caller
        .map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec()))
        .into();
    let inside = environment(&caller, b"/private", b"/opt/s rt%", &Default::default());
    let get = |name: &str| {
        let all: Vec<_> = inside
            .iter()
            .filter(|(n, _)| n == name.as_bytes())
            .collect();
        assert_eq!(all.len(), 1, "{name}");
        String::from_utf8(all[0].1.clone()).unwrap()
    };
    assert_eq!(
        (get("A"), get("LD_PRELOAD"), get("TMPDIR")),
        ("2".into(), "x".into(), "/private".into())
    );
    assert_eq!(get("HTTP_PROXY"), "http://127.0.0.1:3128");
    assert!(get("JAVA_TOOL_OPTIONS").starts_with("-Xmx1g -Dhttp.proxyHost=127.0.0.1 "));
}

/// A policy that allows writing `/w` and `/f`, a file, and denies `/w/d`.
fn writable(settings: &Settings, host: Host) -> Result<Policy, Vec<String>> {
    let rule = |path: &str, kind, rule| Resolved {
        key: "a rule".into(),
        rule,
        place: Place::Exists {
            path: path.into(),
            kind,
            hold: None,
        },
        links: Vec::new(),
    };
    let facts = Facts {
        rules: vec![
            rule("/w", Kind::Directory, Rule::AllowWrite),
            rule("/w/d", Kind::Directory, Rule::DenyWrite),
            rule("/f", Kind::File, Rule::AllowWrite),
        ],
        directory: b"/w".to_vec(),
        temporary: b"/tmp/t".to_vec(),
        host,
        ..Facts::default()
    };
    Policy::new(settings, &facts)
}

fn host(landlock: u32) -> Host {
    Host {
        landlock,
        ..Host::default()
    }
}

#[test]
fn landlock_has_the_writable_places_and_the_rights_of_its_abi() {
    const FILE: u64 = 1 << 1;
    const DIRECTORY: u64 = FILE | 0x1ff << 4 | 1 << 13;
    const TRUNCATE: u64 = 1 << 14;
    const IOCTL: u64 = 1 << 15;
    let policy = writable(&Settings::default(), host(7)).unwrap();
    for (abi, more, device, scoped) in [
        (2, 0, 0, 0),
        (3, TRUNCATE, 0, 0),
        (5, TRUNCATE, IOCTL, 0),
        (6, TRUNCATE, IOCTL, 3),
        (99, TRUNCATE, IOCTL, 3),
    ] {
        let rules = landlock::rules(&policy, abi).unwrap();
        let expected: &[(&[u8], u64)] = &[
            (b"/dev", DIRECTORY | more | device),
            (b"/proc", FILE | more),
            (b"/f", FILE | more),
            (b"/tmp/t", DIRECTORY | more),
            (b"/w", DIRECTORY | more),
        ];
        let found: Vec<_> = rules
            .beneath
            .iter()
            .map(|(p, r)| (p.as_slice(), *r))
            .collect();
        assert_eq!(found, expected, "ABI {abi}");
        assert_eq!(rules.handled, DIRECTORY | more | device);
        assert_eq!(
            (rules.scoped, rules.streams),
            (scoped, FILE | more | device)
        );
    }
    // The first ABI forbids every rename between directories.
    assert_eq!(landlock::rules(&policy, 1), None);
    assert_eq!(landlock::rules(&policy, 0), None);
}

#[test]
fn who_may_mount_is_not_held_by_rules_that_forbid_it() {
    let nested = settings(br#"{"allowNestedUserNamespaces": true}"#).unwrap();
    let policy = writable(&nested, host(7)).unwrap();
    let rules = landlock::rules(&policy, 7).unwrap();
    assert_eq!(
        (rules.handled, rules.scoped, rules.beneath.len()),
        (0, 3, 0)
    );
    assert_eq!(landlock::rules(&policy, 5), None);
}

#[test]
fn the_kernel_holds_the_superuser_to_less() {
    let refused = |json: &str, user| {
        let host = Host { user, ..host(7) };
        writable(&settings(json.as_bytes()).unwrap(), host).is_err()
    };
    for json in [
        r#"{"limits": {"processes": 5}}"#,
        r#"{"allowNestedUserNamespaces": true}"#,
    ] {
        assert!(
            refused(json, User::Superuser) && !refused(json, User::Ordinary),
            "{json}"
        );
    }
    assert!(!refused(
        r#"{"limits": {"openFiles": 5, "wallSeconds": 1}}"#,
        User::Superuser
    ));
}

#[test]
fn a_standard_stream_is_refused_where_nothing_holds_it() {
    let allowed = |stream: Stream, landlock: u32, json: &str| {
        let host = Host {
            streams: vec![(0, stream)],
            ..host(landlock)
        };
        writable(&settings(json.as_bytes()).unwrap(), host).is_ok()
    };
    let file = |path: &str| Stream::Rewritable(path.into());
    let nested = r#"{"allowNestedUserNamespaces": true}"#;
    for (stream, landlock, json, expected) in [
        (file("/elsewhere"), 7, "{}", true),
        (file("/elsewhere"), 1, "{}", false),
        (file("/elsewhere"), 7, nested, false),
        (file("/w/x"), 0, "{}", true),
        (file("/w/d/x"), 7, "{}", false),
        (file("/f"), 0, "{}", true),
        (Stream::Directory, 7, "{}", false),
    ] {
        assert_eq!(
            allowed(stream.clone(), landlock, json),
            expected,
            "{stream:?} {landlock} {json}"
        );
    }
}

#[test]
fn pitfall_25_a_guarantee_names_what_gives_it_and_what_takes_it() {
    let lost = |json: &str, landlock| -> Vec<Guarantee> {
        let all = given(&settings(json.as_bytes()).unwrap(), &host(landlock));
        all.into_iter()
            .filter(|g| g.lost.is_some())
            .map(|g| g.guarantee)
            .collect()
    };
    assert_eq!(lost("{}", 0), []);
    assert_eq!(
        lost(r#"{"network": {"allowAllUnixSockets": true}}"#, 7),
        [Guarantee::Unix]
    );
    assert_eq!(
        lost(r#"{"network": {"socksProxyPort": 1}}"#, 7),
        [Guarantee::Net]
    );
    assert_eq!(
        lost(r#"{"enableWeakerNestedSandbox": true}"#, 7),
        [Guarantee::Proc]
    );
    let layers = |json: &str, landlock| {
        let all = given(&settings(json.as_bytes()).unwrap(), &host(landlock));
        all.into_iter().next().unwrap().layers
    };
    assert_eq!(layers("{}", 7), ["mount namespace", "Landlock", "seccomp"]);
    assert_eq!(layers("{}", 1), ["mount namespace", "seccomp"]);
    assert_eq!(
        layers(r#"{"allowNestedUserNamespaces": true}"#, 7),
        ["mount namespace", "seccomp"]
    );
    let required = br#"{"require": ["unix", "net"], "network": {"allowAllUnixSockets": true}}"#;
    assert_eq!(missing(&settings(required).unwrap(), &host(7)).len(), 1);
}

#[test]
fn variables_are_withheld_and_set_whosever_they_are() {
    let json = br#"{"environment": {"deny": ["A*", "TMPDIR"], "set": {"AB": "given", "HTTPS_PROXY": "x"}}}"#;
    let rules = settings(json).unwrap().environment;
    let caller = [("A", "1"), ("AB", "2"), ("BA", "3")];
    let caller: Vec<_> = caller.map(|(n, v)| (n.into(), v.into())).into();
    let inside = environment(&caller, b"/t", b"/srt", &rules);
    let get = |name: &str| {
        inside
            .iter()
            .filter(|(n, _)| n == name.as_bytes())
            .map(|(_, v)| v.as_slice())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (get("A"), get("AB"), get("BA")),
        (vec![], vec![&b"given"[..]], vec![&b"3"[..]])
    );
    assert_eq!(
        (get("TMPDIR"), get("HTTPS_PROXY")),
        (vec![], vec![&b"x"[..]])
    );
}
