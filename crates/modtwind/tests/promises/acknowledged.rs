//! Whoever changes a desired property learns whether it was applied: answers in the plug-and-play
//! form, silence as an answer, and status that shows desired against applied for each handler. And
//! sections that grow too large are told of in time.

use std::time::{Duration, Instant};

use modtwin_api::{AckRequest, HandlerStatus, Status};
use modtwin_testkit::patience::{LONG, Look, until};
use modtwin_testkit::stage::{Stage, module, object};
use serde_json::{Map, Value, json};

use crate::{MODTWIND, Story};

const M: &str = "m01";

/// A stage whose module reports acknowledgements, and has two handlers, one of them in a hurry.
async fn stage() -> anyhow::Result<Stage> {
    let mut stage = Stage::build(MODTWIND, 0).await?;
    let handler = |name: &str, more: &str| {
        format!(
            "[[module.handler]]\nname = \"{name}\"\nuser = \"root\"\nwatch = [\"/{name}\"]\n{more}"
        )
    };
    let handlers = [handler("fan", "ack-timeout = \"500ms\"\n"), handler("temp", "")].concat();
    stage.add_module(M, &format!("acknowledge = \"pnp\"\n{handlers}")).await?;
    stage.start_daemon().await?;
    stage.gateway.wait_connected(1).await?;
    Ok(stage)
}

fn ack(handler: &str, version: u64) -> AckRequest {
    AckRequest {
        version,
        generation: Some(1),
        status: 200,
        description: Some("done".to_owned()),
        handler: Some(handler.to_owned()),
        paths: Vec::new(),
    }
}

fn handler<'a>(status: &'a Status, name: &str) -> anyhow::Result<&'a HandlerStatus> {
    let found = module(status, M)?.handlers.iter().find(|it| it.name == name);
    anyhow::Context::context(found, "no such handler in the status")
}

#[tokio::test]
async fn silence_is_reported_as_504_and_the_late_answer_replaces_it() -> Story {
    let mut stage = stage().await?;
    let fan = json!({"__t": "c", "speed": 3});
    let version = stage.change(M, json!({"fan": fan, "temp": 21})).await?;
    let other = stage.change(M, json!({"unwatched": 1})).await?;
    let found = stage.wait_reported(M, |found| found["fan"]["speed"]["ac"] == 504).await?;
    assert_eq!(found["fan"]["__t"], "c");
    assert_eq!(found["fan"]["speed"]["av"], version);
    let words = found["fan"]["speed"]["ad"].as_str().unwrap_or_default().to_owned();
    assert!(words.contains("no acknowledgement"), "{words}");
    assert_eq!(found.get("temp"), None, "nobody is in a hurry there");
    let status = stage.client().status().await?;
    let silent = handler(&status, "fan")?;
    assert_eq!((silent.desired_version, silent.applied_version), (Some(version), None));
    assert_eq!((silent.status, silent.description.as_deref()), (Some(504), Some(&*words)));

    // The handlers speak of the version that concerned them, though there is a newer one.
    assert!(other > version);
    stage.client().acknowledge(M, &ack("fan", version)).await?;
    stage.client().acknowledge(M, &ack("temp", version)).await?;
    let expected = json!({
        "fan": {"__t": "c", "speed": {"value": 3, "ac": 200, "av": version, "ad": "done"}},
        "temp": {"value": 21, "ac": 200, "av": version, "ad": "done"}
    });
    stage.wait_reported(M, |found| *found == expected).await?;
    let status = stage.client().status().await?;
    for name in ["fan", "temp"] {
        let it = handler(&status, name)?;
        assert_eq!((it.desired_version, it.applied_version), (Some(version), Some(version)));
    }
    Ok(())
}

#[tokio::test]
async fn a_section_that_is_nearly_full_is_told_of_in_status_and_log() -> Story {
    let stage = Stage::start(MODTWIND, 1).await?;
    let filler: Map<String, Value> =
        (0..7).map(|n| (format!("k{n}"), json!("x".repeat(4000)))).collect();
    stage.report(M, Value::Object(filler)).await?;
    let status = stage
        .gateway
        .wait_for("the size", |status| {
            status.modules[0].sizes.is_some_and(|sizes| sizes.reported >= sizes.warn_at)
        })
        .await?;
    let sizes = status.modules[0].sizes.unwrap_or_else(|| unreachable!("just seen"));
    assert_eq!((sizes.reported, sizes.desired, sizes.limit), (7 * 4002, 0, 32 * 1024));
    assert!(stage.gateway.log_text().contains("nearly full"), "{}", stage.gateway.log_end());
    // The next one is refused here, with the rule and its number, before the hub sees it.
    let patch = object(json!({"a": "x".repeat(4000), "b": "x".repeat(4000)}))?;
    let wait = modtwin_client::Wait::Stored;
    let refused = stage.client().report(M, &patch, wait).await.unwrap_err();
    let modtwin_client::ClientError::Problem(problem) = &refused else { panic!("{refused}") };
    assert_eq!((problem.status, problem.limit), (422, Some(32 * 1024)), "{problem:?}");
    Ok(())
}

#[tokio::test]
async fn what_changes_nothing_is_not_written_and_a_flood_shares_its_writes() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    stage.report(M, json!({"n": 0, "flood": 0})).await?;
    stage.wait_reported(M, |found| found["n"] == 0).await?;
    let settled = |status: &Status| status.modules[0].pending.keys == 0;
    stage.gateway.wait_for("the consent", settled).await?;
    stage.hub.kill()?;
    stage.report(M, json!({"n": 1})).await?;
    let writes = async |stage: &Stage| {
        let storage = stage.client().status().await?.storage;
        anyhow::Ok((storage.writes.unwrap_or_default(), storage.bytes_written.unwrap_or_default()))
    };
    // What the consent and the lost link leave to be written comes within a second.
    let mut before = writes(&stage).await?;
    let mut since = Instant::now();
    until("a disk at rest", LONG, async || {
        let now = writes(&stage).await?;
        if now != before {
            (before, since) = (now, Instant::now());
        }
        let quiet = since.elapsed() >= Duration::from_millis(1500);
        Ok(if quiet { Look::Found(()) } else { Look::NotYet(format!("{now:?}")) })
    })
    .await?;
    for _ in 0..100 {
        stage.report(M, json!({"n": 1})).await?;
    }
    assert_eq!(writes(&stage).await?, before, "the same again was written");
    let mut reporters = tokio::task::JoinSet::new();
    for n in 0..200 {
        let client = stage.client();
        reporters.spawn(async move {
            let patch = object(json!({"flood": n})).unwrap_or_default();
            client.report(M, &patch, modtwin_client::Wait::Stored).await.map(drop)
        });
    }
    while let Some(stored) = reporters.join_next().await {
        stored??;
    }
    let after = writes(&stage).await?;
    assert!(after.0 > before.0 && after.1 > before.1);
    assert!(after.0 - before.0 < 150, "{} writes for 200 reports at once", after.0 - before.0);
    Ok(())
}
