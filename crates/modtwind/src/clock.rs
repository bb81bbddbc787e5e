//! Whether the wall clock can be right.
//!
//! A gateway without a battery begins in 1970, or where it was switched off, and every certificate
//! is then not valid yet. So nothing is attempted while the clock is before the day this program was
//! made, or before a time at which it reached its hub already; that time is kept on disk. As soon
//! as somebody sets the clock, all goes on.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use modtwin_api::Timestamp;
use modtwin_core::time::{CLOCK_SLACK, MADE};
use modtwin_session::clock::{ClockReceiver, ClockState};
use modtwin_session::store::to_stored_ms;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::store::{make_folder, replace};

/// How often a clock that can't be right is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How often one is looked at that nothing speaks against.
const GLANCE: Duration = Duration::from_secs(60);
/// A difference between the wall clock and the steady one that only setting it makes.
const STEP: Duration = Duration::from_secs(1);
/// The least time between two writes of the kept time: flash wears.
const KEEP_EVERY: Duration = Duration::from_secs(3600);
/// After how long a clock that is only behind the kept time is tried all the same: the kept time may
/// be what is wrong.
const TRY_AFTER: Duration = Duration::from_secs(600);
/// How long such a try may take to show that the hub can be reached.
const TRY_FOR: Duration = Duration::from_secs(60);
/// The file that keeps the time.
pub(crate) const CLOCK_FILE: &str = "clock.json";

/// What is kept on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// A time at which the hub was reached, in milliseconds since 1970.
    reached_ms: u64,
}

/// What speaks against a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    BeforeMade,
    BeforeKept(SystemTime),
}

/// Looks after the clock for as long as the daemon runs.
#[derive(Debug)]
pub(crate) struct ClockKeeper {
    directory: PathBuf,
    state: watch::Sender<ClockState>,
    /// Hears when a session has come into step, which proves the clock.
    reached: watch::Receiver<u64>,
    kept: Option<SystemTime>,
    kept_at: Option<Instant>,
    /// The disk did not take the kept time.
    is_owed: bool,
    began: (SystemTime, Instant),
    held_since: Instant,
    trying_until: Option<Instant>,
}

impl ClockKeeper {
    /// Reads the kept time and looks at the clock.
    pub(crate) fn open(directory: &Path, reached: watch::Receiver<u64>) -> (Self, ClockReceiver) {
        let state = watch::Sender::new(ClockState::default());
        let receiver = state.subscribe();
        let now = Instant::now();
        let mut keeper = Self {
            directory: directory.to_owned(),
            state,
            reached,
            kept: read(&directory.join(CLOCK_FILE)),
            kept_at: None,
            is_owed: false,
            began: (SystemTime::now(), now),
            held_since: now,
            trying_until: None,
        };
        keeper.look(SystemTime::now(), now);
        (keeper, receiver)
    }

    /// Looks at the clock again and again. Ends with the task.
    pub(crate) async fn run(mut self) {
        loop {
            let period = if self.is_doubted() { LOOK } else { GLANCE };
            let mut reached = self.reached.clone();
            let proven = tokio::select! {
                biased;
                Ok(()) = reached.changed() => true,
                () = sleep(period) => false,
            };
            self.reached = reached;
            let (wall, now) = (SystemTime::now(), Instant::now());
            if proven || self.is_owed {
                self.prove(wall, now);
            }
            self.look(wall, now);
        }
    }

    fn is_doubted(&self) -> bool {
        self.state.borrow().held.is_some() || self.trying_until.is_some()
    }

    /// A session is in step: TLS has taken the clock for good.
    fn prove(&mut self, wall: SystemTime, now: Instant) {
        let is_due = self.kept_at.is_none_or(|at| now.duration_since(at) >= KEEP_EVERY);
        self.trying_until = None;
        self.kept = Some(wall);
        if !is_due {
            return;
        }
        let kept = Kept { reached_ms: to_stored_ms(wall) };
        let text = serde_json::to_vec(&kept).unwrap_or_default();
        let made = if self.directory.is_dir() { Ok(()) } else { make_folder(&self.directory) };
        // What is wrong with the disk is said by the sessions.
        let written = made.and_then(|()| replace(&self.directory, CLOCK_FILE, &text));
        self.is_owed = written.is_err();
        if !self.is_owed {
            self.kept_at = Some(now);
        }
    }

    fn look(&mut self, wall: SystemTime, now: Instant) {
        if self.was_set(wall, now) {
            // Whoever set the clock knows better than a time that was kept.
            info!("the clock was set");
            self.kept = None;
            self.trying_until = None;
            self.began = (wall, now);
            self.say(self.doubt(wall), (wall, now), true);
            return;
        }
        match self.doubt(wall) {
            Some(Doubt::BeforeKept(_)) if self.tries(now) => self.say(None, (wall, now), false),
            doubt => self.say(doubt, (wall, now), false),
        }
    }

    fn doubt(&self, wall: SystemTime) -> Option<Doubt> {
        if wall < SystemTime::UNIX_EPOCH + MADE {
            return Some(Doubt::BeforeMade);
        }
        self.kept.filter(|kept| wall + CLOCK_SLACK < *kept).map(Doubt::BeforeKept)
    }

    /// Whether a clock that is behind the kept time is given a try now.
    fn tries(&mut self, now: Instant) -> bool {
        match self.trying_until {
            Some(until) if now < until => true,
            Some(_over) => {
                self.trying_until = None;
                self.held_since = now;
                false
            }
            None if now.duration_since(self.held_since) >= TRY_AFTER => {
                self.trying_until = Some(now + TRY_FOR);
                true
            }
            None => false,
        }
    }

    /// Whether wall clock and steady clock have gone apart since the last time they were compared.
    fn was_set(&self, wall: SystemTime, now: Instant) -> bool {
        let (began, at) = self.began;
        let expected = began + now.duration_since(at);
        let apart = wall.duration_since(expected).or_else(|_| expected.duration_since(wall));
        apart.is_ok_and(|apart| apart >= STEP)
    }

    fn say(&mut self, doubt: Option<Doubt>, (wall, now): (SystemTime, Instant), is_news: bool) {
        let held = doubt.map(|doubt| self.words(doubt, wall));
        let before = self.state.borrow().held.is_some();
        if before == held.is_some() && !is_news {
            return;
        }
        match &held {
            Some(why) => warn!(why, "the clock can't be right, no connection is attempted"),
            None if before => info!("the clock can be right, connecting"),
            None => {}
        }
        if held.is_some() && !before {
            self.held_since = now;
        }
        self.state.send_modify(|state| {
            state.held = held;
            state.changes = state.changes.wrapping_add(1);
        });
    }

    fn words(&self, doubt: Doubt, wall: SystemTime) -> String {
        let show = Timestamp::from;
        let found = show(wall.max(SystemTime::UNIX_EPOCH));
        match doubt {
            Doubt::BeforeMade => {
                let made = show(SystemTime::UNIX_EPOCH + MADE);
                format!("the clock says {found}, and this program was made after {made}; set it")
            }
            Doubt::BeforeKept(kept) => format!(
                "the clock says {found}, and it was {} when the hub was last reached; set it, or \
                 delete `{}` if that time was wrong",
                show(kept),
                self.directory.join(CLOCK_FILE).display()
            ),
        }
    }
}

/// Reads the kept time; a file that says nothing readable keeps none.
fn read(file: &Path) -> Option<SystemTime> {
    let text = std::fs::read(file).ok()?;
    match serde_json::from_slice::<Kept>(&text) {
        Ok(kept) => SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(kept.reached_ms)),
        Err(error) => {
            warn!(file = %file.display(), %error, "the kept time is not readable, going without");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    /// A keeper on a directory whose kept time is `kept`, and a wall clock that says `wall`.
    fn keeper(kept: Option<SystemTime>, wall: SystemTime) -> (ClockKeeper, ClockReceiver) {
        let directory = tempfile::tempdir().unwrap();
        let (mut keeper, receiver) =
            ClockKeeper::open(directory.path(), watch::Sender::new(0).subscribe());
        keeper.kept = kept;
        keeper.began = (wall, keeper.began.1);
        keeper.held_since = keeper.began.1;
        keeper.look(wall, keeper.began.1);
        (keeper, receiver)
    }

    fn made() -> SystemTime {
        SystemTime::UNIX_EPOCH + MADE
    }

    fn held(clock: &ClockReceiver) -> Option<String> {
        clock.borrow().held.clone()
    }

    #[test]
    fn a_clock_before_the_program_was_made_is_held_until_it_is_set() {
        let (mut keeper, clock) = keeper(None, SystemTime::UNIX_EPOCH);
        assert!(held(&clock).unwrap().contains("1970-01-01"), "{:?}", held(&clock));
        let (wall, now) = keeper.began;
        keeper.look(wall + DAY, now + DAY);
        assert!(held(&clock).is_some(), "time alone does not mend it");
        let changes = clock.borrow().changes;
        keeper.look(made() + DAY, now + DAY + LOOK);
        assert_eq!(held(&clock), None);
        assert!(clock.borrow().changes > changes);
    }

    #[test]
    fn a_clock_behind_the_kept_time_is_held_and_one_a_little_behind_is_not() {
        let kept = made() + 10 * DAY;
        let (_keeper, clock) = keeper(Some(kept), kept - DAY);
        assert!(held(&clock).unwrap().contains(CLOCK_FILE));
        let (_keeper, clock) = keeper(Some(kept), kept - Duration::from_secs(60));
        assert_eq!(held(&clock), None);
    }

    #[test]
    fn who_sets_the_clock_back_is_believed() {
        let kept = made() + 3650 * DAY;
        let (mut keeper, clock) = keeper(Some(kept), made() + DAY);
        assert!(held(&clock).is_some());
        let now = keeper.began.1;
        keeper.look(made() + 2 * DAY, now + LOOK);
        assert_eq!(held(&clock), None);
    }

    #[test]
    fn a_kept_time_that_is_wrong_does_not_hold_for_ever() {
        let kept = made() + 3650 * DAY;
        let (mut keeper, clock) = keeper(Some(kept), made() + DAY);
        let (wall, now) = keeper.began;
        let look = |keeper: &mut ClockKeeper, passed| keeper.look(wall + passed, now + passed);
        look(&mut keeper, TRY_AFTER);
        assert_eq!(held(&clock), None, "it is tried");
        look(&mut keeper, TRY_AFTER + TRY_FOR);
        assert!(held(&clock).is_some(), "the try came to nothing");
        look(&mut keeper, 3 * TRY_AFTER);
        assert_eq!(held(&clock), None);
        keeper.prove(wall + 3 * TRY_AFTER, now + 3 * TRY_AFTER);
        look(&mut keeper, 9 * TRY_AFTER);
        assert_eq!(held(&clock), None, "the hub took it");
    }

    #[test]
    fn what_is_kept_is_read_again_and_damage_keeps_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let reached = || watch::Sender::new(0).subscribe();
        let (mut keeper, _clock) = ClockKeeper::open(directory.path(), reached());
        assert_eq!(keeper.kept, None);
        let wall = made() + DAY;
        keeper.prove(wall, Instant::now());
        let (again, _clock) = ClockKeeper::open(directory.path(), reached());
        assert_eq!(again.kept, Some(wall));
        for damage in [&b""[..], b"{", b"{\"reached_ms\":-1}", b"null", b"\xff"] {
            std::fs::write(directory.path().join(CLOCK_FILE), damage).unwrap();
            let (damaged, _clock) = ClockKeeper::open(directory.path(), reached());
            assert_eq!(damaged.kept, None);
        }
    }
}
