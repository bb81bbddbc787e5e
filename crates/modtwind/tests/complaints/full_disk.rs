//! "The disk was full and everything stopped", or the state file was damaged: the daemon serves on,
//! and says what it can't promise.

use std::path::{Path, PathBuf};
use std::process::Command;

use modtwin_api::ProblemKind;
use modtwin_testkit::stage::{Stage, object};
use serde_json::json;

use crate::{M, MODTWIND, Story};

#[tokio::test]
async fn a_disk_that_is_full_or_read_only_refuses_reports_and_nothing_else() -> Story {
    let mut stage = Stage::build(MODTWIND, 2).await?;
    let Some(disk) = SmallDisk::mount(&stage.gateway.folder().join("state")) else {
        println!("skipped: this process may not mount a small file system (not root)");
        return Ok(());
    };
    stage.change(M, json!({"n": 1})).await?;
    stage.start_daemon().await?;
    stage.gateway.wait_connected(2).await?;
    stage.report(M, json!({"before": true})).await?;
    stage.wait_reported(M, |found| found["before"] == true).await?;

    let filler = disk.0.join("filler");
    for trouble in ["full", "read-only"] {
        if trouble == "full" {
            fill(&filler);
        } else {
            disk.remount("ro");
        }
        let refused = stage.report(M, json!({"refused": trouble})).await.unwrap_err();
        let refused = refused.downcast::<modtwin_client::ClientError>()?;
        assert_eq!(refused.problem_kind(), Some(ProblemKind::Storage), "{trouble}: {refused}");
        let modtwin_client::ClientError::Problem(problem) = &refused else { panic!("{refused}") };
        assert_eq!(problem.status, 507);
        // Reads, watches and changes from the hub go on.
        let version = stage.change(M, json!({"during": trouble})).await?;
        let mut spectator = stage.watch(M).await?;
        spectator.wait_version(version).await?;
        let snapshot = stage.client().snapshot(M).await?;
        assert!(!snapshot.stale && snapshot.pending.is_empty(), "{snapshot:?}");
        let status = stage
            .gateway
            .wait_for("the status to say so", |status| !status.storage.writable)
            .await?;
        assert!(status.storage.problem.is_some());
        if trouble == "full" {
            std::fs::remove_file(&filler)?;
        } else {
            disk.remount("rw");
        }
        stage.report(M, json!({"after": trouble})).await?;
        stage.wait_reported(M, |found| found["after"] == trouble).await?;
        stage.gateway.wait_for("the status to recover", |status| status.storage.writable).await?;
        assert_eq!(stage.at_hub(M, "reported").await?.get("refused"), None);
    }
    stage.kill_daemon()?;
    drop(disk);
    Ok(())
}

#[tokio::test]
async fn a_damaged_state_file_is_kept_aside_and_the_twin_fetched_anew() -> Story {
    let mut stage = Stage::start(MODTWIND, 2).await?;
    stage.change(M, json!({"n": 1})).await?;
    let mut spectator = stage.watch(M).await?;
    spectator
        .wait("the change", |seen| seen.desired.as_ref().is_some_and(|it| it.contains_key("n")))
        .await?;
    stage.kill_daemon()?;
    let folder = stage.gateway.folder().join("state").join(M);
    for damage in [
        &b"{\"format\":1,\"gener"[..],
        b"",
        b"\xff\x00\x80",
        b"null",
        b"{\"format\":99}",
        b"[[[[[[[[",
    ] {
        std::fs::write(folder.join("twin.json"), damage)?;
        stage.start_daemon().await?;
        stage.gateway.wait_connected(2).await?;
        let status = stage.client().status().await?;
        let problem = status.modules[0].problem.clone().unwrap_or_default();
        assert!(problem.contains("damaged") && problem.contains("kept as"), "{problem}");
        let health = stage.client().health().await?;
        assert!(health.healthy && health.problem.is_some(), "{health:?}");
        assert_eq!(stage.client().snapshot(M).await?.desired, Some(object(json!({"n": 1}))?));
        stage.kill_daemon()?;
    }
    let kept = std::fs::read_dir(&folder)?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().contains("damaged"))
        .count();
    assert_eq!(kept, 6);
    Ok(())
}

/// A small file system of its own; gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where this process may not mount.
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).ok()?;
        let options = ["-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs"];
        let mounted = Command::new("mount").args(options).arg(at).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(at.to_owned()))
    }

    fn remount(&self, mode: &str) {
        let option = format!("remount,{mode},size=256k");
        assert!(
            Command::new("mount").args(["-o", &option]).arg(&self.0).status().unwrap().success()
        );
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a daemon that is being killed may hold a file for a moment.
        let _unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Writes until there is no room.
fn fill(file: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(file).unwrap();
    while file.write_all(&[0; 1024]).is_ok() {}
}
