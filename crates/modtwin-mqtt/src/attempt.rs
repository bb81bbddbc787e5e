//! The task of one connection, from the name's resolution to CONNACK.
//!
//! Owns the time limit of the attempt: whatever paho does, the session hears in time. Runs on
//! tokio and never calls paho; it polls tokens, which takes no lock of paho's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use modtwin_core::status::Fault;
use modtwin_session::link::{ConnectRequest, Epoch, LinkStatus};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use crate::connection;
use crate::diagnosis::Endpoint;
use crate::engine::Shared;
use crate::fault;
use crate::handle::Phase;
use crate::line::Line;
use crate::link::Carrier;
use crate::options::{self, Checked};
use crate::worker::{Command, Open, OpenReply, Opened};

/// One attempt to connect.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) link: u64,
    pub(crate) line: Arc<Line>,
    pub(crate) engine: Arc<Shared>,
    pub(crate) request: ConnectRequest,
    pub(crate) carrier: Carrier,
    pub(crate) deadline: Instant,
}

/// Why an attempt ended early.
enum Stop {
    /// For a reason to be told.
    Failed(Fault),
    /// The epoch is over already, nobody asks.
    Retired,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

impl Attempt {
    /// Connects, then follows the connection to its end.
    pub(crate) async fn run(self) {
        let epoch = self.request.epoch;
        // Speaks where this task ends without a word, be it by a panic.
        let _last_word = LastWord { line: Arc::clone(&self.line), epoch };
        match Box::pin(self.connect()).await {
            Ok(opened) => connection::follow(opened, epoch).await,
            Err(Stop::Failed(fault)) => {
                self.line.end(epoch, LinkStatus::Failed(fault));
            }
            Err(Stop::Retired) => {}
        }
    }

    async fn connect(&self) -> Result<Opened, Stop> {
        let checked = self.in_time(options::check(&self.request, self.carrier)).await??;
        let addresses = self.resolve().await?;
        let mut error = match self.try_once(&checked).await? {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        };
        if let Some(cause) = self.cause(&error, addresses, &checked).await {
            return Err(cause.into());
        }
        if may_be_mixed_up(&error) {
            error = match self.try_once(&checked).await? {
                Ok(opened) => return Ok(opened),
                Err(error) => error,
            };
        }
        let unexplained = || fault::unexplained(&self.request.host, self.request.port, &error);
        Err(fault::refusal(&error).unwrap_or_else(unexplained).into())
    }

    /// Asks paho to connect; the inner error is what paho says.
    async fn try_once(&self, checked: &Checked) -> Result<paho_mqtt::Result<Opened>, Stop> {
        let mut opened = self.open(checked).await?;
        let epoch = self.request.epoch;
        match timeout_at(self.deadline, opened.token.outcome()).await {
            Ok(Ok(())) => {
                opened.state.opened(epoch);
                if !self.line.is_live(epoch) {
                    opened.state.close(epoch);
                }
                Ok(Ok(opened))
            }
            Ok(Err(error)) => {
                opened.state.over(epoch);
                Ok(Err(error))
            }
            Err(_) => {
                self.line.end(epoch, LinkStatus::Failed(self.silent()));
                abandon(opened, epoch).await;
                Err(Stop::Retired)
            }
        }
    }

    /// paho resolves again, with its lock held: by then the answer is at hand.
    async fn resolve(&self) -> Result<Vec<SocketAddr>, Stop> {
        let host = self.request.host.as_str();
        let resolved =
            timeout_at(self.deadline, tokio::net::lookup_host((host, self.request.port))).await;
        let addresses: Vec<SocketAddr> = match resolved {
            Ok(Ok(addresses)) => addresses.collect(),
            Ok(Err(error)) => return Err(fault::unresolved(host, &error.to_string()).into()),
            Err(_) => {
                let cause = format!("no answer within {} s", self.request.time_limit.as_secs_f32());
                return Err(fault::unresolved(host, &cause).into());
            }
        };
        if addresses.is_empty() {
            return Err(fault::unresolved(host, "the name has no address").into());
        }
        Ok(addresses)
    }

    /// Has the engine begin the connection; waits a while for a client that is still busy.
    async fn open(&self, checked: &Checked) -> Result<Opened, Stop> {
        let epoch = self.request.epoch;
        let remaining = self.deadline.saturating_duration_since(Instant::now());
        let patience = Instant::now() + BUSY_LIMIT.min(remaining / 2);
        let options = options::build(&self.request, &checked.trusted_ca, remaining)?;
        let mut replace = false;
        loop {
            let (reply, answer) = oneshot::channel();
            let open = Open {
                link: self.link,
                line: Arc::clone(&self.line),
                epoch,
                identity: checked.identity.clone(),
                options: options.clone(),
                replace,
                reply,
            };
            if self.engine.commands.send(Command::Open(Box::new(open))).is_err() {
                return Err(fault::engine_gone().into());
            }
            match self.in_time(answer).await? {
                Ok(OpenReply::Opened(opened)) => return Ok(opened),
                Ok(OpenReply::Busy(mut stage)) => {
                    let free = stage.wait_for(|stage| stage.phase == Phase::Over);
                    replace = !matches!(timeout_at(patience, free).await, Ok(Ok(_)));
                }
                Ok(OpenReply::Refused(fault)) => return Err(fault.into()),
                Ok(OpenReply::Retired) => return Err(Stop::Retired),
                Err(_) => return Err(fault::engine_gone().into()),
            }
        }
    }

    /// Finds out what is behind paho's "connect failure".
    async fn cause(
        &self,
        error: &paho_mqtt::Error,
        addresses: Vec<SocketAddr>,
        checked: &Checked,
    ) -> Option<Fault> {
        if let Some(refusal) = fault::refusal(error) {
            return Some(refusal);
        }
        let remaining =
            self.deadline.saturating_duration_since(Instant::now()).min(DIAGNOSIS_LIMIT);
        timeout(remaining, self.diagnose(addresses, checked, remaining)).await.ok().flatten()
    }

    async fn diagnose(
        &self,
        addresses: Vec<SocketAddr>,
        checked: &Checked,
        time_limit: Duration,
    ) -> Option<Fault> {
        // Bounds the blocking threads that a failing hub can take up.
        let permit = Arc::clone(&self.engine.diagnoses).acquire_owned().await.ok()?;
        let endpoint = Endpoint {
            host: self.request.host.clone(),
            port: self.request.port,
            addresses,
            trusted_ca: checked.trusted_ca.clone(),
            time_limit,
        };
        let diagnosis = Arc::clone(&self.engine.diagnosis);
        let answer = tokio::task::spawn_blocking(move || {
            let answer = diagnosis.diagnose(&endpoint);
            drop(permit);
            answer
        });
        answer.await.ok().flatten()
    }

    async fn in_time<T>(&self, step: impl Future<Output = T>) -> Result<T, Stop> {
        timeout_at(self.deadline, step).await.map_err(|_| Stop::Failed(self.silent()))
    }

    fn silent(&self) -> Fault {
        fault::silent(&self.request.host, self.request.port, self.request.time_limit)
    }
}

/// Whether paho may have taken an earlier connection's end for this one's: it remembers what poll(2)
/// told by descriptor, and the kernel gives a closed one to the next connection at once. Observed in
/// one of some 400 reconnects without a pause (paho.mqtt.c 1.3.16, Socket.c,
/// `Socket_getReadySocket`).
fn may_be_mixed_up(error: &paho_mqtt::Error) -> bool {
    matches!(error, paho_mqtt::Error::SocketError(_) | paho_mqtt::Error::TcpTlsConnectFailure)
}

/// Sees an attempt through that came too late to matter: paho can't be told to stop connecting, and
/// the hub must not keep a connection that nobody knows.
async fn abandon(mut opened: Opened, epoch: Epoch) {
    match timeout(ABANDON_LIMIT, opened.token.outcome()).await {
        Ok(Ok(())) => {
            opened.state.opened(epoch);
            opened.state.close(epoch);
        }
        Ok(Err(_)) => opened.state.over(epoch),
        Err(_) => {
            opened.state.spend();
            opened.state.over(epoch);
            tracing::warn!(module = %opened.state.line.name, "paho did not end a connect in time, taking a new client");
        }
    }
}

/// Says that the link is lost where nobody else has ended the epoch.
struct LastWord {
    line: Arc<Line>,
    epoch: Epoch,
}

impl Drop for LastWord {
    fn drop(&mut self) {
        self.line.end(self.epoch, LinkStatus::Lost(fault::closed()));
    }
}

/// How long a new attempt waits for the end of an earlier one before it takes a new client.
const BUSY_LIMIT: Duration = Duration::from_secs(5);
/// How long a diagnosis may take, if the attempt's time limit leaves as much.
const DIAGNOSIS_LIMIT: Duration = Duration::from_secs(5);
/// How long after our time limit paho may take to notice its own, which it checks every 3 s.
const ABANDON_LIMIT: Duration = Duration::from_secs(15);
