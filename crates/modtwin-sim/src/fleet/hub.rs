//! The hub's meters: token buckets that delay first and refuse then.
//!
//! Source: "IoT Hub quotas and throttling": traffic shaping, then 429 for twins and a closed link
//! for connects. How long the hub delays is not documented; [`SHAPING_MS`] is a choice.

/// The longest delay before something is refused.
const SHAPING_MS: f64 = 5_000.0;
/// How much of a meter may be used at once, in milliseconds of it.
const BURST_MS: f64 = 1_000.0;

/// What a hub lets through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tier {
    /// Its name and units.
    pub name: &'static str,
    /// New connections a second.
    pub connects: f64,
    /// Twin reads a second.
    pub reads: f64,
}

impl Tier {
    /// The least time in which so many identities can connect and read their twins, in seconds.
    #[must_use]
    pub fn least_seconds(&self, identities: usize) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "at most millions")]
        let identities = identities as f64;
        identities / self.connects.min(self.reads)
    }

    /// A hub that lets through one part in `scale`.
    #[must_use]
    pub(super) fn scaled(self, scale: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let scale = scale.max(1) as f64;
        Self { connects: self.connects / scale, reads: self.reads / scale, ..self }
    }
}

/// One meter.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    /// How long one takes, in milliseconds.
    each: f64,
    /// When the next one may pass.
    next: f64,
    refused: u64,
    second: u64,
    in_second: u64,
    peak: u64,
}

impl Meter {
    fn new(a_second: f64) -> Self {
        let each = 1_000.0 / a_second;
        Self { each, next: 0.0, refused: 0, second: 0, in_second: 0, peak: 0 }
    }

    /// The delay with which one passes; none where it is refused.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "hours in milliseconds are small"
    )]
    pub(super) fn pass(&mut self, now: u64) -> Option<u64> {
        if now / 1_000 != self.second {
            (self.second, self.in_second) = (now / 1_000, 0);
        }
        self.in_second += 1;
        self.peak = self.peak.max(self.in_second);
        let at = now as f64;
        self.next = self.next.max(at - BURST_MS);
        let delay = (self.next - at).max(0.0);
        if delay > SHAPING_MS {
            self.refused += 1;
            return None;
        }
        self.next += self.each;
        Some(delay as u64)
    }

    /// The most that were offered within one second.
    pub(super) fn peak(&self) -> u64 {
        self.peak
    }

    /// How many were refused.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }
}

/// The hub.
#[derive(Debug)]
pub(super) struct Hub {
    /// When it is back.
    pub(super) back_at: u64,
    pub(super) connects: Meter,
    pub(super) reads: Meter,
}

impl Hub {
    pub(super) fn new(tier: Tier, back_at: u64) -> Self {
        Self { back_at, connects: Meter::new(tier.connects), reads: Meter::new(tier.reads) }
    }

    /// The delay with which a connection comes up; none where there is none.
    pub(super) fn connect(&mut self, now: u64) -> Option<u64> {
        if now < self.back_at { None } else { self.connects.pass(now) }
    }

    /// The delay with which a twin comes; none where the read is refused.
    pub(super) fn read(&mut self, now: u64) -> Option<u64> {
        self.reads.pass(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meter_delays_first_and_refuses_then() {
        let mut meter = Meter::new(10.0);
        let passed: Vec<u64> = (0..200).map_while(|_| meter.pass(5_000)).collect();
        assert_eq!(
            passed.iter().filter(|delay| **delay == 0).count(),
            11,
            "a second's worth at once"
        );
        assert_eq!(passed.len(), 61, "and five seconds' worth delayed");
        assert_eq!(passed.last(), Some(&5_000));
        assert_eq!(meter.pass(5_000), None);
        assert_eq!(meter.pass(5_100), Some(5_000));
        assert_eq!(meter.refused(), 2);
    }
}
