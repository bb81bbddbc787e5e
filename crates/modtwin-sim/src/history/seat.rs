//! A module's driver and all that belongs to it: the session, its disk, its link, its twin at the
//! hub, and what its handlers said. It performs effects as `modtwin-session` does.

use std::time::Duration;

use fastrand::Rng;
use modtwin_core::document::{Document, Pointer};
use modtwin_core::governor::Member;
use modtwin_core::handlers::HandlerRule;
use modtwin_core::message::{Request, RequestId};
use modtwin_core::session::{Durable, Effect, Notice, SILENCE_STATUS, Session, Settings};
use modtwin_core::time::Millis;
use modtwin_wire::Inbound;

use super::Broken;
use super::asking::Asking;
use super::link::{Link, News};
use super::promises::Watching;
use super::stage::{Event, Held, Stage};
use crate::chance::Fault;
use crate::hub::{self, Asked, Hub, Message};
use crate::plan::{Plan, Spell};

/// What became of something that was to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Pending,
    Durable,
    Dropped,
}

/// A report as it was made; numbers in it are its place among all, so that the hub's content tells
/// where it comes from.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) sequence: Option<u64>,
    pub(super) patch: Document,
    pub(super) fate: Fate,
}

/// A handler's word on a version of desired.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) sequence: u64,
    pub(super) generation: u64,
    pub(super) version: u64,
    pub(super) status: u16,
    pub(super) fate: Fate,
}

/// What a write under way carries.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) content: Durable,
    /// How many reports and words there were when it began.
    pub(super) made: usize,
    pub(super) said: usize,
}

/// See the module's page.
pub(super) struct Seat {
    pub(super) index: usize,
    pub(super) session: Session,
    pub(super) link: Link,
    pub(super) hub: Hub,
    pub(super) disk: Durable,
    pub(super) write: Option<Write>,
    pub(super) made: Vec<Made>,
    pub(super) said: Vec<Said>,
    pub(super) effects: u64,
    pub(super) hastened: u64,
    pub(super) watching: Watching,
    pub(super) asking: Asking,
    pub(super) plug_and_play: bool,
    /// The module's share of the daemon's budget, and how many requests wait for it.
    pub(super) member: Member,
    pub(super) held: u32,
    /// Who has to acknowledge what, and by when.
    pub(super) rules: Vec<HandlerRule>,
}

/// A session that continues from `durable`, with the settings that the daemon uses.
pub(super) fn session(
    (plug_and_play, seed): (bool, u64),
    durable: Durable,
    rules: &[HandlerRule],
    now: u64,
) -> Session {
    let settings = Settings {
        retry_base: Duration::from_secs(1),
        answer_limit: Duration::from_secs(30),
        connect_limit: Duration::from_secs(60),
        resync_every: Duration::from_secs(3600),
        plug_and_play,
        seed,
    };
    let mut session = Session::new(settings, durable, Millis(now));
    session.set_handlers(Millis(now), rules.to_vec());
    session
}

/// Two handlers, of which the first may be held to a time.
fn rules(ack_timeout_ms: Option<u64>) -> Vec<HandlerRule> {
    let all: Vec<Pointer> = Pointer::parse("").into_iter().collect();
    let ack_timeout = ack_timeout_ms.map(Duration::from_millis);
    let rule = |name: &str, ack_timeout| HandlerRule {
        name: name.to_owned(),
        watch: all.clone(),
        ack_timeout,
    };
    vec![rule("handler", ack_timeout), rule("other", None)]
}

impl Seat {
    pub(super) fn new(index: usize, plan: &Plan, stage: &mut Stage) -> Self {
        let salt = u64::try_from(index).unwrap_or_default();
        let seed = Rng::with_seed(plan.seed ^ salt).u64(..);
        let rules = rules(plan.ack_timeout_ms);
        Self {
            index,
            session: session((plan.plug_and_play, seed), Durable::default(), &rules, 0),
            rules,
            member: stage.governor.join(Millis(0)),
            held: 0,
            link: Link::default(),
            hub: Hub::default(),
            disk: Durable::default(),
            write: None,
            made: Vec::new(),
            said: Vec::new(),
            effects: 0,
            hastened: 0,
            watching: Watching::default(),
            asking: Asking::default(),
            plug_and_play: plan.plug_and_play,
        }
    }

    pub(super) fn handle(&mut self, stage: &mut Stage, event: Event) -> Result<(), Broken> {
        let now = Millis(stage.now);
        match event {
            Event::Link { epoch, news } if epoch == self.link.epoch => {
                stage.note(self.index, || format!("link: {news:?}"));
                self.link_news(stage, news);
            }
            Event::ToHub { epoch, rid, asked } if epoch == self.link.epoch && self.link.up => {
                self.at_hub(stage, (&rid, &asked))?;
            }
            Event::ToSession { epoch, message } if epoch == self.link.epoch && self.link.up => {
                self.message(stage, &message);
            }
            Event::Turn(held) if held.life == stage.life => {
                self.held -= 1;
                match stage.governor.operation(now, self.member) {
                    Err(at) => self.hold(stage, at, held),
                    Ok(()) if held.epoch == self.link.epoch && self.session.awaits(held.id) => {
                        self.ask(stage, held.id, &held.request)?;
                        self.session.handle_sent(now, held.id);
                    }
                    Ok(()) => {}
                }
            }
            Event::Written { life, good } if life == stage.life => {
                if let Some(write) = self.write.take() {
                    stage.note(self.index, || format!("write to disk: {}", said(good)));
                    if good {
                        self.commit(stage, write);
                    }
                    self.session.handle_saved(now, good);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn link_news(&mut self, stage: &mut Stage, news: News) {
        let now = Millis(stage.now);
        match news {
            News::Connected => {
                self.link.up = true;
                stage.tally.connects += 1;
                self.session.handle_connected(now);
            }
            News::Failed(fault) => {
                self.asking.failed(stage.now, fault.reason);
                stage.governor.failed(now, fault.reason);
                self.session.handle_failed(now, fault);
            }
            News::Subscribed => self.session.handle_subscribed(now),
            News::Lost(fault) => {
                // What was on its way when the peer went, comes to nothing now.
                (self.link.up, self.link.subscribed) = (false, false);
                stage.governor.failed(now, fault.reason);
                self.session.handle_lost(now, fault);
            }
        }
    }

    fn message(&mut self, stage: &mut Stage, message: &Message) {
        let now = Millis(stage.now);
        stage.note(self.index, || {
            format!("hears {} {}", message.topic, String::from_utf8_lossy(&message.payload))
        });
        match modtwin_wire::decode(&message.topic, &message.payload) {
            Ok(Inbound::Twin(message)) => {
                self.asking.heard(stage.now, self.link.epoch, &message);
                if let Some(reason) = message.slows_all() {
                    stage.governor.failed(now, reason);
                }
                self.session.handle_message(now, message);
            }
            Ok(Inbound::Method(_) | Inbound::Foreign) => {}
            Err(_unreadable) => {
                self.asking.occasions += 1;
                self.session.refresh(now);
            }
        }
    }

    /// What was on its way to disk is there.
    pub(super) fn commit(&mut self, stage: &mut Stage, write: Write) {
        self.disk = write.content;
        let (made, said) = (write.made, write.said);
        for made in self.made.iter_mut().take(made) {
            if made.fate == Fate::Pending {
                made.fate = Fate::Durable;
                stage.tally.reports += 1;
            }
        }
        for said in self.said.iter_mut().take(said) {
            if said.fate == Fate::Pending {
                said.fate = Fate::Durable;
            }
        }
    }

    /// Performs all effects; says whether the session came into step with the hub.
    pub(super) fn perform(&mut self, stage: &mut Stage) -> Result<bool, Broken> {
        let mut reached = false;
        self.count_silence(stage);
        while let Some(effect) = self.session.poll_effect() {
            self.effects += 1;
            self.check_effects(stage)?;
            if !matches!(effect, Effect::Changed) {
                stage.note(self.index, || format!("  effect {effect:?}"));
            }
            match effect {
                Effect::Connect => {
                    self.check_pace(stage)?;
                    self.link = Link::new(self.link.epoch + 1);
                    stage.queue_connect(self.index, self.link.epoch);
                }
                Effect::Subscribe => self.subscribe(stage),
                Effect::Send { id, request } => {
                    match stage.governor.operation(Millis(stage.now), self.member) {
                        Ok(()) => self.ask(stage, id, &request)?,
                        Err(at) => {
                            self.session.handle_held(id);
                            let (life, epoch) = (stage.life, self.link.epoch);
                            self.hold(stage, at, Held { life, epoch, id, request });
                        }
                    }
                }
                Effect::Disconnect => {
                    self.end_link(stage)?;
                    self.link.epoch += 1;
                }
                Effect::Save => self.begin_write(stage)?,
                Effect::Changed => self.check_view(stage)?,
                Effect::Stored { through } => self.check_stored(stage, through)?,
                Effect::NotStored { through } => self.drop_pending(through),
                Effect::Accepted { through, keys, version } => {
                    self.check_accepted(stage, through, (&keys, version))?;
                }
                Effect::Rejected { refused, .. } => {
                    stage.tally.quarantined += 1;
                    if !hub::POISON.contains(&refused.key.as_str()) {
                        let how = format!("{} is quarantined, which is innocent", refused.key);
                        return Err(self.broken(stage, "only guilty keys are quarantined", how));
                    }
                }
                Effect::Notice(notice) => {
                    reached |= matches!(notice, Notice::Synced { .. });
                    if matches!(notice, Notice::NewGeneration { .. }) {
                        stage.tally.generations += 1;
                        self.carry_answers();
                    }
                    stage.tally.put_back += u64::from(matches!(notice, Notice::ReportedLost));
                }
            }
        }
        Ok(reached)
    }

    /// Lets a request wait until the budget may have something for it.
    fn hold(&mut self, stage: &mut Stage, at: Millis, held: Held) {
        self.held += 1;
        stage.at(at.0, self.index, Event::Turn(held));
    }

    /// Sends a request whose turn it is.
    pub(super) fn ask(
        &mut self,
        stage: &mut Stage,
        id: RequestId,
        request: &Request,
    ) -> Result<(), Broken> {
        self.check_request(stage, id, request)?;
        let out = modtwin_wire::encode(id, request);
        let sent = Message { topic: out.topic, payload: out.payload };
        match hub::read(&sent) {
            Some((rid, asked)) => {
                self.send(stage, rid, asked);
                Ok(())
            }
            None => {
                let how = format!("the hub can't read {}", sent.topic);
                Err(self.broken(stage, "requests are readable", how))
            }
        }
    }

    /// Counts the silence of handlers whose time is up as their answer.
    fn count_silence(&mut self, stage: &mut Stage) {
        while let Some(silence) = self.session.poll_silence() {
            stage.note(self.index, || format!("silence: {silence:?}"));
            // It is stored and sent like an answer, but nobody is told when.
            let (version, status) = (silence.version, SILENCE_STATUS);
            let generation = self.session.twin().generation;
            self.said.push(Said { sequence: 0, generation, version, status, fate: Fate::Durable });
            self.session.note_silence(Millis(stage.now), &silence, stage.now);
        }
    }

    fn begin_write(&mut self, stage: &mut Stage) -> Result<(), Broken> {
        if self.write.is_some() {
            return Err(self.broken(stage, "one write at a time", "two at once".into()));
        }
        let content = self.session.durable();
        self.write = Some(Write { content, made: self.made.len(), said: self.said.len() });
        let fails = stage.chance.strikes(Fault::FailWrite).is_some() || stage.is(Spell::DiskFull);
        let most = if stage.is(Spell::DiskSlow) { 6_000 } else { 40 };
        let wait = stage.rng.u64(1..most);
        stage.after(wait, self.index, Event::Written { life: stage.life, good: !fails });
        Ok(())
    }

    /// Reports and words up to `through` are not stored: whoever made them has been told.
    fn drop_pending(&mut self, through: u64) {
        for made in &mut self.made {
            if made.fate == Fate::Pending && made.sequence.is_some_and(|made| made <= through) {
                made.fate = Fate::Dropped;
            }
        }
        for said in &mut self.said {
            if said.fate == Fate::Pending && said.sequence <= through {
                said.fate = Fate::Dropped;
            }
        }
    }

    /// The hub does what is asked, and answers.
    pub(super) fn hub_takes(
        &mut self,
        stage: &mut Stage,
        (rid, asked): (&str, &Asked),
    ) -> Result<Message, Broken> {
        let before = self.hub.reported.version;
        let answer = self.hub.answer(rid, asked);
        if let Asked::Report(patch) = asked
            && self.hub.reported.version > before
        {
            stage.note(self.index, || format!("the hub writes {}", shown(patch)));
            self.check_written(stage, patch)?;
        }
        Ok(answer)
    }

    pub(super) fn broken(&self, stage: &Stage, promise: &'static str, how: String) -> Broken {
        Broken { at_ms: stage.now, module: self.index, promise, how }
    }
}

/// A document as JSON.
pub(super) fn shown(document: &Document) -> String {
    serde_json::to_string(document).unwrap_or_default()
}

fn said(good: bool) -> &'static str {
    if good { "done" } else { "failed" }
}
