//! What systemd is told: ready, status, watchdog, stopping. Silent where nobody listens.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::debug;

/// The service manager's ear.
#[derive(Debug, Default)]
pub(crate) struct ServiceManager {
    last_status: String,
}

impl ServiceManager {
    /// The daemon serves its socket and its sessions have begun (sd_notify(3), `READY=1`).
    pub(crate) fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// The daemon is ending.
    pub(crate) fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// The supervisor makes progress.
    pub(crate) fn alive(&self) {
        tell(&[NotifyState::Watchdog]);
    }

    /// Shows `status` beside the unit, if it is news.
    pub(crate) fn status(&mut self, status: String) {
        if status != self.last_status {
            tell(&[NotifyState::Status(&status)]);
            self.last_status = status;
        }
    }
}

/// Shows beside the unit why the daemon ended by itself, in a line: `text` may have more.
pub fn failed(text: &str) {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let status = match (lines.next(), lines.count()) {
        (None, _) => first.to_owned(),
        (Some(second), 0) => format!("{first} {}", second.trim()),
        (Some(second), more) => format!("{first} {} (and {more} more)", second.trim()),
    };
    tell(&[NotifyState::Status(&status)]);
}

/// How often the service manager wants to hear from the daemon at the least; none where it does
/// not watch.
pub(crate) fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "service manager not reached");
    }
}
