//! The promises of the local API, shown with the real parts: the daemon as a process, paho, TLS,
//! the emulator as the hub, and the Unix socket. One module a promise; each test has a hub and a
//! gateway of its own.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test says by a panic that it failed, and in print what it skipped or measured"
)]

mod acknowledged;
mod bounded;
mod durable;
mod fleet;
mod garbage;
mod in_order;
mod isolated;
mod local_first;
mod nothing_missed;
mod polite;
mod rights;
mod troubles;

/// The daemon under test.
const MODTWIND: &str = env!("CARGO_BIN_EXE_modtwind");

/// Runs a story that may fail with words.
type Story = anyhow::Result<()>;
