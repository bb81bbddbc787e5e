//! The event stream: what happens at the hub, as lines of JSON for whoever listens.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::identity::IdentityKey;

/// Tells listeners what happens. Without listeners nothing is built.
#[derive(Debug)]
pub(crate) struct Events {
    sender: broadcast::Sender<Bytes>,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self { sender: broadcast::Sender::new(BACKLOG) }
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<Bytes> {
        self.sender.subscribe()
    }

    /// Tells of one event; `detail` gives an object whose members are added.
    pub(crate) fn tell(
        &self,
        event: &str,
        key: Option<&IdentityKey>,
        detail: impl FnOnce() -> Value,
    ) {
        if self.sender.receiver_count() > 0 {
            // Fails only when the last listener has just left.
            let _ = self.sender.send(line(event, key, detail()));
        }
    }
}

/// Writes one event's line: `time` and `us` (microseconds since 1970) are the machine's clock, not the hub's.
pub(crate) fn line(event: &str, key: Option<&IdentityKey>, detail: Value) -> Bytes {
    let now = SystemTime::now();
    let micros = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let mut members = json!({
        "time": humantime::format_rfc3339_micros(now).to_string(),
        "us": u64::try_from(micros).unwrap_or_default(),
        "event": event,
    });
    if let Some(members) = members.as_object_mut() {
        if let Some(key) = key {
            members.insert("device".to_owned(), json!(key.device));
            if let Some(module) = &key.module {
                members.insert("module".to_owned(), json!(module));
            }
        }
        if let Value::Object(detail) = detail {
            members.extend(detail);
        }
    }
    let mut text = members.to_string();
    text.push('\n');
    Bytes::from(text)
}

/// Events a slow listener may lag behind before it misses some.
const BACKLOG: usize = 32_768;
