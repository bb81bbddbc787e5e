//! How long a start takes, from the process's birth to twenty modules in step.

use modtwin_testkit::gateway::Gateway;
use serde::Serialize;

use crate::rig::{Launch, MODULES, Rig, stop};
use crate::terminal::progress;
use modtwin_testkit::spread::Spread;

/// Starts with and without state on disk.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Start {
    /// The first start ever: no state.
    pub(crate) first: StartRow,
    /// A start with the state of the run before.
    pub(crate) again: StartRow,
    /// From SIGTERM to the end of the process, in milliseconds; looked at every 20 ms.
    pub(crate) stop_ms: Spread,
}

/// Times of starts of one kind, in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StartRow {
    /// Until the local socket answered.
    pub(crate) answered_ms: Spread,
    /// Until all modules were in step.
    pub(crate) synced_ms: Spread,
}

impl StartRow {
    fn of(launches: &[Launch]) -> Option<Self> {
        Some(Self {
            answered_ms: Spread::of_millis(launches.iter().map(|launch| launch.answered))?,
            synced_ms: Spread::of_millis(launches.iter().map(|launch| launch.synced))?,
        })
    }
}

/// Starts the daemon `runs` times without and as often with state.
///
/// # Errors
///
/// Where a daemon does not start or stop.
pub(crate) async fn measure(rig: &Rig, runs: usize) -> anyhow::Result<Option<Start>> {
    let (mut first, mut again, mut stops) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let gateway = rig.gateway(MODULES)?;
        for launches in [&mut first, &mut again] {
            launches.push(run(rig, &gateway, &mut stops).await?);
        }
    }
    let all = || {
        Some(Start {
            first: StartRow::of(&first)?,
            again: StartRow::of(&again)?,
            stop_ms: Spread::of_millis(stops)?,
        })
    };
    let start = all();
    if let Some(start) = &start {
        progress(&format!("  {:.0} ms to 20 in step", start.first.synced_ms.median));
    }
    Ok(start)
}

async fn run(
    rig: &Rig,
    gateway: &Gateway,
    stops: &mut Vec<std::time::Duration>,
) -> anyhow::Result<Launch> {
    let (daemon, launch) = rig.launch(gateway, MODULES).await?;
    stops.push(stop(daemon).await?);
    Ok(launch)
}
