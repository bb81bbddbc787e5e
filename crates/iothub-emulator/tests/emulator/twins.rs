//! Twins from both sides: GET, reports, notifications, versions, limits, preconditions.

use bytes::Bytes;
use iothub_emulator::packet::{Packet, Publish};
use serde_json::{Value, json};

use super::support::{Hub, Login};

#[tokio::test]
async fn a_fresh_module_sees_two_empty_sections_at_version_1() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    client.subscribe_twin().await;
    assert_eq!(
        client.twin().await,
        json!({"desired": {"$version": 1}, "reported": {"$version": 1}})
    );
}

#[tokio::test]
async fn a_report_is_merged_answered_with_its_version_and_seen_by_the_service() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    client.subscribe_twin().await;
    let (topic, _) = client.report("r-1", r#"{"a":{"x":1,"y":2},"n":1.0}"#).await;
    assert_eq!(topic, "$iothub/twin/res/204/?$rid=r-1&$version=2");
    let (topic, _) = client.report("%41b", r#"{"a":{"x":null}}"#).await;
    assert_eq!(
        topic, "$iothub/twin/res/204/?$rid=%41b&$version=3",
        "the rid comes back as it was sent"
    );
    assert_eq!(client.twin().await["reported"], json!({"a": {"y": 2}, "n": 1.0, "$version": 3}));
    let reported = hub.twin("m").await["properties"]["reported"].clone();
    assert_eq!(reported["a"], json!({"y": 2}));
    assert_eq!(reported["$version"], 3);
    assert!(reported["$metadata"]["a"]["y"]["$lastUpdated"].is_string());
}

#[tokio::test]
async fn a_desired_patch_arrives_as_sent_with_its_version_twice() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    client.subscribe_twin().await;
    hub.patch_desired("m", json!({"a": 1, "b": {"c": null, "d": [1, {"e": 2}]}})).await;
    let expected = json!({"a": 1, "b": {"c": null, "d": [1, {"e": 2}]}, "$version": 2});
    assert_eq!(client.desired().await, (2, expected));
    hub.patch_desired("m", json!({"a": 1})).await;
    assert_eq!(
        client.desired().await,
        (3, json!({"a": 1, "$version": 3})),
        "sent though nothing changed"
    );
    hub.patch_desired("m", json!({"never": null})).await;
    assert_eq!(
        client.desired().await,
        (4, json!({"never": null, "$version": 4})),
        "null on a missing key"
    );
    let desired = client.twin().await["desired"].clone();
    assert_eq!(desired, json!({"a": 1, "b": {"d": [1, {"e": 2}]}, "$version": 4}));
}

#[tokio::test]
async fn a_replacement_arrives_as_a_patch_with_nulls_for_what_is_gone() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    client.subscribe_twin().await;
    hub.patch_desired("m", json!({"a": 1, "b": 2, "o": {"x": 1, "y": 2}})).await;
    client.desired().await;
    let body = json!({"properties": {"desired": {"a": 1, "c": 9, "o": {"y": 3}}}});
    let answer = hub.service("PUT", "/twins/gw/modules/m", body).await;
    assert_eq!(answer.status, 200);
    let expected = json!({"a": 1, "b": null, "c": 9, "o": {"x": null, "y": 3}, "$version": 3});
    assert_eq!(client.desired().await, (3, expected));
}

#[tokio::test]
async fn tags_alone_notify_nobody() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    client.subscribe_twin().await;
    let answer = hub.service("PATCH", "/twins/gw/modules/m", json!({"tags": {"site": "x"}})).await;
    assert_eq!(answer.body["tags"], json!({"site": "x"}));
    assert_eq!(answer.body["properties"]["desired"]["$version"], 1);
    hub.patch_desired("m", json!({"a": 1})).await;
    assert_eq!(client.desired().await.0, 2, "the first notification is the patch's");
    assert!(client.twin().await.get("tags").is_none(), "modules don't see tags");
}

#[tokio::test]
async fn notifications_missed_while_offline_are_not_made_up_for() {
    let hub = Hub::start().await;
    let login = hub.token_module("m").await;
    let mut client = hub.connect(&login).await.expect("admitted");
    client.subscribe_twin().await;
    client.send(&Packet::Disconnect).await;
    assert!(client.is_closed().await);
    hub.patch_desired("m", json!({"a": 1})).await;
    let mut client = hub.connect(&login).await.expect("admitted");
    assert!(client.session_present);
    assert_eq!(client.twin().await["desired"], json!({"a": 1, "$version": 2}));
    hub.patch_desired("m", json!({"a": 2})).await;
    assert_eq!(client.desired().await.0, 3);
}

#[tokio::test]
async fn illegal_reports_are_answered_with_400_and_change_nothing() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    client.subscribe_twin().await;
    let deep = (0..12).fold("1".to_owned(), |inner, _| format!("{{\"o\":{inner}}}"));
    for (patch, part) in [
        ("{", "Not JSON"),
        ("", "Not JSON"),
        ("[1]", "JSON object"),
        (r#"{"a":[1,null]}"#, "cannot be null. Error inProperty/Tag a"),
        (r#"{"$version":3}"#, "invalid character '$'"),
        (r#"{"a.b":1}"#, "invalid character '.'"),
        (r#"{"a":4503599627370496}"#, "out of bound"),
        (deep.as_str(), "Nested depth"),
    ] {
        let (topic, body) = client.report("1", patch.to_owned()).await;
        assert_eq!(topic, "$iothub/twin/res/400/?$rid=1", "{patch}");
        assert!(body["message"].as_str().is_some_and(|message| message.contains(part)), "{body}");
        assert!(
            body["errorCode"].is_u64()
                && body["trackingId"].is_string()
                && body["timestampUtc"].is_string()
        );
    }
    assert_eq!(client.twin().await["reported"], json!({"$version": 1}));
}

#[tokio::test]
async fn an_oversize_section_is_413_on_both_sides() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    client.subscribe_twin().await;
    let section: Value =
        (0..9).map(|index| (format!("k{index}"), json!("v".repeat(4000)))).collect();
    let (topic, body) = client.report("1", section.to_string()).await;
    assert_eq!(
        (topic.as_str(), &body["errorCode"]),
        ("$iothub/twin/res/413/?$rid=1", &json!(413_001))
    );
    let body = json!({"properties": {"desired": section}});
    let answer = hub.service("PATCH", "/twins/gw/modules/m", body).await;
    assert_eq!((answer.status, answer.error_code()), (413, "MessageTooLarge"));
    client.ping().await;
}

#[tokio::test]
async fn a_report_may_name_the_version_it_expects() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    client.subscribe_twin().await;
    let topic = "$iothub/twin/PATCH/properties/reported/?$rid=1&$version=";
    client.publish(&format!("{topic}1"), r#"{"a":1}"#).await;
    assert_eq!(client.answer().await.topic, "$iothub/twin/res/204/?$rid=1&$version=2");
    client.publish(&format!("{topic}1"), r#"{"a":2}"#).await;
    assert_eq!(client.answer().await.topic, "$iothub/twin/res/412/?$rid=1");
    assert_eq!(client.twin().await["reported"], json!({"a": 1, "$version": 2}));
}

#[tokio::test]
async fn without_api_version_twin_requests_fail() {
    let hub = Hub::start().await;
    let login = Login { user_name: "localhost/gw/m".to_owned(), ..hub.token_module("m").await };
    let mut client = hub.connect(&login).await.expect("admitted");
    client.subscribe_twin().await;
    assert_eq!(client.report("1", "{}").await.0, "$iothub/twin/res/400/?$rid=1");
}

#[tokio::test]
async fn requests_of_qos_1_are_acknowledged_and_answered() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    client.subscribe_twin().await;
    let topic = "$iothub/twin/GET/?$rid=1".to_owned();
    // The Python SDK sends one blank as the body.
    let publish = Publish {
        dup: false,
        qos: 1,
        retain: false,
        topic,
        id: Some(77),
        payload: Bytes::from_static(b" "),
    };
    client.send(&Packet::Publish(publish)).await;
    assert_eq!(client.receive().await, Some(Packet::PubAck(77)));
    assert_eq!(client.answer().await.topic, "$iothub/twin/res/200/?$rid=1");
}

#[tokio::test]
async fn etags_guard_twin_writes() {
    let hub = Hub::start().await;
    hub.token_module("m").await;
    let path = "/twins/gw/modules/m";
    let body = json!({"properties": {"desired": {"a": 1}}});
    let first = hub.twin("m").await;
    assert_eq!(
        (first["etag"].as_str(), first["version"].as_u64()),
        (Some("AAAAAAAAAAE="), Some(2))
    );
    for (if_match, expected) in [
        ("\"AAAAAAAAAAE=\"", 200),
        ("\"AAAAAAAAAAE=\"", 412),
        ("AAAAAAAAAAI=", 200),
        ("*", 200),
        ("\"*\"", 200),
    ] {
        let answer = hub.service_if("PATCH", path, body.clone(), Some(if_match)).await;
        assert_eq!(answer.status, expected, "{if_match}");
    }
    let stale = hub.service_if("PUT", path, body, Some("\"AAAAAAAAAAE=\"")).await;
    assert_eq!((stale.status, stale.error_code()), (412, "PreconditionFailed"));
    let last = hub.twin("m").await;
    assert_eq!((last["etag"].as_str(), last["version"].as_u64()), (Some("AAAAAAAAAAU="), Some(6)));
}

#[tokio::test]
async fn a_burst_of_patches_arrives_complete_and_in_order() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    client.subscribe_twin().await;
    let writes = async {
        for index in 0..200 {
            hub.patch_desired("m", json!({"n": index})).await;
        }
    };
    let reads = async {
        for index in 0..200_u64 {
            assert_eq!(
                client.desired().await,
                (index + 2, json!({"n": index, "$version": index + 2}))
            );
        }
    };
    tokio::join!(writes, reads);
}
