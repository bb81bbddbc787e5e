//! What the handlers print, with the moment at which each line came. The story reads its
//! milliseconds here.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::ChildStdout;
use tokio::sync::mpsc;

/// Lines that wait to be looked at. A handler whose line finds no room waits; the story reads all
/// the time.
const WAITING_LINES: usize = 1024;

/// A line of a handler.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Whose.
    pub(crate) module: String,
    /// When it came.
    pub(crate) at: Instant,
    /// What it says.
    pub(crate) text: String,
}

/// Hears every handler.
#[derive(Debug)]
pub(crate) struct Audience {
    sender: mpsc::Sender<Line>,
    receiver: mpsc::Receiver<Line>,
}

impl Audience {
    /// An audience that hears nobody yet.
    pub(crate) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_LINES);
        Self { sender, receiver }
    }

    /// Hears the handler of `module` from now on.
    pub(crate) fn listen(&self, module: &str, output: ChildStdout) {
        let sender = self.sender.clone();
        let module = module.to_owned();
        tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(text)) = lines.next_line().await {
                let line = Line { module: module.clone(), at: Instant::now(), text };
                if sender.send(line).await.is_err() {
                    return;
                }
            }
        });
    }

    /// Waits until each module in `expected` has printed a line with its words in it; returns these
    /// lines by module. Other lines that come meanwhile are passed over.
    ///
    /// # Errors
    /// Not all of them did within `limit`: the text names the others.
    pub(crate) async fn hear(
        &mut self,
        expected: &BTreeMap<String, String>,
        limit: Duration,
    ) -> anyhow::Result<BTreeMap<String, Line>> {
        let deadline = tokio::time::Instant::now() + limit;
        let mut heard = BTreeMap::new();
        while heard.len() < expected.len() {
            let Ok(line) = tokio::time::timeout_at(deadline, self.receiver.recv()).await else {
                let silent: Vec<String> = expected
                    .iter()
                    .filter(|(module, _)| !heard.contains_key(*module))
                    .map(|(module, words)| format!("`{words}` from {module}"))
                    .collect();
                bail!(
                    "waited {} s for the handlers to print {}",
                    limit.as_secs(),
                    silent.join(", ")
                );
            };
            let line = line.context("nobody is left to listen to")?;
            if expected.get(&line.module).is_some_and(|words| line.text.contains(words)) {
                heard.entry(line.module.clone()).or_insert(line);
            }
        }
        Ok(heard)
    }

    /// Returns the lines that have come and were not looked at.
    pub(crate) fn drain(&mut self) -> Vec<Line> {
        std::iter::from_fn(|| self.receiver.try_recv().ok()).collect()
    }
}
