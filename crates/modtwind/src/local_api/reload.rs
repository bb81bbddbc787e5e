//! `POST /v1/reload`: has the config read again, or puts another one on trial.

use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use modtwin_api::limits::MAX_CONFIRM_SECONDS;
use modtwin_api::{Problem, ProblemKind, TrialRequest};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::answer::{Outcome, Refusal, json};
use super::body;
use super::connection::Caller;
use super::registry::{AdminCommand, ReloadRefusal};

/// Which of the members are there.
#[derive(Debug, Deserialize)]
struct Members {
    candidate: Option<IgnoredAny>,
    confirm_seconds: Option<IgnoredAny>,
}

/// Hands the request to the supervisor and answers what that came to.
pub(crate) async fn answer(caller: &Caller, request: Request<Incoming>) -> Outcome {
    let (_registry, grants) = caller.grants().await?;
    grants.require_administrator()?;
    let body = body::read(caller, request.into_body()).await?;
    let trial = if body.is_empty() { None } else { trial(&body)? };
    drop(body);
    // What counts are the rights once all of it is here: a body may take its time.
    let (registry, grants) = caller.grants().await?;
    grants.require_administrator()?;
    let outcome = match trial {
        None => caller.command(|reply| AdminCommand::Reload { reply }).await?,
        Some(TrialRequest { candidate, confirm_seconds }) => {
            caller.require_config_owner(&registry)?;
            let limit = limit(confirm_seconds)?;
            caller.command(|reply| AdminCommand::Try { candidate, limit, reply }).await?
        }
    };
    outcome.map(|outcome| json(StatusCode::OK, &outcome)).map_err(refused)
}

/// What the body asks for; an object without its members asks for an ordinary reload.
fn trial(body: &Bytes) -> Result<Option<TrialRequest>, Refusal> {
    let Members { candidate, confirm_seconds } = body::json(body)?;
    match (candidate, confirm_seconds) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => body::json(body).map(Some),
        (None, Some(_)) => Err(Refusal::invalid("candidate", "missing beside confirm_seconds")),
        (Some(_), None) => Err(Refusal::invalid("confirm_seconds", "missing beside candidate")),
    }
}

fn limit(seconds: u64) -> Result<Duration, Refusal> {
    if (1..=MAX_CONFIRM_SECONDS).contains(&seconds) {
        return Ok(Duration::from_secs(seconds));
    }
    let expected = format!("expected 1 to {MAX_CONFIRM_SECONDS} seconds, found {seconds}");
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
