//! `--doctor`: it tells what holds, and finds what does not.

mod support;

use std::process::{Command, Output, Stdio};

use sandbox_runtime::emit::cures::{Situation, cure};
use support::{
    Scratch, Who, assert_status, command_as, everyone, finish, is_root, program, srt, text,
};

fn doctor(who: Who, json: &str, words: &[&str]) -> Output {
    let scratch = Scratch::new();
    let mut command = srt(who, &scratch.path(""));
    command
        .arg("-s")
        .arg(scratch.policy(json))
        .args(words)
        .arg("--doctor");
    finish(command)
}

#[test]
fn every_guarantee_is_given_and_proved_here() {
    for who in everyone() {
        let out = doctor(who, "{}", &[]);
        assert_status(&out, 0);
        let said = text(&out.stdout);
        assert_eq!(said.matches("): given\n").count(), 5, "{said}");
        assert!(
            !said.contains("not refused") && out.stderr.is_empty(),
            "{said}"
        );
        let out = doctor(who, "{}", &["--json"]);
        assert_status(&out, 0);
        let check = "import json, sys; d = json.load(sys.stdin); assert d['holds'] and d['problem'] is None; \
                     print(len(d['guarantees']), sum(len(g['attacks']) for g in d['guarantees']))";
        let scratch = Scratch::new();
        scratch.file("report", &text(&out.stdout));
        let mut python = Command::new("sh");
        python
            .args(["-c", "python3 -c \"$0\" < report", check])
            .current_dir(scratch.path(""));
        assert_eq!(text(&finish(python).stdout), "5 20\n");
    }
}

#[test]
fn an_attack_that_gets_through_is_found() {
    for who in everyone() {
        for (layers, found) in [
            (
                &["mounts", "landlock", "seccomp"][..],
                &[
                    "make a file outside",
                    "write a file outside",
                    "remove a file outside",
                    "change permissions outside",
                    "read a denied file",
                    "make a Unix socket",
                    "connect to one of the host",
                    "set up io_uring",
                ][..],
            ),
            (
                &["mounts"],
                &["change permissions outside", "read a denied file"],
            ),
            (&["landlock"], &[]),
        ] {
            let without: Vec<&str> = layers.iter().flat_map(|l| ["--without", l]).collect();
            let out = doctor(who, "{}", &without);
            let said = text(&out.stdout);
            assert_status(&out, i32::from(!found.is_empty()));
            for name in found {
                let line = said.lines().find(|l| l.trim().starts_with(name)).unwrap();
                assert!(line.ends_with("not refused"), "{layers:?} {said}");
            }
            assert_eq!(said.contains("NOT GIVEN"), !found.is_empty(), "{said}");
        }
    }
}

#[test]
fn what_the_settings_give_up_is_told_and_what_they_require_counts() {
    let open = r#""network": {"allowAllUnixSockets": true}"#;
    for who in everyone() {
        let out = doctor(who, &format!("{{{open}}}"), &[]);
        assert_status(&out, 0);
        let said = text(&out.stdout);
        assert!(
            said.contains("NOT GIVEN, not required")
                && said.contains("network.allowAllUnixSockets: every"),
            "{said}"
        );
        assert_status(
            &doctor(who, &format!(r#"{{{open}, "require": ["net"]}}"#), &[]),
            0,
        );
        assert_status(
            &doctor(who, &format!(r#"{{{open}, "require": ["unix"]}}"#), &[]),
            1,
        );
        let weaker = doctor(who, r#"{"enableWeakerNestedSandbox": true}"#, &[]);
        assert_status(&weaker, 0);
        assert!(text(&weaker.stdout).contains("the host's processes can be seen in /proc"));
        if who == Who::Nobody || !is_root() {
            let nested = doctor(who, r#"{"allowNestedUserNamespaces": true}"#, &[]);
            assert_status(&nested, 0);
            assert!(text(&nested.stdout).contains("Landlock would forbid every mount"));
        }
    }
}

#[test]
fn pitfall_02_no_sandbox_is_told_with_the_cause_and_the_cure() {
    for who in everyone() {
        let out = doctor(who, r#"{"bwrapPath": "/nowhere/bwrap"}"#, &[]);
        assert_status(&out, 1);
        let said = text(&out.stdout);
        assert!(
            said.contains("is not an executable file")
                && said.contains("apt-get install bubblewrap"),
            "{said}"
        );
        let scratch = Scratch::new();
        scratch.file(
            "bwrap",
            "#!/bin/sh\necho 'bwrap: No permissions to creating new namespace' >&2; exit 1\n",
        );
        let policy = scratch.policy(r#"{"bwrapPath": "@/bwrap"}"#);
        let mut command = srt(who, &scratch.path(""));
        command.arg("--doctor").arg("-s").arg(policy);
        let out = finish(command);
        assert_status(&out, 1);
        let said = text(&out.stdout);
        assert!(
            said.contains("does not let this user make user namespaces"),
            "{said}"
        );
        assert_eq!(said.matches("NOT GIVEN").count(), 5);
    }
}

#[test]
fn pitfall_02_causes_are_told_apart() {
    let plain = Situation::default();
    let root = Situation {
        superuser: true,
        ..plain
    };
    let apparmor = Situation {
        apparmor: true,
        ..plain
    };
    let map = "bwrap: setting up uid map: Operation not permitted";
    for (words, host, part) in [
        (map, root, "CAP_SETFCAP"),
        (
            "bwrap: setting up uid map: Permission denied",
            apparmor,
            "AppArmor lets no program",
        ),
        (
            "bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted",
            apparmor,
            "bwrap-userns-restrict",
        ),
        (
            "bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted",
            plain,
            "security module",
        ),
        (
            "bwrap: No permissions to create new namespace",
            plain,
            "user.max_user_namespaces",
        ),
        (
            "bwrap: No permissions to create new namespace",
            Situation { wsl: true, ..plain },
            "WSL 2",
        ),
        (
            "bwrap: Can't mount proc on /newroot/proc: Operation not permitted",
            plain,
            "masks /proc",
        ),
        ("bwrap: Unknown option --as-pid-1", plain, "too old"),
        (
            "bwrap: execvp /proc/self/fd/7: Permission denied",
            Situation {
                setuid: true,
                ..plain
            },
            "setuid",
        ),
        (
            "bwrap: execvp /proc/self/fd/7: No such file",
            plain,
            "denyRead",
        ),
        ("bwrap: Can't chdir to /x", plain, "working directory"),
    ] {
        assert!(
            cure(words, host).contains(part),
            "{words}: {}",
            cure(words, host)
        );
    }
    // A switch that this host does not have is not named.
    assert!(!cure(map, plain).contains("sysctl") && !cure(map, root).contains("AppArmor"));
}

#[test]
fn a_command_line_of_both_is_refused() {
    for words in [&["--doctor", "true"][..], &["--json", "true"], &["--json"]] {
        let scratch = Scratch::new();
        let mut command = srt(Who::Me, &scratch.path(""));
        command.args(words);
        assert_status(&finish(command), 125);
    }
}

/// Runs its arguments below a filter that has a listener already, as some hosts do: the
/// kernel gives no second one.
const TAKEN: &str = r#"
import ctypes, fcntl, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)
allow = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7fff0000))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", 1, ctypes.addressof(allow)))
number = {"x86_64": 317, "aarch64": 277}[os.uname().machine]
listener = libc.syscall(number, 1, 8, program)
assert listener >= 0, ctypes.get_errno()
fcntl.fcntl(listener, fcntl.F_SETFD, 0)
os.execv(sys.argv[1], sys.argv[1:])
"#;

#[test]
fn pitfall_22_a_host_whose_only_listener_is_taken_is_told_and_runs_without() {
    for who in everyone() {
        let scratch = Scratch::new();
        scratch.file("taken.py", TAKEN);
        let run = |words: &[&str]| {
            // One that everybody may execute.
            let mut command = command_as(who, "/usr/bin/python3");
            command.arg("taken.py").arg(program()).args(words);
            command.env("HOME", scratch.path(""));
            command.current_dir(scratch.path("")).stdin(Stdio::null());
            finish(command)
        };
        let out = run(&["--log", "-", "-c", "echo ran; touch /etc/never"]);
        assert_eq!(text(&out.stdout), "ran\n", "{}", text(&out.stderr));
        let stderr = text(&out.stderr);
        assert!(
            stderr.contains("is not observed on this host: "),
            "{stderr}"
        );
        assert!(!stderr.contains("\"kind\":\"write\""), "{stderr}");
        let doctor = run(&["--doctor"]);
        let said = text(&doctor.stdout);
        assert!(
            said.contains("observer: none: what the command tries"),
            "{said}"
        );
        assert!(said.contains("fs.write (nothing is written but what the policy allows): given"));
        // What rests on it is refused.
        let policy = scratch.policy(r#"{"network": {"allowUnixSockets": ["@/s"]}}"#);
        let out = run(&["-s", policy.to_str().unwrap(), "-c", "echo ran"]);
        assert_eq!(out.status.code(), Some(125));
        assert_eq!(text(&out.stdout), "");
        assert!(
            text(&out.stderr).contains("network.allowUnixSockets"),
            "{}",
            text(&out.stderr)
        );
    }
}
