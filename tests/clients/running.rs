//! A handler as a process of its own: started at a daemon, read, and ended with all that it started.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use modtwin_testkit::hub::program;
use modtwin_testkit::patience::LONG;
use modtwin_testkit::stage::Stage;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::Story;

/// Has `command` find `modtwinctl` of this build, and before all else what is in `folder`.
pub(crate) fn with_modtwinctl(
    mut command: Command,
    folder: Option<&Path>,
) -> anyhow::Result<Command> {
    let own = program("modtwinctl")?;
    let own = own.parent().context("a program in no folder")?;
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let rest = std::env::split_paths(&rest);
    let folders = folder.map(Path::to_owned).into_iter().chain([own.to_owned()]).chain(rest);
    command.env("PATH", std::env::join_paths(folders)?);
    Ok(command)
}

/// A handler and whatever it started; killed when dropped.
pub(crate) struct Running {
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
    group: Pid,
    /// The module that it handles.
    pub(crate) module: String,
    /// Its command.
    pub(crate) shown: String,
    _process: tokio::process::Child,
}

impl Running {
    /// Starts it at the stage's daemon.
    pub(crate) fn start(command: Command, module: &str, stage: &Stage) -> anyhow::Result<Self> {
        let shown = format!("{command:?}");
        let mut process = tokio::process::Command::from(command)
            .env("MODTWIN_SOCKET", stage.gateway.socket())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let group = Pid::from_raw(i32::try_from(process.id().unwrap())?);
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Ok(Self { lines, group, module: module.to_owned(), shown, _process: process })
    }

    /// Waits until each of `awaited` was printed, in whatever order, others between them.
    pub(crate) async fn wait_for(&mut self, awaited: &[&str]) -> Story {
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
