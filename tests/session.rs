//! The library: many commands in one session, by events; one at a time, by calls.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use sandbox_runtime::{
    Answer, Command, Error, Event, Kind, RunId, Sandbox, Session, Settings, Stdio, Tunnels,
    Unlisted,
};
use support::pages::server;
use support::{Scratch, program};

fn settings(scratch: &Scratch, json: &str) -> Settings {
    let at = scratch.path("");
    let at = at.to_str().unwrap().trim_end_matches('/');
    Settings::from_json(json.replace('@', at).as_bytes()).unwrap()
}

fn session(settings: &Settings) -> Session {
    Session::with_program(settings, program()).unwrap()
}

/// `sh -c`, without input, its output in a pipe.
fn shell(scratch: &Scratch, script: &str) -> Command {
    Command::new("sh")
        .args(["-c", script])
        .current_dir(scratch.path(""))
        .env("HOME", scratch.path(""))
        .stdin(Stdio::Null)
        .stdout(Stdio::Piped)
        .stderr(Stdio::Null)
}

fn text(mut from: fs::File) -> String {
    let mut all = String::new();
    from.read_to_string(&mut all).unwrap();
    all
}

/// Rules that refuse the server on this port, and rules that allow it.
fn closed_and_open(scratch: &Scratch, port: u16) -> (Settings, Settings) {
    let allowing = format!(r#"{{"network": {{"allowedDomains": ["127.0.0.1:{port}"]}}}}"#);
    (settings(scratch, "{}"), settings(scratch, &allowing))
}

const CURL: &str = "curl -sS --max-time 30 --noproxy '' ";

#[test]
fn new_rules_hold_from_the_next_connection_on() {
    let scratch = Scratch::new();
    let port = server();
    let (closed, open) = closed_and_open(&scratch, port);
    let mut session = session(&closed);
    let script = format!("until {CURL} -f http://127.0.0.1:{port}/; do sleep 0.05; done");
    let child = session.spawn(shell(&scratch, &script)).unwrap();
    let mut refused = 0;
    let ended = loop {
        match session
            .next(Some(Duration::from_secs(60)))
            .unwrap()
            .expect("something happens")
        {
            Event::Violation(run, violation) => {
                assert_eq!((run, violation.kind()), (child.run, Kind::Network));
                refused += 1;
                session.update(&open, Tunnels::Keep).unwrap();
            }
            Event::Ended(ended) => break ended,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((ended.status.unwrap(), refused), (0, 1));
    assert_eq!(text(child.stdout.unwrap()), "the page\n");
    // And back: the next command meets the rules in force, not the session's first.
    session.update(&closed, Tunnels::Keep).unwrap();
    let script = format!("{CURL} -f http://127.0.0.1:{port}/");
    let child = session.spawn(shell(&scratch, &script)).unwrap();
    let ended = wait(&mut session, child.run);
    assert_eq!(ended, 22);
}

/// Lets a command end; its status.
fn wait(session: &mut Session, run: RunId) -> u8 {
    loop {
        match session
            .next(Some(Duration::from_secs(60)))
            .unwrap()
            .expect("something happens")
        {
            Event::Ended(ended) if ended.run == run => return ended.status.unwrap(),
            _ => {}
        }
    }
}

#[test]
fn tunnels_that_new_rules_refuse_are_cut_or_kept_as_it_was_said() {
    let scratch = Scratch::new();
    let port = server();
    let (closed, open) = closed_and_open(&scratch, port);
    let mut session = session(&open);
    for (tunnels, ends) in [(Tunnels::Cut, true), (Tunnels::Keep, false)] {
        session.update(&open, Tunnels::Keep).unwrap();
        let script = format!("{CURL} -N -p http://127.0.0.1:{port}/wait");
        let mut child = session.spawn(shell(&scratch, &script)).unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (tell, told) = mpsc::channel();
        let handle = session.handle();
        thread::spawn(move || {
            let mut page = [0; 9];
            stdout.read_exact(&mut page).unwrap();
            tell.send(page).unwrap();
            // So that the loop's owner looks.
            handle.kill(child.run, 0);
        });
        while told.try_recv().is_err() {
            session.next(Some(Duration::from_millis(20))).unwrap();
        }
        session.update(&closed, tunnels).unwrap();
        if !ends {
            let until = Instant::now() + Duration::from_millis(500);
            while Instant::now() < until {
                let event = session.next(Some(Duration::from_millis(20))).unwrap();
                assert!(!matches!(event, Some(Event::Ended(_))));
            }
            session.kill(child.run, 15);
        }
        let status = wait(&mut session, child.run);
        assert_eq!(status == 128 + 15, !ends, "{status}");
    }
}

#[test]
fn other_threads_reach_a_session_and_two_sessions_do_not_meet() {
    let work = |number: u16| {
        move || {
            let scratch = Scratch::new();
            let mut session = session(&settings(&scratch, "{}"));
            session.set_unlisted(Unlisted::Ask);
            let handle = session.handle();
            let (tell, told) = mpsc::channel();
            let answers = thread::spawn(move || {
                // Another thread answers, and ends the command.
                let (ask, run) = told.recv().unwrap();
                handle.answer(ask, Answer::Deny);
                let again: (_, RunId) = told.recv().unwrap();
                handle.answer(again.0, Answer::Deny);
                handle.kill(run, 15);
            });
            let script = format!(
                "trap 'exit {number}' TERM; {CURL} -o /dev/null -w '%{{http_code}} ' http://one-{number}.test/; {CURL} -o /dev/null -w '%{{http_code}}' http://two-{number}.test/; while :; do sleep 0.05; done"
            );
            let child = session.spawn(shell(&scratch, &script)).unwrap();
            let status = loop {
                match session
                    .next(Some(Duration::from_secs(60)))
                    .unwrap()
                    .unwrap()
                {
                    Event::Ask(ask) => {
                        assert!(ask.host.ends_with(&format!("-{number}.test")));
                        tell.send((ask.id, ask.run)).unwrap();
                    }
                    Event::Ended(ended) => break ended.status.unwrap(),
                    _ => {}
                }
            };
            answers.join().unwrap();
            assert_eq!(u16::from(status), number);
            assert_eq!(text(child.stdout.unwrap()), "403 403");
        }
    };
    let threads: Vec<_> = (1..=4).map(|number| thread::spawn(work(number))).collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

#[test]
fn streams_directory_environment_and_time_are_as_it_was_said() {
    let scratch = Scratch::new();
    let sandbox = Sandbox::new(&settings(&scratch, "{}")).with_program(program());
    let out = sandbox
        .output(
            Command::new("sh")
                .args([
                    "-c",
                    "cat; pwd; echo \"$A${B-none}\"; echo err >&2; exit 7",
                    "--",
                    "ignored",
                ])
                .current_dir(scratch.dir("here"))
                .env_clear()
                .env("PATH", std::env::var_os("PATH").unwrap())
                .env("A", "a b")
                .env("B", "x")
                .env_remove("B"),
        )
        .unwrap();
    let here = scratch.path("here");
    assert_eq!(
        (
            out.status,
            String::from_utf8_lossy(&out.stdout),
            out.stderr.as_slice()
        ),
        (
            7,
            format!("{}\na bnone\n", here.display()).into(),
            &b"err\n"[..]
        )
    );
    // A pipe of our own.
    let (read, mut write) = std::io::pipe().unwrap();
    let writer = thread::spawn(move || write.write_all(&vec![b'x'; 1 << 20]).unwrap());
    let counted = Command::new("wc").arg("-c").stdin(Stdio::Fd(read.into()));
    let out = sandbox
        .output(counted.current_dir(scratch.path("")))
        .unwrap();
    writer.join().unwrap();
    assert_eq!(out.stdout, b"1048576\n");
    let start = Instant::now();
    let late = Command::new("sleep")
        .arg("600")
        .current_dir(scratch.path(""));
    let out = sandbox
        .output(late.timeout(Duration::from_millis(300)))
        .unwrap();
    assert_eq!(out.status, 128 + 15);
    assert!(
        start.elapsed() < Duration::from_secs(30) && out.notes.len() == 1,
        "{:?}",
        out.notes
    );
    for (word, status) in [("no-such-program", 127), ("./here", 126)] {
        let command = Command::new(word).current_dir(scratch.path(""));
        assert_eq!(sandbox.output(command).unwrap().status, status);
    }
}

#[test]
fn callbacks_are_told_and_asked() {
    let scratch = Scratch::new();
    let sandbox = Sandbox::new(&settings(&scratch, "{}")).with_program(program());
    let (tell, told) = mpsc::channel();
    let (put, asked) = mpsc::channel();
    let script = format!("echo x > /etc/motd; {CURL} -o /dev/null http://new.test:81/; true");
    let command = shell(&scratch, &script)
        .on_violation(move |violation| tell.send(violation.to_string()).unwrap())
        .on_ask(move |ask| {
            put.send(format!("{}:{}", ask.host, ask.port)).unwrap();
            Answer::Deny
        });
    let out = sandbox.output(command).unwrap();
    assert_eq!(asked.iter().collect::<Vec<_>>(), ["new.test:81"]);
    let told: Vec<String> = told.iter().collect();
    assert_eq!(told.len(), 2, "{told:?}");
    let annotated = out.violations.annotate("what it said\n");
    assert!(
        annotated.starts_with("what it said\n<sandbox_violations>\n"),
        "{annotated}"
    );
    assert!(
        annotated.contains("/etc/motd") && annotated.contains("new.test:81"),
        "{annotated}"
    );
}

#[test]
fn errors_are_typed_and_nothing_has_run() {
    let scratch = Scratch::new();
    let wrong = Settings::from_json(br#"{"network": {"allowedDomains": ["*"]}, "x": 1}"#);
    assert!(matches!(wrong, Err(Error::Settings { problems, .. }) if problems.len() == 2));
    // This program has not called init.
    let mut session = Session::new(&Settings::default()).unwrap();
    let error = session.spawn(Command::new("true")).unwrap_err();
    assert!(matches!(error, Error::Call(_)) && error.to_string().contains("init()"));
    let bwrap = settings(&scratch, r#"{"bwrapPath": "@/none"}"#);
    let error = Sandbox::new(&bwrap)
        .with_program(program())
        .run(Command::new("true"));
    assert!(matches!(error, Err(Error::Bwrap { .. })), "{error:?}");
    // One that fails while it comes up is told by its end.
    scratch.file("bwrap", "#!/bin/sh\necho no such luck >&2\nexit 1\n");
    let bwrap = settings(&scratch, r#"{"bwrapPath": "@/bwrap"}"#);
    let failed = Sandbox::new(&bwrap)
        .with_program(program())
        .run(Command::new("true"));
    assert!(matches!(failed, Err(Error::Bwrap { words, .. }) if words.contains("no such luck")));
    let other = settings(
        &scratch,
        r#"{"network": {"allowedDomains": ["a.test"], "mitmProxy": {"socketPath": "/x", "domains": ["a.test"]}}}"#,
    );
    let mut session = Session::with_program(&Settings::default(), program()).unwrap();
    let error = session.update(&other, Tunnels::Keep).unwrap_err();
    assert!(
        error.to_string().contains("mitmProxy.socketPath"),
        "{error}"
    );
}

#[test]
fn a_command_line_for_other_supervisors() {
    let scratch = Scratch::new();
    let file = scratch.file("policy.json", "{}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let sandbox = Sandbox::new(&Settings::from_file(&file).unwrap()).with_program(program());
    let argv = sandbox
        .argv(&Command::new("sh").args(["-c", "exit 5"]))
        .unwrap();
    let mut command = std::process::Command::new(&argv[0]);
    let status = command
        .args(&argv[1..])
        .current_dir(scratch.path(""))
        .status();
    assert_eq!(status.unwrap().code(), Some(5));
    let unnamed = Sandbox::new(&Settings::default());
    assert!(matches!(
        unnamed.argv(&Command::new("true")),
        Err(Error::Call(_))
    ));
}
