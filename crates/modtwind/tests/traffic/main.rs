//! Device-to-cloud messages and direct methods with the real parts: the daemon as a process, paho,
//! TLS, the emulator as the hub, and the Unix socket. Each test has a hub and a gateway of its own.
#![expect(clippy::indexing_slicing, reason = "a test says by a panic that it failed")]

mod arrivals;
mod messages;
mod methods;

/// The daemon under test.
const MODTWIND: &str = env!("CARGO_BIN_EXE_modtwind");

/// Runs a story that may fail with words.
type Story = anyhow::Result<()>;

/// The one module of most stories.
const M: &str = "m01";
