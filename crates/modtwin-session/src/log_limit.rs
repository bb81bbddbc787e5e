//! A limit on log lines that a remote peer can cause.

use std::time::Duration;

use tokio::time::Instant;

/// How many lines a window may have.
const LINES: u32 = 10;
/// How long a window is.
const WINDOW: Duration = Duration::from_secs(60);

/// Lets some lines a minute through and counts the rest.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    window_began: Option<Instant>,
    lines: u32,
    dropped: u64,
}

impl LogLimit {
    /// Says whether a line may be written now, and if so, how many were dropped before it.
    pub(crate) fn permit(&mut self) -> Option<u64> {
        let now = Instant::now();
        if self.window_began.is_none_or(|began| now.duration_since(began) >= WINDOW) {
            self.window_began = Some(now);
            self.lines = 0;
        }
        if self.lines >= LINES {
            self.dropped += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_cut_and_counted() {
        let mut limit = LogLimit::default();
        assert_eq!((0..100).filter(|_| limit.permit().is_some()).count(), 10);
        tokio::time::advance(WINDOW).await;
        assert_eq!(limit.permit(), Some(90));
        assert_eq!(limit.permit(), Some(0));
    }
}
