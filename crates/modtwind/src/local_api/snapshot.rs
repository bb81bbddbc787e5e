//! `GET /v1/modules/{m}`: the twin at one moment, as far as the peer may see it.
//!
//! Desired is restricted to what the peer may watch, reported, pending and quarantined to what it may report,
//! acknowledgements to its own.

use std::sync::Arc;

use hyper::header::{ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use hyper::{Response, StatusCode};
use modtwin_api::{Revision, Snapshot};
use modtwin_session::view::ModuleView;

use super::answer::{Body, Outcome, empty, json};
use super::connection::Caller;
use super::conversion::{applied, hub_status, quarantined, revision};
use super::rights::Access;

/// Answers the snapshot, or 304 where the client has that revision of desired already.
pub(crate) async fn answer(caller: &Arc<Caller>, module: &str, headers: &HeaderMap) -> Outcome {
    let (registry, grants) = caller.grants().await?;
    let (entry, access) = grants.module(&registry, module)?;
    let view = entry.handle.view();
    let revision = revision(&view);
    if revision.is_some_and(|revision| is_known(headers, revision)) {
        return Ok(tagged(empty(StatusCode::NOT_MODIFIED), revision));
    }
    Ok(tagged(json(StatusCode::OK, &snapshot(&view, access)), revision))
}

fn snapshot(view: &ModuleView, access: Access<'_>) -> Snapshot {
    let watch = access.watch();
    let report = access.report();
    let desired = view.desired.as_ref();
    let reported = view.reported.as_ref();
    Snapshot {
        module: view.module.to_string(),
        hub: hub_status(&view.hub),
        generation: view.generation,
        desired: desired.map(|section| watch.of(&section.document).into_owned()),
        version: desired.map(|section| section.version),
        reported: reported.map(|section| report.of(&section.document).into_owned()),
        reported_version: reported.map(|section| section.version),
        pending: report.of(&view.pending).into_owned(),
        quarantined: view
            .quarantined
            .iter()
            .filter(|one| report.meets(&one.key))
            .map(quarantined)
            .collect(),
        applied: view
            .applied
            .iter()
            .filter(|one| access.knows(&one.handler))
            .map(applied)
            .collect(),
        as_of: view.as_of.map(Into::into),
        stale: view.stale,
    }
}

fn is_known(headers: &HeaderMap, revision: Revision) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| revision.matches_etag(value))
}

fn tagged(mut response: Response<Body>, revision: Option<Revision>) -> Response<Body> {
    let tag = revision.and_then(|revision| HeaderValue::try_from(revision.etag()).ok());
    if let Some(tag) = tag {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}
