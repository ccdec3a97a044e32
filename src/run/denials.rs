//! What macOS's log says of this run's refusals, as it comes (`log stream`).

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::report::Report;
use super::request::Request;
use super::say::say;
use crate::args::{Afterwards, Verbosity};
use crate::limits::{LOG_STREAM_END, LOG_STREAM_START, RELAY_BYTES};
use crate::parse::report::Looks;
use crate::parse::unified_log::{Denial, Joiner, denial};
use crate::policy::Policy;
use crate::policy::explain::{self, Act, Decision, NO_RULE};
use crate::sys;
use crate::sys::process::Orphaned;
use crate::violation::{Kind, Process};

/// The log, being read.
pub(super) struct Denials {
    child: Child,
    out: File,
    joiner: Joiner,
    /// Whether somebody wants all of it, and so waits for it.
    wanted: bool,
}

/// Whether there may be more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hearing {
    /// There may.
    More,
    /// The log has ended.
    Over,
}

impl Denials {
    /// Starts to read. Whether it comes up decides nothing, so that a log that cannot be
    /// read is said and done without.
    pub(super) fn start(program: &Path, tag: &str, run: &Request) -> Option<Self> {
        match Self::try_start(program, tag, run) {
            Ok(denials) => Some(denials),
            Err(e) => {
                let program = program.display();
                say(&format!(
                    "{program}: {e}: what the system refuses is not reported"
                ));
                None
            }
        }
    }

    fn try_start(program: &Path, tag: &str, run: &Request) -> io::Result<Self> {
        let mut command = Command::new(program);
        command
            .args(["stream", "--style", "compact", "--predicate"])
            .arg(format!("eventMessage ENDSWITH \"{tag}\""))
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        sys::process::confine_spawn(&mut command, Vec::new(), Orphaned::Killed);
        let mut child = command.spawn()?;
        let out = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let out = File::from(OwnedFd::from(out));
        sys::fd::set_nonblocking(out.as_fd())?;
        let wanted = run.log.is_some()
            || run.afterwards != Afterwards::Nothing
            || run.verbosity == Verbosity::Debug;
        if wanted {
            // Its first line says that it listens. One that is silent listens perhaps.
            let _ = sys::fd::wait_readable_for(out.as_fd(), LOG_STREAM_START);
        }
        Ok(Self {
            child,
            out,
            joiner: Joiner::new(tag),
            wanted,
        })
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.out.as_fd()
    }

    /// Takes in what has come.
    pub(super) fn hear(&mut self, policy: &Policy, report: &mut Report) -> Hearing {
        let mut buffer = vec![0u8; RELAY_BYTES];
        loop {
            match self.out.read(&mut buffer) {
                Ok(0) => return Hearing::Over,
                Ok(length) => self.joiner.take(&buffer[..length], |event| {
                    if let Some(denial) = denial(event) {
                        tell(&denial, policy, report);
                    }
                }),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Hearing::More,
                Err(_) => return Hearing::Over,
            }
        }
    }

    /// The run is over: what the system still has to say of it is awaited, if somebody
    /// wants it.
    pub(super) fn end(mut self, policy: &Policy, report: &mut Report) {
        let until = Instant::now() + LOG_STREAM_END;
        while self.hear(policy, report) == Hearing::More && self.wanted {
            let left = until.saturating_duration_since(Instant::now());
            if sys::fd::wait_readable_for(self.out.as_fd(), left).is_err() {
                break;
            }
        }
    }
}

impl Drop for Denials {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What kind of refusal it is: by the operation's name, and whether it is about a path.
fn kind(denial: &Denial<'_>) -> Kind {
    let operation = |start: &[u8]| denial.operation.starts_with(start);
    if operation(b"file-write") {
        Kind::Write
    } else if operation(b"file-read") {
        Kind::Read
    } else if operation(b"network-") && denial.target.starts_with(b"/") {
        Kind::Socket
    } else if operation(b"network-") {
        Kind::Network
    } else {
        Kind::Syscall
    }
}

fn tell(denial: &Denial<'_>, policy: &Policy, report: &mut Report) {
    let kind = kind(denial);
    if denial.is_noise() || kind == Kind::Read && policy.observed.reads == Looks::No {
        return;
    }
    let act = match kind {
        Kind::Write => Some(Act::Write),
        Kind::Read => Some(Act::Read),
        Kind::Network | Kind::Socket | Kind::Syscall => None,
    };
    let rule = match act.map(|act| explain::file(&policy.files, act, denial.target)) {
        Some(Decision::Denied(rule)) => rule,
        Some(Decision::Allowed(_)) | None => NO_RULE.into(),
    };
    let process = Process {
        pid: denial.pid,
        program: String::from_utf8_lossy(denial.program).into_owned(),
    };
    let action = String::from_utf8_lossy(denial.operation).into_owned();
    report.attempt(kind, action, rule, denial.target, process);
}
