//! `--suggest` and `--learn` in real runs.

mod support;

use std::path::Path;
use std::process::Output;

use support::{Host, Lab, Scratch, Who, assert_status, everyone, finish, srt, text};

/// What `srt` has said after `word`.
fn told(out: &Output, word: &str) -> Option<String> {
    let stderr = text(&out.stderr);
    let begin = format!("srt: {word}: ");
    let lines = stderr.lines().filter_map(|line| line.strip_prefix(&begin));
    lines.map(str::to_owned).next_back()
}

#[test]
fn what_is_suggested_allows_what_was_denied_and_no_more() {
    for who in everyone() {
        let scratch = Scratch::new();
        for name in ["in", "out", "other"] {
            scratch.dir(name);
        }
        let script = "echo x > out/file; echo y > in/file; mkdir out/sub; cat out/file";
        let policy = r#"{"filesystem": {"allowWrite": ["@/in"]}}"#;
        let run = |policy: &str, words: &[&str]| {
            let mut command = srt(who, &scratch.path(""));
            command.arg("-s").arg(scratch.policy(policy));
            command.args(words).args(["-c", script]);
            finish(command)
        };
        let out = run(policy, &["--suggest"]);
        assert_eq!(text(&out.stdout), "", "nothing of ours on stdout");
        let root = scratch.path("");
        let root = root.to_str().unwrap().trim_end_matches('/');
        let expected = format!(r#"{{"filesystem":{{"allowWrite":["{root}/out"]}}}}"#);
        assert_eq!(told(&out, "suggest").as_deref(), Some(expected.as_str()));
        let both = format!(r#"{{"filesystem": {{"allowWrite": ["@/in", "{root}/out"]}}}}"#);
        let out = run(&both, &["--suggest"]);
        assert_eq!(text(&out.stdout), "x\n", "{}", text(&out.stderr));
        assert_eq!(told(&out, "suggest").as_deref(), Some("nothing"));
        // What is denied for good is told, and not suggested.
        let out = {
            let mut command = srt(who, &scratch.path(""));
            command.arg("-s").arg(scratch.policy(policy));
            command.args(["--suggest", "-c", "echo evil > in/.bashrc"]);
            finish(command)
        };
        assert_eq!(told(&out, "suggest").as_deref(), Some("nothing"));
        assert!(
            text(&out.stderr).contains("in/.bashrc: always denied: a shell runs it at its start"),
            "{}",
            text(&out.stderr)
        );
        assert!(!scratch.path("in/.bashrc").exists());
    }
}

#[test]
fn learning_is_refused_where_the_network_is_required() {
    let scratch = Scratch::new();
    let mut command = srt(Who::Me, &scratch.path(""));
    let policy = scratch.policy(r#"{"require": ["net"]}"#);
    command
        .arg("-s")
        .arg(policy)
        .args(["--learn", "-c", "echo ran"]);
    let out = finish(command);
    assert_status(&out, 125);
    assert_eq!(text(&out.stdout), "");
    assert!(text(&out.stderr).contains("require: net is not given: --learn"));
}

// Whatever else is learned, a write that no rule allows stays refused, and so does a host
// that a rule denies.
#[test]
fn learning_lets_unknown_hosts_through_and_nothing_else() {
    let Some(lab) = Lab::new("learning") else {
        return;
    };
    for who in everyone() {
        let policy = r#"{"network": {"deniedDomains": ["denied.test"]}}"#;
        let script = "curl -s http://allowed.test/; curl -s http://denied.test/ | head -c 40; \
                      echo; curl -so /dev/null -w '%{http_code}\n' http://10.77.0.2/; echo x > new";
        let run = |options: &str| {
            let starter = format!("exec \"$0\" \"$1\" \"$2\" {options} -c \"$4\"");
            match who {
                Who::Me => lab.shell_under(&starter, policy, script),
                Who::Nobody => {
                    let as_nobody = "exec setpriv --reuid 65534 --regid 65534 --clear-groups \
                                     \"$0\" \"$1\" \"$2\" OPTIONS -c \"$4\"";
                    lab.shell_under(&as_nobody.replace("OPTIONS", options), policy, script)
                }
            }
        };
        let denied = "Connection blocked by network allowlist:";
        let out = run("--learn");
        let said = text(&out.stdout);
        assert!(
            said.starts_with("the page of allowed.test\n"),
            "{said}{}",
            text(&out.stderr)
        );
        assert!(
            said.contains(&denied[..40]) && said.ends_with("200\n"),
            "{said}"
        );
        assert!(!lab.scratch.path("new").exists());
        let learned = told(&out, "learned").unwrap();
        assert!(
            learned.contains(r#""allowedDomains":["allowed.test:80"#),
            "{learned}"
        );
        assert!(learned.contains("10.77.0.2:80"), "{learned}");
        assert!(
            learned.contains(r#""deniedDomains":["denied.test"]"#),
            "{learned}"
        );
        let out = run("");
        assert!(text(&out.stdout).starts_with(&denied[..40]));
    }
}

/// Makes a package for npm, one for cargo and a git repository, and what the server has to
/// say of them.
const REGISTRIES: &str = r#"
import base64, gzip, hashlib, io, json, os, subprocess, sys, tarfile
def archive(files):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return raw.getvalue()
def put(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, "wb").write(data if isinstance(data, bytes) else data.encode())
data = archive({"package/package.json": '{"name": "greet", "version": "1.0.0"}',
                "package/index.js": 'module.exports = "hello from npm"'})
integrity = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
put("www/npm/greet/-/greet-1.0.0.tgz", data)
put("www/npm/greet/index.html", json.dumps({"name": "greet", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": {
    "name": "greet", "version": "1.0.0",
    "dist": {"tarball": "http://allowed.test/npm/greet/-/greet-1.0.0.tgz", "integrity": integrity}}}}))
data = archive({"hello-1.0.0/Cargo.toml": '[package]\nname = "hello"\nversion = "1.0.0"\nedition = "2021"\n',
                "hello-1.0.0/src/lib.rs": 'pub fn hello() -> &\x27static str { "hello from cargo" }\n'})
put("www/crates/hello/1.0.0/download", data)
put("www/index/config.json", json.dumps({"dl": "http://denied.test/crates"}))
put("www/index/he/ll/hello", json.dumps({"name": "hello", "vers": "1.0.0", "deps": [], "features": {}, "yanked": False,
    "cksum": hashlib.sha256(data).hexdigest()}))
put("project/package.json", '{"name": "project", "version": "1.0.0", "dependencies": {"greet": "1.0.0"}}')
put("project/Cargo.toml", '[package]\nname = "project"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\nhello = "1"\n[workspace]\n')
put("project/src/main.rs", 'fn main() { println!("{}", hello::hello()); }\n')
put("home/.cargo/config.toml", '[source.crates-io]\nreplace-with = "local"\n[source.local]\nregistry = "sparse+http://allowed.test/index/"\n')
os.makedirs("home/.npm", exist_ok=True)
def git(*words):
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@test", *words], check=True, stdout=subprocess.DEVNULL)
git("init", "-q", "--bare", "www/repo.git")
git("init", "-q", "origin")
put("origin/file", "hello from git")
git("-C", "origin", "add", ".")
git("-C", "origin", "commit", "-qm", "first")
git("-C", "origin", "push", "-q", "../www/repo.git", "HEAD:refs/heads/main")
git("-C", "www/repo.git", "symbolic-ref", "HEAD", "refs/heads/main")
git("-C", "www/repo.git", "update-server-info")
print("ready", flush=True)
sys.stdin.read()
"#;

const MAKEFILE: &str = "
all: npm cargo git
	@echo built
npm:
	npm install --silent --no-audit --no-fund --fetch-retries 0 --registry http://allowed.test/npm/ >&2
	node -e 'console.log(require(\"greet\"))'
cargo:
	\"$(CARGO)\" build --quiet
	target/debug/project
git:
	test -d clone || git clone -q http://allowed.test/repo.git clone
	git -C clone fetch -q
	cat clone/file && echo
	git -C clone -c user.name=t -c user.email=t@test commit -q --allow-empty -m second
";

#[test]
fn a_projects_build_passes_under_the_settings_that_were_learned() {
    let Some(lab) = Lab::new("learning a build") else {
        return;
    };
    let _prepared = lab.host(Host::Client, "registries.py", REGISTRIES);
    lab.scratch.file("project/Makefile", MAKEFILE);
    // The toolchain's own programs: a proxy of rustup's would look for its home.
    let cargo = std::env::var("CARGO").unwrap();
    let rustc = Path::new(&cargo).with_file_name("rustc");
    let home = lab.scratch.path("home");
    let root = lab.scratch.path("");
    let root = root.to_str().unwrap().trim_end_matches('/');
    let build = |policy: &str, options: &str, script: &str| {
        let starter = format!(
            "export HOME={home} CARGO={cargo} RUSTC={rustc}; unset CARGO_HOME RUSTUP_TOOLCHAIN CARGO_TARGET_DIR MAKEFLAGS MFLAGS MAKELEVEL; \
             exec \"$0\" \"$1\" \"$2\" {options} -c \"$4\"",
            home = home.display(),
            rustc = rustc.display(),
        );
        lab.shell_under(&starter, policy, script)
    };
    let base = format!(r#"{{"filesystem": {{"allowWrite": ["{root}/project"]}}}}"#);
    let all = "hello from npm\nhello from cargo\nhello from git\nbuilt\n";
    let out = build(&base, "", "cd project && make -s");
    assert_ne!(text(&out.stdout), all);
    let out = build(&base, "--learn", "cd project && make -sk");
    let learned = told(&out, "learned").unwrap_or_else(|| panic!("{}", text(&out.stderr)));
    let out = build(&learned, "", "cd project && make -s");
    assert_eq!(text(&out.stdout), all, "{}\n{learned}", text(&out.stderr));
    assert_status(&out, 0);
    // It learned what the build needs, and nothing else of the home directory.
    for needed in [
        "allowed.test:80",
        "denied.test:80",
        "home/.npm\"",
        "home/.cargo",
    ] {
        assert!(learned.contains(needed), "{learned}");
    }
    assert!(
        !learned.contains(&format!("\"{}\"", home.display())),
        "{learned}"
    );
    let other = build(&learned, "", "touch ~/new; curl -s http://proxy.test/");
    assert!(!home.join("new").exists());
    assert!(
        text(&other.stdout).contains("Connection blocked"),
        "{}",
        text(&other.stdout)
    );
}
