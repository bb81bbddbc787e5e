//! A session, its disk, a link and a hub in virtual time, with faults from a seed.
//!
//! While faults last, every step is checked for what must never happen; after they end and time
//! has passed, everything has to be where it belongs.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use super::super::*;
use super::hub::Hub;
use crate::acknowledgement::Acknowledgement;
use crate::document::{Document, Pointer, merge};
use crate::message::{Answer, HubMessage, Refusal};
use crate::status::Fault;

mod checks;

const SEEDS: u64 = 2_000;
/// The virtual time during which faults happen, in milliseconds.
const STORM_MS: u64 = 600_000;
/// The quiet time after it: longer than the longest wait and than a resync.
const CALM_MS: u64 = 4 * 3_600_000;

#[test]
fn whatever_happens_nothing_is_missed_and_nothing_is_lost() {
    for seed in 0..SEEDS {
        World::new(seed).run();
    }
}

/// How likely what is, in percent of the occasions.
#[derive(Debug, Clone, Default)]
struct Faults {
    lose: u8,
    duplicate: u8,
    reorder: u8,
    late: u8,
    refuse: u8,
    refuse_connect: u8,
    save_fails: u8,
    cut: u8,
    crash: u8,
    recreate: u8,
    fail_over: u8,
}

#[derive(Debug)]
enum Event {
    Link {
        epoch: u64,
        news: LinkNews,
    },
    ToHub {
        epoch: u64,
        id: RequestId,
        request: Request,
    },
    ToSession {
        epoch: u64,
        message: HubMessage,
    },
    Saved {
        life: u64,
        good: bool,
    },
    /// Somebody does something: report, desired patch, acknowledgement, or a fault strikes.
    Act,
}

#[derive(Debug)]
enum LinkNews {
    Connected,
    Failed(Fault),
    Subscribed,
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Pending,
    Durable,
    Dropped,
}

/// A report as it was made; values in it are its index, so that the hub's content tells its origin.
#[derive(Debug)]
struct Made {
    sequence: Option<u64>,
    patch: Document,
    fate: Fate,
}

struct World {
    seed: u64,
    rng: Rng,
    now: u64,
    ticket: u64,
    queue: BTreeMap<(u64, u64), Event>,
    session: Session,
    hub: Hub,
    epoch: u64,
    /// Whether the hub's end of the present link stands, and listens for desired patches.
    up: bool,
    subscribed: bool,
    last_delivery: u64,
    disk: Durable,
    life: u64,
    saving: Option<(Durable, usize)>,
    made: Vec<Made>,
    faults: Faults,
    seen: (u64, u64),
    effects: u64,
    inputs: u64,
}

fn settings(seed: u64) -> Settings {
    Settings {
        retry_base: Duration::from_secs(1),
        answer_limit: Duration::from_secs(10),
        connect_limit: Duration::from_secs(20),
        resync_every: Duration::from_secs(3600),
        plug_and_play: seed.is_multiple_of(2),
        seed,
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut rate = |most: u8| if rng.bool() { rng.u8(0..=most) } else { 0 };
        let faults = Faults {
            lose: rate(25),
            duplicate: rate(25),
            reorder: rate(50),
            late: rate(15),
            refuse: rate(40),
            refuse_connect: rate(50),
            save_fails: rate(40),
            cut: rate(10),
            crash: rate(5),
            recreate: rate(4),
            fail_over: rate(4),
        };
        let mut hub = Hub::new();
        hub.poison = ["bad1", "bad2"].map(String::from).into();
        let mut world = Self {
            seed,
            rng,
            now: 0,
            ticket: 0,
            queue: BTreeMap::new(),
            session: Session::new(settings(seed), Durable::default(), Millis(0)),
            hub,
            epoch: 0,
            up: false,
            subscribed: false,
            last_delivery: 0,
            disk: Durable::default(),
            life: 0,
            saving: None,
            made: Vec::new(),
            faults,
            seen: (0, 0),
            effects: 0,
            inputs: 0,
        };
        world.after(1, Event::Act);
        world
    }

    fn run(&mut self) {
        self.until(STORM_MS);
        self.faults = Faults::default();
        // What was under way through the storm comes first; nobody acts any more.
        self.queue.retain(|_, event| !matches!(event, Event::Act));
        let effects = self.effects;
        self.until(STORM_MS + CALM_MS / 2);
        self.acknowledge();
        self.perform();
        self.until(STORM_MS + CALM_MS);
        assert!(
            self.effects - effects < 500,
            "seed {}: busy: {}",
            self.seed,
            self.effects - effects
        );
        assert!(
            self.effects < 20 * (self.inputs + STORM_MS / 1000),
            "seed {}: {} effects of {} inputs",
            self.seed,
            self.effects,
            self.inputs
        );
        self.check_end();
    }

    fn until(&mut self, end: u64) {
        loop {
            let event_at = self.queue.first_key_value().map(|((at, _), _)| *at);
            let deadline = self.session.next_deadline().expect("a session always has a plan").0;
            let next = event_at.unwrap_or(u64::MAX).min(deadline);
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            if deadline <= self.now {
                self.session.handle_timeout(Millis(self.now));
                let next = self.session.next_deadline().expect("a session always has a plan");
                assert!(next.0 > self.now, "seed {}: a deadline stays due", self.seed);
            } else if let Some((_, event)) = self.queue.pop_first() {
                self.handle(event);
            }
            self.inputs += 1;
            self.perform();
            self.check_step();
        }
    }

    fn after(&mut self, wait: u64, event: Event) {
        self.ticket += 1;
        self.queue.insert((self.now + wait, self.ticket), event);
    }

    fn chance(&mut self, percent: u8) -> bool {
        percent > 0 && self.rng.u8(0..100) < percent
    }

    fn handle(&mut self, event: Event) {
        let now = Millis(self.now);
        match event {
            Event::Link { epoch, news } if epoch == self.epoch => match news {
                LinkNews::Connected => {
                    self.up = true;
                    self.session.handle_connected(now);
                }
                LinkNews::Failed(fault) => self.session.handle_failed(now, fault),
                LinkNews::Subscribed => self.session.handle_subscribed(now),
                LinkNews::Lost => {
                    self.session.handle_lost(now, Fault::new(Reason::Network, "cut"));
                }
            },
            Event::ToHub { epoch, id, request } if epoch == self.epoch && self.up => {
                self.ask_hub(id, &request);
            }
            Event::ToSession { epoch, message } if epoch == self.epoch && self.up => {
                self.session.handle_message(now, message);
            }
            Event::Saved { life, good } if life == self.life => self.saved(good),
            Event::Act => self.act(),
            _ => {}
        }
    }

    fn saved(&mut self, good: bool) {
        let (snapshot, count) = self.saving.take().expect("a write was under way");
        if good {
            self.commit(snapshot, count);
        }
        self.session.handle_saved(Millis(self.now), good);
    }

    fn commit(&mut self, snapshot: Durable, count: usize) {
        self.disk = snapshot;
        for made in &mut self.made[..count] {
            if made.fate == Fate::Pending {
                made.fate = Fate::Durable;
            }
        }
    }

    /// The hub gets a request, maybe twice.
    fn ask_hub(&mut self, id: RequestId, request: &Request) {
        for _ in 0..=usize::from(self.chance(self.faults.duplicate)) {
            let status = *self.rng.choice([429, 500, 503, 403, 401].iter()).unwrap();
            let answer = if self.chance(self.faults.refuse) {
                let message =
                    if status == 403 { "IotHubQuotaExceeded".into() } else { "no".into() };
                Answer::Refused(Refusal { status, message })
            } else {
                if let Request::Report(patch) = request {
                    let reports = patch.iter().filter(|(key, _)| !key.starts_with('w'));
                    reports.for_each(|(_, value)| self.check_origin(value));
                }
                self.hub.answer(request)
            };
            self.deliver(HubMessage::Answer { request: id, answer });
        }
    }

    /// Nothing may reach the hub that a crash could still undo.
    fn check_origin(&self, value: &Value) {
        match value {
            Value::Object(members) => members.values().for_each(|value| self.check_origin(value)),
            Value::Number(index) => {
                let made = &self.made[usize::try_from(index.as_u64().unwrap()).unwrap()];
                assert_eq!(made.fate, Fate::Durable, "seed {}: sent before stored", self.seed);
            }
            _ => {}
        }
    }

    /// Puts a message on its way to the session.
    fn deliver(&mut self, message: HubMessage) {
        for _ in 0..=usize::from(self.chance(self.faults.duplicate)) {
            if self.chance(self.faults.lose) {
                continue;
            }
            let wait = if self.chance(self.faults.late) {
                self.rng.u64(5_000..40_000)
            } else {
                self.rng.u64(1..200)
            };
            let mut at = self.now + wait;
            if !self.chance(self.faults.reorder) && wait < 200 {
                at = at.max(self.last_delivery);
                self.last_delivery = at;
            }
            let message = message.clone();
            self.after(at - self.now, Event::ToSession { epoch: self.epoch, message });
        }
    }

    fn act(&mut self) {
        let wait = if self.chance(80) { self.rng.u64(1..500) } else { self.rng.u64(500..30_000) };
        self.after(wait, Event::Act);
        match self.rng.u8(0..9) {
            0 | 1 => self.patch_desired(),
            2..=5 => self.report(),
            6 => self.acknowledge(),
            _ => self.strike(),
        }
    }

    fn patch_desired(&mut self) {
        let value = self.rng.u8(0..9);
        let patch = self.patch(json!(value), false);
        // Reports and answers to desired values keep out of each other's way.
        let patch =
            patch.into_iter().map(|(key, value)| (String::from("w") + &key, value)).collect();
        let message = self.hub.patch_desired(patch);
        if self.up && self.subscribed {
            self.deliver(message);
        }
    }

    /// A handler's word on the version that it sees, if it sees one.
    fn acknowledge(&mut self) {
        let twin = self.session.twin();
        let Some(desired) = &twin.desired else {
            return;
        };
        let said = Acknowledgement {
            handler: "handler".into(),
            generation: Some(twin.generation),
            version: desired.version,
            status: if self.rng.bool() { 200 } else { 400 },
            description: self.rng.bool().then(|| "because".into()),
            paths: [Pointer::parse("").unwrap()].into(),
            at_ms: self.now,
        };
        self.session.acknowledge(Millis(self.now), said).expect("a version that was seen");
    }

    fn report(&mut self) {
        let index = self.made.len();
        let old = self.rng.usize(0..=index);
        let again = self.chance(20);
        let patch = match self.made.get(old) {
            // What was reported before, once more.
            Some(made) if again && made.fate == Fate::Durable => made.patch.clone(),
            _ => self.patch(json!(index), true),
        };
        let taken = self.session.report(Millis(self.now), patch.clone()).expect("a legal patch");
        let (sequence, fate) = match taken {
            Taken::Staged { sequence } => (Some(sequence), Fate::Pending),
            Taken::AlreadyThere { .. } => (None, Fate::Durable),
        };
        self.made.push(Made { sequence, patch, fate });
    }

    fn patch(&mut self, value: Value, poison: bool) -> Document {
        let mut patch = Document::new();
        for _ in 0..self.rng.u8(1..4) {
            let key = *self.rng.choice(["a", "b", "c", "o", "o"].iter()).unwrap();
            let value = match (key, self.rng.u8(0..5)) {
                (_, 0) => Value::Null,
                ("o", 1) => json!({"x": value}),
                ("o", 2) => json!({"x": {"y": value}, "z": null}),
                ("o", 3) => json!({"z": {}}),
                _ => value.clone(),
            };
            patch.insert(key.into(), value);
        }
        if poison && self.chance(5) {
            patch.insert(if self.rng.bool() { "bad1".into() } else { "bad2".into() }, value);
        }
        patch
    }

    fn strike(&mut self) {
        if self.chance(self.faults.crash) {
            return self.crash();
        }
        let recreate = self.chance(self.faults.recreate);
        let fail_over = self.chance(self.faults.fail_over);
        if recreate || fail_over || self.chance(self.faults.cut) {
            self.end_link();
            if recreate {
                self.hub.recreate();
            } else if fail_over {
                let writes = self.rng.usize(0..8);
                self.hub.fail_over(writes);
            }
            let wait = self.rng.u64(0..3_000);
            self.after(wait, Event::Link { epoch: self.epoch, news: LinkNews::Lost });
        }
        if self.chance(2) {
            self.session.reconnect(Millis(self.now));
        }
        if self.chance(2) {
            self.session.refresh(Millis(self.now));
        }
    }

    /// The link breaks; of what is on its way to the hub some still arrives.
    fn end_link(&mut self) {
        if self.up {
            let pending: Vec<_> = self
                .queue
                .values()
                .filter_map(|event| match event {
                    Event::ToHub { epoch, request, .. } if *epoch == self.epoch => {
                        Some(request.clone())
                    }
                    _ => None,
                })
                .collect();
            for request in pending {
                if self.rng.bool() {
                    self.hub.answer(&request);
                }
            }
        }
        self.up = false;
        self.subscribed = false;
    }

    /// `kill -9`: a write under way may just have made it.
    fn crash(&mut self) {
        self.end_link();
        if let Some((snapshot, count)) = self.saving.take()
            && self.rng.bool()
        {
            self.commit(snapshot, count);
        }
        for made in &mut self.made {
            if made.fate == Fate::Pending {
                (made.fate, made.sequence) = (Fate::Dropped, None);
            }
        }
        self.life += 1;
        self.epoch += 1;
        self.seen = (0, 0);
        let seed = self.rng.u64(..);
        self.session = Session::new(
            Settings { seed, ..settings(self.seed) },
            self.disk.clone(),
            Millis(self.now),
        );
    }

    fn perform(&mut self) {
        while let Some(effect) = self.session.poll_effect() {
            self.effects += 1;
            match effect {
                Effect::Connect => self.connect(),
                Effect::Subscribe => {
                    self.subscribed = true;
                    if !self.chance(self.faults.lose) {
                        let wait = self.rng.u64(1..100);
                        let news = LinkNews::Subscribed;
                        self.after(wait, Event::Link { epoch: self.epoch, news });
                    }
                }
                Effect::Send { id, request } => {
                    if !self.chance(self.faults.lose) {
                        let reordered = self.chance(self.faults.reorder);
                        let wait = self.rng.u64(if reordered { 1..5_000 } else { 50..51 });
                        self.after(wait, Event::ToHub { epoch: self.epoch, id, request });
                    }
                }
                Effect::Disconnect => {
                    self.end_link();
                    self.epoch += 1;
                }
                Effect::Save => self.begin_save(),
                Effect::Stored { through } => {
                    let told =
                        self.made.iter().filter(|made| made.sequence.is_some_and(|s| s <= through));
                    assert!(
                        told.into_iter().all(|made| made.fate != Fate::Pending),
                        "seed {}",
                        self.seed
                    );
                }
                Effect::NotStored { through } => {
                    for made in &mut self.made {
                        if made.fate == Fate::Pending && made.sequence.is_some_and(|s| s <= through)
                        {
                            made.fate = Fate::Dropped;
                        }
                    }
                }
                Effect::Accepted { through, keys, version } => {
                    assert!(version > 0);
                    keys.iter().for_each(|key| self.check_accepted(through, key));
                }
                Effect::Rejected { refused, .. } => {
                    assert!(self.hub.poison.contains(&refused.key), "seed {}", self.seed);
                }
                Effect::Changed | Effect::Notice(_) => {}
            }
        }
    }

    fn connect(&mut self) {
        self.epoch += 1;
        self.up = false;
        self.subscribed = false;
        let reasons = [
            Reason::Network,
            Reason::Tls,
            Reason::BadCredential,
            Reason::Throttled,
            Reason::Config,
        ];
        let reason = *self.rng.choice(reasons.iter()).unwrap();
        let epoch = self.epoch;
        let wait = self.rng.u64(1..500);
        if self.chance(self.faults.refuse_connect) {
            let news = LinkNews::Failed(Fault::new(reason, "refused"));
            self.after(wait, Event::Link { epoch, news });
        } else if !self.chance(self.faults.lose) {
            self.after(wait, Event::Link { epoch, news: LinkNews::Connected });
        }
    }

    fn begin_save(&mut self) {
        assert!(self.saving.is_none(), "seed {}: two writes at once", self.seed);
        self.saving = Some((self.session.durable(), self.made.len()));
        let good = !self.chance(self.faults.save_fails);
        let wait = self.rng.u64(1..50);
        self.after(wait, Event::Saved { life: self.life, good });
    }
}
