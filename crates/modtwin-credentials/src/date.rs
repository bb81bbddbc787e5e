//! Dates of certificates: OpenSSL's into the system's and back, and how they are shown.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::error::ErrorStack;

/// A point in time that displays as RFC 3339 in UTC, to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(pub SystemTime);

/// The last second that RFC 3339 and certificates (RFC 5280, section 4.1.2.5) can write: the end of
/// the year 9999.
const LAST: i64 = 253_402_300_799;

impl fmt::Display for Date {
    /// Dates before 1970 and after 9999, which certificates may have, show as such.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.duration_since(UNIX_EPOCH) {
            Err(_) => f.write_str("before 1970"),
            Ok(_) if unix_seconds(self.0) > LAST => f.write_str("after 9999"),
            Ok(_) => humantime::format_rfc3339_seconds(self.0).fmt(f),
        }
    }
}

/// The seconds from the epoch to `time`, negative before it.
pub(crate) fn unix_seconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(error) => i64::try_from(error.duration().as_secs()).map_or(i64::MIN, |past| -past),
    }
}

pub(crate) fn from_asn1(time: &Asn1TimeRef) -> Result<SystemTime, ErrorStack> {
    let difference = Asn1Time::from_unix(0)?.diff(time)?;
    let seconds = i64::from(difference.days) * 86_400 + i64::from(difference.secs);
    let distance = Duration::from_secs(seconds.unsigned_abs());
    Ok(if seconds < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance })
}

/// A certificate's date; what lies after 9999 becomes the last second that one can have.
pub(crate) fn to_asn1(time: SystemTime) -> Result<Asn1Time, ErrorStack> {
    Asn1Time::from_unix(unix_seconds(time).min(LAST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_survive_the_way_through_openssl() {
        for seconds in [0, 1, 951_782_400, 1_767_225_600, 4_102_444_800, LAST.unsigned_abs()] {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(from_asn1(&to_asn1(time).unwrap()).unwrap(), time);
        }
        let past = UNIX_EPOCH - Duration::from_secs(86_401);
        assert_eq!(from_asn1(&to_asn1(past).unwrap()).unwrap(), past);
    }

    #[test]
    fn every_date_can_be_shown() {
        let show = |time| Date(time).to_string();
        assert_eq!(show(UNIX_EPOCH + Duration::from_secs(1_767_225_600)), "2026-01-01T00:00:00Z");
        assert_eq!(
            show(UNIX_EPOCH + Duration::from_secs(LAST.unsigned_abs())),
            "9999-12-31T23:59:59Z"
        );
        assert_eq!(show(UNIX_EPOCH + Duration::from_secs(LAST.unsigned_abs() + 1)), "after 9999");
        assert_eq!(show(UNIX_EPOCH - Duration::from_secs(1)), "before 1970");
    }
}
