//! The cloud is told which config is in force, through the module that the config names.

use std::fs;

use modtwin_api::TrialRequest;
use modtwin_testkit::stage::Stage;
use serde_json::{Value, json};

use crate::{MODTWIND, Story};

/// Has the config call itself that and be reported by `m01`.
fn push(stage: &Stage, fleet: &str) -> std::io::Result<()> {
    let folder = stage.gateway.folder().join("conf.d");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("new"), fleet)?;
    fs::rename(folder.join("new"), folder.join("fleet.toml"))
}

async fn wait_told(stage: &mut Stage, condition: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
    let reported = stage.wait_reported("m01", |found| condition(&found["modtwin"]["config"]));
    Ok(reported.await?["modtwin"]["config"].clone())
}

#[tokio::test]
async fn the_cloud_sees_a_config_applied_then_one_rejected_then_one_applied() -> Story {
    let mut stage = Stage::build(MODTWIND, 2).await?;
    push(&stage, "[fleet]\nversion = \"1\"\nreport-module = \"m01\"\n")?;
    stage.start_daemon().await?;
    let told = wait_told(&mut stage, |told| told["status"] == "applied").await?;
    let state = stage.client().status().await?.config_state;
    let digest = state.map(|state| state.digest);
    assert_eq!((&told["version"], &told["digest"]), (&json!("1"), &json!(digest)), "{told}");
    let members = told.as_object().map(|members| members.len());
    assert_eq!(members, Some(4), "{told}");

    push(&stage, "[fleet]\nversion = 2\nreport-module = \"m02\"\n")?;
    let told = wait_told(&mut stage, |told| told["status"] == "rejected").await?;
    let error = told["errors"][0].as_str().unwrap_or_default();
    assert!(error.contains("fleet.toml:2: fleet.version: expected a string"), "{told}");
    assert_eq!((&told["version"], &told["digest"]), (&json!("1"), &json!(digest)), "{told}");
    assert!(told["rejected_digest"].is_string() && told["rejected_digest"] != told["digest"]);

    push(&stage, "[fleet]\nversion = \"3\"\nreport-module = \"m01\"\n")?;
    let told = wait_told(&mut stage, |told| told["version"] == "3").await?;
    assert_eq!(told["status"], "applied", "{told}");
    assert!(told["errors"].is_null() && told["rejected_digest"].is_null(), "{told}");
    assert_eq!(stage.at_hub("m02", "reported").await?, json!({}));
    Ok(())
}

#[tokio::test]
async fn a_config_that_was_taken_back_is_told_as_rejected_and_its_trial_is_not_told() -> Story {
    let mut stage = Stage::build(MODTWIND, 1).await?;
    push(&stage, "[fleet]\nreport-module = \"m01\"\n")?;
    stage.start_daemon().await?;
    let before = wait_told(&mut stage, |told| told["status"] == "applied").await?;
    let reports = stage.count("m01", "reported_patches").await?;
    let candidate = format!("# tried\n{}", stage.gateway.config_text());
    stage.client().try_config(&TrialRequest { candidate, confirm_seconds: 1 }).await?;
    let told = wait_told(&mut stage, |told| told["status"] == "rejected").await?;
    assert_eq!(told["errors"], json!(["nobody confirmed it within 1s"]));
    assert_eq!(told["digest"], before["digest"]);
    assert_eq!(stage.count("m01", "reported_patches").await?, reports + 1);
    Ok(())
}

#[tokio::test]
async fn a_restart_with_the_same_config_tells_the_cloud_nothing() -> Story {
    let mut stage = Stage::build(MODTWIND, 1).await?;
    push(&stage, "[fleet]\nreport-module = \"m01\"\n")?;
    stage.start_daemon().await?;
    let told = wait_told(&mut stage, |told| told["status"] == "applied").await?;
    stage.report("m01", json!({"before": 1})).await?;
    let before = stage.wait_reported("m01", |found| found["before"] == 1).await?;
    stage.kill_daemon()?;
    stage.start_daemon().await?;
    stage.gateway.wait_connected(1).await?;
    let reports = stage.count("m01", "reported_patches").await?;
    stage.report("m01", json!({"after": 1})).await?;
    let after = stage.wait_reported("m01", |found| found["after"] == 1).await?;
    assert_eq!((&after["modtwin"]["config"], &before["modtwin"]["config"]), (&told, &told));
    assert_eq!(stage.count("m01", "reported_patches").await?, reports + 1);
    Ok(())
}

/// Nothing of it waits for the hub to be there: the outbox takes it.
#[tokio::test]
async fn what_was_rejected_while_the_hub_was_away_is_told_when_it_returns() -> Story {
    let mut stage = Stage::build(MODTWIND, 1).await?;
    push(&stage, "[fleet]\nreport-module = \"m01\"\n")?;
    stage.start_daemon().await?;
    wait_told(&mut stage, |told| told["status"] == "applied").await?;
    stage.fault("refuse", "m01", json!({})).await?;
    stage.fault("drop", "m01", json!({})).await?;
    push(&stage, "[fleet\n")?;
    stage
        .gateway
        .wait_for("the rejection in the outbox", |status| status.modules[0].pending.keys == 1)
        .await?;
    stage.kill_daemon()?;
    fs::remove_file(stage.gateway.folder().join("conf.d/fleet.toml"))?;
    stage.service.clear_faults().await?;
    stage.start_daemon().await?;
    let told = wait_told(&mut stage, |told| told["status"] == "rejected").await?;
    assert!(told["errors"][0].as_str().is_some_and(|it| it.contains("fleet.toml:1:")), "{told}");
    Ok(())
}
