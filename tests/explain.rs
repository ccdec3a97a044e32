//! `--explain` for hosts and Unix sockets, held to what the real sandbox does; and what it
//! says of single cases.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Output;

use support::chance::Chance;
use support::{Scratch, Who, assert_status, everyone, finish, srt, text};

impl Chance {
    fn some<'a>(&mut self, from: &[&'a str], most: usize) -> Vec<&'a str> {
        let count = self.below(most + 1);
        (0..count).map(|_| from[self.below(from.len())]).collect()
    }
}

fn list(items: &[impl AsRef<str>]) -> String {
    let quoted: Vec<String> = items.iter().map(|i| format!("{:?}", i.as_ref())).collect();
    quoted.join(", ")
}

/// Runs `srt` with these arguments.
fn run(who: Who, scratch: &Scratch, policy: Option<&Path>, words: &[&str]) -> Output {
    let mut command = srt(who, &scratch.path(""));
    if let Some(policy) = policy {
        command.arg("-s").arg(policy);
    }
    command.args(words);
    finish(command)
}

/// Asks the proxy for each HOST:PORT, by CONNECT and by SOCKS5 in turn.
const ASK: &str = r#"
import socket, sys
for n, target in enumerate(sys.argv[1:]):
    s = socket.create_connection(("127.0.0.1", 3128))
    host, port = target.rsplit(":", 1)
    if n % 2:
        s.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        denied = s.recv(12).endswith(b"403")
    else:
        name = host.encode()
        s.sendall(b"\5\1\0" + b"\5\1\0\3" + bytes([len(name)]) + name + int(port).to_bytes(2, "big"))
        reply = b""
        while len(reply) < 4:
            reply += s.recv(4 - len(reply))
        denied = reply[3] == 2
    print("denied" if denied else "allowed")
"#;

#[test]
fn what_is_explained_of_hosts_is_what_the_proxy_does() {
    let patterns = [
        "a.invalid",
        "*.a.invalid",
        "b.a.invalid",
        "*.b.a.invalid",
        "a.invalid:443",
        "127.9.9.9",
        "127.9.9.9:81",
        "*.invalid.test",
        "c.invalid:80",
        "*.a.invalid:81",
    ];
    let denials = [
        "*",
        "*:81",
        "a.invalid",
        "*.a.invalid",
        "b.a.invalid:443",
        "127.9.9.9",
        "c.invalid",
    ];
    let hosts = [
        "a.invalid",
        "b.a.invalid",
        "c.b.a.invalid",
        "c.invalid",
        "xa.invalid",
        "127.9.9.9",
        "127.9.9.8",
        "A.Invalid",
    ];
    let targets: Vec<String> = hosts
        .iter()
        .flat_map(|host| [80, 81, 443].map(|port| format!("{host}:{port}")))
        .collect();
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let (mut denied, mut allowed) = (0, 0);
    for who in everyone() {
        for _ in 0..6 {
            let scratch = Scratch::new();
            scratch.file("ask.py", ASK);
            let policy = scratch.policy(&format!(
                r#"{{"network": {{"allowedDomains": [{}], "deniedDomains": [{}]}}}}"#,
                list(&chance.some(&patterns, 5)),
                list(&chance.some(&denials, 2))
            ));
            let words: Vec<&str> = targets.iter().map(String::as_str).collect();
            let out = run(
                who,
                &scratch,
                Some(&policy),
                &[&["python3", "ask.py"], &words[..]].concat(),
            );
            assert_status(&out, 0);
            let explained = run(
                who,
                &scratch,
                Some(&policy),
                &[&["--explain", "connect"], &words[..]].concat(),
            );
            let explained = text(&explained.stdout);
            for ((target, said), line) in targets
                .iter()
                .zip(text(&out.stdout).lines())
                .zip(explained.lines())
            {
                assert!(
                    line.starts_with(&format!("{target}: {said}: ")),
                    "{line}, but {said}"
                );
                denied += u32::from(said == "denied");
                allowed += u32::from(said == "allowed");
            }
        }
    }
    assert!(denied > 60 && allowed > 30, "{denied} {allowed}");
}

const CONNECT: &str = r#"
import socket, sys
for path in sys.argv[1:]:
    try:
        socket.socket(socket.AF_UNIX).connect(path)
        print("allowed")
    except OSError:
        print("denied")
"#;

#[test]
fn what_is_explained_of_sockets_is_what_connect_does() {
    let names = ["a", "b", "d/a", "d/b", "d/e/a", "link"];
    let lists = ["a", "d", "d/a", "d/e", "link", "missing"];
    let mut chance = Chance(0x2545_f491_4f6c_dd1d);
    let (mut denied, mut allowed) = (0, 0);
    for who in everyone() {
        for _ in 0..8 {
            let scratch = Scratch::new();
            scratch.file("connect.py", CONNECT);
            scratch.dir("d/e");
            let sockets: Vec<UnixListener> = names[..5]
                .iter()
                .map(|name| UnixListener::bind(scratch.path(name)).unwrap())
                .collect();
            for name in &names[..5] {
                let all = fs::Permissions::from_mode(0o777);
                fs::set_permissions(scratch.path(name), all).unwrap();
            }
            std::os::unix::fs::symlink("d/b", scratch.path("link")).unwrap();
            let mut listed = chance.some(&lists, 3);
            listed.push("missing/too");
            let policy = scratch.policy(&format!(
                r#"{{"network": {{"allowUnixSockets": [{}]}}}}"#,
                list(&listed)
            ));
            let out = run(
                who,
                &scratch,
                Some(&policy),
                &[&["python3", "connect.py"], &names[..]].concat(),
            );
            assert_status(&out, 0);
            let explained = run(
                who,
                &scratch,
                Some(&policy),
                &[&["--explain", "socket"], &names[..]].concat(),
            );
            let explained = text(&explained.stdout);
            for ((name, said), line) in names
                .iter()
                .zip(text(&out.stdout).lines())
                .zip(explained.lines())
            {
                assert!(
                    line.starts_with(&format!("{name}: {said}: ")),
                    "{line}, but {said}: {listed:?}"
                );
                denied += u32::from(said == "denied");
                allowed += u32::from(said == "allowed");
            }
            drop(sockets);
        }
    }
    assert!(denied > 10 && allowed > 10, "{denied} {allowed}");
}

#[test]
fn the_rule_that_decides_is_named() {
    let scratch = Scratch::new();
    scratch.dir("out/kept");
    scratch.file("secret/key", "k");
    let _socket = UnixListener::bind(scratch.path("s")).unwrap();
    let policy = scratch.policy(
        r#"{"filesystem": {"allowWrite": ["@", "@/out"], "denyWrite": ["@/out/kept"], "denyRead": ["@/secret"]},
            "network": {"allowedDomains": ["*.ok.test"], "deniedDomains": ["bad.ok.test"],
                        "deniedDomainReasons": {"bad.ok.test": "known to be bad"}, "allowUnixSockets": ["@/s"]}}"#,
    );
    let cases = [
        ("write", "out/new", "allowed: filesystem.allowWrite[1]"),
        ("write", "new", "allowed: filesystem.allowWrite[0]"),
        ("write", "out/kept/x", "denied: filesystem.denyWrite[0]"),
        ("write", "secret/key", "denied: filesystem.denyRead[0]"),
        ("write", "/etc/passwd", "denied: no rule allows it"),
        ("write", ".bashrc", "denied: a shell runs it at its start"),
        (
            "write",
            "/dev/null",
            "allowed: /dev is made anew for the command",
        ),
        ("write", "policy.json", "denied: the settings file"),
        ("read", "secret/key", "denied: filesystem.denyRead[0]"),
        ("read", "/etc/passwd", "allowed: no rule denies it"),
        (
            "connect",
            "a.ok.test:443",
            "allowed: network.allowedDomains has \"*.ok.test\"",
        ),
        (
            "connect",
            "bad.ok.test:443",
            "denied: network.deniedDomains has \"bad.ok.test\"",
        ),
        ("connect", "ok.test:443", "denied: no rule allows it"),
        ("socket", "s", "allowed: network.allowUnixSockets[0]"),
        ("socket", "t", "denied: no rule allows it"),
    ];
    for who in everyone() {
        for (action, target, said) in cases {
            let out = run(who, &scratch, Some(&policy), &["--explain", action, target]);
            assert_eq!(text(&out.stdout), format!("{target}: {said}\n"));
            assert_status(&out, i32::from(said.starts_with("denied")));
        }
        for wrong in [
            &["--explain"][..],
            &["--explain", "eat", "x"],
            &["--explain", "read"],
        ] {
            assert_status(&run(who, &scratch, None, wrong), 125);
        }
        let out = run(who, &scratch, None, &["--explain", "connect", "evil.test"]);
        assert_status(&out, 125);
        assert!(text(&out.stderr).contains("HOST:PORT"));
    }
}
