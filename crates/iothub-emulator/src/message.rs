//! A message from a device or module, as the event stream shows it: what an application put in, what the hub adds,
//! the body in whatever form a person can read.

use serde_json::{Value, json};

use crate::authentication::Authentication;
use crate::clock::Moment;
use crate::identity::Record;
use crate::twin::Document;

/// Builds the event's members: `properties` as they were sent, `system` as an Event Hubs consumer would see it, and
/// the body as text or base64, and as JSON where its content type says so.
pub(crate) fn event(record: &Record, properties: &Document, payload: &[u8], now: Moment) -> Value {
    let system = system(record, properties, now);
    let mut event = json!({ "properties": properties, "bytes": payload.len() });
    let is_json = system
        .get("content-type")
        .and_then(Value::as_str)
        .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("application/json"));
    let Some(members) = event.as_object_mut() else {
        return event;
    };
    if is_json && let Ok(json) = serde_json::from_slice::<Value>(payload) {
        members.insert("json".to_owned(), json);
    }
    match std::str::from_utf8(payload) {
        Ok(text) => members.insert("body".to_owned(), json!(text)),
        Err(_) => {
            let text = openssl::base64::encode_block(payload);
            members.insert("body_base64".to_owned(), json!(text))
        }
    };
    members.insert("system".to_owned(), Value::Object(system));
    event
}

/// Names the system properties that were sent, and adds the hub's own stamps ("Create and read IoT Hub messages").
fn system(record: &Record, properties: &Document, now: Moment) -> Document {
    let named = NAMES.iter().filter_map(|(short, long)| {
        properties.get(*short).map(|value| ((*long).to_owned(), value.clone()))
    });
    let mut system: Document = named.collect();
    let (key, scope) = match &record.key.module {
        Some(module) => {
            system.insert("iothub-connection-module-id".to_owned(), json!(module));
            (&record.key, "module")
        }
        None => (&record.key, "device"),
    };
    let kind = match record.authentication {
        Authentication::Sas { .. } => "sas",
        _ => "x509",
    };
    let method = json!({ "scope": scope, "type": kind, "issuer": "iothub" }).to_string();
    let stamps = [
        ("iothub-connection-device-id", json!(key.device)),
        ("iothub-connection-auth-generation-id", json!(record.generation)),
        ("iothub-connection-auth-method", json!(method)),
        ("iothub-enqueuedtime", json!(now.rfc3339())),
        ("iothub-message-source", json!("Telemetry")),
    ];
    system.extend(stamps.map(|(name, value)| (name.to_owned(), value)));
    system
}

/// System properties as they are sent and as they are read.
const NAMES: [(&str, &str); 12] = [
    ("$.mid", "message-id"),
    ("$.cid", "correlation-id"),
    ("$.uid", "user-id"),
    ("$.ct", "content-type"),
    ("$.ce", "content-encoding"),
    ("$.ctime", "iothub-creation-time-utc"),
    ("$.exp", "absolute-expiry-time"),
    ("$.to", "to"),
    ("$.on", "output-name"),
    ("$.sub", "dt-subject"),
    ("$.ifid", "iothub-interface-id"),
    ("$.schema", "iothub-message-schema"),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::event;
    use crate::authentication::Authentication;
    use crate::clock::Moment;
    use crate::identity::{IdentityKey, Record};
    use crate::twin::Document;

    fn sent(pairs: &[(&str, &str)]) -> Document {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect()
    }

    #[test]
    fn a_message_shows_what_was_sent_and_what_the_hub_adds() {
        let key = IdentityKey::module("d", "m");
        let record = Record::fresh(key, Authentication::CertificateAuthority, Moment::NEVER);
        let json = "application/json;charset=utf-8";
        let bag = sent(&[("a", "b c"), ("$.ct", json), ("$.mid", "7")]);
        let told = event(&record, &bag, br#"{"t":1}"#, Moment::NEVER);
        assert_eq!(&told["properties"]["a"], "b c");
        assert_eq!((&told["body"], &told["json"]), (&json!("{\"t\":1}"), &json!({"t": 1})));
        for (name, expected) in [
            ("message-id", "7"),
            ("content-type", "application/json;charset=utf-8"),
            ("iothub-connection-device-id", "d"),
            ("iothub-connection-module-id", "m"),
            ("iothub-connection-auth-generation-id", &record.generation),
            (
                "iothub-connection-auth-method",
                r#"{"issuer":"iothub","scope":"module","type":"x509"}"#,
            ),
        ] {
            assert_eq!(told["system"][name], expected, "{name}");
        }
    }

    #[test]
    fn bodies_that_are_no_json_or_no_text_are_shown_as_they_are() {
        let record = Record::fresh(
            IdentityKey::device("d"),
            Authentication::CertificateAuthority,
            Moment::NEVER,
        );
        let broken = event(&record, &sent(&[("$.ct", "application/json")]), b"{", Moment::NEVER);
        assert_eq!((&broken["body"], broken.get("json")), (&json!("{"), None));
        let bytes = event(&record, &sent(&[]), &[0xff, 0xfe], Moment::NEVER);
        assert_eq!((&bytes["body_base64"], &bytes["bytes"]), (&json!("//4="), &json!(2)));
        assert!(
            bytes.get("body").is_none()
                && bytes["system"].get("iothub-connection-module-id").is_none()
        );
    }
}
