//! What the tests of the real program share. No test sleeps to wait for something.
#![allow(dead_code)]

pub mod chance;
pub mod pages;
pub mod terminal;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Longest that any one command of a test may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// As whom `srt` is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// As the user who runs the tests.
    Me,
    /// As an ordinary user (65534), which takes root to become.
    Nobody,
}

/// Everyone this test run can be.
pub fn everyone() -> Vec<Who> {
    if is_root() {
        vec![Who::Me, Who::Nobody]
    } else {
        skip(
            "the root half of every sandbox test",
            "the tests are run by an ordinary user",
        );
        vec![Who::Me]
    }
}

pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
}

/// Says loudly what is not run; with SRT_MUST_RUN=1 root may skip nothing.
#[allow(clippy::print_stderr)]
pub fn skip(name: &str, why: &str) {
    eprintln!("SKIP {name}: {why}");
    let must = std::env::var_os("SRT_MUST_RUN").is_some_and(|v| v == "1");
    assert!(
        !(must && is_root()),
        "SRT_MUST_RUN=1 forbids skipping {name}: {why}"
    );
}

/// A directory of the test's own, which everyone may use, removed at the end.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "srt-test-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = fs::canonicalize(std::env::temp_dir()).unwrap().join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A file, and the directories above it; all writable by everyone.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        self.dir(Path::new(name).parent().unwrap().to_str().unwrap());
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        path
    }

    pub fn dir(&self, name: &str) -> PathBuf {
        let mut path = self.0.clone();
        for part in Path::new(name) {
            path.push(part);
            if !path.exists() {
                fs::create_dir(&path).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
            }
        }
        path
    }

    /// Settings in which `@` stands for this directory.
    pub fn policy(&self, json: &str) -> PathBuf {
        self.file("policy.json", &json.replace('@', self.0.to_str().unwrap()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The real program, where everyone can execute it.
pub fn program() -> &'static Path {
    static COPY: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    COPY.get_or_init(|| {
        let built = Path::new(env!("CARGO_BIN_EXE_srt"));
        if !is_root() {
            return built.to_owned();
        }
        // One name for each checkout: nothing piles up, and the tests of another
        // checkout that run meanwhile keep the program they built.
        let mut checkout = DefaultHasher::new();
        built.hash(&mut checkout);
        let name = format!("srt-under-test-{:016x}", checkout.finish());
        let copy = std::env::temp_dir().join(name);
        let fresh = copy.with_extension(std::process::id().to_string());
        // By a program: a descriptor of ours that writes it would be in every child that
        // another test starts meanwhile, and it could not be executed (ETXTBSY).
        let copied = Command::new("cp").arg(built).arg(&fresh).status();
        assert!(copied.unwrap().success());
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&fresh, &copy).unwrap();
        copy
    })
}

/// A command that runs `srt` as `who` in `directory`.
pub fn srt(who: Who, directory: &Path) -> Command {
    let mut command = match who {
        Who::Me => Command::new(program()),
        Who::Nobody => {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
                .arg(program());
            command
        }
    };
    command
        .current_dir(directory)
        .env("HOME", directory)
        .stdin(Stdio::null());
    without_proxies(&mut command);
    command
}

/// What the machine that runs the tests says of proxies is not theirs.
fn without_proxies(command: &mut Command) {
    for name in ["http_proxy", "https_proxy", "no_proxy", "all_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
}

/// `srt -s policy -c script`.
pub fn shell(who: Who, scratch: &Scratch, json: &str, script: &str) -> Output {
    let policy = scratch.policy(json);
    let mut command = srt(who, &scratch.0);
    command.arg("-s").arg(policy).args(["-c", script]);
    finish(command)
}

/// A program as `who`, without a sandbox.
pub fn command_as(who: Who, program: &str) -> Command {
    match who {
        Who::Me => Command::new(program),
        Who::Nobody => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
            command.arg(program);
            command
        }
    }
}

/// A shell line as `who` in `directory`, without a sandbox.
pub fn outside(who: Who, directory: &Path, script: &str) -> Output {
    let mut command = command_as(who, "sh");
    command
        .args(["-c", script])
        .current_dir(directory)
        .env("HOME", directory)
        .stdin(Stdio::null());
    finish(command)
}

/// Everything below a directory: path, type and permissions, content or target.
pub fn snapshot(at: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    use std::os::unix::fs::MetadataExt;
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(at).into_iter().flatten().flatten() {
        let (path, meta) = (entry.path(), entry.metadata().unwrap());
        let content = if meta.is_file() {
            fs::read(&path).unwrap()
        } else if meta.is_symlink() {
            fs::read_link(&path).unwrap().into_os_string().into_vec()
        } else {
            Vec::new()
        };
        if meta.is_dir() {
            all.extend(snapshot(&path));
        }
        all.insert(path, (meta.mode(), content));
    }
    all
}

/// Fails, naming what differs, if the tree is not as it was.
#[track_caller]
pub fn assert_unchanged(at: &Path, before: &BTreeMap<PathBuf, (u32, Vec<u8>)>, what: &str) {
    let after = snapshot(at);
    let differs = |path: &&PathBuf| before.get(*path) != after.get(*path);
    let all: BTreeMap<_, _> = before.iter().chain(&after).collect();
    let differing: Vec<_> = all
        .keys()
        .filter(|path| differs(path))
        .map(|path| (path, before.get(*path), after.get(*path)))
        .collect();
    assert!(differing.is_empty(), "{what}: {differing:?}");
}

/// Whether the record of a placeholder below `at` is left, of whichever user.
pub fn is_recorded(at: &Path) -> bool {
    let needle = at.as_os_str().as_encoded_bytes();
    let records = ["/var/tmp/srt-0", "/var/tmp/srt-65534"];
    let files = records.iter().filter_map(|dir| fs::read_dir(dir).ok());
    files.flatten().flatten().any(|file| {
        fs::read(file.path())
            .is_ok_and(|content| content.windows(needle.len()).any(|part| part == needle))
    })
}

/// Runs to the end, within [`PATIENCE`].
pub fn finish(mut command: Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    finish_child(
        command
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}")),
    )
}

pub fn finish_child(child: Child) -> Output {
    let id = child.id();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(child.wait_with_output()));
    match told.recv_timeout(PATIENCE) {
        Ok(output) => output.unwrap(),
        Err(_) => {
            let _ = Command::new("kill").args(["-9", &id.to_string()]).status();
            panic!("a command did not end within {PATIENCE:?}");
        }
    }
}

/// The next line that a running command prints.
pub fn said(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    line
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
pub fn assert_status(output: &Output, status: i32) {
    let got = output.status.code();
    assert_eq!(
        got,
        Some(status),
        "stdout: {}\nstderr: {}",
        text(&output.stdout),
        text(&output.stderr)
    );
}

/// Two hosts: network namespaces joined by a veth pair, each held by a process that
/// ends with this value; what they hold ends with them.
pub struct Lab {
    client: Child,
    server: Child,
    servers: Child,
    pub scratch: Scratch,
}

/// One of the two.
#[derive(Clone, Copy, Debug)]
pub enum Host {
    /// Where `srt` runs.
    Client,
    /// Where it goes.
    Server,
}

/// A program that ends with this value.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A namespace's address and names: what the client's hosts file says.
const HOSTS: &str = "127.0.0.1 localhost\n10.77.0.2 allowed.test denied.test\n127.0.0.1 loop.test\n\
     10.77.0.1 own.test\n10.77.0.3 two.test\n10.77.0.200 two.test\n";

/// The client's resolver: one that takes questions and never answers.
const RESOLVER: &str = "nameserver 10.77.0.2\noptions timeout:60 attempts:1\n";

/// ssh as the client has it: with the key that the test's server takes.
const SSH: &str =
    "IdentityFile @/key\nStrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n";

fn holder() -> Child {
    let mut child = Command::new("unshare")
        .args(["--net", "--mount", "--propagation", "private", "sh", "-c"])
        .arg("ip link set lo up && echo ready && exec cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("unshare");
    first_line(&mut child);
    child
}

fn first_line(child: &mut Child) {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "ready\n");
}

fn inside(holder: &Child) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["-t", &holder.id().to_string(), "-n", "-m"]);
    command
}

fn must(mut command: Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}");
}

impl Lab {
    /// `None`, said loudly, where there is no root to make namespaces with.
    pub fn new(test: &str) -> Option<Self> {
        if !is_root() {
            skip(test, "a network of the test's own takes root");
            return None;
        }
        let scratch = Scratch::new();
        let (client, server) = (holder(), holder());
        let ip = |at: &Child, words: &str| {
            let mut command = inside(at);
            command.arg("ip").args(words.split(' '));
            must(command);
        };
        ip(
            &client,
            &format!(
                "link add veth0 type veth peer name veth1 netns {}",
                server.id()
            ),
        );
        // Nobody has 10.77.0.3, which getaddrinfo puts before the last: it is nearer.
        for (at, device, address) in [
            (&client, "veth0", "10.77.0.1/24"),
            (&server, "veth1", "10.77.0.2/24"),
            (&server, "veth1", "10.77.0.200/24"),
        ] {
            ip(at, &format!("addr add {address} dev {device}"));
            ip(at, &format!("link set {device} up"));
        }
        let ssh = SSH.replace(
            '@',
            scratch.path("").to_str().unwrap().trim_end_matches('/'),
        );
        for (name, content, over) in [
            ("hosts", HOSTS, "/etc/hosts"),
            ("resolv.conf", RESOLVER, "/etc/resolv.conf"),
            ("ssh_config", ssh.as_str(), "/etc/ssh/ssh_config"),
        ] {
            let file = scratch.file(name, content);
            fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
            if Path::new(over).exists() {
                let mut mount = inside(&client);
                mount.args(["mount", "--bind"]).arg(file).arg(over);
                must(mount);
            }
        }
        let mut openssl = Command::new("openssl");
        openssl
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
            ])
            .args([
                "-subj",
                "/CN=allowed.test",
                "-addext",
                "subjectAltName=DNS:allowed.test,DNS:denied.test,DNS:known.test,DNS:*.known.test",
            ])
            .arg("-keyout")
            .arg(scratch.path("key.pem"))
            .arg("-out")
            .arg(scratch.path("cert.pem"))
            .stderr(Stdio::null());
        must(openssl);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/servers.py");
        let mut servers = inside(&server)
            .arg("python3")
            .arg(script)
            .arg(scratch.path(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        first_line(&mut servers);
        Some(Self {
            client,
            server,
            servers,
            scratch,
        })
    }

    /// A program in Python or JavaScript on one of the hosts, which says `ready` and ends with the value.
    pub fn host(&self, which: Host, name: &str, script: &str) -> Running {
        let file = self.scratch.file(name, script);
        let at = match which {
            Host::Client => &self.client,
            Host::Server => &self.server,
        };
        let mut child = self
            .at(at)
            .arg(if name.ends_with(".js") {
                "node"
            } else {
                "python3"
            })
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        first_line(&mut child);
        Running(child)
    }

    /// A command on the server, to its end.
    pub fn on_server(&self, words: &[&str]) -> Output {
        let mut command = self.at(&self.server);
        command.args(words);
        finish(command)
    }

    /// A shell line on the client, without a sandbox.
    pub fn on_client(&self, script: &str) -> Output {
        let mut command = self.at(&self.client);
        command.args(["sh", "-c", script]).stdin(Stdio::null());
        without_proxies(&mut command);
        finish(command)
    }

    /// A command in a namespace and in the scratch directory: entering a mount namespace
    /// leads to its root.
    fn at(&self, which: &Child) -> Command {
        let mut command = inside(which);
        command
            .args(["sh", "-c", "cd \"$0\" && exec \"$@\""])
            .arg(self.scratch.path(""));
        command
    }

    /// A shell line under `srt` on the client, with the policy in `json`.
    pub fn shell(&self, who: Who, json: &str, script: &str) -> Output {
        self.shell_with(who, json, script, &[])
    }

    /// The same, started by a line of shell that ends in `exec "$0" "$@"`.
    pub fn shell_under(&self, starter: &str, json: &str, script: &str) -> Output {
        let mut command = self.at(&self.client);
        command.args(["sh", "-c", starter]).arg(program());
        command.arg("-s").arg(self.scratch.policy(json));
        command
            .args(["-c", script])
            .env("HOME", self.scratch.path(""))
            .stdin(Stdio::null());
        without_proxies(&mut command);
        finish(command)
    }

    /// The same with a log.
    pub fn shell_logged(&self, who: Who, json: &str, script: &str, log: &Path) -> Output {
        let log = ["--log", log.to_str().unwrap()];
        self.shell_as(who, json, script, &log, &[])
    }

    /// The same with more in its environment.
    pub fn shell_with(&self, who: Who, json: &str, script: &str, more: &[(&str, &str)]) -> Output {
        self.shell_as(who, json, script, &[], more)
    }

    /// The same with more options and variables.
    pub fn shell_as(
        &self,
        who: Who,
        json: &str,
        script: &str,
        options: &[&str],
        more: &[(&str, &str)],
    ) -> Output {
        let policy = self.scratch.policy(json);
        let mut command = self.at(&self.client);
        if who == Who::Nobody {
            command.args([
                "setpriv",
                "--reuid",
                "65534",
                "--regid",
                "65534",
                "--clear-groups",
            ]);
        }
        command
            .arg(program())
            .args(options)
            .arg("-s")
            .arg(policy)
            .args(["-c", script]);
        command
            .env("HOME", self.scratch.path(""))
            .stdin(Stdio::null());
        without_proxies(&mut command);
        // What the machine that runs the tests says of certificates is not theirs.
        for name in [
            "CURL_CA_BUNDLE",
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
            "GIT_SSL_CAINFO",
        ] {
            command.env_remove(name);
        }
        command.envs(more.iter().copied());
        finish(command)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for child in [&mut self.servers, &mut self.client, &mut self.server] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Processes directly below this one.
pub fn processes_below() -> usize {
    let own = std::process::id().to_string();
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter(|entry| {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let behind = stat.rsplit(')').next().unwrap_or_default();
        behind.split_whitespace().nth(1) == Some(own.as_str())
    })
    .count()
}

/// Whether a process with `marker` among its arguments is alive.
pub fn is_alive(marker: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|p| {
            p.file_name()
                .to_str()
                .is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
        })
        .filter_map(|p| fs::read(p.path().join("cmdline")).ok())
        .any(|line| {
            line.split(|&b| b == 0)
                .any(|word| OsStr::new(marker).as_encoded_bytes() == word)
        })
}
