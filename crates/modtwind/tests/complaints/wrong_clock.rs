//! "After a boot without a battery the clock is wrong, TLS fails, and it hangs until somebody
//! restarts it."

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use modtwin_api::{HubReason, HubState, Status};
use modtwin_testkit::patience::{LONG, Look, until};
use modtwin_testkit::stage::{Stage, object};
use serde_json::json;

use crate::{M, MODTWIND, Story};

const DAY: Duration = Duration::from_secs(86_400);

fn is_held(status: &Status) -> bool {
    let hub = &status.modules[0].hub;
    (hub.state, hub.reason) == (HubState::Disconnected, HubReason::Clock)
}

/// A gateway that was in step with its hub and is switched off.
async fn used_gateway() -> anyhow::Result<Stage> {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    let version = stage.change(M, json!({"known": true})).await?;
    stage.watch(M).await?.wait_version(version).await?;
    let state = stage.gateway.folder().join("state");
    until("the state on disk", LONG, async || {
        let text = std::fs::read_to_string(state.join(M).join("twin.json")).unwrap_or_default();
        let is_there = text.contains("known") && state.join("clock.json").exists();
        Ok(if is_there { Look::Found(()) } else { Look::NotYet(text) })
    })
    .await?;
    stage.kill_daemon()?;
    Ok(stage)
}

/// What has to hold while the clock is wrong: no attempt, but everything local.
async fn local_life(stage: &mut Stage, connects: u64) -> Story {
    let status = stage.gateway.wait_for("the clock to be doubted", is_held).await?;
    let clock = status.clock.as_ref();
    assert!(clock.is_some_and(|clock| !clock.trusted && clock.problem.is_some()), "{clock:?}");
    let health = stage.client().health().await?;
    assert!(health.healthy && health.problem.is_some(), "{health:?}");
    let snapshot = stage.client().snapshot(M).await?;
    assert_eq!(snapshot.desired, Some(object(json!({"known": true}))?));
    let mut spectator = stage.watch(M).await?;
    spectator.wait_desired(&object(json!({"known": true}))?).await?;
    stage.report(M, json!({"meanwhile": 1})).await?;
    assert_eq!(stage.count(M, "connects").await?, connects, "an attempt that had to fail");
    Ok(())
}

#[tokio::test]
async fn a_clock_behind_the_last_known_time_holds_connections_and_nothing_else() -> Story {
    let mut stage = used_gateway().await?;
    let file = stage.gateway.folder().join("state").join("clock.json");
    let ahead = (SystemTime::now() + DAY).duration_since(SystemTime::UNIX_EPOCH)?.as_millis();
    std::fs::write(&file, json!({"reached_ms": u64::try_from(ahead)?}).to_string())?;
    let connects = stage.count(M, "connects").await?;
    stage.start_daemon().await?;
    local_life(&mut stage, connects).await?;
    // The way out that the text names.
    stage.kill_daemon()?;
    std::fs::remove_file(&file)?;
    stage.start_daemon().await?;
    stage.gateway.wait_connected(1).await?;
    stage.wait_reported(M, |found| found["meanwhile"] == 1).await?;
    assert!(stage.client().status().await?.clock.is_some_and(|clock| clock.trusted));
    Ok(())
}

/// The library that lets a process see another time; none where it is not installed.
fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok);
    folders.map(|entry| entry.path().join("faketime/libfaketime.so.1")).find(|path| path.exists())
}

#[tokio::test]
async fn a_gateway_that_boots_in_1970_goes_on_as_soon_as_its_clock_is_set() -> Story {
    let Some(library) = library() else {
        println!("skipped: needs the package libfaketime");
        return Ok(());
    };
    let mut stage = used_gateway().await?;
    let time = stage.gateway.folder().join("time");
    std::fs::write(&time, "@1970-01-01 00:10:00")?;
    let connects = stage.count(M, "connects").await?;
    let (library, file) = (library.display().to_string(), time.display().to_string());
    let environment = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME_TIMESTAMP_FILE", file.as_str()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("TZ", "UTC"),
    ];
    let mut daemon = stage.gateway.spawn(MODTWIND.as_ref(), &environment)?;
    local_life(&mut stage, connects).await?;
    // Somebody sets the clock.
    let new = stage.gateway.folder().join("time.new");
    std::fs::write(&new, "+0")?;
    std::fs::rename(&new, &time)?;
    stage.gateway.wait_connected(1).await?;
    stage.wait_reported(M, |found| found["meanwhile"] == 1).await?;
    daemon.kill()
}
