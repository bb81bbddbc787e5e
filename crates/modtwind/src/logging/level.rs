//! The level of the log, which an administrator may change for a while.
//!
//! Owns what is in force and until when. Leaves to others to say when that time has come.

use std::time::{Duration, SystemTime};

use modtwin_api::{LogLevel, LogLevelStatus};
use tokio::time::Instant;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::reload;

/// What of a subscriber can be changed.
pub(super) type Handle = reload::Handle<Targets, Registry>;

/// Which lines of that level or a graver one pass.
pub(super) fn targets(level: LevelFilter) -> Targets {
    // paho logs key passwords at debug; whatever the level, it stays at info or quieter.
    let paho = level.min(LevelFilter::INFO);
    Targets::new().with_default(level).with_target("paho_mqtt", paho)
}

/// The level of this process's log.
#[derive(Debug, Clone)]
pub struct LogControl {
    usual: LogLevel,
    changed: Option<Changed>,
    /// None where the process did not begin to log by [`super::start`].
    filter: Option<Handle>,
}

#[derive(Debug, Clone, Copy)]
struct Changed {
    level: LogLevel,
    /// By the clock that nobody sets.
    until: Instant,
    until_wall: SystemTime,
}

impl Default for LogControl {
    /// The control of a process that logs by other means: it counts the time and changes nothing.
    fn default() -> Self {
        Self { usual: LogLevel::Info, changed: None, filter: None }
    }
}

impl LogControl {
    pub(super) fn new(usual: LevelFilter, filter: Handle) -> Self {
        Self { usual: word(usual), changed: None, filter: Some(filter) }
    }

    /// Puts `level` in force for so long; the usual level ends what was in force before.
    pub(crate) fn change(&mut self, level: LogLevel, period: Duration) {
        let changed = Changed {
            level,
            until: Instant::now() + period,
            until_wall: SystemTime::now() + period,
        };
        self.changed = (level != self.usual).then_some(changed);
        self.apply();
    }

    /// When the usual level is to be in force again; none where it is.
    pub(crate) fn back_at(&self) -> Option<Instant> {
        self.changed.map(|changed| changed.until)
    }

    /// Puts the usual level in force again.
    pub(crate) fn back(&mut self) {
        self.changed = None;
        self.apply();
    }

    /// What is in force.
    pub(crate) fn status(&self) -> LogLevelStatus {
        LogLevelStatus {
            level: self.level(),
            usual: self.usual,
            until: self.changed.map(|changed| changed.until_wall.into()),
        }
    }

    fn level(&self) -> LogLevel {
        self.changed.map_or(self.usual, |changed| changed.level)
    }

    fn apply(&self) {
        if let Some(filter) = &self.filter {
            // The subscriber lives as long as the process.
            let _gone = filter.reload(targets(filter_of(self.level())));
        }
    }
}

fn filter_of(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info | LogLevel::Unknown => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

fn word(level: LevelFilter) -> LogLevel {
    match level {
        LevelFilter::OFF | LevelFilter::ERROR => LogLevel::Error,
        LevelFilter::WARN => LogLevel::Warn,
        LevelFilter::DEBUG => LogLevel::Debug,
        LevelFilter::TRACE => LogLevel::Trace,
        _ => LogLevel::Info,
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn whatever_the_level_the_mqtt_library_never_says_what_has_secrets() {
        for level in [LogLevel::Debug, LogLevel::Trace] {
            let targets = targets(filter_of(level));
            assert!(targets.would_enable("modtwind::daemon", &Level::DEBUG));
            assert!(targets.would_enable("paho_mqtt", &Level::INFO));
            assert!(!targets.would_enable("paho_mqtt", &Level::DEBUG), "{level}");
        }
        assert!(!targets(LevelFilter::WARN).would_enable("paho_mqtt", &Level::INFO));
    }

    #[tokio::test(start_paused = true)]
    async fn the_usual_level_ends_a_change_and_the_newest_change_counts() {
        let mut control = LogControl::default();
        control.change(LogLevel::Debug, Duration::from_secs(60));
        control.change(LogLevel::Trace, Duration::from_secs(10));
        assert_eq!(control.back_at(), Some(Instant::now() + Duration::from_secs(10)));
        assert_eq!(control.status().level, LogLevel::Trace);
        control.change(LogLevel::Info, Duration::from_secs(60));
        assert_eq!((control.back_at(), control.status().until), (None, None));
    }
}
