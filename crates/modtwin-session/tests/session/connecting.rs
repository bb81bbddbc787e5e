//! The way up: waits after each kind of failure, silence at every step, fresh credentials.

use std::time::Duration;

use modtwin_core::status::{Fault, HubState, Reason};
use modtwin_session::link::{Epoch, LinkStatus};
use serde_json::json;
use tokio::time::Instant;

use crate::rig::{ANSWER_LIMIT, CONNECT_LIMIT, Call, Mood, Rig};

/// The clock ticks in milliseconds and rounds up.
const TICK: Duration = Duration::from_millis(10);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn failed(reason: Reason) -> LinkStatus {
    LinkStatus::Failed(Fault::new(reason, "the script says so"))
}

/// The waits after `count` failures of an attempt for `reason`, and what is shown meanwhile.
async fn waits(reason: Reason, state: HubState, count: usize) -> Vec<Duration> {
    let mut rig = Rig::start().await;
    rig.hub.connect().await;
    let mut waits = Vec::new();
    for _ in 0..count {
        rig.hub.say(failed(reason));
        let view = rig.stands(state, reason).await;
        assert_eq!(view.hub.detail.as_deref(), Some("the script says so"));
        assert!(view.hub.next_attempt.is_some() && view.stale && view.connects == 0);
        let began = Instant::now();
        rig.hub.connect().await;
        waits.push(began.elapsed());
    }
    waits
}

#[tokio::test(start_paused = true)]
async fn faults_of_network_and_hub_wait_longer_each_time_up_to_a_minute() {
    for reason in [Reason::Network, Reason::Tls, Reason::Clock, Reason::HubError] {
        let waits = waits(reason, HubState::Disconnected, 60).await;
        for (n, wait) in waits.iter().enumerate() {
            let rung = seconds(1 << n.min(6)).min(seconds(60));
            assert!(*wait <= rung + TICK, "{reason} {n}: {wait:?}");
        }
        assert!(waits.iter().skip(6).any(|wait| *wait > seconds(30)), "{reason}: {waits:?}");
        assert!(waits.iter().skip(6).any(|wait| *wait < seconds(30)), "{reason}: no jitter");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_identity_waits_from_half_a_minute_to_a_quarter_of_an_hour() {
    for reason in [Reason::BadCredential, Reason::IdentityDisabled, Reason::Quota] {
        let waits = waits(reason, HubState::Disconnected, 20).await;
        assert!(waits[0] >= seconds(15) && waits[0] <= seconds(30) + TICK, "{reason}: {waits:?}");
        assert!(waits.iter().all(|wait| *wait >= seconds(15) && *wait <= seconds(900) + TICK));
        assert!(waits[10..].iter().all(|wait| *wait >= seconds(450)), "{reason}: {waits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_waits_ten_seconds_at_the_least() {
    let waits = waits(Reason::Throttled, HubState::Disconnected, 20).await;
    assert!(waits.iter().all(|wait| *wait >= seconds(10) && *wait <= seconds(70) + TICK));
}

#[tokio::test(start_paused = true)]
async fn a_bad_local_file_is_looked_at_every_minute() {
    for reason in [Reason::Config, Reason::ExpiredCredential] {
        let mut rig = Rig::start().await;
        rig.wallet.fail(reason);
        rig.stands(HubState::Disabled, reason).await;
        let (loads, began) = (rig.wallet.loads(), Instant::now());
        while rig.wallet.loads() < loads + 10 {
            tokio::time::sleep(seconds(1)).await;
        }
        let each = began.elapsed() / 10;
        assert!(each >= seconds(50) && each <= seconds(65), "{reason}: {each:?}");
        // An attempt under way is no news while the file is as bad as it was.
        assert_eq!(rig.handle.view().hub.state, HubState::Disabled);
        assert!(!rig.hub.calls_so_far().iter().any(|call| matches!(call, Call::Connect(_))));
        rig.wallet.set(Mood::Good);
        rig.go_live(json!({"$version": 1}), json!({"$version": 1})).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_makes_the_reader_panic_disables_until_it_is_mended() {
    let mut rig = Rig::start().await;
    rig.wallet.set(Mood::Panics);
    let view = rig.stands(HubState::Disabled, Reason::Config).await;
    assert!(view.hub.detail.as_deref().is_some_and(|detail| detail.contains("credential")));
    rig.wallet.set(Mood::Good);
    let asked = Instant::now();
    rig.handle.reconnect().await;
    rig.go_live(json!({"$version": 1}), json!({"$version": 1})).await;
    assert!(asked.elapsed() < seconds(1), "a reconnect by request waits for nothing");
}

#[tokio::test(start_paused = true)]
async fn the_credential_is_read_anew_before_every_connect() {
    let mut rig = Rig::start().await;
    for attempt in 1..=20 {
        rig.hub.connect().await;
        assert_eq!(rig.wallet.loads(), attempt);
        rig.hub.say(failed(Reason::Network));
    }
}

#[tokio::test(start_paused = true)]
async fn silence_at_any_step_is_given_up_in_time() {
    let mut rig = Rig::start().await;
    let silent = |since: Instant, limit: Duration| {
        let silence = since.elapsed();
        assert!(silence >= limit && silence <= limit + seconds(61), "{silence:?}");
    };
    // The link says nothing at all of the attempt.
    rig.hub.connect().await;
    let began = Instant::now();
    assert!(matches!(rig.hub.call().await, Call::Disconnect));
    rig.hub.connect().await;
    silent(began, CONNECT_LIMIT);
    // No SUBACK.
    rig.hub.say(LinkStatus::Connected);
    let began = Instant::now();
    assert!(matches!(rig.hub.call().await, Call::Subscribe));
    let view = rig.view_where(|view| view.hub.state == HubState::Disconnected).await;
    assert!(view.hub.detail.as_deref().is_some_and(|detail| detail.contains("SUBSCRIBE")));
    rig.hub.connect().await;
    silent(began, ANSWER_LIMIT);
    // No twin.
    rig.hub.say(LinkStatus::Connected);
    assert!(matches!(rig.hub.call().await, Call::Subscribe));
    rig.hub.say(LinkStatus::Subscribed);
    rig.hub.fetch().await;
    let began = Instant::now();
    assert!(matches!(rig.hub.call().await, Call::Disconnect));
    rig.hub.connect().await;
    silent(began, ANSWER_LIMIT);
    assert_eq!(rig.handle.view().connects, 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_heard_of_an_earlier_connection_counts_for_nothing() {
    let mut rig = Rig::start().await;
    rig.hub.connect().await;
    let earlier = rig.hub.epoch;
    rig.hub.say(failed(Reason::Network));
    rig.hub.connect().await;
    for late in [LinkStatus::Connected, LinkStatus::Subscribed, failed(Reason::BadCredential)] {
        rig.hub.say_of(earlier, late);
    }
    let present = std::mem::replace(&mut rig.hub.epoch, earlier);
    assert!(rig.hub.patch(99, &json!({"old": true})));
    rig.hub.epoch = present;
    rig.hub.say(LinkStatus::Connected);
    assert!(matches!(rig.hub.call().await, Call::Subscribe));
    rig.hub.say(LinkStatus::Subscribed);
    let rid = rig.hub.fetch().await;
    rig.hub.say_of(Epoch(0), LinkStatus::Lost(Fault::new(Reason::Network, "late")));
    rig.hub.answer_twin(&rid, json!({"$version": 3, "a": 1}), json!({"$version": 1}));
    let view = rig.stands(HubState::Connected, Reason::Ok).await;
    assert_eq!(view.desired.as_ref().map(|desired| desired.version), Some(3));
    assert_eq!(view.connects, 1);
}

#[tokio::test(start_paused = true)]
async fn sessions_that_keep_ending_soon_look_like_a_second_user_of_the_identity() {
    let mut rig = Rig::start().await;
    let lost = || LinkStatus::Lost(Fault::new(Reason::Network, "connection reset"));
    for _ in 0..6 {
        rig.go_live(json!({"$version": 1}), json!({"$version": 1})).await;
        assert_ne!(rig.handle.view().hub.reason, Reason::IdentityConflict);
        rig.hub.say(lost());
        rig.view_where(|view| view.stale).await;
    }
    let view = rig.stands(HubState::Disconnected, Reason::IdentityConflict).await;
    assert!(view.hub.detail.as_deref().is_some_and(|detail| detail.contains("connection reset")));
    // One that lives long enough clears the suspicion.
    rig.go_live(json!({"$version": 1}), json!({"$version": 1})).await;
    tokio::time::sleep(seconds(120)).await;
    rig.hub.say(lost());
    rig.stands(HubState::Disconnected, Reason::Network).await;
}
