//! Conversations as transcripts: whole, byte by byte, and cut at every place.

use sandbox_runtime::parse::settings::settings;
use sandbox_runtime::policy::network::{AddressClass, Network};
use sandbox_runtime::proxy::conversation::{Action, Conversation, DialError, Event, Framing};
use sandbox_runtime::proxy::pipe::Pipe;

fn policy() -> Network {
    let file = br#"{"network": {"allowedDomains": ["a.test", "1.2.3.4"], "deniedDomainReasons": {"b.test": "x\r\nX-Forged: \u202e"}}}"#;
    Network::new(&settings(file).unwrap().network, &[])
}

/// Everything that is done for `pieces` of the client's, and after `then`.
fn actions<'a>(pieces: impl Iterator<Item = &'a [u8]>, then: Option<Event<'_>>) -> Vec<Action> {
    let policy = policy();
    let mut conversation = Conversation::new();
    let mut all = Vec::new();
    let mut waiting: Vec<u8> = Vec::new();
    for piece in pieces {
        waiting.extend(piece);
        // What it does not want yet stays with the sender.
        let taken = waiting.len().min(conversation.wants());
        let now: Vec<u8> = waiting.drain(..taken).collect();
        if !now.is_empty() {
            conversation.on(Event::Client(&now), &policy, &mut all);
        }
    }
    if let Some(event) = then {
        conversation.on(event, &policy, &mut all);
    }
    if let Some(Action::Relay(Framing::Tunnel)) = all.last() {
        // Early bytes are forwarded, or stay in the socket and are relayed: in the end
        // the other side has all of them.
        let early: Vec<u8> = all
            .iter()
            .filter_map(|a| {
                if let Action::Forward(bytes) = a {
                    Some(bytes.as_slice())
                } else {
                    None
                }
            })
            .chain([&waiting[..]])
            .flatten()
            .copied()
            .collect();
        assert_eq!(early, b"early");
        all.retain(|a| !matches!(a, Action::Forward(_)));
    }
    all
}

fn however_cut(input: &[u8], then: Option<Event<'_>>) -> Vec<Action> {
    let whole = actions([input].into_iter(), then);
    assert_eq!(actions(input.chunks(1), then), whole);
    for at in 1..input.len() {
        assert_eq!(
            actions([&input[..at], &input[at..]].into_iter(), then),
            whole,
            "cut at {at}"
        );
    }
    whole
}

fn replies(actions: &[Action]) -> Vec<u8> {
    let reply = |a: &Action| {
        if let Action::Reply(b) = a {
            b.clone()
        } else {
            Vec::new()
        }
    };
    actions.iter().flat_map(reply).collect()
}

#[test]
fn connect_is_answered_once_the_connection_stands() {
    let request = b"CONNECT a.test:443 HTTP/1.1\r\n\r\nearly";
    let before = however_cut(request, None);
    assert!(matches!(&before[..], [Action::Dial(target)] if target.to_string() == "a.test:443"));
    let after = however_cut(request, Some(Event::Dialled));
    assert!(replies(&after).starts_with(b"HTTP/1.1 200 "));
    assert_eq!(after.last(), Some(&Action::Relay(Framing::Tunnel)));
}

#[test]
fn socks_is_answered_once_the_connection_stands() {
    let request = b"\x05\x01\x00\x05\x01\x00\x03\x06A.test\x01\xbbearly";
    assert_eq!(replies(&however_cut(request, None)), [5, 0]);
    let after = however_cut(request, Some(Event::Dialled));
    assert_eq!(replies(&after), [5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(after.last(), Some(&Action::Relay(Framing::Tunnel)));
}

#[test]
fn socks_refusals_have_their_codes() {
    for (request, code) in [
        (&b"\x05\x01\x00\x05\x01\x00\x03\x06b.test\x01\xbb"[..], 2),
        (b"\x05\x01\x00\x05\x01\x00\x03\x03a\0b\x01\xbb", 2),
        (b"\x05\x01\x00\x05\x02\x00\x03\x06a.test\x01\xbb", 7),
        (b"\x05\x01\x00\x05\x03\x00\x01\x01\x02\x03\x04\x01\xbb", 7),
        (b"\x05\x01\x00\x05\x01\x00\x02\x01\x02\x03\x04\x01\xbb", 8),
        (b"\x05\x01\x00\x05\x01\x00\x01\x01\x02\x03\x05\x01\xbb", 2),
    ] {
        let done = however_cut(request, None);
        assert_eq!(replies(&done)[..4], [5, 0, 5, code], "{request:?}");
        assert_eq!(done.last(), Some(&Action::Close));
    }
    assert_eq!(replies(&however_cut(b"\x05\x01\x02", None)), [5, 0xff]);
    assert_eq!(
        replies(&however_cut(b"\x04\x01\x00\x50\x01\x02\x03\x04\x00", None))[..2],
        [0, 0x5b]
    );
    for (error, code) in [
        (DialError::NotFound, 4),
        (DialError::Unreachable, 5),
        (DialError::Timeout, 6),
        (DialError::Refused(AddressClass::Loopback), 2),
    ] {
        let done = however_cut(
            b"\x05\x01\x00\x05\x01\x00\x01\x01\x02\x03\x04\x01\xbb",
            Some(Event::DialFailed(error)),
        );
        assert_eq!(replies(&done)[3], code);
    }
}

#[test]
fn pitfall_57_a_reason_forges_no_field_and_no_escape() {
    let done = however_cut(b"GET http://b.test/ HTTP/1.1\r\n\r\n", None);
    let reply = String::from_utf8(replies(&done)).unwrap();
    assert!(
        reply.starts_with("HTTP/1.1 403 ") && reply.is_ascii(),
        "{reply}"
    );
    assert!(!reply.contains("\nX-Forged"), "{reply}");
    assert!(matches!(
        &done[..],
        [Action::Denied { .. }, Action::Reply(_), Action::Close]
    ));
}

#[test]
fn upstream_trouble_has_its_status() {
    for (error, status) in [
        (DialError::NotFound, "502"),
        (DialError::LookupTimeout, "504"),
        (DialError::Timeout, "504"),
        (DialError::Unreachable, "502"),
        (DialError::Overloaded, "502"),
        (DialError::Refused(AddressClass::Metadata), "403"),
    ] {
        let done = however_cut(
            b"CONNECT a.test:443 HTTP/1.1\r\n\r\n",
            Some(Event::DialFailed(error)),
        );
        let reply = String::from_utf8(replies(&done)).unwrap();
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{reply}");
    }
    let late = however_cut(b"CONNECT a.test:443 HT", Some(Event::Deadline));
    assert!(replies(&late).starts_with(b"HTTP/1.1 408 "));
    let big = [
        b"GET http://a.test/ HTTP/1.1\r\n".to_vec(),
        vec![b'a'; 70_000],
    ]
    .concat();
    assert!(replies(&actions([&big[..]].into_iter(), None)).starts_with(b"HTTP/1.1 431 "));
}

#[test]
fn a_plain_request_carries_its_own_body_and_nothing_more() {
    let done = actions(
        [&b"POST http://a.test/ HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET http://b.test/"[..]]
            .into_iter(),
        Some(Event::Dialled),
    );
    let [
        Action::Dial(_),
        Action::Forward(bytes),
        Action::Relay(Framing::Request(body)),
    ] = &done[..]
    else {
        panic!("{done:?}")
    };
    assert!(bytes.ends_with(b"\r\n\r\nabc") && body.is_done());
}

#[test]
fn a_pipe_keeps_order_and_shuts_down_behind_the_last_byte() {
    let mut pipe = Pipe::new();
    pipe.keep(b"abc");
    pipe.keep(b"def");
    pipe.sent(4);
    assert_eq!(pipe.pending(), b"ef");
    pipe.finish();
    assert!(!pipe.can_read() && !pipe.wants_shutdown() && !pipe.is_done());
    pipe.sent(2);
    assert!(pipe.wants_shutdown());
    pipe.shutdown_done();
    assert!(pipe.is_done() && pipe.pending().is_empty());
}
