//! The supervisor: one plain loop over units that ended, restarts that are due, commands, changed
//! files and the service manager's watchdog.
//!
//! Signals and requests reach it as [`Command`]s, so that tests drive the same loop.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use modtwin_api::ReloadOutcome;
use modtwin_config::{Config, ConfigDiff, Module};
use modtwin_core::ids::ModuleId;
use modtwin_core::status::HubState;
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at};
use tracing::{error, info, warn};

use crate::config_watch::{ConfigWatch, fingerprint};
use crate::foresight::Foresight;
use crate::local_api::{AdminCommand, Entry, Facts, Registry, ReloadReply, Shared};
use crate::systemd::{ServiceManager, watchdog_interval};
use crate::unit::{Replacement, Unit};
use crate::wiring::{Workshop, budget, handler_rules};

/// How often the status line is looked at, and the watchdog fed at the least.
const TICK: Duration = Duration::from_secs(5);
/// How long sessions may take to say goodbye and save. Less than the unit's `TimeoutStopSec=`.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// What the supervisor can be told.
#[derive(Debug)]
pub enum Command {
    /// End: drain and return.
    Stop,
    /// Read the config again.
    Reload,
}

/// What can happen to the supervisor.
#[derive(Debug)]
enum Event {
    Command(Command),
    Admin(AdminCommand),
    Ended(Result<(Id, ()), JoinError>),
    RestartDue,
    FilesChanged,
    Tick,
    Responsive(bool),
}

/// What the supervisor is built with.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) config_path: PathBuf,
    pub(crate) config: Config,
    pub(crate) workshop: Workshop,
    pub(crate) facts: Arc<Facts>,
    pub(crate) admin: mpsc::Receiver<AdminCommand>,
    pub(crate) commands: mpsc::Receiver<Command>,
}

/// The supervisor of all modules.
#[derive(Debug)]
pub(crate) struct Supervisor {
    parts: Parts,
    units: Vec<Unit>,
    tasks: JoinSet<()>,
    checks: JoinSet<bool>,
    registry: watch::Sender<Arc<Registry>>,
    manager: ServiceManager,
    files: ConfigWatch,
    foresight: Foresight,
}

impl Supervisor {
    /// Opens every module; what is on disk can be served from then on.
    pub(crate) async fn open(parts: Parts) -> Self {
        let mut units = Vec::new();
        for module in &parts.config.modules {
            let opened = parts.workshop.open(&parts.config.hub, module).await;
            let files = fingerprint(&parts.workshop.credential_paths(module));
            units.push(Unit::new(Arc::new(module.clone()), opened, files));
        }
        let registry = watch::Sender::new(Arc::new(registry(&parts, &units)));
        let files = ConfigWatch::start(&parts.config_path, &credential_folders(&parts));
        Self {
            parts,
            units,
            tasks: JoinSet::new(),
            checks: JoinSet::new(),
            registry,
            manager: ServiceManager::default(),
            files,
            foresight: Foresight::default(),
        }
    }

    /// What the local API serves, as it changes.
    pub(crate) fn registry(&self) -> watch::Receiver<Arc<Registry>> {
        self.registry.subscribe()
    }

    /// Starts all sessions and supervises them until told to stop; then drains them.
    pub(crate) async fn run(mut self) {
        for unit in &mut self.units {
            unit.start(&mut self.tasks);
        }
        self.manager.ready();
        info!(modules = self.units.len(), "ready");
        let period = watchdog_interval().map_or(TICK, |watchdog| TICK.min(watchdog / 3));
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let restart_at = self.units.iter().filter_map(|unit| unit.restart_at).min();
            let event = tokio::select! {
                biased;
                command = self.parts.commands.recv() => {
                    Event::Command(command.unwrap_or(Command::Stop))
                }
                Some(ended) = self.tasks.join_next_with_id() => Event::Ended(ended),
                () = sleep_until(restart_at.unwrap_or_else(Instant::now)), if restart_at.is_some() => {
                    Event::RestartDue
                }
                Some(checked) = self.checks.join_next() => Event::Responsive(checked.unwrap_or(false)),
                _ = ticks.tick() => Event::Tick,
                Some(admin) = self.parts.admin.recv() => Event::Admin(admin),
                () = self.files.changed() => Event::FilesChanged,
            };
            if matches!(event, Event::Command(Command::Stop)) {
                break;
            }
            self.handle(event).await;
        }
        self.drain().await;
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Command(Command::Stop) => {}
            Event::Command(Command::Reload) => {
                // What went wrong is in the log; nobody waits for the answer.
                let _logged = self.reload().await;
            }
            Event::Admin(AdminCommand::Reload { reply }) => {
                let outcome = self.reload().await;
                // A caller that has left needs no answer.
                let _left = reply.send(outcome);
            }
            Event::Ended(ended) => self.unit_ended(ended).await,
            Event::RestartDue => self.restart_due(),
            Event::FilesChanged => {
                let _logged = self.reload().await;
                self.look_at_credentials().await;
            }
            Event::Tick => {
                self.tick();
                self.look_ahead().await;
            }
            Event::Responsive(true) => self.manager.alive(),
            Event::Responsive(false) => error!("the MQTT thread does not answer"),
        }
    }

    fn tick(&mut self) {
        let connected = self
            .units
            .iter()
            .filter(|unit| unit.handle.view().hub.state == HubState::Connected)
            .count();
        self.manager.status(if self.units.is_empty() {
            let config = self.parts.config_path.display();
            format!("waiting for a config: `{config}` names no module yet")
        } else {
            format!("{connected} of {} modules connected", self.units.len())
        });
        // The watchdog is fed only while the thread that makes all MQTT calls still answers.
        if self.checks.is_empty() {
            let engine = Arc::clone(&self.parts.workshop.engine);
            self.checks.spawn(async move { engine.responsive(TICK).await });
        }
    }

    async fn unit_ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let (task, crashed) = match &ended {
            Ok((task, ())) => (*task, false),
            Err(error) => (error.id(), true),
        };
        let Some(index) = self.units.iter().position(|unit| unit.owns(task)) else {
            return;
        };
        let Some(unit) = self.units.get_mut(index) else {
            return;
        };
        unit.ended();
        match unit.replacement.take() {
            Some(Replacement::None) => {
                self.units.remove(index);
            }
            Some(Replacement::Module(module)) => {
                let fresh = self.open_unit(module).await;
                if let Some(unit) = self.units.get_mut(index) {
                    *unit = fresh;
                }
            }
            None => {
                let module = unit.module.id.clone();
                match unit.crashed(Instant::now()).await {
                    Some(wait) => error!(%module, crashed, ?wait, "session ended, will restart"),
                    None => error!(%module, "session crashed too often, not started again"),
                }
                return;
            }
        }
        self.publish();
    }

    fn restart_due(&mut self) {
        let now = Instant::now();
        for unit in self.units.iter_mut().filter(|unit| unit.restart_at.is_some_and(|at| at <= now))
        {
            info!(module = %unit.module.id, "restarting the session");
            unit.start(&mut self.tasks);
        }
    }

    /// Reads the config again and changes what differs; an error keeps the old one in force.
    async fn reload(&mut self) -> ReloadReply {
        let path = self.parts.config_path.clone();
        let loaded = tokio::task::spawn_blocking(move || Config::load(&path)).await;
        let config = match loaded {
            Ok(Ok(config)) => config,
            Ok(Err(problems)) => {
                for problem in &problems {
                    error!(%problem, "config refused, the old one stays in force");
                }
                return Err(problems.iter().map(ToString::to_string).collect());
            }
            Err(error) => {
                return Err(vec![format!("reading the config failed unexpectedly: {error}")]);
            }
        };
        let diff = ConfigDiff::between(&self.parts.config, &config);
        // What is only said from time to time takes effect without any ado.
        self.parts.config.credentials = config.credentials.clone();
        let outcome = outcome(&diff, &self.parts.config, &config);
        if diff.is_empty() {
            return Ok(outcome);
        }
        info!(
            added = ?outcome.added, removed = ?outcome.removed, changed = ?outcome.changed,
            needs_restart = ?outcome.needs_restart, "config reloaded"
        );
        self.apply(&diff, config).await;
        Ok(outcome)
    }

    async fn apply(&mut self, diff: &ConfigDiff, config: Config) {
        for unit in &mut self.units {
            let id = &unit.module.id;
            let module = config.modules.iter().find(|module| module.id == *id);
            let Some(module) = module.cloned().map(Arc::new) else {
                unit.replacement = Some(Replacement::None);
                unit.stop();
                continue;
            };
            if unit.module == module && !diff.hub_changed && unit.replacement.is_none() {
                continue;
            }
            let renew = diff.hub_changed
                || diff.reconnect.contains(id)
                || unit.module.acknowledge != module.acknowledge
                || unit.replacement.is_some();
            if unit.module.handlers != module.handlers && !renew {
                unit.handle.set_handlers(handler_rules(&module)).await;
            }
            if unit.module.method_timeout != module.method_timeout && !renew {
                unit.handle.set_method_limit(module.method_timeout).await;
            }
            unit.module = Arc::clone(&module);
            if renew {
                unit.replacement = Some(Replacement::Module(module));
                unit.stop();
            }
        }
        if diff.budget_changed || diff.hub_changed {
            self.parts.workshop.governor.set_policy(budget(&config.hub));
        }
        self.parts.config = Config {
            socket: self.parts.config.socket.clone(),
            state: self.parts.config.state.clone(),
            ..config
        };
        self.parts.facts = Arc::new(Facts {
            hub_hostname: self.parts.config.hub.hostname.clone(),
            device_id: self.parts.config.hub.device_id.to_string(),
            ..Facts::clone(&self.parts.facts)
        });
        for id in &diff.added {
            let module = self.parts.config.modules.iter().find(|module| module.id == *id);
            let known = self.units.iter().any(|unit| unit.module.id == *id);
            if let (Some(module), false) = (module.cloned(), known) {
                let unit = self.open_unit(Arc::new(module)).await;
                self.units.push(unit);
            }
        }
        self.replace_idle().await;
        self.files = ConfigWatch::start(&self.parts.config_path, &credential_folders(&self.parts));
        self.publish();
    }

    /// Units whose task does not run now (crashed) are replaced at once: no end will come.
    async fn replace_idle(&mut self) {
        let idle = |unit: &Unit| !unit.is_running() && unit.replacement.is_some();
        while let Some(index) = self.units.iter().position(idle) {
            let Replacement::Module(module) =
                self.units.remove(index).replacement.unwrap_or(Replacement::None)
            else {
                continue;
            };
            let fresh = self.open_unit(module).await;
            self.units.insert(index, fresh);
        }
    }

    async fn open_unit(&mut self, module: Arc<Module>) -> Unit {
        let opened = self.parts.workshop.open(&self.parts.config.hub, &module).await;
        let files = fingerprint(&self.parts.workshop.credential_paths(&module));
        let mut unit = Unit::new(module, opened, files);
        unit.start(&mut self.tasks);
        unit
    }

    /// Looks at what time alone changes: certificates that come to their end, and refused ones that
    /// deserve another try.
    async fn look_ahead(&mut self) {
        self.foresight.look(&self.units, &self.parts.config.credentials, SystemTime::now());
        for unit in &self.units {
            if unit.handle.view().hub.state == HubState::Connected && unit.keeper.is_due_again() {
                unit.take_up_credential().await;
            }
        }
    }

    /// Files were touched: each module whose own were looks at them now.
    async fn look_at_credentials(&mut self) {
        for unit in &mut self.units {
            let files = fingerprint(&self.parts.workshop.credential_paths(&unit.module));
            if std::mem::replace(&mut unit.credential_files, files.clone()) != files {
                unit.take_up_credential().await;
            }
        }
    }

    fn publish(&self) {
        self.registry.send_replace(Arc::new(registry(&self.parts, &self.units)));
    }

    async fn drain(mut self) {
        self.manager.stopping();
        info!("stopping");
        for unit in &mut self.units {
            unit.replacement = Some(Replacement::None);
            unit.stop();
        }
        let deadline = Instant::now() + DRAIN_LIMIT;
        while let Ok(Some(_ended)) = timeout_at(deadline, self.tasks.join_next()).await {}
        if !self.tasks.is_empty() {
            warn!(
                sessions = self.tasks.len(),
                "sessions did not end in time; what they stored is safe"
            );
        }
    }
}

fn registry(parts: &Parts, units: &[Unit]) -> Registry {
    let admin_group = parts.config.socket.admin_group.clone();
    let gone = |unit: &&Unit| !matches!(unit.replacement, Some(Replacement::None));
    Registry {
        modules: units
            .iter()
            .filter(gone)
            .map(|unit| Entry {
                handle: unit.handle.clone(),
                config: Arc::clone(&unit.module),
                credential_warnings: unit.keeper.words(),
            })
            .collect(),
        problems: BTreeMap::new(),
        admin_gid: nix::unistd::Group::from_name(&admin_group)
            .ok()
            .flatten()
            .map(|group| group.gid.as_raw()),
        admin_group,
        daemon_uid: nix::unistd::geteuid().as_raw(),
        facts: Arc::clone(&parts.facts),
        shared: Shared {
            governor: parts.workshop.governor.clone(),
            clock: parts.workshop.clock.clone(),
            operations_per_second: parts.config.hub.operations_per_second,
        },
    }
}

fn credential_folders(parts: &Parts) -> BTreeSet<PathBuf> {
    let files =
        parts.config.modules.iter().flat_map(|module| parts.workshop.credential_paths(module));
    files.filter_map(|file| file.parent().map(PathBuf::from)).collect()
}

fn outcome(diff: &ConfigDiff, old: &Config, new: &Config) -> ReloadOutcome {
    let names = |ids: &[ModuleId]| ids.iter().map(ToString::to_string).collect();
    let kept = |module: &&Module| {
        !diff.added.contains(&module.id) && !diff.changed.contains(&module.id) && !diff.hub_changed
    };
    let changed = |module: &&Module| {
        diff.changed.contains(&module.id)
            || diff.hub_changed && old.modules.iter().any(|other| other.id == module.id)
    };
    let mut needs_restart = Vec::new();
    if diff.socket_changed {
        needs_restart.push("[socket] takes effect when modtwind is restarted".to_owned());
    }
    if diff.state_changed {
        needs_restart.push("[state] takes effect when modtwind is restarted".to_owned());
    }
    ReloadOutcome {
        added: names(&diff.added),
        removed: names(&diff.removed),
        changed: new.modules.iter().filter(changed).map(|module| module.id.to_string()).collect(),
        unchanged: new.modules.iter().filter(kept).map(|module| module.id.to_string()).collect(),
        needs_restart,
    }
}
