//! What is decided of one file, host or socket, and by which rule: the one evaluator
//! that `--explain`, the observer and what is reported ask. Enforcement rests on the same
//! rules (`emit`).

use super::files::{Access, FRESH, Files, covers};
use super::network::{Network, Verdict};
use crate::parse::host::Target;
use crate::parse::settings::UnixSockets;

/// What is said where nothing in the settings is to blame.
pub const NO_RULE: &str = "no rule allows it";

/// A decision, and the rule that made it: a key path, a reason, or [`NO_RULE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may be.
    Allowed(String),
    /// It may not.
    Denied(String),
}

/// What is done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It is opened for reading.
    Read,
    /// It is changed, made or removed.
    Write,
}

/// A Unix socket that may be connected to, or a directory of such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Where the settings say so.
    pub key: String,
    /// Its path, symbolic links resolved.
    pub path: Vec<u8>,
}

/// Whether the command may do this with the file at `path` (absolute, symbolic links
/// resolved), as far as the policy goes: the file's own permissions stay what they are.
pub fn file(files: &Files, act: Act, path: &[u8]) -> Decision {
    if let Some(tree) = FRESH.iter().find(|tree| covers(tree, path)) {
        // Hidden places in them are mounted over, like any others.
        if files.access(path) != Access::Hidden {
            let tree = String::from_utf8_lossy(tree);
            return Decision::Allowed(format!("{tree} is made anew for the command"));
        }
    }
    let said = |text: Option<&str>, otherwise: &str| text.unwrap_or(otherwise).to_owned();
    let why = files.why(path);
    match (act, files.access(path)) {
        (_, Access::Hidden) => Decision::Denied(said(why.hidden, NO_RULE)),
        (Act::Read, Access::Read | Access::Write) => {
            Decision::Allowed(said(why.shown, "no rule denies it"))
        }
        (Act::Write, Access::Write) => Decision::Allowed(said(why.writable, NO_RULE)),
        (Act::Write, Access::Read) => Decision::Denied(said(why.held, NO_RULE)),
    }
}

/// Whether the command may connect to the Unix socket at `path` (absolute, symbolic links
/// resolved).
pub fn socket(kind: UnixSockets, listed: &[Socket], path: &[u8]) -> Decision {
    if kind == UnixSockets::All {
        return Decision::Allowed("network.allowAllUnixSockets".into());
    }
    match listed.iter().find(|socket| covers(&socket.path, path)) {
        Some(socket) => Decision::Allowed(socket.key.clone()),
        None => Decision::Denied(NO_RULE.into()),
    }
}

/// Whether the command may reach `target`. What a name leads to is judged when it is
/// looked up.
pub fn host(network: &Network, target: &Target) -> Decision {
    match network.decide(target) {
        Verdict::Allow { rule } => {
            Decision::Allowed(format!("network.allowedDomains has {rule:?}"))
        }
        Verdict::Learn(reason) | Verdict::Ask(reason) | Verdict::Deny(reason) => {
            Decision::Denied(reason.rule())
        }
    }
}
