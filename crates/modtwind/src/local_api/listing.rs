//! `GET /v1/modules`: the modules that the peer may use.

use std::sync::Arc;

use hyper::StatusCode;
use modtwin_api::{ModuleList, ModuleSummary};
use modtwin_session::view::ModuleView;

use super::answer::{Outcome, json};
use super::connection::Caller;
use super::conversion::hub_status;
use super::registry::Entry;
use super::rights::Access;

/// Answers the list.
pub(crate) async fn answer(caller: &Arc<Caller>) -> Outcome {
    let (registry, grants) = caller.grants().await?;
    let modules = grants.usable(&registry).map(|(entry, access)| summary(entry, access)).collect();
    Ok(json(StatusCode::OK, &ModuleList { modules }))
}

fn summary(entry: &Entry, access: Access<'_>) -> ModuleSummary {
    let view = entry.handle.view();
    let handlers = entry.config.handlers.iter().map(|handler| handler.name.clone());
    ModuleSummary {
        module: view.module.to_string(),
        hub: hub_status(&view.hub),
        desired_version: view.desired.as_ref().map(|desired| desired.version),
        applied_version: applied_version(&view, access),
        handlers: handlers.filter(|name| access.knows(name)).collect(),
    }
}

/// The newest version that every handler which acknowledged one has applied, of those that the
/// peer may know of: the oldest of theirs; none where no handler has, or where the last word of
/// one of them was a refusal.
fn applied_version(view: &ModuleView, access: Access<'_>) -> Option<u64> {
    view.applied
        .iter()
        .filter(|applied| access.knows(&applied.handler))
        .map(|applied| (200..=299).contains(&applied.status).then_some(applied.version))
        .min()
        .flatten()
}
