//! Milliseconds in words: one figure, or the spread of several.

use std::time::Duration;

/// Returns `duration` with as many digits as a reader can use.
pub(crate) fn in_words(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1000.0;
    if millis < 10.0 {
        format!("{millis:.1} ms")
    } else if millis < 1000.0 {
        format!("{millis:.0} ms")
    } else {
        format!("{:.1} s", millis / 1000.0)
    }
}

/// Returns the fastest, the median and the slowest of `durations`; of none it says so.
pub(crate) fn spread(durations: impl IntoIterator<Item = Duration>) -> String {
    let mut sorted: Vec<Duration> = durations.into_iter().collect();
    sorted.sort_unstable();
    match (sorted.first(), sorted.get(sorted.len() / 2), sorted.last()) {
        (Some(first), Some(median), Some(last)) => {
            format!(
                "fastest {}, median {}, slowest {}",
                in_words(*first),
                in_words(*median),
                in_words(*last)
            )
        }
        _ => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_times_have_a_decimal_and_long_ones_are_seconds() {
        assert_eq!(in_words(Duration::from_micros(1_240)), "1.2 ms");
        assert_eq!(in_words(Duration::from_micros(41_600)), "42 ms");
        assert_eq!(in_words(Duration::from_millis(2_340)), "2.3 s");
    }

    #[test]
    fn a_spread_names_both_ends_and_the_middle() {
        let times = [30, 10, 20].map(Duration::from_millis);
        assert_eq!(spread(times), "fastest 10 ms, median 20 ms, slowest 30 ms");
        assert_eq!(spread([]), "none");
    }
}
