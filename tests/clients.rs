//! Real clients under the real program, against servers on a network of the test's own.

mod support;

use std::process::Command;
use support::{Lab, Who, assert_status, everyone, finish, text};

const POLICY: &str = r#"{"network": {"allowedDomains": ["allowed.test", "loop.test", "own.test"],
    "deniedDomainReasons": {"denied.test": "ask the platform team"}},
    "filesystem": {"allowWrite": ["@"]}}"#;

const BIG: &str = "100000000";

#[test]
fn pitfall_59_plain_http_reaches_the_allowed_host_and_the_denied_one_is_told_why() {
    let Some(lab) = Lab::new("plain http") else {
        return;
    };
    for who in everyone() {
        let out = lab.shell(
            who,
            POLICY,
            "curl -sS http://allowed.test/ && curl -sS -i http://denied.test/",
        );
        assert_status(&out, 0);
        let out = text(&out.stdout);
        assert!(out.starts_with("the page of allowed.test\n"), "{out}");
        for part in [
            "HTTP/1.1 403 ",
            "X-Proxy-Error: blocked-by-allowlist",
            "Connection blocked by network allowlist",
            "denied.test:80",
            "ask the platform team",
            "retrying will not help",
        ] {
            assert!(out.contains(part), "{part} is not in: {out}");
        }
    }
}

#[test]
fn https_goes_through_connect_and_socks() {
    let Some(lab) = Lab::new("https") else { return };
    for who in everyone() {
        let fetch = "curl -sS --cacert cert.pem";
        let out = lab.shell(who, POLICY, &format!(
            "{fetch} https://allowed.test/ && {fetch} --proxy '' --socks5-hostname 127.0.0.1:1080 https://allowed.test/ \
             && {fetch} --proxy '' --socks5-hostname 127.0.0.1:3128 http://allowed.test/"));
        assert_status(&out, 0);
        assert_eq!(text(&out.stdout), "the page of allowed.test\n".repeat(3));
        let out = lab.shell(who, POLICY, &format!("{fetch} https://denied.test/"));
        assert!(text(&out.stderr).contains("403"), "{}", text(&out.stderr));
        let out = lab.shell(
            who,
            POLICY,
            &format!("{fetch} --proxy '' --socks5-hostname 127.0.0.1:1080 https://denied.test/"),
        );
        assert_status(&out, 97);
    }
}

#[test]
fn without_a_policy_nothing_is_reached() {
    let Some(lab) = Lab::new("empty policy") else {
        return;
    };
    let out = lab.shell(Who::Me, "{}", "curl -sS http://allowed.test/");
    assert!(text(&out.stdout).contains("no rule of network.allowedDomains allows it"));
}

#[test]
fn a_program_that_goes_straight_to_the_address_fails_at_once() {
    let Some(lab) = Lab::new("direct connection") else {
        return;
    };
    for who in everyone() {
        let script = "python3 -c \"import socket,sys\ntry: socket.create_connection(('10.77.0.2', 80), 5)\n\
                      except OSError as e: sys.exit(e.errno)\"";
        // Where nothing is captured there is no way there.
        let without = POLICY.replace(
            "\"allowedDomains\"",
            "\"capture\": false, \"allowedDomains\"",
        );
        assert_status(&lab.shell(who, &without, script), 101);
        let script = script.replace("80), 5)", "80), 5).recv(9)");
        assert_status(&lab.shell(who, POLICY, &script), 104);
    }
    // The address is there to be reached by who is not in the sandbox.
    let out = lab.shell(
        Who::Me,
        r#"{"network": {"allowedDomains": ["10.77.0.2"]}}"#,
        "curl -sS http://10.77.0.2/",
    );
    assert_eq!(text(&out.stdout), "the page of 10.77.0.2\n");
}

#[test]
fn pitfall_47_an_allowed_name_does_not_lead_to_this_host() {
    let Some(lab) = Lab::new("resolved address check") else {
        return;
    };
    for (name, class) in [
        ("loop.test", "a loopback address"),
        ("own.test", "an address of this host"),
    ] {
        let out = lab.shell(Who::Me, POLICY, &format!("curl -sS -i http://{name}/"));
        let out = text(&out.stdout);
        assert!(
            out.contains("X-Proxy-Error: blocked-by-sandbox-runtime") && out.contains(class),
            "{out}"
        );
        assert!(
            !out.contains("127.0.0.1") && !out.contains("10.77"),
            "the address is told: {out}"
        );
    }
}

#[test]
fn a_hundred_megabytes_pass_both_ways_unchanged() {
    let Some(lab) = Lab::new("100 MB") else {
        return;
    };
    for url in ["http://allowed.test", "https://allowed.test"] {
        let out = lab.shell(Who::Nobody, POLICY, &format!(
            "set -e; curl -sS --cacert cert.pem {url}/big/{BIG} > big; stat -c %s big; sha256sum < big | cut -d' ' -f1; \
             curl -sS --cacert cert.pem --data-binary @big {url}/; rm big"));
        assert_status(&out, 0);
        let out = text(&out.stdout);
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines.len(), 3, "{out}");
        assert_eq!(lines[0], BIG);
        assert_eq!(lines[1], lines[2]);
    }
}

#[test]
fn pitfall_49_half_close_is_kept_through_connect_and_socks() {
    let Some(lab) = Lab::new("half-close") else {
        return;
    };
    lab.scratch.file("half.py", HALF_CLOSE);
    for kind in ["connect", "socks"] {
        let out = lab.shell(Who::Me, POLICY, &format!("python3 half.py {kind}"));
        assert_status(&out, 0);
        assert_eq!(
            text(&out.stdout),
            "1000000 ba4b3010e2d91c08bd1987998d82b89b52ae1bdbc360f066607c7ee5a9c5830e\n"
        );
    }
}

const HALF_CLOSE: &str = r#"
import socket, sys
s = socket.create_connection(("127.0.0.1", 3128))
if sys.argv[1] == "connect":
    s.sendall(b"CONNECT allowed.test:7000 HTTP/1.1\r\nHost: allowed.test:7000\r\n\r\n")
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += s.recv(1)
    assert answer.startswith(b"HTTP/1.1 200 "), answer
else:
    s.sendall(b"\x05\x01\x00")
    assert s.recv(2, socket.MSG_WAITALL) == b"\x05\x00"
    s.sendall(b"\x05\x01\x00\x03\x0callowed.test" + (7000).to_bytes(2, "big"))
    assert s.recv(10, socket.MSG_WAITALL)[1] == 0
s.sendall(b"0" * 1000000)
s.shutdown(socket.SHUT_WR)
while part := s.recv(4096):
    sys.stdout.write(part.decode())
"#;

#[test]
fn git_clones_over_http() {
    let Some(lab) = Lab::new("git") else { return };
    let origin = lab.scratch.dir("www/origin.git");
    let source = lab.scratch.dir("source");
    let make = "set -e; git init -q .; echo hello > file; git add file; \
         git -c user.name=t -c user.email=t@t.test commit -qm one; \
         git clone -q --bare . \"$0\"; cd \"$0\"; git update-server-info; chmod -R a+rX .";
    let mut command = Command::new("sh");
    command.args(["-c", make]).arg(&origin).current_dir(source);
    assert_status(&finish(command), 0);
    for who in everyone() {
        let out = lab.shell(who, POLICY, "git clone -q http://allowed.test/origin.git work && git -C work log --oneline && rm -rf work");
        assert_status(&out, 0);
        assert!(text(&out.stdout).ends_with("one\n"));
        assert!(
            !lab.shell(
                who,
                POLICY,
                "git clone -q http://denied.test/origin.git work"
            )
            .status
            .success()
        );
    }
}

#[test]
fn pitfall_51_a_request_pipelined_to_another_host_is_refused() {
    let Some(lab) = Lab::new("pipelining") else {
        return;
    };
    let script = "printf 'GET http://allowed.test/ HTTP/1.1\\r\\n\\r\\nGET http://denied.test/ HTTP/1.1\\r\\n\\r\\n' > two; \
        python3 -c \"import socket\ns = socket.create_connection(('127.0.0.1', 3128))\n\
        s.sendall(open('two','rb').read())\nwhile p := s.recv(4096): print(p.decode(), end='')\"";
    let out = text(&lab.shell(Who::Me, POLICY, script).stdout);
    assert!(
        out.contains("the page of allowed.test") && !out.contains("the page of denied.test"),
        "{out}"
    );
    assert!(out.contains("HTTP/1.1 403 "), "{out}");
}
