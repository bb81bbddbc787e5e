//! Versions in and out of order.

use alloc::vec::Vec;

use proptest::collection::vec as vec_of;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn document(value: Value) -> Document {
    value.as_object().cloned().unwrap()
}

fn section(version: u64, value: Value) -> Section {
    Section { version, document: document(value) }
}

fn at(version: u64, value: Value) -> Twin {
    let mut twin = Twin::default();
    twin.take_desired(section(version, value.clone()));
    twin.take_reported(section(version, value));
    twin
}

fn desired(twin: &Twin) -> (u64, u64, Value) {
    let section = twin.desired.as_ref().unwrap();
    (twin.generation, section.version, Value::Object(section.document.clone()))
}

fn reported(twin: &Twin) -> (u64, Value) {
    let section = twin.reported.as_ref().unwrap();
    (section.version, Value::Object(section.document.clone()))
}

#[test]
fn only_the_next_patch_is_merged() {
    let mut twin = at(4, json!({"a": 1}));
    let patch = |value| document(json!({ "a": value }));
    assert_eq!(twin.take_patch(6, &patch(6)), PatchOutcome::Gap);
    assert_eq!(twin.take_patch(4, &patch(4)), PatchOutcome::Old);
    assert_eq!(twin.take_patch(1, &patch(0)), PatchOutcome::Old);
    assert_eq!(desired(&twin), (1, 4, json!({"a": 1})));
    assert_eq!(twin.take_patch(5, &patch(5)), PatchOutcome::Applied);
    assert_eq!(twin.take_patch(5, &patch(9)), PatchOutcome::Old);
    assert_eq!(desired(&twin), (1, 5, json!({"a": 5})));
}

#[test]
fn a_patch_before_the_first_sync_is_a_gap() {
    assert_eq!(Twin::default().take_patch(1, &Document::new()), PatchOutcome::Gap);
}

#[test]
fn the_last_version_of_all_has_no_next() {
    let mut twin = at(u64::MAX, json!({}));
    assert_eq!(twin.take_patch(u64::MAX, &Document::new()), PatchOutcome::Old);
    assert_eq!(twin.take_patch(0, &Document::new()), PatchOutcome::Old);
}

#[test]
fn a_fetched_twin_is_the_truth_and_a_step_back_begins_a_generation() {
    let mut twin = Twin::default();
    assert_eq!(twin.take_desired(section(7, json!({"a": 1}))), DesiredOutcome::Newer);
    assert_eq!(twin.take_desired(section(7, json!({"a": 1}))), DesiredOutcome::Same);
    assert_eq!(twin.take_desired(section(9, json!({"a": 2}))), DesiredOutcome::Newer);
    assert_eq!(desired(&twin), (1, 9, json!({"a": 2})));
    assert_eq!(twin.take_desired(section(3, json!({"a": 2}))), DesiredOutcome::NewGeneration);
    assert_eq!(desired(&twin), (2, 3, json!({"a": 2})));
    assert_eq!(twin.take_desired(section(3, json!({"a": 3}))), DesiredOutcome::NewGeneration);
    assert_eq!(desired(&twin), (3, 3, json!({"a": 3})));
}

#[test]
fn reported_values_are_lost_where_the_version_or_the_content_went_back() {
    let mut twin = Twin::default();
    assert_eq!(twin.take_reported(section(5, json!({"a": 1}))), ReportedOutcome::Current);
    assert_eq!(twin.take_reported(section(5, json!({"a": 1}))), ReportedOutcome::Current);
    assert_eq!(twin.take_reported(section(6, json!({"a": 2}))), ReportedOutcome::Current);
    assert_eq!(twin.take_reported(section(6, json!({"a": 1}))), ReportedOutcome::Lost);
    assert_eq!(twin.take_reported(section(2, json!({"a": 1}))), ReportedOutcome::Lost);
    assert_eq!(reported(&twin), (2, json!({"a": 1})));
}

#[test]
fn an_accepted_patch_is_merged_and_never_takes_the_version_back() {
    let mut twin = at(5, json!({"a": 1}));
    twin.take_accepted(6, &document(json!({"b": 2})));
    assert_eq!(reported(&twin), (6, json!({"a": 1, "b": 2})));
    // The line began anew without our notice: what was accepted must not look unwanted later.
    twin.take_accepted(2, &document(json!({"c": 3})));
    assert_eq!(reported(&twin), (6, json!({"a": 1, "b": 2, "c": 3})));
    let mut unknown = Twin::default();
    unknown.take_accepted(6, &document(json!({"b": 2})));
    assert_eq!(unknown.reported, None);
}

proptest! {
    #[test]
    fn however_patches_come_the_twin_is_one_that_the_hub_had(
        values in vec_of(0_i64..4, 1..12),
        order in vec_of((0_usize..12, any::<bool>()), 0..60),
    ) {
        // The hub's history: version n + 1 after n patches.
        let mut history: Vec<Section> = alloc::vec![section(1, json!({}))];
        for (index, value) in values.iter().enumerate() {
            let mut next = history[index].clone();
            next.version += 1;
            merge(&mut next.document, &document(json!({ "k": value, alloc::format!("k{value}"): index })));
            history.push(next);
        }
        let mut twin = Twin::default();
        let mut seen = (0, 0);
        for (index, whole) in order {
            let index = index % history.len();
            if whole {
                twin.take_desired(history[index].clone());
            } else if index > 0 {
                let value = values[index - 1];
                let patch = document(json!({ "k": value, alloc::format!("k{value}"): index - 1 }));
                twin.take_patch(history[index].version, &patch);
            }
            if let Some(known) = &twin.desired {
                let now = (twin.generation, known.version);
                prop_assert!(now >= seen);
                prop_assert_eq!(&**known, &history[usize::try_from(known.version).unwrap() - 1]);
                seen = now;
            }
        }
    }
}
