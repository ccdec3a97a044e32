//! What the command may read and write: attacks on the real program.
//!
//! Beside each test stands how it was seen to fail: what was taken out for that.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{
    Scratch, Who, assert_status, assert_unchanged, everyone, finish, finish_child, is_recorded,
    is_root, outside, said, shell, skip, snapshot, srt, text,
};

const WRITE_HERE: &str = r#"{"filesystem": {"allowWrite": ["@"]}}"#;

/// Always-denied names that a new directory does not have.
const NAMES: [&str; 9] = [
    ".bashrc",
    ".zshenv",
    ".envrc",
    ".npmrc",
    ".mcp.json",
    ".gitmodules",
    ".vscode/tasks.json",
    ".claude/commands/x",
    ".idea/x",
];

#[test]
fn writes_are_held_to_the_policy() {
    let scratch = Scratch::new();
    scratch.file("in/no/file", "old");
    let outside = Scratch::new();
    let policy = r#"{"filesystem": {"allowWrite": ["@/in"], "denyWrite": ["@/in/no"]}}"#;
    for who in everyone() {
        let script = format!(
            "touch in/yes && echo inside; touch {0}/out 2>&1; touch in/no/new 2>&1; echo new 2>&1 > in/no/file; \
             mv in/no in/yes2 2>&1; rm -rf in/no 2>&1; echo > /dev/null && echo null; touch /dev/shm/x && echo shm",
            outside.path("").display()
        );
        let out = shell(who, &scratch, policy, &script);
        let said = text(&out.stdout);
        assert!(
            said.starts_with("inside\n") && said.ends_with("null\nshm\n"),
            "{said}"
        );
        assert!(said.matches("Read-only file system").count() >= 2, "{said}");
        assert!(!outside.path("out").exists() && !scratch.path("in/no/new").exists());
        assert_eq!(
            fs::read_to_string(scratch.path("in/no/file")).unwrap(),
            "old"
        );
        assert_status(&shell(who, &scratch, "{}", "touch in/yes"), 1);
        fs::remove_file(scratch.path("in/yes")).unwrap();
    }
}

#[test]
fn what_is_denied_cannot_be_read() {
    let scratch = Scratch::new();
    scratch.file("secret/key", "s3cret");
    scratch.file("secret/open/note", "readable");
    scratch.file("secret/open/inner/key", "s3cret");
    scratch.file("token", "s3cret");
    let policy = r#"{"filesystem": {"denyRead": ["@/secret", "@/token", "@/secret/open/inner"],
        "allowRead": ["@/secret/open"], "allowWrite": ["@"]}}"#;
    for who in everyone() {
        let out = shell(
            who,
            &scratch,
            policy,
            "ls secret; cat secret/open/note token secret/key secret/open/inner/key; touch secret/new secret/open/new; \
             mv secret moved; mv token moved; rm -f token; ls -A secret/open/inner",
        );
        let said = text(&out.stdout);
        assert_eq!(said, "open\nreadable", "{}", text(&out.stderr));
        assert!(!scratch.path("secret/new").exists() && scratch.path("token").exists());
        // A write allowed above does not make what allowRead opens read-only: it is in
        // the writable root.
        let _ = fs::remove_file(scratch.path("secret/open/new"));
    }
}

#[test]
fn pitfall_31_protected_names_are_not_writable_in_any_writable_root() {
    let scratch = Scratch::new();
    let elsewhere = Scratch::new();
    let names = [
        ".bashrc",
        ".git/hooks/pre-commit",
        ".git/config",
        ".vscode/tasks.json",
        ".claude/commands/x",
        "a/b/.npmrc",
    ];
    for name in names {
        scratch.file(name, "old");
    }
    let policy = elsewhere.file(
        "p.json",
        &format!(
            r#"{{"filesystem": {{"allowWrite": [{:?}]}}}}"#,
            scratch.path("")
        ),
    );
    for who in everyone() {
        let dir = scratch.path("");
        for name in names {
            let mut command = srt(who, &elsewhere.path(""));
            command
                .arg("-s")
                .arg(&policy)
                .args([
                    "sh",
                    "-c",
                    "cd \"$1\"; echo new > \"$0\"; rm -rf \"$0\"",
                    name,
                ])
                .arg(&dir);
            finish(command);
            assert_eq!(
                fs::read_to_string(scratch.path(name)).unwrap(),
                "old",
                "{name} as {who:?}"
            );
        }
    }
}

#[test]
fn pitfall_27_no_directory_above_a_protected_path_is_renamed_away() {
    let scratch = Scratch::new();
    scratch.file("repo/.git/hooks/pre-commit", "old");
    for who in everyone() {
        let out = shell(
            who,
            &scratch,
            WRITE_HERE,
            "mv repo/.git repo/.git2; mv repo repo2; rm -rf repo; mkdir -p plain/x; mv plain/x plain/y && rmdir plain/y plain && echo moved",
        );
        assert_eq!(text(&out.stdout), "moved\n", "{}", text(&out.stderr));
        assert_eq!(
            fs::read_to_string(scratch.path("repo/.git/hooks/pre-commit")).unwrap(),
            "old"
        );
    }
}

#[test]
fn pitfall_42_the_settings_in_force_are_not_writable() {
    let scratch = Scratch::new();
    for who in everyone() {
        let out = shell(
            who,
            &scratch,
            WRITE_HERE,
            "echo '{}' > policy.json || mv policy.json x || rm -f policy.json",
        );
        assert_ne!(out.status.code(), Some(0));
        assert!(
            fs::read_to_string(scratch.path("policy.json"))
                .unwrap()
                .contains("allowWrite")
        );
    }
}

#[test]
fn pitfall_39_tmpdir_is_private_and_gone_afterwards() {
    let scratch = Scratch::new();
    for who in everyone() {
        let out = shell(
            who,
            &scratch,
            "{}",
            "cd \"$TMPDIR\" && touch a && mkdir -p b/c && chmod 0 b && stat -c %a . && pwd",
        );
        assert_status(&out, 0);
        let said = text(&out.stdout);
        let (mode, path) = said.trim_end().split_once('\n').unwrap();
        assert_eq!(mode, "700");
        assert!(!std::path::Path::new(path).exists(), "{path} is left");
    }
}

#[test]
fn pitfall_36_a_hidden_directory_is_empty_and_takes_no_writes() {
    let scratch = Scratch::new();
    scratch.file("secret/key", "s3cret");
    let policy = r#"{"filesystem": {"denyRead": ["@/secret"], "allowWrite": ["@"]}}"#;
    for who in everyone() {
        for script in [
            "chmod 755 secret && touch secret/new",
            "mkdir secret/new",
            "echo x > secret/key",
            "rmdir secret",
        ] {
            let out = shell(who, &scratch, policy, script);
            assert_ne!(out.status.code(), Some(0), "{script} as {who:?}");
        }
        let out = shell(who, &scratch, policy, "ls -A secret");
        assert_eq!(text(&out.stdout), "");
    }
    assert_eq!(
        fs::read_to_string(scratch.path("secret/key")).unwrap(),
        "s3cret"
    );
}

// Without the placeholders (`policy.holds` emptied) every name is made.
#[test]
fn pitfall_28_a_protected_name_that_is_absent_is_not_created() {
    for who in everyone() {
        let scratch = Scratch::new();
        scratch.policy(WRITE_HERE);
        let before = snapshot(&scratch.path(""));
        for name in NAMES {
            let script = format!(
                "mkdir -p $(dirname {name}); echo evil > {name}; mkdir -p {name}; ln -s /etc/passwd {name}; \
                 echo evil > other; mv other {name}; ln other {name}; rm -rf {name} .claude .vscode; \
                 mkdir d; mv -T d .claude; mv -T d .vscode; rm -rf d other; test ! -s {name}"
            );
            assert_status(&shell(who, &scratch, WRITE_HERE, &script), 0);
            assert_unchanged(&scratch.path(""), &before, name);
        }
        assert!(!is_recorded(&scratch.path("")));
    }
}

// With the search started at neither (`homes` empty), or with Names::Own for all, each
// name is made.
#[test]
fn pitfall_31_absent_names_are_held_at_the_home_and_every_root_from_elsewhere() {
    for who in everyone() {
        let (scratch, elsewhere) = (Scratch::new(), Scratch::new());
        scratch.dir("all/home");
        scratch.dir("root");
        let roots = format!("{:?}, {:?}", scratch.path("all"), scratch.path("root"));
        let policy = format!(r#"{{"filesystem": {{"allowWrite": [{roots}]}}}}"#);
        let policy = elsewhere.file("p.json", &policy);
        let script = "echo evil > .bash_profile; echo evil > ../../root/.npmrc; echo fine > file";
        let mut command = srt(who, &elsewhere.path(""));
        command
            .env("HOME", scratch.path("all/home"))
            .arg("-s")
            .arg(&policy);
        command
            .args(["sh", "-c", &format!("cd \"$0\"; {script}")])
            .arg(scratch.path("all/home"));
        finish(command);
        assert!(scratch.path("all/home/file").exists());
        for name in ["all/home/.bash_profile", "root/.npmrc"] {
            assert!(!scratch.path(name).exists(), "{name} as {who:?}");
        }
    }
}

#[test]
fn pitfall_31_absent_names_are_held_in_a_working_directory_that_a_glob_opens() {
    for who in everyone() {
        let scratch = Scratch::new();
        scratch.dir("packages/a/src");
        let policy = scratch.policy(r#"{"filesystem": {"allowWrite": ["@/pack*/*"]}}"#);
        for directory in ["packages/a", "packages/a/src"] {
            let mut command = srt(who, &scratch.path(directory));
            command.arg("-s").arg(&policy);
            command.args(["-c", "echo evil > .envrc; echo fine > file"]);
            finish(command);
            let at = scratch.path(directory);
            assert!(
                at.join("file").exists() && !at.join(".envrc").exists(),
                "{directory}"
            );
        }
    }
}

#[test]
fn pitfall_42_an_absent_default_settings_file_cannot_be_made() {
    for who in everyone() {
        let scratch = Scratch::new();
        let policy = Scratch::new();
        let file = policy.file("p.json", r#"{"filesystem": {"allowWrite": ["~"]}}"#);
        let run = |settings: Option<&Path>| {
            let mut command = srt(who, &scratch.path(""));
            if let Some(file) = settings {
                command.arg("-s").arg(file);
            }
            command.args(["sh", "-c", "echo '{}' > .srt-settings.json"]);
            finish(command);
            scratch.path(".srt-settings.json").exists()
        };
        // With another file in force it decides nothing now, but is still the next
        // run's: that it can be made then is for whoever allows writing at home.
        assert!(run(Some(&file)));
        fs::remove_file(scratch.path(".srt-settings.json")).unwrap();
        assert!(!run(None));
    }
}

// With `Placeholder::Empty` in the place of sockets, git lists each of them.
#[test]
fn pitfall_29_git_sees_no_placeholder_and_none_is_left() {
    for who in everyone() {
        let scratch = Scratch::new();
        let made = outside(
            who,
            &scratch.path(""),
            "mkdir repo && cd repo && git init -q && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x",
        );
        assert_status(&made, 0);
        let repo = scratch.path("repo");
        let out = {
            let mut command = srt(who, &repo);
            command
                .env("HOME", scratch.path(""))
                .arg("-s")
                .arg(scratch.policy(r#"{"filesystem": {"allowWrite": ["."]}}"#));
            command.args(["sh", "-c", "git status --porcelain -uall && git add -A && git status --porcelain && ls -A | wc -l"]);
            finish(command)
        };
        // The placeholders are there, only git does not see them.
        assert_status(&out, 0);
        let said = text(&out.stdout);
        assert!(said.trim().parse::<u32>().unwrap() > 20, "{said}");
        let left = outside(
            who,
            &repo,
            "git status --porcelain --ignored -uall; ls -A; ls -A .git",
        );
        assert!(
            !text(&left.stdout).contains(".bashrc"),
            "{}",
            text(&left.stdout)
        );
        assert!(
            text(&left.stdout).starts_with(".git\n"),
            "{}",
            text(&left.stdout)
        );
        assert!(
            !text(&left.stdout).contains("commondir"),
            "{}",
            text(&left.stdout)
        );
    }
}

/// The same under [`WRITE_HERE`].
fn started(who: Who, scratch: &Scratch, script: &str) -> std::process::Child {
    waiting(who, scratch, WRITE_HERE, script)
}

fn go_on(mut child: std::process::Child) -> std::process::Output {
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    finish_child(child)
}

// With the records of living runs left unread, the first to end takes the second's
// placeholders away, and the second writes.
#[test]
fn pitfall_30_runs_in_one_directory_do_not_take_each_others_placeholders() {
    for who in everyone() {
        let scratch = Scratch::new();
        scratch.policy(WRITE_HERE);
        let before = snapshot(&scratch.path(""));
        let attack = "echo evil > .bashrc; mkdir -p .vscode/x; echo evil > .claude; echo evil > .claude/agents";
        for home in [Path::new("/no/home"), &scratch.path("")] {
            let start = |script| waiting_at(home, who, &scratch, WRITE_HERE, script);
            let (first, second) = (start("true"), start(attack));
            go_on(first);
            go_on(second);
            assert_unchanged(&scratch.path(""), &before, "two");
            // And twenty at once, which end in any order.
            let many: Vec<_> = (0..20).map(|_| start(attack)).collect();
            let mut many: Vec<_> = many.into_iter().enumerate().collect();
            many.sort_by_key(|(n, _)| n % 3);
            for (_, child) in many {
                go_on(child);
            }
            assert_unchanged(&scratch.path(""), &before, "twenty");
        }
        assert!(!is_recorded(&scratch.path("")));
    }
}

/// A number below `bound` that nothing repeats.
fn chance(bound: u64) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0) % bound
}

/// Kills at random moments; then one more run leaves the tree as it was.
// Without the record, or with one that is written only afterwards, placeholders stay.
#[test]
fn pitfall_29_after_a_kill_at_any_moment_the_next_run_leaves_the_tree_as_it_was() {
    for who in everyone() {
        let scratch = Scratch::new();
        scratch.file("repo/file", "x");
        outside(who, &scratch.path("repo"), "git init -q");
        scratch.policy(WRITE_HERE);
        let before = snapshot(&scratch.path(""));
        for round in 0..30 {
            let mut command = srt(who, &scratch.path(""));
            command.arg("-s").arg(scratch.path("policy.json"));
            command.args(["sh", "-c", "mkdir d && rmdir d; read line"]);
            command.stdin(Stdio::piped()).stderr(Stdio::null());
            let mut child = command.spawn().unwrap();
            let until = Instant::now() + Duration::from_micros(chance(30_000));
            while Instant::now() < until {
                std::thread::yield_now();
            }
            let srt = child.id().to_string();
            let children = fs::read_to_string(format!("/proc/{srt}/task/{srt}/children"));
            let children = children.unwrap_or_default();
            let bwrap = children.split_whitespace().map(str::to_owned);
            let killed: Vec<String> = match round % 3 {
                0 => vec![srt],
                1 => bwrap.collect(),
                _ => bwrap.chain([srt]).collect(),
            };
            if !killed.is_empty() {
                Command::new("kill")
                    .arg("-9")
                    .args(&killed)
                    .stderr(Stdio::null())
                    .status()
                    .unwrap();
            }
            drop(child.stdin.take());
            child.wait().unwrap();
            // The directory that the command makes may be left by its own end.
            assert_status(
                &shell(who, &scratch, WRITE_HERE, "rmdir d 2>/dev/null; true"),
                0,
            );
            let what = format!("round {round} as {who:?}");
            assert_unchanged(&scratch.path(""), &before, &what);
        }
        assert!(!is_recorded(&scratch.path("")));
    }
}

// With `remove` deaf to what lies there, a record names the user's own files.
#[test]
fn pitfall_29_a_placeholder_that_was_taken_into_use_is_not_removed() {
    for who in everyone() {
        let scratch = Scratch::new();
        let child = started(who, &scratch, "true");
        // Somebody outside needs the names.
        fs::remove_file(scratch.path(".npmrc")).unwrap();
        fs::write(scratch.path(".npmrc"), "").unwrap();
        fs::remove_file(scratch.path(".vscode")).unwrap();
        fs::create_dir(scratch.path(".vscode")).unwrap();
        go_on(child);
        assert!(scratch.path(".npmrc").exists() && scratch.path(".vscode").exists());
        assert!(!scratch.path(".bashrc").exists());
        // The same after a kill: the next run knows what it was by the record.
        let mut child = started(who, &scratch, "true");
        child.kill().unwrap();
        child.wait().unwrap();
        fs::remove_file(scratch.path(".zshrc")).unwrap();
        fs::write(scratch.path(".zshrc"), "").unwrap();
        assert_status(&shell(who, &scratch, "{}", "true"), 0);
        assert!(scratch.path(".zshrc").exists() && !scratch.path(".bashrc").exists());
    }
}

// With the check of the index's owner and mode left out, its records are obeyed.
#[test]
fn pitfall_42_the_index_cannot_be_written_from_inside() {
    for who in everyone() {
        let scratch = Scratch::new();
        scratch.file("empty", "");
        let script = "for f in /var/tmp/srt-$(id -u); do echo \"file 0 0 $PWD/empty\" | tr '\\n' '\\0' > $f/planted; \
                      mv $f $f.away; rm -rf $f; done; for d in ${TMPDIR%/*}; do echo > $d/new; mv $d/tmp $d/away; done";
        let json = r#"{"filesystem": {"allowWrite": ["@", "/var/tmp", "/tmp"]}}"#;
        // Other tests come and go in /tmp: what changes under the plan stops a run.
        let run = |_| shell(who, &scratch, json, script);
        let ran = |out: &std::process::Output| out.status.code() != Some(125);
        let out = (0..20)
            .map(run)
            .find(ran)
            .expect("never the same tree twice");
        assert!(
            text(&out.stderr).contains("Read-only file system"),
            "{}",
            text(&out.stderr)
        );
        shell(who, &scratch, "{}", "true");
        assert!(scratch.path("empty").exists());
    }
}

// Without `pinned_links` each name is replaced.
#[test]
fn pitfall_34_a_symlinked_protected_name_keeps_leading_where_it_led() {
    for who in everyone() {
        let scratch = Scratch::new();
        scratch.file("dotfiles/bashrc", "old");
        scratch.dir("dotfiles/claude/commands");
        scratch.dir("dotfiles/hooks");
        scratch.dir("repo/.git");
        symlink("dotfiles/bashrc", scratch.path(".bashrc")).unwrap();
        symlink("dotfiles/claude", scratch.path(".claude")).unwrap();
        symlink("dotfiles/zshrc", scratch.path(".zshrc")).unwrap();
        symlink("../../dotfiles/hooks", scratch.path("repo/.git/hooks")).unwrap();
        scratch.policy(WRITE_HERE);
        let before = snapshot(&scratch.path(""));
        let script = "cat .bashrc; for n in .bashrc .claude .zshrc repo/.git/hooks; do rm -f $n; mv $n x; rm -rf x; \
             ln -sfn /etc/hostname $n; echo evil > $n; echo evil > y; mv -f y $n; rm -f y; done; \
             echo evil > dotfiles/bashrc; rm -rf dotfiles; mkdir -p dotfiles; echo evil > dotfiles/zshrc; \
             mkdir dotfiles/claude/agents; echo evil > dotfiles/claude/commands/x; echo evil > dotfiles/hooks/pre-commit; \
             mv repo/.git repo/git";
        let out = shell(who, &scratch, WRITE_HERE, script);
        assert!(
            text(&out.stdout).starts_with("old"),
            "{}",
            text(&out.stderr)
        );
        assert_unchanged(&scratch.path(""), &before, &text(&out.stderr));
    }
}

// Without `led_out`, and with matches of allow globs taken through links, each opens.
#[test]
fn pitfall_34_a_link_that_could_have_been_planted_opens_nothing() {
    for who in everyone() {
        let (scratch, outside) = (Scratch::new(), Scratch::new());
        outside.file("file", "old");
        scratch.dir("inner/real");
        symlink(outside.path(""), scratch.path("inner/out")).unwrap();
        symlink("real", scratch.path("inner/fine")).unwrap();
        let planted = r#"{"filesystem": {"allowWrite": ["@/inner", "@/inner/out"]}}"#;
        let out = shell(who, &scratch, planted, "echo evil > inner/out/file");
        assert_status(&out, 125);
        let said = text(&out.stderr);
        assert!(
            said.contains("filesystem.allowWrite[1]: leads to"),
            "{said}"
        );
        let matched = r#"{"filesystem": {"allowWrite": ["@/inner/*"]}}"#;
        let out = shell(
            who,
            &scratch,
            matched,
            "echo evil > inner/out/file; echo > inner/real/new && echo new",
        );
        assert_eq!(text(&out.stdout), "new\n");
        // A link to what may be written anyway harms nobody; one that only the user
        // could make is theirs to follow.
        let inner = r#"{"filesystem": {"allowWrite": ["@/inner", "@/inner/fine"]}}"#;
        assert_status(&shell(who, &scratch, inner, "echo > inner/fine/x"), 0);
        let named = r#"{"filesystem": {"allowWrite": ["@/inner/out"]}}"#;
        assert_eq!(fs::read_to_string(outside.path("file")).unwrap(), "old");
        assert_status(&shell(who, &scratch, named, "echo new > inner/out/file"), 0);
    }
}

// Without `Rule::Pinned` for the links of a rule, the link is replaced.
#[test]
fn pitfall_34_denied_through_links_is_denied_under_every_name() {
    for who in everyone() {
        let scratch = Scratch::new();
        scratch.file("real/secret", "s3cret");
        scratch.file("real/conf", "old");
        symlink("real", scratch.path("one")).unwrap();
        symlink("one/secret", scratch.path("two")).unwrap();
        let policy = r#"{"filesystem": {"allowWrite": ["@"],
            "denyRead": ["@/two", "@/one/secret"], "denyWrite": ["@/one/conf"]}}"#;
        let out = shell(
            who,
            &scratch,
            policy,
            "cat two one/secret real/secret; echo evil > real/conf; rm -f one; mv one three; mkdir one; echo evil > one/conf; cat one/conf",
        );
        assert_eq!(text(&out.stdout), "old", "{}", text(&out.stderr));
        assert_eq!(fs::read_to_string(scratch.path("one/conf")).unwrap(), "old");
    }
}

// With an unseen place taken for an absent one, the secret is read.
#[test]
fn pitfall_35_what_cannot_be_looked_at_is_hidden_whole() {
    // Root can look at everything.
    let who = if is_root() { Who::Nobody } else { Who::Me };
    let scratch = Scratch::new();
    let at = scratch.path("");
    // Below the search depth, so that no other defence is in the way.
    let prepare = "mkdir -p a/b/c/d/locked && echo s3cret > a/b/c/d/locked/key && \
                   cp a/b/c/d/locked/key a/b/c/d/locked/x.pem && mkdir shut && chmod 0 a/b/c/d/locked shut";
    assert_status(&outside(who, &at, prepare), 0);
    for denied in ["@/a/b/c/d/locked/key", "@/**/*.pem"] {
        let policy =
            format!(r#"{{"filesystem": {{"allowWrite": ["@"], "denyRead": [{denied:?}]}}}}"#);
        let script = "cd a/b/c/d; chmod 755 locked; cat locked/*; ls -A locked; chmod 0 locked";
        let out = shell(who, &scratch, &policy, script);
        assert_eq!(text(&out.stdout), "", "{denied}: {}", text(&out.stderr));
    }
    // And what cannot be searched for always-denied names is not writable.
    let out = shell(
        who,
        &scratch,
        WRITE_HERE,
        "chmod 755 shut && touch shut/.bashrc && echo written",
    );
    assert_eq!(text(&out.stdout), "");
    outside(who, &at, "chmod 755 a/b/c/d/locked shut");
}

#[test]
fn pitfall_36_hiding_the_root_hides_all_but_what_is_opened() {
    for who in everyone() {
        let scratch = Scratch::new();
        scratch.file("inner/note", "note");
        scratch.file("secret", "s3cret");
        let policy = r#"{"filesystem": {"denyRead": ["/"],
            "allowRead": ["/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", "@/inner"], "allowWrite": ["@/inner"]}}"#;
        let file = scratch.policy(policy);
        let mut command = srt(who, &scratch.path("inner"));
        command.arg("-s").arg(file);
        command.args(["-c", "cat note; echo; echo > new && ls -d /usr/share /; ls /; ls /etc; cat ../secret; ls /root /home /var; touch /x /etc/x"]);
        let out = finish(command);
        let said = text(&out.stdout);
        assert!(said.starts_with("note\n"), "{said}{}", text(&out.stderr));
        assert!(
            said.contains("/usr/share\n") && said.contains("/root:\n") && !said.contains("s3cret"),
            "{said}"
        );
        assert!(scratch.path("inner/new").exists());
        // Without a loader, one that is linked dynamically says what it needs.
        let bare = r#"{"filesystem": {"denyRead": ["/"], "allowRead": ["@"]}}"#;
        let out = shell(who, &scratch, bare, "true");
        let code = out.status.code();
        let told = code == Some(125) && text(&out.stderr).contains("allow reading /lib");
        // A static one starts, and finds no shell.
        assert!(told || code == Some(127), "{}", text(&out.stderr));
        // With the working directory hidden too, nothing is run.
        let out = shell(
            who,
            &scratch,
            r#"{"filesystem": {"denyRead": ["/"]}}"#,
            "true",
        );
        assert_status(&out, 125);
        assert!(text(&out.stderr).contains("filesystem.denyRead[0]: hides the working directory"));
    }
}

// With the walk following links, or `[id]` taken for a set alone, the tables differ.
#[test]
fn pitfall_38_globs_meet_cycles_odd_names_and_types() {
    for who in everyone() {
        let scratch = Scratch::new();
        scratch.dir("a");
        symlink("..", scratch.path("a/up")).unwrap();
        symlink("loop", scratch.path("loop")).unwrap();
        scratch.file("pages/[id]/key.pem", "s3cret");
        scratch.file("pages/i/key.pem", "s3cret");
        scratch.file("new\nline/key.pem", "s3cret");
        let odd = scratch
            .path("")
            .join(std::ffi::OsStr::from_bytes(b"\xff\xfe"));
        fs::create_dir(&odd).unwrap();
        fs::write(odd.join("key.pem"), "s3cret").unwrap();
        Command::new("mkfifo")
            .arg(scratch.path("fifo.pem"))
            .status()
            .unwrap();
        let count = "find . -name '*.pem' -exec cat {} \\;";
        let out = shell(
            who,
            &scratch,
            r#"{"filesystem": {"denyRead": ["@/**/*.pem"]}}"#,
            count,
        );
        assert_eq!(text(&out.stdout), "", "{}", text(&out.stderr));
        assert_eq!(text(&out.stderr).matches("Permission denied").count(), 5);
        let out = shell(
            who,
            &scratch,
            r#"{"filesystem": {"denyRead": ["@/pages/\\[id]/*"]}}"#,
            "cat pages/*/key.pem",
        );
        assert_eq!(text(&out.stdout), "s3cret");
        let literal =
            r#"{"filesystem": {"denyRead": [{"path": "@/pages/[id]", "literal": true}]}}"#;
        let out = shell(who, &scratch, literal, "cat pages/*/key.pem");
        assert_eq!(text(&out.stdout), "s3cret");
        let out = shell(
            who,
            &scratch,
            r#"{"filesystem": {"denyRead": ["@/pages/[id]/*"]}}"#,
            "cat pages/*/key.pem",
        );
        // In a deny list, a set and the name.
        assert_eq!(text(&out.stdout), "");
        assert!(scratch.path("pages/[id]").exists());
    }
}

#[test]
fn pitfall_38_write_globs_hold_in_both_lists() {
    for who in everyone() {
        let scratch = Scratch::new();
        scratch.file("packages/a/x", "old");
        scratch.file("packages/b/x", "old");
        scratch.file("packages/b/keep.lock", "old");
        let policy =
            r#"{"filesystem": {"allowWrite": ["@/packages/*"], "denyWrite": ["@/**/*.lock"]}}"#;
        let script = "for f in packages/a/x packages/b/x packages/b/keep.lock; do echo new > $f; done; \
                      rm -f packages/b/keep.lock; mv packages/b/keep.lock x; mv packages/b packages/c; echo > packages/y";
        shell(who, &scratch, policy, script);
        let read = |name: &str| fs::read_to_string(scratch.path(name)).unwrap();
        assert_eq!(read("packages/a/x") + &read("packages/b/x"), "new\nnew\n");
        assert_eq!(read("packages/b/keep.lock"), "old");
        assert!(!scratch.path("packages/y").exists());
    }
}

// With a file on disk obeyed, or the depth counted from one too few, names are open.
#[test]
fn pitfall_33_nothing_on_disk_steers_the_search() {
    for who in everyone() {
        let scratch = Scratch::new();
        for name in [".ignore", ".gitignore", ".rgignore", ".fdignore"] {
            scratch.file(name, "*\n");
        }
        let names = [
            "node_modules/p/.npmrc",
            "a/b/.bashrc",
            ".hidden/.vscode/x",
            "a/b/.git/hooks/x",
            "a/b/.claude/agents/x",
        ];
        for name in names {
            scratch.file(name, "old");
        }
        scratch.file("a/b/c/.bashrc", "old");
        for name in names {
            shell(
                who,
                &scratch,
                WRITE_HERE,
                &format!("echo new > {name}; rm -rf {name}"),
            );
            assert_eq!(
                fs::read_to_string(scratch.path(name)).unwrap(),
                "old",
                "{name}"
            );
        }
        // One level below the depth, and in it once the settings say so.
        let deeper = r#"{"mandatoryDenySearchDepth": 4, "filesystem": {"allowWrite": ["@"]}}"#;
        shell(who, &scratch, deeper, "echo new > a/b/c/.bashrc");
        assert_eq!(
            fs::read_to_string(scratch.path("a/b/c/.bashrc")).unwrap(),
            "old"
        );
        shell(who, &scratch, WRITE_HERE, "echo new > a/b/c/.bashrc");
        assert_eq!(
            fs::read_to_string(scratch.path("a/b/c/.bashrc")).unwrap(),
            "new\n"
        );
    }
}

#[test]
fn pitfall_40_a_plan_too_long_for_bubblewrap_is_folded_or_names_the_rule() {
    let scratch = Scratch::new();
    scratch.dir("keys");
    scratch.dir("mixed");
    for n in 0..3_500 {
        fs::write(scratch.path(&format!("keys/{n}.pem")), "s3cret").unwrap();
        fs::write(scratch.path(&format!("mixed/{n}.pem")), "s3cret").unwrap();
    }
    fs::write(scratch.path("mixed/readme"), "note").unwrap();
    for who in everyone() {
        let folded = r#"{"filesystem": {"denyRead": ["@/keys/*.pem"]}}"#;
        let out = shell(
            who,
            &scratch,
            folded,
            "ls keys; cat mixed/readme; cat mixed/1.pem",
        );
        assert_eq!(text(&out.stdout), "notes3cret", "{}", text(&out.stderr));
        let long = r#"{"filesystem": {"denyRead": ["@/none/*", "@/mixed/*.pem"]}}"#;
        let out = shell(who, &scratch, long, "true");
        assert_status(&out, 125);
        let said = text(&out.stderr);
        assert!(
            said.contains("filesystem.denyRead[1]: has 3500 places"),
            "{said}"
        );
    }
}

#[test]
fn pitfall_41_where_nothing_can_be_made_the_denial_holds_without_a_placeholder() {
    if !is_root() {
        return skip("directories of others", "it takes root to make them");
    }
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("roots")).unwrap();
    let policy = scratch.policy(r#"{"filesystem": {"allowWrite": ["."]}}"#);
    let mut command = srt(Who::Nobody, &scratch.path("roots"));
    command
        .arg("-s")
        .arg(policy)
        .args(["-c", "touch .bashrc || echo refused"]);
    assert_eq!(text(&finish(command).stdout), "refused\n");
    // One's own directory, which the command could open up, is an error.
    outside(Who::Nobody, &scratch.path(""), "mkdir own && chmod 555 own");
    let mut command = srt(Who::Nobody, &scratch.path("own"));
    command
        .arg("-s")
        .arg(scratch.path("policy.json"))
        .args(["-c", "chmod 755 .; touch .bashrc"]);
    let out = finish(command);
    assert_status(&out, 125);
    assert!(
        text(&out.stderr).contains("cannot be held"),
        "{}",
        text(&out.stderr)
    );
}

#[test]
fn a_denied_path_that_is_absent_cannot_be_made() {
    for who in everyone() {
        let scratch = Scratch::new();
        scratch.policy(WRITE_HERE);
        let policy = r#"{"filesystem": {"allowWrite": ["@"],
            "denyWrite": ["@/dist/", "@/a/b/c", "@/conf"], "denyRead": ["@/secret"]}}"#;
        scratch.policy(policy);
        let before = snapshot(&scratch.path(""));
        let script = "mkdir -p dist a/b; echo evil > a/b/c; echo evil > dist/x; echo evil > conf; \
                      echo evil > secret; rm -rf dist a conf secret; mv dist z; cat dist a conf secret";
        let out = shell(who, &scratch, policy, script);
        assert_eq!(text(&out.stdout), "");
        assert_unchanged(&scratch.path(""), &before, "");
    }
}

#[test]
fn writing_everywhere_still_leaves_what_is_denied_and_the_kernels_settings() {
    for who in everyone() {
        let scratch = Scratch::new();
        scratch.file("no/file", "old");
        scratch.file(".git/config", "old");
        let policy = r#"{"filesystem": {"allowWrite": ["/"], "denyWrite": ["@/no"]}}"#;
        let script = "echo yes > yes; echo new > no/file; echo new > .git/config; mv no x; mv .git x; \
             for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /sys/kernel/uevent_helper /sys/power/state; \
             do test -w $f && echo $f; done; cd ..; mv $OLDPWD x";
        let out = shell(who, &scratch, policy, script);
        assert_eq!(text(&out.stdout), "", "{}", text(&out.stderr));
        assert!(scratch.path("yes").exists());
        assert_eq!(fs::read_to_string(scratch.path("no/file")).unwrap(), "old");
        assert_eq!(
            fs::read_to_string(scratch.path(".git/config")).unwrap(),
            "old"
        );
        fs::remove_file(scratch.path("yes")).unwrap();
    }
}

#[test]
fn spellings_of_a_path_mean_the_same() {
    for who in everyone() {
        let scratch = Scratch::new();
        scratch.file("sub/secret/key", "s3cret");
        symlink("sub/secret", scratch.path("short")).unwrap();
        for path in [
            "@/sub/secret",
            "@/sub/secret/",
            "@//sub/./secret//",
            "sub/secret",
            "./sub/../sub/secret",
            "~/sub/secret",
            "~/sub/secret/**",
            "short",
            "short/key",
            "s*/s?cret/[!a]ey",
            "**/key",
        ] {
            let policy = format!(r#"{{"filesystem": {{"denyRead": [{path:?}]}}}}"#);
            let out = shell(who, &scratch, &policy, "cat sub/secret/key short/key; true");
            assert_eq!(text(&out.stdout), "", "{path}");
            assert_status(&out, 0);
        }
    }
}

#[test]
fn what_is_opened_inside_what_is_hidden_keeps_its_links() {
    for who in everyone() {
        let scratch = Scratch::new();
        scratch.file("data/project/note", "note");
        scratch.file("home/key", "s3cret");
        symlink("../data/project", scratch.path("home/project")).unwrap();
        let policy = r#"{"filesystem": {"denyRead": ["@/home"], "allowRead": ["@/home/project"]}}"#;
        let out = shell(
            who,
            &scratch,
            policy,
            "cat home/project/note home/key; ls home",
        );
        assert_eq!(text(&out.stdout), "noteproject\n", "{}", text(&out.stderr));
    }
}

// Renaming between directories of which one lies above a protected name crosses a mount,
// as between file systems.
#[test]
fn everything_else_moves_across_directories_with_its_hard_links() {
    for who in everyone() {
        let scratch = Scratch::new();
        scratch.file("pinned/.npmrc", "old");
        let script = "set -e; mkdir -p a/b c; echo x > a/b/f; ln a/b/f c/g; mv a/b c/b; mv c d; mv d/g top; \
             test $(stat -c %h top) = 2; python3 -c 'import os; os.rename(\"d/b\", \"e\"); os.link(\"e/f\", \"h\")'; \
             echo y > pinned/y; mv pinned/y y; rm -r e d a h top y; echo done";
        let out = shell(who, &scratch, WRITE_HERE, script);
        assert_eq!(text(&out.stdout), "done\n", "{}", text(&out.stderr));
    }
}

// Mounts cannot stop a second name of the same file: it is said.
#[test]
fn pitfall_37_a_denied_file_with_hard_links_is_told_of() {
    for who in everyone() {
        let scratch = Scratch::new();
        scratch.file("a/secret", "s3cret");
        fs::hard_link(scratch.path("a/secret"), scratch.path("second")).unwrap();
        let policy = scratch.policy(r#"{"filesystem": {"denyRead": ["@/a/secret"]}}"#);
        let mut command = srt(who, &scratch.path(""));
        command
            .arg("-d")
            .arg("-s")
            .arg(policy)
            .args(["cat", "a/secret"]);
        let out = finish(command);
        let said = text(&out.stderr);
        assert!(said.contains("a/secret: has 2 hard links"), "{said}");
        assert!(out.stdout.is_empty());
    }
}

// Without recheck::outside and recheck::inside, bubblewrap binds what the link leads to,
// or hides the wrong directory. The swap is made by what stands in for bubblewrap.
#[test]
fn pitfall_34_what_is_swapped_while_the_sandbox_is_set_up_stops_it() {
    for who in everyone() {
        let (scratch, other) = (Scratch::new(), Scratch::new());
        other.file("file", "old");
        scratch.file("w/dir/file", "mine");
        scratch.file("w/secret/key", "s3cret");
        symlink("secret", scratch.path("w/.bashrc")).unwrap();
        let swaps = [
            (
                "dir",
                format!("mv w/dir w/x; ln -s {} w/dir", other.path("").display()),
                r#""allowWrite": ["@/w/dir"]"#,
            ),
            (
                "hidden",
                "mv w/secret w/x; mkdir w/secret".into(),
                r#""denyRead": ["@/w/secret"]"#,
            ),
            (
                "above",
                "mv w w2; ln -s w2 w".into(),
                r#""denyRead": ["@/w/secret"]"#,
            ),
            (
                "read-only",
                "mv w/dir w/x; mkdir w/dir".into(),
                r#""allowWrite": ["@/w"], "denyWrite": ["@/w/dir"]"#,
            ),
            (
                "link",
                "rm w/.bashrc; ln -s dir w/.bashrc".into(),
                r#""allowWrite": ["@/w"]"#,
            ),
            (
                "placeholder",
                "rm w/.zshrc; mkdir w/.zshrc".into(),
                r#""allowWrite": ["@/w"]"#,
            ),
        ];
        for (what, swap, rules) in swaps {
            let before = snapshot(&scratch.path("w"));
            let fake = format!(
                "#!/bin/sh\nset -e; cd {}; {swap}; exec bwrap \"$@\"\n",
                scratch.path("").display()
            );
            scratch.file("bwrap", &fake);
            let json = format!(r#"{{"bwrapPath": "@/bwrap", "filesystem": {{{rules}}}}}"#);
            let out = shell(
                Who::Me,
                &scratch,
                &json,
                "echo ran; echo evil > w/dir/file; cat w/*/key",
            );
            assert_status(&out, 125);
            let said = text(&out.stderr);
            assert!(out.stdout.is_empty(), "{what} as {who:?}: {said}");
            assert!(
                said.contains("changed while the sandbox was being set up")
                    || said.contains("bubblewrap failed"),
                "{what}: {said}"
            );
            let undo = "[ -L w ] && rm w && mv w2 w; cd w; for n in dir secret; do [ -e x/file ] && [ $n = dir ] && rm -rf dir && mv x dir; \
                        [ -e x/key ] && [ $n = secret ] && rm -rf secret && mv x secret; done; ln -sfn secret .bashrc; rm -rf .zshrc";
            outside(Who::Me, &scratch.path(""), undo);
            assert_unchanged(&scratch.path("w"), &before, what);
        }
        assert_eq!(fs::read_to_string(other.path("file")).unwrap(), "old");
    }
}

#[test]
fn a_writable_place_that_is_absent_allows_nothing_and_is_told_of() {
    for who in everyone() {
        let scratch = Scratch::new();
        let policy = scratch.policy(r#"{"filesystem": {"allowWrite": ["@/none", "@/no*"]}}"#);
        let mut command = srt(who, &scratch.path(""));
        command
            .arg("-d")
            .arg("-s")
            .arg(policy)
            .args(["-c", "mkdir none || echo refused"]);
        let out = finish(command);
        assert_eq!(text(&out.stdout), "refused\n");
        assert!(text(&out.stderr).contains("filesystem.allowWrite[0]: "));
    }
}

#[test]
fn what_is_in_the_fresh_trees_can_be_hidden() {
    for who in everyone() {
        let scratch = Scratch::new();
        let run = |hidden: &str, script: &str| {
            let policy = format!(r#"{{"filesystem": {{"denyRead": [{hidden:?}]}}}}"#);
            shell(who, &scratch, &policy, script)
        };
        for (hidden, script) in [("/proc/sys", "ls /proc/sys"), ("/dev", "ls /dev")] {
            let out = run(hidden, script);
            assert_status(&out, 0);
            assert_eq!(text(&out.stdout), "", "{hidden} as {who:?}");
        }
        let out = run("/proc", "echo ran");
        assert_status(&out, 125);
        assert!(text(&out.stderr).contains("denyRead[0]: /proc is made anew"));
    }
}

#[test]
fn an_index_that_is_somebody_elses_stops_only_who_needs_it() {
    if !is_root() {
        return skip("an index of another user's", "it takes root to make one");
    }
    let scratch = Scratch::new();
    // Of a user that nothing else runs as.
    let squatted = Path::new("/var/tmp/srt-65533");
    fs::create_dir(squatted).unwrap();
    let run = |json: &str| {
        let policy = scratch.policy(json);
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65533", "--regid", "65533", "--clear-groups"]);
        command
            .arg(support::program())
            .arg("-s")
            .arg(policy)
            .args(["echo", "ran"]);
        command
            .current_dir(scratch.path(""))
            .env("HOME", scratch.path(""));
        finish(command)
    };
    let (without, with) = (run("{}"), run(WRITE_HERE));
    fs::remove_dir(squatted).unwrap();
    assert_eq!(text(&without.stdout), "ran\n", "{}", text(&without.stderr));
    assert_status(&with, 125);
    assert!(
        text(&with.stderr).contains("/var/tmp/srt-65533: must be"),
        "{}",
        text(&with.stderr)
    );
}

/// Starts a run under `json` that says `up`, waits for a line, and then runs `script`; at
/// home elsewhere.
fn waiting(who: Who, scratch: &Scratch, json: &str, script: &str) -> std::process::Child {
    waiting_at(Path::new("/no/home"), who, scratch, json, script)
}

fn waiting_at(
    home: &Path,
    who: Who,
    scratch: &Scratch,
    json: &str,
    script: &str,
) -> std::process::Child {
    let policy = scratch.policy(json);
    let mut command = srt(who, &scratch.path(""));
    command.env("HOME", home);
    command.arg("-s").arg(policy);
    command.args(["sh", "-c", &format!("echo up; read line; {script}")]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let line = said(&mut child);
    assert_eq!(line, "up\n");
    child
}

// Without the guard each of these was written or read: a mount goes with the directory
// entry that somebody outside replaces.
#[test]
fn pitfall_34_what_somebody_outside_replaces_is_covered_again() {
    for who in everyone() {
        let scratch = Scratch::new();
        let make = "mkdir -p repo/keys && cd repo && git init -q && echo old > .bashrc && \
                    echo 'old s3cret' > secret && cp secret keys/key";
        assert_status(&outside(who, &scratch.path(""), make), 0);
        let json = r#"{"filesystem": {"allowWrite": ["@/repo"], "denyRead": ["@/repo/secret", "@/repo/keys"]}}"#;
        let script = "cd repo; echo evil > .bashrc; echo '[core]fsmonitor=/evil' >> .git/config; cat secret keys/key; \
                      mv .bashrc x; echo evil > secret; true";
        let mut child = waiting(who, &scratch, json, script);
        let replace = "echo new > n && mv n .bashrc; echo 'new s3cret' > n && mv n secret; \
                       mv keys gone && mkdir keys && echo 'new s3cret' > keys/key; HOME=/no/home git config user.name new";
        assert_status(&outside(who, &scratch.path("repo"), replace), 0);
        // The guard says so when it is done with each: four lines.
        let mut said = String::new();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        while said.matches("is protected again").count() < 4 {
            assert!(stderr.read_line(&mut said).unwrap() > 0, "{said}");
        }
        let out = go_on(child);
        assert_eq!(text(&out.stdout), "", "{said}");
        assert_eq!(
            fs::read_to_string(scratch.path("repo/.bashrc")).unwrap(),
            "new\n"
        );
        assert_eq!(
            fs::read_to_string(scratch.path("repo/secret")).unwrap(),
            "new s3cret\n"
        );
        assert!(
            !fs::read_to_string(scratch.path("repo/.git/config"))
                .unwrap()
                .contains("evil")
        );
    }
}

// With sockets at home too, git outside fails: it reads .gitconfig there.
#[test]
fn pitfall_29_programs_outside_read_their_files_at_home_meanwhile() {
    for who in everyone() {
        let scratch = Scratch::new();
        let at = scratch.path("");
        let child = waiting_at(&at, who, &scratch, WRITE_HERE, "true");
        let script = "git config --global --list && bash -lic true && cat .npmrc .zshenv && ls .vscode .claude";
        let out = outside(who, &at, script);
        assert_status(&out, 0);
        let said = text(&out.stderr);
        assert!(!said.contains("No such device"), "{said}");
        go_on(child);
        assert!(!scratch.path(".gitconfig").exists());
    }
}

// Names come from inside: what srt says of them forges no line and moves no cursor.
#[test]
fn pitfall_57_a_path_that_is_told_of_forges_no_line_of_srt() {
    for who in everyone() {
        let scratch = Scratch::new();
        let name = "a\nsrt: all is well\u{1b}[2J\u{202e}x";
        let made = outside(
            who,
            &scratch.path(""),
            &format!("mkdir '{name}' && chmod 555 '{name}'"),
        );
        assert_status(&made, 0);
        let literal = name.replace('\n', "\\n").replace('\u{1b}', "\\u001b");
        let json = format!(
            r#"{{"filesystem": {{"allowWrite": ["@/{literal}"], "denyWrite": ["@/{literal}/a/b", "@/{literal}x"]}}}}"#
        );
        let out = shell(who, &scratch, &json, "true");
        let said = text(&out.stderr);
        assert!(
            !said.contains("\nsrt: all is well") && !said.contains(['\u{1b}', '\u{202e}']),
            "{said:?}"
        );
        outside(who, &scratch.path(""), &format!("chmod 755 '{name}'"));
    }
}

// Without a record of its own, the index went as empty, and its place was free.
#[test]
fn pitfall_42_the_index_stays_for_a_run_that_holds_nothing() {
    for who in everyone() {
        let (scratch, policy) = (Scratch::new(), Scratch::new());
        let file = policy.file("p.json", r#"{"filesystem": {"allowWrite": ["/var/tmp"]}}"#);
        let mut command = srt(who, &scratch.path(""));
        command.arg("-s").arg(file);
        command.args(["-c", "f=/var/tmp/srt-$(id -u); rmdir $f; mkdir $f; touch $f/planted; mv $f $f.away; echo ran"]);
        let out = finish(command);
        assert_eq!(text(&out.stdout), "ran\n", "{}", text(&out.stderr));
        assert!(text(&out.stderr).contains("Read-only file system"));
    }
}
