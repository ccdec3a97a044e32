//! What macOS would be asked to enforce, shown on any system (`--dry-run --platform macos`).
//! The host is read as for a run: the profile is for what lies here.

use std::env;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::facts::{self, Own};
use super::plan;
use super::probe::{self, Loaded};
use crate::args::Run;
use crate::emit::environment::{Gate, environment_by};
use crate::emit::seatbelt::{Mac, profile};
use crate::error::{Error, While};
use crate::policy::Policy;

/// In the place of what is drawn anew for each run, and is not to be guessed.
const TAG: &str = "TAG";
/// In the place of the proxy's ports.
const PORT: u16 = 1;
/// A user and a password for the proxy, which every program of the host can reach.
const SECRET: &str = "srt:TAG";

/// The profile, the command and its environment.
///
/// # Errors
/// The settings are not valid, or have no place in a profile.
pub fn show(run: &Run) -> Result<String, Error> {
    let loaded = probe::settings(run.settings.as_deref())?;
    let problems = |problems| match &loaded.file {
        Some(file) => Error::Settings {
            file: file.display().to_string(),
            problems,
        },
        None => Error::Policy(problems),
    };
    let directory = env::current_dir().doing("finding the working directory")?;
    let base = env::temp_dir().canonicalize();
    let base = base.doing("finding the directory for temporary files")?;
    let private = base.join(format!("srt-{TAG}"));
    let temporary = private.join("tmp");
    let facts = facts::facts(
        &loaded,
        &directory,
        &Own {
            temporary: &temporary,
            private: &private,
            bubblewrap: None,
            hidden: &[],
        },
    )?;
    let policy = Policy::new(&loaded.settings, &facts).map_err(problems)?;
    let mac = Mac {
        tag: TAG.into(),
        proxies: vec![PORT],
        ..Mac::default()
    };
    let profile = profile(&policy, &mac).map_err(problems)?;
    let mut out = format!("# profile\n{profile}# sandbox-exec\n");
    out += "\"/usr/bin/sandbox-exec\" \"-p\" PROFILE";
    for word in &run.argv {
        out += &format!(" {}", plan::quoted(word.as_bytes()));
    }
    out += "\n# environment\n";
    for (name, value) in variables(&loaded, temporary.as_os_str().as_bytes()) {
        out += &format!(
            "{}={}\n",
            String::from_utf8_lossy(&name),
            plan::quoted(&value)
        );
    }
    Ok(out)
}

fn variables(loaded: &Loaded, temporary: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let gate = Gate {
        http: PORT,
        socks: PORT,
        secret: Some(SECRET),
        // Its sockets of both IP versions are not bound to "localhost".
        java: " -Djava.net.preferIPv4Stack=true",
    };
    let caller = env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec()));
    let caller: Vec<_> = caller.collect();
    let program = env::current_exe().unwrap_or_default();
    let program = program.as_os_str().as_bytes();
    let rules = &loaded.settings.environment;
    environment_by(&gate, &caller, temporary, program, rules)
}
