//! Which device-to-cloud message goes when: the queue of one module.
//!
//! Owns the order, the bounds, when a message has to be on disk, and how many may be at the hub
//! unconfirmed. Leaves to others the messages themselves, the link and the disk, which know a
//! message by its number.
//!
//! - While the link is good a message goes straight to the hub and costs the disk nothing; whoever
//!   sent it is told once the hub has confirmed it. It is written where that will not do: the link is
//!   lost or away, the hub has to be spared, the sender's time is over, or the sender asked for it.
//! - Hubs have no way to refuse a message over MQTT but to close the link, be it that it is more than
//!   they take now or that they will never take it (IoT Hub quotas and throttling). So after a loss
//!   with messages under way they go one at a time, after ever longer waits, and one that has broken
//!   [`MAX_BREAKS`] links in a row is set aside, so that it can't hold up the rest.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use crate::backoff::Backoff;
use crate::status::Reason;
use crate::time::Millis;

/// How many messages of a module may wait.
pub const MAX_MESSAGES: usize = 1000;
/// How many bytes of messages of a module may wait.
pub const MAX_BYTES: u64 = 4 * 1024 * 1024;
/// How many links in a row a message may break before it is set aside.
pub const MAX_BREAKS: u32 = 8;
/// How many messages may be at the hub unconfirmed.
const WINDOW: usize = 16;
/// How many bytes of messages, unless it is one alone.
const WINDOW_BYTES: u64 = 1024 * 1024;

/// What to do, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Write this message to disk; ends in [`Deliveries::handle_written`].
    Write(u64),
    /// Take it off the disk: it is at the hub.
    Remove(u64),
    /// Keep it out of the queue, for somebody to look at.
    SetAside(u64),
    /// Tell whoever sent it.
    Tell(u64, Told),
}

/// What became of a message, for its sender; told once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The hub has confirmed it.
    Sent,
    /// It survives power loss and goes to the hub when that is possible.
    Stored,
    /// It is stored, and the sender's time was over before the hub had it.
    Late,
    /// The disk did not take it: it is forgotten, unless the hub has got it all the same.
    NotStored,
}

/// How far a message is to have come for its sender to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// On disk.
    Stored,
    /// At the hub, if that is possible before this moment.
    Hub(Millis),
}

/// There is no room for another message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// So many messages wait already.
    Messages(usize),
    /// The bytes that wait, with this message, would be more than these.
    Bytes(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    InMemory,
    BeingWritten,
    OnDisk,
}

#[derive(Debug, Clone)]
struct Entry {
    number: u64,
    size: u64,
    kept: Kept,
    in_flight: bool,
    /// What the sender waits for; none once it was told.
    wish: Option<Wish>,
    /// How many links in a row ended with this message as the oldest one under way.
    breaks: u32,
}

/// The queue; see the module's page.
#[derive(Debug)]
pub struct Deliveries {
    /// Oldest first. Invariant: numbers rise, and those in flight are the first ones.
    queue: VecDeque<Entry>,
    bytes: u64,
    steps: VecDeque<Step>,
    is_live: bool,
    /// Messages up to this one go one at a time: they were under way when a link was lost.
    suspect_through: Option<u64>,
    held_until: Option<Millis>,
    holds: Backoff,
    next_number: u64,
}

impl Deliveries {
    /// A queue of what was found on disk, by number and size, oldest first; `newest` is the highest
    /// number ever given, to those and to others that were set aside.
    #[must_use]
    pub fn restore(
        stored: impl IntoIterator<Item = (u64, u64)>,
        newest: u64,
        retry_base: Duration,
        seed: u64,
    ) -> Self {
        let entry = |(number, size)| Entry {
            number,
            size,
            kept: Kept::OnDisk,
            in_flight: false,
            wish: None,
            breaks: 0,
        };
        let queue: VecDeque<Entry> = stored.into_iter().map(entry).collect();
        let newest = queue.back().map_or(newest, |entry| newest.max(entry.number));
        Self {
            bytes: queue.iter().map(|entry| entry.size).sum(),
            queue,
            steps: VecDeque::new(),
            is_live: false,
            suspect_through: None,
            held_until: None,
            holds: Backoff::new(retry_base, seed.rotate_left(48)),
            next_number: newest.saturating_add(1),
        }
    }

    /// How many messages wait, those at the hub unconfirmed among them.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// How many bytes they have.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the disk still has to be told of something that was promised or may be.
    #[must_use]
    pub fn is_unsaved(&self) -> bool {
        self.queue.iter().any(|entry| entry.kept == Kept::BeingWritten)
    }

    /// Takes a message of that size, in bytes; gives its number.
    ///
    /// # Errors
    ///
    /// [`Full`] where it is one too many.
    pub fn push(&mut self, now: Millis, size: u64, wish: Wish) -> Result<u64, Full> {
        if self.queue.len() >= MAX_MESSAGES {
            return Err(Full::Messages(MAX_MESSAGES));
        }
        if self.bytes.saturating_add(size) > MAX_BYTES {
            return Err(Full::Bytes(MAX_BYTES));
        }
        let number = self.next_number;
        self.next_number = number.saturating_add(1);
        self.bytes = self.bytes.saturating_add(size);
        let wish = Some(wish);
        let entry = Entry { number, size, kept: Kept::InMemory, in_flight: false, wish, breaks: 0 };
        self.queue.push_back(entry);
        if wish == Some(Wish::Stored) || !self.is_open(now) {
            self.write_where(|entry| entry.number == number);
        }
        Ok(number)
    }

    /// Takes the news that messages can be sent.
    pub fn handle_live(&mut self) {
        self.is_live = true;
    }

    /// Takes the news that the link was given up on this side: nothing is known of what was under
    /// way, and nobody is to blame.
    pub fn handle_parted(&mut self) {
        self.is_live = false;
        self.queue.iter_mut().for_each(|entry| entry.in_flight = false);
        self.write_where(|_any| true);
    }

    /// Takes the news that the link broke. Says whether its messages must be suspected: the same one
    /// was under way when the link before it broke.
    pub fn handle_lost(&mut self, now: Millis) -> bool {
        let newest = self.queue.iter().filter(|entry| entry.in_flight).map(|entry| entry.number);
        let newest = newest.max();
        self.handle_parted();
        let (Some(newest), Some(oldest)) = (newest, self.queue.front_mut()) else {
            return false;
        };
        oldest.breaks = oldest.breaks.saturating_add(1);
        let (number, breaks) = (oldest.number, oldest.breaks);
        self.suspect_through = self.suspect_through.max(Some(newest));
        let reason = if breaks > 1 { Reason::Throttled } else { Reason::Network };
        self.held_until = Some(now + self.holds.next(reason));
        if breaks >= MAX_BREAKS {
            self.leave(number, Some(Told::Stored));
            self.steps.push_back(Step::SetAside(number));
        }
        breaks > 1
    }

    /// Takes the hub's confirmation of a message. One that is not under way is known already.
    pub fn handle_confirmed(&mut self, number: u64) {
        let is_under_way = |entry: &Entry| entry.number == number && entry.in_flight;
        if !self.queue.iter().any(is_under_way) {
            return;
        }
        self.holds.forget();
        if self.leave(number, Some(Told::Sent)) != Some(Kept::InMemory) {
            self.steps.push_back(Step::Remove(number));
        }
    }

    /// Takes the news that a message is on disk, or could not be put there.
    pub fn handle_written(&mut self, now: Millis, number: u64, is_written: bool) {
        let Some(entry) = self.queue.iter_mut().find(|entry| entry.number == number) else {
            return;
        };
        if is_written {
            entry.kept = Kept::OnDisk;
            let told = match entry.wish.take() {
                Some(Wish::Hub(due)) if due <= now => Told::Late,
                Some(_) => Told::Stored,
                None => return,
            };
            return self.steps.push_back(Step::Tell(number, told));
        }
        entry.kept = Kept::InMemory;
        // What is at the hub by now may still be confirmed, or is written once more when it is not.
        let is_late = matches!(entry.wish, Some(Wish::Hub(due)) if due <= now);
        if !entry.in_flight || is_late {
            self.leave(number, Some(Told::NotStored));
        }
    }

    /// Takes the passing of time.
    pub fn handle_timeout(&mut self, now: Millis) {
        self.write_where(|entry| matches!(entry.wish, Some(Wish::Hub(due)) if due <= now));
        if self.held_until.is_some_and(|until| until <= now) {
            self.held_until = None;
        }
    }

    /// When [`Deliveries::handle_timeout`] wants to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        let due = self.queue.iter().filter_map(|entry| match (entry.kept, entry.wish) {
            (Kept::InMemory, Some(Wish::Hub(due))) => Some(due),
            _ => None,
        });
        due.chain(self.held_until).min()
    }

    /// The next message to send now, if there is one; [`Deliveries::handle_sent`] says that it was.
    #[must_use]
    pub fn next_to_send(&self, now: Millis) -> Option<u64> {
        let under_way = self.queue.iter().take_while(|entry| entry.in_flight);
        let (count, bytes) = under_way
            .fold((0_usize, 0_u64), |(count, bytes), entry| (count + 1, bytes + entry.size));
        let next = self.queue.get(count).filter(|_| self.is_open(now))?;
        // A suspect goes alone: what followed it would be lost with it.
        let is_suspect = self.queue.front().is_some_and(|front| self.is_suspect(front));
        let fits = !is_suspect && count < WINDOW && bytes + next.size <= WINDOW_BYTES;
        (count == 0 || fits).then_some(next.number)
    }

    /// Takes the news that a message was handed to the link.
    pub fn handle_sent(&mut self, number: u64) {
        if let Some(entry) = self.queue.iter_mut().find(|entry| entry.number == number) {
            entry.in_flight = true;
        }
    }

    /// The next thing to do; ask until there is none.
    pub fn poll_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    fn is_suspect(&self, entry: &Entry) -> bool {
        self.suspect_through.is_some_and(|through| entry.number <= through)
    }

    fn is_open(&self, now: Millis) -> bool {
        self.is_live && self.held_until.is_none_or(|until| until <= now)
    }

    fn write_where(&mut self, condition: impl Fn(&Entry) -> bool) {
        let wanted = self.queue.iter_mut();
        let wanted = wanted.filter(|entry| entry.kept == Kept::InMemory && condition(entry));
        let numbers: Vec<u64> = wanted
            .map(|entry| {
                entry.kept = Kept::BeingWritten;
                entry.number
            })
            .collect();
        self.steps.extend(numbers.into_iter().map(Step::Write));
    }

    /// Takes a message out of the queue, and tells its sender where that was not done before. Says
    /// how it was kept.
    fn leave(&mut self, number: u64, told: Option<Told>) -> Option<Kept> {
        let index = self.queue.iter().position(|entry| entry.number == number)?;
        let entry = self.queue.remove(index)?;
        self.bytes = self.bytes.saturating_sub(entry.size);
        if self.queue.front().is_none_or(|front| !self.is_suspect(front)) {
            self.suspect_through = None;
        }
        if let (Some(told), Some(_waits)) = (told, entry.wish) {
            self.steps.push_back(Step::Tell(number, told));
        }
        Some(entry.kept)
    }
}

#[cfg(test)]
mod tests;
