//! A connected socket of either kind, and what is believed of its readiness.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use crate::sys;

/// A stream socket.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

impl Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    /// Sends the end of our side.
    pub fn shutdown(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    /// Makes the close to come a reset, where the peer takes the connection for one to
    /// somebody who is not to be reached.
    ///
    /// # Errors
    /// The kernel's.
    pub fn reset_on_close(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => sys::fd::reset_on_close(stream.as_fd()),
            Self::Unix(_) => Ok(()),
        }
    }

    /// The ports of the peer and of this side; a Unix socket has none.
    pub fn ports(&self) -> Option<(u16, u16)> {
        match self {
            Self::Tcp(stream) => {
                let (peer, own) = (stream.peer_addr().ok()?, stream.local_addr().ok()?);
                Some((peer.port(), own.port()))
            }
            Self::Unix(_) => None,
        }
    }

    /// How a connect that was begun stands.
    pub fn connected(&self) -> Connect {
        let (error, peer) = match self {
            Self::Tcp(stream) => (stream.take_error(), stream.peer_addr().map(drop)),
            Self::Unix(stream) => (stream.take_error(), stream.peer_addr().map(drop)),
        };
        match (error, peer) {
            (Ok(None), Ok(())) => {
                if let Self::Tcp(stream) = self {
                    // Latency only: a kernel that refuses it still relays.
                    let _ = stream.set_nodelay(true);
                }
                Connect::Stands
            }
            (Ok(None), Err(e)) if e.kind() == io::ErrorKind::NotConnected => Connect::Waiting,
            _ => Connect::Failed,
        }
    }
}

/// How a connect stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connect {
    /// Nothing is known yet.
    Waiting,
    /// It stands.
    Stands,
    /// It has failed.
    Failed,
}

impl Source for Stream {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.register(registry, token, interest),
            Self::Unix(stream) => stream.register(registry, token, interest),
        }
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.reregister(registry, token, interest),
            Self::Unix(stream) => stream.reregister(registry, token, interest),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.deregister(registry),
            Self::Unix(stream) => stream.deregister(registry),
        }
    }
}

/// A socket and what is believed of its readiness: an event says that a call may
/// succeed, and only a call that would block says that it does not.
#[derive(Debug)]
pub struct Side {
    /// The socket.
    pub stream: Stream,
    /// A read may succeed.
    pub readable: bool,
    /// A write may succeed.
    pub writable: bool,
}

impl Side {
    /// A side of which nothing is known yet.
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            readable: false,
            writable: false,
        }
    }

    /// Takes in a readiness event.
    pub fn mark(&mut self, event: &mio::event::Event) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
    }

    /// Reads; `None` when it would block.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
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
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
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
