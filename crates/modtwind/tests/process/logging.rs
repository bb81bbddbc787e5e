//! How much the daemon logs: changed while it runs, and back by itself.

use std::time::Duration;

use modtwin_api::{LogLevel, LogLevelChange};
use modtwin_testkit::patience::{Look, until};
use modtwin_testkit::raw;
use modtwin_testkit::stage::Stage;
use serde_json::json;

use crate::{MODTWIND, Story};

const M: &str = "m01";
/// Logged for each write, before whoever waits for it is answered.
const DEBUG_LINE: &str = "state saved";

fn change(level: LogLevel, for_seconds: u64) -> LogLevelChange {
    LogLevelChange { level, for_seconds: Some(for_seconds) }
}

#[tokio::test]
async fn the_log_says_more_for_a_while_and_then_no_more() -> Story {
    let stage = Stage::start(MODTWIND, 1).await?;
    let client = stage.client();
    let debug_lines = || stage.gateway.log_text().matches(DEBUG_LINE).count();
    stage.report(M, json!({"n": 0})).await?;
    assert_eq!(debug_lines(), 0);

    let raised = client.set_log_level(&change(LogLevel::Debug, 600)).await?;
    assert_eq!((raised.level, raised.usual), (LogLevel::Debug, LogLevel::Info));
    assert!(raised.until.is_some());
    stage.report(M, json!({"n": 1})).await?;
    assert!(debug_lines() > 0, "{}", stage.gateway.log_end());
    assert_eq!(client.log_level().await?, raised);

    client.set_log_level(&change(LogLevel::Debug, 1)).await?;
    let usual = until("the usual level", Duration::from_secs(20), async || {
        let status = client.log_level().await?;
        Ok(match status.until {
            None => Look::Found(status),
            Some(until) => Look::NotYet(until.to_string()),
        })
    })
    .await?;
    assert_eq!(usual.level, LogLevel::Info);
    let before = debug_lines();
    stage.report(M, json!({"n": 2})).await?;
    assert_eq!(debug_lines(), before);
    let log = stage.gateway.log_text();
    for said in ["an administrator changes the level", "its usual level again"] {
        assert!(log.contains(said), "no `{said}` in {log}");
    }
    Ok(())
}

#[tokio::test]
async fn a_level_that_is_none_and_a_time_without_end_are_refused() -> Story {
    let stage = Stage::start(MODTWIND, 0).await?;
    let put = |body| raw::ask(&stage.gateway.socket(), "PUT", "/v1/log-level", Some(&body));
    for (body, field) in [
        (json!({"level": "loud"}), "level"),
        (json!({"level": "debug", "for_seconds": 0}), "for_seconds"),
        (json!({"level": "debug", "for_seconds": 86_401}), "for_seconds"),
        (json!({"level": "debug", "for_seconds": "long"}), "body"),
        (json!({"for_seconds": 5}), "body"),
        (json!([]), "body"),
    ] {
        let answer = put(body.clone())?;
        assert_eq!((answer.status, &answer.body["field"]), (400, &json!(field)), "{body}");
    }
    assert_eq!(put(json!({"level": "debug", "for_seconds": 86_400}))?.status, 200);
    // Nothing said: ten minutes. The usual level: no time at all.
    assert_eq!(put(json!({"level": "trace"}))?.body["level"], "trace");
    assert_eq!(put(json!({"level": "info"}))?.body["until"], json!(null));
    let answer = raw::ask(&stage.gateway.socket(), "POST", "/v1/log-level", None)?;
    assert_eq!(answer.status, 405);
    Ok(())
}
