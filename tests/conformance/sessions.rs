//! Sections 1.3 and 1.4: what a session may do, and how the hub says no.

use anyhow::Context as _;
use iothub_emulator::Rules;
use modtwin_testkit::mqtt::{ANSWERS, DESIRED, Heard, METHODS, packet, publish, subscribe};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

use crate::case::{Case, holds, same};
use crate::certificates::{self_signed, thumbprint};
use crate::section;
use crate::signing::{now, token};
use crate::world::World;

pub(crate) fn cases() -> Vec<Case> {
    let mut all = section! { "1.3 Session rules":
        Fact "Connections per identity: the newer one wins" => newer_wins;
        Fact "Per module one link: a second CONNECT ends it" => second_connect;
        Fact "Keep alive: dropped at 1.5 times the client's value" => silence;
        Fact "Keep alive: any packet resets the timer" => packets_keep_alive;
        Emulator "Keep alive: the hub's own ceiling" => ceiling with |rules: &mut Rules| rules.longest_silence = Duration::from_secs(2);
        Fact "Clean session 0: subscriptions survive a reconnect" => subscriptions_survive;
        Fact "Clean session 0: desired notifications are never queued" => desired_not_queued;
        Choice "Clean session 1: nothing survives" => clean_session;
        Choice "Session Present: 1 where there is a session" => session_present;
        Choice "After UNSUBSCRIBE: nothing comes any more" => after_unsubscribe;
        Fact "QoS: PUBLISH with QoS 2 ends the link" => publish_qos_2;
        Fact "QoS: SUBSCRIBE asking 2 is granted 1" => subscribe_qos_2;
        Fact "QoS: 0 and 1 are fine" => qos_0_and_1;
        Emulator "Retain: becomes the property mqtt-retain" => retain;
        Fact "Message size: 256 KB with its topic passes" => large_message;
        Fact "Message size: more ends the link" => too_large_message;
        Choice "Subscriptions: at most 5" => six_subscriptions;
        Fact "Foreign topics: PUBLISH ends the link" => foreign_publish;
        Fact "Foreign topics: SUBSCRIBE ends the link, no SUBACK 0x80" => foreign_subscribe;
        Fact "Malformed bytes: the link ends" => malformed;
        Emulator "Telemetry throttled, daily quota spent: the link ends" => quota_spent;
        Fact "Topics: SUB for twins and methods" => twin_filters;
        Fact "Topics: SUB of Edge inputs" => input_filters;
        Fact "Topics: PUB of the four kinds" => four_topics;
        Fact "Topics: another module's are foreign" => topics_of_another;
    };
    all.extend(section! { "1.4 CONNACK and other failures":
        Fact "bad key: 5" => bad_key;
        Fact "expired token: 5" => expired_token;
        Fact "wrong CN: 5" => wrong_name;
        Fact "wrong thumbprint: 5" => wrong_thumbprint;
        Fact "unknown id: 5" => unknown_id;
        Fact "disabled device: 5" => disabled_device;
        Emulator "clock off by more than 5 minutes: 5" => clock_off;
        Emulator "hub busy: 3" => busy;
        Fact "X.509 identity without a certificate: 5" => no_certificate;
        Choice "client id differs from user name: 5" => other_client_id;
        Choice "level other than 4: 1" => other_level;
        Fact "device disabled while connected: the link is dropped" => disabled_while_connected;
        Emulator "no CONNECT soon after TLS: closed" => no_connect with |rules: &mut Rules| rules.connect_wait = Duration::from_secs(1);
        Choice "another packet before CONNECT: closed" => first_packet;
    });
    all
}

async fn newer_wins(world: &mut World) -> anyhow::Result<()> {
    let (mut older, module) = world.connected("m").await?;
    let mut newer = world.enter(&world.login(&module)?).await?;
    older.closed().await.context("the older link")?;
    holds("the newer link lives", newer.is_alive().await?)
}

async fn second_connect(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.connected("m").await?;
    let other = world.module("n").await?;
    client.send(&world.login(&other)?.bytes()).await;
    client.closed().await
}

async fn silence(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let mut login = world.login(&module)?;
    login.keep_alive = 2;
    let mut client = world.enter(&login).await?;
    let began = Instant::now();
    client.closed().await?;
    let took = began.elapsed();
    holds(&format!("it takes 3 s, found {took:?}"), took >= Duration::from_millis(2900))
}

async fn packets_keep_alive(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let mut login = world.login(&module)?;
    login.keep_alive = 1;
    let mut client = world.enter(&login).await?;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        holds("the link lives", client.is_alive().await?)?;
        // Polls: packets at half the keep alive, until twice the limit has passed.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

async fn ceiling(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    for keep_alive in [0, 600] {
        let mut login = world.login(&module)?;
        login.keep_alive = keep_alive;
        world.enter(&login).await?.closed().await?;
    }
    Ok(())
}

async fn subscriptions_survive(world: &mut World) -> anyhow::Result<()> {
    let (client, module) = world.listening("m").await?;
    drop(client);
    let mut client = world.enter(&world.login(&module)?).await?;
    client.twin().await.context("an answer without subscribing anew")?;
    world.desire("m", json!({"a": 1})).await?;
    same("the notification's version", client.desired().await?.0, 2)
}

async fn desired_not_queued(world: &mut World) -> anyhow::Result<()> {
    let (mut client, module) = world.listening("m").await?;
    client.send(&packet(0xe0, &[])).await;
    client.closed().await?;
    world.desire("m", json!({"missed": true})).await?;
    let mut client = world.enter(&world.login(&module)?).await?;
    client.subscribe_twin().await?;
    let twin = client.twin().await?;
    same("desired", &twin["desired"], &json!({"missed": true, "$version": 2}))?;
    same("messages before the answer", client.heard_meanwhile(), Vec::new())
}

async fn clean_session(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let mut login = world.login(&module)?;
    login.clean_session = true;
    let mut client = world.enter(&login).await?;
    client.subscribe_twin().await?;
    drop(client);
    let mut client = world.enter(&login).await?;
    same("Session Present", client.session_present, false)?;
    client.publish("$iothub/twin/GET/?$rid=1", b"").await;
    holds("the link lives", client.is_alive().await?)?;
    same("answers without a subscription", client.heard_meanwhile(), Vec::new())
}

async fn session_present(world: &mut World) -> anyhow::Result<()> {
    let (client, module) = world.listening("m").await?;
    same("at first", client.session_present, false)?;
    let client = world.enter(&world.login(&module)?).await?;
    same("the second time", client.session_present, true)
}

async fn after_unsubscribe(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    client.unsubscribe(&[DESIRED]).await?;
    world.desire("m", json!({"a": 1})).await?;
    client.twin().await?;
    same("notifications", client.heard_meanwhile(), Vec::new())
}

async fn publish_qos_2(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    client.send(&publish(0x34, "$iothub/twin/GET/?$rid=1", Some(1), b"")).await;
    client.closed().await
}

async fn subscribe_qos_2(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.connected("m").await?;
    same("codes", client.subscribe(&[(DESIRED, 2), (ANSWERS, 2)]).await?, vec![1, 1])
}

async fn qos_0_and_1(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.connected("m").await?;
    same("codes", client.subscribe(&[(DESIRED, 1), (ANSWERS, 0)]).await?, vec![1, 0])?;
    client.publish_acknowledged("$iothub/twin/GET/?$rid=1", b"").await?;
    same("answer", client.answer().await?.topic.as_str(), "$iothub/twin/res/200/?$rid=1")?;
    client.twin().await.map(|_twin| ())
}

fn telemetry(world: &World, bag: &str) -> String {
    format!("devices/{}/modules/m/messages/events/{bag}", world.device)
}

async fn retain(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.connected("m").await?;
    let mut events = world.events().await?;
    client.send(&publish(0x31, &telemetry(world, ""), None, b"x")).await;
    let message = events.find("message").await?;
    same("properties", &message["properties"], &json!({"mqtt-retain": "true"}))
}

async fn large_message(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.connected("m").await?;
    let topic = telemetry(world, "");
    // Topic, its length and the packet id are part of what is counted.
    let payload = vec![b'x'; 262_144 - topic.len() - 4];
    client.publish_acknowledged(&topic, &payload).await
}

async fn too_large_message(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.connected("m").await?;
    let topic = telemetry(world, "");
    client.publish(&topic, &vec![b'x'; 262_145]).await;
    client.closed().await
}

async fn six_subscriptions(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.connected("m").await?;
    let own = format!("devices/{}/modules/m/#", world.device);
    let inputs = format!("devices/{}/modules/m/inputs/#", world.device);
    let five = [(ANSWERS, 0), (DESIRED, 1), (METHODS, 0), (own.as_str(), 0), (inputs.as_str(), 0)];
    same("codes of five", client.subscribe(&five).await?, vec![0, 1, 0, 0, 0])?;
    let six = [&five[..], &[(ANSWERS, 1)]].concat();
    client.send(&subscribe(99, &six)).await;
    client.closed().await
}

async fn foreign_publish(world: &mut World) -> anyhow::Result<()> {
    for topic in ["a", "$iothub/twin/GET/", "$iothub/twin/PATCH/properties/desired/?$rid=1"] {
        let (mut client, _) = world.connected("m").await?;
        client.publish(topic, b"").await;
        client.closed().await.context(topic)?;
        let path = world.module_path("m");
        world.must("DELETE", &path, Value::Null).await?;
    }
    Ok(())
}

async fn foreign_subscribe(world: &mut World) -> anyhow::Result<()> {
    for filter in ["a", "#", "$iothub/#", "$SYS/#"] {
        let (mut client, _) = world.connected("m").await?;
        client.send(&subscribe(1, &[(filter, 0)])).await;
        client.closed().await.context(filter)?;
        let path = world.module_path("m");
        world.must("DELETE", &path, Value::Null).await?;
    }
    Ok(())
}

async fn malformed(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.connected("m").await?;
    client.send(&[0x00, 0x00]).await;
    client.closed().await
}

async fn quota_spent(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.connected("m").await?;
    world.fault("m", json!({"kind": "quota"})).await?;
    client.publish(&telemetry(world, ""), b"x").await;
    client.closed().await
}

async fn twin_filters(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.connected("m").await?;
    let codes = client.subscribe(&[(ANSWERS, 1), (DESIRED, 1), (METHODS, 1)]).await?;
    same("codes", codes, vec![1, 1, 1])
}

async fn input_filters(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.connected("m").await?;
    let own = format!("devices/{}/modules/m/#", world.device);
    let inputs = format!("devices/{}/modules/m/inputs/#", world.device);
    same("codes", client.subscribe(&[(&own, 1), (&inputs, 1)]).await?, vec![1, 1])
}

async fn four_topics(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    client.twin().await?;
    let answer = client.report("r", b"{}").await?;
    holds("a report is answered", answer.topic.starts_with("$iothub/twin/res/204/?$rid=r"))?;
    client.publish("$iothub/methods/res/200/?$rid=unknown", b"{}").await;
    client.publish_acknowledged(&telemetry(world, "a=b"), b"x").await?;
    holds("the link lives", client.is_alive().await?)
}

async fn topics_of_another(world: &mut World) -> anyhow::Result<()> {
    world.module("n").await?;
    let (mut client, module) = world.connected("m").await?;
    let topic = format!("devices/{}/modules/n/messages/events/", world.device);
    client.publish(&topic, b"x").await;
    client.closed().await?;
    let mut client = world.enter(&world.login(&module)?).await?;
    let filter = format!("devices/{}/modules/n/#", world.device);
    client.send(&subscribe(1, &[(&filter, 0)])).await;
    client.closed().await
}

async fn bad_key(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    let other = world.module("n").await?;
    let token = token(other.key()?, &world.resource("m"), now() + 3600)?;
    same("CONNACK", world.code(&world.login_with("m", Some(&token)), None).await?, 5)
}

async fn expired_token(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let token = token(module.key()?, &world.resource("m"), now() - 900)?;
    same("CONNACK", world.code(&world.login_with("m", Some(&token)), None).await?, 5)
}

async fn wrong_name(world: &mut World) -> anyhow::Result<()> {
    world.module_by("m", json!({"type": "certificateAuthority"})).await?;
    let shown = self_signed("somebody")?;
    same("CONNACK", world.code(&world.login_with("m", None), Some(&shown)).await?, 5)
}

async fn wrong_thumbprint(world: &mut World) -> anyhow::Result<()> {
    let own = self_signed(&format!("{}/m", world.device))?;
    let print = thumbprint(&own, openssl::hash::MessageDigest::sha256())?;
    world
        .module_by("m", json!({"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": print, "secondaryThumbprint": print}}))
        .await?;
    let shown = self_signed(&format!("{}/m", world.device))?;
    same("CONNACK", world.code(&world.login_with("m", None), Some(&shown)).await?, 5)
}

async fn unknown_id(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let token = token(module.key()?, &world.resource("nobody"), now() + 3600)?;
    same("CONNACK", world.code(&world.login_with("nobody", Some(&token)), None).await?, 5)
}

async fn set_status(world: &mut World, status: &str) -> anyhow::Result<()> {
    let path = world.device_path();
    let mut device = world.must("GET", &path, Value::Null).await?;
    device["status"] = json!(status);
    let reply = world.call("PUT", &path, device, &[("if-match", "*")]).await?;
    same("status of the update", reply.status, 200)
}

async fn disabled_device(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    set_status(world, "disabled").await?;
    let login = world.login(&module)?;
    same("CONNACK", world.code(&login, None).await?, 5)?;
    set_status(world, "enabled").await?;
    same("once it is enabled again", world.code(&login, None).await?, 0)
}

async fn clock_off(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let login = world.login(&module)?;
    world.control("POST", "clock", json!({"shift": "1h6m"})).await?;
    same("the token ended 6 minutes ago by the hub's clock", world.code(&login, None).await?, 5)
}

async fn busy(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    world.fault("m", json!({"kind": "refuse", "count": 1})).await?;
    let login = world.login(&module)?;
    same("CONNACK", world.code(&login, None).await?, 3)?;
    same("after the fault", world.code(&login, None).await?, 0)
}

async fn no_certificate(world: &mut World) -> anyhow::Result<()> {
    world.module_by("m", json!({"type": "certificateAuthority"})).await?;
    same("CONNACK", world.code(&world.login_with("m", None), None).await?, 5)
}

async fn other_client_id(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let mut login = world.login(&module)?;
    for client_id in ["", "m", "x/m"] {
        login.client_id = client_id.to_owned();
        same(client_id, world.code(&login, None).await?, 5)?;
    }
    Ok(())
}

async fn other_level(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let mut login = world.login(&module)?;
    login.level = 5;
    same("level 5", world.code(&login, None).await?, 1)?;
    (login.protocol, login.level) = ("MQIsdp".to_owned(), 3);
    same("level 3", world.code(&login, None).await?, 1)
}

async fn disabled_while_connected(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.connected("m").await?;
    set_status(world, "disabled").await?;
    client.closed().await
}

async fn no_connect(world: &mut World) -> anyhow::Result<()> {
    world.dial().await?.closed().await
}

async fn first_packet(world: &mut World) -> anyhow::Result<()> {
    let mut client = world.dial().await?;
    client.send(&subscribe(1, &[(ANSWERS, 0)])).await;
    match client.hear().await? {
        None => Ok(()),
        Some(Heard::ConnAck { code, .. }) => same("CONNACK", code, 5),
        Some(other) => anyhow::bail!("expected the end of the link, found {other:?}"),
    }
}
