//! Section 3: modules that show a certificate.

use modtwin_testkit::dialer::Shown;
use openssl::hash::MessageDigest;
use serde_json::{Value, json};

use crate::case::{Case, holds, same};
use crate::certificates::{Authority, self_signed, self_signed_between, thumbprint};
use crate::section;
use crate::world::{World, refused};

pub(crate) fn cases() -> Vec<Case> {
    section! { "3 X.509 modules":
        Fact "CN: {d}/{m}" => common_name;
        Choice "CN: case-sensitive, no backslash" => common_name_exactly;
        Fact "authentication.type: the three of modules" => types;
        Choice "authentication.type: none becomes sas for modules" => none_of_a_module;
        Choice "authentication.type: none is refused for devices" => none_of_a_device;
        Fact "selfSigned: SHA-1 thumbprint" => sha1;
        Fact "selfSigned: SHA-256 thumbprint" => sha256;
        Fact "selfSigned: the secondary thumbprint counts too" => secondary;
        Fact "selfSigned: both of one length" => one_length;
        Fact "selfSigned: no separators" => separators;
        Fact "selfSigned: stored as written, compared without case" => written_case;
        Emulator "certificateAuthority: chain to a registered CA, through an intermediate" => chain;
        Emulator "certificateAuthority: a chain to another CA is refused" => other_chain;
        Emulator "certificateAuthority: an intermediate that is not sent along" => without_intermediate;
        Emulator "certificateAuthority: the CN counts" => chain_of_another;
        Fact "Expiry: a leaf out of date is refused" => expired_leaf;
        Fact "Expiry: a leaf not yet valid is refused" => early_leaf;
        Choice "CN for thumbprint modules: checked" => thumbprint_name;
        Emulator "CN for thumbprint modules: the switch turns it off" => thumbprint_name_off with |rules: &mut iothub_emulator::Rules| rules.thumbprint_needs_name = false;
        Fact "Device certificate: no use for a module" => device_certificate;
        Fact "Registry field: x509Thumbprint, keys null" => registry_field;
        Emulator "Session at the certificate's end: stays, the next connect is refused" => session_outlives;
    }
}

/// Creates the module with thumbprints and tries what is shown.
async fn by_thumbprint(
    world: &mut World,
    prints: (&str, &str),
    shown: &Shown,
) -> anyhow::Result<u8> {
    let both = json!({"primaryThumbprint": prints.0, "secondaryThumbprint": prints.1});
    world.module_by("m", json!({"type": "selfSigned", "x509Thumbprint": both})).await?;
    world.code(&world.login_with("m", None), Some(shown)).await
}

fn own(world: &World) -> anyhow::Result<Shown> {
    self_signed(&format!("{}/m", world.device))
}

async fn common_name(world: &mut World) -> anyhow::Result<()> {
    let shown = own(world)?;
    let print = thumbprint(&shown, MessageDigest::sha256())?;
    same("CONNACK", by_thumbprint(world, (&print, &print), &shown).await?, 0)
}

async fn common_name_exactly(world: &mut World) -> anyhow::Result<()> {
    for name in [format!("{}/M", world.device), format!("{}\\/m", world.device)] {
        let shown = self_signed(&name)?;
        let print = thumbprint(&shown, MessageDigest::sha256())?;
        same(&name, by_thumbprint(world, (&print, &print), &shown).await?, 5)?;
        let path = world.module_path("m");
        world.must("DELETE", &path, Value::Null).await?;
    }
    Ok(())
}

async fn types(world: &mut World) -> anyhow::Result<()> {
    let print = "A".repeat(40);
    let prints = json!({"primaryThumbprint": print, "secondaryThumbprint": print});
    for authentication in [
        json!({"type": "sas"}),
        json!({"type": "certificateAuthority"}),
        json!({"type": "selfSigned", "x509Thumbprint": prints}),
    ] {
        let kind = authentication["type"].clone();
        let id = format!("m-{}", kind.as_str().unwrap_or_default());
        let module = world.module_by(&id, authentication).await?;
        same("type", &module.identity["authentication"]["type"], &kind)?;
        let path = world.twin_path(&id);
        let twin = world.must("GET", &path, Value::Null).await?;
        same("authenticationType", &twin["authenticationType"], &kind)?;
    }
    Ok(())
}

async fn none_of_a_module(world: &mut World) -> anyhow::Result<()> {
    let module = world.module_by("m", json!({"type": "none"})).await?;
    same("type", &module.identity["authentication"]["type"], &json!("sas"))?;
    holds("it has a key", module.key().is_ok())
}

async fn none_of_a_device(world: &mut World) -> anyhow::Result<()> {
    let device = world.another_device("-x");
    let body = json!({"deviceId": device, "authentication": {"type": "none"}});
    let reply = world.call("PUT", &format!("/devices/{device}"), body, &[]).await?;
    same("status", reply.status, 400)
}

async fn sha1(world: &mut World) -> anyhow::Result<()> {
    let shown = own(world)?;
    let print = thumbprint(&shown, MessageDigest::sha1())?;
    same("CONNACK", by_thumbprint(world, (&print, &print), &shown).await?, 0)
}

async fn sha256(world: &mut World) -> anyhow::Result<()> {
    common_name(world).await
}

async fn secondary(world: &mut World) -> anyhow::Result<()> {
    let shown = own(world)?;
    let print = thumbprint(&shown, MessageDigest::sha256())?;
    let other = "0".repeat(64);
    same("CONNACK", by_thumbprint(world, (&other, &print), &shown).await?, 0)
}

async fn refuses_prints(world: &mut World, prints: Value) -> anyhow::Result<()> {
    let path = world.module_path("m");
    let body = json!({"deviceId": world.device, "moduleId": "m",
        "authentication": {"type": "selfSigned", "x509Thumbprint": prints}});
    let reply = world.call("PUT", &path, body, &[]).await?;
    same("status", reply.status, 400)
}

async fn one_length(world: &mut World) -> anyhow::Result<()> {
    let (short, long) = ("A".repeat(40), "A".repeat(64));
    refuses_prints(world, json!({"primaryThumbprint": short, "secondaryThumbprint": long})).await
}

async fn separators(world: &mut World) -> anyhow::Result<()> {
    for print in [["AB"; 20].join(":"), ["AB"; 20].join(" "), "G".repeat(40), "A".repeat(41)] {
        let prints = json!({"primaryThumbprint": print, "secondaryThumbprint": print});
        refuses_prints(world, prints).await?;
    }
    Ok(())
}

async fn written_case(world: &mut World) -> anyhow::Result<()> {
    let shown = own(world)?;
    let print = thumbprint(&shown, MessageDigest::sha256())?.to_uppercase();
    same("CONNACK", by_thumbprint(world, (&print, &print), &shown).await?, 0)?;
    let path = world.module_path("m");
    let module = world.must("GET", &path, Value::Null).await?;
    let stored = &module["authentication"]["x509Thumbprint"]["primaryThumbprint"];
    same("as written", stored, &json!(print))
}

async fn by_authority(world: &mut World, shown: &Shown) -> anyhow::Result<u8> {
    world.module_by("m", json!({"type": "certificateAuthority"})).await?;
    world.code(&world.login_with("m", None), Some(shown)).await
}

async fn chain(world: &mut World) -> anyhow::Result<()> {
    let root = Authority::root("conformance root")?;
    world.trust(root.pem()?).await?;
    let shown =
        root.intermediate("conformance intermediate")?.sign(&format!("{}/m", world.device))?;
    same("CONNACK", by_authority(world, &shown).await?, 0)
}

async fn other_chain(world: &mut World) -> anyhow::Result<()> {
    world.trust(Authority::root("conformance root")?.pem()?).await?;
    // Named alike, signed by another key.
    let shown = Authority::root("conformance root")?.sign(&format!("{}/m", world.device))?;
    same("CONNACK", by_authority(world, &shown).await?, 5)
}

async fn without_intermediate(world: &mut World) -> anyhow::Result<()> {
    let root = Authority::root("conformance root")?;
    world.trust(root.pem()?).await?;
    let intermediate = root.intermediate("conformance intermediate")?;
    let mut shown = intermediate.sign(&format!("{}/m", world.device))?;
    shown.chain.truncate(1);
    same("CONNACK", by_authority(world, &shown).await?, 5)
}

async fn chain_of_another(world: &mut World) -> anyhow::Result<()> {
    let root = Authority::root("conformance root")?;
    world.trust(root.pem()?).await?;
    let shown = root.sign(&format!("{}/n", world.device))?;
    same("CONNACK", by_authority(world, &shown).await?, 5)
}

async fn out_of_date(world: &mut World, span: (i64, i64)) -> anyhow::Result<()> {
    let shown = self_signed_between(&format!("{}/m", world.device), span)?;
    let print = thumbprint(&shown, MessageDigest::sha256())?;
    same("CONNACK", by_thumbprint(world, (&print, &print), &shown).await?, 5)
}

async fn expired_leaf(world: &mut World) -> anyhow::Result<()> {
    out_of_date(world, (-7200, -3600)).await
}

async fn early_leaf(world: &mut World) -> anyhow::Result<()> {
    out_of_date(world, (3600, 7200)).await
}

async fn misnamed(world: &mut World) -> anyhow::Result<u8> {
    let shown = self_signed("somebody")?;
    let print = thumbprint(&shown, MessageDigest::sha256())?;
    by_thumbprint(world, (&print, &print), &shown).await
}

async fn thumbprint_name(world: &mut World) -> anyhow::Result<()> {
    same("CONNACK", misnamed(world).await?, 5)
}

async fn thumbprint_name_off(world: &mut World) -> anyhow::Result<()> {
    same("CONNACK", misnamed(world).await?, 0)
}

async fn device_certificate(world: &mut World) -> anyhow::Result<()> {
    let device = world.another_device("-x509");
    let shown = self_signed(&device)?;
    let print = thumbprint(&shown, MessageDigest::sha256())?;
    let prints = json!({"primaryThumbprint": print, "secondaryThumbprint": print});
    let body = json!({"deviceId": device, "authentication": {"type": "selfSigned", "x509Thumbprint": prints}});
    world.must("PUT", &format!("/devices/{device}"), body).await?;
    let body = json!({"deviceId": device, "moduleId": "m", "authentication": {"type": "certificateAuthority"}});
    world.must("PUT", &format!("/devices/{device}/modules/m"), body).await?;
    let host = &world.place.host;
    let login = modtwin_testkit::mqtt::Login::new(
        &format!("{device}/m"),
        &format!("{host}/{device}/m/?api-version=2021-04-12"),
        None,
    );
    same("for the module", world.code(&login, Some(&shown)).await?, 5)?;
    let login = modtwin_testkit::mqtt::Login::new(
        &device,
        &format!("{host}/{device}/?api-version=2021-04-12"),
        None,
    );
    same("for the device", world.code(&login, Some(&shown)).await?, 0)
}

async fn registry_field(world: &mut World) -> anyhow::Result<()> {
    let print = "0123456789abcdefABCDEF0123456789abcdefAB";
    let prints = json!({"primaryThumbprint": print, "secondaryThumbprint": print});
    let authentication = json!({"type": "selfSigned", "x509Thumbprint": prints});
    let module = world.module_by("m", authentication).await?;
    let found = &module.identity["authentication"];
    same("x509Thumbprint", &found["x509Thumbprint"], &prints)?;
    let keys = &found["symmetricKey"];
    same("primaryKey", &keys["primaryKey"], &Value::Null)?;
    same("secondaryKey", &keys["secondaryKey"], &Value::Null)?;
    let path = world.module_path("n");
    let reply = world.call("GET", &path, Value::Null, &[]).await?;
    refused(&reply, 404, "ModuleNotFound")
}

async fn session_outlives(world: &mut World) -> anyhow::Result<()> {
    let shown = self_signed_between(&format!("{}/m", world.device), (-60, 3600))?;
    let print = thumbprint(&shown, MessageDigest::sha256())?;
    let prints = json!({"primaryThumbprint": print, "secondaryThumbprint": print});
    world.module_by("m", json!({"type": "selfSigned", "x509Thumbprint": prints})).await?;
    let login = world.login_with("m", None);
    let (mut client, code) = world.try_login(&login, Some(&shown)).await?;
    same("CONNACK", code, 0)?;
    world.control("POST", "clock", json!({"shift": "2h"})).await?;
    holds("the link lives", client.is_alive().await?)?;
    same("the next connect", world.code(&login, Some(&shown)).await?, 5)
}
