//! The daemon as a process: how it starts and refuses to, what it tells the service manager, how
//! it ends, what a reload does to running modules, what it logs and what it counts.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test says by a panic that it failed"
)]

mod applying;
mod ending;
mod flooding;
mod logging;
mod metrics;
mod monitoring;
mod pushing;
mod reloading;
mod reporting;
mod starting;
mod storm;

/// The daemon under test.
const MODTWIND: &str = env!("CARGO_BIN_EXE_modtwind");

/// A test that may fail with words.
type Story = anyhow::Result<()>;
