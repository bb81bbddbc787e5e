//! Promise 4: what was answered as stored survives `kill -9` and reaches the hub; one refused key
//! never blocks the rest.

use std::time::Duration;

use modtwin_api::{HubState, ProblemKind};
use modtwin_client::Wait;
use modtwin_testkit::patience::{LONG, Look, until};
use modtwin_testkit::stage::{Stage, object};
use serde_json::{Map, Value, json};

use crate::{MODTWIND, Story};

const M: &str = "m01";

#[tokio::test]
async fn a_report_killed_between_stored_and_the_hubs_answer_arrives() -> Story {
    for kind in ["lose-response", "blackhole", "throttle", "error"] {
        let mut stage = Stage::start(MODTWIND, 1).await?;
        stage.report(M, json!({"doomed": 1, "kept": 1})).await?;
        stage.wait_reported(M, |found| found["doomed"] == 1).await?;
        stage.fault(kind, M, json!({})).await?;
        stage.report(M, json!({"kind": kind, "doomed": null})).await?;
        stage.kill_daemon()?;
        stage.service.clear_faults().await?;
        stage.start_daemon().await?;
        let expected = json!({"kind": kind, "kept": 1});
        stage.wait_reported(M, |found| *found == expected).await?;
        stage
            .gateway
            .wait_for("nothing to wait for the hub any more", |status| {
                status.modules[0].pending.keys == 0
                    && status.modules[0].hub.state == HubState::Connected
            })
            .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_stored_survives_many_kills_at_random_moments() -> Story {
    let mut stage = Stage::start(MODTWIND, 2).await?;
    let mut expected = [Map::new(), Map::new()];
    // A fixed sequence: a test must fail the same way twice.
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    for round in 0..12 {
        let client = stage.client();
        let (count, mut counted) = tokio::sync::watch::channel(0);
        let reporter = tokio::spawn(async move {
            // What was answered as stored, in order; the last one asked for may be stored or not.
            let mut stored = Vec::new();
            for n in 0_u64.. {
                let module = usize::try_from(n % 2).unwrap_or_default();
                let patch = match n % 5 {
                    4 => json!({ format!("k{}", n % 3): null }),
                    _ => json!({ format!("k{}", n % 3): n, "round": round, "last": n }),
                };
                let patch = object(patch).unwrap();
                let id = ["m01", "m02"][module];
                match client.report(id, &patch, Wait::Stored).await {
                    Ok(_) => {
                        stored.push((module, patch));
                        count.send_replace(stored.len() as u64);
                    }
                    Err(_) => return (stored, (module, patch)),
                }
            }
            unreachable!("there are enough numbers");
        });
        let moment = 3 + dice.below(100);
        counted.wait_for(|count| *count >= moment).await?;
        stage.kill_daemon()?;
        let (stored, (module, perhaps)) = reporter.await?;
        for (module, patch) in stored {
            modtwin_core::document::merge(&mut expected[module], &patch);
        }
        stage.start_daemon().await?;
        // The report in flight at the kill was never answered: both outcomes are right.
        let mut with = expected.clone();
        modtwin_core::document::merge(&mut with[module], &perhaps);
        for (n, id) in ["m01", "m02"].iter().enumerate() {
            let (without, with) =
                (Value::Object(expected[n].clone()), Value::Object(with[n].clone()));
            let found = stage
                .wait_reported(id, |found| {
                    modulo_order(found) == modulo_order(&without)
                        || modulo_order(found) == modulo_order(&with)
                })
                .await?;
            expected[n] = object(found)?;
        }
        // It may arrive as late as this: only what has left the outbox is certain.
        stage
            .gateway
            .wait_for("an empty outbox", |status| {
                status.modules.iter().all(|module| {
                    module.pending.keys == 0 && !module.hub.state.eq(&HubState::Connecting)
                })
            })
            .await?;
        for (n, id) in ["m01", "m02"].iter().enumerate() {
            expected[n] = object(stage.at_hub(id, "reported").await?)?;
        }
    }
    Ok(())
}

/// A document's text: its keys are in order.
fn modulo_order(value: &Value) -> String {
    value.to_string()
}

/// Pseudo-random numbers (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[tokio::test]
async fn acknowledgements_survive_a_kill() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    let version = stage.change(M, json!({"n": 1})).await?;
    let mut spectator = stage.watch(M).await?;
    spectator.wait_version(version).await?;
    let ack = modtwin_api::AckRequest {
        version,
        generation: None,
        status: 200,
        description: Some("done".to_owned()),
        handler: Some("hvac".to_owned()),
        paths: Vec::new(),
    };
    stage.client().acknowledge(M, &ack).await?;
    stage.kill_daemon()?;
    stage.hub.kill()?;
    stage.start_daemon().await?;
    let applied = until("the acknowledgement", LONG, async || {
        let snapshot = stage.client().snapshot(M).await?;
        Ok(match snapshot.applied.first() {
            Some(applied) => Look::Found(applied.clone()),
            None => Look::NotYet("none".to_owned()),
        })
    })
    .await?;
    assert_eq!((applied.handler.as_str(), applied.version, applied.status), ("hvac", version, 200));
    Ok(())
}

#[tokio::test]
async fn offline_the_hubs_word_times_out_and_the_report_stays() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    stage.hub.kill()?;
    let wait = Wait::Hub { timeout: Duration::from_secs(1) };
    let late = stage.client().report(M, &object(json!({"late": 1}))?, wait).await.unwrap_err();
    assert_eq!(late.problem_kind(), Some(ProblemKind::Timeout), "{late}");
    let snapshot = stage.client().snapshot(M).await?;
    assert_eq!(snapshot.pending, object(json!({"late": 1}))?);
    stage.hub.restart().await?;
    stage.service = stage.hub.service()?;
    stage.wait_reported(M, |found| found["late"] == 1).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_keep_their_order_while_the_link_is_cut_again_and_again() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    stage.fault("lose-response", M, json!({"chance": 0.1})).await?;
    for n in 0..150 {
        let patch =
            if n % 3 == 2 { json!({"flag": null, "n": n}) } else { json!({"flag": n, "n": n}) };
        stage.report(M, patch).await?;
        if n % 25 == 24 {
            stage.fault("drop", M, json!({})).await?;
        }
    }
    stage.service.clear_faults().await?;
    stage.wait_reported(M, |found| *found == json!({"n": 149})).await?;
    stage.gateway.wait_for("nothing pending", |status| status.modules[0].pending.keys == 0).await?;
    // And it never went back to an older value.
    assert_eq!(stage.at_hub(M, "reported").await?, json!({"n": 149}));
    Ok(())
}
