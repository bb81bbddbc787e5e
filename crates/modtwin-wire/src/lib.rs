//! MQTT topics and payloads of IoT Hub to typed hub messages, and back.
//!
//! Owns: every topic string, the property bags in them, and the JSON bodies. Leaves to others:
//! what a message means. Total on any bytes: what can't be read is an error value, what is neither
//! for twins nor a direct method is [`Inbound::Foreign`].
//!
//! Source: "Communicate with an IoT hub using the MQTT protocol" (Microsoft documentation).

mod bag;
pub mod method;
pub mod telemetry;

use modtwin_core::document::{Document, merge};
use modtwin_core::ids::{DeviceId, ModuleId};
use modtwin_core::message::{Answer, HubMessage, Refusal, Request, RequestId};
use modtwin_core::twin::Section;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::method::MethodCall;

const ANSWER_PREFIX: &str = "$iothub/twin/res/";
const DESIRED_PREFIX: &str = "$iothub/twin/PATCH/properties/desired/";
const GET_TOPIC: &str = "$iothub/twin/GET/?$rid=";
const REPORT_TOPIC: &str = "$iothub/twin/PATCH/properties/reported/?$rid=";

/// The longest part of a hub's error text that is kept, in characters.
const MAX_MESSAGE_CHARS: usize = 500;

/// What stays as it is in a name or value of a query: in the user name, and in property bags.
const QUERY_VALUE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The topic filters of a session.
pub const SUBSCRIPTIONS: [&str; 3] =
    ["$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#", "$iothub/methods/POST/#"];

/// A message from the hub, or one of somebody else's concern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inbound {
    /// About the twin.
    Twin(HubMessage),
    /// A direct method is called.
    Method(MethodCall),
    /// Something else, or the answer to a request that was never made here.
    Foreign,
}

/// Why a message on a twin topic can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The topic does not end as twin topics do.
    #[error("cannot read topic `{0}`")]
    Topic(String),
    /// The payload is no JSON object.
    #[error("the payload on `{topic}` is no JSON object: {reason}")]
    Payload {
        /// Where it came.
        topic: String,
        /// What the parser says.
        reason: String,
    },
    /// A version is missing.
    #[error("no `$version` with `{0}`")]
    Version(String),
}

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbound {
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
}

/// The MQTT client id of a module.
#[must_use]
pub fn client_id(device: &DeviceId, module: &ModuleId) -> String {
    format!("{device}/{module}")
}

/// The MQTT user name of a module at the hub `host` (the hub's own name, whatever is dialled).
///
/// Ids stand raw; only the values of the query are percent-encoded.
#[must_use]
pub fn user_name(
    host: &str,
    device: &DeviceId,
    module: &ModuleId,
    api_version: &str,
    model_id: Option<&str>,
) -> String {
    let encoded = |text| utf8_percent_encode(text, QUERY_VALUE);
    let model = model_id.map(|model| format!("&model-id={}", encoded(model))).unwrap_or_default();
    format!("{host}/{device}/{module}/?api-version={}{model}", encoded(api_version))
}

/// The bytes of a request.
#[must_use]
pub fn encode(id: RequestId, request: &Request) -> Outbound {
    match request {
        Request::GetTwin => Outbound { topic: format!("{GET_TOPIC}{id}"), payload: Vec::new() },
        Request::Report(patch) => Outbound {
            topic: format!("{REPORT_TOPIC}{id}"),
            payload: Value::Object(patch.clone()).to_string().into_bytes(),
        },
    }
}

/// Reads a message from the hub.
///
/// # Errors
///
/// [`WireError`] where a message on a twin topic is not as the hub's documentation has it.
pub fn decode(topic: &str, payload: &[u8]) -> Result<Inbound, WireError> {
    if let Some(rest) = topic.strip_prefix(ANSWER_PREFIX) {
        return decode_answer(topic, rest, payload);
    }
    if let Some(rest) = topic.strip_prefix(DESIRED_PREFIX) {
        return decode_desired(topic, rest, payload);
    }
    if let Some(call) =
        topic.strip_prefix(method::CALL_PREFIX).and_then(|rest| method::decode(rest, payload))
    {
        return Ok(Inbound::Method(call));
    }
    Ok(Inbound::Foreign)
}

fn decode_answer(topic: &str, rest: &str, payload: &[u8]) -> Result<Inbound, WireError> {
    let unreadable = || WireError::Topic(topic.to_owned());
    let (status, query) = rest.split_once("/?").ok_or_else(unreadable)?;
    let status: u16 = status.parse().map_err(|_not_a_number| unreadable())?;
    let rid = bag::value(query, "$rid").ok_or_else(unreadable)?;
    let Ok(request) = rid.parse().map(RequestId) else {
        return Ok(Inbound::Foreign);
    };
    let answer = match status {
        200 => {
            let mut twin = object(topic, payload)?;
            let mut section = |name| match twin.remove(name) {
                Some(Value::Object(section)) => Ok(section),
                _ => Err(not_as_documented(topic, &format!("no object `{name}`"))),
            };
            Answer::Twin {
                desired: versioned(topic, section("desired")?)?,
                reported: versioned(topic, section("reported")?)?,
            }
        }
        201..=299 => {
            let version = bag::value(query, "$version").and_then(|text| text.parse().ok());
            Answer::Accepted {
                version: version.ok_or_else(|| WireError::Version(topic.to_owned()))?,
            }
        }
        _ => Answer::Refused(Refusal { status, message: refusal_text(payload) }),
    };
    Ok(Inbound::Twin(HubMessage::Answer { request, answer }))
}

fn decode_desired(topic: &str, rest: &str, payload: &[u8]) -> Result<Inbound, WireError> {
    let mut patch = if payload.is_empty() { Document::new() } else { object(topic, payload)? };
    let in_body = patch.get("$version").and_then(Value::as_u64);
    let in_topic = rest
        .strip_prefix('?')
        .and_then(|query| bag::value(query, "$version"))
        .and_then(|text| text.parse().ok());
    let version = in_topic.or(in_body).ok_or_else(|| WireError::Version(topic.to_owned()))?;
    patch.retain(|key, _| !key.starts_with('$'));
    Ok(Inbound::Twin(HubMessage::DesiredPatch { version, patch }))
}

/// A section of a fetched twin: its version taken out, nulls (which twins don't hold) dropped.
fn versioned(topic: &str, mut section: Document) -> Result<Section, WireError> {
    let version = section
        .get("$version")
        .and_then(Value::as_u64)
        .ok_or_else(|| WireError::Version(topic.to_owned()))?;
    section.retain(|key, _| !key.starts_with('$'));
    let mut document = Document::new();
    merge(&mut document, &section);
    Ok(Section { version, document })
}

fn object(topic: &str, payload: &[u8]) -> Result<Document, WireError> {
    match serde_json::from_slice(payload) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(not_as_documented(topic, "it is another kind of JSON value")),
        Err(error) => Err(not_as_documented(topic, &error.to_string())),
    }
}

fn not_as_documented(topic: &str, reason: &str) -> WireError {
    WireError::Payload { topic: topic.to_owned(), reason: reason.to_owned() }
}

/// The hub's words: the `message` (or `Message`) of its JSON, else the text itself.
fn refusal_text(payload: &[u8]) -> String {
    let text = String::from_utf8_lossy(payload);
    let parsed: Option<Document> = serde_json::from_str(&text).ok();
    let message = parsed.as_ref().and_then(|body| {
        ["message", "Message"].iter().find_map(|key| body.get(*key).and_then(Value::as_str))
    });
    message.unwrap_or(text.trim()).chars().take(MAX_MESSAGE_CHARS).collect()
}

#[cfg(test)]
mod tests;
