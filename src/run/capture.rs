//! The capture role: a network namespace beside the
//! sandbox's in which every address is its own, with listeners in it (see
//! [`rtnetlink`](crate::emit::rtnetlink)).
//!
//! The role enters the sandbox's network namespace by way of the user namespace that owns
//! it, from outside, where this user has that right and the command has not; sets all up;
//! hands the sockets out, and is ended. The sockets keep the far end there.
//!
//! It does not wait for the sandbox's mounts: bubblewrap says early which process is the
//! sandbox's first. Where that leads nowhere, the inner stage's own word is waited for.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::emit::rtnetlink::{self, Request, Weight};
use crate::limits::{CAPTURED_PORTS, SANDBOX_BYTES};
use crate::parse::sandbox::{Sandbox, sandbox};
use crate::policy::capture::DNS_PORT;
use crate::sys;
use crate::sys::datagrams::{Kind, listen};
use crate::sys::fd::{Readable, wait_either};
use crate::sys::netlink::Routing;

/// To the role: the ports to listen on are behind it.
pub(super) const PORTS: u8 = b'P';
/// To the role, once: the sandbox's network namespace comes with it.
pub(super) const NETWORK: u8 = b'N';
/// From the role: sockets for DNS questions come with it, two for UDP and two for TCP.
pub(super) const QUESTIONS: u8 = b'Q';
/// From the role: listeners come with it.
pub(super) const LISTENERS: u8 = b'L';
/// From the role: a step failed; text follows.
pub(super) const FAILED: u8 = b'F';
/// From the role: that is all.
pub(super) const DONE: u8 = b'D';

/// Most listeners in one message.
const AT_ONCE: usize = 60;

/// Longest message: the ports.
pub(super) const MESSAGE_BYTES: usize = 1 + 2 * CAPTURED_PORTS;

/// Plays the role, with a socket to the supervisor and what bubblewrap says of its sandbox.
///
/// # Errors
/// The supervisor is gone, or says what is none of its words.
pub fn serve([socket, info]: [i32; 2]) -> io::Result<()> {
    let socket = sys::fd::inherited(socket)?;
    let info = sys::fd::inherited(info)?;
    let mut message = [0u8; MESSAGE_BYTES];
    let (length, _) = sys::fd::receive(socket.as_fd(), &mut message)?;
    let Some((&PORTS, ports)) = message[..length].split_first() else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let ports = ports.chunks_exact(2);
    let ports: Vec<u16> = ports.map(|p| u16::from_le_bytes([p[0], p[1]])).collect();
    let near = match early(info, socket.as_fd()) {
        Some(near) => near,
        None => match sys::fd::receive(socket.as_fd(), &mut message)? {
            (1, passed) if message[0] == NETWORK => passed.into_iter().next(),
            // Not needed after all.
            _ => None,
        }
        .ok_or(io::ErrorKind::UnexpectedEof)?,
    };
    match set_up(&near, &ports) {
        Ok(sockets) => {
            hand_out(&socket, QUESTIONS, &sockets.questions)?;
            for some in sockets.listeners.chunks(AT_ONCE) {
                hand_out(&socket, LISTENERS, some)?;
            }
            hand_out(&socket, DONE, &[near])?;
        }
        Err((step, error)) => {
            let mut message = vec![FAILED];
            message.extend(format!("{step}: {error}").into_bytes());
            message.truncate(MESSAGE_BYTES);
            sys::fd::send(socket.as_fd(), &message, &[])?;
        }
    }
    // An end that leaves a message unread would take ours away: whoever has read them ends
    // this.
    loop {
        if sys::fd::receive(socket.as_fd(), &mut message)?.0 == 0 {
            return Ok(());
        }
    }
}

/// The network namespace of the sandbox's first process, as soon as there is one; unless
/// the supervisor has a word first.
fn early(info: OwnedFd, socket: BorrowedFd<'_>) -> Option<OwnedFd> {
    let mut said = Vec::new();
    let mut info = File::from(info);
    // The end may come late: the sandbox's first process has this open, too.
    let Sandbox { pid, network } = loop {
        let [told, other] = wait_either(info.as_fd(), Some(socket), None).ok()?;
        if told == Readable::No {
            if other == Readable::No {
                continue;
            }
            return None;
        }
        let mut buffer = [0u8; 512];
        let length = info.read(&mut buffer).ok()?;
        said.extend_from_slice(&buffer[..length]);
        match sandbox(&said) {
            Some(found) => break found,
            None if length == 0 || said.len() > SANDBOX_BYTES => return None,
            None => {}
        }
    };
    let near = File::open(format!("/proc/{pid}/ns/net")).ok()?;
    // The number of the process may mean another one here.
    let found = std::os::unix::fs::MetadataExt::ino(&near.metadata().ok()?);
    (found == network).then(|| near.into())
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
    for end in [&beside, &inside] {
        step("settling the link", end.settle(rtnetlink::NAME))?;
    }
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
