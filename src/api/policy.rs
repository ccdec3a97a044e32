//! What settings mean on this host.

use std::env;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::Settings;
use crate::error::{Error, While};
use crate::policy;
use crate::policy::explain::Act;
use crate::run::explain;

/// What settings mean here and now: the host is read once, when it is made.
///
/// # Examples
///
/// ```standalone_crate
/// use sandbox_runtime::{Policy, Settings};
///
/// # fn main() -> Result<(), sandbox_runtime::Error> {
/// let settings = Settings::from_json(br#"{"network": {"allowedDomains": ["*.example.com"]}}"#)?;
/// let policy = Policy::new(&settings)?;
/// assert!(policy.connect("api.example.com", 443)?.is_allowed());
/// assert!(!policy.connect("example.org", 443)?.is_allowed());
/// assert!(policy.read("/etc/hosts")?.is_allowed());
/// let written = policy.write("/etc/hosts")?;
/// assert_eq!((written.is_allowed(), written.rule()), (false, "no rule allows it"));
/// # Ok(())
/// # }
/// ```
pub struct Policy(policy::Policy);

/// A decision, and the rule that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision(policy::explain::Decision);

impl Decision {
    /// Whether it may be.
    pub fn is_allowed(&self) -> bool {
        matches!(self.0, policy::explain::Decision::Allowed(_))
    }

    /// The rule: a key path, or in words that there is none.
    pub fn rule(&self) -> &str {
        match &self.0 {
            policy::explain::Decision::Allowed(rule) | policy::explain::Decision::Denied(rule) => {
                rule
            }
        }
    }
}

impl Policy {
    /// Reads the host, and decides for the working directory of this process.
    ///
    /// # Errors
    /// The settings cannot be enforced here, or the host cannot be read.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let directory = env::current_dir().doing("finding the working directory")?;
        explain::policy(&settings.0, &directory).map(Self)
    }

    /// Whether a command may read the file at `path`, as far as the policy goes.
    ///
    /// # Errors
    /// The path cannot be resolved.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Decision, Error> {
        self.file(Act::Read, path.as_ref())
    }

    /// Whether it may write, make or remove it.
    ///
    /// # Errors
    /// The path cannot be resolved.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<Decision, Error> {
        self.file(Act::Write, path.as_ref())
    }

    fn file(&self, act: Act, path: &Path) -> Result<Decision, Error> {
        let path = std::path::absolute(path).doing("finding the working directory")?;
        explain::file(&self.0, act, path.as_os_str().as_bytes()).map(Decision)
    }

    /// Whether it may connect to this port of `host`, a name or an address. What a name
    /// leads to is judged when it is looked up.
    ///
    /// # Errors
    /// [`Error::Call`]: it is no host.
    pub fn connect(&self, host: &str, port: u16) -> Result<Decision, Error> {
        explain::host(&self.0, host, port).map(Decision)
    }

    /// Whether it may connect to the Unix socket at `path`.
    ///
    /// # Errors
    /// The path cannot be resolved.
    pub fn socket(&self, path: impl AsRef<Path>) -> Result<Decision, Error> {
        let path = std::path::absolute(path).doing("finding the working directory")?;
        explain::socket(&self.0, path.as_os_str().as_bytes()).map(Decision)
    }
}
