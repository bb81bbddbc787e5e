//! Twin documents as values: merge patches (RFC 7396), their composition, differences, and
//! restriction to subtrees named by JSON Pointers (RFC 6901).

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde_json::{Map, Value};

/// A twin section or a merge patch: a JSON object with its keys in order.
pub type Document = Map<String, Value>;

/// Applies the merge patch `patch` to `target` (RFC 7396): null deletes, objects merge, all else
/// replaces.
pub fn merge(target: &mut Document, patch: &Document) {
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.remove(key);
            }
            Value::Object(inner) => match target.get_mut(key) {
                Some(Value::Object(existing)) => merge(existing, inner),
                _ => {
                    let mut fresh = Document::new();
                    merge(&mut fresh, inner);
                    target.insert(key.to_owned(), Value::Object(fresh));
                }
            },
            other => {
                target.insert(key.to_owned(), other.clone());
            }
        }
    }
}

/// Says whether [`compose`] of the two loses nothing.
///
/// One case cannot be said in one merge patch: `earlier` deletes or replaces a key with something
/// that is no object, and `later` writes an object there. The composed patch would keep what the
/// document held below that key. Such patches have to be sent one after the other.
#[must_use]
pub fn composes(earlier: &Document, later: &Document) -> bool {
    later.iter().all(|(key, value)| match (earlier.get(key), value) {
        (Some(Value::Object(existing)), Value::Object(inner)) => composes(existing, inner),
        (Some(_), Value::Object(_)) => false,
        _ => true,
    })
}

/// Makes `earlier` the one patch that does what `earlier` and then `later` do; deletes are kept.
///
/// Exact for every document where [`composes`] holds.
pub fn compose(earlier: &mut Document, later: &Document) {
    for (key, value) in later {
        match (earlier.get_mut(key), value) {
            (Some(Value::Object(existing)), Value::Object(inner)) => compose(existing, inner),
            _ => {
                earlier.insert(key.to_owned(), value.clone());
            }
        }
    }
}

/// Works `later` into the two patches `earlier` and `newest`, which are merged one after the other;
/// afterwards the two do what the three did.
///
/// Two patches can say everything: `earlier` clears what has to be replaced by an object, `newest`
/// writes that object. Values move to `earlier` in the largest whole that can, so that what the hub
/// holds between the two makes sense.
pub(crate) fn compose_into_two(earlier: &mut Document, newest: &mut Document, later: &Document) {
    for (key, value) in later {
        match (newest.get_mut(key), value) {
            (Some(Value::Object(existing)), Value::Object(inner)) => {
                if composes(existing, inner) {
                    compose(existing, inner);
                    continue;
                }
                match earlier.get_mut(key) {
                    Some(Value::Object(below)) if composes(below, existing) => {
                        compose(below, existing);
                        *existing = inner.clone();
                    }
                    Some(Value::Object(below)) => compose_into_two(below, existing, inner),
                    // All that the hub will hold here is in `existing`, so that merging is exact.
                    Some(_) => merge(existing, inner),
                    None => {
                        let whole = core::mem::replace(existing, inner.clone());
                        earlier.insert(key.to_owned(), Value::Object(whole));
                    }
                }
            }
            (Some(cleared), Value::Object(_)) => {
                earlier.insert(key.to_owned(), core::mem::replace(cleared, value.clone()));
            }
            _ => {
                newest.insert(key.to_owned(), value.clone());
            }
        }
    }
}

/// The merge patch that turns `from` into `to`; empty where they are equal.
#[must_use]
pub fn difference(from: &Document, to: &Document) -> Document {
    let mut patch = Document::new();
    for (key, new) in to {
        match (from.get(key), new) {
            (Some(old), new) if old == new => {}
            (Some(Value::Object(old)), Value::Object(new)) => {
                patch.insert(key.to_owned(), Value::Object(difference(old, new)));
            }
            (_, new) => {
                patch.insert(key.to_owned(), new.clone());
            }
        }
    }
    for key in from.keys().filter(|key| !to.contains_key(*key)) {
        patch.insert(key.to_owned(), Value::Null);
    }
    patch
}

/// Says whether merging `patch` into `document` would leave it as it is.
#[must_use]
pub fn changes_nothing(document: &Document, patch: &Document) -> bool {
    patch.iter().all(|(key, value)| match (document.get(key), value) {
        (existing, Value::Null) => existing.is_none(),
        (Some(Value::Object(existing)), Value::Object(inner)) => changes_nothing(existing, inner),
        (existing, value) => existing == Some(value),
    })
}

/// Says whether the merge patch `earlier` does all that `later` would do after it.
#[must_use]
pub fn says_already(earlier: &Document, later: &Document) -> bool {
    later.iter().all(|(key, value)| match (earlier.get(key), value) {
        (Some(Value::Object(existing)), Value::Object(inner)) => says_already(existing, inner),
        (existing, value) => existing == Some(value),
    })
}

/// A JSON Pointer (RFC 6901) into a twin section; the empty pointer names all of it.
///
/// It walks objects only: twins replace arrays whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pointer(Vec<String>);

/// Why a text is no JSON Pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// Neither empty nor begun with `/`.
    #[error("a JSON Pointer is empty or begins with `/`, found {0:?}")]
    NoSlash(String),
    /// A `~` that is not `~0` or `~1`.
    #[error("in a JSON Pointer `~` stands only in `~0` and `~1`, found {0:?}")]
    Tilde(String),
}

impl Pointer {
    /// Reads a pointer such as `/hvac/target`.
    ///
    /// # Errors
    ///
    /// [`PointerError`] where the text does not follow RFC 6901.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let Some(rest) = text.strip_prefix('/') else {
            return Err(PointerError::NoSlash(text.to_owned()));
        };
        rest.split('/')
            .map(|token| unescape(token).ok_or_else(|| PointerError::Tilde(text.to_owned())))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The pointer's keys, outermost first.
    #[must_use]
    pub fn keys(&self) -> &[String] {
        &self.0
    }

    /// Says whether this pointer names `other` or something around it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for key in &self.0 {
            write!(f, "/{}", key.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}

/// What `document` holds under any of `pointers`, with the objects around it.
#[must_use]
pub fn select(document: &Document, pointers: &[Pointer]) -> Document {
    let mut selected = Document::new();
    for pointer in pointers {
        copy_path(document, &mut selected, pointer.keys());
    }
    selected
}

/// The first place that `patch` writes and none of `pointers` covers; none where all is covered.
#[must_use]
pub fn first_uncovered(patch: &Document, pointers: &[Pointer]) -> Option<Pointer> {
    let mut path = Vec::new();
    uncovered(patch, pointers, &mut path)
}

fn uncovered(patch: &Document, pointers: &[Pointer], path: &mut Vec<String>) -> Option<Pointer> {
    for (key, value) in patch {
        path.push(key.to_owned());
        let here = Pointer(path.clone());
        if !pointers.iter().any(|pointer| pointer.covers(&here)) {
            let found = match value {
                Value::Object(inner) if !inner.is_empty() => uncovered(inner, pointers, path),
                _ => Some(here),
            };
            if found.is_some() {
                return found;
            }
        }
        path.pop();
    }
    None
}

fn copy_path(from: &Document, to: &mut Document, keys: &[String]) {
    let Some((first, rest)) = keys.split_first() else {
        *to = from.clone();
        return;
    };
    match from.get(first) {
        None => {}
        Some(value) if rest.is_empty() => {
            to.insert(first.to_owned(), value.clone());
        }
        Some(Value::Object(inner)) => {
            if let Some(Value::Object(slot)) = to.get_mut(first) {
                return copy_path(inner, slot, rest);
            }
            let mut fresh = Document::new();
            copy_path(inner, &mut fresh, rest);
            if !fresh.is_empty() {
                to.insert(first.to_owned(), Value::Object(fresh));
            }
        }
        Some(_) => {}
    }
}

fn unescape(token: &str) -> Option<String> {
    let mut parts = token.split('~');
    let mut plain = parts.next()?.to_string();
    for part in parts {
        let rest = match part.as_bytes().first() {
            Some(b'0') => '~',
            Some(b'1') => '/',
            _ => return None,
        };
        plain.push(rest);
        plain.push_str(part.get(1..)?);
    }
    Some(plain)
}

#[cfg(test)]
mod tests;
