//! What runs leave behind, and what others who may write there can make of it: clearing
//! follows no link, waits for nobody, and takes no run's word for being another.
//!
//! Beside each test stands how it was seen to fail: what the program did before.

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use support::{
    Scratch, Who, assert_status, everyone, finish, finish_child, is_root, outside, program, said,
    skip, srt, text,
};

fn uid(who: Who) -> u32 {
    match who {
        Who::Nobody => 65534,
        Who::Me => fs::metadata("/proc/self").unwrap().uid(),
    }
}

/// Something of `who`'s in `base`, named as the directory of a run.
fn leftover(who: Who, base: &Path, number: u32) -> PathBuf {
    base.join(format!("srt-{}-{number:016x}", uid(who)))
}

/// A run with its temporary directory in `base`.
fn run_in(who: Who, scratch: &Scratch, base: &Path, json: &str) -> Command {
    let mut command = srt(who, &scratch.path(""));
    command.arg("-s").arg(scratch.policy(json));
    command.env("TMPDIR", base);
    command
}

/// A run to its end, which must come soon.
#[track_caller]
fn runs(who: Who, scratch: &Scratch, base: &Path) -> Duration {
    let begun = Instant::now();
    let mut command = run_in(who, scratch, base, "{}");
    command.arg("true");
    assert_status(&finish(command), 0);
    begun.elapsed()
}

/// Starts a run that says its TMPDIR's parent, waits for a line and does `script`.
fn begin(who: Who, scratch: &Scratch, base: &Path, json: &str, script: &str) -> (Child, PathBuf) {
    let mut command = run_in(who, scratch, base, json);
    command.args([
        "-c",
        &format!("cd \"$TMPDIR\"; echo ${{TMPDIR%/*}}; read line; {script}"),
    ]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let at = said(&mut child);
    (child, PathBuf::from(at.trim_end()))
}

fn go_on(mut child: Child) -> Output {
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    finish_child(child)
}

fn entries(at: &Path) -> usize {
    fs::read_dir(at).unwrap().count()
}

/// Lets two names change places again and again (RENAME_EXCHANGE, rename(2)), in each of
/// the pairs that it is given; the first is locked all the while.
const SWAP: &str = "import ctypes, fcntl, os, sys
libc = ctypes.CDLL(None)
names = [os.fsencode(name) for name in sys.argv[1:]]
pairs = list(zip(names[::2], names[1::2]))
lock = os.open(pairs[0][0], os.O_RDONLY); fcntl.flock(lock, fcntl.LOCK_EX)
print(\"up\", flush=True)
while True:
    for one, other in pairs: libc.renameat2(-100, one, -100, other, 2)";

/// Plays [`SWAP`] while `main` runs.
fn while_swapping(pairs: &[(PathBuf, PathBuf)], main: impl FnOnce()) {
    let mut command = Command::new("python3");
    command.args(["-c", SWAP]);
    command.args(pairs.iter().flat_map(|(one, other)| [one, other]));
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    assert_eq!(said(&mut child), "up\n");
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(main));
    child.kill().unwrap();
    child.wait().unwrap();
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

// By paths, the mode of what a link leads to was changed within the first runs.
#[test]
fn a_name_that_becomes_a_link_while_it_is_cleared_leads_nowhere() {
    for who in everyone() {
        let (scratch, prey) = (Scratch::new(), Scratch::new());
        let base = scratch.dir("t");
        let dead = leftover(who, &base, 1);
        outside(
            who,
            &prey.path(""),
            "mkdir -p tree/a/b && chmod -R 755 tree",
        );
        let tree = prey.path("tree");
        let links = scratch.dir("links");
        let lock = scratch.dir("lock");
        let pair = |n| {
            let one = dead.join(format!("tmp/d{n}"));
            (one, links.join(format!("{n}")))
        };
        let pairs = [(lock.clone(), lock)].into_iter().chain((0..40).map(pair));
        let pairs: Vec<_> = pairs.collect();
        for _ in 0..12 {
            let make = format!(
                "cd {1} && chmod -R u+rwx . && rm -rf ./*; for i in $(seq 0 39); do ln -s {2} $i; done
                 mkdir -p {0}/tmp && cd {0}/tmp && for i in $(seq 0 39); do mkdir -p d$i/x/y; chmod 0 d$i/x; done",
                dead.display(),
                links.display(),
                tree.display()
            );
            outside(who, &base, &make);
            while_swapping(&pairs, || {
                runs(who, &scratch, &base);
            });
            let mut all = vec![tree.clone(), tree.join("a"), tree.join("a/b")];
            all.retain(|at| fs::metadata(at).map_or(0, |m| m.mode()) & 0o777 != 0o755);
            assert!(all.is_empty(), "as {who:?}: {all:?}");
            outside(who, &base, "chmod -R u+rwx . && rm -rf ./*");
        }
    }
}

// By recursion over paths it took minutes, gave up at the longest path, or overflowed the
// stack; and so did each run after it.
#[test]
fn a_tree_of_any_depth_is_cleared_by_the_run_itself_or_by_the_next() {
    let dig = |levels: u32| {
        format!(
            "cd \"$TMPDIR\"; exec python3 -c 'import os
for _ in range({levels}): os.mkdir(\"d\"); os.chdir(\"d\")'"
        )
    };
    for who in everyone() {
        let scratch = Scratch::new();
        let base = scratch.dir("t");
        // Under Landlock each step takes as long as it is deep: what goes down further is
        // the next run's.
        for (levels, left) in [(900, 0), (3000, 1)] {
            let mut command = run_in(who, &scratch, &base, "{}");
            command.args(["-c", &dig(levels)]);
            let begun = Instant::now();
            let out = finish(command);
            assert_status(&out, 0);
            assert!(begun.elapsed() < Duration::from_secs(20));
            let words = text(&out.stderr);
            assert_eq!(
                words.contains("is left to the next run"),
                left == 1,
                "{words}"
            );
            assert_eq!(entries(&base), left, "as {who:?}");
            assert!(runs(who, &scratch, &base) < Duration::from_secs(20));
            assert_eq!(entries(&base), 0, "as {who:?}");
        }
        // Of a run that was killed.
        let dead = leftover(who, &base, 1).display().to_string();
        let make = format!("mkdir -p {dead}; TMPDIR={dead}; {}", dig(20_000));
        assert_status(&outside(who, &base, &make), 0);
        assert!(runs(who, &scratch, &base) < Duration::from_secs(20));
        assert_eq!(entries(&base), 0, "as {who:?}");
    }
}

// By paths, an ordinary user's directory without permissions was never opened up, nor
// cleared.
#[test]
fn every_kind_of_name_and_permission_is_cleared() {
    let make = "cd \"$TMPDIR\"; mkdir -p a/b/c/d wide; mkfifo a/b/fifo; ln -s /etc a/link; ln -s . a/b/loop
        (cd wide; seq -f f%g 1000 | xargs touch; seq -f d%g 1000 | xargs mkdir); mkdir wide/d7/x wide/d999/y
        echo > \"a/$(printf 'new\\nline')\"; echo > \"$(printf '\\377\\376')\"; mkdir \"$(printf '\\377\\375')\"
        echo > \"$(printf '\\377\\375')/x\"; chmod 0 a/b/c a/b a wide/d7; chmod 100 wide; chmod 500 ..; chmod 0 .";
    for who in everyone() {
        let scratch = Scratch::new();
        let base = scratch.dir("t");
        let mut command = run_in(who, &scratch, &base, "{}");
        command.args(["-c", make]);
        finish(command);
        assert_eq!(entries(&base), 0, "as {who:?}");
        let dead = leftover(who, &base, 1);
        let make = format!(
            "mkdir -p {0}/tmp; TMPDIR={0}/tmp; {make}; chmod 0 {0}",
            dead.display()
        );
        outside(who, &base, &make);
        runs(who, &scratch, &base);
        assert_eq!(entries(&base), 0, "as {who:?}");
    }
}

// By paths, what was mounted in there was emptied too.
#[test]
fn what_is_mounted_in_a_leftover_is_not_emptied() {
    if !is_root() {
        return skip("a mount in a leftover", "it takes root to mount");
    }
    let scratch = Scratch::new();
    let base = scratch.dir("t");
    let (dead, mounted) = (leftover(Who::Me, &base, 1), leftover(Who::Me, &base, 2));
    let script = format!(
        "set -e; mkdir -p {0}/tmp/m {0}/tmp/n {1} prey; echo > prey/kept; echo > {0}/tmp/n/goes
         mount -t tmpfs none {0}/tmp/m; echo > {0}/tmp/m/kept; mount --bind prey {0}/tmp/n
         mount --bind prey {1}
         \"$1\" true; ls {0}/tmp/m/kept {0}/tmp/n/kept {1}/kept prey/kept",
        dead.display(),
        mounted.display()
    );
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c", &script, "sh"]);
    command.arg(program()).env("TMPDIR", &base);
    command
        .env("HOME", scratch.path(""))
        .current_dir(scratch.path(""));
    let out = finish(command);
    assert_status(&out, 0);
    // Without the mounts it goes.
    runs(Who::Me, &scratch, &base);
    assert_eq!(entries(&base), 0);
}

// By the name alone, the processes of the run that was moved were killed.
#[test]
fn a_live_run_whose_directory_is_moved_lives_and_clears_it_where_it_is() {
    for who in everyone() {
        let scratch = Scratch::new();
        let base = scratch.dir("t");
        scratch.dir("t/sub");
        for to in ["t/away", "t/sub/away"] {
            let script = "echo x > x && mkdir y && echo lives";
            let (child, at) = begin(who, &scratch, &base, "{}", script);
            assert_eq!(at.parent().unwrap(), base);
            let (away, name) = (scratch.path(to), at.display());
            let move_it = format!("mv {name} {} && mkdir -m 700 {name}", away.display());
            assert_status(&outside(who, &base, &move_it), 0);
            runs(who, &scratch, &base);
            assert!(!at.exists(), "what nobody locks is a dead run's");
            let out = go_on(child);
            assert_status(&out, 0);
            assert_eq!(text(&out.stdout), "lives\n", "as {who:?}");
            if to == "t/away" {
                // In the same directory.
                assert!(!away.exists(), "as {who:?}");
            } else {
                assert_eq!(entries(&away), 0, "as {who:?}");
                fs::remove_dir(&away).unwrap();
            }
            assert_eq!(entries(&base), 1);
        }
    }
}

// By the name alone, processes of another directory that once had that name were ended.
#[test]
fn what_a_killed_run_left_running_is_known_by_its_directory_wherever_that_is() {
    for who in everyone() {
        let scratch = Scratch::new();
        let base = scratch.dir("t");
        let uid = uid(who);
        // A process that says it is of the run whose directory this is.
        let script = format!(
            "mkdir -m 700 srt-{uid}-0000000000000001 && exec python3 -c 'import os, sys
s = os.stat(\"srt-{uid}-0000000000000001\")
print(s.st_ino); sys.stdout.flush(); sys.stdin.readline()'"
        );
        let mut command = support::command_as(who, "sh");
        command.args(["-c", &script]).current_dir(&base);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let inode: u64 = said(&mut child).trim().parse().unwrap();
        // One of another directory with this one's name is not.
        let named = |mark: String| {
            let mut command = support::command_as(who, "sh");
            command.args(["-c", "echo up; read line; echo lives", "sh", &mark]);
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().unwrap();
            assert_eq!(said(&mut child), "up\n");
            child
        };
        let other = named(format!("run=srt-{uid}-0000000000000001@0.{inode:x}.0"));
        let bare = named(format!("run=srt-{uid}-0000000000000001"));
        runs(who, &scratch, &base);
        assert_eq!(entries(&base), 0);
        for child in [other, bare] {
            assert_eq!(text(&go_on(child).stdout), "lives\n", "as {who:?}");
        }
        go_on(child);
        // A real one: bubblewrap is killed with its parent, whatever the place is called.
        let (mut child, at) = begin(who, &scratch, &base, "{}", "true");
        fs::rename(&at, leftover(who, &base, 2)).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        runs(who, &scratch, &base);
        assert_eq!(entries(&base), 0, "as {who:?}");
    }
}

// With a blocking open, a start waited for ever for the other end of a fifo.
#[test]
fn a_fifo_in_the_place_of_a_leftover_stops_nobody() {
    for who in everyone() {
        let scratch = Scratch::new();
        let base = scratch.dir("t");
        let (at, fifo) = (leftover(who, &base, 1), scratch.path("fifo"));
        let make = format!("mkdir {} && mkfifo fifo", at.display());
        assert_status(&outside(who, &scratch.path(""), &make), 0);
        while_swapping(&[(at, fifo)], || {
            for _ in 0..40 {
                let mut command = srt(who, &scratch.path(""));
                command.env("TMPDIR", &base).args(["-c", "true"]);
                assert!(finish_soon(command), "a run hangs, as {who:?}");
            }
        });
    }
}

/// Whether a run ends within ten seconds; if not, it is killed.
fn finish_soon(mut command: Command) -> bool {
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            child.kill().unwrap();
            child.wait().unwrap();
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

/// What takes the lock of the directory `$1`, says so, and keeps it until told.
const LOCK: &str = "import fcntl, os, sys
try:
    fd = os.open(sys.argv[1], os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB if len(sys.argv) > 2 else fcntl.LOCK_EX)
    print(\"locked\", os.listdir(sys.argv[1]))
except OSError as e: print(\"refused\")
sys.stdout.flush(); sys.stdin.readline()";

// Seen and locked from inside, the index stopped every other run, at its start and end.
#[test]
fn the_index_is_not_to_be_seen_from_inside_and_its_lock_not_to_be_had() {
    for who in everyone() {
        for json in ["{}", r#"{"filesystem": {"allowWrite": ["/var/tmp", "@"]}}"#] {
            let scratch = Scratch::new();
            let base = scratch.dir("t");
            scratch.file("lock.py", LOCK);
            let index = format!("/var/tmp/srt-{}", uid(who));
            // Others come and go in /var/tmp: what changes under the plan stops a run.
            let mut child = (0..20)
                .find_map(|_| {
                    let mut command = run_in(who, &scratch, &base, json);
                    command.args(["python3", "lock.py", &index]);
                    command.stdin(Stdio::piped()).stdout(Stdio::piped());
                    let mut child = command.spawn().unwrap();
                    let line = said(&mut child);
                    if line.is_empty() {
                        child.wait().unwrap();
                        return None;
                    }
                    // It is an empty directory that stands there.
                    assert_eq!(line, "locked []\n", "as {who:?}");
                    Some(child)
                })
                .expect("never the same tree twice");
            assert!(Path::new(&index).exists());
            let took = runs(who, &scratch, &base);
            assert!(took < Duration::from_secs(4), "{took:?} as {who:?}");
            child.stdin.take().unwrap().write_all(b"\n").unwrap();
            assert_status(&finish_child(child), 0);
        }
    }
}

// Before, it could be read.
#[test]
fn the_log_is_not_to_be_read_from_inside() {
    for who in everyone() {
        let scratch = Scratch::new();
        let base = scratch.dir("t");
        for json in ["{}", r#"{"filesystem": {"allowWrite": ["@"]}}"#] {
            let mut command = srt(who, &scratch.path(""));
            command.arg("-s").arg(scratch.policy(json));
            command.env("TMPDIR", &base).args(["--log", "log"]);
            command.args([
                "-c",
                "cat log; echo x > log; mv log log2; rm -f log; echo ran",
            ]);
            let out = finish(command);
            assert_eq!(text(&out.stdout), "ran\n", "{}", text(&out.stderr));
            let log = fs::read_to_string(scratch.path("log")).unwrap();
            assert!(log.starts_with("{\"event\":\"run\"") && log.contains("\"event\":\"end\""));
            fs::remove_file(scratch.path("log")).unwrap();
        }
        // A device stays what it is.
        let mut command = run_in(who, &scratch, &base, "{}");
        command.args(["--log", "/dev/null", "-c", "echo x > /dev/null && echo ran"]);
        assert_eq!(text(&finish(command).stdout), "ran\n");
    }
}

// It was left alone before too; the start of others does not wait for it.
#[test]
fn a_leftover_that_somebody_locks_stops_nobody() {
    for who in everyone() {
        let scratch = Scratch::new();
        let base = scratch.dir("t");
        let dead = leftover(who, &base, 1);
        assert_status(
            &outside(who, &base, &format!("mkdir -p {}", dead.display())),
            0,
        );
        let json = r#"{"filesystem": {"allowWrite": ["@/t"]}}"#;
        scratch.file("lock.py", LOCK);
        let mut command = run_in(who, &scratch, &scratch.dir("u"), json);
        command.args(["python3", "lock.py"]).arg(&dead);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        assert_eq!(said(&mut child), "locked []\n");
        assert!(runs(who, &scratch, &base) < Duration::from_secs(4));
        assert!(dead.exists());
        go_on(child);
        runs(who, &scratch, &base);
        assert!(!dead.exists());
    }
}

/// Of a user that nothing else runs as.
const ALONE: u32 = 65531;

fn alone(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    let id = ALONE.to_string();
    command.args(["--reuid", &id, "--regid", &id, "--clear-groups", program]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

// With waits that have no end, both hung for as long as the lock was held.
#[test]
fn the_lock_of_the_index_is_waited_for_for_a_while_and_no_longer() {
    if !is_root() {
        return skip(
            "an index that is locked",
            "it takes root to have one of its own",
        );
    }
    let scratch = Scratch::new();
    let index = format!("/var/tmp/srt-{ALONE}");
    let work = scratch.dir("work");
    let policy = scratch.policy(r#"{"filesystem": {"allowWrite": ["@/work"]}}"#);
    let start = |script: &str| {
        let mut command = alone(program().to_str().unwrap());
        command.arg("-s").arg(&policy).args(["-c", script]);
        command.env("HOME", "/no/home").current_dir(&work);
        command.stderr(Stdio::piped()).spawn().unwrap()
    };
    let lock = || {
        let mut command = alone("/usr/bin/python3");
        let mut child = command.args(["-c", LOCK, &index]).spawn().unwrap();
        assert!(said(&mut child).starts_with("locked"));
        child
    };
    // An end leaves what it cannot clear to the next run, and says so.
    let mut running = start("echo up; read line; echo over");
    assert_eq!(said(&mut running), "up\n");
    let placeholders = entries(&work);
    assert!(placeholders > 10);
    let holder = lock();
    let begun = Instant::now();
    let out = go_on(running);
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_status(&out, 0);
    let words = text(&out.stderr);
    assert!(
        words.contains(&index) && words.contains("left to the next run"),
        "{words}"
    );
    assert_eq!(entries(&work), placeholders);
    // A start is refused, and says what is locked.
    let begun = Instant::now();
    let out = go_on(start("echo ran"));
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_status(&out, 125);
    let words = text(&out.stderr);
    assert!(
        words.contains(&format!("{index}: another process")),
        "{words}"
    );
    go_on(holder);
    // And a lock that is given back in time stops nobody.
    let holder = lock();
    let next = start("echo ran");
    std::thread::sleep(Duration::from_millis(300));
    go_on(holder);
    let out = go_on(next);
    assert_status(&out, 0);
    assert_eq!(entries(&work), 0, "{}", text(&out.stderr));
    assert!(!Path::new(&index).exists());
}
