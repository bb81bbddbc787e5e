//! "A desired change made while the device was away never arrives."

use modtwin_testkit::gateway::DEVICE;
use modtwin_testkit::stage::Stage;
use serde_json::json;

use crate::{M, MODTWIND, Story, converges};

#[tokio::test]
async fn what_was_missed_during_an_outage_of_the_hub_is_caught_up() -> Story {
    let mut stage = Stage::start(MODTWIND, 3).await?;
    let mut spectator = stage.watch(M).await?;
    stage.change(M, json!({"before": 1, "doomed": true})).await?;
    stage.hub.kill()?;
    stage
        .gateway
        .wait_for("every module to notice", |status| {
            status.modules.iter().all(|module| module.hub.state != modtwin_api::HubState::Connected)
        })
        .await?;
    let snapshot = stage.client().snapshot(M).await?;
    assert!(snapshot.stale);
    // The hub is back, but not for the gateway: its connections are cut at once.
    stage.hub.restart().await?;
    let refuse = json!({"kind": "refuse", "device": DEVICE, "code": 3});
    stage.service = stage.hub.service()?;
    stage.service.fault(refuse).await?;
    for n in 0..10 {
        stage.change(M, json!({"missed": n, "doomed": null, format!("k{n}"): n})).await?;
    }
    stage.service.clear_faults().await?;
    stage.gateway.wait_connected(3).await?;
    converges(&mut stage, &mut spectator).await
}
