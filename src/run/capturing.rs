//! How the supervisor has the capture role played, and tries it for `--doctor`.

use std::env;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use miniserde::json;

use super::capture::{DONE, FAILED, LISTENERS, MESSAGE_BYTES, NETWORK, PORTS, QUESTIONS};
use super::leftovers::Temporary;
use crate::error::{Error, While};
use crate::limits::CAPTURE;
use crate::policy::capture::Capture;
use crate::reactor::runs::Run;
use crate::reactor::{Reactor, Service};
use crate::sys;
use crate::sys::process::Orphaned;

/// What is said where capture must stand and cannot.
pub const CANNOT: &str = "network.capture: cannot be set up on this host: ";

/// The role as the supervisor knows it: started early, so that it is there when needed.
pub struct Helper {
    child: Child,
    socket: OwnedFd,
}

impl Helper {
    /// Starts it, with what bubblewrap will say of its sandbox.
    ///
    /// # Errors
    /// The kernel gives no process or descriptor.
    pub fn start(program: &Path, capture: &Capture, info: OwnedFd) -> io::Result<Self> {
        let (socket, theirs) = sys::fd::packet_pair()?;
        let mut command = Command::new(program);
        command
            .args(["--stage", "capture"])
            .args([&theirs, &info].map(|fd| fd.as_raw_fd().to_string()))
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let kept = vec![theirs.as_raw_fd(), info.as_raw_fd()];
        sys::process::confine_spawn(&mut command, kept, Orphaned::Killed);
        let child = command.spawn()?;
        let mut message = vec![PORTS];
        message.extend(capture.ports.iter().flat_map(|port| port.to_le_bytes()));
        let helper = Self { child, socket };
        sys::fd::send(helper.socket.as_fd(), &message, &[])?;
        Ok(helper)
    }

    /// Waits until all is set up for this network namespace, the sandbox's: the loop listens
    /// from then on. The role has ended once what this gives is dropped.
    ///
    /// # Errors
    /// Why it could not be set up: nothing is captured then.
    pub fn finish(self, network: &OwnedFd, run: Run, reactor: &mut Reactor) -> io::Result<Self> {
        // For the case that it knows of none yet.
        sys::fd::send(self.socket.as_fd(), &[NETWORK], &[network.as_fd()])?;
        let until = Instant::now() + CAPTURE;
        let mut message = [0u8; MESSAGE_BYTES];
        let (mut questions, mut listeners) = (Vec::new(), Vec::new());
        let near = loop {
            let longest = until.saturating_duration_since(Instant::now());
            sys::fd::wait_readable_for(self.socket.as_fd(), longest)?;
            let (length, passed) = sys::fd::receive(self.socket.as_fd(), &mut message)?;
            match message[..length].split_first() {
                Some((&QUESTIONS, _)) => questions = passed,
                Some((&LISTENERS, _)) => listeners.extend(passed),
                Some((&DONE, _)) => break passed,
                Some((&FAILED, text)) => {
                    return Err(io::Error::other(String::from_utf8_lossy(text)));
                }
                _ => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        };
        let identity = |fd: &OwnedFd| sys::dir::identity(fd.as_fd()).map(|(identity, _)| identity);
        let own = identity(network)?;
        if near.len() != 1 || identity(&near[0])? != own {
            return Err(io::Error::other("another network namespace was found"));
        }
        let streams = questions.split_off(questions.len().min(2));
        for socket in questions {
            reactor.answer_on(run, socket)?;
        }
        for socket in streams {
            reactor.listen(run, socket, Service::Questions)?;
        }
        for socket in listeners {
            reactor.listen(run, socket, Service::Captured)?;
        }
        Ok(self)
    }
}

/// Sets capture up in a sandbox that does nothing else, for `--doctor`; why that fails, if
/// it does.
///
/// # Errors
/// There is nowhere to write its settings, or nothing can be run.
pub fn prove(bwrap: Option<&str>) -> Result<Result<(), String>, Error> {
    const DOING: &str = "trying capture";
    let temporary = Temporary::new(&env::temp_dir()).doing(DOING)?;
    let settings = temporary.inner().join("settings");
    let bwrap = bwrap.map_or(String::new(), |path| {
        format!(r#", "bwrapPath": {}"#, json::to_string(path))
    });
    let text = format!(
        r#"{{"network": {{"allowedDomains": ["capture.invalid"], "capture": true}}{bwrap}}}"#
    );
    fs::write(&settings, text).doing(DOING)?;
    let out = Command::new("/proc/self/exe")
        .arg("-s")
        .arg(settings)
        .args(["/proc/self/exe", "--version"])
        .current_dir(temporary.inner())
        .stdin(Stdio::null())
        .output()
        .doing(DOING)?;
    let words = String::from_utf8_lossy(&out.stderr)
        .replace("srt: ", "")
        .replace('\n', "; ");
    let words = words.trim_end_matches("; ");
    let words = words.strip_prefix(CANNOT).unwrap_or(words);
    Ok(match out.status.success() {
        true => Ok(()),
        false => Err(words.to_owned()),
    })
}

impl Drop for Helper {
    fn drop(&mut self) {
        // It has nothing to end in order, and may be gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
