//! Desired patches and fetches: nothing missed, nothing twice, in order.

use alloc::vec;

use serde_json::json;

use super::super::*;
use super::script::*;
use crate::message::Answer;

fn live() -> Script {
    Script::live(settings(), section(4, json!({"a": 4})), section(1, json!({})))
}

#[test]
fn a_session_subscribes_fetches_and_follows() {
    let mut script = Script::new(settings(), Durable::default());
    assert_eq!(script.session.twin().desired, None);
    script.fetching();
    script.twin(section(4, json!({"a": 4})), section(2, json!({"r": 1})));
    assert!(script.effects().contains(&Effect::Notice(Notice::Synced { version: 4 })));
    assert_eq!(script.desired(), (1, 4, json!({"a": 4})));
    assert_eq!(script.reported(), (2, json!({"r": 1})));
    assert_eq!(script.session.synced_at(), Some(script.now()));
    script.patch(5, json!({"b": 5}));
    script.nothing_sent();
    assert_eq!(script.desired(), (1, 5, json!({"a": 4, "b": 5})));
    assert_eq!(script.session.durable().twin, *script.session.twin());
}

#[test]
fn nothing_is_fetched_before_the_subscriptions_stand() {
    let mut script = Script::new(settings(), Durable::default());
    script.fire();
    script.session.handle_connected(script.now());
    assert!(!script.effects().iter().any(|effect| matches!(effect, Effect::Send { .. })));
    // A patch of a remembered session: the fetch will cover it.
    script.patch(9, json!({"x": 1}));
    script.nothing_sent();
    script.session.handle_subscribed(script.now());
    script.twin(section(9, json!({"x": 1})), section(1, json!({})));
    assert_eq!(script.desired(), (1, 9, json!({"x": 1})));
}

#[test]
fn patches_during_a_fetch_wait_for_its_answer() {
    let mut script = Script::new(settings(), Durable::default());
    script.fetching();
    script.patch(4, json!({"a": "in the answer already"}));
    script.patch(5, json!({"b": 5}));
    script.patch(5, json!({"b": 5}));
    script.patch(6, json!({"c": 6}));
    assert_eq!(script.session.twin().desired, None);
    script.twin(section(4, json!({"a": 4})), section(1, json!({})));
    assert_eq!(script.desired(), (1, 6, json!({"a": 4, "b": 5, "c": 6})));
    script.nothing_sent();
}

#[test]
fn a_gap_is_fetched_and_what_came_meanwhile_applied() {
    let mut script = live();
    script.patch(6, json!({"a": 6}));
    assert_eq!(script.desired(), (1, 4, json!({"a": 4})));
    script.patch(7, json!({"b": 7}));
    script.twin(section(6, json!({"a": 6, "x": 5})), section(1, json!({})));
    assert_eq!(script.desired(), (1, 7, json!({"a": 6, "b": 7, "x": 5})));
    assert_eq!(script.state(), (HubState::Connected, Reason::Ok));
}

#[test]
fn duplicates_and_old_versions_change_nothing() {
    let mut script = live();
    for version in [4, 3, 0] {
        script.patch(version, json!({"a": "old"}));
    }
    assert_eq!(script.effects(), []);
    assert_eq!(script.desired(), (1, 4, json!({"a": 4})));
}

#[test]
fn a_gap_behind_the_fetched_twin_is_fetched_again_but_not_for_ever() {
    let mut script = live();
    script.patch(9, json!({"a": 9}));
    let mut fetches = 0;
    while let Some(request) = fetch_in(&script.effects()) {
        fetches += 1;
        assert!(fetches < 10, "busy loop");
        // A hub that does not see its own newest version.
        let (desired, reported) = (section(4, json!({"a": 4})), section(1, json!({})));
        script.patch(9, json!({"a": 9}));
        script.answer(request, Answer::Twin { desired, reported });
    }
    // Later patches neither hasten nor postpone the next look.
    for version in 10..60 {
        script.patch(version, json!({"a": version}));
        let effects = script.pass(199);
        assert!(fetch_in(&effects).is_none(), "{effects:?}");
    }
    let effects = script.pass(1_000);
    let request = fetch_in(&effects).expect("a look after ten seconds");
    let (desired, reported) = (section(59, json!({"a": 59})), section(1, json!({})));
    script.answer(request, Answer::Twin { desired, reported });
    assert_eq!(script.desired(), (1, 59, json!({"a": 59})));
}

#[test]
fn more_patches_than_can_wait_lead_to_another_fetch() {
    // The flood ends right where the buffer overflows, or later.
    for flood in [256, 257, 300] {
        let mut script = live();
        script.patch(6, json!({}));
        let first = fetch_in(&script.effects()).unwrap();
        for version in 7..7 + flood {
            script.patch(version, json!({ "a": version }));
        }
        let (desired, reported) = (section(6, json!({"a": 6})), section(1, json!({})));
        script.answer(first, Answer::Twin { desired, reported });
        let last = 6 + flood;
        script.twin(section(last, json!({ "a": last })), section(1, json!({})));
        assert_eq!(script.desired(), (1, last, json!({ "a": last })));
    }
}

#[test]
fn a_line_of_versions_that_goes_back_is_a_new_generation() {
    let mut script = live();
    script.session.handle_lost(script.now(), network());
    script.effects();
    script.go_live(section(1, json!({"new": 1})), section(1, json!({})));
    assert!(script.effects().contains(&Effect::Notice(Notice::NewGeneration { generation: 2 })));
    assert_eq!(script.desired(), (2, 1, json!({"new": 1})));
    script.patch(2, json!({"new": 2}));
    assert_eq!(script.desired(), (2, 2, json!({"new": 2})));
}

#[test]
fn the_same_version_with_another_content_is_a_new_generation() {
    let mut script = live();
    script.session.handle_lost(script.now(), network());
    script.effects();
    script.go_live(section(4, json!({"a": "other"})), section(1, json!({})));
    assert_eq!(script.desired(), (2, 4, json!({"a": "other"})));
}

#[test]
fn every_reconnect_fetches_again() {
    let mut script = live();
    for version in 5..9 {
        script.session.reconnect(script.now());
        assert_eq!(script.effects()[0], Effect::Disconnect);
        script.go_live(section(version, json!({})), section(1, json!({})));
        assert_eq!(script.desired().1, version);
        script.effects();
    }
}

#[test]
fn the_hub_may_refuse_a_fetch_for_now() {
    for (status, message, reason, least, most) in [
        (429, "slow down", Reason::Throttled, 10_000, 11_000),
        (500, "oops", Reason::HubError, 0, 1_000),
        (403, "IotHubQuotaExceeded", Reason::Quota, 15_000, 30_000),
    ] {
        let mut script = Script::new(settings(), Durable::default());
        script.fetching();
        let request = fetch_in(&script.effects()).unwrap();
        script.refuse(request, status, message);
        assert_eq!(script.state(), (HubState::Connecting, reason));
        assert!(script.session.status().detail.as_ref().unwrap().contains(message));
        assert_eq!(script.effects(), [], "the link stays");
        let at = script.session.status().next_attempt.unwrap().0 - script.now;
        assert!((least..=most).contains(&at), "{status}: {at}");
        // Patches that come meanwhile are covered by the fetch to come.
        script.patch(8, json!({"x": 1}));
        script.fire();
        script.twin(section(9, json!({"x": 2})), section(1, json!({})));
        assert_eq!(script.desired(), (1, 9, json!({"x": 2})));
        assert_eq!(script.state(), (HubState::Connected, Reason::Ok));
        assert_eq!(script.session.status().detail, None);
    }
}

#[test]
fn a_fetch_refused_for_the_identity_ends_the_link() {
    for (status, reason) in
        [(401, Reason::BadCredential), (404, Reason::BadCredential), (400, Reason::HubError)]
    {
        let mut script = Script::new(settings(), Durable::default());
        script.fetching();
        let request = fetch_in(&script.effects()).unwrap();
        script.refuse(request, status, "no");
        assert_eq!(script.effects(), [Effect::Disconnect]);
        assert_eq!(script.state(), (HubState::Disconnected, reason));
    }
}

#[test]
fn an_answer_of_the_wrong_kind_ends_the_link() {
    let mut script = Script::new(settings(), Durable::default());
    script.fetching();
    let request = fetch_in(&script.effects()).unwrap();
    script.accept(request, 3);
    assert_eq!(script.effects(), [Effect::Disconnect]);
    assert_eq!(script.state(), (HubState::Disconnected, Reason::HubError));
}

#[test]
fn an_unanswered_fetch_ends_the_link() {
    let mut script = Script::new(settings(), Durable::default());
    script.fetching();
    script.effects();
    assert_eq!(script.pass(9_999), []);
    script.fire();
    assert_eq!(script.effects(), [Effect::Disconnect]);
    assert_eq!(script.state(), (HubState::Disconnected, Reason::Network));
}

#[test]
fn the_answer_to_an_earlier_fetch_is_not_taken() {
    let mut script = live();
    script.session.refresh(script.now());
    let old = fetch_in(&script.effects()).unwrap();
    script.session.handle_lost(script.now(), network());
    script.effects();
    script.fetching();
    let answer = Answer::Twin { desired: section(2, json!({})), reported: section(1, json!({})) };
    script.answer(old, answer);
    assert_eq!(script.desired(), (1, 4, json!({"a": 4})));
    script.twin(section(5, json!({})), section(1, json!({})));
    assert_eq!(script.desired(), (1, 5, json!({})));
}

#[test]
fn something_unreadable_during_a_fetch_leads_to_another_one() {
    let mut script = live();
    script.session.refresh(script.now());
    let first = fetch_in(&script.effects()).unwrap();
    // The patch to version 5 could not be read, and the answer was older.
    script.session.refresh(script.now());
    script.nothing_sent();
    let (desired, reported) = (section(4, json!({"a": 4})), section(1, json!({})));
    script.answer(first, Answer::Twin { desired, reported });
    script.twin(section(5, json!({"a": 5})), section(1, json!({})));
    assert_eq!(script.desired(), (1, 5, json!({"a": 5})));
    script.nothing_sent();
}

#[test]
fn a_live_session_looks_again_from_time_to_time() {
    let mut script = live();
    assert_eq!(script.pass(3_599_999), vec![]);
    script.fire();
    assert!(script.now < 3_961_000 + 1_000, "{}", script.now);
    let request = fetch_in(&script.effects()).expect("a resync");
    assert_eq!(script.state(), (HubState::Connected, Reason::Ok));
    let (desired, reported) = (section(9, json!({"a": 9})), section(1, json!({})));
    script.answer(request, Answer::Twin { desired, reported });
    assert_eq!(script.desired(), (1, 9, json!({"a": 9})));
}

#[test]
fn a_restarted_session_knows_what_it_knew() {
    let script = live();
    let again = Script::new(settings(), script.session.durable());
    assert_eq!(again.desired(), (1, 4, json!({"a": 4})));
    assert!(again.session.is_stale());
    assert_eq!(again.session.synced_at(), None);
}
