//! The daemon: supervisor, durable state, local API.
//!
//! The only place where the parts are wired together, and the only one that reads the environment,
//! config files and signals. An unreachable hub, a bad credential or a crashed session never stops
//! the socket from answering.

#[cfg(panic = "abort")]
compile_error!("a panicking session must not end the daemon: build with panic = \"unwind\"");

pub mod cli;
mod clock;
mod config_watch;
mod credential;
pub mod daemon;
pub mod exit;
mod foresight;
pub mod local_api;
pub mod logging;
mod message_store;
pub mod signals;
mod store;
mod supervisor;
pub mod systemd;
mod unit;
mod wiring;

pub use supervisor::Command;
