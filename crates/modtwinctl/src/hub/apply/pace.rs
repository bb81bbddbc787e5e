//! Calls of the registry at a rate that the hub takes, with progress, and again where it helps.
//!
//! The hub's meter is 100 calls a minute and unit, shared by all that use the registry (IoT Hub
//! quotas and throttling): calls go out evenly, never in bursts.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use crate::hub::service::{Call, CallError, Service};
use crate::watch::tell;

const MINUTE: Duration = Duration::from_secs(60);
/// How often a call is made that fails for something that passes.
const TRIES: u32 = 8;
/// The wait after the first lost call; doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// How often progress is told: to a terminal, which overwrites it, and to a log.
const TELL_EVERY: Duration = Duration::from_millis(200);
const LOG_EVERY: Duration = Duration::from_secs(15);

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
    is_terminal: bool,
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
        let is_terminal = std::io::stderr().is_terminal();
        self.progress = Some(Progress { total, done: 0, is_terminal, told: Instant::now() });
    }

    /// Ends the line of progress.
    pub(super) fn finish(&mut self) {
        if self.progress.take().is_some_and(|progress| progress.is_terminal) {
            // Without standard error nobody saw it.
            let _unheard = write!(std::io::stderr(), "\r\u{1b}[K");
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
            tell(&format!("{why}; trying again in {} s", pause.as_secs()));
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
        let every = if progress.is_terminal { TELL_EVERY } else { LOG_EVERY };
        if progress.told.elapsed() < every {
            return;
        }
        progress.told = Instant::now();
        let Progress { total, done, .. } = *progress;
        let left = shown_time(total.saturating_sub(done), self.rate);
        let text = format!("{done} of {total} calls, about {left} left");
        if progress.is_terminal {
            // Without standard error nobody looks.
            let _unheard = write!(std::io::stderr(), "\r\u{1b}[K{text}");
        } else {
            tell(&text);
        }
    }
}

/// How long so many calls take, for people.
pub(super) fn shown_time(calls: usize, rate: u32) -> String {
    let calls = u64::try_from(calls).unwrap_or(u64::MAX);
    let seconds = calls.saturating_mul(60) / u64::from(rate.max(1));
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}
