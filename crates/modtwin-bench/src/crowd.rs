//! The emulator alone: how many connections it holds, and how fast it tells them of changes.
//!
//! Three processes take part: the emulator, one that holds all connections ([`client`]), and this
//! one, which creates the identities and makes the changes over the service REST API. Each
//! connection is a module of its own with real TLS, a token and both twin subscriptions (QoS 1).

pub(crate) mod client;
mod figures;
mod words;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use modtwin_testkit::hub::Hub;
use modtwin_testkit::service::{Service, module_token};
use modtwin_testkit::wall::now_us;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use self::client::{AT, Line, Login, Order, Plan};
use self::figures::Figures;
use crate::terminal::{progress, result};
use modtwin_testkit::machine::Machine;
use modtwin_testkit::page::Page;
use modtwin_testkit::process::{memory, processor_time};
use modtwin_testkit::spread::number;

/// What is measured, on the command line.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    /// How many connections are held at once.
    #[arg(long, default_value_t = 2000)]
    connections: usize,
    /// How long changes are made as fast as the hub takes them, and as long again at a given rate.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// The given rate, in changes a second.
    #[arg(long, default_value_t = 1000)]
    rate: u64,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
    /// Put the figures between their markers of this page as well.
    #[arg(long, value_name = "PAGE")]
    write: Option<PathBuf>,
}

/// Modules of a device: half of what the hub takes.
const MODULES: usize = 25;
/// Connections of the service side, each with one change under way.
const SENDERS: usize = 8;
/// How long the client may take for all connections, or for what was sent last.
const LIMIT: Duration = Duration::from_secs(120);

/// Measures and prints.
///
/// # Errors
///
/// Where a program is not built, or something does not answer in time.
pub(crate) async fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let page = arguments.write.as_deref().map(|page| Page::find(page, MARKERS)).transpose()?;
    let folder = crate::plan::hub_folder();
    let machine = Machine::look(&folder);
    let hub = Hub::start_in(&folder).await?;
    let pid = hub.pid().context("the hub does not run")?;
    progress(&format!("creating {} modules", arguments.connections));
    let logins = create(&hub, arguments.connections).await?;
    let before = memory(pid)?;
    progress("connecting");
    let cpu_before_connects = processor_time(pid)?;
    let mut crowd = Crowd::gather(&hub, logins.clone()).await?;
    let connected = crowd.connected().await?;
    let cpu_of_connects = processor_time(pid)?.saturating_sub(cpu_before_connects);
    let held = memory(pid)?;
    let span = Duration::from_secs(arguments.seconds);
    progress("changing desired properties as fast as the hub takes them");
    let fast = round(&hub, &mut crowd, &logins, Pace { span, rate: None }).await?;
    progress(&format!("changing desired properties, {} a second", arguments.rate));
    let pace = Pace { span, rate: Some(arguments.rate) };
    let paced = round(&hub, &mut crowd, &logins, pace).await?;
    let after = memory(pid)?;
    crowd.leave().await?;
    let figures = Figures {
        machine,
        connections: arguments.connections,
        connect_seconds: connected.as_secs_f64(),
        connect_cpu_ms: cpu_of_connects.as_secs_f64() * 1000.0 / number(arguments.connections),
        hub_mib: [before, held, after].map(|memory| mib(memory.pss_kib)),
        fast,
        paced,
        rate: arguments.rate,
    };
    match arguments.json {
        true => result(&serde_json::to_string_pretty(&figures).context("no JSON")?),
        false => result(&words::markdown(&figures)),
    }
    match page {
        Some(page) => page.write(&words::markdown(&figures)),
        None => Ok(()),
    }
}

/// The name in the markers of the page.
const MARKERS: &str = "bench-emulator";

fn mib(kib: u64) -> f64 {
    u32::try_from(kib).map_or(f64::INFINITY, f64::from) / 1024.0
}

/// Creates the modules and signs a token for each.
async fn create(hub: &Hub, connections: usize) -> anyhow::Result<Vec<Login>> {
    let mut tasks = JoinSet::new();
    for device in 0..connections.div_ceil(MODULES) {
        let count = MODULES.min(connections - device * MODULES);
        let (mut service, host) = (hub.service()?, hub.facts.hostname.clone());
        tasks.spawn(async move {
            let device = format!("crowd{device:03}");
            service.create_device(&device).await?;
            let mut logins = Vec::new();
            for module in 0..count {
                let module = format!("module{module:02}");
                let key = service.create_module_by_key(&device, &module).await?;
                let token = module_token(&host, (&device, &module), &key)?;
                logins.push(Login { device: device.clone(), module, token });
            }
            anyhow::Ok(logins)
        });
    }
    let mut all = Vec::with_capacity(connections);
    while let Some(made) = tasks.join_next().await {
        all.extend(made.context("a task panicked")??);
    }
    Ok(all)
}

/// The process that holds the connections.
struct Crowd {
    process: Child,
    orders: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Crowd {
    async fn gather(hub: &Hub, logins: Vec<Login>) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("cannot find this program")?;
        let mut process = Command::new(own)
            .arg("crowd-client")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the client")?;
        let mut orders = process.stdin.take().context("no way to the client")?;
        let lines =
            BufReader::new(process.stdout.take().context("no way from the client")?).lines();
        let plan = Plan {
            address: (hub.facts.listen, hub.facts.mqtt_port).into(),
            host: hub.facts.hostname.clone(),
            ca: hub.facts.ca.clone(),
            logins,
        };
        write(&mut orders, &plan).await?;
        Ok(Self { process, orders, lines })
    }

    async fn next(&mut self) -> anyhow::Result<Line> {
        let line = timeout(LIMIT, self.lines.next_line())
            .await
            .with_context(|| format!("the client said nothing for {} s", LIMIT.as_secs()))?
            .context("cannot read what the client says")?
            .context("the client ended")?;
        serde_json::from_str(&line).with_context(|| format!("expected a line, found `{line}`"))
    }

    /// How long it took to connect all, subscriptions included.
    async fn connected(&mut self) -> anyhow::Result<Duration> {
        match self.next().await? {
            Line::Connected { us } => Ok(Duration::from_micros(us)),
            other => bail!("expected all to be connected, found {other:?}"),
        }
    }

    async fn leave(mut self) -> anyhow::Result<()> {
        drop(self.orders);
        let status = timeout(LIMIT, self.process.wait()).await.context("the client stays")??;
        if status.success() { Ok(()) } else { bail!("the client ended with {status}") }
    }
}

async fn write(orders: &mut ChildStdin, order: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(order).context("no JSON")?;
    line.push(b'\n');
    orders.write_all(&line).await.context("cannot write to the client")?;
    orders.flush().await.context("cannot write to the client")
}

/// How changes follow each other.
#[derive(Debug, Clone, Copy)]
struct Pace {
    span: Duration,
    /// Changes a second; as fast as can be where there is none.
    rate: Option<u64>,
}

/// Makes changes at all modules in turn and waits until each notification has arrived.
async fn round(
    hub: &Hub,
    crowd: &mut Crowd,
    logins: &[Login],
    pace: Pace,
) -> anyhow::Result<figures::Round> {
    let pid = hub.pid().context("the hub does not run")?;
    let mut services = Vec::new();
    for share in 0..SENDERS {
        let mut service = hub.service()?;
        // The handshake is no part of what is measured.
        service.stats().await?;
        let own: Vec<Login> = logins.iter().skip(share).step_by(SENDERS).cloned().collect();
        services.push((service, own));
    }
    let (cpu_before, own_before) = (processor_time(pid)?, processor_time(std::process::id())?);
    let began = Instant::now();
    let mut senders = JoinSet::new();
    for (service, own) in services {
        senders.spawn(send(service, own, pace));
    }
    let mut count = 0;
    while let Some(sent) = senders.join_next().await {
        count += sent.context("a sender panicked")??;
    }
    let sent = began.elapsed();
    write(&mut crowd.orders, &Order { count }).await?;
    let Line::Counted { last_us, p50_us, p99_us, most_us } = crowd.next().await? else {
        bail!("expected a count");
    };
    let cpu = |after: Duration, before: Duration| {
        after.saturating_sub(before).as_secs_f64() * 1e6 / number(count)
    };
    // The last arrival is stamped on the clock of both processes; what comes after is no part.
    let late = now_us().saturating_sub(last_us);
    let took = began.elapsed().saturating_sub(Duration::from_micros(late)).max(sent);
    Ok(figures::Round {
        notifications: count,
        per_second: number(count) / took.as_secs_f64(),
        latency_ms: [p50_us, p99_us, most_us]
            .map(|us| Duration::from_micros(us).as_secs_f64() * 1e3),
        hub_cpu_us: cpu(processor_time(pid)?, cpu_before),
        requests_cpu_us: cpu(processor_time(std::process::id())?, own_before),
    })
}

/// Changes its modules in turn, one after the other, until the time is up; gives how many.
async fn send(mut service: Service, own: Vec<Login>, pace: Pace) -> anyhow::Result<usize> {
    let began = Instant::now();
    let share = u32::try_from(SENDERS).unwrap_or(1);
    let mut ticks = pace.rate.map(|rate| {
        let mut ticks = interval(
            Duration::from_secs(1) * share / u32::try_from(rate.max(1)).unwrap_or(u32::MAX),
        );
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        ticks
    });
    let mut count = 0;
    for login in own.iter().cycle() {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        if began.elapsed() >= pace.span {
            break;
        }
        let desired = json!({ AT: now_us() });
        service.change_desired(&login.device, &login.module, desired).await?;
        count += 1;
    }
    Ok(count)
}
