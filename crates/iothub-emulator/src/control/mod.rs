//! The control API under `/emulator/v1/`: faults, events, stats, the clock, CA certificates. It asks for no token: the
//! emulator is a tool for one's own machine.

mod identities;
mod page;
mod stream;

use std::sync::Arc;

use hyper::Response;
use openssl::x509::X509;
use serde_json::{Value, json};

use crate::clock::parse_shift;
use crate::fault::RawFault;
use crate::http::{self, Body, Call};
use crate::hub::Hub;
use crate::store::Entry;
pub(crate) use page::answer as page;

/// Answers one call of the control API.
pub(crate) async fn answer(hub: &Arc<Hub>, call: &Call) -> Response<Body> {
    let segments = call.segments();
    if is_from_elsewhere(call) {
        let text = "the page that calls is not the emulator's own";
        return http::json(403, &json!({ "error": text }));
    }
    let outcome = match (call.method.as_str(), segments.get(2..).unwrap_or_default()) {
        ("POST", ["faults"]) => add_fault(hub, call).await,
        ("GET", ["faults"]) => {
            Ok(hub.faults.in_force().iter().map(|fault| fault.to_json()).collect())
        }
        ("DELETE", ["faults"]) => Ok(end_faults(hub, None)),
        ("DELETE", ["faults", id]) => match id.parse() {
            Ok(id) => Ok(end_faults(hub, Some(id))),
            Err(_) => Err(format!("fault id: expected a number, found `{id}`")),
        },
        ("GET", ["events"]) => return stream::answer(hub),
        ("GET", ["identities"]) => Ok(identities::list(hub)),
        ("GET", ["identities", device]) => identities::twin(hub, device, None),
        ("GET", ["identities", device, module]) => identities::twin(hub, device, Some(module)),
        ("GET", ["stats"]) => Ok(stats(hub)),
        ("GET", ["clock"]) => Ok(json!({ "now": hub.clock.now().rfc3339() })),
        ("POST", ["clock"]) => shift_clock(hub, call),
        ("POST", ["cas"]) => add_authority(hub, call).await,
        ("GET", ["cas"]) => Ok(authorities(hub)),
        (method, _) => {
            let text = format!("no such call: {method} {}", call.path.join("/"));
            return http::json(404, &json!({ "error": text, "calls": CALLS }));
        }
    };
    match outcome {
        Ok(body) => http::json(200, &body),
        Err(error) => http::json(400, &json!({ "error": error })),
    }
}

/// Says whether a browser calls for a page of somebody else. Without this, any page in a browser that trusts the
/// emulator's certificate could order faults: such calls need no permission as long as the answer is not read.
fn is_from_elsewhere(call: &Call) -> bool {
    let host = call.header("host").unwrap_or_default();
    let is_own = |origin: &str| origin.strip_prefix("https://").is_some_and(|own| own == host);
    call.header("origin").is_some_and(|origin| !is_own(origin))
}

async fn add_fault(hub: &Arc<Hub>, call: &Call) -> Result<Value, String> {
    let order: RawFault =
        serde_json::from_slice(&call.body).map_err(|error| format!("fault: {error}"))?;
    let order = order.check().map_err(|flaws| {
        let texts = flaws.iter().map(|flaw| format!("`{}`: {}", flaw.key, flaw.text));
        texts.collect::<Vec<_>>().join("; ")
    })?;
    let (fault, number) = hub.order(order);
    hub.store.wait(number).await;
    Ok(fault.to_json())
}

fn end_faults(hub: &Hub, id: Option<u64>) -> Value {
    json!({ "ended": hub.end_faults(id) })
}

fn stats(hub: &Hub) -> Value {
    let all = hub.registry.all();
    let by = |wants_modules: bool| -> Value {
        let chosen = all.iter().filter(|identity| identity.key.module.is_some() == wants_modules);
        let members = chosen.map(|identity| {
            let mut member = identity.counters.to_json();
            if let Some(member) = member.as_object_mut() {
                member.insert("connected".to_owned(), json!(identity.lock().link.is_some()));
            }
            (identity.key.to_string(), member)
        });
        Value::Object(members.collect())
    };
    let stats = &hub.stats;
    let sessions = all.iter().filter(|identity| identity.lock().link.is_some()).count();
    json!({
        "connections": { "now": stats.open.value(), "sessions": sessions, "total": stats.accepted.value() },
        "connects": stats.connects.value(),
        "refusals": stats.refusals.value(),
        "twin_gets": stats.twin_gets.value(),
        "reported_patches": stats.reports.value(),
        "desired_notifications": stats.notifications.value(),
        "messages": stats.messages.value(),
        "methods": stats.methods.value(),
        "throttle": hub.throttle.to_json(hub.clock.now()),
        "modules": by(true),
        "devices": by(false),
    })
}

fn shift_clock(hub: &Hub, call: &Call) -> Result<Value, String> {
    let body: Value =
        serde_json::from_slice(&call.body).map_err(|error| format!("clock: {error}"))?;
    let text = body
        .get("shift")
        .and_then(Value::as_str)
        .ok_or("`shift`: expected a text such as \"10m\", \"-1h\" or \"0s\"")?;
    let shift = parse_shift(text).map_err(|reason| format!("`shift`: {reason}"))?;
    Ok(hub.shift_clock(shift))
}

async fn add_authority(hub: &Hub, call: &Call) -> Result<Value, String> {
    let certificates = X509::stack_from_pem(&call.body)
        .map_err(|error| format!("expected PEM certificates: {error}"))?;
    if certificates.is_empty() {
        return Err("expected PEM certificates, found none".to_owned());
    }
    let (mut added, mut number) = (0, 0);
    for certificate in certificates {
        let pem = certificate.to_pem().map_err(|error| format!("certificate: {error}"))?;
        if hub.registry.add_authority(certificate) {
            number = hub.store.push(Entry::Authority(String::from_utf8_lossy(&pem).into_owned()));
            added += 1;
        }
    }
    hub.store.wait(number).await;
    Ok(json!({ "added": added }))
}

fn authorities(hub: &Hub) -> Value {
    let names = hub.registry.authorities();
    names.iter().map(|certificate| json!(format!("{:?}", certificate.subject_name()))).collect()
}

const CALLS: [&str; 10] = [
    "GET identities[/{device}[/{module}]]",
    "POST faults",
    "GET faults",
    "DELETE faults",
    "DELETE faults/{id}",
    "GET events",
    "GET stats",
    "GET|POST clock",
    "POST cas",
    "GET cas",
];
