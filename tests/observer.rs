//! What the log says of what was refused: each call that the observer hears of, what it
//! must be silent about, what nobody can forge in it, and a run without an observer.

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use sandbox_runtime::parse::json::{Value, document};
use support::{Lab, Scratch, Who, assert_status, everyone, finish, finish_child, said, srt, text};

const NO_RULE: &str = "no rule allows it";
const DENIED: &str = "filesystem.denyWrite[0]";
const HIDDEN: &str = "filesystem.denyRead[0]";
const SHELL: &str = "a shell runs it at its start";
const HOOKS: &str = "git runs what lies in it";

const POLICY: &str = r#"{"network": {"allowedDomains": ["allowed.test", "localhost"], "allowUnixSockets": ["@/s/listed.sock"]},
    "filesystem": {"allowWrite": ["@/w"], "denyRead": ["@/h"], "denyWrite": ["@/w/deny"]}, "observe": ["write", "read"]}"#;

/// System calls by number: `call(name, argument...)`. Numbers of x86-64 and AArch64.
const CALL: &str = r#"
import ctypes, errno, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
NUMBERS = dict(openat=(257, 56), open=(2, None), openat2=(437, 437), creat=(85, None), unlinkat=(263, 35),
    unlink=(87, None), rmdir=(84, None), mkdirat=(258, 34), mkdir=(83, None), renameat2=(316, 276),
    renameat=(264, 38), rename=(82, None), linkat=(265, 37), link=(86, None), symlinkat=(266, 36),
    symlink=(88, None), mknodat=(259, 33), mknod=(133, None), truncate=(76, 45), fchmodat=(268, 53),
    fchmodat2=(452, 452), chmod=(90, None), fchownat=(260, 54), chown=(92, None), lchown=(94, None),
    utimensat=(280, 88), futimesat=(261, None), utime=(132, None), utimes=(235, None), setxattr=(188, 5),
    lsetxattr=(189, 6), removexattr=(197, 14), lremovexattr=(198, 15), setxattrat=(463, 463), removexattrat=(466, 466))
HERE = -100
WRITE, BOTH, CREATE, EXCLUSIVE, TRUNCATE, APPEND, PATH_ONLY = 1, 2, 0o100, 0o200, 0o1000, 0o2000, 0o10000000
kept = []
def call(name, *arguments):
    number = NUMBERS[name][os.uname().machine != "x86_64"]
    def word(a):
        if isinstance(a, int): return ctypes.c_long(a)
        kept.append(ctypes.create_string_buffer(a))
        return kept[-1]
    ctypes.set_errno(0)
    failed = libc.syscall(ctypes.c_long(number), *map(word, arguments)) < 0
    print(name, errno.errorcode[ctypes.get_errno()] if failed else "done")
def directory(path): return os.open(path, os.O_PATH)
def how(flags, mode=0): return struct.pack("QQQ", flags, mode, 0)
exec(sys.argv[1])
# A call that waits its turn: by now the observer has done with those before it.
os.open("/dev/null", os.O_WRONLY)
"#;

/// A directory for runs that are logged: `w` may be written but for `w/deny`, `o` not,
/// `h` not be read.
struct Bench {
    scratch: Scratch,
    who: Who,
    sockets: Vec<UnixListener>,
}

impl Bench {
    fn new(who: Who) -> Self {
        let scratch = Scratch::new();
        for name in ["w/f", "o/f", "h/s", "w/deny/f", "w/.git/HEAD"] {
            scratch.file(name, "x\n");
        }
        for name in [
            "o/empty",
            "w/.git/hooks",
            "w/.git/objects",
            "w/.git/refs",
            "s",
        ] {
            scratch.dir(name);
        }
        scratch.file("call.py", CALL);
        for (link, to) in [
            ("w/file", "../o/f"),
            ("w/dangling", "../o/absent"),
            ("w/directory", "../o"),
            ("w/chain", "directory/link"),
            ("o/link", "f"),
            ("o/nowhere", "absent"),
        ] {
            std::os::unix::fs::symlink(to, scratch.path(link)).unwrap();
        }
        let sockets = ["s/listed.sock", "s/other.sock"].map(|name| {
            let path = scratch.path(name);
            let socket = UnixListener::bind(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
            socket
        });
        // All of it is whose it is in a run without a sandbox.
        support::outside(Who::Me, &scratch.path(""), "chmod -R a+rwX .");
        Self {
            scratch,
            who,
            sockets: sockets.into(),
        }
    }

    fn log(&self) -> PathBuf {
        self.scratch.path("log")
    }

    /// `srt --log log`, with these settings.
    fn srt(&self, policy: &str) -> Command {
        let mut command = srt(self.who, &self.scratch.path(""));
        command
            .args(["--log", "log", "-s"])
            .arg(self.scratch.policy(policy));
        command
    }

    /// Runs a line of shell with a log of its own; gives both.
    fn run(&self, policy: &str, script: &str) -> (Output, Vec<Line>) {
        let _ = fs::remove_file(self.log());
        let mut command = self.srt(policy);
        command.args(["-c", script]);
        let out = finish(command);
        let lines = violations(&self.log());
        (out, lines)
    }

    /// What is absolute in a target, by `@`.
    fn full(&self, target: &str) -> String {
        let root = self.scratch.path("");
        target.replace('@', root.to_str().unwrap().trim_end_matches('/'))
    }
}

type Line = BTreeMap<String, String>;

/// Every line of a log, as its fields; fails where one is no JSON object.
fn lines(log: &Path) -> Vec<Line> {
    let content = fs::read(log).unwrap();
    let whole = content.is_empty() || content.ends_with(b"\n");
    assert!(whole, "{}", text(&content));
    content
        .split(|&b| b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            assert!(line.is_ascii() && line.len() < 4096, "{}", text(line));
            let node = document(line).unwrap_or_else(|e| panic!("{e:?}: {}", text(line)));
            let Value::Object(members) = node.value else {
                panic!("{}", text(line));
            };
            let word = |value| match value {
                Value::Text(text) => text,
                Value::Integer(number) => number.to_string(),
                Value::Null => "null".to_owned(),
                other => format!("{other:?}"),
            };
            let members = members.into_iter();
            members.map(|(k, v)| (k.text, word(v.value))).collect()
        })
        .collect()
}

fn violations(log: &Path) -> Vec<Line> {
    let mut all = lines(log);
    all.retain(|line| line["event"] == "violation");
    all
}

fn short(lines: &[Line]) -> Vec<String> {
    let word = |l: &Line| {
        format!(
            "{} {} {} ({})",
            l["kind"], l["action"], l["target"], l["rule"]
        )
    };
    lines.iter().map(word).collect()
}

fn real(program: &str) -> String {
    let out = support::outside(
        Who::Me,
        Path::new("/"),
        &format!("realpath $(PATH=/usr/bin:/bin command -v {program})"),
    );
    text(&out.stdout).trim_end().to_owned()
}

/// Numbers that AArch64 does not have.
const OLD: &[&str] = &[
    "open",
    "creat",
    "unlink",
    "rmdir",
    "mkdir",
    "rename",
    "link",
    "symlink",
    "mknod",
    "chmod",
    "chown",
    "lchown",
    "futimesat",
    "utime",
    "utimes",
];

/// Kind, rule, target, and a call by number (its action is its name).
const CALLS: &[(&str, &str, &str, &str)] = &[
    ("write", NO_RULE, "@/o/f", "'open', b'o/f', WRITE"),
    ("write", NO_RULE, "@/o/f", "'open', b'o/f', BOTH"),
    ("write", NO_RULE, "@/o/f", "'open', b'o/f', TRUNCATE"),
    ("write", NO_RULE, "@/o/f", "'open', b'o/f', WRITE | APPEND"),
    ("write", NO_RULE, "@/o/new", "'open', b'o/new', CREATE"),
    (
        "write",
        NO_RULE,
        "@/o/new",
        "'open', b'o/new', WRITE | CREATE | EXCLUSIVE",
    ),
    ("write", NO_RULE, "@/o/f", "'openat', HERE, b'o/f', WRITE"),
    (
        "write",
        NO_RULE,
        "@/o/f",
        "'openat', directory('o'), b'f', BOTH | TRUNCATE",
    ),
    (
        "write",
        NO_RULE,
        "@/o/new",
        "'openat', directory('o/empty'), b'../new', WRITE | CREATE",
    ),
    (
        "write",
        NO_RULE,
        "@/o/empty",
        "'openat', HERE, b'o/empty', 0o20200000 | BOTH",
    ),
    (
        "write",
        NO_RULE,
        "@/o/f",
        "'openat2', HERE, b'o/f', how(WRITE), 24",
    ),
    (
        "write",
        NO_RULE,
        "@/o/new",
        "'openat2', directory('o'), b'new', how(WRITE | CREATE, 0o600), 24",
    ),
    ("write", NO_RULE, "@/o/new", "'creat', b'o/new', 0o600"),
    ("write", NO_RULE, "@/o/f", "'creat', b'o/f', 0o600"),
    ("write", NO_RULE, "@/o/f", "'truncate', b'o/f', 0"),
    ("write", NO_RULE, "@/o/new", "'mkdir', b'o/new', 0o700"),
    (
        "write",
        NO_RULE,
        "@/o/new",
        "'mkdirat', directory('o'), b'new', 0o700",
    ),
    ("write", NO_RULE, "@/o/new", "'mkdir', b'o/new///', 0o700"),
    ("write", NO_RULE, "@/o/new", "'mknod', b'o/new', 0o10600, 0"),
    (
        "write",
        NO_RULE,
        "@/o/new",
        "'mknodat', HERE, b'o/new', 0o10600, 0",
    ),
    ("write", NO_RULE, "@/o/new", "'symlink', b'w/f', b'o/new'"),
    (
        "write",
        NO_RULE,
        "@/o/new",
        "'symlinkat', b'w/f', directory('o'), b'new'",
    ),
    ("write", NO_RULE, "@/o/new", "'link', b'w/f', b'o/new'"),
    ("write", NO_RULE, "@/o/f", "'link', b'o/f', b'w/new'"),
    (
        "write",
        NO_RULE,
        "@/o/new",
        "'linkat', directory('w'), b'f', directory('o'), b'new', 0",
    ),
    (
        "write",
        NO_RULE,
        "@/o/f",
        "'linkat', HERE, b'w/file', HERE, b'w/new', 0x400",
    ),
    ("write", NO_RULE, "@/o/new", "'rename', b'w/f', b'o/new'"),
    ("write", NO_RULE, "@/o/f", "'rename', b'o/f', b'w/new'"),
    (
        "write",
        NO_RULE,
        "@/o/new",
        "'renameat', directory('w'), b'f', directory('o'), b'new'",
    ),
    (
        "write",
        NO_RULE,
        "@/o/f",
        "'renameat2', HERE, b'w/f', HERE, b'o/f', 2",
    ),
    (
        "write",
        NO_RULE,
        "@/o/f @/o/new",
        "'renameat2', directory('o'), b'f', directory('o'), b'new', 1",
    ),
    ("write", NO_RULE, "@/o/f", "'unlink', b'o/f'"),
    (
        "write",
        NO_RULE,
        "@/o/f",
        "'unlinkat', directory('o'), b'f', 0",
    ),
    (
        "write",
        NO_RULE,
        "@/o/empty",
        "'unlinkat', HERE, b'o/empty', 0x200",
    ),
    ("write", NO_RULE, "@/o/empty", "'rmdir', b'o/empty'"),
    ("write", NO_RULE, "@/o/f", "'chmod', b'o/f', 0o600"),
    (
        "write",
        NO_RULE,
        "@/o/f",
        "'fchmodat', directory('o'), b'f', 0o600",
    ),
    (
        "write",
        NO_RULE,
        "@/o/link",
        "'fchmodat2', HERE, b'o/link', 0o600, 0x100",
    ),
    ("write", NO_RULE, "@/o/f", "'chown', b'o/link', 1, 1"),
    ("write", NO_RULE, "@/o/link", "'lchown', b'o/link', 1, 1"),
    (
        "write",
        NO_RULE,
        "@/o/f",
        "'fchownat', HERE, b'o/link', 1, 1, 0",
    ),
    (
        "write",
        NO_RULE,
        "@/o/link",
        "'fchownat', HERE, b'o/link', 1, 1, 0x100",
    ),
    (
        "write",
        NO_RULE,
        "@/o/f",
        "'utimensat', HERE, b'o/link', 0, 0",
    ),
    (
        "write",
        NO_RULE,
        "@/o/link",
        "'utimensat', directory('o'), b'link', 0, 0x100",
    ),
    ("write", NO_RULE, "@/o/f", "'futimesat', HERE, b'o/f', 0"),
    ("write", NO_RULE, "@/o/f", "'utime', b'o/f', 0"),
    ("write", NO_RULE, "@/o/f", "'utimes', b'o/f', 0"),
    (
        "write",
        NO_RULE,
        "@/o/f",
        "'setxattr', b'o/f', b'user.x', b'1', 1, 0",
    ),
    (
        "write",
        NO_RULE,
        "@/o/link",
        "'lsetxattr', b'o/link', b'user.x', b'1', 1, 0",
    ),
    (
        "write",
        NO_RULE,
        "@/o/f",
        "'removexattr', b'o/f', b'user.x'",
    ),
    (
        "write",
        NO_RULE,
        "@/o/link",
        "'lremovexattr', b'o/link', b'user.x'",
    ),
    (
        "write",
        NO_RULE,
        "@/o/f",
        "'removexattrat', HERE, b'o/f', 0, b'user.x'",
    ),
    (
        "write",
        DENIED,
        "@/w/deny/new",
        "'openat', HERE, b'w/deny/new', WRITE | CREATE",
    ),
    (
        "write",
        DENIED,
        "@/w/deny/f",
        "'unlinkat', directory('w/deny'), b'f', 0",
    ),
    ("write", HIDDEN, "@/h/s", "'openat', HERE, b'h/s', WRITE"),
    (
        "write",
        HIDDEN,
        "@/h/new",
        "'mkdirat', HERE, b'h/new', 0o700",
    ),
    ("read", HIDDEN, "@/h/s", "'openat', HERE, b'h/s', 0"),
    (
        "read",
        HIDDEN,
        "@/h/s",
        "'openat2', HERE, b'h/s', how(0), 24",
    ),
    (
        "write",
        SHELL,
        "@/w/.bashrc",
        "'openat', HERE, b'w/.bashrc', WRITE | CREATE",
    ),
    (
        "write",
        HOOKS,
        "@/w/.git/hooks/x",
        "'openat', directory('w/.git/hooks'), b'x', WRITE | CREATE",
    ),
    // By ways round: links, a changed directory, dots.
    (
        "write",
        NO_RULE,
        "@/o/f",
        "'openat', HERE, b'w/file', WRITE",
    ),
    (
        "write",
        NO_RULE,
        "@/o/absent",
        "'openat', HERE, b'w/dangling', WRITE | CREATE",
    ),
    (
        "write",
        NO_RULE,
        "@/o/new",
        "'mkdirat', HERE, b'w/directory/new', 0o700",
    ),
    ("write", NO_RULE, "@/o/f", "'truncate', b'w/chain', 0"),
    (
        "write",
        NO_RULE,
        "@/new",
        "'mkdirat', HERE, b'w/directory/../new', 0o700",
    ),
    (
        "write",
        NO_RULE,
        "@/o/f",
        "'openat', HERE, b'w/deny/../../o/./f', WRITE",
    ),
    (
        "write",
        NO_RULE,
        "@/o",
        "'fchmodat', HERE, b'o/empty/..', 0o700",
    ),
];

#[test]
fn every_refused_call_is_logged_with_what_it_was() {
    let python = real("python3");
    let known = |call: &str| {
        let name = call.split('\'').nth(1).unwrap();
        (
            name.to_owned(),
            cfg!(target_arch = "x86_64") || !OLD.contains(&name),
        )
    };
    for who in everyone() {
        let bench = Bench::new(who);
        let mut wrong = Vec::new();
        for (kind, rule, targets, call) in CALLS {
            let (action, is_known) = known(call);
            if !is_known {
                continue;
            }
            let script = format!("exec /usr/bin/python3 -B call.py \"call({call})\"");
            let (out, logged) = bench.run(POLICY, &script);
            let expected: Vec<_> = targets
                .split(' ')
                .map(|t| format!("{kind} {action} {} ({rule})", bench.full(t)))
                .collect();
            let refused =
                text(&out.stdout).starts_with(&action) && !text(&out.stdout).ends_with("done\n");
            let by = |l: &Line| {
                l["program"] == python
                    && l["outcome"] == "denied"
                    && l["count"] == "1"
                    && l["reason"] == l["rule"]
            };
            if !refused || short(&logged) != expected || !logged.iter().all(by) {
                wrong.push(format!(
                    "{call}: {}{} {logged:?}",
                    text(&out.stdout),
                    text(&out.stderr)
                ));
            }
        }
        assert!(wrong.is_empty(), "as {who:?}: {}", wrong.join("\n"));
    }
}

/// A line of shell, the program that is refused, and what is said of it: kind, action,
/// rule, targets.
type Ordinary = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str, &'static str, &'static str)],
);

const PROGRAMS: &[Ordinary] = &[
    (
        "touch o/new",
        "touch",
        &[("write", "openat", NO_RULE, "@/o/new")],
    ),
    (
        "touch o/f",
        "touch",
        &[
            ("write", "openat", NO_RULE, "@/o/f"),
            ("write", "utimensat", NO_RULE, "@/o/f"),
        ],
    ),
    (
        "touch -h o/link",
        "touch",
        &[("write", "utimensat", NO_RULE, "@/o/link")],
    ),
    (
        "rm -f o/f",
        "rm",
        &[("write", "unlinkat", NO_RULE, "@/o/f")],
    ),
    (
        "rm -r o/empty",
        "rm",
        &[("write", "unlinkat", NO_RULE, "@/o/empty")],
    ),
    // Between mounts mv copies, and cannot remove what it has copied.
    (
        "mv o/f w/moved",
        "mv",
        &[
            ("write", "renameat2", NO_RULE, "@/o/f"),
            ("write", "unlinkat", NO_RULE, "@/o/f"),
        ],
    ),
    (
        "cd o && mkdir new",
        "mkdir",
        &[("write", "mkdir", NO_RULE, "@/o/new")],
    ),
    (
        "ln -s x o/new",
        "ln",
        &[("write", "symlinkat", NO_RULE, "@/o/new")],
    ),
    (
        "ln w/f o/new",
        "ln",
        &[("write", "linkat", NO_RULE, "@/o/new")],
    ),
    (
        "chmod 600 o/f",
        "chmod",
        &[("write", "fchmodat", NO_RULE, "@/o/f")],
    ),
    (
        "echo x > o/new",
        "sh",
        &[("write", "openat", NO_RULE, "@/o/new")],
    ),
    (
        "echo x >> o/f",
        "sh",
        &[("write", "openat", NO_RULE, "@/o/f")],
    ),
    (
        "cd w && echo x > ../o/new",
        "sh",
        &[("write", "openat", NO_RULE, "@/o/new")],
    ),
    (
        "echo x > w/dangling",
        "sh",
        &[("write", "openat", NO_RULE, "@/o/absent")],
    ),
    (
        "echo x > w/.bashrc",
        "sh",
        &[("write", "openat", SHELL, "@/w/.bashrc")],
    ),
    (
        "echo x > w/deny/../deny/f",
        "sh",
        &[("write", "openat", DENIED, "@/w/deny/f")],
    ),
    (
        "cp w/f w/.git/hooks/x",
        "cp",
        &[("write", "openat", HOOKS, "@/w/.git/hooks/x")],
    ),
    (
        "/usr/bin/python3 -c 'open(\"o/f\", \"w\")'",
        "python3",
        &[("write", "openat", NO_RULE, "@/o/f")],
    ),
    (
        "/usr/bin/python3 -c 'open(\"h/s\")'",
        "python3",
        &[("read", "openat", HIDDEN, "@/h/s")],
    ),
    ("cat h/s", "cat", &[("read", "openat", HIDDEN, "@/h/s")]),
    // The proxy: an absolute form, a tunnel, SOCKS5, an address that a name leads to.
    (
        "curl -s http://denied.test/x",
        "curl",
        &[("network", "connect", NO_RULE, "denied.test:80")],
    ),
    (
        "curl -s https://denied.test/x",
        "curl",
        &[("network", "connect", NO_RULE, "denied.test:443")],
    ),
    (
        "curl -s --proxy '' --socks5-hostname 127.0.0.1:1080 http://denied.test:81/",
        "curl",
        &[("network", "connect", NO_RULE, "denied.test:81")],
    ),
    (
        "curl -s --noproxy '' --proxy http://127.0.0.1:3128 http://localhost:81/",
        "curl",
        &[(
            "network",
            "connect",
            "its name leads to a loopback address",
            "localhost:81",
        )],
    ),
    // Unix sockets: streams, packets, abstract names.
    (
        "/usr/bin/python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"s/other.sock\")'",
        "python3",
        &[("socket", "connect", NO_RULE, "@/s/other.sock")],
    ),
    (
        "/usr/bin/python3 -c 'import socket; socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect(\"s/other.sock\")'",
        "python3",
        &[("socket", "connect", NO_RULE, "@/s/other.sock")],
    ),
    (
        "/usr/bin/python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"\\0name\")'",
        "python3",
        &[("socket", "connect", NO_RULE, "&name")],
    ),
];

#[test]
fn ordinary_programs_are_logged_with_what_they_tried() {
    for who in everyone() {
        let bench = Bench::new(who);
        let mut wrong = Vec::new();
        for (script, program, expected) in PROGRAMS {
            let (out, logged) = bench.run(POLICY, script);
            let expected: Vec<_> = expected
                .iter()
                .map(|(kind, action, rule, target)| {
                    let target = bench.full(target).replace('&', "@");
                    format!("{kind} {action} {target} ({rule})")
                })
                .collect();
            let program = real(program);
            // Who has ended by then is not known by its file: see the test below.
            let named = |l: &Line| l["program"] == program || l["kind"] != "network";
            let by = |l: &Line| named(l) && l["pid"].parse::<u32>().is_ok_and(|pid| pid > 1);
            if short(&logged) != expected || !logged.iter().all(by) {
                wrong.push(format!("{script}: {}\n{logged:?}", text(&out.stderr)));
            }
            let _ = fs::remove_file(bench.scratch.path("w/moved"));
        }
        assert!(wrong.is_empty(), "as {who:?}: {}", wrong.join("\n"));
    }
}

#[test]
fn a_wrong_server_name_and_an_address_outside_are_logged_with_their_program() {
    let Some(lab) = Lab::new("refusals in the log") else {
        return;
    };
    let policy = r#"{"network": {"allowedDomains": ["allowed.test", "own.test"]}}"#;
    let curl = real("curl");
    for who in everyone() {
        let script = "curl -sk --max-time 20 --connect-to denied.test:443:allowed.test:443 https://denied.test/; \
                      curl -sk --max-time 20 http://own.test/; curl -s http://10.77.0.200/";
        let starter = match who {
            Who::Me => r#"exec "$0" --log log "$@""#,
            Who::Nobody => {
                r#"exec setpriv --reuid 65534 --regid 65534 --clear-groups "$0" --log log "$@""#
            }
        };
        let out = lab.shell_under(starter, policy, script);
        let logged = violations(&lab.scratch.path("log"));
        let targets: Vec<_> = logged
            .iter()
            .map(|l| (l["target"].as_str(), l["rule"].as_str()))
            .collect();
        let expected = [
            ("allowed.test:443", "network.requireServerName"),
            ("own.test:80", "its name leads to an address of this host"),
            ("10.77.0.200:80", NO_RULE),
        ];
        assert_eq!(targets, expected, "as {who:?}: {}", text(&out.stderr));
        assert!(logged.iter().all(|l| l["program"] == curl), "{logged:?}");
        assert!(logged[0]["reason"].contains("denied.test"), "{logged:?}");
        fs::remove_file(lab.scratch.path("log")).unwrap();
    }
}

// The observer looks for the program only after its call goes on, and many end right then:
// such a line has an empty program, or what the process called itself.
#[test]
fn a_program_that_ends_at_once_is_named_all_the_same() {
    let python = real("python3");
    let script = "
import os
for n in range(300):
    if os.fork() == 0:
        try: os.open('o/f', os.O_WRONLY)
        except OSError: os._exit(0)
    os.wait()
";
    for who in everyone() {
        let bench = Bench::new(who);
        bench.scratch.file("ends.py", script);
        let (_, logged) = bench.run(POLICY, "/usr/bin/python3 -B ends.py");
        let counts: Vec<_> = logged
            .iter()
            .map(|l| (&l["program"], &l["count"]))
            .collect();
        assert!(
            logged.iter().all(|l| l["program"] == python),
            "as {who:?}: {counts:?}"
        );
    }
}

/// What is allowed, or would fail without a sandbox too, or is the sandbox's own.
const SILENT: &str = r#"
cd w; set -e
touch new; rm new; mkdir d; rmdir d; echo x > new; mv new other; ln other new; ln -s other link; chmod 600 link
touch -h link; rm new other link; cd ..
/usr/bin/python3 -B call.py '
def fails(name, *rest): call(name, *rest)
call("openat", HERE, b"w/made", WRITE | CREATE | TRUNCATE, 0o600); call("truncate", b"w/made", 0)
call("openat2", HERE, b"w/made", how(BOTH), 24); call("mkdirat", HERE, b"w/dir", 0o700)
call("renameat2", HERE, b"w/made", HERE, b"w/dir", 2); call("unlinkat", HERE, b"w/dir", 0)
call("unlinkat", HERE, b"w/made", 0x200); call("symlinkat", b"x", HERE, b"w/sym"); call("unlinkat", HERE, b"w/sym", 0)
call("utimensat", HERE, b"w/f", 0, 0); call("utimensat", os.open("o/f", 0), 0, 0, 0); call("fchmodat", HERE, b"w/f", 0o777)
call("setxattr", b"w/f", b"user.x", b"1", 1, 0); call("removexattr", b"w/f", b"user.x"); call("mknodat", HERE, b"w/p", 0o10600, 0)
call("unlinkat", HERE, b"w/p", 0); call("linkat", HERE, b"w/f", HERE, b"w/hard", 0); call("unlinkat", HERE, b"w/hard", 0)
# These fail wherever they are made: there is something, or nothing, or no way.
call("mkdirat", HERE, b"o/empty", 0o700); call("mkdirat", HERE, b"/", 0o700); call("unlinkat", HERE, b"o/absent", 0)
call("unlinkat", HERE, b"o/absent/x", 0x200); call("openat", HERE, b"o/absent", WRITE); call("openat", HERE, b"o/absent", TRUNCATE)
call("openat", HERE, b"o/f", WRITE | CREATE | EXCLUSIVE); call("openat", HERE, b"o/nowhere", BOTH | CREATE | EXCLUSIVE)
call("symlinkat", b"x", HERE, b"o/f"); call("mknodat", HERE, b"o/f", 0o10600, 0); call("truncate", b"o/absent", 0)
call("fchmodat", HERE, b"o/absent", 0o600); call("fchownat", HERE, b"o/absent", 0, 0, 0); call("utimensat", HERE, b"o/absent", 0, 0)
call("removexattr", b"o/absent", b"user.x"); call("linkat", HERE, b"o/absent", HERE, b"w/x", 0)
call("renameat2", HERE, b"o/absent", HERE, b"w/x", 0); call("openat", HERE, b"o/f/x", WRITE | CREATE); call("openat", HERE, b"o/absent/x", WRITE | CREATE)
call("mkdirat", 99, b"x", 0o700); call("mkdirat", HERE, b"", 0o700); call("mkdirat", HERE, 0, 0o700); call("mkdirat", HERE, 1, 0o700)
# Neither read nor written.
call("openat", HERE, b"o/f", PATH_ONLY | WRITE); call("openat", HERE, b"h", PATH_ONLY)
# Read, and allowed.
call("openat", HERE, b"o/f", 0); call("openat2", HERE, b"o/f", how(0), 24); os.listdir("o"); os.listdir("/etc"); os.stat("o/f")
'
cd w
echo x > /dev/null; echo x > /dev/stdout; echo x >> /dev/stderr; echo x > /proc/self/comm; echo x > /proc/self/oom_score_adj || :
echo x > $TMPDIR/new; mkdir $TMPDIR/d; echo x > /dev/shm/new; rm /dev/shm/new; (: > /dev/tty) 2> /dev/null || :; (: > /proc/self/absent) 2> /dev/null || :
(: > /dev/new) 2> /dev/null || :; cat /proc/self/status /proc/self/cmdline /proc/$$/maps > /dev/null
echo done
"#;

#[test]
fn what_is_allowed_or_would_fail_anyway_is_not_logged() {
    for who in everyone() {
        let bench = Bench::new(who);
        let before = support::snapshot(&bench.scratch.path("o"));
        let (out, logged) = bench.run(POLICY, SILENT);
        assert!(
            text(&out.stdout).ends_with("done\n"),
            "{}{}",
            text(&out.stdout),
            text(&out.stderr)
        );
        assert!(logged.is_empty(), "as {who:?}: {:#?}", short(&logged));
        support::assert_unchanged(&bench.scratch.path("o"), &before, "silent");
        let (first, last) = (
            lines(&bench.log())[0].clone(),
            lines(&bench.log()).pop().unwrap(),
        );
        assert_eq!(
            (
                first["event"].as_str(),
                last["event"].as_str(),
                last["violations"].as_str()
            ),
            ("run", "end", "0")
        );
    }
}

// The observer looks these up as its own: its working directory, its descriptors.
#[test]
fn what_proc_self_leads_to_is_the_callers() {
    for who in everyone() {
        let bench = Bench::new(who);
        let allowed = "cd w; echo x > /proc/self/cwd/new; echo x > /proc/thread-self/cwd/new; exec 3> three; echo x > /dev/fd/3; \
                       echo x > /proc/self/fd/3; echo x > /proc/$$/fd/3";
        let (out, logged) = bench.run(POLICY, allowed);
        assert_status(&out, 0);
        assert!(logged.is_empty(), "as {who:?}: {:#?}", short(&logged));
        let refused = "cd o; (echo x > /proc/self/cwd/new); (exec 3< f; echo x > /proc/self/fd/3); (echo x > /proc/self/root$PWD/other)";
        let (_, logged) = bench.run(POLICY, refused);
        let targets: Vec<_> = logged.iter().map(|l| l["target"].clone()).collect();
        assert_eq!(
            targets,
            ["@/o/new", "@/o/f", "@/o/other"].map(|t| bench.full(t)),
            "as {who:?}"
        );
    }
}

#[test]
fn reads_are_logged_only_where_the_settings_say_so() {
    let script = "cat h/s; echo x > o/f; ls h; cat o/f > /dev/null";
    for who in everyone() {
        let bench = Bench::new(who);
        let with = |observe: &str| {
            let policy = POLICY.replace(r#", "observe": ["write", "read"]"#, observe);
            let (_, logged) = bench.run(&policy, script);
            logged
                .iter()
                .map(|l| l["kind"].clone() + " " + &l["target"])
                .collect::<Vec<_>>()
        };
        let write = vec![format!("write {}", bench.full("@/o/f"))];
        assert_eq!(with(""), write);
        assert_eq!(with(r#", "observe": ["write"]"#), write);
        assert_eq!(with(r#", "observe": []"#), Vec::<String>::new());
    }
}

// Opens are then all heard of, and those for writing are judged and told with the rest;
// a removal or a new directory is not.
#[test]
fn writes_are_not_logged_where_only_reads_are_observed() {
    for who in everyone() {
        let bench = Bench::new(who);
        let policy = POLICY.replace(r#"["write", "read"]"#, r#"["read"]"#);
        let (_, logged) = bench.run(&policy, "cat h/s; echo x > o/f; rm -f o/f; ls h");
        let expected = ["@/h/s", "@/h"].map(|t| bench.full(&format!("read openat {t} ({HIDDEN})")));
        assert_eq!(short(&logged), expected, "as {who:?}");
    }
}

#[test]
fn what_is_to_be_ignored_is_ignored_for_that_command_alone() {
    let bench = Bench::new(Who::Me);
    let script = "echo x > o/noise; echo x > o/f; curl -s http://denied.test/";
    let (noise, file, host) = ("write @/o/noise", "write @/o/f", "network denied.test:80");
    let cases: [(&str, &[&str]); 8] = [
        (r#"{"*": ["/o/noise"]}"#, &[file, host]),
        (r#"{"*": ["network denied.test"]}"#, &[noise, file]),
        (r#"{"*": ["write "]}"#, &[host]),
        (r#"{"echo x > o/noise": ["/o/"]}"#, &[host]),
        (
            r#"{"sh -c echo": ["/o/noise"], "curl": ["denied"]}"#,
            &[file],
        ),
        (r#"{"wget": ["/o/", "denied"]}"#, &[noise, file, host]),
        (r#"{"*": []}"#, &[noise, file, host]),
        (r#"{"*": ["/O/", "x > o/f"]}"#, &[noise, file, host]),
    ];
    for (ignored, expected) in cases {
        let policy = POLICY.replace(
            r#""observe""#,
            &format!(r#""ignoreViolations": {ignored}, "observe""#),
        );
        let (_, logged) = bench.run(&policy, script);
        let logged: Vec<_> = logged
            .iter()
            .map(|l| l["kind"].clone() + " " + &l["target"])
            .collect();
        let expected: Vec<_> = expected.iter().map(|e| bench.full(e)).collect();
        assert_eq!(logged, expected, "{ignored}");
        let end = lines(&bench.log()).pop().unwrap();
        assert_eq!(end["violations"], expected.len().to_string(), "{ignored}");
    }
}

/// Checks a log by another reader of JSON, and prints each violation's target and program.
const READ_LOG: &str = r#"
import json, sys
for line in open(sys.argv[1], "rb").read().split(b"\n")[:-1]:
    assert len(line) < 4096 and all(32 <= b < 127 for b in line), line
    entry = json.loads(line)
    assert entry["event"] in ("run", "violation", "end"), line
    if entry["event"] == "violation":
        assert list(entry) == "event time run kind outcome action target rule reason pid program count".split(), line
        print(ascii(entry["target"]), ascii(entry["program"]))
"#;

const FORGE: &str = r#"
import os, shutil, socket, subprocess, sys
names = [b'new\nline', b'{"event":"end"}\n{"event":"violation","kind":"write"', b'quo"te\'\\', b'\x1b[2J\x1b]0;title\x07',
    b'\r\x08\x7f\x00'.replace(b'\0', b'\t'), "\u202e\u2066\u200f\u061cevil".encode(), b'\xff\xfe\x80invalid', b'\xed\xa0\x80',
    "\u0085\u009b31m\u2028\u2029".encode(), b'\\u0041\\n', b'n' * 255, "\U0001f600".encode() * 63]
deep = b"o/" + b"/".join([b"\x1b" * 255] * 14)
for name in names:
    for act in (lambda p: os.open(p, os.O_WRONLY | os.O_CREAT), os.mkdir, lambda p: os.symlink(b"x", p)):
        try: act(b"o/" + name)
        except OSError: pass
try: os.open(deep + b"/" + b"m" * 255, os.O_WRONLY | os.O_CREAT)
except OSError: pass
for name in names[:-2]:
    try: socket.socket(socket.AF_UNIX).connect(b"\0" + name)
    except OSError: pass
program = b"w/pro\x1b[31m\n\xff\xe2\x80\xaegram"
shutil.copy("/usr/bin/python3", program)
os.execv(program, [program, "-B", "-c", "import os\ntry: os.open('o/by another', os.O_WRONLY | os.O_CREAT)\nexcept OSError: os.open('/dev/null', os.O_WRONLY)"])
"#;

#[test]
fn pitfall_57_nothing_forges_a_line_a_field_or_a_terminals_escape() {
    for who in everyone() {
        let bench = Bench::new(who);
        bench.scratch.file("forge.py", FORGE);
        bench.scratch.file("read.py", READ_LOG);
        let mut deep = bench.scratch.path("o");
        let make = "import os\nos.chdir('o')\nfor n in range(14): os.mkdir(b'\\x1b' * 255); os.chdir(b'\\x1b' * 255)";
        let mut command = Command::new("python3");
        command
            .args(["-c", make])
            .current_dir(bench.scratch.path(""));
        assert_status(&finish(command), 0);
        deep.push("x");
        let script = "/usr/bin/python3 -B forge.py; curl -s \"http://ev%0ail.test/\"; curl -s http://\"$(printf '\\342\\200\\256')\".test/";
        let _ = fs::remove_file(bench.log());
        let mut command = bench.srt(POLICY);
        command.args(["-d", "-c", script]);
        let out = finish(command);
        let stderr = text(&out.stderr);
        let printed = stderr
            .as_bytes()
            .iter()
            .all(|b| (32..127).contains(b) || *b == b'\n');
        assert!(
            printed && stderr.contains("denied write"),
            "as {who:?}: {:?}",
            &out.stderr.escape_ascii().to_string()
        );
        let logged = violations(&bench.log());
        let mut reader = Command::new("python3");
        reader
            .arg("read.py")
            .arg(bench.log())
            .current_dir(bench.scratch.path(""));
        let read = finish(reader);
        assert_status(&read, 0);
        let read = text(&read.stdout);
        assert_eq!(read.lines().count(), logged.len());
        // Each name is told, by each call; what is too long is cut.
        for name in [
            r"o/new\nline'",
            r#"{"event":"end"}\n{"event":"violation","kind":"write"'"#,
            r"\x1b[2J\x1b]0;title\x07'",
            r"\u202e\u2066\u200f\u061cevil'",
            r"\ufffd\ufffd\ufffdinvalid'",
            r"o/\x85\x9b31m\u2028\u2029'",
            r"/\\u0041\\n'",
        ] {
            let lines = read.lines().filter(|l| l.contains(name)).count();
            assert!(lines >= 3, "as {who:?}: {name}: {read}");
        }
        let long = "n".repeat(255);
        assert_eq!(
            logged
                .iter()
                .filter(|l| l["target"] == bench.full(&format!("@/o/{long}")))
                .count(),
            3
        );
        let cut: Vec<_> = logged
            .iter()
            .filter(|l| l["target"].ends_with("..."))
            .collect();
        assert!(
            cut.len() == 1 && cut[0]["target"].contains('\u{1b}'),
            "{cut:?}"
        );
        let other = logged
            .iter()
            .find(|l| l["target"].ends_with("/o/by another"))
            .unwrap();
        assert!(
            other["program"].ends_with("/w/pro\u{1b}[31m\n\u{fffd}\u{202e}gram"),
            "{other:?}"
        );
    }
}

/// The observer that this srt has started.
fn observer(parent: u32) -> Option<u32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let mut all = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    all.find(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<_> = line.split(|&b| b == 0).collect();
        let own = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        words.get(1..3) == Some(&[&b"--stage"[..], b"observe"])
            && own
                .lines()
                .any(|line| line.split_whitespace().eq(["PPid:", &parent.to_string()]))
    })
}

fn signal(name: &str, pid: u32) {
    let mut kill = Command::new("kill");
    kill.args(["-s", name, &pid.to_string()]);
    assert_status(&finish(kill), 0);
}

/// Waits until it is so; a process's state is nothing that one could be told of.
fn until(what: &str, condition: impl Fn() -> bool) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !condition() {
        assert!(std::time::Instant::now() < end, "{what}");
        std::thread::yield_now();
    }
}

fn state(pid: u32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .unwrap()
        .trim_start()
        .chars()
        .take(1)
        .collect()
}

fn stop(pid: u32) {
    signal("STOP", pid);
    until("stopped", || state(pid) == "T");
}

/// Writes in a loop until `w/stop` is there, and then two hundred times more.
const LOOP: &str = "echo begun; while [ ! -e w/stop ]; do echo x > w/f || exit 9; done; n=0; \
    while [ $n -lt 200 ]; do echo x >> w/count || exit 9; n=$((n+1)); done; exit 7";

impl Bench {
    /// Starts a line of shell that says `begun`; gives srt and its observer.
    fn begin(&self, script: &str, marker: &str) -> (Child, u32) {
        self.begin_under(POLICY, script, marker)
    }

    fn begin_under(&self, policy: &str, script: &str, marker: &str) -> (Child, u32) {
        let policy = policy.replacen('{', r#"{"limits": {"wallSeconds": 20}, "#, 1);
        let mut command = self.srt(&policy);
        command.args(["sh", "-c", script, marker]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        assert_eq!(said(&mut child), "begun\n");
        let watching = observer(child.id()).expect("an observer");
        (child, watching)
    }

    fn let_end(&self) {
        fs::write(self.scratch.path("w/stop"), "").unwrap();
    }

    /// What the command wrote after its loop, taken away.
    fn count(&self) -> usize {
        let content = fs::read_to_string(self.scratch.path("w/count")).unwrap_or_default();
        for name in ["w/count", "w/stop"] {
            let _ = fs::remove_file(self.scratch.path(name));
        }
        content.lines().count()
    }
}

#[test]
fn pitfall_22_the_command_outlives_the_observer() {
    for who in everyone() {
        let bench = Bench::new(who);
        let script = format!(
            "echo begun; read line; {}",
            LOOP.strip_prefix("echo begun; ").unwrap()
        );
        let (mut child, watching) = bench.begin(&script, "mark-22-killed");
        let parent = child.id();
        signal("KILL", watching);
        drop(child.stdin.take());
        until("a first write", || {
            fs::metadata(bench.scratch.path("w/f")).is_ok_and(|m| m.len() == 2)
        });
        bench.let_end();
        let out = finish_child(child);
        assert_status(&out, 7);
        let stderr = text(&out.stderr);
        assert_eq!(
            stderr.matches("the observer is gone").count(),
            1,
            "{stderr}"
        );
        assert_eq!(bench.count(), 200);
        assert!(!support::is_alive("mark-22-killed") && observer(parent).is_none());
        assert_eq!(lines(&bench.log()).pop().unwrap()["event"], "end");
    }
}

// What is between its being received and its being answered when the observer dies is
// answered by nobody: the kernel gives it to no other listener.
#[test]
fn pitfall_22_whenever_the_observer_dies_no_call_waits_for_ever() {
    for who in everyone() {
        let bench = Bench::new(who);
        let writes = "while [ ! -e w/stop ]; do : > w/$0-$n; done";
        let script = format!(
            "for n in 1 2 3 4; do ({writes}) & done; {}",
            LOOP.replace("exit 7", "wait; exit 7")
        );
        // Where sockets are listed, the one call of which nobody knows what it was is refused.
        let policy = POLICY.replace("allowUnixSockets", "deniedDomains");
        let policy = policy.replace("@/s/listed.sock", "x.test");
        let mut stuck = Vec::new();
        for round in 0..15 {
            let (child, watching) = bench.begin_under(&policy, &script, "mark-22-round");
            signal("KILL", watching);
            bench.let_end();
            let out = finish_child(child);
            let count = bench.count();
            if out.status.code() != Some(7) || count != 200 {
                stuck.push((round, out.status.code(), count, text(&out.stderr)));
                break;
            }
            assert!(!support::is_alive("mark-22-round"));
        }
        assert!(stuck.is_empty(), "as {who:?}: {stuck:?}");
    }
}

#[test]
fn pitfall_22_a_stopped_observer_delays_and_ends_nothing() {
    for who in everyone() {
        let bench = Bench::new(who);
        let (child, watching) = bench.begin(LOOP, "mark-22-stopped");
        stop(watching);
        bench.let_end();
        signal("CONT", watching);
        let out = finish_child(child);
        assert_status(&out, 7);
        assert!(
            !text(&out.stderr).contains("observer"),
            "{}",
            text(&out.stderr)
        );
        assert_eq!(bench.count(), 200);
        // One that stays stopped does not keep srt for ever.
        let (mut child, watching) = bench.begin("echo begun; read line; exit 3", "mark-22-stays");
        stop(watching);
        drop(child.stdin.take());
        let parent = child.id();
        assert_status(&finish_child(child), 3);
        assert!(observer(parent).is_none() && !support::is_alive("mark-22-stays"));
    }
}

const CONNECTS: &str = r#"
import errno, os, socket, sys
def attempt(kind, *to):
    s = socket.socket(*kind)
    try: s.connect(*to)
    except OSError as e: return errno.errorcode[e.errno]
    return "done"
STREAM, PACKETS, TCP = (socket.AF_UNIX, socket.SOCK_STREAM), (socket.AF_UNIX, socket.SOCK_SEQPACKET), (socket.AF_INET, socket.SOCK_STREAM)
def all(): print(attempt(STREAM, "s/listed.sock"), attempt(STREAM, "s/other.sock"), attempt(PACKETS, "s/listed.sock"),
    attempt(PACKETS, "s/other.sock"), attempt(STREAM, "\0x"), attempt(TCP, ("127.0.0.1", 3128)), flush=True)
print("begun", flush=True)
sys.stdin.readline()
all()
while not os.path.exists("w/stop"): pass
all(); all()
sys.exit(5)
"#;

#[test]
fn pitfall_22_nothing_is_connected_once_the_observer_is_gone() {
    for who in everyone() {
        let bench = Bench::new(who);
        bench.scratch.file("connects.py", CONNECTS);
        let script = "exec /usr/bin/python3 -B connects.py";
        let (mut child, watching) = bench.begin(script, "mark-22-sockets");
        drop(child.stdin.take());
        assert_eq!(
            said(&mut child),
            "done EACCES EPROTOTYPE EACCES EACCES done\n"
        );
        signal("KILL", watching);
        bench.let_end();
        let out = finish_child(child);
        assert_status(&out, 5);
        let never = "EACCES EACCES EACCES EACCES EACCES EACCES\n";
        assert_eq!(text(&out.stdout), never.repeat(2), "as {who:?}");
        let accepted = |l: &UnixListener| {
            l.set_nonblocking(true).unwrap();
            std::iter::from_fn(|| l.accept().ok()).count()
        };
        let accepted: Vec<_> = bench.sockets.iter().map(accepted).collect();
        assert_eq!(accepted, [1, 0], "as {who:?}");
    }
}

/// A line of shell that is refused thrice on one file, and once on another.
const REFUSED: &str = "for n in 1 2 3; do echo x 2> /dev/null > o/f; done; echo x 2> /dev/null > o/new; \
    : > /dev/null; echo ran";

/// Whether these are the lines of a whole run of [`REFUSED`].
#[track_caller]
fn assert_whole(bench: &Bench, lines: &[Line]) {
    let told: Vec<_> = lines
        .iter()
        .map(|line| match line["event"].as_str() {
            "violation" => format!("{} {}", line["target"], line["count"]),
            other => other.to_owned(),
        })
        .collect();
    let expected = ["run", "@/o/f 1", "@/o/new 1", "@/o/f 3", "end"];
    assert_eq!(told, expected.map(|line| bench.full(line)));
    assert!(
        lines.iter().all(|line| line["run"] == lines[0]["run"]),
        "{lines:?}"
    );
}

/// Writes what `bytes` hold to a file, and reads it as a log.
fn as_log(bench: &Bench, bytes: &[u8]) -> Vec<Line> {
    let path = bench.scratch.path("copy");
    fs::write(&path, bytes).unwrap();
    lines(&path)
}

#[test]
fn the_log_goes_to_a_file_to_stderr_or_to_a_descriptor() {
    for who in everyone() {
        let bench = Bench::new(who);
        bench.run(POLICY, REFUSED);
        assert_whole(&bench, &lines(&bench.log()));
        assert_eq!(
            fs::metadata(bench.log()).unwrap().permissions().mode() & 0o777,
            0o600
        );
        // What is there stays there.
        let mut again = bench.srt(POLICY);
        again.args(["-c", REFUSED]);
        assert_status(&finish(again), 0);
        let all = lines(&bench.log());
        assert_whole(&bench, &all[..5]);
        assert_whole(&bench, &all[5..]);
        assert_ne!(all[0]["run"], all[5]["run"]);
        let with = |script: &str| {
            let mut command = match who {
                Who::Me => Command::new("sh"),
                Who::Nobody => support::command_as(who, "sh"),
            };
            command.args(["-c", script]).arg(support::program());
            command.arg(bench.scratch.policy(POLICY)).arg(REFUSED);
            command
                .current_dir(bench.scratch.path(""))
                .env("HOME", bench.scratch.path(""));
            let out = finish(command);
            assert_eq!(text(&out.stdout), "ran\n", "{}", text(&out.stderr));
            out.stderr
        };
        let said = with(r#"exec "$0" -s "$1" --log - -c "$2""#);
        assert_whole(&bench, &as_log(&bench, &said));
        let said = with(r#"exec "$0" -s "$1" --log-fd 9 -c "$2" 9> by-number"#);
        assert!(said.is_empty(), "{}", text(&said));
        assert_whole(&bench, &lines(&bench.scratch.path("by-number")));
    }
}

#[test]
fn the_first_line_says_what_the_run_rests_on() {
    for who in everyone() {
        let bench = Bench::new(who);
        bench.run(POLICY, "true");
        let content = fs::read_to_string(bench.log()).unwrap();
        let first = content.lines().next().unwrap();
        let sum = support::outside(
            Who::Me,
            &bench.scratch.path(""),
            "sha256sum policy.json | cut -d' ' -f1",
        );
        for part in [
            format!(r#""policy":"sha256:{}""#, text(&sum.stdout).trim_end()),
            format!(r#""version":"{}""#, env!("CARGO_PKG_VERSION")),
            r#""guarantees":{"fs.write":["mount namespace","#.to_owned(),
            r#""fs.read":["mount namespace","seccomp"]"#.to_owned(),
            r#""unix":["#.to_owned(),
        ] {
            assert!(
                first.starts_with(r#"{"event":"run","time":""#) && first.contains(&part),
                "{part}: {first}"
            );
        }
        assert_eq!(content.lines().count(), 2);
        // What is given up gives nothing; without settings there is no file to name.
        bench.run(r#"{"network": {"allowAllUnixSockets": true}}"#, "true");
        let content = fs::read_to_string(bench.log()).unwrap();
        assert!(content.contains(r#""unix":[]"#), "{content}");
        fs::remove_file(bench.log()).unwrap();
        let mut command = srt(who, &bench.scratch.path(""));
        command.args(["--log", "log", "true"]);
        assert_status(&finish(command), 0);
        let content = fs::read_to_string(bench.log()).unwrap();
        assert!(content.contains(r#""policy":"built-in""#), "{content}");
    }
}

/// More refusals than a pipe has room for, each by a target of its own.
const MANY: &str = "n=0; while [ $n -lt 400 ]; do echo x 2> /dev/null > o/new$n; n=$((n+1)); done; \
    echo ran; exit 4";

#[test]
fn a_log_that_nobody_reads_loses_lines_and_nothing_else() {
    for who in everyone() {
        let bench = Bench::new(who);
        let policy = bench.scratch.policy(POLICY);
        let make = || {
            let mut fifo = Command::new("mkfifo");
            fifo.args(["-m", "666"]).arg(bench.log());
            let _ = fs::remove_file(bench.log());
            assert_status(&finish(fifo), 0);
        };
        // Without a reader there is no log, and so no run.
        make();
        let mut command = bench.srt(POLICY);
        command.args(["-c", "echo ran"]);
        let out = finish(command);
        assert_status(&out, 125);
        assert!(
            out.stdout.is_empty() && text(&out.stderr).contains("--log"),
            "{}",
            text(&out.stderr)
        );
        // A reader that reads nothing: the pipe fills.
        let options = |write: bool| {
            let mut options = File::options();
            options.read(true).write(write);
            options
        };
        let reader = options(true).open(bench.log()).unwrap();
        let mut command = srt(who, &bench.scratch.path(""));
        command
            .args(["--log", "log", "-s"])
            .arg(&policy)
            .args(["-c", MANY]);
        let out = finish(command);
        assert_status(&out, 4);
        assert_eq!(text(&out.stdout), "ran\n");
        assert!(
            text(&out.stderr).contains("lines of the log were lost"),
            "{}",
            text(&out.stderr)
        );
        drop(reader);
        // A descriptor whose reader is gone, and one that is full from the start.
        let script = r#"
import os, sys
gone, full = os.pipe(), os.pipe()
os.close(gone[0])
os.set_blocking(full[1], False)
try:
    while True: os.write(full[1], b"x" * 4096)
except BlockingIOError: os.set_blocking(full[1], True)
for fd in gone[1], full[1]:
    child = os.posix_spawn(sys.argv[1], [*sys.argv[1:2], "--log-fd", "7", *sys.argv[2:]], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, fd, 7)])
    print("status", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;
        let mut command = support::command_as(who, "/usr/bin/python3");
        command
            .args(["-u", "-c", script])
            .arg(support::program())
            .arg("-s")
            .arg(&policy)
            .args(["-c", MANY]);
        command
            .current_dir(bench.scratch.path(""))
            .env("HOME", bench.scratch.path(""));
        let out = finish(command);
        assert_eq!(
            text(&out.stdout),
            "ran\nstatus 4\n".repeat(2),
            "{}",
            text(&out.stderr)
        );
        assert_eq!(
            text(&out.stderr).matches("of the log were lost").count(),
            2,
            "{}",
            text(&out.stderr)
        );
    }
}

#[test]
fn the_command_neither_changes_nor_holds_the_log() {
    let attacks = "echo x >> w/log; true > w/log; rm -f w/log; mv w/log w/other; mv w w2; ln -f w/f w/log; chmod 777 w/log; \
         truncate -s 0 w/log; mkdir w/new; mv w/new w/log; ls -l /proc/self/fd /proc/$$/fd; ls /proc/self/fd | wc -l; cat w/log";
    for who in everyone() {
        let bench = Bench::new(who);
        for there in [false, true] {
            let log = bench.scratch.path("w/log");
            let _ = fs::remove_file(&log);
            if there {
                bench.scratch.file("w/log", "{\"event\":\"before\"}\n");
            }
            let mut command = srt(who, &bench.scratch.path(""));
            command
                .args(["--log", "w/log", "-s"])
                .arg(bench.scratch.policy(POLICY))
                .args(["-c", attacks]);
            let out = finish(command);
            let said = text(&out.stdout);
            let held: Vec<_> = said
                .lines()
                .filter(|l| l.contains("->") && l.contains("/log"))
                .collect();
            assert!(held.is_empty(), "{held:?}");
            // ls's own directory is the fourth.
            assert!(
                said.lines().any(|l| l.trim() == "4"),
                "as {who:?}: {said} {}",
                text(&out.stderr)
            );
            let all = lines(&log);
            let first = usize::from(there);
            assert_eq!(
                (
                    all[first]["event"].as_str(),
                    all[all.len() - 1]["event"].as_str()
                ),
                ("run", "end")
            );
            assert!(!there || all[0]["event"] == "before", "{all:?}");
            let target = bench.full("@/w/log");
            let told = all
                .iter()
                .filter(|l| l.get("target") == Some(&target))
                .count();
            assert!(told >= 5, "as {who:?}: {all:#?}");
        }
    }
}

#[test]
fn a_log_that_cannot_be_opened_is_an_error_before_anything_runs() {
    for who in everyone() {
        let bench = Bench::new(who);
        for to in [
            &["--log", "o"][..],
            &["--log", "absent/log"],
            &["--log", "/"],
            &["--log", "o/f/x"],
            &["--log-fd", "77"],
        ] {
            let mut command = srt(who, &bench.scratch.path(""));
            command
                .args(to)
                .arg("-s")
                .arg(bench.scratch.policy(POLICY))
                .args(["-c", "echo ran; touch w/ran"]);
            let out = finish(command);
            assert_status(&out, 125);
            assert!(
                out.stdout.is_empty() && text(&out.stderr).contains(to[0]),
                "{}",
                text(&out.stderr)
            );
        }
        assert!(!bench.scratch.path("w/ran").exists());
    }
}

/// Runs srt on a terminal, and prints what it said there.
const ON_A_TERMINAL: &str = r#"
import os, pty, sys
child, fd = pty.fork()
if child == 0: os.execvp(sys.argv[1], sys.argv[1:])
said = b""
while True:
    try: part = os.read(fd, 65536)
    except OSError: break
    if not part: break
    said += part
sys.stdout.write(said.decode().replace("\r", ""))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

#[test]
fn one_line_on_a_terminal_none_on_a_pipe_and_all_with_debug() {
    let script = "for n in 1 2 3 4 5; do for m in 1 2; do echo x 2> /dev/null > o/new$n; done; done; : > /dev/null; exit 6";
    for who in everyone() {
        let bench = Bench::new(who);
        let policy = bench.scratch.policy(POLICY);
        let on_terminal = |options: &[&str], script: &str| {
            let mut command = support::command_as(who, "/usr/bin/python3");
            command
                .args(["-c", ON_A_TERMINAL])
                .arg(support::program())
                .args(options)
                .arg("-s")
                .arg(&policy)
                .args(["-c", script]);
            command
                .current_dir(bench.scratch.path(""))
                .env("HOME", bench.scratch.path(""));
            let out = finish(command);
            (text(&out.stdout), out.status.code())
        };
        let line = "srt: denied: write @/o/new1, write @/o/new2, write @/o/new3 and 2 more (--suggest says what would allow it)\n";
        assert_eq!(on_terminal(&[], script), (bench.full(line), Some(6)));
        assert_eq!(on_terminal(&[], "exit 6"), (String::new(), Some(6)));
        let with = |options: &[&str]| {
            let mut command = srt(who, &bench.scratch.path(""));
            command
                .args(options)
                .arg("-s")
                .arg(&policy)
                .args(["-c", script]);
            let out = finish(command);
            assert_status(&out, 6);
            text(&out.stderr)
        };
        assert_eq!(with(&[]), "");
        let all = with(&["-d"]);
        for n in 1..=5 {
            let start = bench.full(&format!("srt: denied write @/o/new{n} by "));
            let told: Vec<_> = all.lines().filter(|l| l.starts_with(&start)).collect();
            let counted = told
                .iter()
                .filter(|l| l.contains(&format!("): {NO_RULE}")))
                .count();
            assert!(
                counted == told.len() && !told.is_empty(),
                "as {who:?}: {all}"
            );
        }
        assert!(!all.contains("--suggest"), "{all}");
        let (all, _) = on_terminal(&["-d"], script);
        assert!(
            all.contains("denied write") && !all.contains("--suggest"),
            "{all}"
        );
    }
}

// Opening what is there with O_CREAT, for reading, changes nothing, and goes through: so
// does flock(1).
#[test]
fn an_open_that_could_create_and_has_not_to_is_no_violation() {
    let script = "/usr/bin/python3 -B call.py \"call('openat', HERE, b'o/f', CREATE)\"; flock o/f echo locked";
    for who in everyone() {
        let bench = Bench::new(who);
        let (out, logged) = bench.run(POLICY, script);
        assert_eq!(
            text(&out.stdout),
            "openat done\nlocked\n",
            "{}",
            text(&out.stderr)
        );
        assert!(logged.is_empty(), "as {who:?}: {:#?}", short(&logged));
    }
}

// What lies in a hidden directory is not there for the command; the observer sees it, and
// follows a link out of it.
#[test]
fn a_link_in_a_hidden_place_is_hidden() {
    for who in everyone() {
        let bench = Bench::new(who);
        for (link, to) in [("h/file", "../o/f"), ("h/directory", "../w")] {
            std::os::unix::fs::symlink(to, bench.scratch.path(link)).unwrap();
        }
        let script = "cat h/file; echo x > h/directory/new; cat h/s";
        let (_, logged) = bench.run(POLICY, script);
        let targets: Vec<_> = logged.iter().map(|l| l["target"].clone()).collect();
        let expected = ["@/h/file", "@/h/directory/new", "@/h/s"].map(|t| bench.full(t));
        assert_eq!(targets, expected, "as {who:?}");
    }
}

// What is remembered of a directory is forgotten when a link may have come into its place.
#[test]
fn a_directory_that_becomes_a_link_is_looked_at_again() {
    let script = "mkdir w/d && : > w/d/one && mv w/d w/e && ln -s ../o w/d; echo x > w/d/two; \
                  mkdir w/g && : > w/g/one && rm -r w/g && ln -s ../o w/g; echo x > w/g/three; : > /dev/null";
    for who in everyone() {
        let bench = Bench::new(who);
        let (out, logged) = bench.run(POLICY, script);
        let targets: Vec<_> = logged.iter().map(|l| l["target"].clone()).collect();
        let expected = ["@/o/two", "@/o/three"].map(|t| bench.full(t));
        assert_eq!(targets, expected, "{}", text(&out.stderr));
    }
}

// The kind of what is there makes these fail anywhere.
#[test]
fn what_fails_by_the_kind_of_the_file_is_no_violation() {
    let script = "call('openat', HERE, b'o/empty', WRITE); call('openat', HERE, b'o/f/', WRITE); call('unlinkat', HERE, b'o/empty', 0)\n\
        call('unlinkat', HERE, b'o/f', 0x200); call('unlinkat', HERE, b'w/..', 0x200); call('truncate', b'o/empty', 0)";
    for who in everyone() {
        let bench = Bench::new(who);
        let line = format!("/usr/bin/python3 -B call.py \"{script}\"");
        let plain = support::outside(who, &bench.scratch.path(""), &line);
        assert!(
            !text(&plain.stdout).contains("done"),
            "{}",
            text(&plain.stdout)
        );
        let (_, logged) = bench.run(POLICY, &line);
        assert!(logged.is_empty(), "as {who:?}: {:#?}", short(&logged));
    }
}

// Where the command may make namespaces, what it sees is looked at only after its call.
#[test]
fn where_namespaces_are_allowed_what_is_refused_is_logged_too() {
    let bench = Bench::new(Who::Nobody);
    if !support::is_root() {
        return;
    }
    let policy = POLICY.replacen('{', r#"{"allowNestedUserNamespaces": true, "#, 1);
    // A listed socket could be mounted over there, and is refused with it.
    let policy = policy
        .replace("allowUnixSockets", "deniedDomains")
        .replace("@/s/listed.sock", "x.test");
    let script =
        "echo x > o/new; : > /dev/null; unshare -Ur sh -c 'echo x > o/other; : > /dev/null'";
    let (out, logged) = bench.run(&policy, script);
    let expected = ["@/o/new", "@/o/other"].map(|t| bench.full(t));
    let targets: Vec<_> = logged.iter().map(|l| l["target"].clone()).collect();
    assert_eq!(targets, expected, "{}", text(&out.stderr));
}
