//! What macOS's log says: pieces into events, events into refusals.

use sandbox_runtime::limits::LOG_EVENT_BYTES;
use sandbox_runtime::parse::unified_log::{Denial, Joiner, denial};

const HEAD: &str = "2026-01-02 03:04:05.678 E  kernel[0:1f2e] (Sandbox) ";

fn events(pieces: &[&[u8]]) -> Vec<String> {
    let mut joiner = Joiner::new("srt-TAG");
    let mut all = Vec::new();
    for piece in pieces {
        joiner.take(piece, |event| {
            all.push(String::from_utf8_lossy(event).into_owned())
        });
    }
    all
}

#[test]
fn an_event_ends_with_the_tag_however_it_is_cut() {
    let log = "Filtering the log data using \"eventMessage ENDSWITH \"srt-TAG\"\"\n\
               one\nsrt-TAG\n\ntwo srt-TAG\nthree\nmore of three\nsrt-TAG \r\nrest without an end";
    let first = "Filtering the log data using \"eventMessage ENDSWITH \"srt-TAG\"\"\none";
    let expected = [first, "\ntwo", "three\nmore of three"];
    assert_eq!(events(&[log.as_bytes()]), expected);
    for size in 1..60 {
        let pieces: Vec<_> = log.as_bytes().chunks(size).collect();
        assert_eq!(events(&pieces), expected, "pieces of {size}");
    }
}

#[test]
fn an_event_has_a_bound_and_the_next_one_is_whole() {
    let most = vec![b'x'; LOG_EVENT_BYTES - "\nsrt-TAG\n".len()];
    let whole = [&most[..], b"\nsrt-TAG\n"].concat();
    assert_eq!(events(&[&whole])[0].len(), most.len());
    let one_more = vec![b'x'; LOG_EVENT_BYTES];
    for long in [
        [&one_more[..], b"\nsrt-TAG\n"].concat(),
        [&one_more[..], b"x"].concat(),
    ] {
        let next = [&long[..], b"\nsrt-TAG\nnext\nsrt-TAG\n"].concat();
        let all = events(&next.chunks(100).collect::<Vec<_>>());
        assert_eq!(all.last().map(String::as_str), Some("next"));
        assert!(
            all.iter().all(|event| event.len() < LOG_EVENT_BYTES),
            "{}",
            all.len()
        );
    }
}

#[test]
fn refusals_are_read_as_they_are_recorded() {
    let read = |text: &str| {
        let event = format!("{HEAD}{text}");
        denial(event.as_bytes()).map(|d| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (text(d.program), d.pid, text(d.operation), text(d.target))
        })
    };
    for (text, program, pid, operation, target) in [
        (
            "Sandbox: cat(71) deny(1) file-read-data /x",
            "cat",
            71,
            "file-read-data",
            "/x",
        ),
        (
            "Sandbox: cat(71) deny(1) file-read-data /a b/c",
            "cat",
            71,
            "file-read-data",
            "/a b/c",
        ),
        (
            "Sandbox: a (b)(7) deny(2) process-fork",
            "a (b)",
            7,
            "process-fork",
            "",
        ),
        (
            "Sandbox: x(1) deny(1) mach-lookup com.apple.y",
            "x",
            1,
            "mach-lookup",
            "com.apple.y",
        ),
        // What the target says of itself is the target.
        (
            "Sandbox: x(1) deny(1) file-write-create /Sandbox: y(2) deny(1) file-read-data /z",
            "x",
            1,
            "file-write-create",
            "/Sandbox: y(2) deny(1) file-read-data /z",
        ),
    ] {
        let expected = (
            program.to_owned(),
            pid,
            operation.to_owned(),
            target.to_owned(),
        );
        assert_eq!(read(text), Some(expected), "{text}");
    }
    for text in [
        "",
        "Sandbox: ",
        "Sandbox: cat(71) allow(1) file-read-data /x",
        "Sandbox: cat deny(1) file-read-data /x",
        "Sandbox: cat(x) deny(1) file-read-data /x",
        "Sandbox: cat(99999999999) deny(1) file-read-data /x",
        "Sandbox: cat(71) deny(1) ",
        "3 duplicate reports for Sandbox",
    ] {
        assert_eq!(read(text), None, "{text}");
    }
}

#[test]
fn what_programs_ask_for_without_need_is_noise() {
    let of = |program, operation, target| Denial {
        program,
        pid: 1,
        operation,
        target,
    };
    assert!(of(b"x", b"mach-lookup", b"com.apple.analyticsd").is_noise());
    assert!(of(b"x", b"mach-lookup", b"com.apple.diagnosticd").is_noise());
    assert!(of(b"mDNSResponder", b"file-read-data", b"/x").is_noise());
    assert!(of(b"x", b"network-outbound", b"/private/var/run/mDNSResponder").is_noise());
    assert!(!of(b"x", b"mach-lookup", b"com.apple.analyticsd2").is_noise());
    assert!(!of(b"x", b"file-write-data", b"com.apple.analyticsd").is_noise());
}
