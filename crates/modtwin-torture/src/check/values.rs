//! What was promised is there at the end: each leaf has the value promised last, or a later one
//! that was asked for.

use std::collections::BTreeMap;

use super::Violation;
use crate::ledger::Deed;

/// Compares `found`, the leaves at the end, with what was asked for and promised.
pub(crate) fn check(
    promise: &'static str,
    module: &str,
    leaves: &[&str],
    deeds: &[Deed],
    found: &BTreeMap<String, u64>,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    for leaf in leaves {
        let of_leaf: Vec<(&Deed, Option<u64>)> =
            deeds.iter().filter_map(|deed| Some((deed, deed.writes_to(leaf)?))).collect();
        let promised = of_leaf.iter().rposition(|(deed, _)| deed.outcome.is_promised());
        let from = promised.unwrap_or(0);
        let later = of_leaf.iter().skip(from).filter(|(deed, _)| deed.may_count());
        let mut allowed: Vec<Option<u64>> = later.map(|(_, number)| *number).collect();
        if promised.is_none() {
            allowed.push(None);
        }
        let present = found.get(*leaf).copied();
        if !allowed.contains(&present) {
            let words = format!("{leaf}: expected {}, found {}", listed(&allowed), number(present));
            let at = of_leaf.get(from).and_then(|(deed, _)| deed.answered);
            let violation = Violation::new(promise, module, words);
            violations.push(at.map_or(violation.clone(), |at| violation.at(at)));
        }
    }
    violations
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(|| "nothing".to_owned(), |number| number.to_string())
}

fn listed(allowed: &[Option<u64>]) -> String {
    let all: Vec<String> = allowed.iter().copied().map(number).collect();
    all.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::super::samples::{STORED, UNKNOWN, deed, refused};
    use super::*;

    fn violations(deeds: &[Deed], found: Option<u64>) -> usize {
        let found = found.map(|found| ("r1".to_owned(), found)).into_iter().collect();
        check("kept", "m", &["r1"], deeds, &found).len()
    }

    #[test]
    fn the_value_promised_last_or_a_later_one_has_to_be_there() {
        let deeds = [
            deed(1, Some(1), STORED),
            deed(2, Some(2), STORED),
            deed(3, Some(3), UNKNOWN),
            deed(4, Some(4), refused("storage")),
        ];
        for (found, expected) in [(2, 0), (3, 0), (1, 1), (4, 1), (9, 1)] {
            assert_eq!(violations(&deeds, Some(found)), expected, "{found}");
        }
        assert_eq!(violations(&deeds, None), 1);
        let stopping = [deed(1, Some(1), STORED), deed(2, Some(2), refused("overloaded"))];
        assert_eq!(violations(&stopping, Some(1)) + violations(&stopping, Some(2)), 0);
    }

    #[test]
    fn what_was_promised_to_be_deleted_has_to_be_gone() {
        let deeds = [deed(1, Some(1), STORED), deed(2, None, STORED)];
        assert_eq!(violations(&deeds, None), 0);
        assert_eq!(violations(&deeds, Some(1)), 1);
    }

    #[test]
    fn what_was_never_promised_may_be_there_or_not() {
        let deeds = [deed(1, Some(1), UNKNOWN)];
        assert_eq!(violations(&deeds, None), 0);
        assert_eq!(violations(&deeds, Some(1)), 0);
        assert_eq!(violations(&[], Some(1)), 1);
    }
}
