//! bubblewrap: how it is started, and what to do when it fails.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::orphans;
use super::plan::Plan;
use super::probe;
use super::request::{Request, Stream};
use crate::emit::cures::cure;
use crate::error::{Error, While};
use crate::limits::BWRAP_WORDS;
use crate::sys;
use crate::sys::process::Orphaned;

/// A bubblewrap that has been started. Dropped before it is over, it is ended with all that
/// it has started: what a run clears up must not be in use any more.
pub struct Started {
    /// The process.
    pub child: Child,
    /// Readable once it has ended.
    pub pidfd: OwnedFd,
    /// To the inner stage.
    pub socket: OwnedFd,
    /// What it says of its sandbox, if capture needs to know.
    pub info: Option<OwnedFd>,
    /// What bubblewrap itself has to say.
    pub words: File,
    /// Which program it is.
    pub program: PathBuf,
    /// What the processes of its run are known by.
    mark: String,
    /// It has ended, and nothing of it is left.
    pub over: bool,
}

impl Drop for Started {
    fn drop(&mut self) {
        if !self.over {
            end(&mut self.child, &self.mark);
        }
    }
}

/// Ends bubblewrap and what it has started.
fn end(child: &mut Child, mark: &str) {
    // It may have ended; and what cannot be ended, the next run ends.
    let _ = child.kill();
    let _ = child.wait();
    let _ = orphans::end(mark);
}

/// Starts it with exactly the descriptors that it and the stage need.
///
/// # Errors
/// It cannot be executed, or the kernel gives no descriptor.
pub fn spawn(plan: &Plan, run: &Request) -> Result<Started, Error> {
    let (socket, theirs) = sys::fd::packet_pair().doing("making a socket pair")?;
    sys::fd::set_nonblocking(socket.as_fd()).doing("making a socket pair")?;
    let mut options = Vec::new();
    for option in &plan.options {
        options.extend_from_slice(option);
        options.push(0);
    }
    let options = sys::fd::memfd(c"srt-options", &options).doing("writing bubblewrap's options")?;
    let launch =
        sys::fd::memfd(c"srt-launch", &plan.launch.encode()).doing("writing the launch file")?;
    let program = File::open(&plan.program).doing("opening this program")?;
    let stderr = match run.stream(2) {
        Some(stream) => stream.try_clone_to_owned(),
        None => File::options()
            .write(true)
            .open("/dev/null")
            .map(OwnedFd::from),
    };
    let stderr = stderr.doing("copying stderr")?;
    let (words, mouth) = UnixStream::pair().doing("making a socket pair")?;
    let words = File::from(OwnedFd::from(words));
    sys::fd::set_nonblocking(words.as_fd()).doing("making a socket pair")?;

    let wanted = plan.policy.capture.is_wanted();
    let info = wanted.then(UnixStream::pair).transpose();
    let (info, told) = info.doing("making a socket pair")?.unzip();

    let mut command = Command::new(&plan.bwrap);
    command.arg("--args").arg(number(&options));
    if let Some(told) = &told {
        command.arg("--info-fd").arg(number(told));
    }
    command
        .arg("--")
        .arg(format!("/proc/self/fd/{}", program.as_raw_fd()))
        .args(["--stage", "inner"])
        .args([number(&theirs), number(&launch), number(&stderr)])
        .arg(orphans::argument(plan.temporary.mark()))
        // bubblewrap and the stage get no environment: what the caller's may make a
        // loader or a C library run is the command's alone.
        .env_clear()
        .current_dir(&run.directory)
        .stdin(stream(run, 0)?)
        .stdout(stream(run, 1)?)
        .stderr(Stdio::from(OwnedFd::from(mouth)));
    let mut kept: Vec<i32> = [
        options.as_fd(),
        launch.as_fd(),
        program.as_fd(),
        stderr.as_fd(),
        theirs.as_fd(),
    ]
    .map(|fd: BorrowedFd<'_>| fd.as_raw_fd())
    .into();
    kept.extend(told.as_ref().map(AsRawFd::as_raw_fd));
    // Killed at the wrong moment, it would leave its child waiting for it for ever.
    // Left alone, it comes to the stage, which sees that nobody listens, and ends.
    sys::process::confine_spawn(&mut command, kept, Orphaned::Left);
    let mut child = command.spawn().map_err(|e| Error::Bwrap {
        words: format!("{}: {e}", plan.bwrap.display()),
        cure: "set bwrapPath to a bubblewrap that this user may execute",
    })?;
    let mark = plan.temporary.mark().to_owned();
    let pidfd = match sys::pidfd::pidfd(child.id()).doing("watching bubblewrap") {
        Ok(pidfd) => pidfd,
        Err(error) => {
            end(&mut child, &mark);
            return Err(error);
        }
    };
    Ok(Started {
        child,
        pidfd,
        socket,
        info: info.map(OwnedFd::from),
        words,
        program: plan.bwrap.clone(),
        mark,
        over: false,
    })
}

/// What is given to it as a standard stream.
fn stream(run: &Request, number: usize) -> Result<Stdio, Error> {
    Ok(match &run.streams[number] {
        Stream::Inherited => Stdio::inherit(),
        Stream::Null => Stdio::null(),
        Stream::Given(fd) => fd.try_clone().doing("copying a standard stream")?.into(),
    })
}

fn number(fd: &impl AsRawFd) -> String {
    fd.as_raw_fd().to_string()
}

/// What to say when bubblewrap ended before the stage was heard of.
pub fn failed(words: &mut File, bwrap: &Path) -> Error {
    let mut said = Vec::new();
    // The writer has ended; what it wrote is in the pipe.
    let _ = words.take(BWRAP_WORDS as u64).read_to_end(&mut said);
    let words = String::from_utf8_lossy(&said).trim().to_owned();
    Error::Bwrap {
        cure: cure(&words, probe::situation(bwrap)),
        words,
    }
}
