//! "After the module was deleted and created again the client ignores every update", and what was
//! said of the old twin counts for the new one.

use modtwin_testkit::gateway::DEVICE;
use modtwin_testkit::stage::{Stage, module};
use serde_json::json;

use crate::{M, MODTWIND, Story, acknowledgement, converges};

#[tokio::test]
async fn a_twin_deleted_and_created_again_is_a_reset_of_a_higher_generation() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    let mut spectator = stage.watch(M).await?;
    for n in 0..5 {
        stage.change(M, json!({"n": n, "old": true})).await?;
    }
    converges(&mut stage, &mut spectator).await?;
    let before = spectator.look(|seen| seen.revision()).unwrap();

    stage.fault("recreate", M, json!({})).await?;
    spectator.wait("the first reset", |seen| seen.resets == 1).await?;
    converges(&mut stage, &mut spectator).await?;
    let between = spectator.look(|seen| seen.revision()).unwrap();
    assert!(between.generation > before.generation && between.version < before.version);

    stage.change(M, json!({"second": "life"})).await?;
    converges(&mut stage, &mut spectator).await?;
    stage.service.delete_module(DEVICE, M).await?;
    stage.service.create_module_by_authority(DEVICE, M).await?;
    spectator.wait("the second reset", |seen| seen.resets == 2).await?;
    stage.change(M, json!({"third": "life"})).await?;
    converges(&mut stage, &mut spectator).await?;
    let after = spectator.look(|seen| seen.revision()).unwrap();
    assert!(after.generation > between.generation);
    Ok(())
}

#[tokio::test]
async fn what_handlers_said_of_the_old_twin_does_not_count_for_the_new_one() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    let version = stage.change(M, json!({"n": 1})).await?;
    let mut spectator = stage.watch(M).await?;
    spectator.wait_version(version).await?;
    stage.client().acknowledge(M, &acknowledgement("hvac", version, Some(1))).await?;
    assert_eq!(stage.client().snapshot(M).await?.applied.len(), 1);
    stage.fault("recreate", M, json!({})).await?;
    spectator.wait("the reset", |seen| seen.resets == 1).await?;
    let snapshot = stage.client().snapshot(M).await?;
    assert_eq!((snapshot.generation, snapshot.applied.len()), (2, 0), "{snapshot:?}");
    // A word that comes late is taken, and is still about the old one.
    stage.client().acknowledge(M, &acknowledgement("hvac", version, Some(1))).await?;
    let status = stage.client().status().await?;
    assert_eq!(module(&status, M)?.applied_version(), None);
    Ok(())
}
