//! Logs: records of the journal under systemd, text elsewhere, JSON on request.
//!
//! Owns where lines go and how they look; which of them pass, and for how long, is in [`level`].

mod journal;
mod level;

use std::io::IsTerminal as _;
use std::path::Path;
use std::str::FromStr;

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::{Layered, SubscriberExt as _};
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt, reload};

use self::journal::Journal;
pub use self::level::LogControl;
use self::level::targets;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: one line an event, or a record of the journal where standard error is its.
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

/// What formats and writes the lines that pass.
type Output = Box<dyn Layer<Layered<Filter, Registry>> + Send + Sync>;
type Filter = reload::Layer<tracing_subscriber::filter::Targets, Registry>;

/// Begins to write logs to the journal or to standard error; the answer changes their level.
///
/// # Errors
///
/// Where this process logs already.
pub fn start(level: LevelFilter, format: LogFormat) -> Result<LogControl, TryInitError> {
    let (filter, handle) = reload::Layer::new(targets(level));
    tracing_subscriber::registry().with(filter).with(output(format)).try_init()?;
    Ok(LogControl::new(level, handle))
}

fn output(format: LogFormat) -> Output {
    let lines = fmt::layer().with_writer(std::io::stderr);
    if format == LogFormat::Json {
        return lines.json().with_current_span(true).boxed();
    }
    let stream = std::env::var_os("JOURNAL_STREAM");
    if !stream.is_some_and(|stream| journal::is_standard_error(&stream)) {
        let terminal = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        return lines.with_ansi(terminal).with_target(false).boxed();
    }
    match Journal::open(Path::new(journal::SOCKET)) {
        Ok(journal) => journal.boxed(),
        // What reads the stream stamps the time itself and knows no colours.
        Err(_nobody_there) => lines.with_ansi(false).with_target(false).without_time().boxed(),
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
