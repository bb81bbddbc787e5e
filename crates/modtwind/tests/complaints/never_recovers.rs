//! "It never recovers until it is restarted": whatever goes wrong, once it is over the module comes
//! back by itself, with what was missed.

use modtwin_api::{HubState, Status};
use modtwin_testkit::gateway::DEVICE;
use modtwin_testkit::stage::Stage;
use serde_json::json;

use crate::{M, MODTWIND, Story, converges};

fn is_down(status: &Status) -> bool {
    status.modules[0].hub.state != HubState::Connected
}

#[tokio::test]
async fn every_trouble_ends_without_a_restart_and_without_a_command() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    let pid = stage.client().status().await?.pid;
    let mut spectator = stage.watch(M).await?;
    for (kind, more) in [
        ("refuse", json!({"code": 3})),
        ("refuse", json!({"code": 5})),
        ("error", json!({})),
        ("throttle", json!({})),
        ("quota", json!({})),
        ("disable", json!({})),
        ("blackhole", json!({})),
    ] {
        let trouble = format!("{kind} {more}");
        match kind {
            // Modules have no status of their own.
            "disable" => {
                stage.service.fault(json!({"kind": kind, "device": DEVICE})).await.map(drop)?
            }
            _ => stage.fault(kind, M, more).await?,
        }
        stage.fault("drop", M, json!({})).await?;
        stage.gateway.wait_for(&format!("{trouble} to be felt"), is_down).await?;
        stage.report(M, json!({"during": trouble})).await?;
        stage.change(M, json!({"missed": trouble})).await?;
        stage.service.clear_faults().await?;
        stage.gateway.wait_connected(1).await?;
        converges(&mut stage, &mut spectator).await?;
        stage.wait_reported(M, |found| found["during"] == trouble).await?;
    }
    for _ in 0..2 {
        stage.hub.kill()?;
        stage.gateway.wait_for("the outage to be felt", is_down).await?;
        stage.hub.restart().await?;
        stage.service = stage.hub.service()?;
        stage.gateway.wait_connected(1).await?;
    }
    stage.service.fault(json!({"kind": "drop", "device": DEVICE})).await?;
    stage.gateway.wait_connected(1).await?;
    assert_eq!(stage.client().status().await?.pid, pid);
    Ok(())
}
