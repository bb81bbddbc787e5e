//! "Two reports were merged and the delete was gone."

use modtwin_testkit::stage::Stage;
use serde_json::json;

use crate::{M, MODTWIND, Story};

#[tokio::test]
async fn what_no_single_patch_can_say_arrives_as_it_was_meant() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    stage.report(M, json!({"a": {"old": 1}, "list": [1, 2, 3], "text": "x"})).await?;
    stage.wait_reported(M, |found| found["text"] == "x").await?;
    stage.hub.kill()?;
    // Deleted, then set anew: what was below must be gone.
    for patch in [
        json!({"a": null}),
        json!({"a": {"new": 1}}),
        json!({"list": {"not": "a list"}}),
        json!({"list": [4]}),
        json!({"text": {"deep": {"deeper": true}}}),
        json!({"text": {"deep": null}}),
        json!({"gone": {"never": "there"}}),
        json!({"gone": null}),
    ] {
        stage.report(M, patch).await?;
    }
    stage.kill_daemon()?;
    stage.start_daemon().await?;
    stage.hub.restart().await?;
    stage.service = stage.hub.service()?;
    let expected = json!({"a": {"new": 1}, "list": [4], "text": {}});
    stage.wait_reported(M, |found| *found == expected).await?;
    Ok(())
}
