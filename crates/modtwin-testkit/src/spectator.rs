//! A watcher that checks what it is told: one stream, read in the background, judged line by line.
//!
//! Owns the promises that hold of every stream whatever the hub does: a snapshot first, and again only
//! where it shows something else, strictly rising revisions of changes, patches that lead from what was
//! told last to what is told now.

use anyhow::{Context as _, bail};
use modtwin_api::{Event, HubReason, HubState, Revision};
use modtwin_client::{Client, Watch, WatchOptions};
use modtwin_core::document::{Document, merge};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::patience::LONG;

/// What a stream has told.
#[derive(Debug, Default)]
pub struct Seen {
    /// The revisions, in the order they came.
    pub revisions: Vec<Revision>,
    /// When each of them came.
    pub arrivals: Vec<Instant>,
    /// Desired as told last.
    pub desired: Option<Document>,
    /// How many resets there were.
    pub resets: usize,
    /// How the module stood with its hub, in the order told.
    pub hub: Vec<(HubState, HubReason)>,
    /// What the daemon should not have told so.
    pub complaints: Vec<String>,
    /// Why the stream ended, where it has.
    pub ended: Option<String>,
}

impl Seen {
    /// The newest revision.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        self.revisions.last().copied()
    }

    /// The newest version.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        self.revision().map(|revision| revision.version)
    }

    fn take(&mut self, event: Event, is_first: bool) {
        match event {
            Event::Snapshot(snapshot) => {
                let before = self.revision();
                let same_line =
                    before.is_none_or(|before| before.generation == snapshot.generation);
                if !is_first && same_line && self.desired == snapshot.desired {
                    self.complaints.push("a second snapshot of the same".to_owned());
                }
                // Other rights may show another part of the same version.
                if let Some(revision) = snapshot.revision().filter(|now| Some(*now) != before) {
                    self.note(revision);
                }
                self.hub.push((snapshot.hub.state, snapshot.hub.reason));
                self.desired = snapshot.desired;
            }
            Event::Desired(event) => {
                let before = self.revision();
                let revision = event.revision();
                let mut expected = self.desired.take().unwrap_or_default();
                merge(&mut expected, &event.patch);
                if expected != event.desired {
                    let patch = event.patch;
                    self.complaints.push(format!("{revision}: {patch:?} does not lead there"));
                }
                let anew = before.is_some_and(|before| before.generation != revision.generation);
                if anew != event.reset {
                    self.complaints
                        .push(format!("{revision} after {before:?}: reset {}", event.reset));
                }
                self.resets += usize::from(event.reset);
                self.note(revision);
                self.desired = Some(event.desired);
            }
            Event::Hub(event) => self.hub.push((event.hub.state, event.hub.reason)),
            Event::Heartbeat => {}
            Event::Removed { .. } => self.ended = Some("removed".to_owned()),
        }
        if is_first && self.hub.is_empty() {
            self.complaints.push("the stream did not begin with a snapshot".to_owned());
        }
    }

    fn note(&mut self, revision: Revision) {
        if self.revision().is_some_and(|last| revision <= last) {
            self.complaints.push(format!("{revision} after {:?}", self.revisions));
        }
        self.revisions.push(revision);
        self.arrivals.push(Instant::now());
    }
}

/// A watch that is read in the background; ends when dropped.
#[derive(Debug)]
pub struct Spectator {
    seen: watch::Receiver<Seen>,
    task: JoinHandle<()>,
}

impl Spectator {
    /// Begins to watch all of `module`; returns once the stream stands.
    ///
    /// # Errors
    ///
    /// Where the daemon refuses.
    pub async fn begin(client: &Client, module: &str) -> anyhow::Result<Self> {
        let watch = client.watch(module, &WatchOptions::default()).await?;
        let (sender, seen) = watch::channel(Seen::default());
        let task = tokio::spawn(read(watch, sender));
        Ok(Self { seen, task })
    }

    /// Looks at what was told so far.
    pub fn look<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.seen.borrow())
    }

    /// Waits until `condition` holds of what was told.
    ///
    /// # Errors
    ///
    /// Where it does not in time, or the daemon told something that it should not have.
    pub async fn wait(
        &mut self,
        awaited: &str,
        condition: impl Fn(&Seen) -> bool,
    ) -> anyhow::Result<()> {
        let reached = |seen: &Seen| condition(seen) || !seen.complaints.is_empty();
        let waited = timeout(LONG, self.seen.wait_for(|seen| reached(seen))).await;
        let waited = waited.map(|seen| seen.is_ok());
        let seen = self.seen.borrow();
        if !seen.complaints.is_empty() {
            bail!("the stream broke a promise: {:?}", seen.complaints);
        }
        match waited {
            Ok(true) => Ok(()),
            Ok(false) => bail!("the stream ended before {awaited}: {:?}", seen.ended),
            Err(_late) => bail!("{awaited} never came; told: {seen:?}"),
        }
    }

    /// Waits for that version of the present generation.
    ///
    /// # Errors
    ///
    /// As [`Spectator::wait`].
    pub async fn wait_version(&mut self, version: u64) -> anyhow::Result<()> {
        self.wait(&format!("version {version}"), |seen| seen.version() == Some(version)).await
    }

    /// Waits until desired is `expected`.
    ///
    /// # Errors
    ///
    /// As [`Spectator::wait`].
    pub async fn wait_desired(&mut self, expected: &Document) -> anyhow::Result<()> {
        let is = |seen: &Seen| seen.desired.as_ref() == Some(expected);
        self.wait(&format!("desired {expected:?}"), is).await
    }

    /// Waits for the stream's end; returns why it ended.
    ///
    /// # Errors
    ///
    /// Where it does not end in time.
    pub async fn wait_end(&mut self) -> anyhow::Result<String> {
        // Whether the condition or the end of the sender comes first is the same.
        let waited = timeout(LONG, self.seen.wait_for(|seen| seen.ended.is_some())).await;
        drop(waited.context("the stream did not end")?);
        Ok(self.end().unwrap_or_default())
    }

    fn end(&self) -> Option<String> {
        self.seen.borrow().ended.clone()
    }
}

impl Drop for Spectator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(mut watch: Watch, sender: watch::Sender<Seen>) {
    let mut is_first = true;
    loop {
        match watch.next().await {
            Ok(Some(event)) => {
                sender.send_modify(|seen| seen.take(event, is_first));
                is_first = false;
            }
            Ok(None) => {
                return sender.send_modify(|seen| {
                    seen.ended.get_or_insert_with(|| "the daemon ended it".to_owned());
                });
            }
            Err(error) => {
                return sender.send_modify(|seen| {
                    seen.ended.get_or_insert_with(|| error.to_string());
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What is complained of after a first snapshot and these.
    fn complaints(others: &[(u64, u64, Value)]) -> usize {
        let mut seen = Seen::default();
        let first = (1, 7, json!({"a": 1, "b": 2}));
        for (n, (generation, version, desired)) in std::iter::once(&first).chain(others).enumerate()
        {
            let line = json!({
                "type": "snapshot", "module": "m", "stale": false, "generation": generation,
                "version": version, "desired": desired,
                "hub": {"state": "connected", "reason": "ok", "since": "2026-11-26T10:00:00Z"},
            });
            let event = Event::parse(line.to_string().as_bytes()).unwrap().unwrap();
            seen.take(event, n == 0);
        }
        seen.complaints.len()
    }

    #[test]
    fn a_snapshot_in_mid_stream_has_to_show_something_else() {
        assert_eq!(complaints(&[(1, 7, json!({"b": 2})), (1, 8, json!({}))]), 0);
        assert_eq!(complaints(&[(2, 1, json!({"a": 1, "b": 2}))]), 0);
        assert_eq!(complaints(&[(1, 8, json!({"a": 1, "b": 2}))]), 1);
        assert_eq!(complaints(&[(1, 6, json!({"b": 2}))]), 1);
    }
}
