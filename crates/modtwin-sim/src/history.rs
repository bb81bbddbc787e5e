//! One history: what the plan says happens, in virtual time, with every step checked.
//!
//! This file owns time and the order of events. What a module's driver does is in `seat`, what the
//! network does to messages in `link`, who does what in `deeds`, and what must hold in `promises` and
//! `asking`.

mod asking;
mod deeds;
mod link;
mod promises;
mod seat;
mod stage;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use modtwin_core::time::Millis;

use self::seat::Seat;
use self::stage::{Event, Stage};
use crate::chance::Strike;
use crate::plan::{Cut, Plan};

/// The quiet time after the storm until everything has to be where it belongs: longer than the
/// longest wait and than a resync.
const CALM_MS: u64 = 80 * 60_000;
/// The quiet time after the handlers' last word.
const LAST_WORD_MS: u64 = 20 * 60_000;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// When, in milliseconds of the history.
    pub at_ms: u64,
    /// Which module.
    pub module: usize,
    /// Which promise; the same words wherever it is checked.
    pub promise: &'static str,
    /// How.
    pub how: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at_ms, module, promise, how } = self;
        write!(f, "{} module {module}: {promise}: {how}", clock(*at_ms))
    }
}

/// How a history went.
#[derive(Debug)]
pub struct Outcome {
    /// The promise that it broke.
    pub broken: Option<Broken>,
    /// The faults that struck.
    pub struck: Vec<Strike>,
    /// What happened, line by line, where that was asked for.
    pub trace: Vec<String>,
    /// How much happened.
    pub tally: Tally,
}

/// How much happened: shows that histories are not empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// Inputs to a session.
    pub steps: u64,
    /// Connections that came up.
    pub connects: u64,
    /// Reports that became durable.
    pub reports: u64,
    /// Desired patches.
    pub desired: u64,
    /// Deaths of the daemon.
    pub crashes: u64,
    /// Links that broke.
    pub cuts: u64,
    /// Faults that struck single messages, attempts and writes.
    pub strikes: u64,
    /// Version lines that began anew, as a session saw them.
    pub generations: u64,
    /// Reported values that the hub had lost and a session put back.
    pub put_back: u64,
    /// Keys that were quarantined.
    pub quarantined: u64,
}

impl Tally {
    /// Adds another history's.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.connects += other.connects;
        self.reports += other.reports;
        self.desired += other.desired;
        self.crashes += other.crashes;
        self.cuts += other.cuts;
        self.strikes += other.strikes;
        self.generations += other.generations;
        self.put_back += other.put_back;
        self.quarantined += other.quarantined;
    }
}

/// Lives through the history `seed`, less what `cut` leaves out.
#[must_use]
pub fn live(seed: u64, cut: &Cut, traced: bool) -> Outcome {
    let plan = Plan::new(seed, cut);
    let mut world = World::new(&plan, traced);
    let lived = catch_unwind(AssertUnwindSafe(|| world.live()));
    let broken = match lived {
        Ok(Ok(())) => None,
        Ok(Err(broken)) => Some(broken),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
            let (at_ms, how) = (world.stage.now, text.to_owned());
            Some(Broken { at_ms, module: 0, promise: "the core never panics", how })
        }
    };
    let mut tally = world.stage.tally;
    let struck = world.stage.chance.struck().to_vec();
    tally.strikes = u64::try_from(struck.len()).unwrap_or(u64::MAX);
    Outcome { broken, struck, trace: world.stage.trace.unwrap_or_default(), tally }
}

/// Writes milliseconds as minutes, seconds and thousandths.
#[must_use]
pub fn clock(ms: u64) -> String {
    format!("{:>4}:{:02}.{:03}", ms / 60_000, ms / 1_000 % 60, ms % 1_000)
}

struct World {
    stage: Stage,
    seats: Vec<Seat>,
}

impl World {
    fn new(plan: &Plan, traced: bool) -> Self {
        let mut stage = Stage::new(plan, traced);
        for action in &plan.actions {
            stage.at(action.at, action.module, Event::Act(*action));
        }
        let seats = (0..plan.modules).map(|index| Seat::new(index, plan, &mut stage)).collect();
        Self { stage, seats }
    }

    fn live(&mut self) -> Result<(), Broken> {
        self.until(self.stage.storm_ms)?;
        self.stage.end_of_storm();
        let effects: u64 = self.seats.iter().map(|seat| seat.effects).sum();
        self.until(self.stage.now + CALM_MS)?;
        for seat in &mut self.seats {
            seat.check_calm(&self.stage)?;
            seat.acknowledge_all(&mut self.stage)?;
        }
        self.perform()?;
        self.until(self.stage.now + LAST_WORD_MS)?;
        for seat in &self.seats {
            seat.check_end(&self.stage)?;
        }
        let busy = self.seats.iter().map(|seat| seat.effects).sum::<u64>() - effects;
        let most = 300 * u64::try_from(self.seats.len()).unwrap_or(1);
        if busy > most {
            let how = format!("{busy} effects after the storm, expected at most {most}");
            return Err(Broken { at_ms: self.stage.now, module: 0, promise: "polite", how });
        }
        Ok(())
    }

    /// Lets time pass until `end`.
    fn until(&mut self, end: u64) -> Result<(), Broken> {
        loop {
            let (deadline, due) = self.next_deadline();
            let event_at = self.stage.next_event_at();
            let next = event_at.min(deadline);
            if next > end {
                self.stage.now = self.stage.now.max(end);
                return Ok(());
            }
            self.stage.now = self.stage.now.max(next);
            if deadline <= event_at {
                let Some(seat) = self.seats.get_mut(due) else { return Ok(()) };
                let now = Millis(self.stage.now);
                seat.session.handle_timeout(now);
                if seat.session.next_deadline().is_some_and(|next| next <= now) {
                    return Err(seat.broken(&self.stage, "polite", "a deadline stays due".into()));
                }
            } else if let Some((module, event)) = self.stage.pop() {
                self.handle(module, event)?;
            }
            self.stage.tally.steps += 1;
            self.perform()?;
            for seat in &mut self.seats {
                seat.check_step(&self.stage)?;
            }
        }
    }

    fn next_deadline(&self) -> (u64, usize) {
        let deadlines =
            self.seats.iter().enumerate().map(|(index, seat)| {
                (seat.session.next_deadline().map_or(u64::MAX, |at| at.0), index)
            });
        deadlines.min().unwrap_or((u64::MAX, 0))
    }

    fn handle(&mut self, module: usize, event: Event) -> Result<(), Broken> {
        match event {
            Event::Act(action) => self.act(&action),
            Event::Return { life } => self.come_back(life),
            Event::ConnectTurn => {
                let turn = self.stage.connect_turn();
                if let Some((module, epoch)) = turn
                    && let Some(seat) = self.seats.get_mut(module)
                    && seat.link.epoch == epoch
                {
                    seat.dial(&mut self.stage);
                }
                Ok(())
            }
            event => match self.seats.get_mut(module) {
                Some(seat) => seat.handle(&mut self.stage, event),
                None => Ok(()),
            },
        }
    }

    /// Performs every session's effects; one that came into step hastens its neighbours.
    fn perform(&mut self) -> Result<(), Broken> {
        loop {
            let mut reached = false;
            for seat in &mut self.seats {
                reached |= seat.perform(&mut self.stage)?;
            }
            if !reached {
                return Ok(());
            }
            self.stage.governor.succeeded();
            for seat in &mut self.seats {
                seat.session.hasten(Millis(self.stage.now));
                seat.hastened += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_happens_the_same_way_each_time() {
        for seed in 0..20 {
            let (one, two) =
                (live(seed, &Cut::default(), true), live(seed, &Cut::default(), false));
            assert_eq!((one.tally, &one.struck), (two.tally, &two.struck), "{seed}");
            assert!(!one.trace.is_empty() && two.trace.is_empty());
        }
    }

    #[test]
    fn everything_happens_and_no_promise_is_broken() {
        let mut all = Tally::default();
        for seed in 0..300 {
            let outcome = live(seed, &Cut::default(), false);
            assert_eq!(outcome.broken, None, "seed {seed}");
            all.add(&outcome.tally);
        }
        let Tally { steps, connects, reports, desired, crashes, .. } = all;
        let Tally { cuts, strikes, generations, put_back, quarantined, .. } = all;
        let counts = [
            steps,
            connects,
            reports,
            desired,
            crashes,
            cuts,
            strikes,
            generations,
            put_back,
            quarantined,
        ];
        assert!(counts.iter().all(|count| *count > 20), "{all:?}");
    }
}
