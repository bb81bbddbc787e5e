//! The hub's own word on what happened: its stream of events, followed across its deaths.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::BodyExt as _;
use modtwin_core::document::Document;
use modtwin_testkit::service::Service;
use serde::Deserialize;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::leaves::PROBE;

/// One event of the hub; what is not used is left out.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct HubEvent {
    /// When, in microseconds since 1970.
    pub(crate) us: u64,
    /// What.
    pub(crate) event: String,
    /// Whose, where it is a module's.
    #[serde(default)]
    pub(crate) module: String,
    /// What a twin request was answered with; a desired change has none.
    #[serde(default)]
    pub(crate) status: Option<u16>,
    /// The version that came of it.
    #[serde(default)]
    pub(crate) version: u64,
    /// What was written.
    #[serde(default)]
    pub(crate) patch: Option<Document>,
    /// What a message said.
    #[serde(default)]
    pub(crate) body: Option<String>,
}

/// One entry of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    /// The stream began anew: events may be missing before it, and what the hub had told but not
    /// answered yet may be undone.
    Boundary,
    /// What the hub told.
    Event(HubEvent),
}

/// What was recorded so far.
#[derive(Debug, Default)]
struct Tape {
    records: Vec<Record>,
    /// The newest probe that came back, by module, and when.
    echoes: BTreeMap<String, (u64, u64)>,
}

/// Records in the background; ends when dropped.
#[derive(Debug)]
pub(crate) struct Recorder {
    tape: Arc<Mutex<Tape>>,
    task: JoinHandle<()>,
}

impl Recorder {
    /// Begins to record what the hub of `service` tells, also as lines in the file at `path`.
    ///
    /// # Errors
    ///
    /// Where that file can't be made.
    pub(crate) fn begin(service: Service, path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).context("cannot make the record of the hub's events")?;
        // Shared with one task alone, which holds the lock for a push.
        let tape = Arc::new(Mutex::new(Tape::default()));
        let task = tokio::spawn(record(service, Arc::clone(&tape), file));
        Ok(Self { tape, task })
    }

    /// The newest probe of `module` that came back to the hub, and when.
    pub(crate) fn echo(&self, module: &str) -> Option<(u64, u64)> {
        lock(&self.tape).echoes.get(module).copied()
    }

    /// How many events there were.
    pub(crate) fn count(&self) -> usize {
        lock(&self.tape).records.len()
    }

    /// All that was recorded; nothing remains.
    pub(crate) fn take(&self) -> Vec<Record> {
        std::mem::take(&mut lock(&self.tape).records)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(tape: &Mutex<Tape>) -> MutexGuard<'_, Tape> {
    tape.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn record(service: Service, tape: Arc<Mutex<Tape>>, mut file: File) {
    loop {
        // Whatever ends the stream, the hub is or will be back.
        let _ended = follow(&service, &tape, &mut file).await;
        tokio::time::sleep(BEFORE_RETRY).await;
    }
}

async fn follow(service: &Service, tape: &Mutex<Tape>, file: &mut File) -> anyhow::Result<()> {
    let mut body = service.events().await?;
    lock(tape).records.push(Record::Boundary);
    let mut buffer = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.context("the hub's events broke off")?;
        buffer.extend_from_slice(frame.data_ref().map_or(&[][..], |bytes| bytes));
        let Some(end) = buffer.iter().rposition(|byte| *byte == b'\n') else { continue };
        let lines: Vec<u8> = buffer.drain(..=end).collect();
        file.write_all(&lines).context("cannot write the record of the hub's events")?;
        let mut tape = lock(tape);
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            tape.take(serde_json::from_slice(line).context("expected an event of the hub")?);
        }
    }
    Ok(())
}

impl Tape {
    fn take(&mut self, event: HubEvent) {
        let probe = event.patch.as_ref().and_then(|patch| patch.get(PROBE)).and_then(Value::as_u64);
        if let (Some(probe), "reported") = (probe, event.event.as_str()) {
            let newest = self.echoes.entry(event.module.clone()).or_default();
            if probe > newest.0 {
                *newest = (probe, event.us);
            }
        }
        self.records.push(Record::Event(event));
    }
}

const BEFORE_RETRY: Duration = Duration::from_millis(10);
