//! Many changes at once: how fast the hub takes them, and when every handler has seen the last.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use modtwin_testkit::gateway::DEVICE;
use modtwin_testkit::service::Service;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::handler::{Line, MARK};
use crate::handlers::Handlers;
use crate::process::processor_time;
use crate::rig::{Rig, UNATTENDED};
use crate::spread::{Spread, number};
use crate::terminal::progress;
use crate::wall::now_us;

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
    /// Processor time of the daemon for one change, in microseconds.
    pub(crate) daemon_cpu_us: Spread,
}

/// Sends `runs` bursts to connected and as many to unconnected modules.
///
/// # Errors
///
/// Where the hub refuses, or a handler does not see the end.
pub(crate) async fn measure(
    rig: &Rig,
    handlers: &mut Handlers,
    daemon: u32,
    runs: usize,
) -> anyhow::Result<Option<Burst>> {
    let each = CHANGES / rig.modules.len();
    let (mut rates, mut hub_rates, mut floor) = (Vec::new(), Vec::new(), Vec::new());
    let (mut tails, mut events, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        floor.push(rate(send(rig, UNATTENDED, now_us(), each).await?));
        let mark = now_us();
        let cpu_before = processor_time(daemon)?;
        let began = now_us();
        let answered = send(rig, DEVICE, mark, each).await?;
        let seen = handlers.all(|line| ended_by(line, mark)).await?;
        cpu.push(micros_each(processor_time(daemon)?.saturating_sub(cpu_before)));
        let last = seen.iter().map(|(seen_us, _)| *seen_us).max().unwrap_or(began);
        let took = Duration::from_micros(last.saturating_sub(began));
        rates.push(rate(took));
        hub_rates.push(rate(answered));
        tails.push(took.saturating_sub(answered));
        let counts = seen.iter().map(|(_, events)| u32::try_from(*events).unwrap_or(u32::MAX));
        events.extend(counts.map(f64::from));
    }
    let burst = || {
        Some(Burst {
            changes: CHANGES,
            per_second: Spread::of(rates)?,
            hub_per_second: Spread::of(hub_rates)?,
            unattended_per_second: Spread::of(floor)?,
            tail_ms: Spread::of_millis(tails)?,
            events_per_handler: Spread::of(events)?,
            changes_per_handler: each,
            daemon_cpu_us: Spread::of(cpu)?,
        })
    };
    let burst = burst();
    if let Some(Burst { per_second, unattended_per_second, .. }) = &burst {
        let (with, without) = (per_second.median, unattended_per_second.median);
        progress(&format!("  {with:.0}/s; the hub alone takes {without:.0}/s"));
    }
    Ok(burst)
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

fn micros_each(cpu: Duration) -> f64 {
    cpu.as_secs_f64() * 1e6 / number(CHANGES)
}

/// Sends `each` changes to every module of `device`, all modules at once, each over its own
/// connection and one after the other; says how long the hub took to answer them all.
async fn send(rig: &Rig, device: &'static str, mark: u64, each: usize) -> anyhow::Result<Duration> {
    let mut services = Vec::new();
    for module in &rig.modules {
        let mut service = rig.hub.service()?;
        // Opens the connection; the handshake is no part of the burst.
        service.twin(device, module).await?;
        services.push((service, module.clone()));
    }
    let began = Instant::now();
    let mut senders = JoinSet::new();
    for (service, module) in services {
        senders.spawn(send_to(service, device, module, mark, each));
    }
    while let Some(sent) = senders.join_next().await {
        sent.context("a sender panicked")??;
    }
    Ok(began.elapsed())
}

async fn send_to(
    mut service: Service,
    device: &str,
    module: String,
    mark: u64,
    each: usize,
) -> anyhow::Result<()> {
    for change in 1..=each {
        let desired: Value = match change == each {
            true => json!({ "burst": change, MARK: mark }),
            false => json!({ "burst": change }),
        };
        service.change_desired(device, &module, desired).await?;
    }
    Ok(())
}
