//! What a reload of the config changed.

use serde::{Deserialize, Serialize};

/// The body of `POST /v1/reload` that puts a config on trial: it is in force at once, and the one
/// before returns unless the first config file says the same in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialRequest {
    /// What the first config file is to say.
    pub candidate: String,
    /// How long the trial lasts, in seconds, from 1 to 3600.
    pub confirm_seconds: u64,
}

/// The answer of `POST /v1/reload`: the modules by what the reload did to them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
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
