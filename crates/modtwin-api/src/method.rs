//! Direct methods: the lines of the stream of calls, and the answer to one.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One line of `GET /v1/modules/{m}/methods`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum MethodEvent {
    /// A method is called.
    Invoke(Invocation),
    /// Nothing but a sign of life; the first line, and then every
    /// [`HEARTBEAT`](crate::limits::HEARTBEAT).
    Heartbeat,
    /// The module was taken out of the config; the last line.
    Removed {
        /// The module's id.
        module: String,
    },
}

impl MethodEvent {
    /// Reads a line; none where its type is one that this program does not know.
    ///
    /// # Errors
    ///
    /// Where the line is no JSON object with a `type`, or its members are not what that type needs.
    pub fn parse(line: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        #[derive(Deserialize)]
        struct Tag {
            r#type: String,
        }
        let tag: Tag = serde_json::from_slice(line)?;
        match tag.r#type.as_str() {
            "invoke" | "heartbeat" | "removed" => serde_json::from_slice(line).map(Some),
            _ => Ok(None),
        }
    }
}

/// A call that waits for its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// What to answer it by.
    pub id: String,
    /// The method.
    pub method: String,
    /// What the caller sent; null where that is nothing.
    #[serde(default)]
    pub payload: Value,
    /// For how long an answer is in time, in milliseconds.
    pub timeout_ms: u64,
}

/// The body of `POST /v1/modules/{m}/methods/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MethodResponse {
    /// The status, for whoever called: 100 to 999.
    pub status: u16,
    /// JSON for whoever called; null is nothing.
    #[serde(default)]
    pub payload: Value,
}

impl MethodResponse {
    /// Says whether `status` is one that an answer may have: 100 to 999.
    #[must_use]
    pub fn is_status(status: u16) -> bool {
        matches!(status, 100..=999)
    }
}
