//! The hub itself: versions of a section rise by one with each write it tells of, and what it has
//! answered survives its `kill -9`. A write that it had told but not answered may be undone by one.

use super::Violation;
use crate::diary::Outcome;
use crate::ledger::Deed;
use crate::recorder::{HubEvent, Record};
use crate::wall::{Window, life};

const PROMISE: &str = "the hub keeps what it has answered";

/// Follows the versions of one section of `module`; `deeds` are the writes that were answered with
/// one, `last` is the version at the end.
pub(crate) fn check(
    (module, section): (&str, &str),
    deeds: &[Deed],
    records: &[Record],
    recreated: &[Window],
    last: u64,
) -> Vec<Violation> {
    let answered = answered(deeds, recreated);
    let mut violations = Vec::new();
    let mut known: Option<(Option<usize>, u64)> = None;
    for record in records {
        let event = match record {
            Record::Boundary => {
                known = None;
                continue;
            }
            Record::Event(event) if is_write(event, module, section) => event,
            Record::Event(_) => continue,
        };
        let now = life(recreated, event.us);
        let version = event.version;
        let words = match known {
            Some((then, before)) if then == now && now.is_some() => (version != before + 1)
                .then(|| format!("expected version {}, found {version}", before + 1)),
            _ => lost(&answered, now, event.us, version),
        };
        if let Some(words) = words {
            let words = format!("{section}: {words}");
            violations.push(Violation::new(PROMISE, module, words).at(event.us));
        }
        known = Some((now, version));
    }
    if let Some(words) = lost(&answered, life(recreated, u64::MAX), u64::MAX, last + 1) {
        violations.push(Violation::new(PROMISE, module, format!("{section} at the end: {words}")));
    }
    violations
}

fn is_write(event: &HubEvent, module: &str, section: &str) -> bool {
    event.module == module
        && event.event == section
        && event.status.is_none_or(|status| status == 204)
}

/// A version that was answered: in which life, when, which.
type Answered = (usize, u64, u64);

fn answered(deeds: &[Deed], recreated: &[Window]) -> Vec<Answered> {
    let one = |deed: &Deed| {
        let (Some(at), Outcome::Accepted { version }) = (deed.answered, &deed.outcome) else {
            return None;
        };
        if recreated.iter().any(|window| window.overlaps(deed.asked, at)) {
            return None;
        }
        Some((life(recreated, at)?, at, *version))
    };
    deeds.iter().filter_map(one).collect()
}

/// Says what was lost if a write at `us` came to `version`.
fn lost(answered: &[Answered], now: Option<usize>, us: u64, version: u64) -> Option<String> {
    let before = answered.iter().filter(|(life, at, _)| Some(*life) == now && *at < us);
    let newest = before.map(|(_, _, version)| *version).max()?;
    (version <= newest).then(|| {
        format!("expected more than version {newest}, which was answered, found {version}")
    })
}

#[cfg(test)]
mod tests {
    use super::super::samples::deed;
    use super::*;

    fn write(us: u64, version: u64) -> Record {
        Record::Event(HubEvent {
            us,
            event: "desired".to_owned(),
            module: "m".to_owned(),
            status: None,
            version,
            patch: None,
            body: None,
        })
    }

    fn violations(records: &[Record], recreated: &[Window], last: u64) -> usize {
        let deeds = [deed(10, Some(1), Outcome::Accepted { version: 5 })];
        check(("m", "desired"), &deeds, records, recreated, last).len()
    }

    #[test]
    fn versions_rise_by_one_and_a_restart_may_leave_some_out() {
        let records = [
            write(9, 4),
            write(10, 5),
            write(20, 6),
            Record::Boundary,
            write(30, 9),
            write(31, 10),
        ];
        assert_eq!(violations(&records, &[], 10), 0);
    }

    #[test]
    fn a_version_left_out_or_told_twice_is_found() {
        assert_eq!(violations(&[write(9, 4), write(20, 6)], &[], 6), 1);
        assert_eq!(violations(&[write(20, 6), write(21, 6)], &[], 6), 1);
    }

    #[test]
    fn an_answered_write_that_a_restart_undid_is_found() {
        let told_only = [write(20, 6), Record::Boundary, write(30, 6)];
        assert_eq!(violations(&told_only, &[], 6), 0);
        let answered = [write(10, 5), Record::Boundary, write(30, 5)];
        assert_eq!(violations(&answered, &[], 6), 1);
        assert_eq!(violations(&[], &[], 4), 1);
        assert_eq!(violations(&[], &[], 5), 0);
    }

    #[test]
    fn a_new_identity_begins_anew() {
        let records = [write(10, 5), write(30, 2), write(31, 3)];
        assert_eq!(violations(&records, &[Window { begin: 20, end: 25 }], 3), 0);
        assert_eq!(violations(&records, &[], 3), 2);
    }
}
