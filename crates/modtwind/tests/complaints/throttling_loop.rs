//! "Throttled, so it reconnects at once, and is throttled for that": the quota burns in a loop.

use std::time::{Duration, Instant};

use modtwin_api::{HubReason, Status};
use modtwin_testkit::stage::Stage;
use serde_json::json;

use crate::{M, MODTWIND, Story, converges};

async fn requests(stage: &mut Stage) -> anyhow::Result<u64> {
    Ok(stage.count(M, "twin_gets").await? + stage.count(M, "reported_patches").await?)
}

#[tokio::test]
async fn a_throttled_module_asks_rarely_keeps_its_link_and_catches_up_by_itself() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    let mut spectator = stage.watch(M).await?;
    let connects = stage.count(M, "connects").await?;
    let before = requests(&mut stage).await?;
    stage.fault("throttle", M, json!({})).await?;
    let began = Instant::now();
    stage.report(M, json!({"held": true})).await?;
    let held = |status: &Status| status.modules[0].hub.reason == HubReason::Throttled;
    stage.gateway.wait_for("the throttling to be felt", held).await?;
    // Whoever reports on does not make it worse: what waits is merged.
    let mut n = 0;
    while began.elapsed() < Duration::from_secs(3) {
        stage.report(M, json!({"n": n})).await?;
        n += 1;
    }
    let budget = stage.client().status().await?.budget;
    let asked = requests(&mut stage).await? - before;
    // Ten bases of 20 ms between two attempts, at the least.
    let turns = u64::try_from(began.elapsed().as_millis() / 200)?;
    assert!(asked <= turns + 2, "{asked} requests in {:?}, {n} reports", began.elapsed());
    assert_eq!(stage.count(M, "connects").await?, connects, "it reconnected for nothing");
    assert!(budget.is_some_and(|budget| budget.percent < 100), "{budget:?}");
    stage.service.clear_faults().await?;
    stage.wait_reported(M, |found| found["held"] == true && found["n"] == n - 1).await?;
    stage.change(M, json!({"after": true})).await?;
    converges(&mut stage, &mut spectator).await?;
    let restored = |status: &Status| status.budget.is_some_and(|budget| budget.percent == 100);
    stage.gateway.wait_for("the budget to come back", restored).await?;
    Ok(())
}
