//! Direct methods: a call from the hub, and its answer.
//!
//! Source: "Communicate with an IoT hub using the MQTT protocol" (respond to a direct method).

use percent_encoding::percent_decode_str;

use crate::{Outbound, bag};

/// The most bytes of a call's payload, and of an answer's ("Understand and invoke direct methods").
pub const MAX_METHOD_BYTES: usize = 128 * 1024;

pub(crate) const CALL_PREFIX: &str = "$iothub/methods/POST/";

/// A call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodCall {
    /// The method's name.
    pub name: String,
    /// What the hub knows the call by, as it stands in the topic: it is echoed, never read.
    pub rid: String,
    /// The payload: JSON or nothing, if the hub keeps to its documentation.
    pub payload: Vec<u8>,
}

/// Reads what follows the prefix of a call's topic; none where it is no call that can be answered.
pub(crate) fn decode(rest: &str, payload: &[u8]) -> Option<MethodCall> {
    let (name, query) = rest.split_once("/?")?;
    let name = percent_decode_str(name).decode_utf8().ok()?.into_owned();
    let rid = bag::raw_value(query, "$rid")?;
    // The answer's topic carries it, and a topic with these closes the link (MQTT 3.1.1, 3.3.2.1).
    let is_echoed = !rid.is_empty() && !rid.contains(['+', '#', '\0']);
    (is_echoed && !name.is_empty()).then(|| MethodCall {
        name,
        rid: rid.to_owned(),
        payload: payload.to_vec(),
    })
}

/// The bytes of the answer to the call that the hub knows by `rid`; `payload` is JSON or nothing.
#[must_use]
pub fn encode_method_answer(rid: &str, status: u16, payload: Vec<u8>) -> Outbound {
    Outbound { topic: format!("$iothub/methods/res/{status}/?$rid={rid}"), payload }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Inbound;

    fn call(topic: &str) -> Inbound {
        crate::decode(topic, b"{}").unwrap()
    }

    #[test]
    fn a_call_has_a_decoded_name_and_a_raw_rid() {
        let check = |topic: &str, name: &str, rid: &str| {
            let expected =
                MethodCall { name: name.to_owned(), rid: rid.to_owned(), payload: b"{}".to_vec() };
            assert_eq!(call(topic), Inbound::Method(expected), "{topic}");
        };
        check("$iothub/methods/POST/reboot/?$rid=6d56", "reboot", "6d56");
        check("$iothub/methods/POST/fan*set%20on/?$rid=a%2Fb", "fan*set on", "a%2Fb");
        check("$iothub/methods/POST/a%2Fb/?x=1&%24rid=7&$rid=8", "a/b", "7");
    }

    #[test]
    fn what_nobody_could_answer_is_foreign() {
        for rest in [
            "",
            "reboot",
            "reboot/",
            "reboot/?",
            "reboot/?$rid=",
            "reboot/?rid=1",
            "/?$rid=1",
            "%ff/?$rid=1",
            "reboot/?$rid=1#2",
            "reboot/?$rid=+",
        ] {
            assert_eq!(call(&format!("{CALL_PREFIX}{rest}")), Inbound::Foreign, "{rest}");
        }
    }

    #[test]
    fn an_answer_echoes_the_rid_as_it_came() {
        let answer = encode_method_answer("a%2Fb", 404, b"{}".to_vec());
        assert_eq!(answer.topic, "$iothub/methods/res/404/?$rid=a%2Fb");
        assert_eq!(answer.payload, b"{}");
    }

    proptest! {
        #[test]
        fn reading_a_call_is_total(rest in ".{0,40}", payload in prop::collection::vec(any::<u8>(), 0..50)) {
            let topic = format!("{CALL_PREFIX}{rest}");
            let outcome = crate::decode(&topic, &payload).unwrap();
            if let Inbound::Method(call) = outcome {
                prop_assert!(rest.contains(&call.rid));
                prop_assert_eq!(call.payload, payload);
            }
        }
    }
}
