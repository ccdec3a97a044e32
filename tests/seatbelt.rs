//! The macOS profile, read back and asked. Nothing here needs macOS, and nothing of it was
//! run there.

#[path = "support/chance.rs"]
mod chance;
#[path = "support/sbpl.rs"]
mod sbpl;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use chance::Chance;
use sandbox_runtime::args::{self, Action, Mode, Platform};
use sandbox_runtime::emit::seatbelt::regex::{self, Below, Case};
use sandbox_runtime::emit::seatbelt::text::literal;
use sandbox_runtime::emit::seatbelt::{Mac, profile};
use sandbox_runtime::parse::glob::{Glob, PathPattern, denied_pattern, path_pattern};
use sandbox_runtime::parse::settings::{Settings, settings};
use sandbox_runtime::policy::compare::more;
use sandbox_runtime::policy::explain::{self, Act, Decision};
use sandbox_runtime::policy::files::{Access, Entry, Files, Kind, Rule, covers, parent};
use sandbox_runtime::policy::protected::{last, reason};
use sandbox_runtime::policy::{Facts, Found, Pattern, Place, Policy, Resolved};
use sbpl::{Profile, Question, Regex, Value};

/// A rule as the settings have it: a path that is there or is to be held, or a pattern.
type Said = (String, Rule);

/// A policy, what it was made of, and every path that is asked about.
struct Sample {
    settings: Settings,
    rules: Vec<Said>,
    /// What is there.
    tree: BTreeMap<String, Kind>,
    /// What might be made besides.
    more: BTreeSet<String>,
    sockets: Vec<String>,
}

fn pattern(text: &str) -> Option<Glob> {
    match path_pattern(text) {
        Ok(PathPattern::Glob(glob)) => Some(glob),
        _ => None,
    }
}

/// The same in a deny list.
fn denied(text: &str) -> Option<Glob> {
    match denied_pattern(text) {
        Ok(PathPattern::Glob(glob)) => Some(glob),
        _ => None,
    }
}

fn names<'a>(base: &str, path: &'a str) -> Option<impl Iterator<Item = &'a [u8]>> {
    let rest = path.strip_prefix(base.trim_end_matches('/'))?;
    let rest = rest.strip_prefix('/')?;
    Some(rest.split('/').map(str::as_bytes))
}

fn matches(glob: &Glob, path: &str) -> bool {
    names(&glob.base, path).is_some_and(|names| glob.matches(names))
}

/// Why a name below a writable root is always denied, if it is.
fn always(root: &str, path: &str) -> Option<&'static str> {
    let inside = covers(root.as_bytes(), path.as_bytes()) && root != path;
    let above = last(parent(path.as_bytes())?).to_vec();
    let name = last(path.as_bytes());
    if inside && above == b".git" && matches!(name, b"hooks" | b"config") {
        return Some("git");
    }
    reason(&above, name, Kind::File).filter(|_| inside && name != b".git")
}

impl Sample {
    /// The facts, were all of `paths` there.
    fn facts(&self, paths: &BTreeMap<String, Kind>) -> Facts {
        let place = |path: &str, kind: Kind| Place::Exists {
            path: path.into(),
            kind,
            hold: None,
        };
        let mut rules = Vec::new();
        let mut patterns = Vec::new();
        let mut roots = Vec::new();
        for (index, (text, rule)) in self.rules.iter().enumerate() {
            let key = format!("{rule:?}[{index}]");
            let mut add = |path: &str, place: Place| {
                if *rule == Rule::AllowWrite {
                    roots.push(path.to_owned());
                }
                rules.push(Resolved {
                    key: key.clone(),
                    rule: *rule,
                    place,
                    links: Vec::new(),
                });
            };
            match pattern(text) {
                None => match paths.get(text) {
                    Some(kind) => add(text, place(text, *kind)),
                    None => add(
                        text,
                        Place::Absent {
                            above: parent(text.as_bytes()).unwrap().to_vec(),
                            name: last(text.as_bytes()).to_vec(),
                            wanted: text.clone().into(),
                        },
                    ),
                },
                Some(glob) => {
                    let matching = paths.iter().filter(|(path, _)| matches(&glob, path));
                    matching.for_each(|(path, kind)| add(path, place(path, *kind)));
                    let base = glob.base.clone().into_bytes();
                    let kind = match paths.contains_key(&glob.base) || glob.base == "/" {
                        true => Kind::Directory,
                        false => Kind::Absent,
                    };
                    patterns.push(Pattern {
                        key,
                        rule: *rule,
                        base,
                        kind,
                        glob,
                    });
                }
            }
        }
        let mut found = Vec::new();
        for (path, kind) in paths {
            if let Some(reason) = roots.iter().find_map(|root| always(root, path)) {
                found.push(Found {
                    path: path.clone().into(),
                    kind: *kind,
                    hold: None,
                    reason,
                });
            }
        }
        let socket = |(index, path): (usize, &String)| Resolved {
            key: format!("network.allowUnixSockets[{index}]"),
            rule: Rule::Pinned,
            place: place(path, Kind::File),
            links: Vec::new(),
        };
        Facts {
            rules,
            patterns,
            found,
            sockets: self.sockets.iter().enumerate().map(socket).collect(),
            directory: b"/".to_vec(),
            temporary: self.temporary().into(),
            ..Facts::default()
        }
    }

    fn temporary(&self) -> String {
        let root = self.tree.keys().next().unwrap();
        format!("{}/own", root.trim_end_matches("/w"))
    }

    fn policy(&self) -> Policy {
        Policy::new(&self.settings, &self.facts(&self.tree)).unwrap()
    }

    /// The same, were everything there that is asked about.
    fn expected(&self) -> Policy {
        let mut all = self.tree.clone();
        let new = self.more.iter().map(|path| (path.clone(), Kind::Absent));
        all.extend(new);
        all.values_mut().for_each(|kind| {
            if *kind == Kind::Absent {
                *kind = Kind::File;
            }
        });
        let mut facts = self.facts(&all);
        // Of a path that is only to be held, the rule holds as well.
        for rule in &mut facts.rules {
            if let Place::Absent { wanted, .. } = &rule.place {
                rule.place = Place::Exists {
                    path: wanted.clone(),
                    kind: Kind::File,
                    hold: None,
                };
            }
        }
        Policy::new(&self.settings, &facts).unwrap()
    }

    /// Whether patterns both hide and show, at depths that vary: then the profile may hide
    /// more than the policy.
    fn may_hide_more(&self) -> bool {
        let of = |wanted: Rule| {
            let rules = self.rules.iter().filter(move |(_, rule)| *rule == wanted);
            rules.filter(|(text, _)| pattern(text).is_some())
        };
        let (deny, allow) = (of(Rule::DenyRead), of(Rule::AllowRead));
        let wide = of(Rule::DenyRead).chain(of(Rule::AllowRead));
        deny.count() > 0
            && allow.count() > 0
            && wide.into_iter().any(|(text, _)| text.contains("**"))
    }
}

/// Names that rules and questions are made of.
const NAMES: [&str; 9] = [
    "a", "b", "c", "x.pem", "y.pem", ".bashrc", ".vscode", ".git", "hooks",
];

fn generated(chance: &mut Chance) -> Sample {
    let root = *chance.pick(&["/w", "/w", "/private/tmp/w", "/private/var/w"]);
    let mut tree = BTreeMap::from([(root.to_owned(), Kind::Directory)]);
    for _ in 0..14 {
        let directories: Vec<String> = tree
            .iter()
            .filter(|(path, kind)| {
                **kind == Kind::Directory && path[root.len()..].matches('/').count() < 4
            })
            .map(|(path, _)| path.clone())
            .collect();
        let path = format!("{}/{}", chance.pick(&directories), chance.pick(&NAMES));
        let kind = match path.ends_with(".bashrc") || chance.below(3) == 0 {
            true => Kind::File,
            false => Kind::Directory,
        };
        tree.entry(path).or_insert(kind);
    }
    let mut more = BTreeSet::new();
    for (path, kind) in &tree {
        if *kind == Kind::Directory {
            for name in ["f", "new/x.pem", NAMES[chance.below(NAMES.len())]] {
                let path = format!("{path}/{name}");
                let nothing = |path: &str| !tree.contains_key(path);
                // What lies below a file is nothing.
                let above = String::from_utf8(parent(path.as_bytes()).unwrap().to_vec()).unwrap();
                if nothing(&path) && tree.get(&above) != Some(&Kind::File) {
                    if nothing(&above) {
                        more.insert(above);
                    }
                    more.insert(path);
                }
            }
        }
    }
    let kinds = [
        Rule::DenyRead,
        Rule::DenyRead,
        Rule::AllowRead,
        Rule::AllowWrite,
        Rule::AllowWrite,
        Rule::DenyWrite,
    ];
    let paths: Vec<String> = tree.keys().cloned().collect();
    let mut rules = Vec::new();
    for _ in 0..1 + chance.below(6) {
        let rule = *chance.pick(&kinds);
        let base = chance.pick(&paths).clone();
        let end = *chance.pick(&[
            "*.pem", "a*", "[ab]", "?", "*/b", "**/c", "**/*.pem", "**/a/b", "*/*",
        ]);
        let text = match chance.below(3) {
            0 if tree[&base] == Kind::Directory => format!("{base}/{end}"),
            _ => base,
        };
        rules.push((text, rule));
    }
    let absent = format!("{}/absent", chance.pick(&paths));
    if tree.get(absent.trim_end_matches("/absent")) == Some(&Kind::Directory)
        && chance.below(2) == 0
    {
        rules.push((absent.clone(), Rule::DenyWrite));
        more.insert(absent);
    }
    let sockets = match chance.below(3) {
        0 => vec![
            paths[chance.below(paths.len())].clone(),
            "/private/tmp/s".into(),
        ],
        _ => Vec::new(),
    };
    let ports = [
        "",
        r#", "allowHostPorts": [4000, 53]"#,
        r#", "publishPorts": [5000]"#,
    ];
    let binding = *chance.pick(&["false", "true"]);
    let unix = match (sockets.is_empty(), chance.below(3)) {
        (false, _) => r#", "allowUnixSockets": ["/x"]"#,
        (true, 0) => r#", "allowAllUnixSockets": true"#,
        (true, _) => "",
    };
    let json = format!(
        r#"{{"network": {{"allowLocalBinding": {binding}{}{unix}}}}}"#,
        chance.pick(&ports)
    );
    Sample {
        settings: settings(json.as_bytes()).unwrap(),
        rules,
        tree,
        more,
        sockets,
    }
}

fn mac() -> Mac {
    Mac {
        tag: "TAG".into(),
        proxies: vec![7001],
        ..Mac::default()
    }
}

fn made(policy: &Policy, mac: &Mac) -> String {
    profile(policy, mac).unwrap()
}

/// The spellings of a path of the tests.
fn spelled(path: &str) -> Vec<String> {
    let mut all = vec![path.to_owned()];
    for (name, real) in [("/tmp", "/private/tmp"), ("/var", "/private/var")] {
        if covers(real.as_bytes(), path.as_bytes()) {
            all.push(path.replacen(real, name, 1));
        }
    }
    all
}

/// Everything in which a profile is not what the policy says; and how often it was asked.
fn disagreements(case: &Sample, now: &Policy, read: &Profile) -> (Vec<String>, usize, usize) {
    let expected = case.expected();
    let mut wrong = Vec::new();
    let (mut asked, mut deletes) = (0, 0);
    let mut denied_now: Vec<&[u8]> = Vec::new();
    for (path, rule, _) in now.files.rules() {
        if matches!(rule, Rule::DenyRead | Rule::DenyWrite | Rule::Protected) {
            denied_now.push(path);
        }
    }
    let bases: Vec<&[u8]> = now
        .patterns
        .iter()
        .filter(|p| matches!(p.rule, Rule::DenyRead | Rule::DenyWrite))
        .map(|p| p.base.as_slice())
        .collect();
    let is_root = |path: &str| {
        let around = parent(path.as_bytes()).map(|above| now.files.access(above));
        let rules = now.files.rules();
        let mut here = rules.filter(|(at, _, _)| *at == path.as_bytes());
        around != Some(Access::Write)
            && here.any(|(_, rule, _)| {
                matches!(rule, Rule::AllowWrite | Rule::AllowRead | Rule::Temporary)
            })
    };
    let stays = |path: &str| {
        denied_now
            .iter()
            .chain(&bases)
            .any(|denied| covers(path.as_bytes(), denied))
            || is_root(path)
    };
    let own = case.temporary();
    let own = [own.clone(), format!("{own}/x"), format!("{own}/.bashrc")];
    let all = case.tree.keys().chain(&case.more).chain(&own);
    let shown_again = now.files.rules().any(|(path, rule, _)| {
        let around = parent(path).map(|above| now.files.access(above));
        rule == Rule::AllowRead && around == Some(Access::Hidden)
    });
    for path in all {
        let access = expected.files.access(path.as_bytes());
        let explained = |act: Act| {
            let decision = explain::file(&expected.files, act, path.as_bytes());
            matches!(decision, Decision::Allowed(_))
        };
        if case.tree.contains_key(path) && now.files.access(path.as_bytes()) != access {
            wrong.push(format!(
                "{path}: the test expects another access than the policy"
            ));
        }
        for at in spelled(path) {
            let mut ask = |operation: &str, vnode: &str, wanted: bool| {
                asked += 1;
                let said = read.allows(&Question {
                    operation,
                    path: at.as_bytes(),
                    vnode,
                    ..Question::default()
                });
                let stricter = wanted && !said && case.may_hide_more();
                if said != wanted && !stricter {
                    wrong.push(format!("{operation} {at} is {said}, and {access:?}"));
                }
                said
            };
            let writes = access == Access::Write;
            ask("file-read-data", "REGULAR-FILE", explained(Act::Read));
            ask("file-read-xattr", "REGULAR-FILE", access != Access::Hidden);
            ask("file-write-data", "REGULAR-FILE", explained(Act::Write));
            ask("file-write-mode", "REGULAR-FILE", writes);
            let moves = ask("file-write-unlink", "REGULAR-FILE", writes && !stays(path));
            ask("file-write-create", "REGULAR-FILE", writes && !stays(path));
            deletes += usize::from(moves);
            if shown_again && access != Access::Hidden {
                for above in std::iter::successors(parent(at.as_bytes()), |p| parent(p)) {
                    let above = Question {
                        operation: "file-read-metadata",
                        path: above,
                        vnode: "DIRECTORY",
                        ..Question::default()
                    };
                    if !read.allows(&above) {
                        wrong.push(format!(
                            "on the way to {at}, a directory cannot be looked at"
                        ));
                    }
                }
            }
            // What is denied is not moved away, whatever the expectation above says.
            if case.tree.contains_key(path) && access != Access::Write {
                for above in std::iter::successors(Some(at.as_bytes()), |p| parent(p)) {
                    for operation in ["file-write-unlink", "file-write-create"] {
                        asked += 1;
                        let question = Question {
                            operation,
                            path: above,
                            vnode: "DIRECTORY",
                            ..Question::default()
                        };
                        let denied = now.files.access(path.as_bytes()) == Access::Hidden
                            || denied_now.iter().any(|d| covers(d, path.as_bytes()));
                        if denied && read.allows(&question) {
                            let above = String::from_utf8_lossy(above);
                            wrong.push(format!("{operation} {above}, with {at} in it"));
                        }
                    }
                }
            }
        }
    }
    asked += network(case, now, read, &mut wrong);
    (wrong, asked, deletes)
}

fn network(case: &Sample, now: &Policy, read: &Profile, wrong: &mut Vec<String>) -> usize {
    use sandbox_runtime::parse::settings::{Switch, UnixSockets};
    let local = now.mac.local_binding == Switch::On;
    let mut asked = 0;
    for port in [53, 80, 443, 853, 4000, 5000, 7001, 7002] {
        for loopback in [true, false] {
            for operation in ["network-bind", "network-inbound", "network-outbound"] {
                let proxy = loopback && port == 7001;
                let wanted = match operation {
                    "network-outbound" => {
                        let opened = local && ![53, 853].contains(&port);
                        loopback && (proxy || opened || now.ports.host.contains(&port))
                    }
                    _ => local || proxy || loopback && now.ports.published.contains(&port),
                };
                asked += 1;
                let said = read.allows(&Question {
                    operation,
                    ip: Some((loopback, port)),
                    ..Question::default()
                });
                if said != wanted {
                    wrong.push(format!("{operation} {loopback} {port} is {said}"));
                }
            }
        }
    }
    let sockets = case.sockets.iter().cloned();
    let below = case.sockets.iter().map(|path| format!("{path}/s"));
    let others = [
        "/private/var/run/mDNSResponder",
        "/w",
        "/x",
        "/private/tmp/other",
    ];
    for path in sockets.chain(below).chain(others.map(String::from)) {
        let decision = explain::socket(now.unix_sockets, &now.sockets, path.as_bytes());
        let wanted = matches!(decision, Decision::Allowed(_));
        for at in spelled(&path) {
            for operation in ["network-outbound", "network-bind"] {
                asked += 1;
                let said = read.allows(&Question {
                    operation,
                    unix: Some(at.as_bytes()),
                    ..Question::default()
                });
                if said != wanted {
                    wrong.push(format!("{operation} {at} is {said}"));
                }
            }
        }
    }
    let domain = |name: &str| {
        read.allows(&Question {
            operation: "system-socket",
            name,
            ..Question::default()
        })
    };
    if domain("AF_UNIX") != (now.unix_sockets != UnixSockets::None) || domain("AF_INET") {
        wrong.push("sockets of the wrong families".into());
    }
    asked
}

#[test]
fn what_is_generated_is_what_the_policy_says() {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let (mut asked, mut deleted, mut exact) = (0, 0, 0);
    for round in 0..1_000 {
        let case = generated(&mut chance);
        let policy = case.policy();
        let text = made(&policy, &mac());
        let read = sbpl::profile(&text).unwrap();
        let (wrong, questions, deletes) = disagreements(&case, &policy, &read);
        assert!(
            wrong.is_empty(),
            "round {round}: {wrong:#?}\n{:?}\n{:?}",
            case.rules,
            case.tree
        );
        asked += questions;
        deleted += deletes;
        exact += usize::from(!case.may_hide_more());
    }
    assert!(asked > 100_000, "{asked}");
    assert!(deleted > 3_000, "{deleted}");
    assert!(exact > 900, "{exact}");
}

/// A sample of these rules over a tree.
fn sample(json: &str, rules: &[(&str, Rule)], tree: &[(&str, Kind)]) -> Sample {
    Sample {
        settings: settings(json.as_bytes()).unwrap(),
        rules: rules
            .iter()
            .map(|(text, rule)| ((*text).to_owned(), *rule))
            .collect(),
        tree: tree
            .iter()
            .map(|(path, kind)| ((*path).to_owned(), *kind))
            .collect(),
        more: BTreeSet::new(),
        sockets: Vec::new(),
    }
}

const D: Kind = Kind::Directory;
const F: Kind = Kind::File;

/// A tree that most samples have.
const HOME: &[(&str, Kind)] = &[
    ("/Users/me", D),
    ("/Users/me/.ssh", D),
    ("/Users/me/.ssh/id", F),
    ("/Users/me/.ssh/known_hosts", F),
    ("/Users/me/w", D),
    ("/Users/me/w/.bashrc", F),
    ("/Users/me/w/.env", F),
    ("/Users/me/w/out", D),
    ("/Users/me/w/src", D),
    ("/Users/me/w/src/a.ts", F),
    ("/Users/me/w/src/key.pem", F),
    ("/private/tmp", D),
];

fn files(read: &Profile, operation: &str, path: &str) -> bool {
    read.allows(&Question {
        operation,
        path: path.as_bytes(),
        vnode: "REGULAR-FILE",
        ..Question::default()
    })
}

fn reader(sample: &Sample, mac: &Mac) -> Profile {
    sbpl::profile(&made(&sample.policy(), mac)).unwrap()
}

#[test]
fn tables_of_paths() {
    let ours = sample(
        "{}",
        &[
            ("/Users/me/.ssh", Rule::DenyRead),
            ("/Users/me/.ssh/known_hosts", Rule::AllowRead),
            ("/Users/me/w", Rule::AllowWrite),
            ("/private/tmp", Rule::AllowWrite),
            ("/Users/me/w/.env", Rule::DenyWrite),
            ("/Users/me/w/absent", Rule::DenyWrite),
            ("/Users/me/w/**/*.pem", Rule::DenyWrite),
            ("/Users/me/w/gen/*.Key", Rule::DenyWrite),
        ],
        HOME,
    );
    let read = reader(&ours, &mac());
    for (operation, path, allowed) in [
        ("file-read-data", "/usr/lib/x", true),
        ("file-read-data", "/Users/me/.ssh", false),
        ("file-read-data", "/Users/me/.ssh/id", false),
        ("file-read-metadata", "/Users/me/.ssh/id", false),
        ("file-read-data", "/Users/me/.sshx", true),
        ("file-read-data", "/Users/me/.ssh/known_hosts", true),
        ("file-write-data", "/Users/me/.ssh/known_hosts", false),
        ("file-write-data", "/etc/hosts", false),
        ("file-write-create", "/Users/me/w/new", true),
        ("file-write-unlink", "/Users/me/w/src/a.ts", true),
        ("file-write-create", "/tmp/x", true),
        ("file-write-create", "/private/tmp/x", true),
        ("file-write-data", "/Users/me/w/.env", false),
        ("file-write-unlink", "/Users/me/w/.env", false),
        // The root itself stays, and what lies above what is denied in it.
        ("file-write-unlink", "/Users/me/w", false),
        ("file-write-create", "/Users/me/w", false),
        ("file-write-unlink", "/Users/me/w/src", false),
        ("file-write-mode", "/Users/me/w/src", true),
        // What is not there yet, in whatever spelling.
        ("file-write-create", "/Users/me/w/absent", false),
        ("file-write-create", "/Users/me/w/ABSENT", false),
        ("file-write-create", "/Users/me/w/Absent/x", false),
        ("file-write-create", "/Users/me/w/absentee", true),
        ("file-write-create", "/Users/me/w/new.pem", false),
        ("file-write-create", "/Users/me/w/src/deep/new.PEM", false),
        ("file-write-create", "/Users/me/w/GEN/my.kEY", false),
        ("file-write-create", "/Users/me/w/gen/my.keys", true),
        ("file-write-create", "/Users/me/w/.BashRC", false),
        ("file-write-create", "/Users/me/w/deep/.zshrc", false),
        ("file-write-create", "/Users/me/w/.VSCode/tasks.json", false),
        ("file-write-create", "/Users/me/w/.vscodex", true),
        ("file-write-create", "/Users/me/w/.claude/commands/x", false),
        ("file-write-create", "/Users/me/w/.claude/x", true),
        ("file-write-create", "/Users/me/w/x/.git", true),
        ("file-write-create", "/Users/me/w/x/.git/HEAD", true),
        (
            "file-write-create",
            "/Users/me/w/x/.git/refs/heads/config",
            true,
        ),
        ("file-write-create", "/Users/me/w/x/.git/config", false),
        ("file-write-create", "/Users/me/w/x/.git/config.lock", true),
        (
            "file-write-create",
            "/Users/me/w/x/.git/hooks/pre-commit",
            false,
        ),
        (
            "file-write-create",
            "/Users/me/w/.git/modules/y/hooks/x",
            false,
        ),
        ("file-write-create", "/Users/me/own/.bashrc", true),
    ] {
        assert_eq!(files(&read, operation, path), allowed, "{operation} {path}");
    }
    let kept = Mac {
        case: Case::Kept,
        ..mac()
    };
    let read = reader(&ours, &kept);
    assert!(!files(&read, "file-write-create", "/Users/me/w/.bashrc"));
    for path in [".BashRC", "ABSENT", "a.PEM", "GEN/my.key"] {
        let path = format!("/Users/me/w/{path}");
        assert!(files(&read, "file-write-create", &path), "{path}");
    }
    // Git's configuration, if it may be written.
    let json = r#"{"filesystem": {"allowGitConfig": true}}"#;
    let git = sample(json, &[("/Users/me/w", Rule::AllowWrite)], HOME);
    let read = reader(&git, &mac());
    assert!(files(&read, "file-write-create", "/Users/me/w/.git/config"));
    assert!(!files(
        &read,
        "file-write-create",
        "/Users/me/w/.git/hooks/x"
    ));
    assert!(!files(
        &read,
        "file-write-create",
        "/Users/me/w/.git/commondir"
    ));
    // The user's own temporary directory, where it is asked for.
    let own = |user_temporary: Option<&str>| {
        let read = reader(
            &sample("{}", &[], HOME),
            &Mac {
                user_temporary: user_temporary.map(Into::into),
                ..mac()
            },
        );
        [
            "/var/folders/ab/c/T/x",
            "/private/var/folders/ab/c/C/x",
            "/private/var/folders/ab/c",
        ]
        .map(|path| files(&read, "file-write-unlink", path))
    };
    assert_eq!(own(None), [false; 3]);
    assert_eq!(own(Some("/private/var/folders/ab/c")), [true, true, false]);
}

#[test]
fn tables_of_everything_else() {
    let asked = |json: &str| {
        let policy = sample(json, &[], HOME).policy();
        sbpl::profile(&made(&policy, &mac())).unwrap()
    };
    let plain = asked("{}");
    let all = asked(
        r#"{"allowPty": true, "allowMachLookup": ["org.x.One", "org.y.*", "com.apple.z", "com.*"], "allowAppleEvents": true,
            "enableWeakerNetworkIsolation": true, "network": {"httpProxyPort": 8080}}"#,
    );
    assert_eq!(plain.tag, b"TAG");
    for (operation, name, usual, opened) in [
        ("process-exec", "", true, true),
        ("process-fork", "", true, true),
        ("signal", "same-sandbox", true, true),
        ("signal", "others", false, false),
        ("process-info-pidinfo", "same-sandbox", true, true),
        ("process-info-pidinfo", "others", false, false),
        ("mach-priv-task-port", "others", false, false),
        ("mach-lookup", "com.apple.logd", true, true),
        ("mach-lookup", "com.apple.SecurityServer", true, true),
        ("mach-lookup", "com.apple.logd.admin", false, true),
        ("mach-lookup", "com.apple.trustd.agent", false, true),
        (
            "mach-lookup",
            "com.apple.coreservices.appleevents",
            false,
            true,
        ),
        ("mach-lookup", "org.x.One", false, true),
        ("mach-lookup", "org.x.One.more", false, false),
        ("mach-lookup", "org.y.anything", false, true),
        ("mach-register", "org.y.anything", false, true),
        ("mach-register", "com.apple.z", false, false),
        ("mach-register", "com.else", false, false),
        ("appleevent-send", "", false, true),
        ("lsopen", "", false, true),
        ("pseudo-tty", "", false, true),
        ("iokit-open", "IOSurfaceRootUserClient", true, true),
        ("iokit-open", "AppleKeyStoreUserClient", false, false),
        ("sysctl-read", "hw.ncpu", true, true),
        ("sysctl-read", "kern.proc.pid.12", true, true),
        ("sysctl-read", "kern.procargs2", false, false),
        ("sysctl-write", "kern.tcsm_enable", true, true),
        ("sysctl-write", "hw.ncpu", false, false),
        ("default", "", false, false),
    ] {
        let said = [&plain, &all].map(|read| {
            read.allows(&Question {
                operation,
                name,
                ..Question::default()
            })
        });
        assert_eq!(said, [usual, opened], "{operation} {name}");
    }
    for (operation, path, vnode, usual, opened) in [
        ("file-ioctl", "/dev/tty", "CHARACTER-DEVICE", true, true),
        ("file-ioctl", "/dev/disk0", "CHARACTER-DEVICE", false, false),
        (
            "file-write-data",
            "/dev/null",
            "CHARACTER-DEVICE",
            true,
            true,
        ),
        ("file-write-data", "/dev/null", "REGULAR-FILE", false, false),
        (
            "file-write-unlink",
            "/dev/null",
            "CHARACTER-DEVICE",
            false,
            false,
        ),
        (
            "file-write-data",
            "/dev/disk0",
            "CHARACTER-DEVICE",
            false,
            false,
        ),
        (
            "file-write-data",
            "/dev/ptmx",
            "CHARACTER-DEVICE",
            false,
            true,
        ),
        (
            "file-ioctl",
            "/dev/ttys003",
            "CHARACTER-DEVICE",
            false,
            true,
        ),
        (
            "file-write-data",
            "/dev/tty.usb",
            "CHARACTER-DEVICE",
            false,
            false,
        ),
    ] {
        let said = [&plain, &all].map(|read| {
            read.allows(&Question {
                operation,
                path: path.as_bytes(),
                vnode,
                ..Question::default()
            })
        });
        assert_eq!(said, [usual, opened], "{operation} {path} {vnode}");
    }
    // An external proxy is reached as our own is; without one, nothing is.
    let reached = |read: &Profile, port| {
        read.allows(&Question {
            operation: "network-outbound",
            ip: Some((true, port)),
            ..Question::default()
        })
    };
    assert!(reached(&all, 8080) && !reached(&plain, 8080));
    let policy = sample("{}", &[], HOME).policy();
    let none = Mac {
        proxies: Vec::new(),
        ..mac()
    };
    let none = sbpl::profile(&made(&policy, &none)).unwrap();
    assert!(!(1..=u16::MAX).any(|port| reached(&none, port)));
}

#[test]
fn the_root_itself_stays_readable() {
    let mut policy = sample("{}", &[("/Users/me/w", Rule::AllowWrite)], HOME).policy();
    let entry = |path: &str, rule| Entry {
        path: path.into(),
        kind: D,
        hold: None,
        rule,
        origin: "k".into(),
    };
    policy.files = Files::new([
        entry("/", Rule::DenyRead),
        entry("/usr", Rule::AllowRead),
        entry("/", Rule::AllowWrite),
    ]);
    let text = made(&policy, &mac());
    let read = sbpl::profile(&text).unwrap();
    for (path, allowed) in [
        ("/", true),
        ("/a", false),
        ("/usr", true),
        ("/usr/lib/x", true),
    ] {
        assert_eq!(files(&read, "file-read-data", path), allowed, "{path}");
        let hidden = files(&read, "file-write-data", path);
        assert_eq!(hidden, path.starts_with("/usr"), "{path}");
    }
    let without = sbpl::profile(&without(&text, "root")).unwrap();
    assert!(!files(&without, "file-read-data", "/"));
}

/// The profile without the groups of this name.
fn without(text: &str, group: &str) -> String {
    let marker = format!("; {group}: ");
    let mut out = String::new();
    let mut drops = false;
    for line in text.lines() {
        if line.starts_with("; ") {
            drops = line.starts_with(&marker);
        }
        if !drops {
            out += line;
            out.push('\n');
        }
    }
    out
}

#[test]
fn every_group_that_matters_is_missed() {
    let mut chance = Chance(0x2545_f491_4f6c_dd1d);
    let groups = [
        "network",
        "local binding",
        "name servers",
        "ports",
        "sockets",
        "reading",
        "hidden",
        "ways",
        "writing",
        "written blindly",
        "denied",
        "always denied",
        "temporary directory",
        "moves",
    ];
    let mut missed = BTreeSet::new();
    for _ in 0..60 {
        let sample = generated(&mut chance);
        let policy = sample.policy();
        let text = made(&policy, &mac());
        for group in groups {
            let mutant = without(&text, group);
            if mutant == text || missed.contains(group) {
                continue;
            }
            let read = sbpl::profile(&mutant).unwrap();
            if !disagreements(&sample, &policy, &read).0.is_empty() {
                missed.insert(group);
            }
        }
    }
    let all = BTreeSet::from(groups);
    assert_eq!(all.difference(&missed).collect::<Vec<_>>(), [&""; 0]);
    // Without the first, nothing is a profile.
    let text = made(&sample("{}", &[], HOME).policy(), &mac());
    assert!(sbpl::profile(&without(&text, "start")).is_err());
    // The order is the policy: what comes last decides.
    let ours = sample(
        "{}",
        &[
            ("/Users/me/w", Rule::AllowWrite),
            ("/Users/me/w/src", Rule::DenyWrite),
        ],
        HOME,
    );
    let text = made(&ours.policy(), &mac());
    let (before, denied) = text.split_at(text.find("; denied: ").unwrap());
    let (head, writing) = before.split_at(before.find("; writing: ").unwrap());
    let swapped = format!("{head}{denied}{writing}");
    let read = sbpl::profile(&swapped).unwrap();
    assert!(!disagreements(&ours, &ours.policy(), &read).0.is_empty());
}

#[test]
fn hostile_strings_stay_strings() {
    let mut chance = Chance(0x0123_4567_89ab_cdef);
    let pieces: [&[u8]; 14] = [
        b"\"",
        b"\\",
        b"\n",
        b"\r",
        b"\t",
        b"\x1b",
        b"\x7f",
        b"\xff",
        b"\xc3",
        "é".as_bytes(),
        "\u{85}".as_bytes(),
        b";",
        b"#\"",
        b")(allow default)",
    ];
    for _ in 0..20_000 {
        let count = chance.below(12);
        let text: Vec<u8> = (0..count)
            .flat_map(|_| chance.pick(&pieces).to_vec())
            .collect();
        let quoted = literal(&text, "k").unwrap();
        assert_eq!(
            sbpl::read(quoted.as_bytes()),
            Ok(vec![Value::Text(text)]),
            "{quoted}"
        );
        assert!(!quoted.contains('\n'));
    }
    // As paths of rules, in literals and in expressions.
    for hostile in [
        "a\")) (allow file-write* (subpath \"/\")) ; (",
        "back\\slash\\",
        "line\nbreak (allow default)",
        "\"",
        "quote\"*",
        "new\nline*",
        "tab\t?",
        "dollar$^.|+(){}[x]*",
    ] {
        let denied = format!("/Users/me/w/{hostile}");
        let ours = sample(
            "{}",
            &[
                ("/Users/me/w", Rule::AllowWrite),
                (&denied, Rule::DenyWrite),
            ],
            HOME,
        );
        let text = made(&ours.policy(), &mac());
        let read = sbpl::profile(&text).unwrap_or_else(|e| panic!("{hostile:?}: {e}\n{text}"));
        let named = denied
            .replace('*', "end")
            .replace('?', "!")
            .replace("[x]", "x");
        assert!(
            !files(&read, "file-write-create", &named),
            "{named}\n{text}"
        );
        assert!(files(&read, "file-write-create", "/Users/me/w/other"));
        assert!(!files(&read, "file-write-create", "/etc/x"));
    }
    let policy = sample("{}", &[], HOME).policy();
    let tag = Mac {
        tag: "\") (allow default) ;".into(),
        ..mac()
    };
    assert_eq!(
        sbpl::profile(&made(&policy, &tag)).unwrap().tag,
        tag.tag.as_bytes()
    );
}

#[test]
fn what_is_too_long_is_an_error_that_names_its_rule() {
    let fits = format!("/{}", "x".repeat(1_024));
    let long = format!("{fits}x");
    for (path, whole) in [(&fits, true), (&long, false)] {
        let ours = sample("{}", &[(path, Rule::DenyRead)], &[("/w", D), (path, F)]);
        match profile(&ours.policy(), &mac()) {
            Ok(text) => assert!(whole && sbpl::profile(&text).is_ok()),
            Err(problems) => {
                assert!(!whole && problems.len() == 1, "{problems:?}");
                assert!(problems[0].starts_with("DenyRead[0]: "), "{problems:?}");
            }
        }
    }
    let long = format!("/w/{}*", "x".repeat(300));
    for rule in [Rule::DenyRead, Rule::DenyWrite] {
        let ours = sample(
            "{}",
            &[("/w", Rule::AllowWrite), (&long, rule)],
            &[("/w", D)],
        );
        let problems = profile(&ours.policy(), &mac()).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0].starts_with(&format!("{rule:?}[1]: ")),
            "{problems:?}"
        );
        // A file system that keeps the case takes shorter ones.
        let kept = Mac {
            case: Case::Kept,
            ..mac()
        };
        assert!(profile(&ours.policy(), &kept).is_ok());
    }
    for set in ["/w/[!é]", "/w/[a-\u{4000}]"] {
        let ours = sample("{}", &[(set, Rule::DenyRead)], &[("/w", D)]);
        let problems = profile(&ours.policy(), &mac()).unwrap_err();
        assert!(problems[0].starts_with("DenyRead[0]: "), "{problems:?}");
    }
}

#[test]
fn expressions_are_what_the_patterns_are() {
    let written = |text: &str| {
        let glob = pattern(text).unwrap();
        let regex = |case: Case, below: Below| {
            let folded = match case {
                Case::Kept => glob.clone(),
                Case::Folded => glob.folded(),
            };
            let base = (glob.base.as_bytes(), Case::Kept);
            String::from_utf8(regex::regex(base, folded.parts(), case, below).unwrap()).unwrap()
        };
        [
            regex(Case::Kept, Below::Itself),
            regex(Case::Folded, Below::Everything),
        ]
    };
    for (text, kept, folded) in [
        (
            "/a/**/*.ts",
            r"^/a/(.*/)?[^/]*\.ts$",
            r"^/a/(.*/)?[^/]*\.[tT][sS](/.*)?$",
        ),
        ("/a/?b*", "^/a/[^/]b[^/]*$", "^/a/[^/][bB][^/]*(/.*)?$"),
        (
            "/a/*?*?x",
            "^/a/[^/][^/][^/]*x$",
            "^/a/[^/][^/][^/]*[xX](/.*)?$",
        ),
        (
            "/a.b/**/c/*",
            r"^/a\.b/(.*/)?c/[^/]*$",
            r"^/a\.b/(.*/)?[cC]/[^/]*(/.*)?$",
        ),
        ("/[!a-c^]", r"^/[^/a-c\^]$", r"^/[^/a-c\^A-C](/.*)?$"),
        ("/[+-9]", r"^/[+-.0-9]$", r"^/[+-.0-9](/.*)?$"),
        ("/[xé-ê]", "^/([x]|é|ê)$", "^/([xX]|é|ê)(/.*)?$"),
    ] {
        assert_eq!(written(text), [kept, folded], "{text}");
    }
    // Generated ones, against the matcher of the settings.
    let pieces = [
        "a", "B", "z", ".", "\\*", "é", "*", "*", "?", "[a-c]", "[!a-c]", "[A-Z_]", "[+-9]",
        "[]x-]", "[!]b]", "[é-ë]", "(", "$", "{", "+", "|",
    ];
    let units: [&[u8]; 20] = [
        b"a",
        b"A",
        b"b",
        b"B",
        b"z",
        b"Z",
        b".",
        b"*",
        "é".as_bytes(),
        "É".as_bytes(),
        b"-",
        b"]",
        b"x",
        b"(",
        b"$",
        b"+",
        b"5",
        b"\n",
        b"\xff",
        b"^",
    ];
    let mut chance = Chance(0xfeed_beef_dead_cafe);
    let (mut asked, mut matched) = (0, 0);
    while asked < 120_000 {
        let mut text = "/w".to_owned();
        for _ in 0..1 + chance.below(3) {
            text.push('/');
            if chance.below(4) == 0 {
                text += "**";
                continue;
            }
            for _ in 0..1 + chance.below(4) {
                text += *chance.pick(&pieces);
            }
        }
        let read = *chance.pick(&[pattern, denied]);
        let (Some(glob), Some(lower)) = (read(&text), read(&text.to_ascii_lowercase())) else {
            continue;
        };
        let base = (glob.base.as_bytes(), Case::Kept);
        let folded = glob.folded();
        let regex = |parts, case, below| {
            Regex::new(&regex::regex(base, parts, case, below).unwrap()).unwrap()
        };
        let kept = regex(glob.parts(), Case::Kept, Below::Itself);
        let below = regex(glob.parts(), Case::Kept, Below::Everything);
        let both = regex(folded.parts(), Case::Folded, Below::Itself);
        for _ in 0..60 {
            let mut names = vec![Vec::new()];
            for _ in 0..1 + chance.below(6) {
                if chance.below(4) == 0 && !names[names.len() - 1].is_empty() {
                    names.push(Vec::new());
                }
                let unit = chance.pick(&units).to_vec();
                names.last_mut().unwrap().extend(unit);
            }
            // What a name is spelled like.
            let spelled = text.strip_prefix(&format!("{}/", glob.base));
            if let (Some(spelled), 0) = (spelled, chance.below(8)) {
                names = spelled.split('/').map(|name| name.into()).collect();
            }
            let path = [glob.base.as_bytes(), b"/", &names.join(&b'/')].concat();
            let of = |glob: &Glob, names: &[Vec<u8>]| glob.matches(names.iter().map(Vec::as_slice));
            let small: Vec<Vec<u8>> = names.iter().map(|n| n.to_ascii_lowercase()).collect();
            let shown = String::from_utf8_lossy(&path);
            let matches = of(&glob, &names);
            assert_eq!(kept.matches(&path), matches, "{text} on {shown:?}");
            assert_eq!(
                both.matches(&path),
                of(&lower, &small),
                "{text} on {shown:?}, folded"
            );
            let any = (1..=names.len()).any(|to| of(&glob, &names[..to]));
            assert_eq!(below.matches(&path), any, "{text} on {shown:?}, and below");
            asked += 3;
            matched += usize::from(matches) + usize::from(any);
        }
    }
    assert!(matched > 2_000, "{matched}");
}

#[test]
fn the_reader_takes_nothing_that_it_does_not_know() {
    let good = "(version 1)\n(deny default (with message \"T\"))\n";
    assert!(sbpl::profile(good).is_ok());
    for bad in [
        "",
        "(version 2)(deny default (with message \"T\"))",
        "(version 1)",
        "(version 1)(allow default)",
    ] {
        assert!(sbpl::profile(bad).is_err(), "{bad}");
    }
    for rule in [
        "(allow)",
        "(allow default)",
        "(allow file-write-everything)",
        "(allow network*)",
        "(permit file-read*)",
        "(allow file-read* file-write* signal)",
        "(allow file-read* (literal \"a\"))",
        "(allow file-read* (subpath \"/a/\"))",
        "(allow file-read* (prefix \"/a\"))",
        "(allow file-read* (literal \"/a\" \"/b\"))",
        "(allow file-read* (remote ip \"*:*\"))",
        "(allow file-read* (vnode-type SOCKET))",
        "(allow file-read* (require-all))",
        "(allow file-read* \"/a\")",
        "(allow signal (literal \"/a\"))",
        "(allow signal (target others))",
        "(allow network-outbound (remote ip \"10.0.0.1:80\"))",
        "(allow network-outbound (remote ip \"localhost:x\"))",
        "(allow network-outbound (local unix-socket (subpath \"/a\")))",
        "(allow network-bind (remote ip \"*:*\"))",
        "(allow system-socket (socket-domain AF_INET))",
        "(allow file-read* (regex #\"a\"))",
        "(allow file-read* (regex #\"^(a\"))",
        "(allow file-read* (regex #\"^a)\"))",
        "(allow file-read* (regex #\"^a+\"))",
        "(allow file-read* (regex #\"^a{2}\"))",
        "(allow file-read* (regex #\"^*\"))",
        "(allow file-read* (regex #\"^[a\"))",
        "(allow file-read* (regex #\"^[é]\"))",
        "(allow file-read* (regex #\"^\\d\"))",
        "(allow file-read* (regex #\"^a$b\"))",
        "(allow file-read* (literal \"/\\q\"))",
        "(allow file-read* (literal \"/a)",
        "(allow file-read*",
        "(allow file-read*))",
        "allow",
        "'a",
    ] {
        assert!(sbpl::profile(&format!("{good}{rule}")).is_err(), "{rule}");
    }
    let text = format!(
        "{good}(allow file-read* (require-all (subpath \"/a\") (require-not (require-any (literal \"/a/b\") (regex #\"^/a/(c|d)*$\")))))"
    );
    let read = sbpl::profile(&text).unwrap();
    for (path, allowed) in [
        ("/a", true),
        ("/a/b", false),
        ("/a/cdc", false),
        ("/a/ce", true),
        ("/b", false),
    ] {
        assert_eq!(files(&read, "file-read-data", path), allowed, "{path}");
    }
}

#[test]
fn golden_profiles() {
    let me = "/Users/me/w";
    let write = (me, Rule::AllowWrite);
    let samples = [
        ("strictest", sample("{}", &[], HOME)),
        (
            "project",
            sample("{}", &[write, ("/Users/me/.ssh", Rule::DenyRead)], HOME),
        ),
        (
            "shown-again",
            sample(
                "{}",
                &[
                    ("/Users/me", Rule::DenyRead),
                    (me, Rule::AllowRead),
                    ("/Users/me/w/.env", Rule::DenyRead),
                    write,
                ],
                HOME,
            ),
        ),
        (
            "patterns",
            sample(
                "{}",
                &[
                    write,
                    ("/Users/me/w/**/*.pem", Rule::DenyRead),
                    ("/Users/me/w/*/[!a-c]?", Rule::DenyWrite),
                    ("/Users/me/*/cache", Rule::AllowWrite),
                ],
                HOME,
            ),
        ),
        (
            "temporary",
            sample("{}", &[("/private/tmp", Rule::AllowWrite)], HOME),
        ),
        (
            "absent",
            sample(
                "{}",
                &[write, ("/Users/me/w/secret", Rule::DenyWrite)],
                HOME,
            ),
        ),
        (
            "local-network",
            sample(
                r#"{"network": {"allowLocalBinding": true, "allowHostPorts": [5432], "publishPorts": [8000]}}"#,
                &[],
                HOME,
            ),
        ),
        (
            "listed-sockets",
            Sample {
                sockets: vec!["/private/tmp/agent.sock".into(), "/Users/me/w/run".into()],
                ..sample(
                    r#"{"network": {"allowUnixSockets": ["/tmp/agent.sock"]}}"#,
                    &[],
                    HOME,
                )
            },
        ),
        (
            "all-sockets",
            sample(r#"{"network": {"allowAllUnixSockets": true}}"#, &[], HOME),
        ),
        (
            "switches",
            sample(
                r#"{"allowPty": true, "allowMachLookup": ["org.chromium.*", "com.apple.windowserver.active"],
                    "allowAppleEvents": true, "enableWeakerNetworkIsolation": true,
                    "filesystem": {"allowGitConfig": true}}"#,
                &[write],
                HOME,
            ),
        ),
    ];
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/seatbelt");
    let blessing = std::env::var_os("SRT_BLESS").is_some_and(|v| v == "1");
    for (name, sample) in &samples {
        let text = made(&sample.policy(), &mac());
        assert!(sbpl::profile(&text).is_ok(), "{name}");
        let at = directory.join(format!("{name}.sb"));
        if blessing {
            fs::create_dir_all(&directory).unwrap();
            fs::write(&at, &text).unwrap();
        }
        let golden = fs::read_to_string(&at).unwrap_or_default();
        assert!(
            golden == text,
            "{name}: the profile is not the golden one; if it is right, run this with SRT_BLESS=1\n{text}"
        );
    }
    let kept = fs::read_dir(&directory).unwrap().count();
    assert_eq!(kept, samples.len(), "a golden profile that nobody makes");
}

#[test]
fn a_dry_run_prints_a_profile_on_any_system() {
    let scratch = std::env::temp_dir().join(format!("srt-seatbelt-{}", std::process::id()));
    let work = scratch.join("work");
    fs::create_dir_all(&work).unwrap();
    let work = fs::canonicalize(&work).unwrap();
    let policy = work.parent().unwrap().join("policy.json");
    fs::write(
        &policy,
        r#"{"filesystem": {"allowWrite": ["."], "denyRead": ["**/*.pem"]}, "allowPty": true}"#,
    )
    .unwrap();
    let say = |words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_srt"));
        command
            .current_dir(&work)
            .arg("-s")
            .arg(&policy)
            .args(words);
        let out = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (out.status.code(), text(out.stdout), text(out.stderr))
    };
    let (status, out, err) = say(&["--dry-run", "--platform", "macos", "touch", "made \"x\""]);
    assert_eq!((status, err.as_str()), (Some(0), ""));
    let (text, rest) = out
        .strip_prefix("# profile\n")
        .unwrap()
        .split_once("# sandbox-exec\n")
        .unwrap();
    let read = sbpl::profile(text).unwrap();
    assert_eq!(read.tag, b"TAG");
    let at = |name: &str| format!("{}/{name}", work.display());
    for (operation, name, allowed) in [
        ("file-write-create", "x", true),
        ("file-write-create", ".bashrc", false),
        ("file-write-create", "deep/.git/hooks/x", false),
        ("file-read-data", "x", true),
        ("file-read-data", "deep/a.PEM", false),
    ] {
        assert_eq!(
            files(&read, operation, &at(name)),
            allowed,
            "{operation} {name}"
        );
    }
    assert!(!files(&read, "file-write-data", policy.to_str().unwrap()));
    assert!(
        rest.starts_with("\"/usr/bin/sandbox-exec\" \"-p\" PROFILE \"touch\" \"made \\\"x\\\"\"\n")
    );
    for line in [
        "HTTP_PROXY=\"http://srt:TAG@127.0.0.1:1\"",
        "FTP_PROXY=\"socks5h://srt:TAG@127.0.0.1:1\"",
        "CLOUDSDK_PROXY_PORT=\"1\"",
    ] {
        assert!(
            rest.lines().any(|one| one == line),
            "{line} is not in {rest}"
        );
    }
    assert!(rest.contains("-Djava.net.preferIPv4Stack=true") && rest.contains("/srt-TAG/tmp\""));
    for words in [
        &["--platform", "macos", "true"][..],
        &["--dry-run", "--platform", "windows", "true"],
        &["--dry-run", "--platform"],
    ] {
        assert_eq!(say(words).0, Some(125), "{words:?}");
    }
    fs::remove_dir_all(&scratch).unwrap();
    let modes = |words: &[&str]| match args::action(words.iter().map(Into::into)) {
        Ok(Action::Run(run)) => run.mode,
        other => panic!("{other:?}"),
    };
    assert_eq!(modes(&["--dry-run", "x"]), Mode::DryRun(None));
    assert_eq!(
        modes(&["--platform", "macos", "--dry-run", "x"]),
        Mode::DryRun(Some(Platform::MacOs))
    );
    assert_eq!(modes(&["x", "--platform", "macos"]), Mode::Execute);
}

#[test]
fn the_switches_are_read_and_compared() {
    let all = r#"{"allowPty": true, "allowMachLookup": ["a.b", "c.*"], "allowAppleEvents": true,
        "enableWeakerNetworkIsolation": true, "network": {"allowLocalBinding": true, "allowMachLookup": ["d"]}}"#;
    let all = settings(all.as_bytes()).unwrap();
    let none = settings(b"{}").unwrap();
    let less = r#"{"allowPty": false, "allowMachLookup": ["c.d", "c.d.*"], "network": {"allowLocalBinding": false}}"#;
    let less = settings(less.as_bytes()).unwrap();
    assert_eq!(all.notes.len(), 5, "{:?}", all.notes);
    let keys = |old, new| {
        let lines = more(old, new, None);
        let key = |line: &String| line.split(": ").nth(1).unwrap().to_owned();
        lines.iter().map(key).collect::<Vec<_>>()
    };
    assert_eq!(
        keys(&none, &all),
        [
            "allowPty",
            "allowAppleEvents",
            "enableWeakerNetworkIsolation",
            "network.allowLocalBinding",
            "allowMachLookup",
            "allowMachLookup",
            "allowMachLookup",
        ]
    );
    assert_eq!(keys(&all, &less), [""; 0]);
    assert_eq!(keys(&less, &all).len(), 7);
    assert_eq!(keys(&all, &none), [""; 0]);
    for bad in [
        "\"\"",
        "\"*\"",
        "\"a*b\"",
        "\"a b\"",
        "\"a\\\"\"",
        "\"a\\u0000\"",
        "7",
    ] {
        let json = format!(r#"{{"allowMachLookup": ["fine", {bad}]}}"#);
        let problems = settings(json.as_bytes()).unwrap_err();
        assert!(
            problems[0].key.starts_with("allowMachLookup"),
            "{problems:?}"
        );
    }
}

#[test]
fn what_stands_in_no_path_is_a_string_too() {
    use sandbox_runtime::parse::settings::Service;
    let mut policy = sample("{}", &[], HOME).policy();
    let hostile = "x\")) (allow file-write* (subpath \"/".to_owned();
    policy.mac.services = vec![
        Service::Named(hostile.clone()),
        Service::Beginning("y\\".into()),
    ];
    let read = sbpl::profile(&made(&policy, &mac())).unwrap();
    assert!(!files(&read, "file-write-data", "/x"));
    for (name, allowed) in [
        (hostile.as_str(), true),
        ("y\\z", true),
        ("y", false),
        ("x", false),
    ] {
        let question = Question {
            operation: "mach-lookup",
            name,
            ..Question::default()
        };
        assert_eq!(read.allows(&question), allowed, "{name}");
    }
}
