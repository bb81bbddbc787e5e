//! What somebody does, or what befalls somebody: handlers, the back end, operators, accidents.

use fastrand::Rng;
use modtwin_core::acknowledgement::Acknowledgement;
use modtwin_core::document::{Document, Pointer};
use modtwin_core::session::Taken;
use modtwin_core::time::Millis;
use serde_json::{Value, json};

use super::seat::{Fate, Made, Said, Seat, session, shown};
use super::stage::{Event, Stage};
use super::{Broken, World};
use crate::hub::POISON;
use crate::plan::{Action, Deed};

/// The keys of reports. Desired keys begin with `w`, so that reports and answers to desired values
/// keep out of each other's way.
const KEYS: [&str; 5] = ["a", "b", "c", "o", "o"];

impl World {
    pub(super) fn act(&mut self, action: &Action) -> Result<(), Broken> {
        let mut rng = Rng::with_seed(action.seed);
        let stage = &mut self.stage;
        stage.note(action.module, || format!("action {}: {:?}", action.number, action.deed));
        match action.deed {
            Deed::Begin(spell) => {
                stage.begin(spell, rng.u64(1_000..90_000));
                return Ok(());
            }
            Deed::Suspend => {
                stage.now += rng.u64(1_000..1_000_000);
                for seat in &mut self.seats {
                    seat.asking.woke(stage.now);
                }
                return Ok(());
            }
            Deed::HubRestart => {
                for seat in &mut self.seats {
                    seat.cut(stage, rng.u64(0..3_000))?;
                }
                return Ok(());
            }
            Deed::Crash | Deed::Restart => return self.fall(action.deed, &mut rng),
            _ => {}
        }
        match self.seats.get_mut(action.module) {
            Some(seat) => seat.act(stage, action.deed, &mut rng),
            None => Ok(()),
        }
    }

    /// The daemon goes, by force or in good order.
    fn fall(&mut self, deed: Deed, rng: &mut Rng) -> Result<(), Broken> {
        let stage = &mut self.stage;
        if stage.stopping {
            return Ok(());
        }
        stage.stopping = true;
        let life = stage.life;
        if deed == Deed::Restart {
            for seat in &mut self.seats {
                seat.session.stop(Millis(stage.now));
            }
            // What is not written within this time is lost.
            stage.after(rng.u64(0..3_000), 0, Event::Return { life });
            return Ok(());
        }
        stage.tally.crashes += 1;
        for seat in &mut self.seats {
            seat.end_link(stage)?;
        }
        self.come_back(life)
    }

    /// The daemon begins anew from what is on disk; a write under way may just have made it.
    pub(super) fn come_back(&mut self, life: u64) -> Result<(), Broken> {
        let stage = &mut self.stage;
        if life != stage.life {
            return Ok(());
        }
        stage.life += 1;
        stage.stopping = false;
        stage.new_daemon();
        for seat in &mut self.seats {
            seat.come_back(stage)?;
        }
        Ok(())
    }
}

impl Seat {
    fn act(&mut self, stage: &mut Stage, deed: Deed, rng: &mut Rng) -> Result<(), Broken> {
        match deed {
            Deed::Report if !stage.stopping => self.report(stage, rng),
            Deed::Acknowledge if !stage.stopping => {
                let path = if rng.u8(0..3) == 0 { "/wa" } else { "" };
                self.acknowledge(stage, rng, path)
            }
            Deed::Desire => {
                self.desire(stage, rng);
                Ok(())
            }
            Deed::Cut => self.cut(stage, rng.u64(0..3_000)),
            // One and a half times a keep-alive of three minutes.
            Deed::Silence => self.cut(stage, rng.u64(1_000..270_000)),
            Deed::Recreate | Deed::FailOver => {
                self.cut(stage, rng.u64(0..3_000))?;
                if deed == Deed::Recreate {
                    self.hub.recreate();
                } else {
                    self.hub.fail_over(rng.usize(0..8));
                }
                self.watching.hub_lost();
                Ok(())
            }
            Deed::Reconnect if !stage.stopping => {
                self.asking.excused = true;
                self.session.reconnect(Millis(stage.now));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn come_back(&mut self, stage: &mut Stage) -> Result<(), Broken> {
        self.end_link(stage)?;
        self.link.epoch += 1;
        if let Some(write) = self.write.take()
            && stage.rng.bool()
        {
            stage.note(self.index, || "the write under way was done just in time".into());
            self.commit(stage, write);
        }
        for made in &mut self.made {
            if made.fate == Fate::Pending {
                // Its number will be another's.
                (made.fate, made.sequence) = (Fate::Dropped, None);
            }
        }
        for said in &mut self.said {
            if said.fate == Fate::Pending {
                said.fate = Fate::Dropped;
            }
        }
        self.watching.daemon_began();
        // The hub lost something, and the daemon died before it noted that on disk.
        if self.disk.twin.reported.as_ref().is_some_and(|known| {
            (known.version, &known.document)
                != (self.hub.reported.version, &self.hub.reported.document)
                && known.version >= self.hub.reported.version
        }) {
            self.watching.hub_lost();
        }
        self.asking.daemon_began();
        (self.member, self.held) = (stage.governor.join(Millis(stage.now)), 0);
        let seed = (self.plug_and_play, stage.rng.u64(..));
        self.session = session(seed, self.disk.clone(), &self.rules, stage.now);
        stage.note(self.index, || format!("begins anew with {:?}", self.disk));
        if *self.session.twin() == self.disk.twin {
            return Ok(());
        }
        Err(self.broken(stage, "local first", "the twin served is not the disk's".into()))
    }

    fn desire(&mut self, stage: &mut Stage, rng: &mut Rng) {
        let value = rng.u8(0..9);
        let patch = patch(rng, &json!(value));
        let mut patch: Document =
            patch.into_iter().map(|(key, value)| (format!("w{key}"), value)).collect();
        match rng.u8(0..10) {
            0 => drop(patch.insert("wk".into(), json!({"__t": "c", "s": value}))),
            1 => drop(patch.insert("wk".into(), json!({"__t": "c", "s": null, "t": value}))),
            2 => drop(patch.insert("wk".into(), Value::Null)),
            _ => {}
        }
        let note = self.hub.desire(&patch);
        stage.tally.desired += 1;
        self.asking.occasions += 1;
        if self.link.subscribed {
            self.deliver(stage, note);
        }
    }

    /// A handler's word on all that it sees, if it sees anything.
    pub(super) fn acknowledge_all(&mut self, stage: &mut Stage) -> Result<(), Broken> {
        let mut rng = Rng::with_seed(stage.rng.u64(..));
        self.acknowledge(stage, &mut rng, "")
    }

    fn acknowledge(&mut self, stage: &mut Stage, rng: &mut Rng, path: &str) -> Result<(), Broken> {
        let twin = self.session.twin();
        let (Some(desired), Ok(path)) = (&twin.desired, Pointer::parse(path)) else {
            return Ok(());
        };
        let generation = twin.generation;
        let (version, status) = (desired.version, if rng.bool() { 200 } else { 400 });
        let said = Acknowledgement {
            handler: if rng.u8(0..4) == 0 { "other" } else { "handler" }.into(),
            generation: rng.bool().then_some(generation),
            version,
            status,
            description: rng.bool().then(|| "because".into()),
            paths: vec![path],
            // The wall clock is anybody's guess.
            at_ms: rng.u64(0..2_000_000_000_000),
        };
        let newest = self.session.durable().sequence;
        match self.session.acknowledge(Millis(stage.now), said) {
            Ok(sequence) => {
                // The same word once more is on disk already.
                let fate = if sequence > newest { Fate::Pending } else { Fate::Durable };
                self.said.push(Said { sequence, generation, version, status, fate });
                Ok(())
            }
            Err(refused) => {
                let how = format!("an acknowledgement of what is seen is refused: {refused:?}");
                Err(self.broken(stage, "acknowledgements are taken", how))
            }
        }
    }

    fn report(&mut self, stage: &mut Stage, rng: &mut Rng) -> Result<(), Broken> {
        let index = self.made.len();
        let old = self.made.get(rng.usize(0..=index)).filter(|made| made.fate == Fate::Durable);
        let patch = match old {
            // What was reported before, once more.
            Some(made) if rng.u8(0..5) == 0 => made.patch.clone(),
            _ => {
                let mut patch = patch(rng, &json!(index));
                if rng.u8(0..20) == 0 {
                    let key = POISON.get(rng.usize(0..POISON.len())).copied().unwrap_or_default();
                    patch.insert(key.into(), json!(index));
                }
                patch
            }
        };
        stage.note(self.index, || format!("report {index}: {}", shown(&patch)));
        if let Some(sequence) = self.session.waits_already(&patch) {
            let (sequence, fate) = (Some(sequence), Fate::Durable);
            self.made.push(Made { sequence, patch, fate });
            return Ok(());
        }
        let (sequence, fate) = match self.session.report(Millis(stage.now), patch.clone()) {
            Ok(Taken::Staged { sequence }) => (Some(sequence), Fate::Pending),
            Ok(Taken::AlreadyThere { .. }) => (None, Fate::Durable),
            Err(violation) => {
                let how = format!("a legal report is refused: {violation:?}");
                return Err(self.broken(stage, "reports are taken", how));
            }
        };
        self.made.push(Made { sequence, patch, fate });
        Ok(())
    }
}

/// A merge patch of one to three keys: `value`, deletes, objects.
fn patch(rng: &mut Rng, value: &Value) -> Document {
    let mut patch = Document::new();
    for _ in 0..rng.u8(1..4) {
        let key = rng.choice(KEYS).unwrap_or_default();
        let value = match (key, rng.u8(0..5)) {
            (_, 0) => Value::Null,
            ("o", 1) => json!({"x": value}),
            ("o", 2) => json!({"x": {"y": value}, "z": null}),
            ("o", 3) => json!({"z": {}}),
            _ => value.clone(),
        };
        patch.insert(key.into(), value);
    }
    patch
}
