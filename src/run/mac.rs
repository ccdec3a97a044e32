//! What macOS is asked to enforce: the settings and the host, as they become a profile and
//! an environment. `--dry-run --platform macos` shows it on any system: the profile is for
//! what lies here.

use std::env;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bounds::bound;
use super::facts::{self, Own};
use super::leftovers::Temporary;
use super::paths;
use super::probe::Loaded;
use super::report::Log;
use super::request::{Hearing, Request};
use crate::args::{Afterwards, Verbosity};
use crate::emit::environment::{self, environment_by};
use crate::emit::seatbelt::{Mac, profile};
use crate::error::{Error, While};
use crate::parse::report::Observed;
use crate::parse::settings::Guarantee;
use crate::policy::Policy;
use crate::policy::network::Unlisted;
use crate::proxy::secret::Secret;
use crate::sys;
use crate::sys::process::Prepared as Limits;

/// In the place of what is drawn anew for each run, and is not to be guessed.
const TAG: &str = "TAG";
/// In the place of the proxy's ports.
const PORT: u16 = 1;

/// What a run draws or is given: where its proxy is, and by what it is known.
pub(super) struct Gate {
    pub(super) http: u16,
    pub(super) socks: u16,
    pub(super) secret: Secret,
    pub(super) tag: String,
}

/// The settings and the host, as a policy.
pub(super) struct Prepared {
    pub(super) loaded: Arc<Loaded>,
    pub(super) policy: Policy,
    /// The command's temporary directory.
    temporary: PathBuf,
    /// The environment that the command's own is made of.
    caller: Vec<(Vec<u8>, Vec<u8>)>,
    /// This program, as the command finds it.
    program: PathBuf,
}

/// Reads the settings and the host, and decides.
///
/// # Errors
/// The settings are not valid or cannot be enforced.
pub(super) fn prepare(
    run: &Request,
    temporary: &Temporary,
    log: Option<&Log>,
) -> Result<Prepared, Error> {
    let log = log.and_then(|log| log.path.as_deref());
    let mut prepared = decide(run, temporary.path(), temporary.inner(), log)?;
    let policy = &mut prepared.policy;
    if run.afterwards == Afterwards::Learn {
        if prepared.loaded.settings.require.contains(&Guarantee::Net) {
            let text =
                "require: net is not given: --learn lets every host through that no rule denies";
            return Err(prepared.loaded.problems(vec![text.into()]));
        }
        policy.network = policy.network.clone().with_unlisted(Unlisted::Learned);
    }
    if run.hearing == Hearing::Nobody {
        policy.observed = Observed::NOTHING;
    }
    if run.verbosity == Verbosity::Debug {
        for note in &policy.notes {
            super::say::say_patiently(note);
        }
    }
    Ok(prepared)
}

fn decide(
    run: &Request,
    private: &Path,
    temporary: &Path,
    log: Option<&Path>,
) -> Result<Prepared, Error> {
    let loaded = Arc::clone(&run.loaded);
    let program = run.program()?;
    let own = Own {
        program: &program,
        temporary,
        private,
        bubblewrap: None,
        hidden: &[(log, "the log")],
    };
    let facts = facts::facts(&loaded, &run.directory, &own).map_err(|error| match error {
        Error::Policy(all) => loaded.problems(all),
        other => other,
    })?;
    let policy = Policy::new(&loaded.settings, &facts).map_err(|all| loaded.problems(all))?;
    Ok(Prepared {
        loaded,
        policy,
        temporary: temporary.to_owned(),
        caller: run.environment.clone(),
        program,
    })
}

impl Prepared {
    /// The profile.
    ///
    /// # Errors
    /// Rules that have no place in one.
    pub(super) fn profile(&self, gate: &Gate) -> Result<String, Error> {
        let mac = Mac {
            tag: gate.tag.clone(),
            proxies: vec![gate.http, gate.socks],
            ..Mac::default()
        };
        profile(&self.policy, &mac).map_err(|all| self.loaded.problems(all))
    }

    /// The command's environment.
    pub(super) fn environment(&self, gate: &Gate) -> Vec<(Vec<u8>, Vec<u8>)> {
        let gate = environment::Gate {
            http: gate.http,
            socks: gate.socks,
            secret: Some(&gate.secret.userinfo()),
            // Its sockets of both IP versions are not bound to "localhost".
            java: " -Djava.net.preferIPv4Stack=true",
        };
        let program = self.program.as_os_str().as_bytes();
        let rules = &self.loaded.settings.environment;
        let temporary = self.temporary.as_os_str().as_bytes();
        environment_by(&gate, &self.caller, temporary, program, rules)
    }

    /// What the command's process is given before it becomes `sandbox-exec`.
    pub(super) fn limits(&self) -> Limits {
        let bounds = self.policy.limits.resources.iter();
        Limits {
            bounds: bounds.map(|(which, most)| (bound(*which), *most)).collect(),
            closed: sys::streams::closed(),
            pipe: sys::streams::broken_pipe(),
        }
    }
}

/// The profile, the command and its environment.
///
/// # Errors
/// The settings are not valid, or have no place in a profile.
pub fn show(run: &Request) -> Result<String, Error> {
    let base = env::temp_dir().canonicalize();
    let base = base.doing("finding the directory for temporary files")?;
    let private = base.join(format!("srt-{TAG}"));
    let prepared = decide(run, &private, &private.join("tmp"), None)?;
    let gate = Gate {
        http: PORT,
        socks: PORT,
        secret: Secret::new("srt", TAG),
        tag: TAG.into(),
    };
    let profile = prepared.profile(&gate)?;
    let mut out = format!("# profile\n{profile}# sandbox-exec\n");
    out += "\"/usr/bin/sandbox-exec\" \"-p\" PROFILE";
    for word in &run.argv {
        out += &format!(" {}", paths::quoted(word.as_bytes()));
    }
    out += "\n# environment\n";
    for (name, value) in prepared.environment(&gate) {
        out += &format!(
            "{}={}\n",
            String::from_utf8_lossy(&name),
            paths::quoted(&value)
        );
    }
    Ok(out)
}
