//! The way between a session and the hub: what is lost, doubled, late, out of order, unreadable.

use modtwin_core::status::{Fault as Failure, Reason};

use super::seat::Seat;
use super::stage::{Event, Stage};
use crate::chance::Fault;
use crate::hub::{Asked, Message, refusal};
use crate::plan::Spell;

/// What a link says of itself.
#[derive(Debug)]
pub(super) enum News {
    Connected,
    Failed(Failure),
    Subscribed,
    Lost(Failure),
}

/// A module's link, and both of its ends.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// The number of the present attempt.
    pub(super) epoch: u64,
    /// Whether the hub's end stands.
    pub(super) up: bool,
    /// Whether the hub's end sends desired patches.
    pub(super) subscribed: bool,
    /// When the last message in order arrives, in either direction.
    last_at_hub: u64,
    last_at_session: u64,
}

impl Link {
    /// The link of the attempt `epoch`.
    pub(super) fn new(epoch: u64) -> Self {
        Self { epoch, ..Self::default() }
    }
}

/// Why connects fail without a spell that says so.
const REFUSALS: [Reason; 7] = [
    Reason::Network,
    Reason::Network,
    Reason::Tls,
    Reason::Throttled,
    Reason::BadCredential,
    Reason::IdentityDisabled,
    Reason::Config,
];

impl Seat {
    /// The attempt begins: the hub, the network or nobody answers it.
    pub(super) fn dial(&mut self, stage: &mut Stage) {
        let (epoch, index) = (self.link.epoch, self.index);
        let wait = stage.rng.u64(1..400);
        let spells = [
            (Spell::Down, Reason::Network),
            (Spell::Throttled, Reason::Throttled),
            (Spell::Refused, Reason::BadCredential),
        ];
        let spell = spells.into_iter().find(|(spell, _)| stage.is(*spell));
        let mut refused = spell.map(|(_, reason)| reason);
        if let Some(mut rng) = stage.chance.strikes(Fault::RefuseConnect) {
            refused = refused.or(rng.choice(REFUSALS));
        }
        let news = match refused {
            Some(reason) => News::Failed(Failure::new(reason, "refused")),
            None => News::Connected,
        };
        if stage.chance.strikes(Fault::Mute).is_some() {
            return stage.note(index, || "nobody answers the connection attempt".into());
        }
        stage.after(wait, index, Event::Link { epoch, news });
    }

    pub(super) fn subscribe(&mut self, stage: &mut Stage) {
        let (epoch, index) = (self.link.epoch, self.index);
        self.link.subscribed = self.link.up;
        let wait = stage.rng.u64(1..100);
        if stage.chance.strikes(Fault::Mute).is_some() || !self.link.up {
            return stage.note(index, || "the subscription is never answered".into());
        }
        stage.after(wait, index, Event::Link { epoch, news: News::Subscribed });
    }

    /// Puts a request on its way to the hub.
    pub(super) fn send(&mut self, stage: &mut Stage, rid: String, asked: Asked) {
        let (epoch, index) = (self.link.epoch, self.index);
        if stage.chance.strikes(Fault::LoseRequest).is_some() {
            return stage.note(index, || format!("request {rid} gets lost"));
        }
        let mut at = stage.now + stage.rng.u64(5..60);
        if let Some(mut rng) = stage.chance.strikes(Fault::Reorder) {
            at += rng.u64(0..5_000);
        } else {
            at = at.max(self.link.last_at_hub);
            self.link.last_at_hub = at;
        }
        stage.at(at, index, Event::ToHub { epoch, rid, asked });
    }

    /// The hub gets a request, maybe twice.
    pub(super) fn at_hub(
        &mut self,
        stage: &mut Stage,
        (rid, asked): (&str, &Asked),
    ) -> Result<(), super::Broken> {
        let twice = stage.chance.strikes(Fault::Duplicate).is_some();
        for _ in 0..=u8::from(twice) {
            let answer = match refused(stage) {
                Some((status, words)) => {
                    stage.note(self.index, || format!("the hub refuses {rid} with {status}"));
                    // A hub that fails may have done it all the same.
                    if status >= 500 && stage.rng.bool() {
                        self.hub_takes(stage, (rid, asked))?;
                    }
                    refusal(status, rid, words)
                }
                None => self.hub_takes(stage, (rid, asked))?,
            };
            self.deliver(stage, answer);
        }
        Ok(())
    }

    /// Puts a message on its way to the session.
    pub(super) fn deliver(&mut self, stage: &mut Stage, message: Message) {
        let (epoch, index) = (self.link.epoch, self.index);
        if !self.link.up {
            return;
        }
        let twice = stage.chance.strikes(Fault::Duplicate).is_some();
        for _ in 0..=u8::from(twice) {
            let mut message = message.clone();
            if stage.chance.strikes(Fault::LoseNews).is_some() {
                stage.note(index, || format!("{} gets lost", message.topic));
                continue;
            }
            if stage.chance.strikes(Fault::Garble).is_some() {
                message.payload = b"{\"".to_vec();
                message.topic = message.topic.replace("$version", "version");
            }
            let mut at = stage.now + stage.rng.u64(1..150);
            if let Some(mut rng) = stage.chance.strikes(Fault::Late) {
                at += rng.u64(5_000..40_000);
            } else if let Some(mut rng) = stage.chance.strikes(Fault::Reorder) {
                at += rng.u64(0..500);
            } else {
                at = at.max(self.link.last_at_session);
                self.link.last_at_session = at;
            }
            stage.at(at, index, Event::ToSession { epoch, message });
        }
    }

    /// The link breaks; of what is on its way to the hub some still arrives. Says whether there was
    /// a link.
    pub(super) fn end_link(&mut self, stage: &mut Stage) -> Result<bool, super::Broken> {
        let was_up = self.link.up;
        if was_up {
            let mut under_way = stage.take_requests(self.index, self.link.epoch);
            under_way.truncate(stage.rng.usize(0..=under_way.len()));
            for (rid, asked) in under_way {
                stage.note(self.index, || format!("request {rid} still reaches the hub"));
                self.hub_takes(stage, (&rid, &asked))?;
            }
            stage.tally.cuts += 1;
        }
        (self.link.up, self.link.subscribed) = (false, false);
        Ok(was_up)
    }

    /// The link breaks, and the session hears of it after `wait`.
    pub(super) fn cut(&mut self, stage: &mut Stage, wait: u64) -> Result<(), super::Broken> {
        if self.end_link(stage)? {
            let news = News::Lost(Failure::new(Reason::Network, "cut"));
            stage.after(wait, self.index, Event::Link { epoch: self.link.epoch, news });
        }
        Ok(())
    }
}

/// Whether the hub refuses a request now, and how.
fn refused(stage: &mut Stage) -> Option<(u16, &'static str)> {
    if stage.is(Spell::Throttled) {
        return Some((429, "ThrottlingException"));
    }
    if stage.is(Spell::Quota) {
        return Some((403, "IotHubQuotaExceeded"));
    }
    if stage.is(Spell::Failing) {
        return Some(if stage.rng.bool() { (500, "ServerError") } else { (503, "ServerBusy") });
    }
    let mut rng = stage.chance.strikes(Fault::Refuse)?;
    rng.choice([
        (429, "ThrottlingException"),
        (429, "ThrottlingException"),
        (500, "ServerError"),
        (503, "ServiceUnavailable"),
        (403, "IotHubQuotaExceeded"),
        (401, "IotHubUnauthorized"),
        (404, "ModuleNotFound"),
    ])
}
