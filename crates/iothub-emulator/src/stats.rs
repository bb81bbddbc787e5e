//! Counters of the hub as a whole, since the emulator started.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter that only grows, except for [`Counter::down`].
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn down(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Holds the counters that no identity owns, and the sums over those that came and went.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// MQTT connections open now, whether CONNECT was sent or not.
    pub(crate) open: Counter,
    /// MQTT connections ever accepted.
    pub(crate) accepted: Counter,
    pub(crate) connects: Counter,
    pub(crate) refusals: Counter,
    pub(crate) twin_gets: Counter,
    pub(crate) reports: Counter,
    pub(crate) notifications: Counter,
    pub(crate) messages: Counter,
    pub(crate) methods: Counter,
}
