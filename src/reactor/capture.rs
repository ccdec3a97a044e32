//! Capture in the loop: what an accepted connection was meant for, and DNS questions.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use mio::Interest;
use mio::net::TcpStream;
use mio::unix::SourceFd;

use super::Reactor;
use super::connection::{Need, Rules};
use super::runs::{Run, next_place, place};
use super::token::{Key, Slot};
use crate::limits::{QUESTION_BYTES, QUESTIONS_PER_TURN};
use crate::proxy::conversation::Event;
use crate::proxy::names::Meant;
use crate::proxy::responder::{Answered, answer};
use crate::sys;

/// A UDP socket on which DNS questions come.
pub(super) struct Questions {
    socket: OwnedFd,
    pub(super) run: Run,
    /// There may be one.
    pub(super) waiting: bool,
}

impl Reactor {
    /// Answers the DNS questions that come to a UDP socket, of whatever network namespace
    /// (made by [`sys::datagrams::listen`]).
    ///
    /// # Errors
    /// It cannot be made non-blocking or polled.
    pub fn answer_on(&mut self, run: Run, socket: OwnedFd) -> io::Result<()> {
        sys::fd::set_nonblocking(socket.as_fd())?;
        let token = Key::Questions(next_place(&self.questions)).token();
        self.poll.registry().register(
            &mut SourceFd(&socket.as_raw_fd()),
            token,
            Interest::READABLE,
        )?;
        let questions = Questions {
            socket,
            run,
            waiting: true,
        };
        place(&mut self.questions, questions);
        Ok(())
    }

    /// What a connection was meant for that has been captured.
    pub(super) fn meant(&mut self, run: Run, stream: &TcpStream) -> Option<Meant> {
        let reached = stream.local_addr().ok()?;
        let names = self.names.entry(run).or_default();
        Some(names.meant(reached.ip(), reached.port()))
    }

    /// Answers some of the questions that wait on every socket.
    pub(super) fn answer_questions(&mut self) {
        for n in 0..self.questions.len() {
            for _ in 0..QUESTIONS_PER_TURN {
                if !self.answer_one(n) {
                    break;
                }
            }
        }
    }

    /// Answers one question of socket `n`; whether there may be another.
    fn answer_one(&mut self, n: usize) -> bool {
        let Some(Some(Questions {
            socket,
            run,
            waiting,
        })) = self.questions.get_mut(n)
        else {
            return false;
        };
        let run = *run;
        if !*waiting {
            return false;
        }
        let mut message = [0u8; QUESTION_BYTES];
        match sys::datagrams::receive(socket.as_fd(), &mut message) {
            Ok((length, back)) => {
                if let Some(answer) = self.answer_message(run, &message[..length]) {
                    if let Some(Some(one)) = self.questions.get(n) {
                        // Where there is no room for it, the asker asks again.
                        let _ = sys::datagrams::send_back(one.socket.as_fd(), &answer, &back);
                    }
                }
                true
            }
            // A message that is none.
            Err(e) if e.kind() == io::ErrorKind::InvalidData => true,
            // There is none; or what the next event will find again.
            Err(_) => {
                *waiting = false;
                false
            }
        }
    }

    fn answer_message(&mut self, run: Run, message: &[u8]) -> Option<Vec<u8>> {
        let names = self.names.entry(run).or_default();
        let Answered { bytes, refused } = answer(message, &self.network, names)?;
        let refused = refused.into_iter();
        self.unnamed
            .extend(refused.map(|(name, reason)| (run, name, reason)));
        Some(bytes)
    }

    /// Answers a question of a connection; what that then needs.
    pub(super) fn answer_on_stream(&mut self, slot: Slot, message: &[u8]) -> Vec<Need> {
        let run = self.table.get(slot).map_or(Run::default(), |c| c.run);
        let answer = self.answer_message(run, message);
        let mut needs = Vec::new();
        if let Some(connection) = self.table.get(slot) {
            let before = connection.deadline;
            let answer = Event::Answer(answer.as_deref());
            let rules = Rules {
                network: &self.network,
                names: self.names.entry(run).or_default(),
            };
            connection.tell(answer, rules, &mut needs);
            connection.pump(rules, &mut self.buffer, &mut needs);
            self.sync_deadline(slot, before);
        }
        needs
    }
}
