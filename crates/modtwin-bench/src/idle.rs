//! What the daemon does while nothing happens.

use std::time::{Duration, Instant};

use serde::Serialize;

use modtwin_testkit::process;
use modtwin_testkit::spread::{Spread, number};

/// What was used at rest, over several windows.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Idle {
    /// What else there was.
    pub(crate) situation: &'static str,
    /// The length of one window, in seconds.
    pub(crate) window_s: f64,
    /// Processor time, in seconds per minute.
    pub(crate) cpu_s_per_min: Spread,
    /// Times per second that a thread woke up, did something and waited again: its voluntary
    /// context switches.
    pub(crate) wakeups_per_s: Spread,
    /// Voluntary and involuntary context switches per second.
    pub(crate) switches_per_s: Spread,
    /// Threads that ended within a window; what they did in it is not in the figures.
    pub(crate) threads_gone: usize,
}

/// What was used in one window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    length: Duration,
    used: process::Used,
}

/// Watches the process `pid` for `length`.
///
/// # Errors
///
/// Where the process is gone.
pub(crate) async fn window(pid: u32, length: Duration) -> anyhow::Result<Window> {
    let (began, before) = (Instant::now(), process::threads(pid)?);
    tokio::time::sleep(length).await;
    let after = process::threads(pid)?;
    Ok(Window { length: began.elapsed(), used: process::used(&before, &after) })
}

impl Idle {
    /// Sums up; none where there are no windows.
    pub(crate) fn of(situation: &'static str, windows: &[Window]) -> Option<Self> {
        let spread = |rate: fn(&Window) -> f64| Spread::of(windows.iter().map(rate));
        Some(Self {
            situation,
            window_s: windows.first()?.length.as_secs_f64(),
            cpu_s_per_min: spread(|window| {
                window.used.cpu.as_secs_f64() * 60.0 / window.length.as_secs_f64()
            })?,
            wakeups_per_s: spread(|window| per_second(window, window.used.voluntary))?,
            switches_per_s: spread(|window| {
                per_second(window, window.used.voluntary + window.used.involuntary)
            })?,
            threads_gone: windows.iter().map(|window| window.used.threads_gone).sum(),
        })
    }
}

fn per_second(window: &Window, count: u64) -> f64 {
    number(usize::try_from(count).unwrap_or(usize::MAX)) / window.length.as_secs_f64()
}
