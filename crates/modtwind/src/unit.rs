//! One module under supervision: its seat, its task, and how often it may crash.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use modtwin_config::Module;
use modtwin_core::status::{HubState, Reason};
use modtwin_session::handle::ModuleHandle;
use modtwin_session::seat::Seat;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config_watch::Fingerprint;
use crate::credential::{Keeper, News};
use crate::wiring::Opened;

/// How many crashes within [`WINDOW`] are too many.
const BUDGET: usize = 5;
/// How long a crash counts.
const WINDOW: Duration = Duration::from_secs(600);
/// The wait before the first restart; doubles with each crash that still counts.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// What status says of a module whose session is not started again.
const GIVEN_UP: &str = "the session crashed too often and is not started again; restart modtwind, \
                        and please report this with the log";

/// A module with a session.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) module: Arc<Module>,
    pub(crate) handle: ModuleHandle,
    pub(crate) keeper: Arc<Keeper>,
    /// The credential files as last looked at.
    pub(crate) credential_files: Fingerprint,
    seat: Seat,
    stop: watch::Sender<bool>,
    task: Option<AbortHandle>,
    crashes: Crashes,
    /// When the crashed task is started again.
    pub(crate) restart_at: Option<Instant>,
    /// What takes this unit's place once its task has ended.
    pub(crate) replacement: Option<Replacement>,
}

/// What follows a unit that was told to stop.
#[derive(Debug)]
pub(crate) enum Replacement {
    /// Nothing: the module is gone from the config.
    None,
    /// The module in its new form.
    Module(Arc<Module>),
}

impl Unit {
    pub(crate) fn new(module: Arc<Module>, opened: Opened, credential_files: Fingerprint) -> Self {
        let Opened { handle, seat, keeper } = opened;
        Self {
            module,
            handle,
            keeper,
            credential_files,
            seat,
            stop: watch::Sender::new(false),
            task: None,
            crashes: Crashes::default(),
            restart_at: None,
            replacement: None,
        }
    }

    /// Starts the module's task.
    pub(crate) fn start(&mut self, tasks: &mut JoinSet<()>) {
        let seat = self.seat.clone();
        let stop = self.stop.subscribe();
        self.restart_at = None;
        self.task = Some(tasks.spawn(async move { seat.run(stop).await }));
    }

    /// Tells the task to end; it says goodbye to the hub and saves.
    pub(crate) fn stop(&mut self) {
        self.restart_at = None;
        self.stop.send_replace(true);
    }

    /// Looks at credential files that have changed: a session that works changes to them at a moment
    /// of its own, if they can be used at all; one that waits for somebody to mend them tries at once.
    pub(crate) async fn take_up_credential(&self) {
        let keeper = Arc::clone(&self.keeper);
        let looked = tokio::task::spawn_blocking(move || keeper.look()).await;
        let module = &self.module.id;
        let hub = &self.handle.view().hub;
        let waits_for_better = hub.state == HubState::Disabled
            || hub.state == HubState::Disconnected
                && matches!(hub.reason, Reason::BadCredential | Reason::Clock);
        if waits_for_better {
            info!(%module, "credential files changed, trying them");
            return self.handle.reconnect().await;
        }
        match looked {
            Ok(News::Usable) => {
                info!(%module, "new credential files, taking them up soon");
                self.handle.renew().await;
            }
            Ok(News::Unusable(why)) => {
                warn!(%module, why, "new credential files can't be used, going on with the old ones");
            }
            Ok(News::None) => {}
            Err(error) => warn!(%module, %error, "looking at the credential failed unexpectedly"),
        }
    }

    /// Whether that task is this unit's.
    pub(crate) fn owns(&self, task: tokio::task::Id) -> bool {
        self.task.as_ref().is_some_and(|own| own.id() == task)
    }

    /// Whether the task runs or is about to.
    pub(crate) fn is_running(&self) -> bool {
        self.task.is_some()
    }

    /// Notes that the task has ended.
    pub(crate) fn ended(&mut self) {
        self.task = None;
    }

    /// Notes that the task has crashed: says how long to wait before it is started again, or none
    /// where it has crashed too often.
    pub(crate) async fn crashed(&mut self, now: Instant) -> Option<Duration> {
        let wait = self.crashes.note(now);
        match wait {
            Some(wait) => self.restart_at = Some(now + wait),
            None => self.seat.show_given_up(GIVEN_UP).await,
        }
        wait
    }
}

/// The crashes that still count.
#[derive(Debug, Default)]
struct Crashes {
    recent: VecDeque<Instant>,
}

impl Crashes {
    fn note(&mut self, now: Instant) -> Option<Duration> {
        while self.recent.front().is_some_and(|then| now.duration_since(*then) > WINDOW) {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        if self.recent.len() > BUDGET {
            return None;
        }
        let doublings = u32::try_from(self.recent.len()).unwrap_or(u32::MAX).saturating_sub(1);
        Some(FIRST_WAIT * 2_u32.saturating_pow(doublings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn restarts_wait_longer_each_time_and_then_end() {
        let mut crashes = Crashes::default();
        let waits: Vec<_> = (0..6).map(|_| crashes.note(Instant::now())).collect();
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(waits, [seconds(1), seconds(2), seconds(4), seconds(8), seconds(16), None]);
    }

    #[tokio::test(start_paused = true)]
    async fn old_crashes_are_forgotten() {
        let mut crashes = Crashes::default();
        for _ in 0..20 {
            assert_eq!(crashes.note(Instant::now()), Some(FIRST_WAIT));
            tokio::time::advance(WINDOW + Duration::from_secs(1)).await;
        }
    }
}
