//! One direction of a connection, and how its bytes move.

use std::io;

use super::stream::Side;
use crate::proxy::conversation::Mode;
use crate::proxy::pipe::Pipe;

/// One direction.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) mode: Mode,
    pub(super) pipe: Pipe,
}

impl Lane {
    pub(super) fn new(mode: Mode) -> Self {
        Self {
            mode,
            pipe: Pipe::new(),
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.mode == Mode::Tunnel && self.pipe.is_done()
    }
}

/// Which direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Up,
    Down,
}

/// What a lane has to tell the conversation.
pub(super) enum Said {
    /// Nothing more for now.
    Nothing,
    /// This many bytes of the buffer, from the second number on.
    Bytes(usize, usize),
    /// A body is whole; behind it, this part of the buffer.
    Done(usize, usize),
    /// The end, too early.
    Closed,
}

pub(super) fn flush(pipe: &mut Pipe, to: &mut Side) -> io::Result<()> {
    let sent = to.write(pipe.pending())?;
    pipe.sent(sent);
    Ok(())
}

/// Whether a pipe may be read into: the reader waits for the writer.
fn may_read(pipe: &Pipe, from: &Side, budget: usize) -> bool {
    pipe.pending().is_empty() && pipe.can_read() && from.readable && budget > 0
}

/// Moves what belongs to a body.
pub(super) fn relay_body(
    from: &mut Side,
    to: &mut Side,
    lane: &mut Lane,
    buffer: &mut [u8],
    budget: &mut usize,
) -> io::Result<Said> {
    while may_read(&lane.pipe, from, *budget) {
        let Mode::Relay(body) = &mut lane.mode else {
            break;
        };
        *budget -= 1;
        let n = match from.read(buffer)? {
            None => break,
            Some(n) => n,
        };
        if n == 0 {
            let endless = *body == crate::parse::body::Body::Endless;
            lane.mode = Mode::Wait;
            return Ok(if endless {
                Said::Done(0, 0)
            } else {
                Said::Closed
            });
        }
        let belongs = body
            .take(&buffer[..n])
            .map_err(|_| io::ErrorKind::InvalidData)?;
        let done = body.is_done();
        let sent = to.write(&buffer[..belongs])?;
        lane.pipe.keep(&buffer[sent..belongs]);
        if !done && belongs < n {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if done {
            lane.mode = Mode::Wait;
            return Ok(Said::Done(belongs, n));
        }
    }
    Ok(Said::Nothing)
}

/// Moves everything, and the end behind it.
pub(super) fn tunnel(
    from: &mut Side,
    to: &mut Side,
    pipe: &mut Pipe,
    buffer: &mut [u8],
    budget: &mut usize,
) -> io::Result<()> {
    while may_read(pipe, from, *budget) {
        *budget -= 1;
        match from.read(buffer)? {
            None => break,
            Some(0) => pipe.finish(),
            Some(n) => {
                let sent = to.write(&buffer[..n])?;
                pipe.keep(&buffer[sent..n]);
            }
        }
    }
    if pipe.wants_shutdown() {
        // A peer that is gone (ENOTCONN) needs no FIN, and what it sent before is
        // still to be passed on.
        let _ = to.stream.shutdown();
        pipe.shutdown_done();
    }
    Ok(())
}
