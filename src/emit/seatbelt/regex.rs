//! Patterns as regular expressions.
//!
//! They are anchored at both ends. `.` and `[^/]` are taken to stand for one character of
//! UTF-8, a line's end among them, as `?` does in the settings; how Seatbelt counts those
//! beyond ASCII is not known.

use std::cmp::Ordering;

use crate::parse::glob::{Part, Token};

/// Whether letters match in either case: ASCII's, in what is denied, where the file system
/// takes them for the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// They match themselves.
    Kept,
    /// Both match.
    Folded,
}

/// How much is taken where a name ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Below {
    /// The path itself.
    Itself,
    /// And all that lies below it.
    Everything,
}

/// Most characters beyond ASCII that a set is written out for.
const MOST_WRITTEN_OUT: u32 = 100;

/// The expression for the names of `parts` below `base`.
///
/// # Errors
/// A set has no expression: says why.
pub fn regex(
    base: (&[u8], Case),
    parts: &[Part],
    case: Case,
    below: Below,
) -> Result<Vec<u8>, &'static str> {
    let mut out = start(base.0, base.1);
    let mut parts = parts.iter().peekable();
    while let Some(part) = parts.next() {
        match part {
            Part::Directories => out.extend_from_slice(b"(.*/)?"),
            Part::Name(name) => {
                if let Some(own) = name.itself() {
                    out.push(b'(');
                    text(&mut out, own, case);
                    out.push(b'|');
                }
                names(&mut out, name.tokens(), case)?;
                if name.itself().is_some() {
                    out.push(b')');
                }
                if parts.peek().is_some() {
                    out.push(b'/');
                }
            }
        }
    }
    end(&mut out, below);
    Ok(out)
}

/// The expression for one path.
pub fn path(above: &[u8], name: &[u8], case: Case) -> Vec<u8> {
    let mut out = start(above, Case::Kept);
    text(&mut out, name, case);
    end(&mut out, Below::Everything);
    out
}

/// What is in the directory `base`, or below it.
pub fn start(base: &[u8], case: Case) -> Vec<u8> {
    let mut out = b"^".to_vec();
    text(&mut out, base.strip_suffix(b"/").unwrap_or(base), case);
    out.push(b'/');
    out
}

/// The end of an expression.
pub fn end(out: &mut Vec<u8>, below: Below) {
    out.extend_from_slice(match below {
        Below::Itself => b"$",
        Below::Everything => b"(/.*)?$",
    });
}

/// Text that stands for itself.
pub fn text(out: &mut Vec<u8>, text: &[u8], case: Case) {
    text.iter().for_each(|&byte| one(out, byte, case));
}

fn one(out: &mut Vec<u8>, byte: u8, case: Case) {
    match byte {
        _ if byte.is_ascii_alphabetic() && case == Case::Folded => {
            let both = [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()];
            out.push(b'[');
            out.extend_from_slice(&both);
            out.push(b']');
        }
        b'\\' | b'^' | b'$' | b'.' | b'|' | b'?' | b'*' | b'+' | b'(' | b')' | b'[' | b']'
        | b'{' | b'}' => out.extend_from_slice(&[b'\\', byte]),
        _ => out.push(byte),
    }
}

/// The tokens of a name. Wildcards that follow one another are brought into one order: the
/// time of matching would double with each of them otherwise.
fn names(out: &mut Vec<u8>, tokens: &[Token], case: Case) -> Result<(), &'static str> {
    let mut many = false;
    for token in tokens {
        match token {
            Token::Many => many = true,
            Token::One => out.extend_from_slice(b"[^/]"),
            Token::Byte(_) | Token::Set { .. } => {
                if std::mem::take(&mut many) {
                    out.extend_from_slice(b"[^/]*");
                }
                match token {
                    Token::Byte(byte) => one(out, *byte, case),
                    Token::Set { negated, ranges } => set(out, *negated, ranges)?,
                    Token::One | Token::Many => {}
                }
            }
        }
    }
    if many {
        out.extend_from_slice(b"[^/]*");
    }
    Ok(())
}

/// A set, which in no case stands for a slash. Characters beyond ASCII are written beside it,
/// one by one: inside, they might be taken for the bytes that they are made of.
fn set(out: &mut Vec<u8>, negated: bool, ranges: &[(char, char)]) -> Result<(), &'static str> {
    let mut inside = Vec::new();
    let mut others = Vec::new();
    let mut beyond = 0u32;
    for &(from, to) in ranges {
        for (from, to) in [(from, to.min('.')), (from.max('0'), to.min('\x7f'))] {
            range(&mut inside, from, to);
        }
        let from = from.max('\u{80}');
        if from <= to {
            beyond = beyond.saturating_add(u32::from(to).saturating_sub(u32::from(from)));
            if negated || beyond > MOST_WRITTEN_OUT {
                return Err(
                    "a set with many characters beyond ASCII, or with such that it excludes, \
                            has no regular expression on macOS",
                );
            }
            others.extend(from..=to);
        }
    }
    if negated {
        out.extend_from_slice(b"[^/");
        out.extend_from_slice(&inside);
        out.push(b']');
        return Ok(());
    }
    let mut choices = Vec::new();
    if !inside.is_empty() {
        choices.push([b"[", inside.as_slice(), b"]"].concat());
    }
    choices.extend(others.iter().map(|c| c.to_string().into_bytes()));
    match choices.as_slice() {
        [] => return Err("a set holds nothing but a slash, which is in no name"),
        [only] => out.extend_from_slice(only),
        several => {
            out.push(b'(');
            out.extend_from_slice(&several.join(&b'|'));
            out.push(b')');
        }
    }
    Ok(())
}

/// A range of ASCII in a set, if there is anything in it.
fn range(inside: &mut Vec<u8>, from: char, to: char) {
    let (Ok(from), Ok(to)) = (u8::try_from(from), u8::try_from(to)) else {
        return;
    };
    match from.cmp(&to) {
        Ordering::Greater => {}
        Ordering::Equal => member(inside, from),
        Ordering::Less => {
            member(inside, from);
            inside.push(b'-');
            member(inside, to);
        }
    }
}

fn member(inside: &mut Vec<u8>, byte: u8) {
    if matches!(byte, b'\\' | b']' | b'[' | b'^' | b'-') {
        inside.push(b'\\');
    }
    inside.push(byte);
}
