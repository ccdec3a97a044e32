//! Many commands under one policy.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::events::{Answer, Ask, AskId, Child, Ended, Event, RunId, Tunnels, Unlisted};
use super::handle::{Handle, Order};
use super::violations::{Violation, Violations};
use super::{Command, Settings, Stdio, is_initialised};
use crate::error::{Error, While};
use crate::parse::host::Target;
use crate::policy::live::Live;
use crate::policy::network::{self, Network};
use crate::proxy::conversation::Decided;
use crate::reactor::runs::{self, Run};
use crate::reactor::token::Slot;
use crate::run::course::Stops;
use crate::run::engine::{self, Engine, Finished};
use crate::run::holds::Holds;
use crate::run::report::{Report, Subject};
use crate::run::request::{Hearing, Request, Stream, THIS};
use crate::run::{plan, say};
use crate::sys;

/// The number of what wakes the loop.
const WAKE: u32 = 0;

/// Many commands under one policy, at once or one after another: one proxy, one set of
/// rules, one place where names are looked up. Nothing of it is global; it belongs to one
/// thread, which drives it by [`Session::next`] while commands run: without that, they
/// neither start nor reach anything.
///
/// Files are looked at anew for each command: what one has made, the next may not misuse.
/// Placeholders stay from the first that needs them to the end of the session.
///
/// Dropped, it ends every command.
///
/// # Examples
///
/// ```standalone_crate
/// use sandbox_runtime::{Command, Event, Session, Settings, Stdio};
///
/// fn main() -> Result<(), sandbox_runtime::Error> {
///     sandbox_runtime::init();
///     let mut session = Session::new(&Settings::default())?;
///     let mut commands = Vec::new();
///     for status in [3, 4] {
///         let command = Command::new("sh").args(["-c", &format!("exit {status}")]);
///         commands.push(session.spawn(command)?.run);
///     }
///     let mut statuses = Vec::new();
///     while !session.is_idle() {
///         if let Some(Event::Ended(ended)) = session.next(None)? {
///             statuses.push((ended.run, ended.status?));
///         }
///     }
///     statuses.sort();
///     assert_eq!(statuses, [(commands[0], 3), (commands[1], 4)]);
///     Ok(())
/// }
/// ```
pub struct Session {
    settings: Settings,
    program: Option<PathBuf>,
    engine: Engine,
    handle: Handle,
    unlisted: Unlisted,
    /// The rules in force, once there are others than the settings'.
    rules: Option<Network>,
    live: Option<Live>,
    runs: BTreeMap<Run, RunId>,
    next_run: u64,
    asks: BTreeMap<u64, (Slot, Run)>,
    next_ask: u64,
    events: VecDeque<Event>,
    notes: Vec<String>,
    /// The placeholders of the first command that made some.
    holds: Option<Holds>,
}

impl Session {
    /// A session without commands.
    ///
    /// # Errors
    /// The kernel gives no descriptor for its loop.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        Self::driven_by(settings, None)
    }

    /// The same, where this `srt` plays its roles, because the program itself does not call
    /// [`init`](super::init).
    ///
    /// # Errors
    /// The kernel gives no descriptor for its loop.
    pub fn with_program(settings: &Settings, program: impl AsRef<Path>) -> Result<Self, Error> {
        let program = std::path::absolute(program).doing("finding srt")?;
        Self::driven_by(settings, Some(program))
    }

    fn driven_by(settings: &Settings, program: Option<PathBuf>) -> Result<Self, Error> {
        let descriptors = sys::host::descriptor_limit().doing("reading the descriptor limit")?;
        let plays = program.as_deref().unwrap_or(Path::new(THIS));
        let engine = Engine::new(Network::default(), plays, descriptors)?;
        let wake = engine.reactor.wake(WAKE).doing("starting the loop")?;
        Ok(Self {
            settings: settings.clone(),
            program,
            engine,
            handle: Handle::new(wake),
            unlisted: Unlisted::Refuse,
            rules: None,
            live: None,
            runs: BTreeMap::new(),
            next_run: 1,
            asks: BTreeMap::new(),
            next_ask: 1,
            events: VecDeque::new(),
            notes: Vec::new(),
            holds: None,
        })
    }

    /// Says what is done with what no rule speaks of, from now on.
    pub fn set_unlisted(&mut self, unlisted: Unlisted) {
        self.unlisted = unlisted;
        if let Some(rules) = self.rules.clone() {
            self.put(rules, runs::Tunnels::Kept);
        }
    }

    /// Puts rules into force.
    fn put(&mut self, rules: Network, tunnels: runs::Tunnels) {
        self.rules = Some(rules.clone());
        let unlisted = match self.unlisted {
            Unlisted::Refuse => network::Unlisted::Refused,
            Unlisted::Ask => network::Unlisted::Asked,
        };
        let rules = rules.with_unlisted(unlisted);
        self.engine.reactor.update(rules, tunnels);
    }

    /// Starts a command. Its sandbox comes up while [`Session::next`] is called.
    ///
    /// # Errors
    /// Nothing has run: the settings cannot be enforced here, bubblewrap is not there, or the
    /// kernel gives no process or descriptor.
    pub fn spawn(&mut self, command: Command) -> Result<Child, Error> {
        if self.program.is_none() {
            is_initialised()?;
        }
        let mut notes = std::mem::take(&mut self.notes);
        let spawned = say::heard(&mut notes, || self.spawn_heard(command));
        self.notes = notes;
        spawned
    }

    fn spawn_heard(&mut self, command: Command) -> Result<Child, Error> {
        let mut request = Request::plain(self.settings.0.clone())?;
        if let Some(directory) = &command.directory {
            request.directory = std::path::absolute(directory).doing("finding the directory")?;
        }
        if let Some(environment) = command.environment() {
            request.environment.clone_from(environment);
        }
        if let Some(program) = &self.program {
            request.program.clone_from(program);
        }
        request.hearing = Hearing::Somebody;
        request.longest = command.timeout;
        request.argv = command.argv;
        let mut ours = [const { None }; 3];
        for (number, stream) in command.streams.into_iter().enumerate() {
            request.streams[number] = match stream {
                Stdio::Inherit => Stream::Inherited,
                Stdio::Null => Stream::Null,
                Stdio::Fd(fd) => Stream::Given(fd),
                Stdio::Piped => {
                    let (read, write) = sys::fd::pipe().doing("making a pipe")?;
                    let (own, theirs) = match number {
                        0 => (write, read),
                        _ => (read, write),
                    };
                    ours[number] = Some(File::from(own));
                    Stream::Given(theirs)
                }
            };
        }
        let mut plan = plan::make(&request)?;
        if self.rules.is_none() {
            let rules = plan.policy.network.clone();
            self.put(rules, runs::Tunnels::Kept);
        }
        self.live.get_or_insert_with(|| plan.policy.live.clone());
        let mut report = Report::new(Subject::of(&mut plan), &request);
        report.keep_fresh();
        let launched = engine::launch(plan, &request)?;
        let run = self.engine.adopt(launched, report, Stops::Never)?;
        let id = RunId(self.next_run);
        self.next_run += 1;
        self.runs.insert(run, id);
        let [stdin, stdout, stderr] = ours;
        Ok(Child {
            run: id,
            stdin,
            stdout,
            stderr,
        })
    }

    /// Whether no command runs, and no event waits.
    pub fn is_idle(&self) -> bool {
        self.runs.is_empty() && self.events.is_empty() && self.notes.is_empty()
    }

    /// What has happened next. Waits for it, at most `longest`; `None`: nothing has.
    ///
    /// # Errors
    /// The loop is broken: drop the session.
    pub fn next(&mut self, longest: Option<Duration>) -> Result<Option<Event>, Error> {
        let until = longest.and_then(|longest| Instant::now().checked_add(longest));
        loop {
            if let Some(note) = self.notes.pop() {
                return Ok(Some(Event::Note(note)));
            }
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if until.is_some_and(|until| Instant::now() > until) {
                return Ok(None);
            }
            let mut notes = std::mem::take(&mut self.notes);
            let turned = say::heard(&mut notes, || self.turn(until));
            notes.reverse();
            self.notes = notes;
            turned?;
            if until.is_some_and(|until| Instant::now() >= until)
                && self.events.is_empty()
                && self.notes.is_empty()
            {
                return Ok(None);
            }
        }
    }

    fn turn(&mut self, until: Option<Instant>) -> Result<(), Error> {
        let mut own = Vec::new();
        let finished = self.engine.turn(until, None, &mut own)?;
        if own.contains(&WAKE) {
            self.obey();
        }
        let engine = &mut self.engine;
        for (run, id) in &self.runs {
            let fresh = engine.report(*run).map(Report::take_fresh);
            let fresh = fresh.into_iter().flatten();
            self.events
                .extend(fresh.map(|one| Event::Violation(*id, Violation(one))));
            for question in engine.reactor.take_questions(*run) {
                let Target { host, port } = question.target;
                self.asks.insert(self.next_ask, (question.slot, *run));
                self.events.push_back(Event::Ask(Ask {
                    id: AskId(self.next_ask),
                    run: *id,
                    host: host.to_string(),
                    port,
                }));
                self.next_ask += 1;
            }
        }
        for one in finished {
            self.end(one);
        }
        // Of those that nobody has answered, the connection is gone.
        let reactor = &mut self.engine.reactor;
        self.asks.retain(|_, (slot, _)| reactor.is_asking(*slot));
        Ok(())
    }

    fn end(&mut self, finished: Finished) {
        let Finished {
            run,
            status,
            mut report,
            mut plan,
        } = finished;
        let Some(id) = self.runs.remove(&run) else {
            return;
        };
        self.asks.retain(|_, (_, of)| *of != run);
        let fresh = report.take_fresh().into_iter();
        self.events
            .extend(fresh.map(|one| Event::Violation(id, Violation(one))));
        if self.holds.is_none() && plan.holds.as_ref().is_some_and(Holds::holds_some) {
            self.holds = plan.holds.take();
        }
        drop(plan);
        let (all, dropped) = report.into_all();
        let all = all.into_iter().map(Violation).collect();
        self.events.push_back(Event::Ended(Ended {
            run: id,
            status,
            violations: Violations { all, dropped },
        }));
    }

    /// Does what other threads have asked for.
    fn obey(&mut self) {
        for order in self.handle.take() {
            match order {
                Order::Update(settings, tunnels) => {
                    if let Err(error) = self.update(&settings, tunnels) {
                        say::say(&error.to_string());
                    }
                }
                Order::Answer(ask, answer) => self.answer(ask, answer),
                Order::Kill(run, signal) => self.kill(run, signal),
            }
        }
    }

    /// Has the network's rules of `settings` decide from now on, for commands that run and
    /// those to come. Files and Unix sockets stay as they are; so do the ports that capture
    /// listens on.
    ///
    /// # Errors
    /// A rule that cannot be had so (`mitmProxy` with another socket): the old ones stay.
    ///
    /// # Examples
    ///
    /// ```standalone_crate
    /// use sandbox_runtime::{Command, Event, Session, Settings, Tunnels};
    ///
    /// fn main() -> Result<(), sandbox_runtime::Error> {
    ///     sandbox_runtime::init();
    ///     let mut session = Session::new(&Settings::default())?;
    ///     let script = "while curl -sS http://new.example/ | grep -q blocked; do sleep 0.1; done";
    ///     session.spawn(Command::new("sh").args(["-c", script]))?;
    ///     while !session.is_idle() {
    ///         match session.next(None)? {
    ///             // The first try was refused: from now on it is let through, to where nobody is.
    ///             Some(Event::Violation(..)) => {
    ///                 let allowed = br#"{"network": {"allowedDomains": ["new.example"]}}"#;
    ///                 session.update(&Settings::from_json(allowed)?, Tunnels::Cut)?;
    ///             }
    ///             Some(Event::Ended(ended)) => assert_eq!(ended.status?, 0),
    ///             _ => {}
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn update(&mut self, settings: &Settings, tunnels: Tunnels) -> Result<(), Error> {
        let live = self.live.clone().unwrap_or_default();
        let rules = live.network(&settings.0.settings.network);
        let rules = rules.map_err(|problems| settings.0.problems(problems))?;
        self.put(
            rules,
            match tunnels {
                Tunnels::Keep => runs::Tunnels::Kept,
                Tunnels::Cut => runs::Tunnels::Cut,
            },
        );
        Ok(())
    }

    /// Answers a question. One that has been answered, or waits no more, needs none.
    ///
    /// # Examples
    ///
    /// ```standalone_crate
    /// use sandbox_runtime::{Answer, Command, Event, Session, Settings, Stdio, Unlisted};
    ///
    /// fn main() -> Result<(), sandbox_runtime::Error> {
    ///     sandbox_runtime::init();
    ///     let mut session = Session::new(&Settings::default())?;
    ///     session.set_unlisted(Unlisted::Ask);
    ///     let command = Command::new("curl").args(["-sS", "-o", "/dev/null", "-w", "%{http_code}"]);
    ///     let command = command.arg("http://new.example/").stdout(Stdio::Piped);
    ///     let child = session.spawn(command)?;
    ///     while !session.is_idle() {
    ///         if let Some(Event::Ask(ask)) = session.next(None)? {
    ///             assert_eq!((ask.run, ask.host.as_str(), ask.port), (child.run, "new.example", 80));
    ///             session.answer(ask.id, Answer::Deny);
    ///         }
    ///     }
    ///     let said = std::io::read_to_string(child.stdout.unwrap()).unwrap();
    ///     assert_eq!(said, "403");
    ///     Ok(())
    /// }
    /// ```
    pub fn answer(&mut self, ask: AskId, answer: Answer) {
        let Some((slot, _)) = self.asks.remove(&ask.0) else {
            return;
        };
        let answer = match answer {
            Answer::Allow => Decided::Allow,
            Answer::Deny => Decided::Deny,
        };
        self.engine.reactor.decide(slot, answer);
    }

    /// Sends a signal to a command, by its number (signal(7)). One that has ended needs none.
    pub fn kill(&mut self, run: RunId, signal: i32) {
        let found = self.runs.iter().find(|(_, id)| **id == run);
        if let Some((run, _)) = found {
            self.engine.signal(*run, signal);
        }
    }

    /// What reaches this session from other threads.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Nobody hears of it any more.
        say::heard(&mut Vec::new(), || {
            self.engine.end_all();
            self.holds = None;
        });
    }
}
