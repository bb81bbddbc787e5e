//! The way up to a connection and down from it.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::{Effect, Phase, Session, Timer};
use crate::status::{Fault, HubState, Reason};
use crate::time::Millis;

/// How many short sessions in a row, each ended by the peer, look like somebody else using the
/// same identity ("Understand and resolve IoT Hub errors", 400027: the newer connection wins).
const CONFLICT_AFTER: u32 = 6;

/// How many short sessions in a row a session may have had for a neighbour's success to hasten it.
const MAX_HASTENED_SHORT_SESSIONS: u32 = 2;

impl Session {
    /// Takes the news that the link is up (CONNACK 0).
    pub fn handle_connected(&mut self, now: Millis) {
        if self.phase != Phase::Connecting {
            return;
        }
        self.connects = self.connects.saturating_add(1);
        self.phase = Phase::Subscribing;
        self.timers.set(Timer::Step, now + self.settings.answer_limit);
        self.effect(Effect::Subscribe);
    }

    /// Takes the news that the attempt failed, or could not begin for want of a good credential.
    pub fn handle_failed(&mut self, now: Millis, fault: Fault) {
        if self.phase == Phase::Connecting {
            self.wait(now, fault);
        }
    }

    /// Takes the news that the subscriptions stand (SUBACK).
    pub fn handle_subscribed(&mut self, now: Millis) {
        if self.phase == Phase::Subscribing {
            self.fetch(now, alloc::vec::Vec::new());
        }
    }

    /// Takes the news that the link is gone.
    pub fn handle_lost(&mut self, now: Millis, fault: Fault) {
        match self.phase {
            Phase::Stopped | Phase::Waiting => {}
            _ => {
                let fault = self.judge_loss(now, fault);
                self.wait(now, fault);
            }
        }
    }

    /// Takes the news that the hub ended the link once more with the same message under way: it does
    /// not take that message, and nobody else need be using the identity.
    pub fn handle_lost_to_a_message(&mut self, now: Millis, fault: Fault) {
        if !matches!(self.phase, Phase::Stopped | Phase::Waiting) {
            self.wait(now, fault);
        }
    }

    /// Takes the hint that the hub can be reached again, since a neighbour just was: an attempt that
    /// waits out a network fault comes sooner, with jitter. A session that keeps breaking is not
    /// hastened.
    pub fn hasten(&mut self, now: Millis) {
        let waits_for_network =
            self.phase == Phase::Waiting && self.status.reason == Reason::Network;
        if !waits_for_network || self.short_sessions > MAX_HASTENED_SHORT_SESSIONS {
            return;
        }
        let span = u64::try_from(self.settings.retry_base.as_millis()).unwrap_or(u64::MAX);
        let soon = now + Duration::from_millis(self.rng.u64(0..=span));
        if self.timers.get(Timer::Attempt).is_some_and(|planned| planned > soon) {
            self.timers.set(Timer::Attempt, soon);
            self.status.next_attempt = Some(soon);
            self.effect(Effect::Changed);
        }
    }

    /// Takes the news that somebody has set the clock: an attempt that waits for that begins at once.
    pub fn clock_was_set(&mut self, now: Millis) {
        if self.phase == Phase::Waiting && self.status.reason == Reason::Clock {
            self.timers.set(Timer::Attempt, now);
        }
    }

    /// Drops the connection, if there is one, and connects again at once.
    pub fn reconnect(&mut self, now: Millis) {
        if self.phase == Phase::Stopped {
            return;
        }
        self.leave_link();
        self.phase = Phase::Waiting;
        self.timers.set(Timer::Attempt, now);
        self.set_status(now, HubState::Connecting, self.status.reason, None);
    }

    /// Ends the session: says goodbye to the hub and does nothing any more but save.
    pub fn stop(&mut self, now: Millis) {
        if self.phase == Phase::Stopped {
            return;
        }
        self.leave_link();
        self.phase = Phase::Stopped;
        self.timers.stop(Timer::Attempt);
        self.status.detail = None;
        self.set_status(now, HubState::Disconnected, Reason::Stopping, None);
        if self.timers.is_set(Timer::Save) {
            self.save(now);
        }
    }

    pub(super) fn attempt(&mut self, now: Millis) {
        if self.phase != Phase::Waiting {
            return;
        }
        self.phase = Phase::Connecting;
        self.timers.set(Timer::Step, now + self.settings.connect_limit);
        let state = match self.status.state {
            HubState::Disabled => HubState::Disabled,
            _ => HubState::Connecting,
        };
        self.set_status(now, state, self.status.reason, None);
        self.effect(Effect::Connect);
    }

    /// The present step took too long.
    pub(super) fn step_overdue(&mut self, now: Millis) {
        let limit = self.settings.answer_limit.as_secs_f32();
        let what = match self.phase {
            Phase::SyncHeld => return self.fetch(now, alloc::vec::Vec::new()),
            Phase::Connecting => String::from("the connection attempt did not end in time"),
            Phase::Subscribing => format!("the hub did not answer SUBSCRIBE within {limit} s"),
            Phase::Syncing(_) => {
                format!("the hub did not answer the twin request within {limit} s")
            }
            Phase::Waiting | Phase::Live | Phase::Stopped => return,
        };
        self.effect(Effect::Disconnect);
        self.wait(now, Fault::new(Reason::Network, what));
    }

    /// Gives the connection up for `fault` and waits for the next attempt.
    pub(super) fn give_up(&mut self, now: Millis, fault: Fault) {
        self.effect(Effect::Disconnect);
        self.wait(now, fault);
    }

    pub(super) fn set_status(
        &mut self,
        now: Millis,
        state: HubState,
        reason: Reason,
        next_attempt: Option<Millis>,
    ) {
        let trying = |state| matches!(state, HubState::Connecting | HubState::Disconnected);
        let goes_on = trying(state) && trying(self.status.state) || state == self.status.state;
        if self.status.reason != reason || !goes_on {
            self.status.since = now;
        }
        if reason == Reason::Ok {
            self.status.detail = None;
        }
        self.status.state = state;
        self.status.reason = reason;
        self.status.next_attempt = next_attempt;
        self.effect(Effect::Changed);
    }

    fn wait(&mut self, now: Millis, fault: Fault) {
        if let Some(live_since) = self.live_since {
            self.backoff.link_lived(now.since(live_since));
        }
        let wait = self.backoff.next(fault.reason);
        self.forget_link();
        self.phase = Phase::Waiting;
        self.timers.set(Timer::Attempt, now + wait);
        let state = match fault.reason {
            Reason::Config | Reason::ExpiredCredential => HubState::Disabled,
            _ => HubState::Disconnected,
        };
        self.status.detail = Some(fault.detail);
        self.set_status(now, state, fault.reason, Some(now + wait));
    }

    /// Counts short sessions, and says what a loss most likely means.
    fn judge_loss(&mut self, now: Millis, fault: Fault) -> Fault {
        let Some(live_since) = self.live_since else {
            return fault;
        };
        if now.since(live_since) >= self.backoff.short_session() {
            self.short_sessions = 0;
            return fault;
        }
        self.short_sessions = self.short_sessions.saturating_add(1);
        if self.short_sessions < CONFLICT_AFTER {
            return fault;
        }
        Fault::new(
            Reason::IdentityConflict,
            format!(
                "{} sessions in a row were ended by the hub soon after they began: another client \
                 probably uses this identity (or the network keeps breaking); last: {}",
                self.short_sessions, fault.detail
            ),
        )
    }

    fn leave_link(&mut self) {
        if !matches!(self.phase, Phase::Waiting | Phase::Stopped) {
            self.effect(Effect::Disconnect);
        }
        self.forget_link();
    }

    fn forget_link(&mut self) {
        self.live_since = None;
        self.fetches_in_a_row = 0;
        self.holds.forget();
        self.recall_report();
        for timer in [Timer::Step, Timer::Resend, Timer::Resync] {
            self.timers.stop(timer);
        }
    }
}
