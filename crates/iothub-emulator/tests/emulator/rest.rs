//! The service REST API: identities, preconditions, errors, rights.

use iothub_emulator::{Config, Rules};
use serde_json::{Value, json};

use super::support::{Hub, VERSION, now, service_token, token};

#[tokio::test]
async fn a_device_is_created_read_listed_and_deleted() {
    let hub = Hub::start().await;
    let made =
        hub.service("PUT", "/devices/gw", json!({"deviceId": "gw", "status": "enabled"})).await;
    assert_eq!(made.status, 200);
    let (one, two) =
        (&made.body["authentication"]["symmetricKey"]["primaryKey"], &made.body["generationId"]);
    assert!(one.is_string() && two.is_string());
    assert_eq!(
        made.headers.get("etag").expect("an etag").to_str().expect("text"),
        format!("\"{}\"", made.body["etag"].as_str().expect("text"))
    );
    assert_eq!(hub.service("GET", "/devices/gw", Value::Null).await.body, made.body);
    let list = hub.service("GET", "/devices?top=10", Value::Null).await;
    assert_eq!(list.body, json!([made.body]));
    let statistics = hub.service("GET", "/statistics/devices", Value::Null).await;
    assert_eq!(
        statistics.body,
        json!({"totalDeviceCount": 1, "enabledDeviceCount": 1, "disabledDeviceCount": 0})
    );
    hub.module("m", Value::Null).await;
    let gone = hub.service_if("DELETE", "/devices/gw", Value::Null, Some("*")).await;
    assert_eq!((gone.status, gone.body), (204, Value::Null));
    let missing = hub.service("GET", "/devices/gw", Value::Null).await;
    assert_eq!((missing.status, missing.error_code()), (404, "DeviceNotFound"));
    assert!(
        missing.body["Message"]
            .as_str()
            .is_some_and(|text| text.starts_with("ErrorCode:DeviceNotFound;"))
    );
    assert!(
        missing.body["ExceptionMessage"]
            .as_str()
            .is_some_and(|text| text.starts_with("Tracking ID:"))
    );
    assert_eq!(
        hub.service("GET", "/twins/gw/modules/m", Value::Null).await.status,
        404,
        "modules go with it"
    );
}

#[tokio::test]
async fn a_module_has_the_shape_of_the_book() {
    let hub = Hub::start().await;
    let thumbprint = "A".repeat(64);
    let module = hub
        .module(
            "m",
            json!({"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": thumbprint}}),
        )
        .await;
    for (member, expected) in [
        ("deviceId", json!("gw")),
        ("moduleId", json!("m")),
        ("managedBy", Value::Null),
        ("connectionState", json!("Disconnected")),
        ("lastActivityTime", json!("0001-01-01T00:00:00Z")),
        ("cloudToDeviceMessageCount", json!(0)),
    ] {
        assert_eq!(module[member], expected, "{member}");
    }
    assert_eq!(
        module["authentication"],
        json!({
            "type": "selfSigned",
            "symmetricKey": {"primaryKey": null, "secondaryKey": null},
            "x509Thumbprint": {"primaryThumbprint": thumbprint, "secondaryThumbprint": null},
        })
    );
    assert!(module.get("status").is_none(), "modules have no status");
    assert_eq!(hub.service("GET", "/devices/gw/modules", Value::Null).await.body, json!([module]));
}

#[tokio::test]
async fn identity_writes_create_or_update_but_never_both() {
    let hub = Hub::start().await;
    let first = hub.module("m", Value::Null).await;
    let path = "/devices/gw/modules/m";
    let again = hub.service("PUT", path, json!({})).await;
    assert_eq!((again.status, again.error_code()), (409, "ModuleAlreadyExistsOnDevice"));
    assert_eq!(again.body["errorCode"], 409_301);
    let again = hub.service("PUT", "/devices/gw", json!({})).await;
    assert_eq!((again.status, again.error_code()), (409, "DeviceAlreadyExists"));
    let missing = hub.service_if("PUT", "/devices/gw/modules/new", json!({}), Some("*")).await;
    assert_eq!((missing.status, missing.error_code()), (404, "ModuleNotFound"));
    let stale = hub.service_if("PUT", path, json!({}), Some("\"AAAA\"")).await;
    assert_eq!((stale.status, stale.error_code()), (412, "PreconditionFailed"));
    let etag = first["etag"].as_str().expect("an etag");
    let updated = hub.service_if("PUT", path, json!({"managedBy": "me"}), Some(etag)).await;
    assert_eq!((updated.status, &updated.body["managedBy"]), (200, &json!("me")));
    assert_ne!(updated.body["etag"], first["etag"]);
    assert_eq!(updated.body["generationId"], first["generationId"]);
    let key = |identity: &Value| identity["authentication"]["symmetricKey"]["primaryKey"].clone();
    assert_ne!(key(&updated.body), key(&first), "leaving authentication out makes new keys");
}

#[tokio::test]
async fn deleting_needs_an_etag() {
    let hub = Hub::start().await;
    let module = hub.module("m", Value::Null).await;
    let path = "/devices/gw/modules/m";
    let without = hub.service("DELETE", path, Value::Null).await;
    assert_eq!(without.status, 412);
    assert!(without.body["Message"].as_str().is_some_and(|text| text.contains("Etag missing")));
    assert_eq!(hub.service_if("DELETE", path, Value::Null, Some("\"x\"")).await.status, 412);
    assert_eq!(
        hub.service_if("DELETE", path, Value::Null, module["etag"].as_str()).await.status,
        204
    );
    assert_eq!(hub.service_if("DELETE", path, Value::Null, Some("*")).await.status, 404);
}

#[tokio::test]
async fn a_deleted_module_loses_its_link_and_comes_back_fresh() {
    let hub = Hub::start().await;
    let mut client = hub.connected("m").await;
    client.subscribe_twin().await;
    client.report("1", r#"{"a":1}"#).await;
    let before = hub.service("GET", "/devices/gw/modules/m", Value::Null).await.body;
    assert_eq!(before["connectionState"], "Connected");
    assert_eq!(
        hub.service_if("DELETE", "/devices/gw/modules/m", Value::Null, Some("*")).await.status,
        204
    );
    assert!(client.is_closed().await);
    let mut client = hub.connected("m").await;
    assert!(!client.session_present);
    client.subscribe_twin().await;
    assert_eq!(client.twin().await["reported"], json!({"$version": 1}));
    let after = hub.service("GET", "/devices/gw/modules/m", Value::Null).await.body;
    assert_ne!(after["generationId"], before["generationId"]);
}

#[tokio::test]
async fn a_device_takes_so_many_modules_and_no_more() {
    let rules = Rules { max_modules: 2, ..Rules::default() };
    let hub = Hub::with(Config { rules, ..Config::default() }).await;
    hub.module("a", Value::Null).await;
    hub.module("b", Value::Null).await;
    let third = hub.service("PUT", "/devices/gw/modules/c", json!({})).await;
    assert_eq!((third.status, third.error_code()), (413, "TooManyModulesOnDevice"));
    assert_eq!(third.body["errorCode"], 413_003);
    hub.service_if("DELETE", "/devices/gw/modules/a", Value::Null, Some("*")).await;
    hub.module("c", Value::Null).await;
}

#[tokio::test]
async fn modules_of_missing_and_disabled_devices_are_out_of_reach() {
    let hub = Hub::start().await;
    for method in ["GET", "PUT", "DELETE"] {
        let answer = hub.service(method, "/devices/none/modules/m", json!({})).await;
        assert_eq!(
            (answer.status, answer.error_code()),
            (401, "IotHubUnauthorizedAccess"),
            "{method}"
        );
    }
    assert_eq!(hub.service("GET", "/devices/none/modules", Value::Null).await.status, 401);
    assert_eq!(hub.service("GET", "/twins/none/modules/m", Value::Null).await.status, 404);
    let login = hub.token_module("m").await;
    let mut client = hub.connect(&login).await.expect("admitted");
    let body = json!({"status": "disabled", "statusReason": "test"});
    let disabled = hub.service_if("PUT", "/devices/gw", body, Some("*")).await;
    assert_eq!((disabled.status, &disabled.body["status"]), (200, &json!("disabled")));
    assert!(client.is_closed().await, "disabling a device drops its modules");
    assert_eq!(hub.connect(&login).await.err(), Some(5));
    assert_eq!(hub.service("GET", "/devices/gw/modules/m", Value::Null).await.status, 401);
    assert_eq!(hub.service("GET", "/twins/gw/modules/m", Value::Null).await.status, 200);
}

#[tokio::test]
async fn illegal_ids_and_bodies_are_refused() {
    let hub = Hub::start().await;
    hub.module("m", Value::Null).await;
    let long = format!("/devices/{}", "x".repeat(129));
    for (path, body) in [
        ("/devices/a%20b", json!({})),
        (long.as_str(), json!({})),
        ("/devices/gw/modules/$edge", json!({})),
        ("/devices/gw/modules/n", json!({"moduleId": "other"})),
        ("/devices/gw/modules/n", json!([1])),
        ("/devices/gw/modules/n", json!({"authentication": {"type": "magic"}})),
        ("/devices/gw/modules/n", json!({"authentication": 7})),
        ("/devices/n", json!({"status": "asleep"})),
        ("/devices/n", json!({"authentication": {"type": "none"}})),
    ] {
        let answer = hub.service("PUT", path, body).await;
        assert_eq!((answer.status, answer.error_code()), (400, "ArgumentInvalid"), "{path}");
    }
    for body in [
        json!([]),
        json!({"tags": 1}),
        json!({"properties": []}),
        json!({"properties": {"desired": "x"}}),
    ] {
        let answer = hub.service("PATCH", "/twins/gw/modules/m", body.clone()).await;
        assert_eq!(answer.status, 400, "{body}");
    }
    let null = json!({"properties": {"desired": {"a": null}}});
    assert_eq!(
        hub.service("PUT", "/twins/gw/modules/m", null).await.status,
        400,
        "null in a replacement"
    );
    let whole = json!({"deviceId": "gw", "properties": {"desired": {"a": 1, "$version": 9, "$metadata": {}}, "reported": {"x": 1}}});
    let answer = hub.service("PATCH", "/twins/gw/modules/m", whole).await;
    assert_eq!(answer.status, 200, "a whole twin sent back is taken for what it may write");
    assert!(answer.body["properties"]["reported"].get("x").is_none());
}

#[tokio::test]
async fn every_legal_id_works_percent_encoded() {
    let hub = Hub::start().await;
    let path = "/devices/a%2Bb%25_%2A%3F%21%28%29%2C%3A%3D%40%3B%24%27";
    let made = hub.service("PUT", path, json!({})).await;
    assert_eq!((made.status, made.body["deviceId"].as_str()), (200, Some("a+b%_*?!(),:=@;$'")));
    assert_eq!(hub.service("GET", path, Value::Null).await.status, 200);
}

#[tokio::test]
async fn calls_need_a_version_and_a_good_token() {
    let hub = Hub::start().await;
    let good = service_token(hub.running.connection_string(), now() + 60);
    let key =
        hub.running.connection_string().split("SharedAccessKey=").nth(1).expect("a key").to_owned();
    let call = async |token: &str, query: &str| {
        let headers = [("authorization", token)];
        let headers = if token.is_empty() { &[][..] } else { &headers[..] };
        hub.https.call("GET", &format!("/devices{query}"), headers, String::new()).await.status
    };
    let version = format!("?api-version={VERSION}");
    assert_eq!(call(&good, &version).await, 200);
    assert_eq!(call(&good, "?api-version=2020-05-31-preview").await, 200);
    assert_eq!(call(&good, "").await, 400);
    assert_eq!(call(&good, "?api-version=latest").await, 400);
    for bad in [
        String::new(),
        "Bearer x".to_owned(),
        token("localhost", &key, now() - 400, Some("iothubowner")),
        token("elsewhere", &key, now() + 60, Some("iothubowner")),
        token("localhost", &key, now() + 60, Some("service")),
        token("localhost", &key, now() + 60, Some("nobody")),
        token("localhost", &key, now() + 60, None),
    ] {
        assert_eq!(call(&bad, &version).await, 401, "{bad}");
    }
    let with_port = format!("localhost:{}", hub.running.https_port());
    assert_eq!(
        call(&token(&with_port, &key, now() + 60, Some("iothubowner")), &version).await,
        200
    );
}

#[tokio::test]
async fn policies_grant_what_their_names_say() {
    let hub = Hub::start().await;
    hub.module("m", Value::Null).await;
    let policies =
        std::fs::read(hub.running.ca().with_file_name("policies.json")).expect("the policies");
    let policies: Value = serde_json::from_slice(&policies).expect("JSON");
    for policy in policies.as_array().expect("a list") {
        let name = policy["name"].as_str().expect("a name");
        let token = token(
            "localhost",
            policy["secondary"].as_str().expect("a key"),
            now() + 60,
            Some(name),
        );
        let call = async |method: &str, path: &str| {
            let path = format!("{path}?api-version={VERSION}");
            hub.https
                .call(method, &path, &[("authorization", &token)], "{}".to_owned())
                .await
                .status
                != 401
        };
        let granted = [
            call("GET", "/devices/gw").await,
            call("PUT", "/devices/new").await,
            call("PATCH", "/twins/gw/modules/m").await,
        ];
        let expected = match name {
            "iothubowner" => [true, true, true],
            "service" => [false, false, true],
            "registryRead" => [true, false, false],
            "registryReadWrite" => [true, true, false],
            _ => [false, false, false],
        };
        assert_eq!(granted, expected, "{name}");
    }
}

#[tokio::test]
async fn unknown_paths_methods_and_broken_json_have_answers() {
    let hub = Hub::start().await;
    assert_eq!(hub.service("GET", "/jobs/v2", Value::Null).await.status, 404);
    assert_eq!(hub.service("PATCH", "/devices/gw", json!({})).await.status, 405);
    assert_eq!(hub.control("GET", "nothing", Value::Null).await.status, 404);
    let token = service_token(hub.running.connection_string(), now() + 60);
    let path = format!("/devices/gw?api-version={VERSION}");
    let answer = hub.https.call("PUT", &path, &[("authorization", &token)], "{".to_owned()).await;
    assert_eq!((answer.status, answer.error_code()), (400, "IotHubFormatError"));
    let answer =
        hub.https.call("PUT", &path, &[("authorization", &token)], "x".repeat(300_000)).await;
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn a_device_manages_its_own_modules_and_nothing_else() {
    let hub = Hub::start().await;
    hub.module("m", Value::Null).await;
    let device = hub.service("GET", "/devices/gw", Value::Null).await.body;
    let key = device["authentication"]["symmetricKey"]["secondaryKey"].as_str().expect("a key");
    let own = token("localhost/devices/gw", key, now() + 60, None);
    let call = async |token: &str, method: &str, path: &str, etag: &[(&str, &str)]| {
        let headers = [&[("authorization", token)], etag].concat();
        let path = format!("{path}?api-version=2017-11-08-preview");
        hub.https.call(method, &path, &headers, "{}".to_owned()).await.status
    };
    let any = [("if-match", "*")];
    assert_eq!(call(&own, "GET", "/devices/gw/modules", &[]).await, 200);
    assert_eq!(call(&own, "PUT", "/devices/gw/modules/n", &[]).await, 200);
    assert_eq!(call(&own, "PUT", "/devices/gw/modules/n", &any).await, 200);
    assert_eq!(call(&own, "DELETE", "/devices/gw/modules/n", &any).await, 204);
    hub.service("PUT", "/devices/other", json!({})).await;
    for (method, path) in [
        ("GET", "/devices/gw"),
        ("GET", "/devices"),
        ("GET", "/devices/other/modules"),
        ("GET", "/twins/gw/modules/m"),
    ] {
        assert_eq!(call(&own, method, path, &[]).await, 401, "{method} {path}");
    }
    for bad in [
        token("localhost", key, now() + 60, None),
        token("localhost/devices/gw", key, now() - 400, None),
        token("localhost/devices/gw", "AAECAwQFBgcICQoLDA0ODw==", now() + 60, None),
        token("localhost/devices/gw/modules/m", key, now() + 60, None),
    ] {
        assert_eq!(call(&bad, "GET", "/devices/gw/modules", &[]).await, 401, "{bad}");
    }
    hub.service_if("PUT", "/devices/gw", json!({"status": "disabled"}), Some("*")).await;
    assert_eq!(call(&own, "GET", "/devices/gw/modules", &[]).await, 401);
}
