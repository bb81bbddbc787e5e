//! Section 2: tokens and connection strings.

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::case::{Case, holds, same};
use crate::section;
use crate::signing::{encoded, now, policy_token, signature, token};
use crate::target::connection_string;
use crate::world::{World, refused};

pub(crate) fn cases() -> Vec<Case> {
    section! { "2 SAS tokens":
        Fact "token: field order free" => field_order;
        Fact "sr: module, device and hub resources" => resources;
        Fact "sr: hex digits in either case, signed as they came" => hex_case;
        Fact "sr: host names compare without case" => host_case;
        Fact "sr: a prefix by whole segments" => whole_segments;
        Fact "sr: another resource is refused" => other_resource;
        Fact "se: a text that is no number is refused" => no_number;
        Fact "se: signed as it stands" => expiry_signed;
        Emulator "se: the hub ends the session" => session_ends;
        Fact "to sign: the published vectors" => vectors;
        Fact "sig: another signature is refused" => other_signature;
        Fact "keys: the secondary one counts too" => secondary_key;
        Fact "keys: base64 of 16 to 64 bytes" => key_sizes;
        Emulator "policies: five by default, each with its rights" => default_policies;
        Emulator "policies: device connects in the place of identities" => device_policy;
        Fact "policies: skn that nobody has is refused" => unknown_policy;
        Choice "clock: 5 minutes off is tolerated" => clock_tolerated;
        Fact "clock: more is refused" => clock_refused;
        Fact "connection string: service side" => service_string;
    }
}

async fn enters(world: &World, token: &str) -> anyhow::Result<u8> {
    world.code(&world.login_with("m", Some(token)), None).await
}

async fn field_order(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let (resource, expiry) = (encoded(&world.resource("m")), (now() + 3600).to_string());
    let sig = signature(module.key()?, &resource, &expiry)?;
    let (sr, sig, se) = (format!("sr={resource}"), format!("sig={sig}"), format!("se={expiry}"));
    for fields in [[&se, &sig, &sr], [&sig, &sr, &se], [&sr, &se, &sig]] {
        let token = format!("SharedAccessSignature {}&{}&{}", fields[0], fields[1], fields[2]);
        same(&token, enters(world, &token).await?, 0)?;
    }
    Ok(())
}

async fn resources(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let own = token(module.key()?, &world.resource("m"), now() + 3600)?;
    same("the module's", enters(world, &own).await?, 0)?;
    let path = world.device_path();
    let device = world.must("GET", &path, Value::Null).await?;
    let key = device["authentication"]["symmetricKey"]["primaryKey"].as_str().context("a key")?;
    let resource = format!("{}/devices/{}", world.place.host, world.device);
    let of_device = token(key, &resource, now() + 3600)?;
    let user_name = format!("{}/{}/?api-version=2021-04-12", world.place.host, world.device);
    let login = modtwin_testkit::mqtt::Login::new(&world.device, &user_name, Some(&of_device));
    same("the device's", world.code(&login, None).await?, 0)?;
    let service = world.call("GET", &path, Value::Null, &[]).await?;
    same("the hub's", service.status, 200)
}

async fn hex_case(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let expiry = (now() + 3600).to_string();
    let upper = encoded(&world.resource("m"));
    let lower = upper.replace("%2F", "%2f");
    for resource in [&upper, &lower] {
        let sig = signature(module.key()?, resource, &expiry)?;
        let token = format!("SharedAccessSignature sr={resource}&sig={sig}&se={expiry}");
        same(resource, enters(world, &token).await?, 0)?;
    }
    let sig = signature(module.key()?, &upper, &expiry)?;
    let token = format!("SharedAccessSignature sr={lower}&sig={sig}&se={expiry}");
    same("signed in one case, sent in the other", enters(world, &token).await?, 5)
}

async fn host_case(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let host = world.place.host.to_uppercase();
    let resource = format!("{host}/devices/{}/modules/m", world.device);
    let token = token(module.key()?, &resource, now() + 3600)?;
    same("CONNACK", enters(world, &token).await?, 0)
}

async fn whole_segments(world: &mut World) -> anyhow::Result<()> {
    let path = world.module_path("m");
    world.module("m").await?;
    let (policy, key) = (world.place.policy.clone(), world.place.key.clone());
    let over = format!("{}/devices/{}", world.place.host, world.device);
    let covering = policy_token(&policy, &key, &over, now() + 3600)?;
    let reply = world.call_as(&covering, ("GET", &path), Value::Null, &[]).await?;
    same("a resource above", reply.status, 200)?;
    let cut = &over[..over.len() - 1];
    let token = policy_token(&policy, &key, cut, now() + 3600)?;
    let reply = world.call_as(&token, ("GET", &path), Value::Null, &[]).await?;
    refused(&reply, 401, "IotHubUnauthorizedAccess").context("a prefix of the last segment")
}

async fn other_resource(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let host = &world.place.host;
    let others = [
        world.resource("n"),
        format!("other.{host}/devices/{}/modules/m", world.device),
        format!("{}/x", world.resource("m")),
    ];
    for resource in others {
        let token = token(module.key()?, &resource, now() + 3600)?;
        same(&resource, enters(world, &token).await?, 5)?;
    }
    Ok(())
}

async fn no_number(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let resource = encoded(&world.resource("m"));
    for expiry in ["soon", "", "-1", "1e12"] {
        let sig = signature(module.key()?, &resource, expiry)?;
        let token = format!("SharedAccessSignature sr={resource}&sig={sig}&se={expiry}");
        same(expiry, enters(world, &token).await?, 5)?;
    }
    Ok(())
}

async fn expiry_signed(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let good = token(module.key()?, &world.resource("m"), now() + 3600)?;
    let (rest, _) = good.split_once("&se=").context("an expiry")?;
    let later = format!("{rest}&se={}", now() + 7200);
    same("CONNACK", enters(world, &later).await?, 5)
}

async fn session_ends(world: &mut World) -> anyhow::Result<()> {
    let (mut client, _) = world.connected("m").await?;
    holds("the link lives", client.is_alive().await?)?;
    world.control("POST", "clock", json!({"shift": "1h1s"})).await?;
    client.closed().await
}

/// The fact sheet's two vectors pin this suite's own signer, which all other cases rely on.
async fn vectors(_world: &mut World) -> anyhow::Result<()> {
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let resource = "myhub.azure-devices.net%2Fdevices%2Fgw01%2Fmodules%2Fcam-1";
    let expected = "a70LFFwG67SzQMDhEODP96zutkjwj3GobdrspSE%2FQYE%3D";
    same("module", signature(key, resource, "1767225600")?.as_str(), expected)?;
    let expected = "mnVOCy0ieupY1%2FH3BnSINnUcRqZRXaiw4do9WEOWXUI%3D";
    same("service", signature(key, "myhub.azure-devices.net", "1767225600")?.as_str(), expected)
}

async fn other_signature(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let (resource, expiry) = (encoded(&world.resource("m")), now() + 3600);
    for sig in ["", "AAAA", "not%20base64!", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%3D"] {
        let token = format!("SharedAccessSignature sr={resource}&sig={sig}&se={expiry}");
        same(sig, enters(world, &token).await?, 5)?;
    }
    let _unused = module;
    Ok(())
}

async fn secondary_key(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let key = module.key_named("secondaryKey")?;
    let token = token(key, &world.resource("m"), now() + 3600)?;
    same("CONNACK", enters(world, &token).await?, 0)
}

async fn key_sizes(world: &mut World) -> anyhow::Result<()> {
    for (size, status) in [(15, 400), (16, 200), (64, 200), (65, 400)] {
        let key = openssl::base64::encode_block(&vec![7; size]);
        let id = format!("m{size}");
        let path = world.module_path(&id);
        let keys = json!({"primaryKey": key, "secondaryKey": key});
        let body = json!({"deviceId": world.device, "moduleId": id,
            "authentication": {"type": "sas", "symmetricKey": keys}});
        let reply = world.call("PUT", &path, body, &[]).await?;
        same(&format!("{size} bytes"), reply.status, status)?;
    }
    Ok(())
}

async fn default_policies(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    let policies = world.policies()?;
    let mut names: Vec<&str> = policies.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    same(
        "names",
        names,
        vec!["device", "iothubowner", "registryRead", "registryReadWrite", "service"],
    )?;
    let (path, twin) = (world.module_path("m"), world.twin_path("m"));
    for (name, key) in &policies {
        let token = policy_token(name, key, &world.place.host, now() + 3600)?;
        let (reads, writes, serves) = match name.as_str() {
            "iothubowner" => (true, true, true),
            "registryRead" => (true, false, false),
            "registryReadWrite" => (true, true, false),
            "service" => (false, false, true),
            _ => (false, false, false),
        };
        let any = [("if-match", "*")];
        for (call, body, granted) in [
            (("GET", &path), Value::Null, reads),
            (("PUT", &path), json!({}), writes),
            (("GET", &twin), Value::Null, serves),
        ] {
            let target = (call.0, call.1.as_str());
            let reply = world.call_as(&token, target, body, &any).await?;
            let expected = if granted { 200 } else { 401 };
            same(&format!("{name}: {} {}", call.0, call.1), reply.status, expected)?;
        }
    }
    Ok(())
}

async fn device_policy(world: &mut World) -> anyhow::Result<()> {
    world.module("m").await?;
    for (name, key) in world.policies()? {
        let token = policy_token(&name, &key, &world.place.host, now() + 3600)?;
        let expected = if ["device", "iothubowner"].contains(&name.as_str()) { 0 } else { 5 };
        same(&name, enters(world, &token).await?, expected)?;
    }
    Ok(())
}

async fn unknown_policy(world: &mut World) -> anyhow::Result<()> {
    let path = world.device_path();
    let token = policy_token("nobody", &world.place.key, &world.place.host, now() + 3600)?;
    let reply = world.call_as(&token, ("GET", &path), Value::Null, &[]).await?;
    refused(&reply, 401, "IotHubUnauthorizedAccess")
}

async fn clock_tolerated(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let token = token(module.key()?, &world.resource("m"), now() - 200)?;
    same("ended 200 s ago", enters(world, &token).await?, 0)
}

async fn clock_refused(world: &mut World) -> anyhow::Result<()> {
    let module = world.module("m").await?;
    let token = token(module.key()?, &world.resource("m"), now() - 660)?;
    same("ended 11 minutes ago", enters(world, &token).await?, 5)
}

async fn service_string(world: &mut World) -> anyhow::Result<()> {
    let place = &world.place;
    let text = format!(
        "HostName={};SharedAccessKeyName={};SharedAccessKey={}",
        place.host, place.policy, place.key
    );
    let [host, policy, key] = connection_string(&text)?;
    same("host", &host, &place.host)?;
    same("policy", &policy, &place.policy)?;
    holds(
        "the key is base64, split at the first = only",
        openssl::base64::decode_block(&key).is_ok(),
    )
}
