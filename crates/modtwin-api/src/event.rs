//! The events of a watch, one JSON object a line.

use schemars::JsonSchema;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use crate::{Document, HubStatus, Revision};

/// One line of `GET /v1/modules/{m}/watch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// What is known when the stream begins: always the first line, and again where a reload lets
    /// the peer see another part of the twin.
    Snapshot(SnapshotEvent),
    /// Desired has changed within the watched paths.
    Desired(DesiredEvent),
    /// The module stands otherwise with its hub.
    Hub(HubEvent),
    /// Nothing but a sign of life, every 30 s.
    Heartbeat,
    /// The module was taken out of the config, or is no more for this peer; the last line.
    Removed {
        /// The module's id.
        module: String,
    },
}

impl Event {
    /// Reads a line; none where its type is one that this program does not know.
    ///
    /// # Errors
    ///
    /// Where the line is no JSON object with a `type`, or its members are not what that type needs.
    pub fn parse(line: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        #[derive(Deserialize)]
        struct Tag {
            r#type: String,
        }
        let tag: Tag = serde_json::from_slice(line)?;
        match tag.r#type.as_str() {
            "snapshot" | "desired" | "hub" | "heartbeat" | "removed" => {
                serde_json::from_slice(line).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// What a handler has to apply now: desired whole, and its revision; none where the event
    /// brings nothing new.
    #[must_use]
    pub fn to_apply(&self) -> Option<(Revision, &Document)> {
        match self {
            Self::Snapshot(event) => event.revision().zip(event.desired.as_ref()),
            Self::Desired(event) => Some((event.revision(), &event.desired)),
            Self::Hub(_) | Self::Heartbeat | Self::Removed { .. } => None,
        }
    }

    /// How the module stands with its hub, where the event says it.
    #[must_use]
    pub fn hub(&self) -> Option<&HubStatus> {
        match self {
            Self::Snapshot(event) => Some(&event.hub),
            Self::Hub(event) => Some(&event.hub),
            Self::Desired(_) | Self::Heartbeat | Self::Removed { .. } => None,
        }
    }
}

/// What is known of a module when a watch begins.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct SnapshotEvent {
    /// The module's id.
    pub module: String,
    /// The number of the version line, from 1.
    pub generation: u64,
    /// The version of desired; null before the first sync ever.
    pub version: Option<u64>,
    /// Desired, restricted to the watched paths; null before the first sync ever, left out where
    /// `unchanged`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<Document>,
    /// How the module stands with its hub.
    pub hub: HubStatus,
    /// Whether the hub can't be reached, so that desired may be out of date.
    pub stale: bool,
    /// Whether the client's `since` is current; left out where false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unchanged: bool,
}

impl SnapshotEvent {
    /// The revision of desired; none before the first sync ever.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        self.version.map(|version| Revision { generation: self.generation, version })
    }
}

impl Serialize for SnapshotEvent {
    /// By hand, because whether `desired` is null or left out depends on `unchanged`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("SnapshotEvent", 6)?;
        fields.serialize_field("module", &self.module)?;
        fields.serialize_field("generation", &self.generation)?;
        fields.serialize_field("version", &self.version)?;
        if self.unchanged {
            fields.serialize_field("unchanged", &true)?;
        } else {
            fields.serialize_field("desired", &self.desired)?;
        }
        fields.serialize_field("hub", &self.hub)?;
        fields.serialize_field("stale", &self.stale)?;
        fields.end()
    }
}

/// A change of desired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DesiredEvent {
    /// The module's id.
    pub module: String,
    /// The number of the version line, from 1.
    pub generation: u64,
    /// The version of desired.
    pub version: u64,
    /// The merge patch from what this stream was told last.
    pub patch: Document,
    /// Desired as it is now, restricted to the watched paths.
    pub desired: Document,
    /// Whether the version line began anew, so that desired is to be taken whole; left out where
    /// false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub reset: bool,
}

impl DesiredEvent {
    /// The revision of desired.
    #[must_use]
    pub fn revision(&self) -> Revision {
        Revision { generation: self.generation, version: self.version }
    }
}

/// A change of how a module stands with its hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HubEvent {
    /// The module's id.
    pub module: String,
    /// How it stands now.
    pub hub: HubStatus,
}

fn is_false(value: &bool) -> bool {
    !*value
}
