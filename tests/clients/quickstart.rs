//! The quick start in every language: under 30 lines, run as it stands, and all print the same.

use std::process::Command;

use modtwin_api::Timestamp;
use modtwin_testkit::hub::program;
use modtwin_testkit::stage::{Stage, name};
use serde_json::json;

use crate::Story;
use crate::languages::{self, root};
use crate::running::{Running, with_modtwinctl};

/// Lines of a quick start, comments and empty ones too.
const MOST_LINES: usize = 29;

#[test]
fn every_quick_start_is_short() {
    let mut count = 0;
    for language in std::fs::read_dir(root().join("clients")).unwrap() {
        let examples = language.unwrap().path().join("examples");
        for example in std::fs::read_dir(examples).into_iter().flatten() {
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
    let mut command = Command::new("sh");
    command.arg(root().join("clients/shell/examples/quickstart.sh"));
    with_modtwinctl(command, None)
}

#[tokio::test]
async fn quick_starts_print_what_comes_and_tell_the_hub() -> Story {
    let mut commands: Vec<Command> =
        languages::all().iter().filter_map(|language| language.quickstart()).collect();
    commands.push(shell()?);
    let mut stage = Stage::start(program("modtwind")?, commands.len()).await?;
    let mut running = Vec::new();
    for (n, mut command) in commands.into_iter().enumerate() {
        command.arg(name(n + 1));
        running.push(Running::start(command, &name(n + 1), &stage)?);
    }
    for running in &mut running {
        running.wait_for(&["hub connected ok", "desired 1.1 {}"]).await?;
        stage.change(&running.module, json!({"target": 21.5, "name": "x"})).await?;
    }
    for running in &mut running {
        running.wait_for(&["desired 1.2 {\"name\":\"x\",\"target\":21.5}"]).await?;
        let reported = stage
            .wait_reported(&running.module, |found| KEYS.iter().all(|key| found[key].is_string()))
            .await?;
        for key in KEYS {
            let time = reported[key].as_str().unwrap_or_default();
            assert!(time.parse::<Timestamp>().is_ok(), "{}: {time}", running.shown);
        }
    }
    // Away for so long that whoever is slow is not told of the return alone.
    stage.hub.kill()?;
    for running in &mut running {
        running.wait_for(&["hub disconnected network"]).await?;
    }
    stage.hub.restart().await?;
    for running in &mut running {
        running.wait_for(&["hub connected ok"]).await?;
    }
    Ok(())
}

/// What a quick start reports.
const KEYS: [&str; 2] = ["DateTimeLastAppLaunch", "DateTimeLastDesiredPropertyChangeReceived"];
