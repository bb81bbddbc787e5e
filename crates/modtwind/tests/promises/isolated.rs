//! Promise 5: one module's trouble delays no other module.

use std::time::{Duration, Instant};

use modtwin_api::{HubReason, HubState};
use modtwin_client::Wait;
use modtwin_testkit::gateway::DEVICE;
use modtwin_testkit::stage::{Stage, module, name, object};
use serde_json::json;

use crate::{MODTWIND, Story};

const SICK: &str = "m01";
const ROUNDS: u64 = 12;

/// Runs echoes through all modules but the sick one, all modules at once: a desired change, its
/// watcher, its report, the hub's word on it. Returns all times, in order.
async fn echoes(stage: &Stage, modules: usize) -> anyhow::Result<Vec<Duration>> {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 2..=modules {
        let id = name(n);
        let mut service = stage.hub.service()?;
        let mut spectator = stage.watch(&id).await?;
        let client = stage.client();
        tasks.spawn(async move {
            let mut times = Vec::new();
            for round in 0..ROUNDS {
                let began = Instant::now();
                let stamp = format!("{n}-{round}-{:?}", std::time::SystemTime::now());
                let desired = json!({"stamp": stamp});
                let version = service.change_desired(DEVICE, &id, desired).await?;
                spectator.wait_version(version).await?;
                let wait = Wait::Hub { timeout: Duration::from_secs(30) };
                client.report(&id, &object(json!({"stamp": stamp}))?, wait).await?;
                times.push(began.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    let mut all = Vec::new();
    while let Some(times) = tasks.join_next().await {
        all.extend(times??);
    }
    all.sort();
    Ok(all)
}

fn p99(times: &[Duration]) -> Duration {
    times[times.len() * 99 / 100]
}

fn assert_close(what: &str, without: &[Duration], with: &[Duration]) {
    let (without, with) = (p99(without), p99(with));
    println!("{what}: p99 {without:?} without, {with:?} with");
    assert!(
        with < without * 4 + Duration::from_millis(250),
        "{what}: p99 {without:?} without, {with:?} with"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tls_peer_that_stalls_one_module_leaves_nineteen_as_quick_as_before() -> Story {
    let mut stage = Stage::start(MODTWIND, 20).await?;
    let without = echoes(&stage, 20).await?;
    // The next TCP connection is accepted and never answered, not even by TLS: the sick module's.
    stage.service.fault(json!({"kind": "stall", "count": 1})).await?;
    stage.client().reconnect(SICK).await?;
    stage
        .gateway
        .wait_for("the sick module to wait", |status| {
            module(status, SICK).is_ok_and(|it| it.hub.state == HubState::Connecting)
        })
        .await?;
    let with = echoes(&stage, 20).await?;
    assert_close("a stalled handshake", &without, &with);
    let status = stage.client().status().await?;
    assert_ne!(module(&status, SICK)?.hub.state, HubState::Connected, "it was not stalled at all");
    assert!(
        status.modules.iter().skip(1).all(|it| it.reconnects == 0),
        "the others were disturbed"
    );

    // The same between TLS and CONNACK.
    stage.service.clear_faults().await?;
    stage.client().reconnect(SICK).await?;
    stage.gateway.wait_connected(20).await?;
    stage.fault("stall", SICK, json!({})).await?;
    stage.client().reconnect(SICK).await?;
    let with = echoes(&stage, 20).await?;
    assert_close("a stalled CONNECT", &without, &with);
    stage.service.clear_faults().await?;
    stage.gateway.wait_connected(20).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttled_module_and_a_flooding_one_delay_no_other() -> Story {
    let mut stage = Stage::start(MODTWIND, 8).await?;
    let without = echoes(&stage, 8).await?;

    stage.fault("throttle", SICK, json!({})).await?;
    stage.report(SICK, json!({"held": "up"})).await?;
    stage
        .gateway
        .wait_for("the module to be held up", |status| {
            module(status, SICK).is_ok_and(|it| it.hub.reason == HubReason::Throttled)
        })
        .await?;
    let with = echoes(&stage, 8).await?;
    assert_close("a throttled module", &without, &with);
    stage.service.clear_faults().await?;
    stage.wait_reported(SICK, |found| found["held"] == "up").await?;

    let client = stage.client();
    let flood = tokio::spawn(async move {
        let mut count = 0_u64;
        loop {
            let patch = object(json!({"flood": count})).unwrap_or_default();
            if client.report(SICK, &patch, Wait::Stored).await.is_err() {
                return;
            }
            count += 1;
        }
    });
    let with = echoes(&stage, 8).await?;
    flood.abort();
    // The flood takes its share of the machine's two processors, which is not what is measured.
    let (without, with) = (p99(&without), p99(&with));
    println!("a flood: p99 {without:?} without, {with:?} with");
    assert!(with < without * 8 + Duration::from_millis(500), "{without:?} without, {with:?} with");
    Ok(())
}

#[tokio::test]
async fn a_hub_full_of_silence_does_not_silence_the_socket() -> Story {
    let mut stage = Stage::build(MODTWIND, 20).await?;
    stage.service.fault(json!({"kind": "stall"})).await?;
    stage.start_daemon().await?;
    for n in 1..=20 {
        let snapshot = stage.client().snapshot(&name(n)).await?;
        assert!(snapshot.stale);
        stage.report(&name(n), json!({"n": n})).await?;
    }
    stage.client().status().await?;
    stage.service.clear_faults().await?;
    Ok(())
}
