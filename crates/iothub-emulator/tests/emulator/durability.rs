//! What survives: identities, twins, keys, sessions, CAs, with the same folder.

use std::path::Path;

use iothub_emulator::{Config, Emulator, StartError};
use serde_json::{Value, json};

use super::support::{Authority, Hub, Login};

fn config(folder: &Path) -> Config {
    Config { dir: Some(folder.to_owned()), ..Config::default() }
}

#[tokio::test]
async fn a_restart_with_the_same_folder_keeps_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    let hub = Hub::with(config(folder.path())).await;
    let login = hub.token_module("m").await;
    let mut client = hub.connect(&login).await.expect("admitted");
    client.subscribe_twin().await;
    client.report("1", r#"{"a":1.0}"#).await;
    hub.patch_desired("m", json!({"b": [1]})).await;
    hub.module("gone", Value::Null).await;
    hub.service_if("DELETE", "/devices/gw/modules/gone", Value::Null, Some("*")).await;
    hub.module("ca", json!({"type": "certificateAuthority"})).await;
    let authority = Authority::ecdsa();
    hub.https.call("POST", "/emulator/v1/cas", &[], authority.pem()).await;
    drop(client);
    let (before, string) = (hub.twin("m").await, hub.running.connection_string().to_owned());
    let ca = std::fs::read(hub.running.ca()).expect("the CA");
    hub.running.shutdown().await;
    assert!(!folder.path().join("emulator.json").exists(), "what serves no more says nothing");

    let hub = Hub::with(config(folder.path())).await;
    assert_eq!(hub.running.connection_string(), string);
    assert_eq!(std::fs::read(hub.running.ca()).expect("the CA"), ca);
    let mut after = hub.twin("m").await;
    for member in ["connectionState", "lastActivityTime"] {
        after[member] = before[member].clone();
    }
    assert_eq!(after, before);
    assert_eq!(hub.service("GET", "/devices/gw/modules/gone", Value::Null).await.status, 404);
    let mut client = hub.connect(&login).await.expect("the key is the same");
    assert!(client.session_present, "subscriptions of clean session 0 are kept");
    assert_eq!(client.twin().await["reported"], json!({"a": 1.0, "$version": 2}));
    let by_ca = Login::module("gw", "ca").with_certificate(authority.sign("gw/ca"));
    assert!(hub.connect(&by_ca).await.is_ok(), "registered CAs are kept");
}

#[tokio::test]
async fn a_second_emulator_in_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = Hub::with(config(folder.path())).await;
    let second = Emulator::start(config(folder.path())).await;
    let error = second.expect_err("in use");
    assert!(error.to_string().contains("in use by another emulator"), "{error}");
    assert_eq!(first.service("GET", "/devices", Value::Null).await.status, 200);
}

#[tokio::test]
async fn damaged_files_are_named_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    Hub::with(config(folder.path())).await.running.shutdown().await;
    std::fs::write(folder.path().join("policies.json"), "{").expect("written");
    let error = Emulator::start(config(folder.path())).await.expect_err("damaged");
    assert!(
        matches!(&error, StartError::Damaged(path, _) if path.ends_with("policies.json")),
        "{error}"
    );
    assert_eq!(std::fs::read(folder.path().join("policies.json")).expect("read"), b"{");
}

#[tokio::test]
async fn keys_are_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let hub = Hub::with(config(folder.path())).await;
    hub.module("m", Value::Null).await;
    for (name, expected) in [
        ("ca.key", 0o600),
        ("policies.json", 0o600),
        ("hub.log", 0o600),
        ("emulator.json", 0o600),
        ("ca.pem", 0o644),
    ] {
        let mode = std::fs::metadata(folder.path().join(name)).expect(name).permissions().mode();
        assert_eq!(mode & 0o777, expected, "{name}");
    }
}

#[tokio::test]
async fn a_temporary_folder_is_gone_at_the_end() {
    let hub = Hub::start().await;
    let folder = hub.running.ca().parent().expect("a folder").to_owned();
    assert!(folder.join("emulator.json").exists());
    hub.running.shutdown().await;
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_taken_port_is_named_with_what_to_do() {
    let hub = Hub::start().await;
    let config = Config { mqtt_port: hub.running.mqtt_port(), ..Config::default() };
    let error = Emulator::start(config).await.expect_err("taken").to_string();
    assert!(error.contains("127.0.0.1:") && error.contains("--listen"), "{error}");
}
