//! The quick start in every language: under 30 lines, run as it stands, and all print the same.

use std::process::{Command, Stdio};

use modtwin_testkit::hub::program;
use modtwin_testkit::patience::LONG;
use modtwin_testkit::stage::{Stage, name};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::Story;
use crate::languages::{self, root};

/// Lines of a quick start, comments and empty ones too.
const MOST_LINES: usize = 29;

#[test]
fn every_quick_start_is_short() {
    let mut count = 0;
    for folder in std::fs::read_dir(root().join("clients")).unwrap() {
        for example in std::fs::read_dir(folder.unwrap().path().join("examples")).unwrap() {
            let path = example.unwrap().path();
            let lines = std::fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines <= MOST_LINES, "`{}` has {lines} lines", path.display());
            count += 1;
        }
    }
    assert_eq!(count, 5, "a language without a quick start, or one that is not run here");
}

/// The shell's quick start, with `modtwinctl` of this build.
fn shell() -> anyhow::Result<Command> {
    let programs = program("modtwinctl")?;
    let path = std::env::var("PATH")?;
    let mut command = Command::new("sh");
    command
        .arg(root().join("clients/shell/examples/quickstart.sh"))
        .env("PATH", format!("{}:{path}", programs.parent().unwrap().display()));
    Ok(command)
}

#[tokio::test]
async fn quick_starts_print_what_comes_and_tell_the_hub() -> Story {
    let mut commands: Vec<Command> =
        languages::all().iter().filter_map(|language| language.quickstart()).collect();
    commands.push(shell()?);
    let mut stage = Stage::start(program("modtwind")?, commands.len()).await?;
    for (n, command) in commands.into_iter().enumerate() {
        let shown = format!("{command:?}");
        let module = name(n + 1);
        let mut running = Running::start(command, &module, &stage)?;
        running.wait_for(&["hub connected ok", "desired 1.1 {}"]).await?;
        stage.change(&module, json!({"target": 21.5, "name": "x"})).await?;
        running.wait_for(&["desired 1.2 {\"name\":\"x\",\"target\":21.5}"]).await?;
        let reported = stage
            .wait_reported(&module, |found| {
                found["DateTimeLastAppLaunch"].is_string()
                    && found["DateTimeLastDesiredPropertyChangeReceived"].is_string()
            })
            .await?;
        for key in ["DateTimeLastAppLaunch", "DateTimeLastDesiredPropertyChangeReceived"] {
            let time = reported[key].as_str().unwrap_or_default();
            assert!(time.parse::<modtwin_api::Timestamp>().is_ok(), "{shown}: {time}");
        }
        stage.fault("drop", &module, json!({})).await?;
        running.wait_for(&["hub disconnected network", "hub connected ok"]).await?;
    }
    Ok(())
}

/// A handler and whatever it started; killed when dropped.
struct Running {
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
    group: Pid,
    shown: String,
    _process: tokio::process::Child,
}

impl Running {
    fn start(command: Command, module: &str, stage: &Stage) -> anyhow::Result<Self> {
        let shown = format!("{command:?}");
        let mut process = tokio::process::Command::from(command)
            .arg(module)
            .env("MODTWIN_SOCKET", stage.gateway.socket())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let group = Pid::from_raw(i32::try_from(process.id().unwrap())?);
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Ok(Self { lines, group, shown, _process: process })
    }

    /// Waits until each of `awaited` was printed, in whatever order, others between them.
    async fn wait_for(&mut self, awaited: &[&str]) -> Story {
        let mut missing = awaited.to_vec();
        let mut printed = Vec::new();
        while !missing.is_empty() {
            let line = tokio::time::timeout(LONG, self.lines.next_line()).await;
            let Ok(Ok(Some(line))) = line else {
                anyhow::bail!("{} printed {printed:?}, but not {missing:?}", self.shown);
            };
            missing.retain(|missing| *missing != line);
            printed.push(line);
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = killpg(self.group, Signal::SIGKILL);
    }
}
