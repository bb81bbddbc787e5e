//! Devices and modules: create, read, update, delete, with the preconditions as the service really answers them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Done, Outcome, Refused, Shape};
use crate::authentication::Authentication;
use crate::http::Call;
use crate::hub::Hub;
use crate::identity::{Identity, IdentityKey, Record, identity_etag};
use crate::link::handle::Ending;
use crate::problem::{self, Problem};
use crate::registry::{no_device, no_module};

/// `GET`, `PUT`, `DELETE /devices/{d}`.
pub(super) async fn device(hub: &Hub, call: &Call, device: &str) -> Outcome {
    let key = IdentityKey::device(device);
    match call.method.as_str() {
        "GET" => get(hub, &key).await,
        "PUT" => put(hub, call, key).await,
        _ => delete(hub, call, &key).await,
    }
}

/// `GET`, `PUT`, `DELETE /devices/{d}/modules/{m}`.
pub(super) async fn module(hub: &Hub, call: &Call, device: &str, module: &str) -> Outcome {
    check_parent(hub, device)?;
    let key = IdentityKey::module(device, module);
    match call.method.as_str() {
        "GET" => get(hub, &key).await,
        "PUT" => put(hub, call, key).await,
        _ => delete(hub, call, &key).await,
    }
}

async fn get(hub: &Hub, key: &IdentityKey) -> Outcome {
    let identity = find(hub, key)?;
    let (view, number) = {
        let state = identity.lock();
        (state.registry_view(), state.written)
    };
    hub.store.wait(number).await;
    Ok(Done::json(view))
}

/// `GET /devices?top=`.
pub(super) async fn list_devices(hub: &Hub, call: &Call) -> Outcome {
    let top = match call.query("top").map(|top| top.parse::<usize>()) {
        None => MOST_LISTED,
        Some(Ok(top)) if (1..=MOST_LISTED).contains(&top) => top,
        Some(_) => return Err(invalid("top: expected 1 to 1000").into()),
    };
    let all = hub.registry.all();
    let devices = all.iter().filter(|identity| identity.key.module.is_none()).take(top);
    Ok(list(hub, devices).await)
}

/// Answers with identities, once all that the answer shows is durable.
async fn list(hub: &Hub, identities: impl Iterator<Item = &Arc<Identity>>) -> Done {
    let mut written = 0;
    let views = identities.map(|identity| {
        let state = identity.lock();
        written = state.written.max(written);
        state.registry_view()
    });
    let views = Value::Array(views.collect());
    hub.store.wait(written).await;
    Done::json(views)
}

/// `GET /devices/{d}/modules`.
pub(super) async fn list_modules(hub: &Hub, device: &str) -> Outcome {
    check_parent(hub, device)?;
    let family = hub.registry.family(device);
    let modules = family.iter().filter(|identity| identity.key.module.is_some());
    Ok(list(hub, modules).await)
}

/// `GET /statistics/devices`.
pub(super) fn statistics(hub: &Hub) -> Done {
    let devices = hub.registry.all().into_iter().filter(|identity| identity.key.module.is_none());
    let (enabled, disabled): (Vec<_>, Vec<_>) =
        devices.partition(|device| device.lock().record.is_enabled);
    Done::json(json!({
        "totalDeviceCount": enabled.len() + disabled.len(),
        "enabledDeviceCount": enabled.len(),
        "disabledDeviceCount": disabled.len(),
    }))
}

/// `GET /statistics/service`.
pub(super) fn service_statistics(hub: &Hub) -> Done {
    let devices = hub.registry.all().into_iter().filter(|identity| identity.key.module.is_none());
    let connected = devices.filter(|device| device.lock().link.is_some()).count();
    Done::json(json!({ "connectedDeviceCount": connected }))
}

/// Calls about a module of a missing or disabled device get 401, not 404 (observed on a live hub, August 2026).
fn check_parent(hub: &Hub, device: &str) -> Result<(), Refused> {
    if hub.is_enabled(device) {
        return Ok(());
    }
    Err(Problem::new(problem::UNAUTHORIZED_ACCESS, "Unauthorized").into())
}

pub(super) fn find(hub: &Hub, key: &IdentityKey) -> Result<Arc<Identity>, Refused> {
    hub.registry.find(key).ok_or_else(|| missing(key))
}

fn missing(key: &IdentityKey) -> Refused {
    match &key.module {
        Some(_) => Refused::shaped(no_module(key), Shape::Coded),
        None => no_device(&key.device).into(),
    }
}

/// Gives the precondition: quoted or not, or `*`.
pub(super) fn if_match(call: &Call) -> Option<&str> {
    call.header("if-match").map(|text| text.trim().trim_start_matches("W/").trim_matches('"'))
}

async fn put(hub: &Hub, call: &Call, key: IdentityKey) -> Outcome {
    check_ids(&key)?;
    let body = call.json()?;
    for (member, expected) in [("deviceId", Some(&key.device)), ("moduleId", key.module.as_ref())] {
        let found = body.get(member).filter(|found| !found.is_null());
        if found.is_some_and(|found| found.as_str() != expected.map(String::as_str)) {
            return Err(
                invalid(format!("{member} in the body differs from the one in the path")).into()
            );
        }
    }
    if !body.is_object() {
        return Err(invalid("expected an identity object").into());
    }
    let written = Written::read(&body, &key)?;
    let (view, number) = match if_match(call) {
        None => create(hub, key, written)?,
        Some(etag) => update(hub, &key, written, etag)?,
    };
    hub.store.wait(number).await;
    Ok(Done::json(view))
}

/// What an identity write says; what it leaves out falls back to new keys and nothing (full replacement).
struct Written {
    authentication: Authentication,
    is_enabled: bool,
    status_reason: Option<String>,
    managed_by: Option<String>,
    capabilities: Option<Value>,
}

impl Written {
    fn read(body: &Value, key: &IdentityKey) -> Result<Self, Problem> {
        let is_enabled = match &body["status"] {
            Value::Null => true,
            Value::String(status) if status == "enabled" => true,
            Value::String(status) if status == "disabled" && key.module.is_none() => false,
            other => {
                return Err(invalid(format!(
                    "status: expected enabled or disabled, found {other}"
                )));
            }
        };
        let text = |member: &str| body[member].as_str().map(ToOwned::to_owned);
        let authentication = body.get("authentication").filter(|value| !value.is_null());
        if authentication.is_some_and(|value| !value.is_object()) {
            return Err(invalid("authentication: expected an object"));
        }
        Ok(Self {
            authentication: Authentication::from_json(authentication, key.module.is_some())?,
            is_enabled,
            status_reason: text("statusReason"),
            managed_by: text("managedBy"),
            capabilities: body.get("capabilities").filter(|value| value.is_object()).cloned(),
        })
    }

    fn apply(self, record: &mut Record) {
        record.authentication = self.authentication;
        record.is_enabled = self.is_enabled;
        record.status_reason = self.status_reason;
        record.managed_by = self.managed_by;
        record.capabilities = self.capabilities;
    }
}

fn create(hub: &Hub, key: IdentityKey, written: Written) -> Result<(Value, u64), Refused> {
    let shape = if key.module.is_some() { Shape::Coded } else { Shape::Named };
    let mut record = Record::fresh(key.clone(), written.authentication.clone(), hub.clock.now());
    written.apply(&mut record);
    let identity = Identity::new(record);
    let number = hub.registry.insert(&identity, hub.rules.max_modules, &hub.store);
    let number = number.map_err(|problem| Refused::shaped(problem, shape))?;
    let view = identity.lock().registry_view();
    hub.events.tell("created", Some(&key), || told(&view));
    Ok((view, number))
}

/// What the event of an identity write says: no keys.
fn told(view: &Value) -> Value {
    let kind = view.pointer("/authentication/type");
    match view.get("status") {
        Some(status) => json!({ "authentication": kind, "status": status }),
        None => json!({ "authentication": kind }),
    }
}

fn update(
    hub: &Hub,
    key: &IdentityKey,
    written: Written,
    etag: &str,
) -> Result<(Value, u64), Refused> {
    let identity = find(hub, key)?;
    let mut state = identity.lock();
    if state.is_deleted {
        return Err(missing(key));
    }
    check_etag(&state.record, etag)?;
    if state.record.is_enabled != written.is_enabled {
        state.record.status_updated = hub.clock.now();
    }
    let is_enabled = written.is_enabled;
    written.apply(&mut state.record);
    state.record.etag = identity_etag();
    let number = identity.save(&mut state, &hub.store);
    let view = state.registry_view();
    drop(state);
    hub.events.tell("updated", Some(key), || told(&view));
    if !is_enabled {
        for member in hub.registry.family(&key.device) {
            hub.cut(&member, Ending::Disabled);
        }
    }
    Ok((view, number))
}

async fn delete(hub: &Hub, call: &Call, key: &IdentityKey) -> Outcome {
    let found = hub.registry.find(key).is_some();
    let etag = match if_match(call) {
        Some(etag) => etag,
        None if found => {
            return Err(Problem::new(problem::PRECONDITION_FAILED, "Etag missing").into());
        }
        None => return Err(missing(key)),
    };
    let check = |identity: &Identity| check_etag(&identity.lock().record, etag);
    let (removed, number) = hub.registry.remove(key, &hub.store, check)?;
    for identity in removed {
        hub.cut(&identity, Ending::Deleted);
        hub.events.tell("deleted", Some(&identity.key), || json!({}));
    }
    hub.store.wait(number).await;
    Ok(Done::empty())
}

fn check_etag(record: &Record, etag: &str) -> Result<(), Problem> {
    if etag == "*" || etag == record.etag {
        return Ok(());
    }
    let text = format!("Precondition failed: expected etag {}, found {etag}", record.etag);
    Err(Problem::new(problem::PRECONDITION_FAILED, text))
}

/// Checks ids against the letters that the SDKs allow; modules starting with `$` are reserved for IoT Edge.
fn check_ids(key: &IdentityKey) -> Result<(), Problem> {
    for id in std::iter::once(&key.device).chain(&key.module) {
        let is_legal =
            |letter: char| letter.is_ascii_alphanumeric() || "-:.+%_#*?!(),=@;$'".contains(letter);
        if id.is_empty() || id.len() > 128 || !id.chars().all(is_legal) {
            return Err(invalid(format!("illegal id '{id}'")));
        }
    }
    if key.module.as_ref().is_some_and(|module| module.starts_with('$')) {
        return Err(invalid("module ids starting with $ are reserved"));
    }
    Ok(())
}

fn invalid(text: impl Into<String>) -> Problem {
    Problem::new(problem::ARGUMENT_INVALID, text)
}

/// Most devices in one list.
const MOST_LISTED: usize = 1000;
