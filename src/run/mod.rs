//! Straight-line lists of steps, one file a role. This room reads the host, asks the
//! pure rooms, and does what they say.
#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
pub mod attack;
mod bounds;
#[cfg(target_os = "linux")]
pub mod bubblewrap;
#[cfg(target_os = "linux")]
pub mod capture;
#[cfg(target_os = "linux")]
pub mod capturing;
pub mod check;
pub mod connect;
#[cfg(target_os = "linux")]
pub mod control;
#[cfg(target_os = "linux")]
pub mod course;
mod denials;
#[cfg(target_os = "linux")]
pub mod doctor;
#[cfg(target_os = "linux")]
pub mod engine;
pub mod explain;
pub mod facts;
#[cfg(target_os = "linux")]
pub mod guard;
#[cfg(target_os = "linux")]
pub mod harden;
#[cfg(target_os = "linux")]
pub mod holds;
#[cfg(target_os = "linux")]
mod hunt;
#[cfg(target_os = "linux")]
pub mod inner;
mod job;
#[cfg(target_os = "linux")]
pub mod launch;
pub mod leads;
pub mod leftovers;
#[cfg(target_os = "linux")]
pub mod linux;
pub mod lookup;
pub mod mac;
pub mod macos;
#[cfg(target_os = "linux")]
mod named;
#[cfg(target_os = "linux")]
pub mod observe;
pub mod orphans;
#[cfg(target_os = "linux")]
pub mod owner;
pub mod paths;
#[cfg(target_os = "linux")]
pub mod placeholders;
#[cfg(target_os = "linux")]
pub mod plan;
pub mod probe;
#[cfg(target_os = "linux")]
pub mod ready;
#[cfg(target_os = "linux")]
pub mod recheck;
pub mod removal;
pub mod report;
pub mod request;
pub mod roles;
pub mod say;
mod search;
#[cfg(target_os = "linux")]
pub mod sight;
pub mod tasks;
#[cfg(target_os = "linux")]
pub mod unix;
pub mod walk;
pub mod warden;
#[cfg(target_os = "linux")]
pub mod watching;
#[cfg(target_os = "linux")]
pub mod witness;
