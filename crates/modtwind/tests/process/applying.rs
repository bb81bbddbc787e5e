//! `modtwinctl apply` with the real daemon: a config that loses a module is taken back, whoever
//! dies meanwhile.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use modtwin_api::{ConfigState, HubState, ProblemKind, RefusedReason, Status, TrialRequest};
use modtwin_testkit::hub::program;
use modtwin_testkit::stage::{Stage, module};

use crate::{MODTWIND, Story};

/// The config that calls itself that.
fn text(stage: &Stage, version: &str) -> String {
    format!("[fleet]\nversion = \"{version}\"\n\n{}", stage.gateway.config_text())
}

/// The same with a certificate of m01 that is not there.
fn broken(stage: &Stage) -> String {
    text(stage, "broken").replace("m01.pem", "gone.pem")
}

/// Two connected modules, and version 1 in force.
async fn begin() -> anyhow::Result<Stage> {
    let stage = Stage::start(MODTWIND, 2).await?;
    fs::write(stage.gateway.config(), text(&stage, "1"))?;
    stage.client().reload().await?;
    Ok(stage)
}

/// `modtwinctl apply` of a config of that text.
fn apply(stage: &Stage, text: &str, more: &[&str]) -> anyhow::Result<Command> {
    let new = stage.gateway.folder().join("log/new.toml");
    fs::write(&new, text)?;
    let mut command = Command::new(program("modtwinctl")?);
    command.arg("--socket").arg(stage.gateway.socket()).arg("apply").arg(new).args(more);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{:?} {}{}", output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn state(status: &Status) -> ConfigState {
    status.config_state.clone().unwrap()
}

/// Waits until version 1 is in force, without a trial, and both modules are connected.
async fn wait_version_1(stage: &Stage) -> anyhow::Result<Status> {
    stage
        .gateway
        .wait_for("version 1 with both modules", |status| {
            let state = state(status);
            let connected = status.modules.iter().all(|it| it.hub.state == HubState::Connected);
            state.version.as_deref() == Some("1")
                && state.trial.is_none()
                && connected
                && status.modules.len() == 2
        })
        .await
}

/// What is in the config's folder beside certificates.
fn leftovers(stage: &Stage) -> Vec<PathBuf> {
    let entries = fs::read_dir(stage.gateway.folder()).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.to_string_lossy().contains("/.modtwind.toml")).collect()
}

#[tokio::test]
async fn a_good_config_is_tried_put_in_place_and_kept() -> Story {
    let stage = begin().await?;
    fs::set_permissions(stage.gateway.config(), Permissions::from_mode(0o640))?;
    let before = stage.client().status().await?;
    // m01 has to connect anew for it.
    let new = text(&stage, "2").replace("m01.key\"\n", "m01.key\"\nacknowledge = \"pnp\"\n");
    let output = apply(&stage, &new, &["--confirm", "30s"])?.output()?;
    let printed = said(&output);
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains("is in place and in force\nchanged: m01\n"), "{printed}");
    assert_eq!(fs::read_to_string(stage.gateway.config())?, new);
    assert_eq!(fs::metadata(stage.gateway.config())?.permissions().mode() & 0o777, 0o640);
    assert_eq!(leftovers(&stage), Vec::<PathBuf>::new());
    let status = stage.gateway.wait_connected(2).await?;
    let found = state(&status);
    assert_eq!((found.version.as_deref(), found.trial, found.refused), (Some("2"), None, None));
    let reconnects = |status: &Status, id| module(status, id).map(|module| module.reconnects);
    assert_eq!(reconnects(&status, "m02")?, reconnects(&before, "m02")?, "m02 was disturbed");
    Ok(())
}

#[tokio::test]
async fn a_config_that_loses_a_module_is_taken_back() -> Story {
    let stage = begin().await?;
    let before = fs::read_to_string(stage.gateway.config())?;
    let output = apply(&stage, &broken(&stage), &["--confirm", "2s"])?.output()?;
    let printed = said(&output);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(
        printed.contains("modtwinctl: module `m01` was not connected again within 2s: config:")
            && printed.contains("gone.pem")
            && printed.contains("the config of before is in force"),
        "{printed}"
    );
    assert_eq!(fs::read_to_string(stage.gateway.config())?, before);
    assert_eq!(leftovers(&stage), Vec::<PathBuf>::new());
    let status = wait_version_1(&stage).await?;
    assert_eq!(module(&status, "m02")?.reconnects, 0, "m02 was disturbed");
    let refused = state(&status).refused.map(|refused| refused.reason);
    assert_eq!(refused, Some(RefusedReason::RolledBack));
    let mut page = Command::new(program("modtwinctl")?);
    let page = said(&page.arg("--socket").arg(stage.gateway.socket()).arg("status").output()?);
    assert!(page.contains("config: rolled back: module `m01`"), "{page}");
    // It is told until something else comes.
    stage.client().reload().await?;
    assert_eq!(state(&stage.client().status().await?).refused, None);
    Ok(())
}

#[tokio::test]
async fn a_config_that_does_not_check_changes_nothing() -> Story {
    let stage = begin().await?;
    let before = fs::read_to_string(stage.gateway.config())?;
    let bad = text(&stage, "2").replace("hostname", "hostnam");
    for more in [&["--confirm", "30s"][..], &[]] {
        let output = apply(&stage, &bad, more)?.output()?;
        let printed = said(&output);
        assert_eq!(output.status.code(), Some(78), "{printed}");
        assert!(printed.contains("new.toml:5: hub.hostnam: unknown key"), "{printed}");
        assert_eq!(fs::read_to_string(stage.gateway.config())?, before);
        let state = state(&wait_version_1(&stage).await?);
        assert_eq!(state.refused, None, "the daemon never heard of it");
    }
    Ok(())
}

#[tokio::test]
async fn without_a_trial_the_config_counts_at_once() -> Story {
    let stage = begin().await?;
    let output = apply(&stage, &broken(&stage), &[])?.output()?;
    let printed = said(&output);
    assert!(output.status.success() && printed.contains("changed: m01"), "{printed}");
    let found = state(&stage.client().status().await?);
    assert_eq!((found.version.as_deref(), found.trial), (Some("broken"), None));
    assert_eq!(fs::read_to_string(stage.gateway.config())?, broken(&stage));
    Ok(())
}

#[tokio::test]
async fn a_trial_whose_command_was_killed_is_taken_back_all_the_same() -> Story {
    let stage = begin().await?;
    let before = fs::read_to_string(stage.gateway.config())?;
    let mut command = apply(&stage, &broken(&stage), &["--confirm", "3s"])?.spawn()?;
    let on_trial = |status: &Status| state(status).trial.is_some();
    stage.gateway.wait_for("the trial", on_trial).await?;
    command.kill()?;
    command.wait()?;
    let status = wait_version_1(&stage).await?;
    let refused = state(&status).refused.map(|refused| refused.reason);
    assert_eq!(refused, Some(RefusedReason::RolledBack));
    assert_eq!(fs::read_to_string(stage.gateway.config())?, before);
    Ok(())
}

#[tokio::test]
async fn a_daemon_killed_during_a_trial_returns_with_the_config_of_before() -> Story {
    let mut stage = begin().await?;
    let command = apply(&stage, &broken(&stage), &["--confirm", "60s"])?.spawn()?;
    let on_trial = |status: &Status| state(status).trial.is_some();
    stage.gateway.wait_for("the trial", on_trial).await?;
    stage.kill_daemon()?;
    stage.restart_daemon().await?;
    let output = command.wait_with_output()?;
    let printed = said(&output);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains("the daemon was restarted"), "{printed}");
    wait_version_1(&stage).await?;
    Ok(())
}

#[tokio::test]
async fn one_config_is_on_trial_at_a_time_and_what_comes_to_the_disk_ends_it() -> Story {
    let stage = begin().await?;
    let trial = TrialRequest { candidate: text(&stage, "tried"), confirm_seconds: 60 };
    stage.client().try_config(&trial).await?;
    let second = stage.client().try_config(&trial).await.unwrap_err();
    assert_eq!(second.problem_kind(), Some(ProblemKind::InUse), "{second}");
    // A push that does not check says so and leaves the trial alone.
    fs::write(stage.gateway.config(), "[hub\n")?;
    let refused = |status: &Status| state(status).refused.is_some();
    let status = stage.gateway.wait_for("the refusal", refused).await?;
    let found = state(&status);
    assert_eq!((found.version.as_deref(), found.trial.is_some()), (Some("tried"), true));
    fs::write(stage.gateway.config(), text(&stage, "1"))?;
    let status = wait_version_1(&stage).await?;
    assert_eq!(state(&status).refused, None);
    assert!(status.modules.iter().all(|module| module.reconnects == 0));
    // Nor is one that nobody confirms kept because its modules are well.
    let trial = TrialRequest { candidate: text(&stage, "tried"), confirm_seconds: 1 };
    stage.client().try_config(&trial).await?;
    let state = state(&stage.gateway.wait_for("the roll-back", refused).await?);
    let errors = state.refused.map(|refused| refused.errors);
    assert_eq!(errors, Some(vec!["nobody confirmed it within 1s".to_owned()]));
    assert_eq!(state.version.as_deref(), Some("1"));
    Ok(())
}
