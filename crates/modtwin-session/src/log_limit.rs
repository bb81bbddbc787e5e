//! A limit on log lines that a remote peer can cause.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// How many lines of a kind a window may have.
const LINES: u32 = 10;
/// How long a window is.
const WINDOW: Duration = Duration::from_secs(60);

/// Lets some lines of each kind a minute through and counts the rest. A kind is a place in the code,
/// so that a flood of one does not hide another.
#[derive(Debug, Default)]
pub struct LogLimit {
    kinds: BTreeMap<&'static str, Window>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    lines: u32,
    dropped: u64,
}

impl LogLimit {
    /// A limit that has let nothing through yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { kinds: BTreeMap::new() }
    }

    /// Says whether a line of that kind may be written now, and if so, how many were dropped before
    /// it.
    pub fn permit(&mut self, kind: &'static str) -> Option<u64> {
        let now = Instant::now();
        let fresh = Window { began: now, lines: 0, dropped: 0 };
        let window = self.kinds.entry(kind).or_insert(fresh);
        if now.duration_since(window.began) >= WINDOW {
            window.began = now;
            window.lines = 0;
        }
        if window.lines >= LINES {
            window.dropped = window.dropped.saturating_add(1);
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.dropped))
    }

    /// When a line of that kind may be written after one was dropped.
    #[must_use]
    pub fn opens_at(&self, kind: &str) -> Instant {
        self.kinds.get(kind).map_or_else(Instant::now, |window| window.began + WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_cut_and_counted_and_hides_nothing_else() {
        let mut limit = LogLimit::new();
        assert_eq!((0..100).filter(|_| limit.permit("flood").is_some()).count(), 10);
        assert_eq!(limit.permit("other"), Some(0));
        assert_eq!(limit.opens_at("flood"), Instant::now() + WINDOW);
        tokio::time::advance(WINDOW).await;
        assert_eq!(limit.permit("flood"), Some(90));
        assert_eq!(limit.permit("flood"), Some(0));
    }
}
