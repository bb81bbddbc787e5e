//! Each request of the contract from each language, and what a refusal looks like there.

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::Story;
use crate::cast::Cast;

fn refused(result: &Value, kind: &str, status: u16) {
    assert_eq!(
        (&result["error"], &result["kind"], &result["status"]),
        (&json!("problem"), &json!(kind), &json!(status)),
        "{result}"
    );
}

#[tokio::test]
async fn a_report_may_wait_for_the_hub() -> Story {
    let mut cast = Cast::assemble().await?;
    for result in cast.ask("report-hub {m} 20 {\"temperature\":20.5,\"text\":\"ä\"}").await? {
        assert!(result["version"].as_u64().is_some_and(|version| version > 1), "{result}");
    }
    cast.wait_reported(&json!({"temperature": 20.5, "text": "ä"})).await?;
    cast.cut_the_hub()?;
    for result in cast.ask("report-hub {m} 1 {\"late\":1}").await? {
        refused(&result, "timeout", 504);
    }
    Ok(())
}

#[tokio::test]
async fn a_twin_and_the_list_of_modules_are_read() -> Story {
    let mut cast = Cast::assemble().await?;
    cast.change(&json!({"deep": {"list": [1, {"x": "ü\"\\"}]}})).await?;
    cast.wait_in_step().await?;
    for result in cast.ask("get {m}").await? {
        assert_eq!(result["twin"]["desired"], json!({"deep": {"list": [1, {"x": "ü\"\\"}]}}));
    }
    let count = cast.actors.len();
    for result in cast.ask("modules all").await? {
        assert_eq!(result["modules"].as_array().map(Vec::len), Some(count), "{result}");
    }
    Ok(())
}

#[tokio::test]
async fn an_acknowledgement_is_shown_in_status() -> Story {
    let mut cast = Cast::assemble().await?;
    for result in cast.ask("ack {m} 1.1 200").await? {
        assert_eq!(result.get("error"), None, "{result}");
    }
    let status = cast.stage.client().status().await?;
    for actor in &cast.actors {
        let module = modtwin_testkit::stage::module(&status, &actor.module)?;
        assert_eq!(module.applied_version(), Some(1), "{:?}", actor.language);
    }
    for result in cast.ask("ack {m} 1.999 200").await? {
        refused(&result, "unknown_version", 409);
    }
    Ok(())
}

#[tokio::test]
async fn a_refusal_is_an_error_that_says_its_kind() -> Story {
    let mut cast = Cast::assemble().await?;
    for result in cast.ask("report {m} {\"$metadata\":1}").await? {
        refused(&result, "invalid_twin", 422);
    }
    for result in cast.ask("get nobody").await? {
        refused(&result, "not_found", 404);
    }
    cast.say("watch nobody").await?;
    for heard in cast.hear("the refusal", |heard| heard["event"] == "failed").await? {
        refused(heard.last().context("nothing")?, "not_found", 404);
    }
    Ok(())
}

#[tokio::test]
async fn a_watch_keeps_to_its_paths() -> Story {
    let mut cast = Cast::assemble().await?;
    cast.say("watch {m} path=/mine path=/a~1b handler=me").await?;
    cast.hear("a snapshot", |heard| heard["event"] == "snapshot").await?;
    cast.change(&json!({"yours": 1})).await?;
    cast.change(&json!({"yours": 2, "mine": {"x": 1}, "a/b": 3})).await?;
    for heard in cast.hear("a change", |heard| heard["event"] == "desired").await? {
        let change = heard.last().context("nothing")?;
        assert_eq!(change["desired"], json!({"mine": {"x": 1}, "a/b": 3}));
        assert_eq!(change["version"], 3);
    }
    Ok(())
}

#[tokio::test]
async fn a_watch_begins_from_what_is_applied() -> Story {
    let mut cast = Cast::assemble().await?;
    cast.say("watch {m} since=1.1").await?;
    for heard in cast.hear("a snapshot", |heard| heard["event"] == "snapshot").await? {
        let snapshot = heard.last().context("nothing")?;
        assert_eq!((&snapshot["unchanged"], &snapshot["desired"]), (&json!(true), &Value::Null));
    }
    Ok(())
}

#[tokio::test]
async fn a_watch_ends_with_its_module() -> Story {
    let mut cast = Cast::assemble().await?;
    cast.say("watch {m}").await?;
    cast.hear("a snapshot", |heard| heard["event"] == "snapshot").await?;
    for actor in &cast.actors {
        cast.stage.gateway.remove_module(&actor.module);
    }
    cast.stage.add_module("other", "").await?;
    cast.stage.gateway.write_config()?;
    for heard in cast.hear("the end", |heard| heard["event"] == "ended").await? {
        assert_eq!(heard[heard.len() - 2]["event"], "removed", "{heard:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_twin_created_anew_begins_a_version_line() -> Story {
    let mut cast = Cast::assemble().await?;
    cast.change(&json!({"old": 1})).await?;
    cast.say("watch {m}").await?;
    cast.hear("the old", |heard| heard["desired"] == json!({"old": 1})).await?;
    for n in 0..cast.actors.len() {
        let module = cast.actors[n].module.clone();
        cast.stage.fault("recreate", &module, json!({})).await?;
    }
    cast.change(&json!({"new": 1})).await?;
    for heard in cast.hear("the new", |heard| heard["desired"] == json!({"new": 1})).await? {
        assert_eq!(heard.last().context("nothing")?["generation"], 2, "{heard:?}");
    }
    Ok(())
}
