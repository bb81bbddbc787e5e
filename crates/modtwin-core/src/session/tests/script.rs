//! A driver for scripts: it passes time and news in and hands effects out.

use alloc::vec::Vec;
use core::time::Duration;

use serde_json::Value;

use super::super::*;
use crate::document::Document;
use crate::message::{Answer, HubMessage, Refusal};
use crate::status::Fault;

pub(super) fn document(value: Value) -> Document {
    value.as_object().cloned().unwrap()
}

pub(super) fn section(version: u64, value: Value) -> Section {
    Section { version, document: document(value) }
}

pub(super) fn settings() -> Settings {
    Settings {
        retry_base: Duration::from_secs(1),
        answer_limit: Duration::from_secs(10),
        connect_limit: Duration::from_secs(20),
        resync_every: Duration::from_secs(3600),
        plug_and_play: false,
        seed: 7,
    }
}

pub(super) fn network() -> Fault {
    Fault::new(Reason::Network, "gone")
}

/// A session with its clock.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) session: Session,
    pub(super) now: u64,
    /// How writes to disk end; with `None` the script ends them itself.
    pub(super) disk: Option<bool>,
}

impl Script {
    pub(super) fn new(settings: Settings, durable: Durable) -> Self {
        let session = Session::new(settings, durable, Millis(1_000));
        Self { session, now: 1_000, disk: Some(true) }
    }

    pub(super) fn now(&self) -> Millis {
        Millis(self.now)
    }

    /// A live session with these sections, all effects taken.
    pub(super) fn live(settings: Settings, desired: Section, reported: Section) -> Self {
        let mut script = Self::new(settings, Durable::default());
        script.go_live(desired, reported);
        script.effects();
        script
    }

    /// From the due attempt to the twin's answer.
    pub(super) fn go_live(&mut self, desired: Section, reported: Section) {
        self.fetching();
        self.twin(desired, reported);
    }

    /// From the due attempt to the request for the twin.
    pub(super) fn fetching(&mut self) {
        self.fire();
        assert!(self.effects().contains(&Effect::Connect));
        self.session.handle_connected(self.now());
        assert!(self.effects().contains(&Effect::Subscribe));
        self.session.handle_subscribed(self.now());
    }

    /// Answers the fetch that was sent last.
    pub(super) fn twin(&mut self, desired: Section, reported: Section) {
        let effects = self.effects();
        let id = fetch_in(&effects).unwrap_or_else(|| panic!("no fetch in {effects:?}"));
        self.answer(id, Answer::Twin { desired, reported });
    }

    pub(super) fn answer(&mut self, request: RequestId, answer: Answer) {
        self.session.handle_message(self.now(), HubMessage::Answer { request, answer });
    }

    pub(super) fn accept(&mut self, request: RequestId, version: u64) {
        self.answer(request, Answer::Accepted { version });
    }

    pub(super) fn refuse(&mut self, request: RequestId, status: u16, message: &str) {
        self.answer(request, Answer::Refused(Refusal { status, message: message.into() }));
    }

    pub(super) fn patch(&mut self, version: u64, patch: Value) {
        let patch = document(patch);
        self.session.handle_message(self.now(), HubMessage::DesiredPatch { version, patch });
    }

    pub(super) fn report(&mut self, patch: Value) -> u64 {
        match self.session.report(self.now(), document(patch)) {
            Ok(Taken::Staged { sequence }) => sequence,
            other => panic!("{other:?}"),
        }
    }

    /// Lets time go on to the next deadline.
    pub(super) fn fire(&mut self) {
        let at = self.session.next_deadline().unwrap();
        self.now = self.now.max(at.0);
        self.session.handle_timeout(self.now());
    }

    /// Lets `ms` pass with every deadline on the way.
    pub(super) fn pass(&mut self, ms: u64) -> Vec<Effect> {
        let end = self.now + ms;
        let mut effects = self.effects();
        while let Some(at) = self.session.next_deadline().filter(|at| at.0 <= end) {
            self.now = self.now.max(at.0);
            self.session.handle_timeout(self.now());
            effects.extend(self.effects());
        }
        self.now = end;
        effects
    }

    /// All effects but `Changed`, and writes where the disk is automatic.
    pub(super) fn effects(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        while let Some(effect) = self.session.poll_effect() {
            match (effect, self.disk) {
                (Effect::Changed, _) => {}
                (Effect::Save, Some(good)) => self.session.handle_saved(self.now(), good),
                (effect, _) => effects.push(effect),
            }
        }
        effects
    }

    /// The one report that was sent, and nothing else sent.
    pub(super) fn sent(&mut self) -> (RequestId, Value) {
        let effects = self.effects();
        let mut reports = reports_in(&effects);
        assert_eq!(reports.len(), 1, "{effects:?}");
        assert_eq!(fetch_in(&effects), None);
        reports.remove(0)
    }

    pub(super) fn nothing_sent(&mut self) {
        let effects = self.effects();
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Send { .. })), "{effects:?}");
    }

    pub(super) fn state(&self) -> (HubState, Reason) {
        (self.session.status().state, self.session.status().reason)
    }

    /// Generation, version and content of desired.
    pub(super) fn desired(&self) -> (u64, u64, Value) {
        let desired = self.session.twin().desired.as_ref().unwrap();
        (self.session.twin().generation, desired.version, Value::Object(desired.document.clone()))
    }

    pub(super) fn reported(&self) -> (u64, Value) {
        let reported = self.session.twin().reported.as_ref().unwrap();
        (reported.version, Value::Object(reported.document.clone()))
    }
}

/// The number of the newest request for the twin.
pub(super) fn fetch_in(effects: &[Effect]) -> Option<RequestId> {
    effects.iter().rev().find_map(|effect| match effect {
        Effect::Send { id, request: Request::GetTwin } => Some(*id),
        _ => None,
    })
}

pub(super) fn reports_in(effects: &[Effect]) -> Vec<(RequestId, Value)> {
    let report = |effect: &Effect| match effect {
        Effect::Send { id, request: Request::Report(patch) } => {
            Some((*id, Value::Object(patch.clone())))
        }
        _ => None,
    };
    effects.iter().filter_map(report).collect()
}

pub(super) fn accepted_in(effects: &[Effect]) -> Vec<(u64, Vec<&str>, u64)> {
    let accepted = |effect| match effect {
        &Effect::Accepted { through, ref keys, version } => {
            Some((through, keys.iter().map(|key| key.as_str()).collect(), version))
        }
        _ => None,
    };
    effects.iter().filter_map(accepted).collect()
}
