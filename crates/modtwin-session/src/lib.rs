//! The task that drives one module identity, and the ports it needs.
//!
//! Owns: the meeting of the core's state machines with tokio, the ports ([`link`], [`credential`],
//! [`store`], [`messages`]) and the handle through which the rest of the daemon talks to a module. Leaves to
//! others: MQTT itself, files, keys, and who may ask for what. The task is the sole writer of its
//! module's state.

pub mod clock;
pub mod credential;
mod driver;
pub mod governor;
pub mod handle;
pub mod link;
mod log_limit;
pub mod messages;
pub mod methods;
mod publish;
pub mod seat;
pub mod store;
mod stored;
pub mod view;
mod waiters;
