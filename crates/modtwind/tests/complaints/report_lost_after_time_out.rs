//! "The report timed out and the value never showed up", or showed up twice: the twin itself decides
//! whether a report that got no answer has arrived.

use std::time::Duration;

use modtwin_client::Wait;
use modtwin_testkit::stage::{Stage, object};
use serde_json::json;

use crate::{M, MODTWIND, Story};

#[tokio::test]
async fn a_report_whose_answer_is_lost_is_settled_without_a_restart() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    stage.fault("lose-response", M, json!({"count": 1})).await?;
    let wait = Wait::Hub { timeout: Duration::from_secs(30) };
    let patch = object(json!({"once": true}))?;
    stage.client().report(M, &patch, wait).await?;
    assert_eq!(stage.at_hub(M, "reported").await?, json!({"once": true}));
    Ok(())
}

#[tokio::test]
async fn a_report_that_the_hub_never_got_is_sent_again() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    stage.fault("blackhole", M, json!({})).await?;
    stage.report(M, json!({"swallowed": 1})).await?;
    stage
        .gateway
        .wait_for("the silence to be noticed", |status| {
            status.modules[0].hub.state != modtwin_api::HubState::Connected
        })
        .await?;
    assert_eq!(stage.at_hub(M, "reported").await?, json!({}));
    stage.service.clear_faults().await?;
    stage.wait_reported(M, |found| *found == json!({"swallowed": 1})).await?;
    Ok(())
}
