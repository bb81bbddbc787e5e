//! The emulator's codec against the files of `packets`.

use bytes::{Bytes, BytesMut};
use iothub_emulator::packet::{Connect, Packet, Password, Publish, Will, decode, encode};
use serde_json::Value;

use crate::file::{Golden, all};

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn number<T: TryFrom<u64>>(value: &Value) -> T {
    value.as_u64().and_then(|number| T::try_from(number).ok()).unwrap()
}

/// What a packet means, built from its file without a look at its bytes.
fn packet(golden: &Golden) -> Packet {
    let means = golden.means();
    let (id, filters) = (&means["id"], means["filters"].as_array().cloned().unwrap_or_default());
    match means["type"].as_str().unwrap() {
        "connect" => Packet::Connect(Box::new(Connect {
            clean_session: means["clean_session"].as_bool().unwrap(),
            keep_alive: number(&means["keep_alive"]),
            client_id: text(&means["client_id"]),
            will: means.get("will").map(|will| Will {
                topic: text(&will["topic"]),
                payload: Bytes::from(text(&will["payload"])),
                qos: number(&will["qos"]),
                retain: will["retain"].as_bool().unwrap(),
            }),
            user_name: Some(text(&means["user_name"])),
            password: means["password"].as_str().map(|text| Password(Bytes::from(text.to_owned()))),
        })),
        "connack" => Packet::ConnAck {
            session_present: means["session_present"].as_bool().unwrap(),
            code: number(&means["code"]),
        },
        "publish" => Packet::Publish(Publish {
            dup: false,
            qos: number(&means["qos"]),
            retain: false,
            topic: text(&means["topic"]),
            id: id.as_u64().map(|_| number(id)),
            payload: Bytes::from(text(&means["payload"])),
        }),
        "puback" => Packet::PubAck(number(id)),
        "subscribe" => Packet::Subscribe {
            id: number(id),
            filters: filters.iter().map(|pair| (text(&pair[0]), number(&pair[1]))).collect(),
        },
        "suback" => Packet::SubAck {
            id: number(id),
            codes: means["codes"].as_array().unwrap().iter().map(number).collect(),
        },
        "unsubscribe" => {
            Packet::Unsubscribe { id: number(id), filters: filters.iter().map(text).collect() }
        }
        "unsuback" => Packet::UnsubAck(number(id)),
        "pingreq" => Packet::PingReq,
        "pingresp" => Packet::PingResp,
        "disconnect" => Packet::Disconnect,
        other => panic!("{}: a packet of type {other}", golden.name),
    }
}

#[test]
fn the_emulators_codec_reads_each_packet() {
    for golden in all("packets") {
        let mut bytes = BytesMut::from(golden.bytes().as_slice());
        let read = decode(&mut bytes, 262_144);
        assert_eq!(read, Ok(Some(packet(&golden))), "{}", golden.name);
        assert!(bytes.is_empty(), "{}: bytes are left over", golden.name);
    }
}

#[test]
fn the_emulators_codec_writes_each_packet() {
    for golden in all("packets") {
        let mut bytes = BytesMut::new();
        encode(&packet(&golden), &mut bytes).unwrap();
        assert_eq!(bytes, golden.bytes(), "{}", golden.name);
    }
}

#[test]
fn both_directions_are_there() {
    let files = all("packets");
    for direction in ["to-hub", "from-hub"] {
        let count = files.iter().filter(|golden| golden.is("direction", direction)).count();
        assert!(count >= 8, "{count} packets {direction}");
    }
}
