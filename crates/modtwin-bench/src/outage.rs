//! How soon everything is as it was after the hub was gone for a while.

use std::time::{Duration, Instant};

use modtwin_testkit::gateway::{DEVICE, Gateway};
use modtwin_testkit::wall::now_us;
use serde::Serialize;
use serde_json::json;

use crate::handler::{ECHO, Line};
use crate::handlers::Handlers;
use crate::rig::{MODULES, Rig};
use crate::terminal::progress;
use modtwin_testkit::spread::Spread;

/// How long the hub is gone.
pub(crate) const OUTAGE: Duration = Duration::from_secs(5);

/// Times from the moment that the hub serves again, in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Outage {
    /// Until the first handler had seen a change made right after.
    pub(crate) first_ms: Spread,
    /// Until half of them had.
    pub(crate) half_ms: Spread,
    /// Until all had.
    pub(crate) all_ms: Spread,
}

/// Times of one outage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Back {
    first: Duration,
    half: Duration,
    all: Duration,
}

/// Kills the hub, restarts it on the same ports after [`OUTAGE`], changes every twin at once, and
/// waits until every handler has seen its change.
///
/// # Errors
///
/// Where the hub does not start again, or a change is not seen.
pub(crate) async fn once(
    rig: &mut Rig,
    gateway: &Gateway,
    handlers: &mut Handlers,
) -> anyhow::Result<Back> {
    let down = Instant::now();
    rig.hub.kill()?;
    tokio::time::sleep(OUTAGE.saturating_sub(down.elapsed())).await;
    rig.hub.restart().await?;
    let (up_us, value) = (now_us(), now_us());
    rig.service = rig.hub.service()?;
    for module in rig.modules.clone() {
        rig.service.change_desired(DEVICE, &module, json!({ ECHO: value })).await?;
    }
    let mut seen = handlers.all(|line| seen_at(line, value)).await?;
    gateway.wait_connected(MODULES).await?;
    seen.sort_unstable();
    let after = |seen: Option<&u64>| {
        Duration::from_micros(seen.map_or(0, |seen| seen.saturating_sub(up_us)))
    };
    let back = Back {
        first: after(seen.first()),
        half: after(seen.get(seen.len() / 2)),
        all: after(seen.last()),
    };
    progress(&format!("  all back after {:.2} s", back.all.as_secs_f64()));
    Ok(back)
}

impl Outage {
    /// Sums up; none where there was no outage.
    pub(crate) fn of(backs: &[Back]) -> Option<Self> {
        Some(Self {
            first_ms: Spread::of_millis(backs.iter().map(|back| back.first))?,
            half_ms: Spread::of_millis(backs.iter().map(|back| back.half))?,
            all_ms: Spread::of_millis(backs.iter().map(|back| back.all))?,
        })
    }
}

fn seen_at(line: Line, wanted: u64) -> Option<u64> {
    match line {
        Line::Echoed { value, seen_us, .. } if value == wanted => Some(seen_us),
        _ => None,
    }
}
