//! The way to the hub: the name that is verified, a gateway in front, and WebSockets.

use modtwin_api::HubReason;
use modtwin_testkit::stage::Stage;
use serde_json::json;

use crate::equipment::{Cable, is_connected, is_down_for, of};
use crate::{MODTWIND, Story};

/// An address that is not in the emulator's certificate, and one that is.
const FOREIGN: &str = "127.0.0.77";
const FAMILIAR: &str = "127.0.0.3";

#[tokio::test]
async fn a_hub_under_another_name_is_not_spoken_to() -> Story {
    let mut stage = Stage::build(MODTWIND, 1).await?;
    let to = (stage.hub.facts.listen, stage.hub.facts.mqtt_port).into();
    let cable = Cable::lay(FOREIGN, to).await?;
    stage.gateway.hub_options.push_str(&format!("gateway-hostname = \"{FOREIGN}\"\n"));
    stage.gateway.dial(cable.port);
    stage.start_daemon().await?;
    let status = stage
        .gateway
        .wait_for("the wrong name found", |status| is_down_for(status, "m01", HubReason::Tls))
        .await?;
    let detail = of(&status, "m01").hub.detail.clone().unwrap_or_default();
    assert!(detail.contains("the server's certificate is not for `127.0.0.77`"), "{detail}");
    assert_eq!(stage.count("m01", "connects").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_gateway_is_dialled_and_verified_while_the_user_name_keeps_the_hubs() -> Story {
    let mut stage = Stage::build(MODTWIND, 1).await?;
    let to = (stage.hub.facts.listen, stage.hub.facts.mqtt_port).into();
    let cable = Cable::lay(FAMILIAR, to).await?;
    stage.gateway.hub_options.push_str(&format!("gateway-hostname = \"{FAMILIAR}\"\n"));
    stage.gateway.dial(cable.port);
    stage.start_daemon().await?;
    // The emulator refuses a user name with another hub's name.
    stage.gateway.wait_connected(1).await?;
    let version = stage.change("m01", json!({"through": "a gateway"})).await?;
    stage.watch("m01").await?.wait_version(version).await?;
    Ok(())
}

#[tokio::test]
async fn the_way_out_of_a_closed_network_is_a_websocket() -> Story {
    let mut stage = Stage::build(MODTWIND, 2).await?;
    stage.gateway.hub_options.push_str("transport = \"websocket\"\n");
    stage.gateway.dial(stage.hub.facts.https_port);
    stage.start_daemon().await?;
    stage.gateway.wait_connected(2).await?;
    let version = stage.change("m01", json!({"big": "x".repeat(4000)})).await?;
    stage.watch("m01").await?.wait_version(version).await?;
    stage.report("m01", json!({"back": "y".repeat(4000)})).await?;
    stage.wait_reported("m01", |found| found["back"] == "y".repeat(4000)).await?;
    stage.fault("drop", "m01", json!({})).await?;
    stage
        .gateway
        .wait_for("a new session", |status| {
            of(status, "m01").reconnects == 1 && is_connected(status, "m01")
        })
        .await?;
    Ok(())
}
