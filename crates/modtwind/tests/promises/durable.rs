//! Promise 4: what was answered as stored survives `kill -9` and reaches the hub; one refused key
//! never blocks the rest.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use modtwin_api::{HubState, ProblemKind};
use modtwin_client::Wait;
use modtwin_testkit::patience::{LONG, Look, until};
use modtwin_testkit::stage::{Stage, module, object};
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

#[tokio::test]
async fn a_report_whose_answer_is_lost_is_settled_without_a_restart() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    stage.fault("lose-response", M, json!({"count": 1})).await?;
    let wait = Wait::Hub { timeout: Duration::from_secs(30) };
    let patch = object(json!({"once": true}))?;
    stage.client().report(M, &patch, wait).await?;
    assert_eq!(stage.at_hub(M, "reported").await?, json!({"once": true}));
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
async fn a_key_that_the_hub_refuses_is_set_aside_and_the_rest_arrives() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    // The hub's section is nearly full, and the daemon comes not to know: its state is lost while
    // the hub is away. So it takes a report that the hub can't.
    let text = "x".repeat(4000);
    let filler: Map<String, Value> = (0..7).map(|n| (format!("filler{n}"), json!(text))).collect();
    stage.report(M, Value::Object(filler)).await?;
    stage.wait_reported(M, |found| found["filler6"].is_string()).await?;
    stage.kill_daemon()?;
    stage.hub.kill()?;
    std::fs::remove_dir_all(stage.gateway.folder().join("state"))?;
    stage.start_daemon().await?;

    let client = stage.client();
    let poison = object(json!({"big1": text, "big2": text, "good": 1}))?;
    let waiting = tokio::spawn({
        let client = client.clone();
        let wait = Wait::Hub { timeout: Duration::from_secs(40) };
        async move { client.report(M, &poison, wait).await }
    });
    stage
        .gateway
        .wait_for("the report to be stored", |status| status.modules[0].pending.keys == 3)
        .await?;
    stage.report(M, json!({"other": 2})).await?;
    stage.hub.restart().await?;
    stage.service = stage.hub.service()?;

    let refused = waiting.await?.unwrap_err();
    assert_eq!(refused.problem_kind(), Some(ProblemKind::RejectedByHub), "{refused}");
    let modtwin_client::ClientError::Problem(problem) = &refused else { panic!("{refused}") };
    assert_eq!((problem.status, problem.hub_status), (422, Some(413)), "{problem:?}");
    stage.wait_reported(M, |found| found["good"] == 1 && found["other"] == 2).await?;
    let status = stage
        .gateway
        .wait_for("nothing pending", |status| status.modules[0].pending.keys == 0)
        .await?;
    let quarantined = &module(&status, M)?.quarantined;
    assert!(!quarantined.is_empty() && quarantined.iter().all(|it| it.key.starts_with("big")));
    assert!(stage.gateway.log_text().contains("quarantined"));
    // Reports go on, and a better value of the same key is taken.
    let key = quarantined[0].key.clone();
    let wait = Wait::Hub { timeout: Duration::from_secs(20) };
    client.report(M, &object(json!({ key.clone(): "small" }))?, wait).await?;
    assert_eq!(stage.at_hub(M, "reported").await?[&key], json!("small"));
    Ok(())
}

#[tokio::test]
async fn a_damaged_state_file_is_kept_aside_and_the_twin_fetched_anew() -> Story {
    let mut stage = Stage::start(MODTWIND, 2).await?;
    stage.change(M, json!({"n": 1})).await?;
    let mut spectator = stage.watch(M).await?;
    spectator
        .wait("the change", |seen| seen.desired.as_ref().is_some_and(|it| it.contains_key("n")))
        .await?;
    stage.kill_daemon()?;
    let folder = stage.gateway.folder().join("state").join(M);
    for damage in [&b"{\"format\":1,\"gener"[..], b"", b"\xff\x00\x80"] {
        std::fs::write(folder.join("twin.json"), damage)?;
        stage.start_daemon().await?;
        stage.gateway.wait_connected(2).await?;
        assert_eq!(stage.client().snapshot(M).await?.desired, Some(object(json!({"n": 1}))?));
        stage.kill_daemon()?;
    }
    let kept = std::fs::read_dir(&folder)?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().contains("damaged"))
        .count();
    assert_eq!(kept, 3);
    Ok(())
}

/// A small file system of its own; gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where this process may not mount.
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).ok()?;
        let options = ["-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs"];
        let mounted = Command::new("mount").args(options).arg(at).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(at.to_owned()))
    }

    fn remount(&self, mode: &str) {
        let option = format!("remount,{mode},size=256k");
        assert!(
            Command::new("mount").args(["-o", &option]).arg(&self.0).status().unwrap().success()
        );
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a daemon that is being killed may hold a file for a moment.
        let _unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_disk_that_is_full_or_read_only_refuses_reports_and_nothing_else() -> Story {
    let mut stage = Stage::build(MODTWIND, 2).await?;
    let Some(disk) = SmallDisk::mount(&stage.gateway.folder().join("state")) else {
        println!("skipped: this process may not mount a small file system (not root)");
        return Ok(());
    };
    stage.change(M, json!({"n": 1})).await?;
    stage.start_daemon().await?;
    stage.gateway.wait_connected(2).await?;
    stage.report(M, json!({"before": true})).await?;
    stage.wait_reported(M, |found| found["before"] == true).await?;

    let filler = disk.0.join("filler");
    for trouble in ["full", "read-only"] {
        if trouble == "full" {
            fill(&filler);
        } else {
            disk.remount("ro");
        }
        let refused = stage.report(M, json!({"refused": trouble})).await.unwrap_err();
        let refused = refused.downcast::<modtwin_client::ClientError>()?;
        assert_eq!(refused.problem_kind(), Some(ProblemKind::Storage), "{trouble}: {refused}");
        let modtwin_client::ClientError::Problem(problem) = &refused else { panic!("{refused}") };
        assert_eq!(problem.status, 507);
        // Reads, watches and changes from the hub go on.
        let version = stage.change(M, json!({"during": trouble})).await?;
        let mut spectator = stage.watch(M).await?;
        spectator.wait_version(version).await?;
        let snapshot = stage.client().snapshot(M).await?;
        assert!(!snapshot.stale && snapshot.pending.is_empty(), "{snapshot:?}");
        let status = stage
            .gateway
            .wait_for("the status to say so", |status| !status.storage.writable)
            .await?;
        assert!(status.storage.problem.is_some());
        if trouble == "full" {
            std::fs::remove_file(&filler)?;
        } else {
            disk.remount("rw");
        }
        stage.report(M, json!({"after": trouble})).await?;
        stage.wait_reported(M, |found| found["after"] == trouble).await?;
        stage.gateway.wait_for("the status to recover", |status| status.storage.writable).await?;
        assert_eq!(stage.at_hub(M, "reported").await?.get("refused"), None);
    }
    stage.kill_daemon()?;
    drop(disk);
    Ok(())
}

/// Writes until there is no room.
fn fill(file: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(file).unwrap();
    while file.write_all(&[0; 1024]).is_ok() {}
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

#[tokio::test]
async fn what_no_single_patch_can_say_arrives_as_it_was_meant() -> Story {
    let mut stage = Stage::start(MODTWIND, 1).await?;
    stage.report(M, json!({"a": {"old": 1}, "list": [1, 2, 3], "text": "x"})).await?;
    stage.wait_reported(M, |found| found["text"] == "x").await?;
    stage.hub.kill()?;
    // Deleted, then set anew: what was below must be gone.
    for patch in [
        json!({"a": null}),
        json!({"a": {"new": 1}}),
        json!({"list": {"not": "a list"}}),
        json!({"list": [4]}),
        json!({"text": {"deep": {"deeper": true}}}),
        json!({"text": {"deep": null}}),
        json!({"gone": {"never": "there"}}),
        json!({"gone": null}),
    ] {
        stage.report(M, patch).await?;
    }
    stage.kill_daemon()?;
    stage.start_daemon().await?;
    stage.hub.restart().await?;
    stage.service = stage.hub.service()?;
    let expected = json!({"a": {"new": 1}, "list": [4], "text": {}});
    stage.wait_reported(M, |found| *found == expected).await?;
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
