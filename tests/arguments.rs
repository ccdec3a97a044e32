//! The command line, as plain data.

use std::ffi::OsString;

use sandbox_runtime::args::{Action, Afterwards, Format, LogTo, Mode, Platform, Stage, action};

fn read(words: &[&str]) -> Result<Action, String> {
    action(words.iter().map(OsString::from))
}

#[test]
fn what_cannot_be_meant_is_an_error() {
    for (words, says) in [
        (&["-s"][..], "missing argument for option '-s'"),
        (&["-s", "a", "-s", "b", "x"], "--settings is given twice"),
        (&["-c"], "missing argument for option '-c'"),
        (&["-c", "x", "y"], "unexpected \"y\" after -c STRING"),
        (&["-c", "x", "--", "y"], "unexpected \"y\" after -c STRING"),
        (&["--log"], "missing argument for option '--log'"),
        (
            &["--log", "a", "--log-fd", "5", "x"],
            "--log or --log-fd is given twice",
        ),
        (
            &["--log-fd", "2", "x"],
            "--log-fd takes the number of a descriptor, 3 or more",
        ),
        (
            &["--log-fd", "x", "x"],
            "--log-fd takes the number of a descriptor, 3 or more",
        ),
        (
            &["--control-fd", "2", "x"],
            "--control-fd takes the number of a descriptor, 3 or more",
        ),
        (
            &["--control-fd", "5", "--control-fd", "6", "x"],
            "--control-fd is given twice",
        ),
        (
            &["--control-fd", "5", "--log-fd", "5", "x"],
            "--log-fd and --control-fd are the same descriptor",
        ),
        (
            &["--platform", "bsd", "x"],
            "--platform takes linux or macos",
        ),
        (
            &["--platform", "linux", "x"],
            "--platform goes with --dry-run",
        ),
        (&["--json", "x"], "--json goes with --doctor"),
        (&["--doctor", "x"], "--doctor runs no command (\"x\")"),
        (
            &["--without", "doors", "x"],
            "--without takes mounts, landlock or seccomp",
        ),
        (
            &["-s", "a", "--check", "b"],
            "--check goes with no other option",
        ),
        (
            &["--check", "a", "b", "c"],
            "unexpected \"c\" after --check",
        ),
        (&["--check", "a", "-d"], "unexpected -d after --check"),
        (
            &["--explain", "climb", "x"],
            "--explain takes read, write, connect or socket, and what that is done to",
        ),
        (
            &["--explain", "read"],
            "--explain takes read, write, connect or socket, and what that is done to",
        ),
        (&["--nonsense", "x"], "unknown option --nonsense"),
        (&["-x", "x"], "unknown option -x"),
        (&[], "no command given"),
    ] {
        assert_eq!(read(words), Err(says.to_owned()), "{words:?}");
    }
}

#[test]
fn options_end_at_the_first_word_that_is_none() {
    let Ok(Action::Run(run)) = read(&["-d", "grep", "-c", "x", "--", "-s", "f"]) else {
        panic!("no run");
    };
    assert_eq!(run.argv, ["grep", "-c", "x", "--", "-s", "f"]);
    assert_eq!(
        (run.settings, run.mode, run.control),
        (None, Mode::Execute, None)
    );
    let Ok(Action::Run(run)) = read(&[
        "--suggest",
        "--learn",
        "--suggest",
        "--log",
        "-",
        "--control-fd=7",
        "--dry-run",
        "--platform",
        "linux",
        "-s",
        "f",
        "-c",
        "a b",
    ]) else {
        panic!("no run");
    };
    assert_eq!(run.argv, ["sh", "-c", "a b"]);
    assert_eq!(run.settings, Some("f".into()));
    assert_eq!(run.mode, Mode::DryRun(Some(Platform::Linux)));
    assert_eq!((run.afterwards, run.control), (Afterwards::Learn, Some(7)));
    assert_eq!(run.log, Some(LogTo::Stderr));
    let Ok(Action::Doctor(doctor)) = read(&["--doctor", "--json", "-s", "f"]) else {
        panic!("no doctor");
    };
    assert_eq!(
        (doctor.format, doctor.settings),
        (Format::Json, Some("f".into()))
    );
}

#[test]
fn roles_take_what_is_theirs() {
    for (words, stage) in [
        (&["lookup"][..], Stage::Lookup),
        (&["warden"], Stage::Warden),
        (
            &["connect", "h", "1"],
            Stage::Connect {
                host: "h".into(),
                port: "1".into(),
            },
        ),
        (
            &["capture", "3", "4"],
            Stage::Capture { socket: 3, info: 4 },
        ),
        (
            &["guard", "3", "4", "5"],
            Stage::Guard {
                mounts: 3,
                links: 4,
                places: 5,
            },
        ),
        (
            &["observe", "3", "4", "5", "6"],
            Stage::Observe {
                socket: 3,
                policy: 4,
                notes: 5,
                bubblewrap: 6,
            },
        ),
        (
            &["inner", "3", "4", "5", "run=x"],
            Stage::Inner {
                socket: 3,
                launch: 4,
                stderr: 5,
                run: "run=x".into(),
            },
        ),
        (
            &["attack", "-x", "--"],
            Stage::Attack {
                targets: vec!["-x".into(), "--".into()],
            },
        ),
    ] {
        let all = [&["--stage"], words].concat();
        assert_eq!(read(&all), Ok(Action::Stage(stage)), "{words:?}");
    }
    for words in [
        &["--stage"][..],
        &["--stage", "nobody"],
        &["--stage", "capture", "3"],
        &["--stage", "capture", "3", "2"],
        &["--stage", "guard", "3", "4", "x"],
        &["--stage", "inner", "3", "4", "5"],
        &["--stage", "connect", "h"],
    ] {
        assert_eq!(
            read(words),
            Err("--stage is for srt's own use".into()),
            "{words:?}"
        );
    }
}
