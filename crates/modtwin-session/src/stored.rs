//! The core's durable state to the stored form and back, by hand: the two may grow apart.

use std::sync::Arc;

use modtwin_core::acknowledgement::Acknowledged;
use modtwin_core::handlers::Expected;
use modtwin_core::outbox::{Batch, Quarantined};
use modtwin_core::session::Durable;
use modtwin_core::twin::{Section, Twin};

use crate::store::{
    STORED_FORMAT, StoredAcknowledgement, StoredExpectation, StoredRefusal, StoredReport,
    StoredSection, StoredTwin,
};

pub(crate) fn to_stored(durable: Durable, as_of_ms: Option<u64>) -> StoredTwin {
    StoredTwin {
        format: STORED_FORMAT,
        generation: durable.twin.generation,
        desired: durable.twin.desired.map(section_to_stored),
        reported: durable.twin.reported.map(section_to_stored),
        outbox: durable
            .outbox
            .into_iter()
            .map(|Batch { through, patch }| StoredReport { through, patch })
            .collect(),
        quarantined: durable
            .quarantined
            .into_iter()
            .map(|Quarantined { key, status, message }| StoredRefusal { key, status, message })
            .collect(),
        sequence: durable.sequence,
        acknowledged: durable.acknowledged.into_iter().map(acknowledged_to_stored).collect(),
        expected: durable
            .expected
            .into_iter()
            .map(|Expected { handler, generation, version }| StoredExpectation {
                handler,
                generation,
                version,
            })
            .collect(),
        as_of_ms,
    }
}

impl From<StoredTwin> for Durable {
    /// Takes what was stored as it is: a state file is the daemon's own.
    fn from(stored: StoredTwin) -> Self {
        from_stored(stored)
    }
}

pub(crate) fn from_stored(stored: StoredTwin) -> Durable {
    Durable {
        twin: Twin {
            generation: stored.generation.max(1),
            desired: stored.desired.map(section_from_stored),
            reported: stored.reported.map(section_from_stored),
        },
        outbox: stored
            .outbox
            .into_iter()
            .map(|StoredReport { through, patch }| Batch { through, patch })
            .collect(),
        quarantined: stored
            .quarantined
            .into_iter()
            .map(|StoredRefusal { key, status, message }| Quarantined { key, status, message })
            .collect(),
        sequence: stored.sequence,
        acknowledged: stored.acknowledged.into_iter().map(acknowledged_from_stored).collect(),
        expected: stored
            .expected
            .into_iter()
            .map(|StoredExpectation { handler, generation, version }| Expected {
                handler,
                generation,
                version,
            })
            .collect(),
    }
}

fn section_to_stored(section: Arc<Section>) -> StoredSection {
    let section = Arc::unwrap_or_clone(section);
    StoredSection { version: section.version, document: section.document }
}

fn section_from_stored(stored: StoredSection) -> Arc<Section> {
    Arc::new(Section { version: stored.version, document: stored.document })
}

fn acknowledged_to_stored(said: Acknowledged) -> StoredAcknowledgement {
    StoredAcknowledgement {
        handler: said.handler,
        generation: said.generation,
        version: said.version,
        status: said.status,
        description: said.description,
        at_ms: said.at_ms,
    }
}

fn acknowledged_from_stored(stored: StoredAcknowledgement) -> Acknowledged {
    Acknowledged {
        handler: stored.handler,
        generation: stored.generation,
        version: stored.version,
        status: stored.status,
        description: stored.description,
        at_ms: stored.at_ms,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_stored_comes_back_the_same_through_json() {
        let section = |version| {
            let document = json!({"a": {"b": 1.1}, "c": null}).as_object().cloned().unwrap();
            Some(Arc::new(Section { version, document }))
        };
        let durable = Durable {
            twin: Twin { generation: 3, desired: section(7), reported: section(9) },
            outbox: vec![Batch {
                through: 4,
                patch: json!({"x": null}).as_object().cloned().unwrap(),
            }],
            quarantined: vec![Quarantined { key: "k".into(), status: 400, message: "no".into() }],
            sequence: 4,
            acknowledged: vec![Acknowledged {
                handler: "hvac".into(),
                generation: 3,
                version: 7,
                status: 200,
                description: None,
                at_ms: 5,
            }],
            expected: vec![Expected { handler: "hvac".into(), generation: 3, version: 6 }],
        };
        let text = serde_json::to_string(&to_stored(durable.clone(), Some(1))).unwrap();
        assert_eq!(from_stored(serde_json::from_str(&text).unwrap()), durable);
    }
}
