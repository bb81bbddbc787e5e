//! Sections 4.1 to 4.4, and 9: twins over MQTT.

use anyhow::Context as _;
use modtwin_testkit::mqtt::{ANSWERS, DESIRED};
use serde_json::{Value, json};

use crate::case::{Case, holds, same};
use crate::section;
use crate::world::World;

pub(crate) fn cases() -> Vec<Case> {
    let mut all = section! { "4.1 Exchanges":
        Fact "responses, SUB" => responses;
        Fact "get, PUB: any body" => get_with_any_body;
        Fact "get, answer: desired and reported with versions" => get_answer;
        Fact "report, PUB: merge patch" => report_merges;
        Fact "report, answer: 204, new version, empty" => report_answer;
        Fact "desired, SUB" => desired_sub;
        Fact "desired, from hub: version in topic and body" => desired_notification;
        Fact "rid: echoed, whatever it is" => rid_echoed;
        Fact "get: no $metadata, no tags" => no_metadata;
        Fact "a fresh module: versions 1" => fresh;
        Choice "report: $version is a precondition" => precondition;
        Fact "QoS of requests: 0 and 1" => request_qos;
    };
    all.extend(section! { "4.2 Error answers":
        Fact "400: not JSON" => not_json;
        Fact "400: not an object" => not_an_object;
        Fact "400: illegal key" => illegal_key;
        Fact "400: null inside an array" => null_in_array;
        Fact "400: $version or $metadata echoed back" => echoed_back;
        Fact "400: nothing of the report is taken" => nothing_taken;
        Fact "body: errorCode, trackingId, message, timestampUtc" => error_body;
        Choice "412: precondition" => precondition;
        Choice "413: oversize report" => oversize;
        Emulator "429: throttled" => throttled;
        Emulator "5xx: transient" => transient;
        Fact "no answer to requests of an earlier connection" => no_late_answer;
    });
    all.extend(section! { "4.3 Start-up and ordering":
        Fact "GET before SUBACK of res: the answer is lost" => get_too_early;
        Fact "notifications come in the order of versions" => in_order;
        Fact "missed while offline: the GET has it" => missed_offline;
        Fact "recreated: versions begin at 1" => recreated;
        Fact "reports: one after the other, versions +1 each" => reports_in_order;
    });
    all.extend(section! { "4.4 What the device sees for each service write":
        Fact "PATCH desired: the patch as sent, +1 even where nothing changes" => patch_as_sent;
        Fact "PUT twin: keys compared by presence" => replaced;
        Choice "tags only: nothing" => tags_only;
        Choice "PATCH null on a missing key: sent" => null_on_missing;
    });
    all.extend(section! { "9 Plug and Play":
        Fact "acknowledgement: value, ac, av, ad" => acknowledgement;
        Fact "component: __t" => component;
    });
    all
}

async fn responses(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.connected("m").await?;
    same("codes", client.subscribe(&[(ANSWERS, 1)]).await?, vec![1])?;
    client.twin().await.map(|_twin| ())
}

async fn get_with_any_body(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    for body in ["", " ", "{}", "no JSON"] {
        client.publish("$iothub/twin/GET/?$rid=1", body.as_bytes()).await;
        same(body, client.answer().await?.topic.as_str(), "$iothub/twin/res/200/?$rid=1")?;
    }
    Ok(())
}

async fn get_answer(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    world.desire("m", json!({"t": 21, "o": {"x": 1}})).await?;
    client.report("1", br#"{"r":"yes"}"#).await?;
    let expected = json!({
        "desired": {"t": 21, "o": {"x": 1}, "$version": 2},
        "reported": {"r": "yes", "$version": 2},
    });
    same("the twin", client.twin().await?, expected)
}

async fn report_merges(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    client.report("1", br#"{"a":1,"b":{"c":1,"d":[1,2]}}"#).await?;
    client.report("2", br#"{"a":null,"b":{"d":[3]},"e":true}"#).await?;
    let expected = json!({"b": {"c": 1, "d": [3]}, "e": true, "$version": 3});
    same("reported", &client.twin().await?["reported"], &expected)?;
    let path = world.twin_path("m");
    let twin = world.must("GET", &path, Value::Null).await?;
    same("e at the service", &twin["properties"]["reported"]["e"], &json!(true))
}

async fn report_answer(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    for (rid, version) in [("a", 2), ("b", 3)] {
        let answer = client.report(rid, br#"{"a":1}"#).await?;
        let expected = format!("$iothub/twin/res/204/?$rid={rid}&$version={version}");
        same("topic", &answer.topic, &expected)?;
        same("body", answer.payload, Vec::new())?;
    }
    Ok(())
}

async fn desired_sub(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.connected("m").await?;
    same("codes", client.subscribe(&[(ANSWERS, 0)]).await?, vec![0])?;
    world.desire("m", json!({"a": 1})).await?;
    client.twin().await?;
    same("without it nothing comes", client.heard_meanwhile(), Vec::new())?;
    same("codes", client.subscribe(&[(DESIRED, 0)]).await?, vec![0])?;
    world.desire("m", json!({"a": 2})).await?;
    same("with it", client.desired().await?, (3, json!({"a": 2, "$version": 3})))
}

async fn desired_notification(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    world.desire("m", json!({"a": {"b": 1}})).await?;
    same("notification", client.desired().await?, (2, json!({"a": {"b": 1}, "$version": 2})))
}

async fn rid_echoed(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    for rid in ["0", "ffff", "6f9619ff-8b86-d011-b42d-00c04fc964ff", "a%20b", "x_~."] {
        client.publish(&format!("$iothub/twin/GET/?$rid={rid}"), b"").await;
        let expected = format!("$iothub/twin/res/200/?$rid={rid}");
        same("topic", client.answer().await?.topic, expected)?;
        let answer = client.report(rid, b"{}").await?;
        let expected = format!("$iothub/twin/res/204/?$rid={rid}&$version=");
        holds(&format!("{} begins {expected}", answer.topic), answer.topic.starts_with(&expected))?;
    }
    Ok(())
}

async fn no_metadata(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    let path = world.twin_path("m");
    let body = json!({"tags": {"site": "north"}, "properties": {"desired": {"a": 1}}});
    world.must("PATCH", &path, body).await?;
    let twin = client.twin().await?;
    let mut members: Vec<&str> =
        twin.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    members.sort_unstable();
    same("members", members, vec!["desired", "reported"])?;
    holds("no $metadata", !twin.to_string().contains("$metadata"))
}

async fn fresh(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    let expected = json!({"desired": {"$version": 1}, "reported": {"$version": 1}});
    same("the twin", client.twin().await?, expected)
}

async fn precondition(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    let good = client.report("1&$version=1", br#"{"a":1}"#).await?;
    same("the right version", good.topic.as_str(), "$iothub/twin/res/204/?$rid=1&$version=2")?;
    let stale = client.report("2&$version=1", br#"{"a":2}"#).await?;
    same("a stale version", stale.topic.as_str(), "$iothub/twin/res/412/?$rid=2")?;
    same("reported", &client.twin().await?["reported"], &json!({"a": 1, "$version": 2}))
}

async fn request_qos(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    client.publish("$iothub/twin/GET/?$rid=0", b"").await;
    client.answer().await?;
    client.publish_acknowledged("$iothub/twin/GET/?$rid=1", b"").await?;
    client.answer().await?;
    let topic = "$iothub/twin/PATCH/properties/reported/?$rid=2";
    client.publish_acknowledged(topic, b"{}").await?;
    client.answer().await.map(|_answer| ())
}

/// Reports what must be refused with 400.
async fn refuses(world: &mut World, bodies: &[&str]) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    for body in bodies {
        let answer = client.report("1", body.as_bytes()).await?;
        same(body, answer.topic.as_str(), "$iothub/twin/res/400/?$rid=1")?;
    }
    same("reported", &client.twin().await?["reported"], &json!({"$version": 1}))
}

async fn not_json(world: &mut World) -> anyhow::Result<()> {
    refuses(world, &["", "{", "{a:1}", "\u{feff}{}", r#"{"a":1}x"#]).await
}

async fn not_an_object(world: &mut World) -> anyhow::Result<()> {
    refuses(world, &["[]", "1", "\"a\"", "null", "true"]).await
}

async fn illegal_key(world: &mut World) -> anyhow::Result<()> {
    refuses(world, &[r#"{"a.b":1}"#, r#"{"a":{"$b":1}}"#, r#"{"a b":1}"#, r#"{"a\u0007":1}"#]).await
}

async fn null_in_array(world: &mut World) -> anyhow::Result<()> {
    refuses(world, &[r#"{"b":[1,null]}"#, r#"{"b":[{"c":null}]}"#]).await
}

async fn echoed_back(world: &mut World) -> anyhow::Result<()> {
    refuses(world, &[r#"{"a":1,"$version":1}"#, r#"{"a":1,"$metadata":{}}"#]).await
}

async fn nothing_taken(world: &mut World) -> anyhow::Result<()> {
    refuses(world, &[r#"{"good":1,"bad.key":1}"#]).await
}

async fn error_body(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    let body = client.report("1", br#"{"a.b":1}"#).await?.json()?;
    let number = body["errorCode"].as_u64().unwrap_or_default();
    holds(&format!("errorCode begins with 400, found {number}"), number / 1000 == 400)?;
    for member in ["trackingId", "message", "timestampUtc"] {
        holds(&format!("{member} is a text in {body}"), body[member].is_string())?;
    }
    Ok(())
}

async fn oversize(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    for number in 0..8 {
        let patch = json!({format!("k{number}"): "x".repeat(4000)}).to_string();
        let answer = client.report("1", patch.as_bytes()).await?;
        holds("it fits", answer.topic.starts_with("$iothub/twin/res/204/"))?;
    }
    let patch = json!({"more": "x".repeat(4000)}).to_string();
    let answer = client.report("2", patch.as_bytes()).await?;
    same("topic", answer.topic.as_str(), "$iothub/twin/res/413/?$rid=2")
}

async fn throttled(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    world.fault("m", json!({"kind": "throttle", "count": 2})).await?;
    let answer = client.report("1", b"{}").await?;
    same("report", answer.topic.as_str(), "$iothub/twin/res/429/?$rid=1")?;
    client.publish("$iothub/twin/GET/?$rid=2", b"").await;
    same("get", client.answer().await?.topic.as_str(), "$iothub/twin/res/429/?$rid=2")?;
    client.twin().await.context("after the fault").map(|_twin| ())
}

async fn transient(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    for status in [500, 502, 503, 504] {
        world.fault("m", json!({"kind": "error", "status": status, "count": 1})).await?;
        let answer = client.report("1", br#"{"a":1}"#).await?;
        same("topic", answer.topic, format!("$iothub/twin/res/{status}/?$rid=1"))?;
    }
    same("reported", &client.twin().await?["reported"], &json!({"$version": 1}))
}

async fn no_late_answer(world: &mut World) -> anyhow::Result<()> {
    let (mut client, module) = world.listening("m").await?;
    client.publish("$iothub/twin/GET/?$rid=earlier", b"").await;
    drop(client);
    let mut client = world.enter(&world.login(&module)?).await?;
    client.subscribe_twin().await?;
    client.twin().await?;
    same("answers of the earlier connection", client.heard_meanwhile(), Vec::new())
}

async fn get_too_early(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.connected("m").await?;
    client.publish("$iothub/twin/GET/?$rid=early", b"").await;
    holds("the link lives", client.is_alive().await?)?;
    client.subscribe_twin().await?;
    client.twin().await?;
    same("the early answer", client.heard_meanwhile(), Vec::new())
}

async fn in_order(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    for number in 2..=20 {
        world.desire("m", json!({"n": number})).await?;
    }
    for number in 2..=20 {
        let expected = (number, json!({"n": number, "$version": number}));
        same("notification", client.desired().await?, expected)?;
    }
    Ok(())
}

async fn missed_offline(world: &mut World) -> anyhow::Result<()> {
    let (client, module) = world.listening("m").await?;
    drop(client);
    world.desire("m", json!({"a": 1})).await?;
    world.desire("m", json!({"b": 2})).await?;
    let mut client = world.enter(&world.login(&module)?).await?;
    client.subscribe_twin().await?;
    let expected = json!({"a": 1, "b": 2, "$version": 3});
    same("desired", &client.twin().await?["desired"], &expected)
}

async fn recreated(world: &mut World) -> anyhow::Result<()> {
    let (mut client, module) = world.listening("m").await?;
    world.desire("m", json!({"a": 1})).await?;
    client.report("1", br#"{"a":1}"#).await?;
    let path = world.module_path("m");
    world.must("DELETE", &path, Value::Null).await?;
    client.closed().await.context("the link of a deleted module")?;
    let again = world.module("m").await?;
    holds(
        "the generation is another",
        again.identity["generationId"] != module.identity["generationId"],
    )?;
    let mut client = world.enter(&world.login(&again)?).await?;
    client.subscribe_twin().await?;
    let expected = json!({"desired": {"$version": 1}, "reported": {"$version": 1}});
    same("the twin", client.twin().await?, expected)
}

async fn reports_in_order(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    for version in 2..=12 {
        let patch = json!({"n": version}).to_string();
        let answer = client.report("r", patch.as_bytes()).await?;
        same("topic", answer.topic, format!("$iothub/twin/res/204/?$rid=r&$version={version}"))?;
    }
    same("reported", &client.twin().await?["reported"], &json!({"n": 12, "$version": 12}))
}

async fn patch_as_sent(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    world.desire("m", json!({"a": 1, "b": {"c": 2}})).await?;
    client.desired().await?;
    world.desire("m", json!({"a": 1, "b": {"c": null}})).await?;
    let expected = (3, json!({"a": 1, "b": {"c": null}, "$version": 3}));
    same("unchanged values and nulls", client.desired().await?, expected)?;
    world.desire("m", json!({"a": 1})).await?;
    same("nothing changes", client.desired().await?, (4, json!({"a": 1, "$version": 4})))
}

async fn replaced(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    world.desire("m", json!({"a": 1, "b": 2})).await?;
    client.desired().await?;
    let path = world.twin_path("m");
    world.must("PUT", &path, json!({"properties": {"desired": {"a": 1, "c": 9}}})).await?;
    let expected = (3, json!({"a": 1, "b": null, "c": 9, "$version": 3}));
    same("notification", client.desired().await?, expected)
}

async fn tags_only(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    let path = world.twin_path("m");
    let twin = world.must("PATCH", &path, json!({"tags": {"site": "north"}})).await?;
    same("desired.$version", &twin["properties"]["desired"]["$version"], &json!(1))?;
    client.twin().await?;
    same("notifications", client.heard_meanwhile(), Vec::new())
}

async fn null_on_missing(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    world.desire("m", json!({"nobody": null})).await?;
    same("notification", client.desired().await?, (2, json!({"nobody": null, "$version": 2})))
}

async fn acknowledgement(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    world.desire("m", json!({"temp": 21})).await?;
    let (version, _) = client.desired().await?;
    let said = json!({"temp": {"value": 21, "ac": 200, "av": version, "ad": "done"}});
    client.report("1", said.to_string().as_bytes()).await?;
    let path = world.twin_path("m");
    let twin = world.must("GET", &path, Value::Null).await?;
    same("reported", &twin["properties"]["reported"]["temp"], &said["temp"])
}

async fn component(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    world.desire("m", json!({"thermostat": {"__t": "c", "target": 5}})).await?;
    let (_, patch) = client.desired().await?;
    same("desired", &patch["thermostat"], &json!({"__t": "c", "target": 5}))?;
    let said = json!({"thermostat": {"__t": "c", "target": {"value": 5, "ac": 200, "av": 2}}});
    client.report("1", said.to_string().as_bytes()).await?;
    let reported = &client.twin().await?["reported"]["thermostat"];
    same("reported", reported, &said["thermostat"])
}
