//! An acknowledgement that was stored is shown: for the present line of versions the daemon names
//! the version acknowledged last.

use modtwin_api::Snapshot;

use super::Violation;
use crate::diary::{At, Entry, Line};
use crate::handler::HANDLER;

const PROMISE: &str = "an acknowledgement that was stored is kept";

/// Compares the acknowledgements in a diary with what the daemon shows in `snapshot`.
pub(crate) fn check(module: &str, diary: &[Line], snapshot: &Snapshot) -> Vec<Violation> {
    let stored = diary.iter().rev().find_map(|Line { at, entry }| match entry {
        Entry::Acked { revision, outcome } if outcome.is_promised() => Some((*at, *revision)),
        _ => None,
    });
    let Some((at, At(generation, version))) = stored else {
        return vec![Violation::new(PROMISE, module, "nothing was ever acknowledged")];
    };
    if generation != snapshot.generation {
        let words = format!(
            "expected one of generation {}, found the last of {generation}",
            snapshot.generation
        );
        return vec![Violation::new(PROMISE, module, words).at(at)];
    }
    let asked = diary.iter().filter_map(|Line { entry, .. }| match entry {
        Entry::Acking { revision: At(of, version) } if *of == generation => Some(*version),
        _ => None,
    });
    let newest = asked.max().unwrap_or(version);
    let shown = snapshot.applied.iter().find(|applied| applied.handler == HANDLER);
    let is_kept = shown
        .is_some_and(|shown| (version..=newest).contains(&shown.version) && shown.status == 200);
    if is_kept {
        return Vec::new();
    }
    let words = format!("expected version {version} to {newest} with 200, found {shown:?}");
    vec![Violation::new(PROMISE, module, words).at(at)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::diary::Outcome;

    fn violations(shown: u64, generation: u64, last: Outcome) -> usize {
        let acked = |revision, outcome| Entry::Acked { revision, outcome };
        let entries = [
            Entry::Acking { revision: At(2, 3) },
            acked(At(2, 3), Outcome::Stored),
            Entry::Acking { revision: At(2, 4) },
            acked(At(2, 4), last),
        ];
        let diary: Vec<Line> = entries.into_iter().map(|entry| Line { at: 1, entry }).collect();
        let at = "2026-01-01T00:00:00Z";
        let snapshot = json!({
            "module": "m", "generation": generation, "version": 4, "desired": {}, "reported": {},
            "reported_version": 1, "as_of": at, "stale": false,
            "hub": {"state": "connected", "reason": "ok", "since": at},
            "applied": [{"handler": HANDLER, "version": shown, "status": 200, "at": at}],
        });
        check("m", &diary, &serde_json::from_value(snapshot).unwrap()).len()
    }

    #[test]
    fn the_last_one_stored_or_one_asked_for_later_has_to_be_shown() {
        assert_eq!(violations(4, 2, Outcome::Stored), 0);
        assert_eq!(violations(3, 2, Outcome::Stored), 1);
        assert_eq!(violations(3, 2, Outcome::Unknown), 0);
        assert_eq!(violations(4, 2, Outcome::Unknown), 0);
        assert_eq!(violations(2, 2, Outcome::Unknown), 1);
        assert_eq!(violations(5, 2, Outcome::Stored), 1);
    }

    #[test]
    fn one_of_an_older_line_of_versions_does_not_count() {
        assert_eq!(violations(4, 3, Outcome::Stored), 1);
    }
}
