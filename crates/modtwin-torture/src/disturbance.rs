//! What is done to the processes: chosen by chance from a seed, begun, and ended again.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use modtwin_testkit::gateway::DEVICE;
use nix::sys::signal::Signal;
use serde_json::{Map, Value, json};

use crate::back_end::BackEnd;
use crate::rig::{FaultId, Rig};

/// What sort of disturbance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// `kill -9` of the daemon.
    KillDaemon,
    /// SIGTERM to the daemon.
    RestartDaemon,
    /// SIGSTOP of the daemon.
    PauseDaemon,
    /// `kill -9` of the hub.
    KillHub,
    /// SIGSTOP of the hub.
    PauseHub,
    /// `kill -9` of some handlers.
    KillHandlers,
    /// SIGSTOP of some handlers.
    PauseHandlers,
    /// The disk below the state is full.
    FillDisk,
    /// The config is written anew.
    TouchConfig,
    /// Identities are deleted and created anew.
    Recreate,
    /// A fault of the hub, by its name there.
    Fault(&'static str),
}

/// How often each kind comes, against the others.
const WEIGHTS: [(Kind, u32); 24] = [
    (Kind::KillDaemon, 8),
    (Kind::RestartDaemon, 2),
    (Kind::PauseDaemon, 3),
    (Kind::KillHub, 6),
    (Kind::PauseHub, 3),
    (Kind::KillHandlers, 6),
    (Kind::PauseHandlers, 2),
    (Kind::FillDisk, 5),
    (Kind::TouchConfig, 3),
    (Kind::Recreate, 4),
    (Kind::Fault("drop"), 4),
    (Kind::Fault("refuse"), 2),
    (Kind::Fault("stall"), 2),
    (Kind::Fault("blackhole"), 3),
    (Kind::Fault("delay"), 2),
    (Kind::Fault("throttle"), 3),
    (Kind::Fault("error"), 3),
    (Kind::Fault("lose-desired"), 2),
    (Kind::Fault("duplicate-desired"), 2),
    (Kind::Fault("reorder-desired"), 2),
    (Kind::Fault("lose-response"), 3),
    (Kind::Fault("quota"), 1),
    (Kind::Fault("disable"), 1),
    (Kind::Fault("expire"), 1),
];

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::KillDaemon => "kill -9 of the daemon",
            Self::RestartDaemon => "restart of the daemon",
            Self::PauseDaemon => "pause of the daemon",
            Self::KillHub => "kill -9 of the hub",
            Self::PauseHub => "pause of the hub",
            Self::KillHandlers => "kill -9 of handlers",
            Self::PauseHandlers => "pause of handlers",
            Self::FillDisk => "full disk",
            Self::TouchConfig => "config written anew",
            Self::Recreate => "identity created anew",
            Self::Fault("drop") => "links cut",
            Self::Fault("refuse") => "connects refused",
            Self::Fault("stall") => "connects unanswered",
            Self::Fault("blackhole") => "packets swallowed",
            Self::Fault("delay") => "slow network",
            Self::Fault("throttle") => "throttled (429)",
            Self::Fault("error") => "hub errors (5xx)",
            Self::Fault("lose-desired") => "notifications lost",
            Self::Fault("duplicate-desired") => "notifications doubled",
            Self::Fault("reorder-desired") => "notifications reordered",
            Self::Fault("lose-response") => "answers lost",
            Self::Fault("quota") => "quota used up",
            Self::Fault("disable") => "device disabled",
            Self::Fault("expire") => "credential expired",
            Self::Fault(other) => other,
        })
    }
}

impl Kind {
    /// Whether it takes the daemon's process away.
    fn ends_daemon(self) -> bool {
        matches!(self, Self::KillDaemon | Self::RestartDaemon)
    }

    /// Whether it is the hub that is asked for it.
    fn needs_hub(self) -> bool {
        matches!(self, Self::Fault(_) | Self::Recreate)
    }
}

/// One disturbance: what, whom, how long.
#[derive(Debug, Clone)]
pub(crate) struct Disturbance {
    /// What.
    pub(crate) kind: Kind,
    /// The modules concerned, by their places.
    pub(crate) places: Vec<usize>,
    /// From its begin to its end.
    pub(crate) lasts: Duration,
    /// The number in it that chance decides, such as a status.
    number: u64,
    faults: Vec<FaultId>,
}

/// What may be chosen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice {
    /// How many modules there are.
    pub(crate) modules: usize,
    /// Whether the disk can be filled.
    pub(crate) has_disk: bool,
    /// Whether the daemon may be ended.
    pub(crate) may_end_daemon: bool,
}

impl Disturbance {
    /// Chooses one.
    pub(crate) fn choose(choice: Choice, rng: &mut Rng) -> Self {
        let weight = |kind: Kind, weight: u32| match kind {
            Kind::FillDisk if !choice.has_disk => 0,
            kind if kind.ends_daemon() && !choice.may_end_daemon => 0,
            _ => weight,
        };
        let total: u32 = WEIGHTS.iter().map(|(kind, often)| weight(*kind, *often)).sum();
        let mut left = rng.u32(0..total.max(1));
        let mut kind = Kind::KillHandlers;
        for (candidate, often) in WEIGHTS {
            let often = weight(candidate, often);
            if left < often {
                kind = candidate;
                break;
            }
            left -= often;
        }
        let mut places: Vec<usize> = (0..choice.modules).collect();
        rng.shuffle(&mut places);
        // All of them, or a few.
        if rng.bool() {
            places.truncate(rng.usize(1..=choice.modules.div_ceil(3)));
        }
        if kind == Kind::Recreate {
            places.truncate(choice.modules.div_ceil(4));
        }
        let lasts = Duration::from_millis(rng.u64(50..3000));
        Self { kind, places, lasts, number: rng.u64(0..100), faults: Vec::new() }
    }

    /// Begins it; says whether there was anything to do.
    ///
    /// # Errors
    ///
    /// Where a process can't be killed or a file not written.
    pub(crate) async fn begin(
        &mut self,
        rig: &mut Rig,
        back_end: &BackEnd,
    ) -> anyhow::Result<bool> {
        if self.kind.needs_hub() && !rig.is_hub_answering() {
            return Ok(false);
        }
        match self.kind {
            Kind::KillDaemon => return rig.kill_daemon().await,
            Kind::RestartDaemon => return rig.stop_daemon().await,
            Kind::PauseDaemon => rig.pause_daemon(Signal::SIGSTOP),
            Kind::KillHub => return rig.kill_hub(),
            Kind::PauseHub => rig.pause_hub(Signal::SIGSTOP),
            Kind::KillHandlers => return Ok(rig.handlers.kill(&self.places)? > 0),
            Kind::PauseHandlers => rig.handlers.signal(&self.places, Signal::SIGSTOP),
            Kind::FillDisk => rig.fill_disk()?,
            Kind::TouchConfig => rig.touch_config()?,
            Kind::Recreate => {
                for place in &self.places {
                    back_end.recreate(*place).await;
                }
            }
            Kind::Fault(name) => self.begin_fault(rig, name).await?,
        }
        Ok(true)
    }

    async fn begin_fault(&mut self, rig: &mut Rig, name: &'static str) -> anyhow::Result<()> {
        let whole_device = self.places.len() == rig.modules.len() || name == "disable";
        let places: Vec<Option<usize>> =
            if whole_device { vec![None] } else { self.places.iter().copied().map(Some).collect() };
        for place in places {
            let module = place.and_then(|place| rig.modules.get(place)).cloned();
            let fault = self.fault(name, module);
            self.faults.extend(rig.fault(fault).await?);
        }
        Ok(())
    }

    fn fault(&self, name: &str, module: Option<String>) -> Value {
        let mut fault = Map::new();
        fault.insert("kind".to_owned(), json!(name));
        fault.insert("device".to_owned(), json!(DEVICE));
        if let Some(module) = module {
            fault.insert("module".to_owned(), json!(module));
        }
        // Cut once, or cut for as long as it lasts.
        let is_momentary = name == "drop" && self.number < 50;
        if !is_momentary {
            // It is ended by its name; this is for a campaign that stops half-way.
            fault.insert("for".to_owned(), json!("60s"));
        }
        let more = match name {
            "refuse" => Some(("code", json!(if self.number < 50 { 3 } else { 5 }))),
            "delay" => Some(("ms", json!(20 + self.number * 5))),
            "error" => Some(("status", json!(500 + self.number % 5))),
            "throttle" => Some(("retry", json!("1s"))),
            "reorder-desired" => Some(("ms", json!(500))),
            _ => None,
        };
        if let Some((member, value)) = more {
            fault.insert(member.to_owned(), value);
        }
        // Some of what could be hit is spared, so that a half-broken hub is tried too.
        let may_spare = name.ends_with("-desired") || matches!(name, "lose-response" | "error");
        if may_spare && self.number.is_multiple_of(2) {
            fault.insert("chance".to_owned(), json!(0.5));
        }
        Value::Object(fault)
    }

    /// Ends it.
    ///
    /// # Errors
    ///
    /// Where a process does not start.
    pub(crate) async fn end(&mut self, rig: &mut Rig) -> anyhow::Result<()> {
        match self.kind {
            Kind::KillDaemon | Kind::RestartDaemon => rig.start_daemon().await?,
            Kind::PauseDaemon => rig.pause_daemon(Signal::SIGCONT),
            Kind::KillHub => rig.start_hub().await?,
            Kind::PauseHub => rig.pause_hub(Signal::SIGCONT),
            Kind::KillHandlers => rig.handlers.start()?,
            Kind::PauseHandlers => rig.handlers.signal(&self.places, Signal::SIGCONT),
            Kind::FillDisk => rig.free_disk(),
            Kind::TouchConfig | Kind::Recreate => {}
            Kind::Fault(_) if rig.is_hub_answering() => {
                for fault in self.faults.drain(..) {
                    rig.end_fault(fault).await;
                }
            }
            // All faults are ended at the end of the round.
            Kind::Fault(_) => {}
        }
        Ok(())
    }
}
