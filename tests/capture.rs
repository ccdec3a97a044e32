//! Capture: what a command that knows no proxy reaches, and how it is attacked.

mod support;

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use sandbox_runtime::limits::ACCEPTS_PER_TURN;
use sandbox_runtime::parse::settings::settings;
use sandbox_runtime::policy::network::Network;
use sandbox_runtime::policy::route::Routes;
use sandbox_runtime::reactor::resolver::HelperProgram;
use sandbox_runtime::reactor::runs::Run;
use sandbox_runtime::reactor::{Reactor, Service};
use sandbox_runtime::sys::datagrams::{Kind, listen};
use support::{Host, Lab, Who, assert_status, everyone, text};

/// The variables by which a program hears of the proxy are taken away.
const UNSET: &str = "unset $(env | sed -n 's/^\\([A-Za-z_]*_proxy\\|[A-Z_]*_PROXY\\|JAVA_TOOL_OPTIONS\\|GIT_SSH_COMMAND\\)=.*/\\1/p');";

const CURL: &str = "curl -sS --max-time 20 --cacert cert.pem";

fn policy(more: &str) -> String {
    format!(
        r#"{{"network": {{"allowedDomains": ["web.known.test", "only443.known.test:443", "*.wild.known.test:443",
            "db.known.test:7000", "loop.known.test", "meta.known.test", "own.known.test"],
            "deniedDomains": ["no.wild.known.test"]{more}}}, "filesystem": {{"allowWrite": ["@"]}}}}"#
    )
}

/// The names that the server's resolver has been asked for.
fn questions(lab: &Lab) -> String {
    let out = lab.on_server(&["curl", "-sS", "http://10.77.0.2/questions"]);
    text(&out.stdout)
}

/// What a Python script says inside, and the log of violations, without the variables.
fn script(lab: &Lab, who: Who, policy: &str, script: &str) -> (String, String) {
    let prelude = r#"
import socket, struct, errno
def name(n): return b"".join(bytes([len(l)]) + l.encode() for l in n.split(".") if l) + b"\0"
def question(n, kind=1, extra=b"", number=7):
    return struct.pack(">6H", number, 0x100, 1, 0, 0, 1 if extra else 0) + name(n) + struct.pack(">2H", kind, 1) + extra
def code(answer): return answer[3] & 15
def address(answer): return socket.inet_ntoa(answer[-4:]) if answer[7] else None
def udp(server, n, kind=1, family=socket.AF_INET):
    kind_of = socket.SOCK_DGRAM; s = socket.socket(family, kind_of); s.settimeout(5)
    s.connect(socket.getaddrinfo(server, 53, family, kind_of)[0][4]); s.send(question(n, kind))
    return s.recv(999)
def outcome(what):
    try: return what()
    except OSError as e: return errno.errorcode.get(e.errno, str(e))
def connect(host, port, say=b""):
    def attempt():
        with socket.create_connection((host, port), 5) as s:
            s.sendall(say); return s.recv(99) or "closed"
    return outcome(attempt)
"#;
    lab.scratch.file("script.py", &format!("{prelude}{script}"));
    let log = lab.scratch.file("violations", "");
    let out = lab.shell_logged(
        who,
        policy,
        &format!("{UNSET} exec python3 script.py"),
        &log,
    );
    assert!(
        out.status.success(),
        "{}{}",
        text(&out.stdout),
        text(&out.stderr)
    );
    (text(&out.stdout), fs::read_to_string(log).unwrap())
}

#[test]
fn programs_that_know_no_proxy_reach_what_is_allowed_and_nothing_else() {
    let Some(lab) = Lab::new("capture") else {
        return;
    };
    for who in everyone() {
        let out = lab.shell(
            who,
            &policy(""),
            &format!("{UNSET} {CURL} http://web.known.test/ https://web.known.test/ https://only443.known.test/; \
                      {CURL} http://denied.known.test/ || echo $?; {CURL} http://10.77.0.2/ || echo $?; {CURL} http://10.77.0.2:81/ || echo $?"),
        );
        let page = |name: &str| format!("the page of {name}\n");
        let reached = page("web.known.test").repeat(2) + &page("only443.known.test");
        // No such host; reset, which curl takes for refused when it comes that early; refused.
        let said = text(&out.stdout).replace("\n56\n", "\n7\n");
        assert_eq!(said, reached + "6\n7\n7\n", "{}", text(&out.stderr));
    }
}

// With a responder that gives every name an address, these are resolved; and with a decision
// that lets captured connections through, the resolver outside hears of them.
#[test]
fn pitfall_53_a_denied_name_is_told_to_nobody() {
    let Some(lab) = Lab::new("DNS tunnel") else {
        return;
    };
    for who in everyone() {
        let (said, log) = script(
            &lab,
            who,
            &policy(""),
            r#"
for n in "c2VjcmV0.denied.known.test", "web.known.test.denied.known.test", "no.wild.known.test", "wild.known.test":
    answers = [code(udp(server, n, kind)) for server in ("10.77.0.2", "8.8.8.8", "127.0.0.53", "127.0.0.1") for kind in (1, 28, 16, 65)]
    print(n, set(answers), outcome(lambda: socket.gethostbyname(n)), connect(n, 443))
print(outcome(lambda: socket.gethostbyname("x" * 40 + ".wild.known.test"))[:7])
"#,
        );
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), 5, "{said}");
        for line in &lines[..4] {
            assert!(
                line.contains("{3}") && line.matches("not known").count() == 2,
                "{line}"
            );
        }
        assert_eq!(lines[4], "198.18.");
        for name in ["c2vjcmv0.denied.known.test", "no.wild.known.test"] {
            assert!(
                log.contains(&format!(r#""action":"lookup","target":"{name}""#)),
                "{log}"
            );
        }
    }
    // Not even an allowed name, before it is connected to.
    assert_eq!(questions(&lab), "");
}

// With a decision that lets captured connections through, pages are fetched.
#[test]
fn a_bare_address_is_judged_as_the_address_that_it_is() {
    let Some(lab) = Lab::new("bare addresses") else {
        return;
    };
    let get = r#"
get = b"GET / HTTP/1.0\r\nHost: x\r\n\r\n"
for host in "10.77.0.2", "::ffff:10.77.0.2", "169.254.169.254", "2001:db8::1", "127.0.0.1", "::1", "198.18.0.1", "fd00:5265::1":
    print(host, connect(host, 80, get))
"#;
    for who in everyone() {
        let (said, log) = script(&lab, who, &policy(""), get);
        let own = "127.0.0.1 ECONNREFUSED\n::1 ECONNREFUSED\n";
        let reset = |hosts: &[&str]| {
            hosts
                .iter()
                .map(|h| format!("{h} ECONNRESET\n"))
                .collect::<String>()
        };
        let first = reset(&[
            "10.77.0.2",
            "::ffff:10.77.0.2",
            "169.254.169.254",
            "2001:db8::1",
        ]);
        assert_eq!(said, first + own + &reset(&["198.18.0.1", "fd00:5265::1"]));
        assert!(
            log.contains(r#""target":"10.77.0.2:80","rule":"no rule allows it""#),
            "{log}"
        );
        assert!(
            log.contains(r#""target":"198.18.0.1:80","rule":"no name has this address""#),
            "{log}"
        );
        // Who asked is known, as of the proxy's clients.
        assert!(log.contains("python3"), "{log}");
        let open = policy("").replace("\"web.known.test\"", "\"web.known.test\", \"10.77.0.2:80\"");
        let (said, _) = script(&lab, who, &open, get);
        assert!(said.starts_with("10.77.0.2 b'HTTP/1.1 200"), "{said}");
    }
}

// The ports are the policy's; with all ports listened on, the first is reset and not refused.
#[test]
fn ports_that_no_rule_names_are_refused_by_the_kernel() {
    let Some(lab) = Lab::new("capture's ports") else {
        return;
    };
    let ask = r#"
for host, port in ("web.known.test", 7000), ("10.77.0.2", 444), ("web.known.test", 81), ("db.known.test", 7000), ("web.known.test", 9999), ("web.known.test", 53):
    s = socket.socket(); s.settimeout(5)
    print(port, outcome(lambda: s.connect((socket.gethostbyname(host), port))))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(5); u.connect((socket.gethostbyname("web.known.test"), 443))
print("udp", outcome(lambda: (u.send(b"x"), u.recv(9))))
"#;
    let ports = policy(r#", "capturePorts": [9999]"#);
    let (said, _) = script(&lab, Who::Nobody, &ports, ask);
    assert_eq!(
        said,
        "7000 None\n444 ECONNREFUSED\n81 ECONNREFUSED\n7000 None\n9999 None\n53 None\nudp ECONNREFUSED\n"
    );
}

// With a decision that forgets the port, the first is connected.
#[test]
fn a_name_that_is_allowed_on_one_port_is_refused_on_another() {
    let Some(lab) = Lab::new("one port") else {
        return;
    };
    for who in everyone() {
        let (said, log) = script(
            &lab,
            who,
            &policy(""),
            r#"
for port in 22, 80, 7000: print(port, connect("only443.known.test", port, b"x"))
print(connect("web.known.test", 80, b"GET / HTTP/1.0\r\nHost: web.known.test\r\n\r\n")[:12])
"#,
        );
        assert_eq!(
            said,
            "22 ECONNRESET\n80 ECONNRESET\n7000 ECONNRESET\nb'HTTP/1.1 200'\n"
        );
        assert!(
            log.contains(r#""target":"only443.known.test:22","rule":"no rule allows it""#),
            "{log}"
        );
        assert!(!questions(&lab).contains("only443"));
    }
}

// With `meant` taking such an address for itself, the log has another reason; and one that is
// allowed as a literal is let through.
#[test]
fn an_address_of_the_table_that_no_name_has_is_nobodys() {
    let Some(lab) = Lab::new("nameless addresses") else {
        return;
    };
    let open = policy("").replace("\"web.known.test\"", "\"web.known.test\", \"198.18.200.1\"");
    let (said, log) = script(
        &lab,
        Who::Nobody,
        &open,
        r#"
for host in "198.18.1.0", "198.18.200.1", "198.19.255.255": print(connect(host, 443))
mine = socket.gethostbyname("web.known.test")
print(mine, connect(mine, 80, b"GET / HTTP/1.0\r\nHost: web.known.test\r\n\r\n")[:12])
print({socket.gethostbyname("web.known.test") for _ in range(20)} == {mine})
"#,
    );
    assert_eq!(
        said,
        "ECONNRESET\n".repeat(3) + "198.18.1.0 b'HTTP/1.1 200'\nTrue\n"
    );
    assert_eq!(log.matches("no name has this address").count(), 3, "{log}");
}

// Without `permits_address` the page of whoever listens there is fetched, or another error is
// told.
#[test]
fn pitfall_47_a_name_that_leads_inwards_is_refused_as_by_the_proxy() {
    let Some(lab) = Lab::new("rebinding") else {
        return;
    };
    let server = "import socket\nl = socket.create_server(('0.0.0.0', 80))\nprint('ready', flush=True)\n\
                  while True:\n    p, _ = l.accept(); p.sendall(b'within'); p.close()\n";
    let _host = lab.host(Host::Client, "within.py", server);
    for who in everyone() {
        let (said, log) = script(
            &lab,
            who,
            &policy(""),
            r#"
for n in "loop", "meta", "own": print(n, connect(n + ".known.test", 80))
"#,
        );
        assert_eq!(said, "loop ECONNRESET\nmeta ECONNRESET\nown ECONNRESET\n");
        for class in [
            "a loopback address",
            "a link-local address",
            "an address of this host",
        ] {
            assert!(
                log.contains(&format!("its name leads to {class}")),
                "{class}: {log}"
            );
        }
    }
}

// Without the bound the last of them gets an address.
#[test]
fn ten_thousand_names_meet_a_bound_and_leave_the_others_alone() {
    let Some(lab) = Lab::new("10,000 names") else {
        return;
    };
    let (said, log) = script(
        &lab,
        Who::Nobody,
        &policy(""),
        r#"
first = socket.gethostbyname("web.known.test")
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.connect(("9.9.9.9", 53))
codes = []
for n in range(10000):
    s.send(question(f"n{n}.wild.known.test")); codes.append(code(s.recv(999)))
print(codes.count(0), codes.count(2), socket.gethostbyname("web.known.test") == first)
print(connect("web.known.test", 80, b"GET / HTTP/1.0\r\nHost: web.known.test\r\n\r\n")[:12])
"#,
    );
    assert_eq!(said, "8191 1809 True\nb'HTTP/1.1 200'\n");
    assert!(log.contains("too many names"), "{log}");
    assert!(!questions(&lab).contains("wild"));
}

#[test]
fn pitfall_52_no_other_host_is_asked_for_in_a_captured_connection() {
    let Some(lab) = Lab::new("captured server names") else {
        return;
    };
    let front = format!(
        "{UNSET} {CURL} --connect-to denied.known.test:443:web.known.test:443 https://denied.known.test/"
    );
    for who in everyone() {
        let out = lab.shell(who, &policy(""), &front);
        assert!(
            !out.status.success() && out.stdout.is_empty(),
            "{}",
            text(&out.stdout)
        );
        let open = policy(r#", "requireServerName": false"#);
        let out = lab.shell(who, &open, &front);
        assert_eq!(text(&out.stdout), "the page of denied.known.test\n");
    }
}

#[test]
fn the_commands_own_addresses_and_ports_stay_its_own() {
    let Some(lab) = Lab::new("own ports") else {
        return;
    };
    let all = policy(r#", "capturePorts": [3000, 5432, 3128, 1080]"#);
    for who in everyone() {
        let (said, _) = script(
            &lab,
            who,
            &all,
            r#"
import threading
for host, port in ("0.0.0.0", 8080), ("127.0.0.1", 8443), ("::", 7000), ("0.0.0.0", 3000), ("::1", 5432), ("127.0.0.1", 9000):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    l = socket.create_server((host, port), family=family)
    def serve():
        p, _ = l.accept(); p.sendall(b"mine"); p.close()
    threading.Thread(target=serve, daemon=True).start()
    print(port, connect("::1" if ":" in host else "127.0.0.1", port))
for port in 8081, 443, 22: print(port, connect("localhost", port), connect("0.0.0.0", port))
"#,
        );
        let mine: String = [8080, 8443, 7000, 3000, 5432, 9000]
            .iter()
            .map(|p| format!("{p} b'mine'\n"))
            .collect();
        let none: String = [8081, 443, 22]
            .iter()
            .map(|p| format!("{p} ECONNREFUSED ECONNREFUSED\n"))
            .collect();
        assert_eq!(said, mine + &none);
    }
}

#[test]
fn the_command_can_change_no_route_and_take_no_question() {
    let Some(lab) = Lab::new("routes") else {
        return;
    };
    for who in everyone() {
        let out = lab.shell(who, &policy(""), "for what in 'route del default' 'route add 1.2.3.0/24 dev lo' 'link set srt0 down' \
            'addr add 1.2.3.4/32 dev lo' 'link add x0 type veth peer name x1'; do ip $what && echo changed; done; \
            ip netns add x && echo made; nsenter --net=/proc/1/ns/net true && echo entered");
        assert!(out.stdout.is_empty(), "{}", text(&out.stdout));
        let said = text(&out.stderr);
        assert_eq!(
            said.matches("RTNETLINK answers: Operation not permitted")
                .count(),
            5,
            "{said}"
        );
        // Low ports are not the command's to bind, and so no question comes to it.
        let (said, _) = script(
            &lab,
            who,
            &policy(""),
            r#"
for kind in socket.SOCK_DGRAM, socket.SOCK_STREAM:
    for host in "0.0.0.0", "127.0.0.1", "127.0.0.53", "198.18.0.2":
        s = socket.socket(socket.AF_INET, kind)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        print(outcome(lambda: s.bind((host, 53))))
raw = lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 17)
print(outcome(raw), code(udp("127.0.0.1", "web.known.test")))
"#,
        );
        assert_eq!(said, "EACCES\n".repeat(8) + "EPERM 0\n");
    }
}

#[test]
fn dns_is_answered_in_every_way_that_clients_ask() {
    let Some(lab) = Lab::new("DNS") else { return };
    for who in everyone() {
        let (said, _) = script(
            &lab,
            who,
            &policy(""),
            r#"
first = address(udp("10.77.0.2", "web.known.test"))
same = lambda a: (code(a), address(a) == first, a[:2])
# Whatever address is asked answers.
for server in "1.1.1.1", "127.0.0.53", "127.0.0.1", "198.18.0.2", "198.18.0.1", first, "255.255.255.254":
    assert same(udp(server, "web.known.test")) == (0, True, b"\0\7"), server
for server in "::1", "2001:4860:4860::8888", "fd00:5265::1":
    assert same(udp(server, "web.known.test", family=socket.AF_INET6)) == (0, True, b"\0\7"), server
# As the question was asked: odd case and all.
odd = udp("1.1.1.1", "wEb.KNOWN.tesT"); assert same(odd)[:2] == (0, True) and name("wEb.KNOWN.tesT") in odd
edns = b"\0" + struct.pack(">HHIH", 41, 1232, 0, 12) + struct.pack(">HH", 10, 8) + b"abcdefgh"
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.connect(("1.1.1.1", 53))
s.send(question("web.known.test", extra=edns)); a = s.recv(999)
assert code(a) == 0 and a[-11:] == b"\0" + struct.pack(">HHIH", 41, 1232, 0, 0), a
for kind in 28, 33, 65, 64, 15, 16, 2, 6, 257:
    a = udp("1.1.1.1", "web.known.test", kind); assert (code(a), a[7]) == (0, 0), kind
# Several from one port, before any answer is read.
for n in range(40): s.send(question("web.known.test", number=n))
assert sorted(struct.unpack(">H", s.recv(999)[:2])[0] for _ in range(40)) == list(range(40))
# From whom it came.
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)
for server in "5.6.7.8", "127.0.0.99":
    s.sendto(question("web.known.test"), (server, 53)); assert s.recvfrom(999)[1] == (server, 53)
# TCP: pipelined, in pieces, a hundred at most, and the end.
def tcp(server, sent, family=socket.AF_INET):
    t = socket.socket(family); t.settimeout(5); t.connect((server, 53))
    for part in sent: t.sendall(part)
    return t
def answers(t):
    f = t.makefile("rb"); got = []
    while head := f.read(2): got.append(f.read(struct.unpack(">H", head)[0]))
    return got
frame = lambda q: struct.pack(">H", len(q)) + q
many = b"".join(frame(question("web.known.test", number=n)) for n in range(30))
for server, family in ("1.1.1.1", socket.AF_INET), ("127.0.0.53", socket.AF_INET), ("::1", socket.AF_INET6), ("2001:db8::53", socket.AF_INET6):
    t = tcp(server, [many], family); t.shutdown(socket.SHUT_WR)
    got = answers(t); assert [same(a) for a in got] == [(0, True, struct.pack(">H", n)) for n in range(30)], got
t = tcp("1.1.1.1", [bytes([b]) for b in frame(question("web.known.test"))]); t.shutdown(socket.SHUT_WR)
assert [same(a)[:2] for a in answers(t)] == [(0, True)]
t = tcp("1.1.1.1", [frame(question("web.known.test")) * 150]); assert len(answers(t)) == 100
t = tcp("1.1.1.1", [b"\xff\xff" + b"x" * 99]); assert outcome(lambda: answers(t)) in ([], "ECONNRESET")
t = tcp("1.1.1.1", [frame(b"x" * 12) + frame(question("web.known.test"))]); t.shutdown(socket.SHUT_WR)
assert [code(a) for a in answers(t)] == [1, 0] or [code(a) for a in answers(t)] == [], "garbage"
# What is no question is not answered, and stops nobody.
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(5); u.connect(("1.1.1.1", 53))
for junk in b"", b"x", b"x" * 2000, b"\0\1\x80" + b"\0" * 20: u.send(junk)
u.send(question("web.known.test")); assert same(u.recv(999))[:2] == (0, True)
print("all")
"#,
        );
        assert_eq!(said, "all\n");
    }
}

#[test]
fn a_search_domain_is_added_and_judged() {
    let Some(lab) = Lab::new("search domains") else {
        return;
    };
    let with = lab.scratch.file(
        "search.conf",
        "nameserver 127.0.0.53\nsearch wild.known.test\noptions edns0 trust-ad\n",
    );
    let at = with.display();
    // Where the resolver's own file may be replaced: by this test, before the run.
    let starter = format!("mount --bind {at} /etc/resolv.conf && exec \"$0\" \"$@\"");
    let out = lab.shell_under(
        &starter,
        &policy(""),
        "getent ahostsv4 short | cut -d' ' -f1 | uniq; getent ahostsv4 no || echo none; getent ahostsv4 web.known.test | cut -d' ' -f1 | uniq",
    );
    assert_eq!(
        text(&out.stdout),
        "198.18.1.0\nnone\n198.18.1.1\n",
        "{}",
        text(&out.stderr)
    );
}

// bubblewrap's own word is not needed, only early; and one about another process is not
// believed.
#[test]
fn capture_stands_whatever_bubblewrap_says_of_its_sandbox() {
    let Some(lab) = Lab::new("bubblewrap's word") else {
        return;
    };
    let other = "unshare -Urn sleep 1 >/dev/null 2>&1 & other=$!; \
        until [ \"$(stat -Lc %i /proc/$other/ns/net)\" != $(stat -Lc %i /proc/$$/ns/net) ]; do :; done;";
    let says = |pid: &str, network: &str| {
        format!("{other} echo '{{\"child-pid\": '{pid}', \"net-namespace\": '{network}'}}' >&$2;")
    };
    let cases = [
        (String::new(), true),
        ("echo '{' >&$2;".into(), true),
        (says("1", "1"), true),
        (says("$other", "1"), true),
        // These networks, around the sandbox and beside it, would be captured.
        (says("$$", "$(stat -Lc %i /proc/$$/ns/net)"), false),
        (says("$other", "$(stat -Lc %i /proc/$other/ns/net)"), false),
    ];
    for (instead, captured) in cases {
        let wrapper =
            format!("#!/bin/bash\na=\"$1 $2\"; shift 2; {instead} shift 2; exec bwrap $a \"$@\"\n");
        lab.scratch.file("bwrap", &wrapper);
        let own = policy(r#", "capture": true"#).replacen('{', "{\"bwrapPath\": \"@/bwrap\", ", 1);
        let own = own.replace("\"allowWrite\": [\"@\"]", "\"allowWrite\": []");
        let script = format!("{UNSET} {CURL} http://web.known.test/");
        let out = lab.shell(Who::Me, &own, &script);
        let said = text(&out.stdout) + &text(&out.stderr);
        assert_status(&out, if captured { 0 } else { 125 });
        assert_eq!(said.contains("the page of"), captured, "{instead}: {said}");
        assert!(captured || said.contains("network.capture: "), "{said}");
    }
}

// With the search list of the host, the first is reached, under a name that no rule allows,
// and its resolver is asked for that.
#[test]
fn pitfall_45_the_name_that_is_looked_up_is_the_one_that_was_matched() {
    let Some(lab) = Lab::new("the host's search list") else {
        return;
    };
    for options in ["timeout:1 attempts:1", "timeout:1 attempts:1 ndots:5"] {
        let with = lab.scratch.file(
            "search.conf",
            &format!("nameserver 10.77.0.2\nsearch known.test\noptions {options}\n"),
        );
        let starter = format!(
            "mount --bind {} /etc/resolv.conf && exec \"$0\" \"$@\"",
            with.display()
        );
        let names = policy("").replace(
            "\"web.known.test\"",
            "\"gone.other.test\", \"short\", \"web.known.test\"",
        );
        let fetch = format!(
            "{CURL} http://short/; {CURL} http://gone.other.test/ -o /dev/null -w '%{{http_code}}\\n'; {CURL} http://short/ http://web.known.test/"
        );
        let out = lab.shell_under(&starter, &names, &fetch);
        assert_eq!(
            text(&out.stdout),
            "the page of short\n502\nthe page of short\nthe page of web.known.test\n",
            "{}",
            text(&out.stderr)
        );
        let asked = questions(&lab);
        assert!(!asked.contains("test.known.test"), "{asked}");
    }
}

#[test]
fn a_run_that_suggests_hears_of_programs_that_know_no_proxy() {
    let Some(lab) = Lab::new("suggestions") else {
        return;
    };
    let ask = |options: &[&str]| {
        let script = format!("{UNSET} {CURL} http://web.known.test/ https://10.77.0.2/");
        let json = r#"{"filesystem": {"allowWrite": ["@"]}}"#;
        lab.shell_as(Who::Nobody, json, &script, options, &[])
    };
    let out = ask(&["--suggest"]);
    let said = text(&out.stderr);
    let wanted = r#"suggest: {"network":{"allowedDomains":["web.known.test","10.77.0.2:443"]}}"#;
    assert!(said.contains(wanted), "{said}");
    let out = ask(&["--learn"]);
    let said = text(&out.stderr);
    assert!(
        text(&out.stdout).starts_with("the page of web.known.test\n"),
        "{said}"
    );
    assert!(
        said.contains(r#""allowedDomains":["web.known.test:80","10.77.0.2:443"]"#),
        "{said}"
    );
}

#[test]
fn capture_is_left_out_where_the_settings_say_so() {
    let Some(lab) = Lab::new("no capture") else {
        return;
    };
    let show = format!(
        "ls /sys/class/net 2>/dev/null; ip -o link | cut -d: -f2; {CURL} http://web.known.test/; {UNSET} {CURL} http://web.known.test/ || echo $?"
    );
    for more in [r#", "capture": false"#, r#", "httpProxyPort": 9"#] {
        let out = lab.shell(Who::Nobody, &policy(more), &show);
        assert!(!text(&out.stdout).contains("srt0"), "{}", text(&out.stdout));
        if more.contains("false") {
            assert!(
                text(&out.stdout).contains("the page of web.known.test\n6\n"),
                "{}",
                text(&out.stdout)
            );
        }
    }
    let out = lab.shell(Who::Nobody, &policy(r#", "capture": true"#), &show);
    assert_status(&out, 0);
    assert!(
        text(&out.stdout).contains("srt0") && text(&out.stdout).matches("the page").count() == 2
    );
    // Where nothing is allowed there is nothing to serve.
    let out = lab.shell(Who::Nobody, "{}", "ip -o link | cut -d: -f2");
    assert_eq!(text(&out.stdout), " lo\n");
}

// Where the kernel lets nobody enter the sandbox's network.
#[test]
fn where_capture_cannot_be_set_up_the_proxy_serves_alone_and_that_is_said() {
    let Some(lab) = Lab::new("no way to capture") else {
        return;
    };
    let starter =
        "exec strace -f -qq -o /dev/null -e trace=setns -e inject=setns:error=EPERM \"$0\" \"$@\"";
    let fetch = format!(
        "echo ran; {CURL} http://web.known.test/; {UNSET} {CURL} http://web.known.test/ || echo $?"
    );
    let out = lab.shell_under(starter, &policy(""), &fetch);
    assert_eq!(
        text(&out.stdout),
        "ran\nthe page of web.known.test\n6\n",
        "{}",
        text(&out.stderr)
    );
    let out = lab.shell_under(starter, &policy(r#", "capture": true"#), &fetch);
    assert_status(&out, 125);
    let said = text(&out.stderr);
    assert!(
        out.stdout.is_empty()
            && said.contains(
                "network.capture: cannot be set up on this host: entering the sandbox's network namespace: Operation not permitted"
            ),
        "{said}"
    );
    let doctor = |starter: &str| {
        let mut command = std::process::Command::new("sh");
        command
            .args(["-c", starter])
            .arg(support::program())
            .arg("--doctor");
        command.current_dir("/").env("HOME", lab.scratch.path(""));
        text(&support::finish(command).stdout)
    };
    let said = doctor(starter);
    assert!(
        said.contains(
            "\ncapture: none: entering the sandbox's network namespace: Operation not permitted"
        ),
        "{said}"
    );
    let said = doctor("exec \"$0\" \"$@\"");
    assert!(
        said.contains("\ncapture: serves programs that know no proxy\n"),
        "{said}"
    );
}

// Without the hosts file's names, the first list's pages are refused.
#[test]
fn a_name_of_the_hosts_file_is_allowed_at_its_address() {
    let Some(lab) = Lab::new("hosts file") else {
        return;
    };
    let lists = [
        (r#""allowed.test", "denied.test""#, true),
        // Both have one address: which of them is meant, a connection does not say.
        (r#""allowed.test""#, false),
    ];
    for (list, reached) in lists {
        let list = format!("{list}, \"loop.test\", \"two.test:81\"");
        let hosts = policy("").replace("\"web.known.test\"", &list);
        for who in everyone() {
            let out = lab.shell(who, &hosts, &format!(
                "{UNSET} {CURL} http://allowed.test/ https://allowed.test/ 2>/dev/null; \
                 {CURL} http://10.77.0.200/ || echo refused; {CURL} http://own.test/ || echo refused"));
            let pages = if reached {
                "the page of allowed.test\n".repeat(2)
            } else {
                String::new()
            };
            assert_eq!(text(&out.stdout), pages + &"refused\n".repeat(2));
        }
    }
}

#[test]
fn a_client_of_the_proxy_may_look_names_up_itself() {
    let Some(lab) = Lab::new("local names by the proxy") else {
        return;
    };
    let socks = format!("{CURL} --proxy '' --socks5 127.0.0.1:1080");
    let out = lab.shell(Who::Nobody, &policy(""), &format!(
        "{socks} http://web.known.test/ https://web.known.test/; {socks} http://only443.known.test/ || echo $?"));
    let said = text(&out.stdout);
    assert_eq!(
        said,
        "the page of web.known.test\n".repeat(2) + "97\n",
        "{}",
        text(&out.stderr)
    );
}

#[test]
fn what_is_captured_takes_the_way_out_that_the_settings_name() {
    let Some(lab) = Lab::new("captured, by other proxies") else {
        return;
    };
    let log = || {
        text(
            &lab.on_server(&["curl", "-sS", "http://10.77.0.2/log"])
                .stdout,
        )
    };
    let fetch = format!(
        "{UNSET} {CURL} http://web.known.test/; {CURL} https://web.known.test/; {CURL} http://refuse.known.test/ || echo refused"
    );
    let hosts = policy("").replace(
        "\"web.known.test\"",
        "\"web.known.test\", \"refuse.known.test\"",
    );
    let pages = "the page of web.known.test\n".repeat(2) + "refused\n";
    let way = |more: &str| {
        hosts.replacen(
            "\"allowedDomains\"",
            &format!("{more}, \"allowedDomains\""),
            1,
        )
    };
    let tunnels = [
        "web.known.test:80",
        "web.known.test:443",
        "refuse.known.test:80",
    ]
    .map(|target| format!("CONNECT {target} HTTP/1.1"))
    .join("\n");
    for more in [
        r#""parentProxy": {"https": "http://10.77.0.2:8888", "http": "http://10.77.0.2:8888"}"#,
        r#""mitmProxy": {"socketPath": "@/mitm.sock", "domains": ["web.known.test", "refuse.known.test"]}"#,
    ] {
        let before = log();
        let out = lab.shell(Who::Me, &way(more), &fetch);
        assert_eq!(text(&out.stdout), pages, "{}", text(&out.stderr));
        assert_eq!(log().strip_prefix(&before).unwrap().trim(), tunnels);
    }
    // That hop looks names up.
    assert_eq!(questions(&lab), "");
}

// With a way chosen by the address alone, the page is fetched past that program.
#[test]
fn pitfall_48_a_pinned_address_is_not_reached_past_the_program_that_its_name_goes_to() {
    let Some(lab) = Lab::new("pinned past mitm") else {
        return;
    };
    let mitm = r#"{"network": {"allowedDomains": ["allowed.test", "denied.test"],
        "mitmProxy": {"socketPath": "@/mitm.sock", "domains": ["allowed.test"]}}, "filesystem": {"allowWrite": ["@"]}}"#;
    for who in everyone() {
        let (said, _) = script(
            &lab,
            who,
            mitm,
            r#"
get = b"GET / HTTP/1.0\r\nHost: allowed.test\r\n\r\n"
for host in "10.77.0.2", "allowed.test": print(connect(host, 80, get)[:12])
"#,
        );
        assert_eq!(said, "b'HTTP/1.1 200'\n".repeat(2));
        let log = text(
            &lab.on_server(&["curl", "-sS", "http://10.77.0.2/log"])
                .stdout,
        );
        let passed = log.matches("CONNECT allowed.test:80 ").count();
        assert!(passed > 0 && passed.is_multiple_of(2), "{log}");
        assert!(!log.contains("10.77.0.2"), "{log}");
    }
}

/// Asks a loop's socket for a name's address: the last byte of it, or the code.
fn ask(reactor: &mut Reactor, at: u16, name: &str) -> Result<u8, u8> {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(("127.0.0.1", at)).unwrap();
    client.set_nonblocking(true).unwrap();
    let mut question = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0".to_vec();
    for label in name.split('.') {
        question.push(u8::try_from(label.len()).unwrap());
        question.extend(label.as_bytes());
    }
    question.extend(b"\0\0\x01\0\x01");
    client.send(&question).unwrap();
    let mut answer = [0; 512];
    loop {
        let soon = Instant::now() + Duration::from_millis(50);
        reactor.turn(Some(soon), &mut Vec::new()).unwrap();
        if let Ok(length) = client.recv(&mut answer) {
            return match answer[3] & 15 {
                0 => Ok(answer[length - 1]),
                code => Err(code),
            };
        }
    }
}

/// A loop of the test's own process.
fn bare_loop() -> Reactor {
    let text = br#"{"network": {"allowedDomains": ["*.known.test"]}}"#;
    let settings = settings(text).unwrap().network;
    let network = Network::new(&settings, &[], Routes::default());
    let helper = HelperProgram {
        path: support::program().to_owned(),
        arguments: vec!["--stage".into(), "lookup".into()],
    };
    Reactor::new(network, helper, 1024).unwrap()
}

// With one table, the second run's first name has the second address, and a run that is new
// has the names and the violations of one that is over.
#[test]
fn runs_of_one_loop_share_no_names() {
    let mut reactor = bare_loop();
    let serve = |reactor: &mut Reactor, run| {
        let socket = listen(Kind::Datagram, 0).unwrap();
        let port = UdpSocket::from(socket.try_clone().unwrap());
        reactor.answer_on(run, socket).unwrap();
        port.local_addr().unwrap().port()
    };
    let (one, two) = (serve(&mut reactor, Run(1)), serve(&mut reactor, Run(2)));
    assert_eq!(ask(&mut reactor, one, "a.known.test"), Ok(0));
    assert_eq!(ask(&mut reactor, one, "b.known.test"), Ok(1));
    assert_eq!(ask(&mut reactor, two, "b.known.test"), Ok(0));
    assert_eq!(ask(&mut reactor, one, "secret.denied.test"), Err(3));
    reactor.end(Run(1));
    let again = serve(&mut reactor, Run(1));
    assert!(reactor.take_unnamed(Run(1)).is_empty());
    assert_eq!(ask(&mut reactor, again, "c.known.test"), Ok(0));
    assert_eq!(ask(&mut reactor, two, "c.known.test"), Ok(1));
}

// With all of them taken at once, whoever else is served waits for thousands.
#[test]
fn a_flood_of_connections_leaves_others_their_turn() {
    let mut reactor = bare_loop();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let flooded = Run(1);
    reactor
        .listen(flooded, listener.into(), Service::Captured)
        .unwrap();
    let all = 2 * ACCEPTS_PER_TURN + 1;
    let _flood: Vec<TcpStream> = (0..all).map(|_| TcpStream::connect(at).unwrap()).collect();
    let mut turn = || {
        let later = Instant::now() + Duration::from_secs(60);
        reactor.turn(Some(later), &mut Vec::new()).unwrap();
        reactor.take_refusals(flooded).len()
    };
    // And none of them waits for an event.
    assert_eq!(
        [turn(), turn(), turn()],
        [ACCEPTS_PER_TURN, ACCEPTS_PER_TURN, 1]
    );
}
