//! Processes that hold streams and read them, and what they say: one line of JSON for each order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use modtwin_api::{Document, Event};
use modtwin_client::{Client, WatchOptions};
use modtwin_testkit::wall::now_us;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::AT;

/// How many streams a process holds.
const SHARE: usize = 90;
/// How long opening all streams, or hearing the last change, may take.
const LIMIT: Duration = Duration::from_secs(60);

/// What a process is to hold.
#[derive(Debug, Serialize, Deserialize)]
struct Plan {
    socket: PathBuf,
    /// A module for each stream.
    modules: Vec<String>,
}

/// By the module: when its last change was asked for.
type Last = BTreeMap<String, u64>;

/// What a process says.
#[derive(Debug, Serialize, Deserialize)]
enum Said {
    /// All streams stand.
    Ready,
    /// How long each line took since the last order, in microseconds.
    Latencies(Vec<u64>),
}

/// The processes; they end when dropped.
pub(crate) struct Readers {
    processes: Vec<Process>,
}

struct Process {
    child: Child,
    orders: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Readers {
    /// Has each of `modules` watched by a stream of its own; returns once all stand.
    ///
    /// # Errors
    ///
    /// Where a process does not start or a stream does not open.
    pub(crate) async fn start(socket: &Path, modules: &[String]) -> anyhow::Result<Self> {
        let mut processes = Vec::new();
        for share in modules.chunks(SHARE) {
            let plan = Plan { socket: socket.to_owned(), modules: share.to_vec() };
            let mut process = Process::start()?;
            process.order(&plan).await?;
            processes.push(process);
        }
        for process in &mut processes {
            let Said::Ready = process.said().await? else { bail!("expected streams") };
        }
        Ok(Self { processes })
    }

    /// Waits until every stream has told the last change of its module; gives how long all lines
    /// since the last call took, in microseconds.
    ///
    /// # Errors
    ///
    /// Where one does not in time.
    pub(crate) async fn latencies(&mut self, last: &Last) -> anyhow::Result<Vec<u64>> {
        for process in &mut self.processes {
            process.order(last).await?;
        }
        let mut all = Vec::new();
        for process in &mut self.processes {
            let Said::Latencies(part) = process.said().await? else { bail!("expected times") };
            all.extend(part);
        }
        Ok(all)
    }

    /// Ends the processes.
    ///
    /// # Errors
    ///
    /// Where one does not end well.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        for mut process in self.processes {
            drop(process.orders);
            let status = timeout(LIMIT, process.child.wait()).await.context("a reader stays")??;
            if !status.success() {
                bail!("a reader ended with {status}");
            }
        }
        Ok(())
    }
}

impl Process {
    fn start() -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("cannot find this program")?;
        let mut child = Command::new(own)
            .arg("fanout-readers")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start a reader")?;
        let orders = child.stdin.take().context("no way to a reader")?;
        let lines = BufReader::new(child.stdout.take().context("no way from a reader")?).lines();
        Ok(Self { child, orders, lines })
    }

    async fn order(&mut self, order: &impl Serialize) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(order).context("no JSON")?;
        line.push(b'\n');
        self.orders.write_all(&line).await.context("cannot write to a reader")?;
        self.orders.flush().await.context("cannot write to a reader")
    }

    async fn said(&mut self) -> anyhow::Result<Said> {
        let line = timeout(LIMIT, self.lines.next_line()).await.context("a reader says nothing")?;
        let line = line.context("cannot read what a reader says")?.context("a reader ended")?;
        serde_json::from_str(&line).with_context(|| format!("expected a line, found `{line}`"))
    }
}

/// A line of a stream: which stream, when its change was asked for, how long it took.
type Heard = (usize, u64, u64);

/// Is such a process: holds the streams that its first order names, until its orders end.
///
/// # Errors
///
/// Where a stream does not open, or ends.
pub(crate) async fn run() -> anyhow::Result<()> {
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    let plan = orders.next_line().await?.context("expected a plan")?;
    let plan: Plan = serde_json::from_str(&plan).context("expected a plan")?;
    let client = Client::new(&plan.socket);
    let (sender, mut heard) = mpsc::unbounded_channel();
    for (stream, module) in plan.modules.iter().enumerate() {
        let mut watch = client.watch(module, &WatchOptions::default()).await?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while let Ok(Some(event)) = watch.next().await {
                let now = now_us();
                if let Event::Desired(event) = event
                    && let Some(at) = asked_at(&event.desired)
                {
                    // Nobody listening means that this process ends.
                    let _nobody = sender.send((stream, at, now.saturating_sub(at)));
                }
            }
        });
    }
    drop(sender);
    say(&Said::Ready).await?;
    let mut latest = vec![0; plan.modules.len()];
    while let Some(order) = orders.next_line().await? {
        let last: Last = serde_json::from_str(&order).context("expected an order")?;
        let latencies = until_last(&plan.modules, &last, &mut latest, &mut heard).await?;
        say(&Said::Latencies(latencies)).await?;
    }
    Ok(())
}

async fn until_last(
    modules: &[String],
    last: &Last,
    latest: &mut [u64],
    heard: &mut mpsc::UnboundedReceiver<Heard>,
) -> anyhow::Result<Vec<u64>> {
    let mut latencies = Vec::new();
    let is_there = |latest: &[u64]| {
        modules
            .iter()
            .zip(latest)
            .all(|(module, at)| last.get(module).is_none_or(|last| at >= last))
    };
    loop {
        // What has come already counts, also where the last change has come with it.
        let now = heard.try_recv().ok();
        let heard = match now {
            None if is_there(latest) => return Ok(latencies),
            None => heard.recv().await.context("the streams ended")?,
            Some(now) => now,
        };
        let (stream, at, took) = heard;
        latencies.push(took);
        if let Some(latest) = latest.get_mut(stream) {
            *latest = at;
        }
    }
}

fn asked_at(desired: &Document) -> Option<u64> {
    desired.get(AT).and_then(Value::as_u64)
}

async fn say(said: &Said) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(said).context("no JSON")?;
    line.push(b'\n');
    let mut out = tokio::io::stdout();
    out.write_all(&line).await.context("cannot write to standard output")?;
    out.flush().await.context("cannot write to standard output")
}
