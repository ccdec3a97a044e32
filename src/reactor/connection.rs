//! One proxied connection: two sockets, a conversation, two pipes.
//!
//! Events only say that a side may be ready; a call that would block is what says
//! that it is not. `pump` runs until nothing moves, or its share of work is done.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::time::Instant;

use mio::net::TcpStream;

use crate::limits::READS_PER_EVENT;
use crate::parse::host::Target;
use crate::parse::http::Body;
use crate::policy::network::{Network, Reason};
use crate::proxy::conversation::{Action, Conversation, Event, Framing};
use crate::proxy::pipe::Pipe;

/// A socket and what is believed of its readiness.
pub struct Side {
    /// The socket.
    pub stream: TcpStream,
    /// A read may succeed.
    pub readable: bool,
    /// A write may succeed.
    pub writable: bool,
}

impl Side {
    /// A side of which nothing is known yet.
    pub fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            readable: false,
            writable: false,
        }
    }

    /// Reads; `None` when it would block.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.stream.read(buffer) {
                Ok(n) => return Ok(Some(n)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Ok(None);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Writes what the socket takes of `bytes`; gives how much that was.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while self.writable && sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => sent += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(sent)
    }
}

/// Where a connection stands.
pub enum Phase {
    /// The conversation reads the client and decides.
    Talking,
    /// A name is being looked up.
    Lookup(Target),
    /// A connect is under way; the addresses still to try.
    Dialing(Vec<IpAddr>, Target),
    /// Both ways.
    Relaying(Framing),
    /// The last reply is being flushed.
    Closing,
    /// Reading and dropping, so that the reply is not lost to a reset
    /// (RFC 9112, 9.6), until the client closes.
    Lingering,
}

/// What the loop must do for a connection after a pump.
#[derive(Debug)]
pub enum Need {
    /// Find and connect to this target.
    Dial(Target),
    /// Note a refusal.
    Report(Target, Reason),
    /// Pump again soon: the share of work is used up.
    Again,
    /// Give it the time a closing connection has.
    Linger,
    /// It is over.
    Finished,
}

/// The connection.
pub struct Connection {
    /// The command's side.
    pub client: Side,
    /// The other side, once a connect has begun.
    pub upstream: Option<Side>,
    /// Where it stands.
    pub phase: Phase,
    /// When patience ends, if it does.
    pub deadline: Option<Instant>,
    /// When dialling as a whole must be done.
    pub dial_by: Option<Instant>,
    conversation: Conversation,
    up: Pipe,
    down: Pipe,
}

impl Connection {
    /// A connection just accepted.
    pub fn new(stream: TcpStream, deadline: Instant) -> Self {
        Self {
            client: Side::new(stream),
            upstream: None,
            phase: Phase::Talking,
            deadline: Some(deadline),
            dial_by: None,
            conversation: Conversation::new(),
            up: Pipe::new(),
            down: Pipe::new(),
        }
    }

    /// Whether bytes from the command have yet to reach the other side.
    pub fn owes_upstream(&self) -> bool {
        matches!(self.phase, Phase::Relaying(_))
            && (!self.up.pending().is_empty() || self.client.readable)
    }

    /// Tells the conversation of an event and does what it answers.
    pub fn tell(&mut self, event: Event<'_>, network: &Network, needs: &mut Vec<Need>) {
        let mut actions = Vec::new();
        self.conversation.on(event, network, &mut actions);
        for action in actions {
            match action {
                Action::Dial(target) => {
                    self.phase = Phase::Lookup(target.clone());
                    needs.push(Need::Dial(target));
                }
                Action::Denied { target, reason } => needs.push(Need::Report(target, reason)),
                Action::Reply(bytes) => self.down.keep(&bytes),
                Action::Forward(bytes) => self.up.keep(&bytes),
                Action::Relay(framing) => {
                    self.phase = Phase::Relaying(framing);
                    self.deadline = None;
                }
                Action::Close => {
                    self.phase = Phase::Closing;
                    needs.push(Need::Linger);
                }
            }
        }
    }

    /// Moves everything that can be moved, through `buffer`.
    pub fn pump(&mut self, network: &Network, buffer: &mut [u8], needs: &mut Vec<Need>) {
        match self.pump_inner(network, buffer, needs) {
            Ok(()) => {}
            // A reset, or a peer that is gone: nobody is left to tell.
            Err(_) => needs.push(Need::Finished),
        }
    }

    fn pump_inner(
        &mut self,
        network: &Network,
        buffer: &mut [u8],
        needs: &mut Vec<Need>,
    ) -> io::Result<()> {
        let mut budget = READS_PER_EVENT;
        while matches!(self.phase, Phase::Talking) && self.client.readable {
            let room = self.conversation.wants().min(buffer.len());
            if room == 0 {
                break;
            }
            match self.client.read(&mut buffer[..room])? {
                None => break,
                Some(0) => self.tell(Event::ClientClosed, network, needs),
                Some(n) => self.tell(Event::Client(&buffer[..n]), network, needs),
            }
        }
        match &mut self.phase {
            Phase::Talking | Phase::Lookup(_) | Phase::Dialing(..) => {
                flush(&mut self.down, &mut self.client)
            }
            Phase::Relaying(framing) => {
                let Some(upstream) = &mut self.upstream else {
                    return Err(io::ErrorKind::NotConnected.into());
                };
                let request = match framing {
                    Framing::Tunnel => None,
                    Framing::Request(body) => Some(body),
                };
                let whole_request =
                    request.as_ref().is_some_and(|b| b.is_done()) && self.up.pending().is_empty();
                if !whole_request {
                    transfer(
                        &mut self.client,
                        upstream,
                        &mut self.up,
                        request,
                        buffer,
                        &mut budget,
                    )?;
                }
                transfer(
                    upstream,
                    &mut self.client,
                    &mut self.down,
                    None,
                    buffer,
                    &mut budget,
                )?;
                let tunnel = matches!(framing, Framing::Tunnel);
                if self.down.is_done() && (self.up.is_done() || !tunnel) {
                    needs.push(Need::Finished);
                } else if budget == 0 {
                    needs.push(Need::Again);
                }
                Ok(())
            }
            Phase::Closing => {
                flush(&mut self.down, &mut self.client)?;
                if self.down.pending().is_empty() {
                    self.upstream = None;
                    self.client.stream.shutdown(Shutdown::Write)?;
                    self.phase = Phase::Lingering;
                    return self.linger(buffer, needs);
                }
                Ok(())
            }
            Phase::Lingering => self.linger(buffer, needs),
        }
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

    /// Begins a connect to the next address, if one is left; `false` when none is.
    pub fn dial_next(&mut self) -> Option<TcpStream> {
        let Phase::Dialing(addresses, target) = &mut self.phase else {
            return None;
        };
        while !addresses.is_empty() {
            let ip = addresses.remove(0);
            if let Ok(stream) = TcpStream::connect(SocketAddr::new(ip, target.port)) {
                return Some(stream);
            }
        }
        None
    }
}

fn flush(pipe: &mut Pipe, to: &mut Side) -> io::Result<()> {
    let sent = to.write(pipe.pending())?;
    pipe.sent(sent);
    Ok(())
}

/// Moves bytes one way until one side would block or the budget is used up. A pipe
/// with anything pending is not read into: the reader waits for the writer.
fn transfer(
    from: &mut Side,
    to: &mut Side,
    pipe: &mut Pipe,
    mut body: Option<&mut Body>,
    buffer: &mut [u8],
    budget: &mut usize,
) -> io::Result<()> {
    flush(pipe, to)?;
    while pipe.pending().is_empty() && pipe.can_read() && from.readable && *budget > 0 {
        if body.as_ref().is_some_and(|b| b.is_done()) {
            break;
        }
        *budget -= 1;
        match from.read(buffer)? {
            None => break,
            Some(0) if body.is_some() => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(0) => pipe.finish(),
            Some(n) => {
                let belongs = match &mut body {
                    None => n,
                    Some(body) => body
                        .take(&buffer[..n])
                        .map_err(|_| io::ErrorKind::InvalidData)?,
                };
                let sent = to.write(&buffer[..belongs])?;
                pipe.keep(&buffer[sent..belongs]);
            }
        }
    }
    if pipe.wants_shutdown() {
        // A peer that is gone (ENOTCONN) needs no FIN, and what it sent before is
        // still to be passed on.
        let _ = to.stream.shutdown(Shutdown::Write);
        pipe.shutdown_done();
    }
    Ok(())
}
