//! When things may have happened: spans of the clock that all processes share, and the lives of the
//! daemon that they part.

/// A span of time during which something may have happened, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// When it could happen first.
    pub(crate) begin: u64,
    /// When it had happened, or could no more.
    pub(crate) end: u64,
}

impl Window {
    /// Whether `at` lies in it.
    pub(crate) fn contains(self, at: u64) -> bool {
        (self.begin..=self.end).contains(&at)
    }

    /// Whether it shares a moment with what went on from `begin` to `end`.
    pub(crate) fn overlaps(self, begin: u64, end: u64) -> bool {
        begin <= self.end && self.begin <= end
    }
}

/// In which of the lives that `windows` separate `at` lies; none within a window.
pub(crate) fn life(windows: &[Window], at: u64) -> Option<usize> {
    if windows.iter().any(|window| window.contains(at)) {
        return None;
    }
    Some(windows.iter().filter(|window| window.end < at).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_part_the_time_into_lives() {
        let windows = [Window { begin: 10, end: 20 }, Window { begin: 30, end: u64::MAX }];
        let lives = [5, 10, 20, 25, 30, 99].map(|at| life(&windows, at));
        assert_eq!(lives, [Some(0), None, None, Some(1), None, None]);
        assert!(windows[0].overlaps(19, 25) && windows[0].overlaps(0, 10));
        assert!(!windows[0].overlaps(21, 29));
    }
}
