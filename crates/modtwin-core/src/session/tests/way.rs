//! Connecting, losing, waiting, stopping, and what the status says meanwhile.

use alloc::vec;

use serde_json::json;

use super::super::*;
use super::script::*;
use crate::status::Fault;

fn live() -> Script {
    Script::live(settings(), section(1, json!({})), section(1, json!({})))
}

fn fault(reason: Reason) -> Fault {
    Fault::new(reason, "because")
}

#[test]
fn the_first_attempt_is_due_at_once() {
    let mut script = Script::new(settings(), Durable::default());
    assert_eq!(script.state(), (HubState::Connecting, Reason::Starting));
    assert_eq!(script.session.next_deadline(), Some(script.now()));
    script.fire();
    assert_eq!(script.effects(), [Effect::Connect]);
}

#[test]
fn each_reason_waits_by_its_own_ladder() {
    for (reason, state, least, most) in [
        (Reason::Network, HubState::Disconnected, 0, 1_000),
        (Reason::Tls, HubState::Disconnected, 0, 1_000),
        (Reason::Throttled, HubState::Disconnected, 10_000, 11_000),
        (Reason::BadCredential, HubState::Disconnected, 15_000, 30_000),
        (Reason::IdentityDisabled, HubState::Disconnected, 15_000, 30_000),
        (Reason::Quota, HubState::Disconnected, 15_000, 30_000),
        (Reason::Config, HubState::Disabled, 54_000, 60_000),
        (Reason::ExpiredCredential, HubState::Disabled, 54_000, 60_000),
    ] {
        for seed in 0..20 {
            let mut script = Script::new(Settings { seed, ..settings() }, Durable::default());
            script.fire();
            script.session.handle_failed(script.now(), fault(reason));
            assert_eq!(script.state(), (state, reason));
            assert_eq!(script.session.status().detail.as_deref(), Some("because"));
            let next = script.session.status().next_attempt.unwrap();
            assert_eq!(script.session.next_deadline(), Some(next));
            let wait = next.0 - script.now;
            assert!((least..=most).contains(&wait), "{reason:?}: {wait}");
        }
    }
}

#[test]
fn attempts_never_end_and_never_come_more_than_once_in_their_wait() {
    let mut script = Script::new(settings(), Durable::default());
    let (begin, mut attempts) = (script.now, 0);
    while attempts < 200 {
        script.fire();
        assert_eq!(script.effects(), [Effect::Connect]);
        attempts += 1;
        script.session.handle_failed(script.now(), network());
    }
    // 194 waits of half a minute on average.
    let mean = (script.now - begin) / attempts;
    assert!((20_000..40_000).contains(&mean), "{mean}");
}

#[test]
fn disabled_stays_so_through_an_attempt_until_it_succeeds() {
    let mut script = Script::new(settings(), Durable::default());
    script.fire();
    script.session.handle_failed(script.now(), fault(Reason::ExpiredCredential));
    let since = script.session.status().since;
    script.effects();
    script.fire();
    assert_eq!(script.effects(), [Effect::Connect]);
    assert_eq!(script.state(), (HubState::Disabled, Reason::ExpiredCredential));
    assert_eq!(script.session.status().next_attempt, None, "it is under way");
    script.session.handle_failed(script.now(), fault(Reason::ExpiredCredential));
    assert_eq!(script.session.status().since, since);
    assert!(script.session.status().next_attempt.is_some());
    script.go_live(section(1, json!({})), section(1, json!({})));
    assert_eq!(script.state(), (HubState::Connected, Reason::Ok));
}

#[test]
fn since_moves_with_the_reason_and_with_going_live_only() {
    let mut script = live();
    let connected = script.session.status().since;
    script.pass(5_000);
    script.patch(2, json!({}));
    script.pass(100);
    assert_eq!(script.session.status().since, connected);
    script.session.handle_lost(script.now(), network());
    let lost = script.now();
    assert_eq!(script.session.status().since, lost);
    for _ in 0..3 {
        script.fire();
        assert_eq!(script.state(), (HubState::Connecting, Reason::Network));
        script.pass(100);
        script.session.handle_failed(script.now(), network());
        assert_eq!(script.state(), (HubState::Disconnected, Reason::Network));
        assert_eq!(script.session.status().since, lost);
    }
    script.fire();
    script.session.handle_failed(script.now(), fault(Reason::Tls));
    assert_eq!(script.session.status().since, script.now());
    script.effects();
    script.go_live(section(2, json!({})), section(1, json!({})));
    assert_eq!(script.session.status().since, script.now());
}

#[test]
fn each_step_has_its_time() {
    let mut script = Script::new(settings(), Durable::default());
    script.fire();
    script.effects();
    assert_eq!(script.pass(19_999), []);
    script.fire();
    assert_eq!(script.effects(), [Effect::Disconnect], "no CONNACK");
    assert_eq!(script.state(), (HubState::Disconnected, Reason::Network));
    script.fire();
    script.session.handle_connected(script.now());
    assert_eq!(script.effects(), [Effect::Connect, Effect::Subscribe]);
    assert_eq!(script.pass(9_999), []);
    script.fire();
    assert_eq!(script.effects(), [Effect::Disconnect], "no SUBACK");
    assert!(script.session.status().detail.as_ref().unwrap().contains("SUBSCRIBE"));
    // What comes too late changes nothing.
    script.session.handle_subscribed(script.now());
    script.session.handle_connected(script.now());
    script.session.handle_lost(script.now(), fault(Reason::Tls));
    script.session.handle_failed(script.now(), fault(Reason::Tls));
    assert_eq!(script.state(), (HubState::Disconnected, Reason::Network));
    script.nothing_sent();
}

#[test]
fn a_link_that_lived_long_forgets_failures_however_it_ends() {
    let failures = |script: &mut Script| {
        for _ in 0..12 {
            script.fire();
            script.session.handle_failed(script.now(), network());
        }
        script.effects();
        script.go_live(section(1, json!({})), section(1, json!({})));
        script.effects();
    };
    let mut unanswered = live();
    unanswered.session.handle_lost(unanswered.now(), network());
    failures(&mut unanswered);
    unanswered.pass(120_000);
    unanswered.session.refresh(unanswered.now());
    unanswered.pass(10_000);
    let next = unanswered.session.status().next_attempt.map(|at| at.0);
    assert!(next.is_none_or(|at| at - unanswered.now <= 1_000), "{next:?}");
}

#[test]
fn an_occasional_throttled_report_does_not_climb_the_ladder() {
    let mut script = live();
    for n in 0..30 {
        script.report(json!({ "a": n }));
        let (id, _) = script.sent();
        script.refuse(id, 429, "slow down");
        let wait = script.session.status().next_attempt.unwrap().0 - script.now;
        assert!((10_000..=11_000).contains(&wait), "{n}: {wait}");
        script.fire();
        let (id, _) = script.sent();
        script.accept(id, n + 2);
        script.pass(2_000);
    }
}

#[test]
fn short_sessions_in_a_row_look_like_somebody_else() {
    let mut script = live();
    for n in 1..=6 {
        script.pass(500);
        script.session.handle_lost(script.now(), network());
        let expected = if n < 6 { Reason::Network } else { Reason::IdentityConflict };
        assert_eq!(script.state(), (HubState::Disconnected, expected), "{n}");
        if n < 6 {
            script.effects();
            script.go_live(section(1, json!({})), section(1, json!({})));
        }
    }
    let status = script.session.status();
    assert!(status.detail.as_ref().unwrap().contains("another client"));
    let wait = status.next_attempt.unwrap().0 - script.now;
    assert!((30_000..=60_000).contains(&wait), "{wait}");
    // One long session, and all is forgotten.
    script.effects();
    script.go_live(section(1, json!({})), section(1, json!({})));
    script.pass(60_000);
    script.session.handle_lost(script.now(), network());
    assert_eq!(script.state(), (HubState::Disconnected, Reason::Network));
}

#[test]
fn links_that_end_over_a_message_are_no_conflict() {
    let mut script = Script::new(settings(), Durable::default());
    for _ in 0..20 {
        script.go_live(section(1, json!({})), section(1, json!({})));
        script.pass(500);
        script.session.handle_lost_to_a_message(script.now(), network());
        assert_eq!(script.state(), (HubState::Disconnected, Reason::Network));
        script.effects();
    }
}

#[test]
fn attempts_that_never_go_live_are_no_conflict() {
    let mut script = Script::new(settings(), Durable::default());
    for _ in 0..20 {
        script.fire();
        script.session.handle_connected(script.now());
        script.session.handle_lost(script.now(), network());
        assert_eq!(script.state(), (HubState::Disconnected, Reason::Network));
    }
}

/// A script in each phase, by name.
fn phases() -> [(&'static str, Script); 7] {
    let new = || Script::new(settings(), Durable::default());
    let mut waiting = new();
    waiting.fire();
    waiting.session.handle_failed(waiting.now(), network());
    let mut connecting = new();
    connecting.fire();
    let mut subscribing = new();
    subscribing.fire();
    subscribing.session.handle_connected(subscribing.now());
    let mut syncing = new();
    syncing.fetching();
    let mut held = new();
    held.fetching();
    let request = fetch_in(&held.effects()).unwrap();
    held.refuse(request, 429, "");
    let mut in_flight = live();
    in_flight.report(json!({"a": 1}));
    in_flight.effects();
    let mut scripts = [
        ("waiting", waiting),
        ("connecting", connecting),
        ("subscribing", subscribing),
        ("syncing", syncing),
        ("held", held),
        ("live", live()),
        ("in flight", in_flight),
    ];
    for (_, script) in &mut scripts {
        script.effects();
    }
    scripts
}

#[test]
fn a_session_stops_in_every_phase_and_stays_stopped() {
    for (name, mut script) in phases() {
        script.session.stop(script.now());
        let goodbye = if name == "waiting" { vec![] } else { vec![Effect::Disconnect] };
        assert_eq!(script.effects(), goodbye, "{name}");
        assert_eq!(script.state(), (HubState::Disconnected, Reason::Stopping), "{name}");
        let durable = script.session.durable();
        script.session.stop(script.now());
        script.session.reconnect(script.now());
        script.session.refresh(script.now());
        script.session.handle_connected(script.now());
        script.session.handle_subscribed(script.now());
        script.session.handle_failed(script.now(), network());
        script.session.handle_lost(script.now(), network());
        script.patch(2, json!({}));
        for id in 0..5 {
            script.accept(RequestId(id), 9);
            script.refuse(RequestId(id), 401, "");
            script.refuse(RequestId(id), 429, "");
        }
        assert_eq!(script.pass(10_000_000), [], "{name}");
        assert_eq!(script.state(), (HubState::Disconnected, Reason::Stopping), "{name}");
        assert!(!script.session.is_unsaved(), "{name}");
        assert_eq!(script.session.durable(), durable, "{name}");
    }
}

#[test]
fn a_stopped_session_still_stores_reports() {
    let mut script = live();
    script.session.stop(script.now());
    let sequence = script.report(json!({"a": 1}));
    let effects = script.effects();
    assert!(effects.contains(&Effect::Stored { through: sequence }), "{effects:?}");
    assert!(reports_in(&effects).is_empty());
    assert_eq!(script.session.durable().outbox.len(), 1);
}

#[test]
fn a_session_reconnects_in_every_phase() {
    for (name, mut script) in phases() {
        script.session.reconnect(script.now());
        let goodbye = if name == "waiting" { vec![] } else { vec![Effect::Disconnect] };
        assert_eq!(script.effects(), goodbye, "{name}");
        assert_eq!(script.session.next_deadline(), Some(script.now()), "{name}");
        let before = script.session.connects();
        script.go_live(section(1, json!({})), section(1, json!({})));
        assert_eq!(script.session.connects(), before + 1, "{name}");
        assert_eq!(script.state(), (HubState::Connected, Reason::Ok), "{name}");
        let resent = reports_in(&script.effects()).len();
        assert_eq!(resent, usize::from(name == "in flight"), "{name}");
    }
}

#[test]
fn a_late_refusal_of_nothing_in_flight_does_not_end_the_link() {
    let mut script = live();
    script.refuse(RequestId(12_345), 401, "");
    script.refuse(RequestId(12_345), 429, "");
    script.refuse(RequestId(12_345), 400, "");
    assert_eq!(script.effects(), []);
    assert_eq!(script.state(), (HubState::Connected, Reason::Ok));
}
