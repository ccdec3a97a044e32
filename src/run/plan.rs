//! From settings to everything that a run needs, and how it is shown (`--dry-run`).

use std::env;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::facts::{self, Own};
use super::holds::{Holds, Index};
use super::launch::{Launch, Listen};
use super::leftovers::Temporary;
use super::paths;
use super::probe;
use super::recheck::{self, Check};
use super::report::Log;
use super::request::{Hearing, Process, Request};
use crate::args::{Afterwards, Layer, Mode, Verbosity};
use crate::emit::landlock::{self, Rules};
use crate::emit::seccomp::{self, Machine, Signals, Surface};
use crate::emit::{bwrap, environment};
use crate::error::{Error, While};
use crate::limits::{BWRAP_ARGUMENTS, PLANS};
use crate::parse::settings::{Guarantee, Observed, UnixSockets};
use crate::policy::files::{Access, Kind};
use crate::policy::guarantees::{Given, given};
use crate::policy::network::Unlisted;
use crate::policy::{Facts, Policy};
use crate::sys;

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
    /// Symbolic links to pin.
    pub pins: Vec<Check>,
    /// The placeholders, if the run needs any.
    pub holds: Option<Holds>,
    /// The run's temporary directory.
    pub temporary: Temporary,
    /// Landlock's ABI on this host; 0 for none.
    pub abi: u32,
    /// What is promised here.
    pub guarantees: Vec<Given>,
    /// The settings file's content; empty without one.
    pub settings: Vec<u8>,
    /// `ignoreViolations`.
    pub ignored: Vec<(String, Vec<String>)>,
    /// The log, if there is to be one.
    pub log: Option<Log>,
    /// How much is said.
    pub verbosity: Verbosity,
    /// The program that plays our own roles.
    pub program: PathBuf,
    /// Whose process this is.
    pub process: Process,
    /// Longest that the command may take, besides what the settings say.
    pub longest: Option<Duration>,
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
pub fn make(run: &Request) -> Result<Plan, Error> {
    let loaded = &run.loaded;
    let settings = &loaded.settings;
    // Before the host is read: the log must be there to be kept from the command.
    let log = run.log.as_ref().map(Log::open).transpose()?;
    let machine = machine().ok_or_else(|| {
        Error::Policy(vec![
            "this processor architecture has no seccomp filter; x86-64 and aarch64 have".into(),
        ])
    })?;
    let bwrap = probe::bwrap(settings.bwrap_path.as_deref())?;
    let temporary = Temporary::new(&env::temp_dir()).doing("making a temporary directory")?;
    let mut tries = 1;
    let decided = loop {
        match decide(run, &temporary, &bwrap, log.as_ref()) {
            // Somebody else is at work there: what holds is what holds now.
            Err(Error::Changed(_)) if tries < PLANS => tries += 1,
            decided => break decided?,
        }
    };
    let landlock = landlock::rules(&decided.policy, decided.landlock);
    let Decided {
        policy,
        options,
        checks,
        pins,
        holds,
        landlock: abi,
        guarantees,
    } = decided;
    let surface = surface(&policy, landlock.as_ref());
    let program = run.program()?;
    let launch = Launch {
        argv: run.argv.iter().map(|a| a.as_bytes().to_vec()).collect(),
        environment: environment::environment(
            &run.environment,
            temporary.inner().as_os_str().as_bytes(),
            program.as_os_str().as_bytes(),
            &settings.environment,
        ),
        ports: policy.ports.host.clone(),
        filter: match run.without.contains(&Layer::Seccomp) {
            false => seccomp::program(machine, &surface),
            true => seccomp::ALLOW_ALL.into(),
        },
        listen: listen(machine, &surface),
        landlock,
        limits: policy.limits.resources.clone(),
        wall: policy.limits.wall_seconds.unwrap_or(0),
        closed: run.closed(),
        pipe: sys::streams::broken_pipe(),
        checks: [checks, pins.clone()].concat(),
    };
    Ok(Plan {
        policy,
        holds,
        pins,
        bwrap,
        options,
        launch,
        temporary,
        abi,
        guarantees,
        settings: loaded.text.clone(),
        ignored: settings.ignored.clone(),
        log,
        verbosity: run.verbosity,
        program: run.program.clone(),
        process: run.process,
        longest: run.longest,
    })
}

/// Whether the program for `surface` asks a listener.
fn listen(machine: Machine, surface: &Surface) -> Listen {
    let unobserved = Surface {
        observed: Observed::NOTHING,
        ..*surface
    };
    match (surface.asks(), unobserved.asks()) {
        (false, _) => Listen::No,
        (true, true) => Listen::Must,
        (true, false) => Listen::Or(seccomp::program(machine, &unobserved)),
    }
}

/// What the command line changes in a policy: only what is told of it, but for a run that
/// is to learn.
fn told(policy: &mut Policy, run: &Request) {
    if run.hearing == Hearing::Nobody || run.without.contains(&Layer::Seccomp) {
        policy.observed = Observed::NOTHING;
    }
    let paths = run.afterwards != Afterwards::Nothing;
    if paths {
        policy.capture.hear();
    }
    if paths && policy.unix_sockets == UnixSockets::None {
        // The same sockets, none, are reached; but their paths are heard of.
        policy.unix_sockets = UnixSockets::Listed;
    }
    if run.afterwards == Afterwards::Learn {
        policy.network = policy.network.clone().with_unlisted(Unlisted::Learned);
    }
}

/// What the seccomp program rests on.
fn surface(policy: &Policy, landlock: Option<&Rules>) -> Surface {
    Surface {
        unix: policy.unix_sockets,
        observed: policy.observed,
        user_namespaces: policy.user_namespaces,
        signals: match landlock {
            Some(rules) if rules.scoped != 0 => Signals::Scoped,
            _ => Signals::Unscoped,
        },
    }
}

/// What is decided over one look at the host.
struct Decided {
    policy: Policy,
    options: Vec<Vec<u8>>,
    checks: Vec<Check>,
    pins: Vec<Check>,
    holds: Option<Holds>,
    /// Landlock's ABI.
    landlock: u32,
    guarantees: Vec<Given>,
}

fn decide(
    run: &Request,
    temporary: &Temporary,
    bwrap: &Path,
    log: Option<&Log>,
) -> Result<Decided, Error> {
    let (loaded, directory) = (&run.loaded, run.directory.as_path());
    // Whoever needs no placeholder needs no index; but where there is one, it is hidden,
    // and stays for the run: a record keeps it.
    let (mut holds, refused) = match Index::open() {
        Ok(index) => (Some(index.enter(temporary.mark())?), None),
        Err(error) => (None, Some(error)),
    };
    let program = run.program()?;
    let own = Own {
        program: &program,
        temporary: temporary.inner(),
        private: temporary.path(),
        bubblewrap: Some(bwrap),
        hidden: &[
            (holds.as_ref().map(Holds::index), facts::DIRECTORY),
            (log.and_then(|log| log.path.as_deref()), "the log"),
        ],
    };
    let problems = |problems| loaded.problems(problems);
    let mut facts = facts::facts(loaded, directory, &own).map_err(|error| match error {
        Error::Policy(all) => problems(all),
        other => other,
    })?;
    facts.host = probe::host(Some(bwrap), run).doing("looking at the standard streams")?;
    if run.without.contains(&Layer::Landlock) {
        facts.host.landlock = 0;
    }
    let mut policy = Policy::new(&loaded.settings, &facts).map_err(problems)?;
    told(&mut policy, run);
    let learns = run.afterwards == Afterwards::Learn;
    if learns && loaded.settings.require.contains(&Guarantee::Net) {
        return Err(problems(vec![
            "require: net is not given: --learn lets every host through that no rule denies".into(),
        ]));
    }
    if run.verbosity == Verbosity::Debug {
        policy.notes.extend(other_names(&policy));
    }
    if run.mode == Mode::Execute {
        match (&mut holds, refused) {
            (Some(holds), _) => {
                let without = holds.hold(&policy.holds)?;
                without.iter().for_each(|path| policy.files.forget(path));
            }
            (None, Some(error)) if !policy.holds.is_empty() => return Err(error),
            (None, _) => {}
        }
    }
    let words = [
        directory.as_os_str().as_bytes(),
        temporary.empty().as_os_str().as_bytes(),
    ];
    let options = if run.without.contains(&Layer::Mounts) {
        options(&mut policy.without_mounts(), &facts, words)
    } else {
        options(&mut policy, &facts, words)
    };
    let options = options.map_err(|text| problems(vec![text]))?;
    let (mut checks, mut pins) = (Vec::new(), Vec::new());
    if run.mode == Mode::Execute && !run.without.contains(&Layer::Mounts) {
        pins = recheck::checks(&[], &policy.pinned_links).map_err(Error::Changed)?;
        checks = recheck::checks(&bwrap::plan(&policy), &[]).map_err(Error::Changed)?;
    }
    Ok(Decided {
        policy,
        options,
        checks,
        pins,
        holds,
        guarantees: given(&loaded.settings, &facts.host),
        landlock: facts.host.landlock,
    })
}

/// bubblewrap's options for the working directory and the empty file in `words`; with
/// whole directories in the place of their files, if nothing else makes them fit.
fn options(policy: &mut Policy, facts: &Facts, words: [&[u8]; 2]) -> Result<Vec<Vec<u8>>, String> {
    let [directory, empty] = words;
    if let Ok(options) = bwrap::arguments(policy, directory, empty) {
        return Ok(options);
    }
    for whole in policy.files.fold(&facts.sizes) {
        let whole = paths::shown(&whole);
        let note = format!("{whole}: denied as a whole, since all that is in it is denied");
        policy.notes.push(note);
    }
    bwrap::arguments(policy, directory, empty).map_err(|long| {
        let (rule, places) = long.most;
        format!(
            "{rule}: has {places} places, the most of all rules, and the policy needs {} arguments of \
             bubblewrap, which takes {BWRAP_ARGUMENTS}: name whole directories instead of their files",
            long.arguments
        )
    })
}

/// Denied files that have hard links: under another name, a mount does not stop anybody.
fn other_names(policy: &Policy) -> Vec<String> {
    let places = policy.files.places();
    let denied = places
        .iter()
        .filter(|(_, place)| place.kind == Kind::File && place.access != Access::Write);
    denied
        .filter_map(|(path, place)| {
            let at = paths::path(path);
            let count = fs::symlink_metadata(at).ok()?.nlink();
            (count > 1).then(|| {
                let (at, origin) = (paths::shown(path), place.origin);
                format!(
                    "{at}: has {count} hard links, and is denied ({origin}) under this name only"
                )
            })
        })
        .collect()
}

/// What `--dry-run` prints: sections of lines, every string quoted as in JSON.
pub fn show(plan: &Plan) -> String {
    let mut out = String::from("# bubblewrap\n");
    out += &paths::quoted(plan.bwrap.as_os_str().as_bytes());
    for option in &plan.options {
        let fresh = option.starts_with(b"--");
        out += if fresh { "\n  " } else { " " };
        out += &paths::quoted(option);
    }
    out += "\n# command\n";
    out += &plan
        .launch
        .argv
        .iter()
        .map(|a| paths::quoted(a))
        .collect::<Vec<_>>()
        .join(" ");
    out += "\n# environment\n";
    for (name, value) in &plan.launch.environment {
        out += &format!(
            "{}={}\n",
            String::from_utf8_lossy(name),
            paths::quoted(value)
        );
    }
    out += "# seccomp\n";
    if let Some(machine) = machine() {
        let surface = surface(&plan.policy, plan.launch.landlock.as_ref());
        out += &seccomp::listing(machine, &surface);
    }
    out += "# Landlock\n";
    out += &landlock::listing(plan.launch.landlock.as_ref(), plan.abi);
    out += "# capture\n";
    out += &plan.policy.capture.listing();
    out
}
