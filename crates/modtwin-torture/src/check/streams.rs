//! What handlers were told: each stream begins with a snapshot, its revisions rise strictly, a
//! reset comes with a new generation and only then, patches lead from what was told last to what
//! is told now; and at the end each handler has the hub's document, rebuilt from its events alone.

use modtwin_core::document::{Document, merge};

use super::Violation;
use crate::diary::{At, Entry, Line};

const STREAMS: &str = "a stream tells what happened, in order";
const END: &str = "every handler ends on the hub's desired document";

/// What a handler has at the end of its diary.
#[derive(Debug, Default)]
struct Handler {
    revision: Option<At>,
    desired: Option<Document>,
    /// Whether a stream stands: a restart begins without one.
    is_watching: bool,
}

/// Reads what the handler of `module` was told, and compares the end with `hub`: the desired
/// document there and its version.
pub(crate) fn check(module: &str, diary: &[Line], hub: &(Document, u64)) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut handler = Handler::default();
    for Line { at, entry } in diary {
        if let Err(words) = handler.take(entry) {
            violations.push(Violation::new(STREAMS, module, words).at(*at));
        }
    }
    let (desired, version) = hub;
    if handler.revision.map(|At(_, version)| version) != Some(*version) {
        let words = format!("expected version {version}, found {:?}", handler.revision);
        violations.push(Violation::new(END, module, words));
    }
    if handler.desired.as_ref() != Some(desired) {
        let words = format!("expected {desired:?}, found {:?}", handler.desired);
        violations.push(Violation::new(END, module, words));
    }
    violations
}

impl Handler {
    fn take(&mut self, entry: &Entry) -> Result<(), String> {
        match entry {
            Entry::Began => {
                self.is_watching = false;
                Ok(())
            }
            Entry::Snapshot { revision, unchanged, desired } => {
                self.is_watching = true;
                let before = std::mem::replace(&mut self.revision, *revision);
                if !unchanged {
                    self.desired.clone_from(desired);
                } else if before != *revision {
                    return Err(format!("unchanged at {revision:?}, but it had {before:?}"));
                }
                Ok(())
            }
            Entry::Changed { revision, reset, patch, desired } => {
                self.changed(*revision, *reset, (patch, desired))
            }
            _ => Ok(()),
        }
    }

    fn changed(
        &mut self,
        revision: At,
        reset: bool,
        (patch, desired): (&Document, &Document),
    ) -> Result<(), String> {
        let before = self.revision.replace(revision);
        let mut rebuilt = self.desired.take().unwrap_or_default();
        merge(&mut rebuilt, patch);
        let leads_there = rebuilt == *desired;
        self.desired = Some(rebuilt);
        if !self.is_watching {
            return Err(format!("{revision:?} before any snapshot"));
        }
        if before.is_some_and(|before| revision <= before) {
            return Err(format!("{revision:?} after {before:?}"));
        }
        let is_new_line = before.is_some_and(|before| before.0 != revision.0);
        if reset != is_new_line {
            return Err(format!("{revision:?} after {before:?} with reset {reset}"));
        }
        if !leads_there {
            return Err(format!("{revision:?}: {patch:?} does not lead to {desired:?}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(value: Value) -> Document {
        value.as_object().cloned().unwrap()
    }

    fn snapshot(revision: At, desired: Option<Value>) -> Entry {
        let (unchanged, desired) = (desired.is_none(), desired.map(object));
        Entry::Snapshot { revision: Some(revision), unchanged, desired }
    }

    fn changed(revision: At, reset: bool, patch: Value, desired: Value) -> Entry {
        Entry::Changed { revision, reset, patch: object(patch), desired: object(desired) }
    }

    fn violations(entries: Vec<Entry>, hub: Value, version: u64) -> Vec<&'static str> {
        let diary: Vec<Line> = entries.into_iter().map(|entry| Line { at: 1, entry }).collect();
        let found = check("m", &diary, &(object(hub), version));
        found.into_iter().map(|violation| violation.promise).collect()
    }

    #[test]
    fn a_good_life_with_a_kill_and_a_new_identity_is_fine() {
        let entries = vec![
            Entry::Began,
            snapshot(At(1, 1), Some(json!({}))),
            changed(At(1, 2), false, json!({"a": 1}), json!({"a": 1})),
            Entry::Began,
            snapshot(At(1, 2), None),
            changed(At(1, 4), false, json!({"b": 1}), json!({"a": 1, "b": 1})),
            changed(At(2, 1), true, json!({"a": null, "b": null}), json!({})),
        ];
        assert_eq!(violations(entries, json!({}), 1), [""; 0]);
    }

    #[test]
    fn an_old_revision_or_one_told_twice_is_found() {
        for version in [1, 2] {
            let entries = vec![
                snapshot(At(1, 2), Some(json!({}))),
                changed(At(1, version), false, json!({"a": 1}), json!({"a": 1})),
            ];
            assert_eq!(violations(entries, json!({"a": 1}), version), [STREAMS]);
        }
    }

    #[test]
    fn a_reset_in_the_same_line_and_a_new_line_without_one_are_found() {
        for (revision, reset) in [(At(1, 3), true), (At(2, 3), false)] {
            let entries = vec![
                snapshot(At(1, 2), Some(json!({}))),
                changed(revision, reset, json!({"a": 1}), json!({"a": 1})),
            ];
            assert_eq!(violations(entries, json!({"a": 1}), 3), [STREAMS]);
        }
    }

    #[test]
    fn a_patch_that_leads_elsewhere_is_found() {
        let entries = vec![
            snapshot(At(1, 2), Some(json!({"gone": 1}))),
            changed(At(1, 3), false, json!({"a": 1}), json!({"a": 1})),
        ];
        assert_eq!(violations(entries, json!({"a": 1}), 3), [STREAMS, END]);
    }

    #[test]
    fn a_change_that_was_missed_is_found_at_the_end() {
        let entries = vec![snapshot(At(1, 2), Some(json!({"a": 1})))];
        assert_eq!(violations(entries.clone(), json!({"a": 2}), 3), [END, END]);
        assert_eq!(violations(entries.clone(), json!({"a": 2}), 2), [END]);
        assert_eq!(violations(entries, json!({"a": 1}), 2), [""; 0]);
    }

    #[test]
    fn unchanged_for_somebody_who_had_something_else_is_found() {
        let entries =
            vec![snapshot(At(1, 2), Some(json!({"a": 1}))), Entry::Began, snapshot(At(1, 3), None)];
        assert_eq!(violations(entries, json!({"a": 1}), 3), [STREAMS]);
    }
}
