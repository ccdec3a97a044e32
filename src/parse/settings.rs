//! The settings file: bytes → [`Settings`], or every problem at once.

use std::collections::HashSet;
use std::fmt;

use super::glob::{PathPattern, denied_pattern, path_pattern};
use super::json::{Node, Position, Value, document};
pub use super::mac::{MacSettings, Service, Switch};
pub use super::network::{
    AllowList, CaptureWish, Mitm, NetworkSettings, Parent, ServerNames, UnixSockets,
};
pub use super::process::{
    EnvironmentSettings, Guarantee, Limits, Processes, Resource, UserNamespaces,
};
pub use super::report::{Looks, Observed};
use super::schema::{KEYS, Meaning, Shape, nearest};
use crate::limits::SETTINGS_PROBLEMS;

/// One thing that is wrong with a settings file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// The key path, such as `network.allowedDomains[2]`; empty for the file.
    pub key: String,
    /// What is wrong, and what would be right.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: ", self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.text)
    }
}

/// The settings as written. The default is the strictest: nothing written, nothing
/// reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `network`.
    pub network: NetworkSettings,
    /// `filesystem`.
    pub filesystem: FilesystemSettings,
    /// `environment`.
    pub environment: EnvironmentSettings,
    /// `limits`.
    pub limits: Limits,
    /// `allowNestedUserNamespaces`.
    pub user_namespaces: UserNamespaces,
    /// `enableWeakerNestedSandbox`.
    pub processes: Processes,
    /// `require`.
    pub require: Vec<Guarantee>,
    /// `observe`.
    pub observed: Observed,
    /// `ignoreViolations`: a part of the command line, or `*`; and what is in the text of
    /// the violations that are not reported.
    pub ignored: Vec<(String, Vec<String>)>,
    /// `bwrapPath`, absolute.
    pub bwrap_path: Option<String>,
    /// `mandatoryDenySearchDepth`.
    pub search_depth: SearchDepth,
    /// What only macOS knows.
    pub mac: MacSettings,
    /// What was accepted and has no effect here.
    pub notes: Vec<String>,
}

/// How many levels below a writable root protected names are looked for: 1 to 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchDepth(u8);

impl SearchDepth {
    /// The number of levels.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl Default for SearchDepth {
    fn default() -> Self {
        Self(3)
    }
}

/// `filesystem`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilesystemSettings {
    /// `denyRead`.
    pub deny_read: Vec<PathRule>,
    /// `allowRead`.
    pub allow_read: Vec<PathRule>,
    /// `allowWrite`.
    pub allow_write: Vec<PathRule>,
    /// `denyWrite`.
    pub deny_write: Vec<PathRule>,
    /// `allowGitConfig`.
    pub git_config: GitConfig,
}

/// Whether `.git/config` is an always-denied name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GitConfig {
    /// It is.
    #[default]
    Protected,
    /// It is not.
    Writable,
}

/// A path of the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathRule {
    /// The path, or the pattern: absolute, relative, or beginning with `~`.
    pub path: PathPattern,
    /// Where it stands, such as `filesystem.denyRead[0]`.
    pub key: String,
}

/// Reads a settings file.
///
/// # Errors
/// Every problem in the order of the file, at most [`SETTINGS_PROBLEMS`].
pub fn settings(input: &[u8]) -> Result<Settings, Vec<Problem>> {
    let mut reader = Reader {
        settings: Settings::default(),
        problems: Vec::new(),
        mitm_at: None,
    };
    match document(input) {
        Ok(node) => reader.object("", &node),
        Err(error) => reader.problem(error.at, "", error.fault.to_string()),
    }
    reader.finish_network();
    if reader.problems.is_empty() {
        Ok(reader.settings)
    } else {
        Err(reader.problems)
    }
}

pub(super) struct Reader {
    pub(super) settings: Settings,
    problems: Vec<Problem>,
    /// Where `mitmProxy` stands.
    pub(super) mitm_at: Option<Position>,
}

impl Reader {
    pub(super) fn problem(&mut self, at: Position, key: &str, text: impl Into<String>) {
        if self.problems.len() < SETTINGS_PROBLEMS {
            let (line, column) = (at.line, at.column);
            self.problems.push(Problem {
                line,
                column,
                key: key.to_owned(),
                text: text.into(),
            });
        }
    }

    /// Whether something is wrong with this key, or below it.
    pub(super) fn has_problem(&self, key: &str) -> bool {
        self.problems.iter().any(|found| found.key.starts_with(key))
    }

    /// Walks an object of known keys; `prefix` is its path with a dot, or empty.
    fn object(&mut self, prefix: &str, node: &Node) {
        let Value::Object(members) = &node.value else {
            let key = prefix.trim_end_matches('.');
            self.has_shape(key, node, Shape::Object);
            return;
        };
        let mut seen: HashSet<&str> = HashSet::new();
        for (key, value) in members {
            let path = format!("{prefix}{}", key.text);
            if self.problems.len() >= SETTINGS_PROBLEMS {
                // Nobody hears of more.
                return;
            }
            if !seen.insert(&key.text) {
                self.problem(key.at, &path, "stands twice");
                continue;
            }
            match KEYS.iter().find(|row| row.path == path) {
                None => {
                    let hint = nearest(&path)
                        .map(|k| format!("; did you mean {k}?"))
                        .unwrap_or_default();
                    self.problem(key.at, &path, format!("unknown key{hint}"));
                }
                Some(row) => match row.meaning {
                    Meaning::Section => {
                        if path == "network.mitmProxy" {
                            self.begin_mitm(key.at);
                        }
                        self.object(&format!("{path}."), value);
                    }
                    Meaning::Foreign(why) => self.foreign(key.at, &path, value, row.shape, why),
                    Meaning::Tuning if !self.has_shape(&path, value, row.shape) => {}
                    Meaning::Tuning => {
                        self.settings
                            .notes
                            .push(format!("{path}: not needed here, and without effect"));
                    }
                    Meaning::Works if !self.has_shape(&path, value, row.shape) => {}
                    Meaning::Works => self.apply(&path, value),
                    Meaning::MacOs if self.has_shape(&path, value, row.shape) => {
                        self.settings
                            .notes
                            .push(format!("{path}: has an effect on macOS only"));
                        self.apply_mac(&path, value);
                    }
                    Meaning::Later
                        if self.has_shape(&path, value, row.shape) && !is_nothing(value) =>
                    {
                        self.problem(value.at, &path, "not supported yet");
                    }
                    Meaning::MacOs | Meaning::Later => {}
                },
            }
        }
    }

    fn has_shape(&mut self, path: &str, node: &Node, shape: Shape) -> bool {
        let good = shape.fits(&node.value);
        if !good {
            let null = match &node.value {
                Value::Null if !path.is_empty() => ", and not null: remove it to say nothing",
                _ => "",
            };
            self.problem(node.at, path, format!("{shape}{null}"));
        }
        good
    }

    /// Gives a value of the right shape its meaning.
    fn apply(&mut self, path: &str, node: &Node) {
        if path.starts_with("network.") {
            return self.apply_network(path, node);
        }
        if self.apply_process(path, node) || self.apply_report(path, node) {
            return;
        }
        match (path, &node.value) {
            ("filesystem.denyRead", Value::List(items)) => {
                self.settings.filesystem.deny_read = self.paths(path, items);
            }
            ("filesystem.allowRead", Value::List(items)) => {
                self.settings.filesystem.allow_read = self.paths(path, items);
            }
            ("filesystem.allowWrite", Value::List(items)) => {
                self.settings.filesystem.allow_write = self.paths(path, items);
            }
            ("filesystem.denyWrite", Value::List(items)) => {
                self.settings.filesystem.deny_write = self.paths(path, items);
            }
            ("filesystem.allowGitConfig", Value::Bool(true)) => {
                self.settings.filesystem.git_config = GitConfig::Writable;
            }
            ("bwrapPath", Value::Text(text)) if text.starts_with('/') && !text.contains('\0') => {
                self.settings.bwrap_path = Some(text.clone());
            }
            ("bwrapPath", _) => self.problem(node.at, path, "must be an absolute path"),
            ("mandatoryDenySearchDepth", Value::Integer(n)) => match u8::try_from(*n) {
                Ok(depth @ 1..=10) => self.settings.search_depth = SearchDepth(depth),
                _ => self.problem(node.at, path, "must be a number from 1 to 10"),
            },
            // `false` where that is the default.
            _ => {}
        }
    }

    pub(super) fn paths(&mut self, path: &str, items: &[Node]) -> Vec<PathRule> {
        let mut found = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let key = format!("{path}[{index}]");
            match self.path(&key, item) {
                Ok(path) => found.push(PathRule { path, key }),
                Err(text) => self.problem(item.at, &key, text),
            }
        }
        found
    }

    fn path(&mut self, key: &str, node: &Node) -> Result<PathPattern, &'static str> {
        const ENTRY: &str = "must be a path, or {\"path\": \"…\", \"literal\": true}";
        let (text, literal) = match &node.value {
            Value::Text(text) => (text, false),
            Value::Object(members) => {
                let mut text = None;
                let mut literal = None;
                for (name, value) in members {
                    match (name.text.as_str(), &value.value) {
                        ("path", Value::Text(t)) if text.is_none() => text = Some(t),
                        ("literal", Value::Bool(b)) if literal.is_none() => literal = Some(*b),
                        _ => self.problem(name.at, &format!("{key}.{}", name.text), ENTRY),
                    }
                }
                (text.ok_or(ENTRY)?, literal.unwrap_or(false))
            }
            _ => return Err(ENTRY),
        };
        match (literal, text.as_str()) {
            (false, text) if key.starts_with("filesystem.deny") => denied_pattern(text),
            (false, text) => path_pattern(text),
            (true, "") => Err("the path is empty"),
            (true, text) if text.contains('\0') => Err("a path holds no NUL"),
            (true, text) => Ok(PathPattern::Literal(text.to_owned())),
        }
    }
}

/// Whether a value asks for nothing.
pub(super) fn is_nothing(node: &Node) -> bool {
    match &node.value {
        Value::Null | Value::Bool(false) => true,
        Value::List(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(true) | Value::Integer(_) | Value::Number(_) | Value::Text(_) => false,
    }
}
