//! The run path of macOS on any Unix, with other programs in the place of the system's
//! two: nothing is confined here, but all else is as it would be there.

mod support;

use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::pages::server;
use support::terminal::DRIVER;
use support::{Scratch, Who, assert_status, finish, finish_child, said, srt, text};

/// `sandbox-exec -p PROFILE COMMAND…`, which notes the profile and confines nothing.
const SANDBOX_EXEC: &str = r#"#!/bin/sh
[ "$1" = -p ] || exit 71
printf %s "$2" > "$(dirname "$0")/profile"
shift 2
exec "$@"
"#;

/// `log stream … --predicate '… "TAG"'`, which says what `lines` holds once that is there,
/// with the run's tag for `@`, in small pieces.
const LOG: &str = r#"#!/bin/sh
here=$(dirname "$0")
echo "Filtering the log data using \"$5\""
echo $$ > "$here/log-pid"
tag=${5#*\"}; tag=${tag%\"}
until [ -e "$here/lines" ]; do sleep 0.01; done
sed "s/@/$tag/" "$here/lines" | dd bs=7 2>/dev/null
exec sleep 60
"#;

/// A place with the two programs.
fn place() -> Scratch {
    let scratch = Scratch::new();
    scratch.file("tools/sandbox-exec", SANDBOX_EXEC);
    scratch.file("tools/log", LOG);
    scratch
}

fn mac(scratch: &Scratch, json: &str) -> Command {
    let mut command = srt(Who::Me, &scratch.path(""));
    // A directory of its own: what is left there is this test's.
    command.env("TMPDIR", scratch.dir("tmp"));
    command.arg("--as-macos").arg(scratch.path("tools"));
    command.arg("-s").arg(scratch.policy(json));
    command
}

fn shell(scratch: &Scratch, json: &str, script: &str) -> std::process::Output {
    let mut command = mac(scratch, json);
    command.args(["-c", script]);
    finish(command)
}

#[test]
fn pitfall_54_the_proxy_serves_who_knows_the_password_and_nobody_else() {
    let (scratch, port) = (place(), server());
    let policy = format!(r#"{{"network": {{"allowedDomains": ["127.0.0.1:{port}"]}}}}"#);
    let script = format!(
        "page() {{ curl -sS --max-time 20 --noproxy '' \"$@\"; }}
         bare=http://127.0.0.1:${{HTTP_PROXY##*:}}
         page http://127.0.0.1:{port}/
         page -p http://127.0.0.1:{port}/
         page -x $FTP_PROXY http://127.0.0.1:{port}/
         page -o /dev/null -w '%{{http_code}} ' http://127.0.0.1:1/
         for proxy in $bare http://srt:00@127.0.0.1:${{HTTP_PROXY##*:}}; do
             page -x $proxy -o /dev/null -w '%{{http_code}} ' http://127.0.0.1:{port}/
             page -x $proxy -o /dev/null -w '%{{http_connect}} ' -p http://127.0.0.1:{port}/ 2>/dev/null
             page -x socks5h${{proxy#http}} -o /dev/null http://127.0.0.1:{port}/ 2>/dev/null; echo $?
         done"
    );
    let out = shell(&scratch, &policy, &script);
    assert_eq!(
        text(&out.stdout),
        "the page\nthe page\nthe page\n403 407 407 97\n407 407 97\n",
        "{}",
        text(&out.stderr)
    );
}

#[test]
fn each_run_has_ports_a_password_and_a_tag_of_its_own() {
    let scratch = place();
    let run = || {
        let out = shell(&scratch, "{}", "echo $HTTP_PROXY $FTP_PROXY");
        assert_status(&out, 0);
        let profile = fs::read_to_string(scratch.path("tools/profile")).unwrap();
        let tag = profile.split("with message \"").nth(1).unwrap();
        let tag = tag.split('"').next().unwrap().to_owned();
        let urls = text(&out.stdout);
        let mut ports = Vec::new();
        for url in urls.split_whitespace() {
            let port = url.rsplit(':').next().unwrap().to_owned();
            assert!(profile.contains(&format!("(remote ip \"localhost:{port}\")")));
            ports.push(port);
        }
        let password = urls.split([':', '@']).nth(2).unwrap().to_owned();
        assert_eq!((password.len(), tag.len()), (32, 36), "{urls} {tag}");
        // Neither is told by the other, and the profile, which `ps` shows, has no password.
        assert!(!tag.contains(&password) && !profile.contains(&password));
        (ports, password, tag)
    };
    let (one, other) = (run(), run());
    assert!(one.1 != other.1 && one.2 != other.2, "{one:?} {other:?}");
}

#[test]
fn the_status_is_the_commands_own() {
    let scratch = place();
    scratch.file("plain", "");
    fs::set_permissions(
        scratch.path("plain"),
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .unwrap();
    for (words, status, says) in [
        (&["-c", "exit 7"][..], 7, ""),
        (&["-c", "kill -TERM $$"], 128 + 15, ""),
        (
            &["no-such-program"],
            127,
            "srt: \"no-such-program\": command not found\n",
        ),
        (
            &["echo hello"],
            127,
            "srt: \"echo hello\": command not found (to run a line of shell, use srt -c)\n",
        ),
        (
            &["./plain"],
            126,
            "srt: \"./plain\": Permission denied (os error 13)\n",
        ),
        (&["."], 126, "srt: \".\": Permission denied (os error 13)\n"),
        (&["printf", "%s|", "a b", "$HOME", "--"], 0, ""),
    ] {
        let mut command = mac(&scratch, "{}");
        command.args(words);
        let out = finish(command);
        assert_status(&out, status);
        assert_eq!(text(&out.stderr), says, "{words:?}");
        if words[0] == "printf" {
            assert_eq!(text(&out.stdout), "a b|$HOME|--|");
        }
    }
}

#[test]
fn streams_descriptors_and_limits_are_as_the_settings_say() {
    let scratch = place();
    scratch.file("secret", "");
    let mut command = mac(
        &scratch,
        r#"{"limits": {"openFiles": 77, "fileSizeMiB": 3}, "environment": {"set": {"A": "b c"}, "deny": ["S*T"]}}"#,
    );
    command
        .args(["-c", "ulimit -n; echo \"$A${SECRET-none}\"; cat; ls /dev/fd; echo $SANDBOX_RUNTIME; test -d \"$TMPDIR\" && echo there"])
        .env("SECRET", "x")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    // A descriptor that the caller has left open.
    let mut outer = Command::new("bash");
    outer.args(["-c", "exec 40<secret \"$@\"", "bash"]);
    outer.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
        .current_dir(scratch.path(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = outer.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"\0\xffbytes\n")
        .unwrap();
    let out = finish_child(child);
    assert_status(&out, 0);
    let lines: Vec<&[u8]> = out.stdout.split(|&b| b == b'\n').collect();
    assert_eq!(lines[..3], [&b"77"[..], b"b cnone", b"\0\xffbytes"]);
    let rest = text(&lines[3..].join(&b'\n'));
    // `ls` has the directory itself open besides.
    assert_eq!(rest, "0\n1\n2\n3\n1\nthere\n");
}

/// Runs until the script says `ready`.
fn begin(scratch: &Scratch, json: &str, script: &str) -> Child {
    let mut command = mac(scratch, json);
    command.args(["-c", script]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    assert_eq!(said(&mut child), "ready\n");
    child
}

fn kill(signal: &str, process: u32) {
    let process = process.to_string();
    let killed = Command::new("kill").args([signal, &process]).status();
    assert!(killed.unwrap().success());
}

#[test]
fn pitfall_6_signals_reach_the_commands_own_handlers() {
    let scratch = place();
    for signal in ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2"] {
        let script = format!(
            "trap 'echo got {signal}; exit 9' {signal}; echo ready; while :; do sleep 0.05; done"
        );
        let child = begin(&scratch, "{}", &script);
        kill(&format!("-{signal}"), child.id());
        let out = finish_child(child);
        assert_status(&out, 9);
        assert_eq!(text(&out.stdout), format!("got {signal}\n"));
    }
}

#[test]
fn time_that_is_over_ends_the_command() {
    let scratch = place();
    let out = shell(
        &scratch,
        r#"{"limits": {"wallSeconds": 1}}"#,
        "trap 'echo asked; exit 3' TERM; while :; do sleep 0.05; done",
    );
    assert_status(&out, 3);
    assert_eq!(text(&out.stdout), "asked\n");
    assert_eq!(text(&out.stderr), "srt: limits.wallSeconds: 1 s are over\n");
}

/// Waits until it holds.
fn wait(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether there is such a process, and it is no zombie.
fn lives(process: &str) -> bool {
    let out = Command::new("ps")
        .args(["-o", "stat=", "-p", process])
        .output();
    let state = text(&out.unwrap().stdout);
    !state.trim().is_empty() && !state.starts_with('Z')
}

#[test]
fn pitfall_5_the_command_ends_with_srt_by_whatever_signal() {
    let scratch = place();
    let script = "echo $$ > pid; echo ready; while :; do sleep 0.05; done";
    let mut child = begin(&scratch, "{}", script);
    let command = fs::read_to_string(scratch.path("pid")).unwrap();
    let command = command.trim();
    assert!(lives(command));
    kill("-KILL", child.id());
    child.wait().unwrap();
    wait("the command goes on", || !lives(command));
    // Its directory is left, and the next run clears it.
    let left = || fs::read_dir(scratch.path("tmp")).unwrap().count();
    assert_eq!(left(), 1);
    assert_status(&shell(&scratch, "{}", "true"), 0);
    assert_eq!(left(), 0);
}

#[test]
fn nothing_is_left_behind() {
    let scratch = place();
    let mut command = mac(&scratch, "{}");
    command
        .args(["--log", "log"])
        .args(["-c", "echo x > $TMPDIR/y; echo $PPID"]);
    let out = finish(command);
    assert_status(&out, 0);
    assert_eq!(fs::read_dir(scratch.path("tmp")).unwrap().count(), 0);
    let log = fs::read_to_string(scratch.path("tools/log-pid")).unwrap();
    assert!(!lives(log.trim()));
    let of = |process: &str| {
        let out = Command::new("pgrep").args(["-P", process]).output();
        text(&out.unwrap().stdout)
    };
    assert_eq!(of(text(&out.stdout).trim()), "");
}

#[test]
fn what_the_systems_log_says_is_reported() {
    let scratch = place();
    let outside = scratch.dir("outside");
    let outside = outside.to_str().unwrap();
    let lines = format!(
        "Timestamp               Ty Process[PID:TID]\n\
         2026-01-02 03:04:05.678 E  kernel[0:1f2e] (Sandbox) Sandbox: touch(71) deny(1) file-write-create {outside}/a\n@\n\
         2026-01-02 03:04:05.678 E  kernel[0:1f2e] (Sandbox) Sandbox: touch(71) deny(1) file-write-create {outside}/b\nc deny(1) x\n@\n\
         2026-01-02 03:04:05.678 E  kernel[0:1f2e] (Sandbox) Sandbox: cat(72) deny(1) file-read-data {outside}/a\n@\n\
         2026-01-02 03:04:05.678 E  kernel[0:1f2e] (Sandbox) Sandbox: a (b) c(73) deny(1) mach-lookup com.apple.x\n@\n\
         2026-01-02 03:04:05.678 E  kernel[0:1f2e] (Sandbox) Sandbox: x(74) deny(1) mach-lookup com.apple.analyticsd\n@\n\
         2026-01-02 03:04:05.678 E  kernel[0:1f2e] (Sandbox) Sandbox: nc(75) deny(1) network-outbound /var/run/x.sock\n@\n\
         2026-01-02 03:04:05.678 E  kernel[0:1f2e] (Sandbox) Sandbox: nc(76) deny(1) network-outbound 1.2.3.4:80\n@\n\
         2026-01-02 03:04:05.678 E  kernel[0:1f2e] (Sandbox) Sandbox: not(77) deny(1) file-write-create {outside}/z\nsomebody-elses-tag\n"
    );
    let mut command = mac(&scratch, "{}");
    command.args(["--log", "log"]);
    command.args(["-c", "printf %s \"$LINES_\" > tools/lines"]);
    command.env("LINES_", lines);
    let out = finish(command);
    assert_status(&out, 0);
    let log = fs::read_to_string(scratch.path("log")).unwrap();
    let field = |line: &str, name: &str| {
        let value = line.split(&format!("\"{name}\":")).nth(1).unwrap_or("");
        value
            .split(",\"")
            .next()
            .unwrap_or("")
            .trim_end_matches('}')
            .to_owned()
    };
    let seen: Vec<String> = log
        .lines()
        .filter(|line| line.contains("\"event\":\"violation\""))
        .map(|line| {
            ["kind", "action", "target", "program", "pid"]
                .map(|n| field(line, n))
                .join(" ")
        })
        .collect();
    assert_eq!(
        seen,
        [
            format!("\"write\" \"file-write-create\" \"{outside}/a\" \"touch\" 71"),
            format!(
                "\"write\" \"file-write-create\" \"{outside}/b\\u000ac deny(1) x\" \"touch\" 71"
            ),
            "\"syscall\" \"mach-lookup\" \"com.apple.x\" \"a (b) c\" 73".to_owned(),
            "\"socket\" \"network-outbound\" \"/var/run/x.sock\" \"nc\" 75".to_owned(),
            "\"network\" \"network-outbound\" \"1.2.3.4:80\" \"nc\" 76".to_owned(),
        ],
        "{log}"
    );
}

#[test]
fn git_over_ssh_knows_the_password() {
    let (scratch, port) = (place(), server());
    let policy = format!(r#"{{"network": {{"allowedDomains": ["127.0.0.1:{port}"]}}}}"#);
    let script = format!(
        "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | {} --stage connect 127.0.0.1 {port} | tail -n 1
         {0} --stage connect 127.0.0.1 1 </dev/null",
        support::program().display()
    );
    let out = shell(&scratch, &policy, &script);
    assert_eq!(text(&out.stdout), "the page\n");
    assert!(
        text(&out.stderr).contains("127.0.0.1:1 is denied"),
        "{}",
        text(&out.stderr)
    );
}

#[test]
fn a_full_log_or_none_stops_no_run() {
    let scratch = place();
    fs::remove_file(scratch.path("tools/log")).unwrap();
    let mut command = mac(&scratch, "{}");
    command.args(["-d", "-c", "echo fine"]);
    let out = finish(command);
    assert_status(&out, 0);
    assert_eq!(text(&out.stdout), "fine\n");
    assert!(
        text(&out.stderr).contains("what the system refuses is not reported"),
        "{}",
        text(&out.stderr)
    );
    let mut command = mac(&scratch, "{}");
    command.args(["-c", "true"]);
    fs::remove_file(scratch.path("tools/sandbox-exec")).unwrap();
    let out = finish(command);
    assert_status(&out, 125);
    assert!(
        text(&out.stderr).starts_with("srt: starting sandbox-exec: "),
        "{}",
        text(&out.stderr)
    );
}

/// Plays a script on a terminal, with `run(…)` for the run path of macOS.
fn play(scratch: &Scratch, script: &str) -> String {
    let own = "def run(*argv): return Terminal(SRT, '--as-macos', 'tools', '-s', POLICY, *argv)";
    scratch.file(
        "driver.py",
        &format!("{DRIVER}\n{own}\nexec(sys.argv[1])\n"),
    );
    let mut command = Command::new("python3");
    command.arg("driver.py").arg(script);
    command.arg(support::program()).arg(scratch.policy("{}"));
    command
        .current_dir(scratch.path(""))
        .env("HOME", scratch.path(""));
    let out = finish(command);
    assert_status(&out, 0);
    text(&out.stdout)
}

#[test]
fn a_key_reaches_the_command_once_and_a_stop_stops_both() {
    let scratch = place();
    scratch.file(
        "count.py",
        // A handler of Python's runs once for two signals; what is written counts each.
        "import os, signal\nread, write = os.pipe()\nos.set_blocking(write, False)\n\
         signal.set_wakeup_fd(write)\nsignal.signal(signal.SIGINT, lambda *_: print('one', flush=True))\n\
         def told(*_):\n    n = os.read(read, 99).count(signal.SIGINT)\n    print('got', n, flush=True)\n    raise SystemExit(n)\n\
         signal.signal(signal.SIGUSR1, told)\nprint('begun', flush=True)\nwhile True: signal.pause()\n",
    );
    let said = play(
        &scratch,
        r#"
t = run("python3", "count.py"); t.until("begun")
# Two signals that come at the same time are one: only some of them would be seen twice.
for _ in range(12): t.type("\x03"); t.until(r"\^C"); t.until("one"); time.sleep(0.05)
os.kill(find("count.py"), signal.SIGUSR1); t.until("got 12"); print(t.end())
t = shell()
t.line(f"{SRT} --as-macos tools -s {POLICY} sh said.sh sleep 4321")
t.until("begun"); command, srt = find("4321"), supervisor("4321")
t.type("\x1a"); t.until("Stopped"); t.prompt()
t.wait("both stop", lambda: state(command) == state(srt) == "T")
t.line("fg"); t.wait("both go on", lambda: state(command) == state(srt) == "S")
t.type("\x03"); t.prompt(); t.line("echo status $?"); t.until("status 130"); print("130")
t.line("exit"); t.end()
"#,
    );
    assert_eq!(said, "12\n130\n");
}

#[test]
fn what_macos_cannot_keep_is_an_error() {
    let scratch = Scratch::new();
    for (json, status) in [
        (
            r#"{"network": {"allowedDomains": ["a.test"], "capture": true}}"#,
            125,
        ),
        (
            r#"{"network": {"allowedDomains": ["a.test"], "capturePorts": [81]}}"#,
            0,
        ),
        (r#"{"limits": {"memoryMiB": 100}}"#, 125),
        (
            r#"{"limits": {"openFiles": 100, "cpuSeconds": 9, "wallSeconds": 9}}"#,
            0,
        ),
    ] {
        let mut command = srt(Who::Me, &scratch.path(""));
        command.arg("-s").arg(scratch.policy(json));
        command.args(["--dry-run", "--platform", "macos", "true"]);
        let out = finish(command);
        assert_status(&out, status);
        let said = text(&out.stderr);
        let told =
            said.contains("limits.memoryMiB: macOS") || said.contains("network.capture: cannot");
        assert_eq!(told, status != 0, "{said}");
    }
}
