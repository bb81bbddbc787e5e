//! The two sections of a twin as last known, and what their versions mean.

use alloc::sync::Arc;

use crate::document::{Document, merge};

/// A section of a twin at one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The section's `$version`.
    pub version: u64,
    /// Its content, without `$version` and `$metadata`.
    pub document: Document,
}

/// What a desired patch did to the desired section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchOutcome {
    /// It was the next version and has been merged.
    Applied,
    /// It was this version or an older one and has been dropped.
    Old,
    /// Versions are missing before it; nothing was merged.
    Gap,
}

/// What a whole twin did to the desired section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DesiredOutcome {
    /// It is what was known already.
    Same,
    /// It is newer on the same line of versions.
    Newer,
    /// The line of versions began anew: the identity was created again, or the hub failed over to
    /// older data. The generation has risen.
    NewGeneration,
}

/// How the hub's reported section compares with what it had accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportedOutcome {
    /// The same, or newer: the hub's word counts.
    Current,
    /// The hub has lost something that it had accepted.
    Lost,
}

/// A twin as last known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twin {
    /// The number of the line of desired versions; starts at 1.
    pub generation: u64,
    /// The desired section; none before the first sync.
    pub desired: Option<Arc<Section>>,
    /// The reported section as the hub has accepted it; none before the first sync.
    pub reported: Option<Arc<Section>>,
}

impl Default for Twin {
    fn default() -> Self {
        Self { generation: 1, desired: None, reported: None }
    }
}

impl Twin {
    /// Takes one desired patch, if it is the next one.
    pub fn take_patch(&mut self, version: u64, patch: &Document) -> PatchOutcome {
        let Some(desired) = &mut self.desired else {
            return PatchOutcome::Gap;
        };
        if version <= desired.version {
            return PatchOutcome::Old;
        }
        if Some(version) != desired.version.checked_add(1) {
            return PatchOutcome::Gap;
        }
        let section = Arc::make_mut(desired);
        section.version = version;
        merge(&mut section.document, patch);
        PatchOutcome::Applied
    }

    /// Takes the desired section of a whole twin as the truth, older or not.
    pub fn take_desired(&mut self, fetched: Section) -> DesiredOutcome {
        let outcome = match &self.desired {
            None => DesiredOutcome::Newer,
            Some(known) if fetched.version > known.version => DesiredOutcome::Newer,
            Some(known) if **known == fetched => DesiredOutcome::Same,
            Some(_) => DesiredOutcome::NewGeneration,
        };
        if outcome == DesiredOutcome::NewGeneration {
            self.generation = self.generation.saturating_add(1);
        }
        if outcome != DesiredOutcome::Same {
            self.desired = Some(Arc::new(fetched));
        }
        outcome
    }

    /// Takes the reported section of a whole twin as the truth, and says whether the hub has lost
    /// something by it.
    pub fn take_reported(&mut self, fetched: Section) -> ReportedOutcome {
        let lost = self.reported.as_ref().is_some_and(|known| {
            fetched.version < known.version
                || (fetched.version == known.version && fetched.document != known.document)
        });
        self.reported = Some(Arc::new(fetched));
        if lost { ReportedOutcome::Lost } else { ReportedOutcome::Current }
    }

    /// Notes that the hub accepted `patch` as `version` of the reported section.
    ///
    /// An older version than the known one does not take the known one back: the hub had the patch,
    /// so that a fetch without it means that the hub has lost it.
    pub fn take_accepted(&mut self, version: u64, patch: &Document) {
        let Some(reported) = &mut self.reported else {
            return;
        };
        let section = Arc::make_mut(reported);
        section.version = section.version.max(version);
        merge(&mut section.document, patch);
    }
}

#[cfg(test)]
mod tests;
