//! What a sandboxed command leaves where it may write decides nothing for a later run, and
//! what it holds up holds nobody up but itself. Each of these got through once.

mod support;

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use support::{
    Scratch, Who, assert_status, everyone, finish, finish_child, program, shell, srt, text,
};

const WRITE_HERE: &str = r#"{"filesystem": {"allowWrite": ["@"]}}"#;

fn run(who: Who, scratch: &Scratch, json: &str, words: &[&str]) -> Output {
    let mut command = srt(who, &scratch.path(""));
    command.arg("-s").arg(scratch.policy(json)).args(words);
    finish(command)
}

#[test]
fn a_log_is_not_led_elsewhere_by_a_link_and_has_no_other_name() {
    for who in everyone() {
        let scratch = Scratch::new();
        scratch.file("home/.profile", "kept\n");
        scratch.dir("here");
        let json = r#"{"filesystem": {"allowWrite": ["@/here"]}}"#;
        let plant = "cd here && ln -s ../home/.profile log && ln -s ../home/made dangling && ln -s ../home directory \
                     && : > a && ln a b";
        assert_status(&shell(who, &scratch, json, plant), 0);
        for (log, word) in [
            ("here/log", "symbolic link"),
            ("here/dangling", "symbolic link"),
            ("here/directory/new", "symbolic link"),
            ("here/a", "another name"),
        ] {
            let out = run(
                who,
                &scratch,
                json,
                &["--log", log, "-c", "echo ran; touch /etc/x"],
            );
            assert_status(&out, 125);
            let stderr = text(&out.stderr);
            assert!(
                stderr.contains(word) && out.stdout.is_empty(),
                "{log}: {stderr}"
            );
        }
        assert_eq!(
            fs::read_to_string(scratch.path("home/.profile")).unwrap(),
            "kept\n"
        );
        assert_eq!(fs::read_dir(scratch.path("home")).unwrap().count(), 1);
        // What a shell would run, if it read the log.
        scratch.dir("out");
        let name = "out/$(id>evil)`id`";
        let out = run(
            who,
            &scratch,
            json,
            &["--log", "good", "-c", &format!("echo x > '{name}'")],
        );
        assert_ne!(out.status.code(), Some(125));
        let log = fs::read_to_string(scratch.path("good")).unwrap();
        assert!(
            log.contains("(id>evil)") && !log.contains(['$', '`']),
            "{log}"
        );
    }
}

/// Whether somebody has connected.
fn accepted(listener: &UnixListener) -> bool {
    listener.set_nonblocking(true).unwrap();
    listener.accept().is_ok()
}

const CONNECT: &str = "python3 -c 'import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(\"reached\")' ";

#[test]
fn a_listed_socket_that_is_there_cannot_be_replaced_by_another() {
    for who in everyone() {
        let scratch = Scratch::new();
        scratch.dir("w/agent");
        let listed = UnixListener::bind(scratch.path("w/dev.sock")).unwrap();
        let other = UnixListener::bind(scratch.path("w/agent/other")).unwrap();
        for name in ["w/dev.sock", "w/agent/other"] {
            fs::set_permissions(scratch.path(name), fs::Permissions::from_mode(0o777)).unwrap();
        }
        let json = r#"{"filesystem": {"allowWrite": ["@/w"]}, "network": {"allowUnixSockets": ["@/w/dev.sock"]}}"#;
        let script = format!(
            "rm -f w/dev.sock; mv w/agent/other w/dev.sock; ln w/agent/other w/dev.sock; ln -s agent/other w/dev.sock; \
             {CONNECT} w/dev.sock; {CONNECT} w/agent/other"
        );
        let out = shell(who, &scratch, json, &script);
        assert_eq!(text(&out.stdout), "reached\n", "{}", text(&out.stderr));
        assert!(accepted(&listed) && !accepted(&other), "as {who:?}");
    }
}

#[test]
fn a_socket_is_not_listed_where_others_keep_theirs() {
    for who in everyone() {
        let scratch = Scratch::new();
        // As /tmp is.
        scratch.dir("all");
        fs::set_permissions(scratch.path("all"), fs::Permissions::from_mode(0o1777)).unwrap();
        let json = |list: &str| {
            format!(
                r#"{{"filesystem": {{"allowWrite": ["@/all"]}}, "network": {{"allowUnixSockets": ["{list}"]}}}}"#
            )
        };
        for list in ["@/all/later.sock", "@/all"] {
            let out = run(who, &scratch, &json(list), &["-c", "echo ran"]);
            assert_status(&out, 125);
            assert!(text(&out.stderr).contains("any socket that it moves there"));
        }
        symlink("/run", scratch.path("all/link")).unwrap();
        let out = run(who, &scratch, &json("@/all/link/x"), &["-c", "echo ran"]);
        assert_status(&out, 125);
        assert!(
            text(&out.stderr).contains("symbolic link"),
            "{}",
            text(&out.stderr)
        );
    }
    let scratch = Scratch::new();
    let nested = r#"{"allowNestedUserNamespaces": true, "network": {"allowUnixSockets": ["@/s"]}}"#;
    let out = run(Who::Nobody, &scratch, nested, &["-c", "echo ran"]);
    if support::is_root() {
        assert_status(&out, 125);
        assert!(text(&out.stderr).contains("mount another socket"));
    }
}

#[test]
fn the_socket_of_another_proxy_cannot_be_replaced() {
    for who in everyone() {
        let scratch = Scratch::new();
        scratch.dir("w");
        let json = r#"{"filesystem": {"allowWrite": ["@/w"]}, "network": {"allowedDomains": ["x.test"],
            "mitmProxy": {"socketPath": "@/w/mitm", "domains": ["x.test"]}}}"#;
        let out = run(who, &scratch, json, &["-c", "echo ran"]);
        assert_status(&out, 125);
        assert!(
            text(&out.stderr).contains("network.mitmProxy.socketPath"),
            "{}",
            text(&out.stderr)
        );
        let _mitm = UnixListener::bind(scratch.path("w/mitm")).unwrap();
        let secret = UnixListener::bind(scratch.path("secret")).unwrap();
        let script =
            "rm w/mitm; ln -s ../secret w/mitm; mv w/mitm w/m; curl -sm2 http://x.test/; true";
        assert_status(&shell(who, &scratch, json, script), 0);
        assert!(!accepted(&secret));
    }
}

#[test]
fn a_bubblewrap_that_the_command_could_have_made_is_not_run() {
    for who in everyone() {
        let scratch = Scratch::new();
        scratch.dir("bin");
        let fake = "#!/bin/sh\necho ran > @/evil\nexec bwrap \"$@\"\n";
        let json = r#"{"filesystem": {"allowWrite": ["@/bin"]}}"#;
        scratch.file(
            "fake",
            &fake.replace('@', scratch.path("").to_str().unwrap()),
        );
        assert_status(
            &shell(
                who,
                &scratch,
                json,
                "cp fake bin/bwrap && chmod 755 bin/bwrap",
            ),
            0,
        );
        let path = format!(
            "{}:{}",
            scratch.path("bin").display(),
            std::env::var("PATH").unwrap()
        );
        let mut command = srt(who, &scratch.path(""));
        command
            .env("PATH", path)
            .arg("-s")
            .arg(scratch.policy(json));
        let out = finish({
            command.arg("true");
            command
        });
        assert_status(&out, 125);
        assert!(
            text(&out.stderr).contains("set bwrapPath"),
            "{}",
            text(&out.stderr)
        );
        assert!(!scratch.path("evil").exists());
    }
}

// What is written to a full pipe, or a stopped terminal, is lost: it holds up neither the
// limit nor the guard.
#[test]
fn a_full_stderr_holds_nothing_up() {
    for who in everyone() {
        let scratch = Scratch::new();
        let json = r#"{"limits": {"wallSeconds": 1}}"#;
        let script = "python3 -c 'import os, time
try:
    os.set_blocking(2, False)
    while True: os.write(2, b\"x\" * 4096)
except BlockingIOError: os.set_blocking(2, True)
print(\"full\", flush=True); time.sleep(60)'";
        let mut command = srt(who, &scratch.path(""));
        command
            .arg("-s")
            .arg(scratch.policy(json))
            .args(["-c", script]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let begin = Instant::now();
        let mut child = command.spawn().unwrap();
        assert_eq!(support::said(&mut child), "full\n");
        let status = child.wait().unwrap();
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "{:?}",
            begin.elapsed()
        );
        assert_eq!(status.code(), Some(143));
    }
}

#[test]
fn a_guard_that_nobody_hears_guards_all_the_same() {
    for who in everyone() {
        let scratch = Scratch::new();
        support::outside(who, &scratch.path(""), "git init -q repo");
        let script = "python3 -c 'import os, sys
try:
    os.set_blocking(2, False)
    while True: os.write(2, b\"x\" * 4096)
except BlockingIOError: os.set_blocking(2, True)
print(\"full\", flush=True); sys.stdin.readline()
def attempt():
    try: open(\"repo/.git/config\", \"a\").write(\"evil\"); print(\"written\", flush=True)
    except OSError: print(\"refused\", flush=True)
attempt()'";
        let mut command = srt(who, &scratch.path(""));
        command
            .arg("-s")
            .arg(scratch.policy(WRITE_HERE))
            .args(["-c", script]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        assert_eq!(support::said(&mut child), "full\n");
        for name in ["one", "two", "three"] {
            let out = support::outside(
                who,
                &scratch.path(""),
                &format!("git -C repo config user.name {name}"),
            );
            assert_status(&out, 0);
            // The guard hears of it within this time, or not at all.
            std::thread::sleep(Duration::from_millis(300));
        }
        drop(child.stdin.take());
        assert_eq!(support::said(&mut child), "refused\n", "as {who:?}");
        let mut stderr = child.stderr.take().unwrap();
        std::thread::spawn(move || drop(stderr.read_to_end(&mut Vec::new())));
        finish_child(child);
    }
}

#[test]
fn a_command_that_stops_itself_does_not_outlast_its_time_by_others() {
    // Only where a terminal makes srt stop with its command; the child works on meanwhile.
    let scratch = Scratch::new();
    let json = r#"{"filesystem": {"allowWrite": ["@"]}, "limits": {"wallSeconds": 1}}"#;
    let script = "(while :; do date +%s > alive; sleep 0.2; done) & kill -STOP $$";
    let pty = "import os, pty, sys, time
pid, fd = pty.fork()
if pid == 0: os.execvp(sys.argv[1], sys.argv[1:])
time.sleep(14)
while not (said := open('alive').read()): pass
print(said, int(time.time()))
os.kill(pid, 9); os.waitpid(pid, 0)";
    let mut command = Command::new("python3");
    command
        .current_dir(scratch.path(""))
        .env("HOME", scratch.path(""));
    command
        .args(["-c", pty])
        .arg(program())
        .arg("-s")
        .arg(scratch.policy(json));
    let out = finish({
        command.args(["-c", script]);
        command
    });
    let said = text(&out.stdout);
    let numbers: Vec<u64> = said
        .split_whitespace()
        .map(|n| n.parse().unwrap())
        .collect();
    assert!(
        numbers[1] - numbers[0] >= 2,
        "still at work: {said}{}",
        text(&out.stderr)
    );
}

#[test]
fn what_was_refused_while_learning_is_not_learned() {
    let Some(lab) = support::Lab::new("learning addresses") else {
        return;
    };
    // The client's own address, and a metadata address in another spelling.
    let starter = "exec \"$0\" \"$1\" \"$2\" --learn -c \"$4\"";
    let script =
        "curl -sm2 http://10.77.0.1:18081/; curl -sm2 'http://[64:ff9b::a9fe:a9fe]/'; true";
    let out = lab.shell_under(starter, "{}", script);
    let stderr = text(&out.stderr);
    assert!(stderr.contains("srt: learned: {}"), "{stderr}");
    assert!(
        stderr.contains("not suggested: network 10.77.0.1:18081"),
        "{stderr}"
    );
}

#[test]
fn no_text_of_others_is_turned_around_on_the_terminal() {
    let scratch = Scratch::new();
    let file = scratch.file("\u{202e}nosj", r#"{"unk\u202enown": 1, "bad\u200fkey": 2}"#);
    let mut command = srt(Who::Me, &scratch.path(""));
    let out = finish({
        command.arg("-s").arg(file).arg("true");
        command
    });
    assert_status(&out, 125);
    let stderr = text(&out.stderr);
    assert!(!stderr.contains(['\u{202e}', '\u{200f}']), "{stderr:?}");
}
