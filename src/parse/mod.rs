//! Bytes in, values out. Pure: no I/O, no clock, no platform.
//!
//! The contract of every incremental parser here: it never panics; `used` is at
//! most the input's length; a proper prefix of a complete input is `Partial`, or
//! the same `Complete`; what is malformed stays malformed whatever follows; and
//! an input that is over its bound is an error, never `Partial`.
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]

pub mod body;
pub mod control;
pub mod dns;
pub mod fields;
mod foreign;
pub mod gitlink;
pub mod glob;
pub mod holds;
pub mod host;
pub mod hosts;
pub mod http;
pub mod json;
pub mod mac;
pub mod network;
pub mod process;
pub mod proxy_url;
pub mod report;
pub mod response;
pub mod sandbox;
pub mod schema;
pub mod settings;
pub mod socks;
pub mod tls;
pub mod unified_log;

/// What an incremental parser says of the bytes it has seen so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status<T> {
    /// A whole value, which took the first `used` bytes.
    Complete {
        /// The value.
        value: T,
        /// How many bytes of the input belong to it.
        used: usize,
    },
    /// A good beginning; more bytes are needed.
    Partial,
}
