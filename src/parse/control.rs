//! What is said to `srt` over the control descriptor: pieces of bytes into lines, and a line
//! into an order.
//!
//! ```text
//! {"network": {"allowedDomains": ["a.example.com"]}}    these rules from now on
//! {"ask": true}                                         ask about what no rule decides
//! {"id": 1, "allow": true}                              the answer to question 1
//! ```

use super::json::{Fault, Key, Node, Position, Value, document};
use super::settings::{self, Settings};
use crate::limits::{CONTROL_LINE_BYTES, SETTINGS_PROBLEMS};

/// Joins pieces into lines, each of which ends with LF or CRLF.
#[derive(Debug, Default)]
pub struct Lines {
    held: Vec<u8>,
    state: State,
}

/// What becomes of the bytes up to the next end of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// They belong to a line.
    #[default]
    Taken,
    /// The line was too long, and that was told.
    Skipped,
}

/// A line, without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// All of it, at most [`CONTROL_LINE_BYTES`].
    Whole(&'a [u8]),
    /// It is longer than that.
    TooLong,
}

impl Line<'_> {
    /// Reads it, see [`order`].
    ///
    /// # Errors
    /// Every problem, at least one; of a line that is too long, that it is.
    pub fn order(self) -> Result<Option<Order>, Vec<String>> {
        match self {
            Self::Whole(line) => order(line),
            Self::TooLong => {
                let at = Position { line: 1, column: 1 };
                Err(vec![problem(at, "", &fault(Fault::TooLong))])
            }
        }
    }
}

impl Lines {
    /// With the CR of a line's end, the most that is held.
    const MOST: usize = CONTROL_LINE_BYTES.saturating_add(1);

    /// Takes in a piece, and gives each line to `each`: a whole one once its end is there,
    /// one that is too long as soon as it is.
    pub fn take(&mut self, piece: &[u8], mut each: impl FnMut(Line<'_>)) {
        for part in piece.split_inclusive(|&b| b == b'\n') {
            match (self.state, part.strip_suffix(b"\n")) {
                (State::Taken, Some(rest)) if self.held.is_empty() => each(whole(rest)),
                (State::Taken, Some(rest)) => {
                    each(self.hold(rest));
                    self.held = Vec::new();
                }
                (State::Taken, None) => {
                    if self.hold(part) == Line::TooLong {
                        each(Line::TooLong);
                        self.held = Vec::new();
                        self.state = State::Skipped;
                    }
                }
                (State::Skipped, Some(_)) => self.state = State::Taken,
                (State::Skipped, None) => {}
            }
        }
    }

    /// The input has ended: what is left is a line as well, if there is anything.
    pub fn finish(self, mut each: impl FnMut(Line<'_>)) {
        if !self.held.is_empty() {
            each(whole(&self.held));
        }
    }

    /// How many bytes of memory are held for a line whose end is not there yet.
    pub fn held(&self) -> usize {
        self.held.capacity()
    }

    /// Holds `part` too, if the line does not get too long by it.
    fn hold(&mut self, part: &[u8]) -> Line<'_> {
        let room = Self::MOST.saturating_sub(self.held.len());
        if part.len() > room {
            return Line::TooLong;
        }
        if part.len() > self.held.capacity().saturating_sub(self.held.len()) {
            // Twice as much, as a vector grows by itself, but never past the bound.
            self.held
                .reserve_exact(self.held.len().max(part.len()).min(room));
        }
        self.held.extend_from_slice(part);
        whole(&self.held)
    }
}

/// A line without the CR of its end, if it is not too long.
fn whole(line: &[u8]) -> Line<'_> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > CONTROL_LINE_BYTES {
        Line::TooLong
    } else {
        Line::Whole(line)
    }
}

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// These rules from now on.
    Rules(Box<Settings>),
    /// Whether questions are wanted.
    Asks(Asks),
    /// What becomes of tunnels that new rules refuse.
    Tunnels(Tunnels),
    /// What a question is answered with.
    Answer {
        /// Which one, from 1.
        id: u64,
        /// The answer.
        answer: Answer,
    },
}

/// Whether questions are wanted: what no rule decides is asked about then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// They are.
    Wanted,
    /// They are not.
    Unwanted,
}

/// What becomes of tunnels that stand and that new rules would refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tunnels {
    /// They go on.
    Keep,
    /// They are cut.
    Cut,
}

/// The answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This once, it is let through.
    Allow,
    /// It is refused.
    Deny,
}

const SHAPES: &str =
    "must be an object: the settings as a whole, {\"ask\": true}, or {\"id\": 1, \"allow\": true}";
const ASK: &str = "unknown beside ask: write {\"ask\": true} or {\"ask\": false} alone";
const TUNNELS: &str =
    "unknown beside tunnels: write {\"tunnels\": \"cut\"} or {\"tunnels\": \"keep\"} alone";
const ANSWER: &str = "unknown in an answer: write {\"id\": 1, \"allow\": true} alone";
const MISSING: &str = "is missing: write {\"id\": 1, \"allow\": true}, with the id of the question";
const TWICE: &str = "stands twice";
const SWITCH: &str = "must be true or false";

/// Reads a line; one of nothing but white space asks for nothing. An object with none of
/// the keys `ask`, `tunnels`, `id` and `allow` is the settings as a whole.
///
/// # Errors
/// Every problem in the order of the line, at least one, at most [`SETTINGS_PROBLEMS`].
pub fn order(line: &[u8]) -> Result<Option<Order>, Vec<String>> {
    if line.iter().all(|b| b" \t\r\n".contains(b)) {
        return Ok(None);
    }
    let node = document(line).map_err(|error| vec![problem(error.at, "", &fault(error.fault))])?;
    let Value::Object(members) = &node.value else {
        return Err(vec![problem(node.at, "", SHAPES)]);
    };
    if has(members, "ask") {
        return asks(members).map(|asks| Some(Order::Asks(asks)));
    }
    if has(members, "tunnels") {
        return tunnels(members).map(|tunnels| Some(Order::Tunnels(tunnels)));
    }
    if has(members, "id") || has(members, "allow") {
        return answer(node.at, members).map(Some);
    }
    match settings::settings(line) {
        Ok(found) => Ok(Some(Order::Rules(Box::new(found)))),
        Err(found) => {
            let text = |p: &settings::Problem| {
                let (line, column) = (p.line, p.column);
                problem(Position { line, column }, &p.key, &p.text)
            };
            Err(found.iter().map(text).collect())
        }
    }
}

fn has(members: &[(Key, Node)], name: &str) -> bool {
    members.iter().any(|(key, _)| key.text == name)
}

fn asks(members: &[(Key, Node)]) -> Result<Asks, Vec<String>> {
    let mut asks = None;
    let mut problems = Problems::default();
    for (key, node) in members {
        match (key.text.as_str(), &node.value) {
            ("ask", _) if asks.is_some() => problems.add(key.at, "ask", TWICE),
            ("ask", Value::Bool(true)) => asks = Some(Asks::Wanted),
            ("ask", Value::Bool(false)) => asks = Some(Asks::Unwanted),
            ("ask", _) => problems.add(node.at, "ask", SWITCH),
            (other, _) => problems.add(key.at, other, ASK),
        }
    }
    asks.filter(|_| problems.0.is_empty()).ok_or(problems.0)
}

fn tunnels(members: &[(Key, Node)]) -> Result<Tunnels, Vec<String>> {
    let mut tunnels = None;
    let mut problems = Problems::default();
    for (key, node) in members {
        match (key.text.as_str(), &node.value) {
            ("tunnels", _) if tunnels.is_some() => problems.add(key.at, "tunnels", TWICE),
            ("tunnels", Value::Text(text)) if text == "cut" => tunnels = Some(Tunnels::Cut),
            ("tunnels", Value::Text(text)) if text == "keep" => tunnels = Some(Tunnels::Keep),
            ("tunnels", _) => problems.add(node.at, "tunnels", "must be \"cut\" or \"keep\""),
            (other, _) => problems.add(key.at, other, TUNNELS),
        }
    }
    tunnels.filter(|_| problems.0.is_empty()).ok_or(problems.0)
}

fn answer(at: Position, members: &[(Key, Node)]) -> Result<Order, Vec<String>> {
    let (mut id, mut answer) = (None, None);
    let mut problems = Problems::default();
    for (key, node) in members {
        match (key.text.as_str(), &node.value) {
            ("id", _) if id.is_some() => problems.add(key.at, "id", TWICE),
            ("id", Value::Integer(n @ 1..)) => id = Some(n.unsigned_abs()),
            ("id", _) => problems.add(node.at, "id", "must be a whole number, from 1"),
            ("allow", _) if answer.is_some() => problems.add(key.at, "allow", TWICE),
            ("allow", Value::Bool(true)) => answer = Some(Answer::Allow),
            ("allow", Value::Bool(false)) => answer = Some(Answer::Deny),
            ("allow", _) => problems.add(node.at, "allow", SWITCH),
            (other, _) => problems.add(key.at, other, ANSWER),
        }
    }
    for name in ["id", "allow"] {
        if !has(members, name) {
            problems.add(at, name, MISSING);
        }
    }
    match (id, answer) {
        (Some(id), Some(answer)) if problems.0.is_empty() => Ok(Order::Answer { id, answer }),
        _ => Err(problems.0),
    }
}

/// What is wrong, at most [`SETTINGS_PROBLEMS`].
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, at: Position, key: &str, text: &str) {
        if self.0.len() < SETTINGS_PROBLEMS {
            self.0.push(problem(at, key, text));
        }
    }
}

/// One problem, as it is told. A line of the descriptor has no lines.
fn problem(at: Position, key: &str, text: &str) -> String {
    let key = match key {
        "" => String::new(),
        key => format!("{key}: "),
    };
    format!("column {}: {key}{text}", at.column)
}

/// What is wrong with the JSON; what the settings say of a file is said of the line.
fn fault(fault: Fault) -> String {
    match fault {
        Fault::TooLong => format!("the line is over {CONTROL_LINE_BYTES} bytes"),
        Fault::Utf8 => "the line is not UTF-8".into(),
        Fault::Trailing => "nothing may follow the object".into(),
        Fault::Empty | Fault::TooDeep | Fault::Expected(_) | Fault::Text | Fault::Number => {
            fault.to_string()
        }
    }
}
