//! The real program on a real terminal: a pty whose session leader is a shell with job
//! control, or `srt` itself.

mod support;

use support::terminal::DRIVER;

use std::fs;

use support::{Scratch, Who, assert_status, everyone, finish, text};

/// Plays `script`; what it prints is the answer.
fn play(who: Who, scratch: &Scratch, script: &str) -> String {
    scratch.file("driver.py", &format!("{DRIVER}\nexec(sys.argv[1])\n"));
    let policy = scratch.policy(r#"{"filesystem": {"allowWrite": ["@"]}}"#);
    // The whole terminal is that user's.
    let mut command = support::command_as(who, "/usr/bin/python3");
    command.arg("driver.py").arg(script);
    command.arg(support::program()).arg(policy);
    command
        .current_dir(scratch.path(""))
        .env("HOME", scratch.path(""));
    let out = finish(command);
    assert_status(&out, 0);
    text(&out.stdout)
}

fn for_everyone(script: &str, expected: &str) {
    for who in everyone() {
        let scratch = Scratch::new();
        assert_eq!(play(who, &scratch, script), expected, "as {who:?}");
    }
}

#[test]
fn the_command_is_in_the_foreground_and_reads_what_is_typed() {
    for_everyone(
        r#"
t = run("/usr/bin/python3", "-c", "import os; print([os.isatty(n) for n in range(3)], os.tcgetpgrp(0) == os.getpgrp()); print('got', input().upper())")
t.until(r"\[True, True, True\] True"); t.line("hello")
t.until("got HELLO"); print(t.end())
"#,
        "0\n",
    );
}

#[test]
fn ctrl_z_stops_both_and_fg_and_bg_continue_both() {
    for_everyone(
        r#"
open("c.sh", "w").write("echo begun; n=0; while read line; do n=$((n+1)); echo line $n $line; done")
t = shell(); t.line(f"{SRT} -s {POLICY} sh c.sh mark4711")
t.until("begun")
for round in 1, 2:
    t.type("\x1a"); t.until("Stopped"); t.prompt()
    assert state(find("mark4711")) == "T" and state(supervisor("mark4711")) == "T"
    t.line("fg"); t.until("mark4711\n"); t.line("x"); t.until(f"line {round} x")
t.type("\x1a"); t.until("Stopped"); t.prompt()
# From the background it may not read: it is stopped again, and so is srt.
t.line("bg"); t.prompt()
t.wait("a stop", lambda: state(find("mark4711")) == "T" and state(supervisor("mark4711")) == "T")
t.line("fg"); t.until("mark4711\n"); t.line("y"); t.until("line 3 y")
t.type("\x04"); t.prompt(); t.line("echo s$?"); t.until("s0"); t.line("exit"); print(t.end())
"#,
        "0\n",
    );
}

#[test]
fn srt_stops_when_it_is_told_to_if_the_command_does() {
    for_everyone(
        r#"
t = shell(); t.line(f"{SRT} -s {POLICY} sh said.sh sleep 4712")
t.until("begun"); t.wait("sleep", lambda: (p := find("4712")) and open(f"/proc/{p}/comm").read() == "sleep\n"); pid = supervisor("4712")
os.kill(pid, signal.SIGTSTP); t.until("Stopped"); t.prompt()
assert state(find("4712")) == "T"
os.kill(pid, signal.SIGCONT); t.wait("going on", lambda: state(find("4712")) == "S" and state(pid) == "S")
t.line("fg"); t.wait("the foreground", lambda: os.tcgetpgrp(t.fd) == os.getpgid(pid)); t.type("\x03"); t.prompt()
# Whoever ignores the signal goes on, and srt with it.
t.line(f"{SRT} -s {POLICY} sh -c 'trap \"\" TSTP; echo be''gun; read x; echo g''ot $x' mark4713")
t.until("begun"); t.type("\x1a"); t.type("word\n"); t.until("got word"); t.prompt()
t.line("exit"); print(t.end())
"#,
        "0\n",
    );
}

// As vim does: it clears the terminal up, and stops its own process group.
#[test]
fn a_command_that_suspends_itself_gives_the_terminal_back() {
    for_everyone(
        r#"
open("v.py", "w").write('''
import os, signal, sys, termios, tty
before = termios.tcgetattr(0); tty.setraw(0); print("raw\\r", flush=True)
while (c := os.read(0, 1)) != b"q":
    if c == b"\\x1a":
        termios.tcsetattr(0, termios.TCSADRAIN, before); os.kill(0, signal.SIGTSTP)
        tty.setraw(0); print("again\\r", flush=True)
termios.tcsetattr(0, termios.TCSADRAIN, before)
''')
t = shell(); t.line(f"{SRT} -s {POLICY} /usr/bin/python3 v.py")
t.until("raw")
for _ in range(2):
    t.type("\x1a"); t.until("Stopped"); t.prompt(); t.line("echo $((6*7))"); t.until("42"); t.prompt()
    t.line("fg"); t.until("again")
t.type("q"); t.prompt(); t.line("exit"); print(t.end())
"#,
        "0\n",
    );
}

#[test]
fn a_window_change_reaches_the_command() {
    for_everyone(
        r#"
t = run("/usr/bin/python3", "-c", "import os, signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])\nprint('up', flush=True)\nsignal.sigwait([signal.SIGWINCH])\nprint('size', *os.get_terminal_size())")
t.until("up"); t.resize(33, 77); t.until("size 77 33"); print(t.end())
"#,
        "0\n",
    );
}

#[test]
fn a_password_is_read_from_the_terminal_and_not_echoed() {
    for_everyone(
        r#"
t = shell()
t.line(f"echo piped | {SRT} -s {POLICY} /usr/bin/python3 -c 'import getpass; print(getpass.getpass()[::-1])'")
t.until("Password: "); t.line("drowssap"); t.until("password"); t.prompt()
assert "drowssap" not in t.all
t.line("exit"); print(t.end())
"#,
        "0\n",
    );
}

#[test]
fn an_editor_and_a_pager_work() {
    for_everyone(
        r#"
t = shell()
t.line(f"TERM=vt100 {SRT} -s {POLICY} vim -u NONE -i NONE -n made.txt"); t.until("made.txt"); t.type("ione two\x1b:wq\r"); t.prompt()
assert open("made.txt").read() == "one two\n"
t.line(f"seq 1 1000 | TERM=vt100 {SRT} -s {POLICY} less"); t.until("20\n"); t.type(" "); t.until("40\n"); t.type("q"); t.prompt()
t.line(f"TERM=vt100 {SRT} -s {POLICY} less made.txt"); t.until("one two"); t.type("q"); t.prompt()
t.line("exit"); print(t.end())
"#,
        "0\n",
    );
}

#[test]
fn pipelines_read_the_terminal_as_ever() {
    for_everyone(
        r#"
t = shell()
for line in f"sh said.sh cat | {SRT} -s {POLICY} tr a-z A-Z", f"{SRT} -s {POLICY} sh said.sh tr a-z A-Z | cat":
    t.line(line); t.until("begun"); t.line("some words"); t.type("\x04"); t.until("SOME WORDS"); t.prompt()
t.line("exit"); print(t.end())
"#,
        "0\n",
    );
}

#[test]
fn a_shell_inside_has_job_control_of_its_own() {
    for_everyone(
        r#"
t = shell(); t.line(f"PS1='in''> ' {SRT} -s {POLICY} bash --norc --noprofile -i"); t.until("in> ")
t.line("sleep 100 & jobs"); t.until("Running"); t.until("in> ")
t.line("sleep 4247"); t.wait("sleep", lambda: find("4247")); t.type("\x03"); t.until("in> "); t.line("echo s$?"); t.until("s130"); t.until("in> ")
t.line("sh said.sh cat"); t.until("begun"); t.line("word"); t.until("word\nword\n"); t.type("\x1a"); t.until("Stopped"); t.until("in> ")
t.line("fg"); t.until("cat\n"); t.line("again"); t.until("again\nagain\n"); t.type("\x04"); t.until("in> ")
t.line("kill %1; exit 3"); t.prompt(); t.line("echo s$?"); t.until("s3"); t.prompt()
assert "no job control" not in t.all, t.all
t.line("sh said.sh cat"); t.until("begun"); t.line("mine"); t.until("mine\nmine\n"); t.type("\x04"); t.prompt(); t.line("exit"); print(t.end())
"#,
        "0\n",
    );
}

// A script has no job control: nobody but srt gives it its terminal back.
#[test]
fn a_script_owns_its_terminal_after_a_shell_inside() {
    for_everyone(
        r#"
open("s.sh", "w").write('PS1="in> " "$1" -s "$2" bash --norc --noprofile -i; echo left $?; read line; echo got $line')
t = Terminal("sh", "s.sh", SRT, POLICY); t.until("in> ")
t.line("exit 5"); t.until("left 5"); t.line("here"); t.until("got here"); print(t.end())
"#,
        "0\n",
    );
}

#[test]
fn pitfall_07_nothing_is_typed_into_the_callers_terminal() {
    for_everyone(
        r#"
open("sti.py", "w").write('''
import ctypes, errno, fcntl, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def attempt(fd, request, argument):
    call = 16 if os.uname().machine == "x86_64" else 29
    libc.syscall(ctypes.c_long(call), ctypes.c_long(fd), ctypes.c_ulong(request), argument)
    return errno.errorcode.get(ctypes.get_errno(), "ok")
line = b"touch typed\\n"
said = set()
for fd in 0, 1, 2, os.open("/dev/tty", os.O_RDWR):
    for request in 0x5412, 0x5412 + 2**32, 0x5412 + 2**63:
        for byte in line: said.add(attempt(fd, request, ctypes.byref(ctypes.c_char(byte))))
    said.add(attempt(fd, 0x541c, ctypes.byref(ctypes.c_char(2))))
print("sa" + "id", *said, flush=True)
''')
t = shell(); t.line(f"{SRT} -s {POLICY} /usr/bin/python3 sti.py"); t.until("said EPERM\n"); t.prompt()
t.line("echo $((6*7))"); t.until("42"); t.prompt(); t.line("exit"); status = t.end()
print(status, os.path.exists("typed"))
"#,
        "0 False\n",
    );
}

#[test]
fn what_is_typed_while_the_sandbox_comes_up_is_not_lost() {
    for_everyone(
        r#"
# A signal of the terminal that comes before the command is there ends it all the same.
for delay in range(12):
    t = run("sleep", "60"); time.sleep(delay / 500)
    t.type("\x03")
    status = t.end()
    assert status in (130, -2), status
print("ended")
"#,
        "ended\n",
    );
    assert!(fs::metadata("/dev/ptmx").is_ok());
}
