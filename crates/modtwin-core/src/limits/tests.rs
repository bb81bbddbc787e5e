//! Each rule of twin documents at its edge.

use alloc::string::{String, ToString};
use alloc::vec;

use serde_json::{Value, json};

use super::*;

fn document(value: Value) -> Document {
    value.as_object().cloned().unwrap()
}

fn refused(patch: Value, pointer: &str, limit: Option<u64>) {
    match check_patch(&document(patch.clone())) {
        Err(found) => {
            assert_eq!((found.pointer.as_str(), found.limit), (pointer, limit), "{patch}")
        }
        Ok(()) => panic!("taken: {patch}"),
    }
}

fn taken(patch: Value) {
    assert_eq!(check_patch(&document(patch.clone())), Ok(()), "{patch}");
}

/// `levels` objects in each other, around `core`.
fn nested(levels: usize, core: Value) -> Value {
    (0..levels).fold(core, |inner, _| json!({ "k": inner }))
}

#[test]
fn ten_levels_of_objects_may_nest_in_the_section() {
    // "Understand and use device twins", tags and properties format: a value in the tenth object
    // below the section is legal.
    taken(nested(11, json!(1)));
    taken(nested(11, json!(null)));
    refused(nested(12, json!(1)), &"/k".repeat(11), Some(MAX_DEPTH));
    refused(nested(11, json!({})), &"/k".repeat(11), Some(MAX_DEPTH));
}

#[test]
fn arrays_count_as_levels() {
    taken(nested(10, json!([1])));
    refused(nested(10, json!([[1]])), &("/k".repeat(10) + "/0"), Some(MAX_DEPTH));
    refused(nested(11, json!([])), &"/k".repeat(11), Some(MAX_DEPTH));
    refused(nested(10, json!([1, {}])), &("/k".repeat(10) + "/1"), Some(MAX_DEPTH));
}

#[test]
fn keys_have_limits() {
    taken(json!({ "": 1, "ä-_/~(){}'\"": 1, "k".repeat(1024): 1 }));
    let long = "k".repeat(1025);
    refused(json!({ long.clone(): 1 }), &alloc::format!("/{long}"), Some(MAX_KEY_BYTES));
    let long = "ä".repeat(513);
    refused(json!({ long.clone(): null }), &alloc::format!("/{long}"), Some(MAX_KEY_BYTES));
    for bad in
        ["a.b", "$version", "a#", "a b", "a\u{a0}b", "a\tb", "a\u{1}b", "a\u{85}b", "a\u{2003}"]
    {
        refused(json!({"x": { bad: 1 }}), &alloc::format!("/x/{bad}"), None);
    }
    refused(json!({"a/b": {"m~n": {"$": 1}}}), "/a~1b/m~0n/$", None);
}

#[test]
fn keys_inside_arrays_are_checked_and_named_by_index() {
    refused(json!({"a": [1, {"b.c": 1}]}), "/a/1/b.c", None);
    refused(json!({"a": [[0], ["x".repeat(4097)]]}), "/a/1/0", Some(MAX_STRING_BYTES));
}

#[test]
fn strings_have_at_most_4096_bytes() {
    taken(json!({"a": "x".repeat(4096)}));
    refused(json!({"a": "x".repeat(4097)}), "/a", Some(MAX_STRING_BYTES));
    taken(json!({"a": "ä".repeat(2048)}));
    refused(json!({"a": "ä".repeat(2049)}), "/a", Some(MAX_STRING_BYTES));
}

#[test]
fn integers_fit_53_bits_and_floats_are_free() {
    taken(json!({"a": 4_503_599_627_370_495_i64, "b": -4_503_599_627_370_496_i64}));
    taken(json!({"a": 1e300, "b": -0.5, "c": 9.1e18}));
    for bad in
        [json!(4_503_599_627_370_496_i64), json!(-4_503_599_627_370_497_i64), json!(u64::MAX)]
    {
        refused(json!({"a": { "b": bad }}), "/a/b", Some(4_503_599_627_370_495));
    }
}

#[test]
fn null_deletes_but_has_no_place_in_an_array() {
    taken(json!({"a": null, "b": {"c": null}}));
    refused(json!({"a": [1, null]}), "/a/1", None);
    refused(json!({"a": [{"b": null}]}), "/a/0/b", None);
    refused(json!({"a": [1], "b": [{"c": [null]}]}), "/b/0/c/0", None);
    // After an array nulls are fine again.
    taken(json!({"a": [1], "b": null}));
}

#[test]
fn sizes_are_counted_as_the_hub_counts() {
    let counted = |value: Value| size(&document(value));
    assert_eq!(counted(json!({})), 0);
    assert_eq!(counted(json!({"ab": 1})), 2 + 8);
    assert_eq!(counted(json!({"ab": 1.5})), 2 + 8);
    assert_eq!(counted(json!({"a": true, "b": false})), 2 + 4 + 4);
    assert_eq!(counted(json!({"a": "ä€"})), 1 + 2 + 3);
    assert_eq!(counted(json!({"a": "x\n\u{7f}\u{85}y"})), 1 + 2);
    assert_eq!(counted(json!({"a": {"b": {"c": 1}}})), 3 + 8);
    assert_eq!(counted(json!({"a": [1, "x", true, [2]]})), 1 + 8 + 1 + 4 + 8);
}

#[test]
fn a_section_may_not_grow_past_its_limit_but_shrink_above_it() {
    // `count` strings of 4095 bytes under keys of one byte.
    let filled = |count: u8, more: usize| {
        let mut filled: Document = (0..count)
            .map(|n| (char::from(b'a' + n).to_string(), Value::from("x".repeat(4095))))
            .collect();
        filled.insert("z".into(), Value::from("x".repeat(more)));
        filled
    };
    let full = filled(7, 4095);
    assert_eq!(size(&full), MAX_SECTION_BYTES);
    assert_eq!(check_size(&Document::new(), &full), Ok(()));
    let over = filled(8, 0);
    assert_eq!(size(&over), MAX_SECTION_BYTES + 1);
    let violation = check_size(&full, &over).unwrap_err();
    assert_eq!((violation.pointer.as_str(), violation.limit), ("", Some(MAX_SECTION_BYTES)));
    // What is too large already may stay or shrink.
    assert_eq!(check_size(&over, &over), Ok(()));
    assert_eq!(check_size(&filled(8, 9), &over), Ok(()));
    assert!(check_size(&filled(8, 9), &filled(8, 10)).is_err());
}

#[test]
fn a_violation_says_where_and_what() {
    let violation = check_patch(&document(json!({"a": {"b c": 1}}))).unwrap_err();
    let text: String = violation.to_string();
    assert!(text.starts_with("/a/b c: a key must not contain ' '"), "{text}");
    assert_eq!(vec![violation.limit], vec![None]);
}
