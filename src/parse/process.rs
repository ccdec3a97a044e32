//! The settings that concern the process itself: its environment, its limits, what it
//! may do for its own children, and what the host must give.

use std::fmt;

use super::glob::{NamePattern, name_pattern};
use super::json::{Node, Value};
use super::settings::Reader;

/// `environment`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvironmentSettings {
    /// `deny`: names of variables that are withheld.
    pub deny: Vec<NamePattern>,
    /// `set`: variables that are given, in the order of the file.
    pub set: Vec<(String, String)>,
}

/// A bound that the kernel keeps for each process (getrlimit(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `memoryMiB`: private writable memory (RLIMIT_DATA).
    Memory,
    /// `processes`: of this user inside the sandbox (RLIMIT_NPROC).
    Processes,
    /// `openFiles`: descriptors (RLIMIT_NOFILE).
    OpenFiles,
    /// `fileSizeMiB`: of a file that is written (RLIMIT_FSIZE).
    FileSize,
    /// `cpuSeconds` (RLIMIT_CPU).
    CpuTime,
}

/// `limits`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Resources, and how many bytes, processes, descriptors or seconds.
    pub resources: Vec<(Resource, u64)>,
    /// `wallSeconds`: when the run is ended.
    pub wall_seconds: Option<u64>,
}

/// Whether the command may make user namespaces: `allowNestedUserNamespaces`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserNamespaces {
    /// No.
    #[default]
    Refused,
    /// Yes, to sandbox its own children.
    Allowed,
}

/// Which /proc the command sees: `enableWeakerNestedSandbox`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Processes {
    /// A fresh one, of the sandbox's pid namespace.
    #[default]
    Fresh,
    /// The host's, read-only: for containers that let nobody mount a fresh one.
    Hosts,
}

/// What the sandbox promises, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guarantee {
    /// Nothing is written but what the policy allows.
    FsWrite,
    /// What the policy denies is not read.
    FsRead,
    /// Nothing is reached but what the policy lists.
    Net,
    /// No Unix socket of the host is reached.
    Unix,
    /// No process outside is seen or touched, and nothing is left running.
    Proc,
}

impl Guarantee {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::FsWrite,
        Self::FsRead,
        Self::Net,
        Self::Unix,
        Self::Proc,
    ];

    /// Its name in `require`, and in what `--doctor` prints.
    pub fn name(self) -> &'static str {
        match self {
            Self::FsWrite => "fs.write",
            Self::FsRead => "fs.read",
            Self::Net => "net",
            Self::Unix => "unix",
            Self::Proc => "proc",
        }
    }

    /// What it is.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::FsWrite => "nothing is written but what the policy allows",
            Self::FsRead => "what the policy denies is not read",
            Self::Net => "nothing is reached but what the policy lists",
            Self::Unix => "no Unix socket of the host is reached",
            Self::Proc => "no process outside is seen or touched",
        }
    }
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

const MIB: u64 = 1 << 20;

impl Reader {
    /// Gives a value of the right shape its meaning; says whether the key is one of these.
    pub(super) fn apply_process(&mut self, path: &str, node: &Node) -> bool {
        match (path, &node.value) {
            ("environment.deny", Value::List(items)) => {
                for (index, item) in items.iter().enumerate() {
                    let Value::Text(text) = &item.value else {
                        continue;
                    };
                    match name_pattern(text) {
                        Ok(name) => self.settings.environment.deny.push(name),
                        Err(why) => self.problem(item.at, &format!("{path}[{index}]"), why),
                    }
                }
            }
            ("environment.set", Value::Object(members)) => {
                for (name, value) in members {
                    let key = format!("{path}.{}", name.text);
                    let known = |(other, _): &(String, String)| *other == name.text;
                    match &value.value {
                        _ if name.text.is_empty() || name.text.contains(['=', '\0']) => {
                            self.problem(name.at, &key, "a variable's name holds no = and no NUL");
                        }
                        _ if self.settings.environment.set.iter().any(known) => {
                            self.problem(name.at, &key, "stands twice");
                        }
                        Value::Text(text) if !text.contains('\0') => {
                            let pair = (name.text.clone(), text.clone());
                            self.settings.environment.set.push(pair);
                        }
                        _ => self.problem(value.at, &key, "must be a string without NUL"),
                    }
                }
            }
            ("allowNestedUserNamespaces", Value::Bool(true)) => {
                self.settings.user_namespaces = UserNamespaces::Allowed;
            }
            ("enableWeakerNestedSandbox", Value::Bool(true)) => {
                self.settings.processes = Processes::Hosts;
            }
            ("require", Value::List(items)) => {
                for (index, item) in items.iter().enumerate() {
                    let named =
                        |g: &Guarantee| matches!(&item.value, Value::Text(t) if t == g.name());
                    match Guarantee::ALL.into_iter().find(named) {
                        Some(guarantee) => self.settings.require.push(guarantee),
                        None => {
                            let names = Guarantee::ALL.map(Guarantee::name).join(", ");
                            let key = format!("{path}[{index}]");
                            self.problem(item.at, &key, format!("must be one of {names}"));
                        }
                    }
                }
            }
            (path, Value::Integer(number)) if path.starts_with("limits.") => {
                self.limit(path, *number, node);
            }
            _ => return false,
        }
        true
    }

    fn limit(&mut self, path: &str, number: i64, node: &Node) {
        let number = u64::try_from(number).unwrap_or(0);
        let (resource, unit) = match path {
            "limits.memoryMiB" => (Some(Resource::Memory), MIB),
            "limits.processes" => (Some(Resource::Processes), 1),
            "limits.openFiles" => (Some(Resource::OpenFiles), 1),
            "limits.fileSizeMiB" => (Some(Resource::FileSize), MIB),
            "limits.cpuSeconds" => (Some(Resource::CpuTime), 1),
            _ => (None, 1),
        };
        match (number.checked_mul(unit), resource) {
            (None | Some(0), _) => {
                self.problem(
                    node.at,
                    path,
                    "must be a whole number, 1 or more, that fits 64 bits",
                );
            }
            (Some(bound), Some(resource)) => {
                self.settings.limits.resources.push((resource, bound));
            }
            (Some(seconds), None) => self.settings.limits.wall_seconds = Some(seconds),
        }
    }
}
