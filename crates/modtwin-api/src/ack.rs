//! A handler's word on a version of desired.

use serde::{Deserialize, Serialize};

use crate::Revision;

/// The body of `POST /v1/modules/{m}/acks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckRequest {
    /// The version it speaks of.
    pub version: u64,
    /// The version line it speaks of; the present one where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// 200–299 applied, 400–599 refused.
    pub status: u16,
    /// The handler's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The handler's name; the one the peer's rule names where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handler: Option<String>,
    /// The subtrees it speaks of, as JSON Pointers; all that the handler watches where left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
}

impl AckRequest {
    /// Says that `revision` was applied (200), of all that the peer's only handler watches.
    #[must_use]
    pub fn applied(revision: Revision) -> Self {
        Self {
            version: revision.version,
            generation: Some(revision.generation),
            status: 200,
            description: None,
            handler: None,
            paths: Vec::new(),
        }
    }

    /// Says whether `status` is one that an acknowledgement may have: 200–299 or 400–599.
    #[must_use]
    pub fn is_status(status: u16) -> bool {
        matches!(status, 200..=299 | 400..=599)
    }
}
