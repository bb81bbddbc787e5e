//! What a twin document may hold: keys, values, depth and size ("Understand and use device twins", section "Device
//! twin format"; the texts are those of the edge hub's `ReportedPropertiesValidator`).

use serde_json::Value;

use super::Document;

/// Most objects inside each other below a section's root.
const MOST_LEVELS: usize = 10;
/// Most UTF-8 bytes of a key.
const MOST_KEY_BYTES: usize = 1024;
/// Most UTF-8 bytes of a text.
const MOST_TEXT_BYTES: usize = 4096;
/// Whole numbers from here ...
const LEAST_NUMBER: i64 = -4_503_599_627_370_496;
/// ... to here.
const MOST_NUMBER: i64 = 4_503_599_627_370_495;

/// Says what nulls mean in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nulls {
    /// They delete: the document is a patch.
    Delete,
    /// They are refused: the document replaces another.
    Refused,
}

/// Checks everything but the size.
///
/// # Errors
/// Says what the service would.
pub(crate) fn check(document: &Document, nulls: Nulls) -> Result<(), String> {
    check_object(document, nulls, 0)
}

fn check_object(document: &Document, nulls: Nulls, level: usize) -> Result<(), String> {
    for (key, value) in document {
        check_key(key)?;
        check_value(key, value, nulls, level)?;
    }
    Ok(())
}

fn check_value(key: &str, value: &Value, nulls: Nulls, level: usize) -> Result<(), String> {
    match value {
        Value::Null if nulls == Nulls::Refused => {
            Err(format!("Value of Property or Tag cannot be null. Error inProperty/Tag {key}"))
        }
        Value::String(text) if text.len() > MOST_TEXT_BYTES => Err(format!(
            "Value associated with property name {key} has length {} that exceeds maximum length of {MOST_TEXT_BYTES}",
            text.len()
        )),
        Value::Number(number) => check_number(key, number),
        Value::Object(inner) => {
            deeper(level)?;
            check_object(inner, nulls, level + 1)
        }
        // Arrays replace whole, so a null inside can't delete anything and is refused.
        Value::Array(items) => {
            deeper(level)?;
            items.iter().try_for_each(|item| check_value(key, item, Nulls::Refused, level + 1))
        }
        _ => Ok(()),
    }
}

fn deeper(level: usize) -> Result<(), String> {
    if level >= MOST_LEVELS {
        return Err(format!("Nested depth of twin property exceeds {MOST_LEVELS}"));
    }
    Ok(())
}

fn check_number(key: &str, number: &serde_json::Number) -> Result<(), String> {
    let fits = match (number.as_i64(), number.is_u64()) {
        (Some(whole), _) => (LEAST_NUMBER..=MOST_NUMBER).contains(&whole),
        (None, whole) => !whole,
    };
    if fits {
        return Ok(());
    }
    Err(format!(
        "Property {key} has an out of bound value. Valid values are between {LEAST_NUMBER} and {MOST_NUMBER}"
    ))
}

fn check_key(key: &str) -> Result<(), String> {
    if key.len() > MOST_KEY_BYTES {
        let start: String = key.chars().take(10).collect();
        return Err(format!(
            "Length of property name {start}.. exceeds maximum length of {MOST_KEY_BYTES}"
        ));
    }
    let illegal =
        |letter: char| letter.is_control() || letter.is_whitespace() || ".$#".contains(letter);
    match key.chars().find(|letter| illegal(*letter)) {
        Some(letter) => Err(format!("Property name {key} contains invalid character '{letter}'")),
        None => Ok(()),
    }
}

/// Counts a section's size as the service does: keys and texts in UTF-8 bytes without control characters, numbers 8,
/// booleans 4, nothing for the brackets.
pub(crate) fn size(document: &Document) -> usize {
    document.iter().map(|(key, value)| text_size(key) + value_size(value)).sum()
}

fn value_size(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 4,
        Value::Number(_) => 8,
        Value::String(text) => text_size(text),
        Value::Array(items) => items.iter().map(value_size).sum(),
        Value::Object(inner) => size(inner),
    }
}

fn text_size(text: &str) -> usize {
    text.chars().filter(|letter| !letter.is_control()).map(char::len_utf8).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Nulls, check, size};

    fn verdict(document: &Value, nulls: Nulls) -> Result<(), String> {
        check(document.as_object().expect("an object"), nulls)
    }

    fn nested(objects: usize) -> Value {
        (0..objects).fold(json!(1), |inner, _| json!({ "o": inner }))
    }

    #[test]
    fn ten_named_objects_may_sit_inside_each_other_and_eleven_not() {
        // The documentation's own example nests "one" to "ten" and puts a property into "ten".
        assert_eq!(verdict(&nested(11), Nulls::Delete), Ok(()));
        assert_eq!(
            verdict(&nested(12), Nulls::Delete),
            Err("Nested depth of twin property exceeds 10".to_owned())
        );
    }

    #[test]
    fn keys_with_illegal_characters_are_named() {
        for (key, letter) in [
            ("a.b", '.'),
            ("$a", '$'),
            ("a b", ' '),
            ("a#", '#'),
            ("a\u{1}", '\u{1}'),
            ("a\u{85}", '\u{85}'),
        ] {
            assert_eq!(
                verdict(&json!({ key: 1 }), Nulls::Delete),
                Err(format!("Property name {key} contains invalid character '{letter}'"))
            );
        }
        assert_eq!(verdict(&json!({"": 1, "ä-_:/": 2}), Nulls::Delete), Ok(()));
    }

    #[test]
    fn lengths_end_where_the_book_says() {
        let (key, long_key) = ("k".repeat(1024), "k".repeat(1025));
        assert_eq!(verdict(&json!({ key: "v".repeat(4096) }), Nulls::Delete), Ok(()));
        assert!(
            verdict(&json!({ long_key: 1 }), Nulls::Delete)
                .is_err_and(|text| text.starts_with("Length of property name kkkkkkkkkk.."))
        );
        assert!(
            verdict(&json!({"a": "v".repeat(4097)}), Nulls::Delete)
                .is_err_and(|text| text.contains("has length 4097"))
        );
    }

    #[test]
    fn whole_numbers_are_bounded_and_fractions_are_not() {
        assert_eq!(
            verdict(
                &json!({"a": 4_503_599_627_370_495_i64, "b": -4_503_599_627_370_496_i64, "c": 1e300}),
                Nulls::Delete
            ),
            Ok(())
        );
        for number in
            [json!(4_503_599_627_370_496_i64), json!(-4_503_599_627_370_497_i64), json!(u64::MAX)]
        {
            assert!(verdict(&json!({ "a": number }), Nulls::Delete).is_err());
        }
    }

    #[test]
    fn nulls_delete_in_patches_and_are_refused_in_arrays_and_replacements() {
        assert_eq!(verdict(&json!({"a": null, "b": {"c": null}}), Nulls::Delete), Ok(()));
        let text = "Value of Property or Tag cannot be null. Error inProperty/Tag b".to_owned();
        assert_eq!(verdict(&json!({"b": [1, null]}), Nulls::Delete), Err(text.clone()));
        assert_eq!(verdict(&json!({"a": [{"b": null}]}), Nulls::Delete), Err(text.clone()));
        assert_eq!(verdict(&json!({"b": null}), Nulls::Refused), Err(text));
    }

    #[test]
    fn sizes_count_content_without_brackets_and_control_characters() {
        let document = json!({"ab": "c\u{1}ä", "n": 1.5, "t": true, "o": {"x": [1, "yz"]}});
        assert_eq!(
            size(document.as_object().expect("an object")),
            2 + 3 + 1 + 8 + 1 + 4 + 1 + 1 + 8 + 2
        );
    }
}
