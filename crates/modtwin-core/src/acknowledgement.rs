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
    let mut patch = Document::new();
    for (key, value) in &chosen {
        let old = reported.get(key);
        match value {
            Value::Object(component) if component.contains_key(COMPONENT_MARK) => {
                let answers = component_answers(acknowledgement, component, old);
                if !answers.is_empty() {
                    patch.insert(key.to_owned(), Value::Object(answers));
                }
            }
            _ => answer_into(&mut patch, acknowledgement, key, value, old),
        }
    }
    for (key, old) in &select(reported, &acknowledgement.paths) {
        if is_answer(old) && !desired.contains_key(key) {
            patch.insert(key.to_owned(), Value::Null);
        }
    }
    patch
}

/// Takes out of `document` what answers for desired versions: such answers don't count for a new
/// generation.
pub fn strip_answers(document: &mut Document) {
    document.retain(|_, value| !is_answer(value));
    for value in document.values_mut() {
        if let Value::Object(component) = value
            && component.contains_key(COMPONENT_MARK)
        {
            component.retain(|_, value| !is_answer(value));
        }
    }
}

fn component_answers(
    acknowledgement: &Acknowledgement,
    component: &Document,
    old: Option<&Value>,
) -> Document {
    let old = old.and_then(Value::as_object);
    let mut answers = Document::new();
    for (key, value) in component.iter().filter(|(key, _)| *key != COMPONENT_MARK) {
        answer_into(&mut answers, acknowledgement, key, value, old.and_then(|old| old.get(key)));
    }
    for (key, old) in old.into_iter().flatten() {
        if is_answer(old) && !component.contains_key(key) {
            answers.insert(key.to_owned(), Value::Null);
        }
    }
    if !answers.is_empty() {
        answers.insert(COMPONENT_MARK.to_owned(), Value::from("c"));
    }
    answers
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
        let mut reported = document(json!({"net": {"value": {"a": 1, "b": 2}, "ac": 400, "av": 2, "ad": "no"}}));
        let desired = document(json!({"net": {"b": 2, "c": 3}}));
        let patch = plug_and_play(&acknowledged(3, 200, None), &desired, &reported);
        merge(&mut reported, &patch);
        assert_eq!(
            Value::Object(reported),
            json!({"net": {"value": {"b": 2, "c": 3}, "ac": 200, "av": 3}})
        );
    }

    #[test]
    fn answers_are_stripped_and_the_rest_stays() {
        let mut reported = document(json!({
            "temp": {"value": 21, "ac": 200, "av": 4},
            "fan": {"__t": "c", "speed": {"value": 3, "ac": 200, "av": 4}, "rpm": 900},
            "plain": 5
        }));
        strip_answers(&mut reported);
        assert_eq!(Value::Object(reported), json!({"fan": {"__t": "c", "rpm": 900}, "plain": 5}));
    }
}
