//! Promise 1: a watcher's desired converges to the hub's.

use std::time::Duration;

use http_body_util::BodyExt as _;
use modtwin_testkit::patience::LONG;
use modtwin_testkit::stage::{Stage, object};
use serde_json::{Value, json};

use crate::{MODTWIND, Story};

const M: &str = "m01";

/// Waits until the stream says what the hub has, and nothing stale is left.
async fn converges(
    stage: &mut Stage,
    spectator: &mut modtwin_testkit::spectator::Spectator,
) -> Story {
    let expected = object(stage.at_hub(M, "desired").await?)?;
    spectator.wait_desired(&expected).await?;
    let snapshot = stage.client().snapshot(M).await?;
    assert_eq!(snapshot.desired, Some(expected));
    Ok(())
}

#[tokio::test]
async fn patches_lost_doubled_and_overtaken_leave_the_watcher_with_the_hubs_values() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    let mut spectator = stage.watch(M).await?;
    for (kind, more) in [
        ("lose-desired", json!({"chance": 0.4})),
        ("duplicate-desired", json!({"chance": 0.5})),
        ("reorder-desired", json!({"chance": 0.5, "ms": 50})),
    ] {
        stage.fault(kind, M, more).await?;
        for n in 0..40 {
            let key = format!("{kind}-{}", n % 5);
            let value = if n % 7 == 6 { Value::Null } else { json!({"n": n}) };
            stage.change(M, json!({ key: value, "n": n })).await?;
        }
        stage.service.clear_faults().await?;
        // The last patch of the round may be the one that was lost: the next shows the gap.
        stage.change(M, json!({"round": kind})).await?;
        converges(&mut stage, &mut spectator).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_gap_leads_to_a_fetch_on_the_same_connection() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    let mut spectator = stage.watch(M).await?;
    let (fetches, connects) =
        (stage.count(M, "twin_gets").await?, stage.count(M, "connects").await?);
    stage.fault("lose-desired", M, json!({"count": 3})).await?;
    for n in 1..=3 {
        stage.change(M, json!({ format!("lost{n}"): n })).await?;
    }
    let version = stage.change(M, json!({"seen": true})).await?;
    spectator.wait_version(version).await?;
    converges(&mut stage, &mut spectator).await?;
    assert_eq!(stage.count(M, "twin_gets").await?, fetches + 1);
    assert_eq!(stage.count(M, "connects").await?, connects);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_forced_reconnects_with_changes_between_end_equal_each_with_a_fetch() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    let mut spectator = stage.watch(M).await?;
    let mut log = HubLog::begin(&stage).await?;
    for n in 0..20 {
        stage.change(M, json!({"before": n})).await?;
        let sessions = log.sessions();
        stage.fault("drop", M, json!({})).await?;
        stage.change(M, json!({"after": n, format!("k{}", n % 3): n})).await?;
        log.wait_sessions(sessions + 1).await?;
    }
    converges(&mut stage, &mut spectator).await?;
    log.wait_sessions(20).await?;
    assert!(log.steps.borrow().len() >= 60);
    Ok(())
}

/// What a module's sessions did, as the hub tells it: `connect`, `subscribe`, `twin-get`.
struct HubLog {
    steps: tokio::sync::watch::Receiver<Vec<String>>,
}

impl HubLog {
    async fn begin(stage: &Stage) -> anyhow::Result<Self> {
        let mut events = stage.service.events().await?;
        let (sender, mut steps) = tokio::sync::watch::channel(Vec::new());
        tokio::spawn(async move {
            let mut text = String::new();
            while let Some(Ok(frame)) = events.frame().await {
                text.push_str(&String::from_utf8_lossy(&frame.into_data().unwrap_or_default()));
                while let Some((line, rest)) = text.split_once('\n') {
                    let event: Value = serde_json::from_str(line).unwrap_or_default();
                    let step = event["event"].as_str().unwrap_or_default().to_owned();
                    sender.send_modify(|steps| steps.push(step));
                    text = rest.to_owned();
                }
            }
        });
        // From its first line on nothing is missed.
        steps.wait_for(|steps| !steps.is_empty()).await?;
        Ok(Self { steps })
    }

    /// How many sessions went all the way up, in the right order.
    fn sessions(&self) -> usize {
        up(&self.steps.borrow())
    }

    async fn wait_sessions(&mut self, count: usize) -> Story {
        let waited = self.steps.wait_for(|steps| up(steps) >= count);
        let waited = tokio::time::timeout(LONG, waited).await.map(|found| found.is_ok());
        let steps = self.steps.borrow();
        anyhow::ensure!(waited == Ok(true), "expected {count} sessions with a fetch: {steps:?}");
        Ok(())
    }
}

/// Counts the connects that were followed by subscribing and then a fetch, before anything else.
fn up(steps: &[String]) -> usize {
    let own = ["connect", "subscribe", "twin-get"];
    let mut steps: Vec<&str> =
        steps.iter().map(String::as_str).filter(|step| own.contains(step)).collect();
    // Each filter may be subscribed to by a packet of its own.
    steps.dedup_by(|next, step| *next == "subscribe" && next == step);
    let connects = steps.iter().filter(|step| **step == "connect").count();
    let fetched = steps.windows(3).filter(|window| *window == own).count();
    // The newest may be under way; every other one must have come this far.
    assert!(fetched + 1 >= connects, "a session without a fetch: {steps:?}");
    fetched
}

#[tokio::test]
async fn a_hub_that_goes_silent_is_noticed_and_caught_up_with() -> Story {
    let mut stage = Stage::build(MODTWIND, 1).await?;
    stage.gateway.hub_options.push_str("keep-alive = \"5s\"\n");
    stage.start_daemon().await?;
    stage.gateway.wait_connected(1).await?;
    let mut spectator = stage.watch(M).await?;
    stage.fault("blackhole", M, json!({})).await?;
    stage.change(M, json!({"unheard": true})).await?;
    spectator
        .wait("the silence to be noticed", |seen| {
            seen.hub.last().is_some_and(|hub| hub.0 != modtwin_api::HubState::Connected)
        })
        .await?;
    stage.service.clear_faults().await?;
    converges(&mut stage, &mut spectator).await
}

/// How long a quiet moment is in which nothing more may come.
const QUIET: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_change_outside_the_watched_paths_says_nothing() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    let options = modtwin_client::WatchOptions {
        paths: vec!["/mine".to_owned()],
        ..modtwin_client::WatchOptions::default()
    };
    let mut watch = stage.client().watch(M, &options).await?;
    assert!(matches!(watch.next().await?, Some(modtwin_api::Event::Snapshot(_))));
    stage.change(M, json!({"yours": 1})).await?;
    let version = stage.change(M, json!({"mine": 1, "yours": 2})).await?;
    match watch.next().await? {
        Some(modtwin_api::Event::Desired(event)) => {
            assert_eq!(event.desired, object(json!({"mine": 1}))?);
            assert_eq!(event.version, version);
        }
        other => panic!("expected the change of `mine`, found {other:?}"),
    }
    stage.change(M, json!({"yours": 3})).await?;
    assert!(tokio::time::timeout(QUIET, watch.next()).await.is_err());
    Ok(())
}
