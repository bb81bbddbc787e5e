//! Telemetry, wills and direct methods.

use bytes::Bytes;
use iothub_emulator::packet::{Packet, Will};
use serde_json::{Value, json};

use super::support::{Client, Hub, Login};

const EVENTS: &str = "devices/gw/modules/m/messages/events/";

#[tokio::test]
async fn telemetry_appears_in_the_events_with_its_properties() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    let mut events = hub.events().await;
    client
        .publish(
            &format!("{EVENTS}a=b%20c&%24.ct=application%2Fjson&$.ce=utf-8&flag"),
            r#"{"t":1}"#,
        )
        .await;
    let message = events.find("message").await;
    let properties = json!({"a": "b c", "$.ct": "application/json", "$.ce": "utf-8", "flag": null});
    assert_eq!(message["properties"], properties);
    assert_eq!((&message["body"], &message["module"]), (&json!("{\"t\":1}"), &json!("m")));
    client.publish(EVENTS, Bytes::from_static(&[0xff, 0xfe])).await;
    assert_eq!(events.find("message").await["body_base64"], "//4=");
}

#[tokio::test]
async fn a_will_is_stored_when_the_link_breaks_and_not_after_disconnect() {
    let hub = Hub::start().await;
    let will = Will {
        topic: format!("{EVENTS}k=v"),
        payload: Bytes::from_static(b"gone"),
        qos: 0,
        retain: false,
    };
    let login = Login { will: Some(will), ..hub.token_module("m").await };
    let mut events = hub.events().await;
    let mut client = hub.connect(&login).await.expect("admitted");
    client.send(&Packet::Disconnect).await;
    assert!(client.is_closed().await);
    drop(hub.connect(&login).await.expect("admitted"));
    let message = events.find("message").await;
    assert_eq!(message["properties"], json!({"k": "v", "iothub-MessageType": "Will"}));
    assert_eq!(message["body"], "gone");
    assert_eq!(hub.stats().await["messages"], 1);
}

#[tokio::test]
async fn a_will_on_a_foreign_topic_is_refused() {
    let hub = Hub::start().await;
    let will = Will { topic: "elsewhere".to_owned(), payload: Bytes::new(), qos: 0, retain: false };
    let login = Login { will: Some(will), ..hub.token_module("m").await };
    assert_eq!(hub.connect(&login).await.err(), Some(5));
}

async fn call(hub: &Hub, body: Value) -> (u16, Value) {
    let answer = hub.service("POST", "/twins/gw/modules/m/methods", body).await;
    (answer.status, answer.body)
}

async fn answer_next(client: &mut Client, status: &str, body: &'static str) -> (String, Bytes) {
    let request = client.message().await;
    let (name, rid) = request.topic.split_once("/?$rid=").expect("a rid");
    client.publish(&format!("$iothub/methods/res/{status}/?$rid={rid}"), body).await;
    (name.to_owned(), request.payload)
}

#[tokio::test]
async fn a_method_call_reaches_the_module_and_its_answer_the_caller() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    client.subscribe(&[("$iothub/methods/POST/#", 0)]).await;
    let order =
        json!({"methodName": "reboot", "payload": {"in": 5}, "responseTimeoutInSeconds": 10});
    let (answer, seen) =
        tokio::join!(call(&hub, order), answer_next(&mut client, "201", r#"{"ok":true}"#));
    assert_eq!(answer, (200, json!({"status": 201, "payload": {"ok": true}})));
    assert_eq!(
        seen,
        ("$iothub/methods/POST/reboot".to_owned(), Bytes::from_static(br#"{"in":5}"#))
    );
    let order = json!({"methodName": "bare"});
    let (answer, seen) = tokio::join!(call(&hub, order), answer_next(&mut client, "-1", ""));
    assert_eq!(answer, (200, json!({"status": -1, "payload": null})));
    assert!(seen.1.is_empty());
}

#[tokio::test]
async fn calls_that_nobody_takes_are_404_and_bad_ones_400() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    let (status, body) = call(&hub, json!({"methodName": "x"})).await;
    assert_eq!(status, 404, "connected, not subscribed");
    let inner: Value =
        serde_json::from_str(body["Message"].as_str().expect("a text")).expect("JSON inside");
    assert_eq!(inner["errorCode"], 404_103);
    client.subscribe(&[("$iothub/methods/POST/#", 0)]).await;
    for order in [
        json!({}),
        json!({"methodName": "a/b"}),
        json!({"methodName": "x", "responseTimeoutInSeconds": 4}),
        json!({"methodName": "x", "responseTimeoutInSeconds": 10, "connectTimeoutInSeconds": 11}),
    ] {
        assert_eq!(call(&hub, order.clone()).await.0, 400, "{order}");
    }
    assert_eq!(call(&hub, json!({"methodName": "x", "payload": "v".repeat(140_000)})).await.0, 413);
}

#[tokio::test]
async fn a_call_without_an_answer_is_504_and_a_late_answer_is_dropped() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    client.subscribe(&[("$iothub/methods/POST/#", 0)]).await;
    let (status, body) =
        call(&hub, json!({"methodName": "x", "responseTimeoutInSeconds": 5})).await;
    assert_eq!(status, 504);
    assert!(
        body["Message"].as_str().is_some_and(|text| text.starts_with("ErrorCode:GatewayTimeout;")),
        "{body}"
    );
    answer_next(&mut client, "200", "").await;
    client.ping().await;
}

#[tokio::test]
async fn a_call_waits_so_long_for_somebody_who_takes_it() {
    let hub = Hub::start().await;
    let login = hub.token_module("m").await;
    let body =
        json!({"methodName": "go", "responseTimeoutInSeconds": 20, "connectTimeoutInSeconds": 15});
    let later = async {
        // The call is on its way before anybody is there to take it.
        let mut client = hub.connect(&login).await.expect("admitted");
        client.subscribe(&[("$iothub/methods/POST/#", 0)]).await;
        answer_next(&mut client, "200", r#"{"late":true}"#).await
    };
    let (answer, (topic, _)) = tokio::join!(call(&hub, body), later);
    assert_eq!(answer, (200, json!({"status": 200, "payload": {"late": true}})));
    assert_eq!(topic, "$iothub/methods/POST/go");
    let body = json!({"methodName": "go", "connectTimeoutInSeconds": 1});
    hub.control("POST", "faults", json!({"kind": "drop"})).await;
    let (status, _) = call(&hub, body).await;
    assert_eq!(status, 404, "nobody came");
}
