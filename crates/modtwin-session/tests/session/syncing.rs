//! In step with the hub: a fetch after every connect, gaps, floods and nonsense.

use modtwin_core::status::{Fault, HubState, Reason};
use modtwin_session::link::{LinkStatus, MESSAGE_QUEUE};
use serde_json::{Value, json};

use crate::rig::{Call, Rig};

fn lost(words: &str) -> LinkStatus {
    LinkStatus::Lost(Fault::new(Reason::Network, words))
}

/// The desired document once it has that version.
async fn desired_at(rig: &Rig, version: u64) -> Value {
    let has = |view: &modtwin_session::view::ModuleView| {
        view.desired.as_ref().is_some_and(|desired| desired.version == version)
    };
    let view = rig.view_where(has).await;
    Value::Object(view.desired.as_ref().unwrap().document.clone())
}

#[tokio::test(start_paused = true)]
async fn every_connect_is_followed_by_subscribing_and_a_fetch() {
    let mut rig = Rig::start().await;
    for round in 1..=50 {
        rig.go_live(json!({"$version": round, "n": round}), json!({"$version": 1})).await;
        assert_eq!(desired_at(&rig, round).await, json!({"n": round}));
        assert_eq!(rig.handle.view().connects, round);
        tokio::time::sleep(std::time::Duration::from_secs(120)).await;
        rig.hub.say(lost("cut"));
        let view = rig.view_where(|view| view.stale).await;
        assert!(view.desired.is_some(), "what was known is served on");
    }
}

#[tokio::test(start_paused = true)]
async fn patches_that_overtake_the_fetch_wait_for_it() {
    let mut rig = Rig::start().await;
    rig.hub.connect().await;
    rig.hub.say(LinkStatus::Connected);
    assert!(matches!(rig.hub.call().await, Call::Subscribe));
    rig.hub.say(LinkStatus::Subscribed);
    let rid = rig.hub.fetch().await;
    for version in [4, 5, 6] {
        assert!(rig.hub.patch(version, &json!({"n": version, format!("k{version}"): true})));
    }
    rig.hub.answer_twin(&rid, json!({"$version": 5, "n": 5}), json!({"$version": 1}));
    assert_eq!(desired_at(&rig, 6).await, json!({"n": 6, "k6": true}));
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_filled_by_a_fetch_and_repeats_are_dropped() {
    let mut rig = Rig::start().await;
    rig.go_live(json!({"$version": 1, "n": 1}), json!({"$version": 1})).await;
    for version in [2, 2, 1, 2] {
        assert!(rig.hub.patch(version, &json!({"n": version})));
    }
    assert_eq!(desired_at(&rig, 2).await, json!({"n": 2}));
    assert!(rig.hub.patch(5, &json!({"n": 5})));
    let rid = rig.hub.fetch().await;
    rig.hub.answer_twin(&rid, json!({"$version": 5, "n": 5, "k4": 4}), json!({"$version": 1}));
    assert_eq!(desired_at(&rig, 5).await, json!({"n": 5, "k4": 4}));
    assert!(rig.hub.calls_so_far().is_empty(), "one fetch fills the gap");
}

#[tokio::test(start_paused = true)]
async fn an_overrun_of_the_queue_is_mended_by_a_new_connection_and_a_fetch() {
    let mut rig = Rig::start().await;
    rig.go_live(json!({"$version": 1}), json!({"$version": 1})).await;
    let mut version = 1;
    while rig.hub.patch(version + 1, &json!({"n": version + 1})) {
        version += 1;
    }
    assert_eq!(version, 1 + MESSAGE_QUEUE as u64);
    rig.hub.say(lost("more messages than the queue holds"));
    rig.go_live(json!({"$version": 400, "n": 400}), json!({"$version": 1})).await;
    assert_eq!(desired_at(&rig, 400).await, json!({"n": 400}));
    assert!(rig.hub.patch(401, &json!({"n": 401})), "the queue has room again");
    assert_eq!(desired_at(&rig, 401).await, json!({"n": 401}));
}

#[tokio::test(start_paused = true)]
async fn nonsense_from_the_hub_leads_to_few_fetches_and_no_harm() {
    let mut rig = Rig::start().await;
    rig.go_live(json!({"$version": 1, "n": 1}), json!({"$version": 1})).await;
    let nonsense: [(&str, &[u8]); 6] = [
        ("$iothub/twin/PATCH/properties/desired/?$version=2", b"\xff\xfe"),
        ("$iothub/twin/PATCH/properties/desired/?$version=two", b"{}"),
        ("$iothub/twin/PATCH/properties/desired/", b"[1,2"),
        ("$iothub/twin/res/abc/?$rid=", b""),
        ("$iothub/twin/res/200/?$rid=999999", b"{}"),
        ("somewhere/else", b"{}"),
    ];
    for round in 0..20 {
        for (topic, payload) in nonsense {
            assert!(rig.hub.publish(topic, payload), "round {round}: the queue is full");
        }
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    let fetches = rig.hub.calls_so_far();
    assert_eq!(fetches.len(), 1, "one fetch covers all that came before its answer: {fetches:?}");
    let Call::Publish { topic, .. } = &fetches[0] else { panic!("{fetches:?}") };
    let rid = topic.rsplit('=').next().unwrap();
    rig.hub.answer_twin(rid, json!({"$version": 2, "n": 2}), json!({"$version": 1}));
    assert_eq!(desired_at(&rig, 2).await, json!({"n": 2}));
    // Nonsense came while the fetch was under way, so one more follows; it may bring no end of them.
    let rid = rig.hub.fetch().await;
    rig.hub.answer_twin(&rid, json!({"$version": 2, "n": 2}), json!({"$version": 1}));
    rig.stands(HubState::Connected, Reason::Ok).await;
    assert!(rig.hub.patch(3, &json!({"n": 3})));
    assert_eq!(desired_at(&rig, 3).await, json!({"n": 3}));
}

#[tokio::test(start_paused = true)]
async fn a_version_line_that_begins_anew_is_a_new_generation() {
    let mut rig = Rig::start().await;
    rig.go_live(json!({"$version": 9, "n": 9, "old": true}), json!({"$version": 4})).await;
    rig.hub.say(lost("the module was deleted"));
    rig.go_live(json!({"$version": 1, "n": 1}), json!({"$version": 1})).await;
    let view = rig.handle.view();
    assert_eq!(view.generation, 2);
    assert_eq!(desired_at(&rig, 1).await, json!({"n": 1}));
}

#[tokio::test(start_paused = true)]
async fn the_same_version_with_other_content_is_a_new_generation_too() {
    let mut rig = Rig::start().await;
    rig.go_live(json!({"$version": 3, "n": "old"}), json!({"$version": 1})).await;
    rig.hub.say(lost("the module was deleted and created while nobody looked"));
    rig.go_live(json!({"$version": 3, "n": "new"}), json!({"$version": 1})).await;
    assert_eq!(rig.handle.view().generation, 2);
    assert_eq!(desired_at(&rig, 3).await, json!({"n": "new"}));
}
