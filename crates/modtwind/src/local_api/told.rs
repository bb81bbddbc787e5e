//! What one watch stream has been told, and what it is to be told next.
//!
//! Pure: the stream itself, with its waiting, is in [`super::watch`]. Because what comes next is
//! computed when the reader has room for it, whatever happened meanwhile is one event.

use std::borrow::Cow;
use std::sync::Arc;

use modtwin_api::{DesiredEvent, Event, HubEvent, Revision, SnapshotEvent};
use modtwin_core::document::{Document, difference};
use modtwin_session::view::{HubView, ModuleView, Section};

use super::conversion::{hub_status, revision};
use super::scope::Scope;

/// What a stream has been told.
#[derive(Debug)]
pub(crate) struct Told {
    scope: Scope,
    desired: Option<(Revision, Selection)>,
    hub: HubView,
}

/// The desired properties that a stream was told last: shared where it sees all of them.
#[derive(Debug)]
enum Selection {
    Whole(Arc<Section>),
    Part(Document),
}

impl Told {
    /// Begins a stream: what is remembered of it, and its first event.
    pub(crate) fn begin(view: &ModuleView, scope: Scope, since: Option<Revision>) -> (Self, Event) {
        let revision = revision(view);
        let unchanged = revision.is_some() && since == revision;
        let told = Self {
            desired: revision.zip(view.desired.as_ref().map(|desired| scope.share(desired))),
            scope,
            hub: view.hub.clone(),
        };
        let desired = told.desired.as_ref().filter(|_| !unchanged);
        let event = SnapshotEvent {
            module: view.module.to_string(),
            generation: view.generation,
            version: revision.map(|revision| revision.version),
            desired: desired.map(|(_, selection)| selection.document().clone()),
            hub: hub_status(&view.hub),
            stale: view.stale,
            unchanged,
        };
        (told, Event::Snapshot(event))
    }

    /// Goes on with what the reader may see from now on: a snapshot, as at the beginning; none where
    /// that looks the same to it.
    pub(crate) fn rescope(&mut self, view: &ModuleView, scope: Scope) -> Option<Event> {
        let (told, snapshot) = Self::begin(view, scope, None);
        let before = std::mem::replace(self, told);
        if before.seen() == self.seen() {
            self.hub = before.hub;
            return None;
        }
        Some(snapshot)
    }

    /// What the reader has, and in which line of versions.
    fn seen(&self) -> Option<(u64, &Document)> {
        let (revision, selection) = self.desired.as_ref()?;
        Some((revision.generation, selection.document()))
    }

    /// What the stream is to be told now; none where it knows all that `view` says.
    pub(crate) fn next(&mut self, view: &ModuleView) -> Option<Event> {
        self.next_desired(view).or_else(|| self.next_hub(view))
    }

    fn next_desired(&mut self, view: &ModuleView) -> Option<Event> {
        let now = revision(view)?;
        let section = view.desired.as_ref()?;
        if self.desired.as_ref().is_some_and(|(last, _)| now <= *last) {
            return None;
        }
        let fresh = self.scope.share(section);
        let (patch, reset) = match &self.desired {
            None => (fresh.document().clone(), false),
            Some((last, known)) => {
                (difference(known.document(), fresh.document()), now.generation > last.generation)
            }
        };
        let first = self.desired.is_none();
        let event = (first || reset || !patch.is_empty()).then(|| {
            Event::Desired(DesiredEvent {
                module: view.module.to_string(),
                generation: now.generation,
                version: now.version,
                patch,
                desired: fresh.document().clone(),
                reset,
            })
        });
        self.desired = Some((now, fresh));
        event
    }

    fn next_hub(&mut self, view: &ModuleView) -> Option<Event> {
        let key = |hub: &HubView| (hub.state, hub.reason, hub.since);
        if key(&self.hub) == key(&view.hub) {
            return None;
        }
        self.hub = view.hub.clone();
        Some(Event::Hub(HubEvent { module: view.module.to_string(), hub: hub_status(&view.hub) }))
    }
}

impl Selection {
    fn document(&self) -> &Document {
        match self {
            Self::Whole(section) => &section.document,
            Self::Part(document) => document,
        }
    }
}

impl Scope {
    fn share(&self, section: &Arc<Section>) -> Selection {
        match self.of(&section.document) {
            Cow::Borrowed(_) => Selection::Whole(Arc::clone(section)),
            Cow::Owned(part) => Selection::Part(part),
        }
    }
}

#[cfg(test)]
mod tests;
