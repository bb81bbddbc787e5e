//! What goes wrong between gateway and hub is told apart, shown with its reason, and mended by
//! itself once it can be.

use std::time::Duration;

use modtwin_api::{HubReason, HubState, Status};
use modtwin_credentials::authority::CertificateAuthority;
use modtwin_credentials::request::KeyKind;
use modtwin_testkit::gateway::{DEVICE, Gateway, Validity};
use modtwin_testkit::stage::Stage;
use serde_json::json;

use crate::{MODTWIND, Story};

const M: &str = "m01";

/// Whether the first module is down for that reason, be it waiting or trying.
fn down_for(reason: HubReason) -> impl Fn(&Status) -> bool {
    move |status| {
        let hub = &status.modules[0].hub;
        hub.reason == reason && hub.state != HubState::Connected
    }
}

#[tokio::test]
async fn each_refusal_and_failure_has_its_own_reason_and_ends() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    for (kind, more, reason) in [
        ("refuse", json!({"code": 3}), HubReason::Throttled),
        ("refuse", json!({"code": 5}), HubReason::BadCredential),
        ("error", json!({}), HubReason::HubError),
        ("throttle", json!({}), HubReason::Throttled),
        ("quota", json!({}), HubReason::Quota),
    ] {
        stage.fault(kind, M, more).await?;
        stage.client().reconnect(M).await?;
        let awaited = format!("{kind} shown as {reason}");
        let status = stage.gateway.wait_for(&awaited, down_for(reason)).await?;
        assert!(status.modules[0].hub.detail.is_some(), "{kind}");
        stage.service.clear_faults().await?;
        // The wait after a refusal is long on purpose; an operator need not sit it out.
        stage.client().reconnect(M).await?;
        stage.gateway.wait_connected(1).await?;
    }
    stage.hub.kill()?;
    stage.gateway.wait_for("an outage shown as network", down_for(HubReason::Network)).await?;
    Ok(())
}

#[tokio::test]
async fn a_hub_whose_certificate_nobody_vouches_for_is_shown_as_tls() -> Story {
    let mut stage = Stage::build(MODTWIND, 1).await?;
    let now = std::time::SystemTime::now();
    let other = CertificateAuthority::create(
        "Other root",
        KeyKind::EcP256,
        now..now + Duration::from_secs(86_400),
    )?;
    let mut address = stage.hub.address();
    address.ca = stage.gateway.folder().join("other.pem");
    std::fs::write(&address.ca, other.certificate_pem()?)?;
    let mut gateway = Gateway::new(address)?;
    let authority = stage.hub.authority()?;
    gateway.certify(M, &authority, KeyKind::EcP256, Validity::Good)?;
    gateway.add_module(M, &Gateway::certificate_lines(M));
    let _daemon = gateway.start(std::path::Path::new(MODTWIND)).await?;
    let status = gateway.wait_for("the stranger shown as tls", down_for(HubReason::Tls)).await?;
    assert!(status.modules[0].hub.detail.is_some());
    assert_eq!(stage.count(M, "connects").await?, 0, "it connected all the same");
    Ok(())
}

#[tokio::test]
async fn a_token_that_the_hub_calls_expired_is_replaced_by_a_new_one() -> Story {
    let mut stage = Stage::build(MODTWIND, 0).await?;
    let key = stage.service.create_module_by_key(DEVICE, M).await?;
    let file = stage.gateway.folder().join("m01.txt");
    std::fs::write(&file, key)?;
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    stage.gateway.add_module(M, "shared-access-key-file = \"m01.txt\"\n");
    stage.start_daemon().await?;
    stage.gateway.wait_connected(1).await?;
    let connects = stage.count(M, "connects").await?;
    stage.fault("expire", M, json!({})).await?;
    stage
        .gateway
        .wait_for("a new session", |status| {
            status.modules[0].reconnects > 0 && status.modules[0].hub.state == HubState::Connected
        })
        .await?;
    assert!(stage.count(M, "connects").await? > connects);
    Ok(())
}

#[tokio::test]
async fn what_a_hub_forgot_of_the_reported_values_it_is_told_again() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    // A version line that never moved looks the same after it began anew.
    let version = stage.change(M, json!({"n": 1})).await?;
    stage.watch(M).await?.wait_version(version).await?;
    stage.report(M, json!({"serial": "A7", "deep": {"a": 1, "b": 2}})).await?;
    stage.report(M, json!({"deep": {"b": null}})).await?;
    let expected = json!({"serial": "A7", "deep": {"a": 1}});
    stage.wait_reported(M, |found| *found == expected).await?;
    stage
        .gateway
        .wait_for("the hub's consent", |status| status.modules[0].pending.keys == 0)
        .await?;
    stage.fault("recreate", M, json!({})).await?;
    stage.gateway.wait_for("a new life", |status| status.modules[0].generation == 2).await?;
    stage.wait_reported(M, |found| *found == expected).await?;
    // Nor is it forgotten where the daemon was away meanwhile.
    stage.kill_daemon()?;
    stage.service.delete_module(DEVICE, M).await?;
    stage.service.create_module_by_authority(DEVICE, M).await?;
    assert_eq!(stage.at_hub(M, "reported").await?, json!({}));
    stage.start_daemon().await?;
    stage.wait_reported(M, |found| *found == expected).await?;
    Ok(())
}

#[tokio::test]
async fn a_slow_hub_is_waited_for_and_keeps_its_connection() -> Story {
    let mut stage = Stage::start(MODTWIND, 2).await?;
    let mut spectator = stage.watch(M).await?;
    // Three filters are subscribed in turn, and all of that may take a hundred bases: 2 s here.
    stage.fault("delay", M, json!({"delay": "500ms"})).await?;
    stage.client().reconnect(M).await?;
    stage
        .gateway
        .wait_for("the slow session", |status| {
            let module = &status.modules[0];
            module.reconnects == 1 && module.hub.state == HubState::Connected
        })
        .await?;
    let connects = stage.count(M, "connects").await?;
    let version = stage.change(M, json!({"slow": true})).await?;
    spectator.wait_version(version).await?;
    let wait = modtwin_client::Wait::Hub { timeout: Duration::from_secs(20) };
    let patch = modtwin_testkit::stage::object(json!({"n": 1}))?;
    stage.client().report(M, &patch, wait).await?;
    assert_eq!(stage.count(M, "connects").await?, connects);
    Ok(())
}
