//! Capture without its sockets: DNS questions, the policy's answers, the table of names, and
//! the conversations.

use std::net::{IpAddr, Ipv4Addr};

use sandbox_runtime::limits::{CAPTURED_NAMES, CAPTURED_PORTS, QUESTION_BYTES};
use sandbox_runtime::parse::Status;
use sandbox_runtime::parse::dns::{A, AAAA, ANY, DnsError, framed, question};
use sandbox_runtime::parse::host::{Host, Name, authority, host};
use sandbox_runtime::parse::hosts::hosts;
use sandbox_runtime::parse::sandbox::{Sandbox, sandbox};
use sandbox_runtime::parse::settings::{NetworkSettings, settings};
use sandbox_runtime::policy::capture::{Capture, Need};
use sandbox_runtime::policy::network::{Network, Reason, Unlisted, Verdict};
use sandbox_runtime::policy::route::Routes;
use sandbox_runtime::proxy::conversation::{Action, Conversation, DialError, Event, Hop, Mode};
use sandbox_runtime::proxy::names::{Meant, Names};
use sandbox_runtime::proxy::responder::{Answered, answer};

fn network(lists: &str) -> Network {
    let text = format!(r#"{{"network": {{{lists}}}}}"#);
    let settings = settings(text.as_bytes()).unwrap().network;
    Network::new(&settings, &[], Routes::default())
}

fn name(text: &str) -> Name {
    match host(text.as_bytes()) {
        Ok(Host::Name(name)) => name,
        other => panic!("{text}: {other:?}"),
    }
}

/// A message that asks for `name` and `kind`, with these flags and `extra` records.
fn message(name: &str, kind: u16, flags: u16, extra: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    let count = u16::try_from(extra.len()).unwrap();
    for number in [0x4242, flags, 1, 0, 0, count] {
        out.extend(number.to_be_bytes());
    }
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(u8::try_from(label.len()).unwrap());
        out.extend(label.as_bytes());
    }
    out.push(0);
    out.extend(kind.to_be_bytes());
    out.extend([0, 1]);
    extra.iter().for_each(|record| out.extend(*record));
    out
}

fn ask(name: &str, kind: u16) -> Vec<u8> {
    message(name, kind, 0x0100, &[])
}

const EDNS: &[u8] = &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];

/// The code, the address if there is one, and the name that was refused.
fn said(answered: &Answered) -> (u8, Option<Ipv4Addr>, Option<&str>) {
    let bytes = &answered.bytes;
    let mut rest = &bytes[12..];
    let mut address = None;
    if bytes[5] == 1 && bytes[7] == 1 {
        while rest[0] != 0 {
            rest = &rest[1 + usize::from(rest[0])..];
        }
        let four: [u8; 4] = rest[5 + 12..5 + 16].try_into().unwrap();
        address = Some(Ipv4Addr::from(four));
    }
    let refused = answered.refused.as_ref().map(|(name, _)| name.as_str());
    (bytes[3] & 15, address, refused)
}

const POLICY: &str = r#""allowedDomains": ["api.example.com:443", "*.wild.example", "10.0.0.1"],
    "deniedDomains": ["no.wild.example", "half.wild.example:22", "shut.example:443"]"#;

#[test]
fn names_that_the_policy_could_allow_get_an_address_and_no_others() {
    let (network, mut names) = (network(POLICY), Names::default());
    let mut asked = |text: &str, kind| {
        let answered = answer(&ask(text, kind), &network, &mut names).unwrap();
        let (code, address, refused) = said(&answered);
        (code, address, refused.map(str::to_owned))
    };
    let first = Some(Ipv4Addr::new(198, 18, 1, 0));
    let second = Some(Ipv4Addr::new(198, 18, 1, 1));
    assert_eq!(asked("api.example.com", A), (0, first, None));
    assert_eq!(asked("API.Example.COM.", A), (0, first, None));
    assert_eq!(asked("half.wild.example", A), (0, second, None));
    assert_eq!(asked("api.example.com", ANY), (0, first, None));
    // They are there, and have nothing of another type.
    for kind in [AAAA, 33, 65, 16, 15, 6, 2, 252] {
        assert_eq!(asked("api.example.com", kind), (0, None, None), "{kind}");
    }
    for text in [
        "no.wild.example",
        "wild.example",
        "example.com",
        "api.example.com.evil.test",
        "xapi.example.com",
        "10.0.0.1",
        "1.0.0.10.in-addr.arpa",
        "a b.wild.example",
    ] {
        let (code, address, refused) = asked(text, A);
        assert_eq!((code, address), (3, None), "{text}");
        assert_eq!(refused, Some(text.replace(' ', "\\032")));
    }
    assert_eq!(asked("", 2), (0, None, None));
    let here = Some(Ipv4Addr::LOCALHOST);
    assert_eq!(asked("localhost", A), (0, here, None));
    assert_eq!(asked("x.LocalHost", A), (0, here, None));
}

// A dot inside a label would be the dot of another name.
#[test]
fn a_dot_within_a_label_is_no_dot_of_the_name() {
    let network = network(r#""allowedDomains": ["a.wild.example"]"#);
    let mut bytes = ask("axwild.example", A);
    assert_eq!(bytes[14], b'x');
    bytes[14] = b'.';
    let answered = answer(&bytes, &network, &mut Names::default()).unwrap();
    assert_eq!(said(&answered), (3, None, Some("a\\046wild.example")));
}

#[test]
fn what_no_port_allows_is_no_name_of_the_policy() {
    let shut = network(
        r#""allowedDomains": ["a.example:443", "b.example"], "deniedDomains": ["*:443", "b.example:80"]"#,
    );
    assert!(matches!(
        shut.may_allow(&name("a.example")),
        Err(Reason::NotListed { .. })
    ));
    assert_eq!(shut.may_allow(&name("b.example")), Ok(()));
    let none = network(r#""allowedDomains": ["a.example"], "deniedDomains": ["*"]"#);
    assert!(matches!(
        none.may_allow(&name("a.example")),
        Err(Reason::Listed { .. })
    ));
    let told = network(r#""deniedDomainReasons": {"x.example:22": "ask Ann"}"#);
    assert_eq!(
        told.may_allow(&name("x.example")),
        Err(Reason::NotListed {
            text: Some("ask Ann".into())
        })
    );
    let learning = network(r#""deniedDomains": ["d.example"]"#).with_unlisted(Unlisted::Learned);
    assert_eq!(learning.may_allow(&name("any.example")), Ok(()));
    assert!(learning.may_allow(&name("d.example")).is_err());
}

#[test]
fn an_address_is_what_the_hosts_file_calls_it_and_no_rule_speaks_of() {
    let file = b"10.0.0.5 a.corp # c.corp\n# 10.0.0.6 a.corp\n10.0.0.7 d.corp\n\
                 ::ffff:10.0.0.8\ta.corp\nx a.corp\n10.0.0.9 a.corp\n\
                 10.0.0.10 c.corp a.corp\n10.0.0.10 b.corp\n10.0.0.11 c.corp d.corp\n";
    let network = network(
        r#""allowedDomains": ["a.corp:80", "c.corp", "d.corp"], "deniedDomains": ["d.corp:22", "10.0.0.9"]"#,
    )
    .with_hosts(&hosts(file).collect::<Vec<_>>());
    let decided = |text: &str| {
        let target = authority(text.as_bytes()).unwrap();
        assert!(
            matches!(network.decide(&target), Verdict::Deny(_)),
            "{text}"
        );
        let (verdict, reached) = network.decide_connected(&target);
        assert_eq!(reached, target);
        matches!(verdict, Verdict::Allow { .. })
    };
    for (target, allowed) in [
        ("10.0.0.5:80", true),
        ("10.0.0.5:443", false),
        ("10.0.0.6:80", false),
        ("10.0.0.7:443", true),
        ("10.0.0.7:22", false),
        ("10.0.0.8:80", true),
        ("[::ffff:10.0.0.8]:80", true),
        ("10.0.0.9:80", false),
        // Another name may be meant, which is not allowed.
        ("10.0.0.10:80", false),
        ("10.0.0.11:443", true),
        ("10.0.0.1:80", false),
    ] {
        assert_eq!(decided(target), allowed, "{target}");
    }
}

/// What an address is that the hosts file gives three names, on port 443.
fn reached(more: &str, unlisted: Unlisted) -> (bool, String) {
    let text =
        format!(r#"{{"network": {{"allowedDomains": ["a.corp", "b.corp", "c.corp"]{more}}}}}"#);
    let settings = settings(text.as_bytes()).unwrap().network;
    let routes = Routes::new(&settings, &Vec::new()).unwrap();
    let hosts = hosts(b"10.0.0.5 a.corp b.corp c.corp").collect::<Vec<_>>();
    let network = Network::new(&settings, &[], routes)
        .with_unlisted(unlisted)
        .with_hosts(&hosts);
    let (verdict, reached) = network.decide_connected(&authority(b"10.0.0.5:443").unwrap());
    let allowed = matches!(verdict, Verdict::Allow { .. });
    (allowed, reached.to_string())
}

// With a way chosen by the address alone, the first two go past the program.
#[test]
fn pitfall_48_an_address_goes_by_the_way_of_its_name() {
    let mitm = |domain: &str| {
        format!(r#", "mitmProxy": {{"socketPath": "/run/mitm", "domains": ["{domain}"]}}"#)
    };
    let parent = |no: &str| {
        format!(r#", "parentProxy": {{"https": "http://proxy.test:8080", "noProxy": ["{no}"]}}"#)
    };
    for (more, at) in [
        (mitm("a.corp"), "a.corp:443"),
        (mitm("b.corp"), "b.corp:443"),
        (mitm("10.0.0.5"), "10.0.0.5:443"),
        (parent("x.corp"), "10.0.0.5:443"),
        (parent("a.corp"), "a.corp:443"),
        (String::new(), "10.0.0.5:443"),
    ] {
        let found = reached(&more, Unlisted::Refused);
        assert_eq!(found, (true, at.to_owned()), "{more}");
    }
}

// Where somebody is there to be asked about the rest, they were asked about it.
#[test]
fn what_a_pinned_name_allows_nobody_is_asked_about() {
    for unlisted in [Unlisted::Refused, Unlisted::Learned, Unlisted::Asked] {
        let found = reached("", unlisted);
        assert_eq!(found, (true, "10.0.0.5:443".to_owned()), "{unlisted:?}");
    }
}

#[test]
fn what_bubblewrap_says_of_its_sandbox_is_read() {
    let said = b"{\n    \"child-pid\": 10872,\n    \"mnt-namespace\": 4026532178,\n    \"net-namespace\": 4026532183\n}\n";
    let found = Sandbox {
        pid: 10872,
        network: 4_026_532_183,
    };
    assert_eq!(sandbox(said), Some(found));
    for end in 0..said.len() - 2 {
        assert_eq!(sandbox(&said[..end]), None, "{end}");
    }
    assert_eq!(sandbox(br#"{"child-pid": 1}"#), None);
    assert_eq!(sandbox(br#"{"child-pid": -1, "net-namespace": 1}"#), None);
}

#[test]
fn one_name_has_one_address_and_an_address_of_nobody_is_nobodys() {
    let mut names = Names::default();
    let at = names.address_of(&name("a.example")).unwrap();
    assert_eq!(names.address_of(&name("a.example")), Some(at));
    assert_ne!(names.address_of(&name("b.example")), Some(at));
    let Meant::Target(target) = names.meant(at.into(), 22) else {
        panic!("{at} has lost its name");
    };
    assert_eq!(target.to_string(), "a.example:22");
    for nobodys in [
        "198.18.0.1",
        "198.18.0.2",
        "198.18.1.2",
        "198.19.255.255",
        "::ffff:198.18.9.9",
    ] {
        let ip: IpAddr = nobodys.parse().unwrap();
        assert!(
            matches!(names.meant(ip, 443), Meant::Nobody(_)),
            "{nobodys}"
        );
    }
    for itself in ["198.17.255.255", "198.20.0.0", "1.2.3.4", "2001:db8::1"] {
        let ip: IpAddr = itself.parse().unwrap();
        let meant = names.meant(ip, 443);
        assert!(
            matches!(&meant, Meant::Target(t) if t.host == Host::Address(ip)),
            "{meant:?}"
        );
    }
}

#[test]
fn a_flood_of_names_meets_a_bound_and_takes_nothing_from_those_that_are_there() {
    let (network, mut names) = (network(POLICY), Names::default());
    let mut full = 0;
    for n in 0..10_000u32 {
        let text = format!("n{n}.wild.example");
        let answered = answer(&ask(&text, A), &network, &mut names).unwrap();
        match said(&answered) {
            (0, Some(_), None) => assert!(n < CAPTURED_NAMES),
            (2, None, Some(_)) => {
                assert_eq!(answered.refused.unwrap().1, Reason::TooManyNames);
                full += 1;
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    assert_eq!(full, 10_000 - CAPTURED_NAMES);
    let again = answer(&ask("n0.wild.example", A), &network, &mut names).unwrap();
    assert_eq!(said(&again), (0, Some(Ipv4Addr::new(198, 18, 1, 0)), None));
    let last = names.meant(Ipv4Addr::new(198, 18, 1 + 31, 255).into(), 1);
    assert!(matches!(last, Meant::Target(t) if t.to_string() == "n8191.wild.example:1"));
}

#[test]
fn edns_is_answered_in_kind() {
    let network = network(POLICY);
    let mut names = Names::default();
    let asked = message("api.example.com", A, 0x0120, &[EDNS]);
    let bytes = answer(&asked, &network, &mut names).unwrap().bytes;
    assert_eq!(bytes[..4], [0x42, 0x42, 0x81, 0x80]);
    assert_eq!(bytes[10..12], [0, 1]);
    assert!(bytes.ends_with(EDNS));
    // A later version of it: "bad version", and no address.
    let later: &[u8] = &[0, 0, 41, 4, 208, 0, 1, 0, 0, 0, 0];
    let asked = message("api.example.com", A, 0x0100, &[later]);
    let bytes = answer(&asked, &network, &mut names).unwrap().bytes;
    assert!(
        bytes[7] == 0 && bytes.ends_with(&[41, 4, 208, 1, 0, 0, 0, 0, 0]),
        "{bytes:?}"
    );
    // Two of them are an error.
    let twice = message("api.example.com", A, 0x0100, &[EDNS, EDNS]);
    let bytes = answer(&twice, &network, &mut names).unwrap().bytes;
    assert_eq!((bytes[3] & 15, bytes.len()), (1, 12));
}

#[test]
fn what_is_no_question_gets_the_error_it_deserves_or_none() {
    let network = network(POLICY);
    let code = |bytes: &[u8]| {
        let answered = answer(bytes, &network, &mut Names::default())?;
        assert_eq!(answered.refused, None);
        Some(answered.bytes[3] & 15)
    };
    let good = ask("api.example.com", A);
    assert_eq!(code(&good), Some(0));
    assert_eq!(code(&good[..11]), None);
    assert_eq!(code(&message("api.example.com", A, 0x8100, &[])), None);
    assert_eq!(code(&message("api.example.com", A, 0x2800, &[])), Some(4));
    for end in 12..good.len() {
        assert_eq!(code(&good[..end]), Some(1), "{end}");
    }
    assert_eq!(code(&[&good[..], b"x"].concat()), Some(1));
    let change = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    for (at, byte) in [
        (5, 0),
        (5, 2),
        (7, 1),
        (9, 1),
        (11, 1),
        (12, 0xc0),
        (12, 0x40),
    ] {
        assert_eq!(code(&change(at, byte)), Some(1), "{at}");
    }
    // Another class is not served.
    assert_eq!(code(&change(good.len() - 1, 3)), Some(5));
    let longest = vec!["a".repeat(63); 3].join(".");
    assert!(question(&ask(&format!("{longest}.{}", "b".repeat(61)), A)).is_ok());
    let long = format!("{longest}.{}", "b".repeat(62));
    assert_eq!(question(&ask(&long, A)), Err(DnsError::Format));
}

#[test]
fn a_frame_is_taken_whole_or_refused_by_its_length() {
    assert_eq!(framed(b""), Ok(Status::Partial));
    assert_eq!(framed(&[0, 11]), Err(DnsError::Short));
    let most = u16::try_from(QUESTION_BYTES).unwrap();
    assert_eq!(framed(&most.to_be_bytes()), Ok(Status::Partial));
    assert_eq!(framed(&(most + 1).to_be_bytes()), Err(DnsError::TooLong));
    let whole = framed(b"\0\x0c0123456789ab\0\x0c");
    let value = &b"0123456789ab"[..];
    assert_eq!(whole, Ok(Status::Complete { value, used: 14 }));
}

#[test]
fn capture_listens_on_the_ports_that_the_rules_name() {
    let capture = |lists: &str| {
        let text = format!(r#"{{"network": {{{lists}}}}}"#);
        let mut notes = Vec::new();
        let made = Capture::new(&settings(text.as_bytes()).unwrap().network, &mut notes);
        made.map(|capture| (capture.need, capture.ports))
    };
    let usual = vec![22, 80, 443, 8080, 8443];
    assert_eq!(capture(""), Ok((Need::Hearing, vec![])));
    let bare = r#""allowedDomains": ["a.test"]"#;
    assert_eq!(capture(bare), Ok((Need::Wanted, usual.clone())));
    let ports = r#""allowedDomains": ["a.test:5432", "b.test:53", "b.test:5432"], "capturePorts": [9000, 22], "capture": true"#;
    assert_eq!(capture(ports), Ok((Need::Required, vec![22, 5432, 9000])));
    let off = capture(&format!(r#"{bare}, "capture": false"#)).unwrap().0;
    assert_eq!(off, Need::None("network.capture is false"));
    let past = capture(&format!(r#"{bare}, "socksProxyPort": 9"#))
        .unwrap()
        .0;
    assert!(matches!(past, Need::None(_)));
    assert!(capture(r#""capture": true, "httpProxyPort": 9"#).is_err());
    let list = |from: u16| {
        (from..from + 300)
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
            .join(",")
    };
    assert!(capture(&format!(r#""capturePorts": [{}]"#, list(1000))).is_err());
    // Of those that rules name, what there is room for; the others first.
    let rules: Vec<String> = (1000..1300).map(|n| format!("\"a.test:{n}\"")).collect();
    let many = format!(
        r#""allowedDomains": ["b.test", {}], "capturePorts": [9999]"#,
        rules.join(",")
    );
    let (_, ports) = capture(&many).unwrap();
    assert_eq!(ports.len(), CAPTURED_PORTS);
    assert!(ports.contains(&9999) && usual.iter().all(|port| ports.contains(port)));
    // A run that is to hear of what is tried listens where nothing is allowed, too.
    let mut hearing = Capture::new(&NetworkSettings::default(), &mut Vec::new()).unwrap();
    assert!(!hearing.is_wanted() && hearing.descriptors() == 0);
    hearing.hear();
    assert!(hearing.is_wanted() && hearing.descriptors() == 9);
    assert_eq!(hearing.ports, usual);
}

#[test]
fn a_captured_connection_is_decided_before_a_byte_is_read() {
    let network = network(r#""allowedDomains": ["a.test:443", "b.test"]"#);
    let target = |text: &str| authority(text.as_bytes()).unwrap();
    let begin = |event: Event<'_>| {
        let mut conversation = Conversation::captured();
        assert_eq!(conversation.wants(), 0);
        let mut actions = Vec::new();
        conversation.on(event, &network, &Names::default(), &mut actions);
        (conversation, actions)
    };
    // Refused: no answer but a reset, whatever was meant.
    for text in ["a.test:80", "c.test:443", "10.0.0.1:443"] {
        let (_, actions) = begin(Event::Captured(&target(text)));
        let [Action::Denied { target: told, .. }, Action::Reset] = actions.as_slice() else {
            panic!("{text}: {actions:?}");
        };
        assert_eq!(told.to_string(), text);
    }
    let (_, actions) = begin(Event::Nameless(&target("198.18.9.9:443")));
    let nameless = Action::Denied {
        target: target("198.18.9.9:443"),
        reason: Reason::Nameless,
    };
    assert_eq!(actions, [nameless, Action::Reset]);
    // Allowed: dialled, and nothing is promised to a client that asked for nothing.
    let (mut conversation, actions) = begin(Event::Captured(&target("b.test:22")));
    let dial = Action::Dial(Hop::Target(target("b.test:22")));
    assert_eq!(actions, [Action::FromClient(Mode::Wait), dial]);
    let mut actions = Vec::new();
    conversation.on(Event::Dialled, &network, &Names::default(), &mut actions);
    let tunnel = [
        Action::FromUpstream(Mode::Tunnel),
        Action::FromClient(Mode::Tunnel),
    ];
    assert!(
        matches!(&actions[0], Action::Reply(bytes) if bytes.is_empty()),
        "{actions:?}"
    );
    assert_eq!(actions[1..], tunnel);
    // On 443 the client's first bytes are looked at, and those of the other side pass.
    let (mut conversation, _) = begin(Event::Captured(&target("a.test:443")));
    let mut actions = Vec::new();
    conversation.on(Event::Dialled, &network, &Names::default(), &mut actions);
    assert_eq!(
        actions[1..],
        [
            Action::FromUpstream(Mode::Tunnel),
            Action::FromClient(Mode::Talk)
        ]
    );
    // What cannot be reached is reset, too.
    for error in [
        DialError::NotFound,
        DialError::Unreachable,
        DialError::LookupTimeout,
    ] {
        let (mut conversation, _) = begin(Event::Captured(&target("b.test:22")));
        let mut actions = Vec::new();
        conversation.on(
            Event::DialFailed(error),
            &network,
            &Names::default(),
            &mut actions,
        );
        assert_eq!(actions, [Action::Reset], "{error:?}");
    }
}

#[test]
fn a_client_of_the_proxy_that_looks_names_up_itself_means_the_name() {
    let network = network(r#""allowedDomains": ["a.test:443", "198.18.1.1", "198.18.9.9"]"#);
    let mut names = Names::default();
    let at = names.address_of(&name("a.test")).unwrap();
    let denied = names.address_of(&name("b.test")).unwrap();
    let outcome = |host: Ipv4Addr, port: u16, socks: bool| {
        let mut conversation = Conversation::new();
        let mut actions = Vec::new();
        let mut socks_request = b"\x05\x01\0\x05\x01\0\x01".to_vec();
        socks_request.extend(host.octets());
        socks_request.extend(port.to_be_bytes());
        let connect = format!("CONNECT {host}:{port} HTTP/1.1\r\n\r\n").into_bytes();
        let said = if socks { socks_request } else { connect };
        conversation.on(Event::Client(&said), &network, &names, &mut actions);
        let told = actions.iter().find_map(|action| match action {
            Action::Dial(Hop::Target(target)) => Some(format!("dial {target}")),
            Action::Denied { target, .. } => Some(format!("deny {target}")),
            _ => None,
        });
        told.unwrap_or_default()
    };
    for socks in [false, true] {
        assert_eq!(outcome(at, 443, socks), "dial a.test:443");
        assert_eq!(outcome(at, 80, socks), "deny a.test:80");
        // Whatever a rule says of the address: it stands for the name.
        assert_eq!(outcome(denied, 80, socks), "deny b.test:80");
        let real = Ipv4Addr::new(198, 18, 9, 9);
        assert_eq!(outcome(real, 80, socks), "dial 198.18.9.9:80");
    }
}

#[test]
fn dns_on_tcp_takes_one_question_after_the_other() {
    let network = network("");
    let frame = |n: u8| [&[0, 13][..], &[n; 13]].concat();
    let sent: Vec<u8> = (0..3).flat_map(frame).collect();
    for step in 1..=sent.len() {
        let mut conversation = Conversation::questions();
        let (mut asked, mut replies) = (Vec::new(), Vec::new());
        let mut rest = sent.as_slice();
        while !rest.is_empty() {
            let mut actions = Vec::new();
            let (now, later) = rest.split_at(step.min(rest.len()));
            conversation.on(
                Event::Client(now),
                &network,
                &Names::default(),
                &mut actions,
            );
            rest = later;
            // Each is answered before the next is asked.
            while let Some(action) = actions.pop() {
                match action {
                    Action::Ask(message) => {
                        let number = message[0];
                        asked.push(number);
                        assert_eq!(conversation.wants(), 0);
                        let answer = [number; 5];
                        conversation.on(
                            Event::Answer(Some(&answer)),
                            &network,
                            &Names::default(),
                            &mut actions,
                        );
                    }
                    Action::Reply(bytes) => replies.push(bytes),
                    Action::FromClient(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!(asked, [0, 1, 2], "in steps of {step}");
        replies.sort();
        assert_eq!(
            replies,
            [0u8, 1, 2].map(|n| [&[0, 5][..], &[n; 5]].concat())
        );
    }
    let mut actions = Vec::new();
    let mut conversation = Conversation::questions();
    conversation.on(
        Event::Client(b"\xff\xff"),
        &network,
        &Names::default(),
        &mut actions,
    );
    assert_eq!(actions, [Action::Close]);
}
