//! Symmetric keys: tokens that run out are renewed before that, and a new key is taken up.

use modtwin_testkit::gateway::DEVICE;
use modtwin_testkit::stage::Stage;
use serde_json::json;

use crate::equipment::{hub, is_connected, of};
use crate::{MODTWIND, Story};

/// A module with its connection string in a file.
fn add(stage: &mut Stage, module: &str) -> Story {
    let file = format!("{module}.txt");
    hub(stage, &["module", "create", DEVICE, module, "--out", &file])?;
    stage.gateway.add_module(module, &format!("connection-string-file = \"{file}\"\n"));
    Ok(())
}

#[tokio::test]
async fn tokens_are_renewed_before_they_run_out_and_nothing_is_lost() -> Story {
    let mut stage = Stage::build(MODTWIND, 0).await?;
    for module in ["a", "b"] {
        add(&mut stage, module)?;
    }
    stage.gateway.hub_options.push_str("token-lifetime = \"10s\"\n");
    stage.start_daemon().await?;
    stage.gateway.wait_connected(2).await?;
    let mut spectator = stage.watch("a").await?;
    // Changes go on while tokens come and go.
    let mut version = 0;
    for n in 0.. {
        version = stage.change("a", json!({ "n": n })).await?;
        let status = stage.client().status().await?;
        if ["a", "b"].iter().all(|module| of(&status, module).reconnects >= 3) {
            break;
        }
        spectator.wait_version(version).await?;
    }
    spectator.wait_version(version).await?;
    let complaints = spectator.look(|seen| seen.complaints.clone());
    assert!(complaints.is_empty(), "{complaints:?}");
    let log = stage.gateway.log_text();
    assert!(log.contains("credential renewed"), "{log}");
    assert!(!log.contains("not connected, will try again"), "a token ran out: {log}");
    Ok(())
}

#[tokio::test]
async fn a_new_key_is_taken_up_while_the_old_one_still_counts() -> Story {
    let mut stage = Stage::build(MODTWIND, 0).await?;
    add(&mut stage, "m")?;
    stage.start_daemon().await?;
    stage.gateway.wait_connected(1).await?;
    // Keys are rolled over by the second one: the hub takes both.
    let shown = hub(&stage, &["module", "show", DEVICE, "m"])?;
    let identity: serde_json::Value = serde_json::from_str(&shown)?;
    let second = identity["authentication"]["symmetricKey"]["secondaryKey"].as_str().unwrap();
    let host = &stage.hub.facts.hostname;
    let text = format!("HostName={host};DeviceId={DEVICE};ModuleId=m;SharedAccessKey={second}\n");
    crate::equipment::replace(&stage.gateway.folder().join("m.txt"), &text)?;
    stage
        .gateway
        .wait_for("the second key in use", |status| {
            is_connected(status, "m") && of(status, "m").reconnects == 1
        })
        .await?;
    Ok(())
}
