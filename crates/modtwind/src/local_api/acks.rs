//! `POST /v1/modules/{m}/acks`: a handler's word on a version of desired.

use std::sync::Arc;
use std::time::SystemTime;

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use modtwin_api::limits::{MAX_DESCRIPTION_BYTES, MAX_HANDLER_BYTES};
use modtwin_api::{AckRequest, AckStored, Problem, ProblemKind};
use modtwin_core::document::Pointer;
use modtwin_session::handle::{AckError, Acknowledgement};
use modtwin_session::store::to_stored_ms;

use super::answer::{Outcome, Refusal, json};
use super::body;
use super::connection::Caller;
use super::query;
use super::registry::Entry;
use super::reported::require_json;
use super::rights::Access;

/// Takes an acknowledgement and answers once it is durable.
pub(crate) async fn answer(
    caller: &Arc<Caller>,
    module: &str,
    request: Request<Incoming>,
) -> Outcome {
    require_some(caller, module).await?;
    require_json(request.headers())?;
    let body = body::read(caller, request.into_body()).await?;
    // What counts are the rights once all of it is here: a body may take its time.
    let (registry, grants) = caller.grants().await?;
    let (entry, access) = grants.module(&registry, module)?;
    let acknowledgement = acknowledgement(body::json(&body)?, access, entry)?;
    entry.handle.acknowledge(acknowledgement).await.map_err(|failure| refusal(&failure))?;
    Ok(json(StatusCode::ACCEPTED, &AckStored { stored: true }))
}

/// Refuses, before a byte of the body is read, whoever may watch nothing.
async fn require_some(caller: &Caller, module: &str) -> Result<(), Refusal> {
    let (registry, grants) = caller.grants().await?;
    let (_entry, access) = grants.module(&registry, module)?;
    if access.watch().is_empty() { Err(access.lacks("watch", "")) } else { Ok(()) }
}

fn acknowledgement(
    request: AckRequest,
    access: Access<'_>,
    entry: &Entry,
) -> Result<Acknowledgement, Refusal> {
    let status = request.status;
    if !AckRequest::is_status(status) {
        return Err(Refusal::invalid(
            "status",
            format!("expected 200 to 299 (applied) or 400 to 599 (refused), found {status}"),
        ));
    }
    require_length("handler", request.handler.as_deref(), MAX_HANDLER_BYTES)?;
    require_length("description", request.description.as_deref(), MAX_DESCRIPTION_BYTES)?;
    let handler = handler(request.handler, access)?;
    let access = access.named(Some(&handler))?;
    query::require_few("paths", request.paths.len())?;
    let paths = request.paths.iter().map(|path| query::pointer("paths", path));
    let paths = paths.collect::<Result<Vec<_>, _>>()?;
    if let Some(pointer) = access.watch().first_uncovered(&paths) {
        return Err(access.lacks("watch", &pointer.to_string()));
    }
    let paths = if paths.is_empty() { watched(access, entry, &handler) } else { paths };
    Ok(Acknowledgement {
        handler,
        generation: request.generation,
        version: request.version,
        status,
        description: request.description,
        paths,
        at_ms: to_stored_ms(SystemTime::now()),
    })
}

/// Under which name the peer speaks: the one it gives, or its only one.
fn handler(given: Option<String>, access: Access<'_>) -> Result<String, Refusal> {
    let mut own = access.own_names();
    match (given, own.pop(), own.is_empty()) {
        (Some(given), _, _) => Ok(given),
        (None, Some(only), true) => Ok(only),
        (None, None, _) => Ok(ADMINISTRATOR.to_owned()),
        (None, Some(last), false) => Err(Refusal::invalid(
            "handler",
            format!("this peer is several handlers here; say which: {}, {last}", own.join(", ")),
        )),
    }
}

/// What the handler of that name watches; everything where it is an administrator's own.
fn watched(access: Access<'_>, entry: &Entry, handler: &str) -> Vec<Pointer> {
    match access {
        Access::Entries { entries, .. } => {
            entries.iter().flat_map(|entry| entry.watch.iter().cloned()).collect()
        }
        Access::Everything => {
            let configured = entry.config.handlers.iter().find(|one| one.name == handler);
            let everything = || Pointer::parse("").into_iter().collect();
            configured.map_or_else(everything, |handler| handler.watch.clone())
        }
    }
}

fn require_length(field: &str, text: Option<&str>, limit: usize) -> Result<(), Refusal> {
    let found = text.map_or(0, str::len);
    if found <= limit && text != Some("") {
        return Ok(());
    }
    let detail = format!("expected 1 to {limit} bytes, found {found}");
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    let problem = Problem::new(ProblemKind::InvalidRequest, detail);
    Err(problem.with_field(field).with_limit(limit).into())
}

fn refusal(failure: &AckError) -> Refusal {
    match failure {
        AckError::UnknownVersion { .. } => {
            Refusal::new(ProblemKind::UnknownVersion, failure.to_string())
        }
        AckError::NotSynced => Refusal::new(
            ProblemKind::NotSynced,
            format!("{failure}: wait for a `desired` event before acknowledging"),
        )
        .retry_later(),
        AckError::Storage(cause) => Refusal::new(
            ProblemKind::Storage,
            format!("{failure}: {cause}; free some space or mend the state directory"),
        ),
        AckError::Stopping(_) => Refusal::unavailable(
            "the module is stopping; nothing was stored: try again in a moment",
        ),
    }
}

/// The name of an administrator that gives none.
const ADMINISTRATOR: &str = "admin";
