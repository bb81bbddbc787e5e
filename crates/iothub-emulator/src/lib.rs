//! A local Azure IoT Hub: MQTT over TLS, twins, service REST API and faults on command.
//!
//! It is an independent reading of the protocol and shares no code with any client. It listens where it is told and
//! trusts whoever reaches its control API: it is a tool for one's own machine and for tests.
//!
//! ```no_run
//! # async fn example() -> Result<(), iothub_emulator::StartError> {
//! use iothub_emulator::{Config, Emulator};
//!
//! let running = Emulator::start(Config::default()).await?;
//! println!("MQTT on port {}, trust {}", running.mqtt_port(), running.ca().display());
//! running.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod accept;
mod authentication;
mod authority;
mod certificate;
mod clock;
mod config;
mod control;
mod event;
mod facts;
mod fault;
mod folder;
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod hub;
mod identity;
mod link;
mod message;
mod method;
pub mod packet;
mod policy;
mod problem;
mod query;
mod random;
mod registry;
mod rest;
mod sas;
mod scenario;
mod server;
mod stats;
mod store;
mod throttle;
mod topic;
mod twin;
mod websocket;

pub use config::{Config, Rules};
pub use facts::{Facts, FactsError};
pub use folder::FolderError;
pub use scenario::{Scenario, ScenarioError};
pub use server::{Emulator, Running, StartError};
pub use throttle::{Tier, TierError};
