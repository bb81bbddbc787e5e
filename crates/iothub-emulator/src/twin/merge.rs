//! RFC 7396 merge, and the difference that a replacement is announced with.

use serde_json::Value;

use super::Document;

/// Merges `patch` into `target`: null deletes, objects merge, everything else replaces (RFC 7396, section 2).
pub(crate) fn merge(target: &mut Document, patch: &Document) {
    for (key, change) in patch {
        match change {
            Value::Null => {
                target.remove(key);
            }
            Value::Object(change) => {
                let slot = target.entry(key.as_str()).or_insert(Value::Null);
                if !slot.is_object() {
                    *slot = Value::Object(Document::new());
                }
                if let Value::Object(slot) = slot {
                    merge(slot, change);
                }
            }
            other => {
                target.insert(key.clone(), other.clone());
            }
        }
    }
}

/// Builds the patch that announces a replacement: all of `new`, and a null for each key that `old` had and `new` has
/// not. Keys are compared by presence alone (azure-iot-sdk-csharp#954, quoting the hub team).
pub(crate) fn replacement(old: &Document, new: &Document) -> Document {
    let mut patch = new.clone();
    for (key, was) in old {
        match (was, patch.get_mut(key)) {
            (_, None) => {
                patch.insert(key.clone(), Value::Null);
            }
            (Value::Object(was), Some(Value::Object(is))) => *is = replacement(was, is),
            _ => {}
        }
    }
    patch
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::Document;
    use super::{merge, replacement};

    fn object(value: Value) -> Document {
        value.as_object().expect("an object").clone()
    }

    fn check(target: Value, patch: Value, expected: Value) {
        let mut target = object(target);
        merge(&mut target, &object(patch));
        assert_eq!(Value::Object(target), expected);
    }

    #[test]
    fn the_cases_of_rfc_7396_appendix_a_hold() {
        check(json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"}));
        check(json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"}));
        check(json!({"a":"b"}), json!({"a":null}), json!({}));
        check(json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"}));
        check(json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"}));
        check(json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]}));
        check(json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}}));
        check(json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]}));
        check(json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1}));
        check(json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}}));
        check(json!({"a":1}), json!({"a":{"b":2}}), json!({"a":{"b":2}}));
    }

    #[test]
    fn a_replacement_is_announced_as_the_hub_team_says() {
        let patch = replacement(&object(json!({"a":1,"b":2})), &object(json!({"a":1,"c":9})));
        assert_eq!(Value::Object(patch), json!({"a":1,"b":null,"c":9}));
    }

    fn value(nulls: bool) -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i32>().prop_map(|number| json!(number)),
            any::<bool>().prop_map(|flag| json!(flag)),
            Just(json!([1, 2])),
            Just(if nulls { Value::Null } else { json!("x") }),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            proptest::collection::btree_map("[a-d]", inner, 0..4).prop_map(|map| json!(map))
        })
    }

    fn document(nulls: bool) -> impl Strategy<Value = Document> {
        proptest::collection::btree_map("[a-d]", value(nulls), 0..4)
            .prop_map(|map| map.into_iter().collect())
    }

    proptest! {
        #[test]
        fn merging_twice_is_merging_once(target in document(false), patch in document(true)) {
            let mut once = target;
            merge(&mut once, &patch);
            let mut twice = once.clone();
            merge(&mut twice, &patch);
            prop_assert_eq!(once, twice);
        }

        #[test]
        fn a_merge_leaves_no_null_behind(target in document(false), patch in document(true)) {
            let mut target = target;
            merge(&mut target, &patch);
            let text = Value::Object(target).to_string();
            prop_assert!(!text.contains("null"), "{}", text);
        }

        #[test]
        fn merging_the_announced_replacement_gives_the_new_document(old in document(false), new in document(false)) {
            let mut merged = old.clone();
            merge(&mut merged, &replacement(&old, &new));
            prop_assert_eq!(merged, new);
        }
    }
}
