//! Requests, replies, events and problems of modtwin's local API, version 1.
//!
//! Owns how each of them looks on the wire, and the limits both sides keep to. Leaves to others:
//! sockets and HTTP, and what the values mean to a session.
//!
//! The contract only grows: members that one side does not know are ignored by it, words of an
//! enum that it does not know are read as `Unknown`, and events of a type it does not know are
//! passed over ([`Event::parse`], [`MethodEvent::parse`]). Codes and member names never change; texts may.

mod ack;
mod event;
mod health;
mod hub;
pub mod limits;
pub mod message;
mod method;
mod module;
mod problem;
mod reload;
mod report;
mod revision;
mod status;
mod timestamp;

pub use ack::AckRequest;
pub use event::{DesiredEvent, Event, HubEvent, SnapshotEvent};
pub use health::Health;
pub use hub::{HubReason, HubState, HubStatus};
pub use message::{MessageSent, MessageStored};
pub use method::{Invocation, MethodEvent, MethodResponse};
pub use module::{Applied, ModuleList, ModuleSummary, Snapshot};
pub use problem::{MEDIA_TYPE_PROBLEM, Problem, ProblemKind};
pub use reload::ReloadOutcome;
pub use report::{ReportAccepted, ReportStored};
pub use revision::{Revision, RevisionError};
pub use status::{
    BudgetStatus, ClockStatus, CredentialKind, CredentialStatus, HandlerStatus, MessagesStatus,
    ModuleStatus, PendingStatus, Quarantined, SizeStatus, Status, StorageStatus,
};
pub use timestamp::Timestamp;

/// A twin section or a merge patch: a JSON object with its keys in order.
pub type Document = serde_json::Map<String, serde_json::Value>;
