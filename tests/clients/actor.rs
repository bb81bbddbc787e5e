//! A driver at work: one process, told what to do by lines, telling what happens by JSON.
//!
//! A driver is started with the socket and the seconds of silence. It ends with its input.
//!
//! | line | what it does |
//! |---|---|
//! | `watch M [path=P]… [since=G.V] [handler=H]` | begins a watch that goes on by itself |
//! | `pause M`, `resume M` | takes no further event of the watch; goes on |
//! | `report M PATCH`, `report-hub M SECONDS PATCH` | reports; waits for the hub |
//! | `ack M G.V STATUS` | acknowledges |
//! | `get M`, `modules M` | reads the twin; lists the modules |
//! | `send M [wait=stored] [content-type=T] [content-encoding=E] [message-id=I] [correlation-id=C] [property=N=V]… -- TEXT` | sends a message |
//! | `methods M NAME…` | takes calls, and answers each with 200 and `{"echo":PAYLOAD}` |
//!
//! It prints `{"event":…}` for what a stream tells (`snapshot`, `desired`, `hub`, `removed`, `lost`,
//! `invoke`; `ended` and `failed` for the stream itself) and `{"done":COMMAND,…}` for the rest; an
//! error has `error` (`unreachable`, `problem`, `protocol`), a problem `kind`, `status` and
//! `retry_after`.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, bail};
use modtwin_testkit::patience::LONG;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::languages::Language;

/// What a client lives with where a story says nothing else, in seconds.
pub(crate) const SILENCE: f64 = 90.0;

/// A driver's process; killed when dropped.
pub(crate) struct Actor {
    /// Which client it has.
    pub(crate) language: Language,
    /// The module that is its own.
    pub(crate) module: String,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    /// All that it said, for the words of a failure.
    said: Vec<Value>,
    process: Child,
}

impl Actor {
    /// Starts the driver of a language at that socket, as another user where one is given: one who
    /// may read what only root may, because languages may be installed so.
    pub(crate) fn start(
        language: Language,
        module: &str,
        socket: &Path,
        silence: f64,
        user: Option<u32>,
    ) -> anyhow::Result<Self> {
        let mut command = match user {
            None => Command::from(language.driver()),
            Some(user) => {
                let mut command = Command::new("setpriv");
                command.args([format!("--reuid={user}"), format!("--regid={user}")]);
                command.args(["--clear-groups", "--inh-caps=+dac_read_search"]);
                command.args(["--ambient-caps=+dac_read_search", "--"]);
                let driver = language.driver();
                command.arg(driver.get_program()).args(driver.get_args());
                command.envs(driver.get_envs().filter_map(|(name, value)| Some((name, value?))));
                command
            }
        };
        command.arg(socket).arg(silence.to_string()).kill_on_drop(true);
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start the driver of {language:?}"))?;
        let input = process.stdin.take().context("no standard input")?;
        let output = process.stdout.take().context("no standard output")?;
        Ok(Self {
            language,
            module: module.to_owned(),
            input,
            output: BufReader::new(output).lines(),
            said: Vec::new(),
            process,
        })
    }

    /// Gives it a line; `{m}` is its module.
    pub(crate) async fn say(&mut self, line: &str) -> anyhow::Result<()> {
        let line = line.replace("{m}", &self.module) + "\n";
        self.input.write_all(line.as_bytes()).await.context("the driver ended")
    }

    /// Waits until it says something that `is_it`; returns that and all that came before since the
    /// last time, the oldest first.
    pub(crate) async fn hear(
        &mut self,
        awaited: &str,
        is_it: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Vec<Value>> {
        let mut heard = Vec::new();
        let hearing = async {
            while let Some(line) = self.output.next_line().await? {
                let value: Value = serde_json::from_str(&line)
                    .with_context(|| format!("{:?} said {line:?}", self.language))?;
                heard.push(value.clone());
                if is_it(&value) {
                    return Ok(());
                }
            }
            bail!("the driver ended");
        };
        let outcome = tokio::time::timeout(LONG, hearing).await;
        self.said.extend(heard.iter().cloned());
        let end = self.said.len().saturating_sub(8);
        let context = || {
            let last: Vec<String> = self.said[end..].iter().map(shortened).collect();
            format!("{:?}, waiting for {awaited}, heard {}", self.language, last.join("\n"))
        };
        match outcome {
            Ok(outcome) => outcome.with_context(context)?,
            Err(_elapsed) => bail!(context()),
        }
        Ok(heard)
    }

    /// Ends its input; it has to end in order then, with nothing to complain of about its memory.
    pub(crate) async fn leave(mut self) -> anyhow::Result<()> {
        drop(self.input);
        let status = tokio::time::timeout(LONG, self.process.wait()).await;
        let status = status.with_context(|| format!("{:?} did not end", self.language))??;
        anyhow::ensure!(status.success(), "{:?} ended with {status}", self.language);
        Ok(())
    }

    /// Waits for the result of `command`.
    pub(crate) async fn done(&mut self, command: &str) -> anyhow::Result<Value> {
        let mut heard = self.hear(command, |value| value["done"] == command).await?;
        heard.pop().context("nothing heard")
    }
}

fn shortened(value: &Value) -> String {
    value.to_string().chars().take(400).collect()
}
