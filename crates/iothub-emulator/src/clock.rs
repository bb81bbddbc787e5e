//! The hub's clock: the machine's, shifted on command. Owns the time formats of the service.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// A moment of the hub's clock, in units of 100 ns since 1970 (the service's own resolution: seven decimals).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
)]
pub(crate) struct Moment(u64);

impl Moment {
    /// Says "never", which the service writes as year 1.
    pub(crate) const NEVER: Self = Self(0);

    pub(crate) fn unix_seconds(self) -> u64 {
        self.0 / 10_000_000
    }

    fn system_time(self) -> SystemTime {
        UNIX_EPOCH
            + Duration::from_secs(self.0 / 10_000_000)
            + Duration::from_nanos((self.0 % 10_000_000) * 100)
    }

    /// Writes `2026-01-31T10:00:00.1234567Z`.
    pub(crate) fn rfc3339(self) -> String {
        if self == Self::NEVER {
            return "0001-01-01T00:00:00Z".to_owned();
        }
        let mut text = humantime::format_rfc3339_nanos(self.system_time()).to_string();
        text.truncate(27);
        text.push('Z');
        text
    }

    /// Writes `01/31/2026 10:00:00`, the form inside tracking ids.
    pub(crate) fn tracking(self) -> String {
        let text = humantime::format_rfc3339_seconds(self.system_time()).to_string();
        let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
        format!("{}/{}/{} {}", part(5, 7), part(8, 10), part(0, 4), part(11, 19))
    }

    /// Writes `20260131100000Z`, the form ASN.1 times are compared in.
    pub(crate) fn asn1(self) -> String {
        let text = humantime::format_rfc3339_seconds(self.system_time()).to_string();
        text.chars().filter(|letter| letter.is_ascii_digit()).chain(['Z']).collect()
    }
}

/// Gives the hub's time.
#[derive(Debug)]
pub(crate) struct Clock {
    shift_ms: watch::Sender<i64>,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { shift_ms: watch::Sender::new(0) }
    }

    pub(crate) fn now(&self) -> Moment {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ticks = u64::try_from(elapsed.as_nanos() / 100).unwrap_or(u64::MAX);
        let shift = *self.shift_ms.borrow();
        let by = shift.unsigned_abs().saturating_mul(10_000);
        Moment(if shift < 0 { ticks.saturating_sub(by) } else { ticks.saturating_add(by) })
    }

    /// Sets how far the hub's clock is ahead of the machine's, in milliseconds; negative is behind.
    pub(crate) fn set_shift(&self, shift_ms: i64) {
        self.shift_ms.send_replace(shift_ms);
    }

    /// Tells of shifts, for those who wait for a moment.
    pub(crate) fn shifts(&self) -> watch::Receiver<i64> {
        self.shift_ms.subscribe()
    }
}

/// Reads how far to shift the clock, in milliseconds: `10m`, `-1h`, `0s`.
pub(crate) fn parse_shift(text: &str) -> Result<i64, String> {
    let (sign, span) = match text.strip_prefix('-') {
        Some(span) => (-1, span),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let span =
        humantime::parse_duration(span).map_err(|error| format!("{error}, found `{text}`"))?;
    let shift = i64::try_from(span.as_millis()).ok().filter(|shift| *shift <= LONGEST_SHIFT_MS);
    Ok(sign * shift.ok_or("expected at most 50 years")?)
}

const LONGEST_SHIFT_MS: i64 = 50 * 366 * 86_400 * 1000;

#[cfg(test)]
mod tests {
    use super::{Clock, Moment};

    #[test]
    fn a_moment_is_written_as_the_service_writes_it() {
        let moment = Moment(17_672_256_001_234_567);
        assert_eq!(moment.rfc3339(), "2026-01-01T00:00:00.1234567Z");
        assert_eq!(moment.tracking(), "01/01/2026 00:00:00");
        assert_eq!(moment.asn1(), "20260101000000Z");
        assert_eq!(Moment::NEVER.rfc3339(), "0001-01-01T00:00:00Z");
    }

    #[test]
    fn a_shift_moves_the_hub_not_the_machine() {
        let clock = Clock::new();
        let before = clock.now().unix_seconds();
        clock.set_shift(-600_000);
        let shifted = clock.now().unix_seconds();
        assert!((595..=600).contains(&(before - shifted)), "{before} {shifted}");
    }
}
