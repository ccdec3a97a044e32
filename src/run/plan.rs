//! From settings to everything that a run needs, and how it is shown (`--dry-run`).

use std::env;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::launch::Launch;
use super::leftovers::Temporary;
use super::probe;
use crate::args::Run;
use crate::emit::seccomp::{self, Machine};
use crate::emit::{bwrap, environment};
use crate::error::{Error, While};
use crate::limits::BWRAP_ARGUMENTS;
use crate::policy::Policy;

/// Everything decided before anything is started.
pub struct Plan {
    /// The policy.
    pub policy: Policy,
    /// Absolute path of bubblewrap.
    pub bwrap: PathBuf,
    /// Its options.
    pub options: Vec<Vec<u8>>,
    /// What runs inside.
    pub launch: Launch,
    /// The run's temporary directory.
    pub temporary: Temporary,
}

/// The machine this program was compiled for, if the filter knows it.
pub fn machine() -> Option<Machine> {
    if cfg!(target_arch = "x86_64") {
        Some(Machine::X86_64)
    } else if cfg!(target_arch = "aarch64") {
        Some(Machine::Aarch64)
    } else {
        None
    }
}

/// Reads the host, decides, emits.
///
/// # Errors
/// Settings that are not valid, rules that cannot be enforced, no bubblewrap.
pub fn make(run: &Run) -> Result<Plan, Error> {
    let loaded = probe::settings(run.settings.as_deref())?;
    let settings = &loaded.settings;
    let machine = machine().ok_or_else(|| {
        Error::Policy(vec![
            "this processor architecture has no seccomp filter; x86-64 and aarch64 have".into(),
        ])
    })?;
    let directory = env::current_dir().doing("finding the working directory")?;
    let temporary = Temporary::new(&env::temp_dir()).doing("making a temporary directory")?;
    let facts = probe::facts(&loaded, &directory, temporary.path())?;
    let bwrap = probe::bwrap(settings.bwrap_path.as_deref())?;
    let policy = Policy::new(settings, &facts).map_err(|problems| match &loaded.file {
        Some(file) => Error::Settings {
            file: file.display().to_string(),
            problems,
        },
        None => Error::Policy(problems),
    })?;
    let ops = bwrap::plan(&policy.files);
    let options = bwrap::arguments(&ops, directory.as_os_str().as_bytes()).map_err(|count| {
        Error::Policy(vec![format!(
            "the policy needs {count} arguments of bubblewrap, which takes {BWRAP_ARGUMENTS}: \
             name whole directories instead of their files"
        )])
    })?;
    let caller: Vec<_> = env::vars_os()
        .map(|(k, v)| (k.into_vec(), v.into_vec()))
        .collect();
    let launch = Launch {
        argv: run.argv.iter().map(|a| a.as_bytes().to_vec()).collect(),
        environment: environment::environment(&caller, temporary.path().as_os_str().as_bytes()),
        filter: seccomp::program(machine, policy.unix_sockets),
    };
    Ok(Plan {
        policy,
        bwrap,
        options,
        launch,
        temporary,
    })
}

/// What `--dry-run` prints: sections of lines, every string quoted as in JSON.
pub fn show(plan: &Plan) -> String {
    let quoted =
        |bytes: &[u8]| miniserde::json::to_string(&String::from_utf8_lossy(bytes).into_owned());
    let mut out = String::from("# bubblewrap\n");
    out += &quoted(plan.bwrap.as_os_str().as_bytes());
    for option in &plan.options {
        let fresh = option.starts_with(b"--");
        out += if fresh { "\n  " } else { " " };
        out += &quoted(option);
    }
    out += "\n# command\n";
    out += &plan
        .launch
        .argv
        .iter()
        .map(|a| quoted(a))
        .collect::<Vec<_>>()
        .join(" ");
    out += "\n# environment\n";
    for (name, value) in &plan.launch.environment {
        out += &format!("{}={}\n", String::from_utf8_lossy(name), quoted(value));
    }
    out += "# seccomp\n";
    if let Some(machine) = machine() {
        out += &seccomp::listing(machine, plan.policy.unix_sockets);
    }
    out
}
