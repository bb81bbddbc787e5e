//! CONNECT, judged; and the rules of a session: take-over, keep alive, subscriptions, QoS, foreign topics.

use std::time::Duration;

use bytes::Bytes;
use iothub_emulator::packet::{Packet, Publish};
use iothub_emulator::{Config, Rules};
use openssl::hash::MessageDigest;
use openssl::ssl::SslVersion;
use serde_json::{Value, json};

use super::support::{Authority, Client, Credential, Hub, Login, module_token, now, token};

const UNAUTHORIZED: u8 = 5;

async fn key_of(hub: &Hub, module: &str, which: &str) -> String {
    let identity = hub.service("GET", &format!("/devices/gw/modules/{module}"), Value::Null).await;
    identity.body["authentication"]["symmetricKey"][which].as_str().expect("a key").to_owned()
}

async fn code(hub: &Hub, login: &Login) -> u8 {
    hub.connect(login).await.err().unwrap_or(0)
}

#[tokio::test]
async fn a_token_of_either_key_is_admitted() {
    let hub = Hub::start().await;
    hub.module("m", Value::Null).await;
    for which in ["primaryKey", "secondaryKey"] {
        let key = key_of(&hub, "m", which).await;
        let login = Login::module("gw", "m").with_token(&module_token(&key, "gw", "m", now() + 60));
        assert_eq!(code(&hub, &login).await, 0);
    }
}

#[tokio::test]
async fn the_resource_of_a_token_may_be_written_in_lower_case_hex() {
    let hub = Hub::start().await;
    hub.module("m", Value::Null).await;
    let key = key_of(&hub, "m", "primaryKey").await;
    let expiry = now() + 60;
    // The bytes of `sr` are signed as they are sent, here with `%2f`.
    let lower = "localhost%2fdevices%2fgw%2fmodules%2fm";
    let signed = {
        use base64::Engine;
        use base64::engine::general_purpose::STANDARD;
        let secret =
            openssl::pkey::PKey::hmac(&STANDARD.decode(key).expect("base64")).expect("a key");
        let mut signer =
            openssl::sign::Signer::new(MessageDigest::sha256(), &secret).expect("a signer");
        signer.update(format!("{lower}\n{expiry}").as_bytes()).expect("signed");
        STANDARD.encode(signer.sign_to_vec().expect("signed"))
    };
    let signature = signed.replace('+', "%2b").replace('/', "%2f").replace('=', "%3d");
    let text = format!("SharedAccessSignature se={expiry}&sr={lower}&sig={signature}");
    assert_eq!(code(&hub, &Login::module("gw", "m").with_token(&text)).await, 0);
}

#[tokio::test]
async fn bad_tokens_are_refused_with_5() {
    let hub = Hub::start().await;
    hub.module("m", Value::Null).await;
    hub.module("other", Value::Null).await;
    let (key, foreign) =
        (key_of(&hub, "m", "primaryKey").await, key_of(&hub, "other", "primaryKey").await);
    let soon = now() + 60;
    for (why, token) in [
        ("another module's key", module_token(&foreign, "gw", "m", soon)),
        ("another module's resource", module_token(&key, "gw", "other", soon)),
        ("another hub", token("elsewhere/devices/gw/modules/m", &key, soon, None)),
        ("expired beyond the tolerated skew", module_token(&key, "gw", "m", now() - 301)),
        ("no token at all", "hello".to_owned()),
    ] {
        assert_eq!(
            code(&hub, &Login::module("gw", "m").with_token(&token)).await,
            UNAUTHORIZED,
            "{why}"
        );
    }
    assert_eq!(code(&hub, &Login::module("gw", "m")).await, UNAUTHORIZED, "no password");
    let endless = module_token(&key, "gw", "m", u64::MAX);
    assert_eq!(
        code(&hub, &Login::module("gw", "m").with_token(&endless)).await,
        0,
        "a token may last for ever"
    );
    let within = module_token(&key, "gw", "m", now() - 200);
    assert_eq!(
        code(&hub, &Login::module("gw", "m").with_token(&within)).await,
        0,
        "clocks may differ by 5 minutes"
    );
}

#[tokio::test]
async fn a_shifted_clock_makes_a_good_token_expire_and_ends_its_session() {
    let hub = Hub::start().await;
    let login = hub.token_module("m").await;
    let mut client = hub.connect(&login).await.expect("admitted");
    let answer = hub.control("POST", "clock", json!({"shift": "2h"})).await;
    assert_eq!(answer.status, 200);
    assert!(client.is_closed().await);
    assert_eq!(code(&hub, &login).await, UNAUTHORIZED);
    hub.control("POST", "clock", json!({"shift": "0s"})).await;
    assert_eq!(code(&hub, &login).await, 0);
    assert_eq!(hub.control("POST", "clock", json!({"shift": "soon"})).await.status, 400);
}

#[tokio::test]
async fn client_id_and_user_name_must_agree() {
    let hub = Hub::start().await;
    let login = hub.token_module("m").await;
    let check = async |client_id: &str, user_name: &str| {
        let login = Login {
            client_id: client_id.to_owned(),
            user_name: user_name.to_owned(),
            ..login.clone()
        };
        code(&hub, &login).await
    };
    assert_eq!(check("gw/m", "LOCALHOST/gw/m/?api-version=2021-04-12&DeviceClientType=x").await, 0);
    assert_eq!(check("gw/m", "localhost/gw/m/api-version=2018-06-30").await, 0);
    assert_eq!(check("gw/m", "localhost/gw/m").await, 0, "the version may be missing at CONNECT");
    assert_eq!(check("gw/M", "localhost/gw/m/?api-version=2021-04-12").await, UNAUTHORIZED);
    assert_eq!(check("gw", "localhost/gw/m/?api-version=2021-04-12").await, UNAUTHORIZED);
    assert_eq!(
        check("gw/M", "localhost/gw/M/?api-version=2021-04-12").await,
        UNAUTHORIZED,
        "ids have a case"
    );
    assert_eq!(check("gw/m", "otherhost/gw/m/?api-version=2021-04-12").await, UNAUTHORIZED);
    assert_eq!(check("gw/m", "gibberish").await, UNAUTHORIZED);
    assert_eq!(
        check("gw/x", "localhost/gw/x/?api-version=2021-04-12").await,
        UNAUTHORIZED,
        "unknown module"
    );
}

#[tokio::test]
async fn another_protocol_level_is_answered_by_1() {
    let hub = Hub::start().await;
    let mut client = Client::dial(hub.running.mqtt_port(), &Login::module("gw", "m")).await;
    client.send(&Packet::OtherLevel(5)).await;
    assert_eq!(client.receive().await, Some(Packet::ConnAck { session_present: false, code: 1 }));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_thumbprint_admits_its_certificate_in_either_length_and_case() {
    let hub = Hub::start().await;
    for (module, digest, upper) in
        [("sha1", MessageDigest::sha1(), false), ("sha256", MessageDigest::sha256(), true)]
    {
        let credential = Credential::self_signed(&format!("gw/{module}"));
        let text = credential.thumbprint(digest);
        let text = if upper { text.to_uppercase() } else { text };
        hub.module(
            module,
            json!({"type": "selfSigned", "x509Thumbprint": {"secondaryThumbprint": text}}),
        )
        .await;
        assert_eq!(code(&hub, &Login::module("gw", module).with_certificate(credential)).await, 0);
        let other = Credential::self_signed(&format!("gw/{module}"));
        let found = other.thumbprint(MessageDigest::sha256()).to_uppercase();
        let mut events = hub.events().await;
        assert_eq!(
            code(&hub, &Login::module("gw", module).with_certificate(other)).await,
            UNAUTHORIZED
        );
        let reason = events.find("refused").await["reason"].clone();
        assert!(reason.as_str().is_some_and(|reason| reason.contains(&found)), "{reason}");
        assert_eq!(
            code(&hub, &Login::module("gw", module)).await,
            UNAUTHORIZED,
            "no certificate shown"
        );
    }
}

#[tokio::test]
async fn a_thumbprint_certificate_needs_the_name_too_unless_told_otherwise() {
    for (needs_name, expected) in [(true, UNAUTHORIZED), (false, 0)] {
        let rules = Rules { thumbprint_needs_name: needs_name, ..Rules::default() };
        let hub = Hub::with(Config { rules, ..Config::default() }).await;
        let credential = Credential::self_signed("someone");
        let thumbprint = credential.thumbprint(MessageDigest::sha256());
        hub.module(
            "m",
            json!({"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": thumbprint}}),
        )
        .await;
        assert_eq!(
            code(&hub, &Login::module("gw", "m").with_certificate(credential)).await,
            expected
        );
    }
}

#[tokio::test]
async fn registered_cas_admit_ecdsa_and_rsa_certificates_with_the_right_name_over_tls_12_and_13() {
    let hub = Hub::start().await;
    hub.module("m", json!({"type": "certificateAuthority"})).await;
    for authority in [Authority::ecdsa(), Authority::rsa()] {
        let login = Login::module("gw", "m").with_certificate(authority.sign("gw/m"));
        assert_eq!(code(&hub, &login).await, UNAUTHORIZED, "not registered yet");
        let answer = hub.https.call("POST", "/emulator/v1/cas", &[], authority.pem()).await;
        assert_eq!(answer.body, json!({"added": 1}));
        for tls in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
            assert_eq!(code(&hub, &Login { tls: Some(tls), ..login.clone() }).await, 0);
        }
        for name in ["gw/M", "m", "gw\\/m", "gw/m/x"] {
            let login = Login::module("gw", "m").with_certificate(authority.sign(name));
            assert_eq!(code(&hub, &login).await, UNAUTHORIZED, "{name}");
        }
    }
}

#[tokio::test]
async fn the_emulators_own_ca_counts_and_intermediates_must_be_sent_along() {
    let hub = Hub::start().await;
    hub.module("m", json!({"type": "certificateAuthority"})).await;
    let authority = hub.authority();
    assert_eq!(
        code(&hub, &Login::module("gw", "m").with_certificate(authority.sign("gw/m"))).await,
        0
    );
    let credential = authority.intermediate().sign("gw/m");
    assert_eq!(code(&hub, &Login::module("gw", "m").with_certificate(credential.clone())).await, 0);
    let alone = Credential { chain: vec![credential.chain[0].clone()], key: credential.key };
    assert_eq!(code(&hub, &Login::module("gw", "m").with_certificate(alone)).await, UNAUTHORIZED);
}

#[tokio::test]
async fn expired_and_not_yet_valid_certificates_are_refused_in_leaf_and_chain() {
    let hub = Hub::start().await;
    hub.module("m", json!({"type": "certificateAuthority"})).await;
    let mut events = hub.events().await;
    let expired_ca = Authority::valid((-20, -10));
    let answer = hub.https.call("POST", "/emulator/v1/cas", &[], expired_ca.pem()).await;
    assert_eq!(answer.status, 200);
    for (credential, part) in [
        (hub.authority().sign_valid("gw/m", (-20, -10)), "expired"),
        (hub.authority().sign_valid("gw/m", (10, 20)), "not yet valid"),
        (expired_ca.sign("gw/m"), "in the chain expired"),
    ] {
        assert_eq!(
            code(&hub, &Login::module("gw", "m").with_certificate(credential)).await,
            UNAUTHORIZED
        );
        let reason = events.find("refused").await["reason"].clone();
        assert!(reason.as_str().is_some_and(|reason| reason.contains(part)), "{reason}");
    }
    let later = hub.authority().sign_valid("gw/m", (10, 20));
    hub.control("POST", "clock", json!({"shift": "15days"})).await;
    assert_eq!(
        code(&hub, &Login::module("gw", "m").with_certificate(later)).await,
        0,
        "by the hub's clock"
    );
}

#[tokio::test]
async fn what_is_no_certificate_can_not_be_registered() {
    let hub = Hub::start().await;
    assert_eq!(
        hub.https.call("POST", "/emulator/v1/cas", &[], "hello".to_owned()).await.status,
        400
    );
}

#[tokio::test]
async fn a_device_may_connect_with_its_own_key_and_by_the_device_policy() {
    let hub = Hub::start().await;
    let made = hub.service("PUT", "/devices/gw", json!({})).await;
    let key = made.body["authentication"]["symmetricKey"]["primaryKey"]
        .as_str()
        .expect("a key")
        .to_owned();
    let own = token("localhost/devices/gw", &key, now() + 60, None);
    let mut client = hub.connect(&Login::identity("gw").with_token(&own)).await.expect("admitted");
    client.subscribe_twin().await;
    assert_eq!(
        client.twin().await,
        json!({"desired": {"$version": 1}, "reported": {"$version": 1}})
    );
    assert_eq!(client.subscribe(&[("devices/gw/messages/devicebound/#", 1)]).await, [1]);
    let owner = super::support::service_token(hub.running.connection_string(), now() + 60);
    assert_eq!(code(&hub, &Login::identity("gw").with_token(&owner)).await, 0);
    hub.module("m", Value::Null).await;
    let login = Login::module("gw", "m").with_token(&own);
    assert_eq!(code(&hub, &login).await, UNAUTHORIZED, "a device's key is not its modules'");
}

#[tokio::test]
async fn the_newer_connection_of_an_identity_wins() {
    let hub = Hub::start().await;
    let login = hub.token_module("m").await;
    let mut older = hub.connect(&login).await.expect("admitted");
    let mut newer = hub.connect(&login).await.expect("admitted");
    assert!(older.is_closed().await);
    newer.ping().await;
    let stats = hub.stats().await;
    assert_eq!(stats["modules"]["gw/m"]["connects"], 2);
    assert_eq!(stats["connections"]["sessions"], 1);
}

#[tokio::test]
async fn silence_beyond_one_and_a_half_keep_alives_ends_the_link() {
    let hub = Hub::start().await;
    let mut login = hub.token_module("m").await;
    login.keep_alive = 1;
    let mut events = hub.events().await;
    let mut client = hub.connect(&login).await.expect("admitted");
    let start = std::time::Instant::now();
    client.ping().await;
    assert!(client.is_closed().await);
    let after = start.elapsed();
    assert!((Duration::from_millis(1400)..Duration::from_secs(5)).contains(&after), "{after:?}");
    assert_eq!(events.find("disconnect").await["reason"], "keep alive ran out");
}

#[tokio::test]
async fn any_packet_keeps_a_link_alive() {
    let hub = Hub::start().await;
    let mut login = hub.token_module("m").await;
    login.keep_alive = 2;
    let mut client = hub.connect(&login).await.expect("admitted");
    for _ in 0..3 {
        assert!(client.hears_nothing_for(Duration::from_millis(1300)).await, "not closed");
        client.publish("devices/gw/modules/m/messages/events/", "alive").await;
    }
    client.ping().await;
}

#[tokio::test]
async fn a_client_without_keep_alive_meets_the_hubs_ceiling() {
    let rules = Rules { longest_silence: Duration::from_millis(300), ..Rules::default() };
    let hub = Hub::with(Config { rules, ..Config::default() }).await;
    let mut login = hub.token_module("m").await;
    for keep_alive in [0, 1177] {
        login.keep_alive = keep_alive;
        let mut client = hub.connect(&login).await.expect("admitted");
        assert!(client.is_closed().await);
    }
}

#[tokio::test]
async fn a_client_that_never_sends_connect_is_closed() {
    let rules = Rules { connect_wait: Duration::from_millis(200), ..Rules::default() };
    let hub = Hub::with(Config { rules, ..Config::default() }).await;
    let mut client = Client::dial(hub.running.mqtt_port(), &Login::module("gw", "m")).await;
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn the_first_packet_must_be_connect_and_the_second_must_not() {
    let hub = Hub::start().await;
    let login = hub.token_module("m").await;
    let mut client = Client::dial(hub.running.mqtt_port(), &login).await;
    client.send(&Packet::PingReq).await;
    assert!(client.is_closed().await);
    let mut client = hub.connect(&login).await.expect("admitted");
    client.send(&login.packet()).await;
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn foreign_topics_bad_filters_and_qos_2_close_the_link() {
    let hub = Hub::start().await;
    let login = hub.token_module("m").await;
    let publish = |topic: &str, qos: u8| {
        let id = (qos > 0).then_some(7);
        Packet::Publish(Publish {
            dup: false,
            qos,
            retain: false,
            topic: topic.to_owned(),
            id,
            payload: Bytes::new(),
        })
    };
    let subscribe = |filters: &[&str]| Packet::Subscribe {
        id: 1,
        filters: filters.iter().map(|filter| ((*filter).to_owned(), 1)).collect(),
    };
    let own = "devices/gw/modules/m/messages/events/";
    for packet in [
        publish("some/topic", 0),
        publish("devices/gw/modules/other/messages/events/", 0),
        publish("$iothub/twin/GET/?rid=1", 0),
        publish(own, 2),
        subscribe(&["#"]),
        subscribe(&["devices/gw/modules/other/#"]),
        subscribe(&["$iothub/twin/res/#"; 6]),
        Packet::PingResp,
    ] {
        let mut client = hub.connect(&login).await.expect("admitted");
        client.send(&packet).await;
        assert!(client.is_closed().await, "{packet:?}");
    }
}

#[tokio::test]
async fn malformed_and_oversize_packets_close_the_link() {
    let hub = Hub::start().await;
    let login = hub.token_module("m").await;
    // 327684 bytes announced: one more than the largest message takes with the longest topic.
    let oversize = [0x30, 0x84, 0x80, 0x14];
    for bytes in [&[0xff, 0xff][..], &[0x80, 0], &[0x30, 0xff, 0xff, 0xff, 0xff, 1], &oversize] {
        let mut client = hub.connect(&login).await.expect("admitted");
        client.send_raw(bytes).await;
        assert!(client.is_closed().await, "{bytes:x?}");
        let mut client = Client::dial(hub.running.mqtt_port(), &login).await;
        client.send_raw(bytes).await;
        assert!(client.is_closed().await, "before CONNECT: {bytes:x?}");
    }
}

#[tokio::test]
async fn subscriptions_of_clean_session_0_come_back_and_those_of_1_do_not() {
    let hub = Hub::start().await;
    let login = hub.token_module("m").await;
    let mut client = hub.connect(&login).await.expect("admitted");
    assert!(!client.session_present);
    assert_eq!(client.subscribe(&[("$iothub/twin/res/#", 2)]).await, [1], "QoS 2 is granted as 1");
    drop(client);
    let mut client = hub.connect(&login).await.expect("admitted");
    assert!(client.session_present);
    client.twin().await;
    let clean = Login { clean_session: true, ..login.clone() };
    let mut client = hub.connect(&clean).await.expect("admitted");
    assert!(!client.session_present);
    client.ask_twin("1").await;
    client.ping().await;
    assert!(
        client.hears_nothing_for(Duration::from_millis(50)).await,
        "an answer without subscription is lost"
    );
    let client = hub.connect(&login).await.expect("admitted");
    assert!(!client.session_present, "a clean session forgets the older one");
}

#[tokio::test]
async fn what_is_unsubscribed_is_not_sent() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    client.subscribe_twin().await;
    let filters = vec!["$iothub/twin/PATCH/properties/desired/#".to_owned()];
    client.send(&Packet::Unsubscribe { id: 9, filters }).await;
    assert_eq!(client.receive().await, Some(Packet::UnsubAck(9)));
    hub.patch_desired("m", json!({"a": 1})).await;
    assert_eq!(client.twin().await["desired"], json!({"a": 1, "$version": 2}));
    assert!(client.hears_nothing_for(Duration::from_millis(50)).await);
}

#[tokio::test]
async fn the_server_certificate_carries_the_names_of_this_machine() {
    let config = Config { hostname: "hub.example.test".to_owned(), ..Config::default() };
    let hub = Hub::with(config).await;
    for name in ["hub.example.test", "localhost", "127.0.0.1", "127.0.0.8", "::1"] {
        assert!(hub.https.dial(name).await.is_ok(), "{name}");
    }
    for name in ["example.test", "127.0.0.9"] {
        assert!(hub.https.dial(name).await.is_err(), "{name}");
    }
}
