//! The capture role, and how the supervisor has it played: a network namespace beside the
//! sandbox's in which every address is its own, with listeners in it (see
//! [`rtnetlink`](crate::emit::rtnetlink)).
//!
//! The role enters the sandbox's network namespace by way of the user namespace that owns
//! it, from outside, where this user has that right and the command has not; sets all up;
//! hands the sockets out, and ends. The sockets keep the far end there.

use std::env;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use miniserde::json;

use super::leftovers::Temporary;
use crate::emit::rtnetlink::{self, Request, Weight};
use crate::error::{Error, While};
use crate::limits::{CAPTURE, CAPTURED_PORTS};
use crate::policy::capture::{Capture, DNS_PORT};
use crate::reactor::runs::Run;
use crate::reactor::{Reactor, Service};
use crate::sys;
use crate::sys::datagrams::{Kind, listen};
use crate::sys::netlink::Routing;
use crate::sys::process::Orphaned;

/// To the role: the sandbox's network namespace comes with it, the ports behind it.
const NETWORK: u8 = b'N';
/// From the role: sockets for DNS questions come with it, two for UDP and two for TCP.
const QUESTIONS: u8 = b'Q';
/// From the role: listeners come with it.
const LISTENERS: u8 = b'L';
/// From the role: a step failed; text follows.
const FAILED: u8 = b'F';
/// From the role: that is all.
const DONE: u8 = b'D';

/// Most listeners in one message.
const AT_ONCE: usize = 60;

/// Longest message: the ports.
const MESSAGE_BYTES: usize = 1 + 2 * CAPTURED_PORTS;

/// What is said where capture must stand and cannot.
pub const CANNOT: &str = "network.capture: cannot be set up on this host: ";

/// Plays the role, with a socket to the supervisor.
///
/// # Errors
/// The supervisor is gone, or says what is none of its words.
pub fn serve(socket: i32) -> io::Result<()> {
    let socket = sys::fd::inherited(socket)?;
    let mut message = [0u8; MESSAGE_BYTES];
    let (length, mut passed) = sys::fd::receive(socket.as_fd(), &mut message)?;
    let (Some((&NETWORK, ports)), Some(near)) = (message[..length].split_first(), passed.pop())
    else {
        // Not needed after all.
        return Ok(());
    };
    let ports = ports
        .chunks_exact(2)
        .map(|p| u16::from_le_bytes([p[0], p[1]]));
    let ports: Vec<u16> = ports.collect();
    match set_up(&near, &ports) {
        Ok(Sockets {
            questions,
            listeners,
        }) => {
            hand_out(&socket, QUESTIONS, &questions)?;
            for some in listeners.chunks(AT_ONCE) {
                hand_out(&socket, LISTENERS, some)?;
            }
            sys::fd::send(socket.as_fd(), &[DONE], &[])
        }
        Err((step, error)) => {
            let mut message = vec![FAILED];
            message.extend(format!("{step}: {error}").into_bytes());
            message.truncate(MESSAGE_BYTES);
            sys::fd::send(socket.as_fd(), &message, &[])
        }
    }
}

/// What the role hands out.
struct Sockets {
    /// Where DNS questions come: UDP in the sandbox and in the far end, then TCP.
    questions: Vec<OwnedFd>,
    /// Where all else is captured.
    listeners: Vec<OwnedFd>,
}

type Step<T> = Result<T, (&'static str, io::Error)>;

fn step<T>(name: &'static str, result: io::Result<T>) -> Step<T> {
    result.map_err(|e| (name, e))
}

fn set_up(near: &OwnedFd, ports: &[u16]) -> Step<Sockets> {
    const NEAR: &str = "entering the sandbox's network namespace";
    const LISTENING: &str = "listening in the sandbox's place";
    step(NEAR, sys::namespace::enter_network(near.as_fd()))?;
    let inside = step(NEAR, Routing::open())?;
    // A resolver that should run on the sandbox's loopback (127.0.0.53, ::1) is asked there.
    let datagrams = step(LISTENING, listen(Kind::Datagram, DNS_PORT))?;
    let streams = step(LISTENING, listen(Kind::Stream, DNS_PORT))?;
    let mut questions = vec![datagrams];
    step("making a network namespace", sys::namespace::new_network())?;
    let beside = step("making a network namespace", Routing::open())?;
    let near = near.as_raw_fd();
    step("making a veth link", ask(&beside, rtnetlink::link(near)))?;
    step(
        "giving addresses to the link",
        ask(&beside, rtnetlink::far()),
    )?;
    step("routing to the link", ask(&inside, rtnetlink::near()))?;
    questions.push(step(LISTENING, listen(Kind::Datagram, DNS_PORT))?);
    questions.push(streams);
    questions.push(step(LISTENING, listen(Kind::Stream, DNS_PORT))?);
    let listeners = ports.iter().map(|port| listen(Kind::Stream, *port));
    Ok(Sockets {
        questions,
        listeners: step(LISTENING, listeners.collect())?,
    })
}

fn ask(routing: &Routing, requests: Vec<Request>) -> io::Result<()> {
    for Request { bytes, weight } in requests {
        match (routing.ask(&bytes), weight) {
            // Then nothing is reached by IPv6, and at once.
            (Err(_), Weight::Ipv6) | (Ok(()), _) => {}
            (Err(error), Weight::All) => return Err(error),
        }
    }
    Ok(())
}

fn hand_out(socket: &OwnedFd, what: u8, some: &[OwnedFd]) -> io::Result<()> {
    let some: Vec<BorrowedFd<'_>> = some.iter().map(AsFd::as_fd).collect();
    sys::fd::send(socket.as_fd(), &[what], &some)
}

/// The role as the supervisor knows it: started early, so that it is there when needed.
pub struct Helper {
    child: Child,
    socket: OwnedFd,
}

impl Helper {
    /// Starts it.
    ///
    /// # Errors
    /// The kernel gives no process or descriptor.
    pub fn start(program: &Path) -> io::Result<Self> {
        let (socket, theirs) = sys::fd::packet_pair()?;
        let mut command = Command::new(program);
        command
            .args(["--stage", "capture"])
            .arg(theirs.as_raw_fd().to_string())
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let kept = vec![theirs.as_raw_fd()];
        sys::process::confine_spawn(&mut command, kept, Orphaned::Killed);
        let child = command.spawn()?;
        Ok(Self { child, socket })
    }

    /// Tells it which network namespace to capture, and lets it begin.
    ///
    /// # Errors
    /// It is gone.
    pub fn begin(&self, network: BorrowedFd<'_>, capture: &Capture) -> io::Result<()> {
        let mut message = vec![NETWORK];
        message.extend(capture.ports.iter().flat_map(|port| port.to_le_bytes()));
        sys::fd::send(self.socket.as_fd(), &message, &[network])
    }

    /// Waits until all is set up: the loop listens from then on. The role has ended once what
    /// this gives is dropped.
    ///
    /// # Errors
    /// Why it could not be set up: nothing is captured then.
    pub fn finish(mut self, run: Run, reactor: &mut Reactor) -> io::Result<Self> {
        let until = Instant::now() + CAPTURE;
        let mut message = [0u8; MESSAGE_BYTES];
        let (mut questions, mut listeners) = (Vec::new(), Vec::new());
        loop {
            let longest = until.saturating_duration_since(Instant::now());
            sys::fd::wait_readable_for(self.socket.as_fd(), longest)?;
            let (length, passed) = sys::fd::receive(self.socket.as_fd(), &mut message)?;
            match message[..length].split_first() {
                Some((&QUESTIONS, _)) => questions = passed,
                Some((&LISTENERS, _)) => listeners.extend(passed),
                Some((&DONE, _)) => break,
                Some((&FAILED, text)) => {
                    return Err(io::Error::other(String::from_utf8_lossy(text)));
                }
                _ => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        // It has said its last word, and has nothing to end in order.
        let _ = self.child.kill();
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
        // Neither fails in a way that matters: it may be gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
