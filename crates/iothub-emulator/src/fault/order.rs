//! What may be ordered: the kinds of faults, and an order as it comes over the control API or out of a scenario,
//! checked as a whole.

use std::time::Duration;

use serde::Deserialize;

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
    RefuseMessage,
    Quota,
    Recreate,
    Disable,
    Expire,
}

impl Kind {
    const ALL: [Self; 16] = [
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
        Self::RefuseMessage,
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
            Self::RefuseMessage => "refuse-message",
            Self::Quota => "quota",
            Self::Recreate => "recreate",
            Self::Disable => "disable",
            Self::Expire => "expire",
        }
    }

    /// Says whether the fault is over as soon as it was carried out, so that it is not kept; `is_lasting` says that a
    /// count or a time was named.
    pub(super) fn is_momentary(self, is_lasting: bool) -> bool {
        match self {
            Self::Recreate => true,
            Self::Drop => !is_lasting,
            _ => false,
        }
    }
}

/// Holds the body of `POST /emulator/v1/faults`, not yet checked.
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
    code: Option<u64>,
    status: Option<u64>,
    ms: Option<u64>,
    delay: Option<String>,
    retry: Option<String>,
}

/// Holds an order that makes sense.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Order {
    pub(crate) kind: Kind,
    pub(super) device: Option<String>,
    pub(super) module: Option<String>,
    pub(super) count: Option<u64>,
    pub(super) span: Option<Duration>,
    pub(super) chance: f64,
    pub(super) is_service_side: bool,
    pub(super) code: u8,
    pub(super) status: u16,
    pub(super) delay: Duration,
    pub(super) retry: u64,
}

/// Something about an order that makes no sense.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// The key it is about.
    pub(crate) key: &'static str,
    pub(crate) text: String,
}

impl RawFault {
    /// Checks an order.
    ///
    /// # Errors
    /// Names everything that is wrong with it.
    pub(crate) fn check(self) -> Result<Order, Vec<Flaw>> {
        let mut flaws = Vec::new();
        let kind = self.check_target(&mut flaws);
        let mut flaw = |key, text: String| flaws.push(Flaw { key, text });
        if self.count == Some(0) {
            flaw("count", "expected at least 1, found 0".to_owned());
        }
        let chance = self.chance.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&chance) {
            flaw("chance", format!("must lie between 0 and 1, found {chance}"));
        }
        let (code, status) = (self.code.unwrap_or(3), self.status.unwrap_or(500));
        if !(1..=5).contains(&code) {
            flaw("code", format!("must be a CONNACK code from 1 to 5, found {code}"));
        }
        if !(500..=599).contains(&status) {
            flaw("status", format!("must lie between 500 and 599, found {status}"));
        }
        let mut span = |key, text: Option<&str>| match text.map(duration)? {
            Ok(span) => Some(span),
            Err(text) => {
                flaw(key, text);
                None
            }
        };
        let (lasts, named, retry) = (
            span("for", self.span.as_deref()),
            span("delay", self.delay.as_deref()),
            span("retry", self.retry.as_deref()),
        );
        let delay = named.or(self.ms.map(Duration::from_millis)).unwrap_or(Duration::from_secs(1));
        if delay > LONGEST {
            flaw("ms", "expected at most a year".to_owned());
        }
        let side = self.side.as_deref();
        if side.is_some_and(|side| !matches!(side, "device" | "service")) {
            flaw("side", format!("must be `device` or `service`, found `{}`", side.unwrap_or("")));
        }
        match (kind, flaws.is_empty()) {
            (Some(kind), true) => Ok(Order {
                kind,
                device: self.device,
                module: self.module,
                count: self.count,
                span: lasts,
                chance,
                is_service_side: self.side.as_deref() == Some("service"),
                code: u8::try_from(code).unwrap_or(3),
                status: u16::try_from(status).unwrap_or(500),
                delay,
                retry: retry.map_or(10, |retry| retry.as_secs()),
            }),
            _ => Err(flaws),
        }
    }

    /// Checks what is to strike, and whom.
    fn check_target(&self, flaws: &mut Vec<Flaw>) -> Option<Kind> {
        let mut flaw = |key, text: String| flaws.push(Flaw { key, text });
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == self.kind);
        if kind.is_none() {
            flaw("kind", unknown_kind(&self.kind));
        }
        if self.module.is_some() && self.device.is_none() {
            flaw("module", "needs `device`".to_owned());
        }
        if kind == Some(Kind::Disable) && (self.device.is_none() || self.module.is_some()) {
            let text = "`disable` needs `device` and takes no `module`: modules have no status";
            flaw("kind", text.to_owned());
        }
        kind
    }
}

fn unknown_kind(found: &str) -> String {
    let names: Vec<&str> = Kind::ALL.into_iter().map(Kind::name).collect();
    let hint = nearest(found, &names).map(|name| format!(", did you mean `{name}`?"));
    let expected = names.join(", ");
    format!("unknown kind `{found}`{}: expected one of {expected}", hint.unwrap_or_default())
}

/// Finds the name that `found` was probably meant to be.
pub(crate) fn nearest<'a>(found: &str, names: &[&'a str]) -> Option<&'a str> {
    let scored = names.iter().map(|name| (strsim::damerau_levenshtein(found, name), *name));
    scored
        .filter(|(distance, name)| *distance <= name.len().div_ceil(3))
        .min()
        .map(|(_, name)| name)
}

/// Reads a duration such as `10s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text)
        .map_err(|error| format!("{error}, found `{text}`: expected a time such as `10s`"))?;
    if span > LONGEST {
        return Err(format!("expected at most a year, found `{text}`"));
    }
    Ok(span)
}

/// The keys of an order.
pub(crate) const KEYS: [&str; 12] = [
    "kind", "device", "module", "count", "for", "chance", "side", "code", "status", "ms", "delay",
    "retry",
];
/// Longest time a fault may last or delay.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{KEYS, Kind, RawFault};

    fn flaws(order: Value) -> Vec<String> {
        let raw: RawFault = serde_json::from_value(order).expect("an order");
        let flaws = raw.check().expect_err("illegal");
        flaws.iter().map(|flaw| format!("{}: {}", flaw.key, flaw.text)).collect()
    }

    #[test]
    fn what_is_no_fault_is_refused_with_a_reason() {
        for (order, part) in [
            (
                json!({"kind":"meteor"}),
                "kind: unknown kind `meteor`: expected one of drop, refuse, stall",
            ),
            (json!({"kind":"drop","module":"m"}), "module: needs `device`"),
            (json!({"kind":"disable","device":"d","module":"m"}), "takes no `module`"),
            (json!({"kind":"drop","count":0}), "count: expected at least 1"),
            (json!({"kind":"refuse","code":9}), "code: must be a CONNACK code from 1 to 5"),
            (json!({"kind":"error","status":404}), "status: must lie between 500 and 599"),
            (json!({"kind":"drop","for":"soon"}), "for: "),
            (json!({"kind":"drop","for":"999999999years"}), "at most a year"),
            (json!({"kind":"delay","ms":u64::MAX}), "at most a year"),
            (json!({"kind":"drop","chance":2.0}), "chance: must lie between 0 and 1"),
            (
                json!({"kind":"error","side":"dark"}),
                "side: must be `device` or `service`, found `dark`",
            ),
        ] {
            let flaws = flaws(order);
            assert!(flaws.len() == 1 && flaws[0].contains(part), "{flaws:?}");
        }
        assert!(serde_json::from_value::<RawFault>(json!({"kind":"drop","modul":"m"})).is_err());
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        let order = json!({"kind":"rain","module":"m","code":0,"status":1,"chance":-1,"retry":"x","side":"y"});
        let keys: Vec<String> = flaws(order)
            .iter()
            .filter_map(|flaw| Some(flaw.split_once(':')?.0.to_owned()))
            .collect();
        assert_eq!(keys, ["kind", "module", "chance", "code", "status", "retry", "side"]);
    }

    #[test]
    fn the_keys_are_those_that_an_order_has() {
        let error = serde_json::from_value::<RawFault>(json!({"?": 1})).expect_err("unknown");
        for key in KEYS {
            assert!(error.to_string().contains(&format!("`{key}`")), "{key}: {error}");
        }
        assert_eq!(Kind::ALL.len(), 16);
    }
}
