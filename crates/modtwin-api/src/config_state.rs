//! Which config is in force, and what became of the newest one that is not.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::hub::words;

/// Which config is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigState {
    /// `sha256:` and the SHA-256 of its files, one after the other in the order of `files`.
    pub digest: String,
    /// What the config calls itself: `[fleet] version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Since when it is in force.
    pub loaded: Timestamp,
    /// The paths of its files, in the order of joining.
    pub files: Vec<String>,
    /// The newest config, where it is not in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedConfig>,
    /// The trial that the config in force is on, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<ConfigTrial>,
}

/// A config that is not in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefusedConfig {
    /// Its digest; none where a file can't be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What sort of reason there is.
    pub reason: RefusedReason,
    /// Everything that is wrong, a text each; of very many the first.
    pub errors: Vec<String>,
    /// When it was refused.
    pub since: Timestamp,
}

words! {
    /// Why a config is not in force.
    RefusedReason {
        /// It does not check.
        Invalid = "invalid",
        /// It was on trial and nobody confirmed it in time.
        RolledBack = "rolled_back",
    }
}

/// A config on trial: unless its file is put in place in time, the one before returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigTrial {
    /// When the one before returns.
    pub until: Timestamp,
    /// The modules that were connected before and are not yet again.
    pub awaited: Vec<String>,
}
