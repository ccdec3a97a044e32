//! The protocol of the control descriptor as README.md has it: its examples are lines that
//! are read or written so, and its schema takes what is read and written, and nothing else.

#[path = "support/schema.rs"]
mod schema;

use std::collections::BTreeSet;
use std::fs;

use sandbox_runtime::limits::{CONTROL_LINE_BYTES, CONTROL_PROBLEM_BYTES, SETTINGS_PROBLEMS};
use sandbox_runtime::parse::control::order;
use sandbox_runtime::parse::json::{Node, Value, document};
use sandbox_runtime::parse::schema::KEYS;
use sandbox_runtime::violation::control::{ask, rules};
use sandbox_runtime::violation::{Kind, Outcome, Process, Violation, log};
use schema::{Schema, field};

/// The time of the example.
const MILLIS: u64 = 1_767_323_045_678;

/// The section of README.md: what stands before the schema, and the schema.
fn section() -> (String, String) {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let at = readme.split("### The control descriptor\n").nth(1).unwrap();
    let section = at.split("\n##").next().unwrap();
    let (text, rest) = section.split_once("```json\n").unwrap();
    let (schema, rest) = rest.split_once("```\n").unwrap();
    assert!(!rest.contains('{'), "an example behind the schema");
    (text.to_owned(), schema.to_owned())
}

fn schema() -> Schema {
    Schema::new(document(section().1.as_bytes()).unwrap_or_else(|e| panic!("{e:?}")))
}

fn text(node: &Node, name: &str) -> String {
    match field(node, name) {
        Some(Value::Text(text)) => text.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

fn number<T: TryFrom<i64>>(node: &Node, name: &str) -> T {
    match field(node, name) {
        Some(Value::Integer(n)) => T::try_from(*n).ok().unwrap(),
        other => panic!("{name}: {other:?}"),
    }
}

/// What is written for the fields of `node`.
fn written(node: &Node) -> String {
    match text(node, "event").as_str() {
        "ask" => {
            let (host, run) = (text(node, "host"), text(node, "run"));
            ask(number(node, "id"), &host, number(node, "port"), &run)
        }
        "rules" => match field(node, "problems") {
            None => rules(&[]),
            Some(Value::List(items)) => {
                let problem = |item: &Node| match &item.value {
                    Value::Text(text) => text.clone(),
                    other => panic!("{other:?}"),
                };
                rules(&items.iter().map(problem).collect::<Vec<_>>())
            }
            other => panic!("{other:?}"),
        },
        "violation" => {
            let violation = Violation {
                kind: Kind::Network,
                action: text(node, "action"),
                target: text(node, "target"),
                rule: text(node, "rule"),
                reason: text(node, "reason"),
                outcome: Outcome::Denied,
                process: Some(Process {
                    pid: number(node, "pid"),
                    program: text(node, "program"),
                }),
                time: 0,
                count: number(node, "count"),
            };
            log::line(&violation, &text(node, "run"), MILLIS)
        }
        other => panic!("{other}"),
    }
}

#[test]
fn every_example_is_a_line_of_its_direction() {
    let schema = schema();
    let (mut read, mut events) = (0, BTreeSet::new());
    let mut direction = String::new();
    for row in section().0.lines().filter(|row| row.starts_with("| ")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        if !cells[1].is_empty() {
            direction = cells[1].to_owned();
        }
        let line = cells[2].trim_matches('`');
        match direction.as_str() {
            "direction" => assert_eq!(cells[2], "line"),
            "to `srt`" => {
                assert!(order(line.as_bytes()).unwrap().is_some(), "{line}");
                assert!(schema.takes("toSrt", line), "{line}");
                read += 1;
            }
            "from `srt`" => {
                let node = document(line.as_bytes()).unwrap();
                assert_eq!(written(&node), format!("{line}\n"));
                assert!(schema.takes("fromSrt", line), "{line}");
                events.insert(text(&node, "event"));
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(read, 7);
    assert!(events.into_iter().eq(["ask", "rules", "violation"]));
    // What else is written as an object in the text is a line as well.
    let spans = section().0;
    for span in spans.split('`').skip(1).step_by(2) {
        if span.starts_with('{') && !span.contains("\"event\"") {
            assert!(order(span.as_bytes()).unwrap().is_some(), "{span}");
        }
    }
}

#[test]
fn the_problem_of_the_example_is_what_such_a_line_gets() {
    let problems = order(br#"{"network":{"allowedDomans":["github.com"]}}"#).unwrap_err();
    let line = rules(&problems);
    assert!(section().0.contains(line.trim_end()), "{line}");
}

#[test]
fn the_bounds_are_those_of_the_program() {
    let (text, _) = section();
    assert!(text.contains(&format!("at most {CONTROL_LINE_BYTES} bytes")));
    assert!(text.contains(&format!("up to {SETTINGS_PROBLEMS} problems")));
    let schema = schema();
    let told = |count: usize, size: usize| {
        let problems = vec!["x".repeat(size); count];
        let list = problems.join("\",\"");
        format!("{{\"event\":\"rules\",\"ok\":false,\"problems\":[\"{list}\"]}}")
    };
    let (most, longest) = (SETTINGS_PROBLEMS, CONTROL_PROBLEM_BYTES);
    assert!(schema.takes("fromSrt", &told(most, longest)));
    assert!(!schema.takes("fromSrt", &told(most + 1, longest)));
    assert!(!schema.takes("fromSrt", &told(most, longest + 1)));
    let long = vec!["x".repeat(10_000); most + 1];
    assert!(schema.takes("fromSrt", rules(&long).trim_end()));
}

#[test]
fn the_schema_knows_the_keys_of_the_settings() {
    let top: BTreeSet<&str> = KEYS
        .iter()
        .map(|key| key.path.split('.').next().unwrap())
        .collect();
    assert_eq!(schema().names("settings"), top);
    for key in top {
        assert!(!["ask", "id", "allow", "event"].contains(&key));
    }
}

#[test]
fn the_schema_takes_the_lines_that_are_read_and_no_other() {
    let schema = schema();
    for line in [
        "{}",
        r#"{"ask":true}"#,
        r#"{"ask":1}"#,
        r#"{"ask":true,"id":1}"#,
        r#"{"ask":true,"network":{}}"#,
        r#"{"id":1}"#,
        r#"{"allow":true}"#,
        r#"{"id":0,"allow":true}"#,
        r#"{"id":-7,"allow":true}"#,
        r#"{"id":1.5,"allow":true}"#,
        r#"{"id":"1","allow":true}"#,
        r#"{"id":9223372036854775807,"allow":true}"#,
        r#"{"id":1,"allow":"yes"}"#,
        r#"{"id":1,"allow":true,"x":1}"#,
        r#"{"network":{}}"#,
        r#"{"netwrok":{}}"#,
        r#"{"event":"ask"}"#,
        "[]",
        "null",
        "1",
        "\"ask\"",
    ] {
        let read = order(line.as_bytes()).is_ok();
        assert_eq!(schema.takes("toSrt", line), read, "{line}");
        assert!(!schema.takes("fromSrt", line), "{line}");
    }
}

#[test]
fn the_schema_takes_the_lines_that_are_written_and_no_other() {
    let schema = schema();
    let mut lines = vec![
        ask(1, "example.org", 1, "run"),
        ask(7, "2001:db8::1", 65535, ""),
    ];
    lines.extend([rules(&[]), rules(&["a".into()])]);
    for kind in Kind::ALL {
        for (outcome, pid) in [(Outcome::Denied, None), (Outcome::Learned, Some(7))] {
            let process = pid.map(|pid| Process {
                pid,
                program: String::new(),
            });
            let text = || "\u{1}".repeat(9);
            let violation = Violation {
                kind,
                action: text(),
                target: text(),
                rule: text(),
                reason: text(),
                outcome,
                process,
                time: 0,
                count: 1,
            };
            lines.push(log::line(&violation, "run", MILLIS));
        }
    }
    for line in lines {
        let line = line.trim_end();
        assert!(schema.takes("fromSrt", line), "{line}");
        assert!(!schema.takes("toSrt", line), "{line}");
        assert!(order(line.as_bytes()).is_err(), "{line}");
        for (from, to) in [
            ("\"event\"", "\"even\""),
            ("{", "{\"x\":1,"),
            ("\":", "_\":"),
        ] {
            let changed = line.replacen(from, to, 1);
            assert!(!schema.takes("fromSrt", &changed), "{changed}");
        }
    }
    for line in [
        r#"{"event":"rules","ok":false}"#,
        r#"{"event":"rules","ok":false,"problems":[]}"#,
        r#"{"event":"rules","ok":true,"problems":["a"]}"#,
        r#"{"event":"ask","id":1,"host":"a","port":0,"run":"r"}"#,
        r#"{"event":"ask","id":1,"host":"a","port":65536,"run":"r"}"#,
        r#"{"event":"ask","id":0,"host":"a","port":1,"run":"r"}"#,
    ] {
        assert!(!schema.takes("fromSrt", line), "{line}");
    }
}
