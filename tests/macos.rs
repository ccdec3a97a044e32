//! What holds on a Mac: the real `srt`, the real `sandbox-exec`. Elsewhere each of these is
//! skipped by its name.
//!
//! `cargo test --test macos` on a Mac proves, or finds wrong:
//! - files: what is denied is neither read nor written, by no spelling, case, link or move;
//!   what is allowed is; always-denied names stay out of reach;
//! - network: the proxy is the only way out, names that are not listed are refused, Unix
//!   sockets are;
//! - processes: nobody outside is signalled or looked into; statuses and signals; nothing is
//!   left behind, also when `srt` is killed;
//! - the system's log: a refusal is reported.
#![allow(clippy::print_stderr)]

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

/// A directory of the test's own.
struct Place(PathBuf);

impl Place {
    /// `None`, said loudly, where this is no Mac.
    fn new(test: &str) -> Option<Self> {
        if !cfg!(target_os = "macos") {
            eprintln!("SKIP {test}: this is not macOS");
            return None;
        }
        // By its link: both spellings of the place are in play.
        let path = PathBuf::from(format!("/tmp/srt-macos-{}-{test}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        for name in ["work", "outside", "tmp"] {
            fs::create_dir_all(path.join(name)).unwrap();
        }
        fs::write(path.join("outside/file"), "secret\n").unwrap();
        Some(Self(path))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn command(&self, json: &str) -> Command {
        let policy = self.at("policy.json");
        fs::write(&policy, json.replace('@', self.0.to_str().unwrap())).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_srt"));
        command.arg("-s").arg(policy);
        command
            .current_dir(self.at("work"))
            .env("HOME", &self.0)
            .env("TMPDIR", self.at("tmp"))
            .stdin(Stdio::null());
        for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        command
    }

    fn shell(&self, json: &str, script: &str) -> Output {
        self.command(json).args(["-c", script]).output().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The script's exit status; what it said is shown if it is not this.
#[track_caller]
fn ends(out: &Output, status: i32) {
    let (stdout, stderr) = (text(&out.stdout), text(&out.stderr));
    assert_eq!(out.status.code(), Some(status), "{stdout}\n{stderr}");
}

const WORK: &str = r#"{"filesystem": {"allowWrite": ["."]}}"#;

#[test]
fn a_command_runs_and_has_what_programs_need() {
    let Some(place) = Place::new("runs") else {
        return;
    };
    let out = place.shell(
        WORK,
        "echo hello && ls / >/dev/null && echo x >/dev/null && date >/dev/null && python3 -c 'print(1)' && \
         touch \"$TMPDIR/x\" && echo y > file && mv file other && rm other && mkdir -p a/b && rm -r a",
    );
    ends(&out, 0);
    assert!(text(&out.stdout).starts_with("hello\n"));
}

#[test]
fn nothing_outside_is_written_by_any_name() {
    let Some(place) = Place::new("write") else {
        return;
    };
    let outside = place.at("outside");
    let outside = outside.to_str().unwrap();
    std::os::unix::fs::symlink(outside, place.at("work/link")).unwrap();
    for script in [
        format!("echo x > {outside}/file"),
        format!("echo x > /private{outside}/file"),
        format!("echo x > {}/FILE", outside.to_uppercase()),
        "echo x > link/file".into(),
        format!("rm {outside}/file"),
        format!("mv {outside} {outside}2"),
        format!("chmod 777 {outside}/file"),
        format!("ln {outside}/file hard && echo x > hard"),
        format!("touch {outside}/new"),
        "cd .. && mv work work2".into(),
        "echo x > ~/x".into(),
    ] {
        let out = place.shell(WORK, &script);
        assert!(!out.status.success(), "{script}");
    }
    assert_eq!(
        fs::read_to_string(place.at("outside/file")).unwrap(),
        "secret\n"
    );
    assert_eq!(fs::read_dir(place.at("outside")).unwrap().count(), 1);
}

#[test]
fn always_denied_names_stay_out_of_reach() {
    let Some(place) = Place::new("names") else {
        return;
    };
    for name in [
        ".bashrc",
        ".BASHRC",
        ".mcp.json",
        "deep/er/.zshrc",
        ".vscode/x",
        ".git/hooks/x",
        ".git/config",
    ] {
        let script = format!("mkdir -p \"$(dirname {name})\"; echo x > {name}");
        let out = place.shell(WORK, &script);
        assert!(
            !out.status.success() && !place.at("work").join(name).exists(),
            "{name}"
        );
    }
    fs::write(place.at("work/.npmrc"), "mine\n").unwrap();
    for script in [
        "mv .npmrc x",
        "rm .npmrc",
        "ln -sf /dev/null .npmrc",
        "echo y > y && mv -f y .npmrc",
    ] {
        assert!(!place.shell(WORK, script).status.success(), "{script}");
    }
    assert_eq!(
        fs::read_to_string(place.at("work/.npmrc")).unwrap(),
        "mine\n"
    );
}

#[test]
fn what_is_denied_is_not_read_and_what_is_allowed_inside_is() {
    let Some(place) = Place::new("read") else {
        return;
    };
    fs::create_dir(place.at("outside/open")).unwrap();
    fs::write(place.at("outside/open/file"), "open\n").unwrap();
    let policy = r#"{"filesystem": {"denyRead": ["@/outside", "**/*.key"], "allowRead": ["@/outside/open"], "allowWrite": ["."]}}"#;
    fs::write(place.at("work/a.key"), "key\n").unwrap();
    for script in [
        "cat ../outside/file",
        "cat ../OUTSIDE/File",
        "cat /private/tmp/*/outside/file",
        "ls ../outside",
        "cp -R ../outside x && cat x/file",
        "mv ../outside ./x && cat x/file",
        "cat a.key",
        "cat A.KEY",
        "mv a.key b && cat b",
        "ln a.key b && cat b",
    ] {
        let out = place.shell(policy, script);
        let said = text(&out.stdout);
        assert!(
            !said.contains("secret") && !said.contains("key"),
            "{script}: {said}"
        );
        assert!(!out.status.success(), "{script}");
    }
    let out = place.shell(
        policy,
        "cat ../outside/open/file; pwd -P; cd ../outside/open && realpath . 2>/dev/null || pwd -P",
    );
    assert!(
        text(&out.stdout).starts_with("open\n"),
        "{}",
        text(&out.stderr)
    );
}

#[test]
fn names_that_would_end_a_string_of_the_profile_are_held_like_others() {
    let Some(place) = Place::new("strings") else {
        return;
    };
    for name in ["a\"b", "a\\b", "a\nb", "a)b(allow file-write*)", "a*b[c]?"] {
        let dir = place.at("work").join(name);
        fs::create_dir(&dir).unwrap();
        let written = name
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        let policy = format!(
            r#"{{"filesystem": {{"allowWrite": ["."], "denyWrite": [{{"path": "./{written}", "literal": true}}]}}}}"#
        );
        let out = place
            .command(&policy)
            .args(["touch", &format!("{name}/x")])
            .output()
            .unwrap();
        assert!(!out.status.success() && !dir.join("x").exists(), "{name}");
        ends(&place.shell(&policy, "touch x && rm x"), 0);
    }
}

fn server() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for peer in listener.incoming() {
            let mut peer = peer.unwrap();
            let _ = peer.read(&mut [0; 4096]);
            let _ = peer.write_all(b"HTTP/1.0 200 OK\r\n\r\nthe page\n");
        }
    });
    port
}

#[test]
fn the_proxy_is_the_only_way_out() {
    let Some(place) = Place::new("network") else {
        return;
    };
    let port = server();
    let policy = format!(r#"{{"network": {{"allowedDomains": ["127.0.0.1:{port}"]}}}}"#);
    let curl = "curl -sS --max-time 10";
    let out = place.shell(
        &policy,
        &format!("{curl} --noproxy '' http://127.0.0.1:{port}/"),
    );
    assert_eq!(text(&out.stdout), "the page\n", "{}", text(&out.stderr));
    for script in [
        format!("{curl} --noproxy '*' http://127.0.0.1:{port}/"),
        format!("nc -w 2 127.0.0.1 {port} </dev/null && false"),
        format!("{curl} --noproxy '' -f http://127.0.0.1:1/"),
        format!("{curl} --noproxy '*' http://1.1.1.1/"),
        format!(
            "{curl} -x http://127.0.0.1:${{HTTP_PROXY##*:}} --noproxy '' -f http://127.0.0.1:{port}/"
        ),
        "host -W 1 example.com 8.8.8.8 && false".into(),
        "python3 -c 'import socket; socket.getaddrinfo(\"example.com\", 80)'".into(),
        "nc -l 127.0.0.1 0 & sleep 0.2; kill $! && false".into(),
    ] {
        let out = place.shell(&policy, &script);
        assert!(!out.status.success(), "{script}: {}", text(&out.stdout));
    }
    let policy = format!(r#"{{"network": {{"allowHostPorts": [{port}]}}}}"#);
    let out = place.shell(
        &policy,
        &format!("{curl} --noproxy '*' http://127.0.0.1:{port}/"),
    );
    assert_eq!(text(&out.stdout), "the page\n", "{}", text(&out.stderr));
}

#[test]
fn unix_sockets_are_reached_where_the_settings_list_them() {
    let Some(place) = Place::new("sockets") else {
        return;
    };
    let _listener = UnixListener::bind(place.at("outside/s")).unwrap();
    let connect =
        "python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"../outside/s\")'";
    assert!(!place.shell(WORK, connect).status.success());
    let listed = r#"{"network": {"allowUnixSockets": ["@/outside/s"]}}"#;
    ends(&place.shell(listed, connect), 0);
    let all = r#"{"network": {"allowAllUnixSockets": true}}"#;
    ends(&place.shell(all, connect), 0);
}

#[test]
fn nobody_outside_is_signalled_or_looked_into() {
    let Some(place) = Place::new("processes") else {
        return;
    };
    let mut other = Command::new("sleep").arg("600").spawn().unwrap();
    let pid = other.id();
    let out = place.shell(WORK, &format!("kill -9 {pid}; kill -0 {pid}"));
    assert!(!out.status.success());
    assert!(other.try_wait().unwrap().is_none());
    other.kill().unwrap();
    other.wait().unwrap();
    ends(&place.shell(WORK, "sleep 600 & kill $!; wait $!"), 128 + 15);
}

#[test]
fn statuses_signals_and_streams_are_the_commands_own() {
    let Some(place) = Place::new("status") else {
        return;
    };
    ends(&place.shell(WORK, "exit 7"), 7);
    ends(&place.shell(WORK, "kill -TERM $$"), 128 + 15);
    ends(
        &place.command(WORK).arg("no-such-program").output().unwrap(),
        127,
    );
    ends(
        &place.command(WORK).arg("/etc/hosts").output().unwrap(),
        126,
    );
    let mut child = place
        .command(WORK)
        .args([
            "-c",
            "trap 'echo got; exit 9' TERM; echo ready; while :; do sleep 0.05; done",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut ready)
        .unwrap();
    let killed = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(killed.unwrap().success());
    let out = child.wait_with_output().unwrap();
    ends(&out, 9);
    assert_eq!(text(&out.stdout), "got\n");
    let mut child = place
        .command(WORK)
        .arg("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"\0\xff\n").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"\0\xff\n");
}

#[test]
fn nothing_is_left_behind_also_when_srt_is_killed() {
    let Some(place) = Place::new("leftovers") else {
        return;
    };
    let left = || fs::read_dir(place.at("tmp")).unwrap().count();
    ends(
        &place.shell(WORK, "mkdir -p $TMPDIR/a/b; chmod 0 $TMPDIR/a/b"),
        0,
    );
    assert_eq!(left(), 0);
    let mut child = place
        .command(WORK)
        .args(["-c", "echo $$ > pid; echo ready; exec sleep 600"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut ready)
        .unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let pid = fs::read_to_string(place.at("work/pid")).unwrap();
    let lives = || {
        let alive = Command::new("ps").args(["-p", pid.trim()]).output();
        alive.unwrap().status.success()
    };
    for _ in 0..1000 {
        if !lives() {
            break;
        }
        thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(!lives());
    ends(&place.shell(WORK, "true"), 0);
    assert_eq!(left(), 0);
}

#[test]
fn a_refusal_is_in_the_log() {
    let Some(place) = Place::new("log") else {
        return;
    };
    let log = place.at("log.jsonl");
    // Named by its real place: a link on the way is an error.
    let log = Path::new("/private").join(log.strip_prefix("/").unwrap());
    let mut command = place.command(WORK);
    command.arg("--log").arg(&log);
    command.args(["-c", "echo x > ../outside/file; sleep 1"]);
    command.output().unwrap();
    let said = fs::read_to_string(log).unwrap();
    assert!(
        said.lines()
            .any(|line| line.contains("\"kind\":\"write\"") && line.contains("outside/file")),
        "{said}"
    );
}

#[test]
fn git_works_on_a_repository_and_cannot_plant_a_hook() {
    let Some(place) = Place::new("git") else {
        return;
    };
    let git = |words: &[&str]| {
        let done = Command::new("git")
            .args(words)
            .current_dir(place.at("work"))
            .status();
        assert!(done.unwrap().success());
    };
    git(&["init", "-q"]);
    git(&["config", "user.email", "a@b.test"]);
    git(&["config", "user.name", "A"]);
    let out = place.shell(WORK, "echo 1 > a && git add a && git commit -qm one && git status --short && git log --oneline | wc -l");
    ends(&out, 0);
    for script in [
        "git config core.pager x",
        "echo x > .git/hooks/pre-commit",
        "mv .git .git2",
    ] {
        assert!(!place.shell(WORK, script).status.success(), "{script}");
    }
}
