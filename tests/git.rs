//! Real git in every form that a repository has: it works, and what makes git run
//! something later stays out of reach.

mod support;

use std::fs;
use std::path::Path;
use std::process::Output;

use support::{Scratch, Who, assert_status, everyone, finish, outside, srt, text};

const IDENTITY: &str = "[user]\nname = a\nemail = a@b\n[protocol \"file\"]\nallow = always\n\
     [init]\ndefaultBranch = main\n[advice]\ndetachedHead = false\n";

/// A home with an identity, and `script` run in it outside.
fn home(who: Who, script: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.file(".gitconfig", IDENTITY);
    let script = format!("umask 022; set -e; {script}");
    assert_status(&outside(who, &scratch.path(""), &script), 0);
    scratch
}

/// `script` under `srt` in `directory` of the home, which may write `roots`.
fn inside(who: Who, home: &Scratch, directory: &str, roots: &str, script: &str) -> Output {
    let policy = home.policy(&format!(r#"{{"filesystem": {{"allowWrite": [{roots}]}}}}"#));
    let mut command = srt(who, &home.path(directory));
    command.env("HOME", home.path("")).arg("-s").arg(policy);
    command.args(["-c", script]);
    finish(command)
}

/// Everyday work with the repository in the working directory.
const WORK: &str = "set -e; git status --porcelain; echo one > one; git add -A; git commit -qm one; \
     git switch -qc topic; echo two > two; git add two; git commit -qm two; git switch -q -; \
     echo three > three; git add three; git commit -qm three; git switch -q topic; git rebase -q main; \
     echo four > four; git stash -q -u; git stash pop -q; rm four; \
     git worktree add -q \"$TMPDIR/linked\" && git -C \"$TMPDIR/linked\" status --porcelain && \
     git worktree remove \"$TMPDIR/linked\"; git gc -q; git fsck --no-progress; \
     test -z \"$(git status --porcelain)\" && echo worked";

/// Whatever makes git run something, in the git directory `$1`: each try must fail.
const ATTACK: &str = "cd \"$1\"; \
     evil() { echo '#!/bin/sh' > \"$1\" 2>/dev/null && chmod +x \"$1\"; }; \
     evil hooks/post-checkout; evil hooks/reference-transaction; rm -rf hooks; mv hooks h; mkdir h; mv -T h hooks; \
     git config --local core.fsmonitor /evil; echo '[core]fsmonitor=/evil' >> config; \
     echo '[core]fsmonitor=/evil' > c; mv -f c config; ln -f c config; rm -f config; \
     echo '[core]fsmonitor=/evil' > config.worktree; git config --worktree core.fsmonitor /evil; \
     echo /tmp/evil > commondir; rm -f commondir c; mkdir commondir; rm -rf h config.lock; true";

fn attack(who: Who, home: &Scratch, directory: &str, roots: &str, git: &Path) {
    let script = format!("set -- {}; {ATTACK}", git.display());
    inside(who, home, directory, roots, &script);
}

fn assert_work(out: &Output) {
    let said = text(&out.stdout);
    assert!(said.ends_with("worked\n"), "{said}\n{}", text(&out.stderr));
}

/// Hooks, configuration and where it is looked for, in a git directory.
fn settings(git: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for name in ["config", "config.worktree", "commondir"] {
        if let Ok(content) = fs::read(git.join(name)) {
            all.push((name.to_owned(), content));
        }
    }
    for entry in fs::read_dir(git.join("hooks"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        all.push((name, fs::read(entry.path()).unwrap()));
    }
    all.sort();
    all
}

const PLAIN: &str = "git init -q repo && cd repo && git commit -q --allow-empty -m first";

// Without the rows of protected::GIT_NAMES each attack of its name succeeds.
#[test]
fn pitfall_32_a_plain_repository_works_and_its_settings_stay() {
    for who in everyone() {
        let home = home(who, PLAIN);
        let git = home.path("repo/.git");
        let before = settings(&git);
        assert_work(&inside(who, &home, "repo", "\".\"", WORK));
        attack(who, &home, "repo", "\".\"", &git);
        assert_eq!(settings(&git), before, "as {who:?}");
        let check = "git status --porcelain && test -z \"$(git status --porcelain)\" && git fsck > fsck && rm fsck && ls -A";
        let left = outside(who, &home.path("repo"), check);
        assert_status(&left, 0);
        assert_eq!(text(&left.stdout), ".git\none\nthree\ntwo\n");
        // From above, at the depth's edge.
        attack(who, &home, "", "\"@\"", &git);
        assert_eq!(settings(&git), before, "from above, as {who:?}");
    }
}

#[test]
fn allow_git_config_opens_the_configuration_and_nothing_else() {
    for who in everyone() {
        let home = home(who, PLAIN);
        let git = home.path("repo/.git");
        let before = settings(&git);
        let policy =
            home.policy(r#"{"filesystem": {"allowWrite": ["."], "allowGitConfig": true}}"#);
        let mut command = srt(who, &home.path("repo"));
        command.env("HOME", home.path("")).arg("-s").arg(policy);
        command.args(["-c", "git config user.name new; echo x > .git/hooks/pre-commit; echo x > .git/config.worktree"]);
        finish(command);
        let after = settings(&git);
        let is_config = |entry: &(String, Vec<u8>)| entry.0 == "config";
        let (config, rest): (Vec<_>, Vec<_>) = after.into_iter().partition(is_config);
        assert!(text(&config[0].1).contains("name = new"));
        let hooks: Vec<_> = before
            .into_iter()
            .filter(|entry| !is_config(entry))
            .collect();
        assert_eq!(rest, hooks);
    }
}

// Without following `.git` files, the real git directory is open; it lies in another
// writable root, below the search depth.
#[test]
fn pitfall_32_a_linked_worktree_works_and_the_settings_of_both_parts_stay() {
    for who in everyone() {
        let home = home(
            who,
            "mkdir -p deep/er/and/deeper work && cd deep/er/and/deeper && git init -q main && cd main && \
             git commit -q --allow-empty -m first && git worktree add -q ~/work/tree",
        );
        let main = home.path("deep/er/and/deeper/main/.git");
        let part = main.join("worktrees/tree");
        let before = (settings(&main), settings(&part));
        let roots = r#""@/work", "@/deep""#;
        assert_work(&inside(
            who,
            &home,
            "work/tree",
            roots,
            &WORK.replace("rebase -q main", "rebase -q tree"),
        ));
        attack(who, &home, "work/tree", roots, &main);
        attack(who, &home, "work/tree", roots, &part);
        assert_eq!((settings(&main), settings(&part)), before, "as {who:?}");
        let file = fs::read(home.path("work/tree/.git")).unwrap();
        inside(
            who,
            &home,
            "work/tree",
            roots,
            "echo 'gitdir: /tmp/evil' > .git; rm -f .git; mv .git x",
        );
        assert_eq!(fs::read(home.path("work/tree/.git")).unwrap(), file);
        // Seen from the main part, the worktree's is protected as well.
        attack(who, &home, "deep/er/and/deeper/main", r#""@/deep""#, &part);
        assert_eq!(
            (settings(&main), settings(&part)),
            before,
            "from main, as {who:?}"
        );
    }
}

#[test]
fn pitfall_32_a_submodule_works_and_its_settings_stay() {
    for who in everyone() {
        let home = home(
            who,
            "git init -q lib && git -C lib commit -q --allow-empty -m first && git init -q repo && cd repo && \
             git submodule --quiet add ../lib group/lib && git commit -qm add && git submodule --quiet update --init",
        );
        let git = home.path("repo/.git/modules/group/lib");
        let before = (settings(&git), settings(&home.path("repo/.git")));
        let look = "git submodule status && git status --porcelain && \
                    git submodule foreach -q 'git log --oneline' && echo worked";
        assert_work(&inside(who, &home, "repo", "\".\"", look));
        // git writes the submodule's configuration anew with every update.
        let update = "git submodule update -q && echo worked";
        let open = home.policy(r#"{"filesystem": {"allowWrite": ["."], "allowGitConfig": true}}"#);
        let mut command = srt(who, &home.path("repo"));
        command
            .env("HOME", home.path(""))
            .arg("-s")
            .arg(open)
            .args(["-c", update]);
        assert_work(&finish(command));
        assert_work(&inside(who, &home, "repo/group/lib", "\"@/repo\"", WORK));
        attack(who, &home, "repo", "\".\"", &git);
        assert_eq!(
            (settings(&git), settings(&home.path("repo/.git"))),
            before,
            "as {who:?}"
        );
    }
}

#[test]
fn pitfall_32_a_bare_repository_is_pushed_to_and_its_settings_stay() {
    for who in everyone() {
        let home = home(
            who,
            &format!("git init -q --bare store && ({PLAIN} && git remote add origin ~/store)"),
        );
        let git = home.path("store");
        let before = settings(&git);
        let push = "git push -q origin HEAD && git -C ../store log --oneline HEAD && echo worked";
        assert_work(&inside(who, &home, "repo", r#"".", "@/store""#, push));
        attack(who, &home, "repo", r#"".", "@/store""#, &git);
        assert_eq!(settings(&git), before, "as {who:?}");
    }
}

#[test]
fn pitfall_32_a_git_directory_behind_a_link_or_in_a_circle_keeps_its_settings() {
    for who in everyone() {
        let home = home(
            who,
            &format!(
                "{PLAIN} && mv .git ../store && ln -s ../store .git && echo 'gitdir: ../b/.git' > /dev/null && \
                mkdir ../a ../b && echo 'gitdir: ../b/.git' > ../a/.git && echo 'gitdir: ../a/.git' > ../b/.git"
            ),
        );
        let git = home.path("store");
        let before = settings(&git);
        assert_work(&inside(
            who,
            &home,
            "repo",
            "\"@\"",
            "git status --porcelain && echo worked",
        ));
        attack(who, &home, "repo", "\"@\"", &git);
        inside(
            who,
            &home,
            "repo",
            "\"@\"",
            "rm -f .git; mv .git x; ln -sfn /tmp .git",
        );
        assert_eq!(settings(&git), before, "as {who:?}");
        assert_eq!(
            fs::read_link(home.path("repo/.git")).unwrap(),
            Path::new("../store")
        );
    }
}

// A repository that is made inside is the command's own: its hooks are not held, and
// the README says so. The next run holds them.
#[test]
fn pitfall_32_a_repository_made_inside_is_held_from_the_next_run_on() {
    for who in everyone() {
        let home = home(
            who,
            "mkdir work && git init -q lib && git -C lib commit -q --allow-empty -m first",
        );
        let clone = "git clone -q ../lib made && cd made && set -e && echo x > x && git add -A && git commit -qm x && echo worked";
        assert_work(&inside(who, &home, "work", "\".\"", clone));
        let git = home.path("work/made/.git");
        let before = settings(&git);
        attack(who, &home, "work", "\".\"", &git);
        assert_eq!(settings(&git), before, "as {who:?}");
    }
}
