//! A handler's word on a version of desired.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::limits::{MAX_DESCRIPTION_BYTES, MAX_HANDLER_BYTES, MAX_PATHS, POINTER_PATTERN};
use crate::{Revision, whole};

/// The body of `POST /v1/modules/{m}/acks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AckRequest {
    /// The version it speaks of.
    #[serde(deserialize_with = "whole::read")]
    pub version: u64,
    /// The version line it speaks of; the present one where left out.
    #[serde(
        default,
        deserialize_with = "whole::read_or_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub generation: Option<u64>,
    /// 200–299 applied, 400–599 refused.
    #[serde(deserialize_with = "whole::read")]
    #[schemars(schema_with = "status_schema")]
    pub status: u16,
    /// The handler's own words, at most 4096 bytes.
    #[schemars(length(min = 1, max = MAX_DESCRIPTION_BYTES))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The handler's name, at most 128 bytes; the one the peer's rule names where left out.
    #[schemars(length(min = 1, max = MAX_HANDLER_BYTES))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handler: Option<String>,
    /// The subtrees it speaks of, as JSON Pointers, at most 64; all that the handler watches where
    /// left out.
    #[schemars(length(max = MAX_PATHS), inner(regex(pattern = POINTER_PATTERN)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
}

/// The answer to an acknowledgement: it survives power loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AckStored {
    /// Always true.
    pub stored: bool,
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

fn status_schema(_generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "integer",
        "anyOf": [{ "minimum": 200, "maximum": 299 }, { "minimum": 400, "maximum": 599 }],
    })
}
