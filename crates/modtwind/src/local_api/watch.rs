//! `GET /v1/modules/{m}/watch`: a stream of events for as long as the connection is open.
//!
//! Owns the waiting; what an event says is in [`super::told`], how it becomes a line in
//! [`super::lines`]. A slow reader holds one line and the document it was told last, and hears of
//! everything else in one event later.

use std::collections::BTreeMap;
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use modtwin_api::{Event, Revision};
use modtwin_core::document::Pointer;
use modtwin_core::ids::ModuleId;
use modtwin_session::view::ModuleView;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::answer::{Outcome, Refusal};
use super::connection::{Caller, stopped};
use super::lines::{self, Source};
use super::query::Query;
use super::registry::Registry;
use super::rights::Access;
use super::scope::Scope;
use super::told::Told;

/// Begins a stream.
pub(crate) async fn answer(caller: &Arc<Caller>, module: &str, query: &Query) -> Outcome {
    let (registry, grants) = caller.grants().await?;
    let (entry, access) = grants.module(&registry, module)?;
    let wish = Wish {
        module: entry.handle.module().clone(),
        handler: query.one("handler")?.map(str::to_owned),
        paths: query.paths()?,
    };
    let since = query.since()?;
    let scope = wish.scope(access)?;
    let watching = caller.shared.watchers.enter(&wish.module, wish.names(access));
    let begun = Begun { views: entry.handle.follow(), seen: registry, wish, scope, since };
    let follower = Follower::begin(Arc::clone(caller), begun, watching);
    Ok(lines::answer(caller, follower))
}

/// What the request asks for.
#[derive(Debug)]
struct Wish {
    module: ModuleId,
    handler: Option<String>,
    paths: Vec<Pointer>,
}

impl Wish {
    /// What the stream may show, as the rights are now.
    fn scope(&self, access: Access<'_>) -> Result<Scope, Refusal> {
        let access = access.named(self.handler.as_deref())?;
        let allowed = access.watch();
        if allowed.is_empty() {
            return Err(access.lacks("watch", ""));
        }
        if self.paths.is_empty() {
            return Ok(allowed);
        }
        allowed.narrowed(&self.paths).map_err(|pointer| access.lacks("watch", &pointer.to_string()))
    }

    /// What is left of it to a stream that is open already, once the rights are others; none where
    /// nothing is.
    fn rest(&self, access: Access<'_>) -> Option<Scope> {
        let allowed = access.named(self.handler.as_deref()).ok()?.watch();
        let is_allowed = |path: &&Pointer| allowed.narrowed(slice::from_ref(*path)).is_ok();
        let rest = if self.paths.is_empty() {
            allowed
        } else {
            let paths: Vec<_> = self.paths.iter().filter(is_allowed).cloned().collect();
            allowed.narrowed(&paths).ok()?
        };
        (!rest.is_empty()).then_some(rest)
    }

    /// The handlers that watch with it, for `status`.
    fn names(&self, access: Access<'_>) -> Vec<String> {
        match &self.handler {
            Some(name) => vec![name.clone()],
            None => access.own_names(),
        }
    }
}

/// What a stream begins from.
#[derive(Debug)]
struct Begun {
    views: watch::Receiver<Arc<ModuleView>>,
    /// The registry that module and rights were looked up in.
    seen: Arc<Registry>,
    wish: Wish,
    scope: Scope,
    since: Option<Revision>,
}

/// One stream, between two of its lines.
#[derive(Debug)]
struct Follower {
    caller: Arc<Caller>,
    registry: watch::Receiver<Arc<Registry>>,
    /// The registry that module and rights were last looked up in.
    seen: Arc<Registry>,
    stopping: watch::Receiver<bool>,
    heartbeat: Interval,
    views: watch::Receiver<Arc<ModuleView>>,
    /// Whether the session still changes its view; after its end the registry says what follows.
    views_open: bool,
    wish: Wish,
    scope: Scope,
    told: Told,
    first: Option<Event>,
    /// Counts this stream.
    _open: Arc<()>,
    watching: Watching,
}

/// What a look at the registry comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// The stream goes on.
    Unchanged,
    /// The module is gone, or is no more for this peer.
    Removed,
    /// What the peer may see is another part of the twin from now on.
    Rescoped(Scope),
    /// Nobody can tell at the moment: the stream ends, and the peer may ask anew.
    Unknown,
}

impl Follower {
    fn begin(caller: Arc<Caller>, begun: Begun, watching: Watching) -> Self {
        let Begun { mut views, seen, wish, scope, since } = begun;
        let (told, first) = Told::begin(&views.borrow_and_update(), scope.clone(), since);
        let period = caller.shared.limits.heartbeat;
        let mut heartbeat = interval_at(Instant::now() + period, period);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let _open = Arc::clone(&caller.shared.streams);
        Self {
            registry: caller.shared.registry.clone(),
            stopping: caller.stopping.clone(),
            caller,
            seen,
            heartbeat,
            views,
            views_open: true,
            wish,
            scope,
            told,
            first: Some(first),
            _open,
            watching,
        }
    }

    /// Waits for the next event; none where the stream ends without one.
    async fn event(&mut self) -> Option<Event> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            match self.standing().await {
                Standing::Unchanged => {}
                Standing::Removed => {
                    return Some(Event::Removed { module: self.wish.module.to_string() });
                }
                Standing::Rescoped(scope) => {
                    if let Some(snapshot) = self.rescope(scope) {
                        return Some(snapshot);
                    }
                }
                Standing::Unknown => return None,
            }
            let view = Arc::clone(&self.views.borrow_and_update());
            if let Some(event) = self.told.next(&view) {
                return Some(event);
            }
            tokio::select! {
                biased;
                () = stopped(&mut self.stopping) => return None,
                changed = self.registry.changed() => changed.ok()?,
                changed = self.views.changed(), if self.views_open => {
                    self.views_open = changed.is_ok();
                }
                _ = self.heartbeat.tick() => return Some(Event::Heartbeat),
            }
        }
    }

    /// Tells the reader what it may see from now on.
    fn rescope(&mut self, scope: Scope) -> Option<Event> {
        self.scope = scope.clone();
        self.told.rescope(&self.views.borrow_and_update(), scope)
    }

    /// Looks whether the registry still has the module for this peer, and follows a session that
    /// took the place of the one before.
    async fn standing(&mut self) -> Standing {
        if Arc::ptr_eq(&self.seen, &self.registry.borrow_and_update()) {
            return Standing::Unchanged;
        }
        let Ok((registry, grants)) = self.caller.grants().await else {
            return Standing::Unknown;
        };
        self.seen = Arc::clone(&registry);
        let Ok((entry, access)) = grants.module(&registry, self.wish.module.as_str()) else {
            return Standing::Removed;
        };
        let Some(scope) = self.wish.rest(access) else { return Standing::Removed };
        self.watching =
            self.caller.shared.watchers.enter(&self.wish.module, self.wish.names(access));
        let views = entry.handle.follow();
        if !views.same_channel(&self.views) {
            self.views = views;
            self.views_open = true;
        }
        if scope == self.scope { Standing::Unchanged } else { Standing::Rescoped(scope) }
    }
}

impl Source for Follower {
    type Line = Event;

    fn next(&mut self) -> impl Future<Output = Option<Event>> + Send {
        self.event()
    }

    fn is_last(event: &Event) -> bool {
        matches!(event, Event::Removed { .. })
    }
}

/// Who watches what, for `status`.
#[derive(Debug, Default, Clone)]
pub(crate) struct Watchers {
    // A lock, because a stream's end must be noted in `drop`; held for a few map steps only.
    open: Arc<Mutex<BTreeMap<(ModuleId, String), usize>>>,
}

/// A note that these handlers have a stream open; taken back when dropped.
#[derive(Debug)]
pub(crate) struct Watching {
    watchers: Watchers,
    module: ModuleId,
    names: Vec<String>,
}

impl Watchers {
    /// Notes that the handlers of those names watch `module`.
    pub(crate) fn enter(&self, module: &ModuleId, names: Vec<String>) -> Watching {
        let mut open = self.lock();
        for name in &names {
            let count = open.entry((module.clone(), name.clone())).or_default();
            *count = count.saturating_add(1);
        }
        Watching { watchers: self.clone(), module: module.clone(), names }
    }

    /// Says whether a handler of that name watches `module`.
    pub(crate) fn is_watching(&self, module: &ModuleId, handler: &str) -> bool {
        self.lock().contains_key(&(module.clone(), handler.to_owned()))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(ModuleId, String), usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut open = self.watchers.lock();
        for name in &self.names {
            let key = (self.module.clone(), name.clone());
            match open.get_mut(&key) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(open.remove(&key)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
