//! What a series of measured values comes to: its median, a high percentile, and its ends.

use std::time::Duration;

use serde::Serialize;

/// A series of values, summed up. No value was left out of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// How many values.
    pub count: usize,
    /// The smallest.
    pub min: f64,
    /// The one in the middle; of an even number of values the upper of the two.
    pub median: f64,
    /// The one that 99 of 100 do not exceed.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Sums up `values`; none where there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |rank: usize| values.get(rank).copied();
        let count = values.len();
        Some(Self {
            count,
            min: at(0)?,
            median: at(count / 2)?,
            // The nearest rank: the smallest value that at least 99 % do not exceed.
            p99: at((count * 99).div_ceil(100).saturating_sub(1))?,
            max: at(count.checked_sub(1)?)?,
        })
    }

    /// Sums up spans of time, in milliseconds.
    pub fn of_millis(values: impl IntoIterator<Item = Duration>) -> Option<Self> {
        Self::of(values.into_iter().map(|value| value.as_secs_f64() * 1000.0))
    }

    /// Sums up spans of microseconds, in milliseconds.
    pub fn of_micros(values: impl IntoIterator<Item = u64>) -> Option<Self> {
        Self::of_millis(values.into_iter().map(Duration::from_micros))
    }
}

/// A count as a number with a fraction; exact up to four thousand million.
pub fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_summed_up_by_nearest_rank() {
        let spread = Spread::of((1..=1000).rev().map(f64::from)).unwrap();
        assert_eq!(
            (spread.count, spread.min, spread.median, spread.p99, spread.max),
            (1000, 1.0, 501.0, 990.0, 1000.0)
        );
    }

    #[test]
    fn one_value_is_all_of_its_spread() {
        let spread = Spread::of([7.0]).unwrap();
        assert_eq!((spread.min, spread.median, spread.p99, spread.max), (7.0, 7.0, 7.0, 7.0));
    }

    #[test]
    fn nothing_has_no_spread() {
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn spans_are_told_in_milliseconds() {
        assert_eq!(Spread::of_micros([1500]).unwrap().median, 1.5);
        assert_eq!(Spread::of_millis([Duration::from_secs(2)]).unwrap().median, 2000.0);
    }
}
