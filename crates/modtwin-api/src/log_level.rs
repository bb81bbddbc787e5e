//! How much the daemon logs, and for how long that differs from the usual.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::hub::words;
use crate::limits::MAX_LOG_SECONDS;
use crate::whole;

words! {
    /// Which lines are logged: those of the level and the graver ones.
    LogLevel {
        /// What needs a human.
        Error = "error",
        /// What will be tried again.
        Warn = "warn",
        /// Changes of the daemon's life.
        Info = "info",
        /// Each message and each request.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

/// The body of `PUT /v1/log-level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogLevelChange {
    /// The level.
    pub level: LogLevel,
    /// For how many seconds, from 1 to 86,400; 600 where it says nothing.
    #[serde(
        default,
        deserialize_with = "whole::read_or_none",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 1, max = MAX_LOG_SECONDS))]
    pub for_seconds: Option<u64>,
}

/// The answer of `GET` and `PUT /v1/log-level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogLevelStatus {
    /// The level in force.
    pub level: LogLevel,
    /// The level that the daemon was started with.
    pub usual: LogLevel,
    /// When the usual level is in force again; null where it is.
    pub until: Option<Timestamp>,
}
