//! Many changes at once: how fast the hub takes them, and when every handler has seen the last.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use modtwin_client::Client;
use modtwin_testkit::gateway::DEVICE;
use modtwin_testkit::service::Service;
use modtwin_testkit::wall::now_us;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::handler::{BURST, Line, MARK};
use crate::handlers::Handlers;
use crate::rig::{MODULES, Rig, UNATTENDED};
use crate::terminal::progress;
use modtwin_testkit::process::{processor_time, threads_time};
use modtwin_testkit::spread::{Spread, number};

/// How many changes a burst has, over all modules.
pub(crate) const CHANGES: usize = 5000;

/// How fast bursts went.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Burst {
    /// Changes a burst.
    pub(crate) changes: usize,
    /// Changes per second, from the first request until the last handler had seen its last version.
    pub(crate) per_second: Spread,
    /// Changes per second that the hub took in the same bursts, daemon and handlers at work.
    pub(crate) hub_per_second: Spread,
    /// Changes per second that the hub takes where no module is connected: the apparatus alone.
    pub(crate) unattended_per_second: Spread,
    /// From the hub's last answer until the last handler had seen its last version, milliseconds.
    pub(crate) tail_ms: Spread,
    /// Events that one handler saw of its share of the changes; the rest was merged into them.
    pub(crate) events_per_handler: Spread,
    /// Changes for each handler.
    pub(crate) changes_per_handler: usize,
    /// Processor time for one change, in microseconds.
    pub(crate) cpu_us: CpuShares,
    /// Connections that were made anew during the bursts; more than none would mean that a burst
    /// broke links.
    pub(crate) reconnects: u64,
}

/// Who used how much processor time for one change, in microseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CpuShares {
    /// The daemon.
    pub(crate) daemon: Spread,
    /// The hub.
    pub(crate) hub: Spread,
    /// All handlers together.
    pub(crate) handlers: Spread,
    /// This program, which sends the requests.
    pub(crate) requests: Spread,
}

/// Processor times of everybody who takes part, at one moment.
#[derive(Debug, Clone, Copy)]
struct Clocks {
    daemon: Duration,
    hub: Duration,
    handlers: Duration,
    requests: Duration,
}

impl Clocks {
    fn read(rig: &Rig, handlers: &Handlers, daemon: u32) -> anyhow::Result<Self> {
        let mut of_handlers = Duration::ZERO;
        for pid in handlers.pids() {
            of_handlers += threads_time(pid)?;
        }
        Ok(Self {
            // Its threads for files may end during a burst.
            daemon: processor_time(daemon)?,
            hub: processor_time(rig.hub.pid().context("the hub does not run")?)?,
            handlers: of_handlers,
            requests: processor_time(std::process::id())?,
        })
    }
}

impl CpuShares {
    fn of(spans: &[(Clocks, Clocks)]) -> Option<Self> {
        let share = |clock: fn(&Clocks) -> Duration| {
            let each = spans.iter().map(|(before, after)| {
                let used = clock(after).saturating_sub(clock(before));
                used.as_secs_f64() * 1e6 / number(CHANGES)
            });
            Spread::of(each)
        };
        Some(Self {
            daemon: share(|clocks| clocks.daemon)?,
            hub: share(|clocks| clocks.hub)?,
            handlers: share(|clocks| clocks.handlers)?,
            requests: share(|clocks| clocks.requests)?,
        })
    }
}

/// Sends `runs` bursts to connected and as many to unconnected modules.
///
/// # Errors
///
/// Where the hub refuses, or a handler does not see the end.
pub(crate) async fn measure(
    rig: &Rig,
    handlers: &mut Handlers,
    daemon: &Client,
    runs: usize,
) -> anyhow::Result<Option<Burst>> {
    let mut all = Vec::new();
    let mut unattended = Vec::new();
    let (pid, connects_before) = standing(daemon).await?;
    for _ in 0..runs {
        let senders = Senders::open(rig, UNATTENDED).await?;
        unattended.push(rate(senders.send(now_us()).await?));
        let senders = Senders::open(rig, DEVICE).await?;
        let before = Clocks::read(rig, handlers, pid)?;
        all.push(once(senders, handlers).await?);
        let after = Clocks::read(rig, handlers, pid)?;
        if let Some(run) = all.last_mut() {
            run.clocks = Some((before, after));
        }
    }
    let (_, connects_after) = standing(daemon).await?;
    let reconnects = connects_after.saturating_sub(connects_before);
    let burst = sum_up(&all, unattended, reconnects);
    if let Some(Burst { per_second, unattended_per_second, .. }) = &burst {
        let (with, without) = (per_second.median, unattended_per_second.median);
        progress(&format!("  {with:.0}/s; the hub alone takes {without:.0}/s"));
    }
    Ok(burst)
}

/// What one burst came to.
#[derive(Debug)]
struct Run {
    answered: Duration,
    seen: Duration,
    events: Vec<u64>,
    clocks: Option<(Clocks, Clocks)>,
}

async fn once(senders: Senders, handlers: &mut Handlers) -> anyhow::Result<Run> {
    let mark = now_us();
    let answered = senders.send(mark).await?;
    let seen = handlers.all(|line| ended_by(line, mark)).await?;
    let last = seen.iter().map(|(seen_us, _)| *seen_us).max().unwrap_or(mark);
    Ok(Run {
        answered,
        seen: Duration::from_micros(last.saturating_sub(mark)),
        events: seen.into_iter().map(|(_, events)| events).collect(),
        clocks: None,
    })
}

fn sum_up(runs: &[Run], unattended: Vec<f64>, reconnects: u64) -> Option<Burst> {
    let events = runs.iter().flat_map(|run| run.events.iter());
    let events = events.map(|events| u32::try_from(*events).map_or(f64::INFINITY, f64::from));
    let clocks: Vec<_> = runs.iter().filter_map(|run| run.clocks).collect();
    Some(Burst {
        changes: CHANGES,
        per_second: Spread::of(runs.iter().map(|run| rate(run.seen)))?,
        hub_per_second: Spread::of(runs.iter().map(|run| rate(run.answered)))?,
        unattended_per_second: Spread::of(unattended)?,
        tail_ms: Spread::of_millis(runs.iter().map(|run| run.seen.saturating_sub(run.answered)))?,
        events_per_handler: Spread::of(events)?,
        changes_per_handler: CHANGES / MODULES,
        cpu_us: CpuShares::of(&clocks)?,
        reconnects,
    })
}

/// The daemon's process id, and how often its modules have connected anew.
async fn standing(daemon: &Client) -> anyhow::Result<(u32, u64)> {
    let status = daemon.status().await?;
    Ok((status.pid, status.modules.iter().map(|module| module.reconnects).sum()))
}

fn ended_by(line: Line, mark: u64) -> Option<(u64, u64)> {
    match line {
        Line::Marked { value, seen_us, events } if value == mark => Some((seen_us, events)),
        _ => None,
    }
}

fn rate(took: Duration) -> f64 {
    number(CHANGES) / took.as_secs_f64()
}

/// A connection to the hub for every module of a device.
#[derive(Debug)]
struct Senders {
    device: &'static str,
    services: Vec<(Service, String)>,
}

impl Senders {
    /// Opens the connections: the handshakes are no part of a burst.
    async fn open(rig: &Rig, device: &'static str) -> anyhow::Result<Self> {
        let mut services = Vec::new();
        for module in &rig.modules {
            let mut service = rig.hub.service()?;
            service.twin(device, module).await?;
            services.push((service, module.clone()));
        }
        Ok(Self { device, services })
    }

    /// Sends a burst, all modules at once, the changes of each one after the other; says how long
    /// the hub took to answer them all.
    async fn send(self, mark: u64) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let each = CHANGES / self.services.len().max(1);
        let mut senders = JoinSet::new();
        for (service, module) in self.services {
            senders.spawn(send_to(service, (self.device, module), mark, each));
        }
        while let Some(sent) = senders.join_next().await {
            sent.context("a sender panicked")??;
        }
        Ok(began.elapsed())
    }
}

async fn send_to(
    mut service: Service,
    (device, module): (&str, String),
    mark: u64,
    each: usize,
) -> anyhow::Result<()> {
    for change in 1..=each {
        let desired: Value = match change == each {
            true => json!({ BURST: change, MARK: mark }),
            false => json!({ BURST: change }),
        };
        service.change_desired(device, &module, desired).await?;
    }
    Ok(())
}
