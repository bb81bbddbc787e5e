//! What the sessions of the daemon share: the budget of connects and operations, and the news that
//! the hub can be reached.
//!
//! Owns the waiting, first come first served; who may go when is the core's policy.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use modtwin_core::governor::{Governor as Budget, Member, Policy};
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
    // A mutex for its fair queue: who holds it waits for its turn, the others wait behind it.
    connects: tokio::sync::Mutex<()>,
}

/// A module's seat at the budget; its share goes to the others when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    shared: Arc<Shared>,
    member: Member,
}

impl Governor {
    /// A full budget; `seed` decides the jitter.
    #[must_use]
    pub fn new(policy: Policy, seed: u64) -> Self {
        let shared = Shared {
            zero: Instant::now(),
            budget: Mutex::new(Budget::new(policy, Millis(0), seed)),
            connects: tokio::sync::Mutex::default(),
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
        let now = self.shared.now();
        self.shared.budget().rate_percent(now)
    }

    /// Waits for the caller's turn to connect. Cancel-safe: a caller that gives up takes nothing.
    pub async fn admit(&self) {
        let _turn = self.shared.connects.lock().await;
        self.shared.wait(Budget::connect).await;
    }

    /// Takes a module in.
    pub(crate) fn join(&self) -> Share {
        let shared = Arc::clone(&self.shared);
        let member = shared.budget().join(shared.now());
        Share { shared, member }
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

impl Share {
    /// Takes an operation from the budget, if there is one.
    pub(crate) fn try_operation(&self) -> bool {
        let now = self.shared.now();
        self.shared.budget().operation(now, self.member).is_ok()
    }

    /// Waits until the module may ask something of the hub. Cancel-safe.
    pub(crate) async fn operation(&self) {
        self.shared.wait(|budget, now| budget.operation(now, self.member)).await;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let now = self.shared.now();
        self.shared.budget().leave(now, self.member);
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
    async fn a_caller_that_gives_up_takes_nothing_and_the_next_gets_it() {
        let governor = governor(1);
        let share = governor.join();
        while share.try_operation() {}
        for _ in 0..10 {
            let wait = Duration::from_millis(50);
            assert!(tokio::time::timeout(wait, share.operation()).await.is_err());
        }
        let began = Instant::now();
        share.operation().await;
        assert!(began.elapsed() <= Duration::from_millis(1_600), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_module_that_floods_does_not_hold_up_another() {
        let governor = governor(20);
        let (flood, other) = (governor.join(), governor.join());
        while flood.try_operation() {}
        assert!(other.try_operation());
        drop(flood);
        assert!(other.try_operation());
    }
}
