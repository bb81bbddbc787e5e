//! The running emulator against the files: what the official Python SDK once sent is sent again,
//! and each answer is the golden one, byte by byte.

use std::net::SocketAddr;

use iothub_emulator::{Config, Emulator, Running};
use modtwin_testkit::dialer::{Dialer, Trust};
use modtwin_testkit::mqtt::{Client, Login, Message, publish};
use modtwin_testkit::service::Service;
use serde_json::{Value, json};

use crate::file::packet;

/// The identity that the recorded packets speak of.
const DEVICE: &str = "gw01";
const MODULE: &str = "cam-1";

async fn connected(hub: &Running, service: &mut Service) -> Client {
    service.create_device(DEVICE).await.unwrap();
    let key = service.create_module_by_key(DEVICE, MODULE).await.unwrap();
    let token =
        modtwin_testkit::service::module_token("localhost", (DEVICE, MODULE), &key).unwrap();
    let address = SocketAddr::new(hub.facts().listen, hub.mqtt_port());
    let dialer =
        Dialer::new(address, "localhost", &Trust::File(hub.ca().to_owned()), None).unwrap();
    let mut client = Client::dial(&dialer).await.unwrap();
    let user_name = format!("localhost/{DEVICE}/{MODULE}/?api-version=2019-10-01");
    let login = Login::new(&format!("{DEVICE}/{MODULE}"), &user_name, Some(&token));
    assert_eq!(client.log_in(&login).await.unwrap(), 0);
    client
}

/// A message as the packet that it came in.
fn bytes(message: &Message) -> Vec<u8> {
    publish(0x30 | message.qos << 1, &message.topic, message.id, &message.payload)
}

fn same(found: &Message, golden: &str) {
    let expected = packet(golden).bytes();
    assert_eq!(bytes(found), expected, "{golden}: the emulator sent {found:?}");
}

#[tokio::test]
async fn the_emulator_answers_the_recorded_packets_with_the_golden_ones() {
    let hub = Emulator::start(Config::default()).await.unwrap();
    let address = SocketAddr::new(hub.facts().listen, hub.https_port());
    let mut service = Service::new(address, hub.connection_string(), hub.ca()).unwrap();
    let mut client = connected(&hub, &mut service).await;
    for name in ["python-subscribe-desired", "python-subscribe-methods", "python-subscribe-answers"]
    {
        client.send(&packet(name).bytes()).await;
        let suback = client.hear().await.unwrap().unwrap();
        let id = u16::try_from(packet(name).means()["id"].as_u64().unwrap()).unwrap();
        assert_eq!(suback, modtwin_testkit::mqtt::Heard::SubAck { id, codes: vec![1] });
    }
    client.send(&packet("python-get").bytes()).await;
    same(&client.answer().await.unwrap(), "hub-twin");
    client.send(&packet("python-report").bytes()).await;
    same(&client.answer().await.unwrap(), "hub-accepted");
    service.change_desired(DEVICE, MODULE, json!({"t": 21, "old": null})).await.unwrap();
    same(&client.message().await.unwrap(), "hub-desired");
    client.send(&packet("python-report-refused").bytes()).await;
    refused(&client.answer().await.unwrap());
    client.send(&packet("python-telemetry").bytes()).await;
    client.send(&packet("python-disconnect").bytes()).await;
    client.closed().await.unwrap();
    hub.shutdown().await;
}

/// An error's body varies in `trackingId` and `timestampUtc`; all else is the golden one's.
fn refused(found: &Message) {
    let golden = packet("hub-refused").means();
    assert_eq!(found.topic, golden["topic"].as_str().unwrap());
    let expected: Value = serde_json::from_str(golden["payload"].as_str().unwrap()).unwrap();
    let mut body = found.json().unwrap();
    for member in ["trackingId", "timestampUtc"] {
        let shape = |value: &Value| -> String {
            let text = value[member].as_str().unwrap().chars();
            text.map(|letter| if letter.is_ascii_hexdigit() { '0' } else { letter }).collect()
        };
        assert_eq!(shape(&body), shape(&expected), "the form of {member}");
        body[member] = expected[member].clone();
    }
    assert_eq!(body, expected);
}
