//! Exit codes, problems in print, and who gets the socket.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use modtwin_testkit::raw;
use modtwin_testkit::stage::Stage;

use crate::{MODTWIND, Story};

fn run(arguments: &[&str]) -> Output {
    Command::new(MODTWIND).args(arguments).output().unwrap()
}

fn with_config(text: &str) -> (Output, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("modtwind.toml");
    std::fs::write(&file, text).unwrap();
    let output = run(&["--config", file.to_str().unwrap()]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, words)
}

#[test]
fn wrong_usage_ends_with_64_and_help_with_0() {
    for wrong in [&["--nonsense"][..], &["--config"], &["extra"], &["--log-format", "xml"]] {
        let output = run(wrong);
        assert_eq!(output.status.code(), Some(64), "{wrong:?}");
        assert!(!output.stderr.is_empty(), "{wrong:?}");
    }
    for right in ["--help", "--version"] {
        let output = run(&[right]);
        assert_eq!(output.status.code(), Some(0), "{right}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("modtwind"));
    }
}

#[test]
fn a_bad_file_ends_with_78_and_every_problem_in_print() {
    let (output, words) = with_config(
        "[hub]\nhostnam = \"hub.example\"\ndevice-id = \"gateway01\"\nport = \"many\"\n\n\
         [socket]\npath = \"relative.sock\"\ncolour = \"red\"\n\n\
         [[module]]\nid = \"m01\"\ncertificate = \"m01.pem\"\n\n\
         [[module]]\nid = \"m01\"\nshared-access-key-file = \"key\"\n",
    );
    assert_eq!(output.status.code(), Some(78), "{words}");
    for expected in [
        "modtwind.toml:2: hub.hostnam",
        "did you mean hostname",
        "modtwind.toml:4: hub.port",
        "socket.colour",
        "private-key",
        "m01",
    ] {
        assert!(words.contains(expected), "expected {expected:?} in:\n{words}");
    }
}

#[test]
fn what_is_no_config_ends_with_78() {
    for text in ["", "this is = not [ toml", "[hub]\n", "\u{0}\u{1}"] {
        let (output, words) = with_config(text);
        assert_eq!(output.status.code(), Some(78), "{text:?}: {words}");
        assert!(words.contains("modtwind.toml"), "{words}");
    }
    let missing = run(&["--config", "/nonexistent/modtwind.toml"]);
    assert_eq!(missing.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nonexistent/modtwind.toml"));
}

/// `modtwinctl` compares and replaces the files, from a folder of its own.
#[test]
fn a_config_is_known_by_its_whole_path_however_it_was_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("here.toml"), "nonsense").unwrap();
    let mut command = Command::new(MODTWIND);
    let output = command.args(["--config", "here.toml"]).current_dir(&folder).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    let whole = folder.path().join("here.toml");
    assert!(words.contains(whole.to_str().unwrap()), "{words}");
}

#[test]
fn more_than_twenty_modules_are_refused() {
    let mut text = "[hub]\nhostname = \"hub.example\"\ndevice-id = \"d\"\n".to_owned();
    for n in 0..21 {
        text.push_str(&format!("[[module]]\nid = \"m{n}\"\nshared-access-key-file = \"k{n}\"\n"));
    }
    let (output, words) = with_config(&text);
    assert_eq!(output.status.code(), Some(78), "{words}");
    assert!(words.contains("20"), "{words}");
}

#[tokio::test]
async fn a_second_daemon_is_refused_and_the_first_undisturbed() -> Story {
    let stage = Stage::start(MODTWIND, 1).await?;
    let mut spectator = stage.watch("m01").await?;
    let config = stage.gateway.config();
    let second = tokio::task::spawn_blocking(move || run(&["--config", config.to_str().unwrap()]));
    let second = tokio::time::timeout(Duration::from_secs(30), second).await??;
    let words = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(70), "{words}");
    assert!(words.contains("modtwin.sock") && words.contains("another modtwind"), "{words}");
    assert_eq!(raw::ask(&stage.gateway.socket(), "GET", "/v1/health", None)?.status, 200);
    let mut stage = stage;
    let version = stage.change("m01", serde_json::json!({"still": "here"})).await?;
    spectator.wait_version(version).await?;
    let status = stage.client().status().await?;
    assert_eq!(status.modules[0].reconnects, 0, "the second took the identity");
    Ok(())
}

#[tokio::test]
async fn a_socket_left_behind_is_taken_over_and_one_that_ends_well_is_removed() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    let socket = stage.gateway.socket();
    stage.kill_daemon()?;
    assert!(socket.exists(), "a killed daemon can't remove its socket");
    stage.start_daemon().await?;
    stage.gateway.wait_connected(1).await?;
    stage.daemon()?.signal(nix::sys::signal::Signal::SIGTERM)?;
    assert_eq!(stage.daemon()?.wait(Duration::from_secs(20)).await?, Some(0));
    assert!(!socket.exists());
    Ok(())
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() -> Story {
    let stage = Stage::build(MODTWIND, 1).await?;
    std::fs::write(stage.gateway.socket(), "precious")?;
    stage.gateway.write_config()?;
    let mut daemon = stage.gateway.spawn(Path::new(MODTWIND), &[])?;
    assert_eq!(daemon.wait(Duration::from_secs(20)).await?, Some(70));
    assert_eq!(std::fs::read_to_string(stage.gateway.socket())?, "precious");
    Ok(())
}
