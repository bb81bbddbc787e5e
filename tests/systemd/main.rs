//! The packages on a real systemd: installed, used, upgraded and removed in a container that boots
//! one, with the hub's emulator outside of it.
//!
//! `cargo xtask systemd-test` builds the packages and the root file system, and runs this. Without
//! what it sets up (root, systemd-nspawn) each test says that it was skipped.
#![expect(clippy::print_stderr, reason = "a test says on standard error that it was skipped")]

mod features;
mod machine;
mod packages;
mod red_hat;
mod sandbox;
mod scene;
mod service;
mod tools;

/// A test that may fail with words.
type Story = anyhow::Result<()>;
