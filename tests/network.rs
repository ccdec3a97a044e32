//! The network policy on the wire: ways out, bounds, and attacks.

mod support;

use support::{Host, Lab, Scratch, Who, assert_status, everyone, finish, shell, srt, text};

const CURL: &str = "curl -sS --max-time 20 --cacert cert.pem";

fn policy(more: &str) -> String {
    format!(
        r#"{{"network": {{"allowedDomains": ["allowed.test", "parent-only.test", "refuse.test", "two.test", "slow.test"]{more}}},
            "filesystem": {{"allowWrite": ["@"]}}}}"#
    )
}

/// What the proxies of the server have been asked for.
fn log(lab: &Lab) -> Vec<String> {
    let out = lab.on_server(&["curl", "-sS", "http://10.77.0.2/log"]);
    text(&out.stdout).lines().map(str::to_owned).collect()
}

/// The names that the server's resolver has been asked for.
fn questions(lab: &Lab) -> String {
    let out = lab.on_server(&["curl", "-sS", "http://10.77.0.2/questions"]);
    text(&out.stdout)
}

#[test]
fn a_parent_proxy_is_the_way_out_and_looks_names_up_itself() {
    let Some(lab) = Lab::new("parent proxy") else {
        return;
    };
    let parent = policy(
        r#", "parentProxy": {"http": "http://us%65r:p%40ss\u004010.77.0.2:8888", "https": "10.77.0.2:8888", "noProxy": ["allowed.test:80"]}"#,
    );
    for who in everyone() {
        let out = lab.shell(who, &parent, &format!(
            "{CURL} http://parent-only.test/; {CURL} --insecure https://parent-only.test/; {CURL} http://allowed.test/; \
             {CURL} -o /dev/null -w '%{{http_code}} ' http://denied.test/; \
             {CURL} -o /dev/null -w '%{{http_code}}\\n' http://refuse.test/"));
        let said = text(&out.stdout) + &text(&out.stderr);
        assert_eq!(
            said,
            "the page of parent-only.test\nthe page of parent-only.test\nthe page of allowed.test\n403 407\n"
        );
        // A refusal of a tunnel by the parent is told as such, and no other way is tried.
        let out = lab.shell(who, &parent, &format!("{CURL} https://refuse.test/"));
        assert!(text(&out.stderr).contains("502"), "{}", text(&out.stderr));
    }
    let seen = log(&lab);
    let basic = "Proxy-Authorization: Basic dXNlcjpwQHNz";
    assert!(
        seen.contains(&format!("GET http://parent-only.test/ HTTP/1.1 {basic}")),
        "{seen:?}"
    );
    assert!(
        seen.contains(&"CONNECT parent-only.test:443 HTTP/1.1".to_owned()),
        "{seen:?}"
    );
    assert!(
        !seen
            .iter()
            .any(|line| line.contains("denied") || line.contains("allowed")),
        "{seen:?}"
    );
    assert_eq!(questions(&lab), "");
}

#[test]
fn the_environment_names_a_parent_where_the_settings_name_none() {
    let Some(lab) = Lab::new("parent from the environment") else {
        return;
    };
    let with = |value: &str, script: &str| {
        let more = [("http_proxy", value), ("NO_PROXY", "allowed.test")];
        lab.shell_with(Who::Nobody, &policy(""), script, &more)
    };
    let out = with(
        "http://10.77.0.2:8888",
        &format!("{CURL} http://parent-only.test/ && {CURL} http://allowed.test/; env"),
    );
    let said = text(&out.stdout);
    assert!(
        said.starts_with("the page of parent-only.test\nthe page of allowed.test\n"),
        "{said}"
    );
    // The caller's proxy is not the command's.
    assert!(
        said.contains("http_proxy=http://127.0.0.1:3128\n") && !said.contains("8888"),
        "{said}"
    );
    assert_eq!(log(&lab), ["GET http://parent-only.test/ HTTP/1.1"]);
    let out = with("https://user:secret@10.77.0.2:8888", "echo ran");
    assert_status(&out, 125);
    let said = text(&out.stderr);
    assert!(
        said.contains("http_proxy: ") && said.contains("TLS") && !said.contains("secret"),
        "{said}"
    );
    assert!(out.stdout.is_empty());
}

// With a fallback to the direct way, the last two fetches succeed.
#[test]
fn pitfall_48_what_goes_through_a_socket_goes_nowhere_else() {
    let Some(lab) = Lab::new("mitm proxy") else {
        return;
    };
    let mitm =
        policy(r#", "mitmProxy": {"socketPath": "@/mitm.sock", "domains": ["allowed.test"]}"#);
    let socks = "--proxy '' --socks5-hostname 127.0.0.1:1080";
    let fetch = format!(
        "{CURL} http://allowed.test/; {CURL} https://allowed.test/; {CURL} {socks} https://allowed.test/"
    );
    let out = lab.shell(Who::Me, &mitm, &fetch);
    assert_eq!(
        text(&out.stdout),
        "the page of allowed.test\n".repeat(3),
        "{}",
        text(&out.stderr)
    );
    let tunnel = "CONNECT allowed.test:443 HTTP/1.1";
    assert_eq!(
        log(&lab),
        ["GET http://allowed.test/ HTTP/1.1", tunnel, tunnel]
    );
    let gone = mitm.replace("mitm.sock", "gone.sock");
    let out = lab.shell(Who::Me, &gone, &fetch);
    assert!(
        !text(&out.stdout).contains("the page"),
        "{}",
        text(&out.stdout)
    );
    assert_eq!(log(&lab).len(), 3);
}

#[test]
fn external_proxies_get_what_comes_as_it_comes() {
    let Some(lab) = Lab::new("external proxies") else {
        return;
    };
    let _external = lab.host(
        Host::Client,
        "external.py",
        r#"
import socket, threading
def serve(port):
    listener = socket.create_server(("127.0.0.1", port))
    def loop():
        while True:
            peer, _ = listener.accept()
            said = peer.recv(64).split(b"\r\n")[0]
            body = repr((port, said)).encode() + b"\n"
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            peer.close()
    threading.Thread(target=loop, daemon=True).start()
serve(9001); serve(9002)
print("ready", flush=True)
input()
"#,
    );
    let external = policy(r#", "httpProxyPort": 9001, "socksProxyPort": 9002"#);
    let out = lab.shell(Who::Nobody, &external, &format!(
        "{CURL} http://denied.test/x; python3 -c \"import socket\ns = socket.create_connection(('127.0.0.1', 1080))\n\
         s.sendall(b'\\x05\\x01\\x00'); print(s.recv(999).decode().split('\\r\\n')[-1], end='')\""));
    assert_eq!(
        text(&out.stdout),
        "(9001, b'GET http://denied.test/x HTTP/1.1')\n(9002, b'\\x05\\x01\\x00')\n",
        "{}",
        text(&out.stderr)
    );
}

// Without `permits_server_name`, the page of the denied host is fetched from the allowed.
#[test]
fn pitfall_52_no_other_host_is_asked_for_inside_a_tunnel() {
    let Some(lab) = Lab::new("server names") else {
        return;
    };
    let front =
        format!("{CURL} --connect-to denied.test:443:allowed.test:443 https://denied.test/");
    for who in everyone() {
        let out = lab.shell(who, &policy(""), &front);
        assert!(
            !out.status.success() && out.stdout.is_empty(),
            "{}",
            text(&out.stdout)
        );
        let out = lab.shell(who, &policy(""), &format!("{CURL} https://allowed.test/"));
        assert_eq!(text(&out.stdout), "the page of allowed.test\n");
    }
    let open = policy(r#", "requireServerName": false"#);
    assert_eq!(
        text(&lab.shell(Who::Me, &open, &front).stdout),
        "the page of denied.test\n"
    );
}

#[test]
fn pitfall_53_a_denied_name_puts_no_question_to_the_resolver() {
    let Some(lab) = Lab::new("DNS") else { return };
    let tries = r#"
import http.client, socket, struct
names = ["secret-data.denied.example", "x.allowed.test.denied.example", "SECRET.denied.example."]
def attempt(what):
    try: what()
    except OSError: pass
def raw(name):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    question = b"".join(bytes([len(l)]) + l.encode() for l in name.strip(".").split(".")) + b"\0"
    for server in "10.77.0.2", "127.0.0.53", "127.0.0.1":
        attempt(lambda: s.sendto(b"ab\1\0\0\1\0\0\0\0\0\0" + question + b"\0\1\0\1", (server, 53)))
def connect(name):
    s = socket.create_connection(("127.0.0.1", 3128))
    s.sendall(f"CONNECT {name}:443 HTTP/1.1\r\n\r\n".encode()); s.recv(999)
def plain(name):
    s = socket.create_connection(("127.0.0.1", 3128))
    s.sendall(f"GET http://{name}/ HTTP/1.1\r\n\r\n".encode()); s.recv(999)
def socks(name):
    s = socket.create_connection(("127.0.0.1", 1080))
    s.sendall(b"\5\1\0"); s.recv(2)
    s.sendall(b"\5\1\0\3" + bytes([len(name)]) + name.encode() + b"\1\xbb"); s.recv(99)
def fronted(name):
    s = socket.create_connection(("127.0.0.1", 3128))
    s.sendall(f"GET http://allowed.test/ HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
    while s.recv(9999): pass
for name in names:
    for way in raw, connect, plain, socks, fronted:
        attempt(lambda: way(name))
    attempt(lambda: socket.getaddrinfo(name, 80))
    attempt(lambda: socket.gethostbyname(name))
print("tried")
"#;
    lab.scratch.file("tries.py", tries);
    for who in everyone() {
        let out = lab.shell(who, &policy(""), "python3 tries.py");
        assert_eq!(text(&out.stdout), "tried\n", "{}", text(&out.stderr));
    }
    assert_eq!(questions(&lab), "");
    // The resolver does count: an allowed name is asked for.
    lab.shell(
        Who::Me,
        &policy(""),
        "curl -sS --max-time 1 http://slow.test/",
    );
    assert!(questions(&lab).contains("slow.test"));
}

#[test]
fn a_resolver_that_never_answers_delays_no_one_else() {
    let Some(lab) = Lab::new("hung resolver") else {
        return;
    };
    let script = format!(
        "for n in 1 2 3; do curl -sS --max-time 30 -o /dev/null -w '%{{http_code}}\\n' http://slow.test/ >> slow & done; \
         {CURL} -w '%{{time_total}}\\n' http://allowed.test/; wait; cat slow; rm slow"
    );
    let out = lab.shell(Who::Nobody, &policy(""), &script);
    let said = text(&out.stdout);
    let mut lines = said.lines();
    assert_eq!(lines.next(), Some("the page of allowed.test"));
    let seconds: f64 = lines.next().unwrap().parse().unwrap();
    assert!(seconds < 2.0, "{said}");
    assert_eq!(lines.collect::<Vec<_>>(), ["504"; 3]);
}

#[test]
fn an_address_that_does_not_answer_delays_the_next_by_a_moment_only() {
    let Some(lab) = Lab::new("staggered dialling") else {
        return;
    };
    let out = lab.shell(
        Who::Me,
        &policy(""),
        &format!("{CURL} -w '%{{time_total}}' http://two.test/"),
    );
    let said = text(&out.stdout);
    let (page, seconds) = said.split_once('\n').unwrap();
    assert_eq!(page, "the page of two.test");
    let seconds: f64 = seconds.parse().unwrap();
    // It was tried, and had its moment.
    assert!((0.2..1.5).contains(&seconds), "{seconds}");
}

#[test]
fn one_connection_to_the_proxy_carries_many_requests_each_judged() {
    let Some(lab) = Lab::new("keep-alive") else {
        return;
    };
    let script = r#"
import http.client
c = http.client.HTTPConnection("127.0.0.1", 3128)
for host, method, body in [("allowed.test", "GET", None), ("allowed.test", "POST", b"x" * 300000), ("allowed.test", "GET", None)]:
    c.request(method, f"http://{host}/", body)
    r = c.getresponse(); data = r.read()
    print(r.status, len(data), c.sock.getsockname()[1] if c.sock else None)
c.request("GET", "http://denied.test/")
r = c.getresponse(); print(r.status, r.getheader("X-Proxy-Error"))
"#;
    lab.scratch.file("many.py", script);
    let out = lab.shell(Who::Me, &policy(""), "python3 many.py");
    let said = text(&out.stdout);
    let lines: Vec<Vec<&str>> = said.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(lines.len(), 4, "{said}{}", text(&out.stderr));
    assert_eq!([lines[0][0], lines[1][0], lines[2][0]], ["200"; 3]);
    assert_eq!(lines[1][1], "64");
    assert!(
        lines[0][2] == lines[1][2] && lines[1][2] == lines[2][2],
        "{said}"
    );
    assert_eq!(lines[3], ["403", "blocked-by-allowlist"]);
}

#[test]
fn pitfall_56_idle_stuck_and_vanished_peers_keep_nobody_waiting() {
    let Some(lab) = Lab::new("idle, stuck, vanished") else {
        return;
    };
    let script = r#"
import socket, struct, time
def proxy(): return socket.create_connection(("127.0.0.1", 3128))
def tunnel(port):
    s = proxy(); s.sendall(b"CONNECT allowed.test:%d HTTP/1.1\r\n\r\n" % port)
    while b"\r\n\r\n" not in s.recv(4096): pass
    return s
def fetch():
    s = proxy(); s.sendall(b"GET http://allowed.test/ HTTP/1.1\r\nConnection: close\r\n\r\n")
    said = b""
    while part := s.recv(4096): said += part
    return b"the page of" in said
half = [proxy() for _ in range(300)]
for s in half[:100]: s.sendall(b"GET http://allo")
for s in half[100:200]: s.sendall(b"\x05\x01")
stuck = tunnel(7003); stuck.setblocking(False)
sent = 0
try:
    while True: sent += stuck.send(b"x" * 65536)
except BlockingIOError: pass
for _ in range(50):
    s = tunnel(7000); s.sendall(b"y" * 1000)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); s.close()
begin = time.monotonic()
print(all(fetch() for _ in range(20)), sent > 0, time.monotonic() - begin < 5)
"#;
    lab.scratch.file("stuck.py", script);
    for who in everyone() {
        let out = lab.shell(who, &policy(""), "python3 stuck.py");
        assert_eq!(
            text(&out.stdout),
            "True True True\n",
            "{}",
            text(&out.stderr)
        );
    }
}

#[test]
fn at_the_limit_of_descriptors_connections_wait_and_are_served_later() {
    let Some(lab) = Lab::new("descriptor limit") else {
        return;
    };
    let script = r#"
import socket, time
all = [socket.create_connection(("127.0.0.1", 3128)) for _ in range(100)]
last = all[-1]; last.settimeout(0.5)
last.sendall(b"GET http://allowed.test/ HTTP/1.1\r\nConnection: close\r\n\r\n")
try: print("served early", last.recv(1))
except TimeoutError: print("waits")
for s in all[:60]: s.close()
last.settimeout(20); said = b""
while part := last.recv(4096): said += part
print(b"the page of" in said)
"#;
    lab.scratch.file("limit.py", script);
    // 180 descriptors less the reserve leave 58 connections.
    let limited = "ulimit -n 180; exec \"$0\" \"$@\"";
    let out = lab.shell_under(limited, &policy(""), "python3 limit.py");
    assert_eq!(text(&out.stdout), "waits\nTrue\n", "{}", text(&out.stderr));
}

#[test]
fn pitfall_60_ports_go_through_the_wall_where_the_settings_say() {
    let Some(lab) = Lab::new("forwarded ports") else {
        return;
    };
    let server = |port: u16, word: &str| {
        format!(
            "import socket\nl = socket.create_server(('127.0.0.1', {port}))\nprint('ready', flush=True)\n\
             while True:\n    p, _ = l.accept(); p.sendall(b'{word}:' + p.recv(99)); p.close()\n"
        )
    };
    let _host = lab.host(Host::Client, "host.py", &server(9100, "host"));
    lab.scratch.file("inner.py", &server(9200, "inside"));
    lab.scratch.file("ask.py", "import socket, sys\ns = socket.create_connection(('localhost', int(sys.argv[1])))\ns.sendall(b'hi'); print(s.recv(99).decode())\n");
    for who in everyone() {
        let open = r#"{"network": {"allowHostPorts": [9100]}}"#;
        assert_eq!(
            text(&lab.shell(who, open, "python3 ask.py 9100").stdout),
            "host:hi\n"
        );
        assert!(!lab.shell(who, "{}", "python3 ask.py 9100").status.success());
    }
    let published = r#"{"network": {"publishPorts": [9200]}, "filesystem": {"allowWrite": ["@"]}}"#;
    let ask = lab.host(
        Host::Client,
        "outside.py",
        "import socket, time\nprint('ready', flush=True)\nsaid = []\nwhile len(said) < 3:\n    try:\n        s = socket.create_connection(('127.0.0.1', 9200)); s.sendall(b'yo')\n        \
         r = s.recv(99).decode()\n        if r: said.append(r)\n        else: time.sleep(0.05)\n    except OSError: time.sleep(0.05)\nopen('said', 'w').write(' '.join(said))\n",
    );
    let out = lab.shell(
        Who::Me,
        published,
        "python3 inner.py & n=0; until [ -s said ] || [ $n = 200 ]; do sleep 0.05; n=$((n+1)); done; cat said; rm said",
    );
    drop(ask);
    assert!(
        text(&out.stdout).contains("inside:yo inside:yo inside:yo"),
        "{}{}",
        text(&out.stdout),
        text(&out.stderr)
    );
    let _taken = lab.host(Host::Client, "taken.py", &server(9200, "taken"));
    let out = lab.shell(Who::Me, published, "echo ran");
    assert_status(&out, 125);
    assert!(
        text(&out.stderr).contains("network.publishPorts: port 9200"),
        "{}",
        text(&out.stderr)
    );
}

#[test]
fn git_goes_over_ssh_through_the_proxy() {
    let Some(lab) = Lab::new("git over ssh") else {
        return;
    };
    let at = lab.scratch.path("");
    let make = "set -e; ssh-keygen -q -t ed25519 -N '' -f key; ssh-keygen -q -t ed25519 -N '' -f host_key; \
        chmod 600 key host_key; cp key.pub authorized; git init -q --bare repo.git; mkdir -p /run/sshd; \
        $(command -v sshd || echo /usr/sbin/sshd) -f /dev/null -h $PWD/host_key -p 22 -o ListenAddress=10.77.0.2 -o PidFile=$PWD/sshd.pid \
        -o AuthorizedKeysFile=$PWD/authorized -o StrictModes=no -o PermitRootLogin=yes -o UsePAM=no";
    let out = lab.on_server(&["sh", "-c", make]);
    assert_status(&out, 0);
    let url = |host: &str| format!("ssh://root@{host}{}repo.git", at.display());
    let script = format!(
        "set -e; git clone -q {0} work 2>/dev/null; cd work; git -c user.name=a -c user.email=a@b commit -q --allow-empty -m sent; \
         git push -q {0} HEAD:refs/heads/main; git ls-remote {0} main | cut -f2; cd ..; rm -rf work",
        url("allowed.test")
    );
    let out = lab.shell(Who::Me, &policy(""), &script);
    let refused = lab.shell(
        Who::Me,
        &policy(""),
        &format!("git ls-remote {}", url("denied.test")),
    );
    lab.on_server(&["sh", "-c", "kill $(cat sshd.pid)"]);
    assert_eq!(
        text(&out.stdout),
        "refs/heads/main\n",
        "{}",
        text(&out.stderr)
    );
    assert!(!refused.status.success());
    assert!(
        text(&refused.stderr).contains("blocked by network allowlist"),
        "{}",
        text(&refused.stderr)
    );
}

#[test]
fn pitfall_58_what_a_url_says_reaches_no_shell_of_ours() {
    let scratch = Scratch::new();
    for host in [
        "x;touch made",
        "$(touch made)",
        "a b",
        "a\r\nX: y",
        "-oProxyCommand=x",
        "a'b",
    ] {
        let mut command = srt(Who::Me, &scratch.path(""));
        command
            .args(["-s"])
            .arg(scratch.policy(r#"{"filesystem": {"allowWrite": ["@"]}}"#));
        command
            .arg(support::program())
            .args(["--stage", "connect", host, "22"]);
        let out = finish(command);
        assert_status(&out, 125);
        assert!(!scratch.path("made").exists(), "{host}");
    }
    let out = shell(
        Who::Me,
        &scratch,
        "{}",
        "GIT_SSH_COMMAND=mine; echo $GIT_SSH_COMMAND",
    );
    assert_eq!(text(&out.stdout), "mine\n");
}
