//! Reads a macOS sandbox profile, and says what it decides: of the language, the part that
//! `emit::seatbelt` writes. Whatever else it meets is an error.
#![allow(dead_code)]

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

/// A value of the language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Word(String),
    Text(Vec<u8>),
    /// `#"…"`
    Raw(Vec<u8>),
    List(Vec<Value>),
}

/// Every value of `input`.
pub fn read(input: &[u8]) -> Result<Vec<Value>, String> {
    let mut at = 0;
    let mut stack = vec![Vec::new()];
    while let Some(&byte) = input.get(at) {
        at += 1;
        match byte {
            b' ' | b'\n' => {}
            b';' => at += input[at..].iter().take_while(|b| **b != b'\n').count(),
            b'(' => stack.push(Vec::new()),
            b')' => {
                let list = stack.pop().unwrap();
                stack
                    .last_mut()
                    .ok_or("a ) too many")?
                    .push(Value::List(list));
            }
            b'"' => {
                let (text, end) = string(input, at)?;
                at = end;
                stack.last_mut().unwrap().push(Value::Text(text));
            }
            b'#' if input.get(at) == Some(&b'"') => {
                let length = input[at + 1..].iter().position(|b| *b == b'"');
                let end = at + 1 + length.ok_or("a #\" has no end")?;
                let text = input[at + 1..end].to_vec();
                if text.contains(&b'\n') {
                    return Err("a line ends in a #\"".into());
                }
                stack.last_mut().unwrap().push(Value::Raw(text));
                at = end + 1;
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => {
                let plain = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'*' | b'_');
                let length = input[at..].iter().take_while(plain).count();
                let word = String::from_utf8(input[at - 1..at + length].to_vec()).unwrap();
                stack.last_mut().unwrap().push(Value::Word(word));
                at += length;
            }
            other => return Err(format!("a {:?} at {at}", char::from(other))),
        }
    }
    match stack.len() {
        1 => Ok(stack.pop().unwrap()),
        _ => Err("a ( too many".into()),
    }
}

fn string(input: &[u8], mut at: usize) -> Result<(Vec<u8>, usize), String> {
    let mut text = Vec::new();
    loop {
        let byte = *input.get(at).ok_or("a string has no end")?;
        at += 1;
        match byte {
            b'"' => return Ok((text, at)),
            b'\\' => match input.get(at) {
                Some(b @ (b'"' | b'\\')) => {
                    text.push(*b);
                    at += 1;
                }
                Some(b'x') => {
                    let digits = input.get(at + 1..at + 3).ok_or("half a number")?;
                    let digits = std::str::from_utf8(digits).map_err(|_| "no number")?;
                    text.push(u8::from_str_radix(digits, 16).map_err(|_| "no number")?);
                    at += 3;
                }
                _ => return Err("an unknown escape".into()),
            },
            0..0x20 | 0x7f => return Err("a control character in a string".into()),
            _ => text.push(byte),
        }
    }
}

/// What is asked: an operation, and what it is done to.
#[derive(Clone, Debug, Default)]
pub struct Question<'a> {
    pub operation: &'a str,
    /// Of files.
    pub path: &'a [u8],
    /// `DIRECTORY`, `REGULAR-FILE`, ….
    pub vnode: &'a str,
    /// Of IP sockets: whether it is the host's loopback, and the port; its own for bind and
    /// inbound, the other's for outbound.
    pub ip: Option<(bool, u16)>,
    /// Of Unix sockets: the path.
    pub unix: Option<&'a [u8]>,
    /// Of everything that goes by a name.
    pub name: &'a str,
}

/// An operation that the evaluator knows: its name, and what its filters are about.
const OPERATIONS: &[(&str, &[About])] = &[
    ("default", &[]),
    ("process-exec", &[]),
    ("process-fork", &[]),
    ("process-info-pidinfo", &[About::Target]),
    ("signal", &[About::Target]),
    ("mach-priv-task-port", &[About::Target]),
    ("user-preference-read", &[]),
    ("mach-lookup", &[About::Name]),
    ("mach-register", &[About::Name]),
    ("appleevent-send", &[]),
    ("lsopen", &[]),
    ("ipc-posix-shm", &[]),
    ("ipc-posix-sem", &[]),
    ("iokit-open", &[About::Class]),
    ("iokit-get-properties", &[]),
    ("system-socket", &[About::Domain]),
    ("sysctl-read", &[About::Sysctl]),
    ("sysctl-write", &[About::Sysctl]),
    ("distributed-notification-post", &[]),
    ("pseudo-tty", &[]),
    ("file-ioctl", &[About::Path]),
    ("file-read-data", &[About::Path]),
    ("file-read-metadata", &[About::Path]),
    ("file-read-xattr", &[About::Path]),
    ("file-write-data", &[About::Path]),
    ("file-write-create", &[About::Path]),
    ("file-write-unlink", &[About::Path]),
    ("file-write-mode", &[About::Path]),
    ("file-write-owner", &[About::Path]),
    ("file-write-xattr", &[About::Path]),
    ("network-bind", &[About::Local]),
    ("network-inbound", &[About::Local]),
    ("network-outbound", &[About::Local, About::Remote]),
];

/// What a filter is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    Path,
    Name,
    Sysctl,
    Class,
    Domain,
    Target,
    Local,
    Remote,
}

#[derive(Debug)]
enum Filter {
    Literal(Vec<u8>),
    Subpath(Vec<u8>),
    Regex(Rc<Regex>),
    Vnode(String),
    Named(String),
    Prefix(String),
    /// Whether only the loopback, and the port.
    Ip(About, bool, Option<u16>),
    Unix(Box<Filter>),
    /// `socket-domain AF_…`, `target same-sandbox`, ….
    Said(String),
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
}

#[derive(Debug)]
struct Rule {
    allows: bool,
    operations: Vec<String>,
    /// Empty: it is about everything.
    filters: Vec<Filter>,
}

/// A profile.
#[derive(Debug)]
pub struct Profile {
    rules: Vec<Rule>,
    /// What is logged with a refusal by default.
    pub tag: Vec<u8>,
}

/// Reads a profile.
pub fn profile(text: &str) -> Result<Profile, String> {
    let mut values = read(text.as_bytes())?.into_iter();
    let version = [Value::Word("version".into()), Value::Word("1".into())];
    if values.next() != Some(Value::List(version.into())) {
        return Err("no (version 1)".into());
    }
    let mut tag = None;
    let mut rules = Vec::new();
    for value in values {
        let Value::List(parts) = value else {
            return Err(format!("{value:?} stands alone"));
        };
        let [Value::Word(action), rest @ ..] = parts.as_slice() else {
            return Err(format!("{parts:?}"));
        };
        let allows = match action.as_str() {
            "allow" => true,
            "deny" => false,
            other => return Err(format!("({other} …)")),
        };
        if let [Value::Word(default), Value::List(with)] = rest {
            if let (false, "default", [Value::Word(with), Value::Word(what), Value::Text(text)]) =
                (allows, default.as_str(), with.as_slice())
            {
                if with == "with" && what == "message" && tag.replace(text.clone()).is_none() {
                    continue;
                }
            }
        }
        let words = rest
            .iter()
            .take_while(|value| matches!(value, Value::Word(_)));
        let mut operations = Vec::new();
        let mut about: Option<Vec<About>> = None;
        for word in words {
            let Value::Word(word) = word else {
                unreachable!()
            };
            let known = OPERATIONS.iter().filter(|(name, _)| takes(word, name));
            let known: Vec<_> = known.map(|(_, about)| *about).collect();
            let Some(first) = known.first().filter(|_| word != "default") else {
                return Err(format!("unknown operation {word}"));
            };
            if known.iter().any(|one| one != first) || about.as_ref().is_some_and(|a| a != first) {
                return Err(format!("{word} is about several things"));
            }
            about = Some(first.to_vec());
            operations.push(word.clone());
        }
        let about = about.ok_or("a rule has no operation")?;
        let filters = rest[operations.len()..]
            .iter()
            .map(|value| filter(value, &about));
        let filters = filters.collect::<Result<Vec<_>, _>>()?;
        rules.push(Rule {
            allows,
            operations,
            filters,
        });
    }
    Ok(Profile {
        rules,
        tag: tag.ok_or("nothing is denied by default")?,
    })
}

/// Whether an operation of a rule takes in the one that is asked.
fn takes(rule: &str, asked: &str) -> bool {
    match rule.strip_suffix('*') {
        Some(start) => start.ends_with(['d', 'e', 'o']) && asked.starts_with(&format!("{start}-")),
        None => rule == asked,
    }
}

fn filter(value: &Value, about: &[About]) -> Result<Filter, String> {
    let unknown = || format!("unknown filter {value:?} on what is about {about:?}");
    let Value::List(parts) = value else {
        return Err(unknown());
    };
    let [Value::Word(name), rest @ ..] = parts.as_slice() else {
        return Err(unknown());
    };
    let has = |wanted: About| about.contains(&wanted);
    let utf8 = |text: &[u8]| String::from_utf8(text.to_vec()).map_err(|_| unknown());
    let absolute = |path: &[u8]| match path {
        [b'/'] => Ok(path.to_vec()),
        [b'/', .., last] if *last != b'/' && path.len() <= 1025 => Ok(path.to_vec()),
        _ => Err(format!("{:?} is no path", String::from_utf8_lossy(path))),
    };
    Ok(match (name.as_str(), rest) {
        ("literal", [Value::Text(path)]) if has(About::Path) => Filter::Literal(absolute(path)?),
        ("subpath", [Value::Text(path)]) if has(About::Path) => Filter::Subpath(absolute(path)?),
        ("regex", [Value::Raw(text) | Value::Text(text)]) if has(About::Path) => {
            if text.len() > 900 {
                return Err("a regex of more than 900 bytes".into());
            }
            Filter::Regex(Regex::cached(text)?)
        }
        ("vnode-type", [Value::Word(kind)]) if has(About::Path) => match kind.as_str() {
            "DIRECTORY" | "CHARACTER-DEVICE" | "REGULAR-FILE" => Filter::Vnode(kind.clone()),
            _ => return Err(unknown()),
        },
        ("global-name", [Value::Text(text)]) if has(About::Name) => Filter::Named(utf8(text)?),
        ("global-name-prefix", [Value::Text(text)]) if has(About::Name) => {
            Filter::Prefix(utf8(text)?)
        }
        ("sysctl-name", [Value::Text(text)]) if has(About::Sysctl) => Filter::Named(utf8(text)?),
        ("sysctl-name-prefix", [Value::Text(text)]) if has(About::Sysctl) => {
            Filter::Prefix(utf8(text)?)
        }
        ("iokit-registry-entry-class" | "iokit-user-client-class", [Value::Text(text)])
            if has(About::Class) =>
        {
            Filter::Named(utf8(text)?)
        }
        ("target", [Value::Word(who)]) if has(About::Target) && who == "same-sandbox" => {
            Filter::Said(who.clone())
        }
        ("socket-domain", [Value::Word(domain)])
            if has(About::Domain) && matches!(domain.as_str(), "AF_SYSTEM" | "AF_UNIX") =>
        {
            Filter::Said(domain.clone())
        }
        ("socket-protocol", [Value::Word(number)]) if has(About::Domain) && number == "2" => {
            Filter::Said("protocol 2".into())
        }
        ("local" | "remote", [Value::Word(kind), what]) => {
            let side = match name.as_str() {
                "local" => About::Local,
                _ => About::Remote,
            };
            match (kind.as_str(), what) {
                _ if !has(side) => return Err(unknown()),
                ("ip", Value::Text(text)) => ip(side, &utf8(text)?).ok_or_else(unknown)?,
                ("unix-socket", path) => {
                    // The local end of a connection is not what it is made to.
                    if side == About::Local && has(About::Remote) {
                        return Err(unknown());
                    }
                    Filter::Unix(Box::new(filter(path, &[About::Path])?))
                }
                _ => return Err(unknown()),
            }
        }
        ("require-all" | "require-any", [_, ..]) => {
            let all = rest
                .iter()
                .map(|one| filter(one, about))
                .collect::<Result<_, _>>()?;
            match name.as_str() {
                "require-all" => Filter::All(all),
                _ => Filter::Any(all),
            }
        }
        ("require-not", [one]) => Filter::Not(Box::new(filter(one, about)?)),
        _ => return Err(unknown()),
    })
}

/// `HOST:PORT`, each of which may be `*`; of hosts, only `localhost` is known.
fn ip(side: About, text: &str) -> Option<Filter> {
    let (host, port) = text.split_once(':')?;
    let loopback = match host {
        "*" => false,
        "localhost" => true,
        _ => return None,
    };
    let port = match port {
        "*" => None,
        number => Some(number.parse().ok()?),
    };
    Some(Filter::Ip(side, loopback, port))
}

impl Profile {
    /// Whether the last rule that is about it allows it.
    pub fn allows(&self, question: &Question<'_>) -> bool {
        let asked = question.operation;
        assert!(OPERATIONS.iter().any(|(name, _)| *name == asked), "{asked}");
        let about = |rule: &&Rule| {
            rule.operations
                .iter()
                .any(|operation| takes(operation, asked))
                && (rule.filters.is_empty() || rule.filters.iter().any(|one| one.holds(question)))
        };
        self.rules
            .iter()
            .rev()
            .find(about)
            .is_some_and(|rule| rule.allows)
    }
}

impl Filter {
    fn holds(&self, question: &Question<'_>) -> bool {
        match self {
            Self::Literal(path) => question.path == path,
            Self::Subpath(path) if path == b"/" => question.path.starts_with(b"/"),
            Self::Subpath(path) => {
                let rest = question.path.strip_prefix(path.as_slice());
                rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
            }
            Self::Regex(regex) => regex.matches(question.path),
            Self::Vnode(kind) => question.vnode == kind,
            Self::Named(name) | Self::Said(name) => question.name == name,
            Self::Prefix(start) => question.name.starts_with(start.as_str()),
            Self::Ip(side, loopback, port) => match question.ip {
                // Before it connects, a socket's own address is any.
                Some(_) if *side == About::Local && question.operation == "network-outbound" => {
                    true
                }
                Some((is_loopback, is)) => {
                    (is_loopback || !loopback) && port.is_none_or(|port| port == is)
                }
                None => false,
            },
            Self::Unix(path) => question.unix.is_some_and(|at| {
                path.holds(&Question {
                    path: at,
                    ..question.clone()
                })
            }),
            Self::All(all) => all.iter().all(|one| one.holds(question)),
            Self::Any(any) => any.iter().any(|one| one.holds(question)),
            Self::Not(one) => !one.holds(question),
        }
    }
}

/// One character, or one byte where there is none: then beyond all characters.
type Unit = u32;

fn units(bytes: &[u8]) -> Vec<Unit> {
    let mut all = Vec::new();
    for chunk in bytes.utf8_chunks() {
        all.extend(chunk.valid().chars().map(u32::from));
        all.extend(chunk.invalid().iter().map(|b| 0x11_0000 + u32::from(*b)));
    }
    all
}

#[derive(Debug)]
enum State {
    /// Takes a unit that is in one of these ranges, or in none.
    Take {
        negated: bool,
        ranges: Vec<(Unit, Unit)>,
        next: usize,
    },
    /// Goes on in each of these.
    Split(Vec<usize>),
    End,
}

/// A regular expression that begins with `^`: an automaton, whose sets of states are made
/// as they are met, so that its time is the length of what it reads.
pub struct Regex {
    states: Vec<State>,
    /// Whether it ends in `$`.
    whole: bool,
    met: RefCell<Met>,
}

#[derive(Default)]
struct Met {
    numbers: HashMap<BTreeSet<usize>, usize>,
    sets: Vec<BTreeSet<usize>>,
    steps: HashMap<(usize, Unit), usize>,
}

impl std::fmt::Debug for Regex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a regex of {} states", self.states.len())
    }
}

impl Regex {
    /// The expression, made once a thread.
    pub fn cached(text: &[u8]) -> Result<Rc<Self>, String> {
        thread_local!(static KNOWN: RefCell<HashMap<Vec<u8>, Rc<Regex>>> = RefCell::default());
        KNOWN.with(|known| {
            if let Some(found) = known.borrow().get(text) {
                return Ok(found.clone());
            }
            let new = Rc::new(Self::new(text)?);
            known.borrow_mut().insert(text.to_vec(), new.clone());
            Ok(new)
        })
    }

    pub fn new(text: &[u8]) -> Result<Self, String> {
        let wrong = |why: &str| format!("{why} in {:?}", String::from_utf8_lossy(text));
        let rest = text.strip_prefix(b"^").ok_or_else(|| wrong("no ^"))?;
        let escaped = rest
            .iter()
            .rev()
            .skip(1)
            .take_while(|b| **b == b'\\')
            .count()
            % 2
            == 1;
        let (rest, whole) = match rest.strip_suffix(b"$") {
            Some(rest) if !escaped => (rest, true),
            _ => (rest, false),
        };
        let mut reader = Reader {
            input: units(rest),
            at: 0,
            states: vec![State::End],
        };
        let start = reader.choice(0).map_err(|why| wrong(&why))?;
        if reader.at != reader.input.len() {
            return Err(wrong("a ) too many"));
        }
        reader.states.push(State::Split(vec![start]));
        let regex = Self {
            states: reader.states,
            whole,
            met: RefCell::default(),
        };
        let start = regex.closure([regex.states.len() - 1]);
        regex.number(start);
        Ok(regex)
    }

    fn closure(&self, from: impl IntoIterator<Item = usize>) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut ahead: Vec<usize> = from.into_iter().collect();
        while let Some(at) = ahead.pop() {
            if found.insert(at) {
                if let State::Split(next) = &self.states[at] {
                    ahead.extend(next);
                }
            }
        }
        found.retain(|at| !matches!(self.states[*at], State::Split(_)));
        found
    }

    fn number(&self, set: BTreeSet<usize>) -> usize {
        let mut met = self.met.borrow_mut();
        if let Some(known) = met.numbers.get(&set) {
            return *known;
        }
        let number = met.sets.len();
        met.sets.push(set.clone());
        met.numbers.insert(set, number);
        number
    }

    fn step(&self, at: usize, unit: Unit) -> usize {
        let known = self.met.borrow().steps.get(&(at, unit)).copied();
        if let Some(known) = known {
            return known;
        }
        let set = self.met.borrow().sets[at].clone();
        let next = set.iter().filter_map(|state| match &self.states[*state] {
            State::Take {
                negated,
                ranges,
                next,
            } => {
                let within = ranges.iter().any(|(from, to)| (from..=to).contains(&&unit));
                (within != *negated).then_some(*next)
            }
            State::Split(_) | State::End => None,
        });
        let next = self.number(self.closure(next));
        self.met.borrow_mut().steps.insert((at, unit), next);
        next
    }

    pub fn matches(&self, path: &[u8]) -> bool {
        let ends = |at: usize| self.met.borrow().sets[at].contains(&0);
        let mut at = 0;
        for unit in units(path) {
            if !self.whole && ends(at) {
                return true;
            }
            at = self.step(at, unit);
        }
        ends(at)
    }
}

struct Reader {
    input: Vec<Unit>,
    at: usize,
    /// The first is the end.
    states: Vec<State>,
}

/// What repeats an item.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Times {
    Once,
    Optional,
    Any,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.input
            .get(self.at)
            .map(|unit| char::from_u32(*unit).unwrap_or('\u{fffd}'))
    }

    fn add(&mut self, state: State) -> usize {
        self.states.push(state);
        self.states.len() - 1
    }

    /// `a|b|c`, up to a `)` or the end; goes on at `next`.
    fn choice(&mut self, next: usize) -> Result<usize, String> {
        let mut choices = vec![self.row(next)?];
        while self.peek() == Some('|') {
            self.at += 1;
            choices.push(self.row(next)?);
        }
        Ok(self.add(State::Split(choices)))
    }

    /// Items one after another. They are built from the last to the first, so that each
    /// knows where it goes on.
    fn row(&mut self, next: usize) -> Result<usize, String> {
        let mut items = Vec::new();
        while !matches!(self.peek(), None | Some('|' | ')')) {
            let from = self.at;
            // Once to find its end; what that builds is nobody's.
            self.item(0)?;
            let times = match self.peek() {
                Some('*') => Times::Any,
                Some('?') => Times::Optional,
                _ => Times::Once,
            };
            items.push((from, times));
            if times != Times::Once {
                self.at += 1;
            }
        }
        let end = self.at;
        let mut next = next;
        for (from, times) in items.into_iter().rev() {
            self.at = from;
            next = match times {
                Times::Once => self.item(next)?,
                Times::Optional => {
                    let item = self.item(next)?;
                    self.add(State::Split(vec![item, next]))
                }
                Times::Any => {
                    let again = self.add(State::Split(vec![next]));
                    let item = self.item(again)?;
                    self.states[again] = State::Split(vec![item, next]);
                    again
                }
            };
        }
        self.at = end;
        Ok(next)
    }

    fn item(&mut self, next: usize) -> Result<usize, String> {
        let first = self.peek().ok_or("an end")?;
        let unit = self.input[self.at];
        self.at += 1;
        let take = |negated, ranges| State::Take {
            negated,
            ranges,
            next,
        };
        Ok(match first {
            '(' => {
                let inside = self.choice(next)?;
                if self.peek() != Some(')') {
                    return Err("a ( has no )".into());
                }
                self.at += 1;
                inside
            }
            '.' => self.add(take(true, Vec::new())),
            '[' => {
                let (negated, ranges) = self.set()?;
                self.add(take(negated, ranges))
            }
            '\\' => {
                let unit = self.punctuation()?;
                self.add(take(false, vec![(unit, unit)]))
            }
            '*' | '?' | '+' | '{' | '}' | ']' | '^' | '$' | ')' | '|' => {
                return Err(format!("a {first} with no meaning"));
            }
            _ => self.add(take(false, vec![(unit, unit)])),
        })
    }

    /// What a `\` may stand before.
    fn punctuation(&mut self) -> Result<Unit, String> {
        let unit = *self.input.get(self.at).ok_or("a \\ at the end")?;
        self.at += 1;
        match char::from_u32(unit) {
            Some(c) if c.is_ascii_punctuation() => Ok(unit),
            _ => Err("an unknown escape".into()),
        }
    }

    fn set(&mut self) -> Result<(bool, Vec<(Unit, Unit)>), String> {
        let negated = self.peek() == Some('^');
        self.at += usize::from(negated);
        let mut ranges = Vec::new();
        loop {
            let from = match self.peek() {
                None => return Err("a [ has no ]".into()),
                Some(']') if !ranges.is_empty() => {
                    self.at += 1;
                    return Ok((negated, ranges));
                }
                _ => self.member()?,
            };
            let mut to = from;
            if self.peek() == Some('-') {
                self.at += 1;
                to = self.member()?;
            }
            if to < from {
                return Err("a range runs backwards".into());
            }
            ranges.push((from, to));
        }
    }

    fn member(&mut self) -> Result<Unit, String> {
        let unit = *self.input.get(self.at).ok_or("a [ has no ]")?;
        self.at += 1;
        match char::from_u32(unit) {
            Some('\\') => self.punctuation(),
            Some(c @ (']' | '[' | '^' | '-')) => Err(format!("a bare {c} in a set")),
            Some(c) if c.is_ascii() => Ok(unit),
            _ => Err("a set with more than ASCII".into()),
        }
    }
}
