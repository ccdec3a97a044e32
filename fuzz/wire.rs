//! A connection without sockets: what the loop does for a conversation, done to byte
//! strings. Shared by the tests of the conversation and its fuzz target.

use sandbox_runtime::limits::RELAY_BYTES;
use sandbox_runtime::parse::body::Body;
use sandbox_runtime::policy::network::Network;
use sandbox_runtime::proxy::conversation::{
    Action, Conversation, Decided, DialError, Event, Hop, Mode,
};
use sandbox_runtime::proxy::names::Names;

/// One thing that happens on the wire.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// The client sends.
    Client(&'a [u8]),
    /// The client ends.
    ClientEnd,
    /// The other side sends.
    Upstream(&'a [u8]),
    /// The other side ends.
    UpstreamEnd,
    /// The connection asked for stands.
    Dialled,
    /// It does not.
    DialFailed(DialError),
    /// Patience is at an end.
    Deadline,
    /// Whoever was asked answers.
    Decided(Decided),
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Not yet.
    Open,
    /// In order.
    Closed,
    /// At once.
    Aborted,
}

/// What can be seen from outside.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    /// All that the client was sent.
    pub to_client: Vec<u8>,
    /// All that the other sides were sent, one after another.
    pub to_upstream: Vec<Vec<u8>>,
    /// Every connect asked for.
    pub dials: Vec<Hop>,
    /// Every refusal: target and reason.
    pub denied: Vec<String>,
    /// How it ended.
    pub end: End,
}

struct Lane {
    mode: Mode,
    pending: Vec<u8>,
    ended: bool,
    told: bool,
}

impl Lane {
    fn new(mode: Mode) -> Self {
        Self {
            mode,
            pending: Vec::new(),
            ended: false,
            told: false,
        }
    }
}

/// The connection.
pub struct Wire<'a> {
    network: &'a Network,
    conversation: Conversation,
    up: Lane,
    down: Lane,
    connected: bool,
    seen: Seen,
}

/// Plays the steps; `cut` says into which pieces what is sent is cut.
pub fn play(network: &Network, steps: &[Step<'_>], cut: usize) -> Seen {
    play_on(Conversation::new(), network, steps, cut)
}

/// The same on another conversation.
pub fn play_on(
    conversation: Conversation,
    network: &Network,
    steps: &[Step<'_>],
    cut: usize,
) -> Seen {
    let mut wire = Wire {
        network,
        conversation,
        up: Lane::new(Mode::Talk),
        down: Lane::new(Mode::Wait),
        connected: false,
        seen: Seen {
            to_client: Vec::new(),
            to_upstream: Vec::new(),
            dials: Vec::new(),
            denied: Vec::new(),
            end: End::Open,
        },
    };
    for step in steps {
        match *step {
            Step::Client(bytes) => {
                for piece in bytes.chunks(cut.max(1)) {
                    wire.up.pending.extend_from_slice(piece);
                    wire.run();
                }
            }
            Step::Upstream(bytes) => {
                for piece in bytes.chunks(cut.max(1)) {
                    if wire.connected {
                        wire.down.pending.extend_from_slice(piece);
                    }
                    wire.run();
                }
            }
            Step::ClientEnd => wire.up.ended = true,
            Step::UpstreamEnd => wire.down.ended = wire.connected,
            Step::Dialled => {
                wire.connected = true;
                wire.seen.to_upstream.push(Vec::new());
                wire.tell(Event::Dialled);
            }
            Step::DialFailed(error) => wire.tell(Event::DialFailed(error)),
            Step::Decided(answer) => wire.tell(Event::Decided(answer)),
            Step::Deadline => wire.tell(Event::Deadline),
        }
        wire.run();
    }
    wire.seen
}

impl Wire<'_> {
    fn tell(&mut self, event: Event<'_>) {
        if self.seen.end != End::Open {
            return;
        }
        let mut actions = Vec::new();
        self.conversation
            .on(event, self.network, &Names::default(), &mut actions);
        for action in actions {
            match action {
                Action::Question { target } => self.seen.denied.push(format!("asked {target}")),
                Action::Dial(hop) => self.seen.dials.push(hop),
                Action::Denied { target, reason } => {
                    self.seen.denied.push(format!("{target}: {reason}"));
                }
                Action::Learned { target, reason } => {
                    self.seen.denied.push(format!("learned {target}: {reason}"));
                }
                Action::Reply(bytes) => self.seen.to_client.extend(bytes),
                Action::Forward(bytes) => {
                    assert!(self.connected, "sent before a connection stands");
                    self.forward(&bytes);
                }
                Action::FromClient(mode) => {
                    let talks = matches!(mode, Mode::Wait | Mode::Talk);
                    assert!(
                        talks || self.connected,
                        "relayed before a connection stands"
                    );
                    self.up.mode = mode;
                }
                Action::FromUpstream(mode) => self.down.mode = mode,
                Action::Hangup => {
                    self.connected = false;
                    self.down = Lane::new(Mode::Wait);
                }
                Action::Close => self.seen.end = End::Closed,
                Action::Reset => self.seen.end = End::Aborted,
                Action::Ask(_) => {}
                Action::Abort => self.seen.end = End::Aborted,
            }
        }
    }

    fn forward(&mut self, bytes: &[u8]) {
        if let Some(last) = self.seen.to_upstream.last_mut() {
            last.extend_from_slice(bytes);
        }
    }

    fn run(&mut self) {
        while self.seen.end == End::Open && (self.lane(true) || self.lane(false)) {}
    }

    /// Moves one direction; whether anything moved.
    fn lane(&mut self, up: bool) -> bool {
        let wants = if up {
            self.conversation.wants()
        } else {
            self.conversation.wants_answer()
        };
        let lane = if up { &mut self.up } else { &mut self.down };
        let here: Vec<u8> = match &mut lane.mode {
            Mode::Wait => return false,
            Mode::Talk => {
                let count = wants.min(lane.pending.len()).min(RELAY_BYTES);
                lane.pending.drain(..count).collect()
            }
            Mode::Relay(_) | Mode::Tunnel => std::mem::take(&mut lane.pending),
        };
        if here.is_empty() && !(lane.ended && lane.pending.is_empty() && !lane.told) {
            return false;
        }
        match &mut lane.mode {
            Mode::Wait => {}
            Mode::Talk if here.is_empty() => {
                lane.mode = Mode::Wait;
                self.tell(if up {
                    Event::ClientClosed
                } else {
                    Event::UpstreamClosed
                });
            }
            Mode::Talk => self.tell(of(up, &here)),
            Mode::Tunnel => {
                lane.told = here.is_empty();
                self.pass(up, &here);
            }
            Mode::Relay(body) if here.is_empty() => {
                let endless = *body == Body::Endless;
                lane.mode = Mode::Wait;
                self.tell(match (up, endless) {
                    (_, true) => Event::UpstreamDone,
                    (true, false) => Event::ClientClosed,
                    (false, false) => Event::UpstreamClosed,
                });
            }
            Mode::Relay(body) => match body.take(&here) {
                Err(_) => self.seen.end = End::Aborted,
                Ok(belongs) => {
                    let done = body.is_done();
                    if done {
                        lane.mode = Mode::Wait;
                    }
                    let (mine, rest) = here.split_at(belongs);
                    self.pass(up, mine);
                    if !done && !rest.is_empty() {
                        self.seen.end = End::Aborted;
                    }
                    if done {
                        if up && !rest.is_empty() {
                            self.tell(of(up, rest));
                        }
                        self.tell(if up {
                            Event::ClientDone
                        } else {
                            Event::UpstreamDone
                        });
                    }
                }
            },
        }
        true
    }

    fn pass(&mut self, up: bool, bytes: &[u8]) {
        if up {
            self.forward(bytes);
        } else {
            self.seen.to_client.extend_from_slice(bytes);
        }
    }
}

fn of(up: bool, bytes: &[u8]) -> Event<'_> {
    if up {
        Event::Client(bytes)
    } else {
        Event::Upstream(bytes)
    }
}
