//! What has to hold of the simulated world: on every step, of every answer, and at the end.

use super::*;

impl World {
    /// What all durable reports made of the section, the poison left out.
    pub(super) fn expected(&self) -> Document {
        let mut expected = Document::new();
        for made in self.made.iter().filter(|made| made.fate == Fate::Durable) {
            merge(&mut expected, &made.patch);
        }
        expected.retain(|key, _| !self.hub.poison.contains(key));
        expected
    }

    /// In the plug-and-play form each desired value is answered, and nothing else.
    pub(super) fn check_answers(&self) {
        let seed = self.seed;
        let answers = self.hub.reported.document.iter().filter(|(key, _)| key.starts_with('w'));
        let values: Document = answers
            .map(|(key, answer)| (key.clone(), answer.get("value").cloned().unwrap_or_default()))
            .collect();
        if self.session.settings.plug_and_play {
            assert_eq!(values, self.hub.desired.document, "seed {seed}");
        } else {
            assert_eq!(values, Document::new(), "seed {seed}");
        }
    }

    /// Whoever waits for `key` may be told only when the hub has the value or a later one.
    pub(super) fn check_accepted(&self, through: u64, key: &str) {
        if key == "o" || key.starts_with('w') || through == 0 {
            return;
        }
        let held = self.hub.reported.document.get(key);
        let durable = self.made.iter().filter(|made| made.fate == Fate::Durable);
        // The value after the newest report that is meant, and after each later one.
        let (mut value, mut good) = (None, false);
        for made in durable {
            good |= value == held && made.sequence.is_some_and(|sequence| sequence > through);
            if let Some(written) = made.patch.get(key) {
                value = Some(written).filter(|written| !written.is_null());
            }
        }
        good |= value == held;
        assert!(good, "seed {}: {key} through {through}: {held:?}", self.seed);
    }

    pub(super) fn check_step(&mut self) {
        let twin = self.session.twin();
        if let Some(desired) = &twin.desired {
            let now = (twin.generation, desired.version);
            assert!(now >= self.seen, "seed {}: {now:?} after {:?}", self.seed, self.seen);
            if now > self.seen {
                assert!(self.hub.had_desired(desired), "seed {}: {desired:?}", self.seed);
            }
            self.seen = now;
        }
    }

    pub(super) fn check_end(&self) {
        let seed = self.seed;
        let status = self.session.status();
        assert_eq!((status.state, status.reason), (HubState::Connected, Reason::Ok), "seed {seed}");
        let twin = self.session.twin();
        assert_eq!(twin.desired.as_deref(), Some(&self.hub.desired), "seed {seed}");
        assert_eq!(twin.reported.as_deref(), Some(&self.hub.reported), "seed {seed}");
        let mut reported = self.hub.reported.document.clone();
        reported.retain(|key, _| !key.starts_with('w'));
        assert_eq!(reported, self.expected(), "seed {seed}");
        self.check_answers();
        assert!(self.session.outbox().is_empty(), "seed {seed}");
        assert!(!self.session.is_unsaved() && self.session.is_storage_good(), "seed {seed}");
        assert_eq!(self.disk, self.session.durable(), "seed {seed}");
        let pending = self.made.iter().any(|made| made.fate == Fate::Pending);
        assert!(!pending, "seed {seed}: a report was never answered");
    }
}
