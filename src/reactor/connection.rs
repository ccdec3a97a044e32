//! One proxied connection: two sockets, a conversation, two pipes.
//!
//! `pump` runs until nothing moves, or its share of work is done.

use std::io;
use std::time::Instant;

use super::attempts::Attempts;
use super::lane::{Lane, Said, Way, flush, relay_body, tunnel};
use super::runs::Run;
use super::stream::Side;
use crate::limits::READS_PER_EVENT;
use crate::parse::host::Target;
use crate::policy::network::{Network, Reason};
use crate::proxy::conversation::{Action, Conversation, Event, Hop, Mode};
use crate::proxy::names::Names;
use crate::proxy::pipe::Pipe;

/// Where a connection stands.
#[derive(Debug)]
pub enum Phase {
    /// The modes of its lanes say what happens.
    Open,
    /// The addresses to connect to are being found.
    Lookup(Hop),
    /// Connects are under way.
    Dialing(Attempts),
    /// The last reply is being flushed.
    Closing,
    /// Reading and dropping, so that the reply is not lost to a reset
    /// (RFC 9112, 9.6), until the client closes.
    Lingering,
}

/// What the loop must do for a connection after a pump.
#[derive(Debug)]
pub enum Need {
    /// Connect.
    Dial(Hop),
    /// Tell of a destination that no rule allows.
    Tell(Target, Reason, Outcome),
    /// Answer a DNS message.
    Ask(Vec<u8>),
    /// Have somebody decide.
    Decide(Target),
    /// Pump again soon: the share of work is used up.
    Again,
    /// It is over.
    Finished,
}

/// What became of a destination that no rule allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was refused.
    Denied,
    /// It was let through, to be learned.
    Learned,
}

/// Whether a refusal may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// Yes.
    No,
    /// Not before it is known who asked: with the answer, they may be gone.
    Reply,
    /// Nor may it be closed.
    Close,
}

/// What a connection is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The policy.
    pub network: &'a Network,
    /// What addresses of capture's stand for.
    pub names: &'a Names,
}

/// The connection.
#[derive(Debug)]
pub struct Connection {
    /// The command's side.
    pub client: Side,
    /// The other side, once it is connected.
    pub upstream: Option<Side>,
    /// Where it stands.
    pub phase: Phase,
    /// When patience ends, if it does.
    pub deadline: Option<Instant>,
    /// The run that it belongs to.
    pub run: Run,
    conversation: Conversation,
    /// The turn of the conversation that `deadline` belongs to.
    turn: Option<u32>,
    held: Held,
    up: Lane,
    down: Lane,
}

impl Connection {
    /// A connection just accepted, of this run.
    pub fn new(client: Side, conversation: Conversation, run: Run) -> Self {
        let mut connection = Self {
            client,
            upstream: None,
            phase: Phase::Open,
            deadline: None,
            run,
            conversation,
            turn: None,
            held: Held::No,
            up: Lane::new(Mode::Talk),
            down: Lane::new(Mode::Wait),
        };
        connection.be_patient();
        connection
    }

    /// Where it leads, if the policy has allowed that.
    pub fn toward(&self) -> Option<&Target> {
        self.conversation.toward()
    }

    /// Whether somebody is to decide on it.
    pub fn is_asking(&self) -> bool {
        self.conversation.is_asking()
    }

    /// Whether bytes from the command have yet to reach the other side.
    pub fn owes_upstream(&self) -> bool {
        let relays = matches!(self.up.mode, Mode::Relay(_) | Mode::Tunnel);
        self.upstream.is_some()
            && (!self.up.pipe.pending().is_empty()
                // Behind the end nothing comes.
                || relays && self.client.readable && self.up.pipe.can_read())
    }

    fn be_patient(&mut self) {
        let (turn, longest) = self.conversation.patience();
        if self.turn != Some(turn) {
            self.turn = Some(turn);
            self.deadline = longest.map(|longest| Instant::now() + longest);
        }
    }

    /// Tells the conversation of an event and does what it answers.
    pub fn tell(&mut self, event: Event<'_>, rules: Rules<'_>, needs: &mut Vec<Need>) {
        let mut actions = Vec::new();
        self.conversation
            .on(event, rules.network, rules.names, &mut actions);
        self.be_patient();
        for action in actions {
            match action {
                Action::Question { target } => needs.push(Need::Decide(target)),
                Action::Dial(hop) => {
                    self.phase = Phase::Lookup(hop.clone());
                    needs.push(Need::Dial(hop));
                }
                Action::Denied { target, reason } => {
                    self.held = Held::Reply;
                    needs.push(Need::Tell(target, reason, Outcome::Denied));
                }
                Action::Learned { target, reason } => {
                    needs.push(Need::Tell(target, reason, Outcome::Learned));
                }
                Action::Reply(bytes) => self.down.pipe.keep(&bytes),
                Action::Forward(bytes) => self.up.pipe.keep(&bytes),
                Action::FromClient(mode) => self.up.mode = mode,
                Action::FromUpstream(mode) => self.down.mode = mode,
                Action::Hangup => {
                    self.upstream = None;
                    self.down.mode = Mode::Wait;
                    self.up.pipe = Pipe::new();
                }
                Action::Close => {
                    self.phase = Phase::Closing;
                    (self.up.mode, self.down.mode) = (Mode::Wait, Mode::Wait);
                }
                Action::Ask(message) => needs.push(Need::Ask(message)),
                Action::Reset => {
                    // One that cannot be reset is closed.
                    let _ = self.client.stream.reset_on_close();
                    self.abort(needs);
                }
                Action::Abort => self.abort(needs),
            }
        }
    }

    /// Closes at once, unless a refusal has yet to be told.
    fn abort(&mut self, needs: &mut Vec<Need>) {
        if self.held == Held::Reply {
            self.held = Held::Close;
            self.phase = Phase::Closing;
            (self.up.mode, self.down.mode) = (Mode::Wait, Mode::Wait);
        } else {
            needs.push(Need::Finished);
        }
    }

    /// The refusal has been told; says whether the connection is over with that.
    pub fn release(&mut self) -> bool {
        std::mem::replace(&mut self.held, Held::No) == Held::Close
    }

    /// Moves everything that can be moved, through `buffer`.
    pub fn pump(&mut self, rules: Rules<'_>, buffer: &mut [u8], needs: &mut Vec<Need>) {
        // A reset, or a peer that is gone: nobody is left to tell.
        if self.pump_inner(rules, buffer, needs).is_err() {
            needs.push(Need::Finished);
        }
    }

    fn pump_inner(
        &mut self,
        rules: Rules<'_>,
        buffer: &mut [u8],
        needs: &mut Vec<Need>,
    ) -> io::Result<()> {
        let mut budget = READS_PER_EVENT;
        loop {
            match self.phase {
                Phase::Closing if self.held != Held::No => return Ok(()),
                Phase::Closing => return self.flush_and_close(buffer, needs),
                Phase::Lingering => return self.linger(buffer, needs),
                Phase::Open | Phase::Lookup(_) | Phase::Dialing(_) => {}
            }
            let up = self.lane(Way::Up, buffer, &mut budget)?;
            let mut told = self.pass_on(Way::Up, up, buffer, rules, needs);
            let down = self.lane(Way::Down, buffer, &mut budget)?;
            told |= self.pass_on(Way::Down, down, buffer, rules, needs);
            if needs.iter().any(|need| matches!(need, Need::Finished)) {
                return Ok(());
            }
            if self.up.is_done() && self.down.is_done() {
                needs.push(Need::Finished);
                return Ok(());
            }
            if budget == 0 {
                needs.push(Need::Again);
                return Ok(());
            }
            if !told {
                return Ok(());
            }
        }
    }

    /// Moves one direction as far as it goes without the conversation.
    fn lane(&mut self, way: Way, buffer: &mut [u8], budget: &mut usize) -> io::Result<Said> {
        if self.held != Held::No {
            return Ok(Said::Nothing);
        }
        let room = match way {
            Way::Up => self.conversation.wants(),
            Way::Down => self.conversation.wants_answer(),
        };
        let (from, to, lane) = match way {
            Way::Up => (Some(&mut self.client), self.upstream.as_mut(), &mut self.up),
            Way::Down => (
                self.upstream.as_mut(),
                Some(&mut self.client),
                &mut self.down,
            ),
        };
        let mut to = to;
        if let Some(to) = to.as_deref_mut() {
            flush(&mut lane.pipe, to)?;
        }
        let Some(from) = from else {
            return Ok(Said::Nothing);
        };
        match (&mut lane.mode, to) {
            (Mode::Wait, _) => Ok(Said::Nothing),
            (Mode::Talk, _) => {
                let room = room.min(buffer.len());
                if room == 0 || !from.readable || *budget == 0 {
                    return Ok(Said::Nothing);
                }
                *budget -= 1;
                let said = match from.read(&mut buffer[..room]) {
                    Ok(None) => Said::Nothing,
                    Ok(Some(n)) if n > 0 => Said::Bytes(0, n),
                    // What ends in a reset ends.
                    Ok(Some(_)) | Err(_) => Said::Closed,
                };
                if matches!(said, Said::Closed) {
                    lane.mode = Mode::Wait;
                }
                Ok(said)
            }
            (Mode::Relay(_) | Mode::Tunnel, None) => Err(io::ErrorKind::NotConnected.into()),
            (Mode::Relay(_), Some(to)) => relay_body(from, to, lane, buffer, budget),
            (Mode::Tunnel, Some(to)) => {
                tunnel(from, to, &mut lane.pipe, buffer, budget)?;
                Ok(Said::Nothing)
            }
        }
    }

    /// Tells the conversation what a lane had to say; whether there was anything.
    fn pass_on(
        &mut self,
        way: Way,
        said: Said,
        buffer: &[u8],
        rules: Rules<'_>,
        needs: &mut Vec<Need>,
    ) -> bool {
        let bytes = |from: usize, to: usize| buffer.get(from..to).unwrap_or_default();
        let of = |bytes| match way {
            Way::Up => Event::Client(bytes),
            Way::Down => Event::Upstream(bytes),
        };
        match said {
            Said::Nothing => return false,
            Said::Bytes(from, to) => self.tell(of(bytes(from, to)), rules, needs),
            Said::Done(from, to) => {
                // What comes behind a response is nobody's; behind a request, the next.
                if way == Way::Up && from < to {
                    self.tell(of(bytes(from, to)), rules, needs);
                }
                let done = match way {
                    Way::Up => Event::ClientDone,
                    Way::Down => Event::UpstreamDone,
                };
                self.tell(done, rules, needs);
            }
            Said::Closed => {
                let closed = match way {
                    Way::Up => Event::ClientClosed,
                    Way::Down => Event::UpstreamClosed,
                };
                self.tell(closed, rules, needs);
            }
        }
        true
    }

    fn flush_and_close(&mut self, buffer: &mut [u8], needs: &mut Vec<Need>) -> io::Result<()> {
        flush(&mut self.down.pipe, &mut self.client)?;
        if !self.down.pipe.pending().is_empty() {
            return Ok(());
        }
        self.upstream = None;
        self.client.stream.shutdown()?;
        self.phase = Phase::Lingering;
        self.linger(buffer, needs)
    }

    fn linger(&mut self, buffer: &mut [u8], needs: &mut Vec<Need>) -> io::Result<()> {
        let mut budget = READS_PER_EVENT;
        while self.client.readable {
            if budget == 0 {
                needs.push(Need::Again);
                break;
            }
            budget -= 1;
            if self.client.read(buffer)? == Some(0) {
                needs.push(Need::Finished);
                break;
            }
        }
        Ok(())
    }
}
