//! What the local API grants its peers, and what each of them has used of it.
//!
//! Owns the numbers and the book that is kept of rates and of bodies in memory. Leaves to others
//! the count of connections ([`super::server`]), and the times, which whoever waits keeps to.
//!
//! A peer is known by its process and by its user. A process is held to its limits whoever runs
//! it, so that one component that leaks connections or reports in a loop leaves those beside it
//! alone, even where all run as root. What a process may, its user may not have without end
//! either; but administrators, who can stop the daemon anyway, are held to the process's limits
//! alone, so that no component can lock them out.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use modtwin_api::limits::HEARTBEAT;
use tokio::time::Instant;
use tracing::warn;

use super::answer::Refusal;

/// What the local API grants its peers; the defaults are those of a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once, over all peers; whoever may do everything has 32 more.
    pub connections: usize,
    /// Connections at once from one user; users who may do everything are not held to it.
    pub connections_per_user: usize,
    /// Connections at once from one process, whoever runs it.
    pub connections_per_process: usize,
    /// Requests a second, and bytes of bodies a second, of one process.
    pub process: Rate,
    /// The same for all processes of a user; users who may do everything are not held to it.
    pub user: Rate,
    /// Bytes of request bodies in memory at once, over all peers.
    pub bodies: usize,
    /// How long a peer may take over the header block of a request; also how long a connection
    /// may be idle between two requests.
    pub header_timeout: Duration,
    /// How long a peer may take over the body of a request.
    pub body_timeout: Duration,
    /// How long a peer may take nothing of an answer. A stream of events may wait for its reader
    /// without end, because what waits there is one event.
    pub answer_timeout: Duration,
    /// The time between two heartbeats of a watch stream.
    pub heartbeat: Duration,
    /// How long requests in flight may go on once the daemon stops.
    pub drain: Duration,
}

/// What one process or one user may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests a second, in the mean over [`BURST`]; at least 1.
    pub requests: u32,
    /// Bytes of request bodies a second, in the mean over [`BURST`]; at least 1.
    pub bytes: u32,
    /// Bytes of request bodies in memory at once.
    pub bodies: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS,
            connections_per_user: CONNECTIONS_PER_USER,
            connections_per_process: CONNECTIONS_PER_PROCESS,
            process: PROCESS,
            user: USER,
            bodies: BODIES,
            header_timeout: HEADER_TIMEOUT,
            body_timeout: BODY_TIMEOUT,
            answer_timeout: ANSWER_TIMEOUT,
            heartbeat: HEARTBEAT,
            drain: DRAIN,
        }
    }
}

/// Whom a limit holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Account {
    /// All processes of a user.
    User(u32),
    /// One process of a user.
    Process {
        /// Its user.
        uid: u32,
        /// Its id.
        pid: i32,
    },
}

impl Account {
    /// What it may ask.
    fn rate(self, limits: &Limits) -> &Rate {
        match self {
            Self::User(_) => &limits.user,
            Self::Process { .. } => &limits.process,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::User(_) => "this user",
            Self::Process { .. } => "this process",
        }
    }
}

/// What peers have used of their rates, and what their bodies take.
#[derive(Debug, Default, Clone)]
pub(crate) struct Ledger {
    // A lock, because all connections share it; held for a few map steps only.
    inner: Arc<Mutex<Book>>,
}

#[derive(Debug, Default)]
struct Book {
    used: BTreeMap<Account, Used>,
    bodies: BTreeMap<Account, usize>,
    all_bodies: usize,
    /// When somebody was refused and the log told so.
    warned: Option<Instant>,
}

/// Until when what was asked pays for itself at the rate that is granted: a bucket that leaks.
#[derive(Debug, Clone, Copy)]
struct Used {
    requests: Instant,
    bytes: Instant,
}

impl Ledger {
    /// Takes one more request of whoever `accounts` are, or says why not.
    pub(crate) fn admit(&self, accounts: &[Account], limits: &Limits) -> Result<(), Refusal> {
        let now = Instant::now();
        let mut book = self.lock();
        for account in accounts {
            let rate = account.rate(limits);
            let Some(used) = book.used.get(account) else { continue };
            let over = |until: Instant| until.saturating_duration_since(now) > BURST;
            let (limit, what) = if over(used.requests) {
                (rate.requests, "requests")
            } else if over(used.bytes) {
                (rate.bytes, "bytes")
            } else {
                continue;
            };
            book.warn(now, *account, what);
            let whose = account.words();
            let detail = format!(
                "{whose} asks too much, {limit} {what} a second are its due; ask less often"
            );
            return Err(Refusal::overloaded(detail, u64::from(limit)));
        }
        for account in accounts {
            let cost = per_second(1, account.rate(limits).requests);
            book.spend(now, *account, |used| &mut used.requests, cost);
        }
        Ok(())
    }

    /// Notes that a body of `bytes` came from whoever `accounts` are; what is beyond the rate holds
    /// up the requests after it.
    pub(crate) fn charge(&self, accounts: &[Account], limits: &Limits, bytes: usize) {
        let now = Instant::now();
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let mut book = self.lock();
        for account in accounts {
            let cost = per_second(bytes, account.rate(limits).bytes);
            book.spend(now, *account, |used| &mut used.bytes, cost);
        }
    }

    /// Room for a body of whoever `accounts` are, empty at first.
    pub(crate) fn room(&self, accounts: &[Account]) -> Room {
        Room { ledger: self.clone(), accounts: accounts.to_vec(), bytes: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn spend(
        &mut self,
        now: Instant,
        account: Account,
        meter: impl Fn(&mut Used) -> &mut Instant,
        cost: Duration,
    ) {
        if self.used.len() >= MOST_ACCOUNTS && !self.used.contains_key(&account) {
            self.used.retain(|_, used| used.requests.max(used.bytes) > now);
        }
        let used = self.used.entry(account).or_insert(Used { requests: now, bytes: now });
        let until = meter(used);
        *until = (*until).max(now) + cost;
    }

    /// Says in the log, once a minute at most, who is refused.
    fn warn(&mut self, now: Instant, account: Account, what: &str) {
        if self.warned.is_none_or(|at| now.duration_since(at) > WARN_EVERY) {
            self.warned = Some(now);
            warn!(?account, what, "a local peer asks too much and is refused");
        }
    }
}

/// What a body takes in memory, noted until this is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    ledger: Ledger,
    accounts: Vec<Account>,
    bytes: usize,
}

impl Room {
    /// Makes room for `bytes` more, or says whose bound that would exceed.
    pub(crate) fn grow(&mut self, bytes: usize, limits: &Limits) -> Result<(), Refusal> {
        let mut book = self.ledger.lock();
        let beyond = |taken: usize, bound: usize| taken.saturating_add(bytes) > bound;
        for account in &self.accounts {
            let bound = account.rate(limits).bodies;
            if beyond(book.bodies.get(account).copied().unwrap_or_default(), bound) {
                book.warn(Instant::now(), *account, "bodies");
                return Err(too_many(account.words(), bound));
            }
        }
        if beyond(book.all_bodies, limits.bodies) {
            return Err(too_many("all peers together", limits.bodies));
        }
        book.all_bodies = book.all_bodies.saturating_add(bytes);
        for account in &self.accounts {
            let taken = book.bodies.entry(*account).or_default();
            *taken = taken.saturating_add(bytes);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }

    /// Gives all of it back.
    pub(crate) fn clear(&mut self) {
        let mut book = self.ledger.lock();
        book.all_bodies = book.all_bodies.saturating_sub(self.bytes);
        for account in &self.accounts {
            if let Entry::Occupied(mut taken) = book.bodies.entry(*account) {
                *taken.get_mut() = taken.get().saturating_sub(self.bytes);
                if *taken.get() == 0 {
                    taken.remove();
                }
            }
        }
        self.bytes = 0;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.clear();
    }
}

fn too_many(whose: &str, bound: usize) -> Refusal {
    let detail = format!(
        "the bodies of requests that {whose} has under way are more than {bound} bytes; send \
         fewer at a time"
    );
    Refusal::overloaded(detail, u64::try_from(bound).unwrap_or(u64::MAX))
}

fn per_second(count: u32, rate: u32) -> Duration {
    Duration::from_secs(1).saturating_mul(count) / rate.max(1)
}

/// Connections at once, over all peers.
const CONNECTIONS: usize = 1024;
/// Of one user that is no administrator.
const CONNECTIONS_PER_USER: usize = 768;
/// Of one process.
const CONNECTIONS_PER_PROCESS: usize = 600;
/// What one process may ask.
const PROCESS: Rate = Rate { requests: 500, bytes: 2 << 20, bodies: 1 << 20 };
/// What all processes of a user may ask that is no administrator.
const USER: Rate = Rate { requests: 1000, bytes: 4 << 20, bodies: 2 << 20 };
/// Bytes of bodies in memory, over all peers.
const BODIES: usize = 8 << 20;
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const DRAIN: Duration = Duration::from_secs(3);
/// Over which time a rate is a mean: so long may a peer ask as fast as it can from rest.
pub const BURST: Duration = Duration::from_secs(2);
/// Beyond so many entries those are dropped that say nothing any more.
const MOST_ACCOUNTS: usize = 256;
/// How often refusals are logged.
const WARN_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const HVAC: Account = Account::Process { uid: 1001, pid: 7 };
    const LIGHTS: Account = Account::Process { uid: 1001, pid: 8 };
    const USER: Account = Account::User(1001);

    fn limits() -> Limits {
        Limits {
            process: Rate { requests: 10, bytes: 1000, bodies: 100 },
            user: Rate { requests: 15, bytes: 1500, bodies: 150 },
            bodies: 180,
            ..Limits::default()
        }
    }

    fn admitted(ledger: &Ledger, accounts: &[Account]) -> usize {
        (0..1000).take_while(|_| ledger.admit(accounts, &limits()).is_ok()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_has_its_rate_and_comes_back_to_it() {
        let ledger = Ledger::default();
        // Two seconds of it at once, and the one that is under way.
        assert_eq!(admitted(&ledger, &[HVAC]), 21);
        assert_eq!(admitted(&ledger, &[LIGHTS]), 21);
        let problem = ledger.admit(&[HVAC], &limits()).unwrap_err();
        assert_eq!((problem.problem().status, problem.problem().limit), (429, Some(10)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(admitted(&ledger, &[HVAC]), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn processes_of_one_user_share_what_the_user_may() {
        let ledger = Ledger::default();
        let both = admitted(&ledger, &[HVAC, USER]) + admitted(&ledger, &[LIGHTS, USER]);
        assert_eq!(both, 31);
        assert_eq!(admitted(&ledger, &[Account::User(1002)]), 31);
    }

    #[tokio::test(start_paused = true)]
    async fn what_bodies_bring_beyond_the_rate_holds_up_what_comes_after() {
        let ledger = Ledger::default();
        ledger.charge(&[HVAC], &limits(), 5000);
        let problem = ledger.admit(&[HVAC], &limits()).unwrap_err();
        assert_eq!(problem.problem().limit, Some(1000));
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(ledger.admit(&[HVAC], &limits()).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn peers_that_are_long_gone_are_forgotten() {
        let ledger = Ledger::default();
        for pid in 0..2000 {
            ledger.admit(&[Account::Process { uid: 1, pid }], &limits()).unwrap();
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        assert!(ledger.lock().used.len() <= MOST_ACCOUNTS);
    }

    #[test]
    fn bodies_are_bounded_by_process_user_and_in_all() {
        let ledger = Ledger::default();
        let (mut one, mut two) = (ledger.room(&[HVAC, USER]), ledger.room(&[LIGHTS, USER]));
        let mut other = ledger.room(&[Account::User(1002)]);
        let bound = |outcome: Result<(), Refusal>| outcome.unwrap_err().problem().limit;
        one.grow(60, &limits()).unwrap();
        one.grow(40, &limits()).unwrap();
        assert_eq!(bound(one.grow(1, &limits())), Some(100));
        assert_eq!(bound(two.grow(51, &limits())), Some(150));
        assert_eq!(bound(other.grow(81, &limits())), Some(180));
        drop(one);
        two.grow(51, &limits()).unwrap();
        other.grow(81, &limits()).unwrap();
        drop((two, other));
        let book = ledger.lock();
        assert!(book.bodies.is_empty() && book.all_bodies == 0, "{book:?}");
    }
}
