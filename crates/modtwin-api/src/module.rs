//! Modules as lists and snapshots show them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Document, HubStatus, Quarantined, Revision, Timestamp};

/// The answer of `GET /v1/modules`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ModuleList {
    /// The modules that the peer may use, in the order of the config.
    pub modules: Vec<ModuleSummary>,
}

/// A module in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModuleSummary {
    /// The module's id.
    pub module: String,
    /// How it stands with its hub.
    pub hub: HubStatus,
    /// The newest version of desired; null before the first sync ever.
    pub desired_version: Option<u64>,
    /// The newest version that every handler which ever acknowledged one has applied; null where
    /// there is none.
    pub applied_version: Option<u64>,
    /// The names of the handlers that the peer may know of.
    #[serde(default)]
    pub handlers: Vec<String>,
}

/// The answer of `GET /v1/modules/{m}`: both sections of the twin at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// The module's id.
    pub module: String,
    /// How it stands with its hub.
    pub hub: HubStatus,
    /// The number of the version line, from 1.
    pub generation: u64,
    /// The desired properties, without `$version` and `$metadata`; null before the first sync ever.
    pub desired: Option<Document>,
    /// Their version; null before the first sync ever.
    pub version: Option<u64>,
    /// The reported properties that the hub has; null before the first sync ever.
    pub reported: Option<Document>,
    /// Their version; null before the first sync ever.
    pub reported_version: Option<u64>,
    /// What the hub has not accepted yet, as one merge patch.
    #[serde(default)]
    pub pending: Document,
    /// Reported keys that the hub refused and that wait for a better value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantined: Vec<Quarantined>,
    /// What handlers said of versions, one entry a handler.
    #[serde(default)]
    pub applied: Vec<Applied>,
    /// When the values were last known to be the hub's; null before the first sync ever.
    pub as_of: Option<Timestamp>,
    /// Whether the hub can't be reached, so that they may be out of date.
    pub stale: bool,
}

impl Snapshot {
    /// The revision of desired; none before the first sync ever.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        self.version.map(|version| Revision { generation: self.generation, version })
    }
}

/// What a handler said of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Applied {
    /// The handler's name.
    pub handler: String,
    /// The version it speaks of.
    pub version: u64,
    /// 200–299 applied, 400–599 refused.
    pub status: u16,
    /// Its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// When it said so.
    pub at: Timestamp,
}
