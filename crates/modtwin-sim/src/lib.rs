//! The real core against a model hub, in virtual time.
//!
//! Two uses. *Histories*: a few modules, their daemon's disk, their links and a hub live through
//! minutes of seeded faults; every step is checked against what the daemon promises
//! (docs/local-api.md), and afterwards everything has to be where it belongs. *Fleets*: thousands
//! of gateways return after an outage of a hub that throttles as the real one does.
//!
//! This crate performs the core's effects as `modtwin-session` does, without sockets, files or
//! clocks. It knows nothing of the core's inside.

pub mod campaign;
pub mod chance;
pub mod fleet;
pub mod history;
pub mod hub;
pub mod mutations;
pub mod plan;
pub mod shrink;
pub mod terminal;
