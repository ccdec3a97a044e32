//! Tables for the parsers, and the contract that all incremental ones keep.

use std::net::IpAddr;

use sandbox_runtime::limits::{HEAD_BYTES, HEAD_FIELDS, TRAILER_BYTES};
use sandbox_runtime::parse::Status;
use sandbox_runtime::parse::glob::PathPattern;
use sandbox_runtime::parse::host::{
    AddressRange, List, Pattern, address_range, authority, host, pattern,
};
use sandbox_runtime::parse::http::{Body, HttpError, Kind, request_head};
use sandbox_runtime::parse::proxy_url::{exception, proxy_url};
use sandbox_runtime::parse::response::response_head;
use sandbox_runtime::parse::settings::{Resource, Settings, settings};
use sandbox_runtime::parse::{json, socks};
use sandbox_runtime::proxy::forward::{self, Next};

#[test]
fn pitfall_45_hosts_have_one_canonical_form() {
    let same = [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("a_b.x", "a_b.x"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("[::ffff:127.0.0.1]", "127.0.0.1"),
        ("[2001:DB8::0001]", "[2001:db8::1]"),
        ("0xg.test", "0xg.test"),
        ("1.2.3.4.", "1.2.3.4"),
        ("123.test", "123.test"),
        ("x.0xg", "x.0xg"),
    ];
    for (text, canonical) in same {
        assert_eq!(host(text.as_bytes()).unwrap().to_string(), canonical);
    }
}

#[test]
fn pitfall_44_what_is_no_host_is_refused_before_anything_is_matched() {
    let label = "a".repeat(64);
    let long = format!("{}.test", "abcdefg.".repeat(32).trim_end_matches('.'));
    for text in [
        "",
        ".",
        "a..b",
        ".a",
        "a\0b",
        "a\rb",
        "a\nb",
        "a b",
        "a%b",
        "a#b",
        "a@b",
        "a/b",
        "a\\b",
        "é.test",
        "a:b",
        "127.1",
        "0x7f000001",
        "0x",
        "017700000001",
        "2130706433",
        "127.0.0.01",
        "1.2.3.4.5",
        "256.1.1.1",
        "example.123",
        "::1",
        "[::1",
        "[::1%lo]",
        "[1.2.3.4]",
        "[]",
        "1.2.3.4%x.allowed.com",
        "*",
        "*.a.test",
        label.as_str(),
        long.as_str(),
    ] {
        assert!(host(text.as_bytes()).is_err(), "{text:?}");
    }
    assert!(host("a".repeat(63).as_bytes()).is_ok());
    let edge = format!("{}a", "a.".repeat(126));
    assert_eq!(edge.len(), 253);
    assert!(host(edge.as_bytes()).is_ok() && host(format!("{edge}aa").as_bytes()).is_err());
}

#[test]
fn an_authority_has_a_port() {
    assert_eq!(authority(b"a.test:443").unwrap().to_string(), "a.test:443");
    assert_eq!(authority(b"[::1]:1").unwrap().to_string(), "[::1]:1");
    for text in [
        "a.test",
        "a.test:",
        "a.test:0",
        "a.test:65536",
        "a.test:+1",
        "a.test:1 ",
        "a.test:1:2",
        "[::1]",
        ":80",
        "a.test:000080",
    ] {
        assert!(authority(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn pitfall_46_patterns_match_label_by_label() {
    let yes = [
        ("example.com", "EXAMPLE.com.:80"),
        ("*.example.com", "a.example.com:1"),
        ("*.example.com", "a.b.example.com:1"),
        ("example.com:443", "example.com:443"),
        ("127.0.0.1", "[::ffff:127.0.0.1]:80"),
        ("[::1]:80", "[::1]:80"),
    ];
    let no = [
        ("*.example.com", "example.com:1"),
        ("*.example.com", "evilexample.com:1"),
        ("example.com", "example.com.evil.test:1"),
        ("example.com:443", "example.com:80"),
        ("*.example.com", "127.0.0.1:1"),
        ("example.com", "a.example.com:1"),
    ];
    let matches = |(text, target): (&str, &str)| {
        pattern(text, List::Allow)
            .unwrap()
            .matches(&authority(target.as_bytes()).unwrap())
    };
    yes.into_iter()
        .for_each(|case| assert!(matches(case), "{case:?}"));
    no.into_iter()
        .for_each(|case| assert!(!matches(case), "{case:?}"));
    assert!(
        pattern("*:22", List::Deny)
            .unwrap()
            .matches(&authority(b"1.2.3.4:22").unwrap())
    );
    for text in [
        "*",
        "*:22",
        "*.com",
        "*.*.x.com",
        "a.*.com",
        "*a.com",
        "münchen.de",
        "127.1",
        "a b.com",
        "https://a.com",
        "a.com/x",
        "u@a.com",
        "::1",
        "",
        "*.",
        "*.1.2.3.4",
        "a.com:0",
        "a.com:x",
    ] {
        assert!(pattern(text, List::Allow).is_err(), "{text:?}");
    }
}

#[test]
fn address_ranges_hold_their_prefix() {
    let range = |text: &str| -> AddressRange { address_range(text).unwrap() };
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    assert!(
        range("10.0.0.0/8").contains(ip("10.255.0.1"))
            && !range("10.0.0.0/8").contains(ip("11.0.0.0"))
    );
    assert!(
        range("10.0.0.0/8").contains(ip("::ffff:10.1.1.1"))
            && !range("0.0.0.0/0").contains(ip("::1"))
    );
    assert!(range("fd00::/8").contains(ip("fdff::1")) && range("::/0").contains(ip("::1")));
    assert!(
        range("192.0.2.1").contains(ip("192.0.2.1"))
            && !range("192.0.2.1").contains(ip("192.0.2.2"))
    );
    for text in [
        "10.0.0.1/8",
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/+8",
        "x",
        "::ffff:10.0.0.0/104",
        "fd00::/129",
    ] {
        assert!(address_range(text).is_err(), "{text}");
    }
}

/// The contract of `parse`: a proper prefix of what is complete is partial.
fn keeps_the_contract(input: &[u8], parse: impl Fn(&[u8]) -> Option<Status<()>>) {
    for end in 0..input.len() {
        assert_eq!(
            parse(&input[..end]),
            Some(Status::Partial),
            "{end} bytes of {:?}",
            String::from_utf8_lossy(input)
        );
    }
    let longer = [input, b"\x05more"].concat();
    let complete = Some(Status::Complete {
        value: (),
        used: input.len(),
    });
    for whole in [input, &longer[..]] {
        assert_eq!(
            parse(whole),
            complete,
            "{:?}",
            String::from_utf8_lossy(whole)
        );
    }
}

/// The status alone, whatever the value.
fn bare<T, E>(result: Result<Status<T>, E>) -> Option<Status<()>> {
    match result.ok()? {
        Status::Complete { used, .. } => Some(Status::Complete { value: (), used }),
        Status::Partial => Some(Status::Partial),
    }
}

#[test]
fn heads_and_handshakes_are_read_from_any_prefix() {
    for head in [
        "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n",
        "GET http://a.test/x?y HTTP/1.0\r\n\r\n",
        "POST http://a.test:81 HTTP/1.1\r\nContent-Length: 3\r\n\r\n",
        "PUT http://[::1]/ HTTP/1.1\r\nTransfer-Encoding: Chunked\r\nX:\r\n\r\n",
    ] {
        keeps_the_contract(head.as_bytes(), |b| bare(request_head(b)));
    }
    keeps_the_contract(b"\x05\x02\x02\x00", |b| {
        bare(socks::greeting(b, socks::Method::None))
    });
    for request in [
        &b"\x05\x01\x00\x01\x01\x02\x03\x04\x00\x50"[..],
        b"\x05\x01\x00\x03\x06a.test\x01\xbb",
    ] {
        keeps_the_contract(request, |b| bare(socks::request(b)));
    }
}

#[test]
fn pitfall_51_requests_that_could_be_read_two_ways_are_refused() {
    for head in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET ftp://a.test/ HTTP/1.1\r\n\r\n",
        "GET https://a.test/ HTTP/1.1\r\n\r\n",
        "GET http://u@a.test/ HTTP/1.1\r\n\r\n",
        "GET http://a.test/ HTTP/1.1\n\n",
        "GET http://a.test/ HTTP/2\r\n\r\n",
        "GET  http://a.test/ HTTP/1.1\r\n\r\n",
        "GET http://a.test/ HTTP/1.1\r\nA : b\r\n\r\n",
        "GET http://a.test/ HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
        "GET http://a.test/ HTTP/1.1\r\nA: b\rc\r\n\r\n",
        "GET http://a.test/ HTTP/1.1\r\nA: b\0\r\n\r\n",
        "GET http://a.test/ HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
        "POST http://a.test/ HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST http://a.test/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "POST http://a.test/ HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
        "POST http://a.test/ HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n",
        "POST http://a.test/ HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "POST http://a.test/ HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
        "POST http://a.test/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "CONNECT a.test HTTP/1.1\r\n\r\n",
        "CONNECT a.test:443 HTTP/1.1\r\nContent-Length: 1\r\n\r\n",
        "CONNECT a.test\0:443 HTTP/1.1\r\n\r\n",
        "\r\n\r\n",
        "G(T http://a.test/ HTTP/1.1\r\n\r\n",
        "GET http://a.test/# HTTP/1.1\r\n\r\n",
    ] {
        assert!(request_head(head.as_bytes()).is_err(), "{head:?}");
    }
}

#[test]
fn a_request_head_has_its_bounds() {
    let start = "GET http://a.test/ HTTP/1.1\r\n";
    let fill = |size: usize| format!("{start}A: {}\r\n\r\n", "x".repeat(size - start.len() - 7));
    assert!(matches!(
        request_head(fill(HEAD_BYTES).as_bytes()),
        Ok(Status::Complete { .. })
    ));
    assert_eq!(
        request_head(fill(HEAD_BYTES + 1).as_bytes()).unwrap_err(),
        HttpError::TooLarge
    );
    assert_eq!(
        request_head(&[b'A'; HEAD_BYTES]).unwrap_err(),
        HttpError::TooLarge
    );
    let fields = |n: usize| format!("{start}{}\r\n", "A: b\r\n".repeat(n));
    assert!(request_head(fields(HEAD_FIELDS).as_bytes()).is_ok());
    assert_eq!(
        request_head(fields(HEAD_FIELDS + 1).as_bytes()).unwrap_err(),
        HttpError::TooLarge
    );
}

#[test]
fn pitfall_50_the_origin_sees_the_target_and_nothing_meant_for_the_proxy() {
    let head = "GET http://a.test:81/x?y HTTP/1.1\r\nHost: denied.test\r\nProxy-Authorization: s\r\nConnection: X-Drop, content-length\r\n\
                X-Drop: 1\r\nKeep-Alive: 1\r\nTE: x\r\nUpgrade: y\r\nAccept: */*\r\nContent-Length: 2\r\n\r\n";
    let Ok(Status::Complete { value, .. }) = request_head(head.as_bytes()) else {
        panic!()
    };
    assert_eq!(value.kind, Kind::Absolute { path: b"/x?y" });
    let upstream = String::from_utf8(forward::request(&value, Next::Origin)).unwrap();
    assert_eq!(
        upstream,
        "GET /x?y HTTP/1.1\r\nHost: a.test:81\r\nAccept: */*\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
    );
}

#[test]
fn a_chunked_body_ends_where_it_ends_however_it_is_cut() {
    let Ok(Status::Complete { value, .. }) =
        request_head(b"POST http://a.test/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    else {
        panic!()
    };
    let body = b"4\r\nwiki\r\n00A\r\n0123456789\r\n0\r\n\r\n";
    let after = [&body[..], b"GET http://denied.test/"].concat();
    for cut in 0..after.len() {
        let mut state: Body = value.body;
        let first = state.take(&after[..cut]).unwrap();
        let second = state.take(&after[first..]).unwrap();
        assert_eq!((first + second, state.is_done()), (body.len(), true));
    }
    for bad in [
        "x\r\n",
        "1;ext\r\n",
        "1\n",
        "\r\n",
        "-1\r\n",
        "1\r\nab",
        "0\r\nX : y\r\n\r\n",
        "0\r\nX\r\n\r\n",
        "0\r\n folded\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\nX: \0\r\n\r\n",
        "0\r\nContent-Length: 3\r\n\r\n",
        "0\r\nTRANSFER-encoding: x\r\n\r\n",
        "0\r\nProxy-Authorization: x\r\n\r\n",
        "0\r\n\n",
        "fffffffffffffffff\r\n",
        "10000000000000000\r\n",
    ] {
        let mut state = value.body;
        // What comes before the wrong byte may be taken; the byte itself never is.
        let taken = state.take(bad.as_bytes()).unwrap_or(0);
        assert!(taken < bad.len() && !state.is_done(), "{bad:?}");
        assert!(state.take(&bad.as_bytes()[taken..]).is_err(), "{bad:?}");
    }
}

#[test]
fn trailers_end_a_body_and_have_their_bound() {
    let mut body = Body::CHUNKED;
    let whole = b"1\r\nx\r\n0\r\nExpires: now\r\nETag: \"y\"\r\n\r\nnext";
    assert_eq!(body.take(whole).unwrap(), whole.len() - 4);
    assert!(body.is_done());
    let trailer = |size: usize| {
        let mut body = Body::CHUNKED;
        let line = format!("0\r\nA:{}\r\n\r\n", "x".repeat(size - 2));
        let taken = body.take(line.as_bytes()).unwrap();
        body.take(&line.as_bytes()[taken..])
    };
    assert_eq!(trailer(TRAILER_BYTES), Ok(0));
    assert_eq!(trailer(TRAILER_BYTES + 1), Err(HttpError::TooLarge));
}

#[test]
fn responses_end_where_their_heads_say() {
    let body = |head: &str| match response_head(format!("{head}\r\n\r\n").as_bytes()) {
        Ok(Status::Complete { value, .. }) => Ok(value.body),
        Ok(Status::Partial) => panic!("{head}"),
        Err(error) => Err(error),
    };
    for (head, expected) in [
        ("HTTP/1.1 200 OK", Body::Endless),
        ("HTTP/1.1 200", Body::Endless),
        ("HTTP/1.0 200 OK\r\nContent-Length: 5", Body::Length(5)),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\ncontent-length: 5",
            Body::Length(5),
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked",
            Body::CHUNKED,
        ),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 5", Body::None),
        (
            "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked",
            Body::None,
        ),
        ("HTTP/1.1 101 Switching Protocols", Body::None),
    ] {
        assert_eq!(body(head), Ok(expected), "{head}");
    }
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked",
        "HTTP/1.1 200 OK\r\nContent-Length: -1",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 099 OK",
        "HTTP/2 200 OK",
        "ICY 200 OK",
        "HTTP/1.1 200 OK\r\nA : b",
        "HTTP/1.1 200 OK\r\n folded",
    ] {
        assert!(body(head).is_err(), "{head}");
    }
}

#[test]
fn proxies_are_named_by_http_urls_and_keep_their_passwords() {
    for (text, target, authorization) in [
        ("http://Proxy.test:3128", "proxy.test:3128", None),
        ("proxy.test", "proxy.test:80", None),
        ("HTTP://u:p@[::1]:8080/", "[::1]:8080", Some("Basic dTpw")),
        (
            "http://us%65r:p%40s:s@10.0.0.1",
            "10.0.0.1:80",
            Some("Basic dXNlcjpwQHM6cw=="),
        ),
        ("http://user@a.test", "a.test:80", Some("Basic dXNlcjo=")),
    ] {
        let url = proxy_url(text).unwrap();
        assert_eq!(url.target.to_string(), target, "{text}");
        assert_eq!(url.authorization.as_deref(), authorization, "{text}");
        assert_eq!(
            format!("{url} {url:?}"),
            format!("http://{target} http://{target}")
        );
    }
    for text in [
        "https://a.test",
        "socks5://a.test",
        "http://",
        "http://a.test/x",
        "http://a b",
        "http://u%4@a.test",
        "http://u%zz@a.test",
    ] {
        assert!(proxy_url(text).is_err(), "{text}");
    }
    assert!(proxy_url("https://a.test").unwrap_err().contains("TLS"));
}

#[test]
fn exceptions_from_a_proxy_are_names_addresses_and_blocks() {
    let excepts = |list: &str, target: &str| {
        exception(list)
            .unwrap()
            .matches(&authority(target.as_bytes()).unwrap())
    };
    for (list, target, expected) in [
        ("*", "a.test:1", true),
        ("a.test", "a.test:1", true),
        ("a.test", "x.a.test:1", true),
        (".a.test", "x.a.test:1", true),
        ("*.a.test", "x.a.test:1", true),
        ("a.test", "ba.test:1", false),
        ("a.test:443", "a.test:80", false),
        ("a.test:443", "a.test:443", true),
        ("10.0.0.0/8", "10.1.2.3:80", true),
        ("10.0.0.0/8", "11.1.2.3:80", false),
        ("::1", "[::1]:80", true),
        ("[::1]:80", "[::1]:80", true),
    ] {
        assert_eq!(excepts(list, target), expected, "{list} {target}");
    }
    assert!(exception("a b").is_err() && exception("").is_err());
}

#[test]
fn pitfall_43_nothing_said_is_nothing_allowed() {
    assert_eq!(settings(b"{}").unwrap(), Settings::default());
    assert!(
        Settings::default().network.allowed.is_empty()
            && Settings::default().filesystem.allow_write.is_empty()
    );
}

#[test]
fn every_problem_of_a_settings_file_is_told_at_once_with_its_place() {
    let file = "{\n  \"network\": {\"allowedDomains\": [\"a.test\", 5]},\n  \"filesystem\": {\"allowWrite\": \"/x\", \"denyRead\": [\"\"]},\n  \
                \"limits\": {\"processes\": 0},\n  \"bwrapPath\": \"bwrap\",\n  \"network\": {}, \"tlsTerminate\": {}\n}";
    let problems: Vec<String> = settings(file.as_bytes())
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        problems,
        [
            "line 2, column 33: network.allowedDomains: must be a list of strings",
            "line 3, column 32: filesystem.allowWrite: must be a list of paths",
            "line 3, column 51: filesystem.denyRead[0]: the path is empty",
            "line 4, column 27: limits.processes: must be a whole number, 1 or more, that fits 64 bits",
            "line 5, column 16: bwrapPath: must be an absolute path",
            "line 6, column 3: network: stands twice",
            "line 6, column 18: tlsTerminate: not served here: srt does not open TLS: remove it, or name a program that does in network.mitmProxy",
        ]
    );
}

#[test]
fn what_concerns_the_process_is_read_or_refused_with_its_place() {
    let file = r#"{"environment": {"deny": ["A*", ""], "set": {"": "x", "A=B": "x", "C": 1, "D": "d", "D": "e"}},
        "limits": {"memoryMiB": 9223372036854775807, "openFiles": -1, "cpuSeconds": 1},
        "require": ["net", "nets"], "allowNestedUserNamespaces": 1}"#;
    let problems: Vec<String> = settings(file.as_bytes())
        .unwrap_err()
        .iter()
        .map(|problem| format!("{}: {}", problem.key, problem.text))
        .collect();
    let number = "must be a whole number, 1 or more, that fits 64 bits";
    assert_eq!(
        problems,
        [
            "environment.deny[1]: the pattern is empty",
            "environment.set.: a variable's name holds no = and no NUL",
            "environment.set.A=B: a variable's name holds no = and no NUL",
            "environment.set.C: must be a string without NUL",
            "environment.set.D: stands twice",
            &format!("limits.memoryMiB: {number}"),
            &format!("limits.openFiles: {number}"),
            "require[1]: must be one of fs.write, fs.read, net, unix, proc",
            "allowNestedUserNamespaces: must be true or false",
        ]
    );
    let good = settings(br#"{"limits": {"memoryMiB": 2, "wallSeconds": 3}}"#).unwrap();
    assert_eq!(good.limits.resources, [(Resource::Memory, 2 << 20)]);
    assert_eq!(good.limits.wall_seconds, Some(3));
}

#[test]
fn a_file_of_the_other_programs_is_taken() {
    let file = r#"{"network": {"allowedDomains": ["github.com", "*.npmjs.org"], "deniedDomains": [], "allowUnixSockets": [],
        "allowLocalBinding": false}, "filesystem": {"denyRead": ["~/.ssh"], "allowWrite": [".", "/tmp"], "denyWrite": [".env"]},
        "ignoreViolations": {}, "enableWeakerNestedSandbox": false, "mandatoryDenySearchDepth": 5, "ripgrep": {"command": "rg"}}"#;
    let taken = settings(file.as_bytes()).unwrap();
    let allowed: Vec<String> = taken
        .network
        .allowed
        .iter()
        .map(Pattern::to_string)
        .collect();
    assert_eq!(allowed, ["github.com", "*.npmjs.org"]);
    assert_eq!(
        (
            taken.search_depth.get(),
            taken.filesystem.allow_write.len(),
            taken.notes.len()
        ),
        (5, 2, 1)
    );
}

#[test]
fn paths_are_literal_or_escaped_or_globs_or_refused() {
    let read = |entry: &str| {
        settings(format!(r#"{{"filesystem": {{"denyRead": [{entry}]}}}}"#).as_bytes())
    };
    for (entry, path) in [
        (r#""/a""#, "/a"),
        (r#""a/b""#, "a/b"),
        (r#""~""#, "~"),
        (r#""/a\\*""#, "/a*"),
        (r#"{"path": "/[id]", "literal": true}"#, "/[id]"),
        (r#"{"path": "/a\\b", "literal": true}"#, "/a\\b"),
    ] {
        let literal = PathPattern::Literal(path.to_owned());
        assert_eq!(
            read(entry).unwrap().filesystem.deny_read[0].path,
            literal,
            "{entry}"
        );
    }
    for entry in [
        r#""/a/[x""#,
        r#""/a/**b""#,
        r#""/a\\""#,
        r#""""#,
        r#""/a\u0000""#,
        r#""~root""#,
        "5",
        "{}",
        r#"{"path": "/a", "x": 1}"#,
    ] {
        assert!(read(entry).is_err(), "{entry}");
    }
}

#[test]
fn json_is_read_strictly_and_never_deeper_than_its_bound() {
    for bad in [
        "",
        " ",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "nul",
        "\"a",
        "\"\\x\"",
        "\"\\ud800\"",
        "\"\\u12g4\"",
        "\"\n\"",
        "[] []",
        "\u{feff}{}",
        "'a'",
        "[1 2]",
        "{\"a\" 1}",
        "// x\n{}",
        "NaN",
        "-",
    ] {
        assert!(json::document(bad.as_bytes()).is_err(), "{bad:?}");
    }
    assert!(json::document(b"\"\xff\"").is_err());
    let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    assert!(
        json::document(nested(64).as_bytes()).is_ok()
            && json::document(nested(65).as_bytes()).is_err()
    );
    for good in [
        "null",
        "[1, -0, 2.5e-3, true]",
        "{\"a\": {\"b\": []}, \"c\": \"\\ud83d\\ude00\\n\"}",
    ] {
        assert!(json::document(good.as_bytes()).is_ok(), "{good}");
        assert!(
            miniserde::json::from_str::<miniserde::json::Value>(good).is_ok(),
            "{good}"
        );
    }
}
