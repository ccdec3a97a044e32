//! Whatever fails while the sandbox comes up, and whenever it is killed: the command has
//! not run with a layer missing, and nothing stays behind.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::{
    Scratch, Who, assert_status, everyone, finish, is_alive, is_recorded, outside, snapshot, srt,
    text,
};

/// Calls that make a layer, or check one: each of theirs is failed.
const LAYERS: &[&str] = &[
    "prctl",
    "seccomp",
    "landlock_create_ruleset",
    "landlock_add_rule",
    "landlock_restrict_self",
    "close_range",
    "setrlimit",
    "prlimit64",
    "bind",
    "listen",
    "sendmsg",
    "recvmsg",
    "openat2",
    "statx",
    "mount_setattr",
    "move_mount",
    "open_tree",
    "setns",
    "clone",
    "clone3",
    "fork",
    "dup2",
    "signalfd4",
    "rt_sigprocmask",
    "pidfd_open",
    "memfd_create",
    "flock",
    "execve",
    "capset",
    "unshare",
    "mount",
    "umount2",
    "pivot_root",
];

/// Calls without which nobody gets anywhere, and those that cannot fail: a close that
/// says so has closed (close(2)).
const NOT_FAILED: &[&str] = &[
    "close",
    "exit_group",
    "exit",
    "rt_sigreturn",
    "restart_syscall",
    "mmap",
    "brk",
    "arch_prctl",
];

/// Whom strace watches. It counts for each process by itself: what srt calls as well
/// would fail there first, and the stage would never come to it.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Watched {
    /// Nobody.
    Nobody,
    /// srt, and all it starts.
    Srt,
    /// The same in a run that is logged, for the calls of its observer.
    Observer,
    /// bubblewrap, the stage and the command.
    Stage,
}

/// A directory with everything the probe looks at, and `srt` to run it.
struct Bench {
    scratch: Scratch,
    listener: TcpListener,
    strace: String,
    bwrap: String,
}

impl Bench {
    fn new() -> Self {
        let scratch = Scratch::new();
        for name in ["o/f", "h/secret", "w/.git/HEAD", "w/.git/config"] {
            scratch.file(name, "x");
        }
        for name in ["w/deny", "w/.git/hooks", "w/.git/objects", "w/.git/refs"] {
            scratch.dir(name);
        }
        let rules = r#""filesystem": {"allowWrite": ["@/w"], "denyWrite": ["@/w/deny"], "denyRead": ["@/h"]}"#;
        let policy = scratch.policy(&format!(r#"{{{rules}, "bwrapPath": "@/bwrap"}}"#));
        fs::rename(policy, scratch.path("staged.json")).unwrap();
        scratch.policy(&format!("{{{rules}}}"));
        let which = |name: &str| {
            let out = outside(Who::Me, &scratch.path(""), &format!("command -v {name}"));
            text(&out.stdout).trim_end().to_owned()
        };
        let (strace, bwrap) = (which("strace"), which("bwrap"));
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-static", "-o"]).arg(scratch.path("probe"));
        cc.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/probe.c"));
        let out = finish(cc);
        assert!(out.status.success(), "{}", text(&out.stderr));
        outside(Who::Me, &scratch.path(""), "chmod -R a+rwX .");
        Self {
            scratch,
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            strace,
            bwrap,
        }
    }

    /// Runs the probe; strace is told `options`.
    fn run(&self, who: Who, watched: Watched, options: &[&str]) -> std::process::Output {
        let inner = srt(who, &self.scratch.path(""));
        let mut command = Command::new("timeout");
        command.args(["-s", "KILL", "15"]);
        let options = [&["-f", "-qq"], options].concat();
        let mut before: Vec<&str> = Vec::new();
        let mut policy = "policy.json";
        match watched {
            Watched::Nobody => {}
            Watched::Srt | Watched::Observer => {
                before = [&[self.strace.as_str()], options.as_slice()].concat()
            }
            Watched::Stage => {
                policy = "staged.json";
                let (strace, bwrap, options) = (&self.strace, &self.bwrap, options.join(" "));
                let script = format!("#!/bin/sh\nexec {strace} {options} {bwrap} \"$@\"\n");
                self.scratch.file("bwrap", &script);
            }
        }
        // strace comes behind the change of user: what it starts, it may trace.
        let words: Vec<_> = inner.get_args().collect();
        match who {
            Who::Me => command.args(before).arg(inner.get_program()),
            Who::Nobody => command
                .arg(inner.get_program())
                .args(&words[..words.len() - 1])
                .args(before)
                .arg(words[words.len() - 1]),
        };
        command.args(["-s", policy]);
        if watched == Watched::Observer {
            command.args(["--log", "/dev/null"]);
        }
        command.arg("./probe");
        command.arg(self.listener.local_addr().unwrap().port().to_string());
        command.arg(std::process::id().to_string());
        command
            .current_dir(self.scratch.path(""))
            .env("HOME", self.scratch.path(""));
        command.stdin(Stdio::from(
            fs::File::open(self.scratch.path("o/f")).unwrap(),
        ));
        finish(command)
    }
}

/// The first and the last time that one of our processes makes each call, as strace
/// counts: the stage goes on where bubblewrap's child was.
fn calls(log: &str, watched: Watched) -> BTreeMap<String, (usize, usize)> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut ours: BTreeSet<&str> = BTreeSet::new();
    let mut found: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for line in log.lines() {
        let Some((pid, rest)) = line.split_once(' ') else {
            continue;
        };
        let Some((name, arguments)) = rest.trim_start().split_once('(') else {
            continue;
        };
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            continue;
        }
        let first = counts.is_empty() && watched == Watched::Srt;
        let count: &mut usize = counts.entry((pid, name)).or_default();
        *count += 1;
        if ours.contains(pid) || watched == Watched::Srt && LAYERS.contains(&name) {
            let known = found.entry(name.to_owned()).or_insert((*count, *count));
            *known = (known.0.min(*count), known.1.max(*count));
        }
        let role = match watched {
            Watched::Observer => arguments.contains("\"observe\""),
            _ => true,
        };
        if first || role && name == "execve" && arguments.starts_with("\"/proc/self/") {
            ours.insert(pid);
        }
        if name == "execve" && arguments.contains("./probe\"]") {
            ours.remove(pid);
        }
    }
    found
}

/// How strace is told to fail a call that is made these times: some of them, or with
/// SRT_ALL_FAULTS=1 each.
fn faults(name: &str, (first, last): (usize, usize)) -> Vec<String> {
    if NOT_FAILED.contains(&name) {
        return Vec::new();
    }
    let layer = LAYERS.contains(&name);
    let mut whens = BTreeSet::from([first, last]);
    let all = std::env::var_os("SRT_ALL_FAULTS").is_some_and(|v| v == "1");
    if all || layer && last - first < 12 {
        whens.extend(first..=last);
    } else if layer {
        whens.extend(
            [first + 1, (first + last) / 2]
                .into_iter()
                .chain(last - 5..=last),
        );
    }
    let mut faults = Vec::new();
    for when in whens {
        faults.push(format!("inject={name}:error=EPERM:when={when}"));
        if layer && when == last {
            faults.push(format!("inject={name}:error=ENOSYS:when={when}"));
        }
    }
    faults
}

#[test]
fn pitfall_03_in_no_case_has_the_command_run_with_a_layer_missing() {
    let bench = Bench::new();
    for who in everyone() {
        let out = bench.run(who, Watched::Nobody, &[]);
        assert_eq!(text(&out.stdout), "PROBE\n", "{}", text(&out.stderr));
    }
    let mut cases = Vec::new();
    for watched in [Watched::Srt, Watched::Observer, Watched::Stage] {
        let log = bench.scratch.file("log", "");
        let out = bench.run(Who::Me, watched, &["-o", log.to_str().unwrap()]);
        assert_eq!(text(&out.stdout), "PROBE\n", "{}", text(&out.stderr));
        let calls = calls(&fs::read_to_string(&log).unwrap(), watched);
        let expected = match watched {
            Watched::Observer => ["seccomp", "process_vm_readv", "ioctl", "sendmsg"],
            _ => ["landlock_restrict_self", "seccomp", "prctl", "close_range"],
        };
        for call in expected {
            assert!(calls.contains_key(call), "{call} is not among {calls:?}");
        }
        for (name, times) in calls {
            let faults = faults(&name, times).into_iter();
            cases.extend(faults.map(|fault| (watched, fault)));
        }
    }
    assert!(cases.len() > 300, "{}", cases.len());
    let (next, ran) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let users = everyone();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let bench = Bench::new();
                while let Some((at, watched, case)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    cases.get(at).map(|(watched, fault)| (at, *watched, fault))
                } {
                    let who = users[at % users.len()];
                    let out = bench.run(who, watched, &["-o", "/dev/null", "-e", case]);
                    let (stdout, stderr) = (text(&out.stdout), text(&out.stderr));
                    assert!(
                        !stdout.contains("LAYER"),
                        "{case} of {watched:?} as {who:?}: {stdout}{stderr}"
                    );
                    // Rust's runtime may abort; it was the time that killed it. A strace
                    // between srt and bubblewrap holds open what tells of an end.
                    let hung = watched != Watched::Stage && out.status.signal() == Some(9);
                    assert!(!hung, "{case} of {watched:?} as {who:?}: did not end");
                    if stdout.starts_with("PROBE") {
                        ran.fetch_add(1, Ordering::Relaxed);
                    } else {
                        assert_ne!(
                            out.status.code(),
                            Some(0),
                            "{case} of {watched:?} as {who:?}: {stderr}"
                        );
                    }
                }
            });
        }
    });
    let ran = ran.into_inner();
    assert!(
        ran > 10 && ran < cases.len(),
        "{ran} of {} ran",
        cases.len()
    );
}

/// A generator whose every number is known from its seed (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// What a run could leave on the host, but for files.
fn traces(own: &Path) -> BTreeMap<&'static str, Vec<String>> {
    let lines = |path: &str| -> Vec<String> {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    };
    let list = |path: &str| -> Vec<String> {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    let segments = |path: &str| {
        let lines = lines(path).into_iter().skip(1);
        let keys = lines.map(|l| l.split_whitespace().take(2).collect::<Vec<_>>().join(" "));
        keys.collect()
    };
    BTreeMap::from([
        ("mounts", lines("/proc/self/mountinfo")),
        ("shared memory files", list("/dev/shm")),
        ("shared memory", segments("/proc/sysvipc/shm")),
        ("semaphores", segments("/proc/sysvipc/sem")),
        ("queues", segments("/proc/sysvipc/msg")),
        ("cgroups", list("/sys/fs/cgroup")),
        ("temporary directories", list(own.to_str().unwrap())),
    ])
}

fn end(child: &mut Child, how: u64) {
    let id = child.id().to_string();
    // A share of the time it is bubblewrap that is killed.
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    let (signal, pid) = match (how, children.split_whitespace().next()) {
        (0, Some(bwrap)) => ("-KILL", bwrap.to_owned()),
        (1, _) => ("-HUP", id),
        (2, _) => ("-TERM", id),
        _ => ("-KILL", id),
    };
    let _ = Command::new("kill")
        .args([signal, &pid])
        .stderr(Stdio::null())
        .status();
    let _ = child.wait();
}

#[test]
fn two_hundred_runs_killed_at_random_moments_leave_nothing() {
    let seed = u64::from(std::process::id()) << 20 | 1;
    let mut random = Random(seed);
    for who in everyone() {
        let scratch = Scratch::new();
        fs::set_permissions(scratch.path(""), fs::Permissions::from_mode(0o777)).unwrap();
        let temporary = Scratch::new();
        let own = temporary.path("");
        let policy = scratch.policy(r#"{"filesystem": {"allowWrite": ["@"]}}"#);
        let (files, before) = (snapshot(&scratch.path("")), traces(&own));
        let marker = format!("7{}{}", std::process::id(), who as u8);
        let script = format!(
            "echo x > /dev/shm/x; ipcmk -M 4096 -S 1 -Q > /dev/null; sleep {marker} & sleep {marker}"
        );
        for _ in 0..100 {
            let mut command = srt(who, &scratch.path(""));
            command.arg("-s").arg(&policy).args(["-c", &script]);
            command.env("TMPDIR", &own);
            command.stdout(Stdio::piped()).stderr(Stdio::null());
            let mut child = command.spawn().unwrap();
            thread::sleep(Duration::from_micros(random.below(40_000)));
            end(&mut child, random.below(8));
            // Whoever still holds the other end is alive.
            let mut rest = Vec::new();
            child.stdout.take().unwrap().read_to_end(&mut rest).unwrap();
        }
        let until = Instant::now() + Duration::from_secs(1);
        while is_alive(&marker) {
            assert!(Instant::now() < until, "processes are left, seed {seed}");
            thread::yield_now();
        }
        // What a killed run leaves, the next one clears.
        let mut command = srt(who, &scratch.path(""));
        command
            .env("TMPDIR", &own)
            .arg("-s")
            .arg(&policy)
            .arg("true");
        assert_status(&finish(command), 0);
        support::assert_unchanged(&scratch.path(""), &files, &format!("seed {seed}"));
        assert!(
            !is_recorded(&scratch.path("")),
            "a record is left, seed {seed}"
        );
        for (what, then) in traces(&own) {
            let new: Vec<_> = then.iter().filter(|t| !before[what].contains(t)).collect();
            assert!(new.is_empty(), "{what}: {new:?}, seed {seed}");
        }
    }
}

// Once it has hardened itself, a run may not clear what lies elsewhere: it must leave
// the record of it to the next.
#[test]
fn pitfall_29_what_a_killed_run_left_outlives_a_run_that_cannot_clear_it_and_no_longer() {
    for who in everyone() {
        let scratch = Scratch::new();
        let (a, b) = (scratch.dir("a"), scratch.dir("b"));
        // What lies beside its own temporary directory a run may clear.
        let temporary = scratch.dir("t");
        let policy = |name: &str| {
            let json = format!(r#"{{"filesystem": {{"allowWrite": ["@/{name}"]}}}}"#);
            let policy = scratch.policy(&json);
            let own = scratch.path(&format!("{name}.json"));
            fs::rename(policy, &own).unwrap();
            own
        };
        let start = |name: &str| {
            let mut command = srt(who, &scratch.path(""));
            command.arg("-s").arg(policy(name));
            command.args(["-c", "echo up; read line; true"]);
            command.env("TMPDIR", &temporary);
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().unwrap();
            assert_eq!(support::said(&mut child), "up\n");
            child
        };
        let (other, mut killed) = (start("b"), start("a"));
        killed.kill().unwrap();
        killed.wait().unwrap();
        assert!(fs::read_dir(&a).unwrap().count() > 0 && is_recorded(&a));
        assert_status(&support::finish_child(other), 0);
        assert_eq!(fs::read_dir(&b).unwrap().count(), 0);
        let mut next = srt(who, &scratch.path(""));
        next.arg("true");
        assert_status(&finish(next), 0);
        assert_eq!(fs::read_dir(&a).unwrap().count(), 0, "as {who:?}");
        assert!(!is_recorded(&a));
    }
}
