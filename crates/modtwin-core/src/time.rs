//! The core's notion of time: a number that the driver passes in.

use core::ops::Add;
use core::time::Duration;

/// No wall clock that is before this can be right: 2026-11-01, in seconds since 1970. A constant,
/// so that builds stay reproducible; raised with each release.
pub const MADE: Duration = Duration::from_secs(1_793_491_200);

/// How far a wall clock may be behind a time that was right once: the hub takes five minutes of
/// difference ("Control access to IoT Hub with shared access signatures").
pub const CLOCK_SLACK: Duration = Duration::from_secs(300);

/// A moment, in milliseconds of a clock that only goes forward; the driver says what zero is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub u64);

impl Millis {
    /// The time from `earlier` to this moment; zero where `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Millis {
    type Output = Self;

    fn add(self, wait: Duration) -> Self {
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(wait))
    }
}
