//! Messages: each that was promised reaches the hub, once at least, in the order it was sent in.
//!
//! The record of the hub's events has gaps where the hub was killed. A message that is missing just
//! there is given the benefit of the doubt; so are as many as the daemon says it has set aside.

use std::collections::BTreeMap;

use super::Violation;
use crate::diary::{Entry, Line};
use crate::recorder::Record;

const ARRIVES: &str = "every message answered as stored or sent reaches the hub";
const ORDER: &str = "messages arrive in the order they were sent in";

/// Compares what the handler of `module` sent with what arrived.
pub(crate) fn check(
    module: &str,
    diary: &[Line],
    records: &[Record],
    set_aside: u64,
) -> Vec<Violation> {
    let arrived = arrivals(module, records);
    let promised: Vec<(u64, u64)> = diary
        .iter()
        .filter_map(|Line { at, entry }| match entry {
            Entry::Sent { number, promised: true } => Some((*number, *at)),
            _ => None,
        })
        .collect();
    let mut violations = Vec::new();
    let mut last = Arrival::default();
    let mut missing = Vec::new();
    for (number, at) in promised {
        let Some(arrival) = arrived.get(&number) else {
            missing.push((number, at));
            continue;
        };
        // What is missing lies between two that came: without a gap there it was lost.
        if arrival.gaps > last.gaps {
            missing.retain(|(missing, _)| *missing < last.number);
        }
        if arrival.place < last.place {
            let words = format!("{number} came before {}", last.number);
            violations.push(Violation::new(ORDER, module, words).at(at));
        }
        last = Arrival { number, ..*arrival };
    }
    let forgiven = usize::try_from(set_aside).unwrap_or(usize::MAX);
    let lost = missing.into_iter().skip(forgiven);
    violations.extend(lost.map(|(number, at)| {
        Violation::new(ARRIVES, module, format!("{number} never came")).at(at)
    }));
    violations
}

/// When a message first came.
#[derive(Debug, Clone, Copy, Default)]
struct Arrival {
    number: u64,
    /// Its place among all that the hub told.
    place: usize,
    /// How many gaps the record had until then.
    gaps: usize,
}

fn arrivals(module: &str, records: &[Record]) -> BTreeMap<u64, Arrival> {
    let mut gaps = 0;
    let mut arrived = BTreeMap::new();
    for (place, record) in records.iter().enumerate() {
        let event = match record {
            Record::Boundary => {
                gaps += 1;
                continue;
            }
            Record::Event(event) => event,
        };
        let body = event.body.as_deref().filter(|_| event.event == "message");
        let number = body.filter(|_| event.module == module).and_then(|body| body.parse().ok());
        if let Some(number) = number {
            arrived.entry(number).or_insert(Arrival { number, place, gaps });
        }
    }
    arrived
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::HubEvent;

    /// What is found where the numbers up to `promised` were promised and these came; 0 is a gap.
    fn found(promised: u64, came: &[u64], set_aside: u64) -> Vec<&'static str> {
        let lines = (1..=promised)
            .map(|number| Line { at: number, entry: Entry::Sent { number, promised: true } });
        let record = |number: &u64| match number {
            0 => Record::Boundary,
            number => Record::Event(HubEvent {
                us: 1,
                event: "message".to_owned(),
                module: "m".to_owned(),
                status: None,
                version: 0,
                patch: None,
                body: Some(number.to_string()),
            }),
        };
        let records: Vec<Record> = came.iter().map(record).collect();
        let diary: Vec<Line> = lines.collect();
        let violations = check("m", &diary, &records, set_aside);
        violations.into_iter().map(|violation| violation.promise).collect()
    }

    #[test]
    fn all_in_order_and_some_twice_is_fine() {
        assert_eq!(found(4, &[0, 1, 2, 2, 1, 3, 4], 0), [""; 0]);
    }

    #[test]
    fn a_loss_is_found_unless_the_record_has_a_gap_there() {
        assert_eq!(found(4, &[0, 1, 2, 4], 0), [ARRIVES]);
        assert_eq!(found(4, &[0, 1, 2, 0, 4], 0), [""; 0]);
        assert_eq!(found(5, &[0, 1, 3, 0, 5], 0), [ARRIVES]);
        assert_eq!(found(4, &[0, 1, 2, 3], 0), [ARRIVES]);
        assert_eq!(found(4, &[0, 1, 2, 4], 1), [""; 0]);
    }

    #[test]
    fn another_order_is_found() {
        assert_eq!(found(4, &[0, 1, 3, 2, 4], 0), [ORDER]);
    }
}
