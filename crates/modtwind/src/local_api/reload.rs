//! `POST /v1/reload`: has the config read again, or puts another one on trial.

use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use modtwin_api::limits::MAX_TIMEOUT;
use modtwin_api::{Problem, ProblemKind, TrialRequest};
use serde::Deserialize;
use tokio::sync::oneshot;

use super::answer::{Outcome, Refusal, json};
use super::body;
use super::connection::{Caller, internal};
use super::registry::{AdminCommand, ReloadRefusal};

#[derive(Debug, Deserialize)]
struct Body {
    candidate: Option<String>,
    confirm_seconds: Option<u64>,
}

/// Hands the request to the supervisor and answers what that came to.
pub(crate) async fn answer(caller: &Caller, request: Request<Incoming>) -> Outcome {
    let (registry, grants) = caller.grants().await?;
    grants.require_administrator()?;
    let body = body::read(request.into_body(), caller.shared.limits.body_timeout).await?;
    let trial = if body.is_empty() { None } else { trial(body::json(&body)?)? };
    let (reply, outcome) = oneshot::channel();
    let command = match trial {
        None => AdminCommand::Reload { reply },
        Some(TrialRequest { candidate, confirm_seconds }) => {
            caller.require_config_owner(&registry)?;
            AdminCommand::Try { candidate, limit: limit(confirm_seconds)?, reply }
        }
    };
    let stopping = || Refusal::unavailable("the daemon is stopping; try again once it is back");
    caller.shared.admin.send(command).await.map_err(|_closed| stopping())?;
    match outcome.await {
        Ok(Ok(outcome)) => Ok(json(StatusCode::OK, &outcome)),
        Ok(Err(refusal)) => Err(refused(refusal)),
        Err(_dropped) if *caller.stopping.borrow() => Err(stopping()),
        Err(dropped) => Err(internal(&dropped)),
    }
}

/// What the body asks for; an object without its members asks for an ordinary reload.
fn trial(body: Body) -> Result<Option<TrialRequest>, Refusal> {
    match (body.candidate, body.confirm_seconds) {
        (None, None) => Ok(None),
        (Some(candidate), Some(confirm_seconds)) => {
            Ok(Some(TrialRequest { candidate, confirm_seconds }))
        }
        (None, Some(_)) => Err(Refusal::invalid("candidate", "missing beside confirm_seconds")),
        (Some(_), None) => Err(Refusal::invalid("confirm_seconds", "missing beside candidate")),
    }
}

fn limit(seconds: u64) -> Result<Duration, Refusal> {
    let longest = MAX_TIMEOUT.as_secs();
    if (1..=longest).contains(&seconds) {
        return Ok(Duration::from_secs(seconds));
    }
    let expected = format!("expected 1 to {longest} seconds, found {seconds}");
    Err(Refusal::invalid("confirm_seconds", expected))
}

fn refused(refusal: ReloadRefusal) -> Refusal {
    let errors = match refusal {
        ReloadRefusal::Invalid(errors) => errors,
        ReloadRefusal::Busy => {
            let detail = "a config is on trial already; status says until when, and a reload \
                          without a body ends it";
            return Refusal::new(ProblemKind::InUse, detail);
        }
    };
    let count = match errors.len() {
        1 => "an error".to_owned(),
        many => format!("{many} errors"),
    };
    let first = errors.first().map_or("", String::as_str);
    let detail = format!("{count} in the config files; the old config stays in force: {first}");
    Problem::new(ProblemKind::InvalidConfig, detail).with_errors(errors).into()
}
