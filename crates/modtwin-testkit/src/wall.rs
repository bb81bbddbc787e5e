//! The one clock of all processes that take part: microseconds since 1970, as the emulator stamps
//! its events and as handlers stamp what they see.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in microseconds since 1970.
#[must_use]
pub fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
