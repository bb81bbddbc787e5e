//! A fleet of gateways that returns after an outage of its hub, in virtual time.
//!
//! This file owns time and the order of events. What the hub lets through is in `hub`, what a
//! gateway with the real core does in `gateway`, what other clients do in `plain`, which fleets are
//! looked at and the page about them in `page`.

mod gateway;
mod hub;
pub mod page;
mod plain;
mod queue;

use std::time::Duration;

use fastrand::Rng;

use self::gateway::Gateway;
use self::hub::Hub;
pub use self::hub::Tier;
pub use self::plain::Habit;
use self::plain::Plain;
use self::queue::Queue;

/// How many modules a gateway has.
pub const MODULES: usize = 20;

/// How the clients of a fleet behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// As modtwin: the real sessions and the real budget of a daemon.
    Modtwin,
    /// Each module for itself, by a simple rule.
    Plain(Habit),
}

/// What to simulate.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// How many gateways.
    pub gateways: usize,
    /// What the hub lets through.
    pub tier: Tier,
    /// How long it is away.
    pub outage: Duration,
    /// Who returns.
    pub client: Client,
    /// Only one gateway in so many is simulated, against a hub that lets as much less through.
    pub scale: usize,
    /// Decides all that is random.
    pub seed: u64,
}

/// How the fleet returned; times since the hub's return.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct Return {
    /// The least time that the hub's meters allow, in seconds.
    pub bound: f64,
    /// Until half of the modules were in step, in seconds.
    pub half: f64,
    /// Until 99 of a hundred were.
    pub most: f64,
    /// Until all were.
    pub all: f64,
    /// The most connection attempts in one second.
    pub peak_connects: u64,
    /// The most twin reads in one second.
    pub peak_reads: u64,
    /// Refused attempts and reads a module.
    pub refused: f64,
    /// Modules that were in step at the end, of all.
    pub returned: usize,
    /// All modules.
    pub modules: usize,
}

/// Something that happens to a module or a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// A module's session wants to be called.
    Deadline,
    /// A module's attempt or request `number` may go now.
    Turn { number: u32 },
    /// The hub's answer to the attempt `number`.
    Connected { number: u32, good: bool },
    /// The answer to the subscription.
    Subscribed { number: u32 },
    /// The answer to the twin request `number`.
    Read { number: u32, good: bool },
    /// A plain client tries again.
    Again { number: u32 },
}

/// All that a client may touch.
struct World {
    now: u64,
    rng: Rng,
    hub: Hub,
    queue: Queue,
    returned_at: Vec<u64>,
    returned: usize,
}

impl World {
    fn after(&mut self, wait: u64, module: usize, event: Event) {
        self.queue.push(self.now + wait, module, event);
    }

    /// A module is in step.
    fn in_step(&mut self, module: usize) {
        if self.now < self.hub.back_at {
            return;
        }
        if let Some(at) = self.returned_at.get_mut(module)
            && *at == u64::MAX
        {
            *at = self.now;
            self.returned += 1;
        }
    }
}

/// How long a fleet is watched at most, in multiples of the bound, and at least.
const WATCHED_BOUNDS: f64 = 8.0;
const WATCHED_MS: u64 = 1_800_000;

/// Lets a fleet return.
#[must_use]
pub fn simulate(scenario: &Scenario) -> Return {
    let gateways = (scenario.gateways / scenario.scale.max(1)).max(1);
    let modules = gateways * MODULES;
    let outage = u64::try_from(scenario.outage.as_millis()).unwrap_or(u64::MAX);
    let tier = scenario.tier.scaled(scenario.scale);
    let mut world = World {
        now: 0,
        rng: Rng::with_seed(scenario.seed),
        hub: Hub::new(tier, outage),
        queue: Queue::default(),
        returned_at: vec![u64::MAX; modules],
        returned: 0,
    };
    let bound = tier.least_seconds(modules);
    let end = outage + WATCHED_MS + seconds_to_ms(bound * WATCHED_BOUNDS);
    match scenario.client {
        Client::Modtwin => {
            let mut fleet: Vec<Gateway> =
                (0..gateways).map(|index| Gateway::in_step(index, &mut world.rng)).collect();
            for gateway in &mut fleet {
                gateway.lose_hub(&mut world);
            }
            run(&mut world, end, |world, module, event| {
                if let Some(gateway) = fleet.get_mut(module / MODULES) {
                    gateway.handle(world, module, event);
                }
            });
        }
        Client::Plain(habit) => {
            let mut fleet = vec![Plain::new(habit); modules];
            for (module, client) in fleet.iter_mut().enumerate() {
                client.lose_hub(&mut world, module);
            }
            run(&mut world, end, |world, module, event| {
                if let Some(client) = fleet.get_mut(module) {
                    client.handle(world, module, event);
                }
            });
        }
    }
    summary(world, bound, scenario.scale)
}

fn run(world: &mut World, end: u64, mut handle: impl FnMut(&mut World, usize, Event)) {
    while world.returned < world.returned_at.len()
        && let Some((at, module, event)) = world.queue.pop()
        && at <= end
    {
        world.now = at;
        handle(world, module, event);
    }
}

fn summary(world: World, bound: f64, scale: usize) -> Return {
    let modules = world.returned_at.len();
    let mut times = world.returned_at;
    times.sort_unstable();
    let back_at = world.hub.back_at;
    let at = |share: usize| {
        let index = (modules * share).div_ceil(100).saturating_sub(1);
        let at = times.get(index).copied().unwrap_or(u64::MAX);
        if at == u64::MAX { f64::INFINITY } else { ms_to_seconds(at - back_at) }
    };
    let scale = u64::try_from(scale).unwrap_or(1);
    Return {
        bound,
        half: at(50),
        most: at(99),
        all: at(100),
        peak_connects: world.hub.connects.peak() * scale,
        peak_reads: world.hub.reads.peak() * scale,
        refused: ratio(world.hub.connects.refused() + world.hub.reads.refused(), modules),
        returned: world.returned,
        modules,
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn ratio(count: u64, of: usize) -> f64 {
    count as f64 / of.max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "hours in milliseconds are small")]
fn ms_to_seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "hours in milliseconds are small and not negative"
)]
fn seconds_to_ms(seconds: f64) -> u64 {
    (seconds * 1000.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(client: Client) -> Scenario {
        Scenario {
            gateways: 40,
            tier: Tier { name: "small", connects: 20.0, reads: 20.0 },
            outage: Duration::from_secs(60),
            client,
            scale: 1,
            seed: 7,
        }
    }

    #[test]
    fn a_fleet_returns_no_faster_than_its_hub_lets_it_and_not_much_slower() {
        for client in [Client::Modtwin, Client::Plain(Habit::Fixed), Client::Plain(Habit::Node)] {
            let found = simulate(&scenario(client));
            assert_eq!((found.returned, found.modules), (800, 800), "{client:?}");
            assert!(found.all >= found.bound * 0.9, "{client:?}: {found:?}");
        }
        let found = simulate(&scenario(Client::Modtwin));
        assert!(found.most < found.bound * 3.0 + 120.0, "{found:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_return() {
        let (one, two) =
            (simulate(&scenario(Client::Modtwin)), simulate(&scenario(Client::Modtwin)));
        assert_eq!(format!("{one:?}"), format!("{two:?}"));
    }
}
