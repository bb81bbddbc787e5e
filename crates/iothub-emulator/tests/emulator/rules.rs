//! Rules that hold for every link: suites of TLS, forms of user names and tokens, sizes, and methods in odd moments.

use bytes::Bytes;
use iothub_emulator::packet::{Packet, Publish};
use iothub_emulator::{Config, Rules};
use openssl::hash::MessageDigest;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode, SslVersion};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::support::{Client, Credential, Hub, Login, now, token};

const EVENTS: &str = "devices/gw/modules/m/messages/events/";

/// Says whether a handshake of TLS 1.2 with this suite alone succeeds.
async fn speaks(hub: &Hub, suite: &str) -> bool {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).expect("a connector");
    builder.set_verify(SslVerifyMode::NONE);
    builder.set_max_proto_version(Some(SslVersion::TLS1_2)).expect("a version");
    builder.set_cipher_list(suite).expect("a suite");
    let ssl = builder.build().configure().expect("a configuration").into_ssl("localhost");
    let tcp = TcpStream::connect(("127.0.0.1", hub.running.mqtt_port())).await.expect("connected");
    let mut stream = tokio_openssl::SslStream::new(ssl.expect("a session"), tcp).expect("a stream");
    std::pin::Pin::new(&mut stream).connect().await.is_ok()
}

#[tokio::test]
async fn tls_12_speaks_the_suites_of_the_book_and_no_others() {
    let hub = Hub::start().await;
    for suite in [
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-AES128-SHA256",
        "ECDHE-ECDSA-AES256-SHA384",
    ] {
        assert!(speaks(&hub, suite).await, "{suite}");
    }
    for suite in
        ["ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES128-CCM"]
    {
        assert!(!speaks(&hub, suite).await, "{suite}");
    }
}

#[tokio::test]
async fn ids_with_an_equals_sign_are_no_query_of_a_user_name() {
    let hub = Hub::start().await;
    let identity = hub.module("a=b", Value::Null).await;
    let key = identity["authentication"]["symmetricKey"]["primaryKey"].as_str().expect("a key");
    let token = token("localhost/devices/gw/modules/a=b", key, now() + 60, None);
    let login = Login::module("gw", "a=b").with_token(&token);
    for user_name in [
        "localhost/gw/a=b/?api-version=2021-04-12",
        "localhost/gw/a=b/api-version=2018-06-30",
        "localhost/gw/a=b",
    ] {
        let login = Login { user_name: user_name.to_owned(), ..login.clone() };
        assert_eq!(hub.connect(&login).await.err(), None, "{user_name}");
    }
}

#[tokio::test]
async fn a_resource_in_lower_case_is_taken_and_ids_keep_their_case() {
    let hub = Hub::start().await;
    let identity = hub.module("Cam", Value::Null).await;
    let key = identity["authentication"]["symmetricKey"]["primaryKey"].as_str().expect("a key");
    let lower = token("localhost/devices/gw/modules/cam", key, now() + 60, None);
    assert!(hub.connect(&Login::module("gw", "Cam").with_token(&lower)).await.is_ok());
    hub.module("cam", Value::Null).await;
    let refused = hub.connect(&Login::module("gw", "cam").with_token(&lower)).await;
    assert_eq!(refused.err(), Some(5), "another identity, another key");
}

#[tokio::test]
async fn a_certificate_goes_with_an_absent_and_with_an_empty_password() {
    let hub = Hub::start().await;
    hub.module("m", json!({"type": "certificateAuthority"})).await;
    let login = Login::module("gw", "m").with_certificate(hub.authority().sign("gw/m"));
    assert!(hub.connect(&login).await.is_ok());
    assert!(hub.connect(&login.clone().with_token("")).await.is_ok());
    assert_eq!(hub.connect(&login.with_token("secret")).await.err(), Some(5));
}

#[tokio::test]
async fn a_devices_certificate_is_not_its_modules() {
    let hub = Hub::start().await;
    let credential = Credential::self_signed("gw");
    let thumbprint = credential.thumbprint(MessageDigest::sha256());
    let own = json!({"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": thumbprint}});
    let device = json!({"deviceId": "gw", "authentication": own});
    assert_eq!(hub.service("PUT", "/devices/gw", device).await.status, 200);
    hub.module("same", own).await;
    hub.module("signed", json!({"type": "certificateAuthority"})).await;
    let login = |id: &str, shown: &Credential| Login::identity(id).with_certificate(shown.clone());
    assert!(hub.connect(&login("gw", &credential)).await.is_ok());
    assert_eq!(hub.connect(&login("gw/same", &credential)).await.err(), Some(5));
    let signed = hub.authority().sign("gw");
    assert_eq!(hub.connect(&login("gw/signed", &signed)).await.err(), Some(5));
}

#[tokio::test]
async fn a_message_with_its_properties_may_have_256_kb_and_not_a_byte_more() {
    let hub = Hub::start().await;
    let login = hub.token_module("m").await;
    let mut events = hub.events().await;
    let mut client = hub.connect(&login).await.expect("admitted");
    for (bag, size) in [("", 262_144), ("k=v", 262_141)] {
        client.publish(&format!("{EVENTS}{bag}"), vec![b'x'; size]).await;
        client.ping().await;
        assert_eq!(events.find("message").await["bytes"], size);
    }
    for (topic, size) in [
        (EVENTS.to_owned(), 262_145),
        (format!("{EVENTS}k=v"), 262_142),
        ("$iothub/twin/PATCH/properties/reported/?$rid=1".to_owned(), 262_145),
    ] {
        let mut client = hub.connect(&login).await.expect("admitted");
        client.publish(&topic, vec![b'x'; size]).await;
        assert!(client.is_closed().await, "{topic} {size}");
    }
}

#[tokio::test]
async fn retain_becomes_a_property_and_keeps_nothing() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    let mut events = hub.events().await;
    for qos in [0, 1] {
        let publish = Publish {
            dup: false,
            qos,
            retain: true,
            topic: format!("{EVENTS}a=b"),
            id: (qos > 0).then_some(3),
            payload: Bytes::from_static(b"kept?"),
        };
        client.send(&Packet::Publish(publish)).await;
        let message = events.find("message").await;
        assert_eq!(message["properties"], json!({"a": "b", "mqtt-retain": "true"}));
    }
    assert_eq!(client.receive().await, Some(Packet::PubAck(3)));
}

async fn call(hub: &Hub, body: Value) -> (u16, Value) {
    let answer = hub.service("POST", "/twins/gw/modules/m/methods", body).await;
    (answer.status, answer.body)
}

/// Gives the next call's topic up to its query, and its rid.
async fn next_call(client: &mut Client) -> (String, String) {
    let request = client.message().await;
    let (topic, rid) = request.topic.split_once("/?$rid=").expect("a rid");
    (topic.to_owned(), rid.to_owned())
}

#[tokio::test]
async fn method_names_are_encoded_where_a_topic_can_not_carry_them() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    client.subscribe(&[("$iothub/methods/POST/#", 0)]).await;
    for (name, topic) in [
        ("lamp*switch", "$iothub/methods/POST/lamp*switch"),
        ("with blank", "$iothub/methods/POST/with%20blank"),
        ("50%", "$iothub/methods/POST/50%25"),
        ("größe", "$iothub/methods/POST/gr%C3%B6%C3%9Fe"),
    ] {
        let answer = async {
            let (found, rid) = next_call(&mut client).await;
            client.publish(&format!("$iothub/methods/res/200/?$rid={rid}"), "1").await;
            found
        };
        let (answered, found) = tokio::join!(call(&hub, json!({"methodName": name})), answer);
        assert_eq!((answered.0, found.as_str()), (200, topic), "{name}");
    }
}

#[tokio::test]
async fn a_call_in_flight_fails_when_its_link_is_taken_over() {
    let hub = Hub::start().await;
    let login = hub.token_module("m").await;
    let mut older = hub.connect(&login).await.expect("admitted");
    older.subscribe(&[("$iothub/methods/POST/#", 0)]).await;
    let take_over = async {
        next_call(&mut older).await;
        hub.connect(&login).await.expect("admitted")
    };
    let ((status, body), mut newer) =
        tokio::join!(call(&hub, json!({"methodName": "x"})), take_over);
    assert_eq!(status, 400);
    let text = body["Message"].as_str().expect("a message");
    assert!(text.starts_with("ErrorCode:ConnectionForcefullyClosedOnNewConnection;"), "{text}");
    newer.ping().await;
}

#[tokio::test]
async fn so_many_calls_may_wait_for_one_module_and_no_more() {
    let rules = Rules { max_methods: 1, ..Rules::default() };
    let hub = Hub::with(Config { rules, ..Config::default() }).await;
    let mut client = hub.connected("m").await;
    client.subscribe(&[("$iothub/methods/POST/#", 0)]).await;
    let second = async {
        let (_, rid) = next_call(&mut client).await;
        let refused = call(&hub, json!({"methodName": "second"})).await;
        client.publish(&format!("$iothub/methods/res/200/?$rid={rid}"), "").await;
        refused
    };
    let (first, second) = tokio::join!(call(&hub, json!({"methodName": "first"})), second);
    assert_eq!((first.0, second.0), (200, 403), "{second:?}");
    let text = second.1["Message"].as_str().expect("a message");
    assert!(text.starts_with("ErrorCode:DeviceMaximumInflightMethodExceeded;"), "{text}");
}

#[tokio::test]
async fn an_oversize_method_answer_closes_the_link() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    client.subscribe(&[("$iothub/methods/POST/#", 0)]).await;
    let largest = format!("\"{}\"", "v".repeat(128 * 1024 - 2));
    let answer = async {
        let (_, rid) = next_call(&mut client).await;
        client.publish(&format!("$iothub/methods/res/200/?$rid={rid}"), largest.clone()).await;
    };
    let (answered, ()) = tokio::join!(call(&hub, json!({"methodName": "x"})), answer);
    assert_eq!(answered.0, 200);
    client.publish("$iothub/methods/res/200/?$rid=late", format!("{largest} ")).await;
    assert!(client.is_closed().await);
}
