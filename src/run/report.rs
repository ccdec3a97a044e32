//! What becomes of a refusal: kept, logged, told at the end, and what would allow it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::paths::path;
use super::probe::home;
use super::request::Request;
use super::say::say_patiently;
use crate::args::{Afterwards, LogTo, Verbosity};
use crate::error::Error;
use crate::limits::LOG_LINES;
use crate::parse::json::{self, Node};
use crate::policy::guarantees::Given;
use crate::policy::network::Reason;
use crate::reactor::connection::Outcome as Became;
use crate::reactor::{Reactor, Refusal};
use crate::sys;
use crate::violation::log::{self, Head};
use crate::violation::merge::merge;
use crate::violation::suggest::{Lies, Sight, suggest};
use crate::violation::{Added, Ignored, Kind, Outcome, Process, Store, Violation};

/// Where the log goes. Nothing that is written to it waits for a reader.
pub struct Log {
    file: File,
    /// The file, where it has a name: the command must not write it.
    pub path: Option<PathBuf>,
    lines: u64,
    lost: u64,
}

impl Log {
    /// Opens what the command line names.
    ///
    /// # Errors
    /// It cannot be appended to.
    pub fn open(to: &LogTo) -> Result<Self, Error> {
        let failed = |what: String| move |e: io::Error| Error::Policy(vec![format!("{what}: {e}")]);
        let (file, path) = match to {
            LogTo::Stderr => {
                let copy = io::stderr().as_fd().try_clone_to_owned();
                (copy.map_err(failed("--log -".into()))?, None)
            }
            LogTo::Descriptor(number) => {
                let taken = sys::fd::inherited(*number);
                (taken.map_err(failed(format!("--log-fd {number}")))?, None)
            }
            LogTo::File(name) => {
                let what = format!("--log {}", Path::new(name).display());
                let (file, path) = named(name).map_err(failed(what))?;
                (file, Some(path))
            }
        };
        Ok(Self {
            file: File::from(file),
            path,
            lines: 0,
            lost: 0,
        })
    }

    fn write(&mut self, line: &str) {
        self.lines += 1;
        let whole = self.lines <= LOG_LINES
            && sys::fd::takes_writes(self.file.as_fd())
            && matches!(self.file.write(line.as_bytes()), Ok(n) if n == line.len());
        self.lost += u64::from(!whole);
    }
}

/// Opens a log by its name, which nothing that a sandboxed command may have planted can
/// lead elsewhere: no symbolic link is followed, and the file has no other name.
fn named(name: &OsString) -> io::Result<(OwnedFd, PathBuf)> {
    let path = std::path::absolute(name)?;
    let file = sys::dir::open_log(path.as_os_str().as_bytes()).map_err(|e| {
        if sys::dir::is_loop(&e) {
            io::Error::other("goes through a symbolic link: name the place that it leads to")
        } else {
            e
        }
    })?;
    let found = File::from(file.try_clone()?).metadata()?;
    if found.is_file() && found.nlink() != 1 {
        return Err(io::Error::other(
            "has another name (a hard link), by which it could be rewritten",
        ));
    }
    Ok((file, path))
}

/// What a report is about.
pub struct Subject<'a> {
    /// The run's name.
    pub run: &'a str,
    /// The settings file's content; empty without one.
    pub settings: &'a [u8],
    /// `ignoreViolations`.
    pub ignored: &'a [(String, Vec<String>)],
    /// What is promised.
    pub guarantees: &'a [Given],
    /// The log, if there is to be one.
    pub log: Option<Log>,
}

#[cfg(target_os = "linux")]
impl<'a> Subject<'a> {
    /// What a plan is about.
    pub fn of(plan: &'a mut super::plan::Plan) -> Self {
        Self {
            log: plan.log.take(),
            run: plan.temporary.run(),
            settings: &plan.settings,
            ignored: &plan.ignored,
            guarantees: &plan.guarantees,
        }
    }
}

/// The refusals of a run.
pub struct Report {
    store: Store,
    ignored: Ignored,
    log: Option<Log>,
    run: String,
    verbosity: Verbosity,
    afterwards: Afterwards,
    count: u64,
    document: Option<Node>,
    /// What is new since somebody asked, if anybody does.
    fresh: Option<Vec<Violation>>,
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

impl Report {
    /// Begins the report of a run, and its log.
    pub fn new(subject: Subject<'_>, run: &Request) -> Self {
        let word = |word: &OsString| word.to_string_lossy().into_owned();
        let command: Vec<String> = run.argv.iter().map(word).collect();
        let mut report = Self {
            store: Store::default(),
            ignored: Ignored::new(subject.ignored, &command.join(" ")),
            log: subject.log,
            run: subject.run.to_owned(),
            verbosity: run.verbosity,
            afterwards: run.afterwards,
            count: 0,
            document: json::document(subject.settings).ok(),
            fresh: None,
        };
        let settings = Some(subject.settings).filter(|text| !text.is_empty());
        let digest = settings.map(crate::violation::digest::sha256);
        let given = subject.guarantees.iter().map(|given| {
            let layers = match given.lost {
                Some(_) => Vec::new(),
                None => given.layers.clone(),
            };
            (given.guarantee.name(), layers)
        });
        let head = Head {
            version: env!("CARGO_PKG_VERSION"),
            policy: digest.as_deref(),
            guarantees: given.collect(),
        };
        report.write(&log::head(&head, &report.run, now()));
        report
    }

    fn write(&mut self, line: &str) {
        if let Some(log) = &mut self.log {
            log.write(line);
        }
    }

    /// A name was refused an address. Who asked is not known: a datagram has no connection.
    pub fn name(&mut self, name: String, reason: &Reason) {
        self.add(Violation {
            kind: Kind::Network,
            action: "lookup".into(),
            target: name,
            rule: reason.rule(),
            reason: reason.to_string(),
            outcome: Outcome::Denied,
            process: None,
            time: now(),
            count: 1,
        });
    }

    /// A destination was refused, or let through to be learned.
    fn host(
        &mut self,
        target: String,
        reason: &Reason,
        outcome: Outcome,
        process: Option<Process>,
    ) {
        self.add(Violation {
            kind: Kind::Network,
            action: "connect".into(),
            target,
            rule: reason.rule(),
            reason: reason.to_string(),
            outcome,
            process,
            time: now(),
            count: 1,
        });
    }

    /// The proxy has refused a connection, or let it through to be learned; it gets its
    /// answer now.
    pub fn refused(&mut self, refusal: Refusal, process: Option<Process>, reactor: &mut Reactor) {
        let outcome = match refusal.outcome {
            Became::Denied => Outcome::Denied,
            Became::Learned => Outcome::Learned,
        };
        let target = refusal.target.to_string();
        self.host(target, &refusal.reason, outcome, process);
        reactor.release(refusal.slot);
    }

    /// The observer has seen an attempt that the policy denies.
    pub fn attempt(
        &mut self,
        kind: Kind,
        action: String,
        rule: String,
        target: &[u8],
        process: Process,
    ) {
        self.add(Violation {
            kind,
            action,
            target: String::from_utf8_lossy(target).into_owned(),
            reason: rule.clone(),
            rule,
            outcome: Outcome::Denied,
            process: Some(process),
            time: now(),
            count: 1,
        });
    }

    /// From now on, [`Report::take_fresh`] is asked.
    pub fn keep_fresh(&mut self) {
        self.fresh = Some(Vec::new());
    }

    /// What was refused for the first time since this was asked last.
    pub fn take_fresh(&mut self) -> Vec<Violation> {
        self.fresh.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// All that was refused, each with the number of times; and how many more there were.
    pub fn into_all(self) -> (Vec<Violation>, u64) {
        let dropped = self.store.dropped();
        (self.store.iter().cloned().collect(), dropped)
    }

    /// The run's name.
    pub fn run(&self) -> &str {
        &self.run
    }

    fn add(&mut self, violation: Violation) {
        if self.ignored.covers(&violation) {
            return;
        }
        let line = self
            .log
            .is_some()
            .then(|| log::line(&violation, &self.run, violation.time));
        let fresh = self.fresh.as_ref().map(|_| violation.clone());
        if self.store.add(violation) == Added::First {
            self.count += 1;
            if let Some(all) = &mut self.fresh {
                all.extend(fresh);
            }
            line.iter().for_each(|line| self.write(line));
        }
    }

    /// The run is over: what happened more than once is logged with its count, and what
    /// there is to say is said.
    pub fn end(mut self) {
        let at = now();
        let again = self.store.iter().filter(|v| v.count > 1);
        let lines: Vec<String> = again.map(|v| log::line(v, &self.run, at)).collect();
        lines.iter().for_each(|line| self.write(line));
        let lost = self.log.as_ref().map_or(0, |log| log.lost);
        self.write(&log::end(self.count, lost, &self.run, at));
        let mut told = true;
        if self.verbosity == Verbosity::Debug {
            // Once nobody takes a line, nobody is waited for again.
            told = self.store.iter().all(|v| say_patiently(&v.to_string()));
            if told && self.store.dropped() > 0 {
                told = say_patiently(&format!("{} more were not kept", self.store.dropped()));
            }
        } else if io::stderr().is_terminal() && self.afterwards == Afterwards::Nothing {
            told = self.store.summary().iter().all(|line| say_patiently(line));
        }
        if told && lost > 0 {
            told = say_patiently(&format!(
                "{lost} lines of the log were lost: there were too many, or nobody took them in time"
            ));
        }
        if told {
            self.suggest();
        }
    }

    fn suggest(&self) {
        let (word, document) = match self.afterwards {
            Afterwards::Nothing => return,
            Afterwards::Suggest => ("suggest", None),
            Afterwards::Learn => ("learned", self.document.as_ref()),
        };
        let lies = |at: &[u8]| match fs::metadata(path(at)) {
            Ok(found) if found.is_dir() => Lies::Directory,
            Ok(_) => Lies::File,
            Err(_) => Lies::Nowhere,
        };
        let home = home().and_then(|home| fs::canonicalize(home).ok());
        let home = home.map(|home| home.into_os_string().into_encoded_bytes());
        let sight = Sight {
            lies: &lies,
            home: home.as_deref().unwrap_or_default(),
        };
        let suggestion = suggest(self.store.iter(), &sight);
        let left = suggestion.left.iter();
        let mut left = left.map(|line| format!("not suggested: {}", crate::violation::plain(line)));
        if !left.all(|line| say_patiently(&line)) {
            return;
        }
        if suggestion.added.is_empty() && word == "suggest" {
            say_patiently("suggest: nothing");
        } else {
            say_patiently(&format!("{word}: {}", merge(document, &suggestion.added)));
        }
    }
}
