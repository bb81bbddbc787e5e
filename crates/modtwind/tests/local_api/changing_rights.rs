//! Rights that a reload changes reach what is open already: streams, connections, bodies under way.

use std::sync::Arc;

use modtwin_config::Handler;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::modules::{Events, HVAC, READER, Scene, with_body};
use crate::peer::{ask, can_change_users, get, in_time, read};
use crate::session::{Running, module, rule};

impl Scene {
    /// Puts other rules for module `m` into force, as a reload does.
    fn rule(&self, rules: Vec<Handler>) {
        let changed = Arc::new(module("m", rules));
        self.publish(|registry| registry.modules[0].config = changed);
    }

    /// Has desired be `value` in version 8, from a session that takes the place of the first.
    async fn change(&self, value: Value) -> Running {
        let next = Running::start("m", Some((8, value)), Vec::new()).await;
        let handle = next.entry.handle.clone();
        self.publish(|registry| registry.modules[0].handle = handle);
        next
    }
}

/// The next event that is not about the hub.
async fn next(events: &mut Events) -> Option<Value> {
    loop {
        let event = in_time(events.next()).await;
        if event.as_ref().is_none_or(|event| event["type"] != "hub") {
            return event;
        }
    }
}

#[tokio::test]
async fn whoever_loses_its_rule_is_told_and_refused_on_the_connections_it_has() {
    if !can_change_users() {
        return;
    }
    let scene = Scene::open().await;
    let mut events = Events::open(scene.connect_as(READER), "/v1/modules/m/watch").await;
    assert_eq!(next(&mut events).await.unwrap()["type"], "snapshot");
    let mut kept = scene.connect_as(READER);
    assert_eq!(ask(&mut kept, get("/v1/modules/m")).await.status, 200);

    scene.rule(vec![rule("hvac", HVAC, &["/a"], &["/r"])]);
    assert_eq!(next(&mut events).await, Some(json!({"type": "removed", "module": "m"})));
    assert_eq!(next(&mut events).await, None);
    ask(&mut kept, get("/v1/modules/m")).await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_rule_that_only_loses_the_right_to_watch_ends_the_stream_too() {
    if !can_change_users() {
        return;
    }
    let scene = Scene::open().await;
    let mut events = Events::open(scene.connect_as(HVAC), "/v1/modules/m/watch").await;
    assert_eq!(next(&mut events).await.unwrap()["type"], "snapshot");
    scene.rule(vec![rule("hvac", HVAC, &[], &["/r"])]);
    assert_eq!(next(&mut events).await.unwrap()["type"], "removed");
    let mut stream = scene.connect_as(HVAC);
    let patch = with_body("PATCH", "/v1/modules/m/reported", r#"{"r":1}"#);
    assert_eq!(ask(&mut stream, patch).await.status, 202);
}

#[tokio::test]
async fn a_stream_goes_on_with_a_snapshot_of_what_the_peer_may_see_from_now_on() {
    if !can_change_users() {
        return;
    }
    let scene = Scene::open().await;
    let mut events = Events::open(scene.connect_as(HVAC), "/v1/modules/m/watch").await;
    assert_eq!(next(&mut events).await.unwrap()["desired"], json!({"a": {"x": 1}}));

    scene.rule(vec![rule("hvac", HVAC, &["/a", "/b"], &["/r"])]);
    let wider = next(&mut events).await.unwrap();
    assert_eq!(wider["type"], "snapshot");
    assert_eq!(wider["desired"], json!({"a": {"x": 1}, "b": 2}));

    scene.rule(vec![rule("hvac", HVAC, &["/b"], &["/r"])]);
    let narrower = next(&mut events).await.unwrap();
    assert_eq!((&narrower["type"], &narrower["desired"]), (&json!("snapshot"), &json!({"b": 2})));

    // What comes next is told from there: nothing of what may not be seen any more.
    scene.rule(vec![rule("hvac", HVAC, &["/b"], &[])]);
    let _next = scene.change(json!({"a": {"x": 9}, "b": 3})).await;
    let event = next(&mut events).await.unwrap();
    assert_eq!((&event["type"], &event["version"]), (&json!("desired"), &json!(8)));
    assert_eq!((&event["patch"], &event["desired"]), (&json!({"b": 3}), &json!({"b": 3})));
}

#[tokio::test]
async fn a_stream_that_asked_for_paths_keeps_to_those_it_may_still_see() {
    if !can_change_users() {
        return;
    }
    let scene = Scene::open().await;
    let path = "/v1/modules/m/watch?path=/a&path=/b";
    let mut events = Events::open(scene.connect_as(READER), path).await;
    assert_eq!(next(&mut events).await.unwrap()["desired"], json!({"a": {"x": 1}, "b": 2}));
    scene.rule(vec![rule("reader", READER, &["/b", "/c"], &[])]);
    assert_eq!(next(&mut events).await.unwrap()["desired"], json!({"b": 2}));
    // A right to more than was asked for changes nothing.
    scene.rule(vec![rule("reader", READER, &["/b", "/c", "/d"], &[])]);
    let _next = scene.change(json!({"a": 1, "b": 3, "c": 4})).await;
    let event = next(&mut events).await.unwrap();
    assert_eq!((&event["type"], &event["desired"]), (&json!("desired"), &json!({"b": 3})));
}

#[tokio::test]
async fn status_shows_who_watches_under_the_new_names() {
    if !can_change_users() {
        return;
    }
    let scene = Scene::open().await;
    let mut events = Events::open(scene.connect_as(HVAC), "/v1/modules/m/watch").await;
    assert_eq!(next(&mut events).await.unwrap()["type"], "snapshot");
    scene.rule(vec![rule("air", HVAC, &["/a", "/b"], &["/r"])]);
    assert_eq!(next(&mut events).await.unwrap()["type"], "snapshot");
    let status = scene.daemon.get("/v1/status").await.json();
    let handler = &status["modules"][0]["handlers"][0];
    assert_eq!((&handler["name"], &handler["watching"]), (&json!("air"), &json!(true)));
}

#[tokio::test]
async fn a_body_that_arrives_after_the_right_is_gone_is_refused() {
    if !can_change_users() {
        return;
    }
    let scene = Scene::open().await;
    let mut stream = scene.connect_as(HVAC);
    // A first request, so that it is certain that the second has come so far.
    assert_eq!(ask(&mut stream, get("/v1/modules/m")).await.status, 200);
    let patch = with_body("PATCH", "/v1/modules/m/reported", r#"{"r":{"x":1}}"#);
    let (early, late) = patch.split_at(patch.len() - 4);
    stream.write_all(early.as_bytes()).await.unwrap();
    let mut ack = scene.connect_as(HVAC);
    let word = with_body("POST", "/v1/modules/m/acks", r#"{"version":7,"status":200}"#);
    let (early, late_word) = word.split_at(word.len() - 4);
    ack.write_all(early.as_bytes()).await.unwrap();
    scene.rule(vec![rule("hvac", HVAC, &[], &["/other"])]);
    stream.write_all(late.as_bytes()).await.unwrap();
    ack.write_all(late_word.as_bytes()).await.unwrap();
    read(&mut stream, false).await.problem(403, "forbidden");
    read(&mut ack, false).await.problem(403, "forbidden");
    let snapshot = scene.daemon.get("/v1/modules/m").await.json();
    assert_eq!((&snapshot["pending"], &snapshot["applied"]), (&json!({}), &json!([])));
}
