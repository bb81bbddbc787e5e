//! The whole daemon at one moment, for operators.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::hub::words;
use crate::{HubStatus, Timestamp};

/// The answer of `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// The daemon's process id.
    pub pid: u32,
    /// When it started.
    pub started: Timestamp,
    /// The path of its first config file.
    pub config: String,
    /// The path of its socket.
    pub socket: String,
    /// The hub's own name.
    pub hub_hostname: String,
    /// The device whose modules these are.
    pub device_id: String,
    /// How the state directory does.
    pub storage: StorageStatus,
    /// Whether the wall clock can be right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockStatus>,
    /// The budget that all modules share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetStatus>,
    /// The modules, in the order of the config.
    pub modules: Vec<ModuleStatus>,
}

/// How the state directory does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageStatus {
    /// Its path.
    pub directory: String,
    /// Whether the last write to it went well.
    pub writable: bool,
    /// What is wrong with it, where something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// How often state was written since the daemon started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writes: Option<u64>,
    /// How many bytes that were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_written: Option<u64>,
}

/// Whether the wall clock can be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockStatus {
    /// Whether nothing speaks against it; while something does, no connection is attempted.
    pub trusted: bool,
    /// What speaks against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// How many operations (twin reads and reports) all modules together may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetStatus {
    /// How many a second, in the long run, as the config has it.
    pub operations_per_second: u32,
    /// What of that is used now, in percent: less than 100 after the hub asked to slow down.
    pub percent: u64,
}

/// A module, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleStatus {
    /// The module's id.
    pub module: String,
    /// How it stands with its hub.
    pub hub: HubStatus,
    /// The number of the version line, from 1.
    pub generation: u64,
    /// The version of desired; null before the first sync ever.
    pub desired_version: Option<u64>,
    /// The version of reported; null before the first sync ever.
    pub reported_version: Option<u64>,
    /// When the values were last known to be the hub's; null before the first sync ever.
    pub as_of: Option<Timestamp>,
    /// How much the hub has not accepted yet.
    #[serde(default)]
    pub pending: PendingStatus,
    /// Keys that the hub refused and that wait for a better value.
    #[serde(default)]
    pub quarantined: Vec<Quarantined>,
    /// The device-to-cloud messages that are not at the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<MessagesStatus>,
    /// How large the sections of the twin are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sizes: Option<SizeStatus>,
    /// The handlers of the config, and whoever else acknowledged a version.
    #[serde(default)]
    pub handlers: Vec<HandlerStatus>,
    /// The credential; null where none could be read.
    pub credential: Option<CredentialStatus>,
    /// How often the session connected anew since the daemon started.
    #[serde(default)]
    pub reconnects: u64,
    /// What an operator should mend, in words, where there is something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl ModuleStatus {
    /// The version that every handler which ever acknowledged one has applied; none where there is
    /// no such handler, or where the last word of one was a refusal.
    #[must_use]
    pub fn applied_version(&self) -> Option<u64> {
        let heard = self.handlers.iter().filter(|handler| handler.status.is_some());
        heard.map(|handler| handler.applied_version).min().flatten()
    }
}

/// How large the sections of a twin are, in bytes as the hub counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeStatus {
    /// Desired.
    pub desired: u64,
    /// Reported, once all that waits has been accepted.
    pub reported: u64,
    /// What each of them may have.
    pub limit: u64,
    /// From where on a section is nearly full.
    pub warn_at: u64,
}

/// How much of the reported properties waits for the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PendingStatus {
    /// How many top-level keys.
    pub keys: u64,
    /// How many bytes of JSON.
    pub bytes: u64,
}

/// The device-to-cloud messages that are not at the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MessagesStatus {
    /// How many wait for the hub or for its confirmation; at most 1000.
    pub waiting: u64,
    /// How many bytes they have, properties included; at most 4 MiB.
    pub bytes: u64,
    /// How many were set aside, because the hub closed one connection after another over them or
    /// because their files are damaged.
    pub set_aside: u64,
}

/// A reported key that the hub refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The top-level key.
    pub key: String,
    /// The hub's status.
    pub status: u16,
    /// The hub's words.
    pub message: String,
}

/// A handler and what it said last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlerStatus {
    /// The handler's name.
    pub name: String,
    /// The version in which what it watches changed last: what it is expected to apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_version: Option<u64>,
    /// The newest version it has applied; null before its first.
    pub applied_version: Option<u64>,
    /// The status of its last acknowledgement; null before its first.
    pub status: Option<u16>,
    /// Its own words with that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// When it said so; null before its first.
    pub at: Option<Timestamp>,
    /// Whether it has a watch open now.
    #[serde(default)]
    pub watching: bool,
}

words! {
    /// What sort of credential a module has.
    CredentialKind {
        /// A client certificate with its private key.
        X509 = "x509",
        /// A symmetric key that signs tokens.
        SharedAccessKey = "shared_access_key",
    }
}

/// The credential of a module; never any of its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialStatus {
    /// What sort it is.
    pub kind: CredentialKind,
    /// When it stops working; null where it does not of itself.
    pub expires: Option<Timestamp>,
    /// Whole days until then, negative once it is past; null where there is no such day.
    pub days_left: Option<i64>,
    /// What an operator should know of it, such as a renewal that is due.
    #[serde(default)]
    pub warnings: Vec<String>,
}
