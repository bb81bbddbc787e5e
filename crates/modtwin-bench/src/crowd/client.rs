//! The process that holds the connections: one thread, one task a connection. It is told what to
//! do on its standard input and says what it saw on its standard output, a line of JSON each.

use std::cell::RefCell;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use modtwin_testkit::dialer::{Dialer, Trust};
use modtwin_testkit::mqtt::{Client, Login as MqttLogin};
use modtwin_testkit::wall::now_us;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::{Notify, Semaphore};
use tokio::task::LocalSet;

/// The desired property that says when the change was asked for, in microseconds since 1970.
pub(crate) const AT: &str = "at";
/// Handshakes under way at once.
const DIALLING: usize = 32;
/// Seconds.
const KEEP_ALIVE: u16 = 1177;

/// A module and its token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Login {
    /// The device.
    pub(crate) device: String,
    /// The module.
    pub(crate) module: String,
    /// The password.
    pub(crate) token: String,
}

/// The first line of input.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The hub's MQTT port.
    pub(crate) address: SocketAddr,
    /// The hub's name.
    pub(crate) host: String,
    /// Whom to trust.
    pub(crate) ca: PathBuf,
    /// Who connects.
    pub(crate) logins: Vec<Login>,
}

/// Each further line of input: wait for so many notifications since the last.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Order {
    /// How many.
    pub(crate) count: usize,
}

/// A line of output.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub(crate) enum Line {
    /// All are connected and subscribed.
    Connected {
        /// How long it took, in microseconds.
        us: u64,
    },
    /// As many notifications as were ordered have come.
    Counted {
        /// When the last came, in microseconds since 1970.
        last_us: u64,
        /// The latency that half of them do not exceed.
        p50_us: u64,
        /// The latency that 99 of 100 do not exceed.
        p99_us: u64,
        /// The longest.
        most_us: u64,
    },
}

/// What came since the last order was met.
#[derive(Debug, Default)]
struct Arrivals {
    latencies_us: RefCell<Vec<u64>>,
    last_us: RefCell<u64>,
    failure: RefCell<Option<anyhow::Error>>,
    news: Notify,
}

#[derive(Deserialize)]
struct Desired {
    at: u64,
}

/// Connects all, then counts, until the input ends.
///
/// # Errors
///
/// Where a connection fails or breaks.
pub(crate) fn run() -> anyhow::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).context("cannot read the limit of files")?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("cannot raise the limit of files")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    LocalSet::new().block_on(&runtime, serve())
}

async fn serve() -> anyhow::Result<()> {
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    let plan = input.next_line().await.context("cannot read the plan")?.context("no plan")?;
    let plan: Plan = serde_json::from_str(&plan).context("expected a plan")?;
    let dialer = Dialer::new(plan.address, &plan.host, &Trust::File(plan.ca), None)?;
    let arrivals = Rc::new(Arrivals::default());
    let began = Instant::now();
    let clients = connect(&dialer, plan.logins).await?;
    let us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    for client in clients {
        tokio::task::spawn_local(listen(client, Rc::clone(&arrivals)));
    }
    say(&Line::Connected { us })?;
    while let Some(line) = input.next_line().await.context("cannot read an order")? {
        let order: Order = serde_json::from_str(&line).context("expected an order")?;
        say(&counted(&arrivals, order.count).await?)?;
    }
    Ok(())
}

async fn connect(dialer: &Dialer, logins: Vec<Login>) -> anyhow::Result<Vec<Client>> {
    let gate = Rc::new(Semaphore::new(DIALLING));
    let mut tasks = tokio::task::JoinSet::new();
    for login in logins {
        let (dialer, gate) = (dialer.clone(), Rc::clone(&gate));
        tasks.spawn_local(async move {
            let _turn = gate.acquire().await.context("no gate")?;
            enter(&dialer, &login).await
        });
    }
    let mut clients = Vec::new();
    while let Some(client) = tasks.join_next().await {
        clients.push(client.context("a task panicked")??);
    }
    Ok(clients)
}

async fn enter(dialer: &Dialer, login: &Login) -> anyhow::Result<Client> {
    let (device, module) = (&login.device, &login.module);
    let mut client = Client::dial(dialer).await?;
    let user_name = format!("{}/{device}/{module}/?api-version=2021-04-12", dialer.host());
    let mut said =
        MqttLogin::new(&format!("{device}/{module}"), &user_name, Some(login.token.as_str()));
    said.keep_alive = KEEP_ALIVE;
    match client.log_in(&said).await? {
        0 => client.subscribe_twin().await?,
        code => bail!("{device}/{module}: expected CONNACK 0, found {code}"),
    }
    Ok(client)
}

async fn listen(mut client: Client, arrivals: Rc<Arrivals>) {
    loop {
        let taken = match client.message_whenever().await {
            Ok(message) => serde_json::from_slice(&message.payload)
                .with_context(|| format!("expected a time, found {message:?}")),
            Err(error) => Err(error),
        };
        match taken {
            Ok(Desired { at }) => {
                let now = now_us();
                arrivals.latencies_us.borrow_mut().push(now.saturating_sub(at));
                *arrivals.last_us.borrow_mut() = now;
                arrivals.news.notify_one();
            }
            Err(error) => {
                *arrivals.failure.borrow_mut() = Some(error);
                return arrivals.news.notify_one();
            }
        }
    }
}

/// Waits until `count` have come, and sums them up.
async fn counted(arrivals: &Arrivals, count: usize) -> anyhow::Result<Line> {
    while arrivals.latencies_us.borrow().len() < count {
        if let Some(error) = arrivals.failure.borrow_mut().take() {
            return Err(error);
        }
        arrivals.news.notified().await;
    }
    let mut latencies = std::mem::take(&mut *arrivals.latencies_us.borrow_mut());
    if latencies.len() > count {
        bail!("expected {count} notifications, found {}", latencies.len());
    }
    latencies.sort_unstable();
    let at = |rank: usize| latencies.get(rank).copied().unwrap_or_default();
    Ok(Line::Counted {
        last_us: *arrivals.last_us.borrow(),
        p50_us: at(count / 2),
        p99_us: at((count * 99).div_ceil(100).saturating_sub(1)),
        most_us: at(count.saturating_sub(1)),
    })
}

fn say(line: &Line) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    serde_json::to_writer(&mut output, line).context("cannot say what was seen")?;
    output.write_all(b"\n").context("cannot say what was seen")?;
    output.flush().context("cannot say what was seen")
}
