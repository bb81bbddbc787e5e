//! `GET /metrics`: the whole daemon as OpenMetrics text, for administrators.
//!
//! Owns the names, which docs/monitoring.md lists, and what they mean. Each answer is made from the
//! status and the figures of its moment: nothing is counted here.

use std::sync::Arc;
use std::time::SystemTime;

use hyper::StatusCode;
use modtwin_api::{HandlerStatus, HubState, ModuleStatus, Status};
use modtwin_session::view::Figures;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;

use super::answer::{Outcome, text_as};
use super::connection::{Caller, internal};
use super::conversion::hub_reason;
use super::server::Shared;
use super::{registry, status};

/// The media type of the text (OpenMetrics 1.0, section "Content type").
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The label of reconnects that the daemon itself wanted.
const PLANNED: &str = "planned";

/// Answers the metrics.
pub(crate) async fn answer(caller: &Arc<Caller>) -> Outcome {
    let (registry, grants) = caller.grants().await?;
    grants.require_administrator()?;
    let text = openmetrics(Snapshot::take(&registry, &caller.shared));
    let text = text.map_err(|failure| internal(&failure))?;
    Ok(text_as(StatusCode::OK, MEDIA_TYPE, text))
}

fn openmetrics(snapshot: Snapshot) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("modtwin");
    registry.register_collector(Box::new(snapshot));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

/// The daemon at one moment, to be told as metrics.
#[derive(Debug)]
struct Snapshot {
    /// All but the modules.
    status: Status,
    modules: Vec<Module>,
    connections: usize,
    streams: usize,
}

/// A metric: its name, what it says, its unit where the name has one, and where its value is; no
/// value where there is nothing to say.
type Of<T, V> = (&'static str, &'static str, Option<Unit>, fn(&T) -> Option<V>);

/// A module at that moment.
#[derive(Debug)]
struct Module {
    status: ModuleStatus,
    figures: Figures,
    now: SystemTime,
}

impl Module {
    fn label(&self) -> (&'static str, &str) {
        ("module", &self.status.module)
    }
}

const MODULE_GAUGES: [Of<Module, i64>; 16] = [
    ("module_connected", "Whether the module is in step with its hub", None, |module| {
        Some(i64::from(module.status.hub.state == HubState::Connected))
    }),
    (
        "module_synced_timestamp",
        "When its twin was last known to be the hub's",
        Some(Unit::Seconds),
        |module| seconds(module.status.as_of.map(SystemTime::from)),
    ),
    (
        "module_fetched_timestamp",
        "When the hub last answered with its whole twin, since the daemon started",
        Some(Unit::Seconds),
        |module| ago(module.figures.fetched, module.now),
    ),
    ("module_generation", "The number of its line of desired versions", None, |module| {
        number(module.status.generation)
    }),
    ("module_desired_version", "The newest desired version seen", None, |module| {
        number(module.status.desired_version?)
    }),
    ("module_applied_version", "The version that all its handlers have applied", None, |module| {
        number(module.status.applied_version()?)
    }),
    ("module_reported_version", "The reported version that the hub has accepted", None, |module| {
        number(module.status.reported_version?)
    }),
    ("module_pending_keys", "Reported keys that the hub has not accepted yet", None, |module| {
        number(module.status.pending.keys)
    }),
    ("module_pending", "What they have together", Some(Unit::Bytes), |module| {
        number(module.status.pending.bytes)
    }),
    (
        "module_pending_since_timestamp",
        "Since when reports wait of which the hub has taken none, at the earliest since the daemon \
         started",
        Some(Unit::Seconds),
        |module| ago(module.figures.waiting_since, module.now),
    ),
    ("module_messages_waiting", "Messages that the hub has not confirmed yet", None, |module| {
        number(module.status.messages?.waiting)
    }),
    ("module_messages_waiting", "What they have together", Some(Unit::Bytes), |module| {
        number(module.status.messages?.bytes)
    }),
    (
        "module_messages_waiting_since_timestamp",
        "Since when messages wait of which the hub has confirmed none, at the earliest since the \
         daemon started",
        Some(Unit::Seconds),
        |module| ago(module.figures.messages_since, module.now),
    ),
    (
        "module_messages_set_aside",
        "Messages that the hub does not take or whose files are damaged, kept for somebody to look at",
        None,
        |module| number(module.status.messages?.set_aside),
    ),
    ("module_refused_keys", "Reported keys that the hub refused", None, |module| {
        i64::try_from(module.status.quarantined.len()).ok()
    }),
    (
        "module_credential_end_timestamp",
        "When its certificate ends",
        Some(Unit::Seconds),
        |module| seconds(module.status.credential.as_ref()?.expires.map(SystemTime::from)),
    ),
];

const MODULE_COUNTERS: [Of<Module, u64>; 5] = [
    ("module_messages_confirmed", "Messages that the hub has confirmed", None, |module| {
        Some(module.figures.messages_confirmed)
    }),
    ("module_throttled", "Requests that the hub refused with 429", None, |module| {
        Some(module.figures.throttled)
    }),
    ("module_storage_writes", "How often its state was written to disk", None, |module| {
        Some(module.figures.writes)
    }),
    ("module_storage_written", "How much that was", Some(Unit::Bytes), |module| {
        Some(module.figures.bytes_written)
    }),
    (
        "module_log_lines_dropped",
        "Lines that were not logged because there were too many of their kind",
        None,
        |module| Some(module.figures.lines_dropped),
    ),
];

const HANDLER_GAUGES: [Of<HandlerStatus, i64>; 4] = [
    (
        "handler_desired_version",
        "The version in which what the handler watches changed last",
        None,
        |handler| number(handler.desired_version?),
    ),
    (
        "handler_applied_version",
        "The version that it has applied; 0 before its first and after a refusal",
        None,
        |handler| number(handler.applied_version.unwrap_or_default()),
    ),
    (
        "handler_status",
        "The status of its last acknowledgement: 2xx applied, 504 silence, other refused",
        None,
        |handler| handler.status.map(i64::from),
    ),
    ("handler_watching", "Whether it has a watch open", None, |handler| {
        Some(i64::from(handler.watching))
    }),
];

const DAEMON_GAUGES: [Of<Snapshot, f64>; 6] = [
    ("start_timestamp", "When the daemon started", Some(Unit::Seconds), |snapshot| {
        let started = SystemTime::from(snapshot.status.started);
        Some(started.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs_f64())
    }),
    ("storage_writable", "Whether the last write of state went well", None, |snapshot| {
        Some(flag(snapshot.status.storage.writable))
    }),
    ("clock_trusted", "Whether nothing speaks against the clock", None, |snapshot| {
        Some(flag(snapshot.status.clock.as_ref()?.trusted))
    }),
    (
        "budget_ratio",
        "What part of its budget of operations the daemon uses: less than 1 after the hub asked to \
         slow down",
        None,
        |snapshot| {
            let percent = snapshot.status.budget?.percent;
            Some(f64::from(u32::try_from(percent).ok()?) / 100.0)
        },
    ),
    ("local_api_connections", "Connections of the local API that are open", None, |snapshot| {
        Some(f64::from(u32::try_from(snapshot.connections).ok()?))
    }),
    ("local_api_streams", "Watch streams that are open", None, |snapshot| {
        Some(f64::from(u32::try_from(snapshot.streams).ok()?))
    }),
];

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let gauge = ConstGauge::new;
        for metric in MODULE_GAUGES {
            let values = self
                .modules
                .iter()
                .map(|module| (vec![module.label()], metric.3(module).map(gauge)));
            family(&mut encoder, &metric, MetricType::Gauge, values)?;
        }
        for metric in MODULE_COUNTERS {
            let values = self
                .modules
                .iter()
                .map(|module| (vec![module.label()], metric.3(module).map(ConstCounter::new)));
            family(&mut encoder, &metric, MetricType::Counter, values)?;
        }
        self.states(&mut encoder)?;
        self.reconnects(&mut encoder)?;
        self.methods(&mut encoder)?;
        for metric in HANDLER_GAUGES {
            let handlers = self.modules.iter().flat_map(|module| {
                module.status.handlers.iter().map(|handler| (module.label(), handler))
            });
            let values = handlers.map(|(module, handler)| {
                let labels = vec![module, ("handler", handler.name.as_str())];
                (labels, metric.3(handler).map(gauge))
            });
            family(&mut encoder, &metric, MetricType::Gauge, values)?;
        }
        for metric in DAEMON_GAUGES {
            let (name, help, unit, read) = metric;
            let Some(value) = read(self).map(ConstGauge::new) else { continue };
            value.encode(encoder.encode_descriptor(
                name,
                help,
                unit.as_ref(),
                MetricType::Gauge,
            )?)?;
        }
        self.build(&mut encoder)
    }
}

impl Snapshot {
    fn take(registry: &registry::Registry, shared: &Shared) -> Self {
        let now = SystemTime::now();
        let mut status = status::status(registry, &shared.watchers, now);
        let modules = std::mem::take(&mut status.modules).into_iter().map(|status| {
            let mut entries = registry.modules.iter();
            let entry = entries.find(|entry| entry.handle.module().as_str() == status.module);
            let figures = entry.map(|entry| entry.handle.figures()).unwrap_or_default();
            Module { status, figures, now }
        });
        let others = |owned: &Arc<()>| Arc::strong_count(owned).saturating_sub(1);
        Self {
            modules: modules.collect(),
            status,
            connections: others(&shared.connections),
            streams: others(&shared.streams),
        }
    }

    /// One gauge a module whose labels say state and reason.
    fn states(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "How the module stands with its hub, in the labels; always 1";
        let metric = ("module_state", help, None, ());
        let values = self.modules.iter().map(|module| {
            let hub = &module.status.hub;
            let labels = vec![
                module.label(),
                ("state", hub.state.as_str()),
                ("reason", hub.reason.as_str()),
            ];
            (labels, Some(ConstGauge::new(1_i64)))
        });
        family(encoder, &metric, MetricType::Gauge, values)
    }

    fn reconnects(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "How often the module connected anew, by what had ended the connection before; \
                    `planned` is the daemon's own wish";
        let metric = ("module_reconnects", help, None, ());
        let values = self.modules.iter().flat_map(|module| {
            module.figures.reconnects.iter().map(|(reason, count)| {
                let word = reason.map_or(PLANNED, |reason| hub_reason(reason).as_str());
                (vec![module.label(), ("reason", word)], Some(ConstCounter::new(*count)))
            })
        });
        family(encoder, &metric, MetricType::Counter, values)
    }

    fn methods(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "Calls of direct methods that were answered, by a handler or for want of one, by \
                    the class of the status";
        let metric = ("module_methods_answered", help, None, ());
        let counts = self.modules.iter().flat_map(|module| {
            let counts = module.figures.methods_answered.iter();
            counts.map(move |(class, count)| (module, format!("{class}xx"), *count))
        });
        let counts: Vec<_> = counts.collect();
        let values = counts.iter().map(|(module, class, count)| {
            let labels = vec![module.label(), ("status", class.as_str())];
            (labels, Some(ConstCounter::new(*count)))
        });
        family(encoder, &metric, MetricType::Counter, values)
    }

    fn build(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        // A gauge, because node_exporter's text files have no type `info`.
        let metric = ("build_info", "The daemon's version, in the label; always 1", None, ());
        let labels = vec![("version", self.status.version.as_str())];
        family(encoder, &metric, MetricType::Gauge, [(labels, Some(ConstGauge::new(1_i64)))])
    }
}

/// A metric with a value for each set of labels that has one.
fn family<'a, F, M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help, unit, _): &(&str, &str, Option<Unit>, F),
    kind: MetricType,
    values: impl IntoIterator<Item = (Vec<(&'static str, &'a str)>, Option<M>)>,
) -> Result<(), std::fmt::Error> {
    let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), kind)?;
    for (labels, value) in values {
        let Some(value) = value else { continue };
        let labels: Vec<_> =
            labels.into_iter().map(|(name, value)| (name, escaped(value))).collect();
        value.encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// A label's value as the text has it, which prometheus-client leaves to its user (OpenMetrics 1.0,
/// section "ABNF", `escaped-string`). An administrator's process names itself as it likes.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}

fn number(value: u64) -> Option<i64> {
    i64::try_from(value).ok()
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

/// Whole seconds since 1970.
fn seconds(at: Option<SystemTime>) -> Option<i64> {
    number(at?.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
}

/// The same of a moment of the clock that nobody sets, by the wall clock as it is now.
fn ago(at: Option<Instant>, now: SystemTime) -> Option<i64> {
    seconds(now.checked_sub(at?.elapsed()))
}
