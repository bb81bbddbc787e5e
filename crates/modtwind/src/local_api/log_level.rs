//! `GET` and `PUT /v1/log-level`: how much is logged, which an administrator may change for a while.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use modtwin_api::limits::{DEFAULT_LOG_SECONDS, MAX_LOG_SECONDS};
use modtwin_api::{LogLevel, LogLevelChange};

use super::answer::{Outcome, Refusal, json};
use super::body;
use super::connection::Caller;
use super::registry::AdminCommand;
use super::reported::require_json;

/// Answers what is in force, after the change where one is asked for.
pub(crate) async fn answer(caller: &Arc<Caller>, request: Request<Incoming>) -> Outcome {
    let (_registry, grants) = caller.grants().await?;
    grants.require_administrator()?;
    let change = if request.method() == Method::PUT {
        require_json(request.headers())?;
        let body = body::read(caller, request.into_body()).await?;
        Some(checked(body::json(&body)?)?)
    } else {
        None
    };
    let status = caller.command(|reply| AdminCommand::LogLevel { change, reply }).await?;
    Ok(json(StatusCode::OK, &status))
}

fn checked(change: LogLevelChange) -> Result<(LogLevel, Duration), Refusal> {
    let LogLevelChange { level, for_seconds } = change;
    if level == LogLevel::Unknown {
        let words: Vec<_> = LogLevel::ALL.iter().map(|level| level.as_str()).collect();
        return Err(Refusal::invalid("level", format!("expected one of {}", words.join(", "))));
    }
    let seconds = for_seconds.unwrap_or(DEFAULT_LOG_SECONDS);
    if !(1..=MAX_LOG_SECONDS).contains(&seconds) {
        let detail = format!("expected 1 to {MAX_LOG_SECONDS} seconds, found {seconds}");
        return Err(Refusal::invalid("for_seconds", detail));
    }
    Ok((level, Duration::from_secs(seconds)))
}
