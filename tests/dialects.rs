//! What a client that speaks to the proxy itself sees: the same decision and the same
//! tunnel in either dialect, on either port.

mod support;

use support::{Lab, Who, assert_status, everyone, text};

const POLICY: &str = r#"{"network": {"allowedDomains": ["allowed.test", "*.allowed.test", "loop.test"]},
    "filesystem": {"allowWrite": ["@"]}}"#;

/// `open(dialect, port, name, to)` gives the socket, and how the proxy answered: a
/// status line's number, or 0 and what SOCKS calls the outcome.
const CLIENT: &str = r#"
import hashlib, socket
def open(dialect, port, name, to):
    s = socket.create_connection(("127.0.0.1", port))
    s.settimeout(30)
    if dialect == "connect":
        s.sendall(b"CONNECT %s:%d HTTP/1.1\r\nHost: %s:%d\r\n\r\n" % (name, to, name, to))
        answer = b""
        while not answer.endswith(b"\r\n\r\n") and (part := s.recv(1)):
            answer += part
        return s, int(answer.split()[1])
    s.sendall(b"\x05\x01\x00")
    assert s.recv(2, socket.MSG_WAITALL) == b"\x05\x00"
    s.sendall(b"\x05\x01\x00\x03" + bytes([len(name)]) + name + to.to_bytes(2, "big"))
    return s, s.recv(10, socket.MSG_WAITALL)[1]
def rest(s):
    said = b""
    while part := s.recv(65536):
        said += part
    return said
EVERY = [(d, p) for d in ("connect", "socks") for p in (3128, 1080)]
"#;

/// What `body` prints, with `CLIENT` before it, under [`POLICY`].
fn say(lab: &Lab, who: Who, body: &str) -> String {
    lab.scratch.file("client.py", &format!("{CLIENT}{body}"));
    let out = lab.shell(who, POLICY, "python3 client.py");
    assert_status(&out, 0);
    text(&out.stdout)
}

#[test]
fn either_port_speaks_either_dialect_and_decides_alike() {
    let Some(lab) = Lab::new("dialects and ports") else {
        return;
    };
    let cases = [
        ("allowed.test", 80, "200 200 0 0"),
        ("ALLOWED.test.", 80, "200 200 0 0"),
        ("denied.test", 80, "403 403 2 2"),
        ("notallowed.test", 80, "403 403 2 2"),
        ("allowed.test.denied.test", 80, "403 403 2 2"),
        ("10.77.0.2", 80, "403 403 2 2"),
    ];
    for who in everyone() {
        for (name, port, answers) in cases {
            let body = format!("print(*[open(d, p, b'{name}', {port})[1] for d, p in EVERY])");
            assert_eq!(say(&lab, who, &body), format!("{answers}\n"), "{name}");
        }
    }
}

#[test]
fn pitfall_47_no_dialect_leads_an_allowed_name_to_loopback() {
    let Some(lab) = Lab::new("loopback in every dialect") else {
        return;
    };
    let body = "print(*[open(d, p, b'loop.test', 80)[1] for d, p in EVERY])";
    for who in everyone() {
        assert_eq!(say(&lab, who, body), "403 403 2 2\n");
    }
}

#[test]
fn pitfall_49_a_tunnel_is_not_promised_before_it_stands() {
    let Some(lab) = Lab::new("closed port") else {
        return;
    };
    // Nothing listens on port 9; 5 is "connection refused" (RFC 1928, 6).
    let body = "print(*[open(d, p, b'allowed.test', 9)[1] for d, p in EVERY])";
    assert_eq!(say(&lab, Who::Me, body), "502 502 5 5\n");
}

#[test]
fn pitfall_49_a_server_that_ends_first_is_still_heard_and_written_to() {
    let Some(lab) = Lab::new("half-close by the server") else {
        return;
    };
    // Far more than the buffers between hold, all of it sent after the server's end.
    let body = r#"
for d, p in EVERY:
    s, _ = open(d, p, b"allowed.test", 7001)
    assert rest(s) == b"bye"
    data = bytes(range(256)) * 40000
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
    told, _ = open("connect", 3128, b"allowed.test", 7002)
    print(rest(told).decode() == hashlib.sha256(data).hexdigest())
"#;
    for who in everyone() {
        assert_eq!(say(&lab, who, body), "True\n".repeat(4));
    }
}

#[test]
fn pitfall_49_a_client_that_ends_first_gets_the_answer_on_either_port() {
    let Some(lab) = Lab::new("half-close by the client") else {
        return;
    };
    let body = r#"
data = bytes(range(256)) * 40000
for d, p in EVERY:
    s, _ = open(d, p, b"allowed.test", 7000)
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
    print(rest(s).decode() == f"{len(data)} {hashlib.sha256(data).hexdigest()}\n")
"#;
    for who in everyone() {
        assert_eq!(say(&lab, who, body), "True\n".repeat(4));
    }
}

#[test]
fn pitfall_50_the_host_field_cannot_name_another_host_than_the_request() {
    let Some(lab) = Lab::new("Host and target") else {
        return;
    };
    let body = r#"
s = socket.create_connection(("127.0.0.1", 3128))
s.sendall(b"GET http://allowed.test/ HTTP/1.1\r\nHost: denied.test\r\nConnection: close\r\n\r\n")
print(rest(s).decode())
"#;
    let out = say(&lab, Who::Me, body);
    assert!(out.contains("the page of allowed.test\n"), "{out}");
}

#[test]
fn pitfall_44_a_name_with_a_foreign_byte_is_refused_in_both_dialects() {
    let Some(lab) = Lab::new("foreign bytes") else {
        return;
    };
    for byte in [0_u8, b'\r', b'\n', b' ', b'%', b'#', b'@', b'/', 0xff] {
        let body = format!(
            "name = b'denied.test' + bytes([{byte}]) + b'.allowed.test'\n\
             print(*[c in (400, 403, 1, 2) for c in (open(d, p, name, 80)[1] for d, p in EVERY)])"
        );
        let out = say(&lab, Who::Me, &body);
        assert_eq!(out, "True True True True\n", "byte {byte:#04x}");
    }
}
