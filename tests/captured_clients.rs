//! Real clients that know no proxy, or are told of none: each to a host that is allowed, and
//! to one that is not.

mod support;

use std::process::Command;

use support::{Host, Lab, Running, Who, assert_status, everyone, finish, text};

/// What tells programs of the proxy is taken away.
const UNSET: &str = "unset $(env | sed -n 's/^\\([A-Za-z_]*_proxy\\|[A-Z_]*_PROXY\\|NODE_USE_ENV_PROXY\\|JAVA_TOOL_OPTIONS\\|GIT_SSH_COMMAND\\)=.*/\\1/p');";

const POLICY: &str = r#"{"network": {"allowedDomains": ["web.known.test", "data.known.test:5432", "data.known.test:6379"]},
    "filesystem": {"allowWrite": ["@"]}}"#;

/// A client, whose command line has `HOST`; what it says of the allowed host, and of the other.
struct Client {
    program: &'static str,
    /// Whether `make test` installs it.
    installed: bool,
    host: &'static str,
    line: &'static str,
    reaches: &'static str,
    /// The exit status for a name that is refused.
    refused: i32,
}

const CLIENTS: [Client; 10] = [
    Client {
        program: "curl",
        installed: true,
        host: "web",
        line: "curl -sS --max-time 20 --cacert cert.pem https://HOST/",
        reaches: "the page of HOST",
        refused: 6,
    },
    Client {
        program: "wget",
        installed: true,
        host: "web",
        line: "wget -nv -O- --tries=1 --ca-certificate=cert.pem https://HOST/",
        reaches: "the page of HOST",
        refused: 4,
    },
    Client {
        program: "git",
        installed: true,
        host: "web",
        line: "git ls-remote http://HOST/origin.git",
        reaches: "refs/heads/",
        refused: 128,
    },
    Client {
        program: "node",
        installed: true,
        host: "web",
        line: "NODE_EXTRA_CA_CERTS=cert.pem node -e 'fetch(\"https://HOST/\").then(r => r.text()).then(t => process.stdout.write(t))'",
        reaches: "the page of HOST",
        refused: 1,
    },
    Client {
        program: "openssl",
        installed: true,
        host: "web",
        line: "(printf 'GET / HTTP/1.1\\r\\nHost: HOST\\r\\nConnection: close\\r\\n\\r\\n'; sleep 0.2) | \
               openssl s_client -quiet -CAfile cert.pem -servername HOST -connect HOST:443",
        reaches: "the page of HOST",
        refused: 1,
    },
    Client {
        program: "python3",
        installed: true,
        host: "web",
        line: "python3 -c 'import socket; s = socket.create_connection((\"HOST\", 80)); \
               s.sendall(b\"GET / HTTP/1.0\\r\\nHost: HOST\\r\\n\\r\\n\"); print(s.makefile().read())'",
        reaches: "the page of HOST",
        refused: 1,
    },
    Client {
        program: "nc",
        installed: true,
        host: "web",
        line: "printf 'GET / HTTP/1.0\\r\\nHost: HOST\\r\\n\\r\\n' | nc -N HOST 80",
        reaches: "the page of HOST",
        refused: 1,
    },
    Client {
        program: "java",
        installed: false,
        host: "web",
        line: "java Fetch.java HOST",
        reaches: "the page of HOST",
        refused: 1,
    },
    Client {
        program: "psql",
        installed: false,
        host: "data",
        line: "psql -At -c 'select 1' 'postgres://me@HOST/db?sslmode=disable'",
        reaches: "a row",
        refused: 2,
    },
    Client {
        program: "redis-cli",
        installed: false,
        host: "data",
        line: "redis-cli -h HOST PING",
        reaches: "PONG",
        refused: 1,
    },
];

/// Just enough of a PostgreSQL server and of a Redis server for one answer.
const DATABASES: &str = r#"
import socket, struct, threading
def message(kind, body): return kind + struct.pack(">I", len(body) + 4) + body
def postgres(peer):
    peer.recv(struct.unpack(">I", peer.recv(4, socket.MSG_WAITALL))[0] - 4, socket.MSG_WAITALL)
    peer.sendall(message(b"R", b"\0\0\0\0") + message(b"Z", b"I"))
    peer.recv(999)
    peer.sendall(message(b"T", struct.pack(">H", 1) + b"x\0" + struct.pack(">IHIHIH", 0, 0, 25, 0xffff, 0xffffffff, 0))
        + message(b"D", struct.pack(">HI", 1, 5) + b"a row") + message(b"C", b"SELECT 1\0") + message(b"Z", b"I"))
    peer.recv(999)
def redis(peer):
    while peer.recv(999): peer.sendall(b"+PONG\r\n")
def serve(port, what):
    listener = socket.create_server(("10.77.0.2", port))
    def loop():
        while True:
            peer, _ = listener.accept()
            threading.Thread(target=what, args=[peer], daemon=True).start()
    threading.Thread(target=loop, daemon=True).start()
serve(5432, postgres); serve(6379, redis)
print("ready", flush=True)
input()
"#;

const FETCH: &str = r#"
import java.io.*; import java.net.*;
public class Fetch { public static void main(String[] a) throws Exception {
    new URL("http://" + a[0] + "/").openStream().transferTo(System.out); } }
"#;

fn prepare(lab: &Lab) -> Running {
    let origin = lab.scratch.dir("www/origin.git");
    let source = lab.scratch.dir("source");
    let make = "set -e; git init -q .; git -c user.name=t -c user.email=t@t.test commit -q --allow-empty -m one; \
         git clone -q --bare . \"$0\"; cd \"$0\"; git update-server-info; chmod -R a+rX .";
    let mut command = Command::new("sh");
    command.args(["-c", make]).arg(&origin).current_dir(source);
    assert_status(&finish(command), 0);
    lab.scratch.file("Fetch.java", FETCH);
    lab.host(Host::Server, "databases.py", DATABASES)
}

#[test]
#[allow(clippy::print_stderr)]
fn clients_that_know_no_proxy_reach_what_is_allowed_and_are_refused_at_once() {
    let Some(lab) = Lab::new("captured clients") else {
        return;
    };
    let _databases = prepare(&lab);
    for client in &CLIENTS {
        let there = lab.on_server(&["sh", "-c", &format!("command -v {}", client.program)]);
        if !there.status.success() {
            assert!(!client.installed, "{} is not installed", client.program);
            eprintln!(
                "SKIP {} without a proxy: it is not installed",
                client.program
            );
            continue;
        }
        for who in everyone() {
            let run = |host: &str| {
                let line = client.line.replace("HOST", host);
                // Whatever is to be refused is refused at once, and not by a time-out.
                lab.shell(
                    who,
                    POLICY,
                    &format!(
                        "{UNSET} export PGCONNECT_TIMEOUT=20; timeout 15 sh -c {}",
                        quoted(&line)
                    ),
                )
            };
            let name = format!("{}.known.test", client.host);
            let out = run(&name);
            assert!(
                text(&out.stdout).contains(&client.reaches.replace("HOST", &name)),
                "{}: {}{}",
                client.program,
                text(&out.stdout),
                text(&out.stderr)
            );
            let out = run("denied.known.test");
            assert_status(&out, client.refused);
            assert!(
                !text(&out.stdout).contains("the page"),
                "{}",
                client.program
            );
            assert!(
                !text(&out.stderr).is_empty(),
                "{} says nothing",
                client.program
            );
            // An address that nobody gave a name is not allowed either.
            let out = run("10.77.0.2");
            // (A reset is no error to nc.)
            let late = out.status.code() == Some(124);
            let failed = !out.status.success() || client.program == "nc";
            assert!(failed && !late, "{}: {:?}", client.program, out.status);
            assert!(
                !text(&out.stdout).contains("the page"),
                "{}",
                client.program
            );
        }
    }
}

fn quoted(line: &str) -> String {
    format!("'{}'", line.replace('\'', r"'\''"))
}

#[test]
fn git_goes_over_ssh_that_knows_no_proxy() {
    let Some(lab) = Lab::new("git over captured ssh") else {
        return;
    };
    let at = lab.scratch.path("");
    let make = "set -e; ssh-keygen -q -t ed25519 -N '' -f key; ssh-keygen -q -t ed25519 -N '' -f host_key; \
        chmod 600 key host_key; cp key.pub authorized; git init -q --bare repo.git; mkdir -p /run/sshd; \
        $(command -v sshd || echo /usr/sbin/sshd) -f /dev/null -h $PWD/host_key -p 22 -o ListenAddress=10.77.0.2 -o PidFile=$PWD/sshd.pid \
        -o AuthorizedKeysFile=$PWD/authorized -o StrictModes=no -o PermitRootLogin=yes -o UsePAM=no";
    assert_status(&lab.on_server(&["sh", "-c", make]), 0);
    let url = |host: &str| format!("ssh://root@{host}{}repo.git", at.display());
    let script = format!(
        "{UNSET} set -e; git clone -q {0} work 2>/dev/null; cd work; git -c user.name=a -c user.email=a@b commit -q --allow-empty -m sent; \
         git push -q {0} HEAD:refs/heads/main; git ls-remote {0} main | cut -f2; cd ..; rm -rf work",
        url("web.known.test")
    );
    let out = lab.shell(Who::Me, POLICY, &script);
    let refused = ["denied.known.test", "data.known.test", "10.77.0.2"].map(|host| {
        lab.shell(
            Who::Me,
            POLICY,
            &format!(
                "{UNSET} export GIT_SSH_COMMAND='ssh -o LogLevel=INFO'; git ls-remote {}",
                url(host)
            ),
        )
    });
    lab.on_server(&["sh", "-c", "kill $(cat sshd.pid)"]);
    assert_eq!(
        text(&out.stdout),
        "refs/heads/main\n",
        "{}",
        text(&out.stderr)
    );
    let words = ["Could not resolve hostname", "reset by", "reset by"];
    for (out, words) in refused.iter().zip(words) {
        assert_status(out, 128);
        assert!(text(&out.stderr).contains(words), "{}", text(&out.stderr));
    }
}

#[test]
fn a_hundred_megabytes_pass_both_ways_unchanged_without_a_proxy() {
    let Some(lab) = Lab::new("100 MB, captured") else {
        return;
    };
    for url in ["http://web.known.test", "https://web.known.test"] {
        let out = lab.shell(Who::Nobody, POLICY, &format!(
            "{UNSET} set -e; curl -sS --cacert cert.pem {url}/big/100000000 > big; stat -c %s big; sha256sum < big | cut -d' ' -f1; \
             curl -sS --cacert cert.pem --data-binary @big {url}/; rm big"));
        assert_status(&out, 0);
        let out = text(&out.stdout);
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines.len(), 3, "{out}");
        assert_eq!((lines[0], lines[1]), ("100000000", lines[2]));
    }
}
