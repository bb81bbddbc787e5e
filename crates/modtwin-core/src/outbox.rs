//! Reports on their way to the hub: merged where that loses nothing, one in flight, and taken
//! apart where the hub refuses one, so that a single bad key never holds up the rest.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::Value;

use crate::acknowledgement::strip_answer_pieces;
use crate::document::{Document, compose, compose_into_two, composes, merge, says_already};
use crate::message::{Refusal, RequestId};

/// One merge patch that waits, made of one or more reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The number of the newest report in it.
    pub through: u64,
    /// The merge patch.
    pub patch: Document,
}

/// A top-level key that the hub refused; it waits for a better value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The key.
    pub key: String,
    /// The hub's status.
    pub status: u16,
    /// The hub's words.
    pub message: String,
}

/// What the hub's answer to a report settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// These top-level keys of all reports up to `through` are at the hub.
    Accepted {
        /// The newest report concerned.
        through: u64,
        /// What was accepted.
        patch: Document,
    },
    /// This key was refused and quarantined.
    Rejected {
        /// The newest report concerned.
        through: u64,
        /// The key and the hub's words.
        refused: Quarantined,
    },
    /// The refused patch was taken apart; its parts go one by one.
    Divided,
    /// The answer belongs to no patch in flight.
    Unknown,
}

/// The reports of one module that the hub has not accepted yet.
#[derive(Debug, Clone, Default)]
pub struct Outbox {
    /// Oldest first; the front one may be in flight.
    waiting: VecDeque<Batch>,
    in_flight: Option<RequestId>,
    /// How many batches at the front are parts of a refused patch: nothing merges into them.
    parts: usize,
    quarantine: BTreeMap<String, Quarantined>,
}

impl Outbox {
    /// An outbox as it was saved.
    ///
    /// Batches merge now, as far as that loses nothing: none is in flight any more, and the hub may
    /// have got later ones than the first, over which an older value must not come.
    #[must_use]
    pub fn restore(waiting: Vec<Batch>, quarantined: Vec<Quarantined>) -> Self {
        let quarantine = quarantined.into_iter().map(|refused| (refused.key.clone(), refused));
        let mut outbox = Self { quarantine: quarantine.collect(), ..Self::default() };
        waiting.into_iter().for_each(|batch| outbox.append(batch));
        if let [earlier, newest] = outbox.waiting.make_contiguous() {
            hoist(&mut earlier.patch, &mut newest.patch);
            if earlier.patch.is_empty() {
                outbox.waiting.pop_front();
            }
        }
        outbox
    }

    /// What waits, oldest first, in flight or not.
    pub fn waiting(&self) -> impl Iterator<Item = &Batch> {
        self.waiting.iter()
    }

    /// The keys that the hub refused.
    pub fn quarantined(&self) -> impl Iterator<Item = &Quarantined> {
        self.quarantine.values()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The request of the patch that is at the hub, unanswered.
    #[must_use]
    pub fn in_flight(&self) -> Option<RequestId> {
        self.in_flight
    }

    /// Whether a patch is at the hub, unanswered.
    #[must_use]
    pub fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// All that waits, as one patch for people to read.
    #[must_use]
    pub fn pending(&self) -> Document {
        let mut pending = Document::new();
        for batch in &self.waiting {
            compose(&mut pending, &batch.patch);
        }
        pending
    }

    /// `document` as it will be once all that waits has been accepted.
    #[must_use]
    pub fn applied_to(&self, document: &Document) -> Document {
        let mut applied = document.clone();
        for batch in &self.waiting {
            merge(&mut applied, &batch.patch);
        }
        applied
    }

    /// Takes a report. A key it writes leaves the quarantine: it may fare better now.
    pub fn push(&mut self, batch: Batch) {
        self.release(&batch.patch);
        self.append(batch);
    }

    fn append(&mut self, batch: Batch) {
        let fixed = self.parts.max(usize::from(self.in_flight.is_some()));
        match self.waiting.make_contiguous().get_mut(fixed..) {
            Some([newest]) if composes(&newest.patch, &batch.patch) => {
                compose(&mut newest.patch, &batch.patch);
                newest.through = newest.through.max(batch.through);
            }
            // What moves from the newest to the one before is still followed by a value of the same
            // key in the newest, which keeps the number: nobody is told too early.
            Some([.., earlier, newest]) => {
                compose_into_two(&mut earlier.patch, &mut newest.patch, &batch.patch);
                newest.through = newest.through.max(batch.through);
            }
            _ => self.waiting.push_back(batch),
        }
    }

    /// Whether the newest patch says all of `patch` already. If so, it answers for the reports up to
    /// `through` from now on.
    pub fn newest_says(&mut self, patch: &Document, through: u64) -> bool {
        match self.waiting.back_mut() {
            Some(newest) if says_already(&newest.patch, patch) => {
                newest.through = newest.through.max(through);
                true
            }
            _ => false,
        }
    }

    /// Lifts the quarantine of the keys that `patch` writes; says whether there were any.
    pub fn release(&mut self, patch: &Document) -> bool {
        let before = self.quarantine.len();
        self.quarantine.retain(|key, _| !patch.contains_key(key));
        self.quarantine.len() < before
    }

    /// Takes out of all that waits what answers for desired versions; `document` is what it would
    /// be merged into. A patch in flight is recalled.
    pub fn strip_answers(&mut self, document: &Document) {
        // What a patch is a piece of shows in the section as it is right after it: a later one may
        // delete the answer.
        let mut planned = document.clone();
        self.in_flight = None;
        let mut parts = 0;
        for (index, batch) in core::mem::take(&mut self.waiting).into_iter().enumerate() {
            let Batch { through, mut patch } = batch;
            merge(&mut planned, &patch);
            strip_answer_pieces(&mut patch, &planned);
            if !patch.is_empty() {
                parts += usize::from(index < self.parts);
                self.waiting.push_back(Batch { through, patch });
            }
        }
        self.parts = parts;
    }

    /// Puts a patch in front of all that waits: what the hub had accepted and lost. A patch in
    /// flight is recalled, so that it goes after this one.
    pub fn push_front(&mut self, batch: Batch) {
        self.in_flight = None;
        // What was put back before and still waits says more about its keys than this does.
        if let Some(front) = self.waiting.front_mut()
            && (front.through, batch.through, self.parts) == (0, 0, 0)
            && composes(&batch.patch, &front.patch)
        {
            let Batch { patch: mut both, .. } = batch;
            compose(&mut both, &front.patch);
            front.patch = both;
            return;
        }
        self.waiting.push_front(batch);
        self.parts = self.parts.saturating_add(usize::from(self.parts > 0));
    }

    /// The next patch to send, if none is in flight; it is in flight then, as `request`.
    pub fn send(&mut self, request: RequestId) -> Option<Document> {
        if self.in_flight.is_some() {
            return None;
        }
        let patch = self.waiting.front()?.patch.clone();
        self.in_flight = Some(request);
        Some(patch)
    }

    /// Takes the patch in flight back: no answer will come, or it has to be sent again.
    ///
    /// Says which request that was.
    pub fn recall(&mut self) -> Option<RequestId> {
        self.in_flight.take()
    }

    /// Takes the hub's consent to `request`.
    pub fn accept(&mut self, request: RequestId) -> Settlement {
        if self.in_flight != Some(request) {
            return Settlement::Unknown;
        }
        self.in_flight = None;
        match self.pop_front() {
            Some(Batch { through, patch }) => Settlement::Accepted { through, patch },
            None => Settlement::Unknown,
        }
    }

    /// Takes the hub's refusal of the content of `request`: a patch of several keys is divided in
    /// two, a single key is quarantined.
    pub fn refuse(&mut self, request: RequestId, refusal: &Refusal) -> Settlement {
        if self.in_flight != Some(request) {
            return Settlement::Unknown;
        }
        self.in_flight = None;
        let Some(Batch { through, patch }) = self.pop_front() else {
            return Settlement::Unknown;
        };
        if patch.len() > 1 {
            let (earlier, later) = divide(patch);
            self.waiting.push_front(Batch { through, patch: later });
            self.waiting.push_front(Batch { through, patch: earlier });
            self.parts = self.parts.saturating_add(2);
            return Settlement::Divided;
        }
        let key = patch.keys().next().map(ToOwned::to_owned).unwrap_or_default();
        let message = refusal.message.clone();
        let refused = Quarantined { key: key.clone(), status: refusal.status, message };
        // A newer value of the same key that already waits is its second chance.
        if !self.waiting.iter().any(|batch| batch.patch.contains_key(&key)) {
            self.quarantine.insert(key, refused.clone());
        }
        Settlement::Rejected { through, refused }
    }

    /// Drops from the front what `reported`, fetched from the hub, shows as accepted already: all
    /// patches up to the last one after which the section would be as it is.
    pub fn settle_against(&mut self, reported: &Document) -> Vec<Settlement> {
        if self.in_flight.is_some() {
            return Vec::new();
        }
        let mut planned = reported.clone();
        let mut done = 0;
        for (index, batch) in self.waiting.iter().enumerate() {
            merge(&mut planned, &batch.patch);
            if planned == *reported {
                done = index + 1;
            }
        }
        let settled = (0..done).filter_map(|_| self.pop_front());
        settled.map(|Batch { through, patch }| Settlement::Accepted { through, patch }).collect()
    }

    fn pop_front(&mut self) -> Option<Batch> {
        self.parts = self.parts.saturating_sub(1);
        self.waiting.pop_front()
    }
}

/// Moves from `earlier` to `newest`, which follows it, what one patch can say of a key.
fn hoist(earlier: &mut Document, newest: &mut Document) {
    for (key, later) in newest.iter_mut() {
        match (earlier.get_mut(key), later) {
            (None, _) => continue,
            (Some(Value::Object(before)), Value::Object(later)) => {
                if !composes(before, later) {
                    continue;
                }
                compose(before, later);
                core::mem::swap(before, later);
            }
            (Some(_), Value::Object(_)) => continue,
            (Some(_), _) => {}
        }
        earlier.remove(key);
    }
}

/// Splits a patch of several keys into two halves.
fn divide(patch: Document) -> (Document, Document) {
    let half = patch.len() / 2;
    let mut earlier = Document::new();
    let mut later = Document::new();
    for (index, (key, value)) in patch.into_iter().enumerate() {
        let side = if index < half { &mut earlier } else { &mut later };
        side.insert(key, value);
    }
    (earlier, later)
}

#[cfg(test)]
mod tests;
