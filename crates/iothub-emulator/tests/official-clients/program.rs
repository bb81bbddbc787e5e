//! A program on an SDK: started with its environment, told what to do by lines of JSON, heard by lines of JSON.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// One running program.
pub(crate) struct Program {
    child: Child,
    orders: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

/// Prepares `python/NAME.py` or `node/NAME.js` of `tests/sdk`.
pub(crate) fn command(script: &str) -> Command {
    let sdks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/sdk");
    let installed = PathBuf::from(std::env::var_os(INSTALLED).unwrap_or_else(|| {
        panic!(
            "{INSTALLED} is not set: run `cargo xtask official-clients`, which installs the SDKs"
        )
    }));
    let mut command = if script.ends_with(".py") {
        Command::new(installed.join("python/bin/python"))
    } else {
        let mut command = Command::new("node");
        command.env("NODE_PATH", installed.join("node/node_modules"));
        command
    };
    command.arg(sdks.join(script)).kill_on_drop(true);
    command
}

/// Runs a program that needs no orders to its good end.
pub(crate) async fn succeeds(mut command: Command) {
    let output = timeout(PATIENCE, command.stdin(Stdio::null()).output()).await;
    let output = output.expect("an end in time").expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}:\n{said}", output.status);
}

impl Program {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let orders = child.stdin.take().expect("a pipe");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Self { child, orders, lines }
    }

    pub(crate) async fn order(&mut self, order: Value) {
        self.orders.write_all(format!("{order}\n").as_bytes()).await.expect("told");
    }

    /// Waits for the event of this name whose members satisfy `fits`. `failed` where it is not waited for is an error.
    pub(crate) async fn until(&mut self, event: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let found = async {
            loop {
                let line = self.lines.next_line().await.expect("readable");
                let line = line.unwrap_or_else(|| panic!("ended before it said `{event}`"));
                let said: Value = serde_json::from_str(&line).expect("a line of JSON");
                if said["event"] == event && fits(&said) {
                    return said;
                }
                assert_ne!(said["event"], "failed", "waiting for `{event}`: {said}");
            }
        };
        let found = timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("did not say `{event}` in time"))
    }

    pub(crate) async fn says(&mut self, event: &str) -> Value {
        self.until(event, |_| true).await
    }

    /// Waits for its good end.
    pub(crate) async fn ends_well(mut self) {
        drop(self.orders);
        let status = timeout(PATIENCE, self.child.wait()).await.expect("an end in time");
        assert!(status.expect("a status").success());
    }
}

/// The variable with the folder that the SDKs are installed in.
const INSTALLED: &str = "OFFICIAL_CLIENTS";
/// Python waits 10 seconds between two attempts to connect; machines may be slow.
const PATIENCE: Duration = Duration::from_secs(60);
