//! A hub, a gateway and their certificates, for tests, benchmarks and the demo.
//!
//! Everything is the real part: the emulator with real TLS, the daemon as a process of its own,
//! certificates that an authority signed. Owns how they are started and waited for, what
//! the kernel says of them, and how figures are summed up and put into a page; leaves to the tests
//! what is asked of them.

pub mod dialer;
pub mod gateway;
pub mod https;
pub mod hub;
pub mod machine;
pub mod mqtt;
pub mod page;
pub mod patience;
pub mod process;
pub mod raw;
pub mod service;
pub mod spectator;
pub mod spread;
pub mod stage;
pub mod storm;
pub mod wall;
pub mod websocket;
