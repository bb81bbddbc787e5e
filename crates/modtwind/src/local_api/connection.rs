//! One connection, from accept to close.
//!
//! Owns who is at its other end and what that peer may do at this moment; a request asks here.
//! Leaves to others which request is which ([`super::router`]).

use std::any::Any;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioTimer;
use modtwin_api::limits::MAX_HEADER_BYTES;
use modtwin_api::{Problem, ProblemKind};
use modtwin_session::log_limit::LogLimit;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, error};

use super::answer::{Body, Refusal, is_stream};
use super::limits::Account;
use super::peer::Peer;
use super::registry::{AdminCommand, Registry};
use super::rights::{Grants, SystemNames};
use super::router;
use super::server::Shared;
use super::transport::{Gate, Transport, whole_answer};

/// What the requests of one connection know of it.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) shared: Arc<Shared>,
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) gate: Arc<Gate>,
    peer: Arc<Peer>,
    /// Counts this connection.
    _open: Arc<()>,
    // A lock, because hyper's service is shared; requests of one connection never run at once,
    // and it is never held across an await.
    known: Mutex<Option<Known>>,
}

/// What the peer may do, as last found out.
#[derive(Debug)]
struct Known {
    registry: Arc<Registry>,
    at: Instant,
    grants: Arc<Grants>,
}

impl Caller {
    fn new(
        shared: Arc<Shared>,
        peer: Peer,
        stopping: watch::Receiver<bool>,
        gate: Arc<Gate>,
    ) -> Self {
        let _open = Arc::clone(&shared.connections);
        Self { shared, stopping, gate, peer: Arc::new(peer), _open, known: Mutex::new(None) }
    }

    /// Takes one more request, or says that its peer asks too much.
    fn admit(&self) -> Result<(), Refusal> {
        self.shared.ledger.admit(&self.accounts(), &self.shared.limits)
    }

    /// Whom the limits hold to account for what it asks.
    pub(crate) fn accounts(&self) -> Vec<Account> {
        self.peer.accounts(&self.shared.registry.borrow())
    }

    /// What is served now, and what of it the peer may use.
    pub(crate) async fn grants(&self) -> Result<(Arc<Registry>, Arc<Grants>), Refusal> {
        let registry = Arc::clone(&self.shared.registry.borrow());
        if let Some(known) = &*self.known.lock().unwrap_or_else(PoisonError::into_inner)
            && Arc::ptr_eq(&known.registry, &registry)
            && known.at.elapsed() < GRANTS_LAST
        {
            return Ok((registry, Arc::clone(&known.grants)));
        }
        let grants = Arc::new(self.look_up(&registry).await?);
        let known = Known {
            registry: Arc::clone(&registry),
            at: Instant::now(),
            grants: Arc::clone(&grants),
        };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
        Ok((registry, grants))
    }

    /// Has the daemon itself do something, and waits for what it says.
    pub(crate) async fn command<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> AdminCommand,
    ) -> Result<T, Refusal> {
        let stopping = || Refusal::unavailable("the daemon is stopping; try again once it is back");
        let (reply, answer) = oneshot::channel();
        self.shared.admin.send(command(reply)).await.map_err(|_closed| stopping())?;
        match answer.await {
            Ok(answer) => Ok(answer),
            Err(_dropped) if *self.stopping.borrow() => Err(stopping()),
            Err(dropped) => Err(internal(&dropped)),
        }
    }

    /// Refuses whoever may not say what the config is.
    pub(crate) fn require_config_owner(&self, registry: &Registry) -> Result<(), Refusal> {
        if self.peer.may_bring_config(registry) {
            return Ok(());
        }
        let detail = "only root and the daemon's own user may put a config on trial";
        Err(Refusal::new(ProblemKind::Forbidden, detail))
    }

    /// Names of users and groups may come from a network: looked up on a blocking thread, few at
    /// a time, so that a directory that does not answer holds up nobody's disk writes.
    async fn look_up(&self, registry: &Arc<Registry>) -> Result<Grants, Refusal> {
        if self.peer.is_administrator(registry) {
            return Ok(Grants::everything());
        }
        let late = || Refusal::unavailable("cannot look up users and groups in time; try again");
        let permit = timeout(LOOK_UP_TIMEOUT, LOOK_UPS.acquire()).await.map_err(|_late| late())?;
        let peer = Arc::clone(&self.peer);
        let registry = Arc::clone(registry);
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            Grants::of(&peer, &registry, &SystemNames)
        });
        let grants = timeout(LOOK_UP_TIMEOUT, task).await.map_err(|_late| late())?;
        grants.map_err(|failure| internal(&failure))
    }
}

/// Serves one connection until the peer leaves, or the daemon stops and the request in flight is
/// answered.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    stream: UnixStream,
    peer: Peer,
    mut stopping: watch::Receiver<bool>,
) {
    let gate = Arc::new(Gate::default());
    let (header_timeout, answer_timeout) =
        (shared.limits.header_timeout, shared.limits.answer_timeout);
    let caller = Arc::new(Caller::new(shared, peer, stopping.clone(), Arc::clone(&gate)));
    let service = {
        let caller = Arc::clone(&caller);
        service_fn(move |request| answer(Arc::clone(&caller), request))
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(Transport::new(stream, gate, answer_timeout), service);
    let mut connection = pin!(connection);
    let outcome = tokio::select! {
        biased;
        () = stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        outcome = connection.as_mut() => outcome,
    };
    if let Err(failure) = outcome {
        debug!(uid = caller.peer.uid(), error = %failure, "a local connection ended early");
    }
}

/// Tells a peer that it has too many connections, and hears it out a little, because a peer that
/// still writes when we close would see a broken pipe in place of the answer.
pub(crate) async fn refuse(mut stream: UnixStream, limit: usize) {
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    let problem = Problem::new(
        ProblemKind::Overloaded,
        format!("{limit} connections are open already; close some, or keep one and reuse it"),
    )
    .with_limit(limit);
    let hear_out = async {
        stream.write_all(&whole_answer(&problem)).await?;
        stream.shutdown().await?;
        let mut ignored = [0_u8; 4096];
        while stream.read(&mut ignored).await? > 0 {}
        std::io::Result::Ok(())
    };
    // What the peer makes of it is its own affair.
    let _late_or_gone = timeout(HEAR_OUT, hear_out).await;
}

/// Resolves once the daemon stops.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // The sender lives as long as the listener's loop; its end is a stop too.
    let _gone = stopping.wait_for(|stopping| *stopping).await;
}

/// A defect: the log has its cause, the peer its number.
pub(crate) fn internal(cause: &dyn std::fmt::Display) -> Refusal {
    let number = DEFECTS.fetch_add(1, Ordering::Relaxed);
    let id = format!("{}-{number}", std::process::id());
    let permit = LOG_LIMIT.lock().unwrap_or_else(PoisonError::into_inner).permit("defect");
    if let Some(dropped) = permit {
        error!(id, error = %cause, dropped, "a request of the local API failed");
    }
    Problem::new(
        ProblemKind::Internal,
        format!("the daemon failed; look for id {id} in its log (journalctl -u modtwind)"),
    )
    .with_id(id)
    .into()
}

async fn answer(
    caller: Arc<Caller>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let gate = Arc::clone(&caller.gate);
    let outcome = match caller.admit() {
        Ok(()) => without_panic(router::answer(caller, request)).await,
        Err(refusal) => {
            // Whoever asks too fast is answered slowly, so that refusing costs little.
            sleep(REFUSAL_DELAY).await;
            Ok(Err(refusal))
        }
    };
    let response =
        outcome.unwrap_or_else(|panic| Err(internal(&panic))).unwrap_or_else(|refusal| {
            debug!(problem = %refusal.problem(), "a request was refused");
            refusal.into_response()
        });
    gate.begin(is_stream(&response));
    Ok(response)
}

/// Awaits `future`; the error is what a panic in it said.
async fn without_panic<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = pin!(future);
    std::future::poll_fn(move |cx| {
        // Unwind safety: after a panic the future is never polled again.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(panic) => Poll::Ready(Err(panic_text(&*panic))),
        }
    })
    .await
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}

/// How long it stays known what a peer may do: memberships change, but not by the second.
const GRANTS_LAST: Duration = Duration::from_secs(5);
/// How long looking up names may take.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the refusal of a request takes that comes too fast.
const REFUSAL_DELAY: Duration = Duration::from_millis(50);
/// How long a peer that is turned away is heard out.
const HEAR_OUT: Duration = Duration::from_secs(1);
/// How many threads look up names at once.
static LOOK_UPS: Semaphore = Semaphore::const_new(8);
/// Numbers defects.
static DEFECTS: AtomicU64 = AtomicU64::new(1);
/// Keeps a peer that has found one from filling the log.
static LOG_LIMIT: Mutex<LogLimit> = Mutex::new(LogLimit::new());

#[cfg(test)]
impl Caller {
    /// A caller without a socket.
    pub(crate) fn scripted(
        shared: Arc<Shared>,
        peer: Peer,
        stopping: watch::Receiver<bool>,
        gate: Arc<Gate>,
    ) -> Arc<Self> {
        Arc::new(Self::new(shared, peer, stopping, gate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_a_request_becomes_a_refusal_with_a_number() {
        let crash = async { panic!("there was nothing") };
        let said = without_panic::<()>(crash).await.unwrap_err();
        assert_eq!(said, "there was nothing");
        let refusal = internal(&said);
        let problem = refusal.problem();
        assert_eq!((problem.status, problem.kind), (500, ProblemKind::Internal));
        let id = problem.id.clone().unwrap();
        assert!(problem.detail.contains(&id), "{problem:?}");
        assert!(!problem.detail.contains("nothing"), "causes are for the log: {problem:?}");
    }

    #[tokio::test]
    async fn a_request_that_does_not_panic_is_left_alone() {
        assert_eq!(without_panic(async { 7 }).await, Ok(7));
    }
}
