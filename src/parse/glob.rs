//! Path patterns of the settings: literal paths, and globs over their components.
//!
//! `*`, `?` and `[a-z]`, `[!a]` stand for bytes of one name, `**` alone between
//! slashes for any number of directories, `\` takes the next character as it is.
//! A leading dot is a character like any other. Names are matched as bytes: `?` and
//! a set take one UTF-8 character, or one byte where there is none.

mod whole;

use crate::limits::GLOB_PARTS;

/// A path as the settings have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    /// A path, escapes undone.
    Literal(String),
    /// A pattern.
    Glob(Glob),
}

/// A pattern: names below a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    /// The directory before the first wildcard; empty for the working directory.
    pub base: String,
    /// The pattern as it stands in the settings.
    pub written: String,
    parts: Vec<Part>,
    /// The positions of `**`.
    anywhere: u64,
    /// The position behind the last part.
    end: u64,
}

/// One component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// `**`.
    Directories,
    /// A name.
    Name(NamePattern),
}

/// The pattern of one name; what stands before the first and after the last wildcard
/// is compared first, since most names fail there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamePattern {
    tokens: Vec<Token>,
    head: Vec<u8>,
    tail: Vec<u8>,
    /// A name that it matches besides: its own spelling, see [`denied_pattern`].
    itself: Option<Vec<u8>>,
}

/// What stands for something in a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A byte, for itself.
    Byte(u8),
    /// `?`
    One,
    /// `*`
    Many,
    /// `[a-z]`
    Set {
        /// Whether it stands for every character but these: `[!a-z]`.
        negated: bool,
        /// First and last characters.
        ranges: Vec<(char, char)>,
    },
}

/// How far into its components a [`Glob`] has come: a set of positions, so that the
/// cost of a name is the number of components, whatever came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Positions(u64);

impl Positions {
    /// Whether nothing further down can match.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Reads a path of the settings. A trailing `/**` is dropped, since a rule holds for
/// what lies below its path anyway; a trailing slash of a literal path is kept.
///
/// # Errors
/// What is wrong with it.
pub fn path_pattern(text: &str) -> Result<PathPattern, &'static str> {
    read(text, Brackets::Set)
}

/// Reads a path of a deny list: as [`path_pattern`] does, but a name with a set in it
/// matches its own spelling as well. Whoever writes `[old] keys` may mean the directory of
/// that name, and a denial that means something else in silence denies nothing.
///
/// # Errors
/// What is wrong with it.
pub fn denied_pattern(text: &str) -> Result<PathPattern, &'static str> {
    read(text, Brackets::SetAndText)
}

/// What brackets in a name are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Brackets {
    /// A set of characters.
    Set,
    /// That, and characters themselves.
    SetAndText,
}

fn read(text: &str, brackets: Brackets) -> Result<PathPattern, &'static str> {
    if text.is_empty() {
        return Err("the path is empty");
    }
    if text.contains('\0') {
        return Err("a path holds no NUL");
    }
    let mut above: Vec<String> = Vec::new();
    let mut parts: Vec<Part> = Vec::new();
    for component in text.split('/').filter(|c| !c.is_empty()) {
        if component == "**" {
            parts.push(Part::Directories);
            continue;
        }
        let mut name = name(component)?;
        let is_set = |token: &Token| matches!(token, Token::Set { .. });
        if brackets == Brackets::SetAndText && name.tokens.iter().any(is_set) {
            name.itself = Some(component.as_bytes().to_vec());
        }
        match literal(&name) {
            Some(literal) if parts.is_empty() => above.push(literal),
            Some(literal) if literal == ".." => return Err("'..' does not follow a wildcard"),
            Some(literal) if literal == "." => {}
            _ => parts.push(Part::Name(name)),
        }
    }
    parts.dedup_by(|a, b| *a == Part::Directories && a == b);
    if parts.last() == Some(&Part::Directories) {
        parts.pop();
    }
    if parts.len() > GLOB_PARTS {
        return Err("the pattern has too many components");
    }
    if text.starts_with('~') && above.first().is_none_or(|first| first != "~") {
        return Err("write ~/… for the home directory; other users' are not looked up");
    }
    let root = if text.starts_with('/') { "/" } else { "" };
    let mut base = format!("{root}{}", above.join("/"));
    if !parts.is_empty() {
        let bits = (0..).map(|index| 1u64.wrapping_shl(index));
        let anywhere = parts.iter().zip(bits.clone());
        let anywhere = anywhere.filter(|(part, _)| **part == Part::Directories);
        return Ok(PathPattern::Glob(Glob {
            base,
            written: text.to_owned(),
            anywhere: anywhere.fold(0, |all, (_, bit)| all | bit),
            end: parts
                .iter()
                .zip(bits)
                .last()
                .map_or(1, |(_, bit)| bit.wrapping_shl(1)),
            parts,
        }));
    }
    if base.is_empty() {
        base.push('.');
    } else if text.ends_with('/') && base != "/" {
        base.push('/');
    }
    Ok(PathPattern::Literal(base))
}

/// Reads a pattern of one name, such as that of a variable.
///
/// # Errors
/// What is wrong with it.
pub fn name_pattern(text: &str) -> Result<NamePattern, &'static str> {
    match text {
        "" => Err("the pattern is empty"),
        text if text.contains(['\0', '=']) => Err("a name holds no NUL and no ="),
        text => name(text),
    }
}

/// The literal text of a name without wildcards.
fn literal(name: &NamePattern) -> Option<String> {
    let byte = |token: &Token| match token {
        Token::Byte(byte) => Some(*byte),
        Token::One | Token::Many | Token::Set { .. } => None,
    };
    let bytes: Option<Vec<u8>> = name.tokens.iter().map(byte).collect();
    String::from_utf8(bytes?).ok()
}

fn name(text: &str) -> Result<NamePattern, &'static str> {
    let mut tokens = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' if tokens.last() == Some(&Token::Many) => {
                return Err("** stands alone between slashes: write **/*.x for **.x");
            }
            '*' => tokens.push(Token::Many),
            '?' => tokens.push(Token::One),
            '[' => tokens.push(set(&mut chars)?),
            '\\' => match chars.next() {
                // Needless, so rather a character itself, as in the name `a\b`.
                Some(c) if c.is_ascii_alphanumeric() => {
                    return Err(
                        "a \\ stands before *, ?, [ and the like; write \\\\ for the character itself",
                    );
                }
                Some(c) => bytes(&mut tokens, c),
                None => return Err("a \\ needs a character after it, and escapes no /"),
            },
            _ => bytes(&mut tokens, c),
        }
    }
    Ok(NamePattern::of(tokens))
}

impl NamePattern {
    fn of(tokens: Vec<Token>) -> Self {
        let run = |tokens: &mut dyn Iterator<Item = &Token>| {
            let mut run = Vec::new();
            for token in tokens {
                match token {
                    Token::Byte(byte) => run.push(*byte),
                    Token::One | Token::Many | Token::Set { .. } => break,
                }
            }
            run
        };
        let head = run(&mut tokens.iter());
        let mut tail = run(&mut tokens.iter().rev());
        tail.reverse();
        Self {
            tokens,
            head,
            tail,
            itself: None,
        }
    }
}

fn bytes(tokens: &mut Vec<Token>, c: char) {
    let mut buffer = [0; 4];
    tokens.extend(c.encode_utf8(&mut buffer).bytes().map(Token::Byte));
}

/// What follows a `[`: `!` or `^` negates; `]` is a member when it comes first.
fn set(chars: &mut std::str::Chars<'_>) -> Result<Token, &'static str> {
    const OPEN: &str = "a [ has no ] before the next / (\\[ stands for the character)";
    let mut ranges: Vec<(char, char)> = Vec::new();
    let mut negated = false;
    let mut first = true;
    loop {
        let mut c = chars.next().ok_or(OPEN)?;
        if first && !negated && (c == '!' || c == '^') {
            negated = true;
            continue;
        }
        if c == ']' && !first {
            return Ok(Token::Set { negated, ranges });
        }
        first = false;
        if c == '\\' {
            c = chars.next().ok_or(OPEN)?;
        }
        let mut ahead = chars.clone();
        let end = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(end)) if end != ']' => {
                *chars = ahead;
                if end == '\\' {
                    chars.next().ok_or(OPEN)?
                } else {
                    end
                }
            }
            _ => c,
        };
        if end < c {
            return Err("a range in a set runs backwards (\\[ stands for the character)");
        }
        ranges.push((c, end));
    }
}

impl Glob {
    /// Nothing matched yet: at the base.
    pub fn start(&self) -> Positions {
        self.close(1)
    }

    /// Takes the name of a directory: where that leads, and whether it matches.
    pub fn step(&self, at: Positions, name: &[u8]) -> (Positions, bool) {
        let mut next = at.0 & self.anywhere;
        let mut left = at.0 & !self.anywhere;
        while left != 0 {
            let here = left & left.wrapping_neg();
            left ^= here;
            if let Some(Part::Name(pattern)) = self.parts.get(index(here)) {
                if pattern.matches(name) {
                    next |= here.wrapping_shl(1);
                }
            }
        }
        let Positions(closed) = self.close(next);
        (Positions(closed & !self.end), closed & self.end != 0)
    }

    /// Whether the name of what is no directory matches: [`Glob::step`] without the way
    /// further down.
    pub fn ends(&self, at: Positions, name: &[u8]) -> bool {
        // The last part is a name: see `path_pattern`.
        match self.parts.last() {
            Some(Part::Name(pattern)) if at.0 & (self.end >> 1) != 0 => pattern.matches(name),
            _ => false,
        }
    }

    /// Whether the pattern matches these names below its base.
    pub fn matches<'a>(&self, names: impl IntoIterator<Item = &'a [u8]>) -> bool {
        let mut at = self.start();
        let mut matched = false;
        for name in names {
            (at, matched) = self.step(at, name);
        }
        matched
    }

    /// `**` may stand for no directory at all; no two of them follow one another.
    fn close(&self, at: u64) -> Positions {
        Positions(at | (at & self.anywhere).wrapping_shl(1))
    }
}

/// Which bit is set. There are at most [`GLOB_PARTS`] parts, so all fit a word.
fn index(bit: u64) -> usize {
    usize::try_from(bit.trailing_zeros()).unwrap_or(usize::MAX)
}

impl NamePattern {
    /// Whether it surely matches every name that `other` does.
    pub fn covers(&self, other: &Self) -> bool {
        let everything = self.tokens == [Token::Many];
        let own = other.itself.as_deref().is_none_or(|own| self.matches(own));
        let one = || literal(other).is_some_and(|name| self.matches(name.as_bytes()));
        everything || self.tokens == other.tokens && own || one()
    }

    /// Whether it matches the whole of `name`. Two positions and one place to go back
    /// to, the last `*`: at most the length of the name times that of the pattern,
    /// whatever they hold.
    pub fn matches(&self, name: &[u8]) -> bool {
        self.itself.as_deref() == Some(name) || self.fits(name)
    }

    fn fits(&self, name: &[u8]) -> bool {
        let ends = |byte: Option<&u8>, of: Option<&u8>| byte.is_none() || byte == of;
        if !ends(self.tail.last(), name.last())
            || !ends(self.head.first(), name.first())
            || !name.starts_with(&self.head)
            || !name.ends_with(&self.tail)
        {
            return false;
        }
        let mut rest = name;
        let mut tokens = self.tokens.as_slice();
        let mut back: Option<(&[Token], &[u8])> = None;
        loop {
            let step = match tokens.split_first() {
                None if rest.is_empty() => return true,
                None => None,
                Some((Token::Many, after)) => {
                    if after.is_empty() {
                        return true;
                    }
                    back = Some((after, rest));
                    tokens = after;
                    continue;
                }
                Some((token, after)) => token.take(rest).map(|rest| (after, rest)),
            };
            (tokens, rest) = match (step, back) {
                (Some(step), _) => step,
                (None, Some((after, from))) => {
                    let Some((_, from)) = character(from) else {
                        return false;
                    };
                    back = Some((after, from));
                    (after, from)
                }
                (None, None) => return false,
            };
        }
    }
}

impl Token {
    /// The rest of the name after what this token matches of it.
    fn take<'a>(&self, name: &'a [u8]) -> Option<&'a [u8]> {
        match self {
            Self::Byte(byte) => name
                .split_first()
                .filter(|(b, _)| *b == byte)
                .map(|(_, r)| r),
            Self::Many => None,
            Self::One => character(name).map(|(_, rest)| rest),
            Self::Set { negated, ranges } => {
                let (c, rest) = character(name)?;
                let within = c.is_some_and(|c| ranges.iter().any(|(a, z)| (*a..=*z).contains(&c)));
                (within != *negated).then_some(rest)
            }
        }
    }
}

/// The first character, or byte where there is none, and the rest; `None` at the end.
fn character(name: &[u8]) -> Option<(Option<char>, &[u8])> {
    let (first, after) = name.split_first()?;
    let length = match first {
        0..0x80 => return Some((Some(char::from(*first)), after)),
        0xc2..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf5 => 4,
        _ => return Some((None, after)),
    };
    let decoded = name
        .split_at_checked(length)
        .and_then(|(c, rest)| Some((std::str::from_utf8(c).ok()?.chars().next(), rest)));
    Some(decoded.unwrap_or((None, after)))
}
