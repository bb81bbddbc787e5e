//! What handlers say of a desired version, and how the cloud gets to see it.
//!
//! Source of the shape: "IoT Plug and Play conventions", writable properties: `value`, `ac`, `av`,
//! `ad`, and `__t` for components.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::Value;

use crate::document::{Document, Pointer, select};

/// The member that marks a component.
const COMPONENT_MARK: &str = "__t";

/// A handler's word on a version of desired, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The handler's name.
    pub handler: String,
    /// The generation it speaks of; the present one where none is given.
    pub generation: Option<u64>,
    /// The version it speaks of.
    pub version: u64,
    /// 200–299 applied, 400–599 refused.
    pub status: u16,
    /// Its own words.
    pub description: Option<String>,
    /// The subtrees it speaks of.
    pub paths: Vec<Pointer>,
    /// The wall clock when it came, in milliseconds since 1970.
    pub at_ms: u64,
}

/// A handler's newest word, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// The handler's name.
    pub handler: String,
    /// The generation it spoke of.
    pub generation: u64,
    /// The version it spoke of.
    pub version: u64,
    /// Its status.
    pub status: u16,
    /// Its words.
    pub description: Option<String>,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

impl Acknowledged {
    /// Whether this is the same handler's word on a newer version than `other` is.
    #[must_use]
    pub fn is_newer_than(&self, other: &Self) -> bool {
        self.handler == other.handler
            && (self.generation, self.version) > (other.generation, other.version)
    }
}

/// The report that answers for `acknowledgement` in the plug-and-play form.
///
/// One entry for each writable property under the acknowledged paths; a property whose answer
/// would only differ in its version is left alone, because its value has not been set again. An
/// answer to a property that is no longer desired is deleted.
#[must_use]
pub fn plug_and_play(
    acknowledgement: &Acknowledgement,
    desired: &Document,
    reported: &Document,
) -> Document {
    let chosen = select(desired, &acknowledgement.paths);
    let none = Document::new();
    let mut patch = Document::new();
    for (key, value) in &chosen {
        let old = reported.get(key);
        // The mark may lie outside the acknowledged paths.
        match (desired.get(key).and_then(component), value) {
            (Some(whole), Value::Object(chosen)) => {
                let answers = component_answers(acknowledgement, (key, chosen, whole), old);
                insert_answers(&mut patch, key, answers);
            }
            _ => answer_into(&mut patch, acknowledgement, key, value, old),
        }
    }
    for (key, old) in reported.iter().filter(|(key, _)| !desired.contains_key(*key)) {
        if let Some(old_component) = component(old) {
            let gone = gone_answers(acknowledgement, key, &none, old_component);
            insert_answers(&mut patch, key, gone);
        } else if is_answer(old) && speaks_of(acknowledgement, &[key]) {
            patch.insert(key.to_owned(), Value::Null);
        }
    }
    patch
}

/// The report that says of `silence` that nobody answered. It touches only what has no answer yet:
/// a value that was answered for before has not been set again.
#[must_use]
pub(crate) fn silence_answers(
    silence: &Acknowledgement,
    desired: &Document,
    reported: &Document,
) -> Document {
    let answered = |old: Option<&Value>, new: &Value| match (old, new.as_object()) {
        (Some(old), Some(new)) => {
            is_answer(old) && old.get("value").is_some() && old.get("value") == new.get("value")
        }
        _ => false,
    };
    let mut answers = plug_and_play(silence, desired, reported);
    answers.retain(|key, value| {
        let old = reported.get(key);
        let (Value::Object(members), Some(_)) = (&mut *value, desired.get(key).and_then(component))
        else {
            return !value.is_null() && !answered(old, value);
        };
        let old = old.and_then(Value::as_object);
        members.retain(|key, value| {
            key == COMPONENT_MARK
                || !value.is_null() && !answered(old.and_then(|old| old.get(key)), value)
        });
        members.keys().any(|key| key != COMPONENT_MARK)
    });
    answers
}

/// Takes out of `document` what answers for desired versions: such answers don't count for a new
/// generation.
pub fn strip_answers(document: &mut Document) {
    document.retain(|_, value| {
        if let Value::Object(members) = value
            && members.contains_key(COMPONENT_MARK)
        {
            let before = members.len();
            members.retain(|_, value| !is_answer(value));
            return members.len() == before || members.len() > 1;
        }
        !is_answer(value)
    });
}

/// Takes out of `patch` what answers for desired versions, or is a piece of such an answer: what it
/// belongs to is in `planned`, the section as it will be.
pub(crate) fn strip_answer_pieces(patch: &mut Document, planned: &Document) {
    patch.retain(|key, value| {
        let whole = planned.get(key);
        if is_answer(value) || whole.is_some_and(is_answer) {
            return false;
        }
        let (Value::Object(members), Some(whole)) = (value, whole.and_then(component)) else {
            return true;
        };
        let before = members.len();
        members.retain(|key, value| !is_answer(value) && !whole.get(key).is_some_and(is_answer));
        members.len() == before || members.keys().any(|key| key != COMPONENT_MARK)
    });
}

fn component(value: &Value) -> Option<&Document> {
    value.as_object().filter(|members| members.contains_key(COMPONENT_MARK))
}

/// Whether one of the acknowledged paths names the place, something around it or something in it.
fn speaks_of(acknowledgement: &Acknowledgement, place: &[&str]) -> bool {
    acknowledgement
        .paths
        .iter()
        .any(|path| path.keys().iter().zip(place).all(|(key, place)| key == place))
}

fn insert_answers(patch: &mut Document, key: &str, mut answers: Document) {
    if !answers.is_empty() {
        answers.insert(COMPONENT_MARK.to_owned(), Value::from("c"));
        patch.insert(key.to_owned(), Value::Object(answers));
    }
}

/// The answers for the component `name`, of whose properties `chosen` are acknowledged.
fn component_answers(
    acknowledgement: &Acknowledgement,
    (name, chosen, whole): (&str, &Document, &Document),
    old: Option<&Value>,
) -> Document {
    let old = old.and_then(Value::as_object);
    let mut answers =
        old.map_or_else(Document::new, |old| gone_answers(acknowledgement, name, whole, old));
    for (key, value) in chosen.iter().filter(|(key, _)| *key != COMPONENT_MARK) {
        answer_into(&mut answers, acknowledgement, key, value, old.and_then(|old| old.get(key)));
    }
    answers
}

/// Deletes the answers in the component `name` to properties that are not in `desired`.
fn gone_answers(
    acknowledgement: &Acknowledgement,
    name: &str,
    desired: &Document,
    old: &Document,
) -> Document {
    old.iter()
        .filter(|(key, old)| {
            is_answer(old)
                && !desired.contains_key(*key)
                && speaks_of(acknowledgement, &[name, key])
        })
        .map(|(key, _)| (key.to_owned(), Value::Null))
        .collect()
}

fn answer_into(
    patch: &mut Document,
    acknowledgement: &Acknowledgement,
    key: &str,
    value: &Value,
    old: Option<&Value>,
) {
    let mut answer = Document::new();
    answer.insert("value".to_owned(), value.clone());
    answer.insert("ac".to_owned(), Value::from(acknowledgement.status));
    answer.insert("av".to_owned(), Value::from(acknowledgement.version));
    if let Some(description) = &acknowledgement.description {
        answer.insert("ad".to_owned(), Value::from(description.as_str()));
    }
    let old = old.and_then(Value::as_object);
    let unchanged = old.is_some_and(|old| {
        ["value", "ac", "ad"].iter().all(|member| old.get(*member) == answer.get(*member))
            && old.contains_key("av")
    });
    if unchanged {
        return;
    }
    if let Some(old) = old {
        replace_nested(&mut answer, old);
        if !answer.contains_key("ad") && old.contains_key("ad") {
            answer.insert("ad".to_owned(), Value::Null);
        }
    }
    patch.insert(key.to_owned(), Value::Object(answer));
}

/// Makes `value` in a merge patch replace an older object whole: what it no longer has is deleted.
fn replace_nested(answer: &mut Document, old: &Document) {
    if let (Some(Value::Object(new)), Some(Value::Object(old))) =
        (answer.get_mut("value"), old.get("value"))
    {
        let gone = crate::document::difference(old, new);
        crate::document::compose(new, &gone);
    }
}

fn is_answer(value: &Value) -> bool {
    value.as_object().is_some_and(|members| {
        members.contains_key("ac")
            && members.contains_key("value")
            && members.get("av").and_then(Value::as_u64).is_some_and(|version| version > 0)
    })
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use serde_json::json;

    use super::*;
    use crate::document::merge;

    fn document(value: Value) -> Document {
        value.as_object().cloned().unwrap()
    }

    fn acknowledged(version: u64, status: u16, description: Option<&str>) -> Acknowledgement {
        Acknowledgement {
            handler: "hvac".into(),
            generation: None,
            version,
            status,
            description: description.map(Into::into),
            paths: vec![Pointer::parse("").unwrap()],
            at_ms: 0,
        }
    }

    #[test]
    fn each_desired_property_is_answered_with_value_code_and_version() {
        let desired = document(json!({"temp": 21, "fan": {"__t": "c", "speed": 3}}));
        let patch = plug_and_play(&acknowledged(4, 200, Some("done")), &desired, &Document::new());
        assert_eq!(
            Value::Object(patch),
            json!({
                "temp": {"value": 21, "ac": 200, "av": 4, "ad": "done"},
                "fan": {"__t": "c", "speed": {"value": 3, "ac": 200, "av": 4, "ad": "done"}}
            })
        );
    }

    #[test]
    fn what_was_answered_before_is_left_alone_and_what_is_gone_is_deleted() {
        let reported = document(json!({
            "temp": {"value": 21, "ac": 200, "av": 4},
            "old": {"value": 1, "ac": 200, "av": 3},
            "own": {"value": 1, "ac": 203, "av": 0},
            "plain": 5
        }));
        let desired = document(json!({"temp": 21, "mode": "eco"}));
        let patch = plug_and_play(&acknowledged(5, 200, None), &desired, &reported);
        assert_eq!(
            Value::Object(patch),
            json!({"mode": {"value": "eco", "ac": 200, "av": 5}, "old": null})
        );
    }

    #[test]
    fn an_object_value_replaces_the_one_answered_before() {
        let mut reported =
            document(json!({"net": {"value": {"a": 1, "b": 2}, "ac": 400, "av": 2, "ad": "no"}}));
        let desired = document(json!({"net": {"b": 2, "c": 3}}));
        let patch = plug_and_play(&acknowledged(3, 200, None), &desired, &reported);
        merge(&mut reported, &patch);
        assert_eq!(
            Value::Object(reported),
            json!({"net": {"value": {"b": 2, "c": 3}, "ac": 200, "av": 3}})
        );
    }

    #[test]
    fn an_answer_for_one_property_of_a_component_leaves_the_others_alone() {
        let desired = document(json!({"fan": {"__t": "c", "speed": 3, "mode": "eco"}}));
        let reported = document(json!({"fan": {
            "__t": "c",
            "mode": {"value": "eco", "ac": 200, "av": 2},
            "gone": {"value": 1, "ac": 200, "av": 2}
        }}));
        let mut said = acknowledged(4, 200, None);
        said.paths = vec![Pointer::parse("/fan/speed").unwrap()];
        assert_eq!(
            Value::Object(plug_and_play(&said, &desired, &reported)),
            json!({"fan": {"__t": "c", "speed": {"value": 3, "ac": 200, "av": 4}}})
        );
    }

    #[test]
    fn the_answers_of_a_component_that_is_gone_are_deleted() {
        let reported = document(json!({"fan": {
            "__t": "c", "rpm": 900, "speed": {"value": 3, "ac": 200, "av": 4}
        }}));
        let patch = plug_and_play(&acknowledged(5, 200, None), &Document::new(), &reported);
        assert_eq!(Value::Object(patch), json!({"fan": {"__t": "c", "speed": null}}));
    }

    #[test]
    fn an_acknowledgement_elsewhere_deletes_nothing() {
        let reported = document(json!({"temp": {"value": 21, "ac": 200, "av": 4}}));
        let mut said = acknowledged(5, 200, None);
        said.paths = vec![Pointer::parse("/fan").unwrap()];
        assert!(plug_and_play(&said, &Document::new(), &reported).is_empty());
    }

    #[test]
    fn answers_are_stripped_and_the_rest_stays() {
        let mut reported = document(json!({
            "temp": {"value": 21, "ac": 200, "av": 4},
            "fan": {"__t": "c", "speed": {"value": 3, "ac": 200, "av": 4}, "rpm": 900},
            "pump": {"__t": "c", "speed": {"value": 3, "ac": 200, "av": 4}},
            "plain": 5
        }));
        strip_answers(&mut reported);
        assert_eq!(Value::Object(reported), json!({"fan": {"__t": "c", "rpm": 900}, "plain": 5}));
    }
}
