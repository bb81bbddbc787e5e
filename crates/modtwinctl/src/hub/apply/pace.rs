//! Calls of the registry at a rate that the hub takes, with progress, and again where it helps.
//!
//! The hub's meter is 100 calls a minute and unit, shared by all that use the registry (IoT Hub
//! quotas and throttling): calls go out evenly, never in bursts.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use crate::hub::service::{Call, CallError, Service};
use crate::watch::tell;

const MINUTE: Duration = Duration::from_secs(60);
/// How often a call is made that fails for something that passes.
const TRIES: u32 = 8;
/// The wait after the first lost call; doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// How often progress is told to a log; a terminal has a bar.
const LOG_EVERY: Duration = Duration::from_secs(15);
const BAR: &str = "{bar:32} {pos} of {len} calls, about {msg} left";

/// The hub's service side at a steady rate.
#[derive(Debug)]
pub(super) struct Paced<'a> {
    service: &'a mut Service,
    rate: u32,
    next: Instant,
    progress: Option<Progress>,
}

#[derive(Debug)]
struct Progress {
    total: usize,
    done: usize,
    /// None where nobody looks at a terminal.
    bar: Option<ProgressBar>,
    told: Instant,
}

impl<'a> Paced<'a> {
    /// At most `rate` calls a minute.
    pub(super) fn new(service: &'a mut Service, rate: u32) -> Self {
        Self { service, rate: rate.max(1), next: Instant::now(), progress: None }
    }

    /// The hub's name.
    pub(super) fn host(&self) -> &str {
        self.service.host()
    }

    /// Tells progress from now on: `total` calls are to come.
    pub(super) fn expect(&mut self, total: usize) {
        let bar = std::io::stderr().is_terminal().then(|| bar(total));
        self.progress = Some(Progress { total, done: 0, bar, told: Instant::now() });
    }

    /// Ends the line of progress.
    pub(super) fn finish(&mut self) {
        if let Some(bar) = self.progress.take().and_then(|progress| progress.bar) {
            bar.finish_and_clear();
        }
    }

    /// Makes a call in its turn, and again after what passes.
    pub(super) async fn call(&mut self, call: Call<'_>) -> Result<Value, CallError> {
        let mut wait = FIRST_WAIT;
        for tried in 1.. {
            self.turn().await;
            let (error, pause) = match self.service.call(call.clone()).await {
                Err(CallError::Refused(refusal)) if refusal.is_passing() => {
                    let pause = if refusal.is_throttled() { refusal.wait() } else { wait };
                    (CallError::Refused(refusal), pause)
                }
                Err(CallError::Unreachable(text)) => (CallError::Unreachable(text), wait),
                settled => {
                    self.tell_progress();
                    return settled;
                }
            };
            if tried >= TRIES {
                return Err(error);
            }
            let why = match &error {
                CallError::Refused(refusal) => refusal.to_string(),
                CallError::Unreachable(text) | CallError::Odd(text) => text.clone(),
            };
            let text = format!("{why}; trying again in {} s", pause.as_secs());
            match self.progress.as_ref().and_then(|progress| progress.bar.as_ref()) {
                Some(bar) => bar.suspend(|| tell(&text)),
                None => tell(&text),
            }
            self.next = self.next.max(Instant::now() + pause);
            wait *= 2;
        }
        Err(CallError::Odd("no call was made".to_owned()))
    }

    /// Waits for the next turn. A turn that was missed is not made up for.
    async fn turn(&mut self) {
        sleep_until(self.next).await;
        self.next = self.next.max(Instant::now()) + MINUTE / self.rate;
    }

    fn tell_progress(&mut self) {
        let Some(progress) = &mut self.progress else {
            return;
        };
        progress.done += 1;
        let left = shown_time(progress.total.saturating_sub(progress.done), self.rate);
        if let Some(bar) = &progress.bar {
            bar.set_message(left);
            bar.inc(1);
        } else if progress.told.elapsed() >= LOG_EVERY {
            progress.told = Instant::now();
            tell(&format!("{} of {} calls, about {left} left", progress.done, progress.total));
        }
    }
}

/// A bar on standard error, which redraws itself no more often than an eye can follow.
fn bar(total: usize) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(total).unwrap_or(u64::MAX));
    match ProgressStyle::with_template(BAR) {
        Ok(style) => bar.with_style(style),
        // The template is a constant, and this its plain form.
        Err(_unreadable) => bar,
    }
}

/// How long so many calls take, for people.
pub(super) fn shown_time(calls: usize, rate: u32) -> String {
    let calls = u64::try_from(calls).unwrap_or(u64::MAX);
    let seconds = calls.saturating_mul(60) / u64::from(rate.max(1));
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}
