//! Sections 1.1 and 1.2: how a connection comes about.

use anyhow::Context as _;
use modtwin_testkit::dialer::Dialer;
use modtwin_testkit::mqtt::{Client, Login, Will};
use openssl::ssl::{SslConnectorBuilder, SslVersion};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::case::{Case, holds, same};
use crate::certificates::{self_signed, thumbprint};
use crate::section;
use crate::signing::{now, token};
use crate::world::{API_VERSION, World};

pub(crate) fn cases() -> Vec<Case> {
    let mut all = section! { "1.1 Transport and TLS":
        Fact "TCP: MQTT 3.1.1 over TLS" => tcp;
        Fact "TCP: without TLS nothing is served" => plain_tcp;
        Fact "WebSocket: path /$iothub/websocket" => websocket;
        Fact "WebSocket: ?iothub-no-client-cert=true" => websocket_without_certificate;
        Fact "WS subprotocol: any case, echoed as it came" => subprotocol;
        Fact "Classic host: TLS 1.2" => tls_1_2;
        Fact "Classic host: TLS 1.0 and 1.1 have ended" => old_tls;
        Choice "SNI: not required on the classic host" => no_sni;
        Fact "Suites: the two AES-GCM ones" => gcm_suites;
        Fact "Suites: the two AES-CBC-SHA2 ones" => cbc_suites;
        Fact "Curves: P-256 and P-384" => curves;
        Fact "Server chain: trusted and named after the host" => server_chain;
        Fact "Client certificate: asked for, not insisted on" => certificate_not_insisted;
        Fact "Client certificate: decided at CONNECT" => certificate_decided_at_connect;
    };
    all.extend(section! { "1.2 CONNECT fields":
        Fact "protocol: MQTT, level 4" => tcp;
        Fact "client id: {d}/{m}" => tcp;
        Fact "client id: case-sensitive" => client_id_case;
        Fact "client id: must agree with the user name" => client_id_of_another;
        Fact "user name: ids raw" => raw_ids;
        Fact "user name: DeviceClientType and model-id, encoded" => encoded_values;
        Fact "user name: raw model-id as Node writes it" => raw_model_id;
        Fact "user name: each api-version in use" => api_versions;
        Fact "user name: without api-version twin requests fail" => no_api_version;
        Choice "user name: the older form without ?" => older_form;
        Choice "user name: unknown members are ignored" => unknown_members;
        Fact "password, SAS: the whole token" => not_the_whole_token;
        Fact "password, X.509: absent" => password_absent;
        Choice "password, X.509: empty" => password_empty;
        Fact "clean session: 0" => tcp;
        Choice "will: only on the own telemetry topic" => will_elsewhere;
        Emulator "will: stored when the link ends without DISCONNECT" => will_stored;
        Emulator "will: not after DISCONNECT" => will_not_after_disconnect;
    });
    all
}

async fn tcp(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    same("a fresh session", client.session_present, false)?;
    client.twin().await.map(|_twin| ())
}

async fn plain_tcp(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let mut stream = TcpStream::connect(world.place.mqtt).await?;
    stream.write_all(&world.login(&module)?.bytes()).await?;
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let read = tokio::time::timeout(modtwin_testkit::mqtt::PATIENCE, reading).await;
    let _reset_or_not = read.context("expected the end of the connection")?;
    holds("no CONNACK comes in the clear", answer.first() != Some(&0x20))
}

async fn over_websocket(
    world: &mut World,
    target: &str,
    subprotocol: &str,
) -> anyhow::Result<Option<String>> {
    let module = world.module("m").await?;
    let place = &world.place;
    let dialer = Dialer::new(place.https, &place.host, &place.trust, None)?;
    let (upgrade, client) = Client::dial_websocket(&dialer, target, Some(subprotocol)).await?;
    same("status of the upgrade", upgrade.status, 101)?;
    holds("Sec-WebSocket-Accept proves that the key was read", upgrade.is_proven)?;
    let mut client = client.context("a client")?;
    same("CONNACK", client.log_in(&world.login(&module)?).await?, 0)?;
    client.subscribe_twin().await?;
    let twin = client.twin().await?;
    same("desired", &twin["desired"], &json!({"$version": 1}))?;
    world.desire("m", json!({"large": "x".repeat(4000)})).await?;
    same("version of the notification", client.desired().await?.0, 2)?;
    Ok(upgrade.subprotocol)
}

async fn websocket(world: &mut World) -> anyhow::Result<()> {
    over_websocket(world, "/$iothub/websocket", "mqtt").await.map(|_subprotocol| ())
}

async fn websocket_without_certificate(world: &mut World) -> anyhow::Result<()> {
    let target = "/$iothub/websocket?iothub-no-client-cert=true";
    over_websocket(world, target, "mqtt").await.map(|_subprotocol| ())
}

async fn subprotocol(world: &mut World) -> anyhow::Result<()> {
    for (number, name) in ["MQTT", "mqtt"].into_iter().enumerate() {
        if number > 0 {
            let path = world.module_path("m");
            world.must("DELETE", &path, serde_json::Value::Null).await?;
        }
        let chosen = over_websocket(world, "/$iothub/websocket", name).await?;
        same("the subprotocol chosen", chosen.as_deref(), Some(name))?;
    }
    Ok(())
}

/// Shakes hands with TLS settings of the case's own, and logs in.
async fn shake(
    world: &mut World,
    login: &Login,
    set: impl FnOnce(&mut SslConnectorBuilder) -> anyhow::Result<()>,
) -> anyhow::Result<u8> {
    let mut connector = world.place.trust.client()?;
    set(&mut connector)?;
    let dialer = Dialer::with(world.place.mqtt, &world.place.host, connector);
    Client::dial(&dialer).await?.log_in(login).await
}

async fn tls_1_2(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let login = world.login(&module)?;
    let code = shake(world, &login, |connector| {
        connector.set_min_proto_version(Some(SslVersion::TLS1_2))?;
        Ok(connector.set_max_proto_version(Some(SslVersion::TLS1_2))?)
    });
    same("CONNACK", code.await?, 0)
}

async fn old_tls(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let login = world.login(&module)?;
    for version in [SslVersion::TLS1, SslVersion::TLS1_1] {
        let shaken = shake(world, &login, |connector| {
            // This library's own default would refuse before the hub could.
            connector.set_cipher_list("ALL:@SECLEVEL=0")?;
            connector.set_min_proto_version(Some(version))?;
            Ok(connector.set_max_proto_version(Some(version))?)
        });
        holds("the handshake fails", shaken.await.is_err())?;
    }
    Ok(())
}

async fn no_sni(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let mut client = Client::on(world.dialer(None)?.dial_sending(false).await?);
    same("CONNACK", client.log_in(&world.login(&module)?).await?, 0)
}

/// One of the two kinds of server key must do: which one the hub has is its own business.
async fn either_suite(world: &mut World, ends: &[&str]) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let login = world.login(&module)?;
    for end in ends {
        let suites = format!("ECDHE-RSA-{end}:ECDHE-ECDSA-{end}");
        let code = shake(world, &login, |connector| {
            connector.set_max_proto_version(Some(SslVersion::TLS1_2))?;
            Ok(connector.set_cipher_list(&suites)?)
        });
        same(&suites, code.await.with_context(|| suites.clone())?, 0)?;
    }
    Ok(())
}

async fn gcm_suites(world: &mut World) -> anyhow::Result<()> {
    either_suite(world, &["AES128-GCM-SHA256", "AES256-GCM-SHA384"]).await
}

async fn cbc_suites(world: &mut World) -> anyhow::Result<()> {
    either_suite(world, &["AES128-SHA256", "AES256-SHA384"]).await
}

async fn curves(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let login = world.login(&module)?;
    for curve in ["P-256", "P-384"] {
        let code = shake(world, &login, |connector| Ok(connector.set_groups_list(curve)?));
        same(curve, code.await.with_context(|| curve.to_owned())?, 0)?;
    }
    Ok(())
}

async fn server_chain(world: &mut World) -> anyhow::Result<()> {
    world.dialer(None)?.dial().await.context("the hub's chain is verified for its name")?;
    let place = &world.place;
    let wrong = Dialer::new(place.mqtt, "another.example.test", &place.trust, None)?;
    holds("another name does not pass", wrong.dial().await.is_err())
}

async fn certificate_not_insisted(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let login = world.login(&module)?;
    same("without a certificate", world.code(&login, None).await?, 0)?;
    let shown = self_signed("whoever")?;
    same("with one that nobody asked for", world.code(&login, Some(&shown)).await?, 0)
}

async fn certificate_decided_at_connect(world: &mut World) -> anyhow::Result<()> {
    let shown = self_signed(&format!("{}/m", world.device))?;
    let print = thumbprint(&shown, openssl::hash::MessageDigest::sha256())?;
    world
        .module_by("m", json!({"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": print, "secondaryThumbprint": print}}))
        .await?;
    let login = world.login_with("m", None);
    same("with its certificate", world.code(&login, Some(&shown)).await?, 0)?;
    same("without", world.code(&login, None).await?, 5)
}

async fn client_id_case(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let mut login = world.login(&module)?;
    login.client_id = format!("{}/M", world.device);
    login.user_name = Some(world.user_name("M"));
    same("another case is another module", world.code(&login, None).await?, 5)
}

async fn client_id_of_another(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    world.module("n").await?;
    let mut login = world.login(&module)?;
    login.client_id = format!("{}/n", world.device);
    same("CONNACK", world.code(&login, None).await?, 5)
}

async fn raw_ids(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("a:b%20(c)=@;'!,*").await?;
    let resource = world.resource("a:b%20(c)=@;'!,*");
    let token = token(module.key()?, &resource, now() + 3600)?;
    let mut client = world.enter(&world.login_with(&module.id, Some(&token))).await?;
    client.subscribe_twin().await?;
    client.twin().await.map(|_twin| ())
}

async fn named(world: &mut World, query: &str) -> anyhow::Result<Client> {
    let module = world.module("m").await?;
    let mut login = world.login(&module)?;
    login.user_name = Some(format!("{}/{}/m/{query}", world.place.host, world.device));
    let mut client = world.enter(&login).await.with_context(|| query.to_owned())?;
    client.subscribe_twin().await?;
    Ok(client)
}

async fn encoded_values(world: &mut World) -> anyhow::Result<()> {
    let query = format!(
        "?api-version={API_VERSION}&DeviceClientType=py-azure-iot-device%2F2.14.0%20%28x%29&model-id=dtmi%3Aa%3Ab%3B1"
    );
    let mut client = named(world, &query).await?;
    client.twin().await?;
    let path = world.twin_path("m");
    let twin = world.must("GET", &path, serde_json::Value::Null).await?;
    same("modelId", &twin["modelId"], &json!("dtmi:a:b;1"))
}

async fn raw_model_id(world: &mut World) -> anyhow::Result<()> {
    let query = format!("?api-version={API_VERSION}&model-id=dtmi:a:b;1");
    let mut client = named(world, &query).await?;
    client.twin().await?;
    let path = world.twin_path("m");
    let twin = world.must("GET", &path, serde_json::Value::Null).await?;
    same("modelId", &twin["modelId"], &json!("dtmi:a:b;1"))
}

async fn api_versions(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    for version in ["2021-04-12", "2020-09-30", "2019-10-01"] {
        let mut login = world.login(&module)?;
        let (host, device) = (&world.place.host, &world.device);
        login.user_name = Some(format!("{host}/{device}/m/?api-version={version}"));
        let mut client = world.enter(&login).await.context(version)?;
        client.subscribe_twin().await?;
        client.twin().await.context(version)?;
    }
    Ok(())
}

async fn no_api_version(world: &mut World) -> anyhow::Result<()> {
    let mut client = named(world, "").await?;
    let answer = client.report("1", br#"{"a":1}"#).await?;
    same("topic of the answer", answer.topic.as_str(), "$iothub/twin/res/400/?$rid=1")
}

async fn older_form(world: &mut World) -> anyhow::Result<()> {
    named(world, "api-version=2018-06-30").await?.twin().await.map(|_twin| ())
}

async fn unknown_members(world: &mut World) -> anyhow::Result<()> {
    let query = format!("?x=y&api-version={API_VERSION}&auth-chain=a%3Bb");
    named(world, &query).await?.twin().await.map(|_twin| ())
}

async fn not_the_whole_token(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let whole = token(module.key()?, &world.resource("m"), now() + 3600)?;
    let bare = whole.trim_start_matches("SharedAccessSignature ");
    for password in [bare, module.key()?, "SharedAccessSignature "] {
        let code = world.code(&world.login_with("m", Some(password)), None).await?;
        same(password, code, 5)?;
    }
    same("the whole token", world.code(&world.login_with("m", Some(&whole)), None).await?, 0)
}

async fn by_certificate(world: &mut World, password: Option<&str>) -> anyhow::Result<()> {
    let shown = self_signed(&format!("{}/m", world.device))?;
    let print = thumbprint(&shown, openssl::hash::MessageDigest::sha256())?;
    world
        .module_by("m", json!({"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": print, "secondaryThumbprint": print}}))
        .await?;
    same("CONNACK", world.code(&world.login_with("m", password), Some(&shown)).await?, 0)
}

async fn password_absent(world: &mut World) -> anyhow::Result<()> {
    by_certificate(world, None).await
}

async fn password_empty(world: &mut World) -> anyhow::Result<()> {
    by_certificate(world, Some("")).await
}

fn will(world: &World, bag: &str) -> Will {
    let topic = format!("devices/{}/modules/m/messages/events/{bag}", world.device);
    Will { topic, payload: b"gone".to_vec(), qos: 0 }
}

async fn will_elsewhere(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let mut login = world.login(&module)?;
    login.will = Some(Will { topic: "elsewhere".to_owned(), payload: Vec::new(), qos: 0 });
    same("CONNACK", world.code(&login, None).await?, 5)
}

async fn will_stored(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let mut events = world.events().await?;
    let mut login = world.login(&module)?;
    login.will = Some(will(world, "a=b"));
    drop(world.enter(&login).await?);
    let message = events.find("message").await?;
    same("body", &message["body"], &json!("gone"))?;
    let expected = json!({"a": "b", "iothub-MessageType": "Will"});
    same("properties", &message["properties"], &expected)
}

async fn will_not_after_disconnect(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let mut events = world.events().await?;
    let mut login = world.login(&module)?;
    login.will = Some(will(world, ""));
    let mut client = world.enter(&login).await?;
    client.send(&modtwin_testkit::mqtt::packet(0xe0, &[])).await;
    client.closed().await?;
    events.find("disconnect").await?;
    let mut client = world.enter(&login).await?;
    let topic = format!("devices/{}/modules/m/messages/events/", world.device);
    client.publish_acknowledged(&topic, b"the first").await?;
    let message = events.find("message").await?;
    same("the first message of all", &message["body"], &json!("the first"))
}
