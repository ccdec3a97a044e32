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
use super::unix::{Answer, Connects};
use super::witness::{self, LISTENER, WHO};
use crate::emit::seccomp::{self, Machine};
use crate::emit::watched::{self, Attempt, Intent, Subject, Watched};
use crate::limits::OBSERVED_BYTES;
use crate::policy::explain::{self, Act, Decision};
use crate::sys;
use crate::sys::notify::{self, Notification};
use crate::sys::process::Bound;
use crate::sys::sockets::{Readable, wait_either};
use crate::violation::Kind;

/// Plays the role until the supervisor closes `socket`; `policy` is a memory file. Both
/// are inherited.
///
/// # Errors
/// The request is not one, or the kernel gives nothing to listen to.
pub fn serve(socket: i32, policy: i32, bubblewrap: u32) -> io::Result<()> {
    let socket = sys::fd::inherited(socket)?;
    let sight = Sight::read(sys::fd::inherited(policy)?)?;
    let machine = machine().ok_or(io::ErrorKind::Unsupported)?;
    sys::seccomp::no_new_privs()?;
    sys::process::set_undumpable()?;
    sys::process::bound(Bound::Core, 0)?;
    let program = seccomp::only(machine, &sys::own_calls::observers());
    let program: Vec<_> = program.iter().map(super::inner::sock_filter).collect();
    sys::seccomp::load(&program)?;
    Observer {
        socket,
        sight,
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
                self.connects.again(listener.as_fd())?;
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
        let Some(watched) = watched::find(self.machine, call.number) else {
            // The one call that is answered here.
            return match self.connects.take(listener.as_fd(), &call, &self.sight)? {
                Answer::Given => Ok(()),
                Answer::Denied(target) => {
                    let rule = explain::NO_RULE;
                    self.tell(Kind::Socket, &call, "connect", &target, rule)
                }
            };
        };
        let seen = self.look(&call, watched);
        // Its caller does not wait for what follows.
        if !notify::go_on(listener.as_fd(), call.id)? {
            return Ok(());
        }
        for (attempt, written) in seen {
            self.judge(&call, watched.name, attempt, &written)?;
        }
        if watched.makes_links() {
            self.known.forget();
        }
        Ok(())
    }

    /// Reads what the call is about, as long as its caller waits.
    fn look(&self, call: &Notification, watched: &Watched) -> Vec<(Attempt, Written)> {
        let how = watched.flags_at(&call.arguments).and_then(|at| {
            let mut flags = [0; 8];
            let read = notify::read_memory(call.thread, at, &mut flags).ok()?;
            (read == flags.len()).then_some(u64::from_ne_bytes(flags))
        });
        let attempts = watched.attempts(self.machine, &call.arguments, how.unwrap_or(0));
        let wanted = |attempt: &Attempt| match attempt.intent {
            Intent::Write => true,
            Intent::Read => self.sight.reads(),
        };
        let attempts = attempts.into_iter().filter(wanted);
        let read = |attempt: Attempt| Some((attempt, Written::read(call.thread, &attempt)?));
        attempts.filter_map(read).collect()
    }

    /// Tells of an attempt on the path `written`, if the policy denies it and it could
    /// have come to something without the sandbox.
    fn judge(
        &mut self,
        call: &Notification,
        action: &str,
        attempt: Attempt,
        written: &Written,
    ) -> io::Result<()> {
        let Some(target) = self.known.target(written, attempt, &self.sight.files) else {
            return Ok(());
        };
        let (act, kind) = match attempt.intent {
            Intent::Read => (Act::Read, Kind::Read),
            Intent::Write => (Act::Write, Kind::Write),
        };
        let Decision::Denied(rule) = explain::file(&self.sight.files, act, &target) else {
            return Ok(());
        };
        let there = fs::symlink_metadata(path(&target)).is_ok();
        let matters = match attempt.subject {
            Subject::Present => there,
            Subject::Absent => !there,
            Subject::Any => true,
        };
        if matters && self.sight.is_whole(call.thread) {
            self.tell(kind, call, action, &target, &rule)?;
        }
        Ok(())
    }

    fn tell(
        &self,
        kind: Kind,
        call: &Notification,
        action: &str,
        target: &[u8],
        rule: &str,
    ) -> io::Result<()> {
        let program = owner::program(call.thread);
        let mut message = witness::seen(kind, call.thread, [action, rule], target, &program);
        message.truncate(OBSERVED_BYTES);
        sys::fd::send(self.socket.as_fd(), &message, &[])
    }
}
