//! Device-to-cloud messages: a topic with a property bag, and the payload as it is.
//!
//! Sources: "Communicate with an IoT hub using the MQTT protocol" (sending device-to-cloud messages)
//! and "Create and read IoT Hub messages" (Microsoft documentation).

use std::fmt::Write as _;

use modtwin_core::ids::{DeviceId, ModuleId};
use percent_encoding::utf8_percent_encode;

use crate::{Outbound, QUERY_VALUE};

/// The most bytes of a message: its payload and its property bag, as that is encoded.
pub const MAX_MESSAGE_BYTES: usize = 256 * 1024;

/// The longest topic that MQTT can carry, in bytes (MQTT 3.1.1, section 1.5.3).
const MAX_TOPIC_BYTES: usize = 65_535;

/// Names of properties that a sender may not use begin so: the hub's own system properties, and what
/// it puts in by itself.
const RESERVED: [&str; 3] = ["$", "iothub-", "mqtt-"];

/// A message from a module to the cloud.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceMessage {
    /// The content, which the hub does not look into.
    pub payload: Vec<u8>,
    /// Its media type, such as `application/json`.
    pub content_type: Option<String>,
    /// Its encoding, such as `utf-8`.
    pub content_encoding: Option<String>,
    /// What receivers may tell a message that comes twice by.
    pub message_id: Option<String>,
    /// What ties it to another message.
    pub correlation_id: Option<String>,
    /// The sender's own properties.
    pub properties: Vec<(String, String)>,
}

/// Why a message can't be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// It is too large for the hub.
    #[error("payload and properties have {found} bytes, expected at most {MAX_MESSAGE_BYTES}")]
    TooLarge {
        /// What it has.
        found: usize,
    },
    /// Its properties do not fit into a topic.
    #[error(
        "the properties make a topic of {found} bytes, expected at most {MAX_TOPIC_BYTES}: put some of them \
         into the payload"
    )]
    Properties {
        /// How long the topic would be.
        found: usize,
    },
    /// A property has no name.
    #[error("a property has no name")]
    Unnamed,
    /// A property has a name that only the hub may use.
    #[error(
        "the property name `{0}` is the hub's: names may not begin with `$`, `iothub-` or `mqtt-`"
    )]
    Reserved(String),
    /// Two properties have the same name.
    #[error("the property `{0}` stands there twice")]
    Twice(String),
}

/// The bytes of a message of that module.
///
/// # Errors
///
/// [`MessageError`] where the hub would not take it.
pub fn encode_message(
    device: &DeviceId,
    module: &ModuleId,
    message: &DeviceMessage,
) -> Result<Outbound, MessageError> {
    check_names(&message.properties)?;
    let bag = bag(message);
    let found = message.payload.len().saturating_add(bag.len());
    if found > MAX_MESSAGE_BYTES {
        return Err(MessageError::TooLarge { found });
    }
    let topic = format!("devices/{device}/modules/{module}/messages/events/{bag}");
    if topic.len() > MAX_TOPIC_BYTES {
        return Err(MessageError::Properties { found: topic.len() });
    }
    Ok(Outbound { topic, payload: message.payload.clone() })
}

fn check_names(properties: &[(String, String)]) -> Result<(), MessageError> {
    for (index, (name, _)) in properties.iter().enumerate() {
        if name.is_empty() {
            return Err(MessageError::Unnamed);
        }
        let is_reserved = |prefix: &&str| {
            name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        if RESERVED.iter().any(is_reserved) {
            return Err(MessageError::Reserved(name.clone()));
        }
        if properties.iter().take(index).any(|(earlier, _)| earlier == name) {
            return Err(MessageError::Twice(name.clone()));
        }
    }
    Ok(())
}

fn bag(message: &DeviceMessage) -> String {
    let system = [
        ("%24.mid", &message.message_id),
        ("%24.cid", &message.correlation_id),
        ("%24.ct", &message.content_type),
        ("%24.ce", &message.content_encoding),
    ];
    let mut bag = String::new();
    let mut put = |name: &dyn std::fmt::Display, value: &str| {
        let separator = if bag.is_empty() { "" } else { "&" };
        // Writing to a text does not fail.
        let _written = write!(bag, "{separator}{name}={}", utf8_percent_encode(value, QUERY_VALUE));
    };
    for (name, value) in system {
        if let Some(value) = value {
            put(&name, value);
        }
    }
    for (name, value) in &message.properties {
        put(&utf8_percent_encode(name, QUERY_VALUE), value);
    }
    bag
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;

    fn encode(message: &DeviceMessage) -> Result<Outbound, MessageError> {
        let (device, module) = (DeviceId::new("gw01").unwrap(), ModuleId::new("cam-1").unwrap());
        encode_message(&device, &module, message)
    }

    fn with(properties: &[(&str, &str)]) -> DeviceMessage {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        DeviceMessage {
            properties: properties.iter().map(owned).collect(),
            ..DeviceMessage::default()
        }
    }

    const PREFIX: &str = "devices/gw01/modules/cam-1/messages/events/";

    #[test]
    fn a_bare_message_has_an_empty_bag() {
        let message = DeviceMessage { payload: vec![0, 255], ..DeviceMessage::default() };
        let sent = encode(&message).unwrap();
        assert_eq!((sent.topic.as_str(), sent.payload), (PREFIX, vec![0, 255]));
    }

    #[test]
    fn system_properties_come_first_and_everything_is_encoded() {
        let message = DeviceMessage {
            content_type: Some("application/json".to_owned()),
            content_encoding: Some("utf-8".to_owned()),
            message_id: Some("7".to_owned()),
            correlation_id: Some("a b".to_owned()),
            ..with(&[("unit", "°C"), ("a&b=c", "1+1=2#/")])
        };
        let bag = "%24.mid=7&%24.cid=a%20b&%24.ct=application%2Fjson&%24.ce=utf-8\
                   &unit=%C2%B0C&a%26b%3Dc=1%2B1%3D2%23%2F";
        assert_eq!(encode(&message).unwrap().topic, format!("{PREFIX}{bag}"));
    }

    #[test]
    fn names_that_are_the_hubs_are_refused() {
        for name in ["$.ct", "$", "iothub-MessageType", "IoTHub-x", "mqtt-retain"] {
            let refused = encode(&with(&[(name, "x")]));
            assert_eq!(refused, Err(MessageError::Reserved(name.to_owned())));
        }
        assert_eq!(encode(&with(&[("", "x")])), Err(MessageError::Unnamed));
        let twice = with(&[("a", "1"), ("b", "2"), ("a", "3")]);
        assert_eq!(encode(&twice), Err(MessageError::Twice("a".to_owned())));
        assert!(encode(&with(&[("iothub", "1"), ("A", "1"), ("a", ""), ("é$", "1")])).is_ok());
    }

    #[test]
    fn a_message_is_counted_with_its_bag() {
        let bag = "a=%C2%B0".len();
        let sized = |bytes| DeviceMessage { payload: vec![0; bytes], ..with(&[("a", "°")]) };
        assert!(encode(&sized(MAX_MESSAGE_BYTES - bag)).is_ok());
        let found = MAX_MESSAGE_BYTES + 1;
        assert_eq!(encode(&sized(found - bag)), Err(MessageError::TooLarge { found }));
    }

    #[test]
    fn a_bag_that_fits_no_topic_is_refused() {
        let value = "x".repeat(MAX_TOPIC_BYTES - PREFIX.len() - 2);
        assert!(encode(&with(&[("a", &value)])).is_ok());
        let found = MAX_TOPIC_BYTES + 1;
        let refused = encode(&with(&[("a", &format!("{value}x"))]));
        assert_eq!(refused, Err(MessageError::Properties { found }));
    }

    proptest! {
        #[test]
        fn whatever_goes_into_a_bag_comes_out_of_it(
            properties in prop::collection::btree_map("[^$im].{0,8}", ".{0,12}", 0..6),
            id in prop::option::of(".{0,8}"),
        ) {
            let properties: Vec<(String, String)> = properties.into_iter().collect();
            let message = DeviceMessage {
                message_id: id.clone(),
                properties: properties.clone(),
                ..DeviceMessage::default()
            };
            let topic = encode(&message).unwrap().topic;
            let bag = topic.strip_prefix(PREFIX).unwrap();
            prop_assert!(!bag.contains(['#', '+', '/', '\0', '$']), "{bag}");
            let decode = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
            let mut found: Vec<(String, String)> = bag
                .split('&')
                .filter(|pair| !pair.is_empty())
                .map(|pair| pair.split_once('=').unwrap())
                .map(|(name, value)| (decode(name), decode(value)))
                .collect();
            if let Some(id) = id {
                prop_assert_eq!(found.remove(0), ("$.mid".to_owned(), id));
            }
            prop_assert_eq!(found, properties);
        }
    }
}
