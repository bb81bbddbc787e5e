//! What was asked for and what was promised, in the order it was asked: the reports of a handler,
//! the changes of the back end. The checks are made on this.

use crate::diary::{Entry, Line, Outcome};
use crate::leaves::Write;

/// One thing that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deed {
    /// When it was asked, in microseconds since 1970.
    pub(crate) asked: u64,
    /// When it was answered; none where nobody knows of an answer.
    pub(crate) answered: Option<u64>,
    /// What it writes.
    pub(crate) writes: Vec<Write>,
    /// What was answered.
    pub(crate) outcome: Outcome,
}

impl Deed {
    /// One that is not answered yet.
    pub(crate) fn asked(at: u64, writes: Vec<Write>) -> Self {
        Self { asked: at, answered: None, writes, outcome: Outcome::Unknown }
    }

    /// Whether it may have had an effect. A full disk says that it has none; a module that stops
    /// while somebody waits for the hub says that the report is stored.
    pub(crate) fn may_count(&self) -> bool {
        !matches!(&self.outcome, Outcome::Refused { kind, .. } if kind != "overloaded")
    }

    /// What it sets `leaf` to, where it writes it.
    pub(crate) fn writes_to(&self, leaf: &str) -> Option<Option<u64>> {
        self.writes.iter().find(|write| write.leaf == leaf).map(|write| write.number)
    }
}

/// The deeds as they stand for somebody who looks at what is there between `at` and `until`: what
/// was promised after `at` was not promised yet, what was asked for after `until` can't be there.
pub(crate) fn promised_by(deeds: &[Deed], at: u64, until: u64) -> Vec<Deed> {
    let mut deeds = deeds.to_vec();
    deeds.retain(|deed| deed.asked <= until);
    for deed in &mut deeds {
        if deed.outcome.is_promised() && deed.answered.is_none_or(|answered| answered > at) {
            deed.outcome = Outcome::Unknown;
        }
    }
    deeds
}

/// The reports in a diary, in their order.
pub(crate) fn reports(diary: &[Line]) -> Vec<Deed> {
    let mut deeds: Vec<Deed> = Vec::new();
    for Line { at, entry } in diary {
        match entry {
            Entry::Asked { writes, .. } => deeds.push(Deed::asked(*at, writes.clone())),
            // A handler asks for one at a time.
            Entry::Answered { outcome, .. } => {
                if let Some(deed) = deeds.last_mut() {
                    deed.answered = Some(*at);
                    deed.outcome = outcome.clone();
                }
            }
            _ => {}
        }
    }
    deeds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::samples::{STORED, UNKNOWN, deed, refused};

    #[test]
    fn a_promise_counts_from_the_moment_it_is_given() {
        let deeds =
            [deed(1, Some(1), STORED), deed(5, Some(2), STORED), deed(9, None, refused("x"))];
        let outcomes = |at| promised_by(&deeds, at, 10).into_iter().map(|deed| deed.outcome);
        assert_eq!(outcomes(2).collect::<Vec<_>>(), [STORED, UNKNOWN, refused("x")]);
        assert_eq!(outcomes(6).collect::<Vec<_>>(), [STORED, STORED, refused("x")]);
        assert_eq!(promised_by(&deeds, 2, 4).len(), 1);
    }
}
