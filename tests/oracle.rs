//! The file policy, the mount plan and the kernel, each against an oracle that knows
//! nothing but the words of the specification.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use sandbox_runtime::emit::bwrap::{Op, plan};
use sandbox_runtime::parse::settings::settings;
use sandbox_runtime::policy::files::{Access, Kind, Rule};
use sandbox_runtime::policy::{Facts, Place, Policy, Resolved};
use support::chance::Chance;
use support::{Scratch, Who, assert_status, everyone, finish, srt, text};

type Tree = BTreeMap<String, Kind>;
type Rules = Vec<(String, Rule)>;

/// A tree below `root`, at most three levels; every directory has a file `f` in it.
fn tree(chance: &mut Chance, root: &str, names: &[&str]) -> Tree {
    let mut tree = Tree::from([(root.to_owned(), Kind::Directory)]);
    for _ in 0..14 {
        let directories: Vec<String> = tree
            .iter()
            .filter(|(path, kind)| {
                **kind == Kind::Directory && path[root.len()..].matches('/').count() < 3
            })
            .map(|(path, _)| path.clone())
            .collect();
        let path = format!("{}/{}", chance.pick(&directories), chance.pick(names));
        let kind = if path.ends_with(".bashrc") || chance.below(3) == 0 {
            Kind::File
        } else {
            Kind::Directory
        };
        tree.entry(path).or_insert(kind);
    }
    let inside: Vec<String> = tree
        .keys()
        .filter(|p| tree[*p] == Kind::Directory)
        .cloned()
        .collect();
    tree.extend(inside.into_iter().map(|path| (path + "/f", Kind::File)));
    tree
}

fn rules(chance: &mut Chance, tree: &Tree, kinds: &[Rule]) -> Rules {
    // `f` tells whether its directory is seen.
    let paths: Vec<&String> = tree.keys().filter(|path| !path.ends_with("/f")).collect();
    let count = 1 + chance.below(6);
    (0..count)
        .map(|_| ((*chance.pick(&paths)).clone(), *chance.pick(kinds)))
        .collect()
}

fn lies_in(path: &str, above: &str) -> bool {
    path.strip_prefix(above)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What may be done with `path`, by the specification's words.
fn oracle(path: &str, rules: &Rules) -> Access {
    let longest = |wanted: Rule| {
        let mut lengths: Vec<usize> = Vec::new();
        for (above, rule) in rules {
            if *rule == wanted && lies_in(path, above) {
                lengths.push(above.len());
            }
        }
        lengths.into_iter().max()
    };
    let hidden = match (longest(Rule::DenyRead), longest(Rule::AllowRead)) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(denied), Some(allowed)) => denied >= allowed,
    };
    let may_write = longest(Rule::AllowWrite).is_some()
        && longest(Rule::DenyWrite).is_none()
        && longest(Rule::Protected).is_none();
    if hidden {
        Access::Hidden
    } else if may_write {
        Access::Write
    } else {
        Access::Read
    }
}

fn policy(tree: &Tree, rules: &Rules) -> Policy {
    let resolved = |(path, rule): &(String, Rule)| Resolved {
        key: format!("{rule:?}"),
        rule: *rule,
        place: Place::Exists {
            path: path.clone().into_bytes(),
            kind: tree[path],
            hold: None,
        },
        links: Vec::new(),
    };
    let facts = Facts {
        rules: rules.iter().map(resolved).collect(),
        directory: b"/".to_vec(),
        temporary: b"/tmp/own".to_vec(),
        ..Facts::default()
    };
    Policy::new(&settings(b"{}").unwrap(), &facts).unwrap()
}

/// The mount table that `ops` build, in the order in which it came to be: a mount covers
/// what was mounted below it before.
fn mounted(ops: &[Op]) -> Vec<(&str, Access)> {
    let mut table: Vec<(&str, Access)> = Vec::new();
    for op in ops {
        let (at, access) = match op {
            Op::Bind(at) => (at, Access::Write),
            Op::ReadOnlyBind(at) => (at, Access::Read),
            Op::Hide(at) | Op::Mask(at) | Op::Empty(at) => (at, Access::Hidden),
            Op::Link(_) | Op::Seal(_) | Op::Devices | Op::Processes => continue,
        };
        let at = std::str::from_utf8(at).unwrap().trim_end_matches('/');
        table.retain(|(below, _)| !lies_in(below, at));
        table.push((at, access));
    }
    table
}

/// What the mounts let one do with `path`: the deepest above it decides.
fn simulate(path: &str, table: &[(&str, Access)]) -> Access {
    let above = table.iter().filter(|(at, _)| lies_in(path, at));
    above.max_by_key(|(at, _)| at.len()).unwrap().1
}

/// Everything in which the plan `ops` is not what the rules ask for.
fn disagreements(tree: &Tree, rules: &Rules, ops: &[Op]) -> Vec<String> {
    let mut found = Vec::new();
    let table = mounted(ops);
    let is_mount = |path: &str| {
        ops.iter()
            .filter_map(Op::mounts)
            .any(|(at, _)| at == path.as_bytes())
    };
    for path in tree.keys() {
        let expected = oracle(path, rules);
        if simulate(path, &table) != expected {
            found.push(format!("{path}: {expected:?}"));
        }
        // What is not writable must not be moved away with a directory above it.
        let mut above = path.as_str();
        while let Some((directory, _)) = above.rsplit_once('/').filter(|(d, _)| !d.is_empty()) {
            let moves = expected != Access::Write && oracle(directory, rules) == Access::Write;
            if moves && !is_mount(directory) {
                found.push(format!("{directory} can be moved, and {path} with it"));
            }
            above = directory;
        }
    }
    for op in ops {
        let sealed = |at: &Vec<u8>| {
            ops.iter()
                .any(|o| matches!(o, Op::Seal(seal) if seal == at))
        };
        if matches!(op, Op::Hide(at) if !sealed(at)) {
            found.push(format!("{op:?} is left writable"));
        }
    }
    if simulate("/tmp/own", &table) != Access::Write {
        found.push("the temporary directory is not writable".into());
    }
    found
}

const KINDS: [Rule; 5] = [
    Rule::DenyRead,
    Rule::AllowRead,
    Rule::AllowWrite,
    Rule::DenyWrite,
    Rule::Protected,
];

#[test]
fn policy_and_plan_agree_with_the_oracle_and_every_step_is_needed() {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let mut steps = 0;
    for round in 0..3_000 {
        let tree = tree(&mut chance, "/w", &["a", "b", "c", "x.pem"]);
        let rules = rules(&mut chance, &tree, &KINDS);
        let policy = policy(&tree, &rules);
        for path in tree.keys() {
            let said = policy.files.access(path.as_bytes());
            assert_eq!(
                said,
                oracle(path, &rules),
                "round {round}, {path}: {rules:?}"
            );
        }
        let ops = plan(&policy);
        let found = disagreements(&tree, &rules, &ops);
        assert!(
            found.is_empty(),
            "round {round}: {found:?}\n{rules:?}\n{ops:?}"
        );
        // Were any step left out, it would be seen: no step too many, and an oracle
        // that can fail.
        for at in 1..ops.len() {
            if matches!(ops[at], Op::Devices | Op::Processes) {
                continue;
            }
            let mut without = ops.clone();
            without.remove(at);
            assert!(
                !disagreements(&tree, &rules, &without).is_empty(),
                "round {round}: {:?} changes nothing\n{rules:?}\n{ops:?}",
                ops[at]
            );
            steps += 1;
        }
    }
    assert!(steps > 5_000, "{steps}");
}

/// Prints, for every path of its arguments, whether it can be read and written.
const PROBE: &str = r#"
import os, sys
def attempt(what):
    try: return bool(what())
    except OSError: return False
def make(path):
    probe = os.path.join(path, "probe")
    os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    os.unlink(probe)
    return True
for path in sys.argv[1:]:
    kind, path = path[0], path[1:]
    if kind == "d":
        read = attempt(lambda: "f" in os.listdir(path))
        write = attempt(lambda: make(path))
    else:
        read = attempt(lambda: open(path).read() == "content")
        write = attempt(lambda: os.close(os.open(path, os.O_RDWR)) is None)
    print("Write" if write else "Read" if read else "Hidden")
"#;

/// Whether `rule` stands in the settings `json` for a path that is `path` or above it; or
/// says that none does, or why a name is always denied.
fn names_a_rule(rule: &str, path: &str, json: &str, tree: &Tree) -> bool {
    let Some((list, index)) = rule
        .strip_prefix("filesystem.")
        .and_then(|rest| rest.strip_suffix(']'))
        .and_then(|rest| rest.split_once('['))
    else {
        let reasons = ["no rule allows it", "no rule denies it"];
        let always = [".bashrc", ".vscode"]
            .iter()
            .any(|name| path.contains(name));
        return reasons.contains(&rule)
            || always && rule.contains(" from it")
            || rule.contains(" runs it");
    };
    let start = json.find(&format!("\"{list}\": [")).unwrap();
    let entries = json[start..]
        .split_once('[')
        .unwrap()
        .1
        .split_once(']')
        .unwrap()
        .0;
    let entry = entries.split(", ").nth(index.parse().unwrap()).unwrap();
    let entry = entry.trim_matches('"');
    tree.contains_key(entry) && lies_in(path, entry)
}

/// A policy of `rules` as the kernel holds it, and as it is explained: `lay` makes the tree
/// and the rules below the directory that it is given.
fn ask_the_kernel(who: Who, round: usize, lay: impl FnOnce(&str) -> (Tree, Rules)) {
    let scratch = Scratch::new();
    scratch.file("probe.py", PROBE);
    let root = scratch.path("t").to_str().unwrap().to_owned();
    let (tree, rules) = lay(&root);
    // Always-denied names below what may be written.
    let roots: Vec<&String> = rules
        .iter()
        .filter(|(_, rule)| *rule == Rule::AllowWrite)
        .map(|(path, _)| path)
        .collect();
    let denied = tree.keys().filter(|path| {
        let name = path.rsplit('/').next().unwrap();
        matches!(name, ".bashrc" | ".vscode")
            && roots
                .iter()
                .any(|root| path.starts_with(&format!("{root}/")))
    });
    let denied: Rules = denied.map(|path| (path.clone(), Rule::Protected)).collect();
    let expected = [rules.clone(), denied].concat();
    for (path, kind) in &tree {
        let name = path
            .strip_prefix(scratch.path("").to_str().unwrap())
            .unwrap();
        match kind {
            Kind::Directory => drop(scratch.dir(name.trim_start_matches('/'))),
            _ => drop(scratch.file(name.trim_start_matches('/'), "content")),
        }
    }
    let list = |wanted: Rule| {
        let named = rules.iter().filter(|(_, rule)| *rule == wanted);
        named
            .map(|(path, _)| format!("{path:?}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let json = format!(
        r#"{{"filesystem": {{"denyRead": [{}], "allowRead": [{}], "allowWrite": [{}], "denyWrite": [{}]}}}}"#,
        list(Rule::DenyRead),
        list(Rule::AllowRead),
        list(Rule::AllowWrite),
        list(Rule::DenyWrite)
    );
    let mut command = srt(who, &scratch.path(""));
    command
        .arg("-s")
        .arg(scratch.policy(&json))
        .args(["python3", "probe.py"]);
    for (path, kind) in &tree {
        let letter = if *kind == Kind::Directory { "d" } else { "f" };
        command.arg(format!("{letter}{path}"));
    }
    let out = finish(command);
    assert_status(&out, 0);
    for (path, said) in tree.keys().zip(text(&out.stdout).lines()) {
        let wanted = format!("{:?}", oracle(path, &expected));
        assert_eq!(said, wanted, "round {round} as {who:?}, {path}: {json}");
    }
    // What is explained is what the kernel does, and a denial names its rule.
    for (action, held) in [("read", &["Hidden"][..]), ("write", &["Hidden", "Read"])] {
        let mut command = srt(who, &scratch.path(""));
        command.arg("-s").arg(scratch.policy(&json));
        command.args(["--explain", action]).args(tree.keys());
        let explained = finish(command);
        let denied = text(&out.stdout).lines().any(|said| held.contains(&said));
        assert_status(&explained, i32::from(denied));
        let explained = text(&explained.stdout);
        assert_eq!(explained.lines().count(), tree.len());
        for ((path, said), line) in tree
            .keys()
            .zip(text(&out.stdout).lines())
            .zip(explained.lines())
        {
            let word = if held.contains(&said) {
                "denied"
            } else {
                "allowed"
            };
            let begin = format!("{path}: {word}: ");
            assert!(line.starts_with(&begin), "{line}, but {said}: {json}");
            let rule = &line[begin.len()..];
            assert!(names_a_rule(rule, path, &json, &tree), "{line}: {json}");
        }
    }
    // What was probed is as it was: nothing was left, nothing moved.
    assert!(fs::metadata(&root).is_ok());
}

#[test]
fn a_sample_of_policies_is_asked_of_the_kernel() {
    let mut chance = Chance(0x2545_f491_4f6c_dd1d);
    for who in everyone() {
        for round in 0..25 {
            ask_the_kernel(who, round, |root| {
                let names = ["a", "b", "c", "x.pem", ".bashrc", ".vscode"];
                let tree = tree(&mut chance, root, &names);
                let rules = rules(&mut chance, &tree, &KINDS[..4]);
                (tree, rules)
            });
        }
    }
}

/// Four directories, each in the one before, and beside them one whose name begins alike;
/// every one has a file `f` in it.
fn chain(root: &str) -> (Tree, [String; 4]) {
    let levels = ["", "/a", "/a/b", "/a/b/c"].map(|below| format!("{root}{below}"));
    let mut tree = Tree::new();
    for directory in levels.iter().chain([&format!("{root}/ab")]) {
        tree.insert(directory.clone(), Kind::Directory);
        tree.insert(format!("{directory}/f"), Kind::File);
    }
    (tree, levels)
}

/// All there is to say of four directories: each bit of `number` is one of the four rules
/// of one of them.
const WORLDS: usize = 1 << 16;

fn world(levels: &[String; 4], number: usize) -> Rules {
    let bits = (0..16).filter(|bit| number >> bit & 1 == 1);
    bits.map(|bit| (levels[bit / 4].clone(), KINDS[bit % 4]))
        .collect()
}

#[test]
fn every_policy_of_four_directories_is_the_oracles_and_so_is_its_plan() {
    let (tree, levels) = chain("/w");
    let mut answers = BTreeSet::new();
    for number in 0..WORLDS {
        let rules = world(&levels, number);
        let policy = policy(&tree, &rules);
        for path in tree.keys() {
            let said = policy.files.access(path.as_bytes());
            assert_eq!(said, oracle(path, &rules), "{path}: {rules:?}");
        }
        let ops = plan(&policy);
        let found = disagreements(&tree, &rules, &ops);
        assert!(found.is_empty(), "{found:?}\n{rules:?}\n{ops:?}");
        answers.insert(levels.each_ref().map(|path| oracle(path, &rules)));
    }
    // Three answers for each of four directories, save the nine in which one is writable
    // below one that is not, in one that is: what denyWrite takes, nothing gives back.
    assert_eq!(answers.len(), 81 - 9);
}

#[test]
fn the_order_in_which_rules_are_written_changes_nothing() {
    let (tree, levels) = chain("/w");
    for number in 0..256 {
        let rules: Rules = (0..4)
            .map(|level| (levels[level].clone(), KINDS[number >> (2 * level) & 3]))
            .collect();
        let ops = plan(&policy(&tree, &rules));
        for order in 0..24 {
            // The numbers below 4! as permutations: which of those left comes next.
            let mut left = rules.clone();
            let written = [order / 6, order / 2 % 3, order % 2, 0]
                .map(|next| left.remove(next))
                .to_vec();
            assert_eq!(plan(&policy(&tree, &written)), ops, "{written:?}");
        }
    }
}

#[test]
fn a_sample_of_all_policies_of_four_directories_is_asked_of_the_kernel() {
    let mut chance = Chance(0x6c62_272e_07bb_0142);
    for who in everyone() {
        for _ in 0..20 {
            let number = chance.below(WORLDS);
            ask_the_kernel(who, number, |root| {
                let (tree, levels) = chain(root);
                let rules = world(&levels, number);
                (tree, rules)
            });
        }
    }
}
