//! The seven promises of the daemon as a client sees them, and what a client adds: it outlives the
//! daemon's restarts.

use modtwin_api::{HubState, Status};
use modtwin_credentials::request::KeyKind;
use modtwin_testkit::gateway::{Gateway, Validity};
use modtwin_testkit::hub::program;
use modtwin_testkit::stage::Stage;
use serde_json::{Value, json};

use crate::Story;
use crate::cast::Cast;
use crate::languages;

fn is(kind: &'static str) -> impl Fn(&Value) -> bool {
    move |heard| heard["event"] == kind
}

fn brings(desired: Value) -> impl Fn(&Value) -> bool {
    move |heard| heard["desired"] == desired
}

#[tokio::test]
async fn nothing_is_missed_across_an_outage_of_the_hub() -> Story {
    let mut cast = Cast::assemble().await?;
    cast.say("watch {m}").await?;
    let heard = cast.hear("the first event", |_any| true).await?;
    for heard in heard {
        assert_eq!((&heard[0]["event"], &heard[0]["desired"]), (&"snapshot".into(), &json!({})));
        assert_eq!(heard[0]["state"], "connected");
    }
    cast.cut_the_hub()?;
    cast.hear("the outage", |heard| heard["event"] == "hub" && heard["state"] != "connected")
        .await?;
    cast.restore_the_hub().await?;
    cast.change(&json!({"missed": 1})).await?;
    cast.hear("the change", brings(json!({"missed": 1}))).await?;
    cast.change(&json!({"missed": null, "next": 2})).await?;
    cast.hear("the next change", brings(json!({"next": 2}))).await?;
    Ok(())
}

#[tokio::test]
async fn changes_come_in_order() -> Story {
    let mut cast = Cast::assemble().await?;
    cast.say("watch {m}").await?;
    cast.hear("a snapshot", is("snapshot")).await?;
    for n in 0..50 {
        cast.change(&json!({"n": n})).await?;
    }
    for heard in cast.hear("the last change", brings(json!({"n": 49}))).await? {
        let revision = |heard: &Value| (heard["generation"].as_u64(), heard["version"].as_u64());
        let revisions: Vec<_> =
            heard.iter().filter(|heard| is("desired")(heard)).map(revision).collect();
        assert!(revisions.windows(2).all(|pair| pair[0] < pair[1]), "{revisions:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_slow_reader_hears_the_newest_state_in_few_events() -> Story {
    const CHANGES: usize = 100;
    let mut cast = Cast::assemble().await?;
    cast.say("watch {m}").await?;
    cast.hear("a snapshot", is("snapshot")).await?;
    cast.say("pause {m}").await?;
    let text = "0123456789abcdef".repeat(240);
    for n in 0..CHANGES {
        cast.change(&json!({"n": n, "a": text, "b": text, "c": text, "d": text})).await?;
    }
    cast.wait_in_step().await?;
    cast.say("resume {m}").await?;
    let last = |heard: &Value| heard["desired"]["n"] == json!(CHANGES - 1);
    for (heard, actor) in cast.hear("the newest", last).await?.iter().zip(&cast.actors) {
        assert!(heard.len() < CHANGES / 2, "{:?}: {} events", actor.language, heard.len());
    }
    Ok(())
}

#[tokio::test]
async fn a_stored_report_survives_a_killed_daemon_and_reaches_the_hub() -> Story {
    let mut cast = Cast::assemble().await?;
    cast.cut_the_hub()?;
    for result in cast.ask("report {m} {\"stored\":true}").await? {
        assert_eq!(result.get("error"), None, "{result}");
    }
    cast.stage.kill_daemon()?;
    cast.restore_the_hub().await?;
    cast.stage.start_daemon().await?;
    cast.wait_reported(&json!({"stored": true})).await
}

#[tokio::test]
async fn a_module_in_trouble_delays_no_other() -> Story {
    let count = languages::all().len();
    let mut stage = Stage::build(program("modtwind")?, count).await?;
    let authority = stage.hub.authority()?;
    stage.gateway.certify("bad", &authority, KeyKind::EcP256, Validity::Expired)?;
    stage.gateway.add_module("bad", &Gateway::certificate_lines("bad"));
    stage.start_daemon().await?;
    stage.gateway.wait_connected(count).await?;
    let is_disabled = |status: &Status| {
        status.modules.iter().any(|module| module.hub.state == HubState::Disabled)
    };
    stage.gateway.wait_for("the bad one to be found", is_disabled).await?;
    let mut cast = Cast::beside(stage)?;
    for result in cast.ask("get bad").await? {
        assert_eq!(result["twin"]["hub"]["reason"], "expired_credential", "{result}");
    }
    cast.say("watch {m}").await?;
    cast.change(&json!({"fine": true})).await?;
    cast.hear("the change", brings(json!({"fine": true}))).await?;
    Ok(())
}

#[tokio::test]
async fn everything_known_is_read_from_disk_without_the_hub() -> Story {
    let mut cast = Cast::assemble().await?;
    cast.change(&json!({"known": 1})).await?;
    cast.wait_in_step().await?;
    // What has come from the hub is on disk when the daemon has ended in order.
    let daemon = cast.stage.daemon()?;
    daemon.signal(nix::sys::signal::Signal::SIGTERM)?;
    daemon.wait(modtwin_testkit::patience::LONG).await?;
    cast.cut_the_hub()?;
    cast.stage.start_daemon().await?;
    cast.say("watch {m}").await?;
    for heard in cast.hear("a snapshot", is("snapshot")).await? {
        let snapshot = heard.last().unwrap();
        assert_eq!(snapshot["desired"], json!({"known": 1}));
        assert_eq!(snapshot["stale"], true);
    }
    for result in cast.ask("get {m}").await? {
        assert_eq!(result["twin"]["desired"], json!({"known": 1}), "{result}");
    }
    Ok(())
}

#[tokio::test]
async fn a_report_that_changes_nothing_is_not_sent() -> Story {
    let mut cast = Cast::assemble().await?;
    cast.ask("report {m} {\"a\":1}").await?;
    cast.wait_reported(&json!({"a": 1})).await?;
    let mut before = Vec::new();
    for n in 0..cast.actors.len() {
        let module = cast.actors[n].module.clone();
        before.push(cast.stage.count(&module, "reported_patches").await?);
    }
    cast.ask("report {m} {\"a\":1}").await?;
    cast.ask("report {m} {\"b\":2}").await?;
    cast.wait_reported(&json!({"a": 1, "b": 2})).await?;
    for (n, before) in before.into_iter().enumerate() {
        let module = cast.actors[n].module.clone();
        assert_eq!(cast.stage.count(&module, "reported_patches").await?, before + 1, "{module}");
    }
    Ok(())
}

#[tokio::test]
async fn a_watch_outlives_the_daemon_and_applies_nothing_twice() -> Story {
    let mut cast = Cast::assemble().await?;
    cast.change(&json!({"once": 1})).await?;
    cast.wait_in_step().await?;
    cast.say("watch {m}").await?;
    cast.hear("the first", brings(json!({"once": 1}))).await?;
    cast.stage.kill_daemon()?;
    for heard in cast.hear("the loss", is("lost")).await? {
        assert_eq!(heard.last().unwrap()["error"], "unreachable");
    }
    cast.stage.start_daemon().await?;
    for heard in cast.hear("a snapshot again", is("snapshot")).await? {
        let again = heard.last().unwrap();
        assert_eq!((&again["unchanged"], &again["desired"]), (&json!(true), &Value::Null));
    }
    cast.change(&json!({"twice": 2})).await?;
    for heard in cast.hear("what is new", is("desired")).await? {
        assert_eq!(heard.last().unwrap()["desired"], json!({"once": 1, "twice": 2}));
        assert!(heard.iter().all(|heard| !brings(json!({"once": 1}))(heard)), "{heard:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_changed_while_the_daemon_was_away_comes_by_itself() -> Story {
    let mut cast = Cast::assemble().await?;
    cast.say("watch {m}").await?;
    cast.hear("a snapshot", is("snapshot")).await?;
    cast.stage.kill_daemon()?;
    cast.change(&json!({"meanwhile": true})).await?;
    cast.stage.start_daemon().await?;
    cast.hear("the change", brings(json!({"meanwhile": true}))).await?;
    Ok(())
}

#[tokio::test]
async fn a_watch_may_begin_before_the_daemon() -> Story {
    let stage = Stage::build(program("modtwind")?, languages::all().len()).await?;
    let mut cast = Cast::beside(stage)?;
    cast.say("watch {m}").await?;
    cast.hear("that nobody is there", is("lost")).await?;
    cast.stage.start_daemon().await?;
    cast.change(&json!({"late": 1})).await?;
    cast.hear("the change", brings(json!({"late": 1}))).await?;
    Ok(())
}
