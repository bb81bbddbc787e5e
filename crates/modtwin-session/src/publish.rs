//! Turning the core's state into the view that the rest of the daemon reads.

use std::sync::Arc;
use std::time::SystemTime;

use modtwin_core::acknowledgement::Acknowledged;
use modtwin_core::document::Document;
use modtwin_core::limits::size;
use modtwin_core::outbox::Outbox;
use modtwin_core::session::{Durable, Session, Status};
use modtwin_core::time::Millis;
use tokio::time::Instant;

use crate::seat::wall_time;
use crate::view::{Applied, HubView, ModuleView, Quarantined, Section, Sizes};

/// The daemon's monotonic clock and the wall clock, side by side.
///
/// The core's times become wall times when they are published, so that a clock that is set later
/// is right from then on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    zero: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { zero: Instant::now() }
    }

    pub(crate) fn now(self) -> Millis {
        Millis(u64::try_from(self.zero.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn instant(self, at: Millis) -> Instant {
        self.zero + at.since(Millis::default())
    }

    pub(crate) fn wall(self, at: Millis) -> SystemTime {
        let now = self.now();
        SystemTime::now() - now.since(at) + at.since(now)
    }
}

/// What the publisher needs besides the core's state.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) clock: Clock,
    /// When the twin was in step, as read from disk.
    pub(crate) stored_as_of: Option<SystemTime>,
    pub(crate) credential_expires: Option<SystemTime>,
    pub(crate) storage_problem: Option<String>,
    pub(crate) damage: Option<String>,
    /// Connections of earlier runs of this module's task.
    pub(crate) earlier_connects: u64,
}

/// The next view after `old`.
pub(crate) fn view(old: &ModuleView, session: &Session, around: &Surroundings) -> ModuleView {
    ModuleView {
        module: old.module.clone(),
        hub: hub_view(&old.hub, session.status(), around.clock),
        generation: session.twin().generation,
        desired: session.twin().desired.clone(),
        reported: session.twin().reported.clone(),
        pending: pending(old, session.outbox()),
        applied: Arc::new(session.acknowledged().map(applied).collect()),
        expected: Arc::new(session.expected().cloned().collect()),
        quarantined: quarantined(session.outbox()),
        as_of: as_of(session, around),
        stale: session.is_stale(),
        connects: around.earlier_connects + session.connects(),
        credential_expires: around.credential_expires,
        storage_problem: around.storage_problem.clone(),
        damage: around.damage.clone(),
        sizes: sizes(old, session),
    }
}

/// When the twin was last in step with the hub.
pub(crate) fn as_of(session: &Session, around: &Surroundings) -> Option<SystemTime> {
    session.synced_at().map(|at| around.clock.wall(at)).or(around.stored_as_of)
}

/// Fills what the disk knows into the first view.
pub(crate) fn fill_from_durable(view: &mut ModuleView, durable: &Durable) {
    let outbox = Outbox::restore(durable.outbox.clone(), durable.quarantined.clone());
    view.pending = Arc::new(outbox.pending());
    view.quarantined = quarantined(&outbox);
    let present = durable.acknowledged.iter();
    let present = present.filter(|said| said.generation == durable.twin.generation);
    view.applied = Arc::new(present.map(applied).collect());
    let present = durable.expected.iter();
    let present = present.filter(|expected| expected.generation == durable.twin.generation);
    view.expected = Arc::new(present.cloned().collect());
    view.sizes = Sizes {
        desired: durable.twin.desired.as_ref().map_or(0, |section| size(&section.document)),
        reported: reported_size(durable.twin.reported.as_deref(), &outbox),
    };
}

/// Counts anew only what has changed.
fn sizes(old: &ModuleView, session: &Session) -> Sizes {
    let same = |old: &Option<Arc<Section>>, new: &Option<Arc<Section>>| match (old, new) {
        (Some(old), Some(new)) => Arc::ptr_eq(old, new),
        (old, new) => old.is_none() && new.is_none(),
    };
    let (twin, outbox) = (session.twin(), session.outbox());
    let desired = match &twin.desired {
        new if same(&old.desired, new) => old.sizes.desired,
        new => new.as_ref().map_or(0, |section| size(&section.document)),
    };
    let settled = outbox.is_empty() && old.pending.is_empty();
    let reported = if settled && same(&old.reported, &twin.reported) {
        old.sizes.reported
    } else {
        reported_size(twin.reported.as_deref(), outbox)
    };
    Sizes { desired, reported }
}

fn reported_size(reported: Option<&Section>, outbox: &Outbox) -> u64 {
    let empty = Document::new();
    size(&outbox.applied_to(reported.map_or(&empty, |section| &section.document)))
}

fn pending(old: &ModuleView, outbox: &Outbox) -> Arc<Document> {
    match (outbox.is_empty(), old.pending.is_empty()) {
        (true, true) => Arc::clone(&old.pending),
        _ => Arc::new(outbox.pending()),
    }
}

fn quarantined(outbox: &Outbox) -> Arc<Vec<Quarantined>> {
    Arc::new(outbox.quarantined().cloned().collect())
}

fn applied(said: &Acknowledged) -> Applied {
    Applied {
        handler: said.handler.clone(),
        version: said.version,
        status: said.status,
        description: said.description.clone(),
        at: wall_time(said.at_ms),
    }
}

/// Times are converted once, when they change: a watcher must not see them tremble.
fn hub_view(old: &HubView, status: &Status, clock: Clock) -> HubView {
    let since = clock.wall(status.since);
    let same = old.reason == status.reason && differs_little(old.since, since);
    let next = status.next_attempt.map(|at| clock.wall(at));
    let next_attempt = match (old.next_attempt, next) {
        (Some(old), Some(next)) if differs_little(old, next) => Some(old),
        (_, next) => next,
    };
    HubView {
        state: status.state,
        reason: status.reason,
        detail: status.detail.clone(),
        since: if same { old.since } else { since },
        next_attempt,
    }
}

fn differs_little(a: SystemTime, b: SystemTime) -> bool {
    let apart = a.duration_since(b).or_else(|_| b.duration_since(a)).unwrap_or_default();
    apart < std::time::Duration::from_millis(20)
}
