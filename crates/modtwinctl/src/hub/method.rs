//! `modtwinctl hub method`: calls a direct method of a module and prints its answer.

use std::time::Duration;

use serde_json::{Value, json};

use super::service::{Call, Service, twin_path};
use crate::cli::hub::Method;
use crate::failure::{Exit, Failure};
use crate::output::{Output, compact};
use crate::watch::tell;

/// What the service takes for an answer's time ("Understand and invoke direct methods").
const TIMEOUT: std::ops::RangeInclusive<u64> = 5..=300;
/// How much longer than the module the hub may take.
const GRACE: Duration = Duration::from_secs(15);

pub(super) async fn run(
    service: &mut Service,
    args: &Method,
    output: &Output,
) -> Result<(), Failure> {
    let seconds = args.timeout.as_secs();
    if !TIMEOUT.contains(&seconds) {
        return Err(Failure::usage(format!("--timeout: expected 5s to 300s, found {seconds}s")));
    }
    let payload: Value = match &args.payload {
        Some(text) => serde_json::from_str(text)
            .map_err(|error| Failure::usage(format!("the payload: expected JSON: {error}")))?,
        None => Value::Null,
    };
    let connect = args.connect_timeout.unwrap_or_default();
    let body = json!({
        "methodName": args.method,
        "payload": payload,
        "responseTimeoutInSeconds": seconds,
        "connectTimeoutInSeconds": connect.as_secs(),
    });
    let path = format!("{}/methods", twin_path(&args.name.device, &args.name.module));
    let call = Call::post(path, &body).within(args.timeout + connect + GRACE);
    let answer = service.call(call).await?;
    let status = answer.get("status").and_then(Value::as_i64).unwrap_or_default();
    if output.is_json() {
        output.json(&answer)?;
    } else {
        tell(&format!("status {status}"));
        output.line(compact(answer.get("payload").unwrap_or(&Value::Null))?)?;
    }
    // The module's own word, after HTTP's fashion.
    if (200..300).contains(&status) { Ok(()) } else { Err(Failure::silent(Exit::Failed)) }
}
