//! What the codec makes of good, odd and arbitrary bytes.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn document(value: Value) -> Document {
    value.as_object().cloned().unwrap()
}

fn twin(message: Inbound) -> HubMessage {
    match message {
        Inbound::Twin(message) => message,
        other => panic!("expected a twin message, found {other:?}"),
    }
}

#[test]
fn a_fetched_twin_comes_without_its_versions_and_metadata() {
    let body = br#"{"desired":{"t":21,"$version":4,"$metadata":{}},"reported":{"$version":7}}"#;
    let message = twin(decode("$iothub/twin/res/200/?$rid=12", body).unwrap());
    let desired = Section { version: 4, document: document(json!({"t": 21})) };
    let reported = Section { version: 7, document: Document::new() };
    assert_eq!(
        message,
        HubMessage::Answer { request: RequestId(12), answer: Answer::Twin { desired, reported } }
    );
}

#[test]
fn consent_carries_the_new_version() {
    let message = twin(decode("$iothub/twin/res/204/?$rid=3&$version=8", b"").unwrap());
    let answer = Answer::Accepted { version: 8 };
    assert_eq!(message, HubMessage::Answer { request: RequestId(3), answer });
}

#[test]
fn an_encoded_bag_is_read_too() {
    let message = twin(decode("$iothub/twin/res/204/?%24rid=3&%24version=8", b"").unwrap());
    assert!(matches!(message, HubMessage::Answer { request: RequestId(3), .. }));
}

#[test]
fn a_refusal_keeps_the_hubs_words() {
    let body = br#"{"errorCode":400004,"trackingId":"x","message":"bad key","timestampUtc":"y"}"#;
    let message = twin(decode("$iothub/twin/res/400/?$rid=3", body).unwrap());
    let answer = Answer::Refused(Refusal { status: 400, message: "bad key".into() });
    assert_eq!(message, HubMessage::Answer { request: RequestId(3), answer });
    let message = twin(decode("$iothub/twin/res/500/?$rid=3", b"no JSON").unwrap());
    let answer = Answer::Refused(Refusal { status: 500, message: "no JSON".into() });
    assert_eq!(message, HubMessage::Answer { request: RequestId(3), answer });
}

#[test]
fn a_desired_patch_keeps_nulls_and_loses_its_version() {
    let topic = "$iothub/twin/PATCH/properties/desired/?$version=5";
    let message = twin(decode(topic, br#"{"a":null,"b":1,"$version":5}"#).unwrap());
    let patch = document(json!({"a": null, "b": 1}));
    assert_eq!(message, HubMessage::DesiredPatch { version: 5, patch });
}

#[test]
fn an_empty_desired_patch_is_a_patch() {
    for body in [&b""[..], b"{}", br#"{"$version":5}"#] {
        let message =
            twin(decode("$iothub/twin/PATCH/properties/desired/?$version=5", body).unwrap());
        assert_eq!(message, HubMessage::DesiredPatch { version: 5, patch: Document::new() });
    }
}

#[test]
fn what_is_broken_is_an_error_and_what_is_foreign_a_value() {
    for (topic, body) in [
        ("$iothub/twin/res/", &b""[..]),
        ("$iothub/twin/res/abc/?$rid=1", b""),
        ("$iothub/twin/res/200/?$rid=1", b"[]"),
        ("$iothub/twin/res/200/?$rid=1", b"{\"desired\":{}}"),
        ("$iothub/twin/res/204/?$rid=1", b""),
        ("$iothub/twin/res/204/?x=1", b""),
        ("$iothub/twin/PATCH/properties/desired/", b"{}"),
        ("$iothub/twin/PATCH/properties/desired/?$version=1", b"{"),
    ] {
        assert!(decode(topic, body).is_err(), "{topic}");
    }
    for topic in
        ["$iothub/methods/res/200/?$rid=1", "devices/a/b", "", "$iothub/twin/res/204/?$rid=uuid-1"]
    {
        assert_eq!(decode(topic, b""), Ok(Inbound::Foreign), "{topic}");
    }
}

#[test]
fn the_user_name_has_raw_ids_and_encoded_values() {
    let device = DeviceId::new("gw%01").unwrap();
    let module = ModuleId::new("cam-1").unwrap();
    assert_eq!(
        user_name("hub.example", &device, &module, "2021-04-12", Some("dtmi:a:b;1")),
        "hub.example/gw%01/cam-1/?api-version=2021-04-12&model-id=dtmi%3Aa%3Ab%3B1"
    );
}

#[test]
fn requests_are_on_the_topics_the_hub_listens_to() {
    assert_eq!(
        encode(RequestId(9), &Request::GetTwin),
        Outbound { topic: "$iothub/twin/GET/?$rid=9".into(), payload: Vec::new() }
    );
    let report = encode(RequestId(9), &Request::Report(document(json!({"a": null, "b": 1}))));
    assert_eq!(report.topic, "$iothub/twin/PATCH/properties/reported/?$rid=9");
    assert_eq!(report.payload, br#"{"a":null,"b":1}"#);
}

proptest! {
    #[test]
    fn decoding_is_total(tail in ".{0,60}", payload in prop::collection::vec(any::<u8>(), 0..200), kind in 0..5_usize) {
        let prefix = [ANSWER_PREFIX, DESIRED_PREFIX, method::CALL_PREFIX, "$iothub/twin/res/200/?$rid=1", ""][kind];
        let _any_outcome = decode(&format!("{prefix}{tail}"), &payload);
    }

    #[test]
    fn a_decoded_document_never_holds_dollar_keys(key in "[$a-z]{1,5}", version in 0_u64..1000) {
        let body = json!({"$version": version, key: 1}).to_string();
        let topic = format!("$iothub/twin/PATCH/properties/desired/?$version={version}");
        if let Ok(Inbound::Twin(HubMessage::DesiredPatch { patch, .. })) = decode(&topic, body.as_bytes()) {
            prop_assert!(patch.keys().all(|key| !key.starts_with('$')));
        }
    }
}
