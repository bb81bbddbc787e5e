//! What was measured of the emulator.

use serde::Serialize;

use crate::machine::Machine;

/// All of it.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// What it was measured on.
    pub(crate) machine: Machine,
    /// Connections held at once.
    pub(crate) connections: usize,
    /// How long connecting all of them took, subscriptions included.
    pub(crate) connect_seconds: f64,
    /// The emulator's processor time for one connect, in milliseconds.
    pub(crate) connect_cpu_ms: f64,
    /// The emulator's PSS in MiB: before the first connection, with all, after the changes.
    pub(crate) hub_mib: [f64; 3],
    /// Changes as fast as the hub takes them.
    pub(crate) fast: Round,
    /// Changes at a given rate.
    pub(crate) paced: Round,
    /// That rate, a second.
    pub(crate) rate: u64,
}

/// One round of changes, each of which is one notification.
#[derive(Debug, Serialize)]
pub(crate) struct Round {
    /// How many arrived: every one that was to.
    pub(crate) notifications: usize,
    /// A second, from the first request to the last arrival.
    pub(crate) per_second: f64,
    /// From the back end's request to the arrival: p50, p99, the longest; milliseconds.
    pub(crate) latency_ms: [f64; 3],
    /// The emulator's processor time for one, in microseconds.
    pub(crate) hub_cpu_us: f64,
    /// The processor time of the process that makes the requests, for one, in microseconds.
    pub(crate) requests_cpu_us: f64,
}
