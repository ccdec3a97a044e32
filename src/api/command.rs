//! A command that is to be run.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Answer, Ask, Violation};

/// A program, its arguments, and how it is run: like [`std::process::Command`]. No shell
/// stands in between.
///
/// # Examples
///
/// ```
/// use sandbox_runtime::{Command, Stdio};
///
/// let command = Command::new("grep")
///     .args(["-c", "x"])
///     .current_dir("/usr")
///     .env("LC_ALL", "C")
///     .stdin(Stdio::Null)
///     .stdout(Stdio::Piped);
/// ```
pub struct Command {
    pub(super) argv: Vec<OsString>,
    pub(super) directory: Option<PathBuf>,
    environment: Option<Vec<(Vec<u8>, Vec<u8>)>>,
    pub(super) streams: [Stdio; 3],
    pub(super) timeout: Option<Duration>,
    pub(super) on_violation: Option<OnViolation>,
    pub(super) on_ask: Option<OnAsk>,
}

type OnViolation = Box<dyn FnMut(&Violation)>;
type OnAsk = Box<dyn FnMut(&Ask) -> Answer>;

/// A standard stream of a command.
#[derive(Debug)]
pub enum Stdio {
    /// This process's own.
    Inherit,
    /// Nothing.
    Null,
    /// A pipe, whose other end is this process's.
    Piped,
    /// This. What the policy lets nobody write must not be given for reading: such a file is
    /// refused where the kernel cannot keep it so.
    Fd(OwnedFd),
}

impl Command {
    /// `program`, which is found on the `PATH` of its environment, inside the sandbox.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            argv: vec![program.as_ref().to_owned()],
            directory: None,
            environment: None,
            streams: [Stdio::Inherit, Stdio::Inherit, Stdio::Inherit],
            timeout: None,
            on_violation: None,
            on_ask: None,
        }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.argv.push(argument.as_ref().to_owned());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let arguments = arguments.into_iter();
        self.argv.extend(arguments.map(|a| a.as_ref().to_owned()));
        self
    }

    /// Where it starts; this process's working directory, if it is not said. Relative paths
    /// of the settings begin there.
    #[must_use]
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    fn own_environment(&mut self) -> &mut Vec<(Vec<u8>, Vec<u8>)> {
        self.environment.get_or_insert_with(|| {
            let all = env::vars_os();
            all.map(|(name, value)| (name.into_vec(), value.into_vec()))
                .collect()
        })
    }

    /// A variable of its environment, which is this process's but for these. What leads
    /// programs to the proxy is set in any case, and the settings' `environment` has the last
    /// word.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self = self.env_remove(name.as_ref());
        let variable = (
            name.as_ref().as_bytes().to_vec(),
            value.as_ref().as_bytes().to_vec(),
        );
        self.own_environment().push(variable);
        self
    }

    /// A variable that it does not have.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        let name = name.as_ref().as_bytes();
        self.own_environment().retain(|(n, _)| n != name);
        self
    }

    /// Nothing of this process's environment.
    #[must_use]
    pub fn env_clear(mut self) -> Self {
        self.environment = Some(Vec::new());
        self
    }

    /// Its standard input.
    #[must_use]
    pub fn stdin(mut self, stream: Stdio) -> Self {
        self.streams[0] = stream;
        self
    }

    /// Its standard output.
    #[must_use]
    pub fn stdout(mut self, stream: Stdio) -> Self {
        self.streams[1] = stream;
        self
    }

    /// Its standard error.
    #[must_use]
    pub fn stderr(mut self, stream: Stdio) -> Self {
        self.streams[2] = stream;
        self
    }

    /// Longest that it may take: then it is sent SIGTERM, and soon after SIGKILL.
    ///
    /// # Examples
    ///
    /// ```standalone_crate
    /// use sandbox_runtime::{Command, Sandbox, Settings};
    ///
    /// fn main() -> Result<(), sandbox_runtime::Error> {
    ///     sandbox_runtime::init();
    ///     let late = Command::new("sleep").arg("600");
    ///     let late = late.timeout(std::time::Duration::from_millis(200));
    ///     let outcome = Sandbox::new(&Settings::default()).output(late)?;
    ///     assert_eq!(outcome.status, 128 + 15);
    ///     Ok(())
    /// }
    /// ```
    #[must_use]
    pub fn timeout(mut self, longest: Duration) -> Self {
        self.timeout = Some(longest);
        self
    }

    /// What is told of each thing that is refused, the first time. Of a [`Session`]'s
    /// commands, [`Event::Violation`] tells.
    ///
    /// [`Session`]: super::Session
    /// [`Event::Violation`]: super::Event::Violation
    ///
    /// # Examples
    ///
    /// ```standalone_crate
    /// use sandbox_runtime::{Command, Sandbox, Settings};
    ///
    /// fn main() -> Result<(), sandbox_runtime::Error> {
    ///     sandbox_runtime::init();
    ///     let (tell, told) = std::sync::mpsc::channel();
    ///     let command = Command::new("touch").arg("/etc/new");
    ///     let command = command.on_violation(move |violation| {
    ///         let _ = tell.send(violation.target().to_owned());
    ///     });
    ///     let outcome = Sandbox::new(&Settings::default()).output(command)?;
    ///     assert_eq!(told.iter().collect::<Vec<_>>(), ["/etc/new"]);
    ///     assert_eq!(outcome.violations.len(), 1);
    ///     Ok(())
    /// }
    /// ```
    #[must_use]
    pub fn on_violation(mut self, told: impl FnMut(&Violation) + 'static) -> Self {
        self.on_violation = Some(Box::new(told));
        self
    }

    /// Who is asked about a destination of which no rule says anything. The connection waits
    /// meanwhile, and nothing else goes on. Of a [`Session`]'s commands, [`Event::Ask`] asks.
    ///
    /// [`Session`]: super::Session
    /// [`Event::Ask`]: super::Event::Ask
    ///
    /// # Examples
    ///
    /// ```standalone_crate
    /// use sandbox_runtime::{Answer, Command, Sandbox, Settings};
    ///
    /// fn main() -> Result<(), sandbox_runtime::Error> {
    ///     sandbox_runtime::init();
    ///     let command = Command::new("curl").args(["-sS", "http://new.example/"]);
    ///     let command = command.on_ask(|ask| {
    ///         assert_eq!((ask.host.as_str(), ask.port), ("new.example", 80));
    ///         Answer::Deny
    ///     });
    ///     let outcome = Sandbox::new(&Settings::default()).output(command)?;
    ///     assert!(outcome.stdout.starts_with(b"Connection blocked by network allowlist"));
    ///     Ok(())
    /// }
    /// ```
    #[must_use]
    pub fn on_ask(mut self, asked: impl FnMut(&Ask) -> Answer + 'static) -> Self {
        self.on_ask = Some(Box::new(asked));
        self
    }

    /// The environment, if it is not this process's.
    pub(super) fn environment(&self) -> Option<&Vec<(Vec<u8>, Vec<u8>)>> {
        self.environment.as_ref()
    }
}
