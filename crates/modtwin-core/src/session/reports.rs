//! Reports and acknowledgements: first to disk, then to the hub, one patch in flight at a time.
//!
//! Invariant: nothing is sent that is not on disk, so that a crash can't make the hub's reported
//! values go back to older ones.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Effect, Notice, Phase, Session, Timer};
use crate::acknowledgement::Acknowledged;
use crate::document::{Document, changes_nothing, merge};
use crate::limits::{Violation, check_patch, check_size};
use crate::message::{Answer, Refusal, RefusalClass, Request, RequestId};
use crate::outbox::{Batch, Outbox, Settlement};
use crate::status::{Fault, HubState, Reason};
use crate::time::Millis;

/// The least time between two writes of which no report waits.
const SAVE_SPACING: Duration = Duration::from_millis(20);
/// How long a desired change may stay off the disk: long enough for a handler's report on it to
/// share the write instead of waiting behind it, and for a flood to share writes.
const SAVE_SHARED: Duration = Duration::from_millis(100);
/// How long the hub's consent may wait for the disk: losing it costs one needless comparison.
const SAVE_LATER: Duration = Duration::from_secs(1);
/// How long a failed write waits for its next try, in retry bases.
const SAVE_RETRY: u32 = 5;

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It waits for the disk; [`Effect::Stored`] and [`Effect::Accepted`] follow.
    Staged {
        /// Its number.
        sequence: u64,
    },
    /// The hub has all of it already; nothing is written or sent.
    AlreadyThere {
        /// The number of the newest report.
        sequence: u64,
        /// The version of the reported section.
        version: u64,
    },
}

/// A report or an acknowledgement that is not durable yet.
#[derive(Debug, Clone)]
pub(super) struct Staged {
    sequence: u64,
    patch: Document,
    acknowledged: Option<Acknowledged>,
}

impl Staged {
    pub(super) fn acknowledged(&self) -> Option<&Acknowledged> {
        self.acknowledged.as_ref()
    }

    /// Drops what it would say to the hub.
    pub(super) fn forget_patch(&mut self) {
        self.patch.clear();
    }

    pub(super) fn apply(self, outbox: &mut Outbox, acknowledged: &mut Vec<Acknowledged>) {
        if !self.patch.is_empty() {
            outbox.push(Batch { through: self.sequence, patch: self.patch });
        }
        if let Some(said) = self.acknowledged
            && !acknowledged.iter().any(|other| other.is_newer_than(&said))
        {
            acknowledged.retain(|other| other.handler != said.handler);
            acknowledged.push(said);
            acknowledged.sort_by(|a, b| a.handler.cmp(&b.handler));
        }
    }
}

/// How soon something has to be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Somebody waits for it.
    Now,
    /// As soon as the last write is a moment ago.
    Soon,
    /// In a moment, unless a report comes first and shares the write.
    Shared,
    /// Within a second.
    Later,
}

/// Where writing to disk is.
#[derive(Debug, Clone, Default)]
pub(super) struct SaveState {
    /// The newest report that the write under way covers.
    pub(super) under_way: Option<u64>,
    pub(super) failed: bool,
    /// Something changed meanwhile: write once more.
    again: bool,
    last_begun: Option<Millis>,
}

impl Session {
    /// Takes a merge patch for the reported section.
    ///
    /// # Errors
    ///
    /// The [`Violation`] that makes the hub refuse it; nothing is taken then.
    pub fn report(&mut self, now: Millis, patch: Document) -> Result<Taken, Violation> {
        check_patch(&patch)?;
        let known = self.reported();
        if let Some(reported) = &known
            && self.outbox.is_empty()
            && self.staged.is_empty()
            && changes_nothing(&reported.document, &patch)
        {
            if self.outbox.release(&patch) {
                self.mark_unsaved(now, Urgency::Soon);
                self.effect(Effect::Changed);
            }
            return Ok(Taken::AlreadyThere { sequence: self.sequence, version: reported.version });
        }
        let before = self.planned();
        let mut after = before.clone();
        merge(&mut after, &patch);
        check_size(&before, &after)?;
        Ok(Taken::Staged { sequence: self.stage(now, patch, None) })
    }

    /// Whether everything that `patch` says waits for the hub already, safely on disk, so that it
    /// need not be written again: the number whose acceptance is that of `patch`.
    pub fn waits_already(&mut self, patch: &Document) -> Option<u64> {
        let waits = self.staged.is_empty() && self.outbox.newest_says(patch, self.sequence);
        waits.then_some(self.sequence)
    }

    /// Takes the news that a request waits for its turn at the daemon's budget: the time that the
    /// hub has for its answer begins with [`Session::handle_sent`].
    pub fn handle_held(&mut self, id: RequestId) {
        if let Some(timer) = self.answer_timer(id) {
            self.timers.stop(timer);
        }
    }

    /// Whether somebody still waits for the answer to a request: one that was held may have been
    /// overtaken by events.
    #[must_use]
    pub fn awaits(&self, id: RequestId) -> bool {
        self.answer_timer(id).is_some()
    }

    /// Takes the news that a request that was held has been sent.
    pub fn handle_sent(&mut self, now: Millis, id: RequestId) {
        if let Some(timer) = self.answer_timer(id) {
            self.timers.set(timer, now + self.settings.answer_limit);
        }
    }

    /// Takes the end of a write to disk.
    pub fn handle_saved(&mut self, now: Millis, written: bool) {
        let Some(through) = self.save.under_way.take() else {
            return;
        };
        self.save.failed = !written;
        let covered = self.staged.partition_point(|staged| staged.sequence <= through);
        let covered: Vec<Staged> = self.staged.drain(..covered).collect();
        if written {
            for staged in covered {
                if let Some(said) = &staged.acknowledged {
                    self.heard(now, said);
                }
                staged.apply(&mut self.outbox, &mut self.acknowledged);
            }
            self.effect(Effect::Stored { through });
            self.send_next(now);
        } else {
            self.effect(Effect::NotStored { through });
            self.timers.set(Timer::Save, now + self.settings.retry_base * SAVE_RETRY);
        }
        self.effect(Effect::Changed);
        if core::mem::take(&mut self.save.again) {
            self.save(now);
        }
    }

    /// Notes that something has to be written, and begins at once where it can.
    pub(super) fn mark_unsaved(&mut self, now: Millis, urgency: Urgency) {
        let due = match urgency {
            Urgency::Now => now,
            Urgency::Soon => {
                self.save.last_begun.map_or(now, |begun| now.max(begun + SAVE_SPACING))
            }
            Urgency::Shared => now + SAVE_SHARED,
            Urgency::Later => now + SAVE_LATER,
        };
        let set = self.timers.get(Timer::Save);
        // While writing fails only a report, which must know, hastens the next try.
        if self.save.failed && urgency != Urgency::Now && set.is_some() {
            return;
        }
        if due <= now {
            self.save(now);
        } else if set.is_none_or(|set| due < set) {
            self.timers.set(Timer::Save, due);
        }
    }

    /// Begins a write, unless one is under way; then another follows it.
    pub(super) fn save(&mut self, now: Millis) {
        self.timers.stop(Timer::Save);
        if self.save.under_way.is_some() {
            self.save.again = true;
            return;
        }
        self.save.under_way = Some(self.sequence);
        self.save.last_begun = Some(now);
        self.effect(Effect::Save);
    }

    /// Sends the oldest patch, if the session is live and none is in flight.
    pub(super) fn send_next(&mut self, now: Millis) {
        if self.phase != Phase::Live || self.outbox.is_in_flight() {
            return;
        }
        if self.timers.is_set(Timer::Resend) {
            return;
        }
        let id = RequestId(self.next_request.wrapping_add(1));
        if let Some(patch) = self.outbox.send(id) {
            self.next_request = id.0;
            self.timers.set(Timer::Report, now + self.settings.answer_limit);
            self.effect(Effect::Send { id, request: Request::Report(patch) });
        }
    }

    /// The hub owes an answer: a fetch will show whether the report arrived.
    pub(super) fn report_overdue(&mut self, now: Millis) {
        self.recall_report();
        self.notice(Notice::ReportUnanswered);
        // A fetch that is under way or planned will show it as well.
        if self.phase == Phase::Live {
            self.fetch(now, Vec::new());
        }
    }

    /// The timer of the answer to a request that is still wanted.
    fn answer_timer(&self, id: RequestId) -> Option<Timer> {
        if self.is_fetching(id) {
            return Some(Timer::Step);
        }
        (self.outbox.in_flight() == Some(id)).then_some(Timer::Report)
    }

    /// Takes the report in flight back: it will be sent again, unless a fetch shows it.
    pub(super) fn recall_report(&mut self) {
        self.outbox.recall();
        self.timers.stop(Timer::Report);
    }

    pub(super) fn report_answered(&mut self, now: Millis, request: RequestId, answer: Answer) {
        match answer {
            Answer::Accepted { version } => self.report_accepted(now, request, version),
            Answer::Refused(refusal) => self.report_refused(now, request, &refusal),
            // A twin that was asked for and not waited for; the newer fetch counts.
            Answer::Twin { .. } => {}
        }
    }

    fn report_accepted(&mut self, now: Millis, request: RequestId, version: u64) {
        let known = self.reported().map_or(0, |known| known.version);
        let settlement = self.outbox.accept(request);
        let Settlement::Accepted { patch, .. } = &settlement else {
            if version > known {
                // A report that was given up on has arrived after all, maybe over a newer value.
                self.twin.take_accepted(version, &Document::new());
                self.look_again(now);
            }
            return;
        };
        self.timers.stop(Timer::Report);
        self.twin.take_accepted(version, patch);
        self.synced_at = Some(now);
        self.held_no_more(now);
        self.settled(settlement, version);
        self.mark_unsaved(now, Urgency::Later);
        if Some(version) != known.checked_add(1) {
            // Something else was written in between, or the line of versions began anew.
            self.look_again(now);
        }
        self.send_next(now);
    }

    /// The hub has taken a report or judged its content: it doesn't hold reports up any more.
    fn held_no_more(&mut self, now: Millis) {
        self.holds.forget();
        if self.status.reason != Reason::Ok && self.status.state == HubState::Connected {
            self.set_status(now, HubState::Connected, Reason::Ok, None);
        }
    }

    fn report_refused(&mut self, now: Millis, request: RequestId, refusal: &Refusal) {
        if self.outbox.in_flight() != Some(request) {
            return;
        }
        let reason = match refusal.class() {
            RefusalClass::Content => return self.content_refused(now, request, refusal),
            RefusalClass::Identity => {
                let fault = Fault::new(Reason::BadCredential, Self::refusal_text(refusal));
                return self.give_up(now, fault);
            }
            RefusalClass::Throttled => Reason::Throttled,
            RefusalClass::Quota => Reason::Quota,
            RefusalClass::Hub => Reason::HubError,
        };
        self.recall_report();
        let wait = self.holds.next(reason);
        self.timers.set(Timer::Resend, now + wait);
        if self.status.state == HubState::Connected {
            self.status.detail = Some(Self::refusal_text(refusal));
            self.set_status(now, HubState::Connected, reason, Some(now + wait));
        }
    }

    fn content_refused(&mut self, now: Millis, request: RequestId, refusal: &Refusal) {
        let settlement = self.outbox.refuse(request, refusal);
        if settlement == Settlement::Divided {
            self.notice(Notice::ReportDivided);
        }
        self.timers.stop(Timer::Report);
        self.held_no_more(now);
        let version = self.reported().map_or(0, |known| known.version);
        self.settled(settlement, version);
        self.mark_unsaved(now, Urgency::Later);
        self.send_next(now);
    }

    /// Tells what a settlement means to those who wait.
    pub(super) fn settled(&mut self, settlement: Settlement, version: u64) {
        match settlement {
            Settlement::Accepted { through, patch } => {
                let keys: Vec<String> = patch.into_iter().map(|(key, _)| key).collect();
                self.effect(Effect::Accepted { through, keys, version });
            }
            Settlement::Rejected { through, refused } => {
                self.effect(Effect::Rejected { through, refused });
            }
            Settlement::Divided | Settlement::Unknown => return,
        }
        self.effect(Effect::Changed);
    }

    pub(super) fn stage(
        &mut self,
        now: Millis,
        patch: Document,
        acknowledged: Option<Acknowledged>,
    ) -> u64 {
        self.sequence = self.sequence.saturating_add(1);
        self.staged.push_back(Staged { sequence: self.sequence, patch, acknowledged });
        self.mark_unsaved(now, Urgency::Now);
        self.sequence
    }

    /// The reported section as it will be once all that was taken has been accepted.
    pub(super) fn planned(&self) -> Document {
        let reported = self.reported();
        let empty = Document::new();
        let base = reported.as_ref().map_or(&empty, |known| &known.document);
        let mut planned = self.outbox.applied_to(base);
        for staged in &self.staged {
            merge(&mut planned, &staged.patch);
        }
        planned
    }
}
