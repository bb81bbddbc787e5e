//! What has to hold: on every step, of every effect, and when all is calm again. The numbers in the
//! text are those of "What the daemon promises" in docs/local-api.md.

use std::collections::{BTreeMap, BTreeSet};

use modtwin_core::document::{Document, merge};
use modtwin_core::status::{HubState, Reason};
use serde_json::Value;

use super::Broken;
use super::seat::{Fate, Seat, shown};
use super::stage::Stage;
use crate::hub::POISON;

/// How many effects one history may have: a core that runs in circles has more.
const MOST_EFFECTS: u64 = 100_000;
/// How many batches may wait: the parts of one divided patch, one in flight, two that can't merge.
const MOST_WAITING: usize = 20;

const IN_ORDER: &str = "1, 2: nothing missed, in order";
const DURABLE: &str = "4: what is stored survives and reaches the hub";
pub(super) const STORED_FIRST: &str = "4: nothing is sent that is not stored";
const NEVER_BACK: &str = "4: no value is overtaken by an older one";
pub(super) const POLITE: &str = "7: polite";

/// What watchers saw, and what the hub holds.
#[derive(Debug, Default)]
pub(super) struct Watching {
    /// The newest generation and version, with its content.
    seen: Option<(u64, u64, Document)>,
    /// For each key the newest report whose value the hub has held.
    held: BTreeMap<String, usize>,
    /// How often the hub went back.
    losses: u64,
    /// Version and status of answers that the hub itself kept across such a return: they are its
    /// own from then on.
    carried: BTreeSet<(u64, u64)>,
}

impl Watching {
    /// The hub goes back by itself, or the session will see so: older values may come again.
    pub(super) fn hub_lost(&mut self) {
        self.losses += 1;
        self.held.clear();
    }

    /// Watchers of the earlier process are gone.
    pub(super) fn daemon_began(&mut self) {
        self.seen = None;
    }
}

impl Seat {
    /// Holds of the number of effects.
    pub(super) fn check_effects(&self, stage: &Stage) -> Result<(), Broken> {
        if self.effects > MOST_EFFECTS {
            let how = format!("more than {MOST_EFFECTS} effects");
            return Err(self.broken(stage, POLITE, how));
        }
        Ok(())
    }

    /// Holds after every step.
    pub(super) fn check_step(&mut self, stage: &Stage) -> Result<(), Broken> {
        let waiting = self.session.outbox().waiting().count();
        if waiting > MOST_WAITING {
            let how = format!("{waiting} patches wait");
            return Err(self.broken(stage, "3: bounded", how));
        }
        if std::mem::take(&mut self.asking.heard_twin) {
            self.asking.fetched_on = Some(self.link.epoch);
        }
        let connected = self.session.status().state == HubState::Connected;
        if connected && self.asking.fetched_on != Some(self.link.epoch) {
            let how = "connected, and no twin was fetched on this link".into();
            return Err(self.broken(stage, IN_ORDER, how));
        }
        if self.held > 0 {
            self.asking.woke(stage.now);
        } else if connected {
            self.check_heard(stage)?;
        }
        if self.session.next_deadline().is_none() && self.held == 0 && !stage.stopping {
            return Err(self.broken(stage, "7: never given up", "no deadline is set".into()));
        }
        Ok(())
    }

    /// Holds of each view that is published.
    pub(super) fn check_view(&mut self, stage: &Stage) -> Result<(), Broken> {
        let twin = self.session.twin();
        let Some(desired) = twin.desired.clone() else { return Ok(()) };
        let now = (twin.generation, desired.version);
        if let Some((generation, version, document)) = &self.watching.seen {
            let before = (*generation, *version);
            if now == before && *document == desired.document {
                return Ok(());
            }
            if now <= before {
                let how = format!("{now:?} after {before:?}");
                return Err(self.broken(stage, IN_ORDER, how));
            }
        }
        if twin.generation > 1 + self.watching.losses {
            let how = format!("generation {} of {}", twin.generation, 1 + self.watching.losses);
            return Err(self.broken(stage, "1: new generations are the hub's", how));
        }
        if !self.hub.had_desired(&desired) {
            let how =
                format!("the hub never had {}: {}", desired.version, shown(&desired.document));
            return Err(self.broken(stage, IN_ORDER, how));
        }
        self.watching.seen = Some((now.0, now.1, desired.document.clone()));
        Ok(())
    }

    /// Whether each report that `value` comes from is stored.
    pub(super) fn is_durable(&self, value: &Value) -> bool {
        match value {
            Value::Object(members) => members.values().all(|value| self.is_durable(value)),
            Value::Number(number) => {
                let index = number.as_u64().and_then(|index| usize::try_from(index).ok());
                let made = index.and_then(|index| self.made.get(index));
                made.is_some_and(|made| made.fate == Fate::Durable)
            }
            _ => true,
        }
    }

    /// Whether the words that an answer comes from are stored.
    pub(super) fn is_said(&self, value: &Value) -> bool {
        let Some(members) = value.as_object() else { return value.is_null() };
        let number = |name| members.get(name).and_then(Value::as_u64);
        // What only deletes speaks of no version.
        if members.values().all(Value::is_null) {
            return true;
        }
        if members.contains_key("__t") {
            return members.iter().all(|(key, value)| key == "__t" || self.is_said(value));
        }
        let (version, status) = (number("av"), number("ac"));
        let carried = |(at, by): &(u64, u64)| {
            version.is_none_or(|version| version == *at)
                && status.is_none_or(|status| status == *by)
        };
        if self.watching.carried.iter().any(carried) {
            return true;
        }
        self.said.iter().any(|said| {
            said.fate == Fate::Durable
                && said.generation == self.session.twin().generation
                && version.is_none_or(|version| version == said.version)
                && status.is_none_or(|status| status == u64::from(said.status))
        })
    }

    /// A new generation begins, with what the hub still has.
    pub(super) fn carry_answers(&mut self) {
        let Some(reported) = &self.session.twin().reported else { return };
        for value in reported.document.values() {
            collect_answers(value, &mut self.watching.carried);
        }
    }

    /// Holds of each report that the hub writes: no older value comes over a newer one.
    pub(super) fn check_written(&mut self, stage: &Stage, patch: &Document) -> Result<(), Broken> {
        for key in ["a", "b", "c"] {
            let Some(value) = patch.get(key) else { continue };
            // The same value may have been reported more than once: the earliest that fits counts.
            let origins = self.made.iter().enumerate().filter(|(_, made)| {
                made.fate == Fate::Durable && made.patch.get(key) == Some(value)
            });
            let mut origins = origins.map(|(index, _)| index).peekable();
            if origins.peek().is_none() {
                continue;
            }
            let held = self.watching.held.get(key).copied().unwrap_or_default();
            // Nobody has to have reported what was never there.
            if value.is_null() && held == 0 {
                continue;
            }
            let Some(origin) = origins.find(|origin| *origin >= held) else {
                let how = format!("{key} = {value} after that of report {held}");
                return Err(self.broken(stage, NEVER_BACK, how));
            };
            self.watching.held.insert(key.to_owned(), origin);
        }
        Ok(())
    }

    /// Holds where the session says that reports are stored.
    pub(super) fn check_stored(&self, stage: &Stage, through: u64) -> Result<(), Broken> {
        let made = self.made.iter().map(|made| (made.sequence, made.fate));
        let said = self.said.iter().map(|said| (Some(said.sequence), said.fate));
        let early = made.chain(said).any(|(sequence, fate)| {
            fate == Fate::Pending && sequence.is_some_and(|sequence| sequence <= through)
        });
        if early {
            let how = format!("up to {through} is said to be stored, and is not");
            return Err(self.broken(stage, DURABLE, how));
        }
        Ok(())
    }

    /// Whoever waits for a key may be told only when the hub has the value or a later one.
    pub(super) fn check_accepted(
        &self,
        stage: &Stage,
        through: u64,
        (keys, version): (&[String], u64),
    ) -> Result<(), Broken> {
        let plain = |key: &&String| ["a", "b", "c"].contains(&key.as_str());
        for key in keys.iter().filter(plain).filter(|_| through > 0) {
            let held = self.hub.reported.document.get(key);
            // The value after the newest report that is meant, and after each later one.
            let (mut value, mut good) = (None, false);
            for made in self.made.iter().filter(|made| made.fate == Fate::Durable) {
                good |= value == held && made.sequence.is_some_and(|sequence| sequence > through);
                if let Some(written) = made.patch.get(key) {
                    value = Some(written).filter(|written| !written.is_null());
                }
            }
            if !good && value != held {
                let how = format!("{key} through {through} is said to be at the hub: {held:?}");
                return Err(self.broken(stage, DURABLE, how));
            }
        }
        if version == 0 {
            let how = format!("{keys:?} accepted without a version");
            return Err(self.broken(stage, DURABLE, how));
        }
        Ok(())
    }

    /// Holds some time after the last fault: the twin is the hub's, and all reports are there.
    pub(super) fn check_calm(&self, stage: &Stage) -> Result<(), Broken> {
        let status = self.session.status();
        if (status.state, status.reason) != (HubState::Connected, Reason::Ok) {
            return Err(self.broken(stage, "7: never given up", format!("{status:?}")));
        }
        let twin = self.session.twin();
        if twin.desired.as_deref() != Some(&self.hub.desired) {
            let how = format!("desired is {:?}, at the hub {:?}", twin.desired, self.hub.desired);
            return Err(self.broken(stage, "1: nothing missed", how));
        }
        if twin.reported.as_deref() != Some(&self.hub.reported) {
            let (known, held) = (&twin.reported, &self.hub.reported);
            let how = format!("reported is known as {known:?}, at the hub {held:?}");
            return Err(self.broken(stage, DURABLE, how));
        }
        let mut reported = self.hub.reported.document.clone();
        reported.retain(|key, _| !key.starts_with('w'));
        let expected = self.expected();
        if reported != expected {
            let (found, expected) = (shown(&reported), shown(&expected));
            let how = format!("the hub has {found}, expected {expected}");
            return Err(self.broken(stage, DURABLE, how));
        }
        if !self.session.outbox().is_empty() {
            let how = format!("{:?} still waits", self.session.outbox());
            return Err(self.broken(stage, DURABLE, how));
        }
        Ok(())
    }

    /// Holds when the handlers have said their last word.
    pub(super) fn check_end(&self, stage: &Stage) -> Result<(), Broken> {
        self.check_calm(stage)?;
        if self.session.is_unsaved() || !self.session.is_storage_good() {
            return Err(self.broken(stage, DURABLE, "something is not saved".into()));
        }
        if self.disk != self.session.durable() {
            return Err(self.broken(stage, DURABLE, "the disk lags behind".into()));
        }
        let fates = self.made.iter().map(|made| made.fate);
        if fates.chain(self.said.iter().map(|said| said.fate)).any(|fate| fate == Fate::Pending) {
            return Err(self.broken(stage, DURABLE, "somebody was never told".into()));
        }
        let answers = self.answers();
        let expected =
            if self.plug_and_play { self.hub.desired.document.clone() } else { Document::new() };
        if answers != expected {
            let how = format!("{} answered, desired {}", shown(&answers), shown(&expected));
            return Err(self.broken(stage, "each desired value is answered", how));
        }
        Ok(())
    }

    /// What all durable reports make of the section, the poison left out.
    fn expected(&self) -> Document {
        let mut expected = Document::new();
        for made in self.made.iter().filter(|made| made.fate == Fate::Durable) {
            merge(&mut expected, &made.patch);
        }
        expected.retain(|key, _| !POISON.contains(&key.as_str()));
        expected
    }

    /// The desired values for which the hub holds answers. Of a component that is gone its mark
    /// may stay: others may have reported in it.
    fn answers(&self) -> Document {
        let reported = self.hub.reported.document.iter().filter(|(key, _)| key.starts_with('w'));
        let empty = |answer: &Value| {
            answer.as_object().is_some_and(|members| members.keys().all(|key| key == "__t"))
        };
        reported
            .filter(|(_, answer)| !empty(answer))
            .map(|(key, answer)| (key.clone(), answered(answer)))
            .collect()
    }
}

fn collect_answers(value: &Value, found: &mut BTreeSet<(u64, u64)>) {
    let Some(members) = value.as_object() else { return };
    let number = |name| members.get(name).and_then(Value::as_u64);
    match (number("av"), number("ac")) {
        (Some(version), Some(status)) => {
            found.insert((version, status));
        }
        _ => members.values().for_each(|value| collect_answers(value, found)),
    }
}

fn answered(answer: &Value) -> Value {
    match answer.as_object() {
        Some(members) if members.contains_key("__t") => {
            let inner = |(key, value): (&String, &Value)| {
                let value = if key == "__t" { value.clone() } else { answered(value) };
                (key.clone(), value)
            };
            members.iter().map(inner).collect()
        }
        Some(members) => members.get("value").cloned().unwrap_or_default(),
        None => Value::Null,
    }
}
