//! Throttles and quotas of a chosen tier ("IoT Hub quotas and throttling"): what goes on at once, what is made to
//! wait, what is refused. Owns meters and their state; what a refusal looks like is decided where it is said.
//!
//! A meter is one atomic number (the generic cell rate algorithm, a leaky bucket without a timer): no lock, however
//! many links meet at it. Without a tier nothing is measured.

mod tier;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::clock::Moment;
use crate::stats::Counter;
use tier::Figure;
pub use tier::{Tier, TierError};

/// Names what is metered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meter {
    Registry,
    Connects,
    Telemetry,
    TwinReads,
    TwinUpdates,
    MethodBytes,
    Queries,
}

impl Meter {
    const ALL: [Self; 7] = [
        Self::Registry,
        Self::Connects,
        Self::Telemetry,
        Self::TwinReads,
        Self::TwinUpdates,
        Self::MethodBytes,
        Self::Queries,
    ];

    /// Gives the name used in events and statistics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Connects => "connects",
            Self::Telemetry => "telemetry",
            Self::TwinReads => "twin-reads",
            Self::TwinUpdates => "twin-updates",
            Self::MethodBytes => "method-bytes",
            Self::Queries => "queries",
        }
    }
}

/// Says what is to become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    /// It is served, so much later ("traffic shaping").
    Wait(Duration),
    Refuse,
}

/// Holds one meter's state.
#[derive(Debug)]
struct Bucket {
    /// Time that one unit takes, in nanoseconds.
    cost: f64,
    /// How far ahead of the clock requests may be before they wait: one period, so that a period's amount passes at
    /// once.
    burst: u64,
    /// The moment, in nanoseconds since the start, up to which the meter is used.
    used_until: AtomicU64,
    passed: Counter,
    delayed: Counter,
    refused: Counter,
}

impl Bucket {
    fn new(figure: Figure, units: u32) -> Self {
        let (amount, period) = figure.rate(units);
        Self {
            cost: period.as_secs_f64() * 1e9 / f64::from(amount),
            burst: nanoseconds(period),
            used_until: AtomicU64::new(0),
            passed: Counter::default(),
            delayed: Counter::default(),
            refused: Counter::default(),
        }
    }

    /// Takes `amount` units at the moment `now`; a wait longer than `longest_wait` is a refusal, and takes nothing.
    fn take(&self, amount: u32, now: u64, longest_wait: Duration) -> Verdict {
        let cost = nanoseconds(Duration::from_secs_f64(self.cost * f64::from(amount) / 1e9));
        let most_wait = nanoseconds(longest_wait);
        let mut wait = 0;
        let taken = self.used_until.fetch_update(Ordering::AcqRel, Ordering::Acquire, |until| {
            let next = until.max(now).saturating_add(cost);
            wait = next.saturating_sub(now.saturating_add(self.burst));
            (wait <= most_wait).then_some(next)
        });
        let (counter, verdict) = match (taken, wait) {
            (Err(_), _) => (&self.refused, Verdict::Refuse),
            (Ok(_), 0) => (&self.passed, Verdict::Pass),
            (Ok(_), wait) => (&self.delayed, Verdict::Wait(Duration::from_nanos(wait))),
        };
        counter.up();
        verdict
    }

    fn to_json(&self) -> Value {
        json!({ "passed": self.passed.value(), "delayed": self.delayed.value(), "refused": self.refused.value() })
    }
}

#[derive(Debug)]
struct Meters {
    tier: Tier,
    start: Instant,
    longest_wait: Duration,
    /// In the order of [`Meter::ALL`].
    buckets: [Bucket; 7],
    /// The hub's day, and the messages it has cost so far: `day << 40 | messages`.
    daily: AtomicU64,
}

/// Meters everything, or nothing when no tier was chosen.
#[derive(Debug)]
pub(crate) struct Throttle(Option<Box<Meters>>);

impl Throttle {
    /// Makes the meters of a tier; a request that had to wait longer than `longest_wait` is refused.
    pub(crate) fn new(tier: Option<Tier>, longest_wait: Duration) -> Self {
        Self(tier.map(|tier| {
            Box::new(Meters {
                tier,
                start: Instant::now(),
                longest_wait,
                buckets: Meter::ALL.map(|meter| Bucket::new(tier.figure(meter), tier.units())),
                daily: AtomicU64::new(0),
            })
        }))
    }

    /// Says whether a tier was chosen.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Takes `amount` units of a meter.
    pub(crate) fn take(&self, meter: Meter, amount: u32) -> Verdict {
        let Some(meters) = &self.0 else {
            return Verdict::Pass;
        };
        let place = Meter::ALL.iter().position(|known| *known == meter);
        let bucket = place.and_then(|place| meters.buckets.get(place));
        let now = nanoseconds(meters.start.elapsed());
        bucket.map_or(Verdict::Pass, |bucket| bucket.take(amount, now, meters.longest_wait))
    }

    /// Counts a message of so many bytes towards the day's quota; `false` when the quota is spent, and nothing is
    /// counted.
    pub(crate) fn count(&self, bytes: usize, now: Moment) -> bool {
        let Some(meters) = &self.0 else {
            return true;
        };
        let messages = u64::try_from(bytes.div_ceil(meters.tier.message_bytes()).max(1));
        let (messages, today) = (messages.unwrap_or(u64::MAX), now.unix_seconds() / 86_400);
        let most = meters.tier.daily_messages();
        let count = |daily: u64| {
            let used = if daily >> DAY_SHIFT == today { daily & USED } else { 0 };
            (used < most).then(|| today << DAY_SHIFT | used.saturating_add(messages).min(USED))
        };
        meters.daily.fetch_update(Ordering::AcqRel, Ordering::Acquire, count).is_ok()
    }

    /// Gives what the control API's statistics say; null without a tier.
    pub(crate) fn to_json(&self, now: Moment) -> Value {
        let Some(meters) = &self.0 else {
            return Value::Null;
        };
        let names = Meter::ALL.iter().map(|meter| meter.name().to_owned());
        let counts = meters.buckets.iter().map(Bucket::to_json);
        let daily = meters.daily.load(Ordering::Acquire);
        let is_today = daily >> DAY_SHIFT == now.unix_seconds() / 86_400;
        json!({
            "tier": meters.tier.name(),
            "units": meters.tier.units(),
            "messages_today": if is_today { daily & USED } else { 0 },
            "messages_a_day": meters.tier.daily_messages(),
            "message_bytes": meters.tier.message_bytes(),
            "meters": names.zip(counts).collect::<serde_json::Map<_, _>>(),
        })
    }
}

fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

const DAY_SHIFT: u32 = 40;
const USED: u64 = (1 << DAY_SHIFT) - 1;

#[cfg(test)]
mod tests;
