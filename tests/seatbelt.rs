//! The macOS profile, read back and asked. Nothing here needs macOS, and nothing of it was
//! run there.

#[path = "support/sbpl.rs"]
mod sbpl;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use sandbox_runtime::emit::seatbelt::regex::{self, Below, Case};
use sandbox_runtime::emit::seatbelt::text::literal;
use sandbox_runtime::emit::seatbelt::{Mac, profile};
use sandbox_runtime::parse::glob::{Glob, PathPattern, path_pattern};
use sandbox_runtime::parse::settings::{Settings, settings};
use sandbox_runtime::policy::explain::{self, Act, Decision};
use sandbox_runtime::policy::files::{
    Access, Entry, Files, Kind, Placeholder, Rule, covers, parent,
};
use sandbox_runtime::policy::protected::{last, reason};
use sandbox_runtime::policy::{Facts, Found, Pattern, Place, Policy, Resolved};
use sbpl::{Profile, Question, Regex, Value};

/// Numbers that only look random: the same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// A rule as the settings have it: a path that is there or is to be held, or a pattern.
type Said = (String, Rule);

/// A policy, what it was made of, and every path that is asked about.
struct Case1 {
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

impl Case1 {
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

fn generated(chance: &mut Chance) -> Case1 {
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
    Case1 {
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
fn disagreements(case: &Case1, now: &Policy, read: &Profile) -> (Vec<String>, usize, usize) {
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

fn network(case: &Case1, now: &Policy, read: &Profile, wrong: &mut Vec<String>) -> usize {
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
