//! The MQTT 3.1.1 packets and their bytes, both directions.
//!
//! Owns the types and the codec; it is total on any bytes and knows nothing of the hub's rules. Both directions are
//! here because the tests' client speaks with it too. Section numbers refer to "MQTT Version 3.1.1", OASIS 2014.

mod decode;
mod encode;

use bytes::Bytes;

pub use decode::{DecodeError, decode};
pub use encode::{EncodeError, encode};

/// Holds one MQTT 3.1.1 control packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// Opens a session (3.1).
    Connect(Box<Connect>),
    /// Opens a session at a protocol level other than 4; the rest of the packet is not read.
    OtherLevel(u8),
    /// Answers a CONNECT (3.2).
    ConnAck {
        /// Says that the hub kept a session of this client.
        session_present: bool,
        /// The return code: 0 accepted, 1 to 5 refused.
        code: u8,
    },
    /// Carries an application message (3.3).
    Publish(Publish),
    /// Acknowledges a PUBLISH of QoS 1 (3.4).
    PubAck(u16),
    /// First answer to a PUBLISH of QoS 2 (3.5).
    PubRec(u16),
    /// Second step of QoS 2 (3.6).
    PubRel(u16),
    /// Last step of QoS 2 (3.7).
    PubComp(u16),
    /// Asks for topics (3.8).
    Subscribe {
        /// The packet identifier, never 0.
        id: u16,
        /// Topic filters with the QoS asked for.
        filters: Vec<(String, u8)>,
    },
    /// Answers a SUBSCRIBE (3.9).
    SubAck {
        /// The packet identifier, never 0.
        id: u16,
        /// One code a filter: the QoS granted, or 0x80.
        codes: Vec<u8>,
    },
    /// Gives topics up (3.10).
    Unsubscribe {
        /// The packet identifier, never 0.
        id: u16,
        /// The topic filters given up.
        filters: Vec<String>,
    },
    /// Answers an UNSUBSCRIBE (3.11).
    UnsubAck(u16),
    /// Asks for a sign of life (3.12).
    PingReq,
    /// Gives it (3.13).
    PingResp,
    /// Ends the session in good order (3.14).
    Disconnect,
}

/// Holds what a CONNECT of protocol level 4 says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// Asks for a session without memory.
    pub clean_session: bool,
    /// Longest silence of the client in seconds; 0 turns it off.
    pub keep_alive: u16,
    /// The client identifier.
    pub client_id: String,
    /// The message to store when the link ends without DISCONNECT.
    pub will: Option<Will>,
    /// The user name.
    pub user_name: Option<String>,
    /// The password. Its bytes are a credential: `Debug` of [`Password`] prints nothing.
    pub password: Option<Password>,
}

/// Holds a CONNECT's password without ever printing it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub Bytes);

impl std::fmt::Debug for Password {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Password(..)")
    }
}

/// Holds the will of a CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// The topic to publish to.
    pub topic: String,
    /// The message.
    pub payload: Bytes,
    /// The QoS asked for, 0 to 2.
    pub qos: u8,
    /// Asks for retention.
    pub retain: bool,
}

/// Holds one PUBLISH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Says that this is a second sending.
    pub dup: bool,
    /// The QoS, 0 to 2.
    pub qos: u8,
    /// Asks for retention.
    pub retain: bool,
    /// The topic name.
    pub topic: String,
    /// The packet identifier, there when `qos` is above 0 and never 0.
    pub id: Option<u16>,
    /// The message.
    pub payload: Bytes,
}

#[cfg(test)]
mod tests;
