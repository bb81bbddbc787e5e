//! What the sessions of the daemon share: the turnstile before each connect, and the news that the
//! hub can be reached.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep_until};

/// Lets one connection attempt through at a time, spaced, first come first served.
///
/// After an outage all modules of a gateway want to connect at once, and so do all gateways of a
/// fleet; the hub's throttle on new connections is shared by all of them.
#[derive(Debug, Clone)]
pub struct Governor {
    spacing: Duration,
    // A mutex because its fair queue is the turnstile: who holds it waits for its slot.
    next_slot: Arc<Mutex<Instant>>,
    /// Counts the sessions that came into step; each is news for those that wait out an outage.
    reached: watch::Sender<u64>,
}

impl Governor {
    /// A turnstile that opens once each `spacing`.
    #[must_use]
    pub fn new(spacing: Duration) -> Self {
        Self {
            spacing,
            next_slot: Arc::new(Mutex::new(Instant::now())),
            reached: watch::Sender::new(0),
        }
    }

    /// Waits for the caller's turn. Cancel-safe: a caller that gives up takes no slot.
    pub async fn admit(&self) {
        let mut next_slot = self.next_slot.lock().await;
        sleep_until(*next_slot).await;
        *next_slot = Instant::now() + self.spacing;
    }

    /// Says that the hub has just been reached.
    pub(crate) fn note_reached(&self) {
        self.reached.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Hears whenever some session has reached the hub.
    pub(crate) fn reached(&self) -> watch::Receiver<u64> {
        self.reached.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn twenty_callers_pass_one_after_the_other() {
        let governor = Governor::new(Duration::from_millis(50));
        let begin = Instant::now();
        for _ in 0..20 {
            governor.admit().await;
        }
        assert_eq!(begin.elapsed(), Duration::from_millis(19 * 50));
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_after_a_pause_passes_at_once() {
        let governor = Governor::new(Duration::from_millis(50));
        governor.admit().await;
        tokio::time::advance(Duration::from_secs(1)).await;
        let begin = Instant::now();
        governor.admit().await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }
}
