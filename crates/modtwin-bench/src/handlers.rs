//! The handlers of a run: one process a module, and what they write.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::handler::Line;

/// Running handlers; killed when dropped.
#[derive(Debug)]
pub(crate) struct Handlers {
    modules: Vec<String>,
    children: Vec<Child>,
    lines: mpsc::Receiver<Said>,
}

/// What a handler wrote.
#[derive(Debug)]
pub(crate) struct Said {
    /// The handler's module, by its place among those handled.
    pub(crate) module: usize,
    /// The line; none where the handler ended.
    pub(crate) line: Option<Line>,
}

impl Handlers {
    /// Starts a handler for each of `modules` at the daemon's `socket`, and waits until all watch.
    ///
    /// # Errors
    ///
    /// Where one can't be started, ends, or does not watch in time.
    pub(crate) async fn start(socket: &Path, modules: &[String]) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("cannot find this program")?;
        let (sender, lines) = mpsc::channel(QUEUE);
        let mut children = Vec::new();
        for (index, module) in modules.iter().enumerate() {
            let mut child = Command::new(&own)
                .arg("echo-handler")
                .arg("--socket")
                .arg(socket)
                .args(["--module", module])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .context("cannot start a handler")?;
            let out = child.stdout.take().context("a handler has no standard output")?;
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut lines = BufReader::new(out).lines();
                loop {
                    let text = lines.next_line().await.ok().flatten();
                    let line = text.and_then(|text| serde_json::from_str(&text).ok());
                    let ended = line.is_none();
                    if sender.send(Said { module: index, line }).await.is_err() || ended {
                        return;
                    }
                }
            });
            children.push(child);
        }
        let mut handlers = Self { modules: modules.to_vec(), children, lines };
        handlers.all(|line| matches!(line, Line::Ready).then_some(())).await?;
        Ok(handlers)
    }

    /// The process ids of those that run.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.children.iter().filter_map(Child::id).collect()
    }

    /// Waits for the next line of any handler.
    ///
    /// # Errors
    ///
    /// Where a handler ended, or none writes in time.
    pub(crate) async fn next(&mut self) -> anyhow::Result<(usize, Line)> {
        let said = timeout(LIMIT, self.lines.recv()).await.context("no handler says anything")?;
        let Said { module, line } = said.context("all handlers ended")?;
        match line {
            Some(line) => Ok((module, line)),
            None => {
                let name = self.modules.get(module).map_or("?", String::as_str);
                bail!("the handler of {name} ended")
            }
        }
    }

    /// Waits until every handler has written a line that `wanted` takes; returns what it made of
    /// them, by module.
    ///
    /// # Errors
    ///
    /// As for [`Handlers::next`].
    pub(crate) async fn all<T>(
        &mut self,
        mut wanted: impl FnMut(Line) -> Option<T>,
    ) -> anyhow::Result<Vec<T>> {
        let mut found: Vec<Option<T>> = self.children.iter().map(|_| None).collect();
        while found.iter().any(Option::is_none) {
            let (module, line) = self.next().await?;
            if let (Some(place), Some(value)) = (found.get_mut(module), wanted(line)) {
                *place = Some(value);
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// Ends all of them.
    ///
    /// # Errors
    ///
    /// Where one can't be waited for.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        for child in &mut self.children {
            child.kill().await.context("cannot end a handler")?;
        }
        Ok(())
    }
}

/// How many lines may wait; a reader that lags makes the handlers wait.
const QUEUE: usize = 1024;
/// How long a line that must come may take: longer than the longest wait before a reconnect.
const LIMIT: Duration = Duration::from_secs(90);
