//! The state machine of one module's session.
//!
//! ```text
//! Waiting ─► Connecting ─► Subscribing ─► Syncing ─► Live
//!    ▲  ▲                                    ▲  gap   │
//!    │  └────────── refused, failed ─────────┼────────┤
//!    └────────────────── lost ───────────────┴────────┘
//! ```
//!
//! Four families of methods: getters; inputs (`handle_*`), which take what happened and the time;
//! commands ([`Session::report`], [`Session::acknowledge`], [`Session::reconnect`],
//! [`Session::stop`]); and outputs ([`Session::poll_effect`], [`Session::poll_silence`],
//! [`Session::next_deadline`]). The
//! driver performs the effects in their order and does nothing else. After every connect the whole
//! sequence runs anew: subscribe, fetch the twin, apply what arrived meanwhile, go live.

mod acks;
mod connection;
mod reports;
mod sync;
mod timers;

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use fastrand::Rng;

pub use self::acks::{AckRefused, SILENCE_STATUS};
pub use self::reports::Taken;
use self::reports::{SaveState, Staged};
use self::sync::Fetch;
use self::timers::{Timer, Timers};
use crate::acknowledgement::Acknowledged;
use crate::backoff::Backoff;
use crate::handlers::{Expected, Handlers, Silence};
use crate::message::{Request, RequestId};
use crate::outbox::{Batch, Outbox, Quarantined};
use crate::status::{HubState, Reason};
use crate::time::Millis;
use crate::twin::{Section, Twin};

/// What a session needs to know beforehand.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The base of all waits between attempts.
    pub retry_base: Duration,
    /// How long the hub may take to answer a subscription or a request.
    pub answer_limit: Duration,
    /// How long a connection attempt may take before it counts as failed, whatever the link says.
    pub connect_limit: Duration,
    /// How often a live session fetches the twin although nothing asks for it: the belt for a
    /// notification that the hub lost silently.
    pub resync_every: Duration,
    /// Whether acknowledgements are reported to the hub in the plug-and-play form.
    pub plug_and_play: bool,
    /// Decides the jitter.
    pub seed: u64,
}

/// What the driver has to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Begin a connection; ends in `handle_connected` or `handle_failed`.
    Connect,
    /// Subscribe to answers and desired patches; ends in `handle_subscribed` or `handle_lost`.
    Subscribe,
    /// Send a request.
    Send {
        /// Its number, for the answer.
        id: RequestId,
        /// What to ask.
        request: Request,
    },
    /// End the connection; nothing more is heard of it.
    Disconnect,
    /// Write [`Session::durable`] to disk; ends in `handle_saved`.
    Save,
    /// Something visible changed: publish a new view.
    Changed,
    /// Reports and acknowledgements up to this number survive power loss.
    Stored {
        /// The newest one.
        through: u64,
    },
    /// Reports and acknowledgements up to this number that were not stored yet have been dropped.
    NotStored {
        /// The newest one.
        through: u64,
    },
    /// The hub has accepted these top-level keys of all reports up to `through`.
    Accepted {
        /// The newest report concerned.
        through: u64,
        /// The keys.
        keys: Vec<String>,
        /// The version of the reported section by then.
        version: u64,
    },
    /// The hub has refused this key; it is quarantined.
    Rejected {
        /// The newest report concerned.
        through: u64,
        /// The key and the hub's words.
        refused: Quarantined,
    },
    /// Something worth a line in the log.
    Notice(Notice),
}

/// What a session tells the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The twin is in step with the hub.
    Synced {
        /// The desired version.
        version: u64,
    },
    /// Versions were missing before this one; the twin is fetched.
    Gap {
        /// The newest version known.
        known: u64,
        /// The version that came.
        found: u64,
    },
    /// The line of desired versions began anew.
    NewGeneration {
        /// Its number.
        generation: u64,
    },
    /// The hub had lost reported values; they are sent again.
    ReportedLost,
    /// The hub did not answer a report in time; the twin is fetched to see whether it arrived.
    ReportUnanswered,
    /// The hub refused a report of several keys, which are sent one by one now.
    ReportDivided,
    /// More desired patches came than could be kept during a fetch; the twin is fetched again.
    TooManyPatches,
}

/// How the session stands, with the times that the driver turns into the wall clock's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The state.
    pub state: HubState,
    /// Why.
    pub reason: Reason,
    /// More about why, for people.
    pub detail: Option<String>,
    /// Since when: changes with the reason, and with going live, but not with each attempt.
    pub since: Millis,
    /// When the next attempt is due, where one is.
    pub next_attempt: Option<Millis>,
}

/// All that has to survive the process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Durable {
    /// The twin as last known.
    pub twin: Twin,
    /// Reports that the hub has not accepted.
    pub outbox: Vec<Batch>,
    /// Keys that it refused.
    pub quarantined: Vec<Quarantined>,
    /// The number of the newest report.
    pub sequence: u64,
    /// What handlers acknowledged.
    pub acknowledged: Vec<Acknowledged>,
    /// What handlers are expected to acknowledge.
    pub expected: Vec<Expected>,
}

/// Where the session is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// Until [`Timer::Attempt`].
    Waiting,
    Connecting,
    Subscribing,
    /// The twin has been asked for.
    Syncing(Fetch),
    /// The hub can't answer a fetch now; it is asked again at [`Timer::Step`].
    SyncHeld,
    Live,
    Stopped,
}

/// The state machine; see the module's page.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    phase: Phase,
    status: Status,
    timers: Timers,
    effects: VecDeque<Effect>,
    backoff: Backoff,
    /// The waits on a link that stands, while the hub refuses requests; forgotten when it takes one.
    holds: Backoff,
    rng: Rng,
    twin: Twin,
    outbox: Outbox,
    acknowledged: Vec<Acknowledged>,
    handlers: Handlers,
    /// Handlers whose silence the driver has not taken yet.
    silent: VecDeque<Silence>,
    /// Reports and acknowledgements that are not durable yet, oldest first.
    staged: VecDeque<Staged>,
    save: SaveState,
    sequence: u64,
    next_request: u64,
    /// When the present connection went live for the first time.
    live_since: Option<Millis>,
    synced_at: Option<Millis>,
    connects: u64,
    short_sessions: u32,
    fetches_in_a_row: u32,
}

impl Session {
    /// A session that continues from what was saved, and whose first attempt is due at once.
    #[must_use]
    pub fn new(settings: Settings, durable: Durable, now: Millis) -> Self {
        let mut timers = Timers::default();
        timers.set(Timer::Attempt, now);
        Self {
            phase: Phase::Waiting,
            status: Status {
                state: HubState::Connecting,
                reason: Reason::Starting,
                detail: None,
                since: now,
                next_attempt: None,
            },
            timers,
            effects: VecDeque::new(),
            backoff: Backoff::new(settings.retry_base, settings.seed),
            holds: Backoff::new(settings.retry_base, settings.seed.rotate_left(16)),
            rng: Rng::with_seed(settings.seed.rotate_left(32)),
            twin: durable.twin,
            outbox: Outbox::restore(durable.outbox, durable.quarantined),
            acknowledged: durable.acknowledged,
            handlers: Handlers::restore(durable.expected),
            silent: VecDeque::new(),
            staged: VecDeque::new(),
            save: SaveState::default(),
            sequence: durable.sequence,
            // Numbers of an earlier process must not meet answers to this one's requests.
            next_request: settings.seed >> 16,
            live_since: None,
            synced_at: None,
            connects: 0,
            short_sessions: 0,
            fetches_in_a_row: 0,
            settings,
        }
    }

    /// How the session stands with the hub.
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// The twin as last known.
    #[must_use]
    pub fn twin(&self) -> &Twin {
        &self.twin
    }

    /// The reports that the hub has not accepted.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// What handlers said of the present generation, by name.
    pub fn acknowledged(&self) -> impl Iterator<Item = &Acknowledged> {
        self.acknowledged.iter().filter(|said| said.generation == self.twin.generation)
    }

    /// Whether the sections may be out of date.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.status.state != HubState::Connected
    }

    /// When the twin was last known to be the hub's, in this process.
    #[must_use]
    pub fn synced_at(&self) -> Option<Millis> {
        self.synced_at
    }

    /// How often the session connected.
    #[must_use]
    pub fn connects(&self) -> u64 {
        self.connects
    }

    /// Whether the last write to disk succeeded.
    #[must_use]
    pub fn is_storage_good(&self) -> bool {
        !self.save.failed
    }

    /// Whether something changed that is not on disk yet.
    #[must_use]
    pub fn is_unsaved(&self) -> bool {
        self.timers.is_set(Timer::Save) || self.save.under_way.is_some()
    }

    /// All that has to survive the process, as of now.
    #[must_use]
    pub fn durable(&self) -> Durable {
        let mut outbox = self.outbox.clone();
        let mut acknowledged = self.acknowledged.clone();
        for staged in &self.staged {
            staged.clone().apply(&mut outbox, &mut acknowledged);
        }
        Durable {
            twin: self.twin.clone(),
            quarantined: outbox.quarantined().cloned().collect(),
            outbox: outbox.waiting().cloned().collect(),
            sequence: self.sequence,
            acknowledged,
            expected: self.handlers.expected().cloned().collect(),
        }
    }

    /// The next thing to do; ask until there is none.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Session::handle_timeout`] wants to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        self.timers.next()
    }

    /// Takes the passing of time.
    pub fn handle_timeout(&mut self, now: Millis) {
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                Timer::Attempt => self.attempt(now),
                Timer::Step => self.step_overdue(now),
                Timer::Report => self.report_overdue(now),
                Timer::Resend => self.send_next(now),
                Timer::Resync => self.fetch(now, Vec::new()),
                Timer::Save => self.save(now),
                Timer::Silence => self.silence_due(now),
            }
        }
    }

    fn effect(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    fn notice(&mut self, notice: Notice) {
        self.effect(Effect::Notice(notice));
    }

    fn new_request(&mut self) -> RequestId {
        self.next_request = self.next_request.wrapping_add(1);
        RequestId(self.next_request)
    }

    /// The desired section's version; zero before the first sync.
    fn desired_version(&self) -> u64 {
        self.twin.desired.as_ref().map_or(0, |section| section.version)
    }

    fn reported(&self) -> Option<Arc<Section>> {
        self.twin.reported.clone()
    }
}

#[cfg(test)]
mod tests;
