//! Keeping the twin in step: the fetch after every connect, patches in order, gaps.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use super::reports::Urgency;
use super::{Effect, Notice, Phase, Session, Timer};
use crate::acknowledgement::strip_answers;
use crate::document::{Document, difference};
use crate::message::{Answer, HubMessage, Refusal, RefusalClass, Request, RequestId};
use crate::outbox::Batch;
use crate::status::{Fault, HubState, Reason};
use crate::time::Millis;
use crate::twin::{DesiredOutcome, PatchOutcome, ReportedOutcome, Section};

/// How many desired patches wait for the answer to a fetch; more lead to another fetch.
const MAX_WAITING_PATCHES: usize = 256;
/// How many fetches may follow one another at once; more of them wait for their turn.
const MAX_FETCHES_IN_A_ROW: u32 = 3;

impl Session {
    /// Takes what the hub said.
    pub fn handle_message(&mut self, now: Millis, message: HubMessage) {
        match message {
            HubMessage::DesiredPatch { version, patch } => self.desired_patch(now, version, patch),
            HubMessage::Answer { request, answer } => {
                if matches!(&self.phase, Phase::Syncing { request: open, .. } if *open == request) {
                    self.fetch_answered(now, answer);
                } else {
                    self.report_answered(now, request, answer);
                }
            }
        }
    }

    /// Fetches the twin of a live session because something said by the hub could not be read.
    pub fn refresh(&mut self, now: Millis) {
        self.look_again(now);
    }

    /// Asks for the whole twin; `patches` came already and wait for it.
    pub(super) fn fetch(&mut self, now: Millis, patches: Vec<(u64, Document)>) {
        if matches!(self.phase, Phase::Waiting | Phase::Connecting | Phase::Stopped) {
            return;
        }
        let request = self.new_request();
        self.phase = Phase::Syncing { request, patches };
        self.timers.stop(Timer::Resync);
        self.timers.set(Timer::Step, now + self.settings.answer_limit);
        self.effect(Effect::Send { id: request, request: Request::GetTwin });
    }

    fn desired_patch(&mut self, now: Millis, version: u64, patch: Document) {
        match &mut self.phase {
            Phase::Syncing { patches, .. } => {
                // Dropping all of them makes a gap, which leads to another fetch.
                if patches.len() >= MAX_WAITING_PATCHES {
                    patches.clear();
                    self.notice(Notice::TooManyPatches);
                } else {
                    patches.push((version, patch));
                }
            }
            Phase::Live => match self.twin.take_patch(version, &patch) {
                PatchOutcome::Applied => self.desired_changed(now),
                PatchOutcome::Old => {}
                PatchOutcome::Gap => self.gap(now, version, patch),
            },
            // Patches of a remembered session may come before SUBACK; the fetch covers them.
            _ => {}
        }
    }

    fn desired_changed(&mut self, now: Millis) {
        self.synced_at = Some(now);
        self.mark_unsaved(now, Urgency::Soon);
        self.effect(Effect::Changed);
    }

    fn gap(&mut self, now: Millis, found: u64, patch: Document) {
        self.notice(Notice::Gap { known: self.desired_version(), found });
        self.fetches_in_a_row = self.fetches_in_a_row.saturating_add(1);
        if self.fetches_in_a_row <= MAX_FETCHES_IN_A_ROW {
            self.fetch(now, alloc::vec![(found, patch)]);
        } else {
            // Something is odd at the hub; keep what is known and ask again, politely.
            self.go_live(now);
            self.timers.set(Timer::Resync, now + self.settings.retry_base * 10);
        }
    }

    fn fetch_answered(&mut self, now: Millis, answer: Answer) {
        match answer {
            Answer::Twin { desired, reported } => self.take_twin(now, desired, reported),
            Answer::Refused(refusal) => self.fetch_refused(now, &refusal),
            Answer::Accepted { .. } => {
                let text = "the hub answered a twin request as if it were a report";
                self.give_up(now, Fault::new(Reason::HubError, text));
            }
        }
    }

    fn fetch_refused(&mut self, now: Millis, refusal: &Refusal) {
        let text = format!("the hub refused the twin request with {}: {}", refusal.status, refusal.message);
        let reason = match refusal.class() {
            RefusalClass::Throttled => Reason::Throttled,
            RefusalClass::Quota => Reason::Quota,
            RefusalClass::Hub => Reason::HubError,
            RefusalClass::Identity => return self.give_up(now, Fault::new(Reason::BadCredential, text)),
            RefusalClass::Content => return self.give_up(now, Fault::new(Reason::HubError, text)),
        };
        // The link is good: asking again on it costs less than connecting anew.
        let wait = self.backoff.next(reason);
        self.phase = Phase::SyncHeld;
        self.timers.set(Timer::Step, now + wait);
        self.status.detail = Some(text);
        self.set_status(now, HubState::Connecting, reason, Some(now + wait));
    }

    fn take_twin(&mut self, now: Millis, desired: Section, reported: Section) {
        let patches = match core::mem::replace(&mut self.phase, Phase::Live) {
            Phase::Syncing { patches, .. } => patches,
            _ => Vec::new(),
        };
        self.timers.stop(Timer::Step);
        let outcome = self.twin.take_desired(desired);
        if outcome == DesiredOutcome::NewGeneration {
            self.notice(Notice::NewGeneration { generation: self.twin.generation });
        }
        self.take_reported(reported, outcome == DesiredOutcome::NewGeneration);
        self.synced_at = Some(now);
        self.mark_unsaved(now, Urgency::Soon);
        for (version, patch) in patches {
            if self.twin.take_patch(version, &patch) == PatchOutcome::Gap {
                return self.gap(now, version, patch);
            }
        }
        self.fetches_in_a_row = 0;
        self.go_live(now);
    }

    fn go_live(&mut self, now: Millis) {
        self.phase = Phase::Live;
        self.live_since.get_or_insert(now);
        let span = u64::try_from(self.settings.resync_every.as_millis()).unwrap_or(u64::MAX);
        let jitter = Duration::from_millis(self.rng.u64(0..=span / 10));
        self.timers.set(Timer::Resync, now + self.settings.resync_every + jitter);
        self.set_status(now, HubState::Connected, Reason::Ok, None);
        self.notice(Notice::Synced { version: self.desired_version() });
        self.send_next(now);
    }

    /// Takes the hub's reported section, drops what it shows as accepted, and puts back what it
    /// has lost.
    fn take_reported(&mut self, fetched: Section, new_generation: bool) {
        let known = self.reported();
        let version = fetched.version;
        if self.twin.take_reported(fetched) == ReportedOutcome::Lost
            && let (Some(known), Some(now_known)) = (known, self.reported())
        {
            let mut wanted = known.document.clone();
            if new_generation && self.settings.plug_and_play {
                strip_answers(&mut wanted);
            }
            let patch = difference(&now_known.document, &wanted);
            if !patch.is_empty() {
                self.notice(Notice::ReportedLost);
                self.outbox.push_front(Batch { through: self.sequence, patch });
            }
        }
        if let Some(reported) = self.reported() {
            for settlement in self.outbox.settle_against(&reported.document) {
                self.settled(settlement, version);
            }
        }
    }

    /// Asks again for the twin, because an answer came that should not have.
    pub(super) fn look_again(&mut self, now: Millis) {
        if self.phase == Phase::Live {
            self.fetch(now, Vec::new());
        }
    }

    /// Whether `request` is the one whose answer was given up on.
    pub(super) fn is_abandoned(&self, request: RequestId) -> bool {
        self.abandoned == Some(request)
    }

    /// The text for a report that the hub does not take now.
    pub(super) fn refusal_text(refusal: &Refusal) -> alloc::string::String {
        format!("the hub refused a report with {}: {}", refusal.status, refusal.message.to_string())
    }
}
