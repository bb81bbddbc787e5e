//! The handlers that the README shows, taken from its text and run against the real daemon and hub.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by a panic that it failed"
)]

use std::path::Path;
use std::process::{Child, Command, Stdio};

use modtwin_credentials::request::KeyKind;
use modtwin_testkit::gateway::{DEVICE, Daemon, Gateway, Validity};
use modtwin_testkit::hub::Hub;
use modtwin_testkit::patience::{LONG, Look, until};
use modtwin_testkit::service::Service;
use serde_json::{Value, json};

/// A hub and a gateway whose one module is connected.
struct Scene {
    service: Service,
    gateway: Gateway,
    _daemon: Daemon,
    _hub: Hub,
}

async fn scene() -> Scene {
    let hub = Hub::start().await.unwrap();
    let mut service = hub.service().unwrap();
    service.create_device(DEVICE).await.unwrap();
    service.create_module_by_authority(DEVICE, "module01").await.unwrap();
    let mut gateway = Gateway::new(hub.address()).unwrap();
    let authority = hub.authority().unwrap();
    gateway.certify("module01", &authority, KeyKind::EcP256, Validity::Good).unwrap();
    gateway.add_module("module01", &Gateway::certificate_lines("module01"));
    let daemon = gateway.start(Path::new(env!("CARGO_BIN_EXE_modtwind"))).await.unwrap();
    gateway.wait_connected(1).await.unwrap();
    Scene { service, gateway, _daemon: daemon, _hub: hub }
}

/// The README's code block of that language that has `mark` in it.
fn example(language: &str, mark: &str) -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let text = std::fs::read_to_string(readme).unwrap();
    let fence = format!("```{language}\n");
    let blocks = text.split(&fence).skip(1).filter_map(|rest| rest.split("```").next());
    blocks.into_iter().find(|block| block.contains(mark)).unwrap().to_owned()
}

async fn wait_reported(service: &mut Service, key: &str, expected: &Value) {
    until("the handler's report at the hub", LONG, async || {
        let twin = service.twin(DEVICE, "module01").await?;
        let reported = &twin["properties"]["reported"];
        Ok(if reported[key] == *expected {
            Look::Found(())
        } else {
            Look::NotYet(reported.to_string())
        })
    })
    .await
    .unwrap();
}

fn run(program: &str, argument: &str, code: &str, gateway: &Gateway) -> Option<Running> {
    let started = Command::new(program)
        .args([argument, code])
        .env("MODTWIN_SOCKET", gateway.socket())
        .env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/../../clients/python/src"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    match started {
        Ok(child) => Some(Running(child)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => panic!("cannot start {program}: {error}"),
    }
}

/// A handler's process, ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

#[tokio::test]
async fn the_python_handler_applies_each_change_and_acknowledges_it() {
    let mut scene = scene().await;
    let code = example("python", "from modtwin import");
    let Some(_handler) = run("python3", "-c", &code, &scene.gateway) else {
        println!("skipped: this machine has no python3");
        return;
    };
    for target in [21, 22] {
        let desired = json!({"target": target});
        let version = scene.service.change_desired(DEVICE, "module01", desired).await.unwrap();
        wait_reported(&mut scene.service, "target", &json!(target)).await;
        let applied = scene.gateway.wait_for("the acknowledgement", |status| {
            status.modules.iter().any(|module| module.applied_version() == Some(version))
        });
        applied.await.unwrap();
    }
}

#[tokio::test]
async fn the_curl_commands_report() {
    let mut scene = scene().await;
    let code = example("sh", "curl --unix-socket");
    let report = code.lines().find(|line| line.contains("PATCH")).unwrap();
    let code = format!("S=$MODTWIN_SOCKET; {report}");
    let installed = Command::new("curl").arg("--version").stdout(Stdio::null()).status();
    if installed.is_err() {
        println!("skipped: this machine has no curl");
        return;
    }
    let _shell = run("sh", "-c", &code, &scene.gateway).unwrap();
    wait_reported(&mut scene.service, "temperature", &json!(20.5)).await;
}
