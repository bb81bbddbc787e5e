//! Cuts a history that breaks a promise down to what is needed to break it.
//!
//! First the end, then actions, then single faults; each time what can be left out is left out, in
//! ever smaller portions, as long as the same promise still breaks.

use std::collections::BTreeSet;

use crate::history::{Outcome, live};
use crate::plan::{Cut, Plan};

/// The smallest cut found under which the history `seed` still breaks `promise`.
#[must_use]
pub fn shrink(seed: u64, cut: &Cut, promise: &'static str) -> Cut {
    let breaks = |cut: &Cut| -> Option<Outcome> {
        let outcome = live(seed, cut, false);
        let same = outcome.broken.as_ref().is_some_and(|broken| broken.promise == promise);
        same.then_some(outcome)
    };
    let mut cut = cut.clone();
    loop {
        let before = cut.clone();
        let numbers = Plan::new(seed, &cut).actions.iter().map(|action| action.number).collect();
        let actions = fewest(numbers, |actions| {
            breaks(&Cut { actions: Some(actions.clone()), ..cut.clone() }).is_some()
        });
        cut.actions = Some(actions);
        // What strikes is named from now on: by rate it would shift with every action left out.
        let struck = live(seed, &cut, false).struck.into_iter().collect();
        let strikes = fewest(struck, |strikes| {
            breaks(&Cut { strikes: Some(strikes.clone()), ..cut.clone() }).is_some()
        });
        cut.strikes = Some(strikes);
        if cut == before {
            return cut;
        }
    }
}

/// A small subset of `all` for which `still` holds; no single item of it can be spared.
fn fewest<T: Copy + Ord>(all: BTreeSet<T>, still: impl Fn(&BTreeSet<T>) -> bool) -> BTreeSet<T> {
    let mut kept = all;
    let mut portion = kept.len();
    while portion > 0 {
        let mut at = 0;
        while at < kept.len() {
            let left_out: BTreeSet<T> = kept.iter().skip(at).take(portion).copied().collect();
            let rest: BTreeSet<T> = kept.difference(&left_out).copied().collect();
            if still(&rest) {
                kept = rest;
            } else {
                at += portion;
            }
        }
        portion /= 2;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_needed_is_left_out() {
        let needed = BTreeSet::from([3, 40, 41, 99]);
        let found = fewest((0..100).collect(), |kept| kept.is_superset(&needed));
        assert_eq!(found, needed);
        assert_eq!(fewest((0..10).collect(), |_| true), BTreeSet::<i32>::new());
        assert_eq!(fewest((0..10).collect(), |kept| kept.len() == 10).len(), 10);
    }
}
