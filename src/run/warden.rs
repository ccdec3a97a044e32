//! The warden: ends the command when `srt` has been killed, where no kernel does that.

use std::env;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use crate::error::{Error, While};
use crate::sys;
use crate::sys::process::{Orphaned, Pid};
use crate::sys::signal::KILL;

/// Bytes of a process's number.
const PID_BYTES: usize = 4;

/// A warden that has been started.
pub(super) struct Warden {
    child: Child,
    socket: Option<UnixStream>,
}

impl Warden {
    /// Starts one, in a process group of its own: no key of the terminal ends it.
    pub(super) fn start() -> Result<Self, Error> {
        const DOING: &str = "starting the warden";
        let (socket, theirs) = UnixStream::pair().doing(DOING)?;
        let program = env::current_exe().doing("finding this program")?;
        let mut command = Command::new(program);
        command
            .args(["--stage", "warden"])
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        sys::process::confine_spawn(&mut command, Vec::new(), Orphaned::Left);
        Ok(Self {
            child: command.spawn().doing(DOING)?,
            socket: Some(socket),
        })
    }

    /// Whom it is about.
    pub(super) fn watch(&mut self, command: Pid) {
        if let Some(socket) = &mut self.socket {
            // A warden that is gone guards nothing; the command need not end for that.
            let _ = socket.write_all(&command.number().to_ne_bytes());
        }
    }

    /// The command has ended by itself.
    pub(super) fn release(&mut self) {
        if let Some(mut socket) = self.socket.take() {
            let _ = socket.write_all(&[0]);
        }
    }
}

impl Drop for Warden {
    fn drop(&mut self) {
        // Without a word, it ends the command, should there be one.
        self.socket = None;
        let _ = self.child.wait();
    }
}

/// The warden's own part, on standard input: a process's number, and a byte when that is
/// over. If the end comes without it, the process is killed.
///
/// # Errors
/// The socket broke.
pub fn serve() -> io::Result<()> {
    let mut stdin = io::stdin().lock();
    let mut number = [0u8; PID_BYTES];
    if stdin.read_exact(&mut number).is_err() {
        return Ok(());
    }
    let mut word = [0u8; 1];
    match stdin.read(&mut word) {
        Ok(1) => Ok(()),
        // It is not reaped yet, or has been so just now: its number is nobody else's.
        _ => sys::process::kill(Pid::new(i32::from_ne_bytes(number)), KILL),
    }
}
