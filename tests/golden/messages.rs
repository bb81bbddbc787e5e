//! The client's codec against the files of `messages`.

use modtwin_core::document::Document;
use modtwin_core::message::{Answer, HubMessage, Refusal, Request, RequestId};
use modtwin_core::twin::Section;
use modtwin_wire::{Inbound, Outbound, decode, encode};
use serde_json::Value;

use crate::file::{Golden, all};

fn document(value: &Value) -> Document {
    value.as_object().unwrap().clone()
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
    assert_eq!(to_hub.len(), 2, "a client of twins asks for two things");
    for golden in to_hub {
        let means = golden.means();
        let request = match means.get("report") {
            Some(patch) => Request::Report(document(patch)),
            None => Request::GetTwin,
        };
        let expected = Outbound {
            topic: golden.field("topic").to_owned(),
            payload: golden.field("payload").as_bytes().to_vec(),
        };
        let id = RequestId(means["request"].as_u64().unwrap());
        assert_eq!(encode(id, &request), expected, "{}", golden.name);
    }
}
