//! Keys and tokens are nowhere to be read but where they belong.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use modtwin_testkit::gateway::DEVICE;
use modtwin_testkit::stage::Stage;
use nix::sys::signal::Signal;

use crate::equipment::hub;
use crate::{MODTWIND, Story};

#[tokio::test]
async fn neither_log_nor_status_nor_state_has_a_key_or_a_token() -> Story {
    let mut stage = Stage::build(MODTWIND, 1).await?;
    hub(&stage, &["module", "create", DEVICE, "keyed", "--out", "keyed.txt"])?;
    stage.gateway.add_module("keyed", "connection-string-file = \"keyed.txt\"\n");
    let folder = stage.gateway.folder().to_owned();
    let string = std::fs::read_to_string(folder.join("keyed.txt"))?;
    let key = string.trim().split("SharedAccessKey=").nth(1).unwrap().to_owned();
    stage.gateway.write_config()?;
    // As talkative as it gets.
    let log = std::fs::File::create(stage.gateway.log())?;
    let mut daemon = Command::new(MODTWIND)
        .args(["-vvv", "--config"])
        .arg(stage.gateway.config())
        .stderr(log)
        .spawn()?;
    stage.gateway.wait_connected(2).await?;
    stage.client().reconnect("keyed").await?;
    stage
        .gateway
        .wait_for("a new session", |status| {
            status.modules.iter().any(|module| module.reconnects == 1)
        })
        .await?;
    let mut said = stage.gateway.log_text();
    said.push_str(&serde_json::to_string(&stage.client().status().await?)?);
    for entry in walk(&folder.join("state"))? {
        said.push_str(&std::fs::read_to_string(entry)?);
    }
    daemon.kill()?;
    daemon.wait()?;
    assert!(said.contains("keyed"), "the log is empty");
    for secret in [key.as_str(), "SharedAccessSignature", "sig=", "PRIVATE KEY"] {
        assert!(!said.contains(secret), "{secret} is in what everybody may read");
    }
    Ok(())
}

/// Every file below a folder.
fn walk(folder: &std::path::Path) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { files.extend(walk(&path)?) } else { files.push(path) }
    }
    Ok(files)
}

/// A shell that allows dumps of any size to what it becomes.
fn with_dumps(script: &str, folder: &std::path::Path) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -c unlimited; {script}")]).current_dir(folder);
    shell
}

#[tokio::test]
async fn a_crash_leaves_no_core_with_keys_in_it() -> Story {
    let stage = Stage::build(MODTWIND, 1).await?;
    let folder = stage.gateway.folder();
    let control = with_dumps("kill -ABRT $$", folder).status()?;
    if !control.core_dumped() {
        println!("skipped: nothing leaves a core on this machine");
        return Ok(());
    }
    stage.gateway.write_config()?;
    let script = format!("exec {MODTWIND} --config {}", stage.gateway.config().display());
    let mut daemon = with_dumps(&script, folder).stderr(std::process::Stdio::null()).spawn()?;
    stage.gateway.wait_connected(1).await?;
    let pid = nix::unistd::Pid::from_raw(i32::try_from(daemon.id())?);
    nix::sys::signal::kill(pid, Signal::SIGABRT)?;
    let ended = daemon.wait()?;
    assert_eq!(ended.signal(), Some(Signal::SIGABRT as i32));
    assert!(!ended.core_dumped(), "a core was left");
    Ok(())
}
