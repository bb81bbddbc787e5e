//! A version of desired and the version line that it belongs to.

use std::fmt;
use std::str::FromStr;

/// Why a text is no [`Revision`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected GENERATION.VERSION such as 1.7, found {0:?}")]
pub struct RevisionError(String);

/// A version of desired, written `GENERATION.VERSION`: the `ETag` of a snapshot and the `since` of
/// a watch.
///
/// Revisions are ordered by generation, then version: that is the order in which they came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// The number of the version line, from 1; rises when the twin was created anew.
    pub generation: u64,
    /// The section's version in that line.
    pub version: u64,
}

impl Revision {
    /// The revision as an entity tag, in quotes (RFC 9110, section 8.8.3).
    #[must_use]
    pub fn etag(self) -> String {
        format!("\"{self}\"")
    }

    /// Says whether the `If-None-Match` header `value` names this revision.
    ///
    /// Takes a list and `*`, and compares weakly, as RFC 9110 section 13.1.2 asks.
    #[must_use]
    pub fn matches_etag(self, value: &str) -> bool {
        let own = self.etag();
        value
            .split(',')
            .map(str::trim)
            .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == own)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.generation, self.version)
    }
}

impl FromStr for Revision {
    type Err = RevisionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // `u64::from_str` takes a leading `+`, which has no place here.
        let number = |part: &str| {
            part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok()).flatten()
        };
        text.split_once('.')
            .and_then(|(generation, version)| {
                Some(Self { generation: number(generation)?, version: number(version)? })
            })
            .ok_or_else(|| RevisionError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REVISION: Revision = Revision { generation: 2, version: 13 };

    #[test]
    fn a_revision_survives_text_and_back() {
        assert_eq!(REVISION.to_string(), "2.13");
        assert_eq!("2.13".parse(), Ok(REVISION));
    }

    #[test]
    fn what_is_no_revision_is_refused() {
        for bad in [
            "",
            "7",
            ".",
            "1.",
            ".7",
            "+1.7",
            "1.-7",
            "1.7.2",
            " 1.7",
            "a.b",
            "1.99999999999999999999",
        ] {
            assert_eq!(bad.parse::<Revision>(), Err(RevisionError(bad.to_owned())), "{bad:?}");
        }
    }

    #[test]
    fn revisions_order_by_generation_first() {
        assert!(Revision { generation: 2, version: 1 } > Revision { generation: 1, version: 99 });
    }

    #[test]
    fn an_entity_tag_is_found_in_a_list_weak_or_strong() {
        for yes in ["\"2.13\"", "W/\"2.13\"", "\"1.1\", \"2.13\"", "*"] {
            assert!(REVISION.matches_etag(yes), "{yes}");
        }
        for no in ["2.13", "\"2.1\"", "", "\"12.13\""] {
            assert!(!REVISION.matches_etag(no), "{no}");
        }
    }
}
