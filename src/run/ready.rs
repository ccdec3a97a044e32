//! The last steps before the command may start, with all mounts made.

use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};

use super::capturing::{CANNOT, Helper};
use super::guard;
use super::harden::harden;
use super::holds::Holds;
use super::launch::Launch;
use super::paths::{path, shown};
use super::plan::Plan;
use super::recheck::{self, Check, Denies};
use super::request::Process;
use super::say::say;
use crate::args::Verbosity;
use crate::error::{Error, While};
use crate::policy::capture::Need;
use crate::policy::files::{FRESH, covers};
use crate::policy::ports::Ports;
use crate::proxy::conversation::Hop;
use crate::reactor::runs::Run;
use crate::reactor::{Reactor, Service};
use crate::sys;
use crate::sys::process::Orphaned;

/// What there is to do.
pub struct Ready {
    /// What is to be covered again if somebody outside replaces it.
    places: Vec<Check>,
    guard: Option<Child>,
    /// Sockets on the host's loopback, by the sandbox's port they stand for.
    published: Vec<(u16, OwnedFd)>,
    /// Who sets capture up, or why nobody does.
    capture: Capturing,
}

/// Who sets capture up.
enum Capturing {
    /// Nobody has to.
    No,
    /// A helper that has been started.
    By(Helper),
    /// It could not be.
    Failed(io::Error),
}

/// Listens on the host's loopback for the ports that are to be published.
///
/// # Errors
/// One of them is taken.
pub fn publish(ports: &Ports) -> Result<Vec<(u16, OwnedFd)>, Error> {
    let listen = |port: &u16| match TcpListener::bind((Ipv4Addr::LOCALHOST, *port)) {
        Ok(listener) => Ok((*port, OwnedFd::from(listener))),
        Err(e) => Err(Error::Policy(vec![format!(
            "network.publishPorts: port {port} of the host's 127.0.0.1: {e}"
        )])),
    };
    ports.published.iter().map(listen).collect()
}

/// Every place that is denied, but in the trees that nobody outside sees: the others
/// only lead there.
fn guarded(launch: &Launch, pins: &[Check]) -> Vec<Check> {
    let fresh = |check: &Check| FRESH.iter().any(|tree| covers(tree, &check.path));
    let denied =
        |check: &&Check| check.denies == Denies::Yes && !fresh(check) && !pins.contains(check);
    launch.checks.iter().filter(denied).cloned().collect()
}

impl Ready {
    /// For this plan, and the bubblewrap that says `info` of its sandbox.
    pub fn new(plan: &Plan, published: Vec<(u16, OwnedFd)>, info: Option<OwnedFd>) -> Self {
        // Early: it works while bubblewrap mounts.
        let capture = info.map(|info| Helper::start(&plan.program, &plan.policy.capture, info));
        Self {
            capture: match capture {
                None => Capturing::No,
                Some(Ok(helper)) => Capturing::By(helper),
                Some(Err(error)) => Capturing::Failed(error),
            },
            places: guarded(&plan.launch, &plan.pins),
            guard: None,
            published,
        }
    }

    /// Makes everything ready: the mounts are where they were meant to be, no symbolic
    /// link can be replaced, and the loop listens on the sockets that were `passed`, of
    /// which the last two are the network and the mount namespace.
    ///
    /// # Errors
    /// The command must not start.
    pub fn make(
        &mut self,
        plan: &Plan,
        run: Run,
        mut passed: Vec<OwnedFd>,
        reactor: &mut Reactor,
    ) -> Result<(), Error> {
        let lost = || Error::Stage("the sandbox's sockets did not arrive".into());
        let mounts = passed.pop().ok_or_else(lost)?;
        let network = passed.pop().ok_or_else(lost)?;
        if passed.len() != 2 + plan.policy.ports.host.len() {
            return Err(lost());
        }
        recheck::outside(&plan.launch.checks).map_err(Error::Changed)?;
        if self.needs_guard(plan) {
            self.guard(plan, &mounts)?;
        }
        let proxy = |external: Option<u16>| match external {
            Some(port) => Service::Forward(Hop::Loopback(port)),
            None => Service::Proxy,
        };
        let own = [
            plan.policy.ports.external_http,
            plan.policy.ports.external_socks,
        ]
        .map(proxy);
        let host = plan.policy.ports.host.iter();
        let host = host.map(|port| Service::Forward(Hop::Loopback(*port)));
        let inside = passed.into_iter().zip(own.into_iter().chain(host));
        let published = self.published.drain(..);
        let published = published.map(|(port, fd)| (fd, Service::Forward(Hop::Inside(port))));
        for (listener, service) in inside.chain(published) {
            reactor
                .listen(run, listener, service)
                .doing("taking the sandbox's listeners")?;
        }
        let captured = match std::mem::replace(&mut self.capture, Capturing::No) {
            Capturing::No => Ok(None),
            Capturing::By(helper) => helper.finish(&network, run, reactor).map(Some),
            Capturing::Failed(error) => Err(error),
        };
        if let Err(error) = &captured {
            Self::do_without_capture(plan, error)?;
        }
        // A guest changes nothing of the process it is in.
        if plan.process == Process::Own {
            harden(plan)?;
        }
        // Whoever set capture up ends before the command starts.
        drop(captured);
        Ok(())
    }

    /// Capture could not be set up.
    fn do_without_capture(plan: &Plan, error: &io::Error) -> Result<(), Error> {
        if plan.policy.capture.need == Need::Required {
            return Err(Error::Policy(vec![format!("{CANNOT}{error}")]));
        }
        if plan.verbosity == Verbosity::Debug {
            say(&format!(
                "capture cannot be set up on this host: {error}: programs that know no proxy reach nothing"
            ));
        }
        Ok(())
    }

    /// Whether there is something that others have a reason to replace: the index is not,
    /// whose place a record of ours keeps.
    fn needs_guard(&self, plan: &Plan) -> bool {
        let index = plan.holds.as_ref().map(Holds::index);
        let mut places = self.places.iter();
        !plan.pins.is_empty() || places.any(|check| Some(path(&check.path)) != index)
    }

    /// Starts the guard, and waits until it stands.
    fn guard(&mut self, plan: &Plan, mounts: &OwnedFd) -> Result<(), Error> {
        const DOING: &str = "starting the guard of the mounts";
        let number = |fd: &OwnedFd| fd.as_raw_fd().to_string();
        let links = guard::request(&plan.pins).doing(DOING)?;
        let places = guard::request(&self.places).doing(DOING)?;
        let mut helper = Command::new(&plan.program);
        helper
            .args(["--stage", "guard"])
            .args([number(mounts), number(&links), number(&places)])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        if let Some(stderr) = sys::streams::stderr_without_waiting() {
            helper.stderr(stderr);
        }
        let kept = vec![mounts.as_raw_fd(), links.as_raw_fd(), places.as_raw_fd()];
        sys::process::confine_spawn(&mut helper, kept, Orphaned::Killed);
        let child = self.guard.insert(helper.spawn().doing(DOING)?);
        let mut said = String::new();
        if let Some(stdout) = child.stdout.take() {
            // One line, and no more is read once it says that it is ready.
            BufReader::new(stdout).read_line(&mut said).doing(DOING)?;
        }
        if said == guard::READY {
            return Ok(());
        }
        if plan.pins.is_empty() {
            // The rules hold for the command; it is others that are not watched.
            say(&format!(
                "this host does not let the mounts be guarded ({said}): what somebody outside \
                 replaces during the run is not protected any more"
            ));
            return Ok(());
        }
        Err(Error::Stage(format!(
            "{}: this symbolic link cannot be held in place on this host: {said}",
            shown(&plan.pins[0].path)
        )))
    }
}

impl Ready {
    /// Ends the guard, and gives it to be waited for: it has nothing to end in order, and its
    /// own end takes the kernel a while (inotify's marks are freed after a grace period).
    pub fn end(&mut self) -> Option<Child> {
        let mut guard = self.guard.take()?;
        let _ = guard.kill();
        Some(guard)
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        self.end();
    }
}
