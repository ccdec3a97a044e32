//! The hosts file (hosts(5)): names that have an address without being asked for.

use std::net::IpAddr;

use super::host::{Host, Name, host};

/// Every name with its address, in the order of the file. What is malformed is passed over,
/// as every reader of the file does.
pub fn hosts(input: &[u8]) -> impl Iterator<Item = (IpAddr, Name)> {
    input.split(|&b| b == b'\n').flat_map(line)
}

fn line(line: &[u8]) -> impl Iterator<Item = (IpAddr, Name)> {
    let line = line.split(|&b| b == b'#').next().unwrap_or_default();
    let mut words = line
        .split(u8::is_ascii_whitespace)
        .filter(|w| !w.is_empty());
    let ip = words.next().and_then(|word| std::str::from_utf8(word).ok());
    let ip = ip.and_then(|text| text.parse::<IpAddr>().ok());
    let ip = ip.map(|ip| ip.to_canonical());
    words.filter_map(move |word| match host(word) {
        Ok(Host::Name(name)) => Some((ip?, name)),
        Ok(Host::Address(_)) | Err(_) => None,
    })
}
