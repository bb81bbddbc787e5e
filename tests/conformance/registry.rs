//! Sections 7.1 to 7.4: the service REST API.

use anyhow::Context as _;
use modtwin_testkit::https::Reply;
use serde_json::{Value, json};

use crate::case::{Case, holds, same};
use crate::section;
use crate::signing::{encoded, now, token};
use crate::world::{Module, World, refused};

pub(crate) fn cases() -> Vec<Case> {
    let mut all = section! { "7.1 Basics":
        Fact "api-version: each one seen accepted" => api_versions;
        Choice "api-version: missing is refused" => no_api_version;
        Fact "Authorization: missing is 401" => no_token;
        Emulator "rights: registryReadWrite on /twins is 401" => registry_policy_on_twins;
        Fact "ids: percent-encoded in the path" => encoded_ids;
        Fact "ids: 1 to 128 characters" => id_length;
        Choice "ids: modules with a leading $ are refused" => reserved_ids;
        Fact "PUT device: before its modules" => put_device;
        Fact "GET, DELETE device: 200; 204, with its modules" => delete_device;
        Fact "GET devices?top=" => list_devices;
        Fact "GET modules of a device" => list_modules;
        Fact "PUT module" => put_module;
        Fact "GET, DELETE module: 200; 204" => get_delete_module;
        Fact "GET, PATCH, PUT twin: the full twin" => twin_calls;
        Fact "PUT twin: drops what is absent, leaves reported" => put_twin;
        Fact "GET, PATCH twin of a device" => device_twin;
        Emulator "POST devices/query: modules of a device" => query;
        Emulator "POST devices/query: x-ms-item-type" => query_item_type;
        Fact "GET statistics/devices" => statistics;
    };
    all.extend(section! { "7.2 Preconditions":
        Fact "identity PUT, no If-Match: create only" => create_only;
        Fact "identity PUT, If-Match: update only" => update_only;
        Fact "identity PUT, stale If-Match: 412001" => stale;
        Fact "identity DELETE without If-Match: 412" => delete_without;
        Fact "identity DELETE of a missing one: 404" => delete_missing;
        Fact "twin PATCH and PUT: If-Match optional, stale 412" => twin_etag;
        Fact "If-Match spelling: quoted, unquoted, *" => spelling;
        Choice "identity etag: moves on identity writes only" => identity_etag;
        Fact "identity PUT body: without authentication new keys" => new_keys;
        Fact "identity PUT body: without managedBy it is cleared" => managed_by;
        Choice "identity PUT body: keys both or neither" => both_keys;
        Choice "module of a missing device: 401002" => module_of_missing_device;
        Choice "module of a disabled device: 401002, its twin works" => module_of_disabled_device;
        Choice "module twin of a missing device: 404" => twin_of_missing_device;
    });
    all.extend(section! { "7.3 Shapes":
        Fact "module identity: its members" => module_members;
        Choice "times never set" => times_never_set;
        Fact "generationId: new for each create" => generation;
        Fact "devices: status, modules have none" => device_members;
        Fact "module twin: its members" => twin_members;
        Fact "connectionState" => connection_state;
    });
    all.extend(section! { "7.4 Errors":
        Fact "header iothub-errorcode" => error_header;
        Choice "body A: Message and ExceptionMessage" => body_a;
        Choice "body B: errorCode, message, trackingId, timestampUtc" => body_b;
        Emulator "429: text, no Retry-After, connection closes" => throttled;
        Emulator "modules per device: 413003 above the cap" => module_cap with |rules: &mut iothub_emulator::Rules| rules.max_modules = 2;
        Fact "not JSON: 400" => not_json;
        Fact "no such path: 404" => no_such_path;
        Emulator "device credentials manage their own modules" => own_modules;
    });
    all
}

async fn api_versions(world: &mut World) -> anyhow::Result<()> {
    for version in ["2018-06-30", "2020-05-31-preview", "2020-09-30", "2021-04-12", "2024-03-31"] {
        let path = format!("{}?api-version={version}", world.device_path());
        let reply = world.call("GET", &path, Value::Null, &[]).await?;
        same(version, reply.status, 200)?;
    }
    Ok(())
}

async fn no_api_version(world: &mut World) -> anyhow::Result<()> {
    let path = format!("{}?api-version=", world.device_path());
    same("status", world.call("GET", &path, Value::Null, &[]).await?.status, 400)
}

async fn no_token(world: &mut World) -> anyhow::Result<()> {
    let path = world.device_path();
    let reply = world.call_as("", ("GET", &path), Value::Null, &[]).await?;
    same("status", reply.status, 401)
}

async fn registry_policy_on_twins(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    let policies = world.policies()?;
    let (name, key) =
        policies.iter().find(|(name, _)| name == "registryReadWrite").context("no such policy")?;
    let token = crate::signing::policy_token(name, key, &world.place.host, now() + 3600)?;
    let path = world.twin_path("m");
    let reply = world.call_as(&token, ("GET", &path), Value::Null, &[]).await?;
    same("status", reply.status, 401)
}

async fn encoded_ids(world: &mut World) -> anyhow::Result<()> {
    let id = "a-b:c.d%e_f*g!h(i)j,k=l@m;n'o";
    let module = world.module(id).await?;
    same("moduleId", &module.identity["moduleId"], &json!(id))?;
    let path = world.module_path(id);
    same("GET", &world.must("GET", &path, Value::Null).await?["moduleId"], &json!(id))
}

async fn id_length(world: &mut World) -> anyhow::Result<()> {
    let long = "m".repeat(128);
    same("128", &world.module(&long).await?.identity["moduleId"], &json!(long))?;
    let longer = "m".repeat(129);
    let path = world.module_path(&longer);
    let body = json!({"deviceId": world.device, "moduleId": longer});
    same("129", world.call("PUT", &path, body, &[]).await?.status, 400)?;
    let path = world.module_path("ä");
    let body = json!({"deviceId": world.device, "moduleId": "ä"});
    same("another alphabet", world.call("PUT", &path, body, &[]).await?.status, 400)
}

async fn reserved_ids(world: &mut World) -> anyhow::Result<()> {
    let path = world.module_path("$edgeAgent");
    let body = json!({"deviceId": world.device, "moduleId": "$edgeAgent"});
    same("status", world.call("PUT", &path, body, &[]).await?.status, 400)
}

async fn put_device(world: &mut World) -> anyhow::Result<()> {
    let device = world.another_device("-new");
    let body = json!({"deviceId": device, "status": "enabled", "authentication": {"type": "sas"}});
    let made = world.must("PUT", &format!("/devices/{device}"), body).await?;
    same("deviceId", &made["deviceId"], &json!(device))?;
    let key = &made["authentication"]["symmetricKey"]["primaryKey"];
    holds("it has a key", key.is_string())?;
    let body = json!({"deviceId": device, "moduleId": "m"});
    world.must("PUT", &format!("/devices/{device}/modules/m"), body).await.map(|_module| ())
}

async fn delete_device(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    let path = world.device_path();
    same("GET", world.call("GET", &path, Value::Null, &[]).await?.status, 200)?;
    let any = [("if-match", "*")];
    let reply = world.call("DELETE", &path, Value::Null, &any).await?;
    same("DELETE", (reply.status, reply.body.len()), (204, 0))?;
    let reply = world.call("GET", &path, Value::Null, &[]).await?;
    refused(&reply, 404, "DeviceNotFound")?;
    let body = json!({"deviceId": world.device});
    world.must("PUT", &path, body).await?;
    let path = format!("{path}/modules");
    same("its modules", world.must("GET", &path, Value::Null).await?, json!([]))
}

async fn list_devices(world: &mut World) -> anyhow::Result<()> {
    let other = world.another_device("-two");
    world.must("PUT", &format!("/devices/{other}"), json!({"deviceId": other})).await?;
    let list = world.must("GET", "/devices?top=1", Value::Null).await?;
    same("one of two or more", list.as_array().map(Vec::len), Some(1))?;
    let list = world.must("GET", "/devices?top=1000", Value::Null).await?;
    let ids: Vec<&Value> =
        list.as_array().into_iter().flatten().map(|one| &one["deviceId"]).collect();
    for device in [&world.device, &other] {
        holds(&format!("{device} is listed"), ids.contains(&&json!(device)))?;
    }
    Ok(())
}

async fn list_modules(world: &mut World) -> anyhow::Result<()> {
    let (one, two) = (world.module("a").await?, world.module("b").await?);
    let path = format!("{}/modules", world.device_path());
    let list = world.must("GET", &path, Value::Null).await?;
    let mut found: Vec<Value> = list.as_array().cloned().unwrap_or_default();
    found.sort_by_key(|module| module["moduleId"].as_str().unwrap_or_default().to_owned());
    same("modules", found, vec![one.identity, two.identity])
}

async fn put_module(world: &mut World) -> anyhow::Result<()> {
    let path = world.module_path("m");
    let body = json!({"moduleId": "m", "deviceId": world.device, "managedBy": "me",
        "authentication": {"type": "sas"}});
    let reply = world.call("PUT", &path, body, &[]).await?;
    holds(&format!("200 or 201, found {}", reply.status), matches!(reply.status, 200 | 201))?;
    same("managedBy", &reply.json()["managedBy"], &json!("me"))
}

async fn get_delete_module(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let path = world.module_path("m");
    let reply = world.call("GET", &path, Value::Null, &[]).await?;
    same("GET", (reply.status, reply.json()), (200, module.identity))?;
    let reply = world.call("DELETE", &path, Value::Null, &[("if-match", "*")]).await?;
    same("DELETE", (reply.status, reply.body.len()), (204, 0))?;
    let reply = world.call("GET", &path, Value::Null, &[]).await?;
    refused(&reply, 404, "ModuleNotFound")
}

async fn twin_calls(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    let path = world.twin_path("m");
    let body = json!({"tags": {"t": 1}, "properties": {"desired": {"d": 2}}});
    let patched = world.must("PATCH", &path, body).await?;
    same("tags", &patched["tags"], &json!({"t": 1}))?;
    same("desired", &patched["properties"]["desired"]["d"], &json!(2))?;
    same("GET", &world.must("GET", &path, Value::Null).await?, &patched)?;
    let body = json!({"tags": {}, "properties": {"desired": {"e": 3}}});
    let put = world.must("PUT", &path, body).await?;
    same("desired after PUT", &put["properties"]["desired"]["e"], &json!(3))
}

async fn put_twin(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.listening("m").await?;
    client.report("1", br#"{"r":1}"#).await?;
    let path = world.twin_path("m");
    let body = json!({"tags": {"t": 1}, "properties": {"desired": {"d": 2}}});
    world.must("PATCH", &path, body).await?;
    let put = world.must("PUT", &path, json!({"properties": {"desired": {"e": 3}}})).await?;
    same("tags", &put["tags"], &json!({}))?;
    same("d", &put["properties"]["desired"]["d"], &Value::Null)?;
    same("reported", &put["properties"]["reported"]["r"], &json!(1))
}

async fn device_twin(world: &mut World) -> anyhow::Result<()> {
    let path = format!("/twins/{}", encoded(&world.device));
    let twin = world.must("GET", &path, Value::Null).await?;
    same("deviceId", &twin["deviceId"], &json!(world.device))?;
    holds("no moduleId", twin.get("moduleId").is_none_or(Value::is_null))?;
    let body = json!({"properties": {"desired": {"d": 1}}});
    let twin = world.must("PATCH", &path, body).await?;
    same("desired.$version", &twin["properties"]["desired"]["$version"], &json!(2))
}

async fn ask(world: &mut World, query: &str) -> anyhow::Result<Reply> {
    world.call("POST", "/devices/query", json!({"query": query}), &[]).await
}

async fn query(world: &mut World) -> anyhow::Result<()> {
    world.module("a").await?;
    world.module("b").await?;
    let query =
        format!("select * from devices.modules where devices.deviceId = '{}'", world.device);
    let reply = ask(world, &query).await?;
    same("status", reply.status, 200)?;
    let rows = reply.json();
    let mut ids: Vec<String> = rows
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| row["moduleId"].as_str().unwrap_or_default().to_owned())
        .collect();
    ids.sort();
    same("modules", ids, vec!["a".to_owned(), "b".to_owned()])
}

async fn query_item_type(world: &mut World) -> anyhow::Result<()> {
    let reply = ask(world, "select * from devices").await?;
    same("x-ms-item-type", reply.header("x-ms-item-type").to_lowercase().as_str(), "twin")?;
    same("a broken query", ask(world, "select from where").await?.status, 400)
}

async fn statistics(world: &mut World) -> anyhow::Result<()> {
    let found = world.must("GET", "/statistics/devices", Value::Null).await?;
    for member in ["totalDeviceCount", "enabledDeviceCount", "disabledDeviceCount"] {
        holds(&format!("{member} is a number in {found}"), found[member].is_u64())?;
    }
    Ok(())
}

async fn create_only(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    let (device, module) = (world.device_path(), world.module_path("m"));
    let body = json!({"deviceId": world.device});
    let reply = world.call("PUT", &device, body, &[]).await?;
    refused(&reply, 409, "DeviceAlreadyExists")?;
    let body = json!({"deviceId": world.device, "moduleId": "m"});
    let reply = world.call("PUT", &module, body, &[]).await?;
    refused(&reply, 409, "ModuleAlreadyExistsOnDevice")
}

async fn update_only(world: &mut World) -> anyhow::Result<()> {
    let path = world.module_path("m");
    let body = json!({"deviceId": world.device, "moduleId": "m"});
    let reply = world.call("PUT", &path, body.clone(), &[("if-match", "*")]).await?;
    same("missing", reply.status, 404)?;
    world.module("m").await?;
    let reply = world.call("PUT", &path, body, &[("if-match", "*")]).await?;
    same("there", reply.status, 200)
}

async fn stale(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    let path = world.module_path("m");
    let body = json!({"deviceId": world.device, "moduleId": "m"});
    let reply = world.call("PUT", &path, body, &[("if-match", "\"c3RhbGU=\"")]).await?;
    refused(&reply, 412, "PreconditionFailed")
}

async fn delete_without(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    let path = world.module_path("m");
    same("status", world.call("DELETE", &path, Value::Null, &[]).await?.status, 412)
}

async fn delete_missing(world: &mut World) -> anyhow::Result<()> {
    let path = world.module_path("nobody");
    let reply = world.call("DELETE", &path, Value::Null, &[("if-match", "*")]).await?;
    same("status", reply.status, 404)
}

async fn twin_etag(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    let path = world.twin_path("m");
    let twin = world.must("GET", &path, Value::Null).await?;
    let etag = format!("\"{}\"", twin["etag"].as_str().context("an etag")?);
    let body = json!({"properties": {"desired": {"a": 1}}});
    let with = [("if-match", etag.as_str())];
    let reply = world.call("PATCH", &path, body.clone(), &with).await?;
    same("the right etag", reply.status, 200)?;
    for method in ["PATCH", "PUT"] {
        let reply = world.call(method, &path, body.clone(), &with).await?;
        refused(&reply, 412, "PreconditionFailed").context(method)?;
    }
    same("none at all", world.call("PATCH", &path, body, &[]).await?.status, 200)
}

async fn spelling(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    let path = world.twin_path("m");
    let body = json!({"properties": {"desired": {"a": 1}}});
    for wrap in ["\"", ""] {
        let twin = world.must("GET", &path, Value::Null).await?;
        let etag = format!("{wrap}{}{wrap}", twin["etag"].as_str().context("an etag")?);
        let reply = world.call("PATCH", &path, body.clone(), &[("if-match", &etag)]).await?;
        same(&etag, reply.status, 200)?;
    }
    for any in ["*", "\"*\""] {
        let reply = world.call("PATCH", &path, body.clone(), &[("if-match", any)]).await?;
        same(any, reply.status, 200)?;
    }
    Ok(())
}

async fn identity_etag(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    world.desire("m", json!({"a": 1})).await?;
    let path = world.module_path("m");
    let read = world.must("GET", &path, Value::Null).await?;
    same("after a twin write", &read["etag"], &module.identity["etag"])?;
    let reply = world.call("PUT", &path, read.clone(), &[("if-match", "*")]).await?;
    holds("another after an identity write", reply.json()["etag"] != read["etag"])
}

async fn new_keys(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let path = world.module_path("m");
    let body = json!({"deviceId": world.device, "moduleId": "m"});
    let identity = world.call("PUT", &path, body, &[("if-match", "*")]).await?.json();
    let again = Module { id: "m".to_owned(), identity };
    holds("the key is another", again.key()? != module.key()?)?;
    same("the old key", world.code(&world.login(&module)?, None).await?, 5)?;
    same("the new key", world.code(&world.login(&again)?, None).await?, 0)
}

async fn managed_by(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let path = world.module_path("m");
    let any = [("if-match", "*")];
    let mut body = module.identity.clone();
    body["managedBy"] = json!("me");
    let read = world.call("PUT", &path, body.clone(), &any).await?.json();
    same("set", &read["managedBy"], &json!("me"))?;
    if let Some(members) = body.as_object_mut() {
        members.remove("managedBy");
    }
    let read = world.call("PUT", &path, body, &any).await?.json();
    same("left out", &read["managedBy"], &Value::Null)
}

async fn both_keys(world: &mut World) -> anyhow::Result<()> {
    let path = world.module_path("m");
    let key = openssl::base64::encode_block(&[7; 32]);
    let body = json!({"deviceId": world.device, "moduleId": "m",
        "authentication": {"type": "sas", "symmetricKey": {"primaryKey": key}}});
    same("status", world.call("PUT", &path, body, &[]).await?.status, 400)
}

async fn module_of_missing_device(world: &mut World) -> anyhow::Result<()> {
    for (method, path) in [
        ("GET", "/devices/nobody-of-this-name/modules/m"),
        ("GET", "/devices/nobody-of-this-name/modules"),
        ("PUT", "/devices/nobody-of-this-name/modules/m"),
    ] {
        let body = if method == "PUT" { json!({"moduleId": "m"}) } else { Value::Null };
        let reply = world.call(method, path, body, &[]).await?;
        refused(&reply, 401, "IotHubUnauthorizedAccess").context(path)?;
    }
    Ok(())
}

async fn module_of_disabled_device(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    let path = world.device_path();
    let body = json!({"deviceId": world.device, "status": "disabled"});
    world.call("PUT", &path, body, &[("if-match", "*")]).await?;
    let (path, twin) = (world.module_path("m"), world.twin_path("m"));
    let reply = world.call("GET", &path, Value::Null, &[]).await?;
    refused(&reply, 401, "IotHubUnauthorizedAccess")?;
    let twin = world.must("GET", &twin, Value::Null).await?;
    same("its twin", &twin["moduleId"], &json!("m"))
}

async fn twin_of_missing_device(world: &mut World) -> anyhow::Result<()> {
    let path = "/twins/nobody-of-this-name/modules/m";
    same("status", world.call("GET", path, Value::Null, &[]).await?.status, 404)
}

/// Fails unless `found` has all of these members.
fn has(found: &Value, members: &[&str]) -> anyhow::Result<()> {
    for member in members {
        holds(&format!("`{member}` stands in {found}"), found.get(*member).is_some())?;
    }
    Ok(())
}

async fn module_members(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let members = [
        "moduleId",
        "managedBy",
        "deviceId",
        "generationId",
        "etag",
        "connectionState",
        "connectionStateUpdatedTime",
        "lastActivityTime",
        "cloudToDeviceMessageCount",
        "authentication",
    ];
    has(&module.identity, &members)?;
    let authentication = &module.identity["authentication"];
    has(authentication, &["symmetricKey", "x509Thumbprint", "type"])?;
    has(&authentication["symmetricKey"], &["primaryKey", "secondaryKey"])?;
    has(&authentication["x509Thumbprint"], &["primaryThumbprint", "secondaryThumbprint"])
}

async fn times_never_set(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    for member in ["connectionStateUpdatedTime", "lastActivityTime"] {
        let time = module.identity[member].as_str().unwrap_or_default();
        holds(&format!("{member}: {time}"), time.starts_with("0001-01-01T00:00:00"))?;
    }
    Ok(())
}

async fn generation(world: &mut World) -> anyhow::Result<()> {
    let first = world.module("m").await?;
    let path = world.module_path("m");
    world.must("DELETE", &path, Value::Null).await?;
    let second = world.module("m").await?;
    holds("another one", first.identity["generationId"] != second.identity["generationId"])
}

async fn device_members(world: &mut World) -> anyhow::Result<()> {
    let path = world.device_path();
    let device = world.must("GET", &path, Value::Null).await?;
    has(&device, &["deviceId", "status", "statusReason", "statusUpdatedTime", "capabilities"])?;
    let module = world.module("m").await?;
    holds("a module has no status", module.identity.get("status").is_none_or(Value::is_null))
}

async fn twin_members(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    let path = world.twin_path("m");
    let twin = world.must("GET", &path, Value::Null).await?;
    let members = [
        "deviceId",
        "moduleId",
        "etag",
        "deviceEtag",
        "status",
        "statusUpdateTime",
        "connectionState",
        "lastActivityTime",
        "cloudToDeviceMessageCount",
        "authenticationType",
        "x509Thumbprint",
        "modelId",
        "version",
        "properties",
    ];
    has(&twin, &members)?;
    for section in ["desired", "reported"] {
        has(&twin["properties"][section], &["$metadata", "$version"])?;
    }
    holds("no generationId", twin.get("generationId").is_none())?;
    holds("no managedBy", twin.get("managedBy").is_none())
}

async fn connection_state(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    same("at first", &module.identity["connectionState"], &json!("Disconnected"))?;
    if world.is_real() {
        // "Up to minutes late, for development only" (device identity page).
        return Ok(());
    }
    let _client = world.enter(&world.login(&module)?).await?;
    let path = world.module_path("m");
    let read = world.must("GET", &path, Value::Null).await?;
    same("connected", &read["connectionState"], &json!("Connected"))
}

async fn error_header(world: &mut World) -> anyhow::Result<()> {
    let reply = world.call("GET", "/devices/nobody-of-this-name", Value::Null, &[]).await?;
    refused(&reply, 404, "DeviceNotFound")
}

async fn body_a(world: &mut World) -> anyhow::Result<()> {
    let body = world.call("GET", "/devices/nobody-of-this-name", Value::Null, &[]).await?.json();
    let message = body["Message"].as_str().unwrap_or_default();
    holds(&format!("Message: {message}"), message.starts_with("ErrorCode:DeviceNotFound;"))?;
    let exception = body["ExceptionMessage"].as_str().unwrap_or_default();
    let is_tracked = exception.starts_with("Tracking ID:") && exception.contains("-TimeStamp:");
    holds(&format!("ExceptionMessage: {exception}"), is_tracked)
}

async fn body_b(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    let path = world.module_path("m");
    let body = json!({"deviceId": world.device, "moduleId": "m"});
    let body = world.call("PUT", &path, body, &[]).await?.json();
    same("errorCode", &body["errorCode"], &json!(409_301))?;
    has(&body, &["message", "trackingId", "timestampUtc"])
}

async fn throttled(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    world.fault("m", json!({"kind": "throttle", "side": "service", "count": 1})).await?;
    let path = world.twin_path("m");
    let reply = world.call("GET", &path, Value::Null, &[]).await?;
    refused(&reply, 429, "ThrottlingBacklogTimeout")?;
    same("connection", reply.header("connection"), "close")?;
    same("retry-after", reply.header("retry-after"), "")?;
    let message = reply.json()["Message"].as_str().unwrap_or_default().to_owned();
    let expected = "ErrorCode:ThrottlingBacklogTimeout;The request has been throttled. Wait ";
    holds(&format!("Message: {message}"), message.starts_with(expected))
}

async fn module_cap(world: &mut World) -> anyhow::Result<()> {
    world.module("a").await?;
    world.module("b").await?;
    let path = world.module_path("c");
    let body = json!({"deviceId": world.device, "moduleId": "c"});
    let reply = world.call("PUT", &path, body, &[]).await?;
    refused(&reply, 413, "TooManyModulesOnDevice")
}

async fn not_json(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    let path = world.twin_path("m");
    for body in [json!("a text"), json!([1]), json!(7)] {
        same(&body.to_string(), world.call("PATCH", &path, body, &[]).await?.status, 400)?;
    }
    Ok(())
}

async fn no_such_path(world: &mut World) -> anyhow::Result<()> {
    same("status", world.call("GET", "/nothing/here", Value::Null, &[]).await?.status, 404)
}

async fn own_modules(world: &mut World) -> anyhow::Result<()> {
    let path = world.device_path();
    let device = world.must("GET", &path, Value::Null).await?;
    let key = device["authentication"]["symmetricKey"]["primaryKey"].as_str().context("a key")?;
    let resource = format!("{}/devices/{}", world.place.host, world.device);
    let token = token(key, &resource, now() + 3600)?;
    let version = "api-version=2017-11-08-preview";
    let module = format!("{path}/modules/own?{version}");
    let body = json!({"deviceId": world.device, "moduleId": "own"});
    let reply = world.call_as(&token, ("PUT", &module), body, &[]).await?;
    same("PUT", reply.status, 200)?;
    let list = format!("{path}/modules?{version}");
    let reply = world.call_as(&token, ("GET", &list), Value::Null, &[]).await?;
    same("GET", reply.status, 200)?;
    let any = [("if-match", "*")];
    let reply = world.call_as(&token, ("DELETE", &module), Value::Null, &any).await?;
    same("DELETE", reply.status, 204)
}
