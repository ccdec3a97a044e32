//! Each layer alone: every write attack against the mount namespace with Landlock and
//! seccomp off, and against Landlock with the mounts and seccomp off. What one of them
//! cannot stop is in the table, and is seen to get through: the table stays true.

mod support;

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Command, Stdio};

use support::{Scratch, Who, assert_status, everyone, finish, is_root, shell, snapshot, srt, text};

/// What stops an attack with the others off.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Alone {
    /// Either.
    Both,
    /// The mounts. Landlock only allows: what is denied inside a writable place is
    /// none of its business, and it knows no right on permissions and times.
    Mounts,
    /// Landlock. A descriptor leads past every mount of the sandbox.
    Landlock,
}
use Alone::{Both, Landlock, Mounts};

/// Name, what stops it, a line of shell in a directory with `w` (writable), `o` (not),
/// `w/deny` and `w/.git`; standard input is `o/f`, opened for reading.
const ATTACKS: &[(&str, Alone, &str)] = &[
    ("create", Both, "echo x > o/new"),
    ("overwrite", Both, "echo x > o/f"),
    ("append", Both, "echo x >> o/f"),
    ("truncate", Both, "truncate -s 0 o/f"),
    ("unlink", Both, "rm -f o/f"),
    ("rmdir", Both, "rmdir o/empty"),
    ("mkdir", Both, "mkdir o/d"),
    ("fifo", Both, "mkfifo o/p"),
    ("symlink", Both, "ln -s x o/l"),
    ("rename inside", Both, "mv o/f o/g"),
    ("rename to outside", Both, "echo x > w/x; mv w/x o/x"),
    ("rename from outside", Both, "mv o/f w/f"),
    ("exchange", Both, "python3 exchange.py w/a o/f"),
    ("hard link in", Both, "ln o/f w/l && echo x > w/l"),
    ("hard link out", Both, "echo x > w/x; ln w/x o/x"),
    ("through a symlink", Both, "ln -s ../o/f w/s; echo x > w/s"),
    (
        "through a linked directory",
        Both,
        "ln -s ../o w/s; echo x > w/s/new",
    ),
    (
        "through /proc/self/root",
        Both,
        "echo x > /proc/self/root$PWD/o/new",
    ),
    (
        "through /proc/self/cwd",
        Both,
        "cd o; echo x > /proc/self/cwd/new",
    ),
    (
        "unnamed file",
        Both,
        "python3 -c 'import os; f = os.open(\"o\", os.O_TMPFILE | os.O_RDWR); \
         os.link(f\"/proc/self/fd/{f}\", \"o/new\", follow_symlinks=True)'",
    ),
    (
        "remount in a namespace of its own",
        Both,
        "unshare -Urm sh -c 'mount -o remount,rw,bind /; mount -o remount,rw,bind \"$PWD\"; echo x > o/new'",
    ),
    (
        "bind mount in a namespace of its own",
        Both,
        "mkdir w/m; unshare -Urm sh -c 'mount --rbind o w/m; mount -o remount,rw,bind w/m; echo x > w/m/new'",
    ),
    (
        "overlay in a namespace of its own",
        Both,
        "mkdir w/m w/k; unshare -Urm sh -c 'mount -t overlay x -o lowerdir=w,upperdir=o,workdir=w/k w/m; echo x > w/m/new'",
    ),
    (
        "standard input opened again",
        Landlock,
        "echo x >> /proc/self/fd/0",
    ),
    ("permissions", Mounts, "chmod 600 o/f"),
    (
        "times",
        Mounts,
        "touch -d @0 o/f; test $(stat -c %Y o/f) = 0 && echo x > w/times",
    ),
    ("denied inside", Mounts, "echo x > w/deny/x"),
    (
        "always-denied, there",
        Mounts,
        "echo x > w/.git/hooks/pre-commit",
    ),
    (
        "always-denied, absent",
        Mounts,
        "rm -f w/.bashrc; echo x > w/.bashrc",
    ),
    (
        "always-denied by another name",
        Mounts,
        "mv w/.git w/g && echo x > w/g/hooks/x",
    ),
];

const EXCHANGE: &str = "
import ctypes, os, sys
open(sys.argv[1], 'w').close()
libc = ctypes.CDLL(None, use_errno=True)
a, b = (os.fsencode(os.path.abspath(p)) for p in sys.argv[1:])
sys.exit(libc.renameat2(-100, a, -100, b, 2))
";

/// Runs an attack; says whether it has changed anything that it must not.
fn gets_through(who: Who, attack: &str, without: &[&str]) -> bool {
    gets_through_policy(who, attack, without, "")
}

fn gets_through_policy(who: Who, attack: &str, without: &[&str], more: &str) -> bool {
    let scratch = Scratch::new();
    scratch.file("o/f", "original");
    scratch.dir("o/empty");
    scratch.dir("w/deny");
    scratch.file("w/.git/HEAD", "ref: refs/heads/main\n");
    scratch.file("w/.git/config", "");
    scratch.dir("w/.git/hooks");
    scratch.dir("w/.git/objects");
    scratch.dir("w/.git/refs");
    scratch.file("exchange.py", EXCHANGE);
    let policy = scratch.policy(&format!(
        r#"{{"filesystem": {{"allowWrite": ["@/w"], "denyWrite": ["@/w/deny"]}}{more}}}"#
    ));
    if who == Who::Nobody {
        let mut command = Command::new("chown");
        command.args(["-R", "65534:65534"]).arg(scratch.path(""));
        assert!(finish(command).status.success());
    }
    let look = || {
        let guarded = ["o", "w/deny", "w/.git"].map(|at| snapshot(&scratch.path(at)));
        let appeared = ["w/.bashrc", "w/times"].map(|at| {
            // A placeholder of the run's own is empty, and gone by now.
            fs::symlink_metadata(scratch.path(at)).is_ok()
        });
        (guarded, appeared)
    };
    let before = look();
    let mut command = srt(who, &scratch.path(""));
    for layer in without {
        command.args(["--without", layer]);
    }
    command.arg("-s").arg(policy).args(["-c", attack]);
    command.stdin(Stdio::from(fs::File::open(scratch.path("o/f")).unwrap()));
    let out = finish(command);
    let ran = out.status.code() != Some(125);
    let refused = text(&out.stderr).contains("standard input");
    assert!(ran || refused, "{attack}: {}", text(&out.stderr));
    before != look()
}

#[test]
fn no_write_attack_gets_through_all_layers_nor_through_one_that_stops_it() {
    for who in everyone() {
        for (name, alone, attack) in ATTACKS {
            let through = |without: &[&str]| gets_through(who, attack, without);
            assert!(!through(&[]), "{name} as {who:?}");
            // Where Landlock is off, such a standard input is refused beforehand: see
            // the next test.
            if *alone != Landlock {
                assert!(
                    !through_piped(who, attack, &["landlock", "seccomp"]),
                    "{name} gets through the mounts as {who:?}"
                );
            }
            assert_eq!(
                through(&["mounts", "seccomp"]),
                *alone == Mounts,
                "{name} gets through Landlock as {who:?}, or does not any more"
            );
        }
    }
}

// The kernel keeps a mount in place that came from a namespace with more rights
// (mount_namespaces(7), "Restrictions on mount namespaces").
#[test]
fn pitfall_14_a_command_with_namespaces_of_its_own_cannot_undo_the_mounts() {
    let nested = r#"{"allowNestedUserNamespaces": true, "filesystem": {"allowWrite": ["@"]}}"#;
    for who in everyone() {
        if who == Who::Me && is_root() {
            let out = shell(who, &Scratch::new(), nested, "echo ran");
            assert!(text(&out.stderr).contains("CAP_SETFCAP") && out.stdout.is_empty());
            continue;
        }
        for (name, alone, attack) in ATTACKS {
            if *alone != Landlock {
                let attack = format!("exec </dev/null; {attack}");
                let more = r#", "allowNestedUserNamespaces": true"#;
                assert!(
                    !gets_through_policy(who, &attack, &[], more),
                    "{name} as {who:?}"
                );
            }
        }
        let scratch = Scratch::new();
        let out = shell(
            who,
            &scratch,
            nested,
            "bwrap --unshare-all --ro-bind / / --tmpfs /tmp touch /tmp/x && echo in && unshare -Urm mount -t tmpfs x /mnt && echo on",
        );
        assert_eq!(text(&out.stdout), "in\non\n", "{}", text(&out.stderr));
    }
}

/// The same with nothing on standard input that could be refused.
fn through_piped(who: Who, attack: &str, without: &[&str]) -> bool {
    gets_through(who, &format!("exec </dev/null; {attack}"), without)
}

#[test]
fn a_standard_stream_that_leads_past_the_mounts_is_refused_where_landlock_cannot_hold_it() {
    for who in everyone() {
        let scratch = Scratch::new();
        scratch.file("f", "original");
        let run = |json: &str, without: &[&str], stdin: &str, script: &str| {
            let policy = scratch.policy(json);
            let mut command = srt(who, &scratch.path(""));
            for layer in without {
                command.args(["--without", layer]);
            }
            command.arg("-s").arg(policy).args(["-c", script]);
            command.stdin(Stdio::from(fs::File::open(scratch.path(stdin)).unwrap()));
            let out = finish(command);
            (out.status.code(), text(&out.stderr), text(&out.stdout))
        };
        let attack = "echo ran; echo x >> /proc/self/fd/0";
        // Landlock allows a whole writable directory, so not what is denied in it.
        let inside = r#"{"filesystem": {"allowWrite": ["@"], "denyWrite": ["@/f"]}}"#;
        for (json, without) in [("{}", &["landlock"][..]), (inside, &[])] {
            let (status, stderr, stdout) = run(json, without, "f", attack);
            assert_eq!((status, stdout.as_str()), (Some(125), ""), "{stderr}");
            assert!(stderr.contains("pipe it in"), "{stderr}");
        }
        let (status, stderr, stdout) = run("{}", &[], "", "echo ran");
        assert_eq!((status, stdout.as_str()), (Some(125), ""));
        assert!(
            stderr.contains("standard input: is a directory"),
            "{stderr}"
        );
        // What this user cannot write anyway, and what is writable inside, passes.
        let (status, stderr, _) = run(r#"{"filesystem": {"allowWrite": ["@"]}}"#, &[], "f", attack);
        assert_eq!(status, Some(0), "{stderr}");
        assert_eq!(
            fs::read_to_string(scratch.path("f")).unwrap(),
            "originalx\n"
        );
        fs::set_permissions(scratch.path("f"), fs::Permissions::from_mode(0o444)).unwrap();
        if who == Who::Nobody {
            assert_eq!(run("{}", &["landlock"], "f", "cat").2, "originalx\n");
            // Its owner can give itself the permission, by the stream itself.
            std::os::unix::fs::chown(scratch.path("f"), Some(65534), None).unwrap();
            let attack = "echo ran; chmod 600 /proc/self/fd/0; echo x >> /proc/self/fd/0";
            assert_eq!(run("{}", &["landlock"], "f", attack).0, Some(125));
            assert_eq!(run("{}", &[], "f", attack).2, "ran\n");
            let content = fs::read_to_string(scratch.path("f")).unwrap();
            assert_eq!(content, "originalx\n");
        }
    }
}

// With the refusal off, the command connects it again, in the host's own network.
#[test]
fn a_standard_stream_that_is_a_socket_to_be_connected_anew_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    other.set_nonblocking(true).unwrap();
    let attack = format!(
        "import ctypes, socket
ctypes.CDLL(None).connect(0, bytes(16), 16)
socket.socket(fileno=0).connect(('127.0.0.1', {}))",
        other.local_addr().unwrap().port()
    );
    for who in everyone() {
        let scratch = Scratch::new();
        let run = |stdin: OwnedFd| {
            let mut command = srt(who, &scratch.path(""));
            command.args(["python3", "-c", &attack]).stdin(stdin);
            finish(command)
        };
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let packets = UdpSocket::bind("127.0.0.1:0").unwrap();
        let datagrams = UnixDatagram::pair().unwrap().0;
        for stdin in [stream.into(), packets.into(), datagrams.into()] {
            let out = run(stdin);
            assert_status(&out, 125);
            assert!(text(&out.stderr).contains("standard input: is a network or datagram socket"));
        }
        assert!(other.accept().is_err());
        // One that keeps its peer is as good as a pipe.
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(ours);
        let mut command = srt(who, &scratch.path(""));
        command.args(["cat"]).stdin(OwnedFd::from(theirs));
        assert_status(&finish(command), 0);
    }
}

#[test]
fn standard_output_may_be_opened_again_by_its_name() {
    for who in everyone() {
        let scratch = Scratch::new();
        scratch.file("log", "");
        let log = fs::File::options()
            .append(true)
            .open(scratch.path("log"))
            .unwrap();
        let mut command = srt(who, &scratch.path(""));
        command.args([
            "-c",
            "echo one >> /dev/stdout; echo two >> /dev/stderr; echo three >> /dev/fd/1",
        ]);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        assert!(command.status().unwrap().success());
        let said = fs::read_to_string(scratch.path("log")).unwrap();
        assert_eq!(said, "one\ntwo\nthree\n", "as {who:?}");
    }
}

#[test]
fn pitfall_14_the_kernels_limit_alone_lets_no_user_namespace_be_made() {
    for who in everyone() {
        let scratch = Scratch::new();
        let mut command = srt(who, &scratch.path(""));
        command.args(["--without", "seccomp", "--without", "landlock"]);
        command.args(["-c", "unshare -U true || echo refused; echo 9 > /proc/sys/user/max_user_namespaces; unshare -U true || echo still"]);
        let out = finish(command);
        assert_eq!(text(&out.stdout), "refused\nstill\n");
        // ENOSPC is the limit's (clone(2)).
        assert!(
            text(&out.stderr).contains("No space left on device"),
            "{}",
            text(&out.stderr)
        );
    }
}
