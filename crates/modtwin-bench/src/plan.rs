//! What is measured, in which order and how often.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use modtwin_testkit::gateway::{Daemon, Gateway};

use crate::disk::DiskSamples;
use crate::handlers::Handlers;
use crate::idle::Idle;
use crate::machine::Machine;
use crate::memory::{MemoryRow, settle};
use crate::outage::Outage;
use crate::process;
use crate::report::Report;
use crate::rig::{MODULES, Rig, stop};
use crate::terminal::progress;
use crate::{burst, echo, idle, memory, outage, size, start};

/// A part of the measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Sizes of the programs.
    Size,
    /// Memory with 1, 5 and 20 modules.
    Memory,
    /// Start to all in step.
    Start,
    /// Processor time and wake-ups at rest.
    Idle,
    /// Desired, handler, reported.
    Echo,
    /// Five thousand changes at once.
    Burst,
    /// Back after the hub was gone.
    Outage,
}

/// What is measured and how often.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    parts: Vec<Part>,
    is_quick: bool,
}

/// How often what is repeated.
#[derive(Debug, Clone, Copy)]
struct Repetitions {
    disk: usize,
    memory: usize,
    start: usize,
    idle: usize,
    idle_window: Duration,
    echo: usize,
    burst: usize,
    outage: usize,
}

/// For a report that is worth something.
const FULL: Repetitions = Repetitions {
    disk: 200,
    memory: 3,
    start: 5,
    idle: 3,
    // Also the time after which the daemon forgets past failures, so that each outage is a first.
    idle_window: Duration::from_secs(60),
    echo: 2000,
    burst: 5,
    outage: 5,
};

/// For seeing that everything works.
const QUICK: Repetitions = Repetitions {
    disk: 20,
    memory: 1,
    start: 1,
    idle: 1,
    idle_window: Duration::from_secs(10),
    echo: 200,
    burst: 1,
    outage: 1,
};

impl Plan {
    /// A plan for `only` those parts; for all where none is named.
    pub(crate) fn new(is_quick: bool, only: &[Part]) -> Self {
        let parts = if only.is_empty() { Part::value_variants().to_vec() } else { only.to_vec() };
        Self { parts, is_quick }
    }

    fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    fn repetitions(&self) -> Repetitions {
        if self.is_quick { QUICK } else { FULL }
    }

    /// Measures.
    ///
    /// # Errors
    ///
    /// Where a program is missing, or does not do what it should.
    pub(crate) async fn carry_out(&self) -> anyhow::Result<Report> {
        let times = self.repetitions();
        let state = tempfile::tempdir().context("cannot make a folder")?;
        let hub_folder = hub_folder();
        let mut report = Report::new(
            Machine::look(state.path()),
            self.is_quick,
            hub_folder != std::env::temp_dir(),
        );
        if self.has(Part::Size) {
            report.size = size::look()?;
        }
        let mut disk = DiskSamples::default();
        progress("disk");
        disk.take(state.path(), times.disk)?;
        let mut rig = Rig::start(&hub_folder).await?;
        if self.has(Part::Memory) {
            progress("memory with 1, 5 and 20 modules");
            report.memory = memory::measure(&rig, times.memory).await?;
        }
        if self.has(Part::Start) {
            progress("start");
            report.start = start::measure(&rig, times.start).await?;
        }
        if [Part::Memory, Part::Idle, Part::Echo, Part::Burst, Part::Outage]
            .iter()
            .any(|part| self.has(*part))
        {
            self.with_one_daemon(&mut rig, &mut report).await?;
        }
        disk.take(state.path(), times.disk)?;
        report.disk = disk.summary();
        Ok(report)
    }

    /// What is measured on one daemon with twenty modules, in the order from quiet to violent.
    async fn with_one_daemon(&self, rig: &mut Rig, report: &mut Report) -> anyhow::Result<()> {
        let times = self.repetitions();
        let gateway = rig.gateway(MODULES)?;
        let (daemon, _) = rig.launch(&gateway, MODULES).await?;
        if self.has(Part::Idle) {
            progress("at rest, nobody watches");
            settle().await;
            let mut windows = Vec::new();
            for _ in 0..times.idle {
                windows.push(idle::window(daemon.pid(), times.idle_window).await?);
            }
            report.idle.extend(Idle::of("nobody watches", &windows));
        }
        let mut handlers = Handlers::start(&gateway.socket(), &rig.modules).await?;
        self.memory_now(&daemon, report, "20 handlers watch").await?;
        if self.has(Part::Echo) {
            progress("echoes");
            report.echo = echo::measure(rig, &mut handlers, daemon.pid(), times.echo).await?;
        }
        if self.has(Part::Burst) {
            progress("bursts");
            report.burst =
                burst::measure(rig, &mut handlers, &gateway.client(), times.burst).await?;
            self.memory_now(&daemon, report, "20 handlers watch, after the bursts").await?;
        }
        self.rest_and_outages(rig, (&gateway, &daemon), &mut handlers, report).await?;
        handlers.end().await?;
        stop(daemon).await.map(|_took| ())
    }

    async fn memory_now(
        &self,
        daemon: &Daemon,
        report: &mut Report,
        situation: &'static str,
    ) -> anyhow::Result<()> {
        if self.has(Part::Memory) {
            settle().await;
            let sample = process::memory(daemon.pid())?;
            report.memory.extend(MemoryRow::of(MODULES, situation, &[sample]));
        }
        Ok(())
    }

    /// Windows of rest with an outage after each: the rest is what makes each outage a first one.
    async fn rest_and_outages(
        &self,
        rig: &mut Rig,
        (gateway, daemon): (&Gateway, &Daemon),
        handlers: &mut Handlers,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let times = self.repetitions();
        let (mut windows, mut backs) = (Vec::new(), Vec::new());
        if self.has(Part::Idle) || self.has(Part::Outage) {
            progress("at rest, 20 handlers watch; an outage after each window");
        }
        let rounds = if self.has(Part::Outage) { times.outage } else { times.idle };
        for _ in 0..rounds {
            if self.has(Part::Idle) || self.has(Part::Outage) {
                settle().await;
                windows.push(idle::window(daemon.pid(), times.idle_window).await?);
            }
            if self.has(Part::Outage) {
                backs.push(outage::once(rig, gateway, handlers).await?);
            }
        }
        if self.has(Part::Idle) {
            report.idle.extend(Idle::of("20 handlers watch", &windows));
        }
        report.outage = Outage::of(&backs);
        Ok(())
    }
}

/// Where the hub keeps what it has: in memory if it can, so that its disk is in no figure.
pub(crate) fn hub_folder() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if tempfile::tempdir_in(memory).is_ok() { memory.to_owned() } else { std::env::temp_dir() }
}
