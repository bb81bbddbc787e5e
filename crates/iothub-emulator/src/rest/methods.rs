//! Direct methods: the service's call, waiting for the module's answer ("Understand and invoke direct methods").

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::identities;
use super::{Done, Outcome, Refused, Shape};
use crate::http::Call;
use crate::hub::{self, Hub};
use crate::identity::{Identity, IdentityKey};
use crate::link::handle::{Command, LinkHandle};
use crate::problem::{self, Problem};

/// `POST /twins/{d}[/modules/{m}]/methods`.
pub(super) async fn call(hub: &Hub, call: &Call, device: &str, module: Option<&str>) -> Outcome {
    let key = IdentityKey { device: device.to_owned(), module: module.map(ToOwned::to_owned) };
    let body = call.json()?;
    let order = Order::read(&body)?;
    let identity = identities::find(hub, &key)?;
    let deadline = Instant::now() + order.wait;
    let Some(link) = callable(hub, &identity, order.connect_wait).await else {
        let text = "The operation failed because the requested device isn't online or hasn't registered the callback.";
        return Err(Refused::shaped(Problem::new(problem::DEVICE_NOT_ONLINE, text), Shape::Nested));
    };
    let rid = crate::random::hex(8);
    let Some(answer) = hub.calls.begin(&key, &rid, hub.rules.max_methods) else {
        let text =
            format!("At most {} direct methods may wait for one identity.", hub.rules.max_methods);
        return Err(Problem::new(problem::METHODS_IN_FLIGHT, text).into());
    };
    let _forget = Forget { hub, rid: &rid };
    hub.stats.methods.up();
    identity.counters.methods.fetch_add(1, Ordering::Relaxed);
    hub.events.tell("method", Some(&key), || json!({ "name": order.name, "rid": rid }));
    link.send(Command::Method { name: order.name, rid: rid.clone(), payload: order.payload });
    match tokio::time::timeout_at(deadline, answer).await {
        Ok(Ok(answer)) if answer.body.is_empty() => {
            Ok(Done::json(json!({ "status": answer.status, "payload": null })))
        }
        Ok(Ok(answer)) => {
            let payload: Value = serde_json::from_slice(&answer.body).map_err(|_| {
                Problem::new(problem::SERVER_ERROR, "the answer's payload is not JSON")
            })?;
            Ok(Done::json(json!({ "status": answer.status, "payload": payload })))
        }
        // "Understand and resolve IoT Hub errors", 400027: what was in flight on the older link fails.
        Ok(Err(_)) => Err(Problem::new(
            problem::FORCEFULLY_CLOSED,
            "The connection was closed because a newer one of the same identity came.",
        )
        .into()),
        Err(_) => Err(Problem::new(
            problem::GATEWAY_TIMEOUT,
            "Timed out waiting for the response from device.",
        )
        .into()),
    }
}

/// Gives the identity's link once it takes methods, at most after `wait`.
async fn callable(hub: &Hub, identity: &Identity, wait: Duration) -> Option<LinkHandle> {
    let deadline = Instant::now() + wait;
    let mut stop = hub.stop.clone();
    loop {
        let link = identity.lock().link.clone().filter(|link| link.takes_methods);
        if link.is_some() || Instant::now() >= deadline {
            return link;
        }
        tokio::select! {
            () = hub::stopped(&mut stop) => return None,
            () = tokio::time::sleep_until(deadline.min(Instant::now() + LOOK)) => {}
        }
    }
}

/// Forgets a call when nobody waits for it any more, be it that the caller hung up.
struct Forget<'a> {
    hub: &'a Hub,
    rid: &'a str,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.hub.calls.end(self.rid);
    }
}

struct Order {
    name: String,
    payload: Bytes,
    wait: Duration,
    /// How long the call waits for somebody who takes it.
    connect_wait: Duration,
}

impl Order {
    fn read(body: &Value) -> Result<Self, Problem> {
        let invalid = |text: &str| Problem::new(problem::ARGUMENT_INVALID, text);
        let name = body["methodName"]
            .as_str()
            .filter(|name| !name.is_empty() && !name.contains(['/', '#', '+', '?']));
        let name = name.ok_or_else(|| invalid("methodName: expected a name"))?;
        let seconds = |member: &str, default: u64| match &body[member] {
            Value::Null => Ok(default),
            value => value
                .as_u64()
                .ok_or_else(|| invalid(&format!("{member}: expected a whole number of seconds"))),
        };
        let (wait, connect) =
            (seconds("responseTimeoutInSeconds", 30)?, seconds("connectTimeoutInSeconds", 0)?);
        if !(5..=300).contains(&wait) {
            return Err(invalid("responseTimeoutInSeconds: expected 5 to 300"));
        }
        if connect > wait {
            let text = format!(
                "Device connection timeout {connect} cannot be longer than an overall call timeout {wait}"
            );
            return Err(invalid(&text));
        }
        let payload = match body.get("payload") {
            None => Bytes::new(),
            Some(payload) => Bytes::from(payload.to_string()),
        };
        if payload.len() > MOST_PAYLOAD_BYTES {
            return Err(Problem::new(
                problem::TOO_LARGE,
                format!("payload: expected at most {MOST_PAYLOAD_BYTES} bytes"),
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            payload,
            wait: Duration::from_secs(wait),
            connect_wait: Duration::from_secs(connect),
        })
    }
}

/// How often a call that waits for a link looks for one.
const LOOK: Duration = Duration::from_millis(50);
/// "128 KB each way".
const MOST_PAYLOAD_BYTES: usize = 128 * 1024;
