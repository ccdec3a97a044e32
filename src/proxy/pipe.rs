//! One direction of a relay: what the reader gave and the writer has not taken yet,
//! and how far its end has come (RFC 9293, 3.6: a half-closed connection).

/// How far the direction's end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Bytes may still come.
    Running,
    /// The reader has seen the end; pending bytes go first.
    ShuttingDown,
    /// The writer has been shut down.
    Done,
}

/// One direction. It holds memory only while something is pending.
#[derive(Debug)]
pub struct Pipe {
    state: State,
    bytes: Vec<u8>,
    start: usize,
}

impl Default for Pipe {
    fn default() -> Self {
        Self::new()
    }
}

impl Pipe {
    /// An open direction with nothing pending.
    pub fn new() -> Self {
        Self {
            state: State::Running,
            bytes: Vec::new(),
            start: 0,
        }
    }

    /// What the writer has yet to take.
    pub fn pending(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Keeps what the writer did not take, behind what is pending already.
    pub fn keep(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The writer took `count` of the pending bytes.
    pub fn sent(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.bytes.len());
        if self.start == self.bytes.len() {
            // An idle connection is to cost nothing.
            self.bytes = Vec::new();
            self.start = 0;
        }
    }

    /// The reader has seen the end.
    pub fn finish(&mut self) {
        if self.state == State::Running {
            self.state = State::ShuttingDown;
        }
    }

    /// Whether the reader may bring more.
    pub fn can_read(&self) -> bool {
        self.state == State::Running
    }

    /// Whether everything is written, and the writer is to be shut down.
    pub fn wants_shutdown(&self) -> bool {
        self.state == State::ShuttingDown && self.pending().is_empty()
    }

    /// The writer has been shut down.
    pub fn shutdown_done(&mut self) {
        self.state = State::Done;
    }

    /// Whether nothing more will happen here.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }
}
