//! A kill that comes in the middle of many writes: whatever was answered is there afterwards, whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::program::Program;
use super::support::{Client, Https, Login, VERSION, eventually, module_token, now, service_token};

/// What was answered of one module's writes: the last number that the hub acknowledged, of either section.
#[derive(Default)]
struct Answered {
    desired: AtomicU64,
    reported: AtomicU64,
}

/// Writes desired properties over REST, one after the other, until the hub is gone.
async fn write_desired(https: Https, token: String, module: usize, answered: Arc<Answered>) {
    let path = format!("/twins/gw/modules/m{module}?api-version={VERSION}");
    for number in 1.. {
        let body = json!({"properties": {"desired": {"n": number, "pad": "x".repeat(500)}}});
        let headers = [("authorization", token.as_str())];
        match https.try_call("PATCH", &path, &headers, body.to_string()).await {
            Some(200) => answered.desired.store(number, Ordering::Release),
            _ => return,
        }
    }
}

/// Reports over MQTT, one after the other, until the hub is gone.
async fn write_reported(mut client: Client, answered: Arc<Answered>) {
    for number in 1.. {
        let topic = format!("$iothub/twin/PATCH/properties/reported/?$rid={number}");
        client.publish(&topic, json!({"n": number, "pad": "y".repeat(500)}).to_string()).await;
        let Some(iothub_emulator::packet::Packet::Publish(answer)) = client.receive().await else {
            return;
        };
        if answer.topic.starts_with("$iothub/twin/res/204/") {
            answered.reported.store(number, Ordering::Release);
        }
    }
}

/// Makes the modules and gives their keys.
async fn create(program: &Program) -> Vec<String> {
    let mut keys = Vec::new();
    program.service("PUT", "/devices/gw", json!({})).await;
    for module in 0..MODULES {
        let path = format!("/devices/gw/modules/m{module}");
        let made = program.service("PUT", &path, json!({})).await;
        let key = made["authentication"]["symmetricKey"]["primaryKey"].as_str().expect("a key");
        keys.push(key.to_owned());
    }
    keys
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_under_writes_loses_nothing_that_was_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut floors = [(0, 0); MODULES];
    let mut keys = Vec::new();
    for round in 0..3 {
        let program = Program::in_folder(folder.path());
        let string = program.facts["service_connection_string"].as_str().expect("a text");
        let token = service_token(string, now() + 600);
        if round == 0 {
            keys = create(&program).await;
        }
        let (mut writers, mut answers) = (Vec::new(), Vec::new());
        for (module, key) in keys.iter().enumerate() {
            let twin =
                program.service("GET", &format!("/twins/gw/modules/m{module}"), Value::Null).await;
            check(&twin, floors[module], round);
            let name = format!("m{module}");
            let login =
                Login::module("gw", &name).with_token(&module_token(key, "gw", &name, now() + 600));
            let mut client =
                Client::connect(program.port("mqtt_port"), &login).await.expect("the same key");
            assert_eq!(client.subscribe(&[("$iothub/twin/res/#", 0)]).await, [0]);
            let answered = Arc::new(Answered::default());
            writers.push(tokio::spawn(write_desired(
                program.https(),
                token.clone(),
                module,
                Arc::clone(&answered),
            )));
            writers.push(tokio::spawn(write_reported(client, Arc::clone(&answered))));
            answers.push(answered);
        }
        let enough = |answered: &Arc<Answered>| {
            answered.desired.load(Ordering::Acquire) > 5
                && answered.reported.load(Ordering::Acquire) > 20
        };
        eventually("all are in the middle of writing", async || answers.iter().all(enough)).await;
        program.end(Signal::SIGKILL);
        for writer in writers {
            writer.await.expect("a writer ends with the hub");
        }
        for (floor, answered) in floors.iter_mut().zip(&answers) {
            *floor = (
                answered.desired.load(Ordering::Acquire),
                answered.reported.load(Ordering::Acquire),
            );
        }
    }
    let program = Program::in_folder(folder.path());
    for (module, floor) in floors.into_iter().enumerate() {
        let twin =
            program.service("GET", &format!("/twins/gw/modules/m{module}"), Value::Null).await;
        check(&twin, floor, 3);
    }
}

/// What was answered last is there, or the one write behind it, which nobody was told of.
fn check(twin: &Value, (desired, reported): (u64, u64), round: u32) {
    for (section, floor) in [("desired", desired), ("reported", reported)] {
        let section = &twin["properties"][section];
        let found = section["n"].as_u64().unwrap_or_default();
        assert!(
            found == floor || found == floor + 1,
            "round {round}: expected {floor}, found {found}"
        );
        assert!(round == 0 || section["pad"].as_str().is_some_and(|pad| pad.len() == 500));
    }
}

const MODULES: usize = 4;
