//! The limits of twin documents, checked before anything is sent.
//!
//! Source: "Understand and use device twins in IoT Hub" (sizes, counting, keys, depth, integers);
//! the edge hub's `ReportedPropertiesValidator` (arrays, nulls, white space in keys).

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

use serde_json::{Number, Value};

use crate::document::Document;

/// The largest reported or desired section, in bytes as [`size`] counts them.
pub const MAX_SECTION_BYTES: u64 = 32 * 1024;
/// The share of that from which on a section is called nearly full, in percent.
pub const NEARLY_FULL_PERCENT: u64 = 80;
/// The longest key, in bytes of UTF-8.
pub const MAX_KEY_BYTES: u64 = 1024;
/// The longest string, in bytes of UTF-8.
pub const MAX_STRING_BYTES: u64 = 4096;
/// The deepest nesting of objects and arrays; the section itself does not count.
pub const MAX_DEPTH: u64 = 10;
/// The largest integer; the smallest is its negative less one.
pub const MAX_INTEGER: i64 = 4_503_599_627_370_495;

/// A rule of twins that a document breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {rule}")]
pub struct Violation {
    /// JSON Pointer to the place.
    pub pointer: String,
    /// The rule, in words.
    pub rule: String,
    /// The rule's number, where it has one.
    pub limit: Option<u64>,
}

/// Checks keys, values and depth of a patch of the reported section.
///
/// # Errors
///
/// The first [`Violation`], in the order of the keys.
pub fn check_patch(patch: &Document) -> Result<(), Violation> {
    Walk { path: Vec::new(), in_array: false }.object(patch, 0)
}

/// Checks that `after` is not too large, or at least no larger than `before` was: the hub refuses
/// only writes that grow a section past its limit.
///
/// # Errors
///
/// [`Violation`] that names the limit.
pub fn check_size(before: &Document, after: &Document) -> Result<(), Violation> {
    let found = size(after);
    if found <= MAX_SECTION_BYTES || found <= size(before) {
        return Ok(());
    }
    Err(Violation {
        pointer: String::new(),
        rule: alloc::format!(
            "the reported section would have {found} bytes, at most {MAX_SECTION_BYTES} are allowed"
        ),
        limit: Some(MAX_SECTION_BYTES),
    })
}

/// The size of a section as the hub counts it: keys and strings in bytes of UTF-8 without control
/// characters, 8 for a number, 4 for a boolean.
#[must_use]
pub fn size(document: &Document) -> u64 {
    document.iter().map(|(key, value)| text_size(key) + value_size(value)).sum()
}

/// Whether a section of `bytes` is so large that somebody should know before the hub refuses more.
#[must_use]
pub fn is_nearly_full(bytes: u64) -> bool {
    bytes.saturating_mul(100) >= MAX_SECTION_BYTES * NEARLY_FULL_PERCENT
}

fn value_size(value: &Value) -> u64 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 4,
        Value::Number(_) => 8,
        Value::String(text) => text_size(text),
        Value::Array(items) => items.iter().map(value_size).sum(),
        Value::Object(inner) => size(inner),
    }
}

fn text_size(text: &str) -> u64 {
    text.chars().filter(|c| !c.is_control()).map(|c| c.len_utf8() as u64).sum()
}

/// One step down into a document.
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// The way down into a document, for the pointer of a violation.
struct Walk<'a> {
    path: Vec<Step<'a>>,
    in_array: bool,
}

impl<'a> Walk<'a> {
    fn object(&mut self, object: &'a Document, depth: u64) -> Result<(), Violation> {
        if depth > MAX_DEPTH {
            return Err(self.violation("objects and arrays nest at most 10 deep", Some(MAX_DEPTH)));
        }
        for (key, value) in object {
            self.path.push(Step::Key(key));
            self.key(key)?;
            self.value(value, depth)?;
            self.path.pop();
        }
        Ok(())
    }

    fn value(&mut self, value: &'a Value, depth: u64) -> Result<(), Violation> {
        match value {
            Value::Null if self.in_array => {
                Err(self.violation("arrays, and objects in them, must not hold null", None))
            }
            Value::Null | Value::Bool(_) => Ok(()),
            Value::Number(number) => self.number(number),
            Value::String(text) if text.len() as u64 > MAX_STRING_BYTES => {
                Err(self.violation("a string has at most 4096 bytes", Some(MAX_STRING_BYTES)))
            }
            Value::String(_) => Ok(()),
            Value::Object(inner) => self.object(inner, depth + 1),
            Value::Array(items) => self.array(items, depth + 1),
        }
    }

    fn array(&mut self, items: &'a [Value], depth: u64) -> Result<(), Violation> {
        if depth > MAX_DEPTH {
            return Err(self.violation("objects and arrays nest at most 10 deep", Some(MAX_DEPTH)));
        }
        let outer = core::mem::replace(&mut self.in_array, true);
        for (index, item) in items.iter().enumerate() {
            self.path.push(Step::Index(index));
            self.value(item, depth)?;
            self.path.pop();
        }
        self.in_array = outer;
        Ok(())
    }

    fn number(&self, number: &Number) -> Result<(), Violation> {
        let fits = match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => (-MAX_INTEGER - 1..=MAX_INTEGER).contains(&integer),
            (None, Some(_)) => false,
            (None, None) => true,
        };
        if fits {
            return Ok(());
        }
        Err(self.violation(
            "an integer lies between -4503599627370496 and 4503599627370495; send a larger one as a string",
            MAX_INTEGER.try_into().ok(),
        ))
    }

    fn key(&self, key: &str) -> Result<(), Violation> {
        if key.len() as u64 > MAX_KEY_BYTES {
            return Err(self.violation("a key has at most 1024 bytes", Some(MAX_KEY_BYTES)));
        }
        match key.chars().find(|c| c.is_control() || c.is_whitespace() || ".$#".contains(*c)) {
            Some(found) => Err(self.violation(
                &alloc::format!(
                    "a key must not contain {found:?}: no `.`, `$`, `#`, white space or control characters"
                ),
                None,
            )),
            None => Ok(()),
        }
    }

    fn violation(&self, rule: &str, limit: Option<u64>) -> Violation {
        let mut pointer = String::new();
        for step in &self.path {
            // Writing to a string can't fail.
            let _infallible = match step {
                Step::Key(key) => {
                    write!(pointer, "/{}", key.replace('~', "~0").replace('/', "~1"))
                }
                Step::Index(index) => write!(pointer, "/{index}"),
            };
        }
        Violation { pointer, rule: rule.to_string(), limit }
    }
}

#[cfg(test)]
mod tests;
