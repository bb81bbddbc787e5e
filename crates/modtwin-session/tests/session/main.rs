//! One module's session with a scripted hub link and a clock that stands until somebody waits.
//!
//! Owns what only such a stage can show: hours of waits, ports that panic, disks that hang. What
//! real MQTT, TLS and processes do is shown by the daemon's own tests.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by a panic that it failed"
)]

mod answering;
mod connecting;
mod crashing;
mod flooding;
mod renewing;
mod rig;
mod sending;
mod sharing;
mod shelf;
mod storing;
mod syncing;
mod wallet;
