//! A session whose task panics: its handles, views and promises outlive it.

use modtwin_core::status::{HubState, Reason};
use modtwin_session::link::LinkStatus;
use serde_json::json;

use crate::rig::{Call, Mood, Place, Rig};

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_link_costs_a_reconnect_and_nothing_else() {
    for place in [Place::Connect, Place::Subscribe, Place::Publish, Place::Disconnect] {
        let mut rig = Rig::start().await;
        rig.go_live(json!({"$version": 3, "n": 3}), json!({"$version": 1})).await;
        let mut views = rig.handle.follow();
        let before = rig.hub.epoch;
        rig.hub.panic_at(place);
        rig.handle.reconnect().await;
        if matches!(place, Place::Subscribe | Place::Publish) {
            rig.hub.connect().await;
            rig.hub.say(LinkStatus::Connected);
            rig.hub.say(LinkStatus::Subscribed);
        }
        let ended = rig.end().await.unwrap_err();
        assert!(ended.is_panic(), "{place:?}");
        assert!(views.has_changed().is_ok(), "{place:?}: the views ended with the task");
        assert_eq!(views.borrow_and_update().desired.as_ref().unwrap().version, 3);

        // What is asked while no task runs is done by the next one.
        let ticket = rig.report(json!({"while": "down"})).await;
        rig.run_again();
        rig.go_live(json!({"$version": 4, "n": 4}), json!({"$version": 1})).await;
        assert!(rig.hub.epoch > before, "{place:?}");
        let sent = rig.hub.report().await;
        assert_eq!(sent.patch, json!({"while": "down"}), "{place:?}");
        rig.hub.accept(&sent.rid, 2);
        assert_eq!(ticket.accepted.await.unwrap(), Ok(2), "{place:?}");
        let connects = views.wait_for(|view| !view.stale).await.unwrap().connects;
        assert!(connects >= 2, "{place:?}: earlier connections are forgotten");
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_that_was_stored_before_the_panic_is_sent_after_it() {
    let mut rig = Rig::start().await;
    rig.go_live(json!({"$version": 1}), json!({"$version": 1})).await;
    rig.hub.panic_at(Place::Publish);
    let ticket = rig.report(json!({"temperature": 20.5, "gone": null})).await;
    assert_eq!(ticket.stored.await.unwrap(), Ok(1));
    assert!(rig.end().await.unwrap_err().is_panic());
    assert!(ticket.accepted.await.is_err(), "whoever waits for the hub is told that nobody knows");
    rig.run_again();
    rig.go_live(json!({"$version": 1}), json!({"$version": 1, "gone": 1})).await;
    assert_eq!(rig.hub.report().await.patch, json!({"temperature": 20.5, "gone": null}));
}

#[tokio::test(start_paused = true)]
async fn a_session_may_panic_again_and_again() {
    let mut rig = Rig::start().await;
    for round in 1..=20 {
        rig.go_live(json!({"$version": round}), json!({"$version": 1})).await;
        rig.hub.panic_at(Place::Disconnect);
        rig.handle.reconnect().await;
        assert!(rig.end().await.unwrap_err().is_panic());
        rig.run_again();
    }
    rig.go_live(json!({"$version": 99}), json!({"$version": 1})).await;
    assert_eq!(rig.handle.view().connects, 21);
    rig.stop();
    rig.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_makes_the_writer_panic_is_a_disk_that_cannot_be_written() {
    let mut rig = Rig::start().await;
    rig.go_live(json!({"$version": 1}), json!({"$version": 1})).await;
    rig.disk.wait_saves(1).await;
    rig.disk.set(Mood::Panics);
    let refused = rig.report(json!({"a": 1})).await.stored.await.unwrap().unwrap_err();
    assert!(refused.to_string().contains("could not be stored"), "{refused}");
    assert!(!rig.is_over());
    rig.disk.set(Mood::Good);
    rig.report(json!({"a": 1})).await.stored.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_seat_that_is_given_up_says_so_and_keeps_what_it_knows() {
    let mut rig = Rig::start().await;
    rig.go_live(json!({"$version": 3, "n": 3}), json!({"$version": 1})).await;
    rig.hub.panic_at(Place::Disconnect);
    rig.handle.reconnect().await;
    assert!(rig.end().await.unwrap_err().is_panic());
    let ticket = rig.report(json!({"for": "nobody"})).await;
    rig.give_up("crashed too often").await;
    assert!(rig.told(ticket.stored).await.is_err(), "nobody will take it");
    let view = rig.stands(HubState::Disabled, Reason::HubError).await;
    assert_eq!(view.hub.detail.as_deref(), Some("crashed too often"));
    assert_eq!(view.desired.as_ref().unwrap().version, 3);
    assert!(!rig.hub.calls_so_far().iter().any(|call| matches!(call, Call::Connect(_))));
}
