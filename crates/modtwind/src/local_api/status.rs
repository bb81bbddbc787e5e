//! `GET /v1/status` for operators and `GET /v1/health` for whoever restarts the daemon.

use std::sync::Arc;
use std::time::SystemTime;

use hyper::{Response, StatusCode};
use modtwin_api::{
    BudgetStatus, ClockStatus, CredentialKind, CredentialStatus, HandlerStatus, Health, HubReason,
    HubState, HubStatus, MessagesStatus, ModuleStatus, PendingStatus, SizeStatus, Status,
    StorageStatus,
};
use modtwin_config::Credential;
use modtwin_core::limits::{MAX_SECTION_BYTES, NEARLY_FULL_PERCENT};
use modtwin_session::messages::Backlog;
use modtwin_session::view::ModuleView;

use super::answer::{Body, Outcome, encode, json};
use super::connection::Caller;
use super::conversion::{hub_status, quarantined};
use super::registry::{Entry, Registry};
use super::watch::Watchers;

/// Answers the whole daemon's status.
pub(crate) async fn answer(caller: &Arc<Caller>) -> Outcome {
    let (registry, grants) = caller.grants().await?;
    grants.require_administrator()?;
    let now = SystemTime::now();
    Ok(json(StatusCode::OK, &status(&registry, &caller.shared.watchers, now)))
}

/// Answers whether the daemon does its work: it does while somebody keeps the registry. What a
/// restart would not mend (a full disk, an unreachable hub) is told, but is no reason for one.
pub(crate) fn health(caller: &Arc<Caller>) -> Response<Body> {
    let registry = &caller.shared.registry;
    let healthy = registry.has_changed().is_ok();
    let registry = registry.borrow();
    let problem = if healthy {
        let clock = registry.shared.clock.borrow().held.clone();
        let damage =
            || registry.modules.iter().find_map(|entry| entry.handle.view().damage.clone());
        storage_problem(&registry).or(clock).or_else(damage)
    } else {
        Some("the supervisor has ended; restart the daemon".to_owned())
    };
    let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, &Health { healthy, version: registry.facts.version.clone(), problem })
}

/// The whole daemon as it is now.
pub(crate) fn status(registry: &Registry, watchers: &Watchers, now: SystemTime) -> Status {
    let facts = &registry.facts;
    let problem = storage_problem(registry);
    let written = || registry.modules.iter().map(|entry| entry.handle.written());
    let held = registry.shared.clock.borrow().held.clone();
    let served = registry.modules.iter().map(|entry| module(registry, entry, watchers, now));
    let unserved = registry
        .problems
        .iter()
        .filter(|(name, _)| registry.modules.iter().all(|e| e.handle.module().as_str() != *name))
        .map(|(name, problems)| unserved(name, problems, facts.started));
    Status {
        version: facts.version.clone(),
        pid: facts.pid,
        started: facts.started.into(),
        config: facts.config_path.display().to_string(),
        socket: facts.socket_path.display().to_string(),
        hub_hostname: facts.hub_hostname.clone(),
        device_id: facts.device_id.clone(),
        storage: StorageStatus {
            directory: facts.state_directory.display().to_string(),
            writable: problem.is_none(),
            problem,
            writes: Some(written().map(|written| written.writes).sum()),
            bytes_written: Some(written().map(|written| written.bytes).sum()),
        },
        clock: Some(ClockStatus { trusted: held.is_none(), problem: held }),
        budget: Some(BudgetStatus {
            operations_per_second: registry.shared.operations_per_second,
            percent: registry.shared.governor.rate_percent(),
        }),
        modules: served.chain(unserved).collect(),
    }
}

fn storage_problem(registry: &Registry) -> Option<String> {
    registry.modules.iter().find_map(|entry| entry.handle.view().storage_problem.clone())
}

fn module(
    registry: &Registry,
    entry: &Entry,
    watchers: &Watchers,
    now: SystemTime,
) -> ModuleStatus {
    let view = entry.handle.view();
    let name = view.module.as_str();
    let problems = registry.problems.get(name).map(|problems| problems.join("; "));
    ModuleStatus {
        module: name.to_owned(),
        hub: hub_status(&view.hub),
        generation: view.generation,
        desired_version: view.desired.as_ref().map(|section| section.version),
        reported_version: view.reported.as_ref().map(|section| section.version),
        as_of: view.as_of.map(Into::into),
        pending: pending(&view),
        quarantined: view.quarantined.iter().map(quarantined).collect(),
        messages: Some(messages(entry)),
        handlers: handlers(entry, &view, watchers),
        credential: Some(credential(entry, &view, now)),
        reconnects: view.connects.saturating_sub(1),
        sizes: Some(SizeStatus {
            desired: view.sizes.desired,
            reported: view.sizes.reported,
            limit: MAX_SECTION_BYTES,
            warn_at: (MAX_SECTION_BYTES * NEARLY_FULL_PERCENT).div_ceil(100),
        }),
        problem: problems.or_else(|| view.storage_problem.clone()).or_else(|| view.damage.clone()),
    }
}

/// A module of the config that is too broken for a session.
fn unserved(name: &str, problems: &[String], since: SystemTime) -> ModuleStatus {
    ModuleStatus {
        module: name.to_owned(),
        hub: HubStatus {
            state: HubState::Disabled,
            reason: HubReason::Config,
            since: since.into(),
            next_attempt: None,
            detail: problems.first().cloned(),
        },
        generation: 1,
        desired_version: None,
        reported_version: None,
        as_of: None,
        pending: PendingStatus::default(),
        quarantined: Vec::new(),
        messages: None,
        sizes: None,
        handlers: Vec::new(),
        credential: None,
        reconnects: 0,
        problem: Some(problems.join("; ")),
    }
}

fn pending(view: &ModuleView) -> PendingStatus {
    if view.pending.is_empty() {
        return PendingStatus::default();
    }
    let size = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    PendingStatus { keys: size(view.pending.len()), bytes: size(encode(&*view.pending).len()) }
}

fn messages(entry: &Entry) -> MessagesStatus {
    let Backlog { waiting, bytes, set_aside } = entry.handle.backlog();
    MessagesStatus { waiting, bytes, set_aside }
}

/// The handlers of the config, then whoever else acknowledged a version.
fn handlers(entry: &Entry, view: &ModuleView, watchers: &Watchers) -> Vec<HandlerStatus> {
    let configured = entry.config.handlers.iter().map(|handler| handler.name.as_str());
    let known: Vec<_> = configured.collect();
    let others = view.applied.iter().map(|applied| applied.handler.as_str());
    let others = others.filter(|name| !known.contains(name));
    known
        .iter()
        .copied()
        .chain(others)
        .map(|name| {
            let said = view.applied.iter().find(|applied| applied.handler == name);
            let applied = said.filter(|said| (200..=299).contains(&said.status));
            let expected = view.expected.iter().find(|expected| expected.handler == name);
            HandlerStatus {
                name: name.to_owned(),
                desired_version: expected.map(|expected| expected.version),
                applied_version: applied.map(|said| said.version),
                status: said.map(|said| said.status),
                description: said.and_then(|said| said.description.clone()),
                at: said.map(|said| said.at.into()),
                watching: watchers.is_watching(&view.module, name),
            }
        })
        .collect()
}

fn credential(entry: &Entry, view: &ModuleView, now: SystemTime) -> CredentialStatus {
    let kind = match entry.config.credential {
        Credential::X509 { .. } => CredentialKind::X509,
        Credential::ConnectionStringFile(_) | Credential::SharedAccessKeyFile(_) => {
            CredentialKind::SharedAccessKey
        }
    };
    // What the session knows of a key is the end of its present token, which it renews itself.
    let expires = view.credential_expires.filter(|_| kind == CredentialKind::X509);
    CredentialStatus {
        kind,
        expires: expires.map(Into::into),
        days_left: expires.map(|expires| days_between(now, expires)),
        warnings: entry.credential_warnings.borrow().clone(),
    }
}

/// Whole days from `now` to `then`, rounded down: -1 means that it was over less than a day ago.
fn days_between(now: SystemTime, then: SystemTime) -> i64 {
    let days = |seconds: u64| i64::try_from(seconds / SECONDS_A_DAY).unwrap_or(i64::MAX);
    match then.duration_since(now) {
        Ok(left) => days(left.as_secs()),
        Err(past) => -1 - days(past.duration().as_secs()),
    }
}

const SECONDS_A_DAY: u64 = 86_400;
