//! "The same change is delivered twice, and an old one after it."

use modtwin_testkit::stage::Stage;
use serde_json::json;

use crate::{M, MODTWIND, Story, converges};

const CHANGES: u64 = 40;

#[tokio::test]
async fn each_change_is_told_once_and_in_its_order() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    let mut spectator = stage.watch(M).await?;
    spectator.wait("the snapshot", |seen| !seen.revisions.is_empty()).await?;
    let begun = spectator.look(|seen| seen.revisions.len());
    stage.fault("duplicate-desired", M, json!({})).await?;
    for n in 0..CHANGES {
        let version = stage.change(M, json!({"n": n})).await?;
        spectator.wait_version(version).await?;
    }
    // Each came twice and was told once; the next change shows that the last one is not told late.
    let end = stage.change(M, json!({"end": 1})).await?;
    spectator.wait_version(end).await?;
    let told = spectator.look(|seen| seen.revisions.len()) - begun;
    assert_eq!(u64::try_from(told)?, CHANGES + 1);
    stage.service.clear_faults().await?;
    stage.fault("reorder-desired", M, json!({"ms": 30})).await?;
    for n in 0..CHANGES {
        stage.change(M, json!({"n": n, format!("k{}", n % 5): n})).await?;
    }
    stage.service.clear_faults().await?;
    let end = stage.change(M, json!({"end": 2})).await?;
    spectator.wait_version(end).await?;
    converges(&mut stage, &mut spectator).await?;
    let revisions = spectator.look(|seen| seen.revisions.clone());
    assert!(revisions.windows(2).all(|pair| pair[0].version < pair[1].version), "{revisions:?}");
    Ok(())
}
