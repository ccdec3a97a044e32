//! What bubblewrap says of a sandbox that it has begun (`--info-fd`, bwrap(1)).

use super::json::{Node, Value, document};

/// The sandbox's first process, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// Its number, as bubblewrap sees it.
    pub pid: u32,
    /// The number of its network namespace (namespaces(7)).
    pub network: u64,
}

/// Reads it; `None` if one of them is not there.
pub fn sandbox(input: &[u8]) -> Option<Sandbox> {
    let Node {
        value: Value::Object(members),
        ..
    } = document(input).ok()?
    else {
        return None;
    };
    let number = |name: &str| {
        let (_, node) = members.iter().find(|(key, _)| key.text == name)?;
        match node.value {
            Value::Integer(number) => u64::try_from(number).ok(),
            _ => None,
        }
    };
    Some(Sandbox {
        pid: u32::try_from(number("child-pid")?).ok()?,
        network: number("net-namespace")?,
    })
}
