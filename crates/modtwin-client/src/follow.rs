//! Streams that outlive their connections: they reconnect, and a watch goes on where it was.

use std::time::Duration;

use modtwin_api::{Event, MethodEvent, ProblemKind};
use tokio::time::Instant;

use crate::{Client, ClientError, Methods, Watch, WatchOptions};

/// The wait before the second attempt; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The longest wait between attempts: the socket is local, and a handler wants its settings soon.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What a [`Follow`] or [`FollowMethods`] tells.
#[derive(Debug)]
pub enum Followed<T = Event> {
    /// An event of the stream.
    Event(T),
    /// The connection is lost or not to be had; the next call waits and tries again.
    Lost {
        /// Why.
        error: ClientError,
        /// How long the next call will wait first.
        retry_in: Duration,
    },
}

/// A watch that survives restarts of the daemon.
///
/// After a reconnect the first event is a snapshot again, `unchanged` and without `desired` where
/// nothing was missed. One also comes in mid-stream, where a reload lets the peer see something else.
/// Apply `desired` wherever there is one. Attempts follow each other after 0.1 s
/// to 5 s, and not sooner than the daemon asks for (`Retry-After`).
#[derive(Debug)]
pub struct Follow {
    client: Client,
    module: String,
    options: WatchOptions,
    state: State<Watch>,
    attempts: Attempts,
}

#[derive(Debug)]
enum State<Stream> {
    /// To connect once it is time.
    Due,
    Open(Box<Stream>),
    /// The module was removed.
    Ended,
}

/// When to connect next.
#[derive(Debug)]
struct Attempts {
    due: Instant,
    /// How many in a row came to nothing.
    failures: u32,
}

impl Attempts {
    /// The first one, at once.
    fn new() -> Self {
        Self { due: Instant::now(), failures: 0 }
    }

    /// Plans the next attempt and says how long it waits.
    fn plan<T>(&mut self, error: ClientError) -> Followed<T> {
        let asked = error.retry_after().unwrap_or_default();
        let retry_in = backoff(self.failures, fastrand::f64()).max(asked);
        self.failures = self.failures.saturating_add(1);
        self.due = Instant::now() + retry_in;
        Followed::Lost { error, retry_in }
    }
}

impl Follow {
    pub(crate) fn new(client: Client, module: String, options: WatchOptions) -> Self {
        Self { client, module, options, state: State::Due, attempts: Attempts::new() }
    }

    /// Waits for the next event, connecting where needed; none once the module was removed.
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// A [`ClientError`] that another attempt would not mend: see [`ClientError::is_temporary`].
    pub async fn next(&mut self) -> Result<Option<Followed>, ClientError> {
        loop {
            match &mut self.state {
                State::Ended => return Ok(None),
                State::Due => {
                    tokio::time::sleep_until(self.attempts.due).await;
                    match self.client.watch(&self.module, &self.options).await {
                        Ok(watch) => self.state = State::Open(Box::new(watch)),
                        Err(error) => return self.lost(error).map(Some),
                    }
                }
                State::Open(watch) => {
                    let next = watch.next().await;
                    return match next {
                        Ok(Some(event)) => {
                            self.note(&event);
                            Ok(Some(Followed::Event(event)))
                        }
                        Ok(None) => {
                            let error = ended(&self.client);
                            self.lost(error).map(Some)
                        }
                        Err(error) => self.lost(error).map(Some),
                    };
                }
            }
        }
    }

    /// Keeps in mind where to go on.
    fn note(&mut self, event: &Event) {
        self.attempts.failures = 0;
        match event {
            Event::Snapshot(snapshot) => self.options.since = snapshot.revision(),
            Event::Desired(desired) => self.options.since = Some(desired.revision()),
            Event::Removed { .. } => self.state = State::Ended,
            Event::Hub(_) | Event::Heartbeat => {}
        }
    }

    fn lost(&mut self, error: ClientError) -> Result<Followed, ClientError> {
        self.state = State::Due;
        if error.is_temporary() { Ok(self.attempts.plan(error)) } else { Err(error) }
    }
}

/// The calls of direct methods, across restarts of the daemon.
#[derive(Debug)]
pub struct FollowMethods {
    client: Client,
    module: String,
    names: Vec<String>,
    state: State<Methods>,
    attempts: Attempts,
    /// Whether the methods were its own once.
    has_begun: bool,
}

impl FollowMethods {
    pub(crate) fn new(client: Client, module: String, names: Vec<String>) -> Self {
        let attempts = Attempts::new();
        Self { client, module, names, state: State::Due, attempts, has_begun: false }
    }

    /// Waits for the next event, connecting where needed; none once the module was removed. A call
    /// wants [`Client::answer_method`]. Cancel-safe.
    ///
    /// # Errors
    ///
    /// A [`ClientError`] that another attempt would not mend: see [`ClientError::is_temporary`].
    pub async fn next(&mut self) -> Result<Option<Followed<MethodEvent>>, ClientError> {
        loop {
            let error = match &mut self.state {
                State::Ended => return Ok(None),
                State::Due => {
                    tokio::time::sleep_until(self.attempts.due).await;
                    match self.client.methods(&self.module, &self.names).await {
                        Ok(methods) => {
                            self.state = State::Open(Box::new(methods));
                            self.has_begun = true;
                            continue;
                        }
                        Err(error) => error,
                    }
                }
                State::Open(methods) => match methods.next().await {
                    Ok(Some(event)) => {
                        self.attempts.failures = 0;
                        if matches!(event, MethodEvent::Removed { .. }) {
                            self.state = State::Ended;
                        }
                        return Ok(Some(Followed::Event(event)));
                    }
                    Ok(None) => ended(&self.client),
                    Err(error) => error,
                },
            };
            self.state = State::Due;
            return if self.may_pass(&error) {
                Ok(Some(self.attempts.plan(error)))
            } else {
                Err(error)
            };
        }
    }

    /// Whether another attempt may do better. A method that is in use may be our own: the daemon has
    /// not seen the end of the last stream yet.
    fn may_pass(&self, error: &ClientError) -> bool {
        let is_in_use = error.problem_kind() == Some(ProblemKind::InUse);
        error.is_temporary() || (self.has_begun && is_in_use)
    }
}

/// What a stream that the daemon ended in order means.
fn ended(client: &Client) -> ClientError {
    ClientError::unreachable(client.socket(), std::io::ErrorKind::UnexpectedEof.into())
}

/// The wait after that many failures in a row: half of it fixed, half of it by `chance` in 0..1.
fn backoff(failures: u32, chance: f64) -> Duration {
    let factor = 2_u32.saturating_pow(failures);
    let whole = FIRST_WAIT.saturating_mul(factor).min(LONGEST_WAIT);
    whole / 2 + (whole / 2).mul_f64(chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_bound_and_are_never_nothing() {
        assert_eq!(backoff(0, 0.0), FIRST_WAIT / 2);
        assert_eq!(backoff(0, 1.0), FIRST_WAIT);
        assert_eq!(backoff(2, 1.0), FIRST_WAIT * 4);
        assert_eq!(backoff(31, 1.0), LONGEST_WAIT);
        assert_eq!(backoff(u32::MAX, 0.0), LONGEST_WAIT / 2);
    }
}
