//! How rules are written: nothing that comes from a path or the settings can end the
//! string it stands in, and what cannot be written is a problem, never left out.

use crate::limits::{SEATBELT_LITERAL_BYTES, SEATBELT_REGEX_BYTES};

/// What a rule is about (Seatbelt profile language, as far as it is known from profiles in
/// use). Paths are absolute, and carry the key of the rule that names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Written here, with nothing of anybody else's in it.
    Plain(String),
    /// Something else than a path that goes by a name: the filter for it, and the name.
    Named(&'static str, String, &'static str),
    /// One path.
    Literal(Vec<u8>, String),
    /// A path, and all that lies below.
    Subpath(Vec<u8>, String),
    /// The paths that match.
    Regex(Vec<u8>, String),
    /// A Unix socket at such a path: its own (`local`), or the one it is connected to
    /// (`remote`).
    Socket(&'static str, Box<Filter>),
    /// What all of these are about.
    All(Vec<Filter>),
}

/// Whether a rule allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It does.
    Allow,
    /// It denies.
    Deny,
}

/// A profile in the making. Its rules are read in order, and the last one that is about an
/// operation decides it.
#[derive(Debug)]
pub struct Profile {
    text: String,
    /// The group that the next rule begins.
    group: Option<String>,
    problems: Vec<String>,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            text: "(version 1)\n".into(),
            group: None,
            problems: Vec::new(),
        }
    }
}

impl Profile {
    /// Begins a group of rules: its name, and why it is there. A group without rules is not
    /// written.
    pub fn group(&mut self, name: &str, why: &str) {
        self.group = Some(format!("\n; {name}: {why}\n"));
    }

    /// A rule about everything that these operations are done to.
    pub fn whole(&mut self, action: Action, operations: &str) {
        self.write(&format!("({} {operations})\n", action.word()));
    }

    /// A rule about what any of `filters` is about; without one it is about nothing, and is
    /// not written.
    pub fn rule(&mut self, action: Action, operations: &str, filters: &[Filter]) {
        let mut lines = String::new();
        for filter in filters {
            match filter.text() {
                Ok(text) => lines += &format!("\n  {text}"),
                Err(problem) => self.problem(problem),
            }
        }
        if !lines.is_empty() {
            self.write(&format!("({} {operations}{lines})\n", action.word()));
        }
    }

    fn write(&mut self, rule: &str) {
        self.text += &self.group.take().unwrap_or_default();
        self.text += rule;
    }

    /// Something that cannot be written.
    pub fn problem(&mut self, text: String) {
        if !self.problems.contains(&text) {
            self.problems.push(text);
        }
    }

    /// The whole of it.
    ///
    /// # Errors
    /// Every rule that could not be written, one line each.
    pub fn finish(self) -> Result<String, Vec<String>> {
        if self.problems.is_empty() {
            Ok(self.text)
        } else {
            Err(self.problems)
        }
    }
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

impl Filter {
    fn text(&self) -> Result<String, String> {
        match self {
            Self::Plain(text) => Ok(text.clone()),
            Self::Named(filter, name, key) => {
                Ok(format!("({filter} {})", literal(name.as_bytes(), key)?))
            }
            Self::Literal(path, key) => Ok(format!("(literal {})", literal(path, key)?)),
            Self::Subpath(path, key) => Ok(format!("(subpath {})", literal(path, key)?)),
            Self::Regex(regex, key) => Ok(format!("(regex {})", pattern(regex, key)?)),
            Self::Socket(which, path) => Ok(format!("({which} unix-socket {})", path.text()?)),
            Self::All(filters) => {
                let texts: Result<Vec<_>, _> = filters.iter().map(Self::text).collect();
                Ok(format!("(require-all {})", texts?.join(" ")))
            }
        }
    }
}

/// A string literal.
///
/// # Errors
/// It is longer than a profile takes: names the rule.
pub fn literal(bytes: &[u8], key: &str) -> Result<String, String> {
    let text = quoted(bytes);
    // Whether the bound is on what is written or on what it stands for is not known: the
    // former is never shorter.
    if text.len().saturating_sub(2) > SEATBELT_LITERAL_BYTES {
        return Err(format!(
            "{key}: a path is longer than the {SEATBELT_LITERAL_BYTES} bytes that a macOS sandbox profile \
             takes: name a directory above it"
        ));
    }
    Ok(text)
}

/// The literal of a regular expression.
fn pattern(regex: &[u8], key: &str) -> Result<String, String> {
    if regex.len() > SEATBELT_REGEX_BYTES {
        return Err(format!(
            "{key}: its regular expression is longer than the {SEATBELT_REGEX_BYTES} bytes that a macOS sandbox \
             profile takes: write a shorter pattern, or name a directory"
        ));
    }
    // Between #" and " nothing is escaped, so nothing that would need it may stand there.
    match std::str::from_utf8(regex) {
        Ok(text) if !text.chars().any(|c| c == '"' || c.is_control()) => Ok(format!("#\"{text}\"")),
        _ => literal(regex, key),
    }
}

/// Bytes between quotes. Control characters, and bytes that are no UTF-8, are written by
/// their number.
fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                c if c.is_control() => {
                    let mut buffer = [0; 4];
                    let encoded = c.encode_utf8(&mut buffer).bytes();
                    encoded.for_each(|byte| out += &format!("\\x{byte:02x}"));
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out += &format!("\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}
