//! The real program: what a command's process is given, held to, and kept from.

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{
    Scratch, Who, assert_status, everyone, finish, finish_child, is_root, program, said, shell,
    srt, text,
};

#[test]
fn variables_are_withheld_and_given() {
    let scratch = Scratch::new();
    let policy = scratch.policy(
        r#"{"environment": {"deny": ["AWS_*", "*TOKEN*", "JAVA_TOOL_OPTIONS", "S?"],
            "set": {"GIVEN": "a b", "HTTP_PROXY": "http://127.0.0.1:9/", "AWS_REGION": "x"}}}"#,
    );
    for who in everyone() {
        let mut command = srt(who, &scratch.path(""));
        command.arg("-s").arg(&policy).arg("env");
        for (name, value) in [
            ("AWS_SECRET_ACCESS_KEY", "1"),
            ("AWS_REGION", "y"),
            ("GITHUB_TOKEN", "2"),
            ("S1", "3"),
            ("S12", "kept"),
        ] {
            command.env(name, value);
        }
        let all = text(&finish(command).stdout);
        let line = |line: &str| all.lines().any(|l| l == line);
        for there in [
            "S12=kept",
            "GIVEN=a b",
            "HTTP_PROXY=http://127.0.0.1:9/",
            "AWS_REGION=x",
        ] {
            assert!(line(there), "{there} is not in {all}");
        }
        for withheld in [
            "AWS_SECRET",
            "GITHUB_TOKEN",
            "S1=",
            "JAVA_TOOL_OPTIONS",
            "AWS_REGION=y",
        ] {
            assert!(!all.contains(withheld), "{withheld} is in {all}");
        }
    }
}

#[test]
fn limits_hold_the_command_and_its_children() {
    let scratch = Scratch::new();
    let probe = r"
import os, resource, signal
def attempt(name, make):
    try:
        make(); print(name, 'got through')
    except MemoryError: print(name, 'memory')
    except OSError as e: print(name, e.strerror)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
attempt('memory', lambda: bytearray(300 << 20))
attempt('small', lambda: bytearray(30 << 20))
attempt('size', lambda: open(os.environ['TMPDIR'] + '/x', 'wb', 0).write(b'x' * (2 << 20)) < (2 << 20) and
        open(os.environ['TMPDIR'] + '/x', 'ab', 0).write(b'x'))
attempt('files', lambda: [os.open('/dev/null', os.O_RDONLY) for _ in range(40)])
print(*resource.getrlimit(resource.RLIMIT_NOFILE), *resource.getrlimit(resource.RLIMIT_CPU))
attempt('raise', lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (99, 99)))
";
    scratch.file("probe.py", probe);
    let policy =
        r#"{"limits": {"memoryMiB": 200, "openFiles": 32, "fileSizeMiB": 1, "cpuSeconds": 7}}"#;
    for who in everyone() {
        let out = shell(who, &scratch, policy, "python3 probe.py");
        let said = text(&out.stdout);
        let raised = "not allowed to raise maximum limit";
        assert!(
            said.starts_with(
                "memory memory\nsmall got through\nsize File too large\nfiles Too many open files\n32 32 7 8\n"
            ),
            "{said}{}",
            text(&out.stderr)
        );
        assert!(said.contains("raise") || text(&out.stderr).contains(raised));
        assert!(!said.contains("raise got through"), "{said}");
    }
}

#[test]
fn a_limit_on_processes_holds_an_ordinary_user_and_is_refused_for_the_superuser() {
    let scratch = Scratch::new();
    let policy = r#"{"limits": {"processes": 20}}"#;
    for who in everyone() {
        let script = "i=0; while [ $i -lt 40 ]; do sleep 9 & i=$((i+1)); done; echo forked";
        let out = shell(who, &scratch, policy, script);
        if who == Who::Me && is_root() {
            assert_status(&out, 125);
            assert!(text(&out.stderr).contains("limits.processes: the kernel does not hold"));
        } else {
            assert!(!out.stdout.starts_with(b"forked"), "{}", text(&out.stderr));
            assert!(text(&out.stderr).contains("fork"), "{}", text(&out.stderr));
            // Other sandboxes of the same user are counted by themselves.
            assert_eq!(
                shell(who, &scratch, policy, "echo other").stdout,
                b"other\n"
            );
        }
    }
}

#[test]
fn processor_time_ends_in_sigxcpu() {
    let scratch = Scratch::new();
    let policy = r#"{"limits": {"cpuSeconds": 1}}"#;
    let out = shell(
        Who::Me,
        &scratch,
        policy,
        "exec python3 -c 'while True: pass'",
    );
    assert_status(&out, 128 + 24);
}

#[test]
fn the_wall_clock_asks_and_then_kills() {
    let scratch = Scratch::new();
    let policy = r#"{"limits": {"wallSeconds": 1}}"#;
    for who in everyone() {
        let begun = Instant::now();
        let out = shell(
            who,
            &scratch,
            policy,
            "trap 'echo asked; exit 9' TERM; sleep 60 & wait",
        );
        assert_status(&out, 9);
        assert_eq!(text(&out.stdout), "asked\n");
        assert!(text(&out.stderr).contains("srt: limits.wallSeconds: 1 s are over"));
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
    let out = shell(
        Who::Me,
        &scratch,
        policy,
        "trap '' TERM; sleep 60 & while :; do wait; done",
    );
    assert_status(&out, 128 + 9);
    // A command that stops does not hold up whoever waits.
    let out = shell(Who::Me, &scratch, policy, "kill -STOP $$");
    assert_status(&out, 128 + 9);
}

#[test]
fn what_is_required_and_not_given_runs_nothing() {
    let scratch = Scratch::new();
    let all = r#""require": ["fs.read", "fs.write", "net", "unix", "proc"]"#;
    for who in everyone() {
        let run = |more: &str| shell(who, &scratch, &format!("{{{all}{more}}}"), "echo ran");
        assert_eq!(text(&run("").stdout), "ran\n");
        for (more, words) in [
            (
                r#", "network": {"allowAllUnixSockets": true}"#,
                "require: unix is not given",
            ),
            (
                r#", "network": {"httpProxyPort": 9}"#,
                "require: net is not given",
            ),
            (
                r#", "enableWeakerNestedSandbox": true"#,
                "require: proc is not given",
            ),
        ] {
            let out = run(more);
            assert_status(&out, 125);
            assert!(
                out.stdout.is_empty() && text(&out.stderr).contains(words),
                "{}",
                text(&out.stderr)
            );
        }
    }
    let out = shell(Who::Me, &scratch, r#"{"require": ["fs.wite"]}"#, "echo ran");
    assert!(text(&out.stderr).contains("must be one of fs.write, fs.read, net, unix, proc"));
}

#[test]
fn pitfall_02_a_masked_proc_is_told_and_the_weaker_sandbox_runs() {
    let scratch = Scratch::new();
    // What a container does: something in /proc that is not empty is covered.
    let masked = |who: Who, json: &str, script: &str| {
        let mut inner = srt(who, &scratch.path(""));
        inner
            .arg("-s")
            .arg(scratch.policy(json))
            .args(["-c", script]);
        let mut command = Command::new("unshare");
        command.args([
            "-m",
            "sh",
            "-c",
            "mount -t tmpfs none /proc/irq && exec \"$@\"",
            "sh",
        ]);
        command.arg(inner.get_program()).args(inner.get_args());
        command
            .current_dir(scratch.path(""))
            .env("HOME", scratch.path(""));
        finish(command)
    };
    if !is_root() {
        return support::skip("a masked /proc", "to mask it takes root");
    }
    for who in everyone() {
        let out = masked(who, "{}", "echo ran");
        assert_status(&out, 125);
        let stderr = text(&out.stderr);
        assert!(
            stderr.contains("masks /proc") && stderr.contains("enableWeakerNestedSandbox"),
            "{stderr}"
        );
        let mut outside = support::command_as(who, "sleep");
        let mut other = outside.arg("100").env("SECRET", "x").spawn().unwrap();
        let id = other.id();
        let until = Instant::now() + Duration::from_secs(5);
        while fs::read(format!("/proc/{id}/comm")).unwrap() != b"sleep\n" {
            assert!(Instant::now() < until);
        }
        let script = format!(
            "tr '\\0' ' ' < /proc/{id}/cmdline; cat /proc/{id}/environ /proc/{id}/maps; ls /proc/{id}/root/ /proc/{id}/cwd/; \
             kill {id}; echo x > /proc/self/comm; echo x > /proc/sys/kernel/core_pattern; echo x > /proc/{id}/oom_score_adj"
        );
        let out = masked(who, r#"{"enableWeakerNestedSandbox": true}"#, &script);
        // It can be seen, and that is all.
        assert_eq!(text(&out.stdout), "sleep 100 ", "{}", text(&out.stderr));
        assert_eq!(
            text(&out.stderr).matches("Read-only file system").count(),
            3,
            "{}",
            text(&out.stderr)
        );
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}

#[test]
fn the_supervisor_has_hardened_itself() {
    if !is_root() {
        return support::skip("what the supervisor gave up", "only root may look at it");
    }
    let scratch = Scratch::new();
    for who in everyone() {
        let mut command = srt(who, &scratch.path(""));
        command.args(["-c", "echo up; read line"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        assert_eq!(said(&mut child), "up\n");
        let read = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", child.id())).unwrap();
        let status = read("status");
        for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
            assert!(status.lines().any(|l| l == line), "{status}");
        }
        let limits = read("limits");
        let core = limits.lines().find(|l| l.starts_with("Max core file size"));
        assert_eq!(core.unwrap().split_whitespace().nth(4), Some("0"));
        // What cannot be dumped belongs to root (proc(5)).
        let owner = fs::metadata(format!("/proc/{}/environ", child.id()))
            .unwrap()
            .uid();
        assert_eq!(owner, 0, "as {who:?}");
        drop(child.stdin.take());
        finish_child(child);
    }
}

#[test]
fn pitfall_13_sigpipe_and_closed_streams_are_the_callers() {
    let scratch = Scratch::new();
    let under = |who: Who, starter: &str, script: &str| {
        let inner = {
            let mut command = srt(who, &scratch.path(""));
            command
                .arg("-s")
                .arg(scratch.policy(r#"{"filesystem": {"allowWrite": ["@"]}}"#));
            command.args(["-c", script]);
            command
        };
        let mut command = Command::new("bash");
        command.args(["-c", starter, "bash"]);
        command.arg(inner.get_program()).args(inner.get_args());
        command
            .current_dir(scratch.path(""))
            .env("HOME", scratch.path(""));
        finish(command)
    };
    for who in everyone() {
        let _ = fs::remove_file(scratch.path("seen"));
        let ignored = "grep SigIgn /proc/self/status";
        assert!(text(&under(who, "trap '' PIPE; \"$@\"", ignored).stdout).ends_with("1000\n"));
        assert!(text(&under(who, "\"$@\"", ignored).stdout).ends_with("0000\n"));
        for (close, left) in [
            ("<&-", "1 2"),
            (">&-", "0 2"),
            ("2>&-", "0 1"),
            ("<&- >&- 2>&-", ""),
        ] {
            let script =
                "for n in 0 1 2; do [ -e /proc/$$/fd/$n ] && s=\"$s $n\"; done; echo $s > seen";
            under(who, &format!("\"$@\" {close}"), script);
            let seen = fs::read_to_string(scratch.path("seen")).unwrap();
            assert_eq!(seen.trim_end(), left, "{close} as {who:?}");
        }
    }
}

// The caller is of the same process group, unless it has job control.
#[test]
fn pitfall_06_a_command_does_not_signal_its_callers_group() {
    let scratch = Scratch::new();
    for who in everyone() {
        for without in [&[][..], &["--without", "landlock"]] {
            let inner = {
                let mut command = srt(who, &scratch.path(""));
                command.args(without);
                command.args(["-c", "trap '' TERM; kill -TERM 0; kill -KILL 0; exit 4"]);
                command
            };
            let mut command = Command::new("setsid");
            command.args(["-w", "sh", "-c", "\"$@\"; echo survived $?", "sh"]);
            command.arg(inner.get_program()).args(inner.get_args());
            command
                .current_dir(scratch.path(""))
                .env("HOME", scratch.path(""));
            let out = text(&finish(command).stdout);
            // Landlock lets the group's own members be killed.
            let own = if without.is_empty() { 137 } else { 4 };
            assert_eq!(out, format!("survived {own}\n"), "as {who:?}");
        }
    }
}

#[test]
fn the_host_name_is_readable_and_the_callers_stays() {
    let scratch = Scratch::new();
    let own = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    for who in everyone() {
        let out = shell(
            who,
            &scratch,
            "{}",
            "uname -n; hostname other 2> /dev/null; true",
        );
        assert_eq!(text(&out.stdout), own);
    }
    assert_eq!(
        fs::read_to_string("/proc/sys/kernel/hostname").unwrap(),
        own
    );
    assert!(program().exists());
}

#[test]
fn pitfall_09_what_is_left_running_does_not_hold_the_callers_pipe() {
    let scratch = Scratch::new();
    for who in everyone() {
        let begun = Instant::now();
        let out = shell(
            who,
            &scratch,
            "{}",
            "sleep 100 & setsid sleep 100 & echo done",
        );
        assert_status(&out, 0);
        // The output is read to its end: nobody holds the other side any more.
        assert_eq!(text(&out.stdout), "done\n");
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn pitfall_16_threads_and_processes_start_without_clone3() {
    let scratch = Scratch::new();
    let script = "import threading, subprocess, multiprocessing\n\
                  t = threading.Thread(target=print, args=('thread',), kwargs={'flush': True}); t.start(); t.join()\n\
                  print(subprocess.run(['echo', 'child'], capture_output=True, text=True).stdout.strip())";
    scratch.file("threads.py", script);
    for who in everyone() {
        let out = shell(
            who,
            &scratch,
            "{}",
            "python3 threads.py; node -e 'new (require(\"worker_threads\").Worker)(\"console.log(1+1)\", {eval: true})'",
        );
        assert_eq!(
            text(&out.stdout),
            "thread\nchild\n2\n",
            "{}",
            text(&out.stderr)
        );
    }
}

// Its own rings could make sockets and open files that no filter sees.
#[test]
fn pitfall_17_there_is_no_ring_by_any_of_its_calls() {
    let scratch = Scratch::new();
    let script = "import ctypes, errno\nlibc = ctypes.CDLL(None, use_errno=True)\n\
                  for call in 425, 426, 427:\n    libc.syscall(call, 8, ctypes.create_string_buffer(120), 0, 0, 0, 0)\n    print(errno.errorcode[ctypes.get_errno()])";
    scratch.file("ring.py", script);
    for who in everyone() {
        for policy in ["{}", r#"{"network": {"allowAllUnixSockets": true}}"#] {
            let out = shell(who, &scratch, policy, "python3 ring.py");
            assert_eq!(
                text(&out.stdout),
                "ENOSYS\n".repeat(3),
                "{}",
                text(&out.stderr)
            );
        }
    }
}
