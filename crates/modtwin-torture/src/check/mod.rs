//! The promises, each as a pure function over what was written down: handlers' diaries, the back
//! end's deeds, the hub's events, and the twins at the end.

pub(crate) mod acknowledgements;
pub(crate) mod answers;
pub(crate) mod history;
pub(crate) mod messages;
pub(crate) mod remains;
pub(crate) mod streams;
pub(crate) mod values;
pub(crate) mod versions;

use serde::Serialize;

/// A promise that did not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Violation {
    /// Which promise, in a few words.
    pub(crate) promise: &'static str,
    /// Whose; empty where it is nobody's in particular.
    pub(crate) module: String,
    /// What was found instead.
    pub(crate) found: String,
    /// When, in microseconds since 1970, where there is a moment.
    pub(crate) at: Option<u64>,
}

impl Violation {
    /// One without a moment.
    pub(crate) fn new(promise: &'static str, module: &str, found: impl Into<String>) -> Self {
        Self { promise, module: module.to_owned(), found: found.into(), at: None }
    }

    /// The same at a moment.
    pub(crate) fn at(self, at: u64) -> Self {
        Self { at: Some(at), ..self }
    }
}

#[cfg(test)]
pub(crate) mod samples {
    //! Deeds for the tests of the checks.

    use crate::diary::Outcome;
    use crate::leaves::Write;
    use crate::ledger::Deed;

    pub(crate) const UNKNOWN: Outcome = Outcome::Unknown;
    pub(crate) const STORED: Outcome = Outcome::Stored;

    pub(crate) fn refused(kind: &str) -> Outcome {
        Outcome::Refused { status: 507, kind: kind.to_owned(), detail: String::new() }
    }

    /// Asked at `at`, answered right after; sets `r1`.
    pub(crate) fn deed(at: u64, number: Option<u64>, outcome: Outcome) -> Deed {
        let writes = vec![Write { leaf: "r1".to_owned(), number }];
        let answered = (outcome != Outcome::Unknown).then_some(at + 1);
        Deed { asked: at, answered, writes, outcome }
    }
}
