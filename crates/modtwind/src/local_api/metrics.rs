//! `GET /metrics`: the whole daemon's status as OpenMetrics text, for administrators.
//!
//! Each answer is made from the status of its moment: nothing is counted here.

use std::sync::Arc;
use std::time::SystemTime;

use hyper::StatusCode;
use modtwin_api::{HubState, ModuleStatus, Status};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::answer::{Outcome, text_as};
use super::connection::{Caller, internal};
use super::status;

/// The media type of the text (OpenMetrics 1.0, section "Content type").
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers the metrics.
pub(crate) async fn answer(caller: &Arc<Caller>) -> Outcome {
    let (registry, grants) = caller.grants().await?;
    grants.require_administrator()?;
    let status = status::status(&registry, &caller.shared.watchers, SystemTime::now());
    let text = openmetrics(status).map_err(|failure| internal(&failure))?;
    Ok(text_as(StatusCode::OK, MEDIA_TYPE, text))
}

fn openmetrics(status: Status) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("modtwin");
    registry.register_collector(Box::new(Snapshot(status)));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

/// A status, to be told as metrics.
#[derive(Debug)]
struct Snapshot(Status);

/// What a metric of modules says of one; none where there is nothing to say.
type Read = fn(&ModuleStatus) -> Option<i64>;

/// The gauges of modules.
const GAUGES: [(&str, &str, Option<Unit>, Read); 10] = [
    ("module_connected", "Whether the module is in step with its hub", None, |module| {
        Some(i64::from(module.hub.state == HubState::Connected))
    }),
    (
        "module_synced_timestamp",
        "When its twin was last known to be the hub's",
        Some(Unit::Seconds),
        |module| seconds(module.as_of.map(SystemTime::from)),
    ),
    ("module_generation", "The number of its line of desired versions", None, |module| {
        number(module.generation)
    }),
    ("module_desired_version", "The newest desired version seen", None, |module| {
        number(module.desired_version?)
    }),
    ("module_applied_version", "The version that all its handlers have applied", None, |module| {
        number(module.applied_version()?)
    }),
    ("module_reported_version", "The reported version that the hub has accepted", None, |module| {
        number(module.reported_version?)
    }),
    ("module_pending_keys", "Reported keys that the hub has not accepted yet", None, |module| {
        number(module.pending.keys)
    }),
    ("module_pending", "What they have together", Some(Unit::Bytes), |module| {
        number(module.pending.bytes)
    }),
    ("module_refused_keys", "Reported keys that the hub refused", None, |module| {
        i64::try_from(module.quarantined.len()).ok()
    }),
    (
        "module_credential_left_days",
        "Whole days until its credential ends, negative after that",
        None,
        |module| module.credential.as_ref()?.days_left,
    ),
];

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, help, unit, read) in &GAUGES {
            let values = self.0.modules.iter().map(|module| (module, read(module)));
            gauges(&mut encoder, (name, help, unit.as_ref()), values)?;
        }
        self.states(&mut encoder)?;
        self.reconnects(&mut encoder)?;
        self.daemon(&mut encoder)
    }
}

impl Snapshot {
    /// One gauge a module whose labels say state and reason.
    fn states(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let one = ConstGauge::new(1_i64);
        let help = "How the module stands with its hub, in the labels";
        let mut family =
            encoder.encode_descriptor("module_state", help, None, one.metric_type())?;
        for module in &self.0.modules {
            let labels = [
                ("module", module.module.as_str()),
                ("state", module.hub.state.as_str()),
                ("reason", module.hub.reason.as_str()),
            ];
            one.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn reconnects(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let kind = ConstCounter::new(0_u64).metric_type();
        let help = "How often the module connected anew since the daemon started";
        let mut family = encoder.encode_descriptor("module_reconnects", help, None, kind)?;
        for module in &self.0.modules {
            let labels = [("module", module.module.as_str())];
            ConstCounter::new(module.reconnects).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn daemon(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Status { version, started, storage, clock, budget, .. } = &self.0;
        let one = ConstGauge::new(1_i64);
        let mut build = encoder.encode_descriptor(
            "build_info",
            "The daemon's version",
            None,
            one.metric_type(),
        )?;
        one.encode(build.encode_family(&[("version", version.as_str())])?)?;
        let start = seconds(Some((*started).into()));
        gauge(encoder, "start_timestamp_seconds", "When the daemon started", start)?;
        let good = Some(i64::from(storage.writable));
        gauge(encoder, "storage_writable", "Whether the last write of state went well", good)?;
        let trusted = clock.as_ref().map(|clock| i64::from(clock.trusted));
        gauge(encoder, "clock_trusted", "Whether nothing speaks against the clock", trusted)?;
        let share = budget.as_ref().and_then(|budget| number(budget.percent));
        gauge(encoder, "budget_percent", "What of the budget of operations is used now", share)?;
        let written = [
            ("storage_writes", "How often state was written", storage.writes),
            (
                "storage_written_bytes",
                "How many bytes of state were written",
                storage.bytes_written,
            ),
        ];
        for (name, help, count) in written {
            let Some(count) = count else { continue };
            let count = ConstCounter::new(count);
            count.encode(encoder.encode_descriptor(name, help, None, count.metric_type())?)?;
        }
        Ok(())
    }
}

fn gauges<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help, unit): (&str, &str, Option<&Unit>),
    values: impl Iterator<Item = (&'a ModuleStatus, Option<i64>)>,
) -> Result<(), std::fmt::Error> {
    let kind = ConstGauge::new(0_i64).metric_type();
    let mut family = encoder.encode_descriptor(name, help, unit, kind)?;
    for (module, value) in values {
        let Some(value) = value else { continue };
        let labels = [("module", module.module.as_str())];
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: Option<i64>,
) -> Result<(), std::fmt::Error> {
    let Some(value) = value else { return Ok(()) };
    let value = ConstGauge::new(value);
    value.encode(encoder.encode_descriptor(name, help, None, value.metric_type())?)
}

fn number(value: u64) -> Option<i64> {
    i64::try_from(value).ok()
}

/// Whole seconds since 1970.
fn seconds(at: Option<SystemTime>) -> Option<i64> {
    number(at?.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
}
