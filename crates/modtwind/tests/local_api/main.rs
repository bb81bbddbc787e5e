//! The local API over a real socket, with real sessions that never reach a hub.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by a panic that it failed"
)]

mod daemon;
mod edges;
mod modules;
mod peer;
mod session;
mod traffic;
