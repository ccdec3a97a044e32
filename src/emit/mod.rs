//! Policy → instructions for a kernel. Pure, and the same on every platform.
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions
)]

pub mod bwrap;
pub mod cures;
pub mod environment;
pub mod landlock;
pub mod rtnetlink;
pub mod seatbelt;
pub mod seccomp;
pub mod syscalls;
pub mod watched;
