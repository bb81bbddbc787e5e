//! Fits words to a width, and times and numbers to a glance, for pages of at most [`WIDTH`] columns.

use std::fmt::Display;
use std::time::SystemTime;

/// The widest line that is printed, in columns.
pub(crate) const WIDTH: usize = 80;
/// How many names are spelled out where several modules share something.
const NAMES: usize = 4;

/// The time from `since` to `now` as a person says it: the two largest units, `0s` where `since`
/// is in the future.
pub(crate) fn span(since: SystemTime, now: SystemTime) -> String {
    let seconds = now.duration_since(since).unwrap_or_default().as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m"),
        (0, _, _) => format!("{hours}h {}m", minutes % 60),
        (1..=99, _, _) => format!("{days}d {}h", hours % 24),
        _ => format!("{days}d"),
    }
}

/// A number of things: `1 module`, `2 modules`.
pub(crate) fn counted<N: Display + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    let plural = if count == N::from(1) { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// A number of bytes as a person says it.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

/// `text` in at most `width` columns; what is too long loses its middle, because names differ at
/// their ends.
pub(crate) fn shortened(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(1);
    let tail = kept / 2;
    let head: String = text.chars().take(kept - tail).collect();
    let tail: String = text.chars().skip(length - tail).collect();
    format!("{head}…{tail}")
}

/// The first few names and how many more there are.
pub(crate) fn names(modules: &[String]) -> String {
    let shown = modules.iter().take(NAMES).cloned().collect::<Vec<_>>().join(", ");
    match modules.len().saturating_sub(NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// `text` broken between words into lines of at most `width` columns, the first after `first`, the
/// others after `others`. A word longer than a line is cut.
pub(crate) fn wrapped(text: &str, first: &str, others: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in text.split_whitespace() {
        let mut word = word;
        if !is_empty && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::replace(&mut line, others.to_owned()));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        loop {
            let room = width.saturating_sub(line.chars().count()).max(1);
            let Some((end, _)) = word.char_indices().nth(room) else {
                break;
            };
            let (now, later) = word.split_at(end);
            line.push_str(now);
            lines.push(std::mem::replace(&mut line, others.to_owned()));
            word = later;
        }
        line.push_str(word);
        is_empty = false;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn a_span_has_its_largest_units() {
        let say = |seconds| span(UNIX_EPOCH, UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(say(0), "0s");
        assert_eq!(say(59), "59s");
        assert_eq!(say(3_599), "59m");
        assert_eq!(say(3_660), "1h 1m");
        assert_eq!(say(90_000), "1d 1h");
        assert_eq!(say(100 * 86_400), "100d");
        assert_eq!(span(UNIX_EPOCH + Duration::from_secs(1), UNIX_EPOCH), "0s");
    }

    #[test]
    fn a_size_has_at_most_four_digits() {
        assert_eq!([size(0), size(9_999), size(10_000)], ["0 B", "9999 B", "10 kB"]);
        assert_eq!([size(9_999_999), size(10_000_000)], ["9999 kB", "10 MB"]);
    }

    #[test]
    fn what_is_too_long_loses_its_middle() {
        assert_eq!(shortened("module01", 8), "module01");
        assert_eq!(shortened("thermostat-cellar-01", 9), "ther…r-01");
        assert_eq!(shortened("ab", 1), "…");
    }

    #[test]
    fn lines_break_between_words_and_keep_to_the_width() {
        assert_eq!(wrapped("one two three", "- ", "  ", 9), ["- one two", "  three"]);
        assert_eq!(wrapped("", "- ", "  ", 9), ["- "]);
        assert_eq!(wrapped("a abcdefghij", "- ", "  ", 6), ["- a", "  abcd", "  efgh", "  ij"]);
        assert_eq!(wrapped("abcd", "- ", "  ", 6), ["- abcd"]);
    }
}
