//! A session that is dropped while its commands run, in a process of its own: no process is
//! left below it, no file behind it.

mod support;

use std::fs;
use std::io::Read;
use std::thread;
use std::time::{Duration, Instant};

use sandbox_runtime::{Command, Session, Settings, Stdio};
use support::{Scratch, processes_below, program};

#[test]
fn what_is_dropped_ends_and_leaves_nothing() {
    let scratch = Scratch::new();
    let work = scratch.dir("work");
    let allowed = Settings::from_json(br#"{"filesystem": {"allowWrite": ["."]}}"#).unwrap();
    let mut session = Session::with_program(&allowed, program()).unwrap();
    let command = || {
        Command::new("sh")
            .args(["-c", "echo begun; trap '' TERM; sleep 600 & sleep 600"])
            .stdin(Stdio::Null)
            .stdout(Stdio::Piped)
            .stderr(Stdio::Null)
            .current_dir(&work)
            .env("TMPDIR", &work)
    };
    let mut children = Vec::new();
    for _ in 0..3 {
        children.push(session.spawn(command()).unwrap());
    }
    let mut readers = Vec::new();
    for child in &mut children {
        let mut stdout = child.stdout.take().unwrap();
        readers.push(thread::spawn(move || {
            let mut line = [0; 6];
            stdout.read_exact(&mut line).unwrap();
            // To its end: whoever has the other side is gone.
            let mut rest = Vec::new();
            stdout.read_to_end(&mut rest).unwrap();
        }));
    }
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        session.next(Some(Duration::from_millis(20))).unwrap();
    }
    assert!(work.join(".bashrc").exists(), "a placeholder is there");
    drop(session);
    assert_eq!(processes_below(), 0);
    readers
        .into_iter()
        .for_each(|reader| reader.join().unwrap());
    let left: Vec<_> = fs::read_dir(&work)
        .unwrap()
        .flatten()
        .map(|e| e.path())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
