//! `modtwinctl check` against planted faults, one a story: each is found, named first, and nothing
//! is reported as failed that only follows from it. Hub, daemon and files are the real ones.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail the test"
)]

#[expect(dead_code, reason = "each test file uses its share")]
#[path = "../program/mod.rs"]
mod program;
#[expect(dead_code, reason = "each test file uses its share")]
#[path = "../../../modtwin-client/tests/scripted/mod.rs"]
mod scripted;

mod bench;
mod files;
mod network;
mod running;

/// What a story ends with.
type Story = anyhow::Result<()>;
