//! What is counted of a session, for operators: nothing here decides anything.

use modtwin_core::message::{Answer, HubMessage, RefusalClass};
use modtwin_core::status::Reason;
use tokio::time::Instant;

use super::Driver;

impl Driver<'_> {
    /// Notes since when reports wait; what the hub takes or refuses leaves the others a new turn.
    pub(super) fn note_waiting(&self, progress: bool) {
        let is_waiting = !self.session.outbox().is_empty();
        self.ends.figures.send_if_modified(|figures| {
            let known = figures.waiting_since.filter(|_since| !progress);
            let since = is_waiting.then(|| known.unwrap_or_else(Instant::now));
            std::mem::replace(&mut figures.waiting_since, since) != since
        });
    }

    /// Notes since when messages wait; what the hub confirms leaves the others a new turn.
    pub(super) fn note_messages(&self, waiting: u64) {
        self.ends.figures.send_if_modified(|figures| {
            let since = (waiting > 0).then(|| figures.messages_since.unwrap_or_else(Instant::now));
            std::mem::replace(&mut figures.messages_since, since) != since
        });
    }

    pub(super) fn count_confirmed(&self) {
        self.ends.figures.send_modify(|figures| {
            figures.messages_confirmed = figures.messages_confirmed.saturating_add(1);
            figures.messages_since = None;
        });
    }

    pub(super) fn count_method(&self, status: u16) {
        self.ends.figures.send_modify(|figures| {
            let count = figures.methods_answered.entry(status / 100).or_default();
            *count = count.saturating_add(1);
        });
    }

    /// The link is up; says why there was need to, unless it is the first time.
    pub(super) fn count_reconnect(&self) {
        if self.around.earlier_connects + self.session.connects() == 0 {
            return;
        }
        // The reason of the end before stays until the session is in step again.
        let reason = Some(self.session.status().reason).filter(|reason| *reason != Reason::Ok);
        self.ends.figures.send_modify(|figures| {
            let count = figures.reconnects.entry(reason).or_default();
            *count = count.saturating_add(1);
        });
    }

    pub(super) fn count_answer(&self, message: &HubMessage) {
        let HubMessage::Answer { request, answer } = message else { return };
        self.ends.figures.send_if_modified(|figures| {
            match answer {
                Answer::Twin { .. } if self.session.awaits(*request) => {
                    figures.fetched = Some(Instant::now());
                }
                Answer::Refused(refusal) if refusal.class() == RefusalClass::Throttled => {
                    figures.throttled = figures.throttled.saturating_add(1);
                }
                _ => return false,
            }
            true
        });
    }
}
