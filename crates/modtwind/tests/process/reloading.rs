//! A reload touches only what changed; a config that does not check changes nothing.

use modtwin_api::{HubReason, HubState, ProblemKind};
use modtwin_credentials::request::KeyKind;
use modtwin_testkit::gateway::{DEVICE, Gateway, Validity};
use modtwin_testkit::stage::{Stage, module};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::{MODTWIND, Story};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_adds_removes_and_changes_without_touching_the_others() -> Story {
    let mut stage = Stage::start(MODTWIND, 4).await?;
    let mut kept = stage.watch("m01").await?;
    let mut removed = stage.watch("m02").await?;
    let mut changed = stage.watch("m03").await?;
    stage.report("m03", json!({"before": "the change"})).await?;
    stage.wait_reported("m03", |found| found["before"].is_string()).await?;
    let connects = stage.count("m01", "connects").await?;

    stage.gateway.remove_module("m02");
    stage.gateway.remove_module("m03");
    let lines = format!("{}acknowledge = \"pnp\"\n", Gateway::certificate_lines("m03"));
    stage.gateway.add_module("m03", &lines);
    stage.add_module("m05", "").await?;
    stage.gateway.write_config()?;
    stage.daemon()?.signal(Signal::SIGHUP)?;
    let status = stage
        .gateway
        .wait_for("the new modules", |status| {
            let ids: std::collections::BTreeSet<&str> =
                status.modules.iter().map(|module| module.module.as_str()).collect();
            ids.into_iter().eq(["m01", "m03", "m04", "m05"])
                && status.modules.iter().all(|module| module.hub.state == HubState::Connected)
        })
        .await?;
    for id in ["m01", "m04"] {
        assert_eq!(module(&status, id)?.reconnects, 0, "{id} was disturbed");
    }
    assert_eq!(stage.count("m01", "connects").await?, connects);
    assert_eq!(removed.wait_end().await?, "removed");
    // Streams of modules that stay go on, those of a changed one too.
    for (id, spectator) in [("m01", &mut kept), ("m03", &mut changed)] {
        let version = stage.change(id, json!({"after": "reload"})).await?;
        spectator.wait_version(version).await?;
    }
    let version = stage.change("m03", json!({"target": 5})).await?;
    changed.wait_version(version).await?;
    let ack = modtwin_api::AckRequest {
        version,
        generation: None,
        status: 200,
        description: None,
        handler: Some("hvac".to_owned()),
        paths: Vec::new(),
    };
    stage.client().acknowledge("m03", &ack).await?;
    stage.wait_reported("m03", |found| found["target"]["av"] == json!(version)).await?;
    Ok(())
}

#[tokio::test]
async fn a_config_that_does_not_check_leaves_the_old_one_in_force() -> Story {
    let mut stage = Stage::start(MODTWIND, 2).await?;
    let mut spectator = stage.watch("m01").await?;
    let good = stage.gateway.config_text();
    for bad in ["[hub\nnot toml", "", &good.replace("hostname", "hostnam")] {
        std::fs::write(stage.gateway.config(), bad)?;
        stage.daemon()?.signal(Signal::SIGHUP)?;
        let refused = stage.client().reload().await.unwrap_err();
        assert_eq!(refused.problem_kind(), Some(ProblemKind::InvalidConfig), "{refused}");
        let modtwin_client::ClientError::Problem(problem) = refused else { panic!("no problem") };
        assert!(problem.status == 422 && !problem.errors.is_empty(), "{problem:?}");
        let version = stage.change("m01", json!({"bad": bad.len()})).await?;
        spectator.wait_version(version).await?;
        let status = stage.client().status().await?;
        assert_eq!(status.modules.len(), 2);
        assert!(status.modules.iter().all(|module| module.reconnects == 0));
    }
    std::fs::write(stage.gateway.config(), good)?;
    let outcome = stage.client().reload().await?;
    assert_eq!(outcome.unchanged.len(), 2, "{outcome:?}");
    Ok(())
}

#[tokio::test]
async fn new_rights_count_at_once_and_cost_no_connection() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    stage.gateway.remove_module("m01");
    let rule = "  [[module.handler]]\n  name = \"hvac\"\n  user = \"61017\"\n";
    let lines = format!("{}{rule}", Gateway::certificate_lines("m01"));
    stage.gateway.add_module("m01", &lines);
    stage.gateway.write_config()?;
    stage.daemon()?.signal(Signal::SIGHUP)?;
    let status = stage
        .gateway
        .wait_for("the new handler", |status| {
            status.modules[0].handlers.iter().any(|handler| handler.name == "hvac")
        })
        .await?;
    assert_eq!(status.modules[0].reconnects, 0);
    assert_eq!(status.modules[0].hub.state, HubState::Connected);
    assert_eq!(stage.count("m01", "connects").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_disabled_module_recovers_when_its_certificate_is_replaced() -> Story {
    let mut stage = Stage::build(MODTWIND, 1).await?;
    // With the usual base the daemon looks at bad files once a minute: this is not that.
    stage.gateway.hub_options = "retry-delay = \"1s\"\n".to_owned();
    let authority = stage.hub.authority()?;
    stage.service.create_module_by_authority(DEVICE, "late").await?;
    stage.gateway.certify("late", &authority, KeyKind::EcP256, Validity::Expired)?;
    stage.gateway.add_module("late", &Gateway::certificate_lines("late"));
    stage.start_daemon().await?;
    stage
        .gateway
        .wait_for("the expired one to be disabled", |status| {
            module(status, "late").is_ok_and(|it| {
                (it.hub.state, it.hub.reason) == (HubState::Disabled, HubReason::ExpiredCredential)
            }) && module(status, "m01").is_ok_and(|it| it.hub.state == HubState::Connected)
        })
        .await?;
    let began = std::time::Instant::now();
    stage.gateway.certify("late", &authority, KeyKind::EcP256, Validity::Good)?;
    let status = stage.gateway.wait_connected(2).await?;
    assert!(began.elapsed() < std::time::Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(module(&status, "m01")?.reconnects, 0, "the neighbour was disturbed");
    Ok(())
}
