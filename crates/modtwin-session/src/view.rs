//! What the rest of the daemon sees of a module: one immutable value, replaced whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use modtwin_core::document::Document;
pub use modtwin_core::handlers::Expected;
use modtwin_core::ids::ModuleId;
pub use modtwin_core::outbox::Quarantined;
use modtwin_core::status::{HubState, Reason};
pub use modtwin_core::twin::Section;
use tokio::time::Instant;

/// How the module stands with its hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubView {
    /// The state.
    pub state: HubState,
    /// Why.
    pub reason: Reason,
    /// More about why, for people.
    pub detail: Option<String>,
    /// When state or reason last changed.
    pub since: SystemTime,
    /// When the next attempt is due, where one is.
    pub next_attempt: Option<SystemTime>,
}

/// What a handler said of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The handler's name.
    pub handler: String,
    /// The version it speaks of.
    pub version: u64,
    /// 200–299 applied, 400–599 refused.
    pub status: u16,
    /// Its own words.
    pub description: Option<String>,
    /// When it said so.
    pub at: SystemTime,
}

/// A module at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleView {
    /// Which module.
    pub module: ModuleId,
    /// How it stands with the hub.
    pub hub: HubView,
    /// The number of the version line; rises when the twin was created anew. Starts at 1.
    pub generation: u64,
    /// The desired section; none before the first sync ever.
    pub desired: Option<Arc<Section>>,
    /// The reported section as the hub has it; none before the first sync ever.
    pub reported: Option<Arc<Section>>,
    /// What is stored here and not yet at the hub, as one merge patch.
    pub pending: Arc<Document>,
    /// The acknowledgements of this generation, by handler name.
    pub applied: Arc<Vec<Applied>>,
    /// The newest version of this generation that concerns each handler of the config.
    pub expected: Arc<Vec<Expected>>,
    /// Keys that the hub refused and that wait for a better value.
    pub quarantined: Arc<Vec<Quarantined>>,
    /// When desired and reported were last known to be the hub's.
    pub as_of: Option<SystemTime>,
    /// Whether they may be out of date: the hub can't be heard now.
    pub stale: bool,
    /// How often the session connected since the daemon began.
    pub connects: u64,
    /// When the credential in use expires.
    pub credential_expires: Option<SystemTime>,
    /// What is wrong with the state directory, where something is.
    pub storage_problem: Option<String>,
    /// What became of a damaged state file, where one was found.
    pub damage: Option<String>,
    /// The size of the sections, as the hub counts it.
    pub sizes: Sizes,
}

/// How large the sections are, in bytes as the hub counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sizes {
    /// Desired.
    pub desired: u64,
    /// Reported, once all that waits has been accepted.
    pub reported: u64,
}

/// What a module has done since the daemon began, in numbers for operators. Beside the view, because
/// nobody waits for them to change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Figures {
    /// How often its state was written to disk, each with its syncs.
    pub writes: u64,
    /// How many bytes that were.
    pub bytes_written: u64,
    /// How often it connected anew, by what had ended the connection before; none stands for the
    /// daemon itself, which renewed a credential or was asked to.
    pub reconnects: BTreeMap<Option<Reason>, u64>,
    /// How often the hub refused a request of it with 429.
    pub throttled: u64,
    /// How many lines it did not log, because there were too many.
    pub lines_dropped: u64,
    /// When the hub last answered with the whole twin.
    pub fetched: Option<Instant>,
    /// Since when reports wait of which the hub has taken none; none where nothing waits.
    pub waiting_since: Option<Instant>,
    /// How many messages the hub has confirmed.
    pub messages_confirmed: u64,
    /// Since when messages wait of which the hub has confirmed none; none where nothing waits.
    pub messages_since: Option<Instant>,
    /// How many calls of methods were answered, by the hundreds of the status.
    pub methods_answered: BTreeMap<u16, u64>,
}

impl Figures {
    pub(crate) fn count_write(&mut self, bytes: u64) {
        self.writes = self.writes.saturating_add(1);
        self.bytes_written = self.bytes_written.saturating_add(bytes);
    }
}
