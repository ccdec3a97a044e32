//! The settings that concern what is reported; they decide nothing.

use super::json::{Node, Value};
use super::settings::Reader;

/// `observe`: which calls on files are looked at, to report those that the policy denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Calls that would change something.
    pub writes: Looks,
    /// Opening for reading.
    pub reads: Looks,
}

/// Whether something is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// It is.
    Yes,
    /// It is not.
    No,
}

impl Default for Observed {
    fn default() -> Self {
        Self {
            writes: Looks::Yes,
            reads: Looks::No,
        }
    }
}

impl Observed {
    /// Nothing is looked at.
    pub const NOTHING: Self = Self {
        writes: Looks::No,
        reads: Looks::No,
    };
}

impl Reader {
    /// Gives a value of the right shape its meaning; says whether the key is one of these.
    pub(super) fn apply_report(&mut self, path: &str, node: &Node) -> bool {
        match (path, &node.value) {
            ("observe", Value::List(items)) => {
                let mut observed = Observed::NOTHING;
                for (index, item) in items.iter().enumerate() {
                    match &item.value {
                        Value::Text(text) if text == "write" => observed.writes = Looks::Yes,
                        Value::Text(text) if text == "read" => observed.reads = Looks::Yes,
                        _ => {
                            let key = format!("{path}[{index}]");
                            self.problem(item.at, &key, "must be \"write\" or \"read\"");
                        }
                    }
                }
                self.settings.observed = observed;
            }
            ("ignoreViolations", Value::Object(members)) => {
                for (command, texts) in members {
                    let key = format!("{path}.{}", command.text);
                    let text = |item: &Node| match &item.value {
                        Value::Text(text) if !text.is_empty() => Some(text.clone()),
                        _ => None,
                    };
                    let all: Option<Vec<String>> = match &texts.value {
                        Value::List(items) => items.iter().map(text).collect(),
                        _ => None,
                    };
                    let known = |(other, _): &(String, _)| *other == command.text;
                    match all {
                        _ if command.text.is_empty() => self.problem(
                            command.at,
                            &key,
                            "must be a part of the command line, or *",
                        ),
                        _ if self.settings.ignored.iter().any(known) => {
                            self.problem(command.at, &key, "stands twice");
                        }
                        Some(all) => self.settings.ignored.push((command.text.clone(), all)),
                        None => {
                            self.problem(texts.at, &key, "must be a list of strings, none empty");
                        }
                    }
                }
            }
            _ => return false,
        }
        true
    }
}
