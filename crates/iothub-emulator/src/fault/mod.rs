//! Faults on command: what is to go wrong, for whom, how often, how long. Owns the list and who is hit; what a fault
//! does is done where it strikes; what may be ordered is [`order`]'s.

mod order;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::identity::IdentityKey;
use crate::random::Dice;
pub(crate) use order::{KEYS, Kind, Order, RawFault, duration, nearest};

/// Holds one fault in force.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    device: Option<String>,
    module: Option<String>,
    /// Strikes left; `None`: any number.
    left: Option<AtomicU64>,
    until: Option<Instant>,
    chance: f64,
    is_service_side: bool,
    is_over: AtomicBool,
    struck: AtomicU64,
    is_momentary: bool,
    /// CONNACK code of `refuse`.
    pub(crate) code: u8,
    /// Status of `error`.
    pub(crate) status: u16,
    /// Time of `delay`, and how long `reorder-desired` holds a notification back at most.
    pub(crate) delay: Duration,
    /// Seconds that the text of `throttle` asks to wait.
    pub(crate) retry: u64,
    /// Credentials that `expire` made invalid. Locked only on CONNECT.
    expired: Mutex<HashMap<IdentityKey, String>>,
}

impl Fault {
    fn new(id: u64, order: Order) -> Self {
        Self {
            id,
            kind: order.kind,
            device: order.device,
            module: order.module,
            is_momentary: order.kind.is_momentary(order.count.is_some() || order.span.is_some()),
            left: order.count.map(AtomicU64::new),
            until: order.span.map(|span| Instant::now() + span),
            chance: order.chance,
            is_service_side: order.is_service_side,
            is_over: AtomicBool::new(false),
            struck: AtomicU64::new(0),
            code: order.code,
            status: order.status,
            delay: order.delay,
            retry: order.retry,
            expired: Mutex::default(),
        }
    }

    /// Gives whom it is meant for, if it names a device.
    pub(crate) fn target(&self) -> Option<IdentityKey> {
        let device = self.device.clone()?;
        Some(IdentityKey { device, module: self.module.clone() })
    }

    pub(crate) fn has_time(&self) -> bool {
        self.until.is_some() && !self.is_momentary
    }

    pub(crate) fn is_scoped(&self) -> bool {
        self.device.is_some()
    }

    pub(crate) fn covers(&self, key: &IdentityKey) -> bool {
        let device = self.device.as_ref().is_none_or(|device| *device == key.device);
        device && self.module.as_ref().is_none_or(|module| Some(module) == key.module.as_ref())
    }

    pub(crate) fn is_in_force(&self) -> bool {
        let left = self.left.as_ref().is_none_or(|left| left.load(Ordering::Acquire) > 0);
        left && !self.is_spent()
    }

    /// Says whether the fault was ended or its time is up; one whose count is used up still holds whom it struck.
    pub(crate) fn is_spent(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
            || self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Ends the fault; `false` if it had ended already.
    fn finish(&self) -> bool {
        !self.is_over.swap(true, Ordering::AcqRel)
    }

    /// Takes one strike off the count; `false` when none is left.
    pub(crate) fn strike(&self) -> bool {
        let take = |left: u64| left.checked_sub(1);
        let struck = match &self.left {
            Some(left) => left.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).is_ok(),
            None => true,
        };
        if struck {
            self.struck.fetch_add(1, Ordering::Relaxed);
        }
        struck
    }

    /// Remembers `credential` as the one that expired, if none is remembered yet, and says whether it has.
    pub(crate) fn has_expired(&self, key: &IdentityKey, credential: &str) -> bool {
        let mut expired = self.expired.lock().unwrap_or_else(PoisonError::into_inner);
        expired.entry(key.clone()).or_insert_with(|| credential.to_owned()) == credential
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "kind": self.kind.name(),
            "device": self.device,
            "module": self.module,
            "count_left": self.left.as_ref().map(|left| left.load(Ordering::Relaxed)),
            "seconds_left": self.until.map(|until| until.saturating_duration_since(Instant::now()).as_secs_f64()),
            "fired": self.struck.load(Ordering::Relaxed),
        })
    }
}

/// Holds the faults in force.
#[derive(Debug)]
pub(crate) struct Faults {
    list: RwLock<Vec<Arc<Fault>>>,
    /// Length of `list`: the hot path looks at this alone while there are no faults.
    active: AtomicUsize,
    next_id: AtomicU64,
    changes: watch::Sender<u64>,
    dice: Dice,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            list: RwLock::default(),
            active: AtomicUsize::new(0),
            next_id: AtomicU64::new(1),
            changes: watch::Sender::new(0),
            dice: Dice::new(seed),
        }
    }

    /// Adds a fault. One that is over at once is only given back, for the caller to carry out.
    pub(crate) fn add(&self, order: Order) -> Arc<Fault> {
        let fault = Arc::new(Fault::new(self.next_id.fetch_add(1, Ordering::Relaxed), order));
        if !fault.is_momentary {
            self.change(|list| list.push(Arc::clone(&fault)));
        }
        fault
    }

    /// Ends all faults, or the one with this id, and gives those ended.
    pub(crate) fn end(&self, id: Option<u64>) -> Vec<Arc<Fault>> {
        let mut ended = Vec::new();
        self.change(|list| {
            let (go, stay) = std::mem::take(list)
                .into_iter()
                .partition(|fault| id.is_none_or(|id| id == fault.id));
            (ended, *list) = (go, stay);
        });
        ended.retain(|fault| fault.finish());
        ended
    }

    /// Waits until a fault's time is up; `false` when it was ended before, or has no time.
    pub(crate) async fn runs_out(&self, fault: &Fault) -> bool {
        let Some(until) = fault.until else {
            return false;
        };
        let mut changes = self.changes();
        while !fault.is_spent() {
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                _ = changes.changed() => {}
            }
        }
        let is_first = fault.finish();
        self.change(|_| {});
        is_first
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Fault>>)) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        // A stall whose count is used up stays, so that ending it frees those it holds.
        list.retain(|fault| {
            fault.is_in_force() || (fault.kind == Kind::Stall && !fault.is_spent())
        });
        change(&mut list);
        self.active.store(list.len(), Ordering::Release);
        drop(list);
        self.changes.send_modify(|count| *count += 1);
    }

    pub(crate) fn in_force(&self) -> Vec<Arc<Fault>> {
        if self.active.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.iter().filter(|fault| fault.is_in_force()).cloned().collect()
    }

    /// Tells of faults that come and go.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Looks for a fault of this kind that hits this identity on the device side, and takes a strike off it.
    pub(crate) fn strike(&self, kind: Kind, key: &IdentityKey) -> Option<Arc<Fault>> {
        self.strike_where(|fault| fault.kind == kind && !fault.is_service_side && fault.covers(key))
    }

    /// Looks for a fault of this kind on calls of the service about this identity.
    pub(crate) fn strike_service(&self, kind: Kind, key: &IdentityKey) -> Option<Arc<Fault>> {
        self.strike_where(|fault| fault.kind == kind && fault.is_service_side && fault.covers(key))
    }

    /// Looks for a fault of this kind that hits a new TCP connection, of which nothing is known yet.
    pub(crate) fn strike_unscoped(&self, kind: Kind) -> Option<Arc<Fault>> {
        self.strike_where(|fault| fault.kind == kind && !fault.is_scoped())
    }

    fn strike_where(&self, is_meant: impl Fn(&Fault) -> bool) -> Option<Arc<Fault>> {
        let hits = |fault: &Arc<Fault>| {
            is_meant(fault) && (fault.chance >= 1.0 || self.dice.says_yes(fault.chance))
        };
        self.in_force().into_iter().find(|fault| hits(fault) && fault.strike())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Faults, Kind, Order, RawFault};
    use crate::identity::IdentityKey;

    fn order(value: serde_json::Value) -> Order {
        let raw: RawFault = serde_json::from_value(value).expect("an order");
        raw.check().expect("legal")
    }

    #[test]
    fn a_count_ends_a_fault_and_a_scope_spares_the_others() {
        let faults = Faults::new(1);
        faults.add(order(json!({"kind":"throttle","device":"d","module":"m","count":2})));
        let (hit, spared) = (IdentityKey::module("d", "m"), IdentityKey::module("d", "n"));
        assert!(faults.strike(Kind::Throttle, &spared).is_none());
        assert!(faults.strike(Kind::Throttle, &hit).is_some());
        assert!(faults.strike(Kind::Throttle, &hit).is_some());
        assert!(faults.strike(Kind::Throttle, &hit).is_none());
        assert!(faults.in_force().is_empty());
    }

    #[test]
    fn an_expired_credential_stays_expired_and_a_new_one_passes() {
        let faults = Faults::new(1);
        let fault = faults.add(order(json!({"kind":"expire"})));
        let key = IdentityKey::device("d");
        assert!(fault.has_expired(&key, "old"));
        assert!(fault.has_expired(&key, "old"));
        assert!(!fault.has_expired(&key, "new"));
    }

    #[test]
    fn ending_a_fault_tells_those_who_hold_it() {
        let faults = Faults::new(1);
        let fault = faults.add(order(json!({"kind":"stall"})));
        assert!(fault.is_in_force());
        assert_eq!(faults.end(None).len(), 1);
        assert!(!fault.is_in_force());
    }
}
