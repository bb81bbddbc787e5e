//! The main job: twenty modules, certificates of every usual kind, and some that are no good.

use modtwin_api::{HubReason, HubState};
use modtwin_client::Wait;
use modtwin_credentials::authority::CertificateAuthority;
use modtwin_credentials::request::KeyKind;
use modtwin_testkit::gateway::{DEVICE, Gateway, Validity};
use modtwin_testkit::stage::{Stage, module, name, object};
use serde_json::json;

use crate::{MODTWIND, Story};

fn authority(name: &str, kind: KeyKind) -> CertificateAuthority {
    let day = std::time::Duration::from_secs(24 * 3600);
    let now = std::time::SystemTime::now();
    CertificateAuthority::create(name, kind, now - 60 * day..now + 3650 * day).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_modules_sync_with_certificates_of_two_authorities_one_of_them_expired() -> Story {
    let mut stage = Stage::build(MODTWIND, 0).await?;
    let authorities = [
        (authority("EC root", KeyKind::EcP256), KeyKind::EcP256),
        (authority("RSA root", KeyKind::Rsa2048), KeyKind::Rsa2048),
    ];
    for (authority, _) in &authorities {
        stage.service.trust_authority(&authority.certificate_pem()?).await?;
    }
    for n in 1..=20 {
        let id = name(n);
        let (authority, kind) = &authorities[n % 2];
        let validity = if n == 7 { Validity::Expired } else { Validity::Good };
        stage.service.create_module_by_authority(DEVICE, &id).await?;
        stage.gateway.certify(&id, authority, *kind, validity)?;
        stage.gateway.add_module(&id, &Gateway::certificate_lines(&id));
        stage.change(&id, json!({"number": n})).await?;
    }
    stage.start_daemon().await?;
    let status = stage.gateway.wait_connected(19).await?;
    assert_eq!(status.modules.len(), 20);
    let expired = module(&status, &name(7))?;
    assert_eq!(
        (expired.hub.state, expired.hub.reason),
        (HubState::Disabled, HubReason::ExpiredCredential)
    );
    assert!(expired.hub.detail.as_deref().is_some_and(|detail| detail.contains("m07.pem")));
    let client = stage.client();
    for n in (1..=20).filter(|n| *n != 7) {
        let id = name(n);
        let snapshot = client.snapshot(&id).await?;
        assert_eq!(snapshot.desired, Some(object(json!({"number": n}))?), "{id}");
        assert!(!snapshot.stale);
        let wait = Wait::Hub { timeout: std::time::Duration::from_secs(20) };
        client.report(&id, &object(json!({"reached": n}))?, wait).await?;
        assert_eq!(stage.at_hub(&id, "reported").await?, json!({"reached": n}));
    }
    Ok(())
}

#[tokio::test]
async fn one_module_of_wrong_credentials_is_shown_and_the_other_serves() -> Story {
    let mut stage = Stage::build(MODTWIND, 1).await?;
    let hub_authority = stage.hub.authority()?;
    // The certificate of another module, under this one's name.
    for id in ["wrong-name", "not-yet", "no-file", "other-key", "stranger"] {
        stage.service.create_module_by_authority(DEVICE, id).await?;
        stage.gateway.certify(id, &hub_authority, KeyKind::EcP256, Validity::Good)?;
        stage.gateway.add_module(id, &Gateway::certificate_lines(id));
    }
    let folder = stage.gateway.folder().to_owned();
    std::fs::copy(folder.join("m01.pem"), folder.join("wrong-name.pem"))?;
    std::fs::copy(folder.join("m01.key"), folder.join("wrong-name.key"))?;
    std::fs::copy(folder.join("m01.key"), folder.join("other-key.key"))?;
    std::fs::remove_file(folder.join("no-file.pem"))?;
    stage.gateway.certify("not-yet", &hub_authority, KeyKind::EcP256, Validity::NotYet)?;
    let strange = authority("Strange root", KeyKind::EcP256);
    stage.gateway.certify("stranger", &strange, KeyKind::EcP256, Validity::Good)?;
    stage.start_daemon().await?;
    let expected = [
        ("wrong-name", HubState::Disabled, HubReason::Config),
        ("no-file", HubState::Disabled, HubReason::Config),
        ("other-key", HubState::Disabled, HubReason::Config),
        ("not-yet", HubState::Disconnected, HubReason::Clock),
        ("stranger", HubState::Disconnected, HubReason::BadCredential),
        ("m01", HubState::Connected, HubReason::Ok),
    ];
    let status = stage
        .gateway
        .wait_for("each module to stand as its credential deserves", |status| {
            expected.iter().all(|(id, state, reason)| {
                let found = module(status, id);
                // An attempt under way keeps the reason of the one before.
                found.is_ok_and(|found| {
                    found.hub.reason == *reason
                        && (found.hub.state == *state
                            || *state == HubState::Disconnected
                                && found.hub.state == HubState::Connecting)
                })
            })
        })
        .await?;
    let detail = module(&status, "wrong-name")?.hub.detail.clone().unwrap_or_default();
    assert!(detail.contains("gateway01/wrong-name"), "{detail}");
    Ok(())
}

#[tokio::test]
async fn a_module_with_a_symmetric_key_syncs_beside_certificates() -> Story {
    let mut stage = Stage::build(MODTWIND, 1).await?;
    let key = stage.service.create_module_by_key(DEVICE, "keyed").await?;
    let file = stage.gateway.folder().join("keyed.txt");
    std::fs::write(&file, key)?;
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    stage.gateway.add_module("keyed", "shared-access-key-file = \"keyed.txt\"\n");
    stage.start_daemon().await?;
    stage.gateway.wait_connected(2).await?;
    stage.report("keyed", json!({"token": true})).await?;
    stage.wait_reported("keyed", |found| *found == json!({"token": true})).await?;
    Ok(())
}
