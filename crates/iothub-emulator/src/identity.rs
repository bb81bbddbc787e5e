//! One identity: its registry entry, its twin, its link. Everything behind one lock of its own, held for
//! microseconds and never across an await; nothing on the hot path takes a lock that others share.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::authentication::Authentication;
use crate::clock::Moment;
use crate::link::handle::LinkHandle;
use crate::store::{Entry, Store};
use crate::twin::{Document, Twin};

/// Names an identity: a device, or a module on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct IdentityKey {
    pub(crate) device: String,
    pub(crate) module: Option<String>,
}

impl IdentityKey {
    pub(crate) fn device(device: &str) -> Self {
        Self { device: device.to_owned(), module: None }
    }

    pub(crate) fn module(device: &str, module: &str) -> Self {
        Self { device: device.to_owned(), module: Some(module.to_owned()) }
    }

    /// Gives the path below the hub, as in tokens: `devices/{d}[/modules/{m}]`.
    pub(crate) fn path(&self) -> Vec<&str> {
        let mut path = vec!["devices", self.device.as_str()];
        if let Some(module) = &self.module {
            path.extend(["modules", module.as_str()]);
        }
        path
    }
}

impl fmt::Display for IdentityKey {
    /// Writes `{d}` or `{d}/{m}`: the client id, and the common name in certificates.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.module {
            Some(module) => write!(formatter, "{}/{module}", self.device),
            None => formatter.write_str(&self.device),
        }
    }
}

/// Holds what is kept of an identity across restarts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) key: IdentityKey,
    pub(crate) generation: String,
    pub(crate) etag: String,
    pub(crate) is_enabled: bool,
    pub(crate) status_reason: Option<String>,
    pub(crate) status_updated: Moment,
    pub(crate) managed_by: Option<String>,
    pub(crate) capabilities: Option<Value>,
    pub(crate) authentication: Authentication,
    pub(crate) twin: Twin,
    /// Filters and granted QoS of a client that asked for clean session 0; kept until the identity is deleted.
    pub(crate) session: Option<Vec<(String, u8)>>,
    pub(crate) connection_updated: Moment,
    pub(crate) last_activity: Moment,
}

impl Record {
    /// Builds a new identity's record: new generation, new etag, fresh twin.
    pub(crate) fn fresh(key: IdentityKey, authentication: Authentication, now: Moment) -> Self {
        Self {
            key,
            generation: generation(),
            etag: identity_etag(),
            is_enabled: true,
            status_reason: None,
            status_updated: Moment::NEVER,
            managed_by: None,
            capabilities: None,
            authentication,
            twin: Twin::fresh(now),
            session: None,
            connection_updated: Moment::NEVER,
            last_activity: Moment::NEVER,
        }
    }
}

/// Holds an identity's changing parts.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) record: Record,
    pub(crate) link: Option<LinkHandle>,
    /// Set once: whoever still holds this identity must not write it.
    pub(crate) is_deleted: bool,
    /// The store's sequence number of the last write; what was read under this lock is durable once it is committed.
    pub(crate) written: u64,
}

/// Counts what happened to one identity since the emulator started.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connects: AtomicU64,
    pub(crate) refusals: AtomicU64,
    pub(crate) twin_gets: AtomicU64,
    pub(crate) reports: AtomicU64,
    pub(crate) notifications: AtomicU64,
    pub(crate) messages: AtomicU64,
    pub(crate) methods: AtomicU64,
}

impl Counters {
    pub(crate) fn to_json(&self) -> Value {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        json!({
            "connects": read(&self.connects),
            "refusals": read(&self.refusals),
            "twin_gets": read(&self.twin_gets),
            "reported_patches": read(&self.reports),
            "desired_notifications": read(&self.notifications),
            "messages": read(&self.messages),
            "methods": read(&self.methods),
        })
    }
}

/// One identity of the hub.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) key: IdentityKey,
    pub(crate) counters: Counters,
    state: Mutex<State>,
}

impl Identity {
    pub(crate) fn new(record: Record) -> Arc<Self> {
        let key = record.key.clone();
        let state = State { record, link: None, is_deleted: false, written: 0 };
        Arc::new(Self { key, counters: Counters::default(), state: Mutex::new(state) })
    }

    /// Takes the identity's lock. A panic elsewhere does not lock the identity up for good.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues the state for the disk and gives the number to wait for. The caller holds the lock, so that the order
    /// on disk is the order of writes.
    pub(crate) fn save(self: &Arc<Self>, state: &mut State, store: &Store) -> u64 {
        state.written = store.push(Entry::Identity(Arc::clone(self)));
        state.written
    }
}

impl State {
    /// Builds the registry's view.
    pub(crate) fn registry_view(&self) -> Value {
        let record = &self.record;
        let mut view = json!({
            "deviceId": record.key.device,
            "generationId": record.generation,
            "etag": record.etag,
            "connectionState": self.connection_state(),
            "connectionStateUpdatedTime": record.connection_updated.rfc3339(),
            "lastActivityTime": record.last_activity.rfc3339(),
            "cloudToDeviceMessageCount": 0,
            "authentication": record.authentication.to_json(),
        });
        if let Some(fields) = view.as_object_mut() {
            match &record.key.module {
                Some(module) => {
                    fields.insert("moduleId".to_owned(), json!(module));
                    fields.insert("managedBy".to_owned(), json!(record.managed_by));
                }
                None => {
                    fields.insert("status".to_owned(), json!(self.status()));
                    fields.insert("statusReason".to_owned(), json!(record.status_reason));
                    fields.insert(
                        "statusUpdatedTime".to_owned(),
                        json!(record.status_updated.rfc3339()),
                    );
                    let none = json!({ "iotEdge": false });
                    fields.insert(
                        "capabilities".to_owned(),
                        record.capabilities.clone().unwrap_or(none),
                    );
                }
            }
        }
        view
    }

    /// Builds the service's view of the twin.
    pub(crate) fn twin_view(&self) -> Value {
        let record = &self.record;
        let mut view = Document::new();
        record.twin.service_view(&mut view);
        let [primary, secondary] = record.authentication.thumbprints();
        let members = [
            ("deviceId", json!(record.key.device)),
            ("deviceEtag", json!(record.etag)),
            ("status", json!(self.status())),
            ("statusReason", json!(record.status_reason)),
            ("statusUpdateTime", json!(record.status_updated.rfc3339())),
            ("connectionState", json!(self.connection_state())),
            ("lastActivityTime", json!(record.last_activity.rfc3339())),
            ("cloudToDeviceMessageCount", json!(0)),
            ("authenticationType", json!(record.authentication.type_name())),
            (
                "x509Thumbprint",
                json!({ "primaryThumbprint": primary, "secondaryThumbprint": secondary }),
            ),
            ("modelId", json!(self.link.as_ref().map_or("", |link| link.model_id.as_str()))),
        ];
        view.extend(members.map(|(name, value)| (name.to_owned(), value)));
        match &record.key.module {
            Some(module) => view.insert("moduleId".to_owned(), json!(module)),
            None => {
                let none = json!({ "iotEdge": false });
                let capabilities = record.capabilities.clone().unwrap_or(none);
                view.insert("capabilities".to_owned(), capabilities)
            }
        };
        Value::Object(view)
    }

    fn status(&self) -> &'static str {
        if self.record.is_enabled { "enabled" } else { "disabled" }
    }

    fn connection_state(&self) -> &'static str {
        if self.link.is_some() { "Connected" } else { "Disconnected" }
    }
}

/// Makes a generation id: digits, as the service's own look.
fn generation() -> String {
    let digits = crate::random::bytes(8).unwrap_or_default();
    let number = digits.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    format!("63{:016}", number % 10_000_000_000_000_000)
}

/// Makes an identity etag: opaque base64 of a few digits, as the service's own look.
pub(crate) fn identity_etag() -> String {
    use base64::Engine;
    let digits = crate::random::bytes(4).unwrap_or_default();
    let number = digits.iter().fold(0u32, |sum, byte| sum << 8 | u32::from(*byte));
    base64::engine::general_purpose::STANDARD.encode(number.to_string())
}
