//! What has to hold: on every step, of every effect, and when all is calm again. The numbers in the
//! text are those of "What the daemon promises" in docs/local-api.md.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use modtwin_core::document::{Document, merge};
use modtwin_core::message::{Answer, HubMessage, Request, RequestId};
use modtwin_core::status::{HubState, Reason};
use serde_json::Value;

use super::Broken;
use super::seat::{Fate, Seat, shown};
use super::stage::Stage;
use crate::hub::POISON;

/// The base of all waits, and what the daemon says of the hub's time to answer, in milliseconds.
const BASE_MS: u64 = 1_000;
const ANSWER_LIMIT_MS: u64 = 30 * BASE_MS;
/// How many attempts a minute are plausible without anybody asking for more.
const ATTEMPTS_A_MINUTE: usize = 20;
/// How many effects one history may have: a core that runs in circles has more.
const MOST_EFFECTS: u64 = 100_000;
/// How many batches may wait: the parts of one divided patch, one in flight, two that can't merge.
const MOST_WAITING: usize = 20;

const IN_ORDER: &str = "1, 2: nothing missed, in order";
const DURABLE: &str = "4: what is stored survives and reaches the hub";
const STORED_FIRST: &str = "4: nothing is sent that is not stored";
const NEVER_BACK: &str = "4: no value is overtaken by an older one";
const POLITE: &str = "7: polite";

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

/// What the session asks of the hub, and how often.
#[derive(Debug, Default)]
pub(super) struct Asking {
    /// The report in flight: on which link, since when.
    in_flight: Option<(RequestId, u64, u64)>,
    /// The link on which a twin was fetched.
    fetched_on: Option<u64>,
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
    heard_twin: bool,
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

    /// Holds of a session that is connected: what it has heard of it has, or will soon.
    fn check_heard(&self, stage: &Stage) -> Result<(), Broken> {
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

    /// Whether each report that `value` comes from is stored.
    fn is_durable(&self, value: &Value) -> bool {
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
    fn is_said(&self, value: &Value) -> bool {
        let Some(members) = value.as_object() else { return value.is_null() };
        let number = |name| members.get(name).and_then(Value::as_u64);
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
