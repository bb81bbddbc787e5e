//! Keeping the twin in step: the fetch after every connect, patches in order, gaps.

use alloc::format;
use alloc::sync::Arc;
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
/// How long the next of them waits, in retry bases.
const ODD_HUB_WAIT: u32 = 10;

/// A request for the whole twin, under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fetch {
    request: RequestId,
    /// Desired patches that came since, in their order.
    patches: Vec<(u64, Document)>,
    /// The reported section as known when the twin was asked for.
    reported: Option<Arc<Section>>,
    /// Something came meanwhile that the answer may not show: another fetch has to follow.
    again: bool,
}

impl Session {
    /// Takes what the hub said.
    pub fn handle_message(&mut self, now: Millis, message: HubMessage) {
        if matches!(self.phase, Phase::Waiting | Phase::Connecting | Phase::Stopped) {
            return;
        }
        match message {
            HubMessage::DesiredPatch { version, patch } => self.desired_patch(now, version, patch),
            HubMessage::Answer { request, answer } => match self.end_fetch(request) {
                Some(fetch) => self.fetch_answered(now, fetch, answer),
                None => self.report_answered(now, request, answer),
            },
        }
    }

    /// Ends the fetch that is under way as `request`; its answer decides the next phase.
    fn end_fetch(&mut self, request: RequestId) -> Option<Fetch> {
        match core::mem::replace(&mut self.phase, Phase::Live) {
            Phase::Syncing(fetch) if fetch.request == request => {
                self.timers.stop(Timer::Step);
                Some(fetch)
            }
            other => {
                self.phase = other;
                None
            }
        }
    }

    /// Whether the twin has been asked for as `request`.
    pub(super) fn is_fetching(&self, request: RequestId) -> bool {
        matches!(&self.phase, Phase::Syncing(fetch) if fetch.request == request)
    }

    /// The desired section as it is before a change, where somebody will ask what changed.
    fn desired_before(&self) -> Option<Arc<Section>> {
        if self.handlers.is_empty() { None } else { self.twin.desired.clone() }
    }

    /// Fetches the twin because something said by the hub could not be read.
    pub fn refresh(&mut self, now: Millis) {
        self.look_again(now);
    }

    /// Asks for the whole twin; `patches` came already and wait for it.
    pub(super) fn fetch(&mut self, now: Millis, patches: Vec<(u64, Document)>) {
        if matches!(self.phase, Phase::Waiting | Phase::Connecting | Phase::Stopped) {
            return;
        }
        let request = self.new_request();
        let reported = self.reported();
        self.phase = Phase::Syncing(Fetch { request, patches, reported, again: false });
        self.timers.stop(Timer::Resync);
        self.timers.set(Timer::Step, now + self.settings.answer_limit);
        self.effect(Effect::Send { id: request, request: Request::GetTwin });
    }

    fn desired_patch(&mut self, now: Millis, version: u64, patch: Document) {
        match &mut self.phase {
            Phase::Syncing(fetch) => {
                // Dropping all before the newest makes a gap, which leads to another fetch.
                let full = fetch.patches.len() >= MAX_WAITING_PATCHES;
                if full {
                    fetch.patches.clear();
                }
                fetch.patches.push((version, patch));
                if full {
                    self.notice(Notice::TooManyPatches);
                }
            }
            Phase::Live => {
                let old = self.desired_before();
                match self.twin.take_patch(version, &patch) {
                    PatchOutcome::Applied => {
                        self.expect_answers(now, old.as_ref().map(|old| &old.document));
                        self.desired_changed(now);
                    }
                    PatchOutcome::Old => {}
                    PatchOutcome::Gap => self.gap(now, version, patch),
                }
            }
            // Patches of a remembered session may come before SUBACK; the fetch covers them.
            _ => {}
        }
    }

    fn desired_changed(&mut self, now: Millis) {
        self.synced_at = Some(now);
        self.mark_unsaved(now, Urgency::Shared);
        self.effect(Effect::Changed);
    }

    fn gap(&mut self, now: Millis, found: u64, patch: Document) {
        let due = now + self.settings.retry_base * ODD_HUB_WAIT;
        if self.timers.get(Timer::Resync).is_some_and(|set| set <= due)
            && self.fetches_in_a_row >= MAX_FETCHES_IN_A_ROW
        {
            return;
        }
        self.notice(Notice::Gap { known: self.desired_version(), found });
        self.fetch_again(now, alloc::vec![(found, patch)]);
    }

    /// Fetches once more, because what the last fetch brought is not all.
    fn fetch_again(&mut self, now: Millis, patches: Vec<(u64, Document)>) {
        if self.fetches_in_a_row < MAX_FETCHES_IN_A_ROW {
            self.fetches_in_a_row += 1;
            return self.fetch(now, patches);
        }
        // Something is odd at the hub; keep what is known and ask again, politely.
        self.go_live(now);
        self.timers.set(Timer::Resync, now + self.settings.retry_base * ODD_HUB_WAIT);
    }

    fn fetch_answered(&mut self, now: Millis, fetch: Fetch, answer: Answer) {
        match answer {
            Answer::Twin { desired, reported } => {
                self.take_twin(now, fetch, (desired, reported));
            }
            Answer::Refused(refusal) => self.fetch_refused(now, &refusal),
            Answer::Accepted { .. } => {
                let text = "the hub answered a twin request as if it were a report";
                self.give_up(now, Fault::new(Reason::HubError, text));
            }
        }
    }

    fn fetch_refused(&mut self, now: Millis, refusal: &Refusal) {
        let text = format!(
            "the hub refused the twin request with {}: {}",
            refusal.status, refusal.message
        );
        let reason = match refusal.class() {
            RefusalClass::Throttled => Reason::Throttled,
            RefusalClass::Quota => Reason::Quota,
            RefusalClass::Hub => Reason::HubError,
            RefusalClass::Identity => {
                return self.give_up(now, Fault::new(Reason::BadCredential, text));
            }
            RefusalClass::Content => return self.give_up(now, Fault::new(Reason::HubError, text)),
        };
        // The link is good: asking again on it costs less than connecting anew.
        let wait = self.holds.next(reason);
        self.phase = Phase::SyncHeld;
        self.timers.set(Timer::Step, now + wait);
        self.status.detail = Some(text);
        self.set_status(now, HubState::Connecting, reason, Some(now + wait));
    }

    fn take_twin(&mut self, now: Millis, fetch: Fetch, (desired, reported): (Section, Section)) {
        self.holds.forget();
        let old = self.desired_before();
        let outcome = self.twin.take_desired(desired);
        let new_generation = outcome == DesiredOutcome::NewGeneration;
        if new_generation {
            self.notice(Notice::NewGeneration { generation: self.twin.generation });
            self.forget_answers();
        }
        self.take_reported(reported, fetch.reported.as_deref(), new_generation);
        self.synced_at = Some(now);
        let mut gap = None;
        for (version, patch) in fetch.patches {
            if self.twin.take_patch(version, &patch) == PatchOutcome::Gap {
                gap = Some((version, patch));
                break;
            }
        }
        self.expect_answers(now, old.as_ref().map(|old| &old.document));
        self.mark_unsaved(now, Urgency::Soon);
        match gap {
            Some((version, patch)) => self.gap(now, version, patch),
            None if fetch.again => self.fetch_again(now, Vec::new()),
            None => {
                self.fetches_in_a_row = 0;
                self.go_live(now);
            }
        }
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
    /// has lost. `asked` is what was known when the hub was asked.
    fn take_reported(&mut self, fetched: Section, asked: Option<&Section>, new_generation: bool) {
        let known = self.reported();
        if let (Some(asked), Some(known)) = (asked, &known)
            && !new_generation
            && fetched.version < known.version
            && (fetched.version > asked.version || fetched == *asked)
        {
            // Read before the hub took a report that it has accepted since: not lost, overtaken.
            return;
        }
        let hub = Arc::new(fetched.clone());
        if self.twin.take_reported(fetched) == ReportedOutcome::Lost
            && let Some(known) = known
        {
            self.put_back(&known, &hub, new_generation);
        }
        for settlement in self.outbox.settle_against(&hub.document) {
            self.settled(settlement, hub.version);
        }
    }

    /// Queues what the hub has lost of `known` in front of all reports.
    fn put_back(&mut self, known: &Section, hub: &Section, new_generation: bool) {
        let (mut wanted, mut found) = (known.document.clone(), hub.document.clone());
        if new_generation && self.settings.plug_and_play {
            strip_answers(&mut wanted);
            strip_answers(&mut found);
        }
        let patch = difference(&found, &wanted);
        // A report that was given up on and arrived all the same: it is sent again anyway.
        let waits_already = known.version == hub.version
            && self.outbox.applied_to(&found) == self.outbox.applied_to(&wanted);
        if patch.is_empty() || waits_already {
            return;
        }
        self.notice(Notice::ReportedLost);
        self.recall_report();
        // Number 0: whoever reported these values has been told already.
        self.outbox.push_front(Batch { through: 0, patch });
    }

    /// Fetches the twin of a live session, or once more after the fetch under way, because that one
    /// may not show what is known to have happened.
    pub(super) fn look_again(&mut self, now: Millis) {
        match &mut self.phase {
            Phase::Live => self.fetch(now, Vec::new()),
            Phase::Syncing(fetch) => fetch.again = true,
            _ => {}
        }
    }

    /// The text for a report that the hub does not take now.
    pub(super) fn refusal_text(refusal: &Refusal) -> alloc::string::String {
        format!("the hub refused a report with {}: {}", refusal.status, refusal.message)
    }
}
