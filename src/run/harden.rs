//! What `srt` gives up itself once the sandbox stands: it goes on reading bytes that
//! the command sends, so it keeps what its loop needs and nothing else.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::holds::Holds;
use super::plan::Plan;
use crate::emit::landlock;
use crate::emit::seccomp;
use crate::error::{Error, While};
use crate::sys;
use crate::sys::dir::pin_down;
use crate::sys::landlock::Ruleset;
use crate::sys::process::Bound;

/// Takes from this process, and from the helpers it will start: new privileges, being
/// looked into by others of its user, core files, every write but clearing up and
/// talking to the terminal, and every system call that it does not need.
///
/// # Errors
/// One of these cannot be given up.
pub fn harden(plan: &Plan) -> Result<(), Error> {
    const DOING: &str = "giving up privileges";
    sys::seccomp::no_new_privs().doing(DOING)?;
    sys::privileges::set_undumpable().doing(DOING)?;
    sys::process::bound(Bound::Core, 0).doing(DOING)?;
    if let Some(own) = landlock::own(plan.abi) {
        let ruleset = Ruleset::new(own.handled, 0).doing(DOING)?;
        let allow = |object: BorrowedFd<'_>, rights| ruleset.allow(object, rights).doing(DOING);
        let index = plan.holds.as_ref().map(Holds::index);
        for directory in plan.temporary.cleared() {
            allow(directory, own.remove)?;
        }
        let above = [index, index.and_then(Path::parent)];
        for directory in above.into_iter().flatten() {
            // Gone, or out of reach: then there is nothing to clear.
            if let Ok(object) = pin_down(directory.as_os_str().as_bytes()) {
                allow(object.as_fd(), own.remove)?;
            }
        }
        for directory in plan.holds.iter().flat_map(Holds::directories) {
            allow(directory, own.remove)?;
        }
        for device in [&b"/dev/null"[..], b"/dev/tty"] {
            if let Ok(object) = pin_down(device) {
                allow(object.as_fd(), own.talk)?;
            }
        }
        let stderr = io::stderr();
        match ruleset.allow(stderr.as_fd(), own.talk) {
            // A pipe needs no rule, and what is closed none either.
            Err(e) if sys::landlock::is_nameless(&e) || sys::streams::closed().contains(&2) => {}
            other => other.doing(DOING)?,
        }
        ruleset.restrict_self().doing(DOING)?;
    }
    if let Some(machine) = super::plan::machine() {
        let program = seccomp::only(machine, &sys::own_calls::numbers());
        let program: Vec<_> = program.iter().map(super::inner::sock_filter).collect();
        sys::seccomp::load(&program).doing(DOING)?;
    }
    Ok(())
}
