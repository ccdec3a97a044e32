//! Requests to the kernel's routing (rtnetlink(7), netlink(7)): the link by which what
//! programs send is captured. Pure: bytes, for whoever has the right to send them.
//!
//! ```text
//! the sandbox's network                      the far end: a network of its own
//! lo   127.0.0.1/8, ::1                      listeners on every address
//! srt0 198.18.0.2/30, fd00:5265::2/64 ═veth═ srt0 198.18.0.1/30, fd00:5265::1/64
//! default via the far end                    every address is its own (a local route)
//! ```
//!
//! A listener in the far end takes no port from the command, which has all of its own
//! addresses to itself.

use std::ffi::CStr;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The link's name at both ends.
pub const NAME: &CStr = c"srt0";
/// Its number at both ends: none that a fresh network namespace gives away.
const INDEX: u32 = 0x5265;
/// Its hardware address at both ends (locally administered). The same, since nobody is asked
/// for it: each end sends to its own.
const HARDWARE: [u8; 6] = [0x02, 0x73, 0x72, 0x74, 0x00, 0x01];
/// Its largest packet: what a loopback takes, about.
const MTU: u32 = 65_535;

/// The sandbox's addresses, and those of the far end; none of them ever stands for a name.
const NEAR: (Ipv4Addr, Ipv6Addr) = (
    Ipv4Addr::new(198, 18, 0, 2),
    Ipv6Addr::new(0xfd00, 0x5265, 0, 0, 0, 0, 0, 2),
);
const FAR: (Ipv4Addr, Ipv6Addr) = (
    Ipv4Addr::new(198, 18, 0, 1),
    Ipv6Addr::new(0xfd00, 0x5265, 0, 0, 0, 0, 0, 1),
);
/// How many leading bits each end's addresses have in common with the other's.
const PREFIXES: (u8, u8) = (30, 64);

// linux/rtnetlink.h, linux/netlink.h
const RTM_NEWLINK: u16 = 16;
const RTM_SETLINK: u16 = 19;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
/// NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE.
const FLAGS: u16 = 0x1 | 0x4 | 0x200 | 0x400;
// linux/if_link.h, linux/if_addr.h, linux/veth.h
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// Nobody else has it: it need not be asked for first (IFA_F_NODAD).
const NO_DETECTION: u8 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const TABLE_MAIN: u8 = 254;
const TABLE_LOCAL: u8 = 255;
const RTN_UNICAST: u8 = 1;
const RTN_LOCAL: u8 = 2;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_HOST: u8 = 254;
const SCOPE_LINK: u8 = 253;
/// Set up by a program (RTPROT_STATIC).
const STATIC: u8 = 4;
/// IFF_UP.
const UP: u32 = 0x1;
/// IFF_NOARP.
const UNASKED: u32 = 0x80;
const INET: u8 = 2;
const INET6: u8 = 10;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The message, without a number of its own (it is 0).
    pub bytes: Vec<u8>,
    /// What happens if the kernel refuses it.
    pub weight: Weight,
}

/// How much depends on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// All of it.
    All,
    /// IPv6, which a host may have switched off: nothing of it is reached then.
    Ipv6,
}

/// In the far end: makes the link, whose near end lies in the network namespace of this
/// descriptor.
pub fn link(near: i32) -> Vec<Request> {
    let mut name = Vec::new();
    attribute(&mut name, IFLA_IFNAME, NAME.to_bytes_with_nul());
    attribute(&mut name, IFLA_ADDRESS, &HARDWARE);
    attribute(&mut name, IFLA_MTU, &MTU.to_ne_bytes());
    // An end goes up once it has another.
    let mut peer = interface(UNASKED);
    peer.extend_from_slice(&name);
    attribute(&mut peer, IFLA_NET_NS_FD, &near.to_ne_bytes());
    let (mut data, mut info) = (Vec::new(), Vec::new());
    attribute(&mut data, VETH_INFO_PEER, &peer);
    attribute(&mut info, IFLA_INFO_KIND, b"veth");
    attribute(&mut info, IFLA_INFO_DATA, &data);
    let mut body = interface(UNASKED | UP);
    body.extend_from_slice(&name);
    attribute(&mut body, IFLA_LINKINFO, &info);
    vec![request(RTM_NEWLINK, &body, Weight::All)]
}

/// In the far end: its addresses; every other is its own as well, but for the near end's.
/// All in the kernel's first table, in which an answer's own address is looked for.
pub fn far() -> Vec<Request> {
    let [near4, near6] = octets(NEAR);
    let mut all = addresses(FAR);
    for (family, near) in [(INET, &near4), (INET6, &near6)] {
        let bits = if family == INET { 32 } else { 128 };
        let table = [TABLE_LOCAL, STATIC];
        all.push(route(
            family,
            bits,
            table,
            [SCOPE_LINK, RTN_UNICAST],
            RTA_DST,
            near,
        ));
        all.push(route(
            family,
            0,
            table,
            [SCOPE_HOST, RTN_LOCAL],
            RTA_DST,
            &[],
        ));
    }
    all
}

/// In the sandbox: its end goes up, its addresses, and the far end as the way to everything.
pub fn near() -> Vec<Request> {
    let [far4, far6] = octets(FAR);
    let mut all = vec![request(RTM_SETLINK, &interface(UP), Weight::All)];
    all.extend(addresses(NEAR));
    for (family, far) in [(INET, &far4), (INET6, &far6)] {
        let table = [TABLE_MAIN, STATIC];
        all.push(route(
            family,
            0,
            table,
            [SCOPE_UNIVERSE, RTN_UNICAST],
            RTA_GATEWAY,
            far,
        ));
    }
    all
}

fn octets((v4, v6): (Ipv4Addr, Ipv6Addr)) -> [Vec<u8>; 2] {
    [v4.octets().to_vec(), v6.octets().to_vec()]
}

fn weight(family: u8) -> Weight {
    if family == INET {
        Weight::All
    } else {
        Weight::Ipv6
    }
}

/// Addresses of the link (struct ifaddrmsg).
fn addresses(own: (Ipv4Addr, Ipv6Addr)) -> Vec<Request> {
    let [v4, v6] = octets(own);
    let (bits4, bits6) = PREFIXES;
    let one = |family, bits, octets: &[u8]| {
        let mut body = vec![family, bits, NO_DETECTION, SCOPE_UNIVERSE];
        body.extend_from_slice(&INDEX.to_ne_bytes());
        attribute(&mut body, IFA_LOCAL, octets);
        attribute(&mut body, IFA_ADDRESS, octets);
        request(RTM_NEWADDR, &body, weight(family))
    };
    vec![one(INET, bits4, &v4), one(INET6, bits6, &v6)]
}

/// A route over the link (struct rtmsg), with one address, or none.
fn route(
    family: u8,
    bits: u8,
    [table, protocol]: [u8; 2],
    [scope, kind]: [u8; 2],
    what: u16,
    address: &[u8],
) -> Request {
    let mut body = vec![family, bits, 0, 0, table, protocol, scope, kind];
    body.extend_from_slice(&[0; 4]);
    if !address.is_empty() {
        attribute(&mut body, what, address);
    }
    attribute(&mut body, RTA_OIF, &INDEX.to_ne_bytes());
    request(RTM_NEWROUTE, &body, weight(family))
}

/// One end of the link, with these flags (struct ifinfomsg).
fn interface(flags: u32) -> Vec<u8> {
    let mut out = vec![0; 4];
    for number in [INDEX, flags, flags] {
        out.extend_from_slice(&number.to_ne_bytes());
    }
    out
}

/// A message (struct nlmsghdr), padded like every other.
fn request(kind: u16, body: &[u8], weight: Weight) -> Request {
    const HEAD: usize = 16;
    let length = u32::try_from(body.len().saturating_add(HEAD)).unwrap_or(u32::MAX);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&FLAGS.to_ne_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(body);
    pad(&mut bytes);
    Request { bytes, weight }
}

/// An attribute (struct rtattr).
fn attribute(out: &mut Vec<u8>, kind: u16, data: &[u8]) {
    const HEAD: usize = 4;
    let length = u16::try_from(data.len().saturating_add(HEAD)).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(data);
    pad(out);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}
