//! Promise 7: what changes nothing is not sent, and what waits is merged.

use std::time::Duration;

use modtwin_client::Wait;
use modtwin_testkit::stage::{Stage, object};
use serde_json::{Value, json};

use crate::{MODTWIND, Story};

const M: &str = "m01";

#[tokio::test]
async fn a_report_that_changes_nothing_costs_the_hub_nothing() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    let said = object(json!({"temperature": 20.5}))?;
    let wait = Wait::Hub { timeout: Duration::from_secs(30) };
    stage.client().report(M, &said, wait).await?;
    let before = stage.count(M, "reported_patches").await?;
    for _ in 0..20 {
        stage.client().report(M, &said, wait).await?;
    }
    stage.client().report(M, &object(json!({"fan": "on"}))?, wait).await?;
    assert_eq!(stage.count(M, "reported_patches").await?, before + 1);
    Ok(())
}

#[tokio::test]
async fn a_hundred_reports_of_an_outage_go_up_as_one() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    stage.hub.kill()?;
    for n in 1..=100 {
        stage.report(M, json!({"temperature": n, "previous": n - 1})).await?;
    }
    stage.hub.restart().await?;
    let all = |found: &Value| found["temperature"] == 100 && found["previous"] == 99;
    stage.wait_reported(M, all).await?;
    // The emulator began to count anew with its process.
    let patches = stage.count(M, "reported_patches").await?;
    assert!(patches <= 2, "{patches} patches went up");
    Ok(())
}
