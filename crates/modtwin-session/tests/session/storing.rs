//! The disk between handlers and hub: nothing is sent before it is stored, nothing stored is lost.

use std::sync::Arc;
use std::time::Duration;

use modtwin_core::status::{Fault, Reason};
use modtwin_session::handle::ReportError;
use modtwin_session::link::LinkStatus;
use modtwin_session::store::StoredTwin;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::rig::{Call, Disk, Mood, Rig};

/// The stored reports, one after the other.
fn outbox(stored: &StoredTwin) -> Vec<Value> {
    stored.outbox.iter().map(|report| Value::Object(report.patch.clone())).collect()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_that_is_not_on_disk() {
    let mut rig = Rig::start().await;
    rig.go_live(json!({"$version": 1}), json!({"$version": 1})).await;
    let mut version = 1;
    for round in 0..100 {
        let ticket = rig.report(json!({"n": round, format!("k{}", round % 7): round})).await;
        let sent = rig.hub.report().await;
        let stored = outbox(&sent.on_disk);
        assert!(stored.contains(&sent.patch), "{} not in {stored:?}", sent.patch);
        assert!(ticket.stored.await.unwrap().is_ok());
        version += 1;
        rig.hub.accept(&sent.rid, version);
        assert_eq!(ticket.accepted.await.unwrap(), Ok(version));
    }
}

#[tokio::test(start_paused = true)]
async fn reports_that_wait_are_merged_and_all_reporters_are_told() {
    let mut rig = Rig::start().await;
    rig.go_live(json!({"$version": 1}), json!({"$version": 1})).await;
    let mut tickets = Vec::new();
    for n in 0..50 {
        tickets.push(rig.report(json!({"n": n})).await);
    }
    let (mut last, mut patches, mut version) = (Value::Null, 0, 1);
    while last != json!(49) {
        let sent = rig.hub.report().await;
        last = sent.patch["n"].clone();
        patches += 1;
        version += 1;
        rig.hub.accept(&sent.rid, version);
    }
    assert!(patches < 25, "{patches} patches for 50 reports of one key");
    for ticket in tickets {
        assert!(ticket.stored.await.unwrap().is_ok());
        assert!(ticket.accepted.await.unwrap().is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_refuses_refuses_reports_until_it_is_mended() {
    let mut rig = Rig::start().await;
    rig.go_live(json!({"$version": 1, "n": 1}), json!({"$version": 1})).await;
    rig.disk.set(Mood::Bad("no space left on device"));
    for _ in 0..5 {
        let ticket = rig.report(json!({"a": 1})).await;
        let refused = ticket.stored.await.unwrap().unwrap_err();
        assert!(matches!(&refused, ReportError::Storage(cause) if cause.0.contains("no space")));
        assert!(ticket.accepted.await.is_err(), "nothing was accepted, so nothing will be");
    }
    let view = rig.view_where(|view| view.storage_problem.is_some()).await;
    assert!(view.pending.is_empty(), "what was refused is not pending");
    assert!(!view.stale, "the hub is still heard");
    assert!(rig.hub.calls_so_far().is_empty(), "what was refused is not sent");
    assert!(rig.hub.patch(2, &json!({"n": 2})));
    rig.view_where(|view| view.desired.as_ref().is_some_and(|it| it.version == 2)).await;

    rig.disk.set(Mood::Good);
    rig.report(json!({"a": 2})).await.stored.await.unwrap().unwrap();
    rig.view_where(|view| view.storage_problem.is_none()).await;
    assert_eq!(rig.hub.report().await.patch, json!({"a": 2}));
}

#[tokio::test(start_paused = true)]
async fn a_mended_disk_is_noticed_without_a_report() {
    let mut rig = Rig::start().await;
    rig.go_live(json!({"$version": 1}), json!({"$version": 1})).await;
    rig.disk.set(Mood::Bad("read-only file system"));
    assert!(rig.hub.patch(2, &json!({"n": 2})));
    rig.view_where(|view| view.storage_problem.is_some()).await;
    rig.disk.set(Mood::Good);
    let mended = Instant::now();
    rig.view_where(|view| view.storage_problem.is_none()).await;
    assert!(mended.elapsed() <= Duration::from_secs(10), "{:?}", mended.elapsed());
    assert_eq!(rig.disk.content().unwrap().desired.unwrap().version, 2);
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_the_write_under_way() {
    let mut rig = Rig::start().await;
    rig.go_live(json!({"$version": 1}), json!({"$version": 1})).await;
    rig.hub.say(LinkStatus::Lost(Fault::new(Reason::Network, "cut")));
    rig.view_where(|view| view.stale).await;
    let before = rig.disk.saves();
    rig.disk.set(Mood::Hangs);
    let ticket = rig.report(json!({"last": "words"})).await;
    rig.disk.wait_saves(before + 1).await;
    rig.stop();
    // A second write has to follow the first: this report came after that had begun.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!rig.is_over(), "the session ended with a write under way");
    rig.disk.set(Mood::Good);
    rig.end().await.unwrap();
    assert_eq!(ticket.stored.await.unwrap(), Ok(1));
    assert_eq!(outbox(&rig.disk.content().unwrap()), [json!({"last": "words"})]);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_never_answers_does_not_stop_the_end() {
    let mut rig = Rig::start().await;
    rig.go_live(json!({"$version": 1}), json!({"$version": 1})).await;
    let before = rig.disk.saves();
    rig.disk.set(Mood::Hangs);
    let ticket = rig.report(json!({"last": "words"})).await;
    rig.disk.wait_saves(before + 1).await;
    rig.stop();
    // The clock does not run by itself while a thread is busy.
    for _ in 0..20 {
        tokio::time::advance(Duration::from_millis(500)).await;
    }
    assert!(rig.is_over(), "the session waits for a dead disk");
    assert!(rig.told(ticket.stored).await.is_err(), "nobody may be told that it was stored");
    rig.disk.set(Mood::Good);
}

#[tokio::test(start_paused = true)]
async fn a_report_that_nobody_takes_any_more_is_answered() {
    let mut rig = Rig::start().await;
    rig.go_live(json!({"$version": 1}), json!({"$version": 1})).await;
    // Both wait when the session next looks: it is told to stop first, and takes the report never.
    rig.stop();
    let ticket = rig.report(json!({"too": "late"})).await;
    rig.end().await.unwrap();
    assert!(rig.told(ticket.stored).await.is_err(), "nobody may be told that it was stored");
    let refused = rig.handle.report(serde_json::Map::new()).await.unwrap_err();
    assert_eq!(refused.to_string(), "module `module01` is stopping");
}

#[tokio::test(start_paused = true)]
async fn stopping_says_goodbye_and_the_next_session_goes_on_from_the_disk() {
    let disk = Arc::new(Disk::default());
    let mut rig = Rig::start_on(Arc::clone(&disk)).await;
    rig.go_live(json!({"$version": 5, "n": 5}), json!({"$version": 2, "x": 1})).await;
    let ticket = rig.report(json!({"x": null, "y": 2})).await;
    ticket.stored.await.unwrap().unwrap();
    rig.hub.report().await;
    rig.stop();
    rig.end().await.unwrap();
    assert!(matches!(rig.hub.calls_so_far().as_slice(), [Call::Disconnect]));

    let mut next = Rig::start_on(disk).await;
    let view = next.handle.view();
    assert!(view.stale);
    assert_eq!(view.desired.as_ref().unwrap().version, 5);
    assert_eq!(*view.pending, json!({"x": null, "y": 2}).as_object().cloned().unwrap());
    next.go_live(json!({"$version": 5, "n": 5}), json!({"$version": 2, "x": 1})).await;
    let sent = next.hub.report().await;
    assert_eq!(sent.patch, json!({"x": null, "y": 2}));
    next.hub.accept(&sent.rid, 3);
    next.view_where(|view| view.pending.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_is_set_aside_and_the_rest_goes_through() {
    let mut rig = Rig::start().await;
    rig.go_live(json!({"$version": 1}), json!({"$version": 1})).await;
    let ticket = rig.report(json!({"bad": "poison", "good": 1, "fine": 2})).await;
    let mut version = 1;
    let mut told = ticket.accepted;
    let mut seen = std::collections::BTreeSet::new();
    let answer = loop {
        tokio::select! {
            biased;
            answer = &mut told => break answer.unwrap(),
            sent = rig.hub.report() => {
                let keys: Vec<String> = sent.patch.as_object().unwrap().keys().cloned().collect();
                if keys.iter().any(|key| key == "bad") {
                    rig.hub.refuse(&sent.rid, 400, "not that");
                } else {
                    seen.extend(keys);
                    version += 1;
                    rig.hub.accept(&sent.rid, version);
                }
            }
        }
    };
    assert!(matches!(
        answer.unwrap_err(),
        ReportError::RejectedByHub { key, status: 400, .. } if key == "bad"
    ));
    while seen.len() < 2 {
        let sent = rig.hub.report().await;
        seen.extend(sent.patch.as_object().unwrap().keys().cloned());
        version += 1;
        rig.hub.accept(&sent.rid, version);
    }
    let view = rig.view_where(|view| view.pending.is_empty() && !view.quarantined.is_empty()).await;
    assert_eq!(view.quarantined[0].key, "bad");
    // A better value of the same key is sent again.
    let ticket = rig.report(json!({"bad": "better"})).await;
    let sent = rig.hub.report().await;
    assert_eq!(sent.patch, json!({"bad": "better"}));
    rig.hub.accept(&sent.rid, version + 1);
    assert!(ticket.accepted.await.unwrap().is_ok());
    rig.view_where(|view| view.quarantined.is_empty()).await;
}
