//! `PATCH /v1/modules/{m}/reported`: a merge patch on its way to the hub.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::{Request, StatusCode};
use modtwin_api::{Problem, ProblemKind, ReportAccepted, ReportStored};
use modtwin_core::document::Document;
use modtwin_session::handle::{ReportError, ReportTicket};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::answer::{Outcome, Refusal, json};
use super::body;
use super::connection::Caller;
use super::query::{Query, Wait};
use super::rights::Access;

/// Takes a report and answers once what the request waits for has happened.
pub(crate) async fn answer(
    caller: &Arc<Caller>,
    module: &str,
    query: &Query,
    request: Request<Incoming>,
) -> Outcome {
    require_some(caller, module).await?;
    let wait = query.wait()?;
    let limit = query.timeout()?;
    require_json(request.headers())?;
    let body = body::read(caller, request.into_body()).await?;
    // What counts are the rights once all of it is here: a body may take its time.
    let (registry, grants) = caller.grants().await?;
    let (entry, access) = grants.module(&registry, module)?;
    let patch = patch(body::json(&body)?)?;
    require_cover(access, &patch)?;
    let deadline = Instant::now() + limit;
    let report = timeout_at(deadline, entry.handle.report(patch)).await;
    let ticket = report.map_err(|_elapsed| not_stored())?.map_err(|e| refusal(&e))?;
    drop(body);
    settle(ticket, wait, deadline).await
}

/// Refuses, before a byte of the body is read, whoever may report nothing.
async fn require_some(caller: &Caller, module: &str) -> Result<(), Refusal> {
    let (registry, grants) = caller.grants().await?;
    let (_entry, access) = grants.module(&registry, module)?;
    if access.report().is_empty() { Err(access.lacks("report", "")) } else { Ok(()) }
}

async fn settle(ticket: ReportTicket, wait: Wait, deadline: Instant) -> Outcome {
    let stored = timeout_at(deadline, ticket.stored).await.map_err(|_elapsed| not_stored())?;
    let sequence = stored.map_err(|_gone| stopping())?.map_err(|e| refusal(&e))?;
    if wait == Wait::Stored {
        return Ok(json(StatusCode::ACCEPTED, &ReportStored { stored: true, sequence }));
    }
    let coming = |why| {
        let detail = format!(
            "{why} accepted report {sequence}; it is stored and will be sent, so don't send it again"
        );
        Refusal::new(ProblemKind::Timeout, detail)
    };
    let version = timeout_at(deadline, ticket.accepted)
        .await
        .map_err(|_elapsed| coming("the time was over before the hub had"))?
        .map_err(|_gone| coming("the module stopped before the hub had"))?
        .map_err(|e| refusal(&e))?;
    Ok(json(StatusCode::OK, &ReportAccepted { stored: true, sequence, version }))
}

/// Refuses a body that says it is something else than JSON.
pub(crate) fn require_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(found) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let found = found.to_str().unwrap_or_default();
    let media_type = found.split(';').next().unwrap_or_default().trim();
    let known = ["application/merge-patch+json", "application/json"];
    // curl's -d says so of anything where it is told nothing else.
    let curl = "application/x-www-form-urlencoded";
    if known.iter().chain([&curl]).any(|known| media_type.eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    Err(Refusal::invalid(
        "content-type",
        format!("expected application/merge-patch+json or application/json, found `{found}`"),
    ))
}

fn patch(value: Value) -> Result<Document, Refusal> {
    match value {
        Value::Object(patch) => Ok(patch),
        other => Err(Refusal::invalid(
            "body",
            format!("expected a JSON object, found {}", kind_of(&other)),
        )),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn require_cover(access: Access<'_>, patch: &Document) -> Result<(), Refusal> {
    match access.report().first_outside(patch) {
        None => Ok(()),
        Some(pointer) => Err(access.lacks("report", &pointer.to_string())),
    }
}

fn not_stored() -> Refusal {
    Refusal::new(
        ProblemKind::Timeout,
        "the report was not confirmed as stored in time; it may still be: send it again",
    )
}

fn stopping() -> Refusal {
    Refusal::unavailable("the module is stopping; nothing was stored: try again in a moment")
}

fn refusal(failure: &ReportError) -> Refusal {
    match failure {
        ReportError::InvalidTwin { pointer, rule, limit } => {
            let detail = format!("`{pointer}`: {rule}; nothing was stored");
            let problem = Problem::new(ProblemKind::InvalidTwin, detail).with_rule(pointer, rule);
            match limit {
                Some(limit) => problem.with_limit(*limit).into(),
                None => problem.into(),
            }
        }
        ReportError::Storage(cause) => Refusal::new(
            ProblemKind::Storage,
            format!("{failure}: {cause}; free some space or mend the state directory"),
        ),
        ReportError::RejectedByHub { key, status, message } => {
            let pointer = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
            let detail = format!(
                "the hub refused `{key}` with {status}: {message}; the rest went through, and \
                 the key is not sent again before it gets another value"
            );
            let problem = Problem::new(ProblemKind::RejectedByHub, detail)
                .with_hub_status(*status)
                .with_rule(pointer, message);
            problem.into()
        }
        ReportError::Stopping(_) => stopping(),
    }
}
