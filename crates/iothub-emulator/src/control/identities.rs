//! Looking at identities without a token: who there is, who is connected, and twins. Keys are the service API's alone.

use serde_json::{Value, json};

use crate::hub::Hub;
use crate::identity::{Identity, IdentityKey};

/// `GET identities`: a summary of each, devices before their modules.
pub(super) fn list(hub: &Hub) -> Value {
    hub.registry.all().iter().map(|identity| summary(identity)).collect()
}

/// `GET identities/{device}[/{module}]`: the twin as the service sees it.
pub(super) fn twin(hub: &Hub, device: &str, module: Option<&str>) -> Result<Value, String> {
    let key = match module {
        Some(module) => IdentityKey::module(device, module),
        None => IdentityKey::device(device),
    };
    let identity = hub.registry.find(&key).ok_or_else(|| format!("no identity `{key}`"))?;
    Ok(identity.lock().twin_view())
}

fn summary(identity: &Identity) -> Value {
    let state = identity.lock();
    let record = &state.record;
    json!({
        "device": record.key.device,
        "module": record.key.module,
        "enabled": record.is_enabled,
        "connected": state.link.is_some(),
        "authentication": record.authentication.type_name(),
        "model_id": state.link.as_ref().map(|link| link.model_id.as_str()),
        "desired_version": record.twin.desired_version(),
        "reported_version": record.twin.reported_version(),
        "last_activity": record.last_activity.rfc3339(),
        "counters": identity.counters.to_json(),
    })
}
