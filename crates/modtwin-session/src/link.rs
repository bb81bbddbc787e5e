//! The port to the hub: what a session asks of an MQTT client, and what it hears back.
//!
//! A link lives as long as its module; it connects many times, each time under a new [`Epoch`].
//! All calls return at once. What is heard of an earlier epoch is thrown away by the session.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use modtwin_core::status::Fault;
use tokio::sync::mpsc;

use crate::credential::Credential;

/// How many inbound messages wait for the session before the link counts as overrun.
pub const MESSAGE_QUEUE: usize = 256;

/// The number of a connection of one link: rises with each attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

/// Everything a link needs to connect once.
#[derive(Debug, Clone)]
pub struct ConnectRequest {
    /// The number that all that is heard of this connection carries.
    pub epoch: Epoch,
    /// The name to resolve, to send as SNI and to verify in the server's certificate.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// PEM file of the authorities to trust; the system's store where none is given.
    pub trusted_ca: Option<PathBuf>,
    /// The MQTT client id, `{device}/{module}`.
    pub client_id: String,
    /// The MQTT user name.
    pub user_name: String,
    /// What proves the identity.
    pub credential: Credential,
    /// The MQTT keep-alive.
    pub keep_alive: Duration,
    /// How long resolving, TCP, TLS and CONNACK may take, all together.
    pub time_limit: Duration,
}

/// What happened to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkStatus {
    /// CONNACK 0 has come.
    Connected,
    /// The attempt ended without a connection; nothing more comes of this epoch.
    Failed(Fault),
    /// SUBACK has come and granted every filter.
    Subscribed,
    /// The hub has confirmed (PUBACK) what was delivered under this number.
    Confirmed(u64),
    /// The connection has ended; nothing more comes of this epoch. Also said where the queue of
    /// messages overran, because a message was lost then.
    Lost(Fault),
}

/// One PUBLISH from the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundMessage {
    /// The connection it came over.
    pub epoch: Epoch,
    /// The topic.
    pub topic: String,
    /// The payload.
    pub payload: Vec<u8>,
}

/// The receiving ends of a link.
///
/// Two queues, so that a flood of messages can't hold up the news that the link is gone.
#[derive(Debug)]
pub struct LinkEvents {
    /// At most four entries an epoch and one for each delivery, hence without a bound.
    pub status: mpsc::UnboundedReceiver<(Epoch, LinkStatus)>,
    /// Bounded by [`MESSAGE_QUEUE`]; a full queue ends the connection as [`LinkStatus::Lost`].
    pub messages: mpsc::Receiver<InboundMessage>,
}

/// One module's MQTT client. No call blocks; outcomes come through [`LinkEvents`].
pub trait HubLink: Send + fmt::Debug {
    /// Begins a connection; ends in `Connected` or `Failed` within the request's time limit.
    fn connect(&mut self, request: ConnectRequest);
    /// Subscribes to `filters` with QoS 1; ends in `Subscribed` or `Lost`.
    fn subscribe(&mut self, filters: &[&str]);
    /// Publishes with QoS 0; the hub's answer is a message of its own.
    fn publish(&mut self, topic: &str, payload: Vec<u8>);
    /// Publishes with QoS 1; ends in `Confirmed` with that number, or `Lost`. What is not confirmed by
    /// then may have arrived or not; the link does not send it again.
    fn deliver(&mut self, number: u64, topic: &str, payload: Vec<u8>);
    /// Ends the connection with DISCONNECT; nothing more is heard of its epoch.
    fn disconnect(&mut self);
}
