//! X.509 of every kind side by side in one daemon: what is good connects, what is not is told apart
//! and disturbs nobody.

use std::process::Command;
use std::time::SystemTime;

use modtwin_api::{HubReason, HubState};
use modtwin_credentials::Secret;
use modtwin_credentials::authority::CertificateAuthority;
use modtwin_credentials::request::{KeyKind, write_private};
use modtwin_testkit::gateway::{DEVICE, Gateway, Validity};
use modtwin_testkit::stage::Stage;

use crate::equipment::{DAY, Pair, hub, in_days, is_connected, is_down_for, of, run};
use crate::{MODTWIND, Story};

/// Adds a module that the hub knows by its authority, with these lines for its credential.
async fn by_authority(stage: &mut Stage, module: &str, lines: &str) -> Story {
    stage.service.create_module_by_authority(DEVICE, module).await?;
    stage.gateway.add_module(module, lines);
    Ok(())
}

/// The usual files of a module.
fn usual(module: &str) -> String {
    Gateway::certificate_lines(module)
}

/// Adds a module whose key has a password.
async fn locked(stage: &mut Stage, root: &CertificateAuthority) -> Story {
    Pair::signed("locked", root, KeyKind::EcP256, in_days(20))?.install(stage, "locked")?;
    let folder = stage.gateway.folder();
    write_private(&folder.join("locked.password"), &Secret::new("open sesame\n".to_owned()), true)?;
    run(Command::new("openssl")
        .args(["pkey", "-in", "locked.key", "-aes-256-cbc", "-passout", "file:locked.password"])
        .args(["-out", "locked.pkcs8"])
        .current_dir(folder))?;
    std::fs::rename(folder.join("locked.pkcs8"), folder.join("locked.key"))?;
    let lines = format!("{}private-key-password-file = \"locked.password\"\n", usual("locked"));
    by_authority(stage, "locked", &lines).await
}

#[tokio::test]
async fn every_good_kind_connects_beside_every_bad_one() -> Story {
    let mut stage = Stage::build(MODTWIND, 0).await?;
    let root = stage.hub.authority()?;
    let now = SystemTime::now();

    for (module, kind) in [("ecdsa", KeyKind::EcP256), ("rsa", KeyKind::Rsa2048)] {
        stage.gateway.certify(module, &root, kind, Validity::Good)?;
        by_authority(&mut stage, module, &usual(module)).await?;
    }

    // The hub knows the root alone: the file has to bring the intermediate.
    let validity = now - DAY..now + 30 * DAY;
    let between = root.create_intermediate("Plant 7", KeyKind::EcP256, validity.clone())?;
    for (module, brings_it) in [("chain", true), ("no-chain", false)] {
        let mut pair = Pair::signed(module, &between, KeyKind::EcP256, in_days(20))?;
        if brings_it {
            pair.certificate.push_str(&between.certificate_pem()?);
        }
        pair.install(&stage, module)?;
        by_authority(&mut stage, module, &usual(module)).await?;
    }

    locked(&mut stage, &root).await?;

    let own = Pair::self_signed("own")?;
    own.install(&stage, "own")?;
    hub(&stage, &["module", "create", DEVICE, "own", "--thumbprint", &own.thumbprint()?])?;
    stage.gateway.add_module("own", &usual("own"));

    for (module, validity) in [("expired", Validity::Expired), ("early", Validity::NotYet)] {
        stage.gateway.certify(module, &root, KeyKind::EcP256, validity)?;
        by_authority(&mut stage, module, &usual(module)).await?;
    }

    let stranger = CertificateAuthority::create("Stranger", KeyKind::EcP256, validity)?;
    Pair::signed("stranger", &stranger, KeyKind::EcP256, in_days(1))?
        .install(&stage, "stranger")?;
    by_authority(&mut stage, "stranger", &usual("stranger")).await?;

    stage.start_daemon().await?;
    let good = ["ecdsa", "rsa", "chain", "locked", "own"];
    let bad = [
        ("no-chain", HubReason::BadCredential),
        ("stranger", HubReason::BadCredential),
        ("expired", HubReason::ExpiredCredential),
        ("early", HubReason::Clock),
    ];
    let status = stage
        .gateway
        .wait_for("every module where it belongs", |status| {
            good.iter().all(|module| is_connected(status, module))
                && bad.iter().all(|(module, reason)| is_down_for(status, module, *reason))
        })
        .await?;
    let detail = |module: &str| of(&status, module).hub.detail.clone().unwrap_or_default();
    assert!(detail("expired").contains("expired on"), "{}", detail("expired"));
    assert!(detail("early").contains("check this machine's clock"), "{}", detail("early"));
    assert_eq!(of(&status, "expired").hub.state, HubState::Disabled);
    assert_eq!(of(&status, "chain").credential.as_ref().unwrap().days_left, Some(19));
    assert_eq!(of(&status, "ecdsa").reconnects, 0, "the bad ones disturbed it");
    Ok(())
}

#[tokio::test]
async fn systemds_credentials_are_found_in_their_folder() -> Story {
    let mut stage = Stage::build(MODTWIND, 1).await?;
    let secrets = stage.gateway.folder().join("secrets");
    std::fs::create_dir(&secrets)?;
    for file in ["m01.pem", "m01.key"] {
        std::fs::rename(stage.gateway.folder().join(file), secrets.join(file))?;
    }
    stage.gateway.remove_module("m01");
    let lines = "certificate = \"credential:m01.pem\"\nprivate-key = \"credential:m01.key\"\n";
    stage.gateway.add_module("m01", lines);
    stage.gateway.write_config()?;
    let folder = secrets.to_str().unwrap();
    let daemon = stage
        .gateway
        .spawn(std::path::Path::new(MODTWIND), &[("CREDENTIALS_DIRECTORY", folder)])?;
    stage.gateway.wait_connected(1).await?;
    drop(daemon);
    // Without the folder the module says what is missing in the unit.
    stage.start_daemon().await?;
    let status = stage
        .gateway
        .wait_for("a module without its folder", |status| {
            is_down_for(status, "m01", HubReason::Config)
        })
        .await?;
    let detail = of(&status, "m01").hub.detail.clone().unwrap_or_default();
    assert!(detail.contains("LoadCredential=m01.pem:PATH"), "{detail}");
    Ok(())
}

#[tokio::test]
async fn one_thumbprint_is_rolled_over_to_the_next_without_a_gap_in_trust() -> Story {
    let mut stage = Stage::build(MODTWIND, 0).await?;
    let (first, second) = (Pair::self_signed("m")?, Pair::self_signed("m")?);
    first.install(&stage, "m")?;
    hub(&stage, &["module", "create", DEVICE, "m", "--thumbprint", &first.thumbprint()?])?;
    stage.gateway.add_module("m", &usual("m"));
    stage.start_daemon().await?;
    stage.gateway.wait_connected(1).await?;
    // The registry learns of the second beside the first; the gateway changes; the first goes.
    let update = ["module", "update", DEVICE, "m"];
    let second_print = second.thumbprint()?;
    hub(&stage, &[&update[..], &["--secondary-thumbprint", &second_print]].concat())?;
    second.install(&stage, "m")?;
    stage
        .gateway
        .wait_for("the second certificate in use", |status| {
            is_connected(status, "m") && of(status, "m").reconnects == 1
        })
        .await?;
    hub(&stage, &[&update[..], &["--thumbprint", &second_print]].concat())?;
    stage.client().reconnect("m").await?;
    stage
        .gateway
        .wait_for("a connection without the first", |status| {
            is_connected(status, "m") && of(status, "m").reconnects == 2
        })
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_disabled_device_loses_its_modules_and_gets_them_back() -> Story {
    let stage = Stage::start(MODTWIND, 2).await?;
    hub(&stage, &["device", "disable", DEVICE])?;
    let refused = |status: &modtwin_api::Status| {
        ["m01", "m02"].iter().all(|module| is_down_for(status, module, HubReason::BadCredential))
    };
    let status = stage.gateway.wait_for("both modules refused", refused).await?;
    let detail = of(&status, "m01").hub.detail.clone().unwrap_or_default();
    assert!(detail.contains("disabled"), "the possible causes are named: {detail}");
    hub(&stage, &["device", "enable", DEVICE])?;
    for module in ["m01", "m02"] {
        stage.client().reconnect(module).await?;
    }
    stage.gateway.wait_connected(2).await?;
    Ok(())
}
