//! Reports from the caller to disk to the hub and back.

use alloc::vec;
use alloc::vec::Vec;

use serde_json::json;

use super::super::*;
use super::script::*;
use crate::message::Answer;

fn live() -> Script {
    Script::live(settings(), section(1, json!({})), section(5, json!({"a": 1})))
}

#[test]
fn a_report_is_staged_stored_sent_and_accepted() {
    let mut script = live();
    script.disk = None;
    script.pass(1_000);
    let sequence = script.report(json!({"b": 2}));
    assert_eq!(script.effects(), [Effect::Save]);
    assert!(script.session.outbox().is_empty(), "nothing is sent before it is stored");
    let durable = script.session.durable();
    assert_eq!((durable.outbox.len(), durable.sequence), (1, sequence));
    script.session.handle_saved(script.now(), true);
    let effects = script.effects();
    assert_eq!(effects[0], Effect::Stored { through: sequence });
    let [(id, patch)] = &reports_in(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(*patch, json!({"b": 2}));
    script.accept(*id, 6);
    let effects = script.effects();
    assert_eq!(accepted_in(&effects), [(sequence, vec!["b"], 6)]);
    assert_eq!(script.reported(), (6, json!({"a": 1, "b": 2})));
    assert!(script.session.is_unsaved());
    assert_eq!(script.pass(1_000), [Effect::Save], "the consent follows to disk");
    script.session.handle_saved(script.now(), true);
    assert!(!script.session.is_unsaved());
    assert_eq!(script.session.durable().outbox, []);
}

#[test]
fn reports_during_a_write_share_the_next_one_and_one_patch() {
    let mut script = live();
    script.disk = None;
    script.pass(1_000);
    let first = script.report(json!({"b": 1}));
    script.report(json!({"c": 2}));
    let last = script.report(json!({"b": 3}));
    assert_eq!(script.effects(), [Effect::Save]);
    script.session.handle_saved(script.now(), true);
    let effects = script.effects();
    assert_eq!(effects[0], Effect::Stored { through: first });
    assert_eq!(reports_in(&effects).len(), 1);
    assert!(effects.contains(&Effect::Save));
    script.session.handle_saved(script.now(), true);
    assert_eq!(script.effects(), [Effect::Stored { through: last }], "one in flight");
    let waiting: Vec<_> = script.session.outbox().waiting().cloned().collect();
    assert_eq!(waiting[1].patch, document(json!({"b": 3, "c": 2})));
}

#[test]
fn what_could_not_be_stored_is_dropped_and_nothing_else() {
    let mut script = live();
    let stored = script.report(json!({"b": 1}));
    let (id, _) = script.sent();
    script.disk = None;
    let lost = script.report(json!({"c": 2}));
    let kept = script.report(json!({"d": 3}));
    assert_eq!(script.effects(), [Effect::Save]);
    script.session.handle_saved(script.now(), false);
    assert!(!script.session.is_storage_good());
    let effects = script.effects();
    assert_eq!(effects, [Effect::NotStored { through: lost }, Effect::Save]);
    script.session.handle_saved(script.now(), true);
    assert_eq!(script.effects(), [Effect::Stored { through: kept }]);
    assert!(script.session.is_storage_good());
    script.disk = Some(true);
    script.accept(id, 6);
    let (id, patch) = script.sent();
    assert_eq!(patch, json!({"d": 3}));
    script.accept(id, 7);
    assert_eq!(script.reported(), (7, json!({"a": 1, "b": 1, "d": 3})));
    assert!(stored < lost && lost < kept);
}

#[test]
fn a_broken_disk_is_tried_again_by_time_and_by_report_only() {
    let mut script = live();
    script.disk = None;
    script.pass(1_000);
    script.patch(2, json!({}));
    assert_eq!(script.pass(100), [Effect::Save]);
    script.session.handle_saved(script.now(), false);
    script.effects();
    for version in 3..50 {
        script.patch(version, json!({}));
        assert_eq!(script.pass(50), [], "patches don't hasten it");
    }
    let sequence = script.report(json!({"b": 1}));
    assert_eq!(script.effects(), [Effect::Save]);
    script.session.handle_saved(script.now(), false);
    assert_eq!(script.effects(), [Effect::NotStored { through: sequence }]);
    assert_eq!(script.pass(4_999), []);
    assert_eq!(script.pass(1), [Effect::Save]);
    script.session.handle_saved(script.now(), true);
    assert!(!script.session.is_unsaved());
}

#[test]
fn a_flood_of_patches_shares_writes() {
    let mut script = live();
    let mut writes = 0;
    script.disk = None;
    for version in 2..1_002 {
        script.patch(version, json!({}));
        if script.pass(1).contains(&Effect::Save) {
            writes += 1;
            script.session.handle_saved(script.now(), true);
        }
    }
    assert!((9..=11).contains(&writes), "{writes} writes in a second");
}

#[test]
fn a_report_on_a_change_shares_its_write() {
    let mut script = live();
    script.pass(1_000);
    script.disk = None;
    script.patch(2, json!({"speed": 3}));
    assert_eq!(script.pass(5), []);
    let sequence = script.report(json!({"speed": 3}));
    assert_eq!(script.effects(), [Effect::Save]);
    script.session.handle_saved(script.now(), true);
    assert!(script.effects().contains(&Effect::Stored { through: sequence }));
    assert!(!script.session.is_unsaved());
}

#[test]
fn what_the_hub_has_already_is_neither_written_nor_sent() {
    let mut script = live();
    script.pass(5_000);
    let taken = script.session.report(script.now(), document(json!({"a": 1, "z": null})));
    assert_eq!(taken, Ok(Taken::AlreadyThere { sequence: 0, version: 5 }));
    assert_eq!(script.effects(), []);
    assert!(!script.session.is_unsaved());
    // While something waits, going back to the old value is a change.
    script.report(json!({"a": 2}));
    script.report(json!({"a": 1}));
}

#[test]
fn an_illegal_report_is_refused_and_leaves_no_trace() {
    let mut script = live();
    script.effects();
    let violation =
        script.session.report(script.now(), document(json!({"$version": 1}))).unwrap_err();
    assert_eq!(violation.pointer, "/$version");
    // Two reports that are legal each and too large together, the first not even stored.
    script.disk = None;
    let large = |key: &str| {
        let value: Vec<_> = core::iter::repeat_n("x".repeat(4_000), 5).collect();
        document(json!({ key: value }))
    };
    assert!(script.session.report(script.now(), large("b")).is_ok());
    let violation = script.session.report(script.now(), large("c")).unwrap_err();
    assert_eq!(violation.limit, Some(32 * 1024));
    assert_eq!(script.session.durable().outbox.len(), 1);
}

#[test]
fn reports_wait_for_the_link_and_go_at_once_when_it_is_live() {
    let mut script = Script::new(settings(), Durable::default());
    script.report(json!({"a": 1}));
    script.report(json!({"b": null}));
    script.nothing_sent();
    script.fetching();
    script.twin(section(1, json!({})), section(1, json!({"b": 1})));
    assert_eq!(script.sent().1, json!({"a": 1, "b": null}));
}

#[test]
fn a_report_without_an_answer_is_looked_up_and_settled_or_sent_again() {
    for arrived in [true, false] {
        let mut script = live();
        let sequence = script.report(json!({"b": 2}));
        let (_, patch) = script.sent();
        let effects = script.pass(10_000);
        assert!(effects.contains(&Effect::Notice(Notice::ReportUnanswered)));
        let request = fetch_in(&effects).unwrap();
        let reported =
            if arrived { section(6, json!({"a": 1, "b": 2})) } else { section(5, json!({"a": 1})) };
        script.answer(request, Answer::Twin { desired: section(1, json!({})), reported });
        if arrived {
            let effects = script.effects();
            assert_eq!(accepted_in(&effects), [(sequence, vec!["b"], 6)]);
            assert!(reports_in(&effects).is_empty());
        } else {
            assert_eq!(script.sent().1, patch);
        }
    }
}

#[test]
fn a_late_answer_over_a_newer_value_is_put_right() {
    let mut script = live();
    script.report(json!({"b": "old"}));
    let (late, _) = script.sent();
    let request = fetch_in(&script.pass(10_000)).unwrap();
    let twin = |reported| Answer::Twin { desired: section(1, json!({})), reported };
    script.answer(request, twin(section(5, json!({"a": 1}))));
    let (again, _) = script.sent();
    script.accept(again, 6);
    script.report(json!({"b": "new"}));
    let (newer, _) = script.sent();
    script.accept(newer, 7);
    script.effects();
    // Only now the hub takes the report that was given up on.
    script.accept(late, 8);
    let request = fetch_in(&script.effects()).unwrap();
    script.answer(request, twin(section(8, json!({"a": 1, "b": "old"}))));
    assert_eq!(script.sent().1, json!({"b": "new"}));
}

#[test]
fn a_late_answer_of_what_is_sent_again_anyway_deletes_nothing() {
    let mut script = live();
    let sequence = script.report(json!({"b": 2}));
    let (late, _) = script.sent();
    let effects = script.pass(10_000);
    let request = fetch_in(&effects).unwrap();
    script.accept(late, 6);
    let twin = |reported| Answer::Twin { desired: section(1, json!({})), reported };
    script.answer(request, twin(section(6, json!({"a": 1, "b": 2}))));
    let effects = script.effects();
    assert_eq!(accepted_in(&effects), [(sequence, vec!["b"], 6)]);
    assert!(reports_in(&effects).is_empty(), "{effects:?}");
    assert!(!effects.contains(&Effect::Notice(Notice::ReportedLost)));
}

#[test]
fn a_twin_read_before_a_report_was_taken_is_no_loss() {
    let mut script = live();
    script.report(json!({"b": 2}));
    let (id, _) = script.sent();
    script.session.refresh(script.now());
    let request = fetch_in(&script.effects()).unwrap();
    script.accept(id, 6);
    let twin =
        Answer::Twin { desired: section(1, json!({})), reported: section(5, json!({"a": 1})) };
    script.answer(request, twin);
    let effects = script.effects();
    assert!(!effects.contains(&Effect::Notice(Notice::ReportedLost)), "{effects:?}");
    assert!(reports_in(&effects).is_empty());
    assert_eq!(script.reported(), (6, json!({"a": 1, "b": 2})));
}

#[test]
fn a_second_answer_changes_nothing() {
    let mut script = live();
    script.report(json!({"b": 2}));
    let (id, _) = script.sent();
    script.accept(id, 6);
    script.effects();
    script.accept(id, 6);
    assert_eq!(script.effects(), []);
    assert_eq!(script.reported(), (6, json!({"a": 1, "b": 2})));
}

#[test]
fn a_loss_in_flight_sends_again_only_what_the_fetch_does_not_show() {
    for arrived in [true, false] {
        let mut script = live();
        let sequence = script.report(json!({"b": 2}));
        script.sent();
        script.session.handle_lost(script.now(), network());
        script.effects();
        let reported =
            if arrived { section(6, json!({"a": 1, "b": 2})) } else { section(5, json!({"a": 1})) };
        script.go_live(section(1, json!({})), reported);
        let effects = script.effects();
        assert_eq!(reports_in(&effects).len(), usize::from(!arrived));
        assert_eq!(accepted_in(&effects).len(), usize::from(arrived));
        if arrived {
            assert_eq!(accepted_in(&effects), [(sequence, vec!["b"], 6)]);
        }
    }
}

#[test]
fn what_the_hub_lost_is_put_back_before_newer_reports_and_tells_nobody() {
    let mut script = live();
    script.report(json!({"b": 1}));
    let (id, _) = script.sent();
    script.accept(id, 6);
    script.effects();
    script.session.handle_lost(script.now(), network());
    let newer = script.report(json!({"b": 2, "c": 3}));
    script.effects();
    // A failover to older data.
    script.go_live(section(1, json!({})), section(3, json!({"a": 0})));
    let effects = script.effects();
    assert!(effects.contains(&Effect::Notice(Notice::ReportedLost)));
    let [(first, patch)] = &reports_in(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(*patch, json!({"a": 1, "b": 1}));
    script.accept(*first, 4);
    let effects = script.effects();
    assert!(accepted_in(&effects).iter().all(|(through, ..)| *through < newer), "{effects:?}");
    let [(second, patch)] = &reports_in(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(*patch, json!({"b": 2, "c": 3}));
    script.accept(*second, 5);
    assert_eq!(accepted_in(&script.effects()), [(newer, vec!["b", "c"], 5)]);
    assert_eq!(script.reported(), (5, json!({"a": 1, "b": 2, "c": 3})));
}

#[test]
fn a_report_staged_during_a_reassertion_is_not_called_accepted_with_it() {
    let mut script = live();
    script.disk = None;
    script.session.handle_lost(script.now(), network());
    let staged = script.report(json!({"a": 9}));
    script.effects();
    script.fire();
    script.session.handle_connected(script.now());
    script.session.handle_subscribed(script.now());
    script.twin(section(1, json!({})), section(1, json!({})));
    let (id, patch) = script.sent();
    assert_eq!(patch, json!({"a": 1}));
    script.accept(id, 2);
    let effects = script.effects();
    assert!(accepted_in(&effects).iter().all(|(through, ..)| *through < staged), "{effects:?}");
}

#[test]
fn a_twin_recreated_under_a_live_link_keeps_what_was_accepted_since() {
    let mut script = live();
    script.report(json!({"b": 2}));
    let (id, _) = script.sent();
    // The hub's line of versions began anew, and nobody said so.
    script.accept(id, 2);
    let request = fetch_in(&script.effects()).expect("a look at the odd version");
    let (desired, reported) = (section(1, json!({})), section(2, json!({"b": 2})));
    script.answer(request, Answer::Twin { desired, reported });
    assert_eq!(script.sent().1, json!({"a": 1}), "what was lost, and no delete");
}

#[test]
fn a_version_that_skips_is_looked_at() {
    let mut script = live();
    script.report(json!({"b": 2}));
    let (id, _) = script.sent();
    script.accept(id, 9);
    let request = fetch_in(&script.effects()).unwrap();
    let (desired, reported) = (section(1, json!({})), section(9, json!({"b": 2, "other": 1})));
    script.answer(request, Answer::Twin { desired, reported });
    assert_eq!(script.reported(), (9, json!({"b": 2, "other": 1})));
}

#[test]
fn one_refused_key_is_found_and_the_rest_arrives() {
    let mut script = live();
    let sequence = script.report(json!({"b": 1, "bad": 2, "c": 3, "d": 4}));
    let (mut version, mut effects) = (5, script.effects());
    let mut all = effects.clone();
    let mut requests = 0;
    while let Some((id, patch)) = reports_in(&effects).pop() {
        requests += 1;
        if patch.get("bad").is_some() {
            script.refuse(id, 400, "no such thing");
        } else {
            version += 1;
            script.accept(id, version);
        }
        effects = script.effects();
        all.extend(effects.clone());
    }
    assert_eq!(requests, 5);
    assert_eq!(script.reported(), (version, json!({"a": 1, "b": 1, "c": 3, "d": 4})));
    let rejected: Vec<_> = all
        .iter()
        .filter_map(|effect| match effect {
            Effect::Rejected { through, refused } => Some((*through, refused.key.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(rejected, [(sequence, "bad")]);
    assert_eq!(script.session.durable().quarantined[0].message, "no such thing");
    assert_eq!(script.state(), (HubState::Connected, Reason::Ok));
}

#[test]
fn going_back_to_the_value_at_the_hub_lifts_a_quarantine() {
    let mut script = live();
    script.report(json!({"a": "poison"}));
    let (id, _) = script.sent();
    script.refuse(id, 400, "no");
    script.effects();
    assert_eq!(script.session.outbox().quarantined().count(), 1);
    let taken = script.session.report(script.now(), document(json!({"a": 1})));
    assert!(matches!(taken, Ok(Taken::AlreadyThere { .. })));
    assert_eq!(script.session.outbox().quarantined().count(), 0);
    assert!(script.session.is_unsaved());
    script.pass(100);
    assert!(!script.session.is_unsaved());
}

#[test]
fn a_throttled_report_waits_and_is_sent_again_merged() {
    for (status, message, reason) in
        [(429, "", Reason::Throttled), (503, "", Reason::HubError), (403, "Quota", Reason::Quota)]
    {
        let mut script = live();
        script.report(json!({"b": 1}));
        let (id, _) = script.sent();
        script.refuse(id, status, message);
        assert_eq!(script.state(), (HubState::Connected, reason));
        assert!(!script.session.is_stale());
        script.report(json!({"c": 2}));
        script.nothing_sent();
        let at = script.session.status().next_attempt.unwrap();
        let effects = script.pass(at.0 - script.now);
        let [(id, patch)] = &reports_in(&effects)[..] else { panic!("{effects:?}") };
        assert_eq!(*patch, json!({"b": 1, "c": 2}));
        script.accept(*id, 6);
        assert_eq!(script.state(), (HubState::Connected, Reason::Ok));
        assert_eq!(script.session.status().next_attempt, None);
    }
}

#[test]
fn a_hub_that_judges_content_throttles_no_more() {
    let mut script = live();
    script.report(json!({"bad": 1}));
    let (id, _) = script.sent();
    script.refuse(id, 429, "");
    script.fire();
    let (id, _) = script.sent();
    script.refuse(id, 400, "");
    assert_eq!(script.state(), (HubState::Connected, Reason::Ok));
}

#[test]
fn a_report_refused_for_the_identity_ends_the_link() {
    let mut script = live();
    script.report(json!({"b": 1}));
    let (id, _) = script.sent();
    script.refuse(id, 401, "who are you");
    assert_eq!(script.effects(), [Effect::Disconnect]);
    assert_eq!(script.state(), (HubState::Disconnected, Reason::BadCredential));
    script.go_live(section(1, json!({})), section(5, json!({"a": 1})));
    assert_eq!(script.sent().1, json!({"b": 1}));
}

#[test]
fn a_report_unanswered_while_fetches_are_held_does_not_hasten_them() {
    let mut script = live();
    script.report(json!({"b": 1}));
    script.sent();
    script.pass(5_000);
    script.session.refresh(script.now());
    let request = fetch_in(&script.effects()).unwrap();
    script.refuse(request, 429, "");
    let effects = script.pass(9_000);
    assert!(effects.contains(&Effect::Notice(Notice::ReportUnanswered)), "{effects:?}");
    assert_eq!(fetch_in(&effects), None);
    assert_eq!(script.state(), (HubState::Connecting, Reason::Throttled));
    assert!(fetch_in(&script.pass(3_000)).is_some());
}

#[test]
fn a_restart_sends_what_was_stored_and_not_accepted() {
    let mut script = live();
    script.report(json!({"b": 1}));
    script.sent();
    let mut again = Script::new(settings(), script.session.durable());
    let sequence = again.report(json!({"c": 2}));
    assert!(sequence > 1);
    again.effects();
    again.go_live(section(1, json!({})), section(5, json!({"a": 1})));
    assert_eq!(again.sent().1, json!({"b": 1, "c": 2}));
}
