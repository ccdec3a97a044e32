//! What the kernel is asked, and what is heard of calls, as plain data: requests to its
//! routing read back, and watched calls by their arguments.

use std::net::{Ipv4Addr, Ipv6Addr};

use sandbox_runtime::emit::rtnetlink::{self, Request, Weight};
use sandbox_runtime::emit::seccomp::Machine;
use sandbox_runtime::emit::watched::{
    Attempt, Heard, Intent, LastLink, Start, Subject, WATCHED, find,
};
use sandbox_runtime::parse::settings::{Looks, Observed};

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(bytes[at..at + 2].try_into().unwrap())
}

/// A message's type and what is behind its head; all of it is as long as it says.
fn message(request: &Request) -> (u16, &[u8]) {
    let bytes = &request.bytes;
    assert_eq!(word(bytes, 0) as usize, bytes.len());
    assert_eq!(bytes.len() % 4, 0);
    // Wanted, acknowledged, made anew, and not there before; nobody's number yet.
    assert_eq!(
        (half(bytes, 6), word(bytes, 8), word(bytes, 12)),
        (0x605, 0, 0)
    );
    (half(bytes, 4), &bytes[16..])
}

/// Attributes: type and value.
fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let length = usize::from(half(bytes, 0));
        all.push((half(bytes, 2), &bytes[4..length]));
        bytes = &bytes[length.next_multiple_of(4)..];
    }
    all
}

#[test]
fn the_link_is_made_with_both_its_ends() {
    let all = rtnetlink::link(7);
    assert_eq!((all.len(), all[0].weight), (1, Weight::All));
    let (kind, body) = message(&all[0]);
    assert_eq!(kind, 16);
    let own = attributes(&body[16..]);
    let types: Vec<u16> = own.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(types, [3, 1, 4, 18]);
    assert_eq!(own[0].1, b"srt0\0");
    let info = attributes(own[3].1);
    assert_eq!(info[0], (1, &b"veth"[..]));
    let data = attributes(info[1].1);
    let peer = data[0].1;
    assert_eq!(data[0].0, 1);
    // The near end has the same name and number, lies there, and is not up before it has an
    // address.
    assert_eq!(word(peer, 4), word(body, 4));
    assert_eq!((word(body, 8) & 1, word(peer, 8) & 1), (1, 0));
    let near = attributes(&peer[16..]);
    assert_eq!(near[0].1, b"srt0\0");
    assert_eq!(near.last().unwrap(), &(28, &7i32.to_ne_bytes()[..]));
}

#[test]
fn the_sandbox_has_one_way_and_the_far_end_is_at_home_everywhere() {
    let v4 = |last| Ipv4Addr::new(198, 18, 0, last).octets().to_vec();
    let v6 = |last| {
        Ipv6Addr::new(0xfd00, 0x5265, 0, 0, 0, 0, 0, last)
            .octets()
            .to_vec()
    };
    // Kind, family, leading bits, and the first attribute's value.
    type Told = (u16, u8, u8, (u16, Vec<u8>));
    let told = |all: &[Request]| -> Vec<Told> {
        let one = |request| {
            let (kind, body) = message(request);
            let head = if kind == 20 { 8 } else { 12 };
            let first = match kind {
                19 => (0, Vec::new()),
                _ => {
                    let (kind, value) = attributes(&body[head..])[0];
                    (kind, value.to_vec())
                }
            };
            (kind, body[0], body[1], first)
        };
        all.iter().map(one).collect()
    };
    let index = 0x5265u32.to_ne_bytes().to_vec();
    assert_eq!(
        told(&rtnetlink::near()),
        [
            (19, 0, 0, (0, Vec::new())),
            (20, 2, 30, (2, v4(2))),
            (20, 10, 64, (2, v6(2))),
            (24, 2, 0, (5, v4(1))),
            (24, 10, 0, (5, v6(1))),
        ]
    );
    assert_eq!(
        told(&rtnetlink::far()),
        [
            (20, 2, 30, (2, v4(1))),
            (20, 10, 64, (2, v6(1))),
            (24, 2, 32, (1, v4(2))),
            (24, 2, 0, (4, index.clone())),
            (24, 10, 128, (1, v6(2))),
            (24, 10, 0, (4, index)),
        ]
    );
    // Without IPv6 the rest stands.
    for request in rtnetlink::near().iter().chain(&rtnetlink::far()) {
        let (kind, body) = message(request);
        let expected = match (kind, body[0]) {
            (20 | 24, 10) => Weight::Ipv6,
            _ => Weight::All,
        };
        assert_eq!(request.weight, expected);
    }
}

const MACHINES: [Machine; 2] = [Machine::X86_64, Machine::Aarch64];
const CWD: u64 = -100i32 as u32 as u64;

fn attempts(name: &str, arguments: [u64; 6], how: u64) -> Vec<Attempt> {
    let call = WATCHED.iter().find(|call| call.name == name).unwrap();
    call.attempts(Machine::X86_64, &arguments, how)
}

#[test]
fn every_watched_call_has_a_number_of_its_own_and_is_found_by_it() {
    for machine in MACHINES {
        let mut numbers: Vec<u32> = WATCHED
            .iter()
            .filter_map(|call| call.number(machine))
            .collect();
        for call in WATCHED {
            if let Some(number) = call.number(machine) {
                assert_eq!(find(machine, number).unwrap().name, call.name);
            }
        }
        numbers.sort_unstable();
        let all = numbers.len();
        numbers.dedup();
        assert_eq!(numbers.len(), all, "{machine:?}");
        assert!(find(machine, 0).is_none() && find(machine, 9999).is_none());
    }
    // aarch64 has none of the calls without a directory.
    let old = WATCHED
        .iter()
        .filter(|call| call.number(Machine::Aarch64).is_none());
    assert!(
        old.map(|call| call.name)
            .all(|name| !name.ends_with("at") || name == "creat" || name == "futimesat")
    );
}

#[test]
fn what_is_heard_of_is_what_is_asked_for() {
    let observed = |writes, reads| Observed { writes, reads };
    let call = |name: &str| WATCHED.iter().find(|call| call.name == name).unwrap();
    for (name, writes, reads) in [
        ("openat", Some(Heard::AnyBit(2, 0o1103)), Some(Heard::All)),
        ("open", Some(Heard::AnyBit(1, 0o1103)), Some(Heard::All)),
        ("openat2", Some(Heard::All), Some(Heard::All)),
        ("unlinkat", Some(Heard::All), None),
        ("mkdirat", Some(Heard::All), None),
        ("utimensat", Some(Heard::NotNull(1)), None),
    ] {
        let heard = |w, r| call(name).heard(observed(w, r));
        assert_eq!(heard(Looks::Yes, Looks::No), writes, "{name}");
        assert_eq!(heard(Looks::No, Looks::Yes), reads, "{name}");
        assert_eq!(heard(Looks::No, Looks::No), None, "{name}");
    }
    let makes: Vec<&str> = WATCHED
        .iter()
        .filter(|c| c.makes_links())
        .map(|c| c.name)
        .collect();
    assert_eq!(
        makes,
        [
            "renameat2",
            "renameat",
            "rename",
            "linkat",
            "link",
            "symlinkat",
            "symlink"
        ]
    );
}

#[test]
fn an_open_is_what_its_flags_say() {
    use Intent::{Read, Write};
    use Subject::{Absent, Directory, File, NoDirectory, Present};
    for (flags, intent, link, subject) in [
        (0o0, Read, LastLink::Followed, Present),
        (0o400_000, Read, LastLink::Kept, Present),
        (0o1, Write, LastLink::Followed, File),
        (0o2, Write, LastLink::Followed, File),
        (0o1000, Write, LastLink::Followed, File),
        (0o101, Write, LastLink::Followed, NoDirectory),
        (0o100, Write, LastLink::Followed, Absent),
        (0o301, Write, LastLink::Kept, Absent),
        (0o20_200_002, Write, LastLink::Followed, Directory),
    ] {
        for (name, arguments, how) in [
            ("openat", [CWD, 0x1000, flags, 0, 0, 0], 0),
            ("open", [0x1000, flags, 0, 0, 0, 0], 0),
            ("openat2", [CWD, 0x1000, 0x2000, 24, 0, 0], flags),
        ] {
            let found = attempts(name, arguments, how);
            let start = Start::WorkingDirectory;
            let expected = Attempt {
                intent,
                address: 0x1000,
                start,
                link,
                subject,
            };
            assert_eq!(found, [expected], "{name} {flags:o}");
        }
    }
    // O_PATH opens nothing.
    assert_eq!(
        attempts("openat", [CWD, 0x1000, 0o10_000_002, 0, 0, 0], 0),
        []
    );
    let call = WATCHED.iter().find(|call| call.name == "openat2").unwrap();
    assert_eq!(call.flags_at(&[0, 1, 2, 3, 4, 5]), Some(2));
    let call = WATCHED.iter().find(|call| call.name == "openat").unwrap();
    assert_eq!(call.flags_at(&[0, 1, 2, 3, 4, 5]), None);
}

#[test]
fn where_paths_start_and_whether_links_are_followed() {
    let one = |name: &str, arguments| {
        let all = attempts(name, arguments, 0);
        all.iter()
            .map(|a| (a.start, a.address, a.link, a.subject))
            .collect::<Vec<_>>()
    };
    use LastLink::{Followed, Kept};
    use Start::{Descriptor, WorkingDirectory};
    use Subject::{Absent, Any, Directory, File, Present};
    // The high half of a descriptor is nobody's.
    assert_eq!(
        one("unlinkat", [0xffff_ffff_0000_0005, 9, 0, 0, 0, 0]),
        [(Descriptor(5), 9, Kept, File)]
    );
    assert_eq!(
        one("unlinkat", [CWD, 9, 0x200, 0, 0, 0]),
        [(WorkingDirectory, 9, Kept, Directory)]
    );
    assert_eq!(
        one("renameat2", [3, 1, 4, 2, 0, 0]),
        [
            (Descriptor(3), 1, Kept, Present),
            (Descriptor(4), 2, Kept, Any)
        ]
    );
    for (flags, link) in [(0, Kept), (0x400, Followed)] {
        assert_eq!(
            one("linkat", [3, 1, 4, 2, flags, 0]),
            [
                (Descriptor(3), 1, link, Present),
                (Descriptor(4), 2, Kept, Absent)
            ]
        );
    }
    for (flags, link) in [(0, Followed), (0x100, Kept)] {
        assert_eq!(
            one("fchownat", [3, 1, 0, 0, flags, 0]),
            [(Descriptor(3), 1, link, Present)]
        );
        assert_eq!(
            one("utimensat", [3, 1, 0, flags, 0, 0]),
            [(Descriptor(3), 1, link, Present)]
        );
    }
    assert_eq!(
        one("symlinkat", [1, 3, 2, 0, 0, 0]),
        [(Descriptor(3), 2, Kept, Absent)]
    );
    assert_eq!(
        one("truncate", [1, 0, 0, 0, 0, 0]),
        [(WorkingDirectory, 1, Followed, File)]
    );
}
