//! The lines of the control descriptor: pieces into lines, lines into orders, and what is
//! written back.

use sandbox_runtime::limits::{
    CONTROL_LINE_BYTES, CONTROL_PROBLEM_BYTES, LOG_LINE_BYTES, SETTINGS_BYTES, SETTINGS_DEPTH,
    SETTINGS_PROBLEMS,
};
use sandbox_runtime::parse::control::{Answer, Asks, Line, Lines, Order, Tunnels, order};
use sandbox_runtime::parse::settings::settings;
use sandbox_runtime::violation::control::{ask, rules};

/// The lines of these pieces, and of what is left at the end.
fn lines<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Option<Vec<u8>>> {
    let mut lines = Lines::default();
    let mut all = Vec::new();
    let mut each = |line: Line<'_>| {
        all.push(match line {
            Line::Whole(text) => Some(text.to_vec()),
            Line::TooLong => None,
        });
    };
    for piece in pieces {
        lines.take(piece, &mut each);
        assert!(lines.held() <= CONTROL_LINE_BYTES + 1, "{}", lines.held());
    }
    lines.finish(&mut each);
    all
}

/// The same as text, without those that are too long.
fn texts(input: &[u8], size: usize) -> Vec<String> {
    let found = lines(input.chunks(size));
    let text = |line: Vec<u8>| String::from_utf8(line).unwrap();
    found.into_iter().flatten().map(text).collect()
}

#[test]
fn lines_are_the_same_however_they_are_cut() {
    for (input, expected) in [
        ("", &[][..]),
        ("a", &["a"]),
        ("a\n", &["a"]),
        ("a\nb", &["a", "b"]),
        ("\n\na\n\n", &["", "", "a", ""]),
        ("a\r\nb\r\n", &["a", "b"]),
        ("a\rb\r\r\n", &["a\rb\r"]),
        ("a\r\n\r\nb\r", &["a", "", "b"]),
        ("\r", &[""]),
    ] {
        for size in 1..=input.len() + 1 {
            let found = texts(input.as_bytes(), size);
            assert_eq!(found, expected, "{input:?} in pieces of {size}");
        }
    }
}

#[test]
fn a_line_is_given_when_its_end_is_there_and_nothing_is_held_after_it() {
    let mut lines = Lines::default();
    let mut found = Vec::new();
    lines.take(b"one\ntw", |line| found.push(format!("{line:?}")));
    assert_eq!(found, [format!("{:?}", Line::Whole(b"one"))]);
    assert!(lines.held() > 0);
    lines.take(b"o\n", |line| found.push(format!("{line:?}")));
    assert_eq!(found[1..], [format!("{:?}", Line::Whole(b"two"))]);
    assert_eq!(lines.held(), 0);
}

#[test]
fn a_line_has_a_bound_and_is_told_of_once() {
    let most = "x".repeat(CONTROL_LINE_BYTES);
    let whole = || Some(most.clone().into_bytes());
    let next = || Some(b"next".to_vec());
    for (input, expected) in [
        (format!("{most}\nnext"), [whole(), next()]),
        (format!("{most}\r\nnext"), [whole(), next()]),
        (format!("{most}x\nnext"), [None, next()]),
        (format!("{most}\rx\nnext\n"), [None, next()]),
        (format!("{most}\r\r\nnext\n"), [None, next()]),
        (format!("{most}{most}{most}\nnext\n"), [None, next()]),
        (format!("next\n{most}"), [next(), whole()]),
        (format!("next\n{most}\r"), [next(), whole()]),
        (format!("next\n{most}x"), [next(), None]),
        (format!("next\n{most}{most}"), [next(), None]),
    ] {
        for size in [4096, 65_537, CONTROL_LINE_BYTES + 1, usize::MAX] {
            let found = lines(input.as_bytes().chunks(size));
            let ends = &input[..5].escape_default().to_string();
            assert!(found == expected, "{ends}… in pieces of {size}");
        }
    }
}

#[test]
fn what_is_too_long_is_told_at_once_and_is_not_kept() {
    let mut lines = Lines::default();
    let mut told = 0;
    let piece = [b'x'; 1 << 16];
    for _ in 0..=CONTROL_LINE_BYTES / piece.len() {
        assert_eq!(told, 0);
        lines.take(&piece, |line| told += u32::from(line == Line::TooLong));
    }
    assert_eq!((told, lines.held()), (1, 0));
    for _ in 0..1000 {
        lines.take(&piece, |_| panic!("it was told already"));
    }
    assert_eq!(lines.held(), 0);
    lines.finish(|_| panic!("nothing is left"));
}

fn answer(id: u64, answer: Answer) -> Option<Order> {
    Some(Order::Answer { id, answer })
}

#[test]
fn orders_are_read() {
    let most = i64::MAX;
    for (line, expected) in [
        ("", None),
        (" \t\r ", None),
        (r#"{"ask":true}"#, Some(Order::Asks(Asks::Wanted))),
        (r#"{"tunnels":"cut"}"#, Some(Order::Tunnels(Tunnels::Cut))),
        (r#"{"tunnels":"keep"}"#, Some(Order::Tunnels(Tunnels::Keep))),
        (r#" { "ask" : false } "#, Some(Order::Asks(Asks::Unwanted))),
        (r#"{"\u0061sk":true}"#, Some(Order::Asks(Asks::Wanted))),
        (r#"{"id":1,"allow":true}"#, answer(1, Answer::Allow)),
        (
            r#"{"allow":false,"id":70000}"#,
            answer(70_000, Answer::Deny),
        ),
        (
            &format!(r#"{{"id":{most},"allow":true}}"#),
            answer(most.unsigned_abs(), Answer::Allow),
        ),
        ("{}", Some(Order::Rules(Box::default()))),
    ] {
        assert_eq!(order(line.as_bytes()), Ok(expected), "{line}");
        assert_eq!(Line::Whole(line.as_bytes()).order(), order(line.as_bytes()));
    }
}

#[test]
fn settings_are_what_the_file_would_be() {
    for text in [
        "{}",
        r#"{"network":{"allowedDomains":["a.test","*.b.test:443"]}}"#,
        r#"{"network":{"deniedDomains":["*"]},"filesystem":{"denyRead":["~/.ssh"]},"allowPty":true}"#,
    ] {
        let expected = settings(text.as_bytes()).unwrap();
        let found = order(text.as_bytes()).unwrap();
        assert_eq!(found, Some(Order::Rules(Box::new(expected))), "{text}");
    }
}

#[test]
fn what_is_wrong_is_told_with_what_would_be_right() {
    const SHAPES: &str = "column 1: must be an object: the settings as a whole, {\"ask\": true}, or {\"id\": 1, \"allow\": true}";
    const ALONE: &str = "unknown beside ask: write {\"ask\": true} or {\"ask\": false} alone";
    const ANSWER: &str = "unknown in an answer: write {\"id\": 1, \"allow\": true} alone";
    const MISSING: &str =
        "is missing: write {\"id\": 1, \"allow\": true}, with the id of the question";
    let said = |at: &str, text: &str| format!("{at}: {text}");
    let number = "must be a whole number, from 1";
    for (line, expected) in [
        ("[]", vec![SHAPES.to_owned()]),
        ("null", vec![SHAPES.into()]),
        ("\"ask\"", vec![SHAPES.into()]),
        ("1", vec![SHAPES.into()]),
        ("ask", vec!["column 1: a value is expected here".into()]),
        ("{\"ask\":true", vec!["column 12: ',' or '}' is expected here".into()]),
        ("{\"ask\":true}{}", vec!["column 13: nothing may follow the object".into()]),
        (r#"{"ask":1}"#, vec!["column 8: ask: must be true or false".into()]),
        (r#"{"tunnels":true}"#, vec!["column 12: tunnels: must be \"cut\" or \"keep\"".into()]),
        (
            r#"{"tunnels":"cut","tunnels":"cut","id":1}"#,
            vec![
                "column 18: tunnels: stands twice".into(),
                "column 34: id: unknown beside tunnels: write {\"tunnels\": \"cut\"} or {\"tunnels\": \"keep\"} alone".into(),
            ],
        ),
        (r#"{"ask":null}"#, vec!["column 8: ask: must be true or false".into()]),
        (r#"{"ask":true,"ask":true}"#, vec!["column 13: ask: stands twice".into()]),
        (r#"{"ask":true,"network":{}}"#, vec![said("column 13: network", ALONE)]),
        (
            r#"{"id":1,"ask":"x","allow":true}"#,
            vec![
                said("column 2: id", ALONE),
                "column 15: ask: must be true or false".into(),
                said("column 19: allow", ALONE),
            ],
        ),
        (r#"{"id":1}"#, vec![said("column 1: allow", MISSING)]),
        (r#"  {"allow":true}"#, vec![said("column 3: id", MISSING)]),
        (r#"{"id":0,"allow":true}"#, vec![said("column 7: id", number)]),
        (r#"{"id":-1,"allow":true}"#, vec![said("column 7: id", number)]),
        (r#"{"id":1.0,"allow":true}"#, vec![said("column 7: id", number)]),
        (r#"{"id":1e0,"allow":true}"#, vec![said("column 7: id", number)]),
        (r#"{"id":"1","allow":true}"#, vec![said("column 7: id", number)]),
        (
            r#"{"id":9223372036854775808,"allow":true}"#,
            vec![said("column 7: id", number)],
        ),
        (r#"{"id":1,"allow":1}"#, vec!["column 17: allow: must be true or false".into()]),
        (
            r#"{"id":1,"id":2,"allow":true,"allow":false}"#,
            vec!["column 9: id: stands twice".into(), "column 29: allow: stands twice".into()],
        ),
        (
            r#"{"id":1,"allow":true,"event":"ask"}"#,
            vec![said("column 22: event", ANSWER)],
        ),
        (
            r#"{"network":{},"network":{},"quite another":1}"#,
            vec!["column 15: network: stands twice".into(), "column 28: quite another: unknown key".into()],
        ),
        (
            r#"{"network":{"allowedDomans":[]}}"#,
            vec![
                "column 13: network.allowedDomans: unknown key; did you mean network.allowedDomains?"
                    .into(),
            ],
        ),
    ] {
        assert_eq!(order(line.as_bytes()), Err(expected), "{line}");
    }
    let not_utf8 = Err(vec!["column 1: the line is not UTF-8".to_owned()]);
    assert_eq!(order(b"{\"\xff\":1}"), not_utf8);
}

#[test]
fn orders_have_the_bounds_of_settings() {
    assert_eq!(CONTROL_LINE_BYTES, SETTINGS_BYTES);
    let too_long = Err(vec![format!(
        "column 1: the line is over {CONTROL_LINE_BYTES} bytes"
    )]);
    assert_eq!(Line::TooLong.order(), too_long);
    let spaces = " ".repeat(CONTROL_LINE_BYTES - 2);
    assert!(order(format!("{{{spaces}}}").as_bytes()).is_ok());
    assert_eq!(order(format!("{{{spaces} }}").as_bytes()), too_long);
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        order(format!("{{\"ask\":{open}{close}}}").as_bytes()).unwrap_err()
    };
    let switch = "column 8: ask: must be true or false";
    assert_eq!(nested(SETTINGS_DEPTH - 1), [switch]);
    assert!(nested(SETTINGS_DEPTH)[0].contains("deep"));
    assert!(nested(1_000_000)[0].contains("deep"));
    for count in [SETTINGS_PROBLEMS, SETTINGS_PROBLEMS + 1, 100_000] {
        for first in ["\"ask\":true", "\"id\":1,\"allow\":true"] {
            let line = format!("{{{first}{}}}", ",\"x\":1".repeat(count));
            assert_eq!(order(line.as_bytes()).unwrap_err().len(), SETTINGS_PROBLEMS);
        }
    }
}

#[test]
fn questions_are_one_line_whatever_the_host() {
    let plain =
        "{\"event\":\"ask\",\"id\":1,\"host\":\"example.org\",\"port\":443,\"run\":\"r\"}\n";
    assert_eq!(ask(1, "example.org", 443, "r"), plain);
    let escaped = "{\"event\":\"ask\",\"id\":18446744073709551615,\"host\":\"\\\"\\u000a\\u0024\\u202e\",\"port\":1,\"run\":\"\\u00e9\"}\n";
    assert_eq!(ask(u64::MAX, "\"\n$\u{202e}", 1, "é"), escaped);
    // The longest name is there as a whole, at its worst.
    let longest = "\u{1}".repeat(253);
    let whole = "\\u0001".repeat(253);
    assert!(ask(1, &longest, 65535, "r").contains(&format!("\"{whole}\"")));
    let huge = "\u{1}".repeat(100_000);
    assert!(ask(u64::MAX, &huge, 65535, &huge).len() <= LOG_LINE_BYTES);
}

#[test]
fn what_became_of_rules_is_one_line_with_bounds() {
    assert_eq!(rules(&[]), "{\"event\":\"rules\",\"ok\":true}\n");
    let two = ["a \"b\"".to_owned(), "c\nd".to_owned()];
    let told = "{\"event\":\"rules\",\"ok\":false,\"problems\":[\"a \\\"b\\\"\",\"c\\u000ad\"]}\n";
    assert_eq!(rules(&two), told);
    let fits = "x".repeat(CONTROL_PROBLEM_BYTES - 2);
    let line = rules(std::slice::from_ref(&fits));
    assert!(line.contains(&format!("[\"{fits}\"]")));
    let line = rules(&[format!("{fits}x")]);
    assert!(line.contains("x...\"]") && !line.contains(&fits));
    let many = vec!["\u{1}".repeat(10_000); SETTINGS_PROBLEMS + 1];
    let line = rules(&many);
    assert_eq!(line.matches("...\"").count(), SETTINGS_PROBLEMS);
    assert!(line.len() <= SETTINGS_PROBLEMS * (CONTROL_PROBLEM_BYTES + 1) + 64);
}
