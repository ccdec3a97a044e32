//! What must hold for every input, shared by the fuzz targets and `cargo test`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

use sandbox_runtime::args;
use sandbox_runtime::limits::{CONTROL_LINE_BYTES, LOG_EVENT_BYTES, SETTINGS_PROBLEMS};
use sandbox_runtime::parse::Status;
use sandbox_runtime::parse::control::{Line, Lines, Order, order};
use sandbox_runtime::parse::glob::{PathPattern, path_pattern};
use sandbox_runtime::parse::host::{self, List};
use sandbox_runtime::parse::http::request_head;
use sandbox_runtime::parse::response::response_head;
use sandbox_runtime::parse::settings;
use sandbox_runtime::parse::{
    dns, gitlink, holds, hosts, json, proxy_url, sandbox, socks, tls, unified_log,
};
use sandbox_runtime::policy::compare::more;
use sandbox_runtime::policy::lint::{Around, lint};
use sandbox_runtime::policy::network::Network;
use sandbox_runtime::policy::route::Routes;
use sandbox_runtime::proxy::conversation::Conversation;
use sandbox_runtime::proxy::names::{Meant, Names};
use sandbox_runtime::proxy::responder::answer;
use sandbox_runtime::proxy::secret::Secret;

use sandbox_runtime::run::sight::Sight as ObserversSight;
use sandbox_runtime::run::witness::{heard, seen};
use sandbox_runtime::violation::suggest::{Lies, Sight, suggest};
use sandbox_runtime::violation::{
    Kind, Outcome, Process, Violation, control as spoken, log, merge::merge,
};

#[path = "wire.rs"]
#[allow(dead_code)]
mod wire;
use wire::{Step, play, play_on};

/// Whether a number is in it that only a range or precision of its own can hold:
/// RFC 8259 (6) lets every reader choose, and miniserde refuses what overflows a double.
fn has_odd_number(node: &json::Node) -> bool {
    match &node.value {
        json::Value::Number(_) => true,
        json::Value::List(items) => items.iter().any(has_odd_number),
        json::Value::Object(members) => members.iter().any(|(_, node)| has_odd_number(node)),
        _ => false,
    }
}

/// Settings: no panic, and none allow more than themselves; what our JSON reader takes,
/// miniserde takes as well.
pub fn settings(input: &[u8]) {
    if let Ok(found) = settings::settings(input) {
        assert_eq!(more(&found, &found, None), [""; 0]);
        let _ = lint(&found, &Around::default());
    }
    if json::document(input).is_ok_and(|node| !has_odd_number(&node)) {
        let text = std::str::from_utf8(input).expect("the reader takes UTF-8 only");
        assert!(miniserde::json::from_str::<miniserde::json::Value>(text).is_ok());
    }
}

/// Hosts, patterns and ranges: printed and read again, they are the same.
pub fn host(input: &[u8]) {
    if let Ok(found) = host::host(input) {
        assert_eq!(host::host(found.to_string().as_bytes()), Ok(found));
    }
    if let Ok(found) = host::authority(input) {
        assert_eq!(host::authority(found.to_string().as_bytes()), Ok(found));
    }
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    for list in [List::Allow, List::Deny] {
        if let Ok(found) = host::pattern(text, list) {
            assert_eq!(host::pattern(&found.to_string(), list), Ok(found));
        }
    }
    let _ = host::address_range(text);
}

/// The contract of an incremental parser, on every prefix of `input`.
fn contract(input: &[u8], parse: impl Fn(&[u8]) -> Result<Status<()>, ()>) {
    let mut complete = None;
    let mut failed = false;
    for end in 0..=input.len() {
        match parse(input.get(..end).unwrap_or_default()) {
            Ok(Status::Partial) => assert!(
                complete.is_none() && !failed,
                "partial after an end, at {end}"
            ),
            Ok(Status::Complete { used, .. }) => {
                assert!(used <= end && !failed);
                assert_eq!(*complete.get_or_insert(used), used);
            }
            Err(_) => {
                assert!(complete.is_none(), "an error after an end, at {end}");
                failed = true;
            }
        }
    }
}

/// The status alone.
fn bare<T, E>(result: Result<Status<T>, E>) -> Result<Status<()>, ()> {
    match result {
        Ok(Status::Complete { used, .. }) => Ok(Status::Complete { value: (), used }),
        Ok(Status::Partial) => Ok(Status::Partial),
        Err(_) => Err(()),
    }
}

/// Longest input whose every prefix is tried: the cost is the square of it.
const PREFIXES: usize = 512;

/// Request heads and their bodies.
pub fn http(input: &[u8]) {
    let short = input.get(..PREFIXES).unwrap_or(input);
    contract(short, |bytes| bare(request_head(bytes)));
    if let Ok(Status::Complete { value, used }) = request_head(input) {
        let rest = input.get(used..).unwrap_or_default();
        let mut whole = value.body;
        let mut cut = value.body;
        let at = rest.len() / 2;
        let (first, second) = rest.split_at(at);
        let one = cut.take(first).unwrap_or(0);
        let two = if one < first.len() {
            0
        } else {
            cut.take(second).unwrap_or(0)
        };
        assert_eq!((whole.take(rest).unwrap_or(0), whole), (one + two, cut));
    }
}

/// SOCKS messages.
pub fn socks(input: &[u8]) {
    let short = input.get(..PREFIXES).unwrap_or(input);
    contract(short, |bytes| {
        bare(socks::greeting(bytes, socks::Method::None))
    });
    contract(short, |bytes| bare(socks::password(bytes)));
    contract(short, |bytes| bare(socks::request(bytes)));
}

/// The password of [`conversation`], and what Basic makes of `srt:` and it.
const SECRET: [&str; 2] = ["s3cr3t", "c3J0OnMzY3IzdA"];

/// The first bytes of an input are what the client sends, and the rest what the other
/// side answers, behind a NUL: cut however, the same is seen from outside. That nothing
/// is sent before a connection stands, [`wire`] asserts.
pub fn conversation(input: &[u8]) {
    let input = input.get(..PREFIXES).unwrap_or(input);
    let file = br#"{"network": {"allowedDomains": ["a.test", "*.b.test"]}}"#;
    let settings = settings::settings(file).expect("valid settings");
    let network = Network::new(&settings.network, &[], Routes::default());
    let mut halves = input.splitn(2, |&b| b == 0);
    let client = halves.next().unwrap_or_default();
    let server = halves.next().unwrap_or_default();
    for end in [Step::ClientEnd, Step::UpstreamEnd, Step::Deadline] {
        let steps = [
            Step::Client(client),
            Step::Dialled,
            Step::Upstream(server),
            end,
        ];
        let whole = play(&network, &steps, usize::MAX);
        assert_eq!(play(&network, &steps, 1), whole);
        assert_eq!(play(&network, &steps, 7), whole);
        // Whoever does not know the secret gets nowhere, and is told nothing.
        let holds = |text: &&str| input.windows(text.len()).any(|w| w == text.as_bytes());
        if !SECRET.iter().any(holds) {
            let secret = Arc::new(Secret::new("srt", SECRET[0]));
            let guarded = play_on(Conversation::guarded(secret), &network, &steps, 7);
            assert!(guarded.dials.is_empty() && guarded.denied.is_empty());
        }
    }
}

/// TLS: the contract of a parser; and cut into other records, a ClientHello says the
/// same. That is tried on the whole input: real ones are longer than [`PREFIXES`].
pub fn tls(input: &[u8]) {
    let short = input.get(..PREFIXES).unwrap_or(input);
    contract(short, |bytes| bare(tls::client_hello(bytes)));
    let Ok(Status::Complete { value, used }) = tls::client_hello(input) else {
        return;
    };
    let mut message = Vec::new();
    let mut rest = input.get(..used).unwrap_or_default();
    while let Some(([_, _, _, high, low], after)) = rest.split_first_chunk::<5>() {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        message.extend_from_slice(after.get(..length).unwrap_or_default());
        rest = after.get(length..).unwrap_or_default();
    }
    for size in [1, 7, 1 << 14] {
        let mut cut = Vec::new();
        for part in message.chunks(size) {
            let length = u16::try_from(part.len()).expect("at most 2^14");
            cut.extend_from_slice(&[22, 3, 1]);
            cut.extend_from_slice(&length.to_be_bytes());
            cut.extend_from_slice(part);
        }
        let (value, used) = (value.clone(), cut.len());
        assert_eq!(
            tls::client_hello(&cut),
            Ok(Status::Complete { value, used })
        );
    }
}

/// The longest answer that every client takes over UDP (RFC 1035, 2.3.4).
const DATAGRAM: usize = 512;

/// DNS questions: frames hold the contract; an answer repeats the question, fits a datagram,
/// and gives an address to names of the policy only, by which they are found again.
pub fn dns(input: &[u8]) {
    let short = input.get(..PREFIXES).unwrap_or(input);
    contract(short, |bytes| bare(dns::framed(bytes)));
    let text = br#"{"network": {"allowedDomains": ["*.example.com", "one.test:443"]}}"#;
    let settings = settings::settings(text).expect("these are valid").network;
    let network = Network::new(&settings, &[], Routes::default());
    let mut names = Names::default();
    let Some(answered) = answer(input, &network, &mut names) else {
        assert!(input.len() < dns::HEADER_BYTES || input[2] & 0x80 != 0);
        return;
    };
    let bytes = &answered.bytes;
    assert!(bytes.len() <= DATAGRAM && bytes[..2] == input[..2] && bytes[2] & 0x80 != 0);
    let Ok(question) = dns::question(input) else {
        assert!(answered.refused.is_none() && bytes[4..12] == [0; 8]);
        return;
    };
    let behind = dns::HEADER_BYTES + question.raw.len();
    assert_eq!(bytes[dns::HEADER_BYTES..behind], *question.raw);
    if bytes[7] == 1 {
        assert_eq!(bytes[behind..behind + 6], [0xc0, 12, 0, 1, 0, 1]);
        let address: [u8; 4] = bytes[behind + 12..behind + 16].try_into().expect("four");
        let name = String::from_utf8(question.name).expect("ASCII");
        match names.meant(address.into(), 443) {
            Meant::Target(target) if address[0] == 198 => {
                assert_eq!(target.host.to_string(), name);
                assert!(name.ends_with(".example.com") || name == "one.test");
            }
            other => assert!(
                name.ends_with("localhost") && address[0] == 127,
                "{other:?}"
            ),
        }
    }
}

/// The hosts file: what is read of it is read again from what it says.
pub fn hosts(input: &[u8]) {
    let found: Vec<_> = hosts::hosts(input).collect();
    let lines = found
        .iter()
        .map(|(ip, name)| format!("{ip}\t{name} # {name}\n"));
    let again: Vec<_> = hosts::hosts(lines.collect::<String>().as_bytes()).collect();
    assert_eq!(found, again);
}

/// Response heads.
pub fn response(input: &[u8]) {
    let short = input.get(..PREFIXES).unwrap_or(input);
    contract(short, |bytes| bare(response_head(bytes)));
}

/// URLs of proxies and what is excepted from them: never a panic, never the password.
pub fn proxy_url(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Ok(url) = proxy_url::proxy_url(text) {
        let again = proxy_url::proxy_url(&url.to_string()).expect("printed, it is one");
        assert_eq!(again.target, url.target);
        assert!(again.authorization.is_none());
    }
    let _ = proxy_url::exception(text);
}

/// Command lines: words are separated by NUL.
pub fn args(input: &[u8]) {
    let words = input
        .split(|&b| b == 0)
        .map(|w| OsString::from_vec(w.to_vec()));
    if let Ok(args::Action::Run(run)) = args::action(words) {
        assert!(!run.argv.is_empty());
    }
}

/// Longest path that is tried against a glob here: a naive matcher tries every way.
const NAIVE: usize = 24;

/// Globs: a pattern, NUL, a path. What is literal matches nothing but itself; `**` in
/// front takes any directories; the step for directories and the one for files agree.
pub fn glob(input: &[u8]) {
    let mut halves = input.splitn(2, |&b| b == 0);
    let pattern = halves.next().unwrap_or_default();
    let path = halves.next().unwrap_or_default();
    let Ok(text) = std::str::from_utf8(pattern) else {
        return;
    };
    let path = path.get(..NAIVE).unwrap_or(path);
    let Ok(PathPattern::Glob(glob)) = path_pattern(text) else {
        return;
    };
    let names = || path.split(|&b| b == b'/');
    let mut at = glob.start();
    let mut matched = false;
    for name in names() {
        let ends = glob.ends(at, name);
        (at, matched) = glob.step(at, name);
        assert_eq!(ends, matched);
    }
    assert_eq!(glob.matches(names()), matched);
    let relative = text.strip_prefix(&glob.base).unwrap_or_default();
    if glob.base.is_empty() && !relative.starts_with('/') {
        let anywhere = format!("**/{text}");
        if let (true, Ok(PathPattern::Glob(anywhere))) = (matched, path_pattern(&anywhere)) {
            assert!(anywhere.matches(names()));
            assert!(anywhere.matches([&b"x"[..], b"y"].into_iter().chain(names())));
        }
    }
}

/// Records of placeholders: printed and read again, they are the same.
pub fn records(input: &[u8]) {
    if let Some(held) = holds::holds(input) {
        let printed: Vec<u8> = held.iter().flat_map(holds::record).collect();
        assert_eq!(holds::holds(&printed), Some(held));
    }
}

/// git's files: what is found is part of what was given, and could be a path.
pub fn gitlink(input: &[u8]) {
    for found in [gitlink::gitdir(input), gitlink::commondir(input)] {
        let Some(path) = found else { continue };
        assert!(!path.is_empty() && !path.contains(&0));
        assert!(input.windows(path.len()).any(|part| part == path));
    }
}

/// Violations, whatever they are of: a line of the log is one line of JSON in ASCII and not
/// too long; what is shown moves no cursor; what is suggested is valid settings, also when
/// merged into others.
pub fn violation(input: &[u8]) {
    let text = String::from_utf8_lossy(input).into_owned();
    for (kind, action) in [
        (Kind::Network, "connect"),
        (Kind::Write, "openat"),
        (Kind::Write, "unlinkat"),
        (Kind::Read, "openat"),
        (Kind::Socket, "connect"),
    ] {
        let violation = Violation {
            kind,
            action: action.into(),
            target: text.clone(),
            rule: "no rule allows it".into(),
            reason: text.clone(),
            outcome: Outcome::Denied,
            process: Some(Process {
                pid: 1,
                program: text.clone(),
            }),
            time: 0,
            count: 2,
        };
        let line = log::line(&violation, &text, u64::MAX);
        assert!(line.len() <= sandbox_runtime::limits::LOG_LINE_BYTES);
        let body = line.strip_suffix('\n').expect("a line ends");
        assert!(body.bytes().all(|b| (b' '..=b'~').contains(&b)), "{body}");
        assert!(json::document(body.as_bytes()).is_ok(), "{body}");
        let shown = violation.to_string();
        assert!(shown.bytes().all(|b| (b' '..=b'~').contains(&b)), "{shown}");
        let sight = Sight {
            lies: &|path| match path.len() % 3 {
                0 => Lies::Nowhere,
                1 => Lies::File,
                _ => Lies::Directory,
            },
            home: b"/home/me",
        };
        let found = suggest([violation].iter(), &sight);
        let alone = merge(None, &found.added);
        assert!(settings::settings(alone.as_bytes()).is_ok(), "{alone}");
        if let (Ok(node), Ok(_)) = (json::document(input), settings::settings(input)) {
            let merged = merge(Some(&node), &found.added);
            assert!(json::document(merged.as_bytes()).is_ok(), "{merged}");
        }
    }
}

/// What the observer and the supervisor tell one another: no panic, and what is written is
/// read back.
pub fn observer(input: &[u8]) {
    let _ = heard(input);
    let _ = ObserversSight::decode(input);
    let half = input.len() / 2;
    let (target, program) = input.split_at(half);
    if !program.contains(&0) {
        let message = seen(Kind::Write, 7, ["mkdir", "a rule"], target, program);
        let back = heard(&message).expect("it is one");
        let sandbox_runtime::run::witness::Heard::Attempt {
            kind,
            action,
            rule,
            target: found,
            process,
        } = back
        else {
            panic!("an attempt was told");
        };
        assert_eq!(
            (kind, action.as_str(), rule.as_str()),
            (Kind::Write, "mkdir", "a rule")
        );
        assert_eq!((found.as_slice(), process.pid), (target, 7));
    }
}

/// macOS's log: cut however, it holds the same events; none is longer than its bound, and
/// what is read of one lies in it.
pub fn unified_log(input: &[u8]) {
    let events = |size: usize| {
        let mut joiner = unified_log::Joiner::new("TAG");
        let mut all = Vec::new();
        for piece in input.chunks(size) {
            joiner.take(piece, |event| all.push(event.to_vec()));
        }
        all
    };
    let whole = events(1);
    if input.len() < LOG_EVENT_BYTES {
        assert_eq!(events(usize::MAX), whole);
        assert_eq!(events(7), whole);
    }
    for event in &whole {
        assert!(event.len() <= LOG_EVENT_BYTES);
        if let Some(denial) = unified_log::denial(event) {
            let written = [
                b"Sandbox: ",
                denial.program,
                format!("({}) deny(1) ", denial.pid).as_bytes(),
                denial.operation,
                b" ",
                denial.target,
            ]
            .concat();
            assert_eq!(unified_log::denial(&written), Some(denial));
        }
    }
}

/// The control descriptor: cut however, it holds the same lines, and none with an end in it;
/// rules are what the settings make of the same text; what is wrong can be told in one line.
pub fn control(input: &[u8]) {
    let lines = |size: usize| {
        let mut lines = Lines::default();
        let mut all = Vec::new();
        let mut each = |line: Line<'_>| match line {
            Line::Whole(text) => all.push(Some(text.to_vec())),
            Line::TooLong => all.push(None),
        };
        for piece in input.chunks(size) {
            lines.take(piece, &mut each);
            assert!(lines.held() <= CONTROL_LINE_BYTES + 1);
        }
        lines.finish(&mut each);
        all
    };
    let whole = lines(usize::MAX);
    assert_eq!(lines(1), whole);
    assert_eq!(lines(7), whole);
    for line in whole.iter().flatten() {
        assert!(line.len() <= CONTROL_LINE_BYTES && !line.contains(&b'\n'));
        let found = order(line);
        assert_eq!(Line::Whole(line).order(), found);
        match (found, settings::settings(line)) {
            (Ok(Some(Order::Rules(rules))), settings) => assert_eq!(Ok(*rules), settings),
            (Ok(Some(Order::Answer { id, .. })), Err(_)) => assert!(id > 0),
            (Ok(Some(Order::Asks(_) | Order::Tunnels(_)) | None), Err(_)) => {}
            (Err(problems), Err(_)) => {
                assert!((1..=SETTINGS_PROBLEMS).contains(&problems.len()));
                let told = spoken::rules(&problems);
                let body = told.strip_suffix('\n').expect("a line ends");
                assert!(body.bytes().all(|b| (b' '..=b'~').contains(&b)), "{body}");
                assert!(json::document(body.as_bytes()).is_ok(), "{body}");
            }
            (found, Ok(_)) => panic!("settings, and not rules: {found:?}"),
        }
    }
    let _ = order(input);
}

/// What bubblewrap says of its sandbox: whatever it is, never a panic; and what is read is
/// what is written again.
pub fn sandbox(input: &[u8]) {
    if let Some(found) = sandbox::sandbox(input) {
        let again = format!(
            "{{\"child-pid\": {}, \"net-namespace\": {}}}",
            found.pid, found.network
        );
        assert_eq!(sandbox::sandbox(again.as_bytes()), Some(found));
    }
}
