//! Which part of a twin section a peer may see or write.

use std::borrow::Cow;

use modtwin_core::document::{Document, Pointer, first_uncovered, select};

/// A set of subtrees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The whole section.
    All,
    /// What is under any of these pointers. Invariant: none covers another, none is the root, in
    /// order.
    Under(Vec<Pointer>),
}

impl Scope {
    /// What is under any of `pointers`.
    pub(crate) fn under(pointers: impl IntoIterator<Item = Pointer>) -> Self {
        let mut pointers: Vec<_> = pointers.into_iter().collect();
        // In this order a pointer stands before all that it covers.
        pointers.sort();
        let mut kept: Vec<Pointer> = Vec::new();
        for pointer in pointers {
            if pointer.keys().is_empty() {
                return Self::All;
            }
            if !kept.iter().any(|wider| wider.covers(&pointer)) {
                kept.push(pointer);
            }
        }
        Self::Under(kept)
    }

    /// Says whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Under(pointers) if pointers.is_empty())
    }

    /// The part of it that is also under any of `wanted`; the error is the first of `wanted` that
    /// lies wholly outside.
    pub(crate) fn narrowed(&self, wanted: &[Pointer]) -> Result<Self, Pointer> {
        let mut shared = Vec::new();
        for pointer in wanted {
            let before = shared.len();
            match self {
                Self::All => shared.push(pointer.clone()),
                Self::Under(own) => shared.extend(own.iter().filter_map(|own| {
                    if own.covers(pointer) {
                        Some(pointer.clone())
                    } else {
                        pointer.covers(own).then(|| own.clone())
                    }
                })),
            }
            if shared.len() == before {
                return Err(pointer.clone());
            }
        }
        Ok(Self::under(shared))
    }

    /// What `document` holds within it.
    pub(crate) fn of<'a>(&self, document: &'a Document) -> Cow<'a, Document> {
        match self {
            Self::All => Cow::Borrowed(document),
            Self::Under(pointers) => Cow::Owned(select(document, pointers)),
        }
    }

    /// Whether something under the top-level `key` is in it.
    pub(crate) fn meets(&self, key: &str) -> bool {
        match self {
            Self::All => true,
            Self::Under(pointers) => {
                pointers.iter().any(|pointer| pointer.keys().first().is_some_and(|it| it == key))
            }
        }
    }

    /// The first place outside of it that `patch` writes.
    pub(crate) fn first_outside(&self, patch: &Document) -> Option<Pointer> {
        match self {
            Self::All => None,
            Self::Under(pointers) => first_uncovered(patch, pointers),
        }
    }

    /// The first of `pointers` that it does not cover whole.
    pub(crate) fn first_uncovered<'a>(&self, pointers: &'a [Pointer]) -> Option<&'a Pointer> {
        match self {
            Self::All => None,
            Self::Under(own) => {
                pointers.iter().find(|pointer| !own.iter().any(|own| own.covers(pointer)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointers(texts: &[&str]) -> Vec<Pointer> {
        texts.iter().map(|text| Pointer::parse(text).unwrap()).collect()
    }

    fn scope(texts: &[&str]) -> Scope {
        Scope::under(pointers(texts))
    }

    #[test]
    fn a_scope_keeps_only_its_widest_pointers() {
        assert_eq!(scope(&["/a/b", "/c", "/a"]), Scope::Under(pointers(&["/a", "/c"])));
        assert_eq!(scope(&["/a", "/ab"]), Scope::Under(pointers(&["/a", "/ab"])));
        assert_eq!(scope(&["/a", ""]), Scope::All);
        assert!(scope(&[]).is_empty());
        assert!(!Scope::All.is_empty());
    }

    #[test]
    fn a_wish_is_narrowed_to_what_is_allowed() {
        let check = |allowed: &[&str], wanted: &[&str], expected: Result<&[&str], &str>| {
            let found = scope(allowed).narrowed(&pointers(wanted));
            let expected = expected.map(scope).map_err(|outside| Pointer::parse(outside).unwrap());
            assert_eq!(found, expected, "{allowed:?} {wanted:?}");
        };
        check(&[""], &["/a"], Ok(&["/a"]));
        check(&["/a"], &["/a/b", "/a/c"], Ok(&["/a/b", "/a/c"]));
        check(&["/a/b", "/a/c", "/d"], &["/a"], Ok(&["/a/b", "/a/c"]));
        check(&["/a", "/b"], &[""], Ok(&["/a", "/b"]));
        check(&["/a"], &["/a", "/b"], Err("/b"));
        check(&["/a"], &["/ab"], Err("/ab"));
    }

    #[test]
    fn a_document_is_cut_to_the_scope_and_shared_where_all_is_seen() {
        let document = json!({"a": {"b": 1, "c": 2}, "d": 3});
        let document = document.as_object().unwrap();
        assert!(matches!(Scope::All.of(document), Cow::Borrowed(_)));
        let cut = scope(&["/a/b", "/x"]).of(document).into_owned();
        assert_eq!(serde_json::Value::Object(cut), json!({"a": {"b": 1}}));
        assert!(scope(&[]).of(document).is_empty());
    }

    #[test]
    fn a_key_is_met_by_what_is_under_it() {
        assert!(scope(&["/a/b", "/c"]).meets("a") && Scope::All.meets("a"));
        assert!(!scope(&["/a/b", "/c"]).meets("b") && !scope(&[]).meets("a"));
    }

    #[test]
    fn a_patch_outside_is_found_with_its_place() {
        let patch = json!({"a": {"b": 1, "c": null}});
        let patch = patch.as_object().unwrap();
        assert_eq!(scope(&["/a/b"]).first_outside(patch), Pointer::parse("/a/c").ok());
        assert_eq!(scope(&["/a"]).first_outside(patch), None);
        assert_eq!(Scope::All.first_outside(patch), None);
    }
}
