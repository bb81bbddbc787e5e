//! What the supervisor does about another config: judge it, apply the difference, try it, go back.
//!
//! The disk has the last word: a config on trial that is not put there in time is gone, whatever
//! became of whoever asked for it, and so it is after a restart.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use modtwin_api::{RefusedReason, ReloadOutcome};
use modtwin_config::{Config, ConfigDiff, Files, Module, Problems};
use modtwin_core::ids::ModuleId;
use modtwin_core::status::HubState;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::{Supervisor, credential_folders};
use crate::config_state::{InForce, Refused, digest};
use crate::local_api::{Facts, ReloadRefusal, ReloadReply, hub_status};
use crate::unit::Replacement;
use crate::wiring::{budget, handler_rules};

/// How often the files are read again at the most, for two readings that agree.
const READINGS: usize = 5;

/// A config that is in force until it is confirmed or its time is up.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) deadline: Instant,
    pub(super) until: SystemTime,
    /// The modules that were connected before, of those that stay.
    pub(super) awaited: Vec<ModuleId>,
    limit: Duration,
    before: (Config, InForce),
}

impl Supervisor {
    /// Reads the config again and changes what differs; an error keeps the old one in force.
    pub(super) async fn reload(&mut self) -> ReloadReply {
        let path = self.parts.config_path.clone();
        let (files, checked) = read(move || steady(&path)).await?;
        self.take_from_disk(files, checked).await
    }

    /// The same, where the files say something else than before.
    pub(super) async fn reload_where_changed(&mut self) {
        let path = self.parts.config_path.clone();
        match read(move || steady(&path)).await {
            Ok((files, checked)) if files != self.parts.files => {
                // What went wrong is in the log.
                let _logged = self.take_from_disk(files, checked).await;
            }
            Ok(_unchanged) => {}
            Err(refusal) => error!(%refusal, "config not read"),
        }
    }

    async fn take_from_disk(
        &mut self,
        files: Files,
        checked: Result<Config, Problems>,
    ) -> ReloadReply {
        let now = SystemTime::now();
        let answer = match checked {
            Ok(config) => {
                let confirmed = digest(&files).is_some_and(|it| it == self.state.in_force.digest);
                if self.trial.take().is_some() {
                    info!(confirmed, "the trial of a config is over");
                }
                self.state.refused = None;
                let in_force = InForce::new(&files, &config, &self.parts.config_path, now);
                Ok(self.put_in_force(config, in_force).await)
            }
            Err(problems) => {
                if let Some(dropped) = self.log_limit.permit("refused") {
                    for problem in &problems {
                        error!(%problem, dropped, "config refused, the old one stays in force");
                    }
                }
                let refused = Refused::invalid(&files, &problems, now);
                if !self.state.refused.as_ref().is_some_and(|before| before.is_same(&refused)) {
                    self.state.refused = Some(refused);
                }
                Err(invalid(&problems))
            }
        };
        self.parts.files = files;
        self.publish();
        answer
    }

    /// Puts a config on trial whose first file says `candidate`.
    pub(super) async fn begin_trial(&mut self, candidate: String, limit: Duration) -> ReloadReply {
        if self.trial.is_some() {
            return Err(ReloadRefusal::Busy);
        }
        let path = self.parts.config_path.clone();
        let (files, checked) = read(move || Files::read_with(&path, candidate)).await?;
        let config = checked.map_err(|problems| invalid(&problems))?;
        let stays = |id: &ModuleId| config.modules.iter().any(|module| module.id == *id);
        let connected = self.units.iter().filter(|unit| {
            unit.replacement.is_none()
                && stays(&unit.module.id)
                && unit.handle.view().hub.state == HubState::Connected
        });
        let awaited = connected.map(|unit| unit.module.id.clone()).collect();
        let now = SystemTime::now();
        let before = (self.parts.config.clone(), self.state.in_force.clone());
        let in_force = InForce::new(&files, &config, &self.parts.config_path, now);
        let outcome = self.put_in_force(config, in_force).await;
        let deadline = Instant::now() + limit;
        info!(?limit, ?awaited, "config on trial");
        self.trial = Some(Trial { deadline, until: now + limit, awaited, limit, before });
        self.publish();
        Ok(outcome)
    }

    /// Returns to the config before the trial, whose time is up.
    pub(super) async fn roll_back(&mut self) {
        let Some(trial) = self.trial.take() else { return };
        let limit = trial.limit;
        let missing = trial.awaited.iter().filter_map(|id| {
            let unit = self.units.iter().find(|unit| unit.module.id == *id)?;
            let hub = &unit.handle.view().hub;
            let reason = hub_status(hub).reason;
            let why = match &hub.detail {
                _ if unit.replacement.is_some() => "its session did not end".to_owned(),
                _ if hub.state == HubState::Connected => return None,
                Some(detail) => format!("{reason}: {detail}"),
                None => reason.to_string(),
            };
            Some(format!("module `{id}` was not connected again within {limit:?}: {why}"))
        });
        let mut errors: Vec<String> = missing.collect();
        if errors.is_empty() {
            errors.push(format!("nobody confirmed it within {limit:?}"));
        }
        warn!(?errors, "config rolled back, the one before is in force again");
        let digest = Some(self.state.in_force.digest.clone());
        let (config, in_force) = trial.before;
        self.put_in_force(config, in_force).await;
        let reason = RefusedReason::RolledBack;
        let since = SystemTime::now();
        self.state.refused = Some(Refused { digest, reason, errors, since });
        self.publish();
    }

    /// Changes what differs from the config in force.
    async fn put_in_force(&mut self, config: Config, in_force: InForce) -> ReloadOutcome {
        let diff = ConfigDiff::between(&self.parts.config, &config);
        let outcome = outcome(&diff, &self.parts.config, &config);
        if in_force.digest != self.state.in_force.digest || !diff.is_empty() {
            info!(
                added = ?outcome.added, removed = ?outcome.removed, changed = ?outcome.changed,
                needs_restart = ?outcome.needs_restart, digest = in_force.digest,
                version = in_force.version, "config reloaded"
            );
            self.state.in_force = in_force;
        }
        if !diff.is_empty() {
            self.apply(&diff, config).await;
        }
        outcome
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
            let renew =
                diff.hub_changed || diff.reconnect.contains(id) || unit.replacement.is_some();
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
        self.files.follow(&credential_folders(&self.parts));
    }
}

/// Reads the files until two readings agree: a folder may be swapped in the midst of one.
fn steady(path: &Path) -> Files {
    let mut files = Files::read(path);
    for _ in 0..READINGS {
        let again = Files::read(path);
        if again == files {
            break;
        }
        files = again;
    }
    files
}

/// Reads and checks files on a thread that may wait for the disk.
async fn read(
    read: impl FnOnce() -> Files + Send + 'static,
) -> Result<(Files, Result<Config, Problems>), ReloadRefusal> {
    let both = move || {
        let files = read();
        let checked = files.check();
        (files, checked)
    };
    tokio::task::spawn_blocking(both).await.map_err(|error| {
        ReloadRefusal::Invalid(vec![format!("reading the config failed unexpectedly: {error}")])
    })
}

fn invalid(problems: &Problems) -> ReloadRefusal {
    ReloadRefusal::Invalid(problems.iter().map(ToString::to_string).collect())
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
