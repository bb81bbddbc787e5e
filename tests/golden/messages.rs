//! The client's codec against the files of `messages`.

use modtwin_core::document::Document;
use modtwin_core::ids::{DeviceId, ModuleId};
use modtwin_core::message::{Answer, HubMessage, Refusal, Request, RequestId};
use modtwin_core::twin::Section;
use modtwin_wire::method::{MethodCall, encode_method_answer};
use modtwin_wire::telemetry::{DeviceMessage, encode_message};
use modtwin_wire::{Inbound, Outbound, decode, encode};
use serde_json::Value;

use crate::file::{Golden, all};

fn document(value: &Value) -> Document {
    value.as_object().unwrap().clone()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn section(value: &Value) -> Section {
    Section { version: value[0].as_u64().unwrap(), document: document(&value[1]) }
}

/// What a message from the hub means, built from its file.
fn inbound(golden: &Golden) -> Inbound {
    let means = golden.means();
    if means["foreign"] == true {
        return Inbound::Foreign;
    }
    if let Some(name) = means["method"].as_str() {
        return Inbound::Method(MethodCall {
            name: name.to_owned(),
            rid: text(&means["rid"]).unwrap(),
            payload: golden.field("payload").as_bytes().to_vec(),
        });
    }
    if let Some(desired) = means.get("desired") {
        let Section { version, document: patch } = section(desired);
        return Inbound::Twin(HubMessage::DesiredPatch { version, patch });
    }
    let answer = if let Some(twin) = means.get("twin") {
        Answer::Twin { desired: section(&twin["desired"]), reported: section(&twin["reported"]) }
    } else if let Some(version) = means["accepted"].as_u64() {
        Answer::Accepted { version }
    } else {
        let refused = &means["refused"];
        Answer::Refused(Refusal {
            status: u16::try_from(refused[0].as_u64().unwrap()).unwrap(),
            message: refused[1].as_str().unwrap().to_owned(),
        })
    };
    let request = RequestId(means["request"].as_u64().unwrap());
    Inbound::Twin(HubMessage::Answer { request, answer })
}

#[test]
fn the_clients_codec_reads_what_hubs_send() {
    let files = all("messages");
    let from_hub = files.iter().filter(|golden| golden.is("direction", "from-hub"));
    for golden in from_hub {
        let (topic, payload) = (golden.field("topic"), golden.field("payload").as_bytes());
        assert_eq!(decode(topic, payload), Ok(inbound(golden)), "{}", golden.name);
    }
}

#[test]
fn the_clients_codec_writes_what_hubs_take() {
    let files = all("messages");
    let to_hub: Vec<&Golden> =
        files.iter().filter(|golden| golden.is("direction", "to-hub")).collect();
    assert_eq!(to_hub.len(), 4, "a module asks for two things, answers methods and sends messages");
    for golden in to_hub {
        let expected = Outbound {
            topic: golden.field("topic").to_owned(),
            payload: golden.field("payload").as_bytes().to_vec(),
        };
        assert_eq!(outbound(golden, &expected.payload), expected, "{}", golden.name);
    }
}

/// What the codec makes of what a file means.
fn outbound(golden: &Golden, payload: &[u8]) -> Outbound {
    let means = golden.means();
    if let Some(status) = means["answer"].as_u64() {
        let (status, rid) = (u16::try_from(status).unwrap(), text(&means["rid"]).unwrap());
        return encode_method_answer(&rid, status, payload.to_vec());
    }
    if let Some(message) = means.get("message") {
        let (device, module) = (text(&means["from"][0]).unwrap(), text(&means["from"][1]).unwrap());
        let (device, module) = (DeviceId::new(&device).unwrap(), ModuleId::new(&module).unwrap());
        return encode_message(&device, &module, &self::message(message, payload)).unwrap();
    }
    let request = match means.get("report") {
        Some(patch) => Request::Report(document(patch)),
        None => Request::GetTwin,
    };
    encode(RequestId(means["request"].as_u64().unwrap()), &request)
}

fn message(means: &Value, payload: &[u8]) -> DeviceMessage {
    let pair = |pair: &Value| (text(&pair[0]).unwrap(), text(&pair[1]).unwrap());
    DeviceMessage {
        payload: payload.to_vec(),
        content_type: text(&means["content_type"]),
        content_encoding: text(&means["content_encoding"]),
        message_id: text(&means["message_id"]),
        correlation_id: text(&means["correlation_id"]),
        properties: means["properties"].as_array().unwrap().iter().map(pair).collect(),
    }
}
