//! The way from one module's connections to its session: two queues and the epoch that counts.
//!
//! Owns the promise that an epoch ends once, with one word, and that nothing is said after it.
//! Everything here may be called from paho's threads: nothing blocks, nothing panics.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use modtwin_session::link::{Epoch, InboundMessage, LinkEvents, LinkStatus, MESSAGE_QUEUE};
use tokio::sync::mpsc;

/// The sending ends towards one session.
#[derive(Debug)]
pub(crate) struct Line {
    /// The module's name, for logs.
    pub(crate) name: String,
    /// Invariant: the epoch that may still speak, [`NONE`] where none may.
    live: AtomicU64,
    /// Messages handed to the link that are not yet written.
    waiting: AtomicUsize,
    status: mpsc::UnboundedSender<(Epoch, LinkStatus)>,
    messages: mpsc::Sender<InboundMessage>,
}

impl Line {
    pub(crate) fn new(name: &str) -> (Self, LinkEvents) {
        let (status, status_out) = mpsc::unbounded_channel();
        let (messages, messages_out) = mpsc::channel(MESSAGE_QUEUE);
        let line = Self {
            name: name.to_owned(),
            live: AtomicU64::new(NONE),
            waiting: AtomicUsize::new(0),
            status,
            messages,
        };
        (line, LinkEvents { status: status_out, messages: messages_out })
    }

    /// Lets `epoch` speak, and no other.
    pub(crate) fn begin(&self, epoch: Epoch) {
        self.live.store(epoch.0, Ordering::SeqCst);
    }

    pub(crate) fn is_live(&self, epoch: Epoch) -> bool {
        self.live.load(Ordering::SeqCst) == epoch.0
    }

    /// Ends `epoch` without a word; `false` where it had ended before.
    pub(crate) fn retire(&self, epoch: Epoch) -> bool {
        self.live.compare_exchange(epoch.0, NONE, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Says something that does not end the epoch.
    pub(crate) fn say(&self, epoch: Epoch, status: LinkStatus) {
        if self.is_live(epoch) {
            // A session that is gone needs no news.
            let _ = self.status.send((epoch, status));
        }
    }

    /// Says the word that ends the epoch; `false` where it had ended before.
    pub(crate) fn end(&self, epoch: Epoch, status: LinkStatus) -> bool {
        let first = self.retire(epoch);
        if first {
            let _ = self.status.send((epoch, status));
        }
        first
    }

    /// Hands a message on; `false` where the queue is full.
    pub(crate) fn deliver(&self, message: InboundMessage) -> bool {
        !matches!(self.messages.try_send(message), Err(mpsc::error::TrySendError::Full(_)))
    }
}

/// One of the places for messages that are not yet written; given back on drop.
#[derive(Debug)]
pub(crate) struct Place(std::sync::Arc<Line>);

impl Place {
    /// Takes a place, or nothing where `limit` are taken.
    pub(crate) fn take(line: &std::sync::Arc<Line>, limit: usize) -> Option<Self> {
        line.waiting
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |taken| {
                (taken < limit).then_some(taken + 1)
            })
            .ok()
            .map(|_| Self(std::sync::Arc::clone(line)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// No epoch. Sessions count up from zero and never get here.
const NONE: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use modtwin_core::status::{Fault, Reason};

    use super::*;

    fn lost() -> LinkStatus {
        LinkStatus::Lost(Fault::new(Reason::Network, "gone"))
    }

    #[test]
    fn an_epoch_ends_once() {
        let (line, mut events) = Line::new("cam-1");
        line.begin(Epoch(1));
        assert!(line.end(Epoch(1), lost()));
        assert!(!line.end(Epoch(1), lost()));
        line.say(Epoch(1), LinkStatus::Connected);
        assert_eq!(events.status.try_recv().unwrap(), (Epoch(1), lost()));
        assert!(events.status.try_recv().is_err());
    }

    #[test]
    fn an_old_epoch_can_not_end_a_new_one() {
        let (line, mut events) = Line::new("cam-1");
        line.begin(Epoch(1));
        line.begin(Epoch(2));
        assert!(!line.end(Epoch(1), lost()));
        assert!(line.is_live(Epoch(2)));
        assert!(events.status.try_recv().is_err());
    }

    #[test]
    fn places_are_given_back() {
        let (line, _events) = Line::new("cam-1");
        let line = Arc::new(line);
        let first = Place::take(&line, 1);
        assert!(first.is_some());
        assert!(Place::take(&line, 1).is_none());
        drop(first);
        assert!(Place::take(&line, 1).is_some());
    }
}
