//! How the rest of the daemon talks to a module's session. What concerns messages and methods is in
//! [`crate::messages`] and [`crate::methods`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub use modtwin_core::acknowledgement::Acknowledgement;
use modtwin_core::document::Document;
use modtwin_core::handlers::HandlerRule;
use modtwin_core::ids::ModuleId;
use tokio::sync::{mpsc, oneshot, watch};

use crate::messages::{Backlog, DeviceMessage, SendError, Settled, Until};
use crate::methods::{AnswerError, ClaimError, MethodAnswer, MethodCalls};
use crate::store::StoreError;
use crate::view::{ModuleView, Written};

/// How many commands wait for a session; a caller waits while the queue is full.
pub const COMMAND_QUEUE: usize = 64;

/// Why a report was not taken or not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// The patch breaks a rule of twins; nothing was taken.
    #[error("{pointer}: {rule}")]
    InvalidTwin {
        /// JSON Pointer to the place.
        pointer: String,
        /// The rule, in words.
        rule: String,
        /// The rule's number, where it has one.
        limit: Option<u64>,
    },
    /// The disk did not take it; nothing was taken.
    #[error("the report could not be stored")]
    Storage(#[source] StoreError),
    /// The hub refused a key of it; the key is quarantined, the rest went through.
    #[error("the hub refused key `{key}` with {status}: {message}")]
    RejectedByHub {
        /// The top-level key.
        key: String,
        /// The hub's status.
        status: u16,
        /// The hub's words.
        message: String,
    },
    /// The session is not there any more: the daemon is stopping or the module was removed.
    #[error("module `{0}` is stopping")]
    Stopping(ModuleId),
}

/// Why an acknowledgement was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AckError {
    /// It speaks of a version newer than the daemon has seen, or of a generation to come.
    #[error("version {found} was never seen here, the newest is {newest}")]
    UnknownVersion {
        /// The version it speaks of.
        found: u64,
        /// The newest seen.
        newest: u64,
    },
    /// Nothing is known of this twin yet.
    #[error("the twin has not been fetched yet")]
    NotSynced,
    /// The disk did not take it.
    #[error("the acknowledgement could not be stored")]
    Storage(#[source] StoreError),
    /// The session is not there any more.
    #[error("module `{0}` is stopping")]
    Stopping(ModuleId),
}

/// A report on its way: first stored, then accepted by the hub.
#[derive(Debug)]
pub struct ReportTicket {
    /// Resolves once the report survives power loss, to its sequence number.
    pub stored: oneshot::Receiver<Result<u64, ReportError>>,
    /// Resolves once the hub has accepted or refused it, to the new version of reported.
    pub accepted: oneshot::Receiver<Result<u64, ReportError>>,
}

/// What a session can be asked.
#[derive(Debug)]
pub(crate) enum Command {
    Report {
        patch: Document,
        stored: oneshot::Sender<Result<u64, ReportError>>,
        accepted: oneshot::Sender<Result<u64, ReportError>>,
    },
    Acknowledge {
        acknowledgement: Acknowledgement,
        stored: oneshot::Sender<Result<(), AckError>>,
    },
    Send {
        message: Box<DeviceMessage>,
        until: Until,
        told: oneshot::Sender<Result<Settled, SendError>>,
    },
    Claim {
        names: BTreeSet<String>,
        claimed: oneshot::Sender<Result<MethodCalls, ClaimError>>,
    },
    Answer {
        id: String,
        answer: MethodAnswer,
        taken: oneshot::Sender<Result<(), AnswerError>>,
    },
    Reconnect,
    Renew,
    Handlers(Vec<HandlerRule>),
    MethodLimit(Duration),
}

/// The handle of one module's session; clones talk to the same one.
#[derive(Debug, Clone)]
pub struct ModuleHandle {
    pub(crate) module: ModuleId,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) view: watch::Receiver<Arc<ModuleView>>,
    pub(crate) written: watch::Receiver<Written>,
    pub(crate) backlog: watch::Receiver<Backlog>,
}

impl ModuleHandle {
    /// Which module.
    #[must_use]
    pub fn module(&self) -> &ModuleId {
        &self.module
    }

    /// The module as it is now.
    #[must_use]
    pub fn view(&self) -> Arc<ModuleView> {
        Arc::clone(&self.view.borrow())
    }

    /// What the module's state has cost the disk since the daemon began.
    #[must_use]
    pub fn written(&self) -> Written {
        *self.written.borrow()
    }

    /// Follows the module; a slow follower skips to the newest view. Closed when the module ends.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Arc<ModuleView>> {
        self.view.clone()
    }

    /// Hands in a merge patch for the reported section. Cancel-safe before it returns.
    ///
    /// # Errors
    ///
    /// [`ReportError::Stopping`] where the session has ended; all else comes through the ticket.
    pub async fn report(&self, patch: Document) -> Result<ReportTicket, ReportError> {
        let (stored, stored_receiver) = oneshot::channel();
        let (accepted, accepted_receiver) = oneshot::channel();
        self.commands
            .send(Command::Report { patch, stored, accepted })
            .await
            .map_err(|_closed| ReportError::Stopping(self.module.clone()))?;
        Ok(ReportTicket { stored: stored_receiver, accepted: accepted_receiver })
    }

    /// Records what a handler did with a version; returns once that is durable.
    ///
    /// # Errors
    ///
    /// [`AckError`] where the version was never seen, the disk did not take it, or the session
    /// has ended.
    pub async fn acknowledge(&self, acknowledgement: Acknowledgement) -> Result<(), AckError> {
        let stopping = || AckError::Stopping(self.module.clone());
        let (stored, receiver) = oneshot::channel();
        self.commands
            .send(Command::Acknowledge { acknowledgement, stored })
            .await
            .map_err(|_closed| stopping())?;
        receiver.await.map_err(|_closed| stopping())?
    }

    /// Tells the session which handlers its module has from now on.
    pub async fn set_handlers(&self, rules: Vec<HandlerRule>) {
        // A session that has ended expects nothing of anybody.
        let _ended = self.commands.send(Command::Handlers(rules)).await;
    }

    /// Drops the connection and begins a new one now, whatever the state.
    pub async fn reconnect(&self) {
        // A session that has ended needs no reconnect.
        let _ended = self.commands.send(Command::Reconnect).await;
    }

    /// Has a live session connect anew with its new credential, at a moment of its own; one that is
    /// not live takes the new credential at its next attempt anyway.
    pub async fn renew(&self) {
        // A session that has ended needs no credential.
        let _ended = self.commands.send(Command::Renew).await;
    }
}
