//! What a session asks of the hub, how often, and what it makes of what it hears.

use std::collections::VecDeque;

use modtwin_core::message::{Answer, HubMessage, Request, RequestId};
use modtwin_core::status::Reason;

use super::Broken;
use super::promises::{POLITE, STORED_FIRST};
use super::seat::Seat;
use super::stage::Stage;

/// The base of all waits, and what the daemon says of the hub's time to answer, in milliseconds.
const BASE_MS: u64 = 1_000;
const ANSWER_LIMIT_MS: u64 = 30 * BASE_MS;
/// How many attempts a minute are plausible without anybody asking for more.
const ATTEMPTS_A_MINUTE: usize = 20;

/// What the session asks of the hub, and how often.
#[derive(Debug, Default)]
pub(super) struct Asking {
    /// The report in flight: on which link, since when.
    in_flight: Option<(RequestId, u64, u64)>,
    /// The link on which a twin was fetched.
    pub(super) fetched_on: Option<u64>,
    pending_fetch: Option<RequestId>,
    /// When the last attempts began.
    attempts: VecDeque<u64>,
    /// Since when and why the next attempt waits.
    last_failure: Option<(u64, Reason)>,
    /// An operator asked for the next attempt.
    pub(super) excused: bool,
    /// How often a neighbour had reached the hub by the last attempt.
    hastened: u64,
    /// What may lead to a fetch, and the fetches.
    pub(super) occasions: u64,
    fetches: u64,
    pub(super) heard_twin: bool,
    /// The newest desired version that was heard of, with its link and time.
    heard_of: Option<(u64, u64, u64)>,
}

impl Asking {
    pub(super) fn daemon_began(&mut self) {
        let (occasions, fetches) = (self.occasions + 1, self.fetches);
        *self = Self { occasions, fetches, ..Self::default() };
    }

    pub(super) fn failed(&mut self, now: u64, reason: Reason) {
        self.last_failure = Some((now, reason));
    }

    /// The machine slept, the budget had nothing, or a fetch has just begun: what was heard of
    /// before counts from now.
    pub(super) fn woke(&mut self, now: u64) {
        if let Some((_, _, at)) = &mut self.heard_of {
            *at = now;
        }
    }

    /// Notes what the hub said on the link `epoch`.
    pub(super) fn heard(&mut self, now: u64, epoch: u64, message: &HubMessage) {
        let (request, answer) = match message {
            HubMessage::Answer { request, answer } => (request, answer),
            HubMessage::DesiredPatch { version, .. } => {
                if self.heard_of.is_none_or(|(on, newest, _)| on != epoch || newest < *version) {
                    self.heard_of = Some((epoch, *version, now));
                }
                return;
            }
        };
        self.occasions += 1;
        if self.in_flight.is_some_and(|(id, ..)| id == *request) {
            self.in_flight = None;
        }
        if self.pending_fetch == Some(*request) && matches!(answer, Answer::Twin { .. }) {
            self.heard_twin = true;
        }
    }
}

impl Seat {
    /// Holds of a session that is connected: what it has heard of it has, or will soon.
    pub(super) fn check_heard(&self, stage: &Stage) -> Result<(), Broken> {
        let known = self.session.twin().desired.as_ref().map_or(0, |desired| desired.version);
        match self.asking.heard_of {
            Some((on, version, at))
                if on == self.link.epoch
                    && version > known
                    && stage.now > at + 2 * ANSWER_LIMIT_MS =>
            {
                let how = format!("heard of version {version}, and still has {known}");
                Err(self.broken(stage, "1: nothing missed", how))
            }
            _ => Ok(()),
        }
    }

    /// Holds of each connection attempt.
    pub(super) fn check_pace(&mut self, stage: &Stage) -> Result<(), Broken> {
        let asking = &mut self.asking;
        let now = stage.now;
        let excused = std::mem::take(&mut asking.excused);
        let hastened = std::mem::replace(&mut asking.hastened, self.hastened) < self.hastened;
        let failure = asking.last_failure.take();
        if excused {
            asking.attempts.clear();
        }
        if let Some((since, reason)) = failure
            && !excused
        {
            let floor = match reason {
                Reason::Throttled => 10,
                Reason::BadCredential | Reason::IdentityDisabled | Reason::Quota => 15,
                Reason::Config | Reason::ExpiredCredential => 50,
                _ => 0,
            };
            if now - since < floor * BASE_MS {
                let how = format!("an attempt {} ms after {reason}", now - since);
                return Err(self.broken(stage, POLITE, how));
            }
        }
        let asking = &mut self.asking;
        if !hastened {
            asking.attempts.push_back(now);
        }
        while asking.attempts.front().is_some_and(|at| at + 60 * BASE_MS < now) {
            asking.attempts.pop_front();
        }
        if asking.attempts.len() > ATTEMPTS_A_MINUTE {
            let how = format!("{} attempts within a minute", asking.attempts.len());
            return Err(self.broken(stage, POLITE, how));
        }
        self.asking.occasions += 1;
        Ok(())
    }

    /// Holds of each request.
    pub(super) fn check_request(
        &mut self,
        stage: &Stage,
        id: RequestId,
        request: &Request,
    ) -> Result<(), Broken> {
        let (now, epoch) = (stage.now, self.link.epoch);
        let Request::Report(patch) = request else {
            self.asking.pending_fetch = Some(id);
            self.asking.fetches += 1;
            self.asking.woke(now);
            // Three for each thing that may go wrong, and one an hour.
            let most = 3 * self.asking.occasions + now / (3_600 * BASE_MS) + 3;
            if self.asking.fetches > most {
                let how = format!("{} fetches, expected at most {most}", self.asking.fetches);
                return Err(self.broken(stage, POLITE, how));
            }
            return Ok(());
        };
        if let Some((other, on, since)) = self.asking.in_flight
            && on == epoch
            && now < since + ANSWER_LIMIT_MS
        {
            let how = format!("{id} is sent while {other} is unanswered");
            return Err(self.broken(stage, "one report in flight", how));
        }
        self.asking.in_flight = Some((id, epoch, now));
        if patch.is_empty() {
            let how = format!("{id} is an empty report");
            return Err(self.broken(stage, POLITE, how));
        }
        let wrong = patch.iter().find(|(key, value)| {
            if key.starts_with('w') { !self.is_said(value) } else { !self.is_durable(value) }
        });
        match wrong {
            Some((key, value)) => {
                Err(self.broken(stage, STORED_FIRST, format!("{key} = {value} in {id}")))
            }
            None => Ok(()),
        }
    }
}
