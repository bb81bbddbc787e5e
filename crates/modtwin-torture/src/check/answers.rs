//! What the daemon may answer to a good request, and when: it is stored, or the disk is full and
//! that is said, or the daemon knows too little yet. Anything else is a defect.

use super::Violation;
use crate::diary::{Entry, Line, Outcome};
use crate::wall::Window;

const PROMISE: &str = "a good request is refused only for a reason that holds";

/// How long after the disk has room again a refusal may still come: the request came before.
const AFTERWARDS_US: u64 = 2_000_000;

/// Looks through the answers that the handler of `module` got; `full` says when the disk was.
pub(crate) fn check(module: &str, diary: &[Line], full: &[Window]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let (mut report_asked, mut ack_asked) = (None, None);
    for Line { at, entry } in diary {
        // Reports and acknowledgements are asked for beside each other.
        let (outcome, asked, is_ack) = match entry {
            Entry::Asked { .. } => {
                report_asked = Some(*at);
                continue;
            }
            Entry::Acking { .. } => {
                ack_asked = Some(*at);
                continue;
            }
            Entry::Answered { outcome, .. } => (outcome, report_asked.unwrap_or(*at), false),
            Entry::Acked { outcome, .. } => (outcome, ack_asked.unwrap_or(*at), true),
            _ => continue,
        };
        let Outcome::Refused { status, kind, detail } = outcome else { continue };
        let is_full = |window: &Window| {
            let end = window.end.saturating_add(AFTERWARDS_US);
            Window { end, ..*window }.overlaps(asked, *at)
        };
        let is_fine = match kind.as_str() {
            "storage" => full.iter().any(is_full),
            // A daemon that was killed may have forgotten versions that it had told but not saved,
            // until it has fetched the twin.
            "unknown_version" | "not_synced" => is_ack,
            // A module that is stopping or starting says so and when to come again.
            "overloaded" => *status == 503,
            _ => false,
        };
        if !is_fine {
            let words = format!("expected it to be stored, found {status} {kind}: {detail}");
            violations.push(Violation::new(PROMISE, module, words).at(*at));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diary::At;

    fn violations(kind: &str, status: u16, full: &[Window]) -> (usize, usize) {
        let outcome =
            Outcome::Refused { status, kind: kind.to_owned(), detail: "because".to_owned() };
        let line = |at, entry| Line { at, entry };
        let report = [
            line(5_000_000, Entry::Asked { number: 1, writes: Vec::new() }),
            line(5_000_001, Entry::Answered { number: 1, outcome: outcome.clone() }),
        ];
        let ack = [line(5_000_001, Entry::Acked { revision: At(1, 1), outcome })];
        (check("m", &report, full).len(), check("m", &ack, full).len())
    }

    #[test]
    fn a_full_disk_is_a_reason_while_it_is_full() {
        assert_eq!(violations("storage", 507, &[]), (1, 1));
        let full = |begin, end| [Window { begin, end }];
        assert_eq!(violations("storage", 507, &full(4_000_000, 6_000_000)), (0, 0));
        assert_eq!(violations("storage", 507, &full(4_000_000, 4_900_000)), (0, 0));
        assert_eq!(violations("storage", 507, &full(1, 2)), (1, 1));
        assert_eq!(violations("storage", 507, &full(6_000_000, 7_000_000)), (1, 1));
    }

    #[test]
    fn a_defect_is_never_an_answer() {
        assert_eq!(violations("internal", 500, &[]), (1, 1));
        assert_eq!(violations("invalid_twin", 422, &[]), (1, 1));
        assert_eq!(violations("unknown_version", 409, &[]), (1, 0));
        assert_eq!(violations("overloaded", 429, &[]), (1, 1));
    }

    #[test]
    fn what_was_stored_is_no_violation() {
        let entry = Entry::Answered { number: 1, outcome: Outcome::Stored };
        assert_eq!(check("m", &[Line { at: 1, entry }], &[]), []);
    }
}
