//! A gateway with the real core: twenty sessions, one budget. Its disk is good and fast.

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;
use modtwin_core::document::Document;
use modtwin_core::governor::{Governor, Member, Policy};
use modtwin_core::message::{Answer, HubMessage, Refusal, RequestId};
use modtwin_core::session::{Durable, Effect, Notice, Session, Settings};
use modtwin_core::status::{Fault, Reason};
use modtwin_core::time::Millis;
use modtwin_core::twin::Section;

use super::{Event, MODULES, World};

/// How long a failed attempt, a handshake and an answer take, in milliseconds.
const FAILS_AFTER: std::ops::Range<u64> = 5..100;
const HANDSHAKE: std::ops::Range<u64> = 60..200;
const ANSWER: std::ops::Range<u64> = 20..60;

/// One module.
struct Module {
    session: Session,
    member: Member,
    /// The number of the newest attempt or request; what comes for an older one is ignored.
    number: u32,
    asked: Option<RequestId>,
    /// For when the earliest call is queued.
    armed: u64,
    waits_to_connect: bool,
}

/// See the module's page.
pub(super) struct Gateway {
    first: usize,
    modules: Vec<Module>,
    governor: Governor,
    /// Modules that wait for their turn to connect.
    connects: VecDeque<usize>,
}

impl Gateway {
    /// A gateway whose modules have been in step for a while.
    pub(super) fn in_step(index: usize, rng: &mut Rng) -> Self {
        let retry_base = Duration::from_secs(1);
        let policy = Policy {
            connect_spacing: Duration::from_millis(50),
            operations_per_second: 20,
            retry_base,
        };
        let mut governor = Governor::new(policy, Millis(0), rng.u64(..));
        // All has been well: the space between connects is the smallest.
        (0..8).for_each(|_| governor.succeeded());
        let modules = (0..MODULES).map(|_| {
            let member = governor.join(Millis(0));
            let session = live_session(rng.u64(..));
            Module {
                session,
                member,
                number: 0,
                asked: None,
                armed: u64::MAX,
                waits_to_connect: false,
            }
        });
        let modules = modules.collect();
        Self { first: index * MODULES, modules, governor, connects: VecDeque::new() }
    }

    /// All links break.
    pub(super) fn lose_hub(&mut self, world: &mut World) {
        for index in 0..MODULES {
            // Nobody hears of it at the very same moment.
            let after = world.rng.u64(FAILS_AFTER);
            if let Some(module) = self.modules.get_mut(index) {
                let fault = Fault::new(Reason::Network, "gone");
                self.governor.failed(Millis(world.now + after), Reason::Network);
                module.session.handle_lost(Millis(world.now + after), fault);
            }
            self.perform(world, index);
        }
    }

    pub(super) fn handle(&mut self, world: &mut World, module: usize, event: Event) {
        let index = module - self.first;
        let now = Millis(world.now);
        let Some(module) = self.modules.get_mut(index) else { return };
        match event {
            // An earlier call has been queued since, and has set the next.
            Event::Deadline if world.now != module.armed => return,
            Event::Deadline => {
                module.armed = u64::MAX;
                module.session.handle_timeout(now);
            }
            Event::Turn { number } if number == module.number => self.turn(world, index),
            Event::Connected { number, good } if number == module.number => {
                if good {
                    module.session.handle_connected(now);
                } else {
                    self.governor.failed(now, Reason::Network);
                    let fault = Fault::new(Reason::Network, "refused");
                    module.session.handle_failed(now, fault);
                }
            }
            Event::Subscribed { number } if number == module.number => {
                module.session.handle_subscribed(now);
            }
            Event::Read { number, good } if number == module.number => {
                self.answered(now, index, good);
            }
            _ => {}
        }
        self.connect_turn(world, index, event);
        self.perform(world, index);
    }

    /// The answer to a twin request.
    fn answered(&mut self, now: Millis, index: usize, good: bool) {
        let Some(module) = self.modules.get_mut(index) else { return };
        let Some(request) = module.asked.take() else { return };
        let answer = if good {
            twin()
        } else {
            self.governor.failed(now, Reason::Throttled);
            Answer::Refused(Refusal { status: 429, message: "ThrottlingException".into() })
        };
        module.session.handle_message(now, HubMessage::Answer { request, answer });
    }

    /// A request that was held may get its turn.
    fn turn(&mut self, world: &mut World, index: usize) {
        let now = Millis(world.now);
        let Some(module) = self.modules.get_mut(index) else { return };
        let Some(request) = module.asked.filter(|request| module.session.awaits(*request)) else {
            return;
        };
        match self.governor.operation(now, module.member) {
            Ok(()) => {
                module.session.handle_sent(now, request);
                self.read(world, index);
            }
            Err(at) => {
                let event = Event::Turn { number: module.number };
                world.queue.push(at.0, self.first + index, event);
            }
        }
    }

    /// Whoever waits longest connects, if it is time.
    fn connect_turn(&mut self, world: &mut World, index: usize, event: Event) {
        let is_turn = matches!(event, Event::Again { .. });
        if !is_turn || self.connects.front() != Some(&index) {
            return;
        }
        if let Err(at) = self.governor.connect(Millis(world.now)) {
            return world.queue.push(at.0, self.first + index, Event::Again { number: 0 });
        }
        self.connects.pop_front();
        if let Some(next) = self.connects.front() {
            world.after(0, self.first + next, Event::Again { number: 0 });
        }
        let Some(module) = self.modules.get_mut(index) else { return };
        if !std::mem::take(&mut module.waits_to_connect) {
            return;
        }
        let number = module.number;
        let (wait, good) = match world.hub.connect(world.now) {
            Some(delay) => (delay + world.rng.u64(HANDSHAKE), true),
            None => (world.rng.u64(FAILS_AFTER), false),
        };
        world.after(wait, self.first + index, Event::Connected { number, good });
    }

    /// Asks the hub for the twin.
    fn read(&mut self, world: &mut World, index: usize) {
        let Some(module) = self.modules.get(index) else { return };
        let number = module.number;
        let answer = world.rng.u64(ANSWER);
        let (wait, good) = match world.hub.read(world.now) {
            Some(delay) => (delay + answer, true),
            None => (answer, false),
        };
        world.after(wait, self.first + index, Event::Read { number, good });
    }

    fn perform(&mut self, world: &mut World, index: usize) {
        let now = Millis(world.now);
        let mut reached = false;
        while let Some(module) = self.modules.get_mut(index)
            && let Some(effect) = module.session.poll_effect()
        {
            match effect {
                Effect::Connect => {
                    module.number = module.number.wrapping_add(1);
                    module.waits_to_connect = true;
                    self.queue_connect(world, index);
                }
                Effect::Subscribe => {
                    let event = Event::Subscribed { number: module.number };
                    let wait = world.rng.u64(ANSWER);
                    world.after(wait, self.first + index, event);
                }
                Effect::Send { id, .. } => {
                    module.number = module.number.wrapping_add(1);
                    module.asked = Some(id);
                    match self.governor.operation(now, module.member) {
                        Ok(()) => self.read(world, index),
                        Err(at) => {
                            module.session.handle_held(id);
                            let event = Event::Turn { number: module.number };
                            world.queue.push(at.0, self.first + index, event);
                        }
                    }
                }
                Effect::Disconnect => {
                    module.number = module.number.wrapping_add(1);
                    module.waits_to_connect = false;
                }
                Effect::Save => module.session.handle_saved(now, true),
                Effect::Notice(Notice::Synced { .. }) => reached = true,
                _ => {}
            }
        }
        if reached {
            world.in_step(self.first + index);
            self.governor.succeeded();
            for index in 0..MODULES {
                if let Some(module) = self.modules.get_mut(index) {
                    module.session.hasten(now);
                    while module.session.poll_effect().is_some() {}
                }
                self.arm(world, index);
            }
        }
        self.arm(world, index);
    }

    fn queue_connect(&mut self, world: &mut World, index: usize) {
        if self.connects.is_empty() {
            world.after(0, self.first + index, Event::Again { number: 0 });
        }
        self.connects.push_back(index);
    }

    /// Queues the session's next call, unless one is queued early enough.
    fn arm(&mut self, world: &mut World, index: usize) {
        let Some(module) = self.modules.get_mut(index) else { return };
        if let Some(at) = module.session.next_deadline()
            && at.0 < module.armed
        {
            module.armed = at.0;
            world.queue.push(at.0, self.first + index, Event::Deadline);
        }
    }
}

/// A session that went live long ago, by the same steps as any other.
fn live_session(seed: u64) -> Session {
    let settings = Settings {
        retry_base: Duration::from_secs(1),
        answer_limit: Duration::from_secs(30),
        connect_limit: Duration::from_secs(60),
        resync_every: Duration::from_secs(3600),
        plug_and_play: false,
        seed,
    };
    let now = Millis(0);
    let mut session = Session::new(settings, Durable::default(), now);
    session.handle_timeout(now);
    session.handle_connected(now);
    session.handle_subscribed(now);
    while let Some(effect) = session.poll_effect() {
        match effect {
            Effect::Send { id: request, .. } => {
                session.handle_message(now, HubMessage::Answer { request, answer: twin() });
            }
            Effect::Save => session.handle_saved(now, true),
            _ => {}
        }
    }
    session
}

fn twin() -> Answer {
    let section = || Section { version: 1, document: Document::new() };
    Answer::Twin { desired: section(), reported: section() }
}
