//! "Started once as root, and never again as its own user": state that may not be read or written is
//! left alone, said, and taken up once it may.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::PathBuf;
use std::process::Command;

use modtwin_api::ProblemKind;
use modtwin_client::ClientError;
use modtwin_testkit::patience::{LONG, Look, until};
use modtwin_testkit::stage::{Stage, object};
use serde_json::json;

use crate::{M, MODTWIND, Story};

/// The user that the daemon runs as.
const NOBODY: u32 = 65_534;

/// Makes a program that runs the daemon as somebody who is not root, and gives that user the
/// gateway's folder; none where this process may not.
fn as_nobody(stage: &Stage) -> anyhow::Result<Option<PathBuf>> {
    let folder = stage.gateway.folder();
    let program = folder.join("modtwind");
    fs::copy(MODTWIND, &program)?;
    let script = folder.join("as-nobody");
    let setpriv = format!("setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups");
    fs::write(&script, format!("#!/bin/sh\nexec {setpriv} {} \"$@\"\n", program.display()))?;
    fs::set_permissions(&script, Permissions::from_mode(0o755))?;
    if let Some(hub_folder) = stage.hub.address().ca.parent() {
        fs::set_permissions(hub_folder, Permissions::from_mode(0o755))?;
    }
    let inside = fs::read_dir(folder)?.filter_map(Result::ok).map(|entry| entry.path());
    let mut all = inside.chain([folder.to_owned()]);
    let is_given = all.all(|path| chown(path, Some(NOBODY), Some(NOBODY)).is_ok());
    let runs = || Command::new(&script).arg("--version").output();
    Ok((is_given && runs().is_ok_and(|output| output.status.success())).then_some(script))
}

/// Expects the daemon to refuse a report, because it could not keep it.
async fn refuses(stage: &Stage) -> Story {
    let refused = stage.report(M, json!({"refused": 1})).await.unwrap_err();
    let refused = refused.downcast::<ClientError>()?;
    assert_eq!(refused.problem_kind(), Some(ProblemKind::Storage), "{refused}");
    let status = stage.client().status().await?;
    assert!(!status.storage.writable && status.storage.problem.is_some(), "{:?}", status.storage);
    let health = stage.client().health().await?;
    assert!(health.healthy && health.problem.is_some(), "{health:?}");
    Ok(())
}

#[tokio::test]
async fn state_that_belongs_to_root_is_kept_and_taken_up_once_it_may_be_read() -> Story {
    let mut stage = Stage::build(MODTWIND, 1).await?;
    let Some(program) = as_nobody(&stage)? else {
        println!("skipped: this process may not start another as a second user (not root)");
        return Ok(());
    };
    let mut daemon = stage.gateway.start(&program).await?;
    stage.gateway.wait_connected(1).await?;
    stage.hub.kill()?;
    stage.report(M, json!({"promised": 1})).await?;
    daemon.kill()?;
    let file = stage.gateway.folder().join("state").join(M).join("twin.json");
    chown(&file, Some(0), Some(0))?;
    stage.hub.restart().await?;
    stage.service = stage.hub.service()?;
    stage.change(M, json!({"n": 1})).await?;

    let mut daemon = stage.gateway.start(&program).await?;
    stage.gateway.wait_connected(1).await?;
    let expected = Some(object(json!({"n": 1}))?);
    until("the change", LONG, async || {
        let found = stage.client().snapshot(M).await?.desired;
        Ok(if found == expected { Look::Found(()) } else { Look::NotYet(format!("{found:?}")) })
    })
    .await?;
    refuses(&stage).await?;
    assert_eq!(stage.at_hub(M, "reported").await?, json!({}), "not sent, and not lost either");

    chown(&file, Some(NOBODY), Some(NOBODY))?;
    stage.wait_reported(M, |found| *found == json!({"promised": 1})).await?;
    stage.gateway.wait_for("the storage to recover", |status| status.storage.writable).await?;
    stage.report(M, json!({"taken": 1})).await?;
    stage.wait_reported(M, |found| *found == json!({"promised": 1, "taken": 1})).await?;
    daemon.kill()
}

#[tokio::test]
async fn a_folder_that_may_not_be_written_refuses_reports_until_it_may() -> Story {
    let mut stage = Stage::build(MODTWIND, 1).await?;
    let Some(program) = as_nobody(&stage)? else {
        println!("skipped: this process may not start another as a second user (not root)");
        return Ok(());
    };
    let mut daemon = stage.gateway.start(&program).await?;
    stage.gateway.wait_connected(1).await?;
    stage.report(M, json!({"before": 1})).await?;
    let folder = stage.gateway.folder().join("state").join(M);
    fs::set_permissions(&folder, Permissions::from_mode(0o500))?;
    refuses(&stage).await?;
    let version = stage.change(M, json!({"n": 2})).await?;
    stage.watch(M).await?.wait_version(version).await?;
    fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
    stage.gateway.wait_for("the storage to recover", |status| status.storage.writable).await?;
    stage.report(M, json!({"after": 1})).await?;
    stage.wait_reported(M, |found| *found == json!({"before": 1, "after": 1})).await?;
    daemon.kill()
}
