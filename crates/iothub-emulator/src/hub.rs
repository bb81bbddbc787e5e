//! The hub as a whole: what links, REST and control share, and the operations that touch more than one of them.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::Rules;
use crate::event::Events;
use crate::fault::{Fault, Faults, Kind, Order};
use crate::identity::{Identity, IdentityKey, Record};
use crate::link::handle::{Command, Ending};
use crate::method::Calls;
use crate::policy::Policy;
use crate::problem::{self, Problem};
use crate::registry::{Registry, no_module};
use crate::stats::Stats;
use crate::store::Store;
use crate::throttle::{Meter, Throttle, Verdict};
use crate::twin::{self, ServiceWrite};

/// Holds everything that the hub's parts share.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) hostname: String,
    pub(crate) rules: Rules,
    pub(crate) policies: Vec<Policy>,
    pub(crate) clock: Clock,
    pub(crate) registry: Registry,
    pub(crate) store: Store,
    pub(crate) faults: Faults,
    pub(crate) events: Events,
    pub(crate) stats: Stats,
    pub(crate) throttle: Throttle,
    pub(crate) calls: Calls,
    pub(crate) link_ids: AtomicU64,
    /// Turns true once, when the emulator ends.
    pub(crate) stop: watch::Receiver<bool>,
}

/// Says how a service write treats what it does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Patch,
    Replace,
}

impl Hub {
    /// Writes tags and desired for the service, tells the module, and gives the twin's view and the number to wait
    /// for. `etag` is the precondition.
    pub(crate) fn write_twin(
        &self,
        identity: &Arc<Identity>,
        mode: Mode,
        write: ServiceWrite,
        etag: Option<&str>,
    ) -> Result<(Value, u64), Problem> {
        let now = self.clock.now();
        let mut state = identity.lock();
        if state.is_deleted {
            return Err(no_module(&identity.key));
        }
        if etag.is_some_and(|etag| etag != "*" && etag != state.record.twin.etag()) {
            let text = "Precondition failed: the twin was changed since its etag was read.";
            return Err(Problem::new(problem::PRECONDITION_FAILED, text));
        }
        let tags = write.tags.clone();
        let twin = &mut state.record.twin;
        let written = match mode {
            Mode::Patch => twin.patch(write, now)?,
            Mode::Replace => twin.replace(write, now)?,
        };
        let version = twin.desired_version();
        let after = identity.save(&mut state, &self.store);
        if let Some(patch) = &written.desired {
            self.events.tell(
                "desired",
                Some(&identity.key),
                || json!({ "version": version, "patch": patch }),
            );
            if let Some(link) = &state.link {
                let body = twin::notification(patch, version).into();
                link.send(Command::Desired { body, version, after });
            }
        }
        if let Some(tags) = tags {
            self.events.tell("tags", Some(&identity.key), || json!({ "patch": tags }));
        }
        Ok((state.twin_view(), after))
    }

    /// Cuts the identity's link, if there is one.
    pub(crate) fn cut(&self, identity: &Identity, ending: Ending) -> bool {
        let link = identity.lock().link.clone();
        if let Some(link) = &link {
            link.cut(ending);
        }
        link.is_some()
    }

    /// Deletes and creates an identity in one step, keeping its way of authentication: new generation, versions at 1.
    pub(crate) fn recreate(&self, identity: &Identity) -> Option<u64> {
        let record = {
            let state = identity.lock();
            if state.is_deleted {
                return None;
            }
            let mut record = Record::fresh(
                identity.key.clone(),
                state.record.authentication.clone(),
                self.clock.now(),
            );
            record.managed_by.clone_from(&state.record.managed_by);
            record
        };
        let (old, number) = self.registry.replace(&Identity::new(record), &self.store)?;
        self.cut(&old, Ending::Deleted);
        self.events.tell("recreated", Some(&identity.key), || json!({}));
        Some(number)
    }

    /// Puts a fault in force, carries out what it does at once, and gives the number to wait for.
    pub(crate) fn order(self: &Arc<Self>, order: Order) -> (Arc<Fault>, u64) {
        let fault = self.faults.add(order);
        let detail = || json!({ "kind": fault.kind.name(), "id": fault.id });
        self.events.tell("fault-set", fault.target().as_ref(), detail);
        let number = self.begin(&fault);
        if fault.has_time() {
            let (hub, fault) = (Arc::clone(self), Arc::clone(&fault));
            // Ends by itself: with the fault or with the emulator.
            tokio::spawn(async move { hub.watch(&fault).await });
        }
        (fault, number)
    }

    /// Tells when a fault's time is up.
    async fn watch(&self, fault: &Fault) {
        let mut stop = self.stop.clone();
        let runs_out = tokio::select! {
            () = stopped(&mut stop) => false,
            runs_out = self.faults.runs_out(fault) => runs_out,
        };
        if runs_out {
            self.tell_end(fault);
        }
    }

    fn tell_end(&self, fault: &Fault) {
        let detail = || json!({ "kind": fault.kind.name(), "id": fault.id });
        self.events.tell("fault-ended", fault.target().as_ref(), detail);
    }

    /// Ends all faults, or the one with this id, and gives how many.
    pub(crate) fn end_faults(&self, id: Option<u64>) -> usize {
        let ended = self.faults.end(id);
        for fault in &ended {
            self.tell_end(fault);
        }
        ended.len()
    }

    /// Shifts the hub's clock and gives the time that it then has.
    pub(crate) fn shift_clock(&self, shift_ms: i64) -> Value {
        self.clock.set_shift(shift_ms);
        let body = json!({ "shift_ms": shift_ms, "now": self.clock.now().rfc3339() });
        self.events.tell("clock", None, || body.clone());
        body
    }

    /// Carries out what a new fault does at once and gives the number to wait for.
    fn begin(&self, fault: &Arc<Fault>) -> u64 {
        let mut number = 0;
        for identity in self.registry.all().iter().filter(|identity| fault.covers(&identity.key)) {
            match fault.kind {
                // Of a device, its modules: its own identity stays their parent.
                Kind::Recreate if identity.key.module.is_some() && fault.strike() => {
                    self.tell_fault(fault, Some(&identity.key));
                    number = self.recreate(identity).unwrap_or_default().max(number);
                }
                Kind::Drop => self.cut_for(fault, identity, Ending::Dropped),
                Kind::Disable => self.cut_for(fault, identity, Ending::Disabled),
                Kind::Expire => {
                    let link = identity.lock().link.clone();
                    if let Some(link) = link {
                        fault.has_expired(&identity.key, &link.credential);
                        self.cut_for(fault, identity, Ending::Expired);
                    }
                }
                _ => {}
            }
        }
        number
    }

    fn cut_for(&self, fault: &Fault, identity: &Identity, ending: Ending) {
        let is_linked = identity.lock().link.is_some();
        // `disable` lasts: links it cuts are not its strikes.
        if is_linked && (fault.kind == Kind::Disable || fault.strike()) {
            self.tell_fault(fault, Some(&identity.key));
            self.cut(identity, ending);
        }
    }

    /// Says whether the device counts as enabled, by its status and by faults.
    pub(crate) fn is_enabled(&self, device: &str) -> bool {
        let key = IdentityKey::device(device);
        let is_disabled = |fault: &Arc<Fault>| fault.kind == Kind::Disable && fault.covers(&key);
        self.registry.is_enabled(device) && !self.faults.in_force().iter().any(is_disabled)
    }

    /// Tells of a fault that strikes.
    pub(crate) fn tell_fault(&self, fault: &Fault, key: Option<&IdentityKey>) {
        self.events.tell("fault", key, || json!({ "kind": fault.kind.name(), "id": fault.id }));
    }

    /// Takes `amount` units of a meter and gives how long the request is to wait for its turn; tells of what does not
    /// pass at once.
    pub(crate) fn meter(
        &self,
        meter: Meter,
        amount: u32,
        key: Option<&IdentityKey>,
    ) -> Result<Duration, Problem> {
        let name = meter.name();
        match self.throttle.take(meter, amount) {
            Verdict::Pass => Ok(Duration::ZERO),
            Verdict::Wait(wait) => {
                let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                self.events.tell("shaped", key, || json!({ "meter": name, "ms": ms }));
                Ok(wait)
            }
            Verdict::Refuse => {
                self.events.tell("throttled", key, || json!({ "meter": name }));
                let text = format!(
                    "The request has been throttled. Wait 10 seconds and try again. Operation type: {name}"
                );
                Err(Problem::new(problem::THROTTLING_TIMEOUT, text))
            }
        }
    }

    /// Counts a message of so many bytes towards the day's quota, and refuses it when the quota is spent.
    pub(crate) fn spend(&self, bytes: usize, key: Option<&IdentityKey>) -> Result<(), Problem> {
        if self.throttle.count(bytes, self.clock.now()) {
            return Ok(());
        }
        self.events.tell("quota-spent", key, || json!({ "bytes": bytes }));
        let text = "Total number of messages on IotHub exceeded the allocated quota.";
        Err(Problem::new(problem::QUOTA_EXCEEDED, text))
    }

    /// Counts an answer towards the day's quota; without a tier its size is not looked at.
    pub(crate) fn spend_json(&self, body: Option<&Value>) -> Result<(), Problem> {
        match body {
            Some(body) if self.throttle.is_on() => self.spend(body.to_string().len(), None),
            _ => Ok(()),
        }
    }

    /// Looks for a fault that hits, takes a strike off it and tells of it.
    pub(crate) fn strike(&self, kind: Kind, key: &IdentityKey) -> Option<Arc<Fault>> {
        let fault = self.faults.strike(kind, key)?;
        self.tell_fault(&fault, Some(key));
        Some(fault)
    }
}

/// Waits until the emulator ends.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Fails only when the sender is gone, and that is an end too.
    let _ = stop.wait_for(|stop| *stop).await;
}
