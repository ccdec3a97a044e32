//! The real program in real sandboxes: files, processes, signals, statuses.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::{
    Scratch, Who, assert_status, everyone, finish, finish_child, is_alive, program, said, shell,
    skip, srt, text,
};

const WRITE_HERE: &str = r#"{"filesystem": {"allowWrite": ["@"]}}"#;

#[test]
fn the_exit_status_is_the_commands_own() {
    let scratch = Scratch::new();
    for who in everyone() {
        thread::scope(|scope| {
            for part in 0..2 {
                let scratch = &scratch;
                scope.spawn(move || {
                    for status in (part..256).step_by(2) {
                        let mut command = srt(who, &scratch.path(""));
                        command.args(["sh", "-c", &format!("exit {status}")]);
                        assert_status(&finish(command), status);
                    }
                });
            }
        });
        for signal in [1, 2, 9, 11, 15] {
            assert_status(
                &shell(who, &scratch, "{}", &format!("kill -{signal} $$")),
                128 + signal,
            );
        }
    }
}

#[test]
fn what_cannot_be_run_is_told_by_status_and_words() {
    let scratch = Scratch::new();
    let plain = scratch.file("plain", "not a program");
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o644)).unwrap();
    for who in everyone() {
        let run = |word: &str| {
            let mut command = srt(who, &scratch.path(""));
            command.arg(word);
            finish(command)
        };
        assert_status(&run("no-such-program"), 127);
        assert!(text(&run("echo hello").stderr).contains("use srt -c"));
        assert_status(&run(plain.to_str().unwrap()), 126);
    }
}

#[test]
fn pitfall_61_settings_that_are_not_valid_run_nothing() {
    let scratch = Scratch::new();
    let cases = [
        ("", "the file is empty"),
        ("{", "line 1, column 2"),
        (
            r#"{"filesystem": {"denyRaed": ["/x"]}}"#,
            "did you mean filesystem.denyRead?",
        ),
        (
            r#"{"network": {"allowedDomains": ["*.com"]}}"#,
            "network.allowedDomains[0]",
        ),
        (
            r#"{"network": {"capture": true, "httpProxyPort": 8888}}"#,
            "network.capture: with httpProxyPort",
        ),
        (
            r#"{"filesystem": {"denyWrite": ["@/policy.json/x"]}}"#,
            "filesystem.denyWrite[0]",
        ),
        (
            r#"{"filesystem": {"denyRead": ["@/a**"]}}"#,
            "line 1, column 30: filesystem.denyRead[0]: ** stands alone",
        ),
    ];
    for (json, words) in cases {
        let out = shell(Who::Me, &scratch, json, "echo ran");
        assert_status(&out, 125);
        assert_eq!(text(&out.stdout), "", "{json}");
        let stderr = text(&out.stderr);
        assert!(stderr.contains(words), "{json}: {stderr}");
        assert!(
            stderr.lines().all(|line| line.starts_with("srt: ")),
            "{stderr}"
        );
    }
    let mut command = srt(Who::Me, &scratch.path(""));
    command
        .arg("-s")
        .arg(scratch.path("absent.json"))
        .args(["echo", "ran"]);
    let out = finish(command);
    assert_status(&out, 125);
    assert!(text(&out.stderr).contains("absent.json") && out.stdout.is_empty());
}

#[test]
fn a_missing_or_failing_bubblewrap_is_told_with_the_cure() {
    let scratch = Scratch::new();
    let mut command = srt(Who::Me, &scratch.path(""));
    command.env("PATH", "/nowhere").args(["echo", "ran"]);
    let out = finish(command);
    assert_status(&out, 125);
    assert!(
        text(&out.stderr).contains("apt-get install bubblewrap"),
        "{}",
        text(&out.stderr)
    );
    scratch.file(
        "bwrap",
        "#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n",
    );
    let out = shell(Who::Me, &scratch, r#"{"bwrapPath": "@/bwrap"}"#, "echo ran");
    assert_status(&out, 125);
    let stderr = text(&out.stderr);
    assert!(
        stderr.contains("setting up uid map") && stderr.contains("AppArmor"),
        "{stderr}"
    );
    assert!(out.stdout.is_empty());
}

#[test]
fn pitfall_08_arguments_arrive_exactly() {
    let scratch = Scratch::new();
    let words = [
        "a b",
        "'",
        "\"",
        "new\nline",
        "",
        "-c",
        "--settings",
        "!",
        "\\",
        "$HOME",
        "*",
        "é",
    ];
    for who in everyone() {
        let mut command = srt(who, &scratch.path(""));
        command
            .args(["python3", "-c", "import sys; print(repr(sys.argv[1:]))"])
            .args(words);
        let mut direct = Command::new("python3");
        direct
            .args(["-c", "import sys; print(repr(sys.argv[1:]))"])
            .args(words);
        assert_eq!(text(&finish(command).stdout), text(&finish(direct).stdout));
        scratch.file("f", "x\ny\nx\n");
        let mut command = srt(who, &scratch.path(""));
        command.args(["grep", "-c", "x", "f"]);
        assert_eq!(text(&finish(command).stdout), "2\n");
    }
}

#[test]
fn standard_input_and_output_are_binary_safe() {
    let scratch = Scratch::new();
    let data: Vec<u8> = (0..4 << 20)
        .map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for who in everyone() {
        let mut command = srt(who, &scratch.path(""));
        command
            .arg("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let copy = data.clone();
        let writer = thread::spawn(move || stdin.write_all(&copy));
        let out = finish_child(child);
        writer.join().unwrap().unwrap();
        assert!(out.stdout == data, "{} bytes came back", out.stdout.len());
    }
}

#[test]
fn pitfall_04_the_callers_descriptors_stay_outside() {
    let scratch = Scratch::new();
    let file = scratch.file("caller", "");
    let script = "exec 40>>\"$2\"; \"$0\" -s \"$1\" -c 'ls /proc/self/fd; echo leak >&40'";
    let mut command = Command::new("bash");
    command
        .args(["-c", script])
        .arg(program())
        .arg(scratch.policy(WRITE_HERE))
        .arg(&file);
    let out = finish(command);
    // The fourth is the one ls reads the directory with.
    assert_eq!(text(&out.stdout), "0\n1\n2\n3\n");
    assert_eq!(fs::read_to_string(&file).unwrap(), "");
}

#[test]
fn pitfall_06_signals_reach_the_command() {
    let scratch = Scratch::new();
    for who in everyone() {
        for (name, number) in [
            ("HUP", 1),
            ("INT", 2),
            ("QUIT", 3),
            ("USR1", 10),
            ("USR2", 12),
            ("TERM", 15),
        ] {
            let mut command = srt(who, &scratch.path(""));
            let script = format!(
                "import signal,sys\nsignal.signal({number}, lambda *a: sys.exit(70))\nprint('up', flush=True)\nwhile True: signal.pause()"
            );
            command
                .args(["python3", "-c", &script])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let line = said(&mut child);
            assert_eq!(line, "up\n");
            let kill = Command::new("kill")
                .args([&format!("-{name}"), &child.id().to_string()])
                .status();
            assert!(kill.unwrap().success());
            assert_status(&finish_child(child), 70);
        }
    }
}

#[test]
fn pitfall_05_nothing_outlives_a_killed_srt() {
    let scratch = Scratch::new();
    for who in everyone() {
        for (round, signal) in ["-KILL", "-HUP", "-TERM"].into_iter().enumerate() {
            let marker = format!("9{}{round}{}", std::process::id(), who as u8);
            let mut command = srt(who, &scratch.path(""));
            let script = format!("echo \"$TMPDIR\"; sleep {marker} & sleep {marker}");
            command.args(["-c", &script]).stdout(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let tmpdir = said(&mut child);
            Command::new("kill")
                .args([signal, &child.id().to_string()])
                .status()
                .unwrap();
            let status = child.wait().unwrap();
            let until = Instant::now() + Duration::from_secs(1);
            while is_alive(&marker) {
                assert!(
                    Instant::now() < until,
                    "{signal} of srt left processes ({status})"
                );
                thread::yield_now();
            }
            assert!(signal != "-KILL" || status.signal() == Some(9));
            // What a killed run leaves, the next one clears.
            shell(who, &scratch, "{}", "true");
            assert!(
                !std::path::Path::new(tmpdir.trim_end()).exists(),
                "{signal} left {tmpdir}"
            );
        }
    }
}

#[test]
fn pitfall_15_no_privilege_and_no_way_to_one() {
    let scratch = Scratch::new();
    for who in everyone() {
        let out = shell(
            who,
            &scratch,
            "{}",
            "grep -E '^(CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t'; \
             unshare -U true; unshare -m true; mount -t tmpfs none /tmp; chroot / true; cat /proc/1/environ /proc/1/maps",
        );
        let zero = "0000000000000000";
        assert_eq!(
            text(&out.stdout),
            format!(
                "CapPrm:{zero}\nCapEff:{zero}\nCapBnd:{zero}\nCapAmb:{zero}\nNoNewPrivs:1\nSeccomp:2\n"
            )
        );
        assert!(
            text(&out.stderr).matches("Operation not permitted").count() >= 3,
            "{}",
            text(&out.stderr)
        );
    }
}

// Without `policy.kernel` root writes core_pattern: bubblewrap covers only what the
// directory itself lets write.
#[test]
fn pitfall_15_the_kernels_settings_are_not_writable() {
    let scratch = Scratch::new();
    for who in everyone() {
        for policy in ["{}", r#"{"filesystem": {"allowWrite": ["/"]}}"#] {
            let out = shell(
                who,
                &scratch,
                policy,
                "find /proc /sys -path '/proc/[0-9]*' -prune -o -type f -writable -print 2> /dev/null",
            );
            // Those of its own IPC and pid namespaces are the sandbox's; a pressure file
            // takes a question, not a setting (kernel document accounting/psi).
            let own = [
                "fs/mqueue/",
                "kernel/msg",
                "kernel/sem",
                "kernel/shm",
                "kernel/auto_msgmni",
                "kernel/ns_last_pid",
                "kernel/pid_max",
            ];
            let hosts: Vec<String> = text(&out.stdout)
                .lines()
                .filter(|line| !line.starts_with("/proc/pressure/"))
                .filter(|line| {
                    !own.iter()
                        .any(|o| line.starts_with(&format!("/proc/sys/{o}")))
                })
                .map(str::to_owned)
                .collect();
            assert!(hosts.is_empty(), "{hosts:?} as {who:?} under {policy}");
        }
    }
}

#[test]
fn pitfall_12_the_init_cannot_be_looked_into() {
    let scratch = Scratch::new();
    for who in everyone() {
        let out = shell(
            who,
            &scratch,
            "{}",
            "head -c 1 /proc/self/maps > /dev/null && echo own; \
             for f in maps environ exe fd/0 mem; do head -c 1 /proc/1/$f > /dev/null 2>&1 && echo $f; done",
        );
        assert_eq!(text(&out.stdout), "own\n");
    }
}

#[test]
fn the_kernel_surface_answers_as_the_table_says() {
    let scratch = Scratch::new();
    let probe = r"
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(*args):
    ctypes.set_errno(0)
    libc.syscall.restype = ctypes.c_long
    ret = libc.syscall(*[ctypes.c_ulong(a & (2**64 - 1)) for a in args])
    return errno.errorcode.get(ctypes.get_errno(), 'ok') if ret == -1 else 'ok'
print(call(41, 1, 1, 0), call(41, (1 << 32) | 1, 1, 0), call(41, 2, 1, 0), call(41, 10, 1, 0),
      call(41, 40, 1, 0), call(41, 16, 3, 0), call(41, 16, 3, 15), call(41, 38, 5, 0), call(41, 17, 3, 0))
print(call(16, 0, 0x5412, 0), call(16, 0, 0x5412 + 2**32, 0), call(16, 0, 0x541c, 0))
print(call(425, 1, 0), call(426, -1, 0, 0, 0, 0), call(427, -1, 0, 0, 0), call(435, 0, 0))
print(call(272, 0x10000000), call(272, 0x80), call(308, -1, 0), call(165, 0, 0, 0, 0, 0), call(467, -1, 0, 0, 0, 0))
print(call(250, 0, 0, 0, 0, 0), call(321, 0, 0, 0), call(298, 0, 0, 0, 0, 0), call(323, 0), call(304, -1, 0, 0))
print(call(0x40000000 + 39))
";
    if !cfg!(target_arch = "x86_64") {
        return skip("system call probes", "their numbers are x86-64's");
    }
    scratch.file("probe.py", probe);
    for who in everyone() {
        let out = shell(who, &scratch, "{}", "python3 probe.py");
        assert_eq!(
            text(&out.stdout),
            "\
EPERM EPERM ok ok EAFNOSUPPORT ok EAFNOSUPPORT EAFNOSUPPORT EAFNOSUPPORT
EPERM EPERM EPERM
ENOSYS ENOSYS ENOSYS ENOSYS
EPERM EPERM EPERM EPERM EPERM
EPERM EPERM EPERM EPERM EPERM
ENOSYS
",
            "{}",
            text(&out.stderr)
        );
    }
}

#[test]
fn pitfall_24_no_unix_socket_of_the_host_hears_from_inside() {
    let scratch = Scratch::new();
    let attack = scratch.file(
        "attack.py",
        r#"
import socket, sys
def attempt(kind, make):
    try:
        make()
        print(kind, "got out")
    except OSError as e:
        print(kind, e.strerror)
def pair(kind):
    a, b = socket.socketpair(socket.AF_UNIX, kind)
    a.sendto(b"x", "dgram")
def stream():
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    b.close()
    a.connect("stream")
attempt("datagram pair", lambda: pair(socket.SOCK_DGRAM))
attempt("nonblocking datagram pair", lambda: pair(socket.SOCK_DGRAM | socket.SOCK_NONBLOCK))
attempt("raw pair", lambda: pair(socket.SOCK_RAW))
attempt("stream pair", stream)
attempt("socket", lambda: socket.socket(socket.AF_UNIX).connect("stream"))
"#,
    );
    let stream = std::os::unix::net::UnixListener::bind(scratch.path("stream")).unwrap();
    let dgram = std::os::unix::net::UnixDatagram::bind(scratch.path("dgram")).unwrap();
    for socket in ["stream", "dgram"] {
        fs::set_permissions(scratch.path(socket), fs::Permissions::from_mode(0o777)).unwrap();
    }
    for who in everyone() {
        let out = shell(
            who,
            &scratch,
            WRITE_HERE,
            &format!("python3 {}", attack.display()),
        );
        assert_eq!(
            text(&out.stdout),
            "datagram pair Operation not permitted\nnonblocking datagram pair Operation not permitted\n\
             raw pair Operation not permitted\nstream pair Transport endpoint is already connected\n\
             socket Operation not permitted\n"
        );
    }
    dgram.set_nonblocking(true).unwrap();
    stream.set_nonblocking(true).unwrap();
    assert!(dgram.recv(&mut [0]).is_err() && stream.accept().is_err());
}

#[test]
fn twenty_at_once_do_not_meet() {
    let scratch = Scratch::new();
    let children: Vec<_> = (0..20)
        .map(|n| {
            let mut command = srt(Who::Me, &scratch.path(""));
            command.args([
                "-c",
                &format!("touch $TMPDIR/x; curl -sS http://denied.test/ > /dev/null; exit {n}"),
            ]);
            command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for (n, child) in children.into_iter().enumerate() {
        assert_status(&finish_child(child), i32::try_from(n).unwrap());
    }
}

#[test]
fn pitfall_11_loader_variables_reach_the_command_and_nothing_before_it() {
    let scratch = Scratch::new();
    let out = {
        let mut command = srt(Who::Me, &scratch.path(""));
        // A loader that cannot find it says so, once for each program it starts.
        command
            .env("LD_PRELOAD", "/no/such/library.so")
            .args(["-c", ":"]);
        finish(command)
    };
    // srt itself, where it is linked dynamically, and sh.
    let said = text(&out.stderr).matches("/no/such/library.so").count();
    assert!((1..=2).contains(&said), "{}", text(&out.stderr));
    for who in everyone() {
        let mut command = srt(who, &scratch.path(""));
        command
            .env("LD_PRELOAD", "/no/such/library.so")
            .args(["-c", "tr '\\0' '\\n' < /proc/$$/environ"]);
        let environment = text(&finish(command).stdout);
        for line in [
            "LD_PRELOAD=/no/such/library.so",
            "HTTP_PROXY=http://127.0.0.1:3128",
        ] {
            assert!(
                environment.lines().any(|l| l == line),
                "{line} is not in {environment}"
            );
        }
    }
}

#[test]
fn pitfall_10_options_environment_and_launch_do_not_show_in_ps() {
    let scratch = Scratch::new();
    let mut command = srt(Who::Me, &scratch.path(""));
    command
        .env("A_SECRET", "hunter2")
        .args(["-c", "echo up; read line"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    assert_eq!(said(&mut child), "up\n");
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap();
    let bwrap = children.trim();
    let seen = text(&fs::read(format!("/proc/{bwrap}/cmdline")).unwrap());
    let environment = fs::read(format!("/proc/{bwrap}/environ")).unwrap();
    drop(child.stdin.take());
    finish_child(child);
    assert!(
        seen.contains("--args") && !seen.contains("--ro-bind"),
        "{seen}"
    );
    assert!(environment.is_empty(), "{}", text(&environment));
}

// The listeners belong to the sandbox's network namespace, whoever accepts on them.
#[test]
fn pitfall_54_nothing_of_srt_listens_on_the_host_or_lies_in_a_shared_directory() {
    let scratch = Scratch::new();
    let listening = |pid: u32| {
        let sockets = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        let links = sockets.filter_map(|fd| fs::read_link(fd.path()).ok());
        let own: Vec<String> = links.map(|l| l.display().to_string()).collect();
        let mut found = Vec::new();
        for table in ["tcp", "tcp6", "unix", "udp"] {
            let text = fs::read_to_string(format!("/proc/net/{table}")).unwrap();
            for line in text.lines().skip(1) {
                let inode = |word: &&str| own.contains(&format!("socket:[{word}]"));
                let named = table != "unix" || line.contains(['/', '@']);
                if named && line.split_whitespace().any(|word| inode(&word)) {
                    found.push(line.to_owned());
                }
            }
        }
        found
    };
    let mut command = srt(Who::Me, &scratch.path(""));
    command.args(["-c", "echo up; read line"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    assert_eq!(said(&mut child), "up\n");
    let found = listening(child.id());
    drop(child.stdin.take());
    finish_child(child);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn descriptors_and_memory_are_back_where_they_were_after_many_connections() {
    let scratch = Scratch::new();
    // A third of them end in a reset, in whatever state that finds them.
    let script = r"
import socket, struct, sys
first = [b'GET http://a.test/ HTTP/1.1\r\n\r\n', b'\5\1\0', b'CONNECT 1.2.3.4:5 HTTP/1.1\r\n\r\n', b'\4',
         b'GET http://a', b'\5', b'POST http://a.test/ HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc', b'']
def one(n):
    s = socket.create_connection(('127.0.0.1', 3128)); s.sendall(first[n % 8])
    if n % 3 == 0: s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    elif n % 8 < 4: s.recv(99)
    s.close()
for n in range(200): one(n)
print('warm', flush=True); sys.stdin.readline()
for n in range(5000): one(n)
print('done', flush=True); sys.stdin.readline()
";
    scratch.file("many.py", script);
    let mut command = srt(Who::Me, &scratch.path(""));
    command.args(["python3", "many.py"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let id = child.id();
    let mut measure = |word: &str| {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), word);
        // The last connection's end may still be on its way.
        let until = Instant::now() + Duration::from_secs(8);
        let count = || fs::read_dir(format!("/proc/{id}/fd")).unwrap().count();
        while count() > 20 && Instant::now() < until {
            thread::yield_now();
        }
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let resident = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
        let kib: u64 = resident.split_whitespace().nth(1).unwrap().parse().unwrap();
        (count(), kib)
    };
    let before = measure("warm");
    child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    let after = measure("done");
    child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    finish_child(child);
    assert!(
        before.0 <= 20 && after.0 <= 20,
        "{} descriptors, then {}",
        before.0,
        after.0
    );
    assert!(
        after.1 < before.1 + 1024,
        "{} KiB, then {} KiB",
        before.1,
        after.1
    );
}

#[test]
fn three_programs_are_executed_and_the_command() {
    let scratch = Scratch::new();
    if !finish({
        let mut c = Command::new("sh");
        c.args(["-c", "command -v strace"]);
        c
    })
    .status
    .success()
    {
        return skip("programs executed", "there is no strace");
    }
    let log = scratch.path("log");
    let mut command = Command::new("strace");
    command
        .args([
            "-f",
            "-qq",
            "-e",
            "trace=execve,nanosleep,clock_nanosleep",
            "-o",
        ])
        .arg(&log)
        .arg(program())
        .arg("/bin/true");
    assert_status(&finish(command), 0);
    let log = fs::read_to_string(&log).unwrap();
    let done: Vec<&str> = log
        .lines()
        .filter(|l| l.contains("execve(") && l.ends_with("= 0"))
        .collect();
    assert_eq!(done.len(), 4, "{log}");
    assert!(!log.contains("nanosleep"), "{log}");
}

#[test]
fn dry_run_help_and_version_print_and_run_nothing() {
    let scratch = Scratch::new();
    let say = |words: &[&str]| {
        let mut command = srt(Who::Me, &scratch.path(""));
        command.args(words);
        let out = finish(command);
        assert_status(&out, 0);
        text(&out.stdout)
    };
    let plan = say(&["--dry-run", "touch", scratch.path("made").to_str().unwrap()]);
    for part in [
        "\"--unshare-net\"",
        "\"--ro-bind\" \"/\" \"/\"",
        "# seccomp",
        "io_uring_setup (425)",
        "HTTP_PROXY=",
        "# capture\nnone: nothing is allowed",
    ] {
        assert!(plan.contains(part), "{part} is not in {plan}");
    }
    assert!(!scratch.path("made").exists());
    assert!(say(&["--help"]).contains("Usage: srt"));
    assert_eq!(
        say(&["--version"]),
        concat!("srt ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn pitfall_23_no_namespace_is_shared_with_the_caller() {
    let scratch = Scratch::new();
    for who in everyone() {
        for kind in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
            let own = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
            let out = shell(
                who,
                &scratch,
                "{}",
                &format!("readlink /proc/self/ns/{kind}"),
            );
            let inside = text(&out.stdout);
            assert!(inside.starts_with(&format!("{kind}:[")), "{inside}");
            assert_ne!(inside.trim_end(), own.to_str().unwrap(), "as {who:?}");
        }
    }
}

#[test]
fn pitfall_13_signal_dispositions_limits_mask_and_directory_are_the_callers() {
    let scratch = Scratch::new();
    for who in everyone() {
        let policy = scratch.policy("{}");
        let script = "ulimit -Sn 200; umask 027; exec \"$@\"";
        let probe = "grep -E '^Sig(Ign|Blk):' /proc/$$/status | tr -d '\\t'; \
                     ulimit -Sn; ulimit -Hn; umask; pwd";
        let around = |inner: Command| {
            let mut command = Command::new("sh");
            command
                .args(["-c", script, "sh"])
                .arg(inner.get_program())
                .args(inner.get_args())
                .current_dir(scratch.path(""));
            finish(command)
        };
        let mut direct = Command::new("sh");
        direct.args(["-c", probe]);
        let mut inside = srt(who, &scratch.path(""));
        inside.arg("-s").arg(policy).args(["-c", probe]);
        let (direct, inside) = (around(direct), around(inside));
        assert_status(&inside, 0);
        assert_eq!(text(&inside.stdout), text(&direct.stdout), "as {who:?}");
    }
}

#[test]
fn pitfall_13_a_reader_that_is_gone_ends_the_command_by_sigpipe() {
    let scratch = Scratch::new();
    for who in everyone() {
        let mut command = srt(who, &scratch.path(""));
        command
            .arg("yes")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "y\n");
        assert_status(&finish_child(child), 128 + 13);
    }
}

#[test]
fn pitfall_13_closed_standard_streams_let_nothing_of_srt_in() {
    let scratch = Scratch::new();
    scratch.policy(WRITE_HERE);
    for close in ["0<&-", "2>&-", "0<&- 2>&-"] {
        let line = format!("\"$0\" -s policy.json -c 'ls -l /proc/self/fd > seen' {close}");
        let mut command = Command::new("sh");
        command
            .args(["-c", &line])
            .arg(program())
            .current_dir(scratch.path(""));
        assert_status(&finish(command), 0);
        let seen = fs::read_to_string(scratch.path("seen")).unwrap();
        assert!(
            !seen.contains("socket:") && !seen.contains("memfd:"),
            "{close}: {seen}"
        );
    }
}

#[test]
fn a_direct_connection_fails_at_once_where_none_is_captured() {
    let scratch = Scratch::new();
    let policy =
        r#"{"network": {"capture": false, "allowedDomains": ["192.0.2.1", "[2001:db8::1]"]}}"#;
    let probe = r"
import errno, socket
for family, address in (socket.AF_INET, '192.0.2.1'), (socket.AF_INET6, '2001:db8::1'):
    s = socket.socket(family)
    s.settimeout(5)
    print(errno.errorcode.get(s.connect_ex((address, 80))))
    d = socket.socket(family, socket.SOCK_DGRAM)
    try: print(d.sendto(b'x', (address, 53)))
    except OSError as e: print(errno.errorcode[e.errno])
";
    scratch.file("probe.py", probe);
    for who in everyone() {
        let out = shell(who, &scratch, policy, "python3 probe.py");
        // EAGAIN is what a connection gets that waits until the time is over.
        assert_eq!(text(&out.stdout), "ENETUNREACH\n".repeat(4));
    }
}

#[test]
fn ctrl_c_on_a_terminal_reaches_the_command_once() {
    let scratch = Scratch::new();
    scratch.file(
        "command.py",
        "import signal\nseen = 0\ndef interrupted(*_):\n    global seen\n    seen += 1\n    print('int', flush=True)\n\
         def quit(*_): print('seen', seen, flush=True); raise SystemExit(7)\n\
         signal.signal(signal.SIGINT, interrupted)\nsignal.signal(signal.SIGQUIT, quit)\n\
         print('up', flush=True)\nwhile True: signal.pause()\n",
    );
    scratch.file(
        "terminal.py",
        "import os, pty, sys\npid, fd = pty.fork()\nif pid == 0: os.execvp(sys.argv[1], sys.argv[1:])\n\
         said = b''\ndef until(word):\n    global said\n    while word not in said: said += os.read(fd, 4096)\n\
         until(b'up'); os.write(fd, b'\\x03'); until(b'int'); os.write(fd, b'\\x1c'); until(b'seen')\n\
         try:\n    while part := os.read(fd, 4096): said += part\nexcept OSError: pass\n\
         print(said.decode().replace('\\r', '')); sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n",
    );
    for who in everyone() {
        let inner = {
            let mut command = srt(who, &scratch.path(""));
            command.args(["python3", "command.py"]);
            command
        };
        let mut command = Command::new("python3");
        command
            .arg("terminal.py")
            .arg(inner.get_program())
            .args(inner.get_args())
            .current_dir(scratch.path(""))
            .env("HOME", scratch.path(""));
        let out = finish(command);
        assert_status(&out, 7);
        assert!(
            text(&out.stdout).contains("seen 1\n"),
            "{}",
            text(&out.stdout)
        );
    }
}

#[test]
fn a_command_line_that_is_not_valid_runs_nothing() {
    let scratch = Scratch::new();
    let cases: [&[&str]; 4] = [
        &[],
        &["-s"],
        &["--no-such-option", "touch", "made"],
        &["-c"],
    ];
    for words in cases {
        let mut command = srt(Who::Me, &scratch.path(""));
        command.args(words);
        let out = finish(command);
        assert_status(&out, 125);
        assert!(out.stdout.is_empty() && text(&out.stderr).starts_with("srt: "));
        assert!(!scratch.path("made").exists());
    }
}
