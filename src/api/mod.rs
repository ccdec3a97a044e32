//! The library's own face: what programs that embed `srt` use. The program itself runs its
//! commands by the same engine.
#![forbid(unsafe_code)]

mod command;
mod events;
mod handle;
mod policy;
mod sandbox;
mod session;
mod settings;
mod violations;

use std::env;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::args::{self, Action};
use crate::error::Error;
use crate::run::roles;
use crate::run::say::say_patiently;

pub use command::{Command, Stdio};
pub use events::{Answer, Ask, AskId, Child, Ended, Event, RunId, Tunnels, Unlisted};
pub use handle::Handle;
pub use policy::{Decision, Policy};
pub use sandbox::{Outcome, Sandbox};
pub use session::Session;
pub use settings::Settings;
pub use violations::{Kind, Violation, Violations};

/// Whether [`init`] has been called.
static INITIALISED: AtomicBool = AtomicBool::new(false);

/// Lets this very program play `srt`'s own roles (pid 1 of the sandbox, name lookups and so
/// on): the first thing that `main` of a program that embeds `srt` does. If the process was
/// started for such a role, it plays it and ends with it; if not, nothing happens.
///
/// A process is started for a role if its first argument is `--stage`.
///
/// A program that cannot do so names a `srt` that is installed, with
/// [`Session::with_program`] or [`Sandbox::with_program`].
///
/// # Examples
///
/// ```standalone_crate
/// sandbox_runtime::init();
/// // The program itself.
/// ```
pub fn init() {
    INITIALISED.store(true, Ordering::Relaxed);
    let mut arguments = env::args_os().skip(1).peekable();
    if arguments.peek().is_none_or(|first| first != "--stage") {
        return;
    }
    let played = match args::action(arguments) {
        Ok(Action::Stage(stage)) => roles::stage(stage),
        Ok(_) => Err(Error::Usage("--stage is for srt's own use".into())),
        Err(text) => Err(Error::Usage(text)),
    };
    let status = played.unwrap_or_else(|error| {
        say_patiently(&error.to_string());
        error.exit_code()
    });
    process::exit(status.into())
}

/// Whether this program can play the roles.
fn is_initialised() -> Result<(), Error> {
    if INITIALISED.load(Ordering::Relaxed) {
        return Ok(());
    }
    Err(Error::Call(
        "sandbox_runtime::init() has not been called, first thing in main, and no program is named that plays its \
         roles"
            .into(),
    ))
}
