//! Faults on command: what is to go wrong, for whom, how often, how long. Owns the list and who is hit; what a fault
//! does is done where it strikes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::identity::IdentityKey;
use crate::random::Dice;

/// Names what goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Drop,
    Refuse,
    Stall,
    Blackhole,
    Delay,
    Throttle,
    Error,
    LoseDesired,
    DuplicateDesired,
    ReorderDesired,
    LoseResponse,
    Quota,
    Recreate,
    Disable,
    Expire,
}

impl Kind {
    pub(crate) const ALL: [Self; 15] = [
        Self::Drop,
        Self::Refuse,
        Self::Stall,
        Self::Blackhole,
        Self::Delay,
        Self::Throttle,
        Self::Error,
        Self::LoseDesired,
        Self::DuplicateDesired,
        Self::ReorderDesired,
        Self::LoseResponse,
        Self::Quota,
        Self::Recreate,
        Self::Disable,
        Self::Expire,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Refuse => "refuse",
            Self::Stall => "stall",
            Self::Blackhole => "blackhole",
            Self::Delay => "delay",
            Self::Throttle => "throttle",
            Self::Error => "error",
            Self::LoseDesired => "lose-desired",
            Self::DuplicateDesired => "duplicate-desired",
            Self::ReorderDesired => "reorder-desired",
            Self::LoseResponse => "lose-response",
            Self::Quota => "quota",
            Self::Recreate => "recreate",
            Self::Disable => "disable",
            Self::Expire => "expire",
        }
    }

    /// Says whether the fault is over as soon as it was carried out, so that it is not kept.
    fn is_momentary(self, order: &RawFault) -> bool {
        match self {
            Self::Recreate => true,
            Self::Drop => order.count.is_none() && order.span.is_none(),
            _ => false,
        }
    }
}

/// Holds the body of `POST /emulator/v1/faults`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawFault {
    kind: String,
    device: Option<String>,
    module: Option<String>,
    count: Option<u64>,
    #[serde(rename = "for")]
    span: Option<String>,
    chance: Option<f64>,
    side: Option<String>,
    code: Option<u8>,
    status: Option<u16>,
    ms: Option<u64>,
    delay: Option<String>,
    retry: Option<String>,
}

impl RawFault {
    /// Gives the device and the module it is meant for.
    pub(crate) fn scope(&self) -> (Option<String>, Option<String>) {
        (self.device.clone(), self.module.clone())
    }
}

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
    /// Checks an order.
    ///
    /// # Errors
    /// Says what is wrong with it.
    fn check(id: u64, order: &RawFault) -> Result<Self, String> {
        let kind =
            Kind::ALL.into_iter().find(|kind| kind.name() == order.kind).ok_or_else(|| {
                let names: Vec<&str> = Kind::ALL.into_iter().map(Kind::name).collect();
                format!("unknown kind `{}`: expected one of {}", order.kind, names.join(", "))
            })?;
        if order.module.is_some() && order.device.is_none() {
            return Err("`module` needs `device`".to_owned());
        }
        if kind == Kind::Disable && (order.device.is_none() || order.module.is_some()) {
            return Err(
                "`disable` needs `device` and takes no `module`: modules have no status".to_owned()
            );
        }
        let chance = order.chance.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&chance) {
            return Err(format!("`chance` must lie between 0 and 1, found {chance}"));
        }
        let (code, status) = (order.code.unwrap_or(3), order.status.unwrap_or(500));
        if !(1..=5).contains(&code) {
            return Err(format!("`code` must be a CONNACK code from 1 to 5, found {code}"));
        }
        if !(500..=599).contains(&status) {
            return Err(format!("`status` must lie between 500 and 599, found {status}"));
        }
        let span = order.span.as_deref().map(|text| duration("for", text)).transpose()?;
        let named = order.delay.as_deref().map(|text| duration("delay", text)).transpose()?;
        let delay = named.or(order.ms.map(Duration::from_millis)).unwrap_or(Duration::from_secs(1));
        if delay > LONGEST {
            return Err("`ms`: expected at most a year".to_owned());
        }
        let retry = order.retry.as_deref().map(|text| duration("retry", text)).transpose()?;
        let is_service_side = match order.side.as_deref() {
            None | Some("device") => false,
            Some("service") => true,
            Some(other) => {
                return Err(format!("`side` must be `device` or `service`, found `{other}`"));
            }
        };
        Ok(Self {
            id,
            kind,
            device: order.device.clone(),
            module: order.module.clone(),
            left: order.count.map(AtomicU64::new),
            until: span.map(|span| Instant::now() + span),
            chance,
            is_service_side,
            is_over: AtomicBool::new(false),
            struck: AtomicU64::new(0),
            is_momentary: kind.is_momentary(order),
            code,
            status,
            delay,
            retry: retry.map_or(10, |retry| retry.as_secs()),
            expired: Mutex::default(),
        })
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

fn duration(name: &str, text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text)
        .map_err(|error| format!("`{name}`: {error}, found `{text}`"))?;
    if span > LONGEST {
        return Err(format!("`{name}`: expected at most a year, found `{text}`"));
    }
    Ok(span)
}

/// Longest time a fault may last or delay.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

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
    pub(crate) fn add(&self, order: &RawFault) -> Result<Arc<Fault>, String> {
        let fault = Arc::new(Fault::check(self.next_id.fetch_add(1, Ordering::Relaxed), order)?);
        if !fault.is_momentary {
            self.change(|list| list.push(Arc::clone(&fault)));
        }
        Ok(fault)
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
        for fault in &ended {
            fault.is_over.store(true, Ordering::Release);
        }
        ended
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

    use super::{Faults, Kind, RawFault};
    use crate::identity::IdentityKey;

    fn order(value: serde_json::Value) -> RawFault {
        serde_json::from_value(value).expect("an order")
    }

    #[test]
    fn a_count_ends_a_fault_and_a_scope_spares_the_others() {
        let faults = Faults::new(1);
        faults
            .add(&order(json!({"kind":"throttle","device":"d","module":"m","count":2})))
            .expect("legal");
        let (hit, spared) = (IdentityKey::module("d", "m"), IdentityKey::module("d", "n"));
        assert!(faults.strike(Kind::Throttle, &spared).is_none());
        assert!(faults.strike(Kind::Throttle, &hit).is_some());
        assert!(faults.strike(Kind::Throttle, &hit).is_some());
        assert!(faults.strike(Kind::Throttle, &hit).is_none());
        assert!(faults.in_force().is_empty());
    }

    #[test]
    fn what_is_no_fault_is_refused_with_a_reason() {
        let faults = Faults::new(1);
        for (body, part) in [
            (json!({"kind":"meteor"}), "expected one of drop, refuse, stall"),
            (json!({"kind":"drop","module":"m"}), "needs `device`"),
            (json!({"kind":"disable","device":"d","module":"m"}), "takes no `module`"),
            (json!({"kind":"refuse","code":9}), "from 1 to 5"),
            (json!({"kind":"error","status":404}), "between 500 and 599"),
            (json!({"kind":"drop","for":"soon"}), "`for`"),
            (json!({"kind":"drop","for":"999999999years"}), "at most a year"),
            (json!({"kind":"delay","ms":u64::MAX}), "at most a year"),
            (json!({"kind":"drop","chance":2.0}), "between 0 and 1"),
            (json!({"kind":"error","side":"dark"}), "`side`"),
        ] {
            let reason = faults.add(&order(body)).expect_err("illegal");
            assert!(reason.contains(part), "{reason}");
        }
        assert!(serde_json::from_value::<RawFault>(json!({"kind":"drop","modul":"m"})).is_err());
    }

    #[test]
    fn an_expired_credential_stays_expired_and_a_new_one_passes() {
        let faults = Faults::new(1);
        let fault = faults.add(&order(json!({"kind":"expire"}))).expect("legal");
        let key = IdentityKey::device("d");
        assert!(fault.has_expired(&key, "old"));
        assert!(fault.has_expired(&key, "old"));
        assert!(!fault.has_expired(&key, "new"));
    }

    #[test]
    fn ending_a_fault_tells_those_who_hold_it() {
        let faults = Faults::new(1);
        let fault = faults.add(&order(json!({"kind":"stall"}))).expect("legal");
        assert!(fault.is_in_force());
        assert_eq!(faults.end(None).len(), 1);
        assert!(!fault.is_in_force());
    }
}
