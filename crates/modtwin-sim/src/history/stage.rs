//! What all modules of a history share: time, the queue of what comes, the weather, the turnstile
//! before connects, and the record.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fastrand::Rng;
use modtwin_core::governor::{Governor, Policy};
use modtwin_core::message::{Request, RequestId};
use modtwin_core::time::Millis;

use super::Tally;
use super::clock;
use super::link::News;
use crate::chance::Chance;
use crate::hub::{Asked, Message};
use crate::plan::{Action, Plan, Spell};

/// Something that happens at its time.
#[derive(Debug)]
pub(super) enum Event {
    /// The plan says so.
    Act(Action),
    /// The daemon is up again.
    Return { life: u64 },
    /// It is somebody's turn to connect.
    ConnectTurn,
    /// A request that was held may get its turn.
    Turn(Held),
    /// The link has something to say.
    Link { epoch: u64, news: News },
    /// A request reaches the hub.
    ToHub { epoch: u64, rid: String, asked: Asked },
    /// A message reaches the session.
    ToSession { epoch: u64, message: Message },
    /// A write to disk ends.
    Written { life: u64, good: bool },
}

/// A request that waits for its turn.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) life: u64,
    pub(super) epoch: u64,
    pub(super) id: RequestId,
    pub(super) request: Request,
}

/// See the module's page.
pub(super) struct Stage {
    pub(super) now: u64,
    pub(super) rng: Rng,
    pub(super) chance: Chance,
    pub(super) storm_ms: u64,
    pub(super) trace: Option<Vec<String>>,
    pub(super) tally: Tally,
    /// Of the daemon: how often it was started.
    pub(super) life: u64,
    /// Whether it is being stopped, or is down.
    pub(super) stopping: bool,
    queue: BTreeMap<(u64, u64), (usize, Event)>,
    ticket: u64,
    pub(super) governor: Governor,
    policy: Policy,
    /// Who waits for a turn to connect: module and link.
    pub(super) connects: VecDeque<(usize, u64)>,
    /// Until when each spell lasts.
    spells: [u64; Spell::ALL.len()],
}

impl Stage {
    pub(super) fn new(plan: &Plan, traced: bool) -> Self {
        Self {
            now: 0,
            rng: Rng::with_seed(plan.seed ^ 0x57a6e),
            chance: Chance::new(plan.seed, plan.strikes.clone()),
            storm_ms: plan.storm_ms,
            trace: traced.then(Vec::new),
            tally: Tally::default(),
            life: 0,
            stopping: false,
            queue: BTreeMap::new(),
            ticket: 0,
            governor: Governor::new(policy(plan), Millis(0), plan.seed),
            policy: policy(plan),
            connects: VecDeque::new(),
            spells: [0; Spell::ALL.len()],
        }
    }

    /// Notes a line, where somebody will read it.
    pub(super) fn note(&mut self, module: usize, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{} module {module}: {}", clock(self.now), line()));
        }
    }

    pub(super) fn at(&mut self, at: u64, module: usize, event: Event) {
        self.ticket += 1;
        self.queue.insert((at, self.ticket), (module, event));
    }

    pub(super) fn after(&mut self, wait: u64, module: usize, event: Event) {
        self.at(self.now + wait, module, event);
    }

    pub(super) fn next_event_at(&self) -> u64 {
        self.queue.first_key_value().map_or(u64::MAX, |((at, _), _)| *at)
    }

    pub(super) fn pop(&mut self) -> Option<(usize, Event)> {
        self.queue.pop_first().map(|(_, event)| event)
    }

    /// Takes what is on its way to the hub through the link `epoch` of `module`, oldest first.
    pub(super) fn take_requests(&mut self, module: usize, epoch: u64) -> Vec<(String, Asked)> {
        let of_link = |event: &(usize, Event)| matches!(event, (of, Event::ToHub { epoch: on, .. }) if *of == module && *on == epoch);
        let found: Vec<(u64, u64)> =
            self.queue.iter().filter(|(_, event)| of_link(event)).map(|(key, _)| *key).collect();
        let taken = found.iter().filter_map(|key| self.queue.remove(key));
        taken
            .filter_map(|(_, event)| match event {
                Event::ToHub { rid, asked, .. } => Some((rid, asked)),
                _ => None,
            })
            .collect()
    }

    /// Queues an attempt to connect.
    pub(super) fn queue_connect(&mut self, module: usize, epoch: u64) {
        if self.connects.is_empty() {
            self.after(0, 0, Event::ConnectTurn);
        }
        self.connects.push_back((module, epoch));
    }

    /// Who may connect now, if anybody.
    pub(super) fn connect_turn(&mut self) -> Option<(usize, u64)> {
        match self.governor.connect(Millis(self.now)) {
            Ok(()) => {
                let turn = self.connects.pop_front();
                if !self.connects.is_empty() {
                    self.after(0, 0, Event::ConnectTurn);
                }
                turn
            }
            Err(at) => {
                self.at(at.0, 0, Event::ConnectTurn);
                None
            }
        }
    }

    /// The daemon begins anew: nobody waits, nothing is known of the hub.
    pub(super) fn new_daemon(&mut self) {
        self.connects.clear();
        let seed = self.rng.u64(..);
        self.governor = Governor::new(self.policy, Millis(self.now), seed);
    }

    pub(super) fn begin(&mut self, spell: Spell, lasts: u64) {
        if let Some(until) = self.spells.get_mut(spell as usize) {
            *until = self.now + lasts;
        }
    }

    pub(super) fn is(&self, spell: Spell) -> bool {
        self.spells.get(spell as usize).is_some_and(|until| *until > self.now)
    }

    /// Nothing new goes wrong; what is under way comes first.
    pub(super) fn end_of_storm(&mut self) {
        self.chance.calm();
        self.spells = [0; Spell::ALL.len()];
        self.note(0, || "the storm is over".into());
    }
}

/// The daemon's budget, as its config has it; in some histories a small one.
fn policy(plan: &Plan) -> Policy {
    Policy {
        connect_spacing: Duration::from_millis(50),
        operations_per_second: if plan.seed.is_multiple_of(4) { 1 } else { 20 },
        retry_base: Duration::from_secs(1),
    }
}
