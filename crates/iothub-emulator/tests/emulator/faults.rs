//! Faults on command: each strikes whom it should, is told of, and ends.

use std::time::Duration;

use iothub_emulator::packet::Packet;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::support::{Client, Hub, eventually, module_token, now};

const A_WHILE: Duration = Duration::from_millis(100);

#[tokio::test]
async fn drop_cuts_the_links_it_names_and_no_others() {
    let hub = Hub::start().await;
    let (mut hit, mut spared) = (hub.connected("hit").await, hub.connected("spared").await);
    let mut events = hub.events().await;
    hub.fault(json!({"kind": "drop", "device": "gw", "module": "hit"})).await;
    assert!(hit.is_closed().await);
    spared.ping().await;
    let event = events.find("fault").await;
    assert_eq!((&event["kind"], &event["module"]), (&json!("drop"), &json!("hit")));
    assert_eq!(events.find("disconnect").await["reason"], "dropped by a fault");
    assert_eq!(hub.control("GET", "faults", Value::Null).await.body, json!([]), "over at once");
    hub.fault(json!({"kind": "drop"})).await;
    assert!(spared.is_closed().await);
}

#[tokio::test]
async fn drop_for_a_time_keeps_everybody_out_until_it_is_deleted() {
    let hub = Hub::start().await;
    let login = hub.token_module("m").await;
    let mut client = hub.connect(&login).await.expect("admitted");
    hub.fault(json!({"kind": "drop", "for": "1h"})).await;
    assert!(client.is_closed().await);
    let mut tcp =
        TcpStream::connect(("127.0.0.1", hub.running.mqtt_port())).await.expect("connected");
    let ended = tcp.read(&mut [0; 8]).await;
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    assert_eq!(hub.control("DELETE", "faults", Value::Null).await.body, json!({"ended": 1}));
    assert!(hub.connect(&login).await.is_ok());
}

#[tokio::test]
async fn drop_with_a_count_also_cuts_the_next_connects() {
    let hub = Hub::start().await;
    let login = hub.token_module("m").await;
    hub.fault(json!({"kind": "drop", "device": "gw", "module": "m", "count": 1})).await;
    let mut client = Client::dial(hub.running.mqtt_port(), &login).await;
    client.send(&login.packet()).await;
    assert!(client.is_closed().await, "closed without CONNACK");
    assert!(hub.connect(&login).await.is_ok());
}

#[tokio::test]
async fn refuse_answers_with_its_code_so_many_times() {
    let hub = Hub::start().await;
    let login = hub.token_module("m").await;
    hub.fault(json!({"kind": "refuse", "count": 2})).await;
    hub.fault(json!({"kind": "refuse", "code": 5, "count": 1})).await;
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(hub.connect(&login).await.err().unwrap_or(0));
    }
    assert_eq!(codes, [3, 3, 5, 0]);
}

#[tokio::test]
async fn stall_without_a_module_answers_no_tls_and_lets_go_when_deleted() {
    let hub = Hub::start().await;
    let login = hub.token_module("m").await;
    let mut before = hub.connect(&login).await.expect("admitted");
    hub.fault(json!({"kind": "stall", "count": 1})).await;
    let mut tcp =
        TcpStream::connect(("127.0.0.1", hub.running.mqtt_port())).await.expect("connected");
    let mut byte = [0; 1];
    assert!(
        tokio::time::timeout(A_WHILE, tcp.read(&mut byte)).await.is_err(),
        "neither bytes nor an end"
    );
    before.ping().await;
    hub.control("DELETE", "faults", Value::Null).await;
    assert!(matches!(tcp.read(&mut byte).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn stall_of_a_module_reads_connect_and_keeps_silent() {
    let hub = Hub::start().await;
    let (stalled, free) = (hub.token_module("stalled").await, hub.token_module("free").await);
    hub.fault(json!({"kind": "stall", "device": "gw", "module": "stalled", "for": "1h"})).await;
    let mut client = Client::dial(hub.running.mqtt_port(), &stalled).await;
    client.send(&stalled.packet()).await;
    assert!(client.hears_nothing_for(A_WHILE).await);
    assert!(hub.connect(&free).await.is_ok());
    hub.control("DELETE", "faults", Value::Null).await;
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_fault_for_a_time_ends_by_itself() {
    let hub = Hub::start().await;
    let login = hub.token_module("m").await;
    hub.fault(json!({"kind": "refuse", "for": "50ms"})).await;
    eventually("the fault ends", async || hub.connect(&login).await.is_ok()).await;
    assert_eq!(hub.control("GET", "faults", Value::Null).await.body, json!([]));
}

#[tokio::test]
async fn blackhole_swallows_packets_both_ways() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    client.subscribe_twin().await;
    hub.fault(json!({"kind": "blackhole", "device": "gw", "module": "m"})).await;
    client.send(&Packet::PingReq).await;
    hub.patch_desired("m", json!({"a": 1})).await;
    assert!(client.hears_nothing_for(A_WHILE).await);
    hub.control("DELETE", "faults", Value::Null).await;
    client.ping().await;
    assert_eq!(client.twin().await["desired"]["$version"], 2);
}

#[tokio::test]
async fn delay_makes_answers_late_and_keeps_their_order() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    client.subscribe_twin().await;
    hub.fault(json!({"kind": "delay", "ms": 200, "device": "gw", "module": "m", "count": 1})).await;
    let start = std::time::Instant::now();
    client.ask_twin("1").await;
    client.ask_twin("2").await;
    assert_eq!(client.answer().await.topic, "$iothub/twin/res/200/?$rid=1");
    assert!(start.elapsed() >= Duration::from_millis(190), "{:?}", start.elapsed());
    assert_eq!(client.answer().await.topic, "$iothub/twin/res/200/?$rid=2");
}

#[tokio::test]
async fn throttle_error_and_quota_answer_twin_requests_with_their_status() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    client.subscribe_twin().await;
    for (order, status, code) in [
        (json!({"kind": "throttle", "count": 1, "retry": "30s"}), 429, 429_001),
        (json!({"kind": "error", "count": 1}), 500, 500_001),
        (json!({"kind": "error", "status": 503, "count": 1}), 503, 503_001),
        (json!({"kind": "quota", "count": 1}), 403, 403_002),
    ] {
        hub.fault(order.clone()).await;
        let (topic, body) = client.report("1", r#"{"a":1}"#).await;
        assert_eq!(topic, format!("$iothub/twin/res/{status}/?$rid=1"), "{order}");
        assert_eq!(body["errorCode"], code);
    }
    assert_eq!(client.report("1", r#"{"a":1}"#).await.0, "$iothub/twin/res/204/?$rid=1&$version=2");
}

#[tokio::test]
async fn throttle_on_the_service_side_strikes_the_service_alone() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    client.subscribe_twin().await;
    hub.fault(json!({"kind": "throttle", "side": "service", "count": 1})).await;
    client.twin().await;
    let answer = hub.service("GET", "/twins/gw/modules/m", Value::Null).await;
    assert_eq!((answer.status, answer.error_code()), (429, "ThrottlingBacklogTimeout"));
    assert_eq!(answer.headers.get("connection").expect("a header"), "close");
    assert_eq!(hub.service("GET", "/twins/gw/modules/m", Value::Null).await.status, 200);
}

#[tokio::test]
async fn quota_closes_the_link_on_telemetry() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    hub.fault(json!({"kind": "quota", "device": "gw"})).await;
    client.publish("devices/gw/modules/m/messages/events/", "x").await;
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn desired_notifications_are_lost_doubled_and_swapped() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    client.subscribe_twin().await;
    hub.fault(json!({"kind": "lose-desired", "count": 1})).await;
    hub.patch_desired("m", json!({"n": 2})).await;
    hub.patch_desired("m", json!({"n": 3})).await;
    assert_eq!(client.desired().await, (3, json!({"n": 3, "$version": 3})), "2 is lost");
    hub.fault(json!({"kind": "duplicate-desired", "count": 1})).await;
    hub.patch_desired("m", json!({"n": 4})).await;
    assert_eq!((client.desired().await.0, client.desired().await.0), (4, 4));
    hub.fault(json!({"kind": "reorder-desired", "count": 1, "delay": "1h"})).await;
    hub.patch_desired("m", json!({"n": 5})).await;
    hub.patch_desired("m", json!({"n": 6})).await;
    assert_eq!((client.desired().await.0, client.desired().await.0), (6, 5));
    hub.fault(json!({"kind": "reorder-desired", "count": 1, "ms": 20})).await;
    hub.patch_desired("m", json!({"n": 7})).await;
    assert_eq!(client.desired().await.0, 7, "alone it comes late, not never");
}

#[tokio::test]
async fn lose_response_carries_the_request_out() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    client.subscribe_twin().await;
    hub.fault(json!({"kind": "lose-response", "count": 1})).await;
    client.publish("$iothub/twin/PATCH/properties/reported/?$rid=lost", r#"{"a":1}"#).await;
    assert_eq!(client.twin().await["reported"], json!({"a": 1, "$version": 2}));
}

#[tokio::test]
async fn recreate_starts_the_twin_anew_with_the_same_keys() {
    let hub = Hub::start().await;
    let login = hub.token_module("m").await;
    let mut client = hub.connect(&login).await.expect("admitted");
    client.subscribe_twin().await;
    client.report("1", r#"{"a":1}"#).await;
    hub.patch_desired("m", json!({"b": 1})).await;
    let before = hub.service("GET", "/devices/gw/modules/m", Value::Null).await.body;
    hub.fault(json!({"kind": "recreate", "device": "gw", "module": "m"})).await;
    assert!(client.is_closed().await);
    let mut client = hub.connect(&login).await.expect("the same token is good");
    assert!(!client.session_present);
    client.subscribe_twin().await;
    assert_eq!(
        client.twin().await,
        json!({"desired": {"$version": 1}, "reported": {"$version": 1}})
    );
    let after = hub.service("GET", "/devices/gw/modules/m", Value::Null).await.body;
    assert_ne!(after["generationId"], before["generationId"]);
    assert_eq!(after["authentication"], before["authentication"]);
}

#[tokio::test]
async fn disable_drops_and_refuses_until_it_is_deleted() {
    let hub = Hub::start().await;
    let login = hub.token_module("m").await;
    let mut client = hub.connect(&login).await.expect("admitted");
    hub.fault(json!({"kind": "disable", "device": "gw"})).await;
    assert!(client.is_closed().await);
    assert_eq!(hub.connect(&login).await.err(), Some(5));
    hub.control("DELETE", "faults", Value::Null).await;
    assert!(hub.connect(&login).await.is_ok());
}

#[tokio::test]
async fn expire_refuses_the_credential_in_use_and_takes_a_new_one() {
    let hub = Hub::start().await;
    let identity = hub.module("m", Value::Null).await;
    let key = identity["authentication"]["symmetricKey"]["primaryKey"]
        .as_str()
        .expect("a key")
        .to_owned();
    let login = |expiry| {
        super::support::Login::module("gw", "m").with_token(&module_token(&key, "gw", "m", expiry))
    };
    let (old, new) = (login(now() + 600), login(now() + 700));
    let mut client = hub.connect(&old).await.expect("admitted");
    hub.fault(json!({"kind": "expire", "device": "gw", "module": "m"})).await;
    assert!(client.is_closed().await);
    assert_eq!(hub.connect(&old).await.err(), Some(5));
    assert!(hub.connect(&new).await.is_ok());
}

#[tokio::test]
async fn bad_orders_are_refused_and_the_kinds_listed() {
    let hub = Hub::start().await;
    let answer = hub.control("POST", "faults", json!({"kind": "meteor"})).await;
    assert_eq!(answer.status, 400);
    let text = answer.body["error"].as_str().expect("a text").to_owned();
    for kind in [
        "drop",
        "refuse",
        "stall",
        "blackhole",
        "lose-response",
        "refuse-message",
        "quota",
        "recreate",
        "disable",
        "expire",
    ] {
        assert!(text.contains(kind), "{text}");
    }
    for order in [
        json!({}),
        json!([]),
        json!({"kind": "drop", "for": "soon"}),
        json!({"kind": "drop", "colour": 1}),
    ] {
        assert_eq!(hub.control("POST", "faults", order.clone()).await.status, 400, "{order}");
    }
}
