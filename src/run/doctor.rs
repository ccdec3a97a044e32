//! `--doctor`: what the sandbox promises on this host, by which layers; proved by
//! attacks, run by this program in a real sandbox of its own.

use std::env;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use miniserde::{Serialize, json};

use super::attack::{ATTACKS, THROUGH};
use super::capturing;
use super::leftovers::Temporary;
use super::probe;
use super::request::Request;
use crate::args::{Doctor, Format, Layer};
use crate::error::{Error, While};
use crate::parse::settings::{
    CaptureWish, Guarantee, Processes, Settings, UnixSockets, UserNamespaces,
};
use crate::policy::Host;
use crate::policy::guarantees::{Given, given, landlock_holds_files};

/// What was found.
#[derive(Serialize)]
struct Report {
    version: String,
    kernel: String,
    user: String,
    bubblewrap: String,
    landlock: u32,
    /// Whether what a command tries on files is heard of: no guarantee rests on it.
    observer: String,
    /// Whether programs that know no proxy are served: no guarantee rests on it either.
    capture: String,
    /// Why there is no sandbox, where there is none.
    problem: Option<String>,
    guarantees: Vec<Finding>,
    /// All that is required, is given.
    holds: bool,
}

/// One guarantee.
#[derive(Serialize)]
struct Finding {
    name: String,
    required: bool,
    given: bool,
    layers: Vec<String>,
    lost: Option<String>,
    less: Vec<String>,
    attacks: Vec<Attempt>,
}

/// One attack.
#[derive(Serialize)]
struct Attempt {
    attack: String,
    result: String,
}

/// What the attacks came to.
#[derive(Default)]
struct Attacked {
    /// Name and result of each.
    results: Vec<(String, String)>,
    /// Why there was no sandbox to attack.
    problem: Option<String>,
    /// Why they were not observed.
    unobserved: Option<String>,
}

const DOING: &str = "making something to attack";

/// Examines the host under these settings; gives the report and the exit status: 0 if
/// everything required is given, else 1.
///
/// # Errors
/// The settings are not valid, or there is nowhere to make something to attack.
pub fn examine(doctor: &Doctor) -> Result<(String, u8), Error> {
    let loaded = Arc::new(probe::settings(doctor.settings.as_deref())?);
    let settings = &loaded.settings;
    let bubblewrap = probe::bwrap(settings.bwrap_path.as_deref());
    let bwrap = bubblewrap.as_deref().ok();
    let request = Request::plain(loaded.clone())?;
    let host = probe::host(bwrap, &request).doing("looking at the standard streams")?;
    let attacked = match &bubblewrap {
        Ok(_) => attacked(settings, &host, &doctor.without)?,
        Err(error) => Attacked {
            problem: Some(error.to_string()),
            ..Attacked::default()
        },
    };
    let guarantees: Vec<Finding> = given(settings, &host)
        .into_iter()
        .map(|given| finding(given, settings, &attacked.results))
        .collect();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let capture = match (&attacked.problem, settings.network.capture) {
        (Some(_), _) => "none".into(),
        (None, CaptureWish::Off) => "none: network.capture is false".into(),
        (None, CaptureWish::Possible | CaptureWish::Required) => {
            match capturing::prove(settings.bwrap_path.as_deref())? {
                Ok(()) => "serves programs that know no proxy".into(),
                Err(why) => format!("none: {why}"),
            }
        }
    };
    let report = Report {
        capture,
        version: env!("CARGO_PKG_VERSION").into(),
        kernel: format!("Linux {} {}", release.trim(), env::consts::ARCH),
        user: match crate::sys::host::uid() {
            0 => "the superuser".into(),
            uid => format!("user {uid}"),
        },
        bubblewrap: bubblewrap.map_or("none".into(), |path| path.display().to_string()),
        landlock: host.landlock,
        observer: match (&attacked.problem, attacked.unobserved) {
            (None, None) => "hears of what a command tries on files".into(),
            (Some(_), _) => "none".into(),
            (None, Some(why)) => format!("none: {why}"),
        },
        problem: attacked.problem,
        holds: guarantees.iter().all(|g| g.given || !g.required),
        guarantees,
    };
    let status = u8::from(!report.holds);
    let text = match doctor.format {
        Format::Json => json::to_string(&report) + "\n",
        Format::Text => shown(&report),
    };
    Ok((text, status))
}

/// What of `require` is meant where nothing is named: all that the settings leave.
fn required(given: &Given, settings: &Settings) -> bool {
    match settings.require.as_slice() {
        [] => given.lost.is_none(),
        named => named.contains(&given.guarantee),
    }
}

fn finding(given: Given, settings: &Settings, results: &[(String, String)]) -> Finding {
    let own = ATTACKS.iter().filter(|a| a.guarantee == given.guarantee);
    let attempts: Vec<Attempt> = own
        .filter_map(|attack| {
            let (_, result) = results.iter().find(|(name, _)| name == attack.name)?;
            Some(Attempt {
                attack: attack.name.into(),
                result: result.clone(),
            })
        })
        .collect();
    let allowed = |attempt: &Attempt| {
        attempt.attack == "make a user namespace"
            && settings.user_namespaces == UserNamespaces::Allowed
    };
    let refused = |attempt: &Attempt| attempt.result != THROUGH || allowed(attempt);
    Finding {
        name: given.guarantee.name().into(),
        required: required(&given, settings),
        given: given.lost.is_none() && !attempts.is_empty() && attempts.iter().all(refused),
        layers: given.layers.into_iter().map(str::to_owned).collect(),
        lost: given.lost.map(str::to_owned),
        less: given.less.into_iter().map(str::to_owned).collect(),
        attacks: attempts,
    }
}

/// Makes something to attack, and attacks it from inside a sandbox whose policy protects
/// it, with what `settings` give up; the results, or why there was no sandbox.
fn attacked(settings: &Settings, host: &Host, without: &[Layer]) -> Result<Attacked, Error> {
    let temporary = Temporary::new(&env::temp_dir()).doing(DOING)?;
    let lab = temporary.inner();
    let before = prepare(lab).doing(DOING)?;
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).doing(DOING)?;
    let unix = UnixListener::bind(lab.join("socket")).doing(DOING)?;
    tcp.set_nonblocking(true).doing(DOING)?;
    unix.set_nonblocking(true).doing(DOING)?;
    let port = tcp.local_addr().doing(DOING)?.port();
    fs::write(lab.join("settings"), policy(lab, settings)).doing(DOING)?;
    let landlock = landlock_holds_files(settings, host) && !without.contains(&Layer::Landlock);
    let stdin = if landlock {
        Stdio::from(File::open(lab.join("outside/file")).doing(DOING)?)
    } else {
        // srt itself refuses such a standard input there.
        Stdio::null()
    };
    let out = Command::new("/proc/self/exe")
        .args(without.iter().flat_map(|layer| ["--without", layer.name()]))
        .arg("-s")
        .arg(lab.join("settings"))
        .arg("--log")
        .arg(lab.join("log"))
        .args(["/proc/self/exe", "--stage", "attack"])
        .arg(lab)
        .args([port.to_string(), std::process::id().to_string()])
        .current_dir(lab)
        .stdin(stdin)
        .output()
        .doing("running srt")?;
    let said = String::from_utf8_lossy(&out.stdout);
    let lines = said.lines().filter_map(|line| line.split_once('\t'));
    let lines = lines.map(|(n, r)| (n.to_owned(), r.to_owned()));
    let mut results: Vec<_> = lines.collect();
    let words = String::from_utf8_lossy(&out.stderr).replace("srt: ", "");
    let words = words.trim().to_owned();
    if results.len() != ATTACKS.len() {
        return Ok(Attacked {
            problem: Some(words),
            ..Attacked::default()
        });
    }
    let log = fs::read_to_string(lab.join("log")).unwrap_or_default();
    let unobserved = (!log.contains(r#""kind":"write""#)).then_some(words);
    // What an attack believes is one thing; what is to be seen here is another.
    let mut seen = |name: &str, through: bool| {
        let result = results.iter_mut().find(|(n, _)| n == name);
        if let (Some((_, result)), true) = (result, through) {
            THROUGH.clone_into(result);
        }
    };
    seen("write a file outside", state(lab).ok() != Some(before));
    seen("connect to the host's loopback", tcp.accept().is_ok());
    seen("connect to one of the host", unix.accept().is_ok());
    Ok(Attacked {
        results,
        problem: None,
        unobserved,
    })
}

fn prepare(lab: &Path) -> io::Result<String> {
    for name in ["outside", "hidden", "inside"] {
        DirBuilder::new().mode(0o700).create(lab.join(name))?;
    }
    fs::write(lab.join("outside/file"), "original")?;
    fs::write(lab.join("hidden/secret"), "secret")?;
    state(lab)
}

/// All that an attack could change outside.
fn state(lab: &Path) -> io::Result<String> {
    let entries = fs::read_dir(lab.join("outside"))?.count();
    let file = lab.join("outside/file");
    Ok(format!(
        "{entries} {} {}",
        fs::metadata(&file)?.mode(),
        fs::read_to_string(&file)?
    ))
}

/// The settings of the sandbox that is attacked.
fn policy(lab: &Path, settings: &Settings) -> String {
    let at = |name: &str| json::to_string(&lab.join(name).display().to_string());
    let bwrap = settings.bwrap_path.as_ref();
    let bwrap = bwrap.map_or(String::new(), |path| {
        format!(r#", "bwrapPath": {}"#, json::to_string(path))
    });
    format!(
        r#"{{"filesystem": {{"allowWrite": [{{"path": {}, "literal": true}}], "denyRead": [{{"path": {}, "literal": true}}]}},
            "network": {{"allowAllUnixSockets": {}}}, "allowNestedUserNamespaces": {},
            "enableWeakerNestedSandbox": {}{bwrap}}}"#,
        at("inside"),
        at("hidden"),
        settings.network.unix_sockets == UnixSockets::All,
        settings.user_namespaces == UserNamespaces::Allowed,
        settings.processes == Processes::Hosts,
    )
}

fn shown(report: &Report) -> String {
    let mut out = format!(
        "srt {}, {}, {}\nbubblewrap: {}\nLandlock: {}\nobserver: {}\ncapture: {}\n",
        report.version,
        report.kernel,
        report.user,
        report.bubblewrap,
        match report.landlock {
            0 => "none".into(),
            abi => format!("ABI {abi}"),
        },
        report.observer,
        report.capture
    );
    if let Some(problem) = &report.problem {
        out += &format!("\nThere is no sandbox here:\n{problem}\n");
    }
    for finding in &report.guarantees {
        let given = if finding.given { "given" } else { "NOT GIVEN" };
        let required = if finding.required {
            ""
        } else {
            ", not required"
        };
        out += &format!(
            "\n{} ({}): {given}{required}\n",
            finding.name,
            meaning(&finding.name)
        );
        out += &format!("  by {}\n", finding.layers.join(", "));
        for text in finding.lost.iter().chain(&finding.less) {
            out += &format!("  {text}\n");
        }
        for Attempt { attack, result } in &finding.attacks {
            out += &format!("    {attack:<36} {result}\n");
        }
    }
    out
}

fn meaning(name: &str) -> &'static str {
    let guarantee = Guarantee::ALL.into_iter().find(|g| g.name() == name);
    guarantee.map_or("", Guarantee::meaning)
}
