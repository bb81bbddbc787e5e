//! A hub in a value: one module's twin, its versions, what it refuses. It knows neither links nor
//! time; whoever drives it decides when a message arrives.

use alloc::collections::BTreeMap;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use crate::document::{Document, merge};
use crate::message::{Answer, HubMessage, Refusal, Request};
use crate::twin::Section;

/// A module's twin at the hub, with all that it ever was.
#[derive(Debug, Clone)]
pub(super) struct Hub {
    pub(super) desired: Section,
    pub(super) reported: Section,
    /// Top-level keys of reports that the hub refuses.
    pub(super) poison: BTreeSet<String>,
    /// Every content that a desired version ever had.
    desired_history: BTreeMap<u64, Vec<Document>>,
    /// Both sections after each accepted write, for a failover.
    backups: Vec<(Section, Section)>,
}

impl Hub {
    pub(super) fn new() -> Self {
        let fresh = Section { version: 1, document: Document::new() };
        let mut hub = Self {
            desired: fresh.clone(),
            reported: fresh,
            poison: BTreeSet::new(),
            desired_history: BTreeMap::new(),
            backups: Vec::new(),
        };
        hub.remember();
        hub
    }

    /// Writes desired and returns the notification.
    pub(super) fn patch_desired(&mut self, patch: Document) -> HubMessage {
        merge(&mut self.desired.document, &patch);
        self.desired.version += 1;
        self.remember();
        HubMessage::DesiredPatch { version: self.desired.version, patch }
    }

    /// Does what a request asks.
    pub(super) fn answer(&mut self, request: &Request) -> Answer {
        match request {
            Request::GetTwin => {
                Answer::Twin { desired: self.desired.clone(), reported: self.reported.clone() }
            }
            Request::Report(patch) => match patch.keys().find(|key| self.poison.contains(*key)) {
                Some(key) => Answer::Refused(Refusal { status: 400, message: key.clone() }),
                None => {
                    merge(&mut self.reported.document, patch);
                    self.reported.version += 1;
                    self.remember();
                    Answer::Accepted { version: self.reported.version }
                }
            },
        }
    }

    /// Deletes the module and creates it again.
    pub(super) fn recreate(&mut self) {
        let fresh = Section { version: 1, document: Document::new() };
        (self.desired, self.reported) = (fresh.clone(), fresh);
        self.backups.clear();
        self.remember();
    }

    /// Goes back by `writes` writes, as after a failover to older data.
    pub(super) fn fail_over(&mut self, writes: usize) {
        self.backups.truncate(self.backups.len().saturating_sub(writes).max(1));
        if let Some((desired, reported)) = self.backups.last() {
            (self.desired, self.reported) = (desired.clone(), reported.clone());
        }
    }

    /// Whether desired ever was this, at this version.
    pub(super) fn had_desired(&self, section: &Section) -> bool {
        self.desired_history
            .get(&section.version)
            .is_some_and(|contents| contents.contains(&section.document))
    }

    fn remember(&mut self) {
        let contents = self.desired_history.entry(self.desired.version).or_default();
        if !contents.contains(&self.desired.document) {
            contents.push(self.desired.document.clone());
        }
        self.backups.push((self.desired.clone(), self.reported.clone()));
    }
}
