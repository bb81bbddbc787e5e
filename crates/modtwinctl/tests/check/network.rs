//! Faults on the way to the hub and at the hub, where no daemon runs.

use std::fs;
use std::net::TcpListener;

use modtwin_credentials::authority::CertificateAuthority;
use modtwin_credentials::request::KeyKind;
use modtwin_testkit::gateway::DEVICE;

use crate::Story;
use crate::bench::{Bench, M};

#[tokio::test]
async fn where_nothing_is_wrong_but_that_no_daemon_runs_the_hub_is_asked_itself() -> Story {
    let mut bench = Bench::new().await?;
    let found = bench.check();
    found.warned("socket", "no daemon runs");
    assert_eq!(found.of_check("hub-identity")["result"], "ok", "{found:?}");
    assert_eq!(bench.stage.count(M, "connects").await?, 1);
    // As a person sees it.
    let ran = bench.run(&bench.stage.gateway.socket(), &[]);
    assert!(ran.success().starts_with("warning: socket: no daemon runs"), "{ran:?}");
    assert!(ran.stdout.lines().all(|line| line.chars().count() <= 80), "{ran:?}");
    assert!(!ran.stdout.contains('\u{1b}'), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn offline_nothing_is_connected_to() -> Story {
    let mut bench = Bench::new().await?;
    bench.argue(&["--offline"]);
    bench.stage.hub.kill()?;
    let found = bench.check();
    found.warned("socket", "no daemon runs");
    for check in ["hub-name", "hub-tcp", "hub-tls", "hub-identity"] {
        assert_eq!(found.of_check(check)["result"], "skipped", "{check}");
        assert_eq!(found.of_check(check)["text"], "--offline", "{check}");
    }
    Ok(())
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_is_told_before_what_follows() -> Story {
    let bench = Bench::new().await?;
    // A label is at most 63 characters (RFC 1035, section 2.3.4): no resolver asks for this one.
    let name = "x".repeat(64);
    bench.edit(|text| text.replace("hostname = \"localhost\"", &format!("hostname = \"{name}\"")));
    let found = bench.check();
    found.failed("hub-name", "cannot be resolved", &[]);
    assert_eq!(found.of_check("hub-identity")["because"], "hub-name");
    Ok(())
}

#[tokio::test]
async fn a_port_that_refuses_is_told_by_tcp() -> Story {
    let mut bench = Bench::new().await?;
    bench.stage.hub.kill()?;
    bench.check().failed("hub-tcp", "refused", &[]);
    Ok(())
}

#[tokio::test]
async fn a_port_that_takes_connections_and_stays_silent_is_told_within_the_time_limit() -> Story {
    let mut bench = Bench::new().await?;
    let silent = TcpListener::bind("127.0.0.1:0")?;
    dial(&bench, silent.local_addr()?.port());
    bench.argue(&["--timeout", "500ms"]);
    bench.check().failed("hub-tls", "no answer within 500ms", &[]);
    Ok(())
}

#[tokio::test]
async fn an_authority_that_did_not_sign_the_hub_is_told_by_tls() -> Story {
    let bench = Bench::new().await?;
    let now = std::time::SystemTime::now();
    let day = std::time::Duration::from_secs(86_400);
    let other = CertificateAuthority::create("other", KeyKind::EcP256, now - day..now + day)?;
    fs::write(bench.path("other.pem"), other.certificate_pem()?)?;
    let ca = bench.stage.hub.facts.ca.display().to_string();
    bench.edit(|text| text.replace(&ca, "other.pem"));
    bench.check().failed("hub-tls", "is not trusted", &[]);
    Ok(())
}

#[tokio::test]
async fn a_server_that_speaks_tls_and_no_mqtt_is_told() -> Story {
    let bench = Bench::new().await?;
    dial(&bench, bench.stage.hub.facts.https_port);
    bench.check().failed("hub-identity", "does not speak MQTT", &[]);
    Ok(())
}

#[tokio::test]
async fn over_websockets_the_way_is_checked_and_the_answer_left_to_the_daemon() -> Story {
    let bench = Bench::new().await?;
    dial(&bench, bench.stage.hub.facts.https_port);
    bench.edit(|text| text.replace("[socket]", "transport = \"websocket\"\n[socket]"));
    let found = bench.check();
    found.warned("socket", "no daemon runs");
    assert_eq!(found.of_check("hub-tls")["result"], "ok");
    let identity = found.of_check("hub-identity");
    assert_eq!(identity["result"], "skipped", "{identity}");
    assert_eq!(identity["text"], "over WebSockets the daemon alone connects: start it");
    Ok(())
}

#[tokio::test]
async fn an_identity_that_the_hub_does_not_know_is_told() -> Story {
    let mut bench = Bench::new().await?;
    bench.stage.service.delete_module(DEVICE, M).await?;
    bench.check().failed("hub-identity", "refuses this identity (code 5)", &[]);
    Ok(())
}

#[tokio::test]
async fn a_key_that_the_hub_does_not_have_is_told() -> Story {
    let mut bench = Bench::new().await?;
    bench.stage.service.create_module_by_key(DEVICE, "m02").await?;
    // A key by its form, and not that of the module.
    fs::write(bench.path("m02.key"), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")?;
    bench.mode("m02.key", 0o600);
    bench.edit(|text| text + "[[module]]\nid = \"m02\"\nshared-access-key-file = \"m02.key\"\n");
    let found = bench.check();
    found.failed_for("m02", "hub-identity", "refuses this identity");
    Ok(())
}

fn dial(bench: &Bench, port: u16) {
    let usual = format!("port = {}", bench.stage.hub.facts.mqtt_port);
    bench.edit(|text| text.replace(&usual, &format!("port = {port}")));
}
