//! Which roles there are on this system, and who plays them.

use super::request::Request;
#[cfg(target_os = "linux")]
use super::{attack, capture, doctor, guard, inner, linux, observe, plan};
use super::{connect, lookup, mac, macos, warden};
#[cfg(target_os = "linux")]
use crate::args::Verbosity;
use crate::args::{Doctor, Platform, Run, Stage};
use crate::error::{Error, While};

/// A role of the program's own; gives its exit status.
///
/// # Errors
/// What it could not do.
pub fn stage(stage: Stage) -> Result<u8, Error> {
    match stage {
        Stage::Lookup => lookup::serve().doing("looking names up").map(|()| 0),
        Stage::Warden => warden::serve().doing("ending the command").map(|()| 0),
        Stage::Connect { host, port } => connect::serve(&host, &port)
            .doing("connecting through the proxy")
            .map(|()| 0),
        #[cfg(target_os = "linux")]
        Stage::Inner {
            socket,
            launch,
            stderr,
            run: _,
        } => Ok(inner::run(&inner::Inherited {
            socket,
            launch,
            stderr,
        })),
        #[cfg(target_os = "linux")]
        Stage::Attack { targets } => attack::attempt(&targets),
        #[cfg(target_os = "linux")]
        Stage::Capture { socket, info } => capture::serve([socket, info])
            .doing("setting capture up")
            .map(|()| 0),
        #[cfg(target_os = "linux")]
        Stage::Guard {
            mounts,
            links,
            places,
        } => guard::serve(mounts, links, places)
            .doing("guarding the mounts")
            .map(|()| 0),
        #[cfg(target_os = "linux")]
        Stage::Observe {
            socket,
            policy,
            notes,
            bubblewrap,
        } => observe::serve([socket, policy, notes], bubblewrap.unsigned_abs())
            .doing("observing")
            .map(|()| 0),
        #[cfg(not(target_os = "linux"))]
        Stage::Inner { .. }
        | Stage::Attack { .. }
        | Stage::Capture { .. }
        | Stage::Guard { .. }
        | Stage::Observe { .. } => Err(Error::Usage("--stage: this role is Linux's".into())),
    }
}

/// Runs the command; gives its exit status.
///
/// # Errors
/// Nothing has run; or the loop broke, and the command's end is not known.
#[cfg(target_os = "linux")]
pub fn start(run: &Run) -> Result<u8, Error> {
    let request = Request::of(run)?;
    if let Some(tools) = &run.tools {
        return macos::run(&request, &macos::Tools::of(tools));
    }
    let plan = plan::make(&request)?;
    if run.verbosity == Verbosity::Debug {
        for note in &plan.policy.notes {
            super::say::say_patiently(note);
        }
    }
    linux::run(plan, &request)
}

/// Runs the command; gives its exit status.
///
/// # Errors
/// Nothing has run; or the loop broke, and the command's end is not known.
#[cfg(not(target_os = "linux"))]
pub fn start(run: &Run) -> Result<u8, Error> {
    let tools = run.tools.as_ref().map(macos::Tools::of);
    macos::run(&Request::of(run)?, &tools.unwrap_or_default())
}

/// What would be run on this platform.
///
/// # Errors
/// The settings are not valid or cannot be enforced there; or the plan for Linux is asked
/// for elsewhere, which rests on what only Linux can tell.
pub fn show(run: &Run, platform: Option<Platform>) -> Result<String, Error> {
    let request = Request::of(run)?;
    match platform.unwrap_or(HERE) {
        Platform::MacOs => mac::show(&request),
        #[cfg(target_os = "linux")]
        Platform::Linux => {
            let plan = plan::make(&request)?;
            if run.verbosity == Verbosity::Debug {
                for note in &plan.policy.notes {
                    super::say::say_patiently(note);
                }
            }
            Ok(plan::show(&plan))
        }
        #[cfg(not(target_os = "linux"))]
        Platform::Linux => Err(Error::Usage(
            "--platform linux: the plan for Linux can be made on Linux only".into(),
        )),
    }
}

#[cfg(target_os = "linux")]
const HERE: Platform = Platform::Linux;
#[cfg(not(target_os = "linux"))]
const HERE: Platform = Platform::MacOs;

/// What this host can enforce, and the exit status.
///
/// # Errors
/// It cannot be found out.
#[cfg(target_os = "linux")]
pub fn examine(asked: &Doctor) -> Result<(String, u8), Error> {
    doctor::examine(asked)
}

/// What this host can enforce, and the exit status.
///
/// # Errors
/// It is not found out here.
#[cfg(not(target_os = "linux"))]
pub fn examine(_asked: &Doctor) -> Result<(String, u8), Error> {
    Err(Error::Usage(
        "--doctor attacks a sandbox of Linux's; on macOS there is no such proof yet".into(),
    ))
}
