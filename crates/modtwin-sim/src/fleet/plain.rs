//! Clients that each follow a simple rule, one a module: what the official clients do (their sources,
//! late 2026), and the rules that people write themselves.

use fastrand::Rng;

use super::{Event, World};

/// How a client waits after its n-th failure in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// Ten seconds, always.
    Fixed,
    /// One second, doubling up to a minute, without jitter.
    Exponential,
    /// The C# and Java clients: 100 ms, doubling up to 10 s; Java's jitter of a fifth.
    Java,
    /// The Node client: 100 ms, doubling up to 10 s, between half and five quarters of it; throttled
    /// 10 s to a minute. (It gives up after four minutes; here somebody starts it again.)
    Node,
    /// The C client: one second, doubling up to 30 s, plus up to a twentieth.
    C,
    /// The Python client: at once, then every ten seconds.
    Python,
}

impl Habit {
    /// The wait after the `failures`-th failure in a row, in milliseconds.
    fn wait(self, failures: u32, throttled: bool, rng: &mut Rng) -> u64 {
        let doubled = |first: u64, most: u64| {
            first.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(most)
        };
        let mut spread =
            |wait: u64, low: u64, high: u64| rng.u64(wait * low / 100..=wait * high / 100);
        match self {
            Self::Fixed => 10_000,
            Self::Exponential => doubled(1_000, 60_000),
            Self::Java if failures == 1 => 0,
            Self::Java => spread(doubled(100, 10_000), 80, 120),
            Self::Node if throttled => spread(doubled(10_000, 60_000), 50, 125),
            Self::Node if failures == 1 => 0,
            Self::Node => spread(doubled(100, 10_000), 50, 125),
            Self::C => spread(doubled(1_000, 30_000), 100, 105),
            Self::Python if failures == 1 => 0,
            Self::Python => 10_000,
        }
    }
}

/// One module's client.
#[derive(Debug, Clone)]
pub(super) struct Plain {
    habit: Habit,
    failures: u32,
    is_connected: bool,
}

/// How long a failed attempt, a handshake and an answer take, in milliseconds.
const FAILS_AFTER: std::ops::Range<u64> = 5..100;
const HANDSHAKE: std::ops::Range<u64> = 60..200;
const ANSWER: std::ops::Range<u64> = 20..60;

impl Plain {
    pub(super) fn new(habit: Habit) -> Self {
        Self { habit, failures: 0, is_connected: false }
    }

    /// The link breaks: every client hears of it within a moment.
    pub(super) fn lose_hub(&mut self, world: &mut World, module: usize) {
        let after = world.rng.u64(FAILS_AFTER);
        self.fail(world, module, (after, false));
    }

    pub(super) fn handle(&mut self, world: &mut World, module: usize, event: Event) {
        match event {
            Event::Again { .. } if self.is_connected => self.read(world, module),
            Event::Again { .. } => match world.hub.connect(world.now) {
                Some(delay) => {
                    let wait = delay + world.rng.u64(HANDSHAKE);
                    world.after(wait, module, Event::Connected { number: 0, good: true });
                }
                None => {
                    let after = world.rng.u64(FAILS_AFTER);
                    self.fail(world, module, (after, false));
                }
            },
            Event::Connected { .. } => {
                self.is_connected = true;
                self.failures = 0;
                self.read(world, module);
            }
            Event::Read { .. } => world.in_step(module),
            _ => {}
        }
    }

    fn read(&mut self, world: &mut World, module: usize) {
        let answer = world.rng.u64(ANSWER);
        match world.hub.read(world.now) {
            Some(delay) => {
                world.after(delay + answer, module, Event::Read { number: 0, good: true });
            }
            None => self.fail(world, module, (answer, true)),
        }
    }

    fn fail(&mut self, world: &mut World, module: usize, (after, throttled): (u64, bool)) {
        self.failures = self.failures.saturating_add(1);
        let wait = after + self.habit.wait(self.failures, throttled, &mut world.rng);
        world.after(wait, module, Event::Again { number: 0 });
    }
}
