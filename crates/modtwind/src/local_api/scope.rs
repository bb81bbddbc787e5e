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
