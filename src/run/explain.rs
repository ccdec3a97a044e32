//! `--explain`: what would be decided of a file, a host or a socket, and by which rule.
//! The host is read and the policy made as for a run, and the same evaluator is asked.

use std::env;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::facts::{self, Own};
use super::leftovers::Temporary;
use super::paths::{resolve, shown};
use super::probe::{self, Loaded};
use crate::args::{Explain, What};
use crate::error::{Error, While};
use crate::parse;
use crate::parse::host::{Target, authority};
use crate::policy::explain::{self, Act, Decision};
use crate::policy::files::join;
use crate::policy::{Place, Policy};

/// Explains each target; gives the report and the exit status: 0 if all of it is allowed,
/// else 1.
///
/// # Errors
/// The settings are not valid or cannot be enforced here, or a target is none.
pub fn explain(asked: &Explain) -> Result<(String, u8), Error> {
    let loaded = probe::settings(asked.settings.as_deref())?;
    let directory = env::current_dir().doing("finding the working directory")?;
    let policy = policy(&loaded, &directory)?;
    let (mut out, mut status) = (String::new(), 0);
    for target in &asked.targets {
        let bytes = target.as_bytes();
        let whole = || join(directory.as_os_str().as_bytes(), bytes);
        let path = if bytes.starts_with(b"/") {
            bytes.to_vec()
        } else {
            whole()
        };
        let decision = match asked.what {
            What::Read => file(&policy, Act::Read, &path)?,
            What::Write => file(&policy, Act::Write, &path)?,
            What::Connect => {
                let target = authority(bytes).map_err(|e| {
                    let text = String::from_utf8_lossy(bytes);
                    Error::Usage(format!("--explain connect takes HOST:PORT; {text:?}: {e}"))
                })?;
                explain::host(&policy.network, &target)
            }
            What::Socket => socket(&policy, &path)?,
        };
        let (word, rule) = match decision {
            Decision::Allowed(rule) => ("allowed", rule),
            Decision::Denied(rule) => ("denied", rule),
        };
        status |= u8::from(word == "denied");
        out += &format!("{}: {word}: {rule}\n", shown(bytes));
    }
    Ok((out, status))
}

/// What these settings mean for commands of this directory.
///
/// # Errors
/// They cannot be enforced here.
pub fn policy(loaded: &Loaded, directory: &Path) -> Result<Policy, Error> {
    let temporary = Temporary::new(&env::temp_dir()).doing("making a temporary directory")?;
    let program = env::current_exe().doing("finding this program")?;
    let own = Own {
        program: &program,
        temporary: temporary.inner(),
        private: temporary.path(),
        bubblewrap: None,
        hidden: &[],
    };
    let facts = facts::facts(loaded, directory, &own)?;
    Policy::new(&loaded.settings, &facts).map_err(Error::Policy)
}

/// What is decided of a Unix socket.
///
/// # Errors
/// Its path cannot be resolved.
pub fn socket(policy: &Policy, path: &[u8]) -> Result<Decision, Error> {
    let (path, _) = place(path)?;
    Ok(explain::socket(policy.unix_sockets, &policy.sockets, &path))
}

/// What is decided of a port of a host.
///
/// # Errors
/// It is no host.
pub fn host(policy: &Policy, host: &str, port: u16) -> Result<Decision, Error> {
    let host = parse::host::host(host.as_bytes())
        .map_err(|e| Error::Call(format!("{host:?} is no host: {e}")))?;
    Ok(explain::host(&policy.network, &Target { host, port }))
}

/// What is decided of a file.
///
/// # Errors
/// Its path cannot be resolved.
pub fn file(policy: &Policy, act: Act, path: &[u8]) -> Result<Decision, Error> {
    let (path, above) = place(path)?;
    let decision = explain::file(&policy.files, act, &path);
    // What is not there cannot be seen, and is made where what is above it may be written.
    Ok(match (act, above) {
        (Act::Write, Some(above)) if matches!(decision, Decision::Allowed(_)) => {
            explain::file(&policy.files, act, &above)
        }
        _ => decision,
    })
}

/// What a path names, its symbolic links resolved; and what is above it, if it is not
/// there.
fn place(path: &[u8]) -> Result<(Vec<u8>, Option<Vec<u8>>), Error> {
    let found = resolve(path).map_err(|e| Error::Policy(vec![e]))?;
    Ok(match found.place {
        Place::Exists { path, .. } => (path, None),
        Place::Absent { above, name, .. } => (join(&above, &name), Some(above)),
        Place::Unseen { above, .. } => (above, None),
    })
}
