//! Twins: GET, PATCH, PUT.

use serde_json::{Value, json};

use super::{Done, Outcome, Refused};
use crate::fault::Kind;
use crate::http::Call;
use crate::hub::{Hub, Mode};
use crate::identity::IdentityKey;
use crate::problem::{self, Problem};
use crate::registry::{no_device, no_module};
use crate::twin::{Document, ServiceWrite};

/// `GET`, `PATCH`, `PUT /twins/{d}[/modules/{m}]`.
pub(super) async fn run(hub: &Hub, call: &Call, device: &str, module: Option<&str>) -> Outcome {
    let key = IdentityKey { device: device.to_owned(), module: module.map(ToOwned::to_owned) };
    strike_fault(hub, &key)?;
    let identity = hub.registry.find(&key).ok_or_else(|| {
        match (&key.module, hub.registry.family(device).is_empty()) {
            (Some(_), false) => no_module(&key),
            _ => no_device(device),
        }
    })?;
    if call.method == "GET" {
        let (view, number) = {
            let state = identity.lock();
            (state.twin_view(), state.written)
        };
        hub.store.wait(number).await;
        return Ok(Done::json(view));
    }
    let mode = if call.method == "PUT" { Mode::Replace } else { Mode::Patch };
    let write = read(&call.json()?)?;
    let (view, number) =
        hub.write_twin(&identity, mode, write, super::identities::if_match(call))?;
    hub.store.wait(number).await;
    Ok(Done::json(view))
}

fn strike_fault(hub: &Hub, key: &IdentityKey) -> Result<(), Refused> {
    for kind in [Kind::Throttle, Kind::Error, Kind::Quota] {
        let Some(fault) = hub.faults.strike_service(kind, key) else {
            continue;
        };
        hub.tell_fault(&fault, Some(key));
        return Err(match kind {
            Kind::Throttle => {
                let text = format!(
                    "The request has been throttled. Wait {} seconds and try again.",
                    fault.retry
                );
                Problem::new(problem::THROTTLING_TIMEOUT, text)
            }
            Kind::Error => Problem::server(fault.status),
            _ => Problem::new(
                problem::QUOTA_EXCEEDED,
                "Total number of messages on IotHub exceeded the quota.",
            ),
        }
        .into());
    }
    Ok(())
}

/// Reads a write's body. Members that are not the service's to write are ignored, as backends send the whole twin
/// back; `$metadata` and `$version` inside desired are dropped for the same reason.
fn read(body: &Value) -> Result<ServiceWrite, Problem> {
    if !body.is_object() {
        return Err(invalid("expected a twin object"));
    }
    let properties = &body["properties"];
    if !properties.is_null() && !properties.is_object() {
        return Err(invalid("properties: expected an object"));
    }
    let mut desired = section(properties, "desired")?;
    if let Some(desired) = &mut desired {
        desired.remove("$metadata");
        desired.remove("$version");
    }
    Ok(ServiceWrite { tags: section(body, "tags")?, desired })
}

fn section(parent: &Value, name: &str) -> Result<Option<Document>, Problem> {
    match parent.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(section)) => Ok(Some(section.clone())),
        Some(other) => Err(invalid(&format!("{name}: expected an object, found {}", json!(other)))),
    }
}

fn invalid(text: &str) -> Problem {
    Problem::new(problem::ARGUMENT_INVALID, text)
}
