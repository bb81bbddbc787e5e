//! The rules of a module twin, free of I/O and clocks.
//!
//! Owns: identities, twin documents and their limits, versions and generations, the outbox of
//! reports, the queue of messages, who owns which method, and the state machine of one session. Leaves to others: sockets, files, time and
//! randomness, which all come in as arguments. Same inputs, same effects.
#![no_std]

extern crate alloc;

pub mod acknowledgement;
pub mod backoff;
pub mod deliveries;
pub mod document;
pub mod governor;
pub mod handlers;
pub mod ids;
pub mod limits;
pub mod message;
pub mod methods;
pub mod outbox;
pub mod secret;
pub mod session;
pub mod status;
pub mod time;
pub mod twin;
