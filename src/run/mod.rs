//! Straight-line lists of steps, one file a role. This room reads the host, asks the
//! pure rooms, and does what they say.
#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
pub mod attack;
#[cfg(target_os = "linux")]
pub mod bubblewrap;
pub mod connect;
#[cfg(target_os = "linux")]
pub mod doctor;
pub mod facts;
pub mod guard;
#[cfg(target_os = "linux")]
pub mod harden;
pub mod holds;
pub mod inner;
pub mod launch;
pub mod leads;
pub mod leftovers;
#[cfg(target_os = "linux")]
pub mod linux;
pub mod lookup;
pub mod orphans;
pub mod paths;
pub mod placeholders;
pub mod plan;
pub mod probe;
#[cfg(target_os = "linux")]
pub mod ready;
pub mod recheck;
mod search;
pub mod tasks;
pub mod walk;
