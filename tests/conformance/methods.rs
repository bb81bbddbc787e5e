//! Section 6: direct methods and telemetry.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use modtwin_testkit::https::Reply;
use modtwin_testkit::mqtt::{Client, METHODS, Message};
use serde_json::{Value, json};

use crate::case::{Case, holds, same};
use crate::section;
use crate::world::{World, refused};

pub(crate) fn cases() -> Vec<Case> {
    let mut all = section! { "6 Direct methods":
        Fact "SUB" => subscribe;
        Fact "request: topic, QoS 0, payload as body" => request;
        Choice "request: no payload is an empty body" => no_payload;
        Fact "answer: any integer status, JSON body" => statuses;
        Fact "answer: empty body" => empty_answer;
        Fact "answer: QoS 1" => answer_qos_1;
        Fact "rid: echoed verbatim, another one answers nothing" => other_rid;
        Fact "size: 128 KB to the module" => request_size;
        Choice "size: more is refused" => too_large;
        Fact "timeouts: responseTimeoutInSeconds 5 to 300" => timeouts;
        Fact "timeouts: connectTimeoutInSeconds at most the response's" => connect_timeout;
        Fact "offline: 404103" => offline;
        Fact "not subscribed: 404103" => not_subscribed;
        Fact "no answer in time: 504101" => no_answer;
        Emulator "at once: the limit gives 403800" => at_once with |rules: &mut iothub_emulator::Rules| rules.max_methods = 1;
        Fact "command of a component: component*command" => component;
        Choice "late answer: dropped, the link stays" => late_answer;
    };
    all.extend(section! { "6 Telemetry":
        Fact "topic and size" => telemetry_topic;
        Emulator "bag: keys and values percent-decoded" => bag;
        Emulator "bag: system properties, $ raw or %24" => system_properties;
        Emulator "bag: none" => no_bag;
        Emulator "payload: as it came, text or not" => payload;
    });
    all
}

/// A module that takes calls.
async fn callable(world: &mut World) -> anyhow::Result<Client> {
    let (mut client, _) = world.connected("m").await?;
    same("codes", client.subscribe(&[(METHODS, 0)]).await?, vec![0])?;
    Ok(client)
}

fn order(name: &str, payload: Value) -> Value {
    json!({"methodName": name, "payload": payload, "responseTimeoutInSeconds": 30})
}

async fn call(world: &mut World, body: Value) -> anyhow::Result<Reply> {
    let path = format!("{}/methods", world.twin_path("m"));
    world.call("POST", &path, body, &[]).await
}

/// Plays the module: answers one call with status and body, and gives what was asked.
async fn answer_one(client: &mut Client, status: &str, body: &[u8]) -> anyhow::Result<Message> {
    let asked = client.message().await?;
    let rid = rid(&asked)?;
    client.publish(&format!("$iothub/methods/res/{status}/?$rid={rid}"), body).await;
    Ok(asked)
}

fn rid(asked: &Message) -> anyhow::Result<String> {
    let (_, rid) = asked
        .topic
        .split_once("/?$rid=")
        .with_context(|| format!("expected a call, found {asked:?}"))?;
    Ok(rid.to_owned())
}

/// Calls and answers at the same time.
async fn round(
    world: &mut World,
    client: &mut Client,
    body: Value,
    (status, answer): (&str, &[u8]),
) -> anyhow::Result<(Reply, Message)> {
    let (reply, asked) = tokio::join!(call(world, body), answer_one(client, status, answer));
    Ok((reply?, asked?))
}

async fn subscribe(world: &mut World) -> anyhow::Result<()> {
    let mut client = callable(world).await?;
    round(world, &mut client, order("reboot", json!({})), ("200", b"{}")).await.map(|_round| ())
}

async fn request(world: &mut World) -> anyhow::Result<()> {
    let mut client = callable(world).await?;
    let body = order("reboot", json!({"in": 5}));
    let (reply, asked) = round(world, &mut client, body, ("200", br#"{"ok":true}"#)).await?;
    let prefix = "$iothub/methods/POST/reboot/?$rid=";
    holds(&format!("{} begins {prefix}", asked.topic), asked.topic.starts_with(prefix))?;
    same("QoS", asked.qos, 0)?;
    same("payload", asked.json()?, json!({"in": 5}))?;
    same("status", reply.status, 200)?;
    same("answer", reply.json(), json!({"status": 200, "payload": {"ok": true}}))
}

async fn no_payload(world: &mut World) -> anyhow::Result<()> {
    let mut client = callable(world).await?;
    let body = json!({"methodName": "reboot", "responseTimeoutInSeconds": 30});
    let (_, asked) = round(world, &mut client, body, ("200", b"")).await?;
    same("payload", asked.payload, Vec::new())
}

async fn statuses(world: &mut World) -> anyhow::Result<()> {
    let mut client = callable(world).await?;
    for (status, number) in [("200", 200), ("404", 404), ("-1", -1), ("1000000", 1_000_000)] {
        let body = order("x", Value::Null);
        let (reply, _) = round(world, &mut client, body, (status, b"[1]")).await?;
        same("status of the call", reply.status, 200)?;
        same("answer", reply.json(), json!({"status": number, "payload": [1]}))?;
    }
    Ok(())
}

async fn empty_answer(world: &mut World) -> anyhow::Result<()> {
    let mut client = callable(world).await?;
    let (reply, _) = round(world, &mut client, order("x", json!(1)), ("204", b"")).await?;
    same("answer", reply.json(), json!({"status": 204, "payload": null}))
}

async fn answer_qos_1(world: &mut World) -> anyhow::Result<()> {
    let mut client = callable(world).await?;
    let answering = async {
        let asked = client.message().await?;
        let topic = format!("$iothub/methods/res/200/?$rid={}", rid(&asked)?);
        client.publish_acknowledged(&topic, b"{}").await
    };
    let (reply, answered) = tokio::join!(call(world, order("x", json!(1))), answering);
    answered?;
    same("status", reply?.status, 200)
}

async fn other_rid(world: &mut World) -> anyhow::Result<()> {
    let mut client = callable(world).await?;
    let answering = async {
        let asked = client.message().await?;
        client.publish("$iothub/methods/res/200/?$rid=another", br#""wrong""#).await;
        let topic = format!("$iothub/methods/res/200/?$rid={}", rid(&asked)?);
        client.publish(&topic, br#""right""#).await;
        anyhow::Ok(())
    };
    let (reply, answered) = tokio::join!(call(world, order("x", json!(1))), answering);
    answered?;
    same("payload", &reply?.json()["payload"], &json!("right"))
}

async fn request_size(world: &mut World) -> anyhow::Result<()> {
    let mut client = callable(world).await?;
    let payload = json!("x".repeat(100 * 1024));
    let answer = json!("y".repeat(100 * 1024)).to_string();
    let body = order("x", payload.clone());
    let (reply, asked) = round(world, &mut client, body, ("200", answer.as_bytes())).await?;
    holds("the payload comes whole", asked.json()? == payload)?;
    same("length of the answer", reply.json()["payload"].as_str().map(str::len), Some(102_400))
}

async fn too_large(world: &mut World) -> anyhow::Result<()> {
    let _client = callable(world).await?;
    let reply = call(world, order("x", json!("x".repeat(129 * 1024)))).await?;
    holds(&format!("it is refused, found {}", reply.status), matches!(reply.status, 400 | 413))
}

async fn timeouts(world: &mut World) -> anyhow::Result<()> {
    let _client = callable(world).await?;
    for seconds in [json!(4), json!(301), json!(-1), json!("x")] {
        let mut body = order("x", json!(1));
        body["responseTimeoutInSeconds"] = seconds;
        same("status", call(world, body).await?.status, 400)?;
    }
    Ok(())
}

async fn connect_timeout(world: &mut World) -> anyhow::Result<()> {
    let mut client = callable(world).await?;
    let mut body = order("x", json!(1));
    body["connectTimeoutInSeconds"] = json!(31);
    let reply = call(world, body.clone()).await?;
    same("status", reply.status, 400)?;
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    let expected = "cannot be longer than an overall call timeout";
    holds(&format!("`{expected}` stands in {text}"), text.contains(expected))?;
    body["connectTimeoutInSeconds"] = json!(30);
    let (reply, _) = round(world, &mut client, body, ("200", b"1")).await?;
    same("as long as the response's", reply.status, 200)
}

fn is_not_online(reply: &Reply) -> anyhow::Result<()> {
    refused(reply, 404, "DeviceNotOnline")?;
    let message = reply.json()["Message"].as_str().unwrap_or_default().to_owned();
    let inner: Value = serde_json::from_str(&message)
        .with_context(|| format!("expected JSON as a text in Message, found `{message}`"))?;
    same("errorCode", &inner["errorCode"], &json!(404_103))
}

async fn offline(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    is_not_online(&call(world, order("x", json!(1))).await?)
}

async fn not_subscribed(world: &mut World) -> anyhow::Result<()> {
    let (_client, _) = world.listening("m").await?;
    is_not_online(&call(world, order("x", json!(1))).await?)
}

async fn no_answer(world: &mut World) -> anyhow::Result<()> {
    let _client = callable(world).await?;
    let mut body = order("x", json!(1));
    body["responseTimeoutInSeconds"] = json!(5);
    let began = Instant::now();
    let reply = call(world, body).await?;
    same("status", reply.status, 504)?;
    let took = began.elapsed();
    holds(&format!("it takes 5 s, found {took:?}"), took >= Duration::from_millis(4900))?;
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    let named = reply.header("iothub-errorcode") == "GatewayTimeout" || text.contains("504101");
    holds(&format!("GatewayTimeout or 504101 is named in {text}"), named)
}

async fn at_once(world: &mut World) -> anyhow::Result<()> {
    let mut client = callable(world).await?;
    let mut second = World::beside(world)?;
    let waiting = call(world, order("x", json!(1)));
    let asking = async {
        let asked = client.message().await?;
        let reply = call(&mut second, order("y", json!(1))).await?;
        refused(&reply, 403, "DeviceMaximumInflightMethodExceeded")?;
        let topic = format!("$iothub/methods/res/200/?$rid={}", rid(&asked)?);
        client.publish(&topic, b"1").await;
        anyhow::Ok(())
    };
    let (reply, asked) = tokio::join!(waiting, asking);
    asked?;
    same("the first call", reply?.status, 200)
}

async fn component(world: &mut World) -> anyhow::Result<()> {
    let mut client = callable(world).await?;
    let body = order("thermostat*reboot", json!(1));
    let (_, asked) = round(world, &mut client, body, ("200", b"1")).await?;
    let found = asked.topic.replace("%2A", "*");
    let prefix = "$iothub/methods/POST/thermostat*reboot/?$rid=";
    holds(&format!("{} begins {prefix}", asked.topic), found.starts_with(prefix))
}

async fn late_answer(world: &mut World) -> anyhow::Result<()> {
    let mut client = callable(world).await?;
    let mut body = order("x", json!(1));
    body["responseTimeoutInSeconds"] = json!(5);
    let (reply, asked) = tokio::join!(call(world, body), client.message());
    same("status", reply?.status, 504)?;
    let topic = format!("$iothub/methods/res/200/?$rid={}", rid(&asked?)?);
    client.publish(&topic, b"1").await;
    holds("the link lives", client.is_alive().await?)
}

fn topic(world: &World, bag: &str) -> String {
    format!("devices/{}/modules/m/messages/events/{bag}", world.device)
}

async fn telemetry_topic(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.connected("m").await?;
    client.publish_acknowledged(&topic(world, ""), b"{}").await?;
    client.publish_acknowledged(&topic(world, "a=b&c=d"), &[7; 100_000]).await
}

/// Sends one message and gives the hub's event of it.
async fn told(world: &mut World, bag: &str, payload: &[u8]) -> anyhow::Result<Value> {
    let (mut client, _) = world.connected("m").await?;
    let mut events = world.events().await?;
    client.publish_acknowledged(&topic(world, bag), payload).await?;
    let event = events.find("message").await?;
    same("device", &event["device"], &json!(world.device))?;
    same("module", &event["module"], &json!("m"))?;
    Ok(event)
}

async fn bag(world: &mut World) -> anyhow::Result<()> {
    let event = told(world, "temp%20unit=%C2%B0C%26%3D&plus=a%2Bb", b"x").await?;
    let expected = json!({"temp unit": "°C&=", "plus": "a+b"});
    same("properties", &event["properties"], &expected)
}

async fn system_properties(world: &mut World) -> anyhow::Result<()> {
    let bag = "$.ct=application%2Fjson&%24.ce=utf-8&$.mid=7&$.cid=8&$.sub=thermostat";
    let event = told(world, bag, b"{}").await?;
    let text = event.to_string();
    for value in ["application/json", "utf-8", "7", "8", "thermostat"] {
        holds(&format!("{value} stands in {text}"), text.contains(&format!("\"{value}\"")))?;
    }
    Ok(())
}

async fn no_bag(world: &mut World) -> anyhow::Result<()> {
    let event = told(world, "", b"x").await?;
    same("properties", &event["properties"], &json!({}))
}

async fn payload(world: &mut World) -> anyhow::Result<()> {
    let event = told(world, "", "{\"é\": 1}".as_bytes()).await?;
    same("text", &event["body"], &json!("{\"é\": 1}"))?;
    let path = world.module_path("m");
    world.must("DELETE", &path, Value::Null).await?;
    let event = told(world, "", &[0xff, 0x00]).await?;
    same("bytes", &event["body_base64"], &json!("/wA="))
}
