//! Section 5: what a twin document may hold, and how it is counted.

use serde_json::{Value, json};

use crate::case::{Case, holds, same};
use crate::section;
use crate::world::{World, refused};

pub(crate) fn cases() -> Vec<Case> {
    section! { "5 Twin document rules":
        Fact "merge: null deletes, objects merge, arrays replace" => merge;
        Fact "merge: {} stays, also after its last leaf" => empty_objects;
        Fact "sections: tags are the service's, without $version" => tags;
        Fact "size: desired 32 KB" => desired_size;
        Fact "size: tags 8 KB" => tags_size;
        Fact "counting: keys and texts in UTF-8, number 8, bool 4" => counting;
        Fact "one value: 4096 bytes pass, 4097 do not" => value_size;
        Fact "key: 1024 bytes pass, 1025 do not" => key_size;
        Fact "key: no control, dot, dollar, space" => key_letters;
        Choice "key: no # and no other white space" => more_key_letters;
        Choice "key: empty accepted" => empty_key;
        Fact "key: case-sensitive" => key_case;
        Fact "depth: 10 objects pass, 11 do not" => depth;
        Choice "depth: arrays count as a level" => array_depth;
        Fact "integers: the limits pass, one beyond does not" => integers;
        Choice "numbers: 1 and 1.0 come back as written" => numbers;
        Fact "arrays: allowed, replaced whole" => arrays;
        Choice "arrays: no nulls in them" => nulls_in_arrays;
        Choice "null in PUT: refused" => null_in_put;
        Fact "versions: +1 for every accepted write of a section" => versions;
        Choice "twin version: tags and desired writes together" => twin_version;
        Choice "etag: counts tags and desired writes, not reports" => etag;
        Fact "$metadata: $lastUpdated on every node, $lastUpdatedVersion in desired" => metadata;
    }
}

/// Writes desired and gives it back as stored, without `$` members.
async fn stored(world: &mut World, desired: Value) -> anyhow::Result<Value> {
    let twin = world.desire("m", desired).await?;
    let mut stored = twin["properties"]["desired"].clone();
    if let Some(members) = stored.as_object_mut() {
        members.retain(|name, _| !name.starts_with('$'));
    }
    Ok(stored)
}

/// The status of a write of desired.
async fn status(world: &mut World, desired: Value) -> anyhow::Result<u16> {
    let path = world.twin_path("m");
    let body = json!({"properties": {"desired": desired}});
    Ok(world.call("PATCH", &path, body, &[]).await?.status)
}

async fn merge(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    let first = json!({"a": 1, "o": {"x": 1, "y": [1, 2]}, "s": "t"});
    same("first", stored(world, first.clone()).await?, first)?;
    let second = json!({"a": null, "o": {"y": [3], "z": {}}, "s": {"t": 1}});
    let expected = json!({"o": {"x": 1, "y": [3], "z": {}}, "s": {"t": 1}});
    same("second", stored(world, second).await?, expected)
}

async fn empty_objects(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    let kept = json!({"e": {}, "o": {"x": 1}});
    same("an empty object", stored(world, kept.clone()).await?, kept)?;
    let expected = json!({"e": {}, "o": {}});
    same("the last leaf gone", stored(world, json!({"o": {"x": null}})).await?, expected)
}

async fn tags(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    let path = world.twin_path("m");
    let twin = world.must("PATCH", &path, json!({"tags": {"a": {"b": 1}}})).await?;
    same("tags", &twin["tags"], &json!({"a": {"b": 1}}))?;
    holds("the module does not see them", client.twin().await?.get("tags").is_none())
}

/// Eight values of 4,000 bytes and eight keys of 10: 32,080 of 32,768 bytes.
fn nearly_full() -> Value {
    let pairs = (0..8).map(|number| (format!("key-{number:06}"), json!("x".repeat(4000))));
    Value::Object(pairs.collect())
}

async fn desired_size(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    same("32,080 bytes", status(world, nearly_full()).await?, 200)?;
    same("32,768 bytes", status(world, json!({"fill": "x".repeat(684)})).await?, 200)?;
    let found = status(world, json!({"fill": "x".repeat(685)})).await?;
    holds(&format!("32,769 bytes are refused, found {found}"), matches!(found, 400 | 413))?;
    same("what shrinks passes", status(world, json!({"fill": "x"})).await?, 200)
}

async fn tags_size(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    let path = world.twin_path("m");
    let full = json!({"tags": {"a": "x".repeat(4095), "b": "x".repeat(4095)}});
    same("8,192 bytes", world.call("PATCH", &path, full, &[]).await?.status, 200)?;
    let found = world.call("PATCH", &path, json!({"tags": {"c": ""}}), &[]).await?.status;
    holds(&format!("8,193 bytes are refused, found {found}"), matches!(found, 400 | 413))
}

async fn counting(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    same("32,080 bytes", status(world, nearly_full()).await?, 200)?;
    // 688 bytes are left: a number with its key 9, a bool with its key 5, then 674 in two-byte
    // letters with a key of 2.
    let rest = json!({"n": 1, "b": true, "te": "é".repeat(336)});
    same("32,768 bytes", status(world, rest).await?, 200)?;
    let found = status(world, json!({"x": false})).await?;
    holds(&format!("no bool fits any more, found {found}"), matches!(found, 400 | 413))
}

async fn value_size(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    same("4096", status(world, json!({"a": "x".repeat(4096)})).await?, 200)?;
    same("2048 letters of two bytes", status(world, json!({"a": "é".repeat(2048)})).await?, 200)?;
    same("4097", status(world, json!({"a": "x".repeat(4097)})).await?, 400)
}

async fn key_size(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    same("1024", status(world, json!({"k".repeat(1024): 1})).await?, 200)?;
    same("1025", status(world, json!({"k".repeat(1025): 1})).await?, 400)
}

async fn refuses_keys(world: &mut World, keys: &[&str]) -> anyhow::Result<()> {
    world.module("m").await?;
    for key in keys {
        same(key, status(world, json!({"o": {*key: 1}})).await?, 400)?;
    }
    Ok(())
}

async fn key_letters(world: &mut World) -> anyhow::Result<()> {
    refuses_keys(world, &["a.b", "a$b", "$a", "a b", "a\u{1}", "a\u{85}"]).await
}

async fn more_key_letters(world: &mut World) -> anyhow::Result<()> {
    refuses_keys(world, &["a#b", "a\u{2003}b"]).await
}

async fn empty_key(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    same("status", status(world, json!({"": 1})).await?, 200)
}

async fn key_case(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    let both = json!({"a": 1, "A": 2});
    same("stored", stored(world, both.clone()).await?, both)
}

fn nested(objects: usize) -> Value {
    (0..objects).fold(json!(1), |inner, _| json!({"o": inner}))
}

async fn depth(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    same("10 objects below the section", status(world, json!({"p": nested(10)})).await?, 200)?;
    same("11", status(world, json!({"p": nested(11)})).await?, 400)
}

async fn array_depth(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    let arrays = |count| (0..count).fold(json!(1), |inner, _| json!([inner]));
    same("10 arrays", status(world, json!({"p": arrays(10)})).await?, 200)?;
    same("11", status(world, json!({"p": arrays(11)})).await?, 400)
}

async fn integers(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    for (number, expected) in [
        (-4_503_599_627_370_495_i64, 200),
        (4_503_599_627_370_495, 200),
        (-4_503_599_627_370_497, 400),
        (4_503_599_627_370_496, 400),
        (i64::MAX, 400),
    ] {
        same(&number.to_string(), status(world, json!({"n": number})).await?, expected)?;
    }
    Ok(())
}

async fn numbers(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    client.report("1", br#"{"whole":1,"point":1.0,"small":0.1}"#).await?;
    client.publish("$iothub/twin/GET/?$rid=1", b"").await;
    let answer = client.answer().await?;
    let text = String::from_utf8_lossy(&answer.payload).into_owned();
    for written in [r#""whole":1,"#, r#""point":1.0"#, r#""small":0.1"#] {
        let bare = written.trim_end_matches(',');
        holds(&format!("{bare} stands in {text}"), text.contains(bare))?;
    }
    holds("1 is not 1.0", !text.contains(r#""whole":1.0"#))
}

async fn arrays(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    let first = json!({"a": [1, "x", {"o": [true]}]});
    same("stored", stored(world, first.clone()).await?, first)?;
    same("replaced", stored(world, json!({"a": []})).await?, json!({"a": []}))
}

async fn nulls_in_arrays(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    for value in [json!([null]), json!([1, [null]]), json!([{"a": null}])] {
        same(&value.to_string(), status(world, json!({"a": value})).await?, 400)?;
    }
    Ok(())
}

async fn null_in_put(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    let path = world.twin_path("m");
    let body = json!({"properties": {"desired": {"a": null}}});
    refused(&world.call("PUT", &path, body, &[]).await?, 400, "ArgumentInvalid")
}

async fn versions(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    let path = world.twin_path("m");
    for number in 2..=4 {
        let twin = world.desire("m", json!({"same": 1})).await?;
        same("desired", &twin["properties"]["desired"]["$version"], &json!(number))?;
        same("reported stays", &twin["properties"]["reported"]["$version"], &json!(1))?;
    }
    client.report("1", b"{}").await?;
    status(world, json!({"a.b": 1})).await?;
    let twin = world.must("GET", &path, Value::Null).await?;
    same("after a refused write", &twin["properties"]["desired"]["$version"], &json!(4))?;
    same("after a report", &twin["properties"]["reported"]["$version"], &json!(2))
}

async fn twin_version(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    let path = world.twin_path("m");
    let fresh = world.must("GET", &path, Value::Null).await?;
    same("fresh", &fresh["version"], &json!(2))?;
    same("after desired", &world.desire("m", json!({"a": 1})).await?["version"], &json!(3))?;
    let twin = world.must("PATCH", &path, json!({"tags": {"a": 1}})).await?;
    same("after tags", &twin["version"], &json!(4))?;
    client.report("1", b"{}").await?;
    let twin = world.must("GET", &path, Value::Null).await?;
    same("after a report", &twin["version"], &json!(4))
}

async fn etag(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    let path = world.twin_path("m");
    let fresh = world.must("GET", &path, Value::Null).await?;
    same("fresh", &fresh["etag"], &json!("AAAAAAAAAAE="))?;
    client.report("1", br#"{"a":1}"#).await?;
    let twin = world.must("GET", &path, Value::Null).await?;
    same("after a report", &twin["etag"], &json!("AAAAAAAAAAE="))?;
    let twin = world.desire("m", json!({"a": 1})).await?;
    same("after desired", &twin["etag"], &json!("AAAAAAAAAAI="))?;
    let twin = world.must("PATCH", &path, json!({"tags": {"a": 1}})).await?;
    same("after tags", &twin["etag"], &json!("AAAAAAAAAAM="))
}

async fn metadata(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    client.report("1", br#"{"r":{"s":1}}"#).await?;
    let twin = world.desire("m", json!({"o": {"x": 1}, "a": [1]})).await?;
    let desired = &twin["properties"]["desired"]["$metadata"];
    let reported = &twin["properties"]["reported"]["$metadata"];
    for (what, node) in [
        ("desired", desired),
        ("desired.o", &desired["o"]),
        ("desired.o.x", &desired["o"]["x"]),
        ("desired.a", &desired["a"]),
        ("reported", reported),
        ("reported.r.s", &reported["r"]["s"]),
    ] {
        let time = node["$lastUpdated"].as_str().unwrap_or_default();
        let is_time = time.len() >= 20 && time.ends_with('Z') && time.starts_with("20");
        holds(&format!("{what} has a $lastUpdated, found {node}"), is_time)?;
        let version = &node["$lastUpdatedVersion"];
        let expected = if what.starts_with("desired") { json!(2) } else { Value::Null };
        same(&format!("{what}: $lastUpdatedVersion"), version, &expected)?;
    }
    Ok(())
}
