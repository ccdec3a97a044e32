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
//! | [`emit`] | policy → bubblewrap arguments, Landlock rules, seccomp program, macOS profile, environment | `policy`, `parse` |
//! | [`proxy`] | the proxy's conversations without I/O: events in, actions out | `parse`, `policy` |
//! | [`violation`] | what was refused: kept, logged, and what would allow it | `parse`, `policy` |
//! | [`args`] | the command line | lexopt |
//! | [`sys`] | libc, and the only `unsafe` | libc |
//! | [`reactor`] | the loop, and the only mio | `proxy`, `policy`, `parse`, `sys` |
//! | [`run`] | the roles, step by step | all of these |
//!
//! [`error`] and [`limits`] are free to all. A value changes its type as it hardens:
//! [`parse::settings::Settings`] as written, [`policy::Policy`] resolved against
//! [`policy::Facts`], [`emit::bwrap::Op`], [`emit::landlock::Rules`],
//! [`emit::seccomp::Insn`] and [`emit::seatbelt::profile`] emitted.
//!
//! The modules are public for the program, its tests and its fuzz targets; none of
//! them is a stable interface yet.

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!("srt has a sandbox for Linux and for macOS, and for no other system");

pub mod args;
pub mod emit;
pub mod error;
pub mod limits;
pub mod parse;
pub mod policy;
pub mod proxy;
pub mod reactor;
pub mod run;
pub mod sys;
pub mod violation;
