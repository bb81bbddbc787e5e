//! What a stream is told, event by event.

use std::time::{Duration, SystemTime};

use modtwin_core::document::{Pointer, merge};
use modtwin_core::ids::ModuleId;
use modtwin_core::status::{HubState, Reason};
use serde_json::{Value, json};

use super::*;

fn document(value: &Value) -> Document {
    value.as_object().unwrap().clone()
}

fn view(generation: u64, desired: Option<(u64, Value)>) -> ModuleView {
    ModuleView {
        module: ModuleId::new("thermostat").unwrap(),
        hub: HubView {
            state: HubState::Connected,
            reason: Reason::Ok,
            detail: None,
            since: SystemTime::UNIX_EPOCH,
            next_attempt: None,
        },
        generation,
        desired: desired
            .map(|(version, value)| Arc::new(Section { version, document: document(&value) })),
        reported: None,
        pending: Arc::new(Document::new()),
        applied: Arc::new(Vec::new()),
        quarantined: Arc::new(Vec::new()),
        as_of: None,
        stale: false,
        connects: 1,
        credential_expires: None,
        storage_problem: None,
        damage: None,
        expected: Arc::default(),
        sizes: modtwin_session::view::Sizes::default(),
    }
}

fn under(pointer: &str) -> Scope {
    Scope::under([Pointer::parse(pointer).unwrap()])
}

fn line(event: &Event) -> Value {
    serde_json::to_value(event).unwrap()
}

fn revision_of(generation: u64, version: u64) -> Option<Revision> {
    Some(Revision { generation, version })
}

#[test]
fn the_first_line_is_a_snapshot() {
    let (_, event) = Told::begin(&view(1, Some((7, json!({"a": 1})))), Scope::All, None);
    assert_eq!(
        line(&event),
        json!({
            "type": "snapshot", "module": "thermostat", "generation": 1, "version": 7,
            "desired": {"a": 1}, "stale": false,
            "hub": {"state": "connected", "reason": "ok", "since": "1970-01-01T00:00:00Z"},
        })
    );
}

#[test]
fn before_the_first_sync_desired_and_version_are_null_and_then_come_whole() {
    let (mut told, event) = Told::begin(&view(1, None), Scope::All, revision_of(1, 7));
    let first = line(&event);
    assert_eq!((&first["desired"], &first["version"]), (&Value::Null, &Value::Null));
    assert!(first.as_object().unwrap().contains_key("desired"));
    assert_eq!(first.get("unchanged"), None);
    let event = told.next(&view(1, Some((1, json!({}))))).unwrap();
    assert_eq!(
        line(&event),
        json!({"type": "desired", "module": "thermostat", "generation": 1, "version": 1,
               "patch": {}, "desired": {}})
    );
}

#[test]
fn a_current_since_leaves_desired_out_and_patches_count_from_it() {
    let now = view(2, Some((7, json!({"a": 1, "b": 2}))));
    let (mut told, event) = Told::begin(&now, Scope::All, revision_of(2, 7));
    let first = line(&event);
    assert_eq!((&first["unchanged"], first.get("desired")), (&json!(true), None));
    assert_eq!(told.next(&now), None);
    let event = told.next(&view(2, Some((8, json!({"a": 1}))))).unwrap();
    assert_eq!(line(&event)["patch"], json!({"b": null}));
}

#[test]
fn another_since_gets_the_whole_document() {
    let now = view(2, Some((7, json!({"a": 1}))));
    for since in [revision_of(1, 7), revision_of(2, 6), revision_of(2, 8), None] {
        let (_, event) = Told::begin(&now, Scope::All, since);
        let first = line(&event);
        assert_eq!((&first["desired"], first.get("unchanged")), (&json!({"a": 1}), None));
    }
}

#[test]
fn a_change_is_told_as_patch_and_whole_within_the_paths() {
    let before = view(1, Some((7, json!({"a": {"x": 1, "y": 1}, "b": 1}))));
    let (mut told, _) = Told::begin(&before, under("/a"), None);
    let after = view(1, Some((9, json!({"a": {"x": 2}, "b": 2}))));
    let event = told.next(&after).unwrap();
    assert_eq!(
        line(&event),
        json!({"type": "desired", "module": "thermostat", "generation": 1, "version": 9,
               "patch": {"a": {"x": 2, "y": null}}, "desired": {"a": {"x": 2}}})
    );
    assert_eq!(told.next(&after), None);
}

#[test]
fn a_change_outside_the_paths_sends_nothing_and_is_not_made_up_for_later() {
    let (mut told, _) =
        Told::begin(&view(1, Some((7, json!({"a": 1, "b": 1})))), under("/a"), None);
    assert_eq!(told.next(&view(1, Some((8, json!({"a": 1, "b": 2}))))), None);
    let event = told.next(&view(1, Some((9, json!({"a": 2, "b": 2}))))).unwrap();
    let event = line(&event);
    assert_eq!((&event["version"], &event["patch"]), (&json!(9), &json!({"a": 2})));
}

#[test]
fn old_and_equal_revisions_are_never_told() {
    let (mut told, _) = Told::begin(&view(2, Some((7, json!({"a": 1})))), Scope::All, None);
    assert_eq!(told.next(&view(2, Some((7, json!({"a": 9}))))), None);
    assert_eq!(told.next(&view(2, Some((6, json!({"a": 9}))))), None);
    assert_eq!(told.next(&view(1, Some((99, json!({"a": 9}))))), None);
    assert_eq!(told.next(&view(2, None)), None);
}

#[test]
fn a_new_generation_resets_even_where_the_content_is_the_same() {
    let (mut told, _) = Told::begin(&view(1, Some((7, json!({"a": 1, "b": 2})))), Scope::All, None);
    let event = told.next(&view(2, Some((1, json!({"a": 1}))))).unwrap();
    assert_eq!(
        line(&event),
        json!({"type": "desired", "module": "thermostat", "generation": 2, "version": 1,
               "patch": {"b": null}, "desired": {"a": 1}, "reset": true})
    );
    let event = told.next(&view(3, Some((1, json!({"a": 1}))))).unwrap();
    let event = line(&event);
    assert_eq!((&event["reset"], &event["patch"]), (&json!(true), &json!({})));
    let event = told.next(&view(3, Some((2, json!({"a": 2}))))).unwrap();
    assert_eq!(line(&event).get("reset"), None);
}

#[test]
fn the_hub_is_told_of_when_state_reason_or_since_change() {
    let mut now = view(1, Some((7, json!({}))));
    let (mut told, _) = Told::begin(&now, Scope::All, None);
    now.hub.next_attempt = Some(SystemTime::UNIX_EPOCH);
    now.hub.detail = Some("more".to_owned());
    assert_eq!(told.next(&now), None);
    now.hub.state = HubState::Disconnected;
    now.hub.reason = Reason::Network;
    now.hub.since += Duration::from_secs(1);
    let event = line(&told.next(&now).unwrap());
    assert_eq!((&event["type"], &event["hub"]["reason"]), (&json!("hub"), &json!("network")));
    assert_eq!(told.next(&now), None);
    now.hub.since += Duration::from_secs(1);
    assert_eq!(line(&told.next(&now).unwrap())["type"], "hub");
}

#[test]
fn desired_and_hub_that_change_together_are_two_events() {
    let (mut told, _) = Told::begin(&view(1, Some((7, json!({})))), Scope::All, None);
    let mut now = view(1, Some((8, json!({"a": 1}))));
    now.hub.reason = Reason::Throttled;
    assert_eq!(line(&told.next(&now).unwrap())["type"], "desired");
    assert_eq!(line(&told.next(&now).unwrap())["type"], "hub");
    assert_eq!(told.next(&now), None);
}

#[test]
fn patches_that_skip_versions_still_compose_to_desired() {
    let states = [
        json!({"a": {"b": 1}, "c": [1, 2]}),
        json!({"a": {"b": {"deep": true}}, "c": [1]}),
        json!({"a": 1}),
        json!({"a": {"b": {"other": 1}}, "d": "x"}),
        json!({}),
        json!({"a": {"b": 1}}),
    ];
    for step in 1..states.len() {
        let (mut told, _) = Told::begin(&view(1, Some((0, states[0].clone()))), Scope::All, None);
        let mut copy = document(&states[0]);
        for (version, state) in states.iter().enumerate().skip(step).step_by(step) {
            let version = u64::try_from(version).unwrap();
            if let Some(Event::Desired(event)) = told.next(&view(1, Some((version, state.clone()))))
            {
                merge(&mut copy, &event.patch);
                assert_eq!(copy, event.desired);
            }
            assert_eq!(copy, document(state));
        }
    }
}

#[test]
fn another_part_of_the_twin_is_told_as_a_snapshot_and_only_where_it_looks_different() {
    let mut now = view(1, Some((7, json!({"a": 1, "b": 2}))));
    let (mut told, _) = Told::begin(&now, under("/a"), None);
    let event = told.rescope(&now, under("/b")).map(|event| line(&event)).unwrap();
    assert_eq!((&event["type"], &event["desired"]), (&json!("snapshot"), &json!({"b": 2})));
    now.hub.state = HubState::Disconnected;
    let both = [Pointer::parse("/b").unwrap(), Pointer::parse("/c").unwrap()];
    assert_eq!(told.rescope(&now, Scope::under(both)), None);
    assert_eq!(line(&told.next(&now).unwrap())["type"], "hub");
    let event = told.next(&view(1, Some((8, json!({"a": 2, "b": 2, "c": 3}))))).unwrap();
    assert_eq!(line(&event)["patch"], json!({"c": 3}));
    // In another line of versions the same properties are news.
    let event = told.rescope(&view(2, Some((1, json!({"b": 2, "c": 3})))), under("/b")).unwrap();
    assert_eq!(line(&event)["generation"], 2);
}

#[test]
fn who_sees_everything_shares_the_document() {
    let now = view(1, Some((7, json!({"a": 1}))));
    let (told, _) = Told::begin(&now, Scope::All, None);
    let Some((_, Selection::Whole(shared))) = &told.desired else { panic!("{told:?}") };
    assert!(Arc::ptr_eq(shared, now.desired.as_ref().unwrap()));
}
