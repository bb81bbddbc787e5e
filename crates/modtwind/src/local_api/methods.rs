//! `GET /v1/modules/{m}/methods`: a stream of calls of direct methods, and
//! `POST /v1/modules/{m}/methods/{id}`: the answer to one.
//!
//! The methods are the stream's for as long as its connection is open. Leaves to others who owns what
//! and what the hub is told where nobody answers ([`modtwin_session::methods`]).

use std::collections::BTreeSet;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use modtwin_api::limits::MAX_METHOD_BYTES;
use modtwin_api::{Invocation, MethodEvent, MethodResponse, Problem, ProblemKind};
use modtwin_core::ids::ModuleId;
use modtwin_session::methods::{AnswerError, ClaimError, MethodAnswer, MethodCalls};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::answer::{Outcome, Refusal, empty, encode};
use super::body;
use super::connection::{Caller, stopped};
use super::lines::{self, Source};
use super::query::Query;
use super::registry::Registry;
use super::reported::require_json;
use super::rights::Access;

/// Begins a stream.
pub(crate) async fn calls(caller: &Arc<Caller>, module: &str, query: &Query) -> Outcome {
    let (registry, grants) = caller.grants().await?;
    let (entry, access) = grants.module(&registry, module)?;
    let names: BTreeSet<String> = query.all("name").map(str::to_owned).collect();
    if names.contains("") {
        return Err(Refusal::invalid("name", "expected the name of a method, found none"));
    }
    let names = claimable(access, names)?;
    let claimed = entry.handle.claim_methods(names.clone()).await;
    let calls = claimed.map_err(|failure| not_claimed(&failure))?;
    let mut heartbeat = interval(caller.shared.limits.heartbeat);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let desk = Desk {
        registry: caller.shared.registry.clone(),
        seen: Arc::clone(&registry),
        stopping: caller.stopping.clone(),
        caller: Arc::clone(caller),
        heartbeat,
        calls,
        module: entry.handle.module().clone(),
        names,
    };
    Ok(lines::answer(caller, desk))
}

/// The methods that the peer gets when it asks for `names`; none at all are all that are free.
fn claimable(access: Access<'_>, names: BTreeSet<String>) -> Result<BTreeSet<String>, Refusal> {
    let Some(allowed) = access.methods() else { return Ok(names) };
    if let Some(name) = names.difference(&allowed).next() {
        return Err(access.may_not_answer(Some(name)));
    }
    match (names.is_empty(), allowed.is_empty()) {
        (true, true) => Err(access.may_not_answer(None)),
        (true, false) => Ok(allowed),
        (false, _) => Ok(names),
    }
}

/// One stream, between two of its lines.
#[derive(Debug)]
struct Desk {
    caller: Arc<Caller>,
    registry: watch::Receiver<Arc<Registry>>,
    /// The registry that module and rights were last looked up in.
    seen: Arc<Registry>,
    stopping: watch::Receiver<bool>,
    heartbeat: Interval,
    calls: MethodCalls,
    module: ModuleId,
    names: BTreeSet<String>,
}

/// What a look at the registry comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// The stream goes on.
    Unchanged,
    /// The module is gone, or is no more for this peer.
    Removed,
    /// The peer may not answer all of these methods any more: a new stream has to begin.
    Revoked,
}

impl Desk {
    async fn event(&mut self) -> Option<MethodEvent> {
        loop {
            match self.standing().await {
                Standing::Unchanged => {}
                Standing::Removed => {
                    return Some(MethodEvent::Removed { module: self.module.to_string() });
                }
                Standing::Revoked => return None,
            }
            tokio::select! {
                biased;
                () = stopped(&mut self.stopping) => return None,
                changed = self.registry.changed() => changed.ok()?,
                _ = self.heartbeat.tick() => return Some(MethodEvent::Heartbeat),
                call = self.calls.next() => {
                    let call = call?;
                    let left = call.due.saturating_duration_since(Instant::now());
                    return Some(MethodEvent::Invoke(Invocation {
                        id: call.id,
                        method: call.method,
                        payload: call.payload,
                        timeout_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
                    }));
                }
            }
        }
    }

    /// Looks whether the registry still has the module, and these methods, for this peer.
    async fn standing(&mut self) -> Standing {
        if Arc::ptr_eq(&self.seen, &self.registry.borrow_and_update()) {
            return Standing::Unchanged;
        }
        let Ok((registry, grants)) = self.caller.grants().await else {
            return Standing::Revoked;
        };
        self.seen = Arc::clone(&registry);
        let Ok((_entry, access)) = grants.module(&registry, self.module.as_str()) else {
            return Standing::Removed;
        };
        match access.methods() {
            Some(allowed) if self.names.is_empty() || !self.names.is_subset(&allowed) => {
                Standing::Revoked
            }
            _ => Standing::Unchanged,
        }
    }
}

impl Source for Desk {
    type Line = MethodEvent;

    fn next(&mut self) -> impl Future<Output = Option<MethodEvent>> + Send {
        self.event()
    }

    fn is_last(event: &MethodEvent) -> bool {
        matches!(event, MethodEvent::Removed { .. })
    }
}

/// Takes the answer to a call.
pub(crate) async fn answer(
    caller: &Arc<Caller>,
    (module, id): (&str, &str),
    request: Request<Incoming>,
) -> Outcome {
    let (registry, grants) = caller.grants().await?;
    let (entry, access) = grants.module(&registry, module)?;
    let allowed = access.methods();
    if allowed.as_ref().is_some_and(BTreeSet::is_empty) {
        return Err(access.may_not_answer(None));
    }
    require_json(request.headers())?;
    let bytes = body::read(request.into_body(), caller.shared.limits.body_timeout).await?;
    let MethodResponse { status, payload } = body::json(&bytes)?;
    if !MethodResponse::is_status(status) {
        let detail = format!("expected 100 to 999, found {status}");
        return Err(Refusal::invalid("status", detail));
    }
    let payload = match payload {
        Value::Null => Vec::new(),
        payload => encode(&payload),
    };
    if payload.len() > MAX_METHOD_BYTES {
        return Err(too_large(payload.len()));
    }
    let answered = entry.handle.answer_method(id, MethodAnswer { status, payload, allowed }).await;
    match answered {
        Ok(()) => Ok(empty(StatusCode::NO_CONTENT)),
        Err(AnswerError::NotAllowed(name)) => Err(access.may_not_answer(Some(&name))),
        Err(failure) => Err(not_answered(&failure)),
    }
}

fn too_large(found: usize) -> Refusal {
    let limit = u64::try_from(MAX_METHOD_BYTES).unwrap_or(u64::MAX);
    let detail = format!(
        "the payload has {found} bytes, expected at most {limit}; the call still waits for an answer"
    );
    Problem::new(ProblemKind::TooLarge, detail).with_field("payload").with_limit(limit).into()
}

fn not_claimed(failure: &ClaimError) -> Refusal {
    match failure {
        ClaimError::InUse(_) => Problem::new(
            ProblemKind::InUse,
            format!("{failure}; a method has one owner at a time: close that stream first"),
        )
        .with_field("name")
        .into(),
        ClaimError::Stopping(_) => stopping(),
    }
}

fn not_answered(failure: &AnswerError) -> Refusal {
    match failure {
        AnswerError::Unknown | AnswerError::NotAllowed(_) => Refusal::new(
            ProblemKind::NotFound,
            format!("{failure}: it was answered before, or its time is over"),
        ),
        AnswerError::Stopping(_) => stopping(),
    }
}

fn stopping() -> Refusal {
    Refusal::unavailable("the module is stopping; try again in a moment")
}
