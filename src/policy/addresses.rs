//! Classes of addresses that an allowed name must not lead to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not to be dialled for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressClass {
    /// 127.0.0.0/8, ::1 (RFC 1122, 3.2.1.3).
    Loopback,
    /// 0.0.0.0/8, ::.
    Unspecified,
    /// 169.254.0.0/16, fe80::/10 (RFC 3927, RFC 4291).
    LinkLocal,
    /// 224.0.0.0/4, ff00::/8.
    Multicast,
    /// 255.255.255.255 and what is reserved below it (240.0.0.0/4).
    Broadcast,
    /// A cloud's metadata service.
    Metadata,
    /// One of this host's own.
    OwnHost,
    /// In `network.deniedResolvedAddresses`, or denied as a literal.
    Denied,
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "a loopback address",
            Self::Unspecified => "an unspecified address",
            Self::LinkLocal => "a link-local address",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "a broadcast or reserved address",
            Self::Metadata => "a cloud metadata address",
            Self::OwnHost => "an address of this host",
            Self::Denied => "an address that the settings deny",
        })
    }
}

/// Metadata services outside the link-local ranges.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// The same for IPv6: address and prefix length.
const METADATA_V6: [(Ipv6Addr, u32); 7] = [
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128),
    (Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe), 128),
    (Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42), 128),
    (Ipv6Addr::new(0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1), 128),
    (Ipv6Addr::new(0xfd00, 0x100, 0, 0, 0, 0, 0x100, 0x200), 128),
    (
        Ipv6Addr::new(0xfe80, 0xa9fe, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
        128,
    ),
];

/// Every address that `ip` may stand for: itself, and the IPv4 address inside an
/// IPv4-mapped or -compatible (RFC 4291), translated (RFC 2765), NAT64 (RFC 6052) or
/// 6to4 (RFC 3056) one.
pub fn spellings(ip: IpAddr) -> Vec<IpAddr> {
    let mut all = vec![ip];
    if let IpAddr::V6(v6) = ip {
        let [a, b, c, d, e, f, g, h] = v6.segments();
        let low = Ipv4Addr::from_bits(u32::from(g) << 16 | u32::from(h));
        let six_to_four = Ipv4Addr::from_bits(u32::from(b) << 16 | u32::from(c));
        match (a, b, c, d, e, f) {
            // :: and ::1 are IPv6's own.
            (0, 0, 0, 0, 0, 0) if low.to_bits() > 1 => all.push(low.into()),
            (0, 0, 0, 0, 0, 0xffff) | (0, 0, 0, 0, 0xffff, 0) | (0x64, 0xff9b, 0, 0, 0, 0) => {
                all.push(low.into())
            }
            (0x2002, ..) => all.push(six_to_four.into()),
            _ => {}
        }
    }
    all
}

/// The class of one address, as it is spelled.
pub fn class(ip: IpAddr) -> Option<AddressClass> {
    match ip {
        IpAddr::V4(v4) => {
            let [first, ..] = v4.octets();
            if METADATA_V4.contains(&v4) {
                Some(AddressClass::Metadata)
            } else if v4.is_loopback() {
                Some(AddressClass::Loopback)
            } else if first == 0 {
                Some(AddressClass::Unspecified)
            } else if v4.is_link_local() {
                Some(AddressClass::LinkLocal)
            } else if v4.is_multicast() {
                Some(AddressClass::Multicast)
            } else if first >= 240 {
                Some(AddressClass::Broadcast)
            } else {
                None
            }
        }
        IpAddr::V6(v6) => {
            let metadata = |(block, length): &(Ipv6Addr, u32)| {
                let free = 128u32.saturating_sub(*length);
                let mask = u128::MAX.checked_shl(free).unwrap_or(0);
                v6.to_bits() & mask == block.to_bits()
            };
            if METADATA_V6.iter().any(metadata) {
                Some(AddressClass::Metadata)
            } else if v6.is_loopback() {
                Some(AddressClass::Loopback)
            } else if v6.is_unspecified() {
                Some(AddressClass::Unspecified)
            } else if v6.is_unicast_link_local() {
                Some(AddressClass::LinkLocal)
            } else if v6.is_multicast() {
                Some(AddressClass::Multicast)
            } else {
                None
            }
        }
    }
}
