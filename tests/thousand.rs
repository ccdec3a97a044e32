//! A thousand commands in one session, in a process of its own: what it holds at the end is
//! what it held before.

#![allow(clippy::print_stdout)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use sandbox_runtime::{
    Answer, Command, Event, Kind, RunId, Session, Settings, Stdio, Tunnels, Unlisted,
};
use support::pages::server;
use support::{Scratch, processes_below, program};

fn settings(scratch: &Scratch, json: &str) -> Settings {
    let at = scratch.path("");
    let at = at.to_str().unwrap().trim_end_matches('/');
    Settings::from_json(json.replace('@', at).as_bytes()).unwrap()
}

/// `sh -c`, without input and output.
fn shell(scratch: &Scratch, script: &str) -> Command {
    Command::new("sh")
        .args(["-c", script])
        .current_dir(scratch.path(""))
        .env("HOME", scratch.path(""))
        .stdin(Stdio::Null)
        .stdout(Stdio::Null)
        .stderr(Stdio::Null)
}

const CURL: &str = "curl -sS --max-time 30 --noproxy '' ";

/// Descriptors of this process, and its resident memory in KiB.
fn own() -> (usize, u64) {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap().count();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let resident = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let resident = resident.split_whitespace().nth(1).unwrap();
    (descriptors, resident.parse().unwrap())
}

/// What one of the thousand is expected to meet.
struct Expected {
    number: usize,
    asked: bool,
    violations: BTreeSet<String>,
}

#[test]
fn a_thousand_commands_twenty_at_a_time_are_told_apart() {
    const ALL: usize = 1000;
    let scratch = Scratch::new();
    let port = server();
    let outside = scratch.dir("outside");
    let rules = [
        r#"{"network": {"allowedDomains": ["127.0.0.1:PORT"]}, "filesystem": {"allowWrite": ["@/work"]}}"#,
        r#"{"network": {"allowedDomains": ["127.0.0.1:PORT", "other.test"]}, "filesystem": {"allowWrite": ["@/work"]}}"#,
    ]
    .map(|json| settings(&scratch, &json.replace("PORT", &port.to_string())));
    scratch.dir("work");
    let mut session = Session::with_program(&rules[0], program()).unwrap();
    session.set_unlisted(Unlisted::Ask);
    let mut running: BTreeMap<RunId, Expected> = BTreeMap::new();
    let (mut begun, mut ended, mut before) = (0, 0, (0, 0));
    let mut first = Duration::ZERO;
    let mut times = Vec::new();
    while ended < ALL {
        while running.len() < 20 && begun < ALL {
            // Each meets three things that carry its number: a file that it may not write, a
            // host that somebody is asked about, and one that is always there.
            let script = format!(
                "exec 2>/dev/null; echo x > {}/{begun}; {CURL} -o /dev/null http://h{begun}.test/; {CURL} http://127.0.0.1:{port}/ >work/{begun}",
                outside.display()
            );
            let start = Instant::now();
            let run = session.spawn(shell(&scratch, &script)).unwrap().run;
            times.push(start.elapsed());
            running.insert(
                run,
                Expected {
                    number: begun,
                    asked: false,
                    violations: BTreeSet::new(),
                },
            );
            begun += 1;
        }
        match session
            .next(Some(Duration::from_secs(60)))
            .unwrap()
            .expect("something happens")
        {
            Event::Ask(ask) => {
                let expected = running.get_mut(&ask.run).unwrap();
                assert_eq!(
                    (ask.host, ask.port),
                    (format!("h{}.test", expected.number), 80)
                );
                assert!(!expected.asked, "asked twice");
                expected.asked = true;
                // Of one that is allowed, the name has no address.
                let answer = if expected.number % 2 == 0 {
                    Answer::Allow
                } else {
                    Answer::Deny
                };
                session.answer(ask.id, answer);
            }
            Event::Violation(run, violation) => {
                let expected = running.get_mut(&run).unwrap();
                let line = format!("{:?} {}", violation.kind(), violation.target());
                assert!(expected.violations.insert(line), "{violation}");
            }
            Event::Ended(one) => {
                let expected = running.remove(&one.run).unwrap();
                let number = expected.number;
                assert_eq!(one.status.unwrap(), 0, "{number}");
                assert!(expected.asked, "{number}");
                let mut wanted =
                    BTreeSet::from([format!("{:?} {}/{number}", Kind::Write, outside.display())]);
                if number % 2 == 1 {
                    wanted.insert(format!("{:?} h{number}.test:80", Kind::Network));
                }
                assert_eq!(expected.violations, wanted);
                assert_eq!(one.violations.len(), wanted.len());
                let page = fs::read_to_string(scratch.path(&format!("work/{number}"))).unwrap();
                assert_eq!(page, "the page\n", "{number}");
                ended += 1;
                if ended % 50 == 0 {
                    session
                        .update(&rules[ended / 50 % 2], Tunnels::Cut)
                        .unwrap();
                }
                if ended == 200 {
                    before = own();
                }
                if ended == 1 {
                    first = times[0];
                }
            }
            Event::Note(note) => panic!("{note}"),
            _ => panic!("an event of another kind"),
        }
    }
    let after = own();
    drop(session);
    assert_eq!(processes_below(), 0);
    // While the last one ends, fewer are open than in the middle.
    assert!(after.0 <= before.0, "descriptors: {before:?} {after:?}");
    assert!(after.1 <= before.1 + 2048, "memory: {before:?} {after:?}");
    assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
    times.sort();
    println!(
        "to start: the first {first:?}, then {:?} in the median",
        times[ALL / 2]
    );
}
