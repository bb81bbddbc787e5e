//! Credentials of live sessions: tokens renewed in time and in turn, new files taken up, and the way
//! back from what the hub refuses.

use std::sync::Arc;
use std::time::Duration;

use modtwin_core::status::{Fault, HubState, Reason};
use modtwin_session::link::LinkStatus;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::rig::{Call, Rig};

const HOUR: Duration = Duration::from_secs(3600);
/// The clock ticks in milliseconds and rounds up.
const TICK: Duration = Duration::from_millis(10);

async fn live(rig: &mut Rig) {
    rig.go_live(json!({"$version": 1}), json!({"$version": 1})).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_in_the_last_part_of_its_life_and_not_always_at_once() {
    let mut rig = Rig::start().await;
    rig.wallet.give_tokens(HOUR);
    // The first connect may have been with a certificate.
    rig.handle.reconnect().await;
    live(&mut rig).await;
    let mut moments = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        live(&mut rig).await;
        moments.push(began.elapsed());
    }
    let within = |moment: &Duration| *moment >= HOUR * 6 / 10 && *moment <= HOUR * 8 / 10 + TICK;
    assert!(moments.iter().all(within), "{moments:?}");
    moments.sort();
    moments.dedup();
    assert!(moments.len() > 10, "always the same moment");
}

#[tokio::test(start_paused = true)]
async fn of_two_sessions_one_at_a_time_is_away_for_its_renewal() {
    let turns = Arc::new(Semaphore::new(1));
    let (mut first, mut second) = (Rig::start().await, Rig::start().await);
    for rig in [&mut first, &mut second] {
        rig.wallet.take_turns(&turns);
        live(rig).await;
        rig.handle.renew().await;
    }
    // Whoever is first connects, and as long as it is not in step the other stays.
    let (away, there) = tokio::select! {
        _request = first.hub.connect() => (&mut first, &mut second),
        _request = second.hub.connect() => (&mut second, &mut first),
    };
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(there.hub.calls_so_far().is_empty(), "two are away at once");
    assert_eq!(there.handle.view().hub.state, HubState::Connected);
    away.hub.say(LinkStatus::Connected);
    assert!(matches!(away.hub.call().await, Call::Subscribe));
    away.hub.say(LinkStatus::Subscribed);
    let rid = away.hub.fetch().await;
    away.hub.answer_twin(&rid, json!({"$version": 1}), json!({"$version": 1}));
    let began = Instant::now();
    live(there).await;
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_loses_its_link_gives_its_turn_away() {
    let turns = Arc::new(Semaphore::new(1));
    let mut rig = Rig::start().await;
    rig.wallet.take_turns(&turns);
    live(&mut rig).await;
    rig.handle.renew().await;
    rig.hub.connect().await;
    assert_eq!(turns.available_permits(), 0);
    rig.hub.say(LinkStatus::Failed(Fault::new(Reason::Network, "gone")));
    rig.stands(HubState::Disconnected, Reason::Network).await;
    assert_eq!(turns.available_permits(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_without_a_link_has_no_need_to_renew() {
    let mut rig = Rig::start().await;
    rig.hub.connect().await;
    rig.hub.say(LinkStatus::Failed(Fault::new(Reason::BadCredential, "no")));
    rig.stands(HubState::Disconnected, Reason::BadCredential).await;
    rig.handle.renew().await;
    let began = Instant::now();
    rig.hub.connect().await;
    assert!(began.elapsed() >= Duration::from_secs(15), "it went round the wait");
}

#[tokio::test(start_paused = true)]
async fn what_the_hub_refuses_is_followed_at_once_by_what_worked_before() {
    let mut rig = Rig::start().await;
    live(&mut rig).await;
    *rig.wallet.has_older.lock().unwrap() = true;
    rig.handle.renew().await;
    rig.hub.connect().await;
    rig.hub.say(LinkStatus::Failed(Fault::new(Reason::BadCredential, "no")));
    let began = Instant::now();
    live(&mut rig).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}
