//! The answers to a report.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The report survives power loss and will reach the hub: the answer with `wait=stored`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportStored {
    /// Always true.
    pub stored: bool,
    /// The report's number on this gateway; a later report of the module has a higher one.
    pub sequence: u64,
}

/// The hub has accepted the report: the answer with `wait=hub`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportAccepted {
    /// Always true.
    pub stored: bool,
    /// The report's number on this gateway.
    pub sequence: u64,
    /// The version of reported that has it.
    pub version: u64,
}
