//! The ClientHello parser, on what real clients send and on what they do not.

use std::process::Command;

use sandbox_runtime::limits::CLIENT_HELLO_BYTES;
use sandbox_runtime::parse::Status;
use sandbox_runtime::parse::tls::{Hello, TlsError, client_hello};

/// What Python's ssl sends first when asked for `name`.
fn real(name: &str) -> Vec<u8> {
    let script = "import ssl, sys\nc = ssl.create_default_context(); c.check_hostname = False\n\
         i, o = ssl.MemoryBIO(), ssl.MemoryBIO()\ns = c.wrap_bio(i, o, server_hostname=sys.argv[1] or None)\n\
         try: s.do_handshake()\nexcept ssl.SSLWantReadError: pass\nsys.stdout.buffer.write(o.read())\n";
    let out = Command::new("python3")
        .args(["-c", script, name])
        .output()
        .unwrap();
    assert!(out.status.success());
    out.stdout
}

fn named(result: Result<Status<Hello>, TlsError>) -> Option<String> {
    match result {
        Ok(Status::Complete { value, .. }) => value.server_name.map(|name| name.to_string()),
        other => panic!("{other:?}"),
    }
}

/// The same handshake bytes, in records of `size`.
fn cut(hello: &[u8], size: usize) -> Vec<u8> {
    let record = |part: &[u8]| {
        let length = (part.len() as u16).to_be_bytes();
        [&[22, 3, 3][..], &length, part].concat()
    };
    hello[5..].chunks(size).flat_map(record).collect()
}

#[test]
fn a_real_hello_is_read_however_it_is_cut_into_records() {
    for (asked, found) in [("Example.Test", Some("example.test")), ("", None)] {
        let hello = real(asked);
        assert_eq!(named(client_hello(&hello)).as_deref(), found);
        for size in [1, 2, 3, 100, 511] {
            let records = cut(&hello, size);
            assert_eq!(
                named(client_hello(&records)).as_deref(),
                found,
                "in records of {size}"
            );
            for end in 0..records.len() {
                assert_eq!(
                    client_hello(&records[..end]),
                    Ok(Status::Partial),
                    "{end} of {size}"
                );
            }
        }
        // What comes behind it is not its concern.
        let more = [&hello[..], b"anything"].concat();
        let Ok(Status::Complete { used, .. }) = client_hello(&more) else {
            panic!()
        };
        assert_eq!(used, hello.len());
    }
}

#[test]
fn another_protocol_is_known_by_its_first_bytes() {
    for start in [
        &b"S"[..],
        b"SSH-2.0-x",
        b"GET / HTTP/1.1",
        b"\x16\x02",
        b"\x15\x03\x01",
        b"\x00",
    ] {
        assert_eq!(client_hello(start), Err(TlsError::NotTls), "{start:?}");
    }
    assert_eq!(client_hello(b""), Ok(Status::Partial));
    assert_eq!(client_hello(b"\x16"), Ok(Status::Partial));
    assert_eq!(
        client_hello(b"\x16\x03\x01\x00\x01\x02"),
        Err(TlsError::NotHello)
    );
}

/// A hello with these extensions.
fn hello(extensions: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| (bytes.len() as u16).to_be_bytes();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0],
        &[0, 2, 19, 1],
        &[1, 0],
        &length(extensions),
        extensions,
    ]
    .concat();
    let size = (body.len() as u32).to_be_bytes();
    let message = [&[1][..], &size[1..], &body].concat();
    [&[22, 3, 1][..], &length(&message), &message].concat()
}

/// A server_name extension with these entries: kind and name.
fn names(entries: &[(u8, &[u8])]) -> Vec<u8> {
    let length = |bytes: &[u8]| (bytes.len() as u16).to_be_bytes();
    let list: Vec<u8> = entries
        .iter()
        .flat_map(|(kind, name)| [&[*kind][..], &length(name), name].concat())
        .collect();
    let content = [&length(&list)[..], &list].concat();
    [&[0, 0][..], &length(&content), &content].concat()
}

#[test]
fn a_server_name_is_one_host_name() {
    let name = |entries: &[(u8, &[u8])]| client_hello(&hello(&names(entries)));
    assert_eq!(named(name(&[(0, b"A.test.")])).as_deref(), Some("a.test"));
    let two = [names(&[(0, b"a.test")]), names(&[(0, b"b.test")])].concat();
    assert_eq!(client_hello(&hello(&two)), Err(TlsError::ServerName));
    for bad in [
        &[(0, &b"a.test\0"[..])][..],
        &[(0, b"a\r\nb")],
        &[(0, b"1.2.3.4")],
        &[(0, b"[::1]")],
        &[(0, b"")],
        &[(1, b"a.test")],
        &[(0, b"a.test"), (0, b"b.test")],
    ] {
        assert_eq!(name(bad), Err(TlsError::ServerName), "{bad:?}");
    }
}

#[test]
fn lengths_must_add_up_and_have_their_bound() {
    let good = hello(&names(&[(0, b"a.test")]));
    let broken = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        client_hello(&bytes)
    };
    assert_eq!(
        broken(4, 0),
        Err(TlsError::Malformed),
        "a second message in the record, or none"
    );
    assert_eq!(
        broken(3, 0xff),
        Err(TlsError::Malformed),
        "a record over 2^14"
    );
    assert_eq!(
        client_hello(b"\x16\x03\x01\x00\x00"),
        Err(TlsError::Malformed)
    );
    // The session's length, the ciphers', the extensions', the name's.
    for at in [43, 45, 50, 55] {
        assert!(broken(at, good[at] + 1).is_err(), "byte {at}");
    }
    let long = |size: usize| {
        let padding = size - (2 + 32 + 1 + 4 + 2 + 2) - 4;
        let extension = [
            &[0, 21][..],
            &(padding as u16).to_be_bytes(),
            &vec![0; padding],
        ]
        .concat();
        let whole = hello(&extension);
        let length = (size as u32).to_be_bytes();
        let message = [&[1][..], &length[1..], &whole[9..]].concat();
        client_hello(&cut(&[&[0; 5][..], &message].concat(), 9_000))
    };
    assert!(matches!(
        long(CLIENT_HELLO_BYTES),
        Ok(Status::Complete { .. })
    ));
    assert_eq!(long(CLIENT_HELLO_BYTES + 1), Err(TlsError::TooLong));
    // Told by its length, before it has all come.
    assert_eq!(
        client_hello(b"\x16\x03\x01\x00\x04\x01\x01\x00\x00"),
        Err(TlsError::TooLong)
    );
}
