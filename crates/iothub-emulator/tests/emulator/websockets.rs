//! MQTT over WebSockets: the upgrade, certificates, frames of any cut, and faults on the way.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use iothub_emulator::packet::{Packet, Will, encode};
use openssl::hash::MessageDigest;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::support::{Credential, Framing, Hub, Login, PATH, PATIENCE, Socket};

const WITHOUT_CERTIFICATE: &str = "/$iothub/websocket?iothub-no-client-cert=true";

fn bytes_of(packet: &Packet) -> BytesMut {
    let mut bytes = BytesMut::new();
    encode(packet, &mut bytes).expect("encodes");
    bytes
}

async fn next(socket: &mut Socket) -> Option<Result<Message, Error>> {
    timeout(PATIENCE, socket.next()).await.expect("a frame or an end, in time")
}

#[tokio::test]
async fn a_session_over_websockets_does_what_one_over_tls_does() {
    let hub = Hub::start().await;
    let login = hub.token_module("m").await;
    for path in [PATH, WITHOUT_CERTIFICATE, "/%24iothub/websocket"] {
        let mut client = hub.connect_socket(&login, path, Framing::Whole).await.expect("admitted");
        client.subscribe_twin().await;
        let (topic, _) = client.report("r", r#"{"a":1}"#).await;
        assert!(topic.starts_with("$iothub/twin/res/204/?$rid=r&$version="), "{topic}");
        hub.patch_desired("m", json!({"fps": 25})).await;
        assert_eq!(client.desired().await.1["fps"], 25);
        assert_eq!(client.twin().await["reported"]["a"], 1);
        client.send(&Packet::Disconnect).await;
        assert!(client.is_closed().await);
    }
    let stats = hub.stats().await;
    assert_eq!(stats["modules"]["gw/m"]["connects"], 3);
}

#[tokio::test]
async fn the_subprotocol_is_compared_without_case_and_echoed_as_it_came() {
    let hub = Hub::start().await;
    let login = hub.token_module("m").await;
    for protocol in ["mqtt", "MQTT", "Mqtt", "AMQPWSB10, mqtt"] {
        let mut socket = hub.socket(&login, PATH, protocol).await;
        socket.send(Message::binary(bytes_of(&login.packet()).freeze())).await.expect("sent");
        let accepted = bytes_of(&Packet::ConnAck { session_present: protocol != "mqtt", code: 0 });
        match next(&mut socket).await {
            Some(Ok(Message::Binary(bytes))) => assert_eq!(bytes, accepted.freeze(), "{protocol}"),
            other => panic!("expected CONNACK, found {other:?}"),
        }
    }
}

#[tokio::test]
async fn bad_upgrades_are_answered_over_http() {
    let hub = Hub::start().await;
    let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let (connection, upgrade) = (("connection", "Upgrade"), ("upgrade", "websocket"));
    let (version, mqtt) = (("sec-websocket-version", "13"), ("sec-websocket-protocol", "mqtt"));
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], u16);
    let cases: [Case; 8] = [
        ("GET", &[], 426),
        ("GET", &[connection, key, version, mqtt], 426),
        ("GET", &[upgrade, key, version, mqtt], 426),
        ("GET", &[connection, upgrade, key, ("sec-websocket-version", "8"), mqtt], 426),
        ("GET", &[connection, upgrade, version, mqtt], 400),
        ("GET", &[connection, upgrade, ("sec-websocket-key", "short"), version, mqtt], 400),
        ("GET", &[connection, upgrade, key, version, ("sec-websocket-protocol", "AMQPWSB10")], 400),
        ("POST", &[connection, upgrade, key, version, mqtt], 405),
    ];
    for (method, headers, status) in cases {
        let answer = hub.https.call(method, PATH, headers, String::new()).await;
        assert_eq!(answer.status, status, "{method} {headers:?}");
        let text = answer.body["Message"].as_str().expect("a message");
        assert!(text.contains("websocket: "), "{text}");
        if status == 426 {
            assert_eq!(answer.headers["upgrade"], "websocket");
            assert_eq!(answer.headers["sec-websocket-version"], "13");
        }
    }
    let bare = [connection, upgrade, key, version];
    let without = hub.https.call("GET", PATH, &bare, String::new()).await;
    assert_eq!(without.status, 400, "no subprotocol");
    let elsewhere = hub.https.call("GET", "/$iothub/websockets", &[], String::new()).await;
    assert_eq!(elsewhere.status, 404);
}

#[tokio::test]
async fn packets_may_be_split_over_frames_and_merged_in_one() {
    let hub = Hub::start().await;
    let login = hub.token_module("m").await;
    let mut split = hub.connect_socket(&login, PATH, Framing::Bytes).await.expect("admitted");
    split.subscribe_twin().await;
    assert_eq!(split.twin().await["desired"]["$version"], 1);
    let mut socket = hub.socket(&login, PATH, "mqtt").await;
    let mut merged = bytes_of(&login.packet());
    merged.extend_from_slice(&bytes_of(&Packet::PingReq));
    let filters = vec![("$iothub/twin/res/#".to_owned(), 0)];
    merged.extend_from_slice(&bytes_of(&Packet::Subscribe { id: 7, filters }));
    socket.send(Message::binary(merged.freeze())).await.expect("sent");
    let mut answers = BytesMut::new();
    let mut expected = bytes_of(&Packet::ConnAck { session_present: true, code: 0 });
    expected.extend_from_slice(&bytes_of(&Packet::PingResp));
    expected.extend_from_slice(&bytes_of(&Packet::SubAck { id: 7, codes: vec![0] }));
    while answers.len() < expected.len() {
        match next(&mut socket).await {
            Some(Ok(Message::Binary(bytes))) => answers.extend_from_slice(&bytes),
            other => panic!("expected binary frames, found {other:?}"),
        }
    }
    assert_eq!(answers, expected);
}

#[tokio::test]
async fn a_text_frame_closes_the_link_with_1003() {
    let hub = Hub::start().await;
    let login = hub.token_module("m").await;
    for logs_in in [false, true] {
        let mut events = hub.events().await;
        let mut socket = hub.socket(&login, PATH, "mqtt").await;
        if logs_in {
            socket.send(Message::binary(bytes_of(&login.packet()).freeze())).await.expect("sent");
            assert!(matches!(next(&mut socket).await, Some(Ok(Message::Binary(_)))));
        }
        socket.send(Message::text("hello")).await.expect("sent");
        match next(&mut socket).await {
            Some(Ok(Message::Close(Some(frame)))) => assert_eq!(u16::from(frame.code), 1003),
            other => panic!("expected a closing frame, found {other:?}"),
        }
        let event = events.find(if logs_in { "disconnect" } else { "refused" }).await;
        assert_eq!(event["reason"], "malformed packet");
    }
}

#[tokio::test]
async fn a_frame_larger_than_a_megabyte_closes_the_link() {
    let hub = Hub::start().await;
    let login = hub.token_module("m").await;
    let mut socket = hub.socket(&login, PATH, "mqtt").await;
    // Whether all of it can be sent depends on when the hub closes.
    let _ = socket.send(Message::binary(vec![0; (1 << 20) + 1])).await;
    let closed = match next(&mut socket).await {
        Some(Ok(Message::Close(frame))) => frame.map(|frame| u16::from(frame.code)),
        Some(Ok(other)) => panic!("expected the end, found {other:?}"),
        Some(Err(_)) | None => None,
    };
    assert!(matches!(closed, None | Some(1009)), "{closed:?}");
}

#[tokio::test]
async fn pings_are_answered_and_a_closing_frame_is_an_end_without_disconnect() {
    let hub = Hub::start().await;
    let will = Will {
        topic: "devices/gw/modules/m/messages/events/".to_owned(),
        payload: Bytes::from_static(b"gone"),
        qos: 0,
        retain: false,
    };
    let login = Login { will: Some(will), ..hub.token_module("m").await };
    let mut events = hub.events().await;
    let mut socket = hub.socket(&login, PATH, "mqtt").await;
    socket.send(Message::binary(bytes_of(&login.packet()).freeze())).await.expect("sent");
    assert!(matches!(next(&mut socket).await, Some(Ok(Message::Binary(_)))));
    socket.send(Message::Ping(Bytes::from_static(b"x"))).await.expect("sent");
    match next(&mut socket).await {
        Some(Ok(Message::Pong(bytes))) => assert_eq!(bytes, "x"),
        other => panic!("expected a pong, found {other:?}"),
    }
    socket.close(None).await.expect("closing");
    assert_eq!(events.find("message").await["body"], "gone");
}

#[tokio::test]
async fn certificates_count_over_websockets_unless_the_path_says_there_are_none() {
    let hub = Hub::start().await;
    let credential = Credential::self_signed("gw/m");
    let thumbprint = credential.thumbprint(MessageDigest::sha256());
    hub.module(
        "m",
        json!({"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": thumbprint}}),
    )
    .await;
    hub.module("ca", json!({"type": "certificateAuthority"})).await;
    let shown = Login::module("gw", "m").with_certificate(credential);
    let signed = Login::module("gw", "ca").with_certificate(hub.authority().sign("gw/ca"));
    for login in [&shown, &signed] {
        let mut client = hub.connect_socket(login, PATH, Framing::Whole).await.expect("admitted");
        client.ping().await;
        let refused = hub.connect_socket(login, WITHOUT_CERTIFICATE, Framing::Whole).await;
        assert_eq!(refused.err(), Some(5));
        let path = "/$iothub/websocket?iothub-no-client-cert=false";
        assert!(hub.connect_socket(login, path, Framing::Whole).await.is_ok());
    }
    let bare = hub.connect_socket(&Login::module("gw", "m"), PATH, Framing::Whole).await;
    assert_eq!(bare.err(), Some(5), "no certificate shown");
}

#[tokio::test]
async fn a_newer_connection_takes_over_across_transports() {
    let hub = Hub::start().await;
    let login = hub.token_module("m").await;
    let mut older = hub.connect_socket(&login, PATH, Framing::Whole).await.expect("admitted");
    let mut newer = hub.connect(&login).await.expect("admitted");
    assert!(older.is_closed().await);
    newer.ping().await;
    let mut newest = hub.connect_socket(&login, PATH, Framing::Whole).await.expect("admitted");
    assert!(newer.is_closed().await);
    newest.ping().await;
}

#[tokio::test]
async fn drop_cuts_websocket_links_and_their_upgrades() {
    let hub = Hub::start().await;
    let login = hub.token_module("m").await;
    let mut client = hub.connect_socket(&login, PATH, Framing::Whole).await.expect("admitted");
    hub.fault(json!({"kind": "drop", "for": "10min"})).await;
    assert!(client.is_closed().await);
    assert!(hub.try_socket(&login, PATH, "mqtt").await.is_err(), "cut without an answer");
    assert_eq!(hub.service("GET", "/devices/gw", Value::Null).await.status, 200, "REST goes on");
    hub.control("DELETE", "faults", Value::Null).await;
    hub.fault(json!({"kind": "drop", "device": "gw", "module": "m", "count": 1})).await;
    let mut socket = hub.socket(&login, PATH, "mqtt").await;
    // The link is idle, so the strike waits for its CONNECT, and no closing frame says goodbye.
    socket.send(Message::binary(bytes_of(&login.packet()).freeze())).await.expect("sent");
    assert!(matches!(next(&mut socket).await, None | Some(Err(_))));
    assert!(hub.connect_socket(&login, PATH, Framing::Whole).await.is_ok());
}

#[tokio::test]
async fn stall_refuse_blackhole_and_delay_strike_websocket_links() {
    let hub = Hub::start().await;
    let login = hub.token_module("m").await;
    let fault = hub.fault(json!({"kind": "stall", "count": 1})).await;
    let stalled = timeout(Duration::from_millis(200), hub.try_socket(&login, PATH, "mqtt")).await;
    assert!(stalled.is_err(), "no answer to the upgrade");
    hub.control("DELETE", &format!("faults/{}", fault["id"]), Value::Null).await;
    hub.fault(json!({"kind": "refuse", "code": 3, "count": 1})).await;
    let refused = hub.connect_socket(&login, PATH, Framing::Whole).await;
    assert_eq!(refused.err(), Some(3));
    let mut client = hub.connect_socket(&login, PATH, Framing::Whole).await.expect("admitted");
    client.subscribe_twin().await;
    hub.fault(json!({"kind": "blackhole", "device": "gw", "module": "m"})).await;
    client.ask_twin("lost").await;
    assert!(client.hears_nothing_for(Duration::from_millis(100)).await);
    hub.control("DELETE", "faults", Value::Null).await;
    hub.fault(json!({"kind": "delay", "ms": 300, "count": 1})).await;
    let start = std::time::Instant::now();
    client.twin().await;
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_burst_of_large_notifications_arrives_complete_and_in_order() {
    let hub = Hub::start().await;
    let login = hub.token_module("m").await;
    let mut client = hub.connect_socket(&login, PATH, Framing::Whole).await.expect("admitted");
    client.subscribe_twin().await;
    let text = "v".repeat(4000);
    for version in 2..=100 {
        let twin = hub.patch_desired("m", json!({"n": version, "text": text})).await;
        assert_eq!(twin["properties"]["desired"]["$version"], version);
    }
    for version in 2..=100 {
        assert_eq!(client.desired().await.0, version);
    }
}
