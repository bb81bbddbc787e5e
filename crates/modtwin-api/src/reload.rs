//! What administrators ask of the daemon, and what came of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::MAX_CONFIRM_SECONDS;
use crate::whole;

/// The body of `POST /v1/reload` that puts a config on trial: it is in force at once, and the one
/// before returns unless the first config file says the same in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrialRequest {
    /// What the first config file is to say.
    pub candidate: String,
    /// How long the trial lasts, in seconds, from 1 to 3600.
    #[serde(deserialize_with = "whole::read")]
    #[schemars(range(min = 1, max = MAX_CONFIRM_SECONDS))]
    pub confirm_seconds: u64,
}

/// The answer of `POST /v1/reload`: the modules by what the reload did to them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ReloadOutcome {
    /// Modules that are new.
    #[serde(default)]
    pub added: Vec<String>,
    /// Modules that are gone.
    #[serde(default)]
    pub removed: Vec<String>,
    /// Modules whose session began anew.
    #[serde(default)]
    pub changed: Vec<String>,
    /// Modules that went on undisturbed.
    #[serde(default)]
    pub unchanged: Vec<String>,
    /// Changes that take effect only when the daemon starts anew, each in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs_restart: Vec<String>,
}

/// The answer of `POST /v1/modules/{m}/reconnect`: the session begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReconnectAccepted {
    /// Always true.
    pub reconnecting: bool,
}
