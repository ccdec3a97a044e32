//! The addresses that capture hands out for names: one name, one address, for the run.
//!
//! They come from 198.18.0.0/15, which is reserved for tests of networks (RFC 2544,
//! RFC 6890): no destination on the Internet has one.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use crate::limits::CAPTURED_NAMES;
use crate::parse::host::{Host, Name, Target, address};

/// The first of the block.
const BLOCK: u32 = Ipv4Addr::new(198, 18, 0, 0).to_bits();
/// How many leading bits its addresses have in common.
const PREFIX: u32 = u32::MAX << 17;
/// The first that stands for a name: below it, the link's own two.
const FIRST: u32 = Ipv4Addr::new(198, 18, 1, 0).to_bits();

/// Names by address, and addresses by name.
#[derive(Debug, Default)]
pub struct Names {
    numbers: HashMap<Name, u32>,
    names: Vec<Name>,
}

/// What an address that was connected to stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meant {
    /// A name that was asked for, or the address itself.
    Target(Target),
    /// Nothing: it is one of ours, and no name has it.
    Nobody(Target),
}

impl Names {
    /// The address of `name`: the one it has, or the next. `None` where
    /// [`CAPTURED_NAMES`] have one already.
    pub fn address_of(&mut self, name: &Name) -> Option<Ipv4Addr> {
        let number = match self.numbers.get(name) {
            Some(number) => *number,
            None => {
                let next = u32::try_from(self.names.len()).ok()?;
                if next >= CAPTURED_NAMES {
                    return None;
                }
                self.numbers.insert(name.clone(), next);
                self.names.push(name.clone());
                next
            }
        };
        Some(Ipv4Addr::from_bits(FIRST.checked_add(number)?))
    }

    /// What a connection to this address and port is meant for.
    pub fn meant(&self, ip: IpAddr, port: u16) -> Meant {
        let itself = Target {
            host: address(ip),
            port,
        };
        let Host::Address(IpAddr::V4(v4)) = itself.host else {
            return Meant::Target(itself);
        };
        let bits = v4.to_bits();
        if bits & PREFIX != BLOCK {
            return Meant::Target(itself);
        }
        match self.name_at(v4) {
            Some(name) => Meant::Target(Target {
                host: Host::Name(name.clone()),
                port,
            }),
            None => Meant::Nobody(itself),
        }
    }

    /// The target itself; or the name, if its host is the address of one.
    pub fn named(&self, target: Target) -> Target {
        let name = match target.host {
            Host::Address(IpAddr::V4(v4)) => self.name_at(v4),
            Host::Address(IpAddr::V6(_)) | Host::Name(_) => None,
        };
        let host = name.map(|name| Host::Name(name.clone()));
        Target {
            host: host.unwrap_or(target.host),
            port: target.port,
        }
    }

    fn name_at(&self, ip: Ipv4Addr) -> Option<&Name> {
        let number = ip.to_bits().checked_sub(FIRST)?;
        self.names.get(usize::try_from(number).ok()?)
    }
}
