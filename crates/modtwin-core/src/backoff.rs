//! How long to wait after which failure: one ladder for each cause, none of which ends.
//!
//! All waits are multiples of one base (default 1 s). Jitter is full where many gateways may fail
//! at once, so that they don't return at once.

use core::time::Duration;

use fastrand::Rng;

use crate::status::Reason;

/// The longest wait after a network fault, in bases.
const NETWORK_CAP: u32 = 60;
/// The shortest wait after the hub asked to slow down, in bases.
const THROTTLED_FLOOR: u32 = 10;
/// The first wait after the hub refused the credential, in bases.
const REFUSED_FIRST: u32 = 30;
/// The longest wait after the hub refused the credential, in bases.
const REFUSED_CAP: u32 = 900;
/// How often local files are looked at again, in bases.
const LOCAL_CHECK: u32 = 60;
/// How long a link must live before its past failures are forgotten, in bases.
const FORGET_AFTER: u32 = 60;

/// The waits between attempts of one session.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    failures: u32,
    refusals: u32,
    rng: Rng,
}

impl Backoff {
    /// A ladder of that base; `seed` decides its jitter.
    #[must_use]
    pub fn new(base: Duration, seed: u64) -> Self {
        Self { base, failures: 0, refusals: 0, rng: Rng::with_seed(seed) }
    }

    /// The wait before the next attempt after a failure for `reason`; climbs the ladder.
    pub fn next(&mut self, reason: Reason) -> Duration {
        match reason {
            Reason::BadCredential | Reason::IdentityDisabled | Reason::Quota => {
                let refused = doubled(REFUSED_FIRST, self.refusals).min(REFUSED_CAP);
                self.refusals = self.refusals.saturating_add(1);
                self.between(refused / 2, refused)
            }
            Reason::IdentityConflict => self.between(LOCAL_CHECK / 2, LOCAL_CHECK),
            Reason::ExpiredCredential | Reason::Config => {
                self.between(LOCAL_CHECK * 9 / 10, LOCAL_CHECK)
            }
            Reason::Throttled => {
                let network = self.climb();
                self.between(THROTTLED_FLOOR, THROTTLED_FLOOR + network)
            }
            _ => {
                let network = self.climb();
                self.between(0, network)
            }
        }
    }

    /// Notes that a link lived for `lived`; after a while past failures are forgotten.
    pub fn link_lived(&mut self, lived: Duration) {
        if lived >= self.base * FORGET_AFTER {
            self.forget();
        }
    }

    /// Forgets past failures.
    pub fn forget(&mut self) {
        self.failures = 0;
        self.refusals = 0;
    }

    /// How long a link must live for its session not to count as short.
    #[must_use]
    pub fn short_session(&self) -> Duration {
        self.base * FORGET_AFTER
    }

    /// The present rung of the network ladder, in bases; the next one is twice as high.
    fn climb(&mut self) -> u32 {
        let rung = doubled(1, self.failures).min(NETWORK_CAP);
        self.failures = self.failures.saturating_add(1);
        rung
    }

    /// A moment between `low` and `high` bases.
    fn between(&mut self, low: u32, high: u32) -> Duration {
        let low = self.base * low;
        let span = (self.base * high).saturating_sub(low);
        let span_ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        low + Duration::from_millis(self.rng.u64(0..=span_ms))
    }
}

/// `first`, doubled `times` times; stops growing far above every cap.
fn doubled(first: u32, times: u32) -> u32 {
    first.saturating_mul(1 << times.min(16))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn waits(reason: Reason, count: usize) -> alloc::vec::Vec<Duration> {
        let mut backoff = Backoff::new(SECOND, 7);
        (0..count).map(|_| backoff.next(reason)).collect()
    }

    #[test]
    fn network_waits_double_up_to_a_minute() {
        for (n, wait) in waits(Reason::Network, 40).into_iter().enumerate() {
            let bound = SECOND * 2_u32.pow(u32::try_from(n).unwrap().min(6));
            assert!(wait <= bound.min(SECOND * 60), "{n}: {wait:?}");
        }
    }

    #[test]
    fn a_refused_credential_waits_from_half_a_minute_to_a_quarter_of_an_hour() {
        let waits = waits(Reason::BadCredential, 20);
        assert!(waits.iter().all(|wait| *wait >= SECOND * 15 && *wait <= SECOND * 900));
        assert!(waits[19] >= SECOND * 450);
    }

    #[test]
    fn throttling_waits_at_least_ten_seconds() {
        assert!(waits(Reason::Throttled, 20).iter().all(|wait| *wait >= SECOND * 10));
    }

    #[test]
    fn only_a_link_that_lived_a_minute_forgets_failures() {
        let mut backoff = Backoff::new(SECOND, 7);
        for _ in 0..5 {
            backoff.next(Reason::Network);
        }
        backoff.link_lived(SECOND * 59);
        assert_eq!(backoff.failures, 5);
        backoff.link_lived(SECOND * 60);
        assert_eq!(backoff.failures, 0);
    }
}
