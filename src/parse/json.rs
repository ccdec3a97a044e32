//! JSON (RFC 8259) with the position of every value and key, and duplicate keys kept.
//!
//! miniserde reads JSON too, but its errors say nothing of where or what, and of two
//! equal keys the last wins: a settings file that is wrong must be told where.

use std::fmt;

use crate::limits::{SETTINGS_BYTES, SETTINGS_DEPTH};

/// A place in the text; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
}

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub at: Position,
    /// The value.
    pub value: Value,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number that fits.
    Integer(i64),
    /// Any other number, as written.
    Number(String),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Node>),
    /// An object: keys in order, duplicates kept.
    Object(Vec<(Key, Node)>),
}

/// A key and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Where it begins.
    pub at: Position,
    /// The key.
    pub text: String,
}

/// Why a text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Over [`SETTINGS_BYTES`].
    TooLong,
    /// Not UTF-8.
    Utf8,
    /// Nothing but white space.
    Empty,
    /// Nested past [`SETTINGS_DEPTH`].
    TooDeep,
    /// Something else is needed here.
    Expected(&'static str),
    /// A bad escape, a control character or no end in a string.
    Text,
    /// Not a number as JSON writes them.
    Number,
    /// Something behind the value.
    Trailing,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the file is over {SETTINGS_BYTES} bytes"),
            Self::Utf8 => f.write_str("the file is not UTF-8"),
            Self::Empty => f.write_str("the file is empty; write {} for the strictest policy"),
            Self::TooDeep => write!(f, "nested more than {SETTINGS_DEPTH} deep"),
            Self::Expected(what) => write!(f, "{what} is expected here"),
            Self::Text => f.write_str("the string is not valid JSON"),
            Self::Number => f.write_str("the number is not valid JSON"),
            Self::Trailing => f.write_str("nothing may follow the settings"),
        }
    }
}

/// A fault and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// Where.
    pub at: Position,
    /// What.
    pub fault: Fault,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    here: Position,
    depth: usize,
}

/// Reads one document and nothing behind it.
///
/// # Errors
/// The first fault and its place.
pub fn document(input: &[u8]) -> Result<Node, JsonError> {
    let start = Position { line: 1, column: 1 };
    let error = |fault| JsonError { at: start, fault };
    if input.len() > SETTINGS_BYTES {
        return Err(error(Fault::TooLong));
    }
    let text = std::str::from_utf8(input).map_err(|_| error(Fault::Utf8))?;
    let mut reader = Reader {
        text,
        at: 0,
        here: start,
        depth: 0,
    };
    reader.space();
    if reader.peek().is_none() {
        return Err(error(Fault::Empty));
    }
    let node = reader.node()?;
    reader.space();
    match reader.peek() {
        None => Ok(node),
        Some(_) => Err(reader.fault(Fault::Trailing)),
    }
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at = self.at.saturating_add(c.len_utf8());
        if c == '\n' {
            self.here = Position {
                line: self.here.line.saturating_add(1),
                column: 1,
            };
        } else {
            self.here.column = self.here.column.saturating_add(1);
        }
        Some(c)
    }

    fn eat(&mut self, wanted: char) -> bool {
        let there = self.peek() == Some(wanted);
        if there {
            self.next();
        }
        there
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.next();
        }
    }

    fn fault(&self, fault: Fault) -> JsonError {
        JsonError {
            at: self.here,
            fault,
        }
    }

    fn node(&mut self) -> Result<Node, JsonError> {
        let at = self.here;
        let value = match self.peek() {
            Some('{') => self.nested(Self::object)?,
            Some('[') => self.nested(Self::list)?,
            Some('"') => Value::Text(self.string()?),
            Some('-' | '0'..='9') => self.number()?,
            _ => self.word()?,
        };
        Ok(Node { at, value })
    }

    fn nested(
        &mut self,
        inside: fn(&mut Self) -> Result<Value, JsonError>,
    ) -> Result<Value, JsonError> {
        if self.depth >= SETTINGS_DEPTH {
            return Err(self.fault(Fault::TooDeep));
        }
        self.depth = self.depth.saturating_add(1);
        self.next();
        self.space();
        let value = inside(self)?;
        self.depth = self.depth.saturating_sub(1);
        Ok(value)
    }

    fn word(&mut self) -> Result<Value, JsonError> {
        let words = [
            ("null", Value::Null),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
        ];
        for (word, value) in words {
            if self.rest().starts_with(word) {
                for _ in word.chars() {
                    self.next();
                }
                return Ok(value);
            }
        }
        Err(self.fault(Fault::Expected("a value")))
    }

    fn list(&mut self) -> Result<Value, JsonError> {
        let mut items = Vec::new();
        if self.eat(']') {
            return Ok(Value::List(items));
        }
        loop {
            self.space();
            items.push(self.node()?);
            self.space();
            if self.eat(']') {
                return Ok(Value::List(items));
            }
            if !self.eat(',') {
                return Err(self.fault(Fault::Expected("',' or ']'")));
            }
        }
    }

    fn object(&mut self) -> Result<Value, JsonError> {
        let mut items = Vec::new();
        if self.eat('}') {
            return Ok(Value::Object(items));
        }
        loop {
            self.space();
            let at = self.here;
            if self.peek() != Some('"') {
                return Err(self.fault(Fault::Expected("a key in double quotes")));
            }
            let text = self.string()?;
            self.space();
            if !self.eat(':') {
                return Err(self.fault(Fault::Expected("':'")));
            }
            self.space();
            items.push((Key { at, text }, self.node()?));
            self.space();
            if self.eat('}') {
                return Ok(Value::Object(items));
            }
            if !self.eat(',') {
                return Err(self.fault(Fault::Expected("',' or '}'")));
            }
        }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        let start = self.fault(Fault::Text);
        self.next();
        let mut out = String::new();
        loop {
            match self.next().ok_or(start)? {
                '"' => return Ok(out),
                '\\' => out.push(self.escape().ok_or(start)?),
                c if c < ' ' => return Err(start),
                c => out.push(c),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        Some(match self.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            c @ ('"' | '\\' | '/') => c,
            'u' => match self.hex4()? {
                high @ 0xd800..=0xdbff => {
                    let pair = self.eat('\\') && self.eat('u');
                    let low = if pair { self.hex4()? } else { return None };
                    let low = low.checked_sub(0xdc00).filter(|n| *n < 0x400)?;
                    let high = high.checked_sub(0xd800)?.checked_mul(0x400)?;
                    char::from_u32(high.checked_add(low)?.checked_add(0x1_0000)?)?
                }
                code => char::from_u32(code)?,
            },
            _ => return None,
        })
    }

    fn hex4(&mut self) -> Option<u32> {
        let mut code = 0u32;
        for _ in 0..4 {
            code = code
                .checked_mul(16)?
                .checked_add(self.next()?.to_digit(16)?)?;
        }
        Some(code)
    }

    fn digits(&mut self, out: &mut String) -> Result<(), JsonError> {
        let before = out.len();
        while let Some(c @ '0'..='9') = self.peek() {
            out.push(c);
            self.next();
        }
        if out.len() == before {
            Err(self.fault(Fault::Number))
        } else {
            Ok(())
        }
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let start = self.fault(Fault::Number);
        let mut out = String::new();
        if self.eat('-') {
            out.push('-');
        }
        self.digits(&mut out)?;
        let whole = out.trim_start_matches('-');
        if whole.len() > 1 && whole.starts_with('0') {
            return Err(start);
        }
        let mut integer = true;
        if self.eat('.') {
            integer = false;
            out.push('.');
            self.digits(&mut out)?;
        }
        if self.eat('e') || self.eat('E') {
            integer = false;
            out.push('e');
            if self.eat('-') {
                out.push('-');
            } else {
                self.eat('+');
            }
            self.digits(&mut out)?;
        }
        match out.parse::<i64>() {
            Ok(n) if integer => Ok(Value::Integer(n)),
            _ => Ok(Value::Number(out)),
        }
    }
}
