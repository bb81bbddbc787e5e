//! Device-to-cloud messages: the headers of the request, and its answers.
//!
//! The payload is the body, as it is; `Content-Type` and `Content-Encoding` are the message's.

use serde::{Deserialize, Serialize};

/// The header of a property, `name=value` in UTF-8; may be there several times.
pub const HEADER_PROPERTY: &str = "modtwin-property";

/// The header of the message's id.
pub const HEADER_MESSAGE_ID: &str = "modtwin-message-id";

/// The header of the id that ties the message to another one.
pub const HEADER_CORRELATION_ID: &str = "modtwin-correlation-id";

/// The hub has confirmed the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageSent {
    /// Always true.
    pub sent: bool,
}

/// The message survives power loss and will reach the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageStored {
    /// Always true.
    pub stored: bool,
}
