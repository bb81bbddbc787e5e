//! Whom a fault strikes: a module, a device with its modules, everybody, the service; how often; and that a seed
//! decides chances.

use iothub_emulator::Config;
use serde_json::{Value, json};

use super::support::{Hub, Login, module_token, now, token};

async fn status(hub: &Hub, path: &str) -> u16 {
    hub.service("GET", path, Value::Null).await.status
}

#[tokio::test]
async fn a_device_alone_means_itself_and_its_modules() {
    let hub = Hub::start().await;
    let module = hub.token_module("m").await;
    let key = |identity: &Value| {
        identity["authentication"]["symmetricKey"]["primaryKey"].as_str().expect("a key").to_owned()
    };
    let device = hub.service("GET", "/devices/gw", Value::Null).await.body;
    let device = Login::identity("gw").with_token(&token(
        "localhost/devices/gw",
        &key(&device),
        now() + 60,
        None,
    ));
    hub.service("PUT", "/devices/other", json!({})).await;
    let other = hub.service("PUT", "/devices/other/modules/m", json!({})).await.body;
    let other = Login::module("other", "m").with_token(&module_token(
        &key(&other),
        "other",
        "m",
        now() + 60,
    ));
    hub.fault(json!({"kind": "refuse", "device": "gw"})).await;
    assert_eq!(hub.connect(&module).await.err(), Some(3));
    assert_eq!(hub.connect(&device).await.err(), Some(3));
    assert!(hub.connect(&other).await.is_ok());
    hub.control("DELETE", "faults", Value::Null).await;
    hub.fault(json!({"kind": "refuse", "device": "gw", "module": "m"})).await;
    assert_eq!(hub.connect(&module).await.err(), Some(3));
    assert!(hub.connect(&device).await.is_ok(), "the module alone");
}

#[tokio::test]
async fn errors_and_quotas_of_the_service_side_strike_the_service_alone() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    client.subscribe_twin().await;
    for (order, expected, code) in [
        (
            json!({"kind": "error", "side": "service", "status": 503, "count": 1}),
            503,
            "ServiceUnavailable",
        ),
        (json!({"kind": "error", "side": "service", "count": 1}), 500, "ServerError"),
        (json!({"kind": "quota", "side": "service", "count": 1}), 403, "IotHubQuotaExceeded"),
    ] {
        hub.fault(order).await;
        let (topic, _) = client.report("1", "{}").await;
        assert!(topic.starts_with("$iothub/twin/res/204/"), "{topic}");
        let answer = hub.service("GET", "/twins/gw/modules/m", Value::Null).await;
        assert_eq!((answer.status, answer.error_code()), (expected, code));
        assert_eq!(status(&hub, "/twins/gw/modules/m").await, 200, "once");
    }
}

#[tokio::test]
async fn recreating_a_device_recreates_its_modules_and_keeps_the_device() {
    let hub = Hub::start().await;
    for module in ["a", "b"] {
        hub.module(module, Value::Null).await;
        hub.patch_desired(module, json!({"x": 1})).await;
    }
    let device = hub.service("GET", "/devices/gw", Value::Null).await.body;
    let mut events = hub.events().await;
    hub.fault(json!({"kind": "recreate", "device": "gw"})).await;
    for module in ["a", "b"] {
        assert_eq!(hub.twin(module).await["properties"]["desired"]["$version"], 1);
        assert_eq!(events.find("recreated").await["module"], module);
    }
    assert_eq!(
        hub.service("GET", "/devices/gw", Value::Null).await.body["generationId"],
        device["generationId"]
    );
    assert_eq!(hub.control("GET", "faults", Value::Null).await.body, json!([]), "over at once");
}

async fn strikes(seed: u64) -> Vec<bool> {
    let hub = Hub::with(Config { seed, ..Config::default() }).await;
    let mut client = hub.connected("m").await;
    client.subscribe_twin().await;
    hub.fault(json!({"kind": "throttle", "chance": 0.5, "retry": "7s"})).await;
    let mut struck = Vec::new();
    for index in 0..40 {
        let (topic, body) = client.report(&index.to_string(), "{}").await;
        let is_hit = topic.starts_with("$iothub/twin/res/429/");
        assert!(
            !is_hit || body["message"].as_str().is_some_and(|text| text.contains("Wait 7 seconds")),
            "{body}"
        );
        struck.push(is_hit);
    }
    struck
}

#[tokio::test]
async fn the_same_seed_strikes_the_same_requests() {
    let (first, again, other) = (strikes(7).await, strikes(7).await, strikes(8).await);
    assert_eq!(first, again);
    assert_ne!(first, other);
    assert!((5..35).contains(&first.iter().filter(|hit| **hit).count()), "{first:?}");
}

#[tokio::test]
async fn counts_and_times_are_shown_while_a_fault_lasts() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    client.subscribe_twin().await;
    let fault = hub.fault(json!({"kind": "error", "count": 3, "for": "1h", "device": "gw"})).await;
    client.report("1", "{}").await;
    let listed = hub.control("GET", "faults", Value::Null).await.body;
    for (member, expected) in [
        ("id", fault["id"].clone()),
        ("count_left", json!(2)),
        ("fired", json!(1)),
        ("device", json!("gw")),
    ] {
        assert_eq!(listed[0][member], expected, "{member}");
    }
    let left = listed[0]["seconds_left"].as_f64().expect("a time");
    assert!((3500.0..=3600.0).contains(&left), "{left}");
    let ended = hub.control("DELETE", &format!("faults/{}", fault["id"]), Value::Null).await;
    assert_eq!(ended.body, json!({"ended": 1}));
    assert_eq!(hub.control("DELETE", "faults/x", Value::Null).await.status, 400);
}

#[tokio::test]
async fn the_end_of_a_fault_is_told_once_whatever_ends_it() {
    let hub = Hub::start().await;
    let mut events = hub.events().await;
    let short = hub.fault(json!({"kind": "throttle", "for": "200ms", "device": "gw"})).await;
    let ended = events.find("fault-ended").await;
    assert_eq!((&ended["id"], &ended["device"]), (&short["id"], &json!("gw")), "by its time");
    assert_eq!(hub.control("GET", "faults", Value::Null).await.body, json!([]));
    let long = hub.fault(json!({"kind": "throttle", "for": "1h"})).await;
    hub.control("DELETE", "faults", Value::Null).await;
    assert_eq!(events.find("fault-ended").await["id"], long["id"], "by order");
    let last = hub.fault(json!({"kind": "error", "for": "200ms"})).await;
    assert_eq!(events.find("fault-ended").await["id"], last["id"], "and nothing in between");
}
