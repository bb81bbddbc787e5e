//! A reload touches only what changed; a config that does not check changes nothing.

use modtwin_api::{HubReason, HubState, ProblemKind};
use modtwin_credentials::request::KeyKind;
use modtwin_testkit::gateway::{DEVICE, Gateway, Validity};
use modtwin_testkit::patience::{LONG, Look, until};
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

#[tokio::test]
async fn a_module_taken_out_and_put_back_goes_on_where_it_was() -> Story {
    let mut stage = Stage::start(MODTWIND, 2).await?;
    let version = stage.change("m02", json!({"n": 1})).await?;
    stage.watch("m02").await?.wait_version(version).await?;
    stage.gateway.remove_module("m02");
    stage.gateway.write_config()?;
    assert_eq!(reloaded(&stage).await?, 1);
    assert!(stage.client().snapshot("m02").await.is_err());
    stage.gateway.add_module("m02", &Gateway::certificate_lines("m02"));
    stage.gateway.write_config()?;
    assert_eq!(reloaded(&stage).await?, 2);
    let mut spectator = stage.watch("m02").await?;
    spectator.wait_version(version).await?;
    stage.gateway.wait_connected(2).await?;
    assert_eq!(stage.client().snapshot("m02").await?.generation, 1);
    Ok(())
}

/// Reloads, be it that the daemon has noticed the change by itself already; returns how many
/// modules there are.
async fn reloaded(stage: &Stage) -> anyhow::Result<usize> {
    stage.client().reload().await?;
    Ok(stage.client().modules().await?.modules.len())
}

#[tokio::test]
async fn a_change_of_the_hub_section_reconnects_all_and_ends_no_stream() -> Story {
    let mut stage = Stage::start(MODTWIND, 3).await?;
    let mut spectator = stage.watch("m01").await?;
    stage.report("m01", json!({"kept": true})).await?;
    stage.gateway.hub_options = "retry-delay = \"30ms\"\nkeep-alive = \"60s\"\n".to_owned();
    stage.gateway.write_config()?;
    stage.client().reload().await?;
    stage.gateway.wait_connected(3).await?;
    let version = stage.change("m01", json!({"n": 1})).await?;
    spectator.wait_version(version).await?;
    stage.wait_reported("m01", |found| found["kept"] == true).await?;
    for id in ["m01", "m02", "m03"] {
        assert_eq!(stage.count(id, "connects").await?, 2, "{id}");
    }
    Ok(())
}

#[tokio::test]
async fn a_renewed_certificate_disturbs_nobody_and_counts_at_the_next_connect() -> Story {
    let stage = Stage::start(MODTWIND, 1).await?;
    let expires = |status: &modtwin_api::Status| {
        status.modules[0].credential.as_ref().and_then(|credential| credential.expires)
    };
    let before = expires(&stage.client().status().await?);
    // Validity is counted in whole seconds from now: a later one tells the two apart.
    let began = std::time::Instant::now();
    until("a later second", LONG, async || {
        let later = began.elapsed() > std::time::Duration::from_secs(1);
        Ok(if later { Look::Found(()) } else { Look::NotYet("the same".to_owned()) })
    })
    .await?;
    let authority = stage.hub.authority()?;
    stage.gateway.certify("m01", &authority, KeyKind::Rsa2048, Validity::Good)?;
    stage.client().reload().await?;
    let status = stage.client().status().await?;
    assert_eq!(
        (status.modules[0].reconnects, status.modules[0].hub.state),
        (0, HubState::Connected)
    );
    stage.client().reconnect("m01").await?;
    let status = stage
        .gateway
        .wait_for("the new certificate in use", |status| {
            status.modules[0].reconnects == 1 && status.modules[0].hub.state == HubState::Connected
        })
        .await?;
    assert!(expires(&status) > before, "{before:?}");
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_vanishes_is_missed_by_the_next_daemon_alone_which_heals() -> Story {
    let mut stage = Stage::start(MODTWIND, 2).await?;
    let certificate = stage.gateway.folder().join("m01.pem");
    let aside = stage.gateway.folder().join("m01.aside");
    std::fs::rename(&certificate, &aside)?;
    stage.fault("drop", "m01", json!({})).await?;
    let awaited = "a new session with the certificate of before";
    stage
        .gateway
        .wait_for(awaited, |status| {
            let module = &status.modules[0];
            module.hub.state == HubState::Connected && module.reconnects == 1
        })
        .await?;
    stage.kill_daemon()?;
    stage.start_daemon().await?;
    stage
        .gateway
        .wait_for("the module to be disabled", |status| {
            status.modules[0].hub.state == HubState::Disabled
                && status.modules[0].hub.reason == HubReason::Config
        })
        .await?;
    std::fs::rename(&aside, &certificate)?;
    stage.gateway.wait_connected(2).await?;
    Ok(())
}

/// How fleet tools put new certificates in place.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Rollout {
    /// The folder's name is a symbolic link that is swapped.
    Link,
    /// The folder is moved away and another takes its name.
    Folder,
}

#[tokio::test]
async fn certificates_that_come_with_a_new_folder_are_noticed() -> Story {
    for rollout in [Rollout::Link, Rollout::Folder] {
        let mut stage = Stage::build(MODTWIND, 0).await?;
        // With this base bad files are looked at once a minute: noticing is quicker.
        stage.gateway.hub_options = "retry-delay = \"1s\"\n".to_owned();
        let authority = stage.hub.authority()?;
        // Not beside the config, whose folder is watched anyhow.
        let folder = stage.gateway.folder().join("pki");
        std::fs::create_dir(&folder)?;
        stage.service.create_module_by_authority(DEVICE, "m01").await?;
        for (version, validity) in [("v1", Validity::Expired), ("v2", Validity::Good)] {
            stage.gateway.certify("m01", &authority, KeyKind::EcP256, validity)?;
            std::fs::create_dir(folder.join(version))?;
            for file in ["m01.pem", "m01.key"] {
                let made = stage.gateway.folder().join(file);
                std::fs::rename(made, folder.join(version).join(file))?;
            }
        }
        let place = |version: &str, name: &str| match rollout {
            Rollout::Link => std::os::unix::fs::symlink(folder.join(version), folder.join(name)),
            Rollout::Folder => std::fs::rename(folder.join(version), folder.join(name)),
        };
        place("v1", "certs")?;
        stage.gateway.add_module(
            "m01",
            "certificate = \"pki/certs/m01.pem\"\nprivate-key = \"pki/certs/m01.key\"\n",
        );
        stage.start_daemon().await?;
        stage
            .gateway
            .wait_for("the expired one to be disabled", |status| {
                status.modules[0].hub.reason == HubReason::ExpiredCredential
            })
            .await?;
        let began = std::time::Instant::now();
        if rollout == Rollout::Folder {
            std::fs::rename(folder.join("certs"), folder.join("old"))?;
            place("v2", "certs")?;
        } else {
            place("v2", "next")?;
            std::fs::rename(folder.join("next"), folder.join("certs"))?;
        }
        stage.gateway.wait_connected(1).await?;
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "{rollout:?}");
    }
    Ok(())
}
