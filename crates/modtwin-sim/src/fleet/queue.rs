//! What comes, by time: a binary heap of small entries, since there are millions of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Event;

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    at: u64,
    /// Breaks ties, so that equal times keep their order.
    ticket: u64,
    module: u32,
    event: Event,
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.ticket).cmp(&(other.at, other.ticket))
    }
}

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<Entry>>,
    ticket: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at: u64, module: usize, event: Event) {
        self.ticket += 1;
        let module = u32::try_from(module).unwrap_or(u32::MAX);
        self.heap.push(Reverse(Entry { at, ticket: self.ticket, module, event }));
    }

    pub(super) fn pop(&mut self) -> Option<(u64, usize, Event)> {
        let Reverse(entry) = self.heap.pop()?;
        Some((entry.at, usize::try_from(entry.module).unwrap_or(usize::MAX), entry.event))
    }
}
