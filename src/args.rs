//! The command line: arguments → [`Action`]. Pure.
#![forbid(unsafe_code)]

use std::ffi::OsString;

use lexopt::Arg::{Long, Short, Value};
use lexopt::ValueExt;

mod help;
mod stage;

pub use help::HELP;
pub use stage::Stage;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Run a command, or with `Show::Plan` print what would be run.
    Run(Run),
    /// Prove what this host can enforce.
    Doctor(Doctor),
    /// Say what would be decided, and by which rule.
    Explain(Explain),
    /// Look settings over.
    Check(Check),
    /// Print the help text.
    Help,
    /// Print name and version.
    Version,
    /// One of the program's own further roles.
    Stage(Stage),
}

/// A command to run and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Settings file as named; `None` for the default one.
    pub settings: Option<OsString>,
    /// Say on stderr what is decided and done.
    pub verbosity: Verbosity,
    /// Run it, or only show the plan.
    pub mode: Mode,
    /// Where violations are logged.
    pub log: Option<LogTo>,
    /// A descriptor by which a supervisor speaks with us.
    pub control: Option<i32>,
    /// What is said of them afterwards.
    pub afterwards: Afterwards,
    /// Layers that are left out, for tests of the others.
    pub without: Vec<Layer>,
    /// A directory with programs in the place of macOS's, for tests of its run path.
    pub tools: Option<OsString>,
    /// The program and its arguments, exactly.
    pub argv: Vec<OsString>,
}

/// Where violations are logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTo {
    /// A file, appended to.
    File(OsString),
    /// Standard error.
    Stderr,
    /// An inherited descriptor.
    Descriptor(i32),
}

/// What is said after a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// One line, on a terminal.
    Nothing,
    /// What would have allowed what was denied.
    Suggest,
    /// The settings under which the run would have gone through; hosts that no rule speaks
    /// of were let through.
    Learn,
}

/// Paths, hosts or sockets to be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explain {
    /// Settings file as named; `None` for the default one.
    pub settings: Option<OsString>,
    /// What would be done.
    pub what: What,
    /// To what.
    pub targets: Vec<OsString>,
}

/// What `--explain` is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Reading files.
    Read,
    /// Writing files.
    Write,
    /// Connecting to hosts.
    Connect,
    /// Connecting to Unix sockets.
    Socket,
}

/// What `--doctor` looks at, and how it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doctor {
    /// Settings file as named; `None` for the default one.
    pub settings: Option<OsString>,
    /// For whom the answer is.
    pub format: Format,
    /// Layers that are left out, for tests.
    pub without: Vec<Layer>,
}

/// What `--check` looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Settings file as named; with `new`, the old one.
    pub file: OsString,
    /// A settings file that is to allow no more than the old one.
    pub new: Option<OsString>,
}

/// For whom an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A person.
    Text,
    /// A machine.
    Json,
}

/// How much `srt` says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// Errors, and what was denied.
    Normal,
    /// Each decision and step.
    Debug,
}

/// A layer that the hidden option `--without` leaves out. Only builds for debugging have
/// that option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// Mounts, but for /dev and /proc.
    Mounts,
    /// Landlock.
    Landlock,
    /// The seccomp filter.
    Seccomp,
}

/// Whether the command is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Run it.
    Execute,
    /// Print what would be run on this platform, or here, and stop.
    DryRun(Option<Platform>),
}

/// What is to enforce the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// bubblewrap, seccomp and Landlock.
    Linux,
    /// Seatbelt.
    MacOs,
}

/// Reads the arguments that follow the program's name.
///
/// # Errors
/// One line that says what is wrong with the command line.
pub fn action(arguments: impl IntoIterator<Item = OsString>) -> Result<Action, String> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut settings = None;
    let mut verbosity = Verbosity::Normal;
    let (mut dry, mut platform) = (false, None);
    let (mut doctor, mut json) = (false, false);
    let (mut log, mut control) = (None, None);
    let mut afterwards = Afterwards::Nothing;
    let (mut without, mut tools) = (Vec::new(), None);
    let mut argv = Vec::new();
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Short('s') | Long("settings") => {
                let value = parser.value().map_err(|e| e.to_string())?;
                if settings.replace(value).is_some() {
                    return Err("--settings is given twice".into());
                }
            }
            Short('c') => {
                let script = parser.value().map_err(|e| e.to_string())?;
                if let Some(word) = parser.next().map_err(|e| e.to_string())? {
                    return Err(format!("unexpected {} after -c STRING", shown(&word)));
                }
                argv = vec!["sh".into(), "-c".into(), script];
            }
            Short('d') | Long("debug") => verbosity = Verbosity::Debug,
            Long("log") => {
                let to = parser.value().map_err(|e| e.to_string())?;
                set_log(
                    &mut log,
                    if to == "-" {
                        LogTo::Stderr
                    } else {
                        LogTo::File(to)
                    },
                )?;
            }
            Long("log-fd") => {
                let number = parser.value().and_then(|v| v.parse());
                match number {
                    Ok(number @ 3..) => set_log(&mut log, LogTo::Descriptor(number))?,
                    _ => return Err("--log-fd takes the number of a descriptor, 3 or more".into()),
                }
            }
            Long("control-fd") => {
                let number = parser.value().and_then(|v| v.parse());
                match number {
                    Ok(number @ 3..) if control.is_none() => control = Some(number),
                    Ok(3..) => return Err("--control-fd is given twice".into()),
                    _ => {
                        return Err(
                            "--control-fd takes the number of a descriptor, 3 or more".into()
                        );
                    }
                }
            }
            Long("suggest") if afterwards == Afterwards::Nothing => {
                afterwards = Afterwards::Suggest;
            }
            Long("learn") => afterwards = Afterwards::Learn,
            Long("suggest") => {}
            Long("explain") => return explain(&mut parser, settings).map(Action::Explain),
            Long("dry-run") => dry = true,
            Long("platform") => platform = Some(system(&mut parser)?),
            Long("doctor") => doctor = true,
            Long("json") => json = true,
            Long("check") => {
                let alone = settings.is_none() && without.is_empty();
                if !alone || doctor || json || dry || platform.is_some() {
                    return Err("--check goes with no other option".into());
                }
                return check(&mut parser).map(Action::Check);
            }
            Short('h') | Long("help") => return Ok(Action::Help),
            Short('V') | Long("version") => return Ok(Action::Version),
            Long("without") if cfg!(debug_assertions) => without.push(layer(&mut parser)?),
            Long("as-macos") if cfg!(debug_assertions) => {
                tools = Some(parser.value().map_err(|e| e.to_string())?);
            }
            Long("stage") => return stage::stage(&mut parser).map(Action::Stage),
            Value(program) => {
                argv.push(program);
                argv.extend(parser.raw_args().map_err(|e| e.to_string())?);
            }
            other @ (Short(_) | Long(_)) => {
                return Err(format!("unknown option {}", shown(&other)));
            }
        }
    }
    match (doctor, argv.first()) {
        (true, Some(word)) => return Err(format!("--doctor runs no command ({word:?})")),
        (true, None) => {
            let format = if json { Format::Json } else { Format::Text };
            return Ok(Action::Doctor(Doctor {
                settings,
                format,
                without,
            }));
        }
        (false, _) if platform.is_some() && !dry => {
            return Err("--platform goes with --dry-run".into());
        }
        (false, _) if json => return Err("--json goes with --doctor".into()),
        (false, None) => return Err("no command given".into()),
        (false, Some(_)) => {}
    }
    if let (Some(LogTo::Descriptor(one)), Some(other)) = (&log, control) {
        if *one == other {
            return Err("--log-fd and --control-fd are the same descriptor".into());
        }
    }
    Ok(Action::Run(Run {
        settings,
        verbosity,
        mode: match dry {
            true => Mode::DryRun(platform),
            false => Mode::Execute,
        },
        log,
        control,
        afterwards,
        without,
        tools,
        argv,
    }))
}

fn set_log(log: &mut Option<LogTo>, to: LogTo) -> Result<(), String> {
    match log.replace(to) {
        Some(_) => Err("--log or --log-fd is given twice".into()),
        None => Ok(()),
    }
}

fn explain(parser: &mut lexopt::Parser, settings: Option<OsString>) -> Result<Explain, String> {
    const USAGE: &str = "--explain takes read, write, connect or socket, and what that is done to";
    let mut words = parser.raw_args().map_err(|_| USAGE)?;
    let what = match words.next().as_ref().and_then(|word| word.to_str()) {
        Some("read") => What::Read,
        Some("write") => What::Write,
        Some("connect") => What::Connect,
        Some("socket") => What::Socket,
        _ => return Err(USAGE.into()),
    };
    let targets: Vec<OsString> = words.collect();
    if targets.is_empty() {
        return Err(USAGE.into());
    }
    Ok(Explain {
        settings,
        what,
        targets,
    })
}

impl Layer {
    /// As the option has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mounts => "mounts",
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
        }
    }
}

fn check(parser: &mut lexopt::Parser) -> Result<Check, String> {
    let file = parser.value().map_err(|e| e.to_string())?;
    let mut new = None;
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Value(word) if new.is_none() => new = Some(word),
            other => return Err(format!("unexpected {} after --check", shown(&other))),
        }
    }
    Ok(Check { file, new })
}

fn system(parser: &mut lexopt::Parser) -> Result<Platform, String> {
    let name = parser.value().map_err(|e| e.to_string())?;
    match name.to_str() {
        Some("linux") => Ok(Platform::Linux),
        Some("macos") => Ok(Platform::MacOs),
        _ => Err("--platform takes linux or macos".into()),
    }
}

fn layer(parser: &mut lexopt::Parser) -> Result<Layer, String> {
    let name = parser.value().map_err(|e| e.to_string())?;
    let all = [Layer::Mounts, Layer::Landlock, Layer::Seccomp];
    all.into_iter()
        .find(|layer| name == layer.name())
        .ok_or_else(|| "--without takes mounts, landlock or seccomp".into())
}

fn shown(arg: &lexopt::Arg<'_>) -> String {
    match arg {
        Short(c) => format!("-{c}"),
        Long(name) => format!("--{name}"),
        Value(word) => format!("{:?}", word.to_string_lossy()),
    }
}
