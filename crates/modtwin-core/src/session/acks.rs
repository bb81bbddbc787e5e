//! What handlers say of desired versions, and what their silence says.

use alloc::format;
use alloc::vec::Vec;

use super::reports::Staged;
use super::{Effect, Session, Timer};
use crate::acknowledgement::{Acknowledged, Acknowledgement, plug_and_play, silence_answers};
use crate::document::Document;
use crate::handlers::{Expected, HandlerRule, Seen, Silence};
use crate::time::Millis;

/// What a handler's silence is reported as: like a gateway that got no answer in time.
pub const SILENCE_STATUS: u16 = 504;

/// Why an acknowledgement was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckRefused {
    /// It speaks of a version that was never seen.
    UnknownVersion {
        /// The newest version seen.
        newest: u64,
    },
    /// Nothing is known of the twin yet.
    NotSynced,
}

impl Session {
    /// Takes a handler's word on a version of desired; says the number that
    /// [`Effect::Stored`] will name.
    ///
    /// # Errors
    ///
    /// [`AckRefused`] where the version can't be judged.
    pub fn acknowledge(&mut self, now: Millis, said: Acknowledgement) -> Result<u64, AckRefused> {
        let Some(desired) = self.twin.desired.clone() else {
            return Err(AckRefused::NotSynced);
        };
        let present = self.twin.generation;
        let generation = said.generation.unwrap_or(present);
        if generation > present || (generation == present && said.version > desired.version) {
            return Err(AckRefused::UnknownVersion { newest: desired.version });
        }
        let mut patch = Document::new();
        // Where something that it watches has changed since, the values it speaks of are not known
        // any more; the newer version will be answered.
        let is_newest = said.version == desired.version
            || self.handlers.of(&said.handler).is_some_and(|it| it.version <= said.version);
        if self.settings.plug_and_play && generation == present && is_newest {
            patch = plug_and_play(&said, &desired.document, &self.planned());
        }
        let acknowledged = Acknowledged {
            handler: said.handler,
            generation,
            version: said.version,
            status: said.status,
            description: said.description,
            at_ms: said.at_ms,
        };
        if patch.is_empty() && self.is_known(&acknowledged) {
            self.effect(Effect::Stored { through: self.sequence });
            return Ok(self.sequence);
        }
        Ok(self.stage(now, patch, Some(acknowledged)))
    }

    /// Tells the session which handlers its module has.
    pub fn set_handlers(&mut self, now: Millis, rules: Vec<HandlerRule>) {
        let generation = self.twin.generation;
        let said = &self.acknowledged;
        let heard = |name: &str| {
            let said = said.iter().find(|it| it.handler == name && it.generation == generation);
            said.map(|said| said.version)
        };
        let desired = self.twin.desired.clone();
        let seen = desired.as_ref().map(|desired| Seen {
            generation,
            version: desired.version,
            document: &desired.document,
        });
        self.handlers.set_rules(now, rules, seen, heard);
        self.plan_silence();
        self.effect(Effect::Changed);
    }

    /// The newest version that each handler of the config is expected to apply.
    pub fn expected(&self) -> impl Iterator<Item = &Expected> {
        self.handlers.expected().filter(|it| it.generation == self.twin.generation)
    }

    /// The next handler whose word on a version is overdue; ask until there is none, and hand each
    /// back through [`Session::note_silence`] with the time.
    pub fn poll_silence(&mut self) -> Option<Silence> {
        self.silent.pop_front()
    }

    /// Counts a handler's silence as its answer; `at_ms` is the wall clock. Its late word replaces
    /// it.
    pub fn note_silence(&mut self, now: Millis, silence: &Silence, at_ms: u64) {
        let Some(desired) = self.twin.desired.clone() else { return };
        let (generation, version) = (self.twin.generation, silence.version);
        let spoke = |said: &Acknowledged| {
            said.handler == silence.handler
                && (said.generation, said.version) >= (generation, version)
        };
        let staged = self.staged.iter().filter_map(Staged::acknowledged);
        if staged.chain(&self.acknowledged).any(spoke) {
            return;
        }
        let limit = silence.limit.as_secs_f32();
        let description = format!("no acknowledgement of version {version} within {limit} s");
        let mut patch = Document::new();
        if self.settings.plug_and_play {
            let said = Acknowledgement {
                handler: silence.handler.clone(),
                generation: Some(generation),
                version,
                status: SILENCE_STATUS,
                description: Some(description.clone()),
                paths: silence.watch.clone(),
                at_ms,
            };
            patch = silence_answers(&said, &desired.document, &self.planned());
        }
        let acknowledged = Acknowledged {
            handler: silence.handler.clone(),
            generation,
            version,
            status: SILENCE_STATUS,
            description: Some(description),
            at_ms,
        };
        self.stage(now, patch, Some(acknowledged));
    }

    /// Some handlers' time is up.
    pub(super) fn silence_due(&mut self, now: Millis) {
        let silent = self.handlers.take_silent(now);
        self.silent.extend(silent);
        self.plan_silence();
    }

    /// Tells the handlers' table of a change of desired; `old` is what was there before.
    pub(super) fn expect_answers(&mut self, now: Millis, old: Option<&Document>) {
        let Some(desired) = self.twin.desired.clone() else { return };
        if self.handlers.is_empty() {
            return;
        }
        let seen = Seen {
            generation: self.twin.generation,
            version: desired.version,
            document: &desired.document,
        };
        self.handlers.changed(now, old, seen);
        self.plan_silence();
    }

    /// Tells the handlers' table what has been stored of their words.
    pub(super) fn heard(&mut self, now: Millis, said: &Acknowledged) {
        self.handlers.heard(now, &said.handler, said.generation, said.version);
        self.plan_silence();
    }

    /// Takes back the answers that wait for the hub: they speak of a line of versions that is over.
    pub(super) fn forget_answers(&mut self) {
        if !self.settings.plug_and_play {
            return;
        }
        for staged in self.staged.iter_mut().filter(|staged| staged.acknowledged().is_some()) {
            staged.forget_patch();
        }
        self.recall_report();
        let known = self.reported();
        let empty = Document::new();
        self.outbox.strip_answers(known.as_ref().map_or(&empty, |known| &known.document));
    }

    fn plan_silence(&mut self) {
        match self.handlers.next_due() {
            Some(due) => self.timers.set(Timer::Silence, due),
            None => self.timers.stop(Timer::Silence),
        }
    }

    /// Whether that word is on disk already, with nothing on its way that could change it.
    fn is_known(&self, said: &Acknowledged) -> bool {
        let same =
            |known: &Acknowledged| Acknowledged { at_ms: said.at_ms, ..known.clone() } == *said;
        self.staged.is_empty() && self.acknowledged.iter().any(same)
    }
}
