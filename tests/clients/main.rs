//! What every client library does, whatever its language: the same stories for Rust, Python (blocking
//! and asyncio), Node and C.
//!
//! A story is told once. In each language a small program (`drivers/`) does with its client what
//! lines on its input say, and prints what comes of it ([`actor`]); [`cast`] has one of each beside a
//! real daemon and the hub emulator, [`scripted`] plays a daemon where the story needs one that
//! misbehaves. The packages are installed as users install them ([`languages`]); a language that this
//! machine has not is left out, and that is said.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test says by a panic that it failed, and in print what it left out"
)]

mod actor;
mod cast;
mod curl;
mod languages;
mod misbehaving;
mod promises;
mod quickstart;
mod recipes;
mod requests;
mod rights;
mod running;
mod scripted;
mod traffic;

/// Runs a story that may fail with words.
type Story = anyhow::Result<()>;
