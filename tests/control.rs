//! `--control-fd`: rules, answers and events, by the real program and a supervisor in Python.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use support::pages::server;
use support::terminal::DRIVER;
use support::{Scratch, Who, assert_status, everyone, finish, srt, text};

/// What each test's supervisor begins with.
const BEGIN: &str = r#"
import json, os, select, signal, socket, subprocess, sys, time
SRT, POLICY, PORT = sys.argv[2], sys.argv[3], sys.argv[4]
CURL = "curl -sS --max-time 30 --noproxy '' "
PAGE = CURL + f"http://127.0.0.1:{PORT}/"
OPEN = {"network": {"allowedDomains": [f"127.0.0.1:{PORT}"]}}
class Run:
    """srt, with a socket for its control descriptor."""
    def __init__(self, script, *first, options=()):
        self.ours, theirs = socket.socketpair()
        for line in first: self.say(line)
        self.child = subprocess.Popen(
            [SRT, "-s", POLICY, "--control-fd", str(theirs.fileno()), *options, "-c", script],
            pass_fds=[theirs.fileno()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        theirs.close()
        self.lines = self.ours.makefile("r")
    def say(self, line):
        self.ours.sendall((line if isinstance(line, str) else json.dumps(line)).encode() + b"\n")
    def next(self, kind):
        for line in self.lines:
            event = json.loads(line)
            if event["event"] == kind: return event
        sys.exit(f"no {kind} came: {self.end()}")
    def end(self):
        out, err = self.child.communicate(timeout=60)
        return self.child.returncode, out, err
"#;

/// What a supervisor says, as everyone.
fn for_everyone(json: &str, script: &str, expected: &str) {
    let port = server();
    for who in everyone() {
        let scratch = Scratch::new();
        scratch.file("driver.py", &format!("{BEGIN}\nexec(sys.argv[1])\n"));
        let mut command = support::command_as(who, "/usr/bin/python3");
        command.arg("driver.py").arg(script).arg(support::program());
        command.arg(scratch.policy(json)).arg(port.to_string());
        command
            .current_dir(scratch.path(""))
            .env("HOME", scratch.path(""));
        let out = finish(command);
        assert_status(&out, 0);
        assert_eq!(
            text(&out.stdout),
            expected,
            "as {who:?}: {}",
            text(&out.stderr)
        );
    }
}

#[test]
fn new_rules_hold_from_the_next_connection_on_and_a_bad_line_changes_nothing() {
    for_everyone(
        "{}",
        r#"
run = Run(f"until {PAGE} -f 2>/dev/null; do sleep 0.05; done; echo ended")
assert run.next("violation")["target"] == f"127.0.0.1:{PORT}"
run.say(OPEN); assert run.next("rules")["ok"]
print(run.end()[:2])
# The old rules stay, whatever a line is that is not one; each is told.
run = Run(PAGE + "; cat; ls /proc/self/fd", OPEN, "{\"network\": {\"allowedDomain\": []}}", "nonsense", "[]", {"id": 0, "allow": True}, {"ask": 1}, "", {"tunnels": "x"})
for ok in True, False, False, False, False, False, False:
    assert run.next("rules")["ok"] == ok
status, out, err = run.end()
print(status, out.split(), len(err.splitlines()), all(line.startswith("srt: control: column ") for line in err.splitlines()))
# An empty object allows nothing.
run = Run(PAGE + " -f", OPEN, {})
print(run.end()[0])
"#,
        "(0, 'the page\\nended\\n')\n0 ['the', 'page', '0', '1', '2', '3'] 6 True\n22\n",
    );
}

#[test]
fn pitfall_62_the_descriptor_changes_rules_is_no_command_s_and_its_end_is_no_error() {
    for_everyone(
        "{}",
        r#"
def run(descriptor, script, **more):
    out = subprocess.run([SRT, "-s", POLICY, "--control-fd", str(descriptor), "-c", script], pass_fds=[descriptor], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    return out.returncode, out.stdout, out.stderr
rules = json.dumps(OPEN)
# A file, a pipe that has ended, and one whose last line has no end.
open("rules", "w").write(rules + "\n")
with open("rules") as file: print(run(file.fileno(), PAGE))
for line in rules + "\n", rules:
    read, write = os.pipe()
    os.write(write, line.encode()); os.close(write)
    print(run(read, PAGE)); os.close(read)
# One that stays open and silent does not keep srt from ending.
read, write = os.pipe()
print(run(read, "ls /proc/self/fd | wc -l"))
# Who can only be read from cannot be asked.
os.write(write, b'{"ask": true}\n')
print(run(read, PAGE + " -o /dev/null -w '%{http_code}'"))
os.close(read); os.close(write)
print(run(99, "true") if False else subprocess.run([SRT, "--control-fd", "99", "true"], capture_output=True, text=True).returncode)
for words in ["2"], ["x"], ["5", "--control-fd", "6"], ["5", "--log-fd", "5"]:
    print(subprocess.run([SRT, "--control-fd", *words, "true"], capture_output=True, text=True).returncode)
"#,
        "(0, 'the page\\n', '')\n(0, 'the page\\n', '')\n(0, 'the page\\n', '')\n(0, '4\\n', '')\n\
         (0, '403', 'srt: control: ask: only a socket can be asked over\\n')\n125\n125\n125\n125\n125\n",
    );
}

#[test]
fn what_no_rule_decides_is_asked_and_the_answer_is_for_one_connection() {
    for_everyone(
        r#"{"network": {"deniedDomains": ["never.test"]}}"#,
        r#"
script = f"page() {{ {CURL} -o /dev/null -w '%{{http_code}} ' $1; }}; page http://127.0.0.1:{PORT}/; page http://no.test/; page http://never.test/; page http://127.0.0.1:{PORT}/"
run = Run(script, {"ask": True})
one = run.next("ask"); assert (one["host"], one["port"]) == ("127.0.0.1", int(PORT)), one
# What an answer allows is looked at like everything else: this address is the host's own.
run.say({"id": one["id"], "allow": True})
two = run.next("ask"); assert (two["host"], two["port"]) == ("no.test", 80), two
run.say({"id": 77, "allow": True}); run.say({"id": one["id"], "allow": True})
run.say({"id": two["id"], "allow": False})
three = run.next("ask"); assert three["host"] == "127.0.0.1", "asked again"
# Rules that come meanwhile decide.
run.say(OPEN); run.say({"id": three["id"], "allow": False})
print(run.end())
# Asked no more.
code = CURL + "-o /dev/null -w '%{http_code} ' "
run = Run(code + "http://no.test/", {"ask": True}, {"ask": False})
print(run.end())
# A strict allow list asks nobody.
run = Run(code + "http://no.test/", {"ask": True}, {"network": {"strictAllowlist": True}})
print(run.end())
"#,
        "(0, '403 403 403 200 ', '')\n(0, '403 ', '')\n(0, '403 ', '')\n",
    );
}

#[test]
fn who_goes_away_or_does_not_read_keeps_nobody_waiting() {
    for_everyone(
        "{}",
        r#"
code = CURL + "-o /dev/null -o /dev/null -w '%{http_code} ' http://no.test/ http://other.test/"
run = Run(code, {"ask": True})
run.next("ask")
run.lines.close(); run.ours.close()
print(run.end())
# The same, where only the sending side is closed.
run = Run(code, {"ask": True})
run.next("ask"); run.ours.shutdown(socket.SHUT_WR)
print(run.end())
# Thousands of events, and nobody reads one.
run = Run("i=0; while [ $i -lt 3000 ]; do true > /etc/x$i; i=$((i+1)); done 2>/dev/null; echo done", {"ask": True})
print(run.end()[:2])
"#,
        "(0, '403 403 ', '')\n(0, '403 403 ', '')\n(0, 'done\\n')\n",
    );
}

#[test]
fn a_tunnel_by_way_of_another_proxy_is_cut_as_well() {
    for_everyone(
        "{}",
        r#"
import threading
def relay(a, b):
    while part := a.recv(65536): b.sendall(part)
    b.close()
def proxy(listener):
    peer, _ = listener.accept()
    head = b""
    while b"\r\n\r\n" not in head: head += peer.recv(4096)
    there = socket.create_connection(("127.0.0.1", int(PORT)))
    peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    for pair in (peer, there), (there, peer): threading.Thread(target=relay, args=pair, daemon=True).start()
listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=proxy, args=(listener,), daemon=True).start()
parent = {"parentProxy": {"http": f"http://127.0.0.1:{listener.getsockname()[1]}"}}
run = Run(CURL + "-N -p http://far.test:81/wait", {"network": {"allowedDomains": ["far.test"], **parent}}, {"tunnels": "cut"})
assert run.child.stdout.readline() == "the page\n"
run.say({"network": parent})
status, _, _ = run.end()
print(status in (0, 18, 52, 56))
"#,
        "True\n",
    );
}

#[test]
fn tunnels_that_new_rules_refuse_are_cut_if_that_is_wanted() {
    for_everyone(
        "{}",
        r#"
for tunnels, signal_after in ("cut", None), ("keep", signal.SIGTERM):
    run = Run(CURL + f"-N -p http://127.0.0.1:{PORT}/wait", OPEN, {"tunnels": tunnels})
    assert run.child.stdout.readline() == "the page\n"
    run.say({})
    for ok in True, True: assert run.next("rules")["ok"] == ok
    if signal_after is not None:
        # It goes on: nothing has come to an end a while later.
        assert run.child.poll() is None and not select.select([run.child.stdout], [], [], 0.5)[0]
        run.child.send_signal(signal_after)
    status, _, _ = run.end()
    print(tunnels, status in (0, 18, 52, 56), status == 143)
"#,
        "cut True False\nkeep False True\n",
    );
}

/// A supervisor at a terminal: what a person answers decides.
fn supervised(program: &str) {
    let port = server();
    let scratch = Scratch::new();
    let policy = scratch.policy(r#"{"filesystem": {"allowWrite": ["."]}}"#);
    fs::set_permissions(&policy, fs::Permissions::from_mode(0o644)).unwrap();
    scratch.file("driver.py", &format!("{DRIVER}\nexec(sys.argv[1])\n"));
    let script = format!(
        r#"
import os
os.environ["SRT"] = SRT
t = Terminal({program}, POLICY, "sh", "-c", "curl -sS -o /dev/null -w 'got %{{http_code}}.' http://a.test:{port}/; curl -sS -o /dev/null -w 'got %{{http_code}}.' http://b.test:{port}/; exit 6")
t.until(r"allow a.test:{port}\? \[y/N\] "); t.line("n")
# The command's word and the supervisor's come in either order.
t.wait("both words", lambda: "got 403." in t.said and re.search(r"denied .*a.test:{port}", t.said))
t.until(r"allow b.test:{port}\? \[y/N\] "); t.line("y"); t.until(r"got 502\.")
print(t.end())
"#
    );
    let mut command = Command::new("python3");
    command.arg("driver.py").arg(script);
    command.arg(support::program()).arg(policy);
    command
        .current_dir(scratch.path(""))
        .env("HOME", scratch.path(""));
    let out = finish(command);
    assert_status(&out, 0);
    assert_eq!(text(&out.stdout), "6\n");
}

#[test]
fn the_supervisor_in_python_asks_the_person_at_the_terminal() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/examples/supervisor.py");
    let lines = fs::read_to_string(file).unwrap().lines().count();
    assert!(lines <= 60, "{lines} lines");
    // Not in the shell's place: the driver waits until the terminal's program is another than
    // its own.
    supervised(&format!(
        "\"sh\", \"-c\", 'python3 \"$@\"; exit $?', \"sh\", {file:?}"
    ));
}

#[test]
fn the_supervisor_in_rust_asks_the_person_at_the_terminal() {
    // Examples are built with the tests.
    let built = std::path::Path::new(env!("CARGO_BIN_EXE_srt"));
    let example = built.parent().unwrap().join("examples/supervisor");
    supervised(&format!("{:?}", example.to_str().unwrap()));
}

#[test]
fn a_descriptor_that_is_not_open_is_an_error() {
    let scratch = Scratch::new();
    let mut command = srt(Who::Me, &scratch.path(""));
    command.args(["--control-fd", "99", "echo", "ran"]);
    let out = finish(command);
    assert_status(&out, 125);
    assert_eq!(
        (text(&out.stdout), text(&out.stderr)),
        (
            String::new(),
            "srt: --control-fd 99: Bad file descriptor (os error 9) (see srt --help)\n".into()
        )
    );
}
