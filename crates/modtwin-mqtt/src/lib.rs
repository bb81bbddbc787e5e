//! The hub link over paho-mqtt.
//!
//! Owns: every call into paho, the one thread that makes them, the life of paho's clients and the
//! words in which a failed attempt is told. Leaves to others: when to connect, what the messages
//! mean, where credentials come from, and how a failed handshake is looked into ([`Diagnosis`]).
//!
//! paho guards all its clients with one process-wide mutex that it also holds while it resolves
//! names, reads keys and runs callbacks; hence the rules the modules here keep:
//!
//! - no tokio thread calls paho: [`Engine`] owns a thread that does (`worker`);
//! - callbacks put into queues and can't panic, a panic there would abort the process (`handle`);
//! - a client is never reused while a call of an earlier connection may still be under way, since
//!   paho changes a client's state without its lock at connect (`handle`, `worker`);
//! - a client that is no longer needed is dropped late, by a thread of its own, and never as the
//!   process's last one (`graveyard`);
//! - every token has a time limit (`attempt`, `connection`).

mod attempt;
mod connection;
mod diagnosis;
mod engine;
mod fault;
mod graveyard;
mod handle;
mod line;
mod link;
mod options;
mod trust;
mod worker;

pub use diagnosis::{Diagnosis, Endpoint};
pub use engine::{Engine, EngineError};
pub use link::{Carrier, Link};
pub use trust::SYSTEM_BUNDLES;
