//! The owner of the thread that speaks to paho.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use modtwin_session::link::LinkEvents;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use crate::diagnosis::Diagnosis;
use crate::fault;
use crate::handle::{self, Identity, Phase};
use crate::line::Line;
use crate::link::Link;
use crate::worker::{Command, Worker};

/// Why an engine can't start.
#[derive(Debug, Error)]
pub enum EngineError {
    /// Started outside a tokio runtime.
    #[error("cannot start the MQTT engine outside a tokio runtime")]
    NoRuntime,
    /// The environment asks paho to use a proxy, which blocks all its clients while it connects.
    #[error(
        "cannot start the MQTT engine: unset the environment variable `{PROXY_VARIABLE}`, proxies are not supported"
    )]
    Proxy,
    /// The thread could not be made.
    #[error("cannot start the MQTT engine's thread")]
    Thread(#[source] io::Error),
    /// paho could not make a client.
    #[error("cannot start the MQTT engine: the MQTT library refused a client ({0})")]
    Library(String),
}

/// The MQTT side of the process: one thread that makes every call into paho, for all links.
///
/// Dropping it ends the thread and all connections, without waiting; [`Engine::shutdown`] waits.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    next_link: AtomicU64,
}

/// What links and their tasks use of the engine.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Unbounded: what a link may have waiting in it is bounded by the link.
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) runtime: Handle,
    pub(crate) diagnosis: Arc<dyn Diagnosis>,
    pub(crate) diagnoses: Arc<Semaphore>,
}

impl Engine {
    /// Starts the thread. To be called within the tokio runtime that will drive the links.
    ///
    /// # Errors
    ///
    /// [`EngineError`] where there is no runtime, no thread, or paho would use a proxy.
    pub fn start(diagnosis: Arc<dyn Diagnosis>) -> Result<Self, EngineError> {
        let runtime = Handle::try_current().map_err(|_| EngineError::NoRuntime)?;
        // What paho itself looks for (MQTTProtocolOut.c, `MQTTProtocol_connect`).
        if std::env::var_os(PROXY_VARIABLE)
            .is_some_and(|value| value.as_encoded_bytes().starts_with(b"TRUE"))
        {
            return Err(EngineError::Proxy);
        }
        let (commands, receiver) = mpsc::channel();
        let (started, start) = mpsc::sync_channel(1);
        let sender = commands.clone();
        let worker_runtime = runtime.clone();
        thread::Builder::new()
            .name("mqtt-engine".into())
            .spawn(move || match handle::client(&anchor()) {
                Ok(anchor) => {
                    // Never dropped: it keeps every other client from being the process's last.
                    let anchor = std::mem::ManuallyDrop::new(anchor);
                    let _ = started.send(Ok(()));
                    Worker::new(receiver, sender, worker_runtime, (*anchor).clone()).run();
                }
                Err(error) => {
                    let _ = started.send(Err(EngineError::Library(fault::text(&error))));
                }
            })
            .map_err(EngineError::Thread)?;
        start.recv().map_err(|_| EngineError::Library("its thread ended at once".into()))??;
        let shared =
            Shared { commands, runtime, diagnosis, diagnoses: Arc::new(Semaphore::new(DIAGNOSES)) };
        Ok(Self { shared: Arc::new(shared), next_link: AtomicU64::new(0) })
    }

    /// Makes the link of one module; `name` is for logs. No call into paho before it connects.
    #[must_use]
    pub fn link(&self, name: &str) -> (Link, LinkEvents) {
        let (line, events) = Line::new(name);
        let id = self.next_link.fetch_add(1, Ordering::Relaxed);
        (Link::new(id, line, Arc::clone(&self.shared)), events)
    }

    /// Whether the thread answers within `limit`, and with it paho's process-wide lock is free.
    ///
    /// Safe to cancel.
    pub async fn responsive(&self, limit: Duration) -> bool {
        let (reply, answer) = oneshot::channel();
        self.shared.commands.send(Command::Probe(reply)).is_ok()
            && matches!(timeout(limit, answer).await, Ok(Ok(())))
    }

    /// Ends all connections with DISCONNECT, and the thread; returns when that is done or `limit`
    /// has passed.
    ///
    /// Links that are still there hear `Lost`; their later calls too end so.
    pub async fn shutdown(self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let (reply, answer) = oneshot::channel();
        if self.shared.commands.send(Command::Stop(Some(reply))).is_err() {
            return;
        }
        let Ok(Ok(closing)) = timeout_at(deadline, answer).await else {
            return;
        };
        for mut stage in closing {
            let _ = timeout_at(deadline, stage.wait_for(|stage| stage.phase == Phase::Over)).await;
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // After a shutdown nobody listens.
        let _ = self.shared.commands.send(Command::Stop(None));
    }
}

/// A client that never connects.
fn anchor() -> Identity {
    Identity { server_uri: "ssl://localhost:8883".into(), client_id: "anchor".into() }
}

/// How many diagnoses may run at once.
const DIAGNOSES: usize = 4;
/// Makes paho honour `http_proxy` and `https_proxy`.
const PROXY_VARIABLE: &str = "PAHO_C_CLIENT_USE_HTTP_PROXY";
