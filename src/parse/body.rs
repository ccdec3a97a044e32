//! Bodies of HTTP/1 messages: where they end (RFC 9112, 6 and 7).

use super::http::HttpError;
use crate::limits::{CHUNK_LINE_BYTES, TRAILER_BYTES};

/// What is left of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    None,
    /// This many bytes.
    Length(u64),
    /// Chunks, and trailer fields behind them.
    Chunked(Chunk),
    /// Everything to the end of the connection: a response only.
    Endless,
}

/// Where in a chunked body the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// In the size line.
    Size {
        /// Digits seen.
        digits: usize,
        /// Their value.
        left: u64,
    },
    /// At the LF of a size line.
    SizeEnd(u64),
    /// In the data.
    Data(u64),
    /// At the CR behind the data.
    DataCr,
    /// At its LF.
    DataLf,
    /// At the beginning of a line of the trailer section, of which so many bytes
    /// have been seen.
    Line(usize),
    /// In the name of a trailer field.
    Name(Name, usize),
    /// In its value.
    Value(usize),
    /// At the LF of its line.
    ValueLf(usize),
    /// At the LF behind the end of the trailer section.
    LastLf,
    /// Behind the end.
    End,
}

/// Longest name that must not be a trailer's: what is longer is none of them.
const LONGEST_NAME: usize = 20;

/// The beginning of a trailer's name, in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    bytes: [u8; LONGEST_NAME],
    length: usize,
}

/// Fields that frame or route a message, and so must not come behind it
/// (RFC 9110, 6.5.1).
const NO_TRAILERS: [&[u8]; 10] = [
    b"content-length",
    b"transfer-encoding",
    b"host",
    b"connection",
    b"upgrade",
    b"trailer",
    b"te",
    b"expect",
    b"content-encoding",
    b"content-range",
];

impl Name {
    const EMPTY: Self = Self {
        bytes: [0; LONGEST_NAME],
        length: 0,
    };

    fn with(mut self, byte: u8) -> Self {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte.to_ascii_lowercase();
        }
        self.length = self.length.saturating_add(1);
        self
    }

    fn is_forbidden(&self) -> bool {
        let name = self.bytes.get(..self.length).unwrap_or_default();
        NO_TRAILERS.contains(&name) || name.starts_with(b"proxy-")
    }
}

impl Body {
    /// A chunked body of which nothing has been seen.
    pub const CHUNKED: Self = Self::Chunked(Chunk::Size { digits: 0, left: 0 });

    /// Whether nothing more belongs to it.
    pub fn is_done(&self) -> bool {
        matches!(
            self,
            Self::None | Self::Length(0) | Self::Chunked(Chunk::End)
        )
    }

    /// How many of the leading bytes of `input` belong to the body: all, unless it ends
    /// among them or goes wrong there.
    ///
    /// # Errors
    /// The first byte is wrong already.
    pub fn take(&mut self, input: &[u8]) -> Result<usize, HttpError> {
        match self {
            Self::None => Ok(0),
            Self::Endless => Ok(input.len()),
            Self::Length(left) => Ok(skip(left, input.len())),
            Self::Chunked(state) => {
                let mut at = 0usize;
                while *state != Chunk::End {
                    let Some(rest) = input.get(at..).filter(|r| !r.is_empty()) else {
                        break;
                    };
                    match step(state, rest) {
                        Ok(used) => at = at.saturating_add(used),
                        Err(error) if at == 0 => return Err(error),
                        // The next call tells, however the input was cut.
                        Err(_) => break,
                    }
                }
                Ok(at)
            }
        }
    }
}

/// Takes at most `available` off `left`; gives how much that was.
fn skip(left: &mut u64, available: usize) -> usize {
    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(available);
    *left = left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
    taken
}

fn step(state: &mut Chunk, input: &[u8]) -> Result<usize, HttpError> {
    let byte = input.first().copied().ok_or(HttpError::Chunk)?;
    *state = match (*state, byte) {
        (Chunk::Size { digits, left }, _) if byte.is_ascii_hexdigit() => {
            // Two bytes of the line's bound are its end.
            if digits >= CHUNK_LINE_BYTES.saturating_sub(2) {
                return Err(HttpError::Chunk);
            }
            let digit = char::from(byte)
                .to_digit(16)
                .map(u64::from)
                .ok_or(HttpError::Chunk)?;
            let left = left
                .checked_mul(16)
                .and_then(|n| n.checked_add(digit))
                .ok_or(HttpError::Chunk)?;
            Chunk::Size {
                digits: digits.saturating_add(1),
                left,
            }
        }
        (Chunk::Size { digits: 1.., left }, b'\r') => Chunk::SizeEnd(left),
        (Chunk::SizeEnd(0), b'\n') => Chunk::Line(0),
        (Chunk::SizeEnd(left), b'\n') => Chunk::Data(left),
        (Chunk::Data(mut left), _) => {
            let used = skip(&mut left, input.len());
            *state = if left == 0 {
                Chunk::DataCr
            } else {
                Chunk::Data(left)
            };
            return Ok(used);
        }
        (Chunk::DataCr, b'\r') => Chunk::DataLf,
        (Chunk::DataLf, b'\n') => Chunk::Size { digits: 0, left: 0 },
        (Chunk::LastLf, b'\n') => Chunk::End,
        (state, byte) => trailer(state, byte)?,
    };
    Ok(1)
}

/// The trailer section, byte by byte: `name: value` lines and an empty one.
fn trailer(state: Chunk, byte: u8) -> Result<Chunk, HttpError> {
    let longer = |seen: usize| match seen.saturating_add(1) {
        seen if seen > TRAILER_BYTES => Err(HttpError::TooLarge),
        seen => Ok(seen),
    };
    Ok(match (state, byte) {
        (Chunk::Line(_), b'\r') => Chunk::LastLf,
        (Chunk::Line(seen), _) if is_token(byte) => {
            Chunk::Name(Name::EMPTY.with(byte), longer(seen)?)
        }
        (Chunk::Name(name, seen), b':') if !name.is_forbidden() => Chunk::Value(longer(seen)?),
        (Chunk::Name(name, seen), _) if is_token(byte) => {
            Chunk::Name(name.with(byte), longer(seen)?)
        }
        (Chunk::Value(seen), b'\r') => Chunk::ValueLf(seen),
        (Chunk::Value(seen), _) if byte == b'\t' || (byte >= b' ' && byte != 0x7f) => {
            Chunk::Value(longer(seen)?)
        }
        (Chunk::ValueLf(seen), b'\n') => Chunk::Line(seen),
        (_, _) => return Err(HttpError::Chunk),
    })
}

/// A byte of a token (RFC 9110, 5.6.2).
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
