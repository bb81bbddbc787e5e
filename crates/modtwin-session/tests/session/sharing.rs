//! What sessions share: the budget, the clock; and what a session owes to its handlers and the disk.

use std::sync::Arc;
use std::time::Duration;

use modtwin_core::document::Pointer;
use modtwin_core::governor::Policy;
use modtwin_core::handlers::HandlerRule;
use modtwin_core::status::{Fault, HubState, Reason};
use modtwin_session::clock::ClockState;
use modtwin_session::handle::ReportError;
use modtwin_session::link::LinkStatus;
use modtwin_session::store::{STORED_FORMAT, StoredReport, StoredTwin};
use serde_json::json;
use tokio::time::Instant;

use crate::rig::{Call, Disk, Mood, Rig, policy};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn requests_past_the_budget_wait_for_their_turn_and_all_get_it() {
    let slow = Policy { operations_per_second: 1, ..policy() };
    let disk = Arc::new(Disk::default());
    let mut rig = Rig::start_with(disk, slow, Vec::new(), ClockState::default()).await;
    rig.go_live(json!({"$version": 1}), json!({"$version": 1})).await;
    let began = Instant::now();
    for n in 0..120_u64 {
        let ticket = rig.report(json!({"n": n})).await;
        let sent = rig.hub.report().await;
        assert_eq!(sent.patch, json!({"n": n}));
        rig.hub.accept(&sent.rid, n + 2);
        assert_eq!(rig.told(ticket.accepted).await, Ok(Ok(n + 2)));
    }
    // Fifty at once, less the fetch, then one a second; none was given up as unanswered.
    let took = began.elapsed();
    assert!(took >= seconds(70) && took <= seconds(75), "{took:?}");
    assert_eq!(rig.handle.view().connects, 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_overtaken_by_a_lost_link_is_not_sent_on_the_next() {
    let slow = Policy { operations_per_second: 1, ..policy() };
    let disk = Arc::new(Disk::default());
    let mut rig = Rig::start_with(disk, slow, Vec::new(), ClockState::default()).await;
    rig.go_live(json!({"$version": 1}), json!({"$version": 1})).await;
    for n in 0..49_u64 {
        rig.report(json!({"n": n})).await;
        let sent = rig.hub.report().await;
        rig.hub.accept(&sent.rid, n + 2);
    }
    rig.view_where(|view| view.pending.is_empty()).await;
    let ticket = rig.report(json!({"late": true})).await;
    rig.told(ticket.stored).await.unwrap().unwrap();
    rig.hub.say(LinkStatus::Lost(Fault::new(Reason::Network, "cut")));
    rig.hub.fetched_after_connect(json!({"$version": 1}), json!({"$version": 50, "n": 48})).await;
    let sent = rig.hub.report().await;
    assert_eq!(sent.patch, json!({"late": true}));
    rig.hub.accept(&sent.rid, 51);
    assert_eq!(rig.told(ticket.accepted).await, Ok(Ok(51)));
    assert!(rig.hub.calls_so_far().is_empty());
}

#[tokio::test(start_paused = true)]
async fn while_the_clock_cannot_be_right_nothing_is_attempted_until_it_is_set() {
    let held = ClockState { held: Some("it is 1970".to_owned()), changes: 0 };
    let disk = Arc::new(Disk::default());
    let mut rig = Rig::start_with(disk, policy(), Vec::new(), held).await;
    let view = rig.stands(HubState::Disconnected, Reason::Clock).await;
    assert_eq!(view.hub.detail.as_deref(), Some("it is 1970"));
    tokio::time::sleep(seconds(3600)).await;
    assert!(!rig.hub.calls_so_far().iter().any(|call| matches!(call, Call::Connect(_))));
    assert_eq!(rig.wallet.loads(), 0, "not even the credential is looked at");
    // Reports are taken meanwhile.
    let ticket = rig.report(json!({"offline": 1})).await;
    rig.told(ticket.stored).await.unwrap().unwrap();
    let began = Instant::now();
    rig.clock.send_replace(ClockState { held: None, changes: 1 });
    rig.go_live(json!({"$version": 1}), json!({"$version": 1})).await;
    assert!(began.elapsed() < seconds(1), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_the_hub_already_is_not_written_again() {
    let mut rig = Rig::start().await;
    rig.hub.connect().await;
    let first = rig.report(json!({"a": {"b": 1}, "c": null})).await;
    let sequence = rig.told(first.stored).await.unwrap().unwrap();
    let saves = rig.disk.saves();
    let mut tickets = Vec::new();
    for _ in 0..50 {
        let ticket = rig.report(json!({"a": {"b": 1}})).await;
        assert_eq!(rig.told(ticket.stored).await, Ok(Ok(sequence)));
        tickets.push(ticket.accepted);
    }
    assert_eq!(rig.disk.saves(), saves);
    assert_eq!(rig.handle.figures().writes, saves);
    rig.hub.say(LinkStatus::Connected);
    assert!(matches!(rig.hub.call().await, Call::Subscribe));
    rig.hub.say(LinkStatus::Subscribed);
    let rid = rig.hub.fetch().await;
    rig.hub.answer_twin(&rid, json!({"$version": 1}), json!({"$version": 1}));
    let sent = rig.hub.report().await;
    rig.hub.accept(&sent.rid, 2);
    for ticket in tickets {
        assert_eq!(rig.told(ticket).await, Ok(Ok(2)));
    }
}

fn stored(report: serde_json::Value) -> StoredTwin {
    let serde_json::Value::Object(patch) = report else { panic!("a patch is an object") };
    StoredTwin {
        format: STORED_FORMAT,
        generation: 1,
        desired: None,
        reported: None,
        outbox: vec![StoredReport { through: 5, patch }],
        quarantined: Vec::new(),
        sequence: 5,
        acknowledged: Vec::new(),
        expected: Vec::new(),
        as_of_ms: None,
    }
}

#[tokio::test(start_paused = true)]
async fn state_that_may_not_be_read_is_not_overwritten_and_taken_up_once_it_may() {
    let disk = Arc::new(Disk::holding(stored(json!({"kept": 1}))));
    disk.set(Mood::Bad("permission denied"));
    let mut rig = Rig::start_on(Arc::clone(&disk)).await;
    rig.go_live(json!({"$version": 1}), json!({"$version": 1})).await;
    let view = rig.handle.view();
    assert_eq!(view.storage_problem.as_deref(), Some("permission denied"));
    let refused = rig.report(json!({"refused": 1})).await;
    assert!(matches!(rig.told(refused.stored).await, Ok(Err(ReportError::Storage(_)))));
    disk.set(Mood::Good);
    // The next try to write finds it; the report that waited since long goes to the hub.
    rig.hub.fetched_after_connect(json!({"$version": 1}), json!({"$version": 1})).await;
    let sent = rig.hub.report().await;
    assert_eq!(sent.patch, json!({"kept": 1}));
    rig.hub.accept(&sent.rid, 2);
    rig.view_where(|view| view.storage_problem.is_none() && view.pending.is_empty()).await;
    let ticket = rig.report(json!({"taken": 1})).await;
    rig.told(ticket.stored).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_handlers_silence_is_seen_and_handlers_may_change_while_the_session_runs() {
    let rule = |limit| HandlerRule {
        name: "hvac".to_owned(),
        watch: vec![Pointer::parse("/hvac").unwrap()],
        ack_timeout: Some(seconds(limit)),
    };
    let disk = Arc::new(Disk::default());
    let rules = vec![rule(3600)];
    let mut rig = Rig::start_with(disk, policy(), rules, ClockState::default()).await;
    rig.go_live(json!({"$version": 4, "hvac": 1}), json!({"$version": 1})).await;
    let view = rig.view_where(|view| !view.expected.is_empty()).await;
    assert_eq!(view.expected[0].version, 4);
    rig.handle.set_handlers(vec![rule(30)]).await;
    let began = Instant::now();
    let view = rig.view_where(|view| !view.applied.is_empty()).await;
    assert!(began.elapsed() >= seconds(30) && began.elapsed() <= seconds(31));
    assert_eq!((view.applied[0].version, view.applied[0].status), (4, 504));
    assert_eq!(rig.disk.content().unwrap().acknowledged[0].status, 504);
}
