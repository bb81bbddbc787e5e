//! The port to the disk, and the shape of what is kept there: plain JSON that a person can read.

use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The number of the stored form that this program writes.
pub const STORED_FORMAT: u32 = 1;

/// All that survives the process, for one module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTwin {
    /// The number of this format; readers refuse a higher one.
    pub format: u32,
    /// The number of the version line.
    pub generation: u64,
    /// The desired section as last seen.
    pub desired: Option<StoredSection>,
    /// The reported section as the hub is known to have it.
    pub reported: Option<StoredSection>,
    /// Merge patches that the hub has not accepted yet, oldest first.
    pub outbox: Vec<StoredReport>,
    /// Reported keys that the hub refused.
    pub quarantined: Vec<StoredRefusal>,
    /// The number of the last report taken.
    pub sequence: u64,
    /// What handlers acknowledged.
    pub acknowledged: Vec<StoredAcknowledgement>,
    /// What handlers are expected to acknowledge.
    #[serde(default)]
    pub expected: Vec<StoredExpectation>,
    /// When the twin was last in step with the hub, in milliseconds since 1970.
    pub as_of_ms: Option<u64>,
}

/// A twin section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSection {
    /// Its `$version`.
    pub version: u64,
    /// Its content.
    pub document: Map<String, Value>,
}

/// A report that waits for the hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredReport {
    /// The number of the newest report merged into it.
    pub through: u64,
    /// The merge patch.
    pub patch: Map<String, Value>,
}

/// A reported key that the hub refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRefusal {
    /// The top-level key.
    pub key: String,
    /// The hub's status.
    pub status: u16,
    /// The hub's words.
    pub message: String,
}

/// A handler's word on a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAcknowledgement {
    /// The handler's name.
    pub handler: String,
    /// The generation it speaks of.
    pub generation: u64,
    /// The version it speaks of.
    pub version: u64,
    /// Its status.
    pub status: u16,
    /// Its words.
    pub description: Option<String>,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

/// The newest version that concerns a handler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredExpectation {
    /// The handler's name.
    pub handler: String,
    /// The generation of the version.
    pub generation: u64,
    /// The version.
    pub version: u64,
}

/// What was found on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loaded {
    /// What was last saved; none where nothing ever was, or where it was damaged.
    pub twin: Option<StoredTwin>,
    /// What an operator should know of a damaged file: where it is kept and what was lost by it.
    pub damage: Option<String>,
}

/// Why the state could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// Keeps one module's state. Both calls block on files: they run on a blocking thread.
pub trait TwinStore: Send + Sync + fmt::Debug {
    /// Reads what was last saved. A damaged file is kept aside and counts as none.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where something is there that may not be read now: it must not be overwritten.
    fn load(&self) -> Result<Loaded, StoreError>;

    /// Writes `twin` whole; on return it survives power loss. Says how many bytes were written.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the folder can't be written; what was saved before is intact.
    fn save(&self, twin: &StoredTwin) -> Result<u64, StoreError>;
}

/// A moment as the stored form has it.
#[must_use]
pub fn to_stored_ms(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}
