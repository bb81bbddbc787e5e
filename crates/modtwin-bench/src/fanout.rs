//! Many handlers on one daemon, a tenth of which never read: whether the others notice, and what
//! each of them costs.
//!
//! The readers' streams are held by a few processes ([`readers`]), those that nobody reads by this
//! one, which also changes desired properties over the service REST API. Each change carries the
//! time at which it was asked for; a reader stamps the line that brings it.

pub(crate) mod readers;
mod words;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use modtwin_testkit::gateway::DEVICE;
use modtwin_testkit::machine::Machine;
use modtwin_testkit::page::Page;
use modtwin_testkit::process::memory;
use modtwin_testkit::spread::{Spread, number};
use modtwin_testkit::wall::now_us;
use serde::Serialize;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use self::readers::Readers;
use crate::memory::settle;
use crate::rig::{MODULES, Rig, stop};
use crate::terminal::{progress, result};

/// What is measured, on the command line.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    /// How many handlers there are, of which a tenth never reads.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(20..=1000))]
    handlers: u16,
    /// How long each of the ten rounds of changes takes, in seconds.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Changes a second, of all modules in turn.
    #[arg(long, default_value_t = 50)]
    rate: u32,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
    /// Put the figures between their markers of this page as well.
    #[arg(long, value_name = "PAGE")]
    write: Option<PathBuf>,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// What it was measured on.
    pub(crate) machine: Machine,
    /// Handlers that read.
    pub(crate) readers: usize,
    /// Handlers that never do.
    pub(crate) sleepers: usize,
    /// Changes a second.
    pub(crate) rate: u32,
    /// From the back end's request to the reader's line in milliseconds, the readers being alone.
    pub(crate) quiet_ms: Spread,
    /// The same beside those that never read.
    pub(crate) crowded_ms: Spread,
    /// What the daemon has for itself in KiB: without handlers, with readers, with all.
    pub(crate) daemon_kib: [u64; 3],
    /// What one handler costs in KiB, the kernel's send buffer included.
    pub(crate) connection_kib: f64,
}

impl Figures {
    /// How much longer the slowest in a hundred takes beside those that never read.
    pub(crate) fn ratio(&self) -> f64 {
        self.crowded_ms.p99 / self.quiet_ms.p99
    }

    /// Whether what is promised holds.
    pub(crate) fn holds(&self) -> bool {
        self.ratio() <= MOST_RATIO && self.connection_kib <= MOST_KIB
    }
}

/// Measures and prints.
///
/// # Errors
///
/// Where a program is not built, something does not answer in time, or a promise does not hold.
pub(crate) async fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let page = arguments.write.as_deref().map(|page| Page::find(page, MARKERS)).transpose()?;
    let figures = figures(arguments).await?;
    match arguments.json {
        true => result(&serde_json::to_string_pretty(&figures).context("no JSON")?),
        false => result(&words::markdown(&figures)),
    }
    if let Some(page) = page {
        page.write(&words::markdown(&figures))?;
    }
    if figures.holds() { Ok(()) } else { bail!("what is promised does not hold") }
}

async fn figures(arguments: &Arguments) -> anyhow::Result<Figures> {
    let folder = crate::plan::hub_folder();
    let machine = Machine::look(&folder);
    let mut rig = Rig::start(&folder).await?;
    let gateway = rig.gateway(MODULES)?;
    let (daemon, _) = rig.launch(&gateway, MODULES).await?;
    // The first document is what all streams begin with.
    for module in rig.modules.clone() {
        rig.service.change_desired(DEVICE, &module, document(0)).await?;
    }
    settle().await;
    let own = |pid| memory(pid).map(|memory| memory.private_kib);
    let empty = own(daemon.pid())?;
    let handlers = usize::from(arguments.handlers);
    let sleepers = handlers / 10;
    let of = |n: usize| rig.modules.get(n % MODULES).cloned().unwrap_or_default();
    let watched: Vec<String> = (0..handlers - sleepers).map(of).collect();
    let asleep: Vec<String> = (0..sleepers).map(of).collect();
    progress(&format!("{} handlers watch", watched.len()));
    let mut readers = Readers::start(&gateway.socket(), &watched).await?;
    settle().await;
    let with_readers = own(daemon.pid())?;
    let (mut quiet, mut crowded) = (Vec::new(), Vec::new());
    let mut with_all = with_readers;
    for round in 1..=ROUNDS {
        progress(&format!("round {round} of {ROUNDS}: all of them read"));
        quiet.extend(changes(&mut rig, &mut readers, arguments).await?);
        progress(&format!("round {round} of {ROUNDS}: beside {sleepers} that never read"));
        let streams = sleep_on(&gateway.socket(), &asleep)?;
        crowded.extend(changes(&mut rig, &mut readers, arguments).await?);
        with_all = with_all.max(own(daemon.pid())?);
        drop(streams);
    }
    readers.end().await?;
    stop(daemon).await?;
    let grown = with_all.saturating_sub(empty);
    Ok(Figures {
        machine,
        readers: watched.len(),
        sleepers,
        rate: arguments.rate,
        quiet_ms: Spread::of_micros(quiet).context("nothing arrived")?,
        crowded_ms: Spread::of_micros(crowded).context("nothing arrived")?,
        daemon_kib: [empty, with_readers, with_all],
        connection_kib: number(usize::try_from(grown)?) / number(handlers) + KERNEL_KIB,
    })
}

/// Opens a stream of each of those modules; nobody will read it.
fn sleep_on(socket: &Path, modules: &[String]) -> anyhow::Result<Vec<UnixStream>> {
    let open = |module: &String| {
        let mut stream = UnixStream::connect(socket).context("cannot connect")?;
        let request = format!("GET /v1/modules/{module}/watch HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).context("cannot ask for a stream")?;
        Ok(stream)
    };
    modules.iter().map(open).collect()
}

/// Changes all modules in turn at the rate, and waits until each reader has heard the last change
/// of its module; gives how long each line took, in microseconds.
async fn changes(
    rig: &mut Rig,
    readers: &mut Readers,
    arguments: &Arguments,
) -> anyhow::Result<Vec<u64>> {
    let mut ticks = interval(Duration::from_secs(1) / arguments.rate.max(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let count = arguments.seconds.saturating_mul(arguments.rate.into());
    let mut last = BTreeMap::new();
    for n in 0..usize::try_from(count)?.max(MODULES) {
        ticks.tick().await;
        let module = rig.modules.get(n % MODULES).context("no such module")?;
        let at = now_us();
        rig.service.change_desired(DEVICE, module, document(at)).await?;
        last.insert(module.clone(), at);
    }
    readers.latencies(&last).await
}

/// A document of a kibibyte that says when it was asked for.
fn document(at: u64) -> serde_json::Value {
    json!({ AT: at, "filler": "x".repeat(1024) })
}

/// The desired property that says when a change was asked for.
const AT: &str = "at";
/// How often the readers are measured alone and then beside those that never read.
const ROUNDS: usize = 5;
/// How much longer the slowest in a hundred may take at most.
const MOST_RATIO: f64 = 2.0;
/// What a handler may cost at most, in KiB.
const MOST_KIB: f64 = 64.0;
/// What the kernel keeps at most for a stream that nobody reads, in KiB: the daemon asks for 4, and
/// the kernel takes twice as much.
const KERNEL_KIB: f64 = 8.0;
/// The name in the markers of the page.
const MARKERS: &str = "bench-fanout";
