//! The proxy without its sockets: events in, actions out. Pure.
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]

mod asked;
pub mod conversation;
mod dialled;
pub mod events;
pub mod exchange;
pub mod forward;
pub mod names;
pub mod pipe;
mod questions;
pub mod reply;
pub mod responder;
pub mod secret;
