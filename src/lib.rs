//! `sandbox-runtime`: run a command in an OS-level sandbox.
//!
//! Pure code decides, the kernel enforces, and nothing stands in between.
//!
//! # Rooms
//!
//! | room | job | may use |
//! |---|---|---|
//! | [`parse`] | bytes in, values out | nothing |
//! | [`policy`] | settings + facts of the host → what is allowed | `parse` |
//! | [`emit`] | policy → bubblewrap arguments, Landlock rules, seccomp program, netlink requests, macOS profile, environment | `policy`, `parse` |
//! | [`proxy`] | the proxy's conversations without I/O: events in, actions out | `parse`, `policy` |
//! | [`violation`] | what was refused: kept, logged, and what would allow it | `parse`, `policy` |
//! | [`args`] | the command line | lexopt |
//! | [`sys`] | libc, and the only `unsafe` | libc |
//! | [`reactor`] | the loop, and the only mio | `proxy`, `policy`, `parse`, `sys` |
//! | [`run`] | the roles, step by step | all of these |
//! | `api` | the library's face | all of these |
//!
//! `error` and [`limits`] are free to all. A value changes its type as it hardens:
//! [`parse::settings::Settings`] as written, [`policy::Policy`] resolved against
//! [`policy::Facts`], [`emit::bwrap::Op`], [`emit::landlock::Rules`],
//! [`emit::seccomp::Insn`] and [`emit::seatbelt::profile`] emitted.
//!
//! # The library
//!
//! A program that embeds `srt` calls [`init`] first, and then runs commands in a [`Sandbox`],
//! or many under one policy in a [`Session`]. Both are synchronous, have nothing global, and
//! belong to one thread each; [`Handle`] reaches them from others. Linux only, so far.
//!
//! The modules are public for the program, its tests and its fuzz targets alone, and promise
//! nothing.

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!("srt has a sandbox for Linux and for macOS, and for no other system");

#[cfg(target_os = "linux")]
mod api;
#[doc(hidden)]
pub mod args;
#[doc(hidden)]
pub mod emit;
mod error;
#[doc(hidden)]
pub mod limits;
#[doc(hidden)]
pub mod parse;
#[doc(hidden)]
pub mod policy;
#[doc(hidden)]
pub mod proxy;
#[doc(hidden)]
pub mod reactor;
#[doc(hidden)]
pub mod run;
#[doc(hidden)]
pub mod sys;
#[doc(hidden)]
pub mod violation;

#[cfg(target_os = "linux")]
pub use api::{
    Answer, Ask, AskId, Child, Command, Decision, Ended, Event, Handle, Kind, Outcome, Policy,
    RunId, Sandbox, Session, Settings, Stdio, Tunnels, Unlisted, Violation, Violations, init,
};
pub use error::Error;
#[doc(hidden)]
pub use error::While;
