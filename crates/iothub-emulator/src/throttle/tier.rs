//! The tiers and their figures, as data ("Quotas and throttling", "Azure IoT Hub pricing").

use std::time::Duration;

use thiserror::Error;

use super::Meter;

/// A tier of the hub with its number of units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    kind: Kind,
    units: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    F1,
    S1,
    S2,
    S3,
}

/// Says why there is no such tier.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum TierError {
    /// The name is none of a tier.
    #[error("expected a tier, one of f1, s1, s2, s3, found `{0}`")]
    Name(String),
    /// The tier can't have so many units.
    #[error("expected 1 to {most} units of tier {name}, found {found}")]
    Units {
        /// The tier's name.
        name: &'static str,
        /// Most units it can have.
        most: u32,
        /// How many were asked for.
        found: u32,
    },
}

impl Tier {
    /// Chooses a tier by its name, in any case, and its units.
    ///
    /// # Errors
    /// When there is no such tier or it can't have so many units.
    pub fn new(name: &str, units: u32) -> Result<Self, TierError> {
        let known = [Kind::F1, Kind::S1, Kind::S2, Kind::S3];
        let tiers = known.map(|kind| Self { kind, units });
        let tier = tiers.into_iter().find(|tier| tier.name().eq_ignore_ascii_case(name));
        let tier = tier.ok_or_else(|| TierError::Name(name.to_owned()))?;
        let most = match tier.kind {
            Kind::F1 => 1,
            Kind::S1 | Kind::S2 => 200,
            Kind::S3 => 10,
        };
        if (1..=most).contains(&units) {
            return Ok(tier);
        }
        Err(TierError::Units { name: tier.name(), most, found: units })
    }

    /// Gives the tier's name in lower case.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::F1 => "f1",
            Kind::S1 => "s1",
            Kind::S2 => "s2",
            Kind::S3 => "s3",
        }
    }

    /// Gives the number of units.
    #[must_use]
    pub fn units(&self) -> u32 {
        self.units
    }

    /// Gives the bytes that count as one message.
    pub(super) fn message_bytes(&self) -> usize {
        if self.kind == Kind::F1 { 512 } else { 4096 }
    }

    /// Gives the messages of a day, all units together.
    pub(super) fn daily_messages(&self) -> u64 {
        let of_a_unit = match self.kind {
            Kind::F1 => 8_000,
            Kind::S1 => 400_000,
            Kind::S2 => 6_000_000,
            Kind::S3 => 300_000_000,
        };
        of_a_unit * u64::from(self.units)
    }

    /// Gives a meter's figure.
    pub(super) fn figure(&self, meter: Meter) -> Figure {
        use Meter::{Connects, MethodBytes, Queries, Registry, Telemetry, TwinReads, TwinUpdates};
        match (self.kind, meter) {
            (Kind::S3, Registry) => Figure::a_minute(5000),
            (_, Registry) => Figure::a_minute(100),
            (Kind::S3, Connects | Telemetry) => Figure::a_second(0, 6000),
            (Kind::S2, Connects | Telemetry) => Figure::a_second(0, 120),
            (_, Connects | Telemetry) => Figure::a_second(100, 12),
            (Kind::S3, TwinReads) => Figure::a_second(0, 500),
            (Kind::S2, TwinReads) => Figure::a_second(100, 10),
            (_, TwinReads) => Figure::a_second(100, 0),
            (Kind::S3, TwinUpdates) => Figure::a_second(0, 250),
            (Kind::S2, TwinUpdates) => Figure::a_second(50, 5),
            (_, TwinUpdates) => Figure::a_second(50, 0),
            (Kind::S3, MethodBytes) => Figure::a_second(0, 24 * 1024 * 1024),
            (Kind::S2, MethodBytes) => Figure::a_second(0, 480 * 1024),
            (_, MethodBytes) => Figure::a_second(0, 160 * 1024),
            (Kind::S3, Queries) => Figure::a_minute(1000),
            (_, Queries) => Figure::a_minute(20),
        }
    }
}

/// One figure of the table: so many a unit in a period, and at least so many for the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Figure {
    at_least: u32,
    of_a_unit: u32,
    period: Duration,
}

impl Figure {
    fn a_minute(of_a_unit: u32) -> Self {
        Self { at_least: 0, of_a_unit, period: Duration::from_secs(60) }
    }

    fn a_second(at_least: u32, of_a_unit: u32) -> Self {
        Self { at_least, of_a_unit, period: Duration::from_secs(1) }
    }

    /// Gives the amount that a hub of so many units has in a period.
    pub(super) fn rate(self, units: u32) -> (u32, Duration) {
        (self.at_least.max(self.of_a_unit.saturating_mul(units)).max(1), self.period)
    }
}
