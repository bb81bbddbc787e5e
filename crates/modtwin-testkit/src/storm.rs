//! A storm of config pushes against the real daemon, a third of them broken.
//!
//! Owns what is pushed, and what has to hold: whoever did not change keeps its connection, and the
//! last good config is in force at the end. Leaves to others when it is run and how it is shown.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use modtwin_api::{HubState, ProblemKind, Status};
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use crate::gateway::Gateway;
use crate::process::processor_time;
use crate::stage::{Stage, module, name};

/// How many of the modules are given other settings of their connection now and then.
const RESTLESS: usize = 2;

/// How hard it blows.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many modules the gateway has, from 3.
    pub modules: usize,
    /// How many configs are pushed.
    pub pushes: usize,
    /// In what time.
    pub lasts: Duration,
}

/// What came of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Figures {
    /// How many configs were pushed.
    pub pushes: usize,
    /// How many of them were broken.
    pub broken: usize,
    /// How many were followed by a request to reload.
    pub reloads_requested: usize,
    /// How many of these requests were refused.
    pub requests_refused: usize,
    /// How many configs the daemon put into force.
    pub put_in_force: usize,
    /// How often modules connected whose connection did not change, the first time included.
    pub calm_connects: u64,
    /// How often the others did.
    pub restless_connects: u64,
    /// From the last push until it was in force, in seconds.
    pub settled_after: f64,
    /// How much processor time the daemon took, in seconds.
    pub processor_seconds: f64,
    /// What should not have happened.
    pub violations: Vec<String>,
}

/// Raises the storm and looks at what is left.
///
/// # Errors
///
/// Where the stage can't be set, or the daemon does not answer or settle.
pub async fn storm(daemon: impl Into<PathBuf>, plan: Plan) -> anyhow::Result<Figures> {
    let mut stage = Stage::start(daemon, plan.modules).await?;
    let pid = stage.daemon()?.pid();
    let mut storm = Storm::new(&stage, plan.modules);
    let mut figures = Figures { pushes: plan.pushes, ..Figures::default() };
    let pace = plan.lasts / u32::try_from(plan.pushes.max(1)).unwrap_or(u32::MAX);
    let mut ticks = interval(pace.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let before = processor_time(pid)?;
    for n in 1..=plan.pushes {
        ticks.tick().await;
        // The last one is good, or nothing could be said of the end.
        let broken = n % 3 == 2 && n < plan.pushes;
        figures.broken += usize::from(broken);
        storm.push(n, broken)?;
        // Half of the time nobody asks, and noticing is all there is.
        if n.is_multiple_of(4) && (n / 100).is_multiple_of(2) {
            figures.reloads_requested += 1;
            figures.requests_refused += usize::from(broken);
            figures.violations.extend(reload(&stage, n, broken).await?);
        }
    }
    let began = Instant::now();
    let last = plan.pushes.to_string();
    let status = stage
        .gateway
        .wait_for("the last config, with all modules connected", |status| settled(status, &last))
        .await?;
    figures.settled_after = began.elapsed().as_secs_f64();
    figures.processor_seconds = (processor_time(pid)? - before).as_secs_f64();
    figures.put_in_force = stage.gateway.log_text().matches("config reloaded").count();
    for n in 1..=plan.modules {
        let (id, calm) = (name(n), n + RESTLESS <= plan.modules);
        let connects = stage.count(&id, "connects").await?;
        let total = if calm { &mut figures.calm_connects } else { &mut figures.restless_connects };
        *total += connects;
        let reconnects = module(&status, &id)?.reconnects;
        if calm && (connects, reconnects) != (1, 0) {
            let found = format!("{id} did not change and has {connects} connects ({reconnects})");
            figures.violations.push(found);
        }
    }
    Ok(figures)
}

/// Asks for a reload; says what is wrong with the answer, where something is.
async fn reload(stage: &Stage, n: usize, broken: bool) -> anyhow::Result<Option<String>> {
    match stage.client().reload().await {
        Ok(_outcome) => Ok(broken.then(|| format!("push {n} was broken and was taken"))),
        Err(error) if error.problem_kind() == Some(ProblemKind::InvalidConfig) => {
            Ok((!broken).then(|| format!("push {n} was good and was refused: {error}")))
        }
        Err(error) => Err(error).context("the daemon does not answer"),
    }
}

fn settled(status: &Status, version: &str) -> bool {
    let state = status.config_state.as_ref();
    let in_force =
        state.is_some_and(|it| it.version.as_deref() == Some(version) && it.refused.is_none());
    in_force && status.modules.iter().all(|module| module.hub.state == HubState::Connected)
}

/// The config as it changes.
struct Storm {
    file: PathBuf,
    head: String,
    modules: Vec<Changing>,
}

/// A module's table.
struct Changing {
    id: String,
    acknowledge: bool,
    watch: usize,
}

impl Storm {
    fn new(stage: &Stage, modules: usize) -> Self {
        let text = stage.gateway.config_text();
        let head = text.split("\n[[module]]").next().unwrap_or_default().to_owned();
        let modules = (1..=modules).map(|n| Changing { id: name(n), acknowledge: false, watch: 0 });
        Self { file: stage.gateway.config(), head, modules: modules.collect() }
    }

    /// Changes one module and pushes that; or pushes it with something broken, as tools do.
    fn push(&mut self, n: usize, broken: bool) -> anyhow::Result<()> {
        let calm = self.modules.len().saturating_sub(RESTLESS);
        if !broken {
            let restless = n.is_multiple_of(10);
            let at = if restless { calm + n / 10 % RESTLESS } else { n % calm.max(1) };
            if let Some(module) = self.modules.get_mut(at) {
                if restless {
                    module.acknowledge = !module.acknowledge;
                } else {
                    module.watch = n;
                }
            }
        }
        let good = self.text(n);
        let pushed = match (broken, n / 3 % 4) {
            (false, _) if n.is_multiple_of(2) => return write(&self.file, &good),
            (false, _) => good,
            (true, 0) => good + "[hub\n",
            (true, 1) => good.replace("hostname", "hostnam"),
            (true, 2) => good + "\n[[module]]\nid = \"m01\"\nshared-access-key-file = \"k\"\n",
            // Half a file: cut off in the midst of a key.
            (true, _) => {
                let half = good.rfind("certificate").unwrap_or_default() + 5;
                return write(&self.file, good.get(..half).unwrap_or_default());
            }
        };
        let new = self.file.with_extension("toml.new");
        write(&new, &pushed)?;
        fs::rename(new, &self.file).context("cannot put the config in place")
    }

    fn text(&self, version: usize) -> String {
        let mut text = format!("[fleet]\nversion = \"{version}\"\n\n{}", self.head);
        for Changing { id, acknowledge, watch } in &self.modules {
            let files = Gateway::certificate_lines(id);
            let acknowledge = if *acknowledge { "pnp" } else { "none" };
            // Writing to a string can't fail.
            let _infallible = write!(
                text,
                "\n[[module]]\nid = \"{id}\"\n{files}acknowledge = \"{acknowledge}\"\n  \
                 [[module.handler]]\n  name = \"x\"\n  user = \"x\"\n  watch = [\"/{watch}\"]\n"
            );
        }
        text
    }
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(file, text).context("cannot write the config")
}
