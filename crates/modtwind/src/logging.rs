//! Logs: to the journal's liking under systemd, coloured on a terminal, JSON on request.

use std::io::IsTerminal as _;
use std::str::FromStr;

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Layer as _, fmt};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: one line an event.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// Why a text names no log format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected `text` or `json`, found `{0}`")]
pub struct LogFormatError(String);

impl FromStr for LogFormat {
    type Err = LogFormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(LogFormatError(other.to_owned())),
        }
    }
}

/// Begins to write logs to standard error.
///
/// # Errors
///
/// Where this process logs already.
pub fn start(level: LevelFilter, format: LogFormat) -> Result<(), TryInitError> {
    // paho logs key passwords at debug; whatever the level, it stays at info or quieter.
    let paho = level.min(LevelFilter::INFO);
    let filter = Targets::new().with_default(level).with_target("paho_mqtt", paho);
    let registry = tracing_subscriber::registry();
    // journald stamps the time itself and knows no colours.
    let under_systemd = std::env::var_os("JOURNAL_STREAM").is_some();
    let terminal = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let text = || fmt::layer().with_writer(std::io::stderr).with_ansi(terminal).with_target(false);
    match format {
        LogFormat::Json => {
            let layer = fmt::layer().json().with_writer(std::io::stderr).with_current_span(true);
            registry.with(layer.with_filter(filter)).try_init()
        }
        LogFormat::Text if under_systemd => {
            registry.with(text().without_time().with_filter(filter)).try_init()
        }
        LogFormat::Text => registry.with(text().with_filter(filter)).try_init(),
    }
}

/// The level that a count of `-v` asks for.
#[must_use]
pub fn level(verbosity: u8) -> LevelFilter {
    LevelFilter::from_level(match verbosity {
        0 => Level::INFO,
        1 => Level::DEBUG,
        _ => Level::TRACE,
    })
}
