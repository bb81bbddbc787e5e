//! A handler, as a process of its own that is killed without warning: watches one module, reports,
//! acknowledges, and writes all of it down before it goes on.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use fastrand::Rng;
use modtwin_api::{AckRequest, Event, ProblemKind};
use modtwin_client::{Client, ClientError, Followed, Message, Reported, Sent, Wait, WatchOptions};
use modtwin_core::document::Document;
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::diary::{At, Diary, Entry, Line, Outcome};
use crate::leaves::{self, PROBE, REPORTED, Write};

/// The name under which handlers acknowledge.
pub(crate) const HANDLER: &str = "torture";

/// What a handler has to know.
#[derive(Debug, Args)]
pub(crate) struct HandlerArguments {
    /// The daemon's socket.
    #[arg(long)]
    socket: PathBuf,
    /// The module to handle.
    #[arg(long)]
    module: String,
    /// Where to write down what happens.
    #[arg(long)]
    diary: PathBuf,
    /// What decides what is reported when.
    #[arg(long)]
    seed: u64,
}

/// One run of a handler.
struct Handler {
    client: Client,
    module: String,
    diary: RefCell<Diary>,
    /// The newest revision told.
    told: watch::Sender<Option<At>>,
    /// The newest probe told.
    probe: watch::Sender<u64>,
}

/// Where the run before this one ended.
#[derive(Debug, Default)]
struct Before {
    number: u64,
    revision: Option<At>,
    desired: Option<Document>,
    acked: Option<At>,
    probe_stored: u64,
    message: u64,
}

/// Handles a module until the process is killed. SIGUSR1 ends the reports, but for echoes, and the messages.
///
/// # Errors
///
/// Where the diary can't be written, or the daemon answers what it never should.
pub(crate) async fn run(arguments: &HandlerArguments) -> anyhow::Result<()> {
    let (mut diary, lines) = Diary::open(&arguments.diary)?;
    diary.note(Entry::Began)?;
    let before = Before::read(&lines);
    let catch = || signal(SignalKind::user_defined1()).context("cannot catch signals");
    let (calm, silence) = (catch()?, catch()?);
    let handler = Handler {
        client: Client::new(&arguments.socket),
        module: arguments.module.clone(),
        diary: RefCell::new(diary),
        told: watch::Sender::new(None),
        probe: watch::Sender::new(probe_of(before.desired.as_ref())),
    };
    let rng = Rng::with_seed(arguments.seed ^ before.number);
    let acked = before.acked;
    let (number, stored) = (before.number, before.probe_stored);
    tokio::try_join!(
        handler.watch(before.revision, before.desired),
        handler.acknowledge(acked),
        handler.report(number, stored, rng.clone(), calm),
        handler.send(before.message, rng, silence),
    )
    .map(|_never| ())
}

impl Before {
    fn read(lines: &[Line]) -> Self {
        let mut before = Self::default();
        let mut asked_probe = 0;
        for Line { entry, .. } in lines {
            match entry {
                Entry::Began | Entry::Acking { .. } => {}
                Entry::Asked { number, writes } => {
                    before.number = *number;
                    let probe = writes.iter().find(|write| write.leaf == PROBE);
                    asked_probe = probe.and_then(|write| write.number).unwrap_or_default();
                }
                Entry::Answered { outcome, .. } if outcome.is_promised() => {
                    before.probe_stored = before.probe_stored.max(asked_probe);
                }
                Entry::Answered { .. } => {}
                Entry::Snapshot { revision, desired, .. } => {
                    before.revision = *revision;
                    if desired.is_some() {
                        before.desired.clone_from(desired);
                    }
                }
                Entry::Changed { revision, desired, .. } => {
                    before.revision = Some(*revision);
                    before.desired = Some(desired.clone());
                }
                Entry::Acked { revision, outcome } if outcome.is_promised() => {
                    before.acked = Some(*revision);
                }
                Entry::Acked { .. } | Entry::Sent { .. } => {}
                Entry::Sending { number } => before.message = *number,
            }
        }
        before
    }
}

impl Handler {
    fn note(&self, entry: Entry) -> anyhow::Result<()> {
        self.diary.borrow_mut().note(entry)
    }

    fn note_durably(&self, entry: Entry) -> anyhow::Result<()> {
        self.diary.borrow_mut().note_durably(entry)
    }

    async fn watch(&self, since: Option<At>, mut desired: Option<Document>) -> anyhow::Result<()> {
        let options = WatchOptions {
            since: since.map(Into::into),
            handler: Some(HANDLER.to_owned()),
            ..WatchOptions::default()
        };
        let mut follow = self.client.follow(&self.module, options);
        loop {
            match follow.next().await.context("the watch can't go on")? {
                Some(Followed::Event(event)) => self.take(event, &mut desired)?,
                Some(Followed::Lost { .. }) => {}
                None => bail!("module {} was removed", self.module),
            }
        }
    }

    /// Writes an event down, then lets the others know.
    fn take(&self, event: Event, desired: &mut Option<Document>) -> anyhow::Result<()> {
        let revision = match event {
            Event::Snapshot(event) => {
                let revision = event.revision().map(At::from);
                if !event.unchanged {
                    desired.clone_from(&event.desired);
                }
                let (unchanged, desired) = (event.unchanged, event.desired);
                self.note_durably(Entry::Snapshot { revision, unchanged, desired })?;
                revision
            }
            Event::Desired(event) => {
                let revision = At::from(event.revision());
                *desired = Some(event.desired.clone());
                let (reset, patch, desired) = (event.reset, event.patch, event.desired);
                self.note_durably(Entry::Changed { revision, reset, patch, desired })?;
                Some(revision)
            }
            Event::Hub(_) | Event::Heartbeat | Event::Removed { .. } => return Ok(()),
        };
        self.probe.send_replace(probe_of(desired.as_ref()));
        self.told.send_replace(revision);
        Ok(())
    }

    /// Acknowledges the newest revision told, again and again until that is stored.
    async fn acknowledge(&self, mut acked: Option<At>) -> anyhow::Result<()> {
        let mut told = self.told.subscribe();
        loop {
            let newest = *told.borrow_and_update();
            if let Some(revision) = newest.filter(|newest| acked != Some(*newest)) {
                self.note(Entry::Acking { revision })?;
                let At(generation, version) = revision;
                let ack = AckRequest {
                    version,
                    generation: Some(generation),
                    status: 200,
                    description: None,
                    handler: Some(HANDLER.to_owned()),
                    paths: Vec::new(),
                };
                let said = self.client.acknowledge(&self.module, &ack).await;
                let outcome = said.map_or_else(|error| failed(&error), |()| Outcome::Stored);
                let is_promised = outcome.is_promised();
                self.note_durably(Entry::Acked { revision, outcome })?;
                if is_promised {
                    acked = Some(revision);
                } else {
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
                continue;
            }
            told.changed().await?;
        }
    }

    /// Sends one message after the other, for the hub's confirmation and for the disk's by turns.
    async fn send(&self, mut number: u64, mut rng: Rng, mut silence: Signal) -> anyhow::Result<()> {
        loop {
            let pause = Duration::from_millis(rng.u64(MESSAGE_PAUSE_MS));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = silence.recv() => return std::future::pending().await,
            }
            number += 1;
            self.note(Entry::Sending { number })?;
            let message = Message { payload: number.to_string().into(), ..Message::default() };
            let by_turns = number.is_multiple_of(2);
            let wait = if by_turns { Wait::Stored } else { Wait::Hub { timeout: HUB_TIMEOUT } };
            let said = self.client.send(&self.module, &message, wait).await;
            let promised = match &said {
                Ok(_) => true,
                // The contract: not in time, but it stays stored.
                Err(error) => error.problem_kind() == Some(ProblemKind::Timeout),
            };
            self.note_durably(Entry::Sent { number, promised })?;
            if !by_turns && !matches!(said, Ok(Sent::Confirmed)) {
                // The disk is small, and meant for more than messages.
                tokio::time::sleep(AFTER_TROUBLE).await;
            }
        }
    }

    async fn report(
        &self,
        mut number: u64,
        mut probe_stored: u64,
        mut rng: Rng,
        mut calm: Signal,
    ) -> anyhow::Result<()> {
        let mut probe = self.probe.subscribe();
        let mut is_calm = false;
        loop {
            let wanted = *probe.borrow_and_update();
            number += 1;
            let writes = if wanted > probe_stored {
                vec![Write { leaf: PROBE.to_owned(), number: Some(wanted) }]
            } else if is_calm {
                probe.changed().await?;
                continue;
            } else {
                leaves::make_up(&REPORTED, number, &mut rng)
            };
            let wait = match rng.u32(0..8) {
                0 => Wait::Hub { timeout: HUB_TIMEOUT },
                _ => Wait::Stored,
            };
            let patch = leaves::patch(&writes, &REPORTED);
            self.note(Entry::Asked { number, writes })?;
            let outcome = match self.client.report(&self.module, &patch, wait).await {
                Ok(Reported::Stored(_)) => Outcome::Stored,
                Ok(Reported::Accepted(accepted)) => Outcome::Accepted { version: accepted.version },
                // The contract: not in time, but it stays stored.
                Err(error) if error.problem_kind() == Some(ProblemKind::Timeout) => Outcome::Stored,
                Err(error) => failed(&error),
            };
            let is_promised = outcome.is_promised();
            self.note_durably(Entry::Answered { number, outcome })?;
            if is_promised && wanted > probe_stored {
                probe_stored = wanted;
            }
            let pause =
                if is_promised { Duration::from_millis(rng.u64(PAUSE_MS)) } else { AFTER_FAILURE };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                changed = probe.changed() => changed?,
                _ = calm.recv() => is_calm = true,
            }
        }
    }
}

fn failed(error: &ClientError) -> Outcome {
    match error {
        ClientError::Problem(problem) => Outcome::Refused {
            status: problem.status,
            kind: problem.kind.as_str().to_owned(),
            detail: problem.detail.clone(),
        },
        _ => Outcome::Unknown,
    }
}

fn probe_of(desired: Option<&Document>) -> u64 {
    desired.and_then(|desired| desired.get(PROBE)).and_then(Value::as_u64).unwrap_or_default()
}

/// Between two reports.
const PAUSE_MS: std::ops::Range<u64> = 20..300;
/// Between two messages.
const MESSAGE_PAUSE_MS: std::ops::Range<u64> = 300..1200;
/// Before the next message, where the hub does not confirm them.
const AFTER_TROUBLE: Duration = Duration::from_secs(3);
/// Before asking again for what did not go well.
const AFTER_FAILURE: Duration = Duration::from_millis(100);
/// How long a report with `wait=hub` waits.
const HUB_TIMEOUT: Duration = Duration::from_secs(1);
