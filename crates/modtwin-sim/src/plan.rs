//! What is going to happen in a history: who does what and when, drawn from the seed beforehand, so
//! that single actions can be left out without changing the others.

use std::collections::BTreeSet;

use fastrand::Rng;

use crate::chance::Strike;

/// A spell of weather: something that lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Spell {
    /// The hub throttles: 429 for requests, refused connects.
    Throttled,
    /// The hub answers with 500 and 503.
    Failing,
    /// The hub's daily quota is used up.
    Quota,
    /// The hub refuses every credential.
    Refused,
    /// The disk is full.
    DiskFull,
    /// The disk takes seconds for each write.
    DiskSlow,
    /// The hub can't be reached.
    Down,
}

impl Spell {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Throttled,
        Self::Failing,
        Self::Quota,
        Self::Refused,
        Self::DiskFull,
        Self::DiskSlow,
        Self::Down,
    ];
}

/// Something that somebody does, or that befalls somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// A handler reports.
    Report,
    /// The back end patches desired.
    Desire,
    /// A handler acknowledges what it sees.
    Acknowledge,
    /// The link breaks, and the session hears of it soon.
    Cut,
    /// The link breaks silently.
    Silence,
    /// `kill -9` of the daemon.
    Crash,
    /// The daemon is stopped and started again.
    Restart,
    /// The hub's end restarts: all links break at once.
    HubRestart,
    /// The identity is deleted and created again.
    Recreate,
    /// The hub fails over to older data.
    FailOver,
    /// An operator asks for a reconnect.
    Reconnect,
    /// The machine sleeps: the clock leaps, and everything is late.
    Suspend,
    /// A spell begins.
    Begin(Spell),
}

/// A deed with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action {
    /// Its place in the plan, which names it.
    pub number: u32,
    /// When, in milliseconds.
    pub at: u64,
    /// Which module it concerns.
    pub module: usize,
    /// What.
    pub deed: Deed,
    /// Decides its details.
    pub seed: u64,
}

/// What of a history is left out; nothing where it is all default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cut {
    /// The storm ends here, in milliseconds.
    pub until_ms: Option<u64>,
    /// Only these actions happen.
    pub actions: Option<BTreeSet<u32>>,
    /// Only these faults strike.
    pub strikes: Option<BTreeSet<Strike>>,
}

/// A history before it happens.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// How many modules there are.
    pub modules: usize,
    /// Whether acknowledgements go to the hub.
    pub plug_and_play: bool,
    /// How long a handler may keep silent about a version, in milliseconds.
    pub ack_timeout_ms: Option<u64>,
    /// How long things go wrong.
    pub storm_ms: u64,
    /// What happens meanwhile, by time.
    pub actions: Vec<Action>,
    /// Which faults may strike, where it is not the seed's matter.
    pub strikes: Option<BTreeSet<Strike>>,
}

/// The deeds other than what handlers and the back end do, each with how often it happens among
/// them.
const MISHAPS: [(Deed, u8); 16] = [
    (Deed::Cut, 8),
    (Deed::Silence, 3),
    (Deed::Crash, 6),
    (Deed::Restart, 3),
    (Deed::HubRestart, 3),
    (Deed::Recreate, 2),
    (Deed::FailOver, 2),
    (Deed::Reconnect, 3),
    (Deed::Suspend, 2),
    (Deed::Begin(Spell::Throttled), 2),
    (Deed::Begin(Spell::Failing), 2),
    (Deed::Begin(Spell::Quota), 1),
    (Deed::Begin(Spell::Refused), 1),
    (Deed::Begin(Spell::DiskFull), 2),
    (Deed::Begin(Spell::DiskSlow), 2),
    (Deed::Begin(Spell::Down), 2),
];

/// The time after the last action during which faults go on.
const AFTERMATH_MS: u64 = 20_000;

impl Plan {
    /// The history `seed`, less what `cut` leaves out.
    #[must_use]
    pub fn new(seed: u64, cut: &Cut) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x0009_1a11);
        let modules = if rng.u8(0..4) == 0 { rng.usize(2..=3) } else { 1 };
        let plug_and_play = rng.bool();
        let ack_timeout_ms = rng.bool().then(|| rng.u64(500..60_000));
        let mishaps: Vec<(Deed, u8)> = MISHAPS.into_iter().filter(|_| rng.bool()).collect();
        let mut actions = draw_actions(&mut rng, modules, &mishaps);
        if let Some(only) = &cut.actions {
            actions.retain(|action| only.contains(&action.number));
        }
        let end = cut.until_ms.unwrap_or(u64::MAX);
        actions.retain(|action| action.at < end);
        let last = actions.last().map_or(0, |action| action.at);
        let storm_ms = (last + AFTERMATH_MS).min(end);
        let strikes = cut.strikes.clone();
        Self { seed, modules, plug_and_play, ack_timeout_ms, storm_ms, actions, strikes }
    }
}

fn draw_actions(rng: &mut Rng, modules: usize, mishaps: &[(Deed, u8)]) -> Vec<Action> {
    let most = if rng.u8(0..20) == 0 { 200 } else { 40 };
    let count = rng.u32(4..=most);
    // Some histories are hectic, in some the ladders of waits get climbed.
    let pace = [500, 2_000, 20_000].get(rng.usize(0..3)).copied().unwrap_or(500);
    let mut at = 0;
    (0..count)
        .map(|number| {
            at += if rng.u8(0..4) == 0 { rng.u64(1..pace * 4) } else { rng.u64(1..pace) };
            let (module, deed) = (rng.usize(0..modules), draw_deed(rng, mishaps));
            Action { number, at, module, deed, seed: rng.u64(..) }
        })
        .collect()
}

fn draw_deed(rng: &mut Rng, mishaps: &[(Deed, u8)]) -> Deed {
    match rng.u8(0..100) {
        0..40 => return Deed::Report,
        40..60 => return Deed::Desire,
        60..70 => return Deed::Acknowledge,
        _ => {}
    }
    let total = mishaps.iter().map(|(_, weight)| u32::from(*weight)).sum::<u32>();
    let mut left = rng.u32(0..total.max(1));
    for (deed, weight) in mishaps {
        match left.checked_sub(u32::from(*weight)) {
            Some(rest) => left = rest,
            None => return *deed,
        }
    }
    Deed::Report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_changes_nothing_else() {
        let whole = Plan::new(3, &Cut::default());
        let kept: BTreeSet<u32> = (0..200).filter(|number| number % 3 == 0).collect();
        let part = Plan::new(3, &Cut { actions: Some(kept.clone()), ..Cut::default() });
        let expected: Vec<Action> =
            whole.actions.iter().filter(|action| kept.contains(&action.number)).copied().collect();
        assert_eq!(part.actions, expected);
        assert!(!expected.is_empty());
        let until = whole.actions[whole.actions.len() / 2].at;
        let early = Plan::new(3, &Cut { until_ms: Some(until), ..Cut::default() });
        assert_eq!(early.storm_ms, until);
        assert_eq!(early.actions[..], whole.actions[..whole.actions.len() / 2]);
    }

    #[test]
    fn every_deed_happens_in_some_history() {
        let deeds: Vec<Deed> = (0..200)
            .flat_map(|seed| Plan::new(seed, &Cut::default()).actions)
            .map(|a| a.deed)
            .collect();
        for (deed, _) in MISHAPS {
            assert!(deeds.contains(&deed), "{deed:?}");
        }
    }
}
