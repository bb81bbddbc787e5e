//! Throttles and quotas of a tier: what waits, what is refused, how either side hears of it, and what `stats` says.

use std::time::{Duration, Instant};

use iothub_emulator::packet::{Packet, Publish, encode};
use iothub_emulator::{Config, Rules, Tier};
use serde_json::{Value, json};

use super::support::{Client, Hub, eventually};

async fn hub(tier: &str, longest_shaping: Duration) -> Hub {
    let rules = Rules { longest_shaping, ..Rules::default() };
    let tier = Some(Tier::new(tier, 1).expect("a tier"));
    Hub::with(Config { tier, rules, ..Config::default() }).await
}

async fn meter(hub: &Hub, name: &str) -> Value {
    hub.stats().await["throttle"]["meters"][name].clone()
}

#[tokio::test]
async fn queries_beyond_the_tier_are_429_with_the_hubs_text() {
    let hub = hub("s1", Duration::ZERO).await;
    let mut events = hub.events().await;
    let ask = async || {
        hub.service("POST", "/devices/query", json!({"query": "select * from devices"})).await
    };
    for _ in 0..20 {
        assert_eq!(ask().await.status, 200);
    }
    let refused = ask().await;
    assert_eq!((refused.status, refused.error_code()), (429, "ThrottlingBacklogTimeout"));
    let text = refused.body["Message"].as_str().expect("text");
    assert!(text.contains("Wait 10 seconds and try again. Operation type: queries"), "{text}");
    assert_eq!(refused.headers.get("connection").expect("said"), "close");
    assert!(refused.headers.get("retry-after").is_none());
    assert_eq!(events.find("throttled").await["meter"], "queries");
    assert_eq!(meter(&hub, "queries").await, json!({"passed": 20, "delayed": 0, "refused": 1}));
    let stats = hub.stats().await;
    assert_eq!(
        (&stats["throttle"]["tier"], &stats["throttle"]["units"]),
        (&json!("s1"), &json!(1))
    );
}

#[tokio::test]
async fn requests_wait_for_their_turn_before_any_is_refused() {
    // 50 updates a second pass at once, the others come 20 ms apart.
    let hub = hub("s1", Duration::from_secs(10)).await;
    let mut client = hub.connected("m").await;
    client.subscribe_twin().await;
    let begin = Instant::now();
    for index in 0..60 {
        let (topic, _) = client.report(&index.to_string(), json!({"n": index}).to_string()).await;
        assert!(topic.starts_with("$iothub/twin/res/204/"), "{topic}");
    }
    let meter = meter(&hub, "twin-updates").await;
    let delayed = meter["delayed"].as_u64().expect("a number");
    assert_eq!(meter["refused"], 0);
    // A slow machine may take longer than a second for all of them; then there is nothing to wait for.
    assert!(delayed > 0 || begin.elapsed() > Duration::from_secs(1), "{meter}");
}

#[tokio::test]
async fn twin_requests_beyond_the_tier_are_429_over_mqtt() {
    let hub = hub("s1", Duration::ZERO).await;
    let mut client = hub.connected("m").await;
    client.subscribe_twin().await;
    let mut refused = None;
    for index in 0..5000 {
        let (topic, body) = client.report(&index.to_string(), "{}").await;
        if !topic.starts_with("$iothub/twin/res/204/") {
            refused = Some((topic, body));
            break;
        }
    }
    let (topic, body) = refused.expect("50 a second is less than this");
    assert!(topic.starts_with("$iothub/twin/res/429/?$rid="), "{topic}");
    assert_eq!(body["errorCode"], 429_003);
    client.ping().await;
}

#[tokio::test]
async fn telemetry_beyond_the_tier_closes_the_link() {
    let hub = hub("s1", Duration::ZERO).await;
    let mut client = hub.connected("m").await;
    let mut events = hub.events().await;
    let publish = |index: u16| Publish {
        dup: false,
        qos: 0,
        retain: false,
        topic: format!("devices/gw/modules/m/messages/events/n={index}"),
        id: None,
        payload: "x".into(),
    };
    let mut bytes = bytes::BytesMut::new();
    for index in 0..500 {
        encode(&Packet::Publish(publish(index)), &mut bytes).expect("encoded");
    }
    client.send_raw(&bytes).await;
    assert!(client.is_closed().await);
    assert_eq!(events.find("disconnect").await["reason"], "telemetry throttled");
    let messages = hub.stats().await["messages"].as_u64().expect("a number");
    assert!((100..500).contains(&messages), "{messages}");
}

#[tokio::test]
async fn a_spent_day_is_403_for_twins_and_a_closed_link_for_telemetry() {
    let hub = hub("f1", Duration::from_secs(10)).await;
    let mut client = hub.connected("m").await;
    client.subscribe_twin().await;
    let mut events = hub.events().await;
    // 8,000 messages of 512 bytes: 15 bodies of 256 KiB are 7,680, what is left is less than one more.
    for index in 0..16 {
        client.publish("devices/gw/modules/m/messages/events/", vec![index; 250 * 1024]).await;
    }
    client.ping().await;
    assert_eq!(hub.stats().await["throttle"]["messages_today"], 16 * 500);
    let (topic, body) = client.report("9", r#"{"a":1}"#).await;
    assert_eq!(topic, "$iothub/twin/res/403/?$rid=9");
    assert_eq!(body["errorCode"], 403_002);
    let answer = hub.service("GET", "/twins/gw/modules/m", Value::Null).await;
    assert_eq!((answer.status, answer.error_code()), (403, "IotHubQuotaExceeded"));
    assert_eq!(
        hub.service("GET", "/devices/gw", Value::Null).await.status,
        200,
        "the registry is free"
    );
    client.publish("devices/gw/modules/m/messages/events/", "x").await;
    assert!(client.is_closed().await);
    assert_eq!(events.find("quota-spent").await["module"], "m");
    assert_eq!(events.find("disconnect").await["reason"], "quota spent");
    hub.control("POST", "clock", json!({"shift": "24h"})).await;
    assert_eq!(hub.stats().await["throttle"]["messages_today"], 0, "a new day");
}

#[tokio::test]
async fn connects_beyond_the_tier_are_closed_without_an_answer() {
    let hub = hub("s1", Duration::ZERO).await;
    let login = hub.token_module("m").await;
    let mut events = hub.events().await;
    let mut clients = Vec::new();
    for _ in 0..250 {
        clients.push(Client::dial(hub.running.mqtt_port(), &login).await);
    }
    // All speak at once, and a hundred a second are served.
    let begin = Instant::now();
    for client in &mut clients {
        client.send(&login.packet()).await;
    }
    eventually("every connect has its verdict", async || {
        let meter = meter(&hub, "connects").await;
        let count = |name: &str| meter[name].as_u64().expect("a number");
        count("passed") + count("refused") == 250
    })
    .await;
    let took = begin.elapsed();
    let refused = meter(&hub, "connects").await["refused"].as_u64().expect("a number");
    assert!(refused > 0 || took > Duration::from_secs(1), "{refused} refused in {took:?}");
    if refused > 0 {
        assert_eq!(events.find("throttled").await["meter"], "connects");
        assert_eq!(events.find("refused").await["reason"], "connects throttled");
    }
}

#[tokio::test]
async fn without_a_tier_nothing_is_metered() {
    let hub = Hub::start().await;
    for _ in 0..30 {
        let body = json!({"query": "select * from devices"});
        assert_eq!(hub.service("POST", "/devices/query", body).await.status, 200);
    }
    assert_eq!(hub.stats().await["throttle"], Value::Null);
}
