//! Conversations as transcripts: whole, byte by byte, and cut in between.

#[path = "../fuzz/wire.rs"]
mod wire;

use std::sync::Arc;

use sandbox_runtime::parse::host::authority;
use sandbox_runtime::parse::settings::settings;
use sandbox_runtime::policy::network::{AddressClass, Network, Unlisted};
use sandbox_runtime::policy::route::{ProxyVariables, Route, Routes, Use};
use sandbox_runtime::proxy::conversation::{Conversation, Decided, DialError, Hop};
use sandbox_runtime::proxy::pipe::Pipe;
use sandbox_runtime::proxy::secret::Secret;
use wire::Step::{Client, ClientEnd, Deadline, DialFailed, Dialled, Upstream, UpstreamEnd};
use wire::{End, Seen, Step, play, play_on};

fn policy(more: &str) -> Network {
    let file = format!(
        r#"{{"network": {{"allowedDomains": ["a.test", "c.test", "1.2.3.4"],
            "deniedDomainReasons": {{"b.test": "x\\r\\nX-Forged: \\u202e"}}{more}}}}}"#
    );
    let settings = settings(file.as_bytes()).unwrap();
    let routes = Routes::new(&settings.network, &Vec::new()).unwrap();
    Network::new(&settings.network, &[], routes)
}

/// What is seen of the steps under a policy with `more`, however they are cut.
fn under(more: &str, steps: &[Step<'_>]) -> Seen {
    let policy = policy(more);
    let whole = play(&policy, steps, usize::MAX);
    for cut in 1..40 {
        assert_eq!(play(&policy, steps, cut), whole, "cut into pieces of {cut}");
    }
    whole
}

fn seen(steps: &[Step<'_>]) -> Seen {
    under("", steps)
}

/// What is seen of the steps by a client that must know `srt:s3cr3t`.
fn guarded(steps: &[Step<'_>]) -> Seen {
    let policy = policy("");
    let secret = Arc::new(Secret::new("srt", "s3cr3t"));
    let play = |cut| play_on(Conversation::guarded(secret.clone()), &policy, steps, cut);
    let whole = play(usize::MAX);
    for cut in 1..40 {
        assert_eq!(play(cut), whole, "cut into pieces of {cut}");
    }
    whole
}

fn to_client(seen: &Seen) -> String {
    String::from_utf8_lossy(&seen.to_client).into_owned()
}

fn to_upstream(seen: &Seen) -> Vec<String> {
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    seen.to_upstream.iter().map(text).collect()
}

fn dials(seen: &Seen) -> Vec<String> {
    let name = |hop: &Hop| match hop {
        Hop::Target(target) => target.to_string(),
        other => format!("{other:?}"),
    };
    seen.dials.iter().map(name).collect()
}

const CONNECT: &[u8] = b"CONNECT a.test:80 HTTP/1.1\r\n\r\n";
const SOCKS: &[u8] = b"\x05\x01\x00\x05\x01\x00\x03\x06A.test\x00\x50";
const ESTABLISHED: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

#[test]
fn pitfall_49_a_tunnel_is_promised_once_it_stands_and_loses_no_byte() {
    let before = seen(&[Client(CONNECT)]);
    assert_eq!(
        (dials(&before), to_client(&before)),
        (vec!["a.test:80".into()], String::new())
    );
    let early = [CONNECT, b"early"].concat();
    let after = seen(&[
        Client(&early),
        Dialled,
        Upstream(b"answer"),
        Client(b" late"),
    ]);
    assert_eq!(to_client(&after), format!("{ESTABLISHED}answer"));
    assert_eq!(to_upstream(&after), ["early late"]);
    let early = [SOCKS, b"early"].concat();
    assert_eq!(seen(&[Client(&early)]).to_client, [5, 0]);
    let after = seen(&[Client(&early), Dialled, Upstream(b"answer")]);
    assert_eq!(
        after.to_client,
        b"\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00answer"
    );
    assert_eq!(to_upstream(&after), ["early"]);
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
        let done = seen(&[Client(request)]);
        assert_eq!(done.to_client[..4], [5, 0, 5, code], "{request:?}");
        assert_eq!(done.end, End::Closed);
    }
    assert_eq!(seen(&[Client(b"\x05\x01\x02")]).to_client, [5, 0xff]);
    let four = seen(&[Client(b"\x04\x01\x00\x50\x01\x02\x03\x04\x00")]);
    assert_eq!(four.to_client[..2], [0, 0x5b]);
    for (error, code) in [
        (DialError::NotFound, 4),
        (DialError::Unreachable, 5),
        (DialError::Timeout, 6),
        (DialError::Refused(AddressClass::Loopback), 2),
    ] {
        let done = seen(&[Client(SOCKS), DialFailed(error)]);
        assert_eq!(done.to_client[3], code);
    }
}

#[test]
fn pitfall_57_a_reason_forges_no_field_and_no_escape() {
    let done = seen(&[Client(b"GET http://b.test/ HTTP/1.1\r\n\r\n")]);
    let reply = to_client(&done);
    assert!(
        reply.starts_with("HTTP/1.1 403 ") && reply.is_ascii(),
        "{reply}"
    );
    assert!(!reply.contains("\nX-Forged"), "{reply}");
    assert_eq!((done.denied.len(), done.end), (1, End::Closed));
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
        let done = seen(&[Client(CONNECT), DialFailed(error)]);
        assert!(to_client(&done).starts_with(&format!("HTTP/1.1 {status} ")));
    }
    let late = seen(&[Client(b"CONNECT a.test:443 HT"), Deadline]);
    assert!(to_client(&late).starts_with("HTTP/1.1 408 "));
    let big = [
        b"GET http://a.test/ HTTP/1.1\r\n".to_vec(),
        vec![b'a'; 70_000],
    ]
    .concat();
    let done = play(&policy(""), &[Client(&big)], 8_000);
    assert!(to_client(&done).starts_with("HTTP/1.1 431 "));
    let get = Client(b"GET http://a.test/ HTTP/1.1\r\n\r\n");
    for answer in [
        Upstream(b"SSH-2.0-x\r\n\r\n"),
        Upstream(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Upstream(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        UpstreamEnd,
    ] {
        let done = seen(&[get, Dialled, answer]);
        assert!(
            to_client(&done).starts_with("HTTP/1.1 502 "),
            "{answer:?}: {}",
            to_client(&done)
        );
        assert_eq!(done.end, End::Closed);
    }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\nKeep-Alive: x\r\n\r\nhi and more";

#[test]
fn plain_requests_follow_one_another_each_on_a_connection_of_its_own() {
    let two = b"POST http://a.test/1 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET http://c.test:81/2 HTTP/1.1\r\n\r\n";
    let done = seen(&[
        Client(two),
        Dialled,
        Upstream(OK),
        Dialled,
        Upstream(OK),
        ClientEnd,
    ]);
    assert_eq!(dials(&done), ["a.test:80", "c.test:81"]);
    assert_eq!(
        to_upstream(&done),
        [
            "POST /1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
            "GET /2 HTTP/1.1\r\nHost: c.test:81\r\nConnection: close\r\n\r\n",
        ]
    );
    let one = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi";
    assert_eq!(to_client(&done), one.repeat(2));
    assert_eq!(done.end, End::Closed);
}

#[test]
fn pitfall_51_a_pipelined_request_is_judged_like_the_first() {
    let two = b"GET http://a.test/ HTTP/1.1\r\n\r\nGET http://b.test/ HTTP/1.1\r\n\r\n";
    let done = seen(&[Client(two), Dialled, Upstream(OK)]);
    assert_eq!(dials(&done), ["a.test:80"]);
    assert_eq!(
        to_upstream(&done),
        ["GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"]
    );
    assert!(
        to_client(&done).contains("hiHTTP/1.1 403 "),
        "{}",
        to_client(&done)
    );
    let smuggled = b"POST http://a.test/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET http://b.test/ HTTP/1.1\r\n\r\n";
    let done = seen(&[Client(smuggled), Dialled, Upstream(OK)]);
    assert!(!to_upstream(&done)[0].contains("b.test") && done.denied.len() == 1);
}

#[test]
fn a_response_ends_as_its_request_and_its_head_say() {
    let get = b"GET http://a.test/ HTTP/1.1\r\n\r\n";
    let answer = |request: &[u8], response: &[u8]| {
        let done = seen(&[Client(request), Dialled, Upstream(response), UpstreamEnd]);
        (to_client(&done), done.end)
    };
    let (text, end) = answer(get, b"HTTP/1.1 200 OK\r\n\r\nto the end");
    assert_eq!(
        (text.as_str(), end),
        (
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end",
            End::Closed
        )
    );
    let (text, end) = answer(get, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort");
    assert!(text.ends_with("short") && end == End::Aborted);
    let (text, end) = answer(
        get,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nA: b\r\n\r\n",
    );
    assert!(
        text.ends_with("\r\n2\r\nhi\r\n0\r\nA: b\r\n\r\n") && end == End::Open,
        "{text}"
    );
    let (text, end) = answer(
        get,
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    );
    assert!(
        text.contains("Content-Length: 5\r\n") && end == End::Open,
        "{text}"
    );
    let head = b"HEAD http://a.test/ HTTP/1.1\r\n\r\n";
    let (text, end) = answer(head, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    assert!(
        text.contains("Content-Length: 5\r\n") && end == End::Open,
        "{text}"
    );
    let close = b"GET http://a.test/ HTTP/1.1\r\nConnection: close\r\n\r\n";
    let (text, end) = answer(close, OK);
    assert!(
        text.contains("Connection: close") && end == End::Closed,
        "{text}"
    );
    let old = b"GET http://a.test/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let (text, end) = answer(old, OK);
    assert!(
        text.contains("Connection: close") && end == End::Closed,
        "{text}"
    );
    let done = seen(&[Client(old), Dialled]);
    assert!(to_upstream(&done)[0].starts_with("GET / HTTP/1.0\r\n"));
    // An answer before the whole question: the rest of it is no next request.
    let post = b"POST http://a.test/ HTTP/1.1\r\nContent-Length: 99\r\n\r\nGET http://c.test/ HTTP/1.1\r\n\r\n";
    let (_, end) = answer(post, OK);
    assert_eq!(end, End::Closed);
}

#[test]
fn interim_responses_and_expectations_pass() {
    let post = b"POST http://a.test/ HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    let done = seen(&[
        Client(post),
        Dialled,
        Upstream(b"HTTP/1.1 100 Continue\r\n\r\n"),
        Client(b"abc"),
        Upstream(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
    ]);
    assert!(
        to_upstream(&done)[0].contains("Expect: 100-continue\r\n")
            && to_upstream(&done)[0].ends_with("abc")
    );
    assert!(to_client(&done).starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n"));
}

#[test]
fn a_websocket_passes_and_no_other_upgrade() {
    let ask = |protocol: &str| {
        format!(
            "GET http://a.test/ws HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: {protocol}\r\nSec-WebSocket-Key: k\r\n\r\n"
        )
    };
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nframe";
    let request = ask("websocket");
    let done = seen(&[
        Client(request.as_bytes()),
        Dialled,
        Upstream(switch),
        Client(b"GET http://b.test/ HTTP/1.1\r\n\r\n"),
    ]);
    assert!(to_upstream(&done)[0].contains("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
    assert!(to_upstream(&done)[0].ends_with("GET http://b.test/ HTTP/1.1\r\n\r\n"));
    assert!(to_client(&done).ends_with("\r\n\r\nframe"));
    let request = ask("h2c");
    let done = seen(&[Client(request.as_bytes()), Dialled, Upstream(switch)]);
    assert!(
        !to_upstream(&done)[0].contains("Upgrade"),
        "{}",
        to_upstream(&done)[0]
    );
    assert!(to_client(&done).starts_with("HTTP/1.1 502 "));
}

/// A ClientHello that names `name`, in records of `size`.
fn hello(name: &str, size: usize) -> Vec<u8> {
    let name = name.as_bytes();
    let vector16 = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat();
    let names = vector16(&[&[0][..], &vector16(name)].concat());
    let extension = [&[0, 0][..], &vector16(&names)].concat();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0],
        &vector16(&[19, 1]),
        &[1, 0],
        &vector16(&extension),
    ]
    .concat();
    let length = (body.len() as u32).to_be_bytes();
    let message = [&[1][..], &length[1..], &body].concat();
    let record = |part: &[u8]| [&[22, 3, 1][..], &vector16(part)].concat();
    message.chunks(size).flat_map(record).collect()
}

#[test]
fn pitfall_52_tls_in_a_tunnel_names_the_host_it_was_opened_for() {
    let tunnel = |to: &str| format!("CONNECT {to} HTTP/1.1\r\n\r\n").into_bytes();
    let through = |to: &str, more: &str, bytes: &[u8]| {
        let connect = tunnel(to);
        let done = under(
            more,
            &[Client(&connect), Dialled, Client(bytes), Client(b"later")],
        );
        let passed = done.to_upstream.concat() == [bytes, b"later"].concat();
        assert!(
            passed || done.to_upstream.concat().is_empty(),
            "some of it has passed"
        );
        assert_eq!(passed, done.denied.is_empty() && done.end == End::Open);
        passed
    };
    for size in [1, 5, 9_999] {
        assert!(through("a.test:443", "", &hello("a.test", size)));
        assert!(through("a.test:443", "", &hello("A.TEST.", size)));
        assert!(!through("a.test:443", "", &hello("b.test", size)));
        assert!(
            !through("a.test:443", "", &hello("c.test", size)),
            "allowed, but not the one"
        );
        assert!(through("1.2.3.4:443", "", &hello("c.test", size)));
        assert!(!through("1.2.3.4:443", "", &hello("b.test", size)));
        assert!(!through("a.test:443", "", &hello("a.test\0", size)));
    }
    let never = r#", "requireServerName": false"#;
    let always = r#", "requireServerName": true"#;
    assert!(through("a.test:443", never, &hello("b.test", 99)));
    assert!(through("a.test:8443", "", &hello("b.test", 99)));
    assert!(!through("a.test:8443", always, &hello("b.test", 99)));
    // What is not TLS is not held back.
    assert!(through("a.test:443", "", b"SSH-2.0-x\r\n"));
    // An alert before it, or another version, which some servers pass over.
    let alert = [
        b"\x15\x03\x01\x00\x02\x01\x5a",
        hello("b.test", 99).as_slice(),
    ]
    .concat();
    assert!(!through("a.test:443", "", &alert));
    assert!(!through("a.test:443", "", b"\x16\x02"));
    assert!(!through("a.test:443", "", b"\x16\x03\x01\x00\x02\x02\x00"));
    // Nor is the other side.
    let connect = tunnel("a.test:443");
    let done = seen(&[
        Client(&connect),
        Dialled,
        Upstream(b"hello, who is it?"),
        ClientEnd,
    ]);
    assert!(to_client(&done).ends_with("who is it?"));
}

const PARENT: &str = r#", "parentProxy": {"http": "http://u:p@proxy.test:1", "https": "http://proxy.test:2", "noProxy": "c.test"}"#;

#[test]
fn another_proxy_is_asked_in_its_own_way() {
    let get = Client(b"GET http://a.test/x HTTP/1.1\r\nProxy-Authorization: mine\r\n\r\n");
    let done = under(PARENT, &[get, Dialled, Upstream(OK)]);
    assert!(dials(&done)[0].starts_with("Proxy("), "{:?}", dials(&done));
    assert_eq!(
        to_upstream(&done),
        [
            "GET http://a.test/x HTTP/1.1\r\nHost: a.test\r\nProxy-Authorization: Basic dTpw\r\nConnection: close\r\n\r\n"
        ]
    );
    let yes = Upstream(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nbanner");
    let early = [CONNECT, b"early"].concat();
    let done = under(PARENT, &[Client(&early), Dialled, yes]);
    assert_eq!(
        to_upstream(&done),
        ["CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\nearly"]
    );
    assert_eq!(to_client(&done), format!("{ESTABLISHED}banner"));
    let done = under(PARENT, &[Client(b"CONNECT c.test:1 HTTP/1.1\r\n\r\n")]);
    assert_eq!(dials(&done), ["c.test:1"]);
    for (answer, words) in [
        (Upstream(b"HTTP/1.1 407 No\r\n\r\n"), "credentials (407)"),
        (Upstream(b"HTTP/1.1 403 No\r\n\r\n"), "refuses (403)"),
        (Upstream(b"nonsense\r\n\r\n"), "answer is none"),
        (UpstreamEnd, "closed the connection"),
        (Deadline, "in time"),
    ] {
        let done = under(PARENT, &[Client(CONNECT), Dialled, answer]);
        let text = to_client(&done);
        assert!(
            text.starts_with("HTTP/1.1 50") && text.contains(words),
            "{text}"
        );
        assert_eq!(
            (dials(&done).len(), done.end),
            (1, End::Closed),
            "no other way is tried: {answer:?}"
        );
        let done = under(PARENT, &[Client(SOCKS), Dialled, answer]);
        assert!(done.to_client[3] != 0 && done.end == End::Closed);
    }
}

// With a parent that is the settings' or the environment's as a whole, rows 1, 4 and 5 go
// directly.
#[test]
fn each_part_of_a_parent_that_the_settings_do_not_name_is_the_environments() {
    const ENVIRONMENT: [(&str, &str); 3] = [
        ("http_proxy", "http://env.test:1"),
        ("HTTPS_PROXY", "http://env.test:2"),
        ("no_proxy", "b.test"),
    ];
    // What the settings say, how much of the environment there is, and the ways of a tunnel
    // and a request to a.test, then to b.test.
    for (parent, variables, ways) in [
        (
            r#"{"http": "http://p.test:1"}"#,
            0,
            ["p:1", "p:1", "p:1", "p:1"],
        ),
        (
            r#"{"https": "http://p.test:2"}"#,
            0,
            ["p:2", "-", "p:2", "-"],
        ),
        (
            r#"{"http": "http://p.test:1", "noProxy": "b.test"}"#,
            0,
            ["p:1", "p:1", "-", "-"],
        ),
        (r#"{"noProxy": "a.test"}"#, 3, ["-", "-", "env:2", "env:1"]),
        (
            r#"{"http": "http://p.test:1"}"#,
            3,
            ["env:2", "p:1", "-", "-"],
        ),
        (
            r#"{"noProxy": ""}"#,
            3,
            ["env:2", "env:1", "env:2", "env:1"],
        ),
        (r#"{"noProxy": "*"}"#, 3, ["-", "-", "-", "-"]),
        ("{}", 1, ["env:1", "env:1", "env:1", "env:1"]),
        ("{}", 3, ["env:2", "env:1", "-", "-"]),
    ] {
        let json = format!(
            r#"{{"network": {{"allowedDomains": ["a.test", "b.test"], "parentProxy": {parent}}}}}"#
        );
        let settings = settings(json.as_bytes()).unwrap();
        let environment: ProxyVariables = ENVIRONMENT[..variables]
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let routes = Routes::new(&settings.network, &environment).unwrap();
        let way = |host: &str, what| match routes.to(&authority(host.as_bytes()).unwrap(), what) {
            Route::Direct => "-".to_owned(),
            Route::Proxy(proxy) => proxy.target.to_string().replace(".test", ""),
            Route::Socket(path) => path,
        };
        let found = ["a.test:443", "b.test:443"]
            .map(|host| [way(host, Use::Tunnel), way(host, Use::Request)])
            .concat();
        assert_eq!(found, ways, "{parent} and {variables} variables");
    }
}

#[test]
fn pitfall_48_what_goes_to_a_socket_goes_nowhere_else_and_only_if_allowed() {
    let mitm = r#", "mitmProxy": {"socketPath": "/run/mitm", "domains": ["a.test", "*.b.test"]}, "requireServerName": false"#;
    for first in [CONNECT, SOCKS, b"GET http://a.test/ HTTP/1.1\r\n\r\n"] {
        let done = under(mitm, &[Client(first), DialFailed(DialError::Unreachable)]);
        assert_eq!(dials(&done), ["Socket(\"/run/mitm\")"]);
        assert_eq!(done.end, End::Closed);
    }
    let done = under(mitm, &[Client(b"CONNECT x.b.test:443 HTTP/1.1\r\n\r\n")]);
    assert!(dials(&done).is_empty() && done.denied.len() == 1);
    let done = under(mitm, &[Client(b"CONNECT c.test:443 HTTP/1.1\r\n\r\n")]);
    assert_eq!(dials(&done), ["c.test:443"]);
}

#[test]
fn pitfall_56_the_end_of_a_client_ends_what_was_begun() {
    for steps in [
        &[ClientEnd][..],
        &[Client(b"CONNECT a.te"), ClientEnd],
        &[Client(b"\x05\x01"), ClientEnd],
    ] {
        assert_eq!(seen(steps).end, End::Closed);
    }
    let post = Client(b"POST http://a.test/ HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc");
    assert_eq!(seen(&[post, Dialled, ClientEnd]).end, End::Aborted);
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

#[test]
fn pitfall_54_who_does_not_know_the_password_is_not_heard() {
    for field in [
        "",
        "Proxy-Authorization: Basic\r\n",
        "Proxy-Authorization: Basic c3J0OnMzY3IzdA\r\n",
        "Proxy-Authorization: Basic c3J0OnMzY3IzdQ==\r\n",
        "Proxy-Authorization: Basic  \r\n",
        "Proxy-Authorization: Bearer c3J0OnMzY3IzdA==\r\n",
        "Authorization: Basic c3J0OnMzY3IzdA==\r\n",
        "Proxy-Authorization: Basic c3J0OnMzY3IzdA==\r\nProxy-Authorization: Basic c3J0OnMzY3IzdA==\r\n",
    ] {
        for line in [
            "CONNECT a.test:80",
            "CONNECT b.test:80",
            "GET http://a.test/",
        ] {
            let request = format!("{line} HTTP/1.1\r\n{field}\r\n");
            let seen = guarded(&[Client(request.as_bytes())]);
            let answer = to_client(&seen);
            assert!(
                answer.starts_with("HTTP/1.1 407 Proxy Authentication Required\r\n")
                    && answer.contains("\r\nProxy-Authenticate: Basic realm=\"srt\"\r\n")
                    && seen.dials.is_empty()
                    && seen.denied.is_empty(),
                "{request:?}: {answer:?}"
            );
        }
    }
    for (said, answered) in [
        // No method but "no authentication" is offered, then a wrong password, name, version.
        (
            &b"\x05\x01\x00\x05\x01\x00\x03\x06A.test\x00\x50"[..],
            &b"\x05\xff"[..],
        ),
        (
            b"\x05\x02\x00\x02\x01\x03srt\x06s3cr3T\x05\x01\x00\x03\x06A.test\x00\x50",
            b"\x05\x02\x01\x01",
        ),
        (
            b"\x05\x02\x00\x02\x01\x03srT\x06s3cr3t\x05\x01\x00\x03\x06A.test\x00\x50",
            b"\x05\x02\x01\x01",
        ),
        (
            b"\x05\x02\x00\x02\x02\x03srt\x06s3cr3t\x05\x01\x00\x03\x06A.test\x00\x50",
            b"\x05\x02\x01\x01",
        ),
        (
            b"\x05\x01\x02\x01\x00\x00\x05\x01\x00\x03\x06A.test\x00\x50",
            b"\x05\x02\x01\x01",
        ),
        // The request in the password's place.
        (
            b"\x05\x01\x02\x05\x01\x00\x03\x06A.test\x00\x50",
            b"\x05\x02\x01\x01",
        ),
    ] {
        let seen = guarded(&[Client(said)]);
        assert_eq!((seen.to_client.as_slice(), seen.dials.len()), (answered, 0));
    }
}

#[test]
fn who_knows_the_password_is_served_as_without_one() {
    const BASIC: &str = "proxy-authorization: basic  c3J0OnMzY3IzdA== \r\n";
    let connect = format!("CONNECT a.test:80 HTTP/1.1\r\n{BASIC}\r\n");
    let seen = guarded(&[Client(connect.as_bytes()), Dialled, Client(b"hello")]);
    assert_eq!(
        (dials(&seen), to_client(&seen)),
        (vec!["a.test:80".into()], ESTABLISHED.into())
    );
    let get = format!("GET http://a.test/x HTTP/1.1\r\n{BASIC}\r\n");
    let seen = guarded(&[Client(get.as_bytes()), Dialled]);
    assert!(
        !to_upstream(&seen)
            .concat()
            .to_lowercase()
            .contains("authorization")
    );
    // Each request of a connection is asked for it.
    let two = format!("{get}GET http://a.test/y HTTP/1.1\r\n\r\n");
    let seen = guarded(&[
        Client(two.as_bytes()),
        Dialled,
        Upstream(b"HTTP/1.1 204 No Content\r\n\r\n"),
    ]);
    assert_eq!(dials(&seen).len(), 1);
    assert!(to_client(&seen).contains("\r\n\r\nHTTP/1.1 407 "));
    let socks = b"\x05\x02\x00\x02\x01\x03srt\x06s3cr3t\x05\x01\x00\x03\x06A.test\x00\x50";
    let seen = guarded(&[Client(socks), Dialled]);
    assert_eq!(
        seen.to_client,
        b"\x05\x02\x01\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
    );
    let secret = Secret::new("srt", "s3cr3t");
    assert_eq!(secret.userinfo(), "srt:s3cr3t");
    assert!(!format!("{secret:?}").contains("s3cr3t"));
}

/// What is seen where somebody is asked about what no rule speaks of.
fn asked(more: &str, steps: &[Step<'_>]) -> Seen {
    let policy = policy(more).with_unlisted(Unlisted::Asked);
    let whole = play(&policy, steps, usize::MAX);
    for cut in 1..40 {
        assert_eq!(play(&policy, steps, cut), whole, "cut into pieces of {cut}");
    }
    whole
}

#[test]
fn nothing_is_dialled_before_whoever_is_asked_has_allowed_it() {
    const NEW: &[u8] = b"CONNECT new.test:80 HTTP/1.1\r\n\r\nearly";
    const GET: &[u8] = b"GET http://new.test/x HTTP/1.1\r\n\r\n";
    const NEW_SOCKS: &[u8] = b"\x05\x01\x00\x05\x01\x00\x03\x08new.test\x00\x50";
    for request in [NEW, GET, NEW_SOCKS] {
        let seen = asked("", &[Client(request)]);
        assert_eq!(
            (seen.denied, seen.dials.len()),
            (vec!["asked new.test:80".into()], 0)
        );
        let seen = asked("", &[Client(request), Step::Decided(Decided::Allow)]);
        assert_eq!(dials(&seen), ["new.test:80"]);
        for refusal in [Step::Decided(Decided::Deny), Deadline] {
            let seen = asked("", &[Client(request), refusal]);
            let expected = "new.test:80: no rule of network.allowedDomains allows it";
            assert_eq!((seen.denied[1].as_str(), seen.dials.len()), (expected, 0));
            // An answer that comes late changes nothing.
            let late = asked(
                "",
                &[Client(request), refusal, Step::Decided(Decided::Allow)],
            );
            assert_eq!(late.dials.len(), 0);
        }
    }
    let seen = asked("", &[Client(NEW), Step::Decided(Decided::Allow), Dialled]);
    assert_eq!(to_client(&seen), ESTABLISHED);
    assert_eq!(to_upstream(&seen), ["early"]);
}

#[test]
fn nobody_is_asked_about_what_a_rule_decides() {
    for (more, host, dialled) in [
        ("", "a.test", 1),
        (r#", "deniedDomains": ["*.d.test"]"#, "x.d.test", 0),
        (r#", "strictAllowlist": true"#, "new.test", 0),
    ] {
        let request = format!("CONNECT {host}:80 HTTP/1.1\r\n\r\n");
        let seen = asked(
            more,
            &[Client(request.as_bytes()), Step::Decided(Decided::Allow)],
        );
        assert_eq!(seen.dials.len(), dialled, "{host}");
        assert!(
            !seen.denied.iter().any(|line| line.starts_with("asked")),
            "{host}"
        );
    }
    // What an answer allows is looked at as ever when it is looked up.
    let allowed = b"CONNECT new.test:80 HTTP/1.1\r\n\r\n";
    let refused = DialFailed(DialError::Refused(AddressClass::Loopback));
    let seen = asked(
        "",
        &[Client(allowed), Step::Decided(Decided::Allow), refused],
    );
    assert!(to_client(&seen).starts_with("HTTP/1.1 403 "));
}
