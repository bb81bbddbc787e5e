//! One budget for all modules of a daemon: how often it may connect, and how often it may ask
//! something of the hub.
//!
//! The hub's meters belong to the whole hub (IoT Hub quotas and throttling), so that what one module
//! is told concerns its neighbours too. Owns the policy alone: time comes in, and a caller that may
//! not go yet is told when to ask again. Waiting, and in which order, is the driver's.
//!
//! - Connects are spaced, with full jitter. The space begins wide, halves with each success and
//!   doubles with each failure that neighbours may share, so that a hub that comes back is not met
//!   by all modules at once, and a hub that is gone is not knocked at by all of them.
//! - Operations (twin reads and reports) come from buckets: half of the rate fills one that all
//!   share, the other half is divided among the modules, so that one that floods finds the shared
//!   one empty and the others find their own full. A 429 halves all of it; time without another one
//!   gives it back. Nobody is ever refused for good.

use alloc::collections::BTreeMap;
use core::time::Duration;

use fastrand::Rng;

use crate::status::Reason;
use crate::time::Millis;

/// How much of its rate a full bucket holds, in seconds.
const BURST_SECONDS: u64 = 50;
/// How much wider the space between connects is at the start than at the best.
const START_WIDTH: u32 = 4;
/// How much wider the space between connects may become, in spacings.
const MAX_WIDTH: u32 = 64;
/// For how long one 429 stands for all that come with it, and how long the rate stays as low before
/// it grows, in retry bases.
const CONGESTION: u32 = 10;
/// The slowest rate of operations, in thousandths of one a second: one in ten seconds.
const SLOWEST: u64 = 100;
/// Into how many steps the way back from the slowest rate to the full one is divided.
const RECOVERY_STEPS: u64 = 16;
/// What one operation costs, in the bucket's unit.
const OPERATION: u64 = 1_000_000;

/// What a daemon may ask of a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The mean space between two connects when all is well.
    pub connect_spacing: Duration,
    /// How many operations a second, in the long run.
    pub operations_per_second: u32,
    /// The base of all waits, as in the sessions' settings.
    pub retry_base: Duration,
}

impl Policy {
    /// A policy that holds nobody up: for a hub that nobody else uses.
    #[must_use]
    pub fn boundless(retry_base: Duration) -> Self {
        Self { connect_spacing: Duration::ZERO, operations_per_second: u32::MAX, retry_base }
    }
}

/// A module that draws on the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member(u32);

/// The budget; see the module's page.
#[derive(Debug, Clone)]
pub struct Governor {
    policy: Policy,
    rng: Rng,
    /// The present space between connects, as a multiple of the policy's.
    width: u32,
    next_connect: Millis,
    /// What is in the bucket that all share, in millionths of an operation.
    shared: u64,
    /// What is in the modules' own, alike.
    own: BTreeMap<Member, u64>,
    next_member: u32,
    /// The present rate, in thousandths of an operation a second.
    rate: u64,
    filled_at: Millis,
    /// When the last congestion was noted; the next rise counts from then.
    congested_at: Option<Millis>,
}

impl Governor {
    /// A full budget; `seed` decides the jitter.
    #[must_use]
    pub fn new(policy: Policy, now: Millis, seed: u64) -> Self {
        let mut governor = Self {
            policy,
            rng: Rng::with_seed(seed),
            width: START_WIDTH,
            next_connect: now,
            shared: 0,
            own: BTreeMap::new(),
            next_member: 0,
            rate: 0,
            filled_at: now,
            congested_at: None,
        };
        governor.rate = governor.full_rate();
        governor.shared = Self::capacity(governor.full_rate() / 2);
        governor
    }

    /// Takes a module in, with a share of its own.
    pub fn join(&mut self, now: Millis) -> Member {
        self.fill(now);
        let member = Member(self.next_member);
        self.next_member = self.next_member.wrapping_add(1);
        self.own.insert(member, u64::MAX);
        self.fill(now);
        member
    }

    /// Divides the share of a module that is gone among the others.
    pub fn leave(&mut self, now: Millis, member: Member) {
        self.fill(now);
        self.own.remove(&member);
    }

    /// Puts another policy in force; what was learnt of the hub is kept.
    pub fn set_policy(&mut self, now: Millis, policy: Policy) {
        self.fill(now);
        let was_full = self.rate == self.full_rate();
        self.policy = policy;
        self.rate = if was_full { self.full_rate() } else { self.rate.min(self.full_rate()) };
        self.fill(now);
    }

    /// Lets one connection attempt through.
    ///
    /// # Errors
    ///
    /// When to ask again.
    pub fn connect(&mut self, now: Millis) -> Result<(), Millis> {
        if now < self.next_connect {
            return Err(self.next_connect);
        }
        let space = self.policy.connect_spacing * self.width.min(self.max_width());
        let twice = u64::try_from(space.as_millis()).unwrap_or(u64::MAX).saturating_mul(2);
        // Half of the jitter is kept as a floor: "start-up connects spread" has to hold of two in a row.
        let wait = self.rng.u64(twice / 4..=twice - twice / 4);
        self.next_connect = now + Duration::from_millis(wait);
        Ok(())
    }

    /// Lets one operation of a module through: a request for a twin, or a report.
    ///
    /// # Errors
    ///
    /// When to ask again.
    pub fn operation(&mut self, now: Millis, member: Member) -> Result<(), Millis> {
        self.fill(now);
        let (shared_rate, own_rate) = (self.rate / 2, self.own_rate(self.rate));
        let mut none = 0;
        let is_member = self.own.contains_key(&member);
        let own = self.own.get_mut(&member).unwrap_or(&mut none);
        let mut soonest = u64::MAX;
        for (bucket, rate) in [(&mut self.shared, shared_rate), (own, own_rate)] {
            if *bucket >= OPERATION {
                *bucket -= OPERATION;
                return Ok(());
            }
            // A thousandth of an operation a second is a millionth in a millisecond.
            soonest = soonest.min((OPERATION - *bucket).div_ceil(rate.max(1)));
            if !is_member {
                break;
            }
        }
        Err(now + Duration::from_millis(soonest))
    }

    /// Takes the news that a session has come into step, or that the hub took a report.
    pub fn succeeded(&mut self) {
        self.width = (self.width / 2).max(1);
    }

    /// Takes the news that an attempt or an operation failed. Only what concerns the neighbours
    /// counts: a hub that can't be reached or asks to slow down. A module's own bad credential
    /// does not.
    pub fn failed(&mut self, now: Millis, reason: Reason) {
        match reason {
            Reason::Network | Reason::HubError => {
                // Wider than the widest would only make the way back longer.
                self.width = self.width.max(self.width.saturating_mul(2).min(self.max_width()));
            }
            Reason::Throttled | Reason::Quota => {
                self.width = MAX_WIDTH;
                self.congested(now, reason == Reason::Quota);
            }
            _ => {}
        }
    }

    /// The present rate of operations as a share of the policy's, in percent.
    pub fn rate_percent(&mut self, now: Millis) -> u64 {
        self.fill(now);
        self.rate * 100 / self.full_rate().max(1)
    }

    /// Halves the rate; a spent quota takes it down to the slowest at once.
    fn congested(&mut self, now: Millis, is_spent: bool) {
        self.fill(now);
        self.shared = self.shared.min(OPERATION);
        let slowest = SLOWEST.min(self.full_rate());
        if is_spent {
            self.rate = slowest;
            self.shared = 0;
            self.own.values_mut().for_each(|own| *own = (*own).min(OPERATION));
        } else if self.congested_at.is_none_or(|at| now.since(at) >= self.congestion()) {
            self.rate = (self.rate / 2).max(slowest);
        } else {
            return;
        }
        self.own.values_mut().for_each(|own| *own /= 2);
        self.congested_at = Some(now);
    }

    /// Puts into the bucket what has come since, and lets the rate rise where nothing is against it.
    fn fill(&mut self, now: Millis) {
        let mut congested_at = self.congested_at;
        while let Some(at) = congested_at {
            let rises_at = at + self.congestion();
            if rises_at > now || self.rate >= self.full_rate() {
                break;
            }
            self.pour(rises_at);
            self.rate += (self.full_rate() / RECOVERY_STEPS).max(1);
            self.rate = self.rate.min(self.full_rate());
            congested_at = Some(rises_at);
        }
        if self.rate >= self.full_rate()
            && congested_at.is_some_and(|at| now.since(at) >= self.congestion())
        {
            congested_at = None;
        }
        self.congested_at = congested_at;
        self.pour(now);
    }

    fn pour(&mut self, now: Millis) {
        let ms = u64::try_from(now.since(self.filled_at).as_millis()).unwrap_or(u64::MAX);
        let full = self.full_rate();
        let (shared_most, own_most) =
            (Self::capacity(full / 2), Self::capacity(self.own_rate(full)).max(OPERATION));
        let more = ms.saturating_mul(self.rate / 2);
        self.shared = self.shared.saturating_add(more).min(shared_most);
        let more = ms.saturating_mul(self.own_rate(self.rate));
        for own in self.own.values_mut() {
            *own = own.saturating_add(more).min(own_most);
        }
        self.filled_at = self.filled_at.max(now);
    }

    fn full_rate(&self) -> u64 {
        u64::from(self.policy.operations_per_second.max(1)) * 1000
    }

    /// A module's own share of a rate.
    fn own_rate(&self, rate: u64) -> u64 {
        let members = u64::try_from(self.own.len()).unwrap_or(u64::MAX).max(1);
        (rate / 2 / members).max(1)
    }

    /// What a bucket of that rate holds.
    fn capacity(rate: u64) -> u64 {
        (rate * BURST_SECONDS).saturating_mul(OPERATION / 1000)
    }

    fn congestion(&self) -> Duration {
        self.policy.retry_base * CONGESTION
    }

    /// The space never grows past one base, or one spacing where that is longer.
    fn max_width(&self) -> u32 {
        let spacing = self.policy.connect_spacing.as_millis().max(1);
        u32::try_from(self.policy.retry_base.as_millis() / spacing).unwrap_or(u32::MAX).max(1)
    }
}

#[cfg(test)]
mod tests;
