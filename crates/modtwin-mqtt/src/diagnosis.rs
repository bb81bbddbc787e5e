//! The port to whoever can tell why a handshake failed.
//!
//! paho says only that connecting failed. This file owns the question; the answer takes a probe
//! handshake with a TLS library, which is not this crate's business.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use modtwin_core::status::Fault;

/// Where an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The name that was resolved, sent as SNI and verified in the certificate.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// What the name resolved to, port included; never empty.
    pub addresses: Vec<SocketAddr>,
    /// The bundle of trusted authorities that was used, the system's where none is configured.
    pub trusted_ca: PathBuf,
    /// How long the answer is waited for; a later one is thrown away.
    pub time_limit: Duration,
}

/// Finds out why a connection to a hub can't be made.
pub trait Diagnosis: Send + Sync + fmt::Debug {
    /// Looks for the cause: `Some` names it, `None` says that TCP and TLS work from here.
    ///
    /// Called on a blocking thread, at most a handful at a time; keeps to the time limit in
    /// `endpoint`.
    fn diagnose(&self, endpoint: &Endpoint) -> Option<Fault>;
}
