//! Whether the daemon does its work, for container health checks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The answer of `GET /v1/health`: with 200 where healthy, with 503 where not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// Whether the daemon does its work, whatever the hub does.
    pub healthy: bool,
    /// The daemon's version.
    pub version: String,
    /// What it can't do, where it can't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}
