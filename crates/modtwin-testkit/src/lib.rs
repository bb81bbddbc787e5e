//! A hub, a gateway and their certificates, for tests, benchmarks and the demo.
//!
//! Everything is the real part: the emulator with real TLS, the daemon as a process of its own,
//! certificates that an authority signed. Owns how they are started and waited for; leaves to the
//! tests what is asked of them.

pub mod dialer;
pub mod gateway;
pub mod https;
pub mod hub;
pub mod mqtt;
pub mod patience;
pub mod raw;
pub mod service;
pub mod spectator;
pub mod stage;
pub mod websocket;
