//! Merge patches by the book and by their laws.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use proptest::collection::{btree_map, vec as vec_of};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn document(value: Value) -> Document {
    value.as_object().cloned().unwrap()
}

fn pointers(texts: &[&str]) -> Vec<Pointer> {
    texts.iter().map(|text| Pointer::parse(text).unwrap()).collect()
}

fn merged(target: &Document, patch: &Document) -> Document {
    let mut result = target.clone();
    merge(&mut result, patch);
    result
}

/// Few keys, so that documents and patches meet.
fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c"]).prop_map(Into::into)
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        (0_i64..3).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        vec_of(0_i64..2, 0..2).prop_map(Value::from),
    ]
}

fn object_of(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Document> {
    btree_map(key(), value, 0..4).prop_map(|map| map.into_iter().collect())
}

fn tree(leaf: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Document> {
    let value = leaf.prop_recursive(3, 24, 3, |inner| object_of(inner).prop_map(Value::Object));
    object_of(value)
}

/// A twin section: it never holds null.
fn section() -> impl Strategy<Value = Document> {
    tree(leaf())
}

fn patch() -> impl Strategy<Value = Document> {
    tree(prop_oneof![2 => leaf(), 1 => Just(Value::Null)])
}

fn some_pointers() -> impl Strategy<Value = Vec<Pointer>> {
    vec_of(vec_of(key(), 0..4).prop_map(Pointer), 0..4)
}

/// The paths to all that is no object or an empty one.
fn leaves(document: &Document, path: &[String], found: &mut Vec<Pointer>) {
    for (key, value) in document {
        let mut here = path.to_vec();
        here.push(key.clone());
        match value {
            Value::Object(inner) if !inner.is_empty() => leaves(inner, &here, found),
            _ => found.push(Pointer(here)),
        }
    }
}

#[test]
fn merging_follows_the_examples_of_rfc_7396() {
    // RFC 7396, appendix A; those whose target or patch is no object can't occur in a twin and are
    // tried one level down.
    let examples = [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
        (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
        (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
        (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
        (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
        (r#"[1,2]"#, r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
        (r#"{}"#, r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
    ];
    for (target, patch, expected) in examples {
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let below = |text: &str| document(json!({ "below": parse(text) }));
        assert_eq!(merged(&below(target), &below(patch)), below(expected), "{target} {patch}");
        if let (Value::Object(target), Value::Object(patch)) = (parse(target), parse(patch)) {
            assert_eq!(Value::Object(merged(&target, &patch)), parse(expected));
        }
    }
    // The one example that deletes the whole target.
    let target = document(json!({"below": {"a": "foo"}}));
    assert_eq!(merged(&target, &document(json!({"below": null}))), Document::new());
}

#[test]
fn an_object_over_nothing_or_over_a_scalar_is_a_change() {
    let check = |target: Value, patch: Value, expected: bool| {
        let (target, patch) = (document(target), document(patch));
        assert_eq!(changes_nothing(&target, &patch), expected, "{target:?} {patch:?}");
        assert_eq!(merged(&target, &patch) == target, expected);
    };
    check(json!({}), json!({}), true);
    check(json!({}), json!({"a": {}}), false);
    check(json!({}), json!({"a": {"b": null}}), false);
    check(json!({"a": 1}), json!({"a": {}}), false);
    check(json!({"a": {}}), json!({"a": {}}), true);
    check(json!({"a": {"b": 1}}), json!({"a": {}}), true);
    check(json!({"a": {"b": 1}}), json!({"a": {"c": null}}), true);
    check(json!({"a": {"b": 1}}), json!({"a": {"c": {"d": null}}}), false);
    check(json!({}), json!({"a": null}), true);
    check(json!({"a": []}), json!({"a": null}), false);
    check(json!({"a": [1]}), json!({"a": [1]}), true);
    check(json!({"a": 1}), json!({"a": 1.0}), false);
}

#[test]
fn a_delete_and_an_object_after_it_do_not_compose() {
    let cases = [
        (json!({"a": null}), json!({"a": {"x": 1}}), false),
        (json!({"a": 5}), json!({"a": {}}), false),
        (json!({"a": {"b": [1]}}), json!({"a": {"b": {"c": 1}}}), false),
        (json!({"a": {"b": null}}), json!({"a": {"c": {"d": 1}}}), true),
        (json!({"a": {"b": 1}}), json!({"a": null}), true),
        (json!({"b": null}), json!({"a": {}}), true),
    ];
    for (earlier, later, expected) in cases {
        assert_eq!(
            composes(&document(earlier.clone()), &document(later.clone())),
            expected,
            "{earlier} {later}"
        );
    }
}

#[test]
fn selecting_by_overlapping_pointers_keeps_what_the_wider_one_keeps() {
    let whole = document(json!({"a": {}, "b": {"c": {}}, "d": 1}));
    let check = |texts: &[&str], expected: Value| {
        assert_eq!(Value::Object(select(&whole, &pointers(texts))), expected, "{texts:?}");
    };
    check(&["/a", "/a/x"], json!({"a": {}}));
    check(&["/a/x", "/a"], json!({"a": {}}));
    check(&["/b/c", "/b/c/x"], json!({"b": {"c": {}}}));
    check(&["/a/x", "/d/x", "/e"], json!({}));
    check(&["", "/a/x"], json!({"a": {}, "b": {"c": {}}, "d": 1}));
}

#[test]
fn a_place_is_covered_only_if_all_that_is_written_is() {
    let check = |patch: Value, texts: &[&str], expected: Option<&str>| {
        let found = first_uncovered(&document(patch.clone()), &pointers(texts));
        assert_eq!(found.map(|place| format!("{place}")).as_deref(), expected, "{patch} {texts:?}");
    };
    check(json!({"a": {"b": 1}}), &["/a/b"], None);
    check(json!({"a": {"b": {"c": 1}}}), &["/a/b"], None);
    check(json!({"a": {"b": 1, "c": 2}}), &["/a/b"], Some("/a/c"));
    // Deleting or emptying what is around the allowed place is more than was allowed.
    check(json!({"a": null}), &["/a/b"], Some("/a"));
    check(json!({"a": {}}), &["/a/b"], Some("/a"));
    check(json!({"a": 1}), &["/a/b"], Some("/a"));
    check(json!({"ab": 1}), &["/a"], Some("/ab"));
    check(json!({"a": 1}), &[], Some("/a"));
    check(json!({"a": 1}), &[""], None);
    check(json!({}), &[], None);
    check(json!({"x/y": {"m~n": 1}}), &["/x~1y"], None);
    check(json!({"x/y": {"m~n": 1}}), &["/x~1y/z"], Some("/x~1y/m~0n"));
}

#[test]
fn pointers_follow_rfc_6901() {
    let keys = |text: &str| Pointer::parse(text).map(|pointer| pointer.keys().to_vec());
    assert_eq!(keys(""), Ok(vec![]));
    assert_eq!(keys("/"), Ok(vec!["".into()]));
    assert_eq!(keys("/a~1b/m~0n/~01"), Ok(vec!["a/b".into(), "m~n".into(), "~1".into()]));
    assert_eq!(keys("//"), Ok(vec!["".into(), "".into()]));
    assert_eq!(keys("/ä€"), Ok(vec!["ä€".into()]));
    assert_eq!(keys("a"), Err(PointerError::NoSlash("a".into())));
    for bad in ["/~", "/a~", "/~2", "/a~ä", "/a/~/b"] {
        assert_eq!(keys(bad), Err(PointerError::Tilde(bad.into())));
    }
}

proptest! {
    #[test]
    fn a_difference_merged_gives_the_other_document(from in section(), to in section()) {
        let patch = difference(&from, &to);
        prop_assert_eq!(&merged(&from, &patch), &to);
        prop_assert_eq!(patch.is_empty(), from == to);
        prop_assert!(changes_nothing(&to, &patch));
    }

    #[test]
    fn composing_is_exact_where_it_says_so(
        target in section(),
        earlier in patch(),
        later in patch(),
    ) {
        if composes(&earlier, &later) {
            let mut one = earlier.clone();
            compose(&mut one, &later);
            prop_assert_eq!(merged(&target, &one), merged(&merged(&target, &earlier), &later));
        }
    }

    #[test]
    fn two_patches_can_do_what_many_did(target in section(), patches in vec_of(patch(), 2..8)) {
        let mut expected = target.clone();
        for patch in &patches {
            merge(&mut expected, patch);
        }
        let (mut earlier, mut newest) = (patches[0].clone(), patches[1].clone());
        for later in &patches[2..] {
            compose_into_two(&mut earlier, &mut newest, later);
        }
        prop_assert_eq!(merged(&merged(&target, &earlier), &newest), expected);
    }

    #[test]
    fn a_patch_changes_nothing_iff_merging_it_does_not(target in section(), patch in patch()) {
        prop_assert_eq!(changes_nothing(&target, &patch), merged(&target, &patch) == target);
    }

    #[test]
    fn merging_twice_is_merging_once(target in section(), patch in patch()) {
        let once = merged(&target, &patch);
        prop_assert_eq!(&merged(&once, &patch), &once);
    }

    #[test]
    fn what_is_selected_is_what_lies_under_a_pointer(
        whole in section(),
        chosen in some_pointers(),
    ) {
        let selected = select(&whole, &chosen);
        prop_assert_eq!(&select(&selected, &chosen), &selected);
        prop_assert_eq!(first_uncovered(&selected, &chosen), None);
        let (mut all, mut kept) = (Vec::new(), Vec::new());
        leaves(&whole, &[], &mut all);
        leaves(&selected, &[], &mut kept);
        all.retain(|leaf| chosen.iter().any(|pointer| pointer.covers(leaf)));
        prop_assert_eq!(kept, all);
    }

    #[test]
    fn what_is_uncovered_is_named(patch in patch(), chosen in some_pointers()) {
        let mut written = Vec::new();
        leaves(&patch, &[], &mut written);
        written.retain(|leaf| !chosen.iter().any(|pointer| pointer.covers(leaf)));
        prop_assert_eq!(first_uncovered(&patch, &chosen), written.first().cloned());
    }

    #[test]
    fn a_pointer_survives_printing_and_parsing(keys in vec_of("[~/a0-9é]{0,4}", 0..4)) {
        let pointer = Pointer(keys);
        prop_assert_eq!(Pointer::parse(&format!("{pointer}")), Ok(pointer));
    }

    #[test]
    fn any_text_is_a_pointer_or_an_error(text in ".{0,16}") {
        if let Ok(pointer) = Pointer::parse(&text) {
            prop_assert_eq!(format!("{pointer}"), text);
        }
    }
}
