//! A change of desired, through the daemon to a handler in a process of its own, and the handler's
//! report back to the hub: one after the other, module by module.

use modtwin_testkit::gateway::DEVICE;
use modtwin_testkit::wall::now_us;
use serde::Serialize;
use serde_json::json;

use crate::handler::{ECHO, Line};
use crate::handlers::Handlers;
use crate::hub_events::HubEvents;
use crate::rig::Rig;
use crate::terminal::progress;
use modtwin_testkit::process::processor_time;
use modtwin_testkit::spread::{Spread, number};

/// How long echoes took, in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Echo {
    /// From the hub's write of desired to its write of reported, both stamped by the hub.
    pub(crate) at_hub_ms: Spread,
    /// From the hub's write of desired until the handler has read the event.
    pub(crate) one_way_ms: Spread,
    /// From then until the daemon has answered that the report is durable.
    pub(crate) stored_ms: Spread,
    /// From the back end's request until it has read the hub's word that the report is there.
    pub(crate) outside_ms: Spread,
    /// Of that, what has nothing to do with the daemon: from the request until the back end has
    /// read the hub's word that the change itself was written.
    pub(crate) apparatus_ms: Spread,
    /// Processor time of the daemon for one echo, in microseconds.
    pub(crate) daemon_cpu_us: f64,
}

/// The moments of one echo, in microseconds since 1970.
#[derive(Debug, Clone, Copy)]
struct Moments {
    asked: u64,
    desired: u64,
    desired_read: u64,
    seen: u64,
    stored: u64,
    reported: u64,
    reported_read: u64,
}

/// Sends `count` changes, each when the echo of the one before is at the hub.
///
/// # Errors
///
/// Where an echo does not come.
pub(crate) async fn measure(
    rig: &mut Rig,
    handlers: &mut Handlers,
    daemon: u32,
    count: usize,
) -> anyhow::Result<Option<Echo>> {
    let mut events = HubEvents::listen(&rig.service).await?;
    // The first round is not counted: connections open, files appear.
    let warm_up = rig.modules.len();
    for turn in 0..warm_up {
        echo(rig, handlers, &mut events, turn).await?;
    }
    let cpu_before = processor_time(daemon)?;
    let mut all = Vec::with_capacity(count);
    for turn in warm_up..warm_up + count {
        all.push(echo(rig, handlers, &mut events, turn).await?);
    }
    let cpu = processor_time(daemon)?.saturating_sub(cpu_before);
    let spread = |span: fn(&Moments) -> (u64, u64)| {
        Spread::of_micros(all.iter().map(|moments| {
            let (from, to) = span(moments);
            to.saturating_sub(from)
        }))
    };
    let summary = || {
        Some(Echo {
            at_hub_ms: spread(|at| (at.desired, at.reported))?,
            one_way_ms: spread(|at| (at.desired, at.seen))?,
            stored_ms: spread(|at| (at.seen, at.stored))?,
            outside_ms: spread(|at| (at.asked, at.reported_read))?,
            apparatus_ms: spread(|at| (at.asked, at.desired_read))?,
            daemon_cpu_us: cpu.as_secs_f64() * 1e6 / number(count),
        })
    };
    let echo = summary();
    if let Some(Echo { at_hub_ms, .. }) = &echo {
        progress(&format!("  p50 {:.2} ms, p99 {:.2} ms", at_hub_ms.median, at_hub_ms.p99));
    }
    Ok(echo)
}

async fn echo(
    rig: &mut Rig,
    handlers: &mut Handlers,
    events: &mut HubEvents,
    turn: usize,
) -> anyhow::Result<Moments> {
    let index = turn % rig.modules.len();
    let module = rig.modules.get(index).cloned().unwrap_or_default();
    let value = now_us();
    let asked = now_us();
    let at_hub = async {
        let desired = events.find(|event| event.writes("desired", &module, ECHO, value)).await?;
        let desired_read = now_us();
        let reported = events.find(|event| event.writes("reported", &module, ECHO, value)).await?;
        anyhow::Ok((desired.us, desired_read, reported.us, now_us()))
    };
    let change = rig.service.change_desired(DEVICE, &module, json!({ ECHO: value }));
    let (at_hub, changed) = tokio::join!(at_hub, change);
    let (desired, desired_read, reported, reported_read) = at_hub?;
    changed?;
    loop {
        if let (from, Line::Echoed { value: echoed, seen_us, stored_us }) = handlers.next().await?
            && (from, echoed) == (index, value)
        {
            let (seen, stored) = (seen_us, stored_us);
            return Ok(Moments {
                asked,
                desired,
                desired_read,
                seen,
                stored,
                reported,
                reported_read,
            });
        }
    }
}
