//! schemathesis asks the real daemon, with a real hub behind it, all that its own OpenAPI document
//! says, and what it says not. Started by `cargo xtask schemathesis`, which installs it.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says by a panic that it failed, and shows what schemathesis found"
)]

mod bridge;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use modtwin_testkit::stage::Stage;
use serde_json::json;
use tokio::process::Command;

use crate::bridge::Bridge;

/// Names the folder with schemathesis in it.
const INSTALLED: &str = "SCHEMATHESIS";
/// The same requests in each run, so that what fails once fails again.
const SEED: &str = "20261126";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_keeps_to_its_own_document() -> anyhow::Result<()> {
    let installed = PathBuf::from(std::env::var_os(INSTALLED).unwrap_or_else(|| {
        panic!("{INSTALLED} is not set: run `cargo xtask schemathesis`, which installs it")
    }));
    let config =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/schemathesis/schemathesis.toml");
    let mut stage = Stage::start(env!("CARGO_BIN_EXE_modtwind"), 2).await?;
    stage.change("m01", json!({"target": 21, "nested": {"a": 1}})).await?;
    let bridge = Bridge::to(stage.gateway.socket()).await?;
    let output = Command::new(installed.join("bin/schemathesis"))
        .arg("--config-file")
        .arg(config)
        .args(["run", &format!("http://{}/v1/openapi.json", bridge.address())])
        .args(["--phases", "examples,coverage,fuzzing", "--seed", SEED, "--max-examples", "100"])
        .args(["--request-timeout", "20", "--no-color", "--warnings", "off"])
        .current_dir(stage.gateway.folder())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("schemathesis starts");
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // It was the daemon that was asked, and it is well.
    assert!(bridge.requests() > 500, "only {} requests came", bridge.requests());
    let status = stage.client().status().await?;
    assert!(status.modules.iter().all(|module| module.problem.is_none()), "{status:?}");
    Ok(())
}
