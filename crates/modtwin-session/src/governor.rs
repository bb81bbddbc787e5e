//! What the sessions of the daemon share: the budget of connects and operations, and the news that
//! the hub can be reached.
//!
//! Owns the waiting, first come first served; who may go when is the core's policy.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use modtwin_core::governor::{Governor as Budget, Policy};
use modtwin_core::status::Reason;
use modtwin_core::time::Millis;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The daemon's budget; clones share it.
///
/// After an outage all modules of a gateway want to connect at once, and so do all gateways of a
/// fleet; the hub's throttles are shared by all of them.
#[derive(Debug, Clone)]
pub struct Governor {
    shared: Arc<Shared>,
    /// Counts the sessions that came into step; each is news for those that wait out an outage.
    reached: watch::Sender<u64>,
}

#[derive(Debug)]
struct Shared {
    zero: Instant,
    // A mutex because all sessions draw on one budget; held for a few steps of arithmetic.
    budget: Mutex<Budget>,
    // Mutexes for their fair queues: who holds one waits for its turn, the others wait behind it.
    connects: tokio::sync::Mutex<()>,
    operations: tokio::sync::Mutex<()>,
}

impl Governor {
    /// A full budget; `seed` decides the jitter.
    #[must_use]
    pub fn new(policy: Policy, seed: u64) -> Self {
        let shared = Shared {
            zero: Instant::now(),
            budget: Mutex::new(Budget::new(policy, Millis(0), seed)),
            connects: tokio::sync::Mutex::default(),
            operations: tokio::sync::Mutex::default(),
        };
        Self { shared: Arc::new(shared), reached: watch::Sender::new(0) }
    }

    /// Puts another policy in force.
    pub fn set_policy(&self, policy: Policy) {
        let now = self.shared.now();
        self.shared.budget().set_policy(now, policy);
    }

    /// The present rate of operations as a share of the policy's, in percent: less than 100 after
    /// the hub asked to slow down.
    #[must_use]
    pub fn rate_percent(&self) -> u64 {
        self.shared.budget().rate_percent()
    }

    /// Waits for the caller's turn to connect. Cancel-safe: a caller that gives up takes nothing.
    pub async fn admit(&self) {
        let _turn = self.shared.connects.lock().await;
        self.shared.wait(Budget::connect).await;
    }

    /// Takes an operation from the budget, if that can be done without overtaking anybody.
    pub(crate) fn try_operation(&self) -> bool {
        match self.shared.operations.try_lock() {
            Ok(_turn) => self.shared.budget().operation(self.shared.now()).is_ok(),
            Err(_others_wait) => false,
        }
    }

    /// Waits for the caller's turn to ask something of the hub. Cancel-safe.
    pub(crate) async fn admit_operation(&self) {
        let _turn = self.shared.operations.lock().await;
        self.shared.wait(Budget::operation).await;
    }

    /// Says that an attempt, a link or a request failed.
    pub(crate) fn note_failed(&self, reason: Reason) {
        let now = self.shared.now();
        self.shared.budget().failed(now, reason);
    }

    /// Says that the hub has just been reached.
    pub(crate) fn note_reached(&self) {
        self.shared.budget().succeeded();
        self.reached.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Hears whenever some session has reached the hub.
    pub fn reached(&self) -> watch::Receiver<u64> {
        self.reached.subscribe()
    }
}

impl Shared {
    fn now(&self) -> Millis {
        Millis(u64::try_from(self.zero.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait(&self, ask: impl Fn(&mut Budget, Millis) -> Result<(), Millis>) {
        loop {
            let answer = ask(&mut self.budget(), self.now());
            let Err(at) = answer else { return };
            // The clock of the budget has whole milliseconds, and so has the timer, rounded up.
            sleep_until(self.zero + at.since(Millis(0)) + Duration::from_micros(1)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn governor(operations_per_second: u32) -> Governor {
        let policy = Policy {
            connect_spacing: Duration::from_millis(50),
            operations_per_second,
            retry_base: Duration::from_secs(1),
        };
        Governor::new(policy, 7)
    }

    #[tokio::test(start_paused = true)]
    async fn twenty_callers_pass_one_after_the_other() {
        let governor = governor(20);
        let begin = Instant::now();
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let governor = governor.clone();
            callers.spawn(async move {
                governor.admit().await;
                governor.note_reached();
                Instant::now()
            });
        }
        let mut moments = callers.join_all().await;
        moments.sort();
        let gaps = moments.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.min() >= Some(Duration::from_millis(25)));
        let took = begin.elapsed();
        assert!(took >= Duration::from_millis(500) && took <= Duration::from_secs(2), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_after_a_pause_passes_at_once() {
        let governor = governor(20);
        governor.admit().await;
        tokio::time::advance(Duration::from_secs(1)).await;
        let begin = Instant::now();
        governor.admit().await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_late_does_not_overtake_those_that_wait() {
        let governor = governor(1);
        while governor.try_operation() {}
        let waiting = tokio::spawn({
            let governor = governor.clone();
            async move { governor.admit_operation().await }
        });
        tokio::time::advance(Duration::from_millis(500)).await;
        tokio::task::yield_now().await;
        assert!(!governor.try_operation(), "somebody waits");
        let began = Instant::now();
        waiting.await.unwrap();
        assert!(began.elapsed() <= Duration::from_millis(600), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_gives_up_takes_nothing() {
        let governor = governor(1);
        while governor.try_operation() {}
        for _ in 0..10 {
            let wait = Duration::from_millis(50);
            assert!(tokio::time::timeout(wait, governor.admit_operation()).await.is_err());
        }
        let began = Instant::now();
        governor.admit_operation().await;
        assert!(began.elapsed() <= Duration::from_millis(600), "{:?}", began.elapsed());
    }
}
