//! Moments as the API writes them: RFC 3339 in UTC, to the millisecond.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The last second that RFC 3339 can write: 9999-12-31T23:59:59Z.
const LAST_SECOND: u64 = 253_402_300_799;

/// A moment, written as `2026-11-23T10:00:00Z`, with milliseconds where there are any.
///
/// Invariant: a whole number of milliseconds from 1970 to the end of 9999; what lies outside is
/// moved to the nearer end, because a wrong clock or a certificate without end must not stop an
/// answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(SystemTime);

impl Timestamp {
    /// The moment as the standard library has it.
    #[must_use]
    pub fn time(self) -> SystemTime {
        self.0
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = if since.as_secs() > LAST_SECOND { 0 } else { since.subsec_millis() };
        let whole = Duration::from_secs(since.as_secs().min(LAST_SECOND));
        Self(UNIX_EPOCH + whole + Duration::from_millis(u64::from(millis)))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        if since.subsec_millis() == 0 {
            humantime::format_rfc3339_seconds(self.0).fmt(f)
        } else {
            humantime::format_rfc3339_millis(self.0).fmt(f)
        }
    }
}

impl FromStr for Timestamp {
    type Err = humantime::TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        humantime::parse_rfc3339(text).map(Self::from)
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| {
            de::Error::custom(format_args!(
                "expected an RFC 3339 time in UTC, found {text:?}: {error}"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(time: SystemTime) -> String {
        Timestamp::from(time).to_string()
    }

    #[test]
    fn moments_are_written_in_utc_to_the_millisecond() {
        let whole = UNIX_EPOCH + Duration::from_secs(1_795_428_000);
        assert_eq!(text(whole), "2026-11-23T10:00:00Z");
        assert_eq!(text(whole + Duration::from_micros(1_999)), "2026-11-23T10:00:00.001Z");
    }

    #[test]
    fn a_moment_survives_text_and_back() {
        let moment = Timestamp::from(UNIX_EPOCH + Duration::new(1_795_428_000, 123_456_789));
        assert_eq!(moment.to_string().parse::<Timestamp>().unwrap(), moment);
    }

    #[test]
    fn moments_that_cannot_be_written_move_to_the_nearer_end() {
        assert_eq!(text(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00Z");
        let far = UNIX_EPOCH + Duration::new(LAST_SECOND + 1, 5_000_000);
        assert_eq!(text(far), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn what_is_no_time_is_refused_with_what_was_found() {
        for bad in ["\"yesterday\"", "\"2026-11-23\"", "12", "\"2026-13-01T00:00:00Z\""] {
            assert!(serde_json::from_str::<Timestamp>(bad).is_err(), "{bad}");
        }
        let error = serde_json::from_str::<Timestamp>("\"soon\"").unwrap_err().to_string();
        assert!(error.contains("\"soon\""), "{error}");
    }
}
