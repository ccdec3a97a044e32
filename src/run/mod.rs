//! Straight-line lists of steps, one file a role. This room reads the host, asks the
//! pure rooms, and does what they say.
#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
pub mod attack;
#[cfg(target_os = "linux")]
pub mod bubblewrap;
pub mod check;
pub mod connect;
#[cfg(target_os = "linux")]
mod course;
#[cfg(target_os = "linux")]
pub mod doctor;
#[cfg(target_os = "linux")]
pub mod explain;
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
pub mod mac;
#[cfg(target_os = "linux")]
mod named;
#[cfg(target_os = "linux")]
pub mod observe;
pub mod orphans;
#[cfg(target_os = "linux")]
pub mod owner;
pub mod paths;
pub mod placeholders;
pub mod plan;
pub mod probe;
#[cfg(target_os = "linux")]
pub mod ready;
pub mod recheck;
pub mod removal;
#[cfg(target_os = "linux")]
pub mod report;
mod search;
#[cfg(target_os = "linux")]
pub mod sight;
pub mod tasks;
#[cfg(target_os = "linux")]
pub mod unix;
pub mod walk;
#[cfg(target_os = "linux")]
pub mod watching;
#[cfg(target_os = "linux")]
pub mod witness;
