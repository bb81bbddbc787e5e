//! How much memory the daemon takes with 1, 5 and 20 modules at rest.

use std::time::Duration;

use serde::Serialize;

use crate::rig::{Rig, stop};
use crate::terminal::progress;
use modtwin_testkit::process::{self, Memory};
use modtwin_testkit::spread::Spread;

/// Memory of the daemon in one situation, over several runs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct MemoryRow {
    /// How many modules.
    pub(crate) modules: usize,
    /// What else there was.
    pub(crate) situation: &'static str,
    /// The proportional share, in KiB.
    pub(crate) pss_kib: Spread,
    /// What it shares with nobody, in KiB.
    pub(crate) private_kib: Spread,
    /// Threads of the last run.
    pub(crate) threads: usize,
}

impl MemoryRow {
    /// Sums up; none where there are no samples.
    pub(crate) fn of(modules: usize, situation: &'static str, samples: &[Memory]) -> Option<Self> {
        let spread =
            |field: fn(&Memory) -> u64| Spread::of(samples.iter().map(|sample| kib(field(sample))));
        Some(Self {
            modules,
            situation,
            pss_kib: spread(|memory| memory.pss_kib)?,
            private_kib: spread(|memory| memory.private_kib)?,
            threads: samples.last()?.threads,
        })
    }
}

/// Measures a fresh daemon with each number of modules, `runs` times.
///
/// # Errors
///
/// Where a daemon does not start or stop.
pub(crate) async fn measure(rig: &Rig, runs: usize) -> anyhow::Result<Vec<MemoryRow>> {
    let mut rows = Vec::new();
    for modules in [1, 5, 20] {
        let mut samples = Vec::new();
        for _ in 0..runs {
            let gateway = rig.gateway(modules)?;
            let (daemon, _) = rig.launch(&gateway, modules).await?;
            settle().await;
            samples.push(process::memory(daemon.pid())?);
            stop(daemon).await?;
        }
        let row = MemoryRow::of(modules, "in step, nobody watches", &samples);
        if let Some(row) = &row {
            progress(&format!("  {modules} modules: {:.0} KiB PSS", row.pss_kib.median));
        }
        rows.extend(row);
    }
    Ok(rows)
}

/// Lets a daemon come to rest: its threads for files end after five idle seconds.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_secs(7)).await;
}

fn kib(value: u64) -> f64 {
    u32::try_from(value).map_or(f64::INFINITY, f64::from)
}
