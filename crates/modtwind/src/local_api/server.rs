//! Accepts connections: how many, from whom, and how they end when the daemon stops.
//!
//! Leaves to others what a connection does ([`super::connection`]). Owns every task it starts and
//! joins all of them, so that a panic in one is seen and harms no other.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use modtwin_session::log_limit::LogLimit;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::SndBuf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::connection;
use super::limits::{Account, Ledger, Limits};
use super::peer::Peer;
use super::registry::{AdminCommand, Registry};
use super::rights::registry_names_units;
use super::watch::Watchers;

/// The local API, ready to serve any number of listeners.
#[derive(Debug, Clone)]
pub struct LocalApi {
    shared: Arc<Shared>,
}

/// What all connections share; nothing in it changes but through channels and counters.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) registry: watch::Receiver<Arc<Registry>>,
    pub(crate) admin: mpsc::Sender<AdminCommand>,
    pub(crate) limits: Limits,
    pub(crate) watchers: Watchers,
    /// Has one more owner for each open connection.
    pub(crate) connections: Arc<()>,
    /// Has one more owner for each open stream.
    pub(crate) streams: Arc<()>,
    pub(crate) ledger: Ledger,
}

impl Shared {
    pub(crate) fn new(
        registry: watch::Receiver<Arc<Registry>>,
        admin: mpsc::Sender<AdminCommand>,
        limits: Limits,
    ) -> Self {
        Self {
            registry,
            admin,
            limits,
            watchers: Watchers::default(),
            ledger: Ledger::default(),
            connections: Arc::default(),
            streams: Arc::default(),
        }
    }
}

impl LocalApi {
    /// The API over what `registry` says at each moment; what is for the daemon itself goes to
    /// `admin`.
    #[must_use]
    pub fn new(
        registry: watch::Receiver<Arc<Registry>>,
        admin: mpsc::Sender<AdminCommand>,
    ) -> Self {
        Self::with_limits(registry, admin, Limits::default())
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(
        registry: watch::Receiver<Arc<Registry>>,
        admin: mpsc::Sender<AdminCommand>,
        limits: Limits,
    ) -> Self {
        Self { shared: Arc::new(Shared::new(registry, admin, limits)) }
    }

    /// Serves `listener` until `stop` resolves; then ends streams, gives requests in flight
    /// [`Limits::drain`], and returns once every connection is closed.
    ///
    /// Dropping the future closes everything at once.
    pub async fn serve(&self, listener: UnixListener, stop: impl Future<Output = ()>) {
        let mut acceptor = Acceptor::new(Arc::clone(&self.shared));
        tokio::pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                ended = acceptor.tasks.join_next_with_id(), if !acceptor.tasks.is_empty() => {
                    acceptor.handle_ended(ended);
                }
                accepted = listener.accept() => match accepted {
                    Ok((stream, _address)) => acceptor.handle_accepted(stream),
                    Err(failure) => acceptor.wait_after(&failure).await,
                },
            }
        }
        drop(listener);
        acceptor.drain().await;
    }
}

/// Whose a connection is: a user's, and where the kernel tells it a process's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owner {
    uid: u32,
    process: Option<Account>,
}

/// The connections of one listener.
struct Acceptor {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    /// Whose task it is; refusals in progress are nobody's.
    open: BTreeMap<Id, Option<Owner>>,
    stopping: watch::Sender<bool>,
    log_limit: LogLimit,
}

impl Acceptor {
    fn new(shared: Arc<Shared>) -> Self {
        let (stopping, _) = watch::channel(false);
        let log_limit = LogLimit::new();
        Self { shared, tasks: JoinSet::new(), open: BTreeMap::new(), stopping, log_limit }
    }

    fn handle_accepted(&mut self, stream: UnixStream) {
        let pin = registry_names_units(&self.shared.registry.borrow());
        let peer = match Peer::of(&stream, pin) {
            Ok(peer) => peer,
            Err(failure) => {
                debug!(error = %failure, "cannot tell who connected");
                return;
            }
        };
        let owner = Owner { uid: peer.uid(), process: peer.process_account() };
        match self.exceeded(&peer, owner) {
            None => {
                // Best effort: with the usual size everything else works the same.
                if let Err(failure) = setsockopt(&stream, SndBuf, &SEND_BUFFER) {
                    debug!(error = %failure, "cannot keep the kernel's send buffer small");
                }
                let stopping = self.stopping.subscribe();
                let task = connection::serve(Arc::clone(&self.shared), stream, peer, stopping);
                let id = self.tasks.spawn(task).id();
                self.open.insert(id, Some(owner));
            }
            Some(limit) => {
                debug!(?owner, limit, "too many connections");
                if self.refusals() < REFUSALS_AT_ONCE {
                    let id = self.tasks.spawn(connection::refuse(stream, limit)).id();
                    self.open.insert(id, None);
                }
            }
        }
    }

    /// The limit that one more connection of `peer` would exceed.
    fn exceeded(&self, peer: &Peer, owner: Owner) -> Option<usize> {
        let limits = &self.shared.limits;
        let trusted = peer.is_administrator(&self.shared.registry.borrow());
        let reserved = if trusted { RESERVED } else { 0 };
        let of_user = if trusted { usize::MAX } else { limits.connections_per_user };
        let of_process = owner.process.map_or(usize::MAX, |_| limits.connections_per_process);
        [
            (limits.connections.saturating_add(reserved), self.count(|_| true)),
            (of_user, self.count(|other| other.uid == owner.uid)),
            (of_process, self.count(|other| other.process == owner.process)),
        ]
        .into_iter()
        .find_map(|(limit, found)| (found >= limit).then_some(limit))
    }

    fn count(&self, whose: impl Fn(&Owner) -> bool) -> usize {
        self.open.values().flatten().filter(|owner| whose(owner)).count()
    }

    fn refusals(&self) -> usize {
        self.open.values().filter(|owner| owner.is_none()).count()
    }

    fn handle_ended(&mut self, ended: Option<Result<(Id, ()), JoinError>>) {
        let id = match ended {
            None => return,
            Some(Ok((id, ()))) => id,
            Some(Err(failure)) => {
                if failure.is_panic()
                    && let Some(dropped) = self.log_limit.permit("crash")
                {
                    error!(error = %failure, dropped, "a connection of the local API crashed");
                }
                failure.id()
            }
        };
        self.open.remove(&id);
    }

    /// Keeps a listener that cannot accept (no file descriptors left) from spinning, and the log
    /// from filling.
    async fn wait_after(&mut self, failure: &io::Error) {
        if let Some(dropped) = self.log_limit.permit("accept") {
            let connections = self.tasks.len();
            warn!(error = %failure, connections, dropped, "cannot accept a connection");
        }
        tokio::time::sleep(ACCEPT_BACKOFF).await;
    }

    async fn drain(mut self) {
        // Nobody listening means that no connection is open.
        let _nobody = self.stopping.send(true);
        let deadline = Instant::now() + self.shared.limits.drain;
        while !self.tasks.is_empty() {
            match tokio::time::timeout_at(deadline, self.tasks.join_next_with_id()).await {
                Ok(ended) => self.handle_ended(ended),
                Err(_elapsed) => {
                    debug!(connections = self.tasks.len(), "closing what did not end in time");
                    self.tasks.shutdown().await;
                }
            }
        }
    }
}

/// What the kernel may keep for a peer that does not read, in bytes; it takes twice as much
/// (socket(7), `SO_SNDBUF`). Little, because events that wait there can't be merged any more: the
/// usual 208 KiB hold hundreds of small ones, which a slow reader would hear one by one, late.
const SEND_BUFFER: usize = 4096;
/// Connections kept for those who may do everything, so that handlers can't lock an operator out.
const RESERVED: usize = 32;
/// Over-limit peers that are told so at once; the others just see their connection closed.
const REFUSALS_AT_ONCE: usize = 32;
/// How long to leave the listener alone after a failed accept.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(200);
