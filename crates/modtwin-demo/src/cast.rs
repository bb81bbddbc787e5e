//! The processes of the story: starting them, keeping their output, ending them by their ids.
//!
//! Each runs in a process group of its own, so that Ctrl-C reaches the demo alone, which then ends
//! them in the right order.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStdout, Command};

/// How long a process may take to end after SIGTERM, before SIGKILL.
const TIME_TO_END: Duration = Duration::from_secs(10);

/// How many lines of a log a failure shows.
const TAIL_LINES: usize = 15;

/// Everything that runs, in the order in which it was started.
#[derive(Debug)]
pub(crate) struct Cast {
    logs: PathBuf,
    actors: Vec<Actor>,
}

#[derive(Debug)]
struct Actor {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Cast {
    /// Nobody yet; what they write will be in the folder `logs`.
    pub(crate) fn new(logs: PathBuf) -> Self {
        Self { logs, actors: Vec::new() }
    }

    /// Starts `command` as `name`; all that it writes goes to its log.
    ///
    /// # Errors
    /// The log can't be made, or the program can't be started.
    pub(crate) fn start(&mut self, name: &str, command: Command) -> anyhow::Result<()> {
        let (log, path) = self.create_log(name)?;
        let errors = log.try_clone().context("cannot share a log")?;
        self.spawn(name, command, [log.into(), errors.into()], path).map(|_none| ())
    }

    /// Starts `command` as `name`; its standard error goes to its log, its standard output to the
    /// caller.
    ///
    /// # Errors
    /// The log can't be made, or the program can't be started.
    pub(crate) fn start_heard(
        &mut self,
        name: &str,
        command: Command,
    ) -> anyhow::Result<ChildStdout> {
        let (log, path) = self.create_log(name)?;
        let output = self.spawn(name, command, [Stdio::piped(), log.into()], path)?;
        output.with_context(|| format!("{name} has no output to read"))
    }

    fn create_log(&self, name: &str) -> anyhow::Result<(File, PathBuf)> {
        let path = self.logs.join(name).with_extension("log");
        let file =
            File::create(&path).with_context(|| format!("cannot create `{}`", path.display()))?;
        Ok((file, path))
    }

    fn spawn(
        &mut self,
        name: &str,
        mut command: Command,
        [output, errors]: [Stdio; 2],
        log: PathBuf,
    ) -> anyhow::Result<Option<ChildStdout>> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let read = child.stdout.take();
        self.actors.push(Actor { name: name.to_owned(), child, log });
        Ok(read)
    }

    /// Checks that everything still runs.
    ///
    /// # Errors
    /// Names the first process that ended, and how.
    pub(crate) fn all_alive(&mut self) -> anyhow::Result<()> {
        for actor in &mut self.actors {
            if let Some(status) = actor.child.try_wait().context("cannot look after a process")? {
                bail!("{} has ended by itself ({status})", actor.name);
            }
        }
        Ok(())
    }

    /// Ends every process, the last one first: handlers, then the daemon, then the hub. Returns how
    /// those ended that did not end well.
    pub(crate) async fn end(&mut self) -> Vec<String> {
        let mut complaints = Vec::new();
        while let Some(mut actor) = self.actors.pop() {
            complaints.extend(actor.end().await);
        }
        complaints
    }

    /// The last lines of every log that is not empty, for whoever has to find out what happened.
    pub(crate) fn log_tails(&self) -> String {
        let mut text = String::new();
        for actor in &self.actors {
            let Ok(log) = std::fs::read(&actor.log) else {
                continue;
            };
            let log = String::from_utf8_lossy(&log);
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines.iter().skip(lines.len().saturating_sub(TAIL_LINES));
            if !lines.is_empty() {
                text.push_str(&format!("\n--- the last of what {} wrote\n", actor.name));
                tail.for_each(|line| {
                    text.push_str(line);
                    text.push('\n');
                });
            }
        }
        text
    }
}

impl Actor {
    async fn end(&mut self) -> Option<String> {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        // The whole group: what a handler started goes with it.
        if let Some(pid) = pid {
            let _gone_already = kill(Pid::from_raw(-pid), Signal::SIGTERM);
        }
        match tokio::time::timeout(TIME_TO_END, self.child.wait()).await {
            Ok(Ok(status))
                if status.success() || status.signal() == Some(Signal::SIGTERM as i32) =>
            {
                None
            }
            Ok(Ok(status)) => Some(format!("{} ended with {status}", self.name)),
            Ok(Err(error)) => Some(format!("cannot wait for {}: {error}", self.name)),
            Err(_) => {
                if let Some(pid) = pid {
                    let _gone_meanwhile = kill(Pid::from_raw(-pid), Signal::SIGKILL);
                }
                let _reaped = self.child.wait().await;
                Some(format!(
                    "{} did not end within {} s and was killed",
                    self.name,
                    TIME_TO_END.as_secs()
                ))
            }
        }
    }
}
