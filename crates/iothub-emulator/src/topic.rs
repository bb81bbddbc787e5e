//! The hub's topics: what a client may publish and subscribe to, and the topics the hub answers on ("Communicate with
//! an IoT hub using the MQTT protocol"). Anything else is foreign and closes the link.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::identity::IdentityKey;

/// Says what a PUBLISH asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    TwinGet {
        /// As it came: it is echoed.
        rid: &'a str,
    },
    Report {
        rid: &'a str,
        /// The `$version` precondition.
        expected: Option<u64>,
    },
    MethodAnswer {
        rid: &'a str,
        status: i64,
    },
    Telemetry {
        /// The property bag as it came, still encoded.
        bag: &'a str,
    },
}

impl<'a> Request<'a> {
    /// Reads a topic; `None`: foreign or malformed.
    pub(crate) fn parse(topic: &'a str, key: &IdentityKey) -> Option<Self> {
        if let Some(bag) = topic.strip_prefix("$iothub/twin/GET/?") {
            return Some(Self::TwinGet { rid: member(bag, "$rid")? });
        }
        if let Some(bag) = topic.strip_prefix("$iothub/twin/PATCH/properties/reported/?") {
            let expected = match member(bag, "$version") {
                Some(text) => Some(text.parse().ok()?),
                None => None,
            };
            return Some(Self::Report { rid: member(bag, "$rid")?, expected });
        }
        if let Some(rest) = topic.strip_prefix("$iothub/methods/res/") {
            let (status, bag) = rest.split_once("/?")?;
            return Some(Self::MethodAnswer {
                rid: member(bag, "$rid")?,
                status: status.parse().ok()?,
            });
        }
        let bag = topic.strip_prefix(&events(key))?;
        let bag = bag.strip_prefix('/').unwrap_or(bag);
        (!bag.contains('/')).then_some(Self::Telemetry { bag })
    }
}

/// Says whether an identity may subscribe to `filter`.
pub(crate) fn may_subscribe(filter: &str, key: &IdentityKey) -> bool {
    if [TWIN_ANSWERS, DESIRED, METHODS].contains(&filter) {
        return true;
    }
    match &key.module {
        Some(_) => {
            let own = own(key);
            filter == format!("{own}/#") || filter == format!("{own}/inputs/#")
        }
        None => filter == format!("{}/messages/devicebound/#", own(key)),
    }
}

/// Gives the topic of telemetry, without its final slash.
fn events(key: &IdentityKey) -> String {
    format!("{}/messages/events", own(key))
}

fn own(key: &IdentityKey) -> String {
    key.path().join("/")
}

/// Says whether a will may be published here.
pub(crate) fn is_telemetry(topic: &str, key: &IdentityKey) -> bool {
    matches!(Request::parse(topic, key), Some(Request::Telemetry { .. }))
}

fn member<'a>(bag: &'a str, name: &str) -> Option<&'a str> {
    // `$` may be written `%24` (seen in SDKs' bags).
    let same = |found: &str| found == name || found.replacen("%24", "$", 1) == name;
    bag.split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(found, _)| same(found))
        .map(|(_, value)| value)
}

/// Gives the topic of an answer to a twin request.
pub(crate) fn twin_answer(status: u16, rid: &str, version: Option<u64>) -> String {
    match version {
        Some(version) => format!("$iothub/twin/res/{status}/?$rid={rid}&$version={version}"),
        None => format!("$iothub/twin/res/{status}/?$rid={rid}"),
    }
}

/// Gives the topic of a desired notification.
pub(crate) fn desired(version: u64) -> String {
    format!("$iothub/twin/PATCH/properties/desired/?$version={version}")
}

/// Gives the topic of a method call. Letters that a topic or its query can't carry are percent-encoded (Python's SDK
/// decodes them); those of `component*command` are not.
pub(crate) fn method(name: &str, rid: &str) -> String {
    let name = utf8_percent_encode(name, NO_TOPIC);
    format!("$iothub/methods/POST/{name}/?$rid={rid}")
}

const NO_TOPIC: &AsciiSet = &CONTROLS.add(b' ').add(b'#').add(b'%').add(b'+').add(b'/').add(b'?');

/// Filter of answers to twin requests.
pub(crate) const TWIN_ANSWERS: &str = "$iothub/twin/res/#";
/// Filter of desired notifications.
pub(crate) const DESIRED: &str = "$iothub/twin/PATCH/properties/desired/#";
/// Filter of method calls.
pub(crate) const METHODS: &str = "$iothub/methods/POST/#";

#[cfg(test)]
mod tests {
    use super::{Request, may_subscribe};
    use crate::identity::IdentityKey;

    #[test]
    fn the_topics_a_module_may_use_are_read() {
        let key = IdentityKey::module("d", "m");
        let read = |topic| Request::parse(topic, &key);
        assert_eq!(read("$iothub/twin/GET/?$rid=a-1"), Some(Request::TwinGet { rid: "a-1" }));
        let topic = "$iothub/twin/PATCH/properties/reported/?$rid=7&$version=3";
        assert_eq!(read(topic), Some(Request::Report { rid: "7", expected: Some(3) }));
        assert_eq!(
            read("$iothub/methods/res/200/?$rid=x"),
            Some(Request::MethodAnswer { rid: "x", status: 200 })
        );
        let topic = "devices/d/modules/m/messages/events/a=b&%24.ct=x";
        assert_eq!(read(topic), Some(Request::Telemetry { bag: "a=b&%24.ct=x" }));
        assert_eq!(
            read("devices/d/modules/m/messages/events"),
            Some(Request::Telemetry { bag: "" })
        );
    }

    #[test]
    fn foreign_and_malformed_topics_are_none() {
        let key = IdentityKey::module("d", "m");
        for topic in [
            "a",
            "$iothub/twin/GET/",
            "$iothub/twin/GET/?rid=1",
            "$iothub/twin/PATCH/properties/reported/?$rid=1&$version=x",
            "$iothub/twin/PATCH/properties/desired/?$rid=1",
            "$iothub/methods/res/ok/?$rid=1",
            "devices/d/modules/other/messages/events/",
            "devices/d/messages/events/",
        ] {
            assert_eq!(Request::parse(topic, &key), None, "{topic}");
        }
    }

    #[test]
    fn filters_are_the_five_of_the_book() {
        let (module, device) = (IdentityKey::module("d", "m"), IdentityKey::device("d"));
        for filter in [
            "$iothub/twin/res/#",
            "$iothub/twin/PATCH/properties/desired/#",
            "$iothub/methods/POST/#",
        ] {
            assert!(may_subscribe(filter, &module) && may_subscribe(filter, &device));
        }
        assert!(may_subscribe("devices/d/modules/m/#", &module));
        assert!(may_subscribe("devices/d/modules/m/inputs/#", &module));
        assert!(may_subscribe("devices/d/messages/devicebound/#", &device));
        for filter in ["#", "$iothub/#", "devices/d/modules/n/#", "devices/d/#"] {
            assert!(!may_subscribe(filter, &module) && !may_subscribe(filter, &device), "{filter}");
        }
    }
}
