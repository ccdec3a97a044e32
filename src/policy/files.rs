//! Which files the command may read and write: one evaluator for all who ask.

use std::collections::BTreeMap;

/// What lies at a path, as far as a mount cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A symbolic link, itself.
    Link,
    /// Anything else.
    File,
    /// Nothing.
    Absent,
}

/// What holds the place of a name that must not be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Placeholder {
    /// A socket: git neither lists nor cleans it away, and nobody can open it. Inside,
    /// an empty file covers it.
    Socket,
    /// An empty directory, where programs outside look as well, and git lists nothing:
    /// in the home directory and in git's own.
    Directory,
    /// An empty file, for the same places.
    Empty,
    /// A file with a `.` in it: git takes an empty `commondir` for a fault, and this
    /// one for the directory that it lies in (gitrepository-layout(5)).
    CommonDir,
}

/// What a rule says of its path and all that lies below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// `filesystem.denyRead`: hidden.
    DenyRead,
    /// `filesystem.allowRead`: readable again inside what is hidden.
    AllowRead,
    /// `filesystem.allowWrite`.
    AllowWrite,
    /// `filesystem.denyWrite`: wins over every allowWrite.
    DenyWrite,
    /// Never writable.
    Protected,
    /// Stays where it is; says nothing of access. For a symbolic link whose name is
    /// as good as what it leads to.
    Pinned,
    /// The run's own temporary directory: readable and writable whatever lies above.
    Temporary,
}

/// A rule on a path: absolute, symlinks resolved, no trailing slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The path.
    pub path: Vec<u8>,
    /// What lies there.
    pub kind: Kind,
    /// What holds its place for the run if it is absent, or goes away.
    pub hold: Option<Placeholder>,
    /// What is said of it.
    pub rule: Rule,
    /// Where that is said: a key of the settings, or a reason.
    pub origin: String,
}

/// What may be done with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Not to be seen.
    Hidden,
    /// Read only.
    Read,
    /// Read and written.
    Write,
}

/// What is said of one path.
#[derive(Clone, Debug)]
struct Node {
    kind: Kind,
    hold: Option<Placeholder>,
    said: Vec<(Rule, String)>,
}

/// A place where a mount is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// What lies there.
    pub kind: Kind,
    /// What holds it, if something has to.
    pub hold: Option<Placeholder>,
    /// What may be done there.
    pub access: Access,
    /// The rule that asks for it; empty for a pin.
    pub origin: &'a str,
}

/// The filesystem policy over resolved paths.
#[derive(Clone, Debug, Default)]
pub struct Files {
    nodes: BTreeMap<Vec<u8>, Node>,
}

/// Trees that are made anew in every sandbox: the host's are never shown.
pub const FRESH: [&[u8]; 2] = [b"/dev", b"/proc"];

/// Whether `path` is `above` or lies below it.
pub fn covers(above: &[u8], path: &[u8]) -> bool {
    let above = above.strip_suffix(b"/").unwrap_or(above);
    path.strip_prefix(above)
        .is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/'))
}

/// The directory that holds `path`; `None` for the root.
pub fn parent(path: &[u8]) -> Option<&[u8]> {
    let cut = path.iter().rposition(|&b| b == b'/')?;
    match (cut, path.len()) {
        (0, 1) => None,
        (0, _) => path.get(..1),
        _ => path.get(..cut),
    }
}

/// `name` in the directory `above`.
pub fn join(above: &[u8], name: &[u8]) -> Vec<u8> {
    let above = above.strip_suffix(b"/").unwrap_or(above);
    [above, b"/", name].concat()
}

/// `path` and every directory above it, the root first.
pub(super) fn lineage(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let cuts = path.iter().enumerate().skip(1);
    let above = cuts
        .filter(|(_, b)| **b == b'/')
        .filter_map(|(at, _)| path.get(..at));
    let own = (path.len() > 1).then_some(path);
    std::iter::once(&b"/"[..]).chain(above).chain(own)
}

impl Files {
    /// A policy of these rules. Their order does not matter.
    pub fn new(entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut files = Self::default();
        for entry in entries {
            files.add(entry);
        }
        files
    }

    /// One rule more.
    pub fn add(&mut self, entry: Entry) {
        let node = self.nodes.entry(entry.path).or_insert(Node {
            kind: entry.kind,
            hold: entry.hold,
            said: Vec::new(),
        });
        if node.kind == Kind::Absent {
            node.kind = entry.kind;
        }
        node.hold = node.hold.or(entry.hold);
        if !node.said.iter().any(|(rule, _)| *rule == entry.rule) {
            node.said.push((entry.rule, entry.origin));
        }
    }

    /// Drops what is said of a name that is absent and that nobody could create.
    pub fn forget(&mut self, path: &[u8]) {
        if self.nodes.get(path).is_some_and(|n| n.kind == Kind::Absent) {
            self.nodes.remove(path);
        }
    }

    /// Drops the names that are absent and could not be created for want of a
    /// writable directory; gives what is to be held.
    pub fn settle(&mut self) -> Vec<(Vec<u8>, Placeholder)> {
        let mut held = Vec::new();
        let mut dropped = Vec::new();
        for (path, node) in &self.nodes {
            if let Some(placeholder) = node.hold {
                match parent(path).map(|above| self.access(above)) {
                    Some(Access::Write) => held.push((path.clone(), placeholder)),
                    _ => dropped.push(path.clone()),
                }
            }
        }
        for path in dropped {
            self.forget(&path);
        }
        held
    }

    /// The symbolic links that somebody could otherwise replace.
    pub fn links(&self) -> Vec<Vec<u8>> {
        let links = self.nodes.iter().filter(|(_, n)| n.kind == Kind::Link);
        let writable = |path: &Vec<u8>| self.access(path) == Access::Write;
        links
            .map(|(path, _)| path.clone())
            .filter(writable)
            .collect()
    }

    /// The rule that decides what may be done with `path`.
    pub fn deciding(&self, path: &[u8]) -> &str {
        let access = self.access(path);
        let mut origin = "no rule";
        for node in lineage(path).filter_map(|at| self.nodes.get(at)) {
            let one = node.said.iter().find(|(rule, _)| decides(*rule, access));
            origin = one.map_or(origin, |(_, origin)| origin);
        }
        origin
    }

    /// The rules behind what may be done with `path`, each the most specific of its kind.
    pub fn why(&self, path: &[u8]) -> Why<'_> {
        let mut why = Why::default();
        for node in lineage(path).filter_map(|at| self.nodes.get(at)) {
            let said = |wanted: Rule| {
                let one = node.said.iter().find(|(rule, _)| *rule == wanted);
                one.map(|(_, origin)| origin.as_str())
            };
            if let Some(origin) = said(Rule::AllowRead) {
                why.shown = Some(origin);
            }
            if let Some(origin) = said(Rule::DenyRead) {
                (why.hidden, why.shown) = (Some(origin), None);
            }
            why.writable = said(Rule::AllowWrite).or(why.writable);
            why.held = said(Rule::DenyWrite).or(said(Rule::Protected)).or(why.held);
            if let Some(origin) = said(Rule::Temporary) {
                why = Why {
                    shown: Some(origin),
                    writable: Some(origin),
                    ..Why::default()
                };
            }
        }
        why
    }

    /// Every rule, with its path.
    pub fn rules(&self) -> impl Iterator<Item = (&[u8], Rule, &str)> {
        self.nodes.iter().flat_map(|(path, node)| {
            let said = node.said.iter();
            said.map(move |(rule, origin)| (path.as_slice(), *rule, origin.as_str()))
        })
    }

    /// What may be done with `path` (absolute, symlinks resolved).
    ///
    /// Reading: the most specific of denyRead and allowRead decides; on the same
    /// path the denial does. Writing: some allowWrite covers it, nothing denies it,
    /// and it may be read. The temporary directory is writable whatever covers it.
    pub fn access(&self, path: &[u8]) -> Access {
        let (mut hidden, mut allowed, mut denied) = (false, false, false);
        for node in lineage(path).filter_map(|at| self.nodes.get(at)) {
            let says = |wanted: Rule| node.said.iter().any(|(rule, _)| *rule == wanted);
            hidden = says(Rule::DenyRead) || hidden && !says(Rule::AllowRead);
            allowed |= says(Rule::AllowWrite);
            denied |= says(Rule::DenyWrite) || says(Rule::Protected);
            if says(Rule::Temporary) {
                (hidden, allowed, denied) = (false, true, false);
            }
        }
        match (hidden, allowed && !denied) {
            (true, _) => Access::Hidden,
            (false, true) => Access::Write,
            (false, false) => Access::Read,
        }
    }

    /// Whether all that lies in the directory `path` may be written: no rule is about
    /// anything in it.
    pub fn is_free(&self, path: &[u8]) -> bool {
        let inside = join(path, b"");
        let mut below = self.nodes.range(inside.clone()..);
        let ruled = below.next().is_some_and(|(at, _)| at.starts_with(&inside));
        !ruled && self.access(path) == Access::Write
    }

    /// Whether some directory above `path` may be written.
    pub fn lies_in_writable(&self, path: &[u8]) -> bool {
        let mut above = lineage(path).filter(|at| *at != path);
        above.any(|at| self.access(at) == Access::Write)
    }

    /// The places where a mount is needed, parents before children: where what may
    /// be done changes, and every directory above such a place inside a writable
    /// one, so that nobody renames it away with what it holds (a *pin*).
    pub fn places(&self) -> BTreeMap<&[u8], Place<'_>> {
        let mut places = BTreeMap::new();
        for (path, node) in &self.nodes {
            let access = self.access(path);
            let around = parent(path).map(|above| self.access(above));
            let changes = around != Some(access);
            if changes {
                let origin = node.said.iter().find(|(rule, _)| decides(*rule, access));
                places.insert(
                    path.as_slice(),
                    Place {
                        kind: node.kind,
                        hold: node.hold,
                        access,
                        origin: origin.map_or("", |(_, origin)| origin),
                    },
                );
            }
            let stays = changes && access != Access::Write || node.kind == Kind::Link;
            let mut above = parent(path).filter(|_| stays);
            while let Some(dir) = above {
                if self.access(dir) == Access::Write {
                    places.entry(dir).or_insert(Place {
                        kind: Kind::Directory,
                        hold: None,
                        access: Access::Write,
                        origin: "",
                    });
                }
                above = parent(dir);
            }
        }
        places
    }

    /// Takes a whole directory in the place of what is denied in it, where that is
    /// every entry it has (`sizes`) and for the same reason: far fewer mounts.
    /// Says which directories those are.
    pub fn fold(&mut self, sizes: &BTreeMap<Vec<u8>, usize>) -> Vec<Vec<u8>> {
        let mut whole = Vec::new();
        for (directory, size) in sizes.iter().rev() {
            let inside = join(directory, b"");
            let children: Vec<_> = self
                .nodes
                .range(inside.clone()..)
                .take_while(|(path, _)| path.starts_with(&inside))
                .filter(|(path, _)| parent(path) == Some(directory))
                .collect();
            let Some((_, first)) = children.first() else {
                continue;
            };
            let rule = match first.said.as_slice() {
                [said @ (Rule::DenyRead | Rule::DenyWrite, _)] => said.clone(),
                _ => continue,
            };
            let same = |(_, node): &(&Vec<u8>, &Node)| {
                node.hold.is_none() && matches!(node.said.as_slice(), [said] if said.0 == rule.0)
            };
            if children.len() != *size || !children.iter().all(same) || directory == b"/" {
                continue;
            }
            let gone: Vec<Vec<u8>> = children.iter().map(|(path, _)| path.to_vec()).collect();
            for path in gone {
                self.nodes.remove(&path);
            }
            self.add(Entry {
                path: directory.clone(),
                kind: Kind::Directory,
                hold: None,
                rule: rule.0,
                origin: rule.1,
            });
            whole.push(directory.clone());
        }
        whole
    }
}

/// What the rules on a path and above it say of it, by their origins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Why<'a> {
    /// What hides it.
    pub hidden: Option<&'a str>,
    /// What shows it inside something hidden.
    pub shown: Option<&'a str>,
    /// What lets it be written.
    pub writable: Option<&'a str>,
    /// What keeps it from being written.
    pub held: Option<&'a str>,
}

/// Whether `rule` is what gives a path this access.
fn decides(rule: Rule, access: Access) -> bool {
    match rule {
        Rule::DenyRead => access == Access::Hidden,
        Rule::DenyWrite | Rule::Protected | Rule::AllowRead => access == Access::Read,
        Rule::AllowWrite | Rule::Temporary => access == Access::Write,
        Rule::Pinned => false,
    }
}
