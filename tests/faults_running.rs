//! Whatever call of the supervisor fails, from its start to its end, with a command that uses
//! all it serves: srt goes on or ends with a message, the command reaches nothing that is
//! denied, nothing hangs or spins, and nothing stays behind.
#![cfg(target_os = "linux")]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use support::{Scratch, Who, everyone, finish, outside, snapshot, text};

/// The status of the command.
const STATUS: i32 = 7;

/// Longest that a run may take: each of its command's steps has four seconds.
const PATIENCE: Duration = Duration::from_secs(40);

/// What each call may fail with, as its manual page has it. None is told to wait that would
/// not be told so by the kernel: what an event has announced would be lost.
const FAULTS: &[(&str, &[&str])] = &[
    ("accept4", &["ECONNABORTED", "EMFILE", "EINTR", "ENOBUFS"]),
    ("bind", &["EADDRINUSE"]),
    ("clone", &["EAGAIN", "ENOMEM"]),
    ("clone3", &["EAGAIN"]),
    ("close_range", &["EMFILE"]),
    ("connect", &["ENETUNREACH", "EAGAIN"]),
    ("dup", &["EMFILE"]),
    ("epoll_create1", &["EMFILE"]),
    ("epoll_ctl", &["ENOMEM", "ENOSPC"]),
    ("epoll_wait", &["EINTR", "EBADF"]),
    ("epoll_pwait", &["EINTR", "EBADF"]),
    ("fcntl", &["EMFILE"]),
    ("flock", &["ENOLCK", "EINTR"]),
    ("fork", &["EAGAIN"]),
    ("fstat", &["EIO"]),
    ("getpeername", &["ENOBUFS"]),
    ("getrandom", &["EINTR"]),
    ("getsockname", &["ENOBUFS"]),
    ("getsockopt", &["ENOBUFS"]),
    ("ioctl", &["EINTR"]),
    ("linkat", &["ENOSPC"]),
    ("listen", &["EADDRINUSE"]),
    ("memfd_create", &["EMFILE", "ENOMEM"]),
    ("mkdir", &["ENOSPC"]),
    ("openat", &["EMFILE", "ENFILE"]),
    ("pidfd_open", &["EMFILE"]),
    ("pidfd_send_signal", &["EPERM"]),
    ("pipe2", &["ENFILE"]),
    ("poll", &["EINTR", "ENOMEM"]),
    ("read", &["EIO", "EINTR"]),
    ("recvfrom", &["ECONNRESET", "ENOMEM", "EINTR"]),
    ("recvmsg", &["ENOMEM", "EINTR"]),
    ("rename", &["ENOSPC"]),
    ("renameat", &["ENOSPC"]),
    ("renameat2", &["ENOSPC"]),
    ("rmdir", &["EIO"]),
    ("sendmsg", &["ENOBUFS", "ETOOMANYREFS"]),
    ("sendto", &["ENOBUFS", "EPIPE", "EINTR"]),
    ("setsockopt", &["ENOMEM"]),
    ("shutdown", &["ENOTCONN"]),
    ("socket", &["EMFILE", "ENOBUFS"]),
    ("socketpair", &["EMFILE", "ENFILE"]),
    ("splice", &["ENOMEM"]),
    ("unlink", &["EIO"]),
    ("unlinkat", &["EIO"]),
    ("vfork", &["EAGAIN"]),
    ("wait4", &["EINTR"]),
    ("waitid", &["EINTR"]),
    ("write", &["EIO", "ENOSPC", "EINTR"]),
    ("writev", &["EIO"]),
];

/// All occurrences, not a sample: SRT_ALL_FAULTS=1.
fn all() -> bool {
    std::env::var_os("SRT_ALL_FAULTS").is_some_and(|v| v == "1")
}

/// A directory, servers and ports for one run at a time.
struct Bench {
    scratch: Scratch,
    who: Who,
    strace: String,
    program: PathBuf,
    denied: TcpListener,
    published: u16,
    words: Vec<String>,
}

/// What became of a run.
struct Ran {
    status: Option<ExitStatus>,
    out: String,
    err: String,
    /// Of a second's rest, what all processes of srt computed.
    busy: f64,
}

/// A server that says what it hears, and a page to whoever asks for one.
fn server() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut peer in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(length @ 1..) = peer.read(&mut bytes) {
                    let page = b"HTTP/1.0 200 OK\r\n\r\nthe page\n";
                    let get = bytes.starts_with(b"GET ");
                    let answer = if get { page } else { &bytes[..length] };
                    if peer.write_all(answer).is_err() || get {
                        break;
                    }
                }
            });
        }
    });
    port
}

/// An address of this host's that is not the loopback's; one that nobody has, where it has
/// none.
fn own_address() -> IpAddr {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let own = socket
        .connect("192.0.2.1:9")
        .and_then(|()| socket.local_addr());
    own.map_or(Ipv4Addr::new(192, 0, 2, 1).into(), |own| own.ip())
}

/// Processes of this bench: those that run its program, or have its directory in an argument.
fn processes(bench: &Bench) -> Vec<u32> {
    let at = bench.scratch.path("");
    let at = at.to_str().unwrap().as_bytes();
    let own = |pid: &u32| {
        let dir = PathBuf::from(format!("/proc/{pid}"));
        let runs = fs::read_link(dir.join("exe")).is_ok_and(|exe| exe == bench.program);
        let line = fs::read(dir.join("cmdline")).unwrap_or_default();
        let line = [line, fs::read(dir.join("environ")).unwrap_or_default()].concat();
        let here = fs::read_link(dir.join("cwd")).is_ok_and(|cwd| cwd == bench.scratch.path("."));
        runs || here || line.windows(at.len()).any(|part| part == at)
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(own).collect()
}

/// For how long these processes of srt have computed.
fn computed(bench: &Bench) -> Duration {
    let mut sum = 0;
    for pid in processes(bench) {
        if fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == bench.program) {
            let stat = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
            sum += stat.split(' ').next().unwrap().parse().unwrap_or(0);
        }
    }
    Duration::from_nanos(sum)
}

/// Answers what is asked over the control descriptor; with the first violation it is told of,
/// it gives the rules anew.
fn supervise(mut socket: UnixStream, rules: String) {
    let lines = BufReader::new(socket.try_clone().unwrap()).lines();
    let mut told = false;
    for line in lines.map_while(Result::ok) {
        if let Some((_, rest)) = line.split_once("\"id\":") {
            let id: String = rest
                .trim_start()
                .chars()
                .take_while(char::is_ascii_digit)
                .collect();
            let _ = writeln!(socket, r#"{{"id": {id}, "allow": true}}"#);
        } else if line.contains("violation") && !told {
            told = true;
            let _ = writeln!(socket, "{rules}");
        }
    }
}

impl Bench {
    fn new(who: Who) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let scratch = Scratch::new();
        for name in ["o/f", "h/secret", "w/.git/HEAD", "w/.git/config"] {
            scratch.file(name, "x");
        }
        for name in ["w/.git/hooks", "w/.git/objects", "w/.git/refs", "t"] {
            scratch.dir(name);
        }
        scratch.file("work.py", include_str!("support/workload.py"));
        let program = scratch.path("srt");
        let copied = Command::new("cp")
            .arg(support::program())
            .arg(&program)
            .status();
        assert!(copied.unwrap().success());
        let which = outside(
            Who::Me,
            &scratch.path(""),
            "command -v strace; mkfifo fifo; chmod 666 fifo",
        );
        let denied = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        denied.set_nonblocking(true).unwrap();
        // Below those that the kernel gives by itself.
        let next = NEXT.fetch_add(1, Ordering::Relaxed) as u32;
        let published = (16_000 + std::process::id() % 1_000 * 8 + next) as u16;
        let (open, asked, host) = (server(), server(), server());
        let refused = denied.local_addr().unwrap().port();
        let own = own_address();
        let network = format!(
            r#""network": {{"allowedDomains": ["127.0.0.1:{open}", "localhost:{open}", "{own}:{open}", "known.invalid:{open}"],
                "deniedDomains": ["*:{refused}", "denied.invalid"]"#
        )
        .replace('\n', "");
        scratch.file("rules", &format!("{{{network}}}}}"));
        scratch.policy(&format!(
            r#"{{{network}, "allowHostPorts": [{host}], "publishPorts": [{published}]}},
                "filesystem": {{"allowWrite": ["@/w"], "denyRead": ["@/h"]}}}}"#
        ));
        let ports = [open, asked, refused, host, published].map(|port| port.to_string());
        Self {
            who,
            strace: text(&which.stdout).trim_end().to_owned(),
            program,
            denied,
            published,
            words: [ports.as_slice(), &[own.to_string()]].concat(),
            scratch,
        }
    }

    /// As the bench's user, with its own temporary directory.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = support::command_as(self.who, words[0]);
        command.args(&words[1..]).current_dir(self.scratch.path(""));
        command
            .env("HOME", self.scratch.path(""))
            .env("TMPDIR", self.scratch.path("t"));
        for name in ["http_proxy", "https_proxy", "no_proxy", "all_proxy"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        command
    }

    /// Runs the workload; strace is told `options`, and lets it rest for this long.
    fn run(&self, options: &[&str], rest: Duration) -> Ran {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let at = self.scratch.path("");
        let at = at.to_str().unwrap().trim_end_matches('/');
        // The descriptor comes as stdin, which is the command's then.
        let script = "exec 3<&0 0<>fifo; exec \"$@\"";
        let mut words = vec!["sh", "-c", script, "sh", &self.strace, "-qq"];
        words.extend(options);
        words.extend([
            self.program.to_str().unwrap(),
            "-s",
            "policy.json",
            "--control-fd",
            "3",
        ]);
        let log = if self.who == Who::Me {
            "log"
        } else {
            "/dev/null"
        };
        words.extend(["--log", log, "/usr/bin/python3", "work.py", at]);
        words.extend(self.words.iter().map(String::as_str));
        let mut command = self.command(&words);
        command.stdin(Stdio::from(OwnedFd::from(theirs)));
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(command);
        writeln!(&ours, r#"{{"ask": true}}"#).unwrap();
        let rules = fs::read_to_string(self.scratch.path("rules")).unwrap();
        let control = ours.try_clone().unwrap();
        let supervisor = thread::spawn(move || supervise(ours, rules));
        let until = Instant::now() + PATIENCE;
        let mut ran = self.follow(&mut child, until, rest);
        let status = ended(&mut child, until);
        if status.is_none() {
            for pid in processes(self) {
                let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
            }
            let _ = child.wait();
        }
        ran.status = status;
        let _ = control.shutdown(std::net::Shutdown::Both);
        supervisor.join().unwrap();
        ran
    }

    /// Does what the workload waits for, until it ends.
    fn follow(&self, child: &mut Child, until: Instant, rest: Duration) -> Ran {
        let (tell, told) = mpsc::channel();
        let stdout = child.stdout.take().unwrap();
        thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            lines.for_each(|line| drop(tell.send(line)));
        });
        let mut stderr = child.stderr.take().unwrap();
        let (tell_all, all) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stderr.read_to_end(&mut bytes);
            let _ = tell_all.send(bytes);
        });
        let (mut out, mut busy) = (String::new(), 0.0);
        let left = || until.saturating_duration_since(Instant::now());
        while let Ok(line) = told.recv_timeout(left()) {
            out += &line;
            out.push('\n');
            if line == "listening" {
                let address = (Ipv4Addr::LOCALHOST, self.published).into();
                thread::spawn(move || {
                    let longest = Duration::from_secs(4);
                    // One that fails is tried again; one that waits for ever is not.
                    let attempt = || {
                        let mut peer = TcpStream::connect_timeout(&address, longest)?;
                        peer.set_read_timeout(Some(longest))?;
                        peer.write_all(b"x")?;
                        peer.read_exact(&mut [0])
                    };
                    let waits = |e: &std::io::Error| e.kind() == std::io::ErrorKind::WouldBlock;
                    let _ = (0..20).find(|_| attempt().map_or_else(|e| waits(&e), |()| true));
                });
            }
            if line == "resting" {
                let (before, began) = (computed(self), Instant::now());
                // Nothing happens: that is what is measured.
                thread::sleep(rest);
                let after = computed(self).saturating_sub(before);
                busy = after.as_secs_f64() / began.elapsed().as_secs_f64();
                let mut fifo = File::options()
                    .read(true)
                    .write(true)
                    .open(self.scratch.path("fifo"));
                fifo.as_mut().unwrap().write_all(b"\n").unwrap();
                // Held open until the command has read it.
                while let Ok(line) = told.recv_timeout(left()) {
                    out += &(line + "\n");
                }
                break;
            }
        }
        let err = all.recv_timeout(left()).unwrap_or_default();
        Ran {
            status: None,
            out,
            err: text(&err),
            busy,
        }
    }

    /// What is wrong with a run and what it left.
    fn faults(&self, ran: &Ran, files: &BTreeMap<PathBuf, (u32, Vec<u8>)>) -> Vec<String> {
        let mut wrong = Vec::new();
        let said = ran.err.lines().any(|line| line.starts_with("srt: "));
        match ran.status.map(|status| (status.code(), status.signal())) {
            None => wrong.push("did not end".to_owned()),
            Some((Some(STATUS), _)) => {}
            Some((Some(125), _)) if said => {}
            // The loader or the runtime, before there is an srt.
            Some((Some(1 | 127), _)) if ran.out.is_empty() && !ran.err.is_empty() => {}
            Some(status) => wrong.push(format!("ended with {status:?}")),
        }
        for word in ["REACHED", "STALLED"] {
            let lines = ran.out.lines().filter(|line| line.starts_with(word));
            wrong.extend(lines.map(str::to_owned));
        }
        if self.denied.accept().is_ok() {
            wrong.push("REACHED the denied port".into());
        }
        if self.scratch.path("o/new").exists() {
            wrong.push("REACHED a file outside".into());
        }
        if ran.busy > 0.2 {
            wrong.push(format!("computes at rest: {}", ran.busy));
        }
        let until = Instant::now() + Duration::from_secs(2);
        while !processes(self).is_empty() {
            if Instant::now() > until {
                wrong.push("processes are left".into());
                break;
            }
            thread::yield_now();
        }
        let left = || {
            let temporary = fs::read_dir(self.scratch.path("t")).unwrap().count() > 0;
            temporary || snapshot(&self.scratch.path("w")) != *files
        };
        if left() {
            // The next run's to clear.
            let words = [self.program.to_str().unwrap(), "-s", "policy.json", "true"];
            let out = finish(self.command(&words));
            if left() || !out.status.success() {
                let names = fs::read_dir(self.scratch.path("t")).unwrap().flatten();
                let names: Vec<_> = names.map(|entry| entry.path()).collect();
                let now = snapshot(&self.scratch.path("w"));
                let new: Vec<_> = now
                    .keys()
                    .filter(|name| !files.contains_key(*name))
                    .collect();
                wrong.push(format!(
                    "files are left: {names:?} {new:?} {}",
                    text(&out.stderr)
                ));
            }
        }
        wrong
    }
}

/// How a child has ended, if it has by then.
fn ended(child: &mut Child, until: Instant) -> Option<ExitStatus> {
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return Some(status),
            None if Instant::now() > until => return None,
            None => thread::yield_now(),
        }
    }
}

/// How often srt makes each call until it lets the command start, and in all.
fn calls(log: &Path) -> BTreeMap<String, (usize, usize)> {
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut started = false;
    for line in fs::read_to_string(log).unwrap().lines() {
        let Some((name, arguments)) = line.split_once('(') else {
            continue;
        };
        let count = counts.entry(name.to_owned()).or_default();
        count.1 += 1;
        started |= name == "sendmsg" && arguments.contains("iov_base=\"G\"");
        if !started {
            count.0 += 1;
        }
    }
    assert!(started);
    counts
}

/// The faults to try: each at each occurrence, or a sample of those while the command runs.
fn cases(calls: &BTreeMap<String, (usize, usize)>) -> Vec<String> {
    let mut cases = Vec::new();
    for (name, errors) in FAULTS {
        let Some(&(before, last)) = calls.get(*name) else {
            continue;
        };
        for (n, error) in errors.iter().enumerate() {
            let whens: Vec<usize> = if all() {
                (1..=last).collect()
            } else if last > before {
                let span = last - before;
                [before + 1 + span * (n + 1) / (errors.len() + 2), last].into()
            } else {
                Vec::new()
            };
            let case = |when| format!("inject={name}:error={error}:when={when}");
            cases.extend(whens.into_iter().map(case));
        }
    }
    if let Some(only) = std::env::var_os("SRT_FAULT") {
        cases.retain(|case| case.contains(only.to_str().unwrap()));
    }
    cases
}

#[test]
fn whatever_fails_during_a_run_srt_goes_on_or_ends_and_nothing_is_let_through() {
    let users = everyone();
    let bench = Bench::new(Who::Me);
    let log = bench.scratch.file("calls", "");
    let files = snapshot(&bench.scratch.path("w"));
    let ran = bench.run(&["-o", log.to_str().unwrap()], Duration::ZERO);
    assert_eq!(
        bench.faults(&ran, &files),
        [""; 0],
        "{}{}",
        ran.out,
        ran.err
    );
    assert!(!ran.out.contains("failed"), "{}{}", ran.out, ran.err);
    let calls = calls(&log);
    let cases = cases(&calls);
    let rest = Duration::from_millis(if all() { 1000 } else { 200 });
    let (next, survived) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for n in 0..if all() { 6 } else { 4 } {
            let who = users[n % users.len()];
            let (cases, next, survived, wrong) = (&cases, &next, &survived, &wrong);
            scope.spawn(move || {
                let mut bench = Bench::new(who);
                let mut files = snapshot(&bench.scratch.path("w"));
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let ran = bench.run(&["-o", "/dev/null", "-e", case], rest);
                    let found = bench.faults(&ran, &files);
                    if ran
                        .status
                        .is_some_and(|status| status.code() == Some(STATUS))
                    {
                        survived.fetch_add(1, Ordering::Relaxed);
                    }
                    if !found.is_empty() {
                        let one = format!("{case} as {who:?}: {found:?}\n{}{}", ran.out, ran.err);
                        if all() {
                            let _ = writeln!(std::io::stderr(), "{one}");
                        }
                        wrong.lock().unwrap().push(one);
                        // What it left is not the next one's.
                        bench = Bench::new(who);
                        files = snapshot(&bench.scratch.path("w"));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
    let survived = survived.into_inner();
    assert!(survived > 0, "none of {} goes on", cases.len());
    if all() {
        let _ = writeln!(
            std::io::stderr(),
            "{} faults, {survived} survived; {calls:?}",
            cases.len()
        );
    }
}
