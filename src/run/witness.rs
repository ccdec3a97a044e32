//! The supervisor's side of the observer: what it is given, what it says, and what is
//! done without it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::sight::Sight;
use crate::emit::watched;
use crate::limits::{OBSERVED_BYTES, WITNESS};
use crate::parse::settings::{Looks, UnixSockets};
use crate::policy::Policy;
use crate::reactor::token::Slot;
use crate::sys;
use crate::sys::notify;
use crate::sys::process::Orphaned;
use crate::sys::shared::{self, Board};
use crate::violation::{Kind, Process};

/// To the observer: the listener comes with it.
pub const LISTENER: u8 = b'L';
/// To the observer: who has this connection? From it: they do.
pub const WHO: u8 = b'W';
/// From the observer: an attempt that the policy denies.
const SEEN: u8 = b'S';

/// The message about an attempt: texts that hold no NUL, parted by it.
pub fn seen(
    kind: Kind,
    pid: u32,
    [action, rule]: [&str; 2],
    target: &[u8],
    program: &[u8],
) -> Vec<u8> {
    let place = Kind::ALL.iter().zip(0u8..).find(|(k, _)| **k == kind);
    let mut out = vec![SEEN, place.map_or(u8::MAX, |(_, place)| place)];
    out.extend(pid.to_le_bytes());
    out.extend([action.as_bytes(), program, rule.as_bytes(), target].join(&0));
    out
}

/// Reads a question back: its number, and the connection's ports.
pub fn asked(bytes: &[u8]) -> Option<(u32, (u16, u16))> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    let (own, rest) = rest.split_first_chunk::<2>()?;
    let other = rest.first_chunk::<2>()?;
    let ports = (u16::from_le_bytes(*own), u16::from_le_bytes(*other));
    Some((u32::from_le_bytes(*number), ports))
}

/// The answer to a question; nobody's number is 0.
pub fn owner(question: &[u8], owner: Option<(u32, Vec<u8>)>) -> Vec<u8> {
    let (pid, program) = owner.unwrap_or_default();
    let number = question.get(..4).unwrap_or_default();
    [&[WHO][..], number, &pid.to_le_bytes(), &program].concat()
}

/// What the observer has said.
pub enum Heard {
    /// The owner of a connection that was asked for.
    Owner(u32, Option<Process>),
    /// An attempt that the policy denies.
    Attempt {
        /// What it was.
        kind: Kind,
        /// The system call.
        action: String,
        /// The rule that denies it.
        rule: String,
        /// What it was about.
        target: Vec<u8>,
        /// Who made it.
        process: Process,
    },
}

/// Reads a message of the observer's; `None` if it is none.
pub fn heard(message: &[u8]) -> Option<Heard> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (what, rest) = message.split_first()?;
    match *what {
        WHO => {
            let (number, rest) = rest.split_first_chunk::<4>()?;
            let (pid, program) = rest.split_first_chunk::<4>()?;
            let pid = u32::from_le_bytes(*pid);
            let process = (pid != 0).then(|| Process {
                pid,
                program: text(program),
            });
            Some(Heard::Owner(u32::from_le_bytes(*number), process))
        }
        SEEN => {
            let (kind, rest) = rest.split_first()?;
            let (pid, rest) = rest.split_first_chunk::<4>()?;
            let mut texts = rest.splitn(4, |&b| b == 0);
            let (action, program) = (text(texts.next()?), text(texts.next()?));
            Some(Heard::Attempt {
                kind: *Kind::ALL.get(usize::from(*kind))?,
                action,
                process: Process {
                    pid: u32::from_le_bytes(*pid),
                    program,
                },
                rule: text(texts.next()?),
                target: texts.next()?.to_vec(),
            })
        }
        _ => None,
    }
}

/// The observer, as the supervisor knows it.
pub struct Witness {
    child: Child,
    socket: OwnedFd,
    /// What it has heard of and not answered.
    board: Board,
    /// Whether some calls are not only observed.
    decides: Looks,
    /// Kept, for the case that the observer is gone.
    listener: Option<OwnedFd>,
    /// Refused connections whose owner was asked for, and until when they wait.
    asked: Vec<(u32, Slot, Instant)>,
    next: u32,
    gone: bool,
}

impl Witness {
    /// Starts an observer of the sandbox below this bubblewrap.
    ///
    /// # Errors
    /// The kernel gives no process or descriptor.
    pub fn start(program: &Path, policy: &Policy, bubblewrap: u32) -> io::Result<Self> {
        let (socket, theirs) = sys::fd::packet_pair()?;
        sys::fd::set_nonblocking(socket.as_fd())?;
        let sight = sys::fd::memfd(c"srt-sight", &Sight::encode(policy))?;
        let page = shared::page()?;
        let board = Board::map(page.as_fd())?;
        let mut helper = Command::new(program);
        helper
            .args(["--stage", "observe"])
            .args([&theirs, &sight, &page].map(|fd| fd.as_raw_fd().to_string()))
            .arg(bubblewrap.to_string())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let kept = [&theirs, &sight, &page].map(|fd| fd.as_raw_fd()).into();
        sys::process::confine_spawn(&mut helper, kept, Orphaned::Killed);
        Ok(Self {
            child: helper.spawn()?,
            socket,
            board,
            decides: match policy.unix_sockets {
                UnixSockets::Listed => Looks::Yes,
                UnixSockets::None | UnixSockets::All => Looks::No,
            },
            listener: None,
            asked: Vec::new(),
            next: 0,
            gone: false,
        })
    }

    /// What to watch to hear it.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// What to watch where it does not do so any more.
    pub fn listener(&self) -> Option<BorrowedFd<'_>> {
        self.listener
            .as_ref()
            .filter(|_| self.gone)
            .map(AsFd::as_fd)
    }

    /// Gives it the listener.
    pub fn give(&mut self, listener: OwnedFd) {
        if sys::fd::send(self.socket(), &[LISTENER], &[listener.as_fd()]).is_err() {
            self.gone = true;
        }
        self.listener = Some(listener);
    }

    /// Asks who has the connection with these ports; `false` if nobody can say.
    pub fn ask(&mut self, slot: Slot, (own, other): (u16, u16)) -> bool {
        if self.gone {
            return false;
        }
        self.next = self.next.wrapping_add(1);
        let mut message = vec![WHO];
        message.extend(self.next.to_le_bytes());
        message.extend(own.to_le_bytes());
        message.extend(other.to_le_bytes());
        let sent = sys::fd::send(self.socket(), &message, &[]).is_ok();
        if sent {
            self.asked.push((self.next, slot, Instant::now() + WITNESS));
        }
        sent
    }

    /// The connection that a question was about.
    pub fn take(&mut self, number: u32) -> Option<Slot> {
        let at = self.asked.iter().position(|(n, ..)| *n == number)?;
        Some(self.asked.swap_remove(at).1)
    }

    /// Connections that have waited long enough, or in vain.
    pub fn overdue(&mut self) -> Vec<Slot> {
        let now = Instant::now();
        let mut over = Vec::new();
        self.asked.retain(|(_, slot, until)| {
            let stays = !self.gone && *until > now;
            if !stays {
                over.push(*slot);
            }
            stays
        });
        over
    }

    /// When the first of them will have.
    pub fn next_due(&self) -> Option<Instant> {
        self.asked.iter().map(|(.., until)| *until).min()
    }

    /// The next thing it has said; `None` if that is all. An observer that ends, or says
    /// what it should not, is gone.
    pub fn hear(&mut self) -> Option<Heard> {
        let mut buffer = [0; OBSERVED_BYTES];
        if self.gone {
            return None;
        }
        match sys::fd::receive(self.socket(), &mut buffer) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => None,
            Ok((length, _)) if length > 0 => {
                let heard = buffer.get(..length).and_then(heard);
                self.gone = heard.is_none();
                heard
            }
            Ok(_) | Err(_) => {
                self.gone = true;
                None
            }
        }
    }

    /// Nobody calls any more: the observer is to say what it has still to say, and to end.
    pub fn finish(&self) {
        // One that is gone has said all.
        let _ = sys::fd::stop_sending(self.socket());
    }

    /// Waits until it says something more; `false` if it has nothing to say by `until`.
    pub fn wait(&self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        !self.gone && sys::fd::wait_readable_for(self.socket(), left).is_ok()
    }

    /// Whether the observer is there no more.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// Answers the next call in the observer's place: what is only observed goes on, and
    /// nothing else does.
    ///
    /// # Errors
    /// The listener is broken.
    pub fn answer_alone(&self) -> io::Result<()> {
        let Some(listener) = self.listener() else {
            return Ok(());
        };
        let Some(call) = notify::receive(listener)? else {
            return Ok(());
        };
        if self.board.last().is_none() {
            // The very first call may have been the one.
            self.answer_unknown(call.id.wrapping_sub(1))?;
        }
        self.answer(call.id, call.number)
    }

    /// The same for all that it had heard of when it ended: the kernel tells nobody else.
    ///
    /// # Errors
    /// The listener is broken.
    pub fn answer_what_was_left(&self) -> io::Result<()> {
        for (id, number) in self.board.read() {
            self.answer(id, number)?;
        }
        // It may have ended before it could note a call: ids are counted (linux/seccomp.h).
        match self.board.last() {
            Some(last) => self.answer_unknown(last.wrapping_add(1)),
            None => Ok(()),
        }
    }

    /// Answers a call of which nothing is known but its id, if the observer had heard of it.
    fn answer_unknown(&self, id: u64) -> io::Result<()> {
        let Some(listener) = self.listener() else {
            return Ok(());
        };
        match self.decides {
            Looks::No => notify::go_on(listener, id),
            Looks::Yes => notify::answer(listener, id, notify::REFUSED),
        }
        .map(drop)
    }

    fn answer(&self, id: u64, number: u32) -> io::Result<()> {
        let (Some(listener), Some(machine)) = (self.listener(), super::plan::machine()) else {
            return Ok(());
        };
        match watched::find(machine, number) {
            Some(_) => notify::go_on(listener, id),
            None => notify::answer(listener, id, notify::DENIED),
        }
        .map(drop)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.child.kill();
        // Reaped, so that nothing of ours is left when we end.
        let _ = self.child.wait();
    }
}
