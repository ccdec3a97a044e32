//! The observer role: hears of calls inside the sandbox before they are made, lets the
//! kernel make them, and tells the supervisor of those that the policy denies. Of files it
//! decides nothing. It makes the connections to Unix sockets that are listed, and says who
//! owns a connection that the proxy refused.
//!
//! It is a process of its own, so that it may look at others where the supervisor, once it
//! has given up its privileges, may not; and so that what hears of every file does not
//! delay what relays the network.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::named::{Known, Written};
use super::owner;
use super::paths::path;
use super::plan::machine;
use super::sight::Sight;
use super::unix::{Answer, Connects, Tried};
use super::witness::{self, LISTENER, WHO};
use crate::emit::seccomp::{self, Machine};
use crate::emit::watched::{self, Intent, Subject, Watched};
use crate::limits::OBSERVED_BYTES;
use crate::policy::explain::{self, Act, Decision};
use crate::policy::files::parent;
use crate::sys;
use crate::sys::fd::{Readable, wait_either};
use crate::sys::notify::{self, Notification};
use crate::sys::process::Bound;
use crate::sys::shared::Board;
use crate::violation::Kind;

/// Plays the role until the supervisor closes the socket; what it sees by and what it notes
/// are memory files. All are inherited.
///
/// # Errors
/// The request is not one, or the kernel gives nothing to listen to.
pub fn serve([socket, policy, notes]: [i32; 3], bubblewrap: u32) -> io::Result<()> {
    let socket = sys::fd::inherited(socket)?;
    let sight = Sight::read(sys::fd::inherited(policy)?)?;
    let board = Board::map(sys::fd::inherited(notes)?.as_fd())?;
    let machine = machine().ok_or(io::ErrorKind::Unsupported)?;
    sys::seccomp::no_new_privs()?;
    // What binds the command binds what is done in its place. To look at it takes no
    // capability: whoever made a user namespace has them all in it (user_namespaces(7)).
    sys::privileges::drop_capabilities()?;
    sys::privileges::set_undumpable()?;
    sys::process::bound(Bound::Core, 0)?;
    let program = seccomp::only(machine, &sys::own_calls::observers());
    let program: Vec<_> = program.iter().map(super::inner::sock_filter).collect();
    sys::seccomp::load(&program)?;
    Observer {
        socket,
        sight,
        board,
        machine,
        bubblewrap,
        listener: None,
        connects: Connects::default(),
        known: Known::default(),
    }
    .observe()
}

struct Observer {
    socket: OwnedFd,
    sight: Sight,
    board: Board,
    machine: Machine,
    bubblewrap: u32,
    listener: Option<OwnedFd>,
    connects: Connects,
    known: Known,
}

impl Observer {
    fn observe(&mut self) -> io::Result<()> {
        loop {
            let listener = self.listener.as_ref().map(AsFd::as_fd);
            let [told, heard] =
                wait_either(self.socket.as_fd(), listener, self.connects.patience())?;
            if told != Readable::No && !self.told()? {
                return Ok(());
            }
            match heard {
                Readable::No => {}
                Readable::Yes => self.hear()?,
                // Nobody is left inside who could call.
                Readable::Over => self.listener = None,
            }
            if let Some(listener) = &self.listener {
                if self.connects.again(listener.as_fd())? == Tried::Yes {
                    self.board.waiting(self.connects.waiting());
                }
            }
        }
    }

    /// Hears the supervisor; `false` once it is gone.
    fn told(&mut self) -> io::Result<bool> {
        let mut message = [0; 16];
        let (length, mut passed) = sys::fd::receive(self.socket.as_fd(), &mut message)?;
        match message.get(..length) {
            None | Some([]) => return Ok(false),
            Some([LISTENER]) => self.listener = passed.pop(),
            Some([WHO, rest @ ..]) => {
                let owner =
                    witness::asked(rest).and_then(|(_, ports)| owner::find(self.bubblewrap, ports));
                let reply = witness::owner(rest, owner);
                sys::fd::send(self.socket.as_fd(), &reply, &[])?;
            }
            Some(_) => return Err(io::ErrorKind::InvalidData.into()),
        }
        Ok(true)
    }

    /// Takes the next call that waits.
    fn hear(&mut self) -> io::Result<()> {
        let Some(listener) = &self.listener else {
            return Ok(());
        };
        let Some(call) = notify::receive(listener.as_fd())? else {
            return Ok(());
        };
        self.board.at_hand(Some((call.id, call.number)));
        // Where that fails, the note is what it leaves to the supervisor.
        self.answer(&call)?;
        self.board.at_hand(None);
        Ok(())
    }

    fn answer(&mut self, call: &Notification) -> io::Result<()> {
        let Some(listener) = &self.listener else {
            return Ok(());
        };
        let Some(watched) = watched::find(self.machine, call.number) else {
            // The one call that is answered here.
            let answer = self.connects.take(listener.as_fd(), call, &self.sight)?;
            self.board.waiting(self.connects.waiting());
            return match answer {
                Answer::Given => Ok(()),
                Answer::Denied(target) => {
                    let words = ["connect", explain::NO_RULE];
                    let message = message(Kind::Socket, call, words, &target);
                    notify::answer(listener.as_fd(), call.id, notify::DENIED)?;
                    sys::fd::send(self.socket.as_fd(), &message, &[])
                }
            };
        };
        // Before the call is made, for it may end its caller, or change what it is about.
        let denied = judge(&mut self.known, &self.sight, self.machine, call, watched);
        if !notify::go_on(listener.as_fd(), call.id)? {
            return Ok(());
        }
        if watched.makes_links() {
            self.known.forget();
        }
        for message in denied {
            sys::fd::send(self.socket.as_fd(), &message, &[])?;
        }
        Ok(())
    }
}

/// What there is to tell of a call that only goes on: its attempts that the policy
/// denies, and that could come to something without the sandbox.
fn judge(
    known: &mut Known,
    sight: &Sight,
    machine: Machine,
    call: &Notification,
    watched: &Watched,
) -> Vec<Vec<u8>> {
    let how = watched.flags_at(&call.arguments).and_then(|at| {
        let mut flags = [0; 8];
        let read = notify::read_memory(call.thread, at, &mut flags).ok()?;
        (read == flags.len()).then_some(u64::from_ne_bytes(flags))
    });
    let mut denied = Vec::new();
    for attempt in watched.attempts(machine, &call.arguments, how.unwrap_or(0)) {
        if !sight.looks_at(attempt.intent) {
            continue;
        }
        let Some(written) = Written::read(call.thread, &attempt) else {
            continue;
        };
        let target = known.target(&written, attempt, &sight.files);
        let (act, kind) = match attempt.intent {
            Intent::Read => (Act::Read, Kind::Read),
            Intent::Write => (Act::Write, Kind::Write),
        };
        let verdict = target.map(|target| {
            let decision = explain::file(&sight.files, act, &target);
            (decision, target)
        });
        if let Some((Decision::Denied(rule), target)) = verdict {
            if is_there(attempt.subject, &target) && sight.is_whole(call.thread) {
                denied.push(message(kind, call, [watched.name, &rule], &target));
            }
        }
    }
    denied
}

/// Whether what a call is about is such as it wants.
fn is_there(subject: Subject, target: &[u8]) -> bool {
    let found = fs::symlink_metadata(path(target)).ok();
    let above = || parent(target).is_some_and(|above| path(above).is_dir());
    if found.is_none() && !above() {
        // Nothing can be made in what is no directory.
        return false;
    }
    let directory = found.as_ref().is_some_and(fs::Metadata::is_dir);
    match subject {
        Subject::Present => found.is_some(),
        Subject::File => found.is_some() && !directory,
        Subject::Directory => directory,
        Subject::Absent => found.is_none(),
        Subject::NoDirectory => !directory,
        Subject::Any => true,
    }
}

fn message(kind: Kind, call: &Notification, words: [&str; 2], target: &[u8]) -> Vec<u8> {
    let program = owner::program(call.thread);
    let mut message = witness::seen(kind, call.thread, words, target, &program);
    message.truncate(OBSERVED_BYTES);
    message
}
