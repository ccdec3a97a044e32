//! Policy DNS: answers a question from the policy and the table of names alone. Nothing is
//! asked of anybody: a name is looked up once a connection to it is allowed.

use std::net::Ipv4Addr;

use super::names::Names;
use crate::parse::dns::{self, DnsError, Header, Question};
use crate::parse::host::{Host, host};
use crate::policy::network::{Network, Reason};

/// Seconds that an answer may be kept (RFC 1035, 4.1.3). It holds for the run.
const LIFETIME: u32 = 60;

/// Payload that our EDNS record announces (RFC 6891, 6.2.3).
const PAYLOAD: u16 = 1232;

/// Response codes (RFC 1035, 4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    Fine,
    Format,
    Failed,
    NoName,
    NotDone,
    Refused,
}

impl Code {
    fn bits(self) -> u16 {
        match self {
            Self::Fine => 0,
            Self::Format => 1,
            Self::Failed => 2,
            Self::NoName => 3,
            Self::NotDone => 4,
            Self::Refused => 5,
        }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The message.
    pub bytes: Vec<u8>,
    /// The name that was refused, and why.
    pub refused: Option<(String, Reason)>,
}

impl Answered {
    fn quietly(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            refused: None,
        }
    }
}

/// The answer to a message; `None` to what is not to be answered.
pub fn answer(message: &[u8], network: &Network, names: &mut Names) -> Option<Answered> {
    let header = dns::header(message)?;
    let question = match dns::question(message) {
        Ok(question) => question,
        Err(DnsError::Short | DnsError::Answer) => return None,
        Err(DnsError::Operation) => return Some(Answered::quietly(bare(header, Code::NotDone))),
        Err(DnsError::Format | DnsError::TooLong) => {
            return Some(Answered::quietly(bare(header, Code::Format)));
        }
    };
    if question.class != dns::IN {
        return Some(Answered::quietly(about(&question, Code::Refused, None)));
    }
    // What speaks a later EDNS learns our version; and the root is no host.
    if question.edns.is_some_and(|version| version != 0) || question.name.is_empty() {
        return Some(Answered::quietly(about(&question, Code::Fine, None)));
    }
    let asked = || String::from_utf8_lossy(&question.name).into_owned();
    let refused = |code, reason| Answered {
        bytes: about(&question, code, None),
        refused: Some((asked(), reason)),
    };
    let Ok(Host::Name(name)) = host(&question.name) else {
        return Some(refused(Code::NoName, Reason::NotListed { text: None }));
    };
    let wants_address = matches!(question.kind, dns::A | dns::ANY);
    if name.as_str() == "localhost" || name.as_str().ends_with(".localhost") {
        // RFC 6761, 6.3: everybody's own, and no destination.
        let here = wants_address.then_some(Ipv4Addr::LOCALHOST);
        return Some(Answered::quietly(about(&question, Code::Fine, here)));
    }
    if let Err(reason) = network.may_allow(&name) {
        return Some(refused(Code::NoName, reason));
    }
    Some(match names.address_of(&name) {
        Some(address) => {
            let address = wants_address.then_some(address);
            Answered::quietly(about(&question, Code::Fine, address))
        }
        None => refused(Code::Failed, Reason::TooManyNames),
    })
}

/// An answer without a question.
fn bare(header: Header, code: Code) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, &[header.id, flags(header, code), 0, 0, 0, 0]);
    out
}

/// An answer to a question, with an address or none.
fn about(question: &Question<'_>, code: Code, address: Option<Ipv4Addr>) -> Vec<u8> {
    let mut out = Vec::new();
    let header = question.header;
    let count = u16::from(address.is_some());
    let extra = u16::from(question.edns.is_some());
    let numbers = [header.id, flags(header, code), 1, count, 0, extra];
    write(&mut out, &numbers);
    out.extend_from_slice(question.raw);
    if let Some(address) = address {
        // A pointer to the question's name, which stands behind the header.
        write(&mut out, &[0xc00c, dns::A, dns::IN]);
        out.extend_from_slice(&LIFETIME.to_be_bytes());
        write(&mut out, &[4]);
        out.extend_from_slice(&address.octets());
    }
    if let Some(version) = question.edns {
        // The root's name; "bad version" (RFC 6891, 9) or nothing; no options.
        let extended = if version == 0 { 0 } else { 0x0100 };
        out.push(0);
        write(&mut out, &[dns::OPT, PAYLOAD, extended, 0, 0]);
    }
    out
}

/// An answer, recursion as it was wanted and to be had, and the code.
fn flags(header: Header, code: Code) -> u16 {
    const KEPT: u16 = 0x7900;
    0x8080 | header.flags & KEPT | code.bits()
}

fn write(out: &mut Vec<u8>, numbers: &[u16]) {
    for number in numbers {
        out.extend_from_slice(&number.to_be_bytes());
    }
}
