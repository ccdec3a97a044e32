//! `--check`: what a settings file had better not say, and whether another one allows
//! more.

mod support;

use std::process::Output;

use sandbox_runtime::emit::environment::environment;
use sandbox_runtime::parse::glob::PathPattern;
use sandbox_runtime::parse::host::{Host, Target, authority};
use sandbox_runtime::parse::settings::{PathRule, Settings, settings};
use sandbox_runtime::policy::compare::more;
use sandbox_runtime::policy::files::{Access, Files, Kind, Rule, covers};
use sandbox_runtime::policy::lint::{Around, engine_sockets, lint};
use sandbox_runtime::policy::network::{Network, Verdict};
use sandbox_runtime::policy::route::Routes;
use sandbox_runtime::policy::{Facts, Place, Policy, Resolved};
use support::chance::Chance;
use support::{Scratch, Who, assert_status, finish, srt, text};

fn read(json: &str) -> Settings {
    settings(json.as_bytes()).unwrap_or_else(|problems| panic!("{json}: {problems:?}"))
}

fn around() -> Around {
    Around {
        home: Some(b"/home/me".to_vec()),
        directory: b"/proj/here".to_vec(),
        search: [
            "/usr/bin",
            "/bin",
            "/home/me/.local/bin",
            "/proj/here/node_modules/.bin",
        ]
        .map(|dir| dir.as_bytes().to_vec())
        .into(),
        program: Some(b"/opt/srt/bin/srt".to_vec()),
        file: b"/home/me/policies/one.json".to_vec(),
    }
}

fn network(json: &str) -> String {
    format!(r#"{{"network": {{{json}}}}}"#)
}

fn files(json: &str) -> String {
    format!(r#"{{"filesystem": {{{json}}}}}"#)
}

/// What stands in doubt, the beginning and a part of the only finding, and a sibling that
/// does not.
#[track_caller]
fn doubtful(rows: &[(&str, &str, &str, &str)], section: fn(&str) -> String) {
    for (bad, key, part, good) in rows {
        let found = lint(&read(&section(bad)), &around());
        let [line] = found.as_slice() else {
            panic!("{bad}: {found:?}");
        };
        assert!(
            line.starts_with(&format!("{key}: ")) && line.contains(part),
            "{bad}: {line}"
        );
        let found = lint(&read(&section(good)), &around());
        assert!(found.is_empty(), "{good}: {found:?}");
    }
}

#[test]
fn network_rules_that_open_too_much_or_nothing_are_found() {
    let rows = [
        (
            r#""allowAllUnixSockets": true"#,
            "network.allowAllUnixSockets",
            "session bus",
            r#""allowAllUnixSockets": false"#,
        ),
        (
            r#""allowedDomains": ["a.test", "*.github.io:443"]"#,
            "network.allowedDomains[1]",
            "anybody can register",
            r#""allowedDomains": ["me.github.io:443", "*.me.github.io", "*.github.com"]"#,
        ),
        (
            r#""allowedDomains": ["*.amazonaws.com"]"#,
            "network.allowedDomains[0]",
            "s3.amazonaws.com",
            r#""allowedDomains": ["*.bucket.s3.amazonaws.com", "*.notgithub.io"]"#,
        ),
        (
            r#""allowedDomains": ["x.a.test:443", "b.test"], "deniedDomains": ["*.a.test"]"#,
            "network.allowedDomains[0]",
            r#"deniedDomains has "*.a.test""#,
            r#""allowedDomains": ["x.a.test", "a.test"], "deniedDomains": ["*.a.test:80", "x.a.test:22"]"#,
        ),
        (
            r#""allowedDomains": ["x.a.test", "*.a.test"]"#,
            "network.allowedDomains[0]",
            r#"adds nothing to "*.a.test" in [1]"#,
            r#""allowedDomains": ["a.test", "*.a.test", "x.b.test:80", "*.b.test:443"]"#,
        ),
        (
            r#""allowedDomains": ["A.test.", "b.test", "a.test"]"#,
            "network.allowedDomains[2]",
            "stands in [0] already",
            r#""allowedDomains": ["a.test:80", "a.test:443"]"#,
        ),
        (
            r#""deniedDomains": ["*:22", "1.2.3.4:22"]"#,
            "network.deniedDomains[1]",
            r#"adds nothing to "*:22""#,
            r#""deniedDomains": ["*:22", "1.2.3.4"]"#,
        ),
        (
            r#""deniedResolvedAddresses": ["10.1.0.0/16", "10.0.0.0/8"]"#,
            "network.deniedResolvedAddresses[0]",
            "adds nothing",
            r#""deniedResolvedAddresses": ["10.0.0.0/8", "11.0.0.1", "::/0"]"#,
        ),
        (
            r#""allowedDomains": ["*.a.test"], "deniedDomainReasons": {"x.a.test": "no"}"#,
            "network.deniedDomainReasons.x.a.test",
            "all of it is allowed",
            r#""allowedDomains": ["*.a.test"], "deniedDomains": ["x.a.test:22"],
               "deniedDomainReasons": {"x.a.test": "no", "a.test": "no"}"#,
        ),
        (
            r#""deniedDomainReasons": {"*.a.test": "one", "x.a.test": "two"}"#,
            "network.deniedDomainReasons.x.a.test",
            r#"that of "*.a.test" stands before it"#,
            r#""deniedDomainReasons": {"x.a.test": "two", "*.a.test": "one"}"#,
        ),
        (
            r#""allowHostPorts": [5432, 6379, 5432]"#,
            "network.allowHostPorts[2]",
            "5432 stands in [0] already",
            r#""allowHostPorts": [5432], "publishPorts": [5432]"#,
        ),
    ];
    doubtful(&rows, network);
}

#[test]
fn file_rules_that_open_too_much_or_nothing_are_found() {
    let rows = [
        (
            r#""allowWrite": ["out", "/run/user/1/podman.sock"]"#,
            "filesystem.allowWrite[1]",
            "root on the host",
            r#""allowWrite": ["out", "/run/user/1/bus.sock", "docker.sock.d"]"#,
        ),
        (
            r#""denyRead": ["/run"], "allowRead": ["/run/**/docker.sock"]"#,
            "filesystem.allowRead[0]",
            "root on the host",
            r#""denyRead": ["/run", "/var/run/docker.sock"]"#,
        ),
        (
            r#""allowWrite": ["/etc"]"#,
            "filesystem.allowWrite[0]",
            "a whole directory of the system",
            r#""allowWrite": ["/etc/mine"]"#,
        ),
        (
            r#""allowWrite": ["~/.local"]"#,
            "filesystem.allowWrite[0]",
            r#"PATH finds them ("/home/me/.local/bin")"#,
            r#""allowWrite": ["~/.local"], "denyWrite": ["~/.local/bin"]"#,
        ),
        (
            r#""allowWrite": ["."]"#,
            "filesystem.allowWrite[0]",
            r#"("/proj/here/node_modules/.bin")"#,
            r#""allowWrite": ["."], "denyWrite": ["node_modules/.bin"]"#,
        ),
        (
            r#""allowWrite": ["~/.lo*"]"#,
            "filesystem.allowWrite[0]",
            "PATH",
            r#""allowWrite": ["~/.lo*/share"]"#,
        ),
        (
            r#""allowWrite": ["/opt/srt"]"#,
            "filesystem.allowWrite[0]",
            r#"holds srt itself ("/opt/srt/bin")"#,
            r#""allowWrite": ["/opt/srt"], "denyWrite": ["/opt/srt/bin"]"#,
        ),
        (
            r#""allowWrite": ["/opt/srt/bin/srt"]"#,
            "filesystem.allowWrite[0]",
            r#"holds srt itself ("/opt/srt/bin/srt")"#,
            r#""allowWrite": ["/opt/srt/bin/srt2"]"#,
        ),
        (
            r#""allowWrite": ["~/policies"]"#,
            "filesystem.allowWrite[0]",
            "directory of this settings file",
            r#""allowWrite": ["~/policies/out", "~/policy"]"#,
        ),
        (
            r#""denyRead": ["~/.ssh"], "allowRead": ["~/.aws"]"#,
            "filesystem.allowRead[0]",
            "no denyRead hides it",
            r#""denyRead": ["~/.ssh"], "allowRead": ["/home/me/.ssh/config"]"#,
        ),
        (
            r#""denyRead": ["~/.ssh"], "allowRead": ["~"]"#,
            "filesystem.allowRead[0]",
            "no denyRead hides it",
            r#""denyRead": ["~/.ssh", "~/*"], "allowRead": ["~/x/y", "./z", "/home/me/../x"]"#,
        ),
        (
            r#""denyRead": ["~/.ssh/"], "allowRead": ["~/.ssh"]"#,
            "filesystem.allowRead[0]",
            "on the same path the denial decides",
            r#""denyRead": ["~"], "allowRead": ["~/.ssh"]"#,
        ),
        (
            r#""denyRead": ["/"], "allowRead": ["/", "/bin/sh"]"#,
            "filesystem.allowRead[0]",
            "on the same path the denial decides",
            r#""denyRead": ["/"], "allowRead": ["/usr/lib", "/proc"]"#,
        ),
        (
            r#""allowWrite": ["out"], "denyWrite": ["kept"]"#,
            "filesystem.denyWrite[0]",
            "no allowWrite lets it be written",
            // From another directory, the two may meet.
            r#""allowWrite": ["out"], "denyWrite": ["/home/me/kept", "out/kept", "**/kept", "../kept"]"#,
        ),
        (
            r#""allowWrite": ["out", "log"], "denyWrite": ["./out"]"#,
            "filesystem.allowWrite[0]",
            "allows nothing",
            r#""allowWrite": ["out", "log"], "denyWrite": ["./out/kept", "log/*"]"#,
        ),
        (
            r#""denyRead": ["~/.ssh", "~/.ssh/keys"]"#,
            "filesystem.denyRead[1]",
            "adds nothing to",
            r#""denyRead": ["~/.ssh", "~/.ssh/all/keys"], "allowRead": ["~/.ssh/all"]"#,
        ),
        (
            r#""denyRead": ["~/.a"], "allowRead": ["~/.a/b", "~/.a/b/c"]"#,
            "filesystem.allowRead[1]",
            "adds nothing to",
            r#""denyRead": ["~/.a", "~/.a/b/x"], "allowRead": ["~/.a/b", "~/.a/b/x/c"]"#,
        ),
        (
            r#""allowWrite": ["out", "log", "out/"]"#,
            "filesystem.allowWrite[2]",
            "stands in [0] already",
            // srt holds names in the inner one as well.
            r#""allowWrite": ["out", "out/inner"]"#,
        ),
        (
            r#""allowWrite": ["out"], "denyWrite": ["out/**/x", "out/a", "out/a/**/x"]"#,
            "filesystem.denyWrite[2]",
            "adds nothing to \"out/a\" in [1]",
            r#""allowWrite": ["out"], "denyWrite": ["out/**/x", "out/a", "out/b/**/x"]"#,
        ),
    ];
    doubtful(&rows, files);
}

#[test]
fn rules_of_the_whole_are_found() {
    let whole: fn(&str) -> String = |json| format!("{{{json}}}");
    let rows = [
        (
            r#""require": ["net", "unix", "net"]"#,
            "require[2]",
            "net stands in [0] already",
            r#""require": ["net", "unix"]"#,
        ),
        (
            r#""environment": {"deny": ["AWS_KEY", "AWS_*"]}"#,
            "environment.deny[0]",
            "adds nothing",
            r#""environment": {"deny": ["AWS_*", "AWSX", "A*"]}"#,
        ),
    ];
    doubtful(&rows[..1], whole);
    let found = lint(&read(&whole(rows[1].0)), &around());
    assert!(
        found[0].starts_with(rows[1].1) && found.len() == 1,
        "{found:?}"
    );
    // All of it, with a finding for each thing in it.
    let found = lint(&read(&files(r#""allowWrite": ["/"]"#)), &around());
    for (part, count) in [("whole file system", 1), ("PATH", 1), ("srt itself", 1)] {
        let lines = found.iter().filter(|line| line.contains(part)).count();
        assert_eq!(lines, count, "{found:?}");
    }
    for (path, what) in [("~", "home"), ("/home", "home"), ("/home/me/", "home")] {
        let found = lint(
            &read(&files(&format!(r#""allowWrite": ["{path}"]"#))),
            &around(),
        );
        assert!(found[0].contains(what), "{found:?}");
    }
    assert_eq!(lint(&read("{}"), &around()), [""; 0]);
    assert_eq!(
        lint(&read(&files(r#""allowWrite": ["/"]"#)), &Around::default()).len(),
        2
    );
}

#[test]
fn a_container_engines_socket_is_known_by_its_name() {
    let found = engine_sockets(
        [
            ("network.allowUnixSockets[0]", "/run/docker.sock"),
            ("network.allowUnixSockets[1]", "~/agent.sock"),
            ("network.allowUnixSockets[2]", "/run/crio/crio.sock"),
            ("network.allowUnixSockets[3]", "/run/docker.sock/x"),
            ("network.allowUnixSockets[4]", "containerd.sock"),
            ("network.allowUnixSockets[5]", "/run/docker.socket"),
        ]
        .into_iter(),
    );
    let keys: Vec<&str> = found
        .iter()
        .map(|line| line.split(':').next().unwrap())
        .collect();
    assert_eq!(
        keys,
        [0, 2, 4].map(|at| format!("network.allowUnixSockets[{at}]"))
    );
}

/// What OLD and NEW say, the beginning and a part of the only line, and a NEW that allows
/// no more.
#[track_caller]
fn widened(rows: &[(&str, &str, &str, &str, &str)], section: fn(&str) -> String) {
    let home = Some(&b"/home/me"[..]);
    for (old, new, key, part, harmless) in rows {
        let [old, new, harmless] = [old, new, harmless].map(|json| section(json));
        let found = more(&read(&old), &read(&new), home);
        let [line] = found.as_slice() else {
            panic!("{old} {new}: {found:?}");
        };
        assert!(
            line.starts_with(&format!("{key}: ")) && line.contains(part),
            "{old} {new}: {line}"
        );
        for (one, other) in [(&old, &harmless), (&old, &old), (&new, &new)] {
            let found = more(&read(one), &read(other), home);
            assert!(found.is_empty(), "{one} {other}: {found:?}");
        }
    }
}

#[test]
fn more_of_the_network_is_found() {
    let rows = [
        (
            r#""allowedDomains": ["*.a.test", "b.test:443"]"#,
            r#""allowedDomains": ["x.a.test:80", "a.test"]"#,
            "NEW: network.allowedDomains[1]",
            "OLD allows not all of \"a.test\"",
            r#""allowedDomains": ["x.a.test:80", "*.x.a.test", "b.test:443"]"#,
        ),
        (
            r#""allowedDomains": ["b.test:443"]"#,
            r#""allowedDomains": ["b.test"]"#,
            "NEW: network.allowedDomains[0]",
            "b.test",
            r#""allowedDomains": ["b.test", "b.test:443"], "deniedDomains": ["b.test"]"#,
        ),
        (
            r#""allowedDomains": ["*.a.test"], "deniedDomains": ["x.a.test"]"#,
            r#""allowedDomains": ["*.a.test:80"], "deniedDomains": ["x.a.test:443"]"#,
            "OLD: network.deniedDomains[0]",
            "allows \"*.a.test:80\"",
            r#""allowedDomains": ["*.a.test:80"], "deniedDomains": ["x.a.test:80"]"#,
        ),
        (
            r#""allowedDomains": ["*.a.test"], "deniedDomains": ["*:22"]"#,
            r#""allowedDomains": ["x.a.test", "y.a.test:80"]"#,
            "OLD: network.deniedDomains[0]",
            "\"*:22\"",
            r#""allowedDomains": ["y.a.test:80"]"#,
        ),
        // A name may lead to a denied address.
        (
            r#""allowedDomains": ["a.test:80"], "deniedDomains": ["10.0.0.1"]"#,
            r#""allowedDomains": ["a.test:80"]"#,
            "OLD: network.deniedDomains[0]",
            "\"10.0.0.1\"",
            r#""allowedDomains": ["a.test:80"], "deniedDomains": ["10.0.0.1:80"]"#,
        ),
        (
            r#""allowedDomains": ["[64:ff9b::a00:1]"], "deniedDomains": ["10.0.0.1"]"#,
            r#""allowedDomains": ["[64:ff9b::a00:1]"]"#,
            "OLD: network.deniedDomains[0]",
            "\"10.0.0.1\"",
            r#""deniedDomains": []"#,
        ),
        (
            r#""allowedDomains": ["a.test"], "deniedResolvedAddresses": ["10.1.0.0/16"]"#,
            r#""allowedDomains": ["a.test"], "deniedResolvedAddresses": ["10.1.0.0/24", "::/0"]"#,
            "OLD: network.deniedResolvedAddresses[0]",
            "not all",
            r#""allowedDomains": ["a.test"], "deniedResolvedAddresses": ["::1", "10.0.0.0/8"]"#,
        ),
        (
            "",
            r#""allowAllUnixSockets": true"#,
            "NEW: network.allowAllUnixSockets",
            "is true",
            r#""allowAllUnixSockets": false"#,
        ),
        (
            r#""allowedDomains": ["a.test"], "requireServerName": true"#,
            r#""allowedDomains": ["a.test"]"#,
            "OLD: network.requireServerName",
            "443",
            r#""allowedDomains": [], "requireServerName": false"#,
        ),
        (
            r#""allowedDomains": ["a.test"]"#,
            r#""allowedDomains": ["a.test"], "requireServerName": false"#,
            "NEW: network.requireServerName",
            "is false",
            r#""allowedDomains": ["a.test"], "requireServerName": true"#,
        ),
        (
            r#""httpProxyPort": 8080"#,
            r#""httpProxyPort": 8081"#,
            "NEW: network.httpProxyPort",
            "OLD",
            "",
        ),
        (
            r#""allowedDomains": ["a.test"], "socksProxyPort": 1081"#,
            r#""allowedDomains": ["a.test"]"#,
            "OLD: network.socksProxyPort",
            "past the program",
            r#""allowedDomains": ["a.test:1"], "socksProxyPort": 1081"#,
        ),
        (
            r#""allowedDomains": ["a.test"], "mitmProxy": {"socketPath": "/s", "domains": ["a.test"]}"#,
            r#""allowedDomains": ["a.test"]"#,
            "OLD: network.mitmProxy",
            "past that program",
            r#""allowedDomains": ["a.test"], "mitmProxy": {"socketPath": "/s", "domains": ["a.test:80", "a.test"]}"#,
        ),
        (
            r#""allowedDomains": ["a.test"], "mitmProxy": {"socketPath": "/s", "domains": ["a.test"]}"#,
            r#""allowedDomains": ["a.test"], "mitmProxy": {"socketPath": "/t", "domains": ["a.test"]}"#,
            "NEW: network.mitmProxy",
            "other hosts",
            "",
        ),
        (
            r#""allowedDomains": ["a.test"]"#,
            r#""allowedDomains": ["a.test"], "parentProxy": {"http": "http://p:1"}"#,
            "NEW: network.parentProxy",
            "another",
            r#""parentProxy": {"http": "http://p:1"}"#,
        ),
        (
            r#""strictAllowlist": true"#,
            r#""strictAllowlist": false"#,
            "OLD: network.strictAllowlist",
            "lets hosts through",
            r#""strictAllowlist": true"#,
        ),
        (
            r#""allowHostPorts": [1, 2]"#,
            r#""allowHostPorts": [1, 3]"#,
            "NEW: network.allowHostPorts[1]",
            "no port 3",
            r#""allowHostPorts": [2]"#,
        ),
        (
            r#""publishPorts": [1]"#,
            r#""publishPorts": [2]"#,
            "NEW: network.publishPorts[0]",
            "no port 2",
            r#""deniedDomainReasons": {"a.test": "no"}"#,
        ),
    ];
    widened(&rows, network);
}

#[test]
fn more_of_the_files_is_found() {
    let rows = [
        (
            r#""allowWrite": ["~/a", "out"]"#,
            r#""allowWrite": ["/home/me/a/b", "outer"]"#,
            "NEW: filesystem.allowWrite[1]",
            "\"outer\"",
            r#""allowWrite": ["/home/me/a/b", "./out//inner/*", "outer"], "denyWrite": ["outer"]"#,
        ),
        // Another working directory makes another path of it.
        (
            r#""allowWrite": ["/proj/here"]"#,
            r#""allowWrite": ["."]"#,
            "NEW: filesystem.allowWrite[0]",
            "\".\"",
            r#""allowWrite": ["/proj/here/inner"]"#,
        ),
        (
            r#""allowWrite": ["a/*.log"]"#,
            r#""allowWrite": ["a/*"]"#,
            "NEW: filesystem.allowWrite[0]",
            "a/*",
            r#""allowWrite": ["a/*.log"], "denyWrite": ["a/b.log"]"#,
        ),
        (
            r#""allowWrite": ["../a"]"#,
            r#""allowWrite": ["../a/b"]"#,
            "NEW: filesystem.allowWrite[0]",
            "../a/b",
            r#""allowWrite": ["../a"]"#,
        ),
        (
            r#""allowWrite": ["a"], "denyWrite": ["a/b", "c"]"#,
            r#""allowWrite": ["a"], "denyWrite": ["a/b/c"]"#,
            "OLD: filesystem.denyWrite[0]",
            "not all of \"a/b\"",
            r#""allowWrite": ["a"], "denyWrite": ["a/b"]"#,
        ),
        (
            r#""allowWrite": ["a"], "denyWrite": ["a/**/b"]"#,
            r#""allowWrite": ["a/c"]"#,
            "OLD: filesystem.denyWrite[0]",
            "a/**/b",
            r#""allowWrite": ["a/c"], "denyWrite": ["a"]"#,
        ),
        (
            r#""denyRead": ["~/.ssh", "~/.aws"]"#,
            r#""denyRead": ["~/.ssh/keys", "~/.aws"]"#,
            "OLD: filesystem.denyRead[0]",
            "\"~/.ssh\"",
            r#""denyRead": ["/home/me"]"#,
        ),
        // Its place is held where it is absent, which a pattern does not do.
        (
            r#""denyRead": ["~/.ssh"]"#,
            r#""denyRead": ["~/.*"]"#,
            "OLD: filesystem.denyRead[0]",
            "\"~/.ssh\"",
            r#""denyRead": ["~/.*", "/"]"#,
        ),
        (
            r#""denyRead": ["~/**/.env"]"#,
            r#""denyRead": ["~/proj"]"#,
            "OLD: filesystem.denyRead[0]",
            ".env",
            r#""denyRead": ["~"]"#,
        ),
        (
            r#""denyRead": ["/h"], "allowRead": ["/h/w"]"#,
            r#""denyRead": ["/h"], "allowRead": ["/h/x"]"#,
            "NEW: filesystem.allowRead[0]",
            "\"/h/x\"",
            r#""denyRead": ["/h", "/h/w/s"], "allowRead": ["/h/w/x", "/g"]"#,
        ),
        // Covered by one of OLD's, and hidden again in that.
        (
            r#""denyRead": ["/h", "/h/w/s"], "allowRead": ["/h/w"]"#,
            r#""denyRead": ["/h", "/h/w/s"], "allowRead": ["/h/w", "/h/w/s/x"]"#,
            "NEW: filesystem.allowRead[1]",
            "/h/w/s/x",
            r#""denyRead": ["/h", "/h/w/s"], "allowRead": ["/h/w/x", "/h/w/s"]"#,
        ),
        (
            r#""denyRead": ["/h", "/h/w/s"], "allowRead": ["/h/w"]"#,
            r#""denyRead": ["/h"], "allowRead": ["/h/w"]"#,
            "OLD: filesystem.denyRead[1]",
            "/h/w/s",
            r#""denyRead": ["/h"]"#,
        ),
        (
            r#""denyRead": ["/"], "allowRead": ["/usr/bin"]"#,
            r#""denyRead": ["/"], "allowRead": ["/usr", "/usr/bin"]"#,
            "NEW: filesystem.allowRead[0]",
            "/usr",
            r#""denyRead": ["/"], "allowRead": ["/usr/bin"]"#,
        ),
        (
            r#""denyRead": ["/proc/x"]"#,
            r#""denyRead": ["/"]"#,
            "OLD: filesystem.denyRead[0]",
            "/proc/x",
            r#""denyRead": ["/", "/proc/x"]"#,
        ),
        (
            r#""denyRead": ["/"]"#,
            r#""denyRead": ["/"], "allowRead": ["/*/a"]"#,
            "NEW: filesystem.allowRead[0]",
            "/*/a",
            r#""denyRead": ["/"], "allowRead": ["/"]"#,
        ),
        (
            r#""denyRead": ["a"]"#,
            r#""denyRead": ["a"], "allowRead": ["/h/*"]"#,
            "NEW: filesystem.allowRead[0]",
            "/h/*",
            r#""denyRead": ["a"], "allowRead": ["b/*"]"#,
        ),
        // Absent names are held in a directory that allowWrite names.
        (
            r#""allowWrite": ["a", "a/b"]"#,
            r#""allowWrite": ["a"]"#,
            "OLD: filesystem.allowWrite[1]",
            "protects no names",
            r#""allowWrite": ["a/b"]"#,
        ),
        (
            "",
            r#""allowGitConfig": true"#,
            "NEW: filesystem.allowGitConfig",
            "is true",
            r#""allowGitConfig": false"#,
        ),
    ];
    widened(&rows, files);
}

#[test]
fn more_of_the_rest_is_found() {
    let rows = [
        (
            r#""environment": {"deny": ["AWS_*", "KEY"]}"#,
            r#""environment": {"deny": ["AWS_KEY", "K?Y"]}"#,
            "OLD: environment.deny[0]",
            "withhold",
            r#""environment": {"deny": ["*"]}"#,
        ),
        (
            r#""environment": {"set": {"A": "1"}}"#,
            r#""environment": {"set": {"A": "2"}}"#,
            "NEW: environment.set.A",
            "another value",
            r#""environment": {"deny": ["A"]}"#,
        ),
        (
            r#""environment": {"set": {"A\n": "1"}}"#,
            "",
            r"OLD: environment.set.A\n",
            "caller's value",
            r#""environment": {"set": {"A\n": "1"}, "deny": ["B"]}"#,
        ),
        (
            r#""limits": {"memoryMiB": 100, "wallSeconds": 9}"#,
            r#""limits": {"memoryMiB": 101, "wallSeconds": 9}"#,
            "NEW: limits.memoryMiB",
            "higher",
            r#""limits": {"memoryMiB": 99, "wallSeconds": 9, "cpuSeconds": 1}"#,
        ),
        (
            r#""limits": {"wallSeconds": 9}"#,
            "",
            "OLD: limits.wallSeconds",
            "no such limit",
            r#""limits": {"wallSeconds": 8}"#,
        ),
        (
            "",
            r#""allowNestedUserNamespaces": true"#,
            "NEW: allowNestedUserNamespaces",
            "is true",
            r#""allowNestedUserNamespaces": false"#,
        ),
        (
            "",
            r#""enableWeakerNestedSandbox": true"#,
            "NEW: enableWeakerNestedSandbox",
            "is true",
            r#""enableWeakerNestedSandbox": false"#,
        ),
        (
            r#""require": ["net", "unix"]"#,
            r#""require": ["net"]"#,
            "OLD: require[1]",
            "unix",
            r#""require": ["unix", "proc", "net"]"#,
        ),
        (
            r#""bwrapPath": "/a""#,
            "",
            "OLD: bwrapPath",
            "another",
            r#""bwrapPath": "/a""#,
        ),
        (
            "",
            r#""bwrapPath": "/a""#,
            "NEW: bwrapPath",
            "another",
            r#""ripgrep": {}"#,
        ),
        (
            "",
            r#""mandatoryDenySearchDepth": 2"#,
            "NEW: mandatoryDenySearchDepth",
            "is 2, and 3 in OLD",
            r#""mandatoryDenySearchDepth": 10"#,
        ),
    ];
    widened(&rows, |json| format!("{{{json}}}"));
}

impl Chance {
    /// Entries of a list.
    fn list<'a>(&mut self, from: &[&'a str]) -> Vec<&'a str> {
        (0..self.below(4)).map(|_| *self.pick(from)).collect()
    }

    /// The same list with an entry more, one less, or another one; or as it was.
    fn changed<'a>(&mut self, list: &[&'a str], from: &[&'a str]) -> Vec<&'a str> {
        let mut list = list.to_vec();
        let at = self.below(list.len().max(1));
        match self.below(6) {
            0 => list.push(*self.pick(from)),
            1 if !list.is_empty() => drop(list.remove(at)),
            2 if !list.is_empty() => list[at] = *self.pick(from),
            _ => {}
        }
        list
    }

    /// Two settings of these lists that differ a little.
    fn pair(&mut self, keys: &[(&str, &[&str])]) -> [Settings; 2] {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for (key, from) in keys {
            let list = self.list(from);
            let other = self.changed(&list, from);
            old.push(format!("{key:?}: {list:?}"));
            new.push(format!("{key:?}: {other:?}"));
        }
        [old, new].map(|lists| {
            let section = match keys[0].0 {
                "denyRead" => "filesystem",
                "deny" => "environment",
                _ => "network",
            };
            read(&format!("{{{section:?}: {{{}}}}}", lists.join(", ")))
        })
    }
}

const HOSTS: [&str; 9] = [
    "a.test",
    "x.a.test",
    "y.x.a.test",
    "b.test",
    "xa.test",
    "1.2.3.4",
    "127.0.0.1",
    "[::1]",
    "[64:ff9b::102:304]",
];

const PATTERNS: [&str; 13] = [
    "a.test",
    "*.a.test",
    "x.a.test",
    "x.a.test:80",
    "*.x.a.test",
    "*.a.test:443",
    "y.x.a.test:22",
    "b.test",
    "1.2.3.4",
    "1.2.3.4:80",
    "127.0.0.1",
    "[::1]:443",
    "[64:ff9b::102:304]",
];

fn targets() -> Vec<Target> {
    let target = |host: &str, port: u16| authority(format!("{host}:{port}").as_bytes()).unwrap();
    let ports = |host: &&str| [22, 80, 443].map(|port| target(host, port));
    HOSTS.iter().flat_map(ports).collect()
}

/// What NEW lets out and OLD does not.
fn reached(old: &Settings, new: &Settings) -> Vec<String> {
    let [old, new] = [old, new].map(|s| Network::new(&s.network, &[], Routes::default()));
    let allows = |network: &Network, target: &Target| {
        matches!(network.decide(target), Verdict::Allow { .. })
    };
    let mut found = Vec::new();
    for target in targets().iter().filter(|target| allows(&new, target)) {
        if !allows(&old, target) {
            found.push(target.to_string());
        }
        for other in targets() {
            let Host::Address(ip) = other.host else {
                continue;
            };
            let permits = |network: &Network| network.permits_address(target, ip).is_ok();
            // Only a name leads elsewhere.
            let leads = !matches!(target.host, Host::Address(own) if own != ip);
            if leads && permits(&new) && !permits(&old) {
                found.push(format!("{target} at {ip}"));
            }
        }
    }
    found
}

#[test]
fn whoever_is_told_of_nothing_reaches_nothing_more() {
    let denied = [&PATTERNS[..], &["*", "*:22", "*:443"]].concat();
    let ranges = [
        "1.2.3.4",
        "1.2.0.0/16",
        "127.0.0.0/8",
        "::1",
        "::/0",
        "0.0.0.0/0",
    ];
    let keys: [(&str, &[&str]); 3] = [
        ("allowedDomains", &PATTERNS),
        ("deniedDomains", &denied),
        ("deniedResolvedAddresses", &ranges),
    ];
    agree(&keys, reached);
}

/// Everything that is there, and all that is not and is asked for.
const THERE: [&str; 14] = [
    "/proc/s", "/", "/w", "/w/a", "/w/a/s", "/w/a/s/x", "/w/s", "/w/s/a", "/h", "/h/a", "/h/a/s",
    "/h/s", "/proc", "/proc/x",
];
const ABSENT: [&str; 3] = ["/w/n", "/w/a/n", "/h/n"];

const PATHS: [&str; 29] = [
    "proc/x", "w", "w/a", "/", "/w", "/w/a", "/w/a/s", "/w/a/s/x", "/w/s", "/h", "/h/a", "/proc/x",
    "/w/n", "~", "~/a", "~/n", ".", "a", "./a/s", "s", "n", "/w/*", "/w/**/s", "**/s", "*/a",
    "~/*/s", "/**/a", "../w/a", "a/../s",
];

/// A path of a rule as it is from a working directory: absolute, without `.` and `..`.
fn whole(text: &str, directory: &str) -> String {
    let text = match text.strip_prefix('~') {
        Some(rest) => format!("/h{rest}"),
        None if text.starts_with('/') => text.to_owned(),
        None => format!("{directory}/{text}"),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/').filter(|part| !matches!(*part, "" | ".")) {
        match part {
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    format!("/{}", parts.join("/"))
}

/// What a rule names on this host, as `srt` would find it there.
fn named(rule: &PathRule, directory: &str) -> Vec<Place> {
    let exists = |path: &str| Place::Exists {
        path: path.into(),
        kind: Kind::Directory,
        hold: None,
    };
    match &rule.path {
        PathPattern::Literal(text) => {
            let path = whole(text, directory);
            if THERE.contains(&path.as_str()) {
                return vec![exists(&path)];
            }
            let mut above = "/".to_owned();
            for name in path[1..].split('/') {
                let next = format!("{}/{name}", above.trim_end_matches('/'));
                if !THERE.contains(&next.as_str()) {
                    return vec![Place::Absent {
                        above: above.into(),
                        name: name.into(),
                        wanted: path.into(),
                    }];
                }
                above = next;
            }
            unreachable!()
        }
        PathPattern::Glob(glob) => {
            let base = whole(&glob.base, directory);
            let matches = |path: &&str| {
                let rest = path.strip_prefix(base.trim_end_matches('/'));
                let names = rest.and_then(|rest| rest.strip_prefix('/')).unwrap_or("");
                covers(base.as_bytes(), path.as_bytes())
                    && !names.is_empty()
                    && glob.matches(names.split('/').map(str::as_bytes))
            };
            THERE.into_iter().filter(matches).map(exists).collect()
        }
    }
}

/// `None` where `srt` would refuse to run anything.
fn policy(settings: &Settings, directory: &str) -> Option<Files> {
    let files = &settings.filesystem;
    let lists = [
        (Rule::DenyRead, &files.deny_read),
        (Rule::AllowRead, &files.allow_read),
        (Rule::AllowWrite, &files.allow_write),
        (Rule::DenyWrite, &files.deny_write),
    ];
    let mut rules = Vec::new();
    for (rule, entry) in lists
        .into_iter()
        .flat_map(|(r, l)| l.iter().map(move |e| (r, e)))
    {
        rules.extend(named(entry, directory).into_iter().map(|place| Resolved {
            key: entry.key.clone(),
            rule,
            place,
            links: Vec::new(),
        }));
    }
    let top = |path: &&&str| path.matches('/').count() == 1 && path.len() > 1;
    let top = THERE.iter().filter(top);
    let facts = Facts {
        rules,
        root: top
            .map(|path| (path.as_bytes().to_vec(), Kind::Directory))
            .collect(),
        directory: b"/tmp/own".to_vec(),
        temporary: b"/tmp/own".to_vec(),
        ..Facts::default()
    };
    Some(Policy::new(settings, &facts).ok()?.files)
}

/// What NEW opens and OLD does not.
fn opened(old: &Settings, new: &Settings) -> Vec<String> {
    let mut found = Vec::new();
    for directory in ["/w", "/w/a", "/h", "/"] {
        let both = [old, new].map(|settings| policy(settings, directory));
        let [Some(old), Some(new)] = both else {
            continue;
        };
        for path in THERE.into_iter().chain(ABSENT) {
            let [before, now] = [&old, &new].map(|files| files.access(path.as_bytes()));
            // There is nothing to read where nothing is.
            let counts = THERE.contains(&path) || now == Access::Write;
            if counts && now > before {
                found.push(format!("{path} from {directory}: {before:?}, then {now:?}"));
            }
        }
    }
    found
}

#[test]
fn whoever_is_told_of_nothing_reads_and_writes_nothing_more() {
    let keys: [(&str, &[&str]); 4] = [
        ("denyRead", &PATHS),
        ("allowRead", &PATHS),
        ("allowWrite", &PATHS),
        ("denyWrite", &PATHS),
    ];
    agree(&keys, opened);
    // Fewer, so that they meet more often: roots, and what lies in them.
    let close = [
        "/", ".", "/w", "w", "a", "/w/a", "w/a", "**/s", "*/a", "/w/*", "/**/a",
    ];
    agree(&[("denyRead", &close), ("allowRead", &close)], opened);
}

#[test]
fn whoever_is_told_of_nothing_is_given_no_other_variables() {
    let given = |old: &Settings, new: &Settings| {
        let caller = ["A", "AB", "B", "BA"].map(|name| (name.into(), b"value".to_vec()));
        let [old, new] = [old, new].map(|s| environment(&caller, b"/tmp", b"/srt", &s.environment));
        let known = |pair: &&(Vec<u8>, Vec<u8>)| !old.contains(pair);
        new.iter().filter(known).map(|pair| text(&pair.0)).collect()
    };
    let names = ["A", "A*", "?", "*", "AB", "[AB]", "B*", "?B"];
    agree(&[("deny", &names)], given);
}

/// Random pairs of settings: where nothing is told, nothing is `gained`.
#[track_caller]
fn agree(keys: &[(&str, &[&str])], gained: impl Fn(&Settings, &Settings) -> Vec<String>) {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let (mut silent, mut told, mut right) = (0, 0, 0);
    for _ in 0..4_000 {
        let [old, new] = chance.pair(keys);
        let said = more(&old, &new, Some(b"/h"));
        let gained = gained(&old, &new);
        if said.is_empty() {
            assert_eq!(gained, [""; 0], "{old:#?}\n{new:#?}");
            silent += usize::from(old != new);
        } else {
            told += 1;
            right += usize::from(!gained.is_empty());
        }
        let same = more(&new, &new, Some(b"/h"));
        assert_eq!(same, [""; 0], "{new:#?}");
    }
    // Neither always silent nor always in doubt.
    assert!(silent > 400 && told > 400, "{silent} {told}");
    assert!(right * 3 > told, "{right} {told}");
}

fn check(scratch: &Scratch, words: &[&str]) -> Output {
    let mut command = srt(Who::Me, &scratch.path(""));
    // Neither bubblewrap nor anything else is run.
    command
        .env("PATH", scratch.path("bin"))
        .arg("--check")
        .args(words);
    finish(command)
}

#[test]
fn a_file_is_looked_over() {
    let scratch = Scratch::new();
    let at = scratch
        .path("")
        .to_str()
        .unwrap()
        .trim_end_matches('/')
        .to_owned();
    scratch.file("good.json", r#"{"filesystem": {"allowWrite": ["out"]}}"#);
    let out = check(&scratch, &["good.json"]);
    assert_status(&out, 0);
    assert_eq!(text(&out.stdout), "good.json: fine\n");
    // Where PATH, the home directory, the program and the file are is the host's to say.
    let program = support::program().canonicalize().unwrap();
    let beside = program.parent().unwrap().to_str().unwrap();
    for (path, part) in [
        (
            "bin",
            format!("where PATH finds them ({:?})", format!("{at}/bin")),
        ),
        ("~", "is the whole home directory".into()),
        (beside, format!("holds srt itself ({beside:?})")),
        (
            ".",
            format!("holds the directory of this settings file ({at:?})"),
        ),
    ] {
        let json = format!(r#"{{"filesystem": {{"allowWrite": [{path:?}]}}}}"#);
        scratch.file("bad.json", &json);
        let out = check(&scratch, &["bad.json"]);
        assert_status(&out, 1);
        let said = text(&out.stdout);
        let all = "bad.json: filesystem.allowWrite[0]: ";
        assert!(
            said.contains(&part) && said.lines().all(|line| line.starts_with(all)),
            "{path}: {said}"
        );
        assert!(out.stderr.is_empty());
    }
    assert!(!scratch.path("out").exists());
    // A relative part of PATH is wherever one is.
    scratch.file(
        "elsewhere/bad.json",
        r#"{"filesystem": {"allowWrite": ["."]}}"#,
    );
    for (path, status) in [("", 0), ("/usr/bin:", 1), (".:/usr/bin", 1)] {
        let mut command = srt(Who::Me, &scratch.dir("start"));
        command.env("PATH", path).env("HOME", "/nowhere");
        command.args(["--check", "../elsewhere/bad.json"]);
        assert_status(&finish(command), status);
    }
}

#[test]
fn a_file_that_is_not_valid_fails_as_it_does_for_a_run() {
    let scratch = Scratch::new();
    let bad = "{\"network\": {\"allowedDomains\": [\"*\"]},\n \"filesytem\": {}}";
    scratch.file("bad.json", bad);
    scratch.file("good.json", "{}");
    let mut run = srt(Who::Me, &scratch.path(""));
    run.args(["-s", "bad.json", "true"]);
    let run = finish(run);
    assert_status(&run, 125);
    let said = text(&run.stderr);
    assert!(
        said.contains("bad.json: line 2, column 2: filesytem: unknown key"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 2, "{said}");
    for words in [
        &["bad.json"][..],
        &["good.json", "bad.json"],
        &["bad.json", "good.json"],
    ] {
        let out = check(&scratch, words);
        assert_status(&out, 125);
        assert_eq!(text(&out.stderr), said, "{words:?}");
        assert!(out.stdout.is_empty());
    }
    let out = check(&scratch, &["absent.json"]);
    assert_status(&out, 125);
    assert!(text(&out.stderr).contains("absent.json: cannot be read"));
}

#[test]
fn two_files_are_compared() {
    let scratch = Scratch::new();
    let wide =
        r#"{"network": {"allowedDomains": ["*.a.test"]}, "filesystem": {"denyRead": ["~/s"]}}"#;
    // The home directory is the host's to say.
    let narrow =
        r#"{"network": {"allowedDomains": ["x.a.test"]}, "filesystem": {"denyRead": ["@"]}}"#;
    let at = scratch.path("").to_str().unwrap().to_owned();
    scratch.file("wide.json", wide);
    scratch.file("narrow.json", &narrow.replace('@', &at));
    let out = check(&scratch, &["wide.json", "narrow.json"]);
    assert_status(&out, 0);
    assert_eq!(text(&out.stdout), "NEW allows nothing that OLD does not\n");
    let out = check(&scratch, &["narrow.json", "wide.json"]);
    assert_status(&out, 1);
    let lines = "NEW: network.allowedDomains[0]: OLD allows not all of \"*.a.test\"\n\
                 OLD: filesystem.denyRead[0]: NEW hides not all of ";
    let said = text(&out.stdout);
    assert!(
        said.starts_with(lines) && said.lines().count() == 2,
        "{said}"
    );
    // What is doubtful in both is no matter here.
    scratch.file(
        "doubtful.json",
        r#"{"network": {"allowAllUnixSockets": true}}"#,
    );
    assert_status(&check(&scratch, &["doubtful.json", "doubtful.json"]), 0);
    assert_status(&check(&scratch, &["doubtful.json"]), 1);
}

#[test]
fn check_goes_with_files_and_nothing_else() {
    let scratch = Scratch::new();
    scratch.file("a.json", "{}");
    for (before, words, part) in [
        (&[][..], &[][..], "missing argument for option '--check'"),
        (
            &[],
            &["a.json", "a.json", "true"],
            "unexpected \"true\" after --check",
        ),
        (
            &[],
            &["a.json", "--json"],
            "unexpected --json after --check",
        ),
        (
            &[],
            &["a.json", "-c", "true"],
            "unexpected -c after --check",
        ),
        (
            &["-s", "a.json"],
            &["a.json"],
            "--check goes with no other option",
        ),
        (
            &["--doctor"],
            &["a.json"],
            "--check goes with no other option",
        ),
        (
            &["--json"],
            &["a.json"],
            "--check goes with no other option",
        ),
        (
            &["--dry-run"],
            &["a.json"],
            "--check goes with no other option",
        ),
    ] {
        let mut command = srt(Who::Me, &scratch.path(""));
        command.args(before).arg("--check").args(words);
        let out = finish(command);
        assert_status(&out, 125);
        let said = text(&out.stderr);
        assert!(
            said.contains(part) && out.stdout.is_empty(),
            "{words:?}: {said}"
        );
    }
    let mut command = srt(Who::Me, &scratch.path(""));
    command.args(["--debug", "--check=a.json"]);
    assert_eq!(text(&finish(command).stdout), "a.json: fine\n");
}
