//! Section 8, as far as a client sees it, and section 12: what the documents leave open.

use modtwin_testkit::mqtt::{ANSWERS, DESIRED, METHODS};
use serde_json::json;

use crate::case::{Case, holds, same};
use crate::section;
use crate::world::World;

pub(crate) fn cases() -> Vec<Case> {
    let mut all = section! { "8 Quotas, throttles":
        Emulator "twin reads and updates: 429 over MQTT" => throttled_twin;
        Emulator "twin reads and updates: 429 over REST" => throttled_rest;
        Emulator "telemetry: a closed link" => telemetry_quota;
        Emulator "daily quota: 403 for twins over MQTT" => quota_twin;
    };
    all.extend(section! { "12 Open questions":
        Choice "QoS of hub publishes: granted QoS for desired, 0 for answers" => hub_qos;
        Emulator "SAS grace: configurable" => token_grace with |rules: &mut iothub_emulator::Rules| rules.token_grace = std::time::Duration::from_secs(600);
        Choice "session lifetime: until the identity is deleted" => session_lifetime;
    });
    all
}

async fn throttled_twin(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    world.fault("m", json!({"kind": "throttle", "count": 1})).await?;
    client.publish("$iothub/twin/GET/?$rid=1", b"").await;
    let answer = client.answer().await?;
    same("topic", answer.topic.as_str(), "$iothub/twin/res/429/?$rid=1")?;
    let number = answer.json()?["errorCode"].as_u64().unwrap_or_default();
    same("errorCode begins with 429", number / 1000, 429)
}

async fn throttled_rest(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    world.fault("m", json!({"kind": "throttle", "side": "service", "count": 1})).await?;
    let path = world.twin_path("m");
    let body = json!({"properties": {"desired": {"a": 1}}});
    same("status", world.call("PATCH", &path, body.clone(), &[]).await?.status, 429)?;
    same("after the fault", world.call("PATCH", &path, body, &[]).await?.status, 200)
}

async fn telemetry_quota(world: &mut World) -> anyhow::Result<()> {
    let (mut client, module) = world.connected("m").await?;
    let topic = format!("devices/{}/modules/m/messages/events/", world.device);
    client.publish_acknowledged(&topic, b"x").await?;
    world.fault("m", json!({"kind": "quota", "count": 1})).await?;
    client.publish(&topic, b"x").await;
    client.closed().await?;
    let mut client = world.enter(&world.login(&module)?).await?;
    client.publish_acknowledged(&topic, b"after the fault").await
}

async fn quota_twin(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    world.fault("m", json!({"kind": "quota", "count": 1})).await?;
    let answer = client.report("1", b"{}").await?;
    same("topic", answer.topic.as_str(), "$iothub/twin/res/403/?$rid=1")
}

async fn hub_qos(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.connected("m").await?;
    for granted in [0, 1] {
        let filters = [(ANSWERS, 1), (DESIRED, granted), (METHODS, 1)];
        client.subscribe(&filters).await?;
        world.desire("m", json!({"qos": granted})).await?;
        let message = client.message().await?;
        same("desired", (message.qos, message.id.is_some()), (granted, granted > 0))?;
        client.publish("$iothub/twin/GET/?$rid=1", b"").await;
        same("answer", client.answer().await?.qos, 0)?;
    }
    Ok(())
}

async fn token_grace(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.connected("m").await?;
    world.control("POST", "clock", json!({"shift": "1h5m"})).await?;
    holds("the link lives 5 minutes after the token's end", client.is_alive().await?)?;
    world.control("POST", "clock", json!({"shift": "1h11m"})).await?;
    client.closed().await
}

async fn session_lifetime(world: &mut World) -> anyhow::Result<()> {
    let (client, module) = world.listening("m").await?;
    drop(client);
    let client = world.enter(&world.login(&module)?).await?;
    same("as long as it is there", client.session_present, true)?;
    let path = world.module_path("m");
    world.must("DELETE", &path, serde_json::Value::Null).await?;
    let again = world.module("m").await?;
    let client = world.enter(&world.login(&again)?).await?;
    same("once it was deleted", client.session_present, false)
}
