//! The port to the wall clock's trustworthiness: whether it can be right, and when it is set.

use tokio::sync::watch;

/// What sessions are told of the wall clock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClockState {
    /// Why no connection can be begun: the clock can't be right, so that TLS would only fail. None
    /// where nothing speaks against the clock.
    pub held: Option<String>,
    /// Rises whenever something changes that makes another look worth it.
    pub changes: u64,
}

/// How sessions hear of the clock; a channel whose sender is gone keeps its last word.
pub type ClockReceiver = watch::Receiver<ClockState>;

/// A clock that nobody doubts.
#[must_use]
pub fn trusted() -> ClockReceiver {
    watch::channel(ClockState::default()).1
}
