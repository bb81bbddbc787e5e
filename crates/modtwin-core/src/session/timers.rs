//! All deadlines of a session, in one table.

use crate::time::Millis;

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// The next connection attempt.
    Attempt,
    /// The present step towards going live takes too long.
    Step,
    /// The hub owes an answer to a report.
    Report,
    /// A refused or held report may be sent again.
    Resend,
    /// A live session fetches the twin to be sure.
    Resync,
    /// What changed has to be written to disk.
    Save,
    /// A handler owes a word on a version.
    Silence,
}

const ALL: [Timer; 7] = [
    Timer::Attempt,
    Timer::Step,
    Timer::Report,
    Timer::Resend,
    Timer::Resync,
    Timer::Save,
    Timer::Silence,
];

/// The table.
#[derive(Debug, Clone, Default)]
pub(super) struct Timers {
    deadlines: [Option<Millis>; ALL.len()],
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: Millis) {
        if let Some(slot) = self.deadlines.get_mut(timer as usize) {
            *slot = Some(at);
        }
    }

    pub(super) fn stop(&mut self, timer: Timer) {
        if let Some(slot) = self.deadlines.get_mut(timer as usize) {
            *slot = None;
        }
    }

    pub(super) fn get(&self, timer: Timer) -> Option<Millis> {
        self.deadlines.get(timer as usize).copied().flatten()
    }

    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.get(timer).is_some()
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Millis> {
        self.deadlines.iter().flatten().min().copied()
    }

    /// Takes one deadline that has passed out of the table.
    pub(super) fn take_due(&mut self, now: Millis) -> Option<Timer> {
        let due = ALL.into_iter().find(|timer| self.get(*timer).is_some_and(|at| at <= now))?;
        self.stop(due);
        Some(due)
    }
}
