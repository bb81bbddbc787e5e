//! Many histories, on all cores, until one breaks a promise or all have been lived through.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::history::{Tally, live};
use crate::plan::Cut;
use crate::terminal;

/// How many seeds a thread takes at once.
const PORTION: u64 = 64;
/// How often progress is shown.
const SHOW_EVERY: Duration = Duration::from_millis(500);

/// What to run.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// The first seed.
    pub from: u64,
    /// How many.
    pub seeds: u64,
    /// What is left out of each history.
    pub cut: Cut,
    /// Whether to say how far it is.
    pub shows_progress: bool,
}

/// How it went.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Report {
    /// The first seed.
    pub from: u64,
    /// How many histories were lived through.
    pub histories: u64,
    /// How long it took.
    pub seconds: f64,
    /// The lowest seed found that breaks a promise.
    pub broken: Option<u64>,
    /// The promise that it breaks.
    pub promise: Option<&'static str>,
    /// How much happened in all of them.
    pub tally: Tally,
}

impl Report {
    /// One line for people.
    #[must_use]
    pub fn summary(&self) -> String {
        let Tally { steps, connects, reports, desired, crashes, .. } = self.tally;
        let Tally { cuts, strikes, generations, put_back, quarantined, .. } = self.tally;
        let outcome = match self.broken {
            Some(seed) => format!("seed {seed} BREAKS A PROMISE"),
            None => "none broken".to_owned(),
        };
        format!(
            "{} histories from seed {}: {outcome}; {:.1} s, {} a second ({steps} steps, {connects} \
             connects, {reports} reports, {desired} desired patches, {crashes} crashes, {cuts} cut \
             links, {strikes} other faults, {generations} new generations, {put_back} losses of \
             the hub made good, {quarantined} keys quarantined)",
            self.histories,
            self.from,
            self.seconds,
            rate(self.histories, self.seconds),
        )
    }
}

/// What the threads share.
struct Shared {
    next: AtomicU64,
    done: AtomicU64,
    ended: AtomicBool,
    /// A mutex because each thread adds to it once in a while.
    found: Mutex<(Tally, Option<(u64, &'static str)>)>,
}

/// Runs them.
#[must_use]
pub fn run(campaign: &Campaign) -> Report {
    let began = Instant::now();
    let shared = Shared {
        next: AtomicU64::new(campaign.from),
        done: AtomicU64::new(0),
        ended: AtomicBool::new(false),
        found: Mutex::default(),
    };
    // A core that panics is a finding like any other; its text is in the outcome.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        let workers: Vec<_> =
            (0..threads).map(|_| scope.spawn(|| work(campaign, &shared))).collect();
        if campaign.shows_progress {
            let shown = scope.spawn(|| show(campaign, &shared, began));
            drop(workers.into_iter().map(thread::ScopedJoinHandle::join).collect::<Vec<_>>());
            shared.ended.store(true, Ordering::Relaxed);
            shown.thread().unpark();
        }
    });
    std::panic::set_hook(hook);
    let (tally, broken) = shared.found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let histories = shared.done.into_inner();
    let seconds = began.elapsed().as_secs_f64();
    let (broken, promise) = broken.unzip();
    Report { from: campaign.from, histories, seconds, broken, promise, tally }
}

fn work(campaign: &Campaign, shared: &Shared) {
    let end = campaign.from.saturating_add(campaign.seeds);
    loop {
        let first = shared.next.fetch_add(PORTION, Ordering::Relaxed);
        if first >= end || shared.ended.load(Ordering::Relaxed) {
            return;
        }
        let mut tally = Tally::default();
        let mut broken = None;
        let mut done = 0;
        for seed in first..end.min(first.saturating_add(PORTION)) {
            let outcome = live(seed, &campaign.cut, false);
            tally.add(&outcome.tally);
            done += 1;
            if let Some(how) = outcome.broken {
                broken = Some((seed, how.promise));
                shared.ended.store(true, Ordering::Relaxed);
                break;
            }
        }
        shared.done.fetch_add(done, Ordering::Relaxed);
        let mut found = shared.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.0.add(&tally);
        found.1 = match (found.1, broken) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
}

fn show(campaign: &Campaign, shared: &Shared, began: Instant) {
    while !shared.ended.load(Ordering::Relaxed) {
        let done = shared.done.load(Ordering::Relaxed);
        let rate = rate(done, began.elapsed().as_secs_f64());
        terminal::progress(&format!("{done} of {} histories, {rate} a second", campaign.seeds));
        thread::park_timeout(SHOW_EVERY);
    }
    terminal::progress("");
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a figure for people"
)]
fn rate(count: u64, seconds: f64) -> u64 {
    (count as f64 / seconds.max(0.001)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_is_lived_through_once() {
        let (from, cut) = (1_000, Cut::default());
        let report = run(&Campaign { from, seeds: 150, cut: cut.clone(), shows_progress: false });
        assert_eq!((report.histories, report.broken), (150, None));
        let mut expected = Tally::default();
        (from..from + 150).for_each(|seed| expected.add(&live(seed, &cut, false).tally));
        assert_eq!(report.tally, expected);
    }
}
