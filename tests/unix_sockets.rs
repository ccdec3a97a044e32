//! The Unix sockets that are listed: what works through them, what every other call is
//! answered, and races against the one who connects in the command's place.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use support::{
    Scratch, Who, assert_status, everyone, finish, finish_child, outside, said, shell, srt, text,
};

/// Settings that list these sockets; `w` may be written.
fn policy(listed: &str) -> String {
    format!(
        r#"{{"network": {{"allowUnixSockets": [{listed}]}}, "filesystem": {{"allowWrite": ["@/w"]}},
            "limits": {{"wallSeconds": 30}}}}"#
    )
}

/// A listening socket that everyone may connect to.
fn listen(path: &Path) -> UnixListener {
    let listener = UnixListener::bind(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    listener
}

/// How many connections wait to be accepted.
fn accepted(listener: &UnixListener) -> usize {
    listener.set_nonblocking(true).unwrap();
    std::iter::from_fn(|| listener.accept().ok()).count()
}

/// Servers outside, until the value's end.
struct Servers(Child);

impl Drop for Servers {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An HTTP server on `s/docker.sock`; on `s/wayland.sock` one that is sent descriptors and
/// answers with what they hold, and on `s/packets.sock` the same by packets; on
/// `s/echo.sock` one that says what it is told.
const SERVERS: &str = r#"
import http.server, os, socket, socketserver, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"ApiVersion":"1.43"}\n'
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *args): pass
    def address_string(self): return "unix"
class Docker(socketserver.ThreadingMixIn, socketserver.UnixStreamServer): daemon_threads = True
def descriptors(peer):
    data, fds, _, _ = socket.recv_fds(peer, 100, 4)
    for fd in fds: data += b" " + os.pread(fd, 100, 0); os.close(fd)
    peer.sendall(data); peer.close()
def echo(peer):
    peer.sendall(peer.recv(100)); peer.close()
def serve(name, kind, what):
    l = socket.socket(socket.AF_UNIX, kind); l.bind(name); l.listen(1000); os.chmod(name, 0o777)
    def loop():
        while True: threading.Thread(target=what, args=(l.accept()[0],), daemon=True).start()
    threading.Thread(target=loop, daemon=True).start()
docker = Docker("s/docker.sock", Handler); os.chmod("s/docker.sock", 0o777)
threading.Thread(target=docker.serve_forever, daemon=True).start()
serve("s/wayland.sock", socket.SOCK_STREAM, descriptors)
serve("s/packets.sock", socket.SOCK_SEQPACKET, descriptors)
serve("s/echo.sock", socket.SOCK_STREAM, echo)
print("ready", flush=True)
sys.stdin.read()
"#;

/// A directory with `w`, which may be written, and `s`, where the sockets are.
fn bench() -> Scratch {
    let scratch = Scratch::new();
    scratch.dir("w");
    scratch.dir("s");
    scratch.file("w/file", "x");
    scratch
}

fn servers(scratch: &Scratch) -> Servers {
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", SERVERS]).current_dir(scratch.path(""));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(said(&mut child), "ready\n");
    Servers(child)
}

/// Runs a Python program inside.
fn python(who: Who, scratch: &Scratch, listed: &str, script: &str) -> Output {
    scratch.file("inside.py", script);
    shell(
        who,
        scratch,
        &policy(listed),
        "exec /usr/bin/python3 -B inside.py",
    )
}

#[test]
fn an_ssh_agent_is_used_where_it_is_listed() {
    for who in everyone() {
        let scratch = bench();
        let started = outside(
            who,
            &scratch.path(""),
            "set -e; eval $(ssh-agent -a $PWD/s/agent.sock) > /dev/null; ssh-keygen -q -t ed25519 -N '' -C the-key -f key; \
             ssh-add -q key; echo $SSH_AGENT_PID",
        );
        let agent = text(&started.stdout).trim_end().to_owned();
        let script = "SSH_AUTH_SOCK=$PWD/s/agent.sock ssh-add -l; echo $?; echo data > w/data; \
             SSH_AUTH_SOCK=$PWD/s/agent.sock ssh-keygen -Y sign -f key.pub -n file w/data; echo $?";
        let results = [
            (r#""@/s/agent.sock""#, true),
            (r#""@/s""#, true),
            (r#""@/s/agent.sock", "@/s/other""#, true),
            (r#""@/s/other.sock""#, false),
            (r#""@/s/agent""#, false),
            (r#""@/w""#, false),
        ]
        .map(|(listed, works)| (listed, works, shell(who, &scratch, &policy(listed), script)));
        outside(
            who,
            &scratch.path(""),
            &format!("SSH_AGENT_PID={agent} ssh-agent -k"),
        );
        assert!(!agent.is_empty(), "{}", text(&started.stderr));
        for (listed, works, out) in results {
            let (said, errors) = (text(&out.stdout), text(&out.stderr));
            if works {
                assert!(
                    said.contains("the-key") && said.matches("0\n").count() >= 2,
                    "as {who:?}: {listed}: {said}{errors}"
                );
            } else {
                assert!(
                    !said.contains("the-key") && errors.contains("Permission denied"),
                    "as {who:?}: {listed}: {said}{errors}"
                );
            }
        }
    }
}

#[test]
fn servers_are_reached_by_the_paths_that_are_listed() {
    let script = r#"
import os, socket, subprocess, sys
print(subprocess.run(["curl", "-sS", "--unix-socket", "s/docker.sock", "http://docker/version"], capture_output=True, text=True).stdout.strip())
def pass_on(name, kind):
    try:
        s = socket.socket(socket.AF_UNIX, kind); s.connect(name)
        memory = os.memfd_create("pool"); os.write(memory, b"pixels of " + name.encode())
        socket.send_fds(s, [b"surface"], [memory])
        return s.recv(100).decode()
    except OSError as e: return e.strerror
print(pass_on("s/wayland.sock", socket.SOCK_STREAM))
print(pass_on("s/packets.sock", socket.SOCK_SEQPACKET))
os.chdir("w")
print(pass_on("../s/wayland.sock", socket.SOCK_STREAM))
os.symlink("../s/wayland.sock", "wayland-0")
print(pass_on("wayland-0", socket.SOCK_STREAM))
"#;
    for who in everyone() {
        let (docker, denied) = ("{\"ApiVersion\":\"1.43\"}", "Permission denied");
        let pixels = |name: &str| format!("surface pixels of {name}");
        let wayland = pixels("s/wayland.sock");
        let (above, link) = (pixels("../s/wayland.sock"), pixels("wayland-0"));
        for (listed, expected) in [
            (
                r#""@/s/docker.sock""#,
                [docker, denied, denied, denied, denied],
            ),
            (
                r#""@/s/wayland.sock""#,
                ["", &wayland, denied, &above, &link],
            ),
            (
                r#""@/s/packets.sock", "@/s/docker.sock""#,
                [docker, denied, &pixels("s/packets.sock"), denied, denied],
            ),
            (
                r#""@/s""#,
                [docker, &wayland, &pixels("s/packets.sock"), &above, &link],
            ),
            (r#""@/s/wayland""#, ["", denied, denied, denied, denied]),
        ] {
            let scratch = bench();
            let _servers = servers(&scratch);
            let out = python(who, &scratch, listed, script);
            let lines: Vec<_> = text(&out.stdout).lines().map(str::to_owned).collect();
            assert_eq!(
                lines,
                expected,
                "as {who:?}: {listed}: {}",
                text(&out.stderr)
            );
        }
        // Without the key there is no Unix socket to be had at all.
        let scratch = bench();
        scratch.file("inside.py", "import socket\ntry: socket.socket(socket.AF_UNIX)\nexcept OSError as e: print(e.strerror)");
        let out = shell(who, &scratch, "{}", "/usr/bin/python3 inside.py");
        assert_eq!(text(&out.stdout), "Operation not permitted\n");
    }
}

#[test]
fn a_socket_that_appears_at_a_listed_path_is_reached() {
    let script = r#"
import socket, sys
def attempt(name):
    try: socket.socket(socket.AF_UNIX).connect(name)
    except OSError as e: return e.strerror
    return "done"
print("begun", flush=True)
sys.stdin.readline()
print(attempt("s/late.sock"), attempt("s/later.sock"))
"#;
    for who in everyone() {
        let scratch = bench();
        scratch.file("inside.py", script);
        let settings = scratch.policy(&policy(r#""@/s/late.sock""#));
        let mut command = srt(who, &scratch.path(""));
        command
            .arg("-s")
            .arg(settings)
            .args(["/usr/bin/python3", "-B", "inside.py"]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        assert_eq!(said(&mut child), "begun\n");
        let late = listen(&scratch.path("s/late.sock"));
        let later = listen(&scratch.path("s/later.sock"));
        drop(child.stdin.take());
        let out = finish_child(child);
        assert_eq!(
            text(&out.stdout),
            "done Permission denied\n",
            "as {who:?}: {}",
            text(&out.stderr)
        );
        assert_eq!((accepted(&late), accepted(&later)), (1, 0));
    }
}

/// What the answers are made of: calls as they are, and their errors by name.
const ANSWERS: &str = r#"
import ctypes, errno, os, signal, socket, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def name(failed): return errno.errorcode[ctypes.get_errno()] if failed else "done"
def raw(fd, address, length=None):
    if isinstance(address, bytes):
        address, length = ctypes.create_string_buffer(address, len(address)), len(address) if length is None else length
    else: address = ctypes.c_void_p(address)
    return name(libc.connect(fd, address, length) < 0)
def unix(path): return struct.pack("H", socket.AF_UNIX) + path
def made(family, kind):
    fd = libc.socket(family, kind, 0)
    if fd >= 0: os.close(fd)
    return name(fd < 0)
def pair(kind):
    two = (ctypes.c_int * 2)()
    failed = libc.socketpair(socket.AF_UNIX, kind, 0, two) < 0
    if not failed: os.close(two[0]); os.close(two[1])
    return name(failed)
kept = []
def keep(s): kept.append(s); return s
def stream(): return keep(socket.socket(socket.AF_UNIX))
def packets(): return keep(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
def tell(*words): print(*words, flush=True)
"#;

/// The same inside as outside, where the sockets may be reached.
const SAME: &str = r#"
s = stream()
fd = s.fileno()
tell("missing", raw(fd, unix(b"s/absent\0")), raw(fd, unix(b"absent/s\0")), raw(fd, unix(b"s/\0")))
tell("no socket", raw(fd, unix(b"w/file\0")), raw(fd, unix(b"w\0")), raw(fd, unix(b"w/file/x\0")))
tell("empty", raw(fd, unix(b"")), raw(fd, b""), raw(fd, b"\x01"), raw(fd, unix(b"s/allowed.sock\0"), 0), raw(fd, unix(b"s/allowed.sock\0"), 2))
tell("negative", raw(fd, unix(b"s/allowed.sock\0"), -1), raw(fd, unix(b"s/allowed.sock\0"), -2**31))
tell("too long", raw(fd, unix(b"x" * 127)), raw(fd, unix(b"x" * 4000)))
tell("another family", raw(fd, struct.pack("H", 99) + b"x\0"), raw(fd, struct.pack("!HH4s8x", 2, 80, b"\x7f\0\0\1")))
tell("pointer", raw(fd, 8, 20), raw(fd, 2**47, 20), raw(fd, 0, 20))
tell("descriptor", raw(99, unix(b"s/allowed.sock\0")), raw(-1, unix(b"s/allowed.sock\0")), raw(os.open("w/file", 0), unix(b"s/allowed.sock\0")))
tell("bytes behind the name", raw(stream().fileno(), unix(b"s/allowed.sock\0garbage")), raw(stream().fileno(), unix(b"s/allowed.sock")))
tell("packets", raw(packets().fileno(), unix(b"s/allowed.sock\0")))
tell("as long as can be", raw(stream().fileno(), unix(b"s/allowed.sock\0".ljust(108, b"x"))), raw(stream().fileno(), unix(b"./" * 47 + b"s/allowed.sock")))
tell("one after another", raw(fd, unix(b"s/allowed.sock\0")), raw(fd, unix(b"s/allowed.sock\0")), s.getpeername())
l = stream(); l.bind("w/mine"); l.listen(0)
tell("listening", raw(l.fileno(), unix(b"s/allowed.sock\0")))
tell("half a name", raw(stream().fileno(), unix(b"s/allowed.soc\0")), raw(stream().fileno(), unix(b"s/allowed.sock/\0")), raw(stream().fileno(), unix(b"./w/../s//allowed.sock\0")))
a, b = socket.socketpair(); a.sendall(b"x"); tell("pair", b.recv(1))
a, b = socket.socketpair(type=socket.SOCK_SEQPACKET); a.sendall(b"x"); tell("pair", b.recv(1))
# With an address, where there is no connection.
for kind in socket.SOCK_STREAM, socket.SOCK_SEQPACKET:
    for flags in 0, 0x20000000:
        for to in "s/allowed.sock", "s/forbidden.sock":
            t = socket.socket(socket.AF_UNIX, kind)
            for send in (lambda: t.sendto(b"x", flags, to)), (lambda: t.sendmsg([b"x"], [], flags, to)):
                try: send(); word = "sent"
                except OSError as e: word = errno.errorcode[e.errno]
                tell("send", kind, flags, word)
# TCP.
def tcp(): return keep(socket.socket())
l = tcp(); l.bind(("127.0.0.1", 0)); l.listen(8); port = l.getsockname()[1]
def inet(port, host=b"\x7f\0\0\1"): return struct.pack("=H", 2) + struct.pack("!H", port) + host + b"\0" * 8
s = tcp(); tell("tcp", raw(s.fileno(), inet(port)), raw(s.fileno(), inet(port)), l.accept()[1] == s.getsockname())
free = tcp(); free.bind(("127.0.0.1", 0)); closed = free.getsockname()[1]
tell("tcp refused", raw(tcp().fileno(), inet(closed)))
s = tcp(); s.setblocking(False)
tell("tcp without waiting", raw(s.fileno(), inet(port)), l.accept()[1] == s.getsockname(), s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), raw(s.fileno(), inet(port)))
s = tcp(); s.setblocking(False)
first = raw(s.fileno(), inet(closed))
import select; select.select([], [s], [])
tell("tcp refused later", first, errno.errorcode[s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)])
s = tcp(); s.settimeout(5); s.connect(("127.0.0.1", port)); l.accept(); tell("tcp with a timeout", s.gettimeout(), s.getsockopt(socket.SOL_SOCKET, 21, 16) == b"\0" * 16)
s = tcp(); s.setsockopt(socket.SOL_SOCKET, 21, struct.pack("qq", 7, 0)); s.connect(("127.0.0.1", port)); tell("tcp keeps its own", struct.unpack("qq", s.getsockopt(socket.SOL_SOCKET, 21, 16)))
tell("tcp short", raw(tcp().fileno(), inet(port), 8), raw(tcp().fileno(), b"\0\0" + b"\0" * 14), raw(tcp().fileno(), unix(b"s/allowed.sock\0")))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("127.0.0.1", 0)); v = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
v.connect(u.getsockname()); v.send(b"x"); tell("udp", u.recv(1), raw(v.fileno(), b"\0\0" + b"\0" * 14))
try: v.send(b"x")
except OSError as e: tell("udp", errno.errorcode[e.errno])
"#;

/// Different inside: only streams and packets are made, and only listed paths reached.
const REFUSED: &str = r#"
D, R, S, P = socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_STREAM, socket.SOCK_SEQPACKET
flags = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
tell("made", *[made(socket.AF_UNIX, kind | more) for kind in (D, R) for more in (0, flags)])
tell("made", *[made(socket.AF_UNIX, kind | more) for kind in (S, P) for more in (0, flags)])
tell("pairs", *[pair(kind | more) for kind in (D, R) for more in (0, flags)], *[pair(kind) for kind in (S, P)])
tell("abstract", raw(stream().fileno(), unix(b"\0some name")), raw(stream().fileno(), unix(b"\0")), raw(stream().fileno(), unix(b"\0s/allowed.sock\0")))
l = stream(); l.bind("\0mine"); l.listen()
tell("abstract, own", raw(stream().fileno(), unix(b"\0mine")))
tell("forbidden", raw(stream().fileno(), unix(b"s/forbidden.sock\0")), raw(packets().fileno(), unix(b"s/forbidden.sock\0")))
l = stream(); l.bind("w/unlisted"); l.listen()
tell("own, not listed", raw(stream().fileno(), unix(b"w/unlisted\0")))
os.symlink(os.path.abspath("s/forbidden.sock"), "w/link")
os.symlink(os.path.abspath("s/allowed.sock"), "w/good")
os.chdir("s")
tell("by a link", raw(stream().fileno(), unix(b"../w/link\0")), raw(stream().fileno(), unix(b"../w/good\0")), raw(stream().fileno(), unix(b"allowed.sock/../forbidden.sock\0")), raw(stream().fileno(), unix(b"../s/forbidden.sock\0")))
# What has no name, and what is gone.
fd = os.open("forbidden.sock", os.O_PATH)
tell("by /proc", raw(stream().fileno(), unix(b"/proc/self/fd/%d\0" % fd)) != "done", raw(stream().fileno(), unix(b"/proc/self/cwd/forbidden.sock\0")) != "done")
s = socket.create_connection(("127.0.0.1", 3128)); s.sendall(b"GET http://denied.test/ HTTP/1.1\r\nHost: denied.test\r\n\r\n"); tell("proxy", s.recv(12))
"#;

#[test]
fn answers_are_those_of_the_kernel_where_the_policy_has_no_say() {
    for who in everyone() {
        let scratch = bench();
        let _allowed = listen(&scratch.path("s/allowed.sock"));
        let forbidden = listen(&scratch.path("s/forbidden.sock"));
        let program = format!("{ANSWERS}{SAME}");
        let inside = python(who, &scratch, r#""@/s/allowed.sock""#, &program);
        fs::remove_file(scratch.path("w/mine")).unwrap();
        let outside = outside(who, &scratch.path(""), "/usr/bin/python3 -B inside.py");
        assert_status(&outside, 0);
        let (inside_said, outside_said) = (text(&inside.stdout), text(&outside.stdout));
        let differ: Vec<_> = outside_said
            .lines()
            .zip(inside_said.lines())
            .filter(|(o, i)| o != i)
            .collect();
        assert!(
            differ.is_empty(),
            "as {who:?}: (outside, inside): {differ:#?}"
        );
        assert_eq!(accepted(&forbidden), 0, "as {who:?}");
        assert_eq!(inside_said, outside_said, "{}", text(&inside.stderr));
    }
}

#[test]
fn only_streams_and_packets_to_listed_paths_are_to_be_had() {
    for who in everyone() {
        let scratch = bench();
        let allowed = listen(&scratch.path("s/allowed.sock"));
        let forbidden = listen(&scratch.path("s/forbidden.sock"));
        let out = python(
            who,
            &scratch,
            r#""@/s/allowed.sock""#,
            &format!("{ANSWERS}{REFUSED}"),
        );
        let expected = "made EPERM EPERM EPERM EPERM\nmade done done done done\npairs EPERM EPERM EPERM EPERM done done\n\
            abstract EACCES EACCES EACCES\nabstract, own EACCES\nforbidden EACCES EACCES\nown, not listed EACCES\n\
            by a link EACCES done ENOTDIR EACCES\nby /proc True True\nproxy b'HTTP/1.1 403'\n";
        assert_eq!(
            text(&out.stdout),
            expected,
            "as {who:?}: {}",
            text(&out.stderr)
        );
        assert_eq!((accepted(&allowed), accepted(&forbidden)), (1, 0));
    }
}

/// The same inside as outside, by right: each of these is not so yet, and hangs or answers
/// something else.
fn assert_same(who: Who, script: &str) {
    let scratch = bench();
    let _allowed = listen(&scratch.path("s/allowed.sock"));
    let inside = python(
        who,
        &scratch,
        r#""@/s/allowed.sock", "@/w""#,
        &format!("{ANSWERS}{script}"),
    );
    outside(Who::Me, &scratch.path(""), "rm -f w/q");
    let outside = outside(who, &scratch.path(""), "/usr/bin/python3 -B inside.py");
    assert_status(&outside, 0);
    let (inside_said, outside_said) = (text(&inside.stdout), text(&outside.stdout));
    assert_eq!(
        inside_said,
        outside_said,
        "as {who:?}: {}",
        text(&inside.stderr)
    );
}

// The end of the address lies past the end of all addresses.
#[test]
fn a_pointer_that_wraps_around_is_a_bad_one() {
    for who in everyone() {
        assert_same(
            who,
            "tell(raw(stream().fileno(), 2**64 - 8, 20), raw(stream().fileno(), 2**64 - 1, 110))",
        );
    }
}

// struct sockaddr_un has 110 bytes; what the kernel takes of any address is 128.
#[test]
fn an_address_longer_than_its_structure_is_a_bad_one() {
    let script = "tell(*[raw(stream().fileno(), unix(b's/allowed.sock\\0'.ljust(n - 2, b'x'))) for n in (110, 111, 128, 129)])";
    for who in everyone() {
        assert_same(who, script);
    }
}

/// A listener with a full queue, as `l`.
const FULL: &str = r#"
l = stream(); l.bind("w/q"); l.listen(0); stream().connect("w/q")
full = unix(b"w/q\0")
s = stream(); s.setblocking(False)
tell("without waiting", raw(s.fileno(), full))
def waits(pid):
    # Until it sleeps in the call.
    while open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] != "S": pass
"#;

#[test]
fn a_full_queue_is_waited_for_until_there_is_room_or_the_caller_dies() {
    let script = r#"
done = []
threads = [threading.Thread(target=lambda: done.append(raw(stream().fileno(), full))) for _ in range(8)]
for t in threads: t.start()
for n in range(9): l.accept()
for t in threads: t.join()
tell("with waiting", done)
stream().connect("w/q")
for number in signal.SIGTERM, signal.SIGKILL, signal.SIGALRM:
    r, w = os.pipe()
    child = os.fork()
    if child == 0:
        signal.signal(number, signal.SIG_DFL) if number != signal.SIGKILL else None
        s = stream(); os.write(w, b"x")
        raw(s.fileno(), full); os._exit(0)
    os.read(r, 1); waits(child)
    os.kill(child, number)
    tell("killed", os.waitpid(child, 0)[1])
# All threads of one that ends, too.
child = os.fork()
if child == 0:
    r, w = os.pipe()
    for _ in range(4): threading.Thread(target=lambda: (os.write(w, b"x"), raw(stream().fileno(), full))).start()
    for _ in range(4): os.read(r, 1)
    os._exit(3)
tell("left", os.waitpid(child, 0)[1])
# A listener that goes away.
t = threading.Thread(target=lambda: tell("closed", raw(stream().fileno(), full)))
t.start(); l.close(); t.join()
"#;
    for who in everyone() {
        assert_same(who, &format!("{FULL}{script}"));
    }
}

// Each loop of the observer tries all that wait, and each try takes a tick of the clock.
#[test]
fn connects_that_wait_do_not_hold_up_others() {
    let script = r#"
threads = [threading.Thread(target=lambda: raw(stream().fileno(), full), daemon=True) for _ in range(40)]
for t in threads: t.start()
for t in threads: waits(f"self/task/{t.native_id}")
begun = time.monotonic()
for n in range(50): raw(stream().fileno(), unix(b"s/allowed.sock\0"))
took = time.monotonic() - begun
tell("quick" if took < 1 else took)
os._exit(0)
"#;
    for who in everyone() {
        assert_same(who, &format!("{FULL}{script}"));
    }
}

// A connect that waits is tried before it is looked whether its caller is there still.
#[test]
fn who_died_waiting_is_not_connected() {
    let script = r#"
child = os.fork()
if child == 0:
    r, w = os.pipe()
    for _ in range(4): threading.Thread(target=lambda: (os.write(w, b"x"), raw(stream().fileno(), full))).start()
    for _ in range(4): os.read(r, 1)
    for thread in os.listdir("/proc/self/task"):
        if int(thread) != os.getpid(): waits(thread)
    os._exit(3)
os.waitpid(child, 0)
l.accept()
# Time in which those who are gone would be tried again.
time.sleep(0.2)
tell("after them", raw(stream().fileno(), full))
"#;
    for who in everyone() {
        assert_same(who, &format!("{FULL}{script}"));
    }
}

#[test]
fn a_sockets_own_timeout_ends_a_connect_that_waits() {
    let script = "s = stream(); s.setsockopt(socket.SOL_SOCKET, 21, struct.pack('qq', 0, 200000))\n\
        tell('over', raw(s.fileno(), full))";
    for who in everyone() {
        assert_same(who, &format!("{FULL}{script}"));
    }
}

#[test]
fn tcp_waits_for_a_full_queue_as_ever() {
    let script = r#"
l = keep(socket.socket()); l.bind(("127.0.0.1", 0)); l.listen(0); to = l.getsockname()
keep(socket.create_connection(to))
# Its first packet finds no room, and the next is sent a second later.
s = keep(socket.socket())
t = threading.Thread(target=lambda: (s.connect(to), tell(s.getpeername() == to)))
t.start(); keep(l.accept()[0]); keep(l.accept()[0]); t.join()
s = keep(socket.socket()); s.setblocking(False); tell(s.connect_ex(to) == errno.EINPROGRESS)
import select; select.select([], [s], []); tell(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), s.getpeername() == to)
"#;
    for who in everyone() {
        assert_same(who, script);
    }
}

#[test]
fn threads_connect_all_at_once_and_each_gets_its_own_answer() {
    let script = r#"
import random
wrong, counts = [], dict(done=0, EACCES=0, ENOENT=0, EBADF=0)
def work(n):
    for m in range(20):
        what = (n + m) % 4
        s = socket.socket(socket.AF_UNIX)
        if what == 0:
            try:
                s.connect("s/echo.sock"); word = f"{n} {m}".encode(); s.sendall(word)
                if s.recv(100) != word: wrong.append("another's words")
                got = "done"
            except OSError as e: got = errno.errorcode[e.errno]
        elif what == 1: got = raw(s.fileno(), unix(b"s/forbidden.sock\0"))
        elif what == 2: got = raw(s.fileno(), unix(b"s/absent.sock\0"))
        else: got = raw(10 ** 6 + n, unix(b"s/echo.sock\0"))
        if got != ["done", "EACCES", "ENOENT", "EBADF"][what]: wrong.append((what, got))
        else: counts[got] += 1
        s.close()
threads = [threading.Thread(target=work, args=(n,)) for n in range(60)]
for t in threads: t.start()
for t in threads: t.join()
tell(counts, wrong[:5])
"#;
    for who in everyone() {
        let scratch = bench();
        let _servers = servers(&scratch);
        let forbidden = listen(&scratch.path("s/forbidden.sock"));
        let out = python(
            who,
            &scratch,
            r#""@/s/echo.sock""#,
            &format!("{ANSWERS}{script}"),
        );
        let expected = "{'done': 300, 'EACCES': 300, 'ENOENT': 300, 'EBADF': 300} []\n";
        assert_eq!(
            text(&out.stdout),
            expected,
            "as {who:?}: {}",
            text(&out.stderr)
        );
        assert_eq!(accepted(&forbidden), 0);
    }
}

/// A static program, in C.
fn compiled(scratch: &Scratch) {
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-static", "-pthread", "-o"])
        .arg(scratch.path("races"));
    cc.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/races.c"));
    let out = finish(cc);
    assert!(out.status.success(), "{}", text(&out.stderr));
}

#[test]
fn pitfall_21_nothing_that_is_swapped_meanwhile_reaches_another_socket() {
    for who in everyone() {
        let scratch = bench();
        compiled(&scratch);
        scratch.dir("s/in");
        scratch.dir("s/out");
        let forbidden = ["s/forbidden.s", "s/out/x.sock"].map(|name| listen(&scratch.path(name)));
        for name in ["s/allowed.sock", "s/in/x.sock"] {
            let allowed = listen(&scratch.path(name));
            // Ends with the test's process.
            thread::spawn(move || while allowed.accept().is_ok() {});
        }
        let listed = r#""@/s/allowed.sock", "@/s/in""#;
        let out = shell(who, &scratch, &policy(listed), "exec ./races");
        assert_status(&out, 0);
        let accepted: Vec<_> = forbidden.iter().map(accepted).collect();
        assert_eq!(accepted, [0, 0], "as {who:?}: {}", text(&out.stdout));
        // Each was tried often, and came out both ways.
        let said = text(&out.stdout);
        let numbers = |line: &str| -> Vec<u32> {
            line.split(' ')
                .filter_map(|word| word.parse().ok())
                .collect()
        };
        assert_eq!(said.lines().count(), 5, "{said}");
        for line in said.lines() {
            let [tried, done, denied] = numbers(line)[..] else {
                panic!("{said}");
            };
            assert!(tried > 300 && done > 0 && denied > 0, "as {who:?}: {said}");
        }
    }
}

/// What a connect to the listed socket comes to, for such a caller.
fn comes_to(who: Who, caller: &str) -> String {
    let scratch = bench();
    compiled(&scratch);
    let _allowed = listen(&scratch.path("s/allowed.sock"));
    let listed = policy(r#""@/s/allowed.sock""#);
    let out = shell(who, &scratch, &listed, &format!("exec ./races '{caller}'"));
    assert_status(&out, 0);
    text(&out.stdout)
}

#[test]
fn who_cannot_be_looked_at_by_others_connects_too() {
    for who in everyone() {
        assert_eq!(comes_to(who, "undumpable"), "Success\n", "as {who:?}");
    }
}

// Descriptors are copied from the thread group's leader, which is there no more.
#[test]
fn a_thread_whose_leader_is_gone_connects_too() {
    for who in everyone() {
        assert_eq!(comes_to(who, "leader gone"), "Success\n", "as {who:?}");
    }
}

// Descriptors are copied from the thread group's leader, whose numbers mean others.
#[test]
fn a_thread_with_descriptors_of_its_own_connects_its_own() {
    for who in everyone() {
        assert_eq!(comes_to(who, "own descriptors"), "Success\n", "as {who:?}");
    }
}

// The superuser inside has no capabilities; the observer, which connects for it, has them.
#[test]
fn permissions_hold_for_who_connects_by_another() {
    if !support::is_root() {
        return;
    }
    let scratch = bench();
    let script = "tell(*[raw(stream().fileno(), unix(p + b'\\0')) for p in (b's/shut.sock', b's/closed/x.sock', b's/closed/absent')])";
    scratch.dir("s/closed");
    let sockets = ["s/shut.sock", "s/closed/x.sock"].map(|name| listen(&scratch.path(name)));
    let give = "chown 65534 s/shut.sock s/closed s/closed/x.sock; chmod 700 s/shut.sock s/closed";
    assert_status(&outside(Who::Me, &scratch.path(""), give), 0);
    scratch.file("inside.py", &format!("{ANSWERS}{script}"));
    let run = |settings: &str| {
        let out = shell(
            Who::Me,
            &scratch,
            settings,
            "exec /usr/bin/python3 -B inside.py",
        );
        text(&out.stdout)
    };
    // So it is where the command connects by itself.
    let own = run(r#"{"network": {"allowAllUnixSockets": true}}"#);
    assert_eq!(own, "EACCES EACCES EACCES\n");
    assert_eq!(sockets.each_ref().map(accepted), [0, 0]);
    assert_eq!(run(&policy(r#""@/s""#)), own);
    assert_eq!(sockets.each_ref().map(accepted), [0, 0]);
}
