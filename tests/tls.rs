//! The ClientHello parser, on what real clients send and on what they do not.

use sandbox_runtime::limits::{CLIENT_HELLO_BYTES, CLIENT_HELLO_INPUT};
use sandbox_runtime::parse::Status;
use sandbox_runtime::parse::tls::{Hello, Inner, TlsError, client_hello};

/// What Python's ssl (OpenSSL 3.0.19) sends first when asked for `Example.Test`.
const NAMED: &str = "\
    1603010200010001fc03034e02e61dc33f6cd99ea54d0818278519f02622aef6ed12fb9b29aa3f1e6345c420\
    fa8bc31c9b25efc76da5ab6e15db565cb2c80ef4e57263d01883c659aaa0c8390024130213031301c02cc030\
    c02bc02fcca9cca8c024c028c023c027009f009e006b006700ff0100018f00000011000f00000c4578616d70\
    6c652e54657374000b000403000102000a00160014001d0017001e0019001801000101010201030104002300\
    000016000000170000000d002a0028040305030603080708080809080a080b08040805080604010501060103\
    0303010302040205020602002b00050403040303002d00020101003300260024001d0020c124ce4561e37e89\
    7b9eda9beb6db464c1220b4c9a4d714b54f110a860325622001500e100000000000000000000000000000000\
    0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    000000000000000000000000000000000000000000000000000000000000000000";

/// The same, asked for no name.
const NAMELESS: &str = "\
    1603010200010001fc0303fe6cfabad70428c1ec0b7701adb75adae0a0a5e17dfdf403c85f3f8a5fbcd9ab20\
    c2e5347999066e0c7ea20e02d48bce212bc0fc3c6cc33bf46a0fa2323567cc7a0024130213031301c02cc030\
    c02bc02fcca9cca8c024c028c023c027009f009e006b006700ff0100018f000b000403000102000a00160014\
    001d0017001e0019001801000101010201030104002300000016000000170000000d002a0028040305030603\
    080708080809080a080b080408050806040105010601030303010302040205020602002b0005040304030300\
    2d00020101003300260024001d00203064d0c6d16a367a50a1f96702c47b7dfade63b5fd9ea6a4d84979dd4f\
    7f0c34001500f600000000000000000000000000000000000000000000000000000000000000000000000000\
    0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    000000000000000000000000000000000000000000000000000000000000000000";

fn real(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

const REAL: [(&str, Option<&str>); 2] = [(NAMED, Some("example.test")), (NAMELESS, None)];

/// What is said, and how many bytes of it are used.
fn complete(result: Result<Status<Hello>, TlsError>) -> (Hello, usize) {
    match result {
        Ok(Status::Complete { value, used }) => (value, used),
        other => panic!("{other:?}"),
    }
}

fn named(result: Result<Status<Hello>, TlsError>) -> Option<String> {
    complete(result).0.server_name.map(|name| name.to_string())
}

/// One record, of version 3.`minor`.
fn record(minor: u8, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u16).to_be_bytes();
    [&[22, 3, minor][..], &length, content].concat()
}

/// A hello's message, without the head of its one record.
fn message(hello: &[u8]) -> &[u8] {
    &hello[5..]
}

/// The same handshake bytes, in records of `size`.
fn cut(hello: &[u8], size: usize) -> Vec<u8> {
    let parts = message(hello).chunks(size);
    parts.flat_map(|part| record(3, part)).collect()
}

#[test]
fn a_real_hello_is_read_however_it_is_cut_into_records() {
    for (hex, found) in REAL {
        let hello = real(hex);
        assert_eq!(named(client_hello(&hello)).as_deref(), found);
        for size in [1, 2, 3, 100, 511, 512] {
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
        assert_eq!(complete(client_hello(&more)).1, hello.len());
    }
}

#[test]
fn a_real_hello_is_read_cut_in_two_at_every_place() {
    for (hex, _) in REAL {
        let hello = real(hex);
        let whole = complete(client_hello(&hello)).0;
        for at in 1..message(&hello).len() {
            let (first, second) = message(&hello).split_at(at);
            let two = [record(1, first), record(3, second)].concat();
            assert_eq!(client_hello(&two[..at + 5]), Ok(Status::Partial), "at {at}");
            let (value, used) = complete(client_hello(&two));
            assert_eq!((value, used), (whole.clone(), two.len()), "at {at}");
        }
    }
}

#[test]
fn another_protocol_is_known_by_its_first_bytes() {
    for start in [
        &b"S"[..],
        b"SSH-2.0-x",
        b"GET / HTTP/1.1",
        b"\x80\x2e\x01",
        b"\x00",
    ] {
        assert_eq!(client_hello(start), Err(TlsError::NotTls), "{start:?}");
    }
    for byte in 0..=u8::MAX {
        let first = match byte {
            22 => Ok(Status::Partial),
            // Another record: whoever drops it reads a ClientHello behind it.
            20..=24 => Err(TlsError::Malformed),
            _ => Err(TlsError::NotTls),
        };
        assert_eq!(client_hello(&[byte]), first);
        assert_eq!(client_hello(&[byte, 3, 1, 0, 1, 1]), first);
        let second = match byte {
            3 => Ok(Status::Partial),
            _ => Err(TlsError::Malformed),
        };
        assert_eq!(client_hello(&[22, byte]), second);
    }
    assert_eq!(client_hello(b""), Ok(Status::Partial));
    // Bytes of no meaning, each kind of beginning among them.
    let mut state = 1u32;
    for _ in 0..1_000 {
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(40)
        .collect();
        if !(20..=24).contains(&noise[0]) {
            assert_eq!(client_hello(&noise), Err(TlsError::NotTls), "{noise:?}");
        }
    }
}

#[test]
fn every_tls_begins_with_a_client_hello() {
    for minor in [0, 1, 3, 4, 0xff] {
        let hello = record(minor, message(&real(NAMED)));
        assert_eq!(
            named(client_hello(&hello)).as_deref(),
            Some("example.test"),
            "version 3.{minor}"
        );
    }
    for kind in (0..=u8::MAX).filter(|kind| *kind != 1) {
        assert_eq!(
            client_hello(&[22, 3, 1, 0, 1, kind]),
            Err(TlsError::NotHello)
        );
        // Told before its record is whole.
        assert_eq!(
            client_hello(&[22, 3, 1, 1, 0, kind]),
            Err(TlsError::NotHello)
        );
    }
}

/// The bytes behind their length.
fn vector16(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

/// A hello whose parts behind the random are these.
fn hello_of(session: &[u8], ciphers: &[u8], compression: &[u8], rest: &[u8]) -> Vec<u8> {
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[session.len() as u8],
        session,
        &vector16(ciphers),
        &[compression.len() as u8],
        compression,
        rest,
    ]
    .concat();
    let size = (body.len() as u32).to_be_bytes();
    record(1, &[&[1][..], &size[1..], &body].concat())
}

/// A hello with these extensions.
fn hello(extensions: &[u8]) -> Vec<u8> {
    hello_of(b"", &[19, 1], &[0], &vector16(extensions))
}

/// An extension.
fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector16(content)].concat()
}

/// A server_name extension with these entries: kind and name.
fn names(entries: &[(u8, &[u8])]) -> Vec<u8> {
    let list: Vec<u8> = entries
        .iter()
        .flat_map(|(kind, name)| [&[*kind][..], &vector16(name)].concat())
        .collect();
    extension(0, &vector16(&list))
}

#[test]
fn a_server_name_is_one_host_name() {
    let name = |entries: &[(u8, &[u8])]| client_hello(&hello(&names(entries)));
    for spelled in ["a.test", "A.test.", "A.TEST", "a.test."] {
        let found = named(name(&[(0, spelled.as_bytes())]));
        assert_eq!(found.as_deref(), Some("a.test"), "{spelled}");
    }
    let longest = [b'a', b'.'].repeat(126);
    assert!(named(name(&[(0, &[&longest[..], b"a"].concat())])).is_some());
    for (first, second) in [("a.test", "b.test"), ("a.test", "a.test")] {
        let two = [first, second].map(|n| names(&[(0, n.as_bytes())]));
        let apart = [&two[0][..], &extension(23, b""), &two[1]].concat();
        for extensions in [two.concat(), apart] {
            let found = client_hello(&hello(&extensions));
            assert_eq!(found, Err(TlsError::ServerName), "{first} {second}");
        }
    }
    for bad in [
        &[(0, &b"a.test\0"[..])][..],
        &[(0, b"\0")],
        &[(0, b"a.test\0.b.test")],
        &[(0, b"a\r\nb")],
        &[(0, b"a test")],
        &[(0, b"a.test:443")],
        &[(0, b"*.test")],
        &[(0, b"b\xc3\xbccher.test")],
        &[(0, b"\xff")],
        &[(0, b"1.2.3.4")],
        &[(0, b"1.2.3.4.")],
        &[(0, b"0x7f000001")],
        &[(0, b"127.1")],
        &[(0, b"::1")],
        &[(0, b"[::1]")],
        &[(0, b"")],
        &[(0, b".")],
        &[(0, b"a..test")],
        &[(0, &[b'a'; 64])],
        &[(0, &[&longest[..], b"aa"].concat())],
        &[(1, b"a.test")],
        &[(0, b"a.test"), (0, b"b.test")],
        &[(0, b"a.test"), (0, b"a.test")],
        &[(0, b"a.test"), (1, b"b.test")],
        &[(1, b"a.test"), (0, b"b.test")],
    ] {
        assert_eq!(name(bad), Err(TlsError::ServerName), "{bad:?}");
    }
}

#[test]
fn a_name_in_another_extension_is_none() {
    let content = &names(&[(0, b"a.test")])[4..];
    for kind in [1, 0x0100, 0xffff] {
        assert_eq!(named(client_hello(&hello(&extension(kind, content)))), None);
    }
    // None at all, and no field for them.
    assert_eq!(named(client_hello(&hello(b""))), None);
    let bare = hello_of(b"", &[19, 1], &[0], b"");
    assert_eq!(named(client_hello(&bare)), None);
}

#[test]
fn an_encrypted_hello_inside_is_told_of() {
    let outer = names(&[(0, b"outer.test")]);
    let encrypted = extension(0xfe0d, b"\0\0\x01\0\x01\x07\0\x01x\0\x01y");
    for (extensions, inner) in [
        (outer.clone(), Inner::Absent),
        ([&outer[..], &encrypted].concat(), Inner::Encrypted),
        ([&encrypted[..], &outer].concat(), Inner::Encrypted),
        (
            [&outer[..], &extension(0xfe0d, b"")].concat(),
            Inner::Encrypted,
        ),
        (
            [&outer[..], &extension(0x0dfe, b"")].concat(),
            Inner::Absent,
        ),
        // As the content of another extension it is none.
        (
            [&outer[..], &extension(21, &encrypted)].concat(),
            Inner::Absent,
        ),
    ] {
        let bytes = hello(&extensions);
        let found = complete(client_hello(&bytes)).0;
        assert_eq!(found.inner, inner, "{extensions:?}");
        assert_eq!(found.server_name.unwrap().to_string(), "outer.test");
    }
    for (hex, _) in REAL {
        let found = complete(client_hello(&real(hex))).0;
        assert_eq!(found.inner, Inner::Absent);
    }
}

#[test]
fn lengths_must_add_up() {
    let good = hello(&names(&[(0, b"a.test")]));
    // Each length of it: the message's, the session's, the ciphers', the compression's,
    // the extensions', the extension's, the list's, the name's.
    for at in [8, 43, 45, 48, 51, 55, 57, 60] {
        for value in [good[at] - u8::from(good[at] > 0), good[at] + 1, 0xff] {
            if value == good[at] {
                continue;
            }
            let mut bytes = good.clone();
            bytes[at] = value;
            let found = client_hello(&bytes);
            // A longer message is waited for: more records may bring it.
            let waits = at == 8 && value > good[at];
            if waits {
                assert_eq!(found, Ok(Status::Partial), "byte {at}: {value}");
            } else {
                assert!(found.is_err(), "byte {at}: {value}");
            }
        }
    }
    let rest = vector16(&names(&[(0, b"a.test")]));
    let ok = |bytes: Vec<u8>| complete(client_hello(&bytes));
    ok(hello_of(&[1; 32], &[19, 1], &[0], &rest));
    ok(hello_of(b"", &[19, 1].repeat(200), &[1, 0], &rest));
    for (bad, why) in [
        (hello_of(&[1; 33], &[19, 1], &[0], &rest), "a long session"),
        (hello_of(b"", b"", &[0], &rest), "no cipher"),
        (hello_of(b"", &[19, 1, 2], &[0], &rest), "half a cipher"),
        (hello_of(b"", &[19, 1], b"", &rest), "no compression"),
        (hello_of(b"", &[19, 1], &[0], &[0]), "half a length"),
        (
            hello_of(b"", &[19, 1], &[0], &[&rest[..], b"x"].concat()),
            "bytes behind the extensions",
        ),
        (hello(&[0, 1, 0]), "half an extension"),
        (hello(&[0, 1, 0, 1]), "an extension past the end"),
        (hello(&extension(0, b"")), "an empty server_name"),
        (hello(&extension(0, &[0, 0])), "an empty list"),
        (hello(&extension(0, &[0, 2, 0, 0])), "half an entry"),
        (record(1, &[1, 0, 0, 0]), "an empty message"),
    ] {
        assert_eq!(client_hello(&bad), Err(TlsError::Malformed), "{why}");
    }
    // Bytes behind the list of names.
    let behind = [
        &vector16(&[&[0][..], &vector16(b"a.test")].concat())[..],
        b"x",
    ]
    .concat();
    assert!(client_hello(&hello(&extension(0, &behind))).is_err());
}

#[test]
fn records_hold_the_hello_and_nothing_else() {
    let good = hello(&names(&[(0, b"a.test")]));
    let (first, second) = message(&good).split_at(9);
    let start = record(1, first);
    let behind = |next: &[u8]| client_hello(&[&start[..], next].concat());
    assert_eq!(named(behind(&record(1, second))).as_deref(), Some("a.test"));
    for (next, why) in [
        (record(1, b""), "an empty record"),
        (b"\x15\x03\x01\x00\x02\x01\x00".to_vec(), "an alert"),
        (b"\x14\x03\x01\x00\x01\x01".to_vec(), "a change of ciphers"),
        (b"\x17".to_vec(), "data, by its first byte"),
        (b"\x16\x02".to_vec(), "another version, by its byte"),
        (b"\x16\x03\x01\x40\x01".to_vec(), "a record over 2^14"),
        (
            record(1, &[second, b"\x10"].concat()),
            "a second message's byte",
        ),
        (
            record(1, &[second, message(&good)].concat()),
            "a second hello",
        ),
    ] {
        assert_eq!(behind(&next), Err(TlsError::Malformed), "{why}");
        let more = [&next[..], &record(1, second)].concat();
        assert_eq!(behind(&more), Err(TlsError::Malformed), "{why}, and more");
    }
    assert_eq!(client_hello(&record(1, b"")), Err(TlsError::Malformed));
    // The next record is not the hello's, whatever is in it.
    let more = [&good[..], &record(1, b"")].concat();
    assert_eq!(complete(client_hello(&more)).1, good.len());
}

/// A hello with a message of `size` bytes behind its head.
fn padded(size: usize) -> Vec<u8> {
    let padding = size - (2 + 32 + 1 + 4 + 2 + 2) - 4;
    hello(&extension(21, &vec![0; padding]))
}

#[test]
fn a_hello_and_its_records_have_their_bounds() {
    let largest = padded(CLIENT_HELLO_BYTES);
    complete(client_hello(&cut(&largest, 9_000)));
    let singles = cut(&largest, 1);
    assert_eq!(complete(client_hello(&singles)).1, CLIENT_HELLO_INPUT);
    assert_eq!(
        client_hello(&singles[..CLIENT_HELLO_INPUT - 1]),
        Ok(Status::Partial)
    );
    let larger = padded(CLIENT_HELLO_BYTES + 1);
    for size in [1, 4, 9_000] {
        assert_eq!(
            client_hello(&cut(&larger, size)),
            Err(TlsError::TooLong),
            "in records of {size}"
        );
    }
    // Told by its length, before it has all come; with the bytes that tell it.
    for length in [[0, 0x40, 1], [1, 0, 0], [0xff; 3]] {
        let head = [&[1][..], &length].concat();
        assert_eq!(client_hello(&record(1, &head)), Err(TlsError::TooLong));
        assert_eq!(
            client_hello(&[&[22, 3, 1, 0x40, 0][..], &head].concat()),
            Err(TlsError::TooLong)
        );
    }
    assert_eq!(
        client_hello(&record(1, &[1, 0, 0x40, 0])),
        Ok(Status::Partial)
    );
    // A record of 2^14 bytes, and of one more.
    let full = padded((1 << 14) - 4);
    assert_eq!(full.len(), (1 << 14) + 5);
    assert_eq!(complete(client_hello(&full)).1, full.len());
    let over = padded((1 << 14) - 3);
    assert_eq!(client_hello(&over), Err(TlsError::Malformed));
    assert_eq!(client_hello(&over[..5]), Err(TlsError::Malformed));
    assert_eq!(client_hello(&[22, 3, 1, 0xff]), Ok(Status::Partial));
    assert_eq!(
        client_hello(&[22, 3, 1, 0xff, 0xff]),
        Err(TlsError::Malformed)
    );
}

#[test]
fn every_error_says_what_it_is() {
    let all = [
        TlsError::NotTls,
        TlsError::NotHello,
        TlsError::TooLong,
        TlsError::Malformed,
        TlsError::ServerName,
    ]
    .map(|error| error.to_string());
    for (at, text) in all.iter().enumerate() {
        assert!(!text.is_empty() && !all[..at].contains(text), "{text}");
    }
}
