//! Promise 2: one stream sees strictly rising (generation, version), whatever happens at the hub.
//! The spectator itself complains of anything else.

use modtwin_testkit::stage::{Stage, object};
use serde_json::json;

use crate::{MODTWIND, Story};

const M: &str = "m01";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_stream_rises_through_losses_cuts_new_lives_and_an_outage() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    let mut spectator = stage.watch(M).await?;
    let mut second = stage.watch(M).await?;
    for kind in ["lose-desired", "duplicate-desired", "reorder-desired"] {
        stage.fault(kind, M, json!({"chance": 0.3, "for": "30s"})).await?;
    }
    for round in 0..6 {
        for n in 0..15 {
            stage.change(M, json!({"round": round, "n": n, format!("k{}", n % 4): n})).await?;
        }
        match round {
            1 | 3 => stage.fault("drop", M, json!({})).await?,
            2 => {
                // A new line that overtakes the old one before anybody looks can't be told from it.
                spectator.wait("some versions", |seen| seen.version() > Some(5)).await?;
                stage.fault("recreate", M, json!({})).await?;
                spectator.wait("the new life", |seen| seen.resets == 1).await?;
            }
            4 => {
                stage.hub.kill()?;
                stage.hub.restart().await?;
                stage.service = stage.hub.service()?;
            }
            _ => {}
        }
    }
    stage.service.clear_faults().await?;
    stage.change(M, json!({"end": true})).await?;
    let expected = object(stage.at_hub(M, "desired").await?)?;
    spectator.wait_desired(&expected).await?;
    second.wait_desired(&expected).await?;
    spectator.look(|seen| {
        assert_eq!(seen.resets, 1, "{:?}", seen.revisions);
        assert!(seen.revisions.len() > 10, "{:?}", seen.revisions);
        assert!(seen.complaints.is_empty() && seen.ended.is_none(), "{seen:?}");
    });
    Ok(())
}
