//! Module and device clients: twin, reports, desired changes, methods, telemetry, and life after a cut link.

use openssl::hash::MessageDigest;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::hub;
use crate::program::{Program, command};
use crate::support::{Credential, Events, Hub};

/// Where an identity is found: as which resource, in the environment of its program.
struct Seat {
    twin: &'static str,
    /// Held while the program may read it.
    _files: Option<TempDir>,
}

fn program(hub: &Hub, script: &str, transport: &str) -> Command {
    let mut command = command(script);
    command.env("CA", hub.running.ca()).env("TRANSPORT", transport);
    command
}

async fn by_key(hub: &Hub, command: &mut Command) -> Seat {
    let identity = hub.module("m", Value::Null).await;
    let key = identity["authentication"]["symmetricKey"]["primaryKey"].as_str().expect("a key");
    let host = &hub.running.facts().hostname;
    let text = format!("HostName={host};DeviceId=gw;ModuleId=m;SharedAccessKey={key}");
    command.env("CONNECTION_STRING", text);
    Seat { twin: "/twins/gw/modules/m", _files: None }
}

async fn module_by_certificate(hub: &Hub, command: &mut Command) -> Seat {
    let credential = Credential::self_signed("gw/m");
    let thumbprint = credential.thumbprint(MessageDigest::sha256());
    let authentication =
        json!({"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": thumbprint}});
    hub.module("m", authentication).await;
    command.env("MODULE", "m");
    Seat { twin: "/twins/gw/modules/m", _files: Some(show(hub, &credential, command)) }
}

async fn device_by_certificate(hub: &Hub, command: &mut Command) -> Seat {
    let authentication = json!({"type": "certificateAuthority"});
    let body = json!({"deviceId": "gw", "authentication": authentication});
    assert_eq!(hub.service("PUT", "/devices/gw", body).await.status, 200);
    let files = show(hub, &hub.authority().sign("gw"), command);
    Seat { twin: "/twins/gw", _files: Some(files) }
}

/// Writes certificate and key for the program to read.
fn show(hub: &Hub, credential: &Credential, command: &mut Command) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, credential.chain[0].to_pem().expect("PEM")).expect("written");
    let pem = credential.key.private_key_to_pem_pkcs8().expect("PEM");
    std::fs::write(&key, pem).expect("written");
    command
        .env("HOST", &hub.running.facts().hostname)
        .env("DEVICE", "gw")
        .env("CERTIFICATE", certificate)
        .env("KEY", key);
    folder
}

/// Waits until the hub knows of all three subscriptions: Node does not say when they hold, Python makes one of them with
/// the first request.
async fn subscribed(events: &mut Events) {
    loop {
        let filters = events.find("subscribe").await["filters"].clone();
        let filters = filters.as_array().expect("filters");
        let has = |part: &str| {
            filters.iter().any(|filter| filter.as_str().is_some_and(|filter| filter.contains(part)))
        };
        if has("twin/res") && has("twin/PATCH") && has("methods/POST") {
            return;
        }
    }
}

async fn desire(hub: &Hub, seat: &Seat, desired: Value) {
    let body = json!({"properties": {"desired": desired}});
    assert_eq!(hub.service("PATCH", seat.twin, body).await.status, 200);
}

/// The whole life of an identity.
async fn lives(hub: &Hub, seat: &Seat, mut program: Program, events: &mut Events) {
    program.says("ready").await;
    program.order(json!({"do": "twin"})).await;
    let twin = program.says("twin").await["twin"].clone();
    subscribed(events).await;
    assert_eq!(twin["desired"]["$version"], 1);
    program.order(json!({"do": "report", "patch": {"level": 7, "deep": {"er": "ä"}}})).await;
    program.says("reported").await;
    let known = hub.service("GET", seat.twin, Value::Null).await.body;
    assert_eq!(known["properties"]["reported"]["level"], 7);
    assert_eq!(known["properties"]["reported"]["deep"]["er"], "ä");
    assert_eq!(known["connectionState"], "Connected");
    program.order(json!({"do": "report", "patch": {"a b": 1}})).await;
    program.says("failed").await;

    desire(hub, seat, json!({"fps": 25})).await;
    let patch = program.until("desired", |said| said["patch"]["$version"] == 2).await;
    assert_eq!(patch["patch"]["fps"], 25);

    let order = json!({"methodName": "reboot", "payload": {"in": [5]}});
    let answer = hub.service("POST", &format!("{}/methods", seat.twin), order).await;
    assert_eq!(answer.body, json!({"status": 201, "payload": {"echo": {"in": [5]}}}));
    assert_eq!(program.says("method").await["payload"], json!({"in": [5]}));

    let properties = json!({"kind": "t &=/ü"});
    program.order(json!({"do": "send", "body": {"t": 21}, "properties": properties})).await;
    program.says("sent").await;
    let message = events.find("message").await;
    assert_eq!(message["body"], r#"{"t":21}"#.to_owned().replace(':', &colon(&message)));
    assert_eq!(message["properties"]["kind"], "t &=/ü");
    assert_eq!(message["properties"]["$.ct"], "application/json");
    assert_eq!(message["properties"]["$.ce"], "utf-8");
    assert!(message["properties"]["$.mid"].is_string(), "{message}");

    survives_a_cut(hub, seat, &mut program, events).await;
    program.order(json!({"do": "end"})).await;
    program.says("ended").await;
    program.ends_well().await;
    assert_eq!(events.find("disconnect").await["reason"], "disconnected");
}

/// Python writes a blank behind colons.
fn colon(message: &Value) -> String {
    let body = message["body"].as_str().expect("a text");
    if body.contains(": ") { ": ".to_owned() } else { ":".to_owned() }
}

/// No SDK subscribes again after a cut: the hub has to remember.
async fn survives_a_cut(hub: &Hub, seat: &Seat, program: &mut Program, events: &mut Events) {
    hub.fault(json!({"kind": "drop", "device": "gw"})).await;
    events.find("disconnect").await;
    let back = async {
        loop {
            let event = events.next().await;
            if event["event"] == "connect" {
                return event;
            }
        }
    };
    assert_eq!(back.await["session_present"], true);
    desire(hub, seat, json!({"fps": 30})).await;
    let patch = program.until("desired", |said| said["patch"]["$version"] == 3).await;
    assert_eq!(patch["patch"]["fps"], 30);
    program.order(json!({"do": "report", "patch": {"level": 8}})).await;
    program.says("reported").await;
}

macro_rules! stories {
    ($($name:ident: $script:literal $transport:literal $seat:ident;)*) => {
        $(#[tokio::test]
        async fn $name() {
            let hub = hub::start().await;
            let mut events = hub.events().await;
            let mut command = program(&hub, $script, $transport);
            let seat = $seat(&hub, &mut command).await;
            lives(&hub, &seat, Program::start(command), &mut events).await;
        })*
    };
}

stories! {
    a_python_module_with_a_key_over_mqtt: "python/module.py" "mqtt" by_key;
    a_python_module_with_a_key_over_websockets: "python/module.py" "websockets" by_key;
    a_python_module_with_a_certificate_over_mqtt: "python/module.py" "mqtt" module_by_certificate;
    a_python_module_with_a_certificate_over_websockets: "python/module.py" "websockets" module_by_certificate;
    a_node_module_with_a_key_over_mqtt: "node/client.js" "mqtt" by_key;
    a_node_module_with_a_key_over_websockets: "node/client.js" "websockets" by_key;
    a_node_module_with_a_certificate_over_mqtt: "node/client.js" "mqtt" module_by_certificate;
    a_node_device_with_a_certificate_over_mqtt: "node/client.js" "mqtt" device_by_certificate;
    a_node_device_with_a_certificate_over_websockets: "node/client.js" "websockets" device_by_certificate;
}
