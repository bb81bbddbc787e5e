//! Packets on their way out, in order: each waits for its turn, for the store to commit what it speaks of, and for
//! the end of a delay.

use std::collections::VecDeque;

use bytes::BytesMut;
use tokio::time::Instant;

/// One packet to send, encoded.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) bytes: BytesMut,
    /// The store's number that must be committed first.
    pub(super) after: u64,
    /// The moment before which it stays.
    pub(super) not_before: Option<Instant>,
}

/// Holds what waits.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Item>,
    /// A notification that lets the next one pass, or goes at that moment.
    held: Option<(Item, Instant)>,
}

impl Outbox {
    pub(super) fn push(&mut self, item: Item) {
        self.queue.push_back(item);
    }

    /// Holds a notification back until the next one, at most until `deadline`. One held already goes.
    pub(super) fn hold(&mut self, item: Item, deadline: Instant) {
        self.let_go();
        self.held = Some((item, deadline));
    }

    /// Lets what is held follow what was pushed last.
    pub(super) fn let_go(&mut self) {
        if let Some((item, _)) = self.held.take() {
            self.queue.push_back(item);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Moves what may go into `output`.
    pub(super) fn release(&mut self, committed: u64, output: &mut BytesMut) {
        if self.queue.is_empty() && self.held.is_none() {
            return;
        }
        let now = Instant::now();
        if self.held.as_ref().is_some_and(|(_, deadline)| *deadline <= now) {
            self.let_go();
        }
        let may_go = |item: &Item| {
            item.after <= committed && item.not_before.is_none_or(|moment| moment <= now)
        };
        while self.queue.front().is_some_and(may_go) {
            if let Some(item) = self.queue.pop_front() {
                output.extend_from_slice(&item.bytes);
            }
        }
    }

    /// Gives the next moment at which something may go by itself.
    pub(super) fn next_moment(&self, committed: u64) -> Option<Instant> {
        let first = self.queue.front().filter(|item| item.after <= committed);
        let delayed = first.and_then(|item| item.not_before);
        let held = self.held.as_ref().map(|(_, deadline)| *deadline);
        delayed.into_iter().chain(held).min()
    }
}
