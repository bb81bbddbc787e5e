//! Callers that wait for the disk or for the hub.

use std::collections::{BTreeSet, VecDeque};

use modtwin_core::outbox::Quarantined;
use tokio::sync::oneshot;

use crate::handle::{AckError, ReportError};
use crate::store::StoreError;

/// How many waiters for the hub there may be before those that left are swept out.
const SWEEP_AT: usize = 64;

/// Who waits for the disk.
#[derive(Debug)]
pub(crate) enum StoredWaiter {
    Report(oneshot::Sender<Result<u64, ReportError>>),
    Acknowledgement(oneshot::Sender<Result<(), AckError>>),
}

/// Who waits for the hub, and for which keys of its report.
#[derive(Debug)]
struct AcceptedWaiter {
    sequence: u64,
    keys: BTreeSet<String>,
    sender: oneshot::Sender<Result<u64, ReportError>>,
}

/// All that wait for one module. A caller that has left is no error: its answer goes nowhere.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    stored: VecDeque<(u64, StoredWaiter)>,
    accepted: Vec<AcceptedWaiter>,
    sweep_at: usize,
}

impl Waiters {
    pub(crate) fn wait_stored(&mut self, sequence: u64, waiter: StoredWaiter) {
        self.stored.push_back((sequence, waiter));
    }

    pub(crate) fn wait_accepted(
        &mut self,
        sequence: u64,
        keys: BTreeSet<String>,
        sender: oneshot::Sender<Result<u64, ReportError>>,
    ) {
        if self.accepted.len() >= self.sweep_at.max(SWEEP_AT) {
            self.accepted.retain(|waiter| !waiter.sender.is_closed());
            self.sweep_at = self.accepted.len() * 2;
        }
        self.accepted.push(AcceptedWaiter { sequence, keys, sender });
    }

    /// Answers who waited for the disk; a report without keys has nothing to wait for at the hub.
    pub(crate) fn stored(&mut self, through: u64, reported_version: u64) {
        for (sequence, waiter) in self.take_stored(through) {
            match waiter {
                StoredWaiter::Report(sender) => drop(sender.send(Ok(sequence))),
                StoredWaiter::Acknowledgement(sender) => drop(sender.send(Ok(()))),
            }
        }
        self.accepted_keys(through, &[], reported_version);
    }

    pub(crate) fn not_stored(&mut self, through: u64, error: &StoreError) {
        let dropped = self.take_stored(through);
        if let Some((first, _)) = dropped.first() {
            let first = *first;
            self.accepted.retain(|waiter| waiter.sequence < first || waiter.sequence > through);
        }
        for (_, waiter) in dropped {
            match waiter {
                StoredWaiter::Report(sender) => {
                    drop(sender.send(Err(ReportError::Storage(error.clone()))));
                }
                StoredWaiter::Acknowledgement(sender) => {
                    drop(sender.send(Err(AckError::Storage(error.clone()))));
                }
            }
        }
    }

    /// Answers those whose last key this was.
    pub(crate) fn accepted_keys(&mut self, through: u64, keys: &[String], version: u64) {
        for waiter in self.accepted.iter_mut().filter(|waiter| waiter.sequence <= through) {
            for key in keys {
                waiter.keys.remove(key);
            }
        }
        let done =
            |waiter: &mut AcceptedWaiter| waiter.sequence <= through && waiter.keys.is_empty();
        for waiter in self.accepted.extract_if(.., done) {
            drop(waiter.sender.send(Ok(version)));
        }
    }

    /// Tells those whose report had this key.
    pub(crate) fn rejected(&mut self, through: u64, refused: &Quarantined) {
        let hit = |waiter: &mut AcceptedWaiter| {
            waiter.sequence <= through && waiter.keys.contains(&refused.key)
        };
        for waiter in self.accepted.extract_if(.., hit) {
            drop(waiter.sender.send(Err(ReportError::RejectedByHub {
                key: refused.key.clone(),
                status: refused.status,
                message: refused.message.clone(),
            })));
        }
    }

    fn take_stored(&mut self, through: u64) -> Vec<(u64, StoredWaiter)> {
        let count = self.stored.partition_point(|(sequence, _)| *sequence <= through);
        self.stored.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Receiver = oneshot::Receiver<Result<u64, ReportError>>;

    fn waiting(waiters: &mut Waiters, sequence: u64, keys: &[&str]) -> Receiver {
        let (sender, receiver) = oneshot::channel();
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        waiters.wait_accepted(sequence, keys, sender);
        receiver
    }

    #[test]
    fn a_report_is_accepted_when_its_last_key_is() {
        let mut waiters = Waiters::default();
        let mut receiver = waiting(&mut waiters, 1, &["a", "b"]);
        waiters.accepted_keys(1, &["a".into()], 5);
        assert!(receiver.try_recv().is_err());
        waiters.accepted_keys(2, &["b".into()], 6);
        assert_eq!(receiver.try_recv().unwrap(), Ok(6));
    }

    #[test]
    fn a_later_report_of_the_same_key_keeps_waiting() {
        let mut waiters = Waiters::default();
        let mut earlier = waiting(&mut waiters, 1, &["a"]);
        let mut later = waiting(&mut waiters, 2, &["a"]);
        waiters.accepted_keys(1, &["a".into()], 5);
        assert_eq!(earlier.try_recv().unwrap(), Ok(5));
        assert!(later.try_recv().is_err());
    }

    #[test]
    fn a_refused_key_tells_only_its_reporters() {
        let mut waiters = Waiters::default();
        let mut poisoned = waiting(&mut waiters, 1, &["a", "bad"]);
        let mut clean = waiting(&mut waiters, 1, &["a"]);
        let refused = Quarantined { key: "bad".into(), status: 400, message: "no".into() };
        waiters.rejected(1, &refused);
        assert!(matches!(poisoned.try_recv().unwrap(), Err(ReportError::RejectedByHub { .. })));
        waiters.accepted_keys(1, &["a".into()], 3);
        assert_eq!(clean.try_recv().unwrap(), Ok(3));
    }

    #[test]
    fn who_left_does_not_pile_up() {
        let mut waiters = Waiters::default();
        for sequence in 0..10_000 {
            drop(waiting(&mut waiters, sequence, &["a"]));
        }
        assert!(waiters.accepted.len() <= SWEEP_AT);
    }
}
