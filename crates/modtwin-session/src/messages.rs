//! Device-to-cloud messages as the rest of the daemon hands them in, and the port to the disk that
//! keeps those which wait.
//!
//! Leaves to others which message goes when (`modtwin_core::deliveries`) and who may send one.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use modtwin_core::deliveries::Full;
use modtwin_core::ids::ModuleId;
pub use modtwin_wire::telemetry::{DeviceMessage, MAX_MESSAGE_BYTES, MessageError};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::handle::{Command, ModuleHandle};
use crate::store::StoreError;

/// The number of the stored form that this program writes.
pub const MESSAGE_FORMAT: u32 = 1;

/// How far a message is to have come for its sender to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// It survives power loss.
    Stored,
    /// The hub has confirmed it; after so long it is stored at the least.
    Sent(Duration),
}

/// How far a message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The hub has confirmed it.
    Sent,
    /// It survives power loss and goes to the hub as soon as that is possible.
    Stored,
}

/// Why a message was not taken or not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The hub would not take it; nothing was taken.
    #[error(transparent)]
    Invalid(MessageError),
    /// Too much waits for the hub already; nothing was taken.
    #[error("the module's queue is full")]
    Full(Full),
    /// The disk did not take it. It may have reached the hub where one was connected.
    #[error("the message could not be stored")]
    Storage(#[source] StoreError),
    /// The hub has not confirmed it in time. It is stored and goes on.
    #[error("the hub has not confirmed the message in time")]
    Late,
    /// The session is not there any more. It may have reached the hub.
    #[error("module `{0}` is stopping")]
    Stopping(ModuleId),
}

/// What waits for the hub, and what has been set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Messages that wait for the hub, or for its confirmation.
    pub waiting: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Messages that were set aside, because the hub closed one connection after another over them or
    /// because their files are damaged.
    pub set_aside: u64,
}

/// A message as it is kept on disk: plain JSON that a person can read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredMessage {
    /// The number of this format; readers refuse another one.
    pub format: u32,
    /// The message id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The correlation id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The encoding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    /// The sender's own properties.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// The payload, where it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// The payload, where it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_base64: Option<String>,
}

impl From<&DeviceMessage> for StoredMessage {
    fn from(message: &DeviceMessage) -> Self {
        let text = std::str::from_utf8(&message.payload).ok();
        Self {
            format: MESSAGE_FORMAT,
            message_id: message.message_id.clone(),
            correlation_id: message.correlation_id.clone(),
            content_type: message.content_type.clone(),
            content_encoding: message.content_encoding.clone(),
            properties: message.properties.iter().cloned().collect(),
            payload: text.map(str::to_owned),
            payload_base64: text.is_none().then(|| STANDARD.encode(&message.payload)),
        }
    }
}

impl StoredMessage {
    /// The message that was stored.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub fn into_message(self) -> Result<DeviceMessage, String> {
        if self.format != MESSAGE_FORMAT {
            return Err(format!("expected format {MESSAGE_FORMAT}, found {}", self.format));
        }
        let payload = match (self.payload, self.payload_base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(text)) => STANDARD
                .decode(text)
                .map_err(|error| format!("payload_base64 is no base64: {error}"))?,
            _ => return Err("expected one of payload and payload_base64".to_owned()),
        };
        Ok(DeviceMessage {
            payload,
            content_type: self.content_type,
            content_encoding: self.content_encoding,
            message_id: self.message_id,
            correlation_id: self.correlation_id,
            properties: self.properties.into_iter().collect(),
        })
    }
}

/// What was found on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FoundMessages {
    /// The messages that wait, by number, oldest first.
    pub waiting: Vec<(u64, DeviceMessage)>,
    /// The highest number of any message there, set aside or not.
    pub newest: u64,
    /// How many are set aside, damaged ones among them.
    pub set_aside: u64,
}

/// Keeps one module's messages. All calls block on files: they run on a blocking thread.
pub trait MessageStore: Send + Sync + fmt::Debug {
    /// Reads all that wait. What is damaged is set aside.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where something is there that may not be read now: nothing must be put there.
    fn load(&self) -> Result<FoundMessages, StoreError>;

    /// Writes a message whole; on return it survives power loss. Says how many bytes were written.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the folder can't be written.
    fn put(&self, number: u64, message: &DeviceMessage) -> Result<u64, StoreError>;

    /// Removes a message that has reached the hub. After a power loss it may be there again.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where that can't be done: it will be sent again after a restart.
    fn remove(&self, number: u64) -> Result<(), StoreError>;

    /// Keeps a message out of the queue, for somebody to look at. Says how many are set aside now.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the folder can't be written.
    fn set_aside(&self, number: u64, message: &DeviceMessage) -> Result<u64, StoreError>;
}

impl ModuleHandle {
    /// Hands in a message and waits until it has come as far as `until` says, or is at least stored.
    ///
    /// Not cancel-safe: a message that nobody waits for any more is sent all the same.
    ///
    /// # Errors
    ///
    /// [`SendError`] where it was not taken, or is late.
    pub async fn send(&self, message: DeviceMessage, until: Until) -> Result<Settled, SendError> {
        let stopping = || SendError::Stopping(self.module.clone());
        let (told, receiver) = oneshot::channel();
        let command = Command::Send { message: Box::new(message), until, told };
        self.commands.send(command).await.map_err(|_closed| stopping())?;
        receiver.await.map_err(|_gone| stopping())?
    }

    /// What waits for the hub now.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        *self.backlog.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: &[u8]) -> DeviceMessage {
        DeviceMessage {
            payload: payload.to_vec(),
            content_type: Some("text/plain".to_owned()),
            message_id: Some("7".to_owned()),
            properties: vec![("a".to_owned(), "1".to_owned())],
            ..DeviceMessage::default()
        }
    }

    #[test]
    fn a_stored_message_is_read_back_the_same() {
        for payload in [&b""[..], b"{\"t\":21}", b"\xff\x00\xfe"] {
            let stored = StoredMessage::from(&message(payload));
            let text = serde_json::to_string(&stored).unwrap();
            let read: StoredMessage = serde_json::from_str(&text).unwrap();
            assert_eq!(read.into_message(), Ok(message(payload)), "{text}");
        }
    }

    #[test]
    fn a_stored_message_reads_as_a_person_would_write_it() {
        let text = serde_json::to_string(&StoredMessage::from(&message(b"on"))).unwrap();
        let expected = r#"{"format":1,"message_id":"7","content_type":"text/plain","properties":{"a":"1"},"payload":"on"}"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn what_is_no_message_is_said_to_be_none() {
        for text in [
            r#"{"format":2,"payload":""}"#,
            r#"{"format":1}"#,
            r#"{"format":1,"payload":"","payload_base64":""}"#,
            r#"{"format":1,"payload_base64":"%"}"#,
        ] {
            let read: StoredMessage = serde_json::from_str(text).unwrap();
            assert!(read.into_message().is_err(), "{text}");
        }
    }
}
