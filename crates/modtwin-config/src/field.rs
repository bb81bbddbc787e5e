//! What a file says for one key: nothing, something bad, or a value.
//!
//! Owns joining two files' fields and filling in defaults.

use crate::key;
use crate::values::Fault;

/// What a file says for one key.
#[derive(Debug)]
pub(crate) enum Field<T> {
    /// Nothing.
    Absent,
    /// Something that is not taken; a problem says why.
    Bad,
    /// A value.
    Good(T),
}

impl<T> Field<T> {
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// This field, or the `earlier` file's where this file says nothing.
    pub(crate) fn over(self, earlier: Self) -> Self {
        if self.is_absent() { earlier } else { self }
    }

    /// The value, or where the key is absent what `default` says. None: a problem was noted.
    pub(crate) fn or_else(self, default: impl FnOnce() -> T) -> Option<T> {
        match self {
            Self::Absent => Some(default()),
            Self::Bad => None,
            Self::Good(value) => Some(value),
        }
    }

    /// The value, if any, of a key that may be left out. None: a problem was noted.
    pub(crate) fn optional(self) -> Option<Option<T>> {
        match self {
            Self::Absent => Some(None),
            Self::Bad => None,
            Self::Good(value) => Some(Some(value)),
        }
    }

    /// The value, or what the key table's default reads as. None: a problem was noted.
    pub(crate) fn or_default(
        self,
        path: &str,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        match self {
            Self::Absent => parse(key::default_value(path)).ok(),
            Self::Bad => None,
            Self::Good(value) => Some(value),
        }
    }
}
