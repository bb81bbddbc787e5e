//! "One refused value blocks every report after it."

use std::time::Duration;

use modtwin_api::ProblemKind;
use modtwin_client::Wait;
use modtwin_testkit::stage::{Stage, module, object};
use serde_json::{Map, Value, json};

use crate::{M, MODTWIND, Story};

#[tokio::test]
async fn a_key_that_the_hub_refuses_is_set_aside_and_the_rest_arrives() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    // The hub's section is nearly full, and the daemon comes not to know: its state is lost while
    // the hub is away. So it takes a report that the hub can't.
    let text = "x".repeat(4000);
    let filler: Map<String, Value> = (0..7).map(|n| (format!("filler{n}"), json!(text))).collect();
    stage.report(M, Value::Object(filler)).await?;
    stage.wait_reported(M, |found| found["filler6"].is_string()).await?;
    stage.kill_daemon()?;
    stage.hub.kill()?;
    std::fs::remove_dir_all(stage.gateway.folder().join("state"))?;
    stage.start_daemon().await?;

    let client = stage.client();
    let poison = object(json!({"big1": text, "big2": text, "good": 1}))?;
    let waiting = tokio::spawn({
        let client = client.clone();
        let wait = Wait::Hub { timeout: Duration::from_secs(40) };
        async move { client.report(M, &poison, wait).await }
    });
    stage
        .gateway
        .wait_for("the report to be stored", |status| status.modules[0].pending.keys == 3)
        .await?;
    stage.report(M, json!({"other": 2})).await?;
    stage.hub.restart().await?;
    stage.service = stage.hub.service()?;

    let refused = waiting.await?.unwrap_err();
    assert_eq!(refused.problem_kind(), Some(ProblemKind::RejectedByHub), "{refused}");
    let modtwin_client::ClientError::Problem(problem) = &refused else { panic!("{refused}") };
    assert_eq!((problem.status, problem.hub_status), (422, Some(413)), "{problem:?}");
    stage.wait_reported(M, |found| found["good"] == 1 && found["other"] == 2).await?;
    let status = stage
        .gateway
        .wait_for("nothing pending", |status| status.modules[0].pending.keys == 0)
        .await?;
    let quarantined = &module(&status, M)?.quarantined;
    assert!(!quarantined.is_empty() && quarantined.iter().all(|it| it.key.starts_with("big")));
    assert!(stage.gateway.log_text().contains("quarantined"));
    // Whoever did not wait for the hub's word finds it in the snapshot.
    assert_eq!(client.snapshot(M).await?.quarantined, *quarantined);
    // Reports go on, and a better value of the same key is taken.
    let key = quarantined[0].key.clone();
    let wait = Wait::Hub { timeout: Duration::from_secs(20) };
    client.report(M, &object(json!({ key.clone(): "small" }))?, wait).await?;
    assert_eq!(stage.at_hub(M, "reported").await?[&key], json!("small"));
    Ok(())
}
