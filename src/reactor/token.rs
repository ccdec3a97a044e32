//! What a readiness event is about, packed into mio's token.

use mio::Token;

/// A connection's place in its table. A place is used again; its generation is not,
/// so that a late event for a closed connection reaches nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// Index in the table.
    pub index: u32,
    /// How often the place has been used.
    pub generation: u32,
}

/// The source of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A descriptor of the reactor's owner, by the number the owner gave it.
    Owner(u32),
    /// A listener, by index.
    Listener(u32),
    /// A lookup helper, by id.
    Helper(u32),
    /// A socket on which DNS questions come, by index.
    Questions(u32),
    /// The client's side of a connection.
    Client(Slot),
    /// The upstream side of a connection.
    Upstream(Slot),
}

const KIND_BITS: u32 = 3;
const INDEX_BITS: u32 = 29;

// The packing below needs it, and so do the two supported machines.
const _: () = assert!(usize::BITS == 64);

impl Key {
    /// The token for this source.
    pub fn token(self) -> Token {
        let (kind, index, generation) = match self {
            Self::Owner(n) => (0, n, 0),
            Self::Listener(n) => (1, n, 0),
            Self::Helper(n) => (2, n, 0),
            Self::Client(slot) => (3, slot.index, slot.generation),
            Self::Upstream(slot) => (4, slot.index, slot.generation),
            Self::Questions(n) => (5, n, 0),
        };
        let low = kind | (index as usize) << KIND_BITS;
        Token(low | (generation as usize) << (KIND_BITS + INDEX_BITS))
    }

    /// The source a token stands for; `None` for a token that was never ours.
    pub fn from_token(token: Token) -> Option<Self> {
        let index = ((token.0 >> KIND_BITS) & ((1 << INDEX_BITS) - 1)) as u32;
        let generation = (token.0 >> (KIND_BITS + INDEX_BITS)) as u32;
        let slot = Slot { index, generation };
        match token.0 & ((1 << KIND_BITS) - 1) {
            0 => Some(Self::Owner(index)),
            1 => Some(Self::Listener(index)),
            2 => Some(Self::Helper(index)),
            3 => Some(Self::Client(slot)),
            4 => Some(Self::Upstream(slot)),
            5 => Some(Self::Questions(index)),
            _ => None,
        }
    }
}
