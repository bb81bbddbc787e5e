//! What is written to twins: numbers at a fixed set of places (*leaves*), each number higher than
//! those before it at that place, so that of two values it is always clear which is the older.

use std::collections::BTreeMap;

use fastrand::Rng;
use modtwin_core::document::Document;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a leaf of some document is set to; none where it is deleted or absent.
pub(crate) type Number = Option<u64>;

/// One leaf set or deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Write {
    /// Which, such as `r1` or `tree/a`.
    pub(crate) leaf: String,
    /// To what.
    pub(crate) number: Number,
}

/// The leaf by which a change is followed from the back end to the handler and back.
pub(crate) const PROBE: &str = "probe";

/// What handlers report.
pub(crate) const REPORTED: [&str; 9] =
    ["r1", "r2", "tree/a", "tree/b", "tree/c", "r3", "r4", "r5", PROBE];

/// What the back end desires.
pub(crate) const DESIRED: [&str; 7] = ["d1", "d2", "tree/x", "tree/y", "d3", "d4", PROBE];

/// Of ten writes about this many delete.
const DELETES_IN_TEN: u32 = 2;

/// Makes up what to write next: one to three leaves, or the whole tree deleted.
pub(crate) fn make_up(leaves: &[&str], number: u64, rng: &mut Rng) -> Vec<Write> {
    let is_deleted = |rng: &mut Rng| rng.u32(0..10) < DELETES_IN_TEN;
    let one = |leaf: &str, number| Write { leaf: leaf.to_owned(), number };
    if rng.u32(0..40) == 0 {
        let tree = leaves.iter().filter(|leaf| leaf.starts_with("tree/"));
        return tree.map(|leaf| one(leaf, None)).collect();
    }
    let all: Vec<&str> = leaves.iter().copied().filter(|leaf| *leaf != PROBE).collect();
    let mut chosen: Vec<&str> = (0..rng.usize(1..=3)).filter_map(|_| often(&all, rng)).collect();
    chosen.sort_unstable();
    chosen.dedup();
    chosen.iter().map(|leaf| one(leaf, (!is_deleted(rng)).then_some(number))).collect()
}

/// One of `leaves`: the first of them often, the last about once in five hundred times. What is
/// seldom written anew shows a loss for longer.
fn often<'a>(leaves: &[&'a str], rng: &mut Rng) -> Option<&'a str> {
    let least = (0..3).map(|_| rng.usize(0..leaves.len())).min()?;
    leaves.get(least).copied()
}

/// The merge patch that makes those writes. Where it deletes all of `leaves` below the tree, it
/// deletes the tree itself.
pub(crate) fn patch(writes: &[Write], leaves: &[&str]) -> Document {
    let mut patch = Document::new();
    let in_tree = leaves.iter().filter(|leaf| leaf.starts_with("tree/")).count();
    let tree_deletes =
        writes.iter().filter(|write| write.leaf.starts_with("tree/") && write.number.is_none());
    let whole = tree_deletes.count() == in_tree;
    for Write { leaf, number } in writes {
        let value = number.map_or(Value::Null, Value::from);
        match leaf.strip_prefix("tree/") {
            None => drop(patch.insert(leaf.clone(), value)),
            Some(_) if whole => drop(patch.insert("tree".to_owned(), Value::Null)),
            Some(leaf) => {
                let tree = patch.entry("tree").or_insert_with(|| Value::Object(Document::new()));
                if let Value::Object(tree) = tree {
                    tree.insert(leaf.to_owned(), value);
                }
            }
        }
    }
    patch
}

/// What a merge patch writes to `leaves`; other members are passed over.
pub(crate) fn writes(patch: &Document, leaves: &[&str]) -> Vec<Write> {
    let mut found = Vec::new();
    for leaf in leaves {
        let value = match leaf.strip_prefix("tree/") {
            None => patch.get(*leaf),
            Some(below) => match patch.get("tree") {
                Some(Value::Object(tree)) => tree.get(below),
                deleted_or_none => deleted_or_none,
            },
        };
        if let Some(value) = value {
            found.push(Write { leaf: (*leaf).to_owned(), number: value.as_u64() });
        }
    }
    found
}

/// What a document has at `leaves`; what is absent is not in the map.
pub(crate) fn values(document: &Document, leaves: &[&str]) -> BTreeMap<String, u64> {
    let present = writes(document, leaves).into_iter();
    present.filter_map(|Write { leaf, number }| Some((leaf, number?))).collect()
}

#[cfg(test)]
mod tests {
    use modtwin_core::document::merge;
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Document {
        match value {
            Value::Object(object) => object,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_patch_says_what_was_written() {
        let mut rng = Rng::with_seed(7);
        for number in 1..500 {
            let mut made = make_up(&REPORTED, number, &mut rng);
            let patch = patch(&made, &REPORTED);
            let mut found = writes(&patch, &REPORTED);
            made.sort_by(|a, b| a.leaf.cmp(&b.leaf));
            found.sort_by(|a, b| a.leaf.cmp(&b.leaf));
            assert_eq!(found, made, "{patch:?}");
        }
    }

    #[test]
    fn a_deleted_tree_deletes_its_leaves() {
        let mut document = object(json!({"r1": 1, "tree": {"a": 2, "b": 3}, "other": "x"}));
        assert_eq!(values(&document, &REPORTED).len(), 3);
        let all: Vec<Write> = ["tree/a", "tree/b", "tree/c"]
            .map(|leaf| Write { leaf: leaf.to_owned(), number: None })
            .into();
        let patch = patch(&all, &REPORTED);
        assert_eq!(Value::Object(patch.clone()), json!({"tree": null}));
        merge(&mut document, &patch);
        assert_eq!(values(&document, &REPORTED), BTreeMap::from([("r1".to_owned(), 1)]));
    }
}
