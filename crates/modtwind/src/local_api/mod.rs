//! The local API: HTTP/1.1 and JSON on a Unix socket, for handlers, the CLI and operators.
//!
//! Owns: the socket, who is at its other end and what that process may do, requests, answers and
//! streams. Leaves to others: the twins themselves ([`modtwin_session`]), what is served
//! and when that changes (whoever fills the [`Registry`]), and reading the config again. A peer
//! can harm nobody but itself: each connection is a task of its own with bounded memory, and no
//! request blocks a thread.

mod acks;
mod answer;
mod body;
mod connection;
mod control_groups;
mod conversion;
#[doc(hidden)]
pub mod fuzzing;
mod lines;
mod listing;
mod messages;
mod methods;
mod metrics;
mod peer;
mod query;
mod registry;
mod reported;
mod rights;
mod router;
mod scope;
mod server;
mod snapshot;
pub mod socket;
mod status;
mod told;
mod transport;
mod unit;
mod watch;

pub use registry::{AdminCommand, Entry, Facts, Registry, ReloadReply, Shared};
pub use server::{Limits, LocalApi};
