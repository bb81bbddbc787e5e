//! Direct methods as the rest of the daemon answers them.
//!
//! Leaves to others whose method it is (`modtwin_core::methods`) and who may claim one.

use std::collections::BTreeSet;

use modtwin_core::ids::ModuleId;
pub use modtwin_core::methods::{InUse, MAX_OPEN_CALLS};
pub use modtwin_wire::method::MAX_METHOD_BYTES;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::handle::{Command, ModuleHandle};

/// A call that waits for its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Invocation {
    /// What to answer it by; no other call of any daemon has it.
    pub id: String,
    /// The method.
    pub method: String,
    /// The payload; null where the caller sent none.
    pub payload: Value,
    /// When the time for the answer is over.
    pub due: Instant,
}

/// The calls of the methods that were claimed. Dropping it gives the methods back; calls that are
/// open then are answered 503.
#[derive(Debug)]
pub struct MethodCalls {
    pub(crate) calls: mpsc::Receiver<Invocation>,
}

impl MethodCalls {
    /// Waits for the next call that can still be answered; none once the session has ended.
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<Invocation> {
        loop {
            let call = self.calls.recv().await?;
            if call.due > Instant::now() {
                return Some(call);
            }
        }
    }
}

/// Why methods were not given to whoever claims them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// One of them has an owner.
    #[error("{}", words(.0))]
    InUse(InUse),
    /// The session is not there any more.
    #[error("module `{0}` is stopping")]
    Stopping(ModuleId),
}

fn words(in_use: &InUse) -> String {
    match &in_use.name {
        Some(name) => format!("method `{name}` is answered by another stream"),
        None => "another stream answers all methods that nobody has claimed".to_owned(),
    }
}

/// An answer to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodAnswer {
    /// The status, for whoever called.
    pub status: u16,
    /// JSON, or nothing.
    pub payload: Vec<u8>,
    /// The methods that whoever answers may answer; none means all.
    pub allowed: Option<BTreeSet<String>>,
}

/// Why an answer was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// No such call waits for an answer: it never was, was answered before, or is too late.
    #[error("no call with that id waits for an answer")]
    Unknown,
    /// It is a call of this method, which whoever answers may not answer.
    #[error("the call is one of method `{0}`")]
    NotAllowed(String),
    /// The session is not there any more.
    #[error("module `{0}` is stopping")]
    Stopping(ModuleId),
}

impl ModuleHandle {
    /// Claims those methods; no name at all means each that nobody else has.
    ///
    /// # Errors
    ///
    /// [`ClaimError`] where one of them has an owner, or the session has ended.
    pub async fn claim_methods(&self, names: BTreeSet<String>) -> Result<MethodCalls, ClaimError> {
        let stopping = || ClaimError::Stopping(self.module.clone());
        let (claimed, receiver) = oneshot::channel();
        let command = Command::Claim { names, claimed };
        self.commands.send(command).await.map_err(|_closed| stopping())?;
        receiver.await.map_err(|_gone| stopping())?
    }

    /// Answers a call; the answer goes to the hub now, or with the next connection if that is in time.
    ///
    /// # Errors
    ///
    /// [`AnswerError`] where no such call waits, it is somebody else's, or the session has ended.
    pub async fn answer_method(&self, id: &str, answer: MethodAnswer) -> Result<(), AnswerError> {
        let stopping = || AnswerError::Stopping(self.module.clone());
        let (taken, receiver) = oneshot::channel();
        let command = Command::Answer { id: id.to_owned(), answer, taken };
        self.commands.send(command).await.map_err(|_closed| stopping())?;
        receiver.await.map_err(|_gone| stopping())?
    }

    /// Changes how long a call may take, from the next one on.
    pub async fn set_method_limit(&self, limit: std::time::Duration) {
        // A session that has ended takes no calls.
        let _ended = self.commands.send(Command::MethodLimit(limit)).await;
    }
}
