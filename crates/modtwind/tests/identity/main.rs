//! Credentials from the first connect to the last, with the real parts: the daemon as a process,
//! paho, TLS, and the emulator as the hub.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test says by a panic that it failed"
)]

mod certificates;
mod equipment;
mod first_steps;
mod reaching;
mod secrets;
mod swapping;
mod tokens;

/// The daemon under test.
const MODTWIND: &str = env!("CARGO_BIN_EXE_modtwind");

/// Runs a story that may fail with words.
type Story = anyhow::Result<()>;
