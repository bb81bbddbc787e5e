//! Promise 6: without a hub, reads and watches answer from disk within the first second.

use std::time::{Duration, Instant};

use modtwin_api::{Event, Revision};
use modtwin_client::WatchOptions;
use modtwin_testkit::stage::{Stage, name, object};
use serde_json::json;

use crate::{MODTWIND, Story};

/// The promise's second. A start of the unoptimised program on a busy machine has some more.
const FIRST_SECOND: Duration = Duration::from_secs(5);

#[tokio::test]
async fn after_a_restart_without_a_hub_everything_known_is_served_at_once() -> Story {
    let mut stage = Stage::start(MODTWIND, 20).await?;
    let mut versions = Vec::new();
    for n in 1..=20 {
        versions.push(stage.change(&name(n), json!({"number": n})).await?);
        stage.report(&name(n), json!({"own": n})).await?;
        stage.wait_reported(&name(n), |found| *found == json!({"own": n})).await?;
        let mut spectator = stage.watch(&name(n)).await?;
        spectator.wait_version(versions[n - 1]).await?;
    }
    // What the hub accepted is written within a second; the kill must not come before that.
    let folder = stage.gateway.folder().join("state");
    modtwin_testkit::patience::until("the state on disk", FIRST_SECOND, async || {
        let settled = (1..=20).all(|n| {
            let text = std::fs::read_to_string(folder.join(name(n)).join("twin.json"));
            let text = text.unwrap_or_default();
            text.contains(&format!("\"number\":{n}")) && text.contains("\"outbox\":[]")
        });
        Ok(if settled {
            modtwin_testkit::patience::Look::Found(())
        } else {
            modtwin_testkit::patience::Look::NotYet("not all".to_owned())
        })
    })
    .await?;
    stage.kill_daemon()?;
    stage.hub.kill()?;

    let began = Instant::now();
    stage.start_daemon().await?;
    let client = stage.client();
    for n in 1..=20 {
        let snapshot = client.snapshot(&name(n)).await?;
        assert!(snapshot.stale);
        assert_eq!(snapshot.desired, Some(object(json!({"number": n}))?));
        assert_eq!(snapshot.reported, Some(object(json!({"own": n}))?));
        let revision = Revision { generation: 1, version: versions[n - 1] };
        assert_eq!(snapshot.revision(), Some(revision));
        let since = WatchOptions { since: Some(revision), ..WatchOptions::default() };
        let mut watch = client.watch(&name(n), &since).await?;
        match watch.next().await? {
            Some(Event::Snapshot(first)) => {
                assert!(first.stale && first.unchanged && first.desired.is_none(), "{first:?}");
            }
            other => panic!("expected a snapshot, found {other:?}"),
        }
    }
    assert!(began.elapsed() < FIRST_SECOND, "{:?}", began.elapsed());
    assert_eq!(client.modules().await?.modules.len(), 20);

    // Reports are taken too, and reach the hub when it is back.
    stage.report("m01", json!({"offline": true})).await?;
    stage.hub.restart().await?;
    stage.service = stage.hub.service()?;
    stage.wait_reported("m01", |found| *found == json!({"own": 1, "offline": true})).await?;
    stage.gateway.wait_connected(20).await?;
    Ok(())
}

#[tokio::test]
async fn a_daemon_that_never_saw_its_hub_says_so_and_takes_reports() -> Story {
    let mut stage = Stage::build(MODTWIND, 1).await?;
    stage.hub.kill()?;
    stage.start_daemon().await?;
    let snapshot = stage.client().snapshot("m01").await?;
    assert_eq!((snapshot.desired, snapshot.version, snapshot.stale), (None, None, true));
    let mut spectator = stage.watch("m01").await?;
    stage.report("m01", json!({"first": "words"})).await?;
    stage.hub.restart().await?;
    stage.service = stage.hub.service()?;
    stage.wait_reported("m01", |found| *found == json!({"first": "words"})).await?;
    spectator.wait("the first version", |seen| seen.version() == Some(1)).await
}
