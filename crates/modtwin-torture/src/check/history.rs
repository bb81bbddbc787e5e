//! No leaf goes back: in the order in which the hub took reports, each leaf moves along the values
//! asked for and never to an older one.
//!
//! A new identity begins with nothing, so what was accepted before is taken there once more: each
//! life of an identity is followed by itself. What the hub took in the moment between two lives is
//! passed over, because it can't be told to which of them it belongs.
//!
//! One thing is allowed: a tree that was deleted whole and set again takes two patches, and after a
//! crash both may be sent once more, so that the tree is gone for the moment between them.

use std::collections::BTreeMap;

use super::Violation;
use crate::leaves::{self, REPORTED, Write};
use crate::ledger::Deed;
use crate::recorder::Record;
use crate::wall::{Window, life};

const PROMISE: &str = "no reported value goes back";

/// Follows `module`'s reports through `records`; `recreated` says when its identity may have been
/// created anew.
pub(crate) fn check(
    module: &str,
    deeds: &[Deed],
    records: &[Record],
    recreated: &[Window],
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let asked = places(deeds);
    let mut reached: BTreeMap<String, usize> = BTreeMap::new();
    let mut lives = Some(0);
    for record in records {
        let Record::Event(event) = record else { continue };
        if event.module != module || event.event != "reported" || event.status != Some(204) {
            continue;
        }
        let now = life(recreated, event.us);
        if now != lives {
            reached.clear();
            lives = now;
        }
        let (Some(patch), Some(_)) = (&event.patch, now) else { continue };
        for Write { leaf, number } in leaves::writes(patch, &REPORTED) {
            let is_tree_deleted = number.is_none() && leaf.starts_with("tree/");
            if is_tree_deleted && asked.contains_key(&(leaf.clone(), None)) {
                continue;
            }
            let place = reached.get(&leaf).copied().unwrap_or(0);
            match find(&asked, &leaf, number, place) {
                Ok(found) => drop(reached.insert(leaf, found)),
                Err(words) => {
                    let words = format!("version {}, {leaf}: {words}", event.version);
                    violations.push(Violation::new(PROMISE, module, words).at(event.us));
                }
            }
        }
    }
    violations
}

/// For each leaf and each of its values where among the deeds it was asked for.
type Places = BTreeMap<(String, Option<u64>), Vec<usize>>;

fn places(deeds: &[Deed]) -> Places {
    let mut places = Places::new();
    for (place, deed) in deeds.iter().enumerate() {
        for Write { leaf, number } in &deed.writes {
            places.entry((leaf.clone(), *number)).or_default().push(place);
        }
    }
    // What was refused should not arrive, but where it does, the check of the answers says so.
    places
}

/// The first place from `reached` on where `leaf` was set to `number`: the hub may have been told
/// any of them, and the first leaves the most room for what follows.
fn find(asked: &Places, leaf: &str, number: Option<u64>, reached: usize) -> Result<usize, String> {
    let shown = number.map_or_else(|| "its deletion".to_owned(), |number| number.to_string());
    let Some(places) = asked.get(&(leaf.to_owned(), number)) else {
        return Err(format!("expected a value that was reported, found {shown}"));
    };
    let found = places.iter().copied().find(|place| *place >= reached);
    found.ok_or_else(|| format!("expected nothing older than the hub had already, found {shown}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::samples::{STORED, UNKNOWN, deed};
    use super::*;
    use crate::recorder::HubEvent;

    fn reported(us: u64, patch: Value) -> Record {
        Record::Event(HubEvent {
            us,
            event: "reported".to_owned(),
            module: "m".to_owned(),
            status: Some(204),
            version: us,
            patch: patch.as_object().cloned(),
            body: None,
        })
    }

    fn violations(patches: &[Value], recreated: &[Window]) -> usize {
        let deeds = [
            deed(1, Some(1), STORED),
            deed(2, None, STORED),
            deed(3, Some(3), UNKNOWN),
            deed(4, Some(4), STORED),
        ];
        let records: Vec<Record> =
            (10_u64..).step_by(10).zip(patches).map(|(us, p)| reported(us, p.clone())).collect();
        check("m", &deeds, &records, recreated).len()
    }

    #[test]
    fn values_in_the_order_asked_for_are_fine_with_or_without_those_between() {
        let (one, none, three, four) =
            (json!({"r1": 1}), json!({"r1": null}), json!({"r1": 3}), json!({"r1": 4}));
        assert_eq!(violations(&[one.clone(), none.clone(), three, four.clone()], &[]), 0);
        assert_eq!(violations(&[one.clone(), one.clone(), four.clone()], &[]), 0);
        assert_eq!(violations(&[none, four], &[]), 0);
        assert_eq!(violations(&[json!({"other": 1}), one], &[]), 0);
    }

    #[test]
    fn an_older_value_after_a_newer_one_is_found() {
        let (one, none, four) = (json!({"r1": 1}), json!({"r1": null}), json!({"r1": 4}));
        assert_eq!(violations(&[four.clone(), one.clone()], &[]), 1);
        assert_eq!(violations(&[four, none.clone()], &[]), 1);
        assert_eq!(violations(&[none, one], &[]), 1);
    }

    #[test]
    fn a_tree_may_be_gone_for_a_moment_but_its_values_do_not_go_back() {
        let of_tree = |number| Deed {
            writes: vec![Write { leaf: "tree/a".to_owned(), number }],
            ..deed(1, None, STORED)
        };
        let deeds = [of_tree(Some(1)), of_tree(None), of_tree(Some(3))];
        let check = |patches: &[Value]| {
            let records: Vec<Record> =
                (1..).zip(patches).map(|(us, patch)| reported(us, patch.clone())).collect();
            check("m", &deeds, &records, &[]).len()
        };
        let (one, three) = (json!({"tree": {"a": 1}}), json!({"tree": {"a": 3}}));
        let none = json!({"tree": {"a": null}});
        assert_eq!(check(&[none.clone(), three.clone(), none.clone(), three.clone()]), 0);
        assert_eq!(check(&[three, none, one]), 1);
    }

    #[test]
    fn a_value_that_nobody_reported_is_found() {
        assert_eq!(violations(&[json!({"r1": 7})], &[]), 1);
    }

    #[test]
    fn a_new_life_begins_with_nothing_and_does_not_excuse_the_next() {
        let (one, four) = (json!({"r1": 1}), json!({"r1": 4}));
        let between = [Window { begin: 14, end: 16 }];
        assert_eq!(violations(&[four.clone(), one.clone(), four.clone()], &between), 0);
        assert_eq!(violations(&[one.clone(), four, one], &between), 1);
    }
}
