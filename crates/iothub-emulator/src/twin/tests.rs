//! What twins make of service writes and reports.

use serde_json::{Value, json};

use super::{Document, ServiceWrite, Twin, notification};
use crate::clock::{Clock, Moment};

fn now() -> Moment {
    Clock::new().now()
}

fn object(value: Value) -> Document {
    value.as_object().expect("an object").clone()
}

fn desired(value: Value) -> ServiceWrite {
    ServiceWrite { tags: None, desired: Some(object(value)) }
}

fn view(twin: &Twin) -> Value {
    let mut view = Document::new();
    twin.service_view(&mut view);
    Value::Object(view)
}

#[test]
fn a_fresh_twin_is_at_its_first_versions() {
    let twin = Twin::fresh(now());
    let seen: Value = serde_json::from_slice(&twin.device_view()).expect("json");
    assert_eq!(seen, json!({"desired":{"$version":1},"reported":{"$version":1}}));
    assert_eq!(twin.etag(), "AAAAAAAAAAE=");
    assert_eq!(view(&twin)["version"], 2);
}

#[test]
fn a_desired_patch_moves_desired_version_twin_version_and_etag_even_without_change() {
    let mut twin = Twin::fresh(now());
    twin.patch(desired(json!({"a":1})), now()).expect("legal");
    let again = twin.patch(desired(json!({"a":1,"b":null})), now()).expect("legal");
    assert_eq!(again.desired, Some(object(json!({"a":1,"b":null}))));
    assert_eq!(twin.desired_version(), 3);
    assert_eq!(twin.etag(), "AAAAAAAAAAM=");
    assert_eq!(view(&twin)["version"], 4);
    assert_eq!(notification(&object(json!({"a":1})), 3), br#"{"a":1,"$version":3}"#);
}

#[test]
fn tags_alone_move_the_twin_and_not_desired() {
    let mut twin = Twin::fresh(now());
    let write = ServiceWrite { tags: Some(object(json!({"site":"x"}))), desired: None };
    assert!(twin.patch(write, now()).expect("legal").desired.is_none());
    assert_eq!((twin.desired_version(), twin.etag().as_str()), (1, "AAAAAAAAAAI="));
}

#[test]
fn a_report_moves_reported_alone() {
    let mut twin = Twin::fresh(now());
    assert_eq!(twin.report(&object(json!({"t":{"x":1}})), None, now()), Ok(2));
    assert_eq!(twin.report(&object(json!({"t":{"x":null}})), Some(2), now()), Ok(3));
    assert_eq!(twin.etag(), "AAAAAAAAAAE=");
    let seen = view(&twin);
    assert_eq!(seen["properties"]["reported"]["t"], json!({}));
    assert_eq!(
        twin.report(&object(json!({"a":1})), Some(2), now()).expect_err("stale").code.status,
        412
    );
}

#[test]
fn metadata_mirrors_the_tree_and_names_the_version_in_desired_only() {
    let mut twin = Twin::fresh(now());
    twin.patch(desired(json!({"o":{"x":1,"y":2},"l":[1]})), now()).expect("legal");
    twin.patch(desired(json!({"o":{"x":5,"y":null}})), now()).expect("legal");
    twin.report(&object(json!({"r":1})), None, now()).expect("legal");
    let seen = view(&twin);
    let metadata = &seen["properties"]["desired"]["$metadata"];
    assert_eq!(metadata["$lastUpdatedVersion"], 3);
    assert_eq!(metadata["o"]["x"]["$lastUpdatedVersion"], 3);
    assert_eq!(metadata["l"]["$lastUpdatedVersion"], 2);
    assert!(metadata["o"].get("y").is_none());
    let reported = &seen["properties"]["reported"]["$metadata"];
    assert!(reported.get("$lastUpdatedVersion").is_none());
    assert!(reported["r"]["$lastUpdated"].as_str().is_some_and(|time| time.len() == 28));
}

#[test]
fn a_section_may_not_grow_past_its_limit_but_may_shrink_above_it() {
    let mut twin = Twin::fresh(now());
    let block = "v".repeat(4000);
    for index in 0..8 {
        twin.report(&object(json!({ format!("k{index}"): block })), None, now()).expect("fits");
    }
    let refused = twin.report(&object(json!({"k8": block})), None, now()).expect_err("too large");
    assert_eq!(
        (refused.code.status, refused.message.as_str()),
        (413, "Twin properties size 36018 exceeds maximum 32768")
    );
    assert_eq!(twin.reported_version(), 9);
    let tags = ServiceWrite {
        tags: Some(object(json!({"a":"v".repeat(4096),"b":"v".repeat(4096)}))),
        desired: Some(object(json!({"x":1}))),
    };
    assert_eq!(twin.patch(tags, now()).expect_err("too large").code.status, 413);
    assert_eq!(twin.desired_version(), 1, "a refused write changes nothing");
}

#[test]
fn a_replacement_drops_what_is_absent_and_refuses_nulls() {
    let mut twin = Twin::fresh(now());
    twin.patch(
        ServiceWrite {
            tags: Some(object(json!({"t":1}))),
            desired: Some(object(json!({"a":1,"b":2}))),
        },
        now(),
    )
    .expect("legal");
    let written = twin.replace(desired(json!({"a":1,"c":9})), now()).expect("legal");
    assert_eq!(written.desired, Some(object(json!({"a":1,"b":null,"c":9}))));
    let seen = view(&twin);
    assert_eq!(seen["tags"], json!({}));
    assert!(seen["properties"]["desired"].get("b").is_none());
    assert_eq!(twin.replace(desired(json!({"a":null})), now()).expect_err("null").code.status, 400);
}

#[test]
fn a_twin_survives_its_own_serialisation() {
    let mut twin = Twin::fresh(now());
    twin.patch(desired(json!({"o":{"x":1.0,"y":2}})), now()).expect("legal");
    let text = serde_json::to_string(&twin).expect("json");
    assert_eq!(serde_json::from_str::<Twin>(&text).expect("json"), twin);
    assert!(text.contains("\"x\":1.0"), "numbers stay as written: {text}");
}
